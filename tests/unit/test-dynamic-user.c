/* The names of pods' dynamic users: systemd's number for a name, and the choice of a name whose
 * number no other user has. */
#include "tests/unit/unit.h"

#include "lib/object.h"
#include "nodeagent/plan/dynamic-user.h"
#include "nodeagent/plan/plan.h"

static uint32_t number_of(const char *of, unsigned attempt) {
        char name[DYNAMIC_USER_SIZE];

        dynamic_user_name(of, attempt, name);
        return dynamic_user_number(name);
}

/* The numbers that systemd 252 has given units with these users. */
static void test_numbers(void **state) {
        static const struct {
                const char *name;
                uint32_t number;
        } cases[] = {{"kp-b669a1d744274e34", 63635}, {"kp-17646bb2062b6da4", 63583},
                        {"kp-666ff6ccaa5b3c07", 64061}, {"keelson-dns", 63741}};

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_int_equal(dynamic_user_number(cases[i].name), cases[i].number);
}

static void test_names(void **state) {
        char first[DYNAMIC_USER_SIZE], again[DYNAMIC_USER_SIZE], second[DYNAMIC_USER_SIZE],
                        written[DYNAMIC_USER_SIZE];

        dynamic_user_name("11-22", 0, first);
        assert_string_equal(first, "kp-b669a1d744274e34");
        dynamic_user_name("11-22", 0, again);
        assert_string_equal(again, first);
        dynamic_user_name("11-22", 1, second);
        assert_string_not_equal(second, first);
        dynamic_user_name("11-22.1", 0, written);
        assert_string_equal(second, written);
}

struct holder {
        uint32_t number;
        char name[DYNAMIC_USER_SIZE];
        unsigned asked;
};

static bool is_of_holder(uint32_t number, const char *name, void *userdata) {
        struct holder *h = userdata;

        h->asked++;
        assert_int_equal(dynamic_user_number(name), number);
        return number == h->number && !streq(name, h->name);
}

static bool is_always_taken(uint32_t number, const char *name, void *userdata) {
        unsigned *asked = userdata;

        (*asked)++;
        return true;
}

/* Two pods whose users would have one number. */
static void test_collision(void **state) {
        char uid[32] = "";
        struct holder h = {.number = number_of("pod-0", 0)};
        unsigned n = 1, asked = 0;

        dynamic_user_name("pod-0", 0, h.name);
        for (; n < 200000; n++) {
                snprintf(uid, sizeof(uid), "pod-%u", n);
                if (number_of(uid, 0) == h.number)
                        break;
        }
        assert_true(n < 200000);
        assert_int_equal(dynamic_user_choose(uid, is_of_holder, &h), 1);
        assert_int_equal(h.asked, 2);
        assert_int_not_equal(number_of(uid, 1), h.number);
        /* Its own user may be there already. */
        assert_int_equal(dynamic_user_choose("pod-0", is_of_holder, &h), 0);
        assert_int_equal(dynamic_user_choose(uid, is_always_taken, &asked), 0);
        assert_int_equal(asked, DYNAMIC_USER_TRIES);
}

static json_t *plan_of(const char *spec, const json_t *resources, unsigned attempt) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *pod = NULL, *images = json_pack("{s:{s:s}}", "c", "root", "host");
        _cleanup_free_ char *text = strformat(
                        "{\"metadata\":{\"namespace\":\"t\",\"name\":\"web\",\"uid\":\"11-22\"},"
                        "\"spec\":%s}",
                        spec);
        const struct pod_facts facts = {.node_name = "n1",
                        .node_ip = "192.0.2.1",
                        .pod_ip = "10.244.1.7",
                        .disk_dir = "/disk",
                        .run_dir = "/run/pod",
                        .secret_dir = "/secret",
                        .terminal_dir = "/terminals",
                        .exec_program = "/kpod-exec",
                        .images = images,
                        .user_try = attempt};
        json_t *plan = NULL;

        assert_int_equal(json_parse(text, strlen(text), 0, &pod, NULL), 0);
        if (pod_to_units(pod, resources, &facts, &plan, &p) < 0)
                fail_msg("%s", p.message);
        return plan;
}

static const char *user_of(const json_t *plan) {
        return json_str(json_array_get(json_object_get(plan, "containers"), 0), "properties.User");
}

static void test_plan(void **state) {
        static const char *const plain = "{\"containers\":[{\"name\":\"c\",\"command\":[\"a\"]}]}";
        _cleanup_json_ json_t *first = plan_of(plain, NULL, 0), *third = plan_of(plain, NULL, 2),
                              *numbered = plan_of("{\"securityContext\":{\"runAsUser\":1234},"
                                                  "\"containers\":[{\"name\":\"c\",\"command\":"
                                                  "[\"a\"]}]}",
                                              NULL, 2);
        char name[DYNAMIC_USER_SIZE];

        assert_string_equal(user_of(first), "kp-b669a1d744274e34");
        assert_int_equal(dynamic_user_of_plan(first), number_of("11-22", 0));
        dynamic_user_name("11-22", 2, name);
        assert_string_equal(user_of(third), name);
        assert_int_equal(dynamic_user_of_plan(third), number_of("11-22", 2));
        assert_int_equal(dynamic_user_of_plan(numbered), 0);
}

/* The next pod with the claim must have the same user. */
static void test_claim(void **state) {
        static const char *const spec =
                        "{\"volumes\":[{\"name\":\"d\",\"persistentVolumeClaim\":{\"claimName\":"
                        "\"data\"}}],\"containers\":[{\"name\":\"c\",\"command\":[\"a\"],"
                        "\"volumeMounts\":[{\"name\":\"d\",\"mountPath\":\"/d\"}]}]}";
        static const char *const objects =
                        "{\"claims\":{\"data\":{\"metadata\":{\"name\":\"data\",\"uid\":\"u\"},"
                        "\"spec\":{\"volumeName\":\"pv\"},\"status\":{\"phase\":\"Bound\"}}},"
                        "\"volumes\":{\"pv\":{\"metadata\":{\"name\":\"pv\"},\"spec\":"
                        "{\"claimRef\":{\"uid\":\"u\"},\"local\":{\"path\":\"/srv/data\"}}}}}";
        _cleanup_json_ json_t *resources = NULL, *first = NULL, *third = NULL;

        assert_int_equal(json_parse(objects, strlen(objects), 0, &resources, NULL), 0);
        first = plan_of(spec, resources, 0);
        third = plan_of(spec, resources, 2);
        assert_string_equal(user_of(first), user_of(third));
        assert_string_not_equal(user_of(first), "kp-b669a1d744274e34");
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers),
                        cmocka_unit_test(test_names), cmocka_unit_test(test_collision),
                        cmocka_unit_test(test_plan), cmocka_unit_test(test_claim)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
