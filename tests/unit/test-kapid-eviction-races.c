/* Evictions against pods and budgets that others change in between. */
#include "tests/unit/unit.h"

#include "lib/object.h"
#include "tests/unit/fake-kapid.h"

static struct fake_kapid *f;

#define NS "/api/v1/namespaces/default/"
#define POD_KEY "/registry/pods/default/a"
#define BUDGET_KEY "/registry/poddisruptionbudgets/default/b"
#define POD(uid, phase, conditions) \
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"namespace\":" \
        "\"default\",\"uid\":\"" uid "\",\"labels\":{\"app\":\"web\"}},\"spec\":{\"nodeName\":" \
        "\"n1\",\"containers\":[{\"name\":\"c\",\"image\":\"host\"}]},\"status\":{\"phase\":" \
        "\"" phase "\",\"conditions\":[" conditions "]}}"
#define READY "{\"type\":\"Ready\",\"status\":\"True\"}"

static int setup(void **state) {
        f = fake_kapid_new();
        fake_kapid_put(f, BUDGET_KEY,
                        "{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\","
                        "\"metadata\":{\"name\":\"b\",\"namespace\":\"default\",\"generation\":1},"
                        "\"spec\":{\"minAvailable\":1,\"selector\":{\"matchLabels\":{\"app\":"
                        "\"web\"}}},\"status\":{\"observedGeneration\":1,\"disruptionsAllowed\":3,"
                        "\"currentHealthy\":4,\"desiredHealthy\":1,\"expectedPods\":4}}");
        return 0;
}

static int teardown(void **state) {
        f = fake_kapid_free(f);
        return 0;
}

static void evict(const char *options, int code) {
        _cleanup_free_ char *body = strformat(
                        "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{"
                        "\"name\":\"a\"},\"deleteOptions\":%s}",
                        options);
        _cleanup_(exchange_done) struct exchange x = {
                        .method = "POST", .path = NS "pods/a/eviction", .body = body};

        exchange(f, &x);
        buf_append(&x.answer, "", 1);
        if (x.code != code)
                fail_msg("got: %d %s\nwant: %d", x.code, x.answer.data, code);
}

static int64_t allowed(void) {
        _cleanup_json_ json_t *budget = json_loads(fake_kapid_stored(f, BUDGET_KEY), 0, NULL);

        return json_int_or(budget, "status.disruptionsAllowed", -1);
}

static bool is_leaving(void) {
        const char *stored = fake_kapid_stored(f, POD_KEY);
        _cleanup_json_ json_t *pod = stored ? json_loads(stored, 0, NULL) : NULL;

        return !pod || object_is_deleting(pod);
}

static void test_ready(void **state) {
        fake_kapid_put(f, POD_KEY, POD("u", "Running", READY));
        evict("{}", 201);
        assert_true(is_leaving());
        assert_int_equal(allowed(), 2);
}

static void test_pending(void **state) {
        fake_kapid_put(f, POD_KEY, POD("u", "Pending", ""));
        evict("{}", 201);
        assert_true(is_leaving());
        assert_int_equal(allowed(), 3);
}

/* The pod begins to serve between the judgement and the delete: it costs one disruption, once. */
static void test_starts_meanwhile(void **state) {
        fake_kapid_put(f, POD_KEY, POD("u", "Pending", ""));
        f->rival = POD("u", "Running", READY);
        f->rival_key = POD_KEY;
        evict("{}", 201);
        assert_true(is_leaving());
        assert_int_equal(allowed(), 2);
}

/* Another pod of the name is not the one that the client means. */
static void test_replaced_meanwhile(void **state) {
        fake_kapid_put(f, POD_KEY, POD("u", "Pending", ""));
        f->rival = POD("v", "Running", READY);
        f->rival_key = POD_KEY;
        evict("{\"preconditions\":{\"uid\":\"u\"}}", 409);
        assert_false(is_leaving());
        assert_int_equal(allowed(), 3);
}

int main(void) {
#define TEST(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
        const struct CMUnitTest tests[] = {
                        TEST(test_ready),
                        TEST(test_pending),
                        TEST(test_starts_meanwhile),
                        TEST(test_replaced_meanwhile),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
