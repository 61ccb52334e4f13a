/* NetworkPolicies -> nftables. tests/golden/network-policy/NAME.yaml holds steps (documents
 * {policies, pods, slices}): the golden file shows the whole table of the first and the change to
 * each next one. A table that has gone through thousands of changes must be the one that is built
 * from the last state, and a change must cost what it touches. */
#include "tests/unit/unit.h"

#include "lib/object.h"
#include "lib/vector.h"
#include "lib/yaml.h"
#include "nodeagent/network/policy-table.h"
#include "tests/unit/golden.h"

static const struct policy_facts facts = {.cluster_cidr = {"10.244.0.0/16"}};

static void settle(struct policy_table *t) {
        while (policy_table_settle(t, 100))
                ;
}

/* ---- goldens ---- */

static bool has_object(const json_t *list, const json_t *object) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(object_name(v), object_name(object)) &&
                                streq(object_namespace(v), object_namespace(object)))
                        return true;
        return false;
}

static void drop_missing(struct policy_table *t, const json_t *before, const json_t *now) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(before, "policies"), i, v) {
                _cleanup_free_ char *key = object_key(v);
                if (!has_object(json_object_get(now, "policies"), v))
                        assert_int_equal(policy_table_drop_policy(t, key), 1);
        }
        json_array_foreach (json_object_get(before, "slices"), i, v) {
                _cleanup_free_ char *key = object_key(v);
                if (!has_object(json_object_get(now, "slices"), v))
                        assert_int_equal(policy_table_drop_slice(t, key), 1);
        }
        json_array_foreach (json_object_get(before, "pods"), i, v)
                if (!has_object(json_object_get(now, "pods"), v))
                        assert_int_equal(policy_table_drop_pod(t, object_uid(v)), 1);
}

static void set_all(struct policy_table *t, const json_t *now) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(now, "slices"), i, v)
                (void)policy_table_set_slice(t, v);
        json_array_foreach (json_object_get(now, "policies"), i, v)
                (void)policy_table_set_policy(t, v);
        json_array_foreach (json_object_get(now, "pods"), i, v)
                (void)policy_table_set_pod(t, v, json_object_get(v, "addresses"));
}

static char *convert(const char *yaml) {
        _cleanup_(policy_table_freep) struct policy_table *t = policy_table_new(&facts);
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        struct buf out = {0};

        assert_int_equal(yaml_parse(yaml, strlen(yaml), &docs, &p), 0);
        for (size_t d = 0; d < docs.count; d++) {
                const json_t *now = docs.items[d].value;

                buf_printf(&out, "%s# step %zu\n", d > 0 ? "\n" : "", d + 1);
                if (d > 0)
                        drop_missing(t, docs.items[d - 1].value, now);
                set_all(t, now);
                settle(t);
                if (d == 0)
                        policy_nft_whole(policy_table_nft(t), &out);
                else
                        policy_nft_changes(policy_table_nft(t), &out);
        }
        return buf_take(&out);
}

static void test_goldens(void **state) {
        static const char *const names[] = {
                        "default-deny", "one-pod", "ports", "blocks", "namespaces"};

        for (size_t i = 0; i < ELEMENTS(names); i++)
                golden_check("network-policy", names[i], convert);
}

/* ---- what a policy restricts ---- */

static json_t *parse(const char *text) {
        _cleanup_free_ char *copy = strdup(text), *error = NULL;
        json_t *v = NULL;

        for (char *c = copy; *c; c++)
                if (*c == '\'')
                        *c = '"';
        assert_int_equal(json_parse(copy, strlen(copy), 0, &v, &error), 0);
        return v;
}

static void test_directions(void **state) {
        static const struct {
                const char *spec;
                bool ingress, egress;
        } cases[] = {
                        {"{'podSelector':{}}", true, false},
                        {"{'podSelector':{},'policyTypes':[]}", true, false},
                        {"{'podSelector':{},'egress':[]}", true, false},
                        {"{'podSelector':{},'egress':[{}]}", true, true},
                        {"{'podSelector':{},'policyTypes':['Egress']}", false, true},
                        {"{'podSelector':{},'policyTypes':['Egress'],'ingress':[{}]}", false, true},
                        {"{'podSelector':{},'policyTypes':['Ingress'],'egress':[{}]}", true, false},
                        {"{'podSelector':{},'policyTypes':['Ingress','Egress']}", true, true},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *spec = parse(cases[i].spec),
                                      *policy = json_pack("{s:O}", "spec", spec);

                assert_int_equal(network_policy_isolates(policy, POLICY_INGRESS), cases[i].ingress);
                assert_int_equal(network_policy_isolates(policy, POLICY_EGRESS), cases[i].egress);
        }
}

static void test_peers(void **state) {
        static const struct {
                const char *peer, *text; /* NULL: no selector */
                bool every_pod;
        } cases[] = {
                        {"{'ipBlock':{'cidr':'10.0.0.0/8'}}", NULL, false},
                        {"{}", NULL, false},
                        {"{'podSelector':{}}", "{'podSelector':{}}", false},
                        {"{'namespaceSelector':{}}", "{'namespaceSelector':{},'podSelector':{}}",
                                        true},
                        {"{'podSelector':{'matchLabels':{}},'namespaceSelector':{}}",
                                        "{'namespaceSelector':{},'podSelector':{'matchLabels':{}}}",
                                        true},
                        {"{'namespaceSelector':{},'podSelector':{'matchLabels':{'b':'1','a':'2'}}}",
                                        "{'namespaceSelector':{},'podSelector':{'matchLabels':{'a':"
                                        "'2','b':'1'}}}",
                                        false},
                        {"{'namespaceSelector':{'matchExpressions':[{'key':'a','operator':'Exists'}"
                         "]}}",
                                        "{'namespaceSelector':{'matchExpressions':[{'key':'a',"
                                        "'operator':'Exists'}]},'podSelector':{}}",
                                        false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *peer = parse(cases[i].peer), *selector = peer_selector(peer),
                                      *wanted = cases[i].text ? parse(cases[i].text) : NULL;
                _cleanup_free_ char *text = selector ? peer_selector_text(selector) : NULL,
                                    *sorted = wanted ? peer_selector_text(wanted) : NULL;

                if (!cases[i].text) {
                        assert_null(selector);
                        continue;
                }
                assert_string_equal(text, sorted);
                assert_int_equal(peer_is_every_pod(selector), cases[i].every_pod);
        }
}

static void test_labels(void **state) {
        static const struct {
                const char *selector, *labels;
                bool matches;
        } cases[] = {
                        {"{}", NULL, true},
                        {"{}", "{'a':'1'}", true},
                        {"{'matchLabels':{'a':'1'}}", NULL, false},
                        {"{'matchLabels':{'a':'1'}}", "{'a':'1','b':'2'}", true},
                        {"{'matchLabels':{'a':'1'}}", "{'a':'2'}", false},
                        {"{'matchExpressions':[{'key':'a','operator':'DoesNotExist'}]}", NULL,
                                        true},
                        {"{'matchExpressions':[{'key':'a','operator':'In','values':['1','2']}]}",
                                        "{'a':'2'}", true},
                        {"{'matchLabels':{'b':'1'},'matchExpressions':[{'key':'a','operator':'In',"
                         "'values':['1']}]}",
                                        "{'a':'1'}", false},
                        {"{'matchExpressions':[{'key':'a','operator':'Nonsense'}]}", "{'a':'2'}",
                                        false},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *selector = parse(cases[i].selector),
                                      *labels = cases[i].labels ? parse(cases[i].labels) : NULL;

                assert_int_equal(label_selector_json_matches(selector, labels), cases[i].matches);
        }
}

/* ---- names ---- */

static void test_names(void **state) {
        _cleanup_free_ char *plain = policy_chain_name("shop/web.v1", POLICY_INGRESS),
                            *odd = policy_chain_name("shop/we{b", POLICY_EGRESS), *longest = NULL;
        char key[400], address[46];

        assert_string_equal(plain, "in-shop/web.v1");
        assert_int_equal(strspn(odd, "out-0123456789abcdef"), strlen(odd));
        memset(key, 'a', sizeof(key) - 1);
        key[sizeof(key) - 1] = 0;
        longest = policy_chain_name(key, POLICY_INGRESS);
        assert_true(strlen(longest) < 64);
        assert_true(policy_port_is_plain("http-2"));
        assert_false(policy_port_is_plain(""));
        assert_false(policy_port_is_plain("a b"));
        assert_false(policy_port_is_plain("sixteen-letters-"));
        assert_int_equal(policy_address("10.0.0.1", address), 4);
        assert_int_equal(policy_address("FD00:0::1", address), 6);
        assert_string_equal(address, "fd00::1");
        assert_int_equal(policy_address("10.0.0.1; flush ruleset", address), 0);
}

/* ---- thousands of changes ---- */

/* The same numbers in each run (xorshift64, Marsaglia 2003). */
static uint64_t below(uint64_t bound) {
        static uint64_t x = 88172645463325252u;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        return x % bound;
}

static json_t *random_policy(unsigned i) {
        static const char *const specs[] = {
                        "{'podSelector':{}}",
                        "{'podSelector':{'matchLabels':{'app':'a0'}},'ingress':[{'from':[{"
                        "'podSelector':{'matchLabels':{'app':'a1'}}}],'ports':[{'port':'http'}]}]}",
                        "{'podSelector':{'matchLabels':{'app':'a1'}},'policyTypes':['Egress'],"
                        "'egress':[{'to':[{'podSelector':{'matchLabels':{'app':'a1'}}},{'ipBlock':{"
                        "'cidr':'10.0.0.0/8'}}],'ports':[{'port':'http'},{'port':80}]}]}",
                        "{'podSelector':{},'ingress':[{}],'egress':[{'to':[{'namespaceSelector':{"
                        "'matchLabels':{'x':'y'}}}]}]}",
                        "{'podSelector':{'matchExpressions':[{'key':'app','operator':'Exists'}]},"
                        "'ingress':[{'from':[{'podSelector':{'matchLabels':{'app':'a1'}}},{'ipBlock"
                        "':{'cidr':'10.0.0.0/8'}}]}]}",
        };
        json_t *policy = json_pack("{s:{s:o, s:o}, s:o}", "metadata", "name",
                        json_sprintf("p%u", i), "namespace", json_sprintf("n%u", i % 2), "spec",
                        parse(specs[below(ELEMENTS(specs))]));

        assert_non_null(policy);
        return policy;
}

static json_t *random_slice(unsigned i) {
        json_t *slice = json_pack("{s:{s:o, s:o}, s:{s:{s:s}}, s:[]}", "metadata", "name",
                               json_sprintf("s%u", i), "namespace", json_sprintf("n%u", i % 2),
                               "podSelector", "matchLabels", "app", i % 3 == 0 ? "a0" : "a1",
                               "peers"),
               *peers = json_object_get(slice, "peers");

        if (i % 5 == 0)
                json_object_set_new(slice, "namespaceSelector", parse("{'matchLabels':{'x':'y'}}"));
        for (uint64_t n = below(4); n > 0; n--)
                json_array_append_new(
                                peers, json_pack("{s:[o], s:[{s:s, s:i}]}", "addresses",
                                                       json_sprintf("10.244.7.%d", (int)below(6)),
                                                       "ports", "name", below(2) ? "http" : "other",
                                                       "port", (int)(80 + below(2))));
        return slice;
}

static json_t *random_pod(unsigned i) {
        json_t *pod = json_pack("{s:{s:o, s:o, s:o, s:{s:o}}, s:{s:[{s:[{s:s, s:i}]}]}}",
                        "metadata", "name", json_sprintf("pod%u", i), "namespace",
                        json_sprintf("n%u", i % 2), "uid", json_sprintf("u%u", i), "labels", "app",
                        json_sprintf("a%d", (int)below(3)), "spec", "containers", "ports", "name",
                        "http", "containerPort", (int)(80 + below(3)));

        assert_non_null(pod);
        return pod;
}

static int compare_lines(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The commands, an element each, sorted: what the kernel ends with, whatever the order. */
static char *normal_form(const struct buf *text) {
        VECTOR(char *) lines = {0};
        struct buf out = {0};
        char *save = NULL;

        for (char *line = strtok_r(text->data, "\n", &save); line;
                        line = strtok_r(NULL, "\n", &save)) {
                char *brace = startswith(line, "add element ") ? strchr(line, '{') : NULL,
                     *inner = NULL;

                if (!brace) {
                        assert_int_equal(vector_append(&lines, strdup(line)), 0);
                        continue;
                }
                *brace = 0;
                brace[strlen(brace + 1) - 1] = 0;
                for (char *e = strtok_r(brace + 1, ",", &inner); e; e = strtok_r(NULL, ",", &inner))
                        assert_int_equal(vector_append(&lines, strformat("%s{%s", line, e)), 0);
        }
        qsort(lines.items, lines.count, sizeof(*lines.items), compare_lines);
        for (size_t i = 0; i < lines.count; i++) {
                size_t n = strlen(lines.items[i]);

                while (n > 0 && lines.items[i][n - 1] == ' ')
                        n--;
                buf_printf(&out, "%.*s\n", (int)n, lines.items[i]);
                free(lines.items[i]);
        }
        vector_done(&lines);
        return buf_take(&out);
}

static char *whole(struct policy_table *t) {
        _cleanup_buf_ struct buf text = {0};

        settle(t);
        policy_nft_whole(policy_table_nft(t), &text);
        assert_false(text.failed);
        return normal_form(&text);
}

enum { OBJECTS = 12, CHANGES = 4000 };

static void change_one(struct policy_table *t, json_t **objects, unsigned kind, unsigned i) {
        bool drop = below(3) == 0;
        _cleanup_json_ json_t *old = objects[i];
        _cleanup_free_ char *key = NULL;

        if (drop) {
                objects[i] = NULL;
                if (!old)
                        return;
                key = object_key(old);
                assert_int_equal(kind == 0   ? policy_table_drop_policy(t, key)
                                 : kind == 1 ? policy_table_drop_slice(t, key)
                                             : policy_table_drop_pod(t, object_uid(old)),
                                1);
                return;
        }
        objects[i] = kind == 0 ? random_policy(i) : kind == 1 ? random_slice(i) : random_pod(i);
        if (kind == 0)
                (void)policy_table_set_policy(t, objects[i]);
        else if (kind == 1)
                (void)policy_table_set_slice(t, objects[i]);
        else {
                _cleanup_json_ json_t *addresses =
                                json_pack("[o]", json_sprintf("10.244.1.%u", i + 1));
                (void)policy_table_set_pod(t, objects[i], addresses);
        }
}

static char *built_at_once(json_t *objects[3][OBJECTS]) {
        _cleanup_(policy_table_freep) struct policy_table *t = policy_table_new(&facts);

        for (unsigned i = 0; i < OBJECTS; i++) {
                _cleanup_json_ json_t *addresses =
                                json_pack("[o]", json_sprintf("10.244.1.%u", i + 1));

                if (objects[2][i])
                        (void)policy_table_set_pod(t, objects[2][i], addresses);
                if (objects[1][i])
                        (void)policy_table_set_slice(t, objects[1][i]);
                if (objects[0][i])
                        (void)policy_table_set_policy(t, objects[0][i]);
        }
        return whole(t);
}

static void test_history_does_not_matter(void **state) {
        _cleanup_(policy_table_freep) struct policy_table *t = policy_table_new(&facts);
        json_t *objects[3][OBJECTS] = {{0}};

        for (unsigned n = 0; n < CHANGES; n++) {
                unsigned kind = (unsigned)below(3);

                change_one(t, objects[kind], kind, (unsigned)below(OBJECTS));
                if (below(3) == 0)
                        settle(t);
                if (below(2) == 0) {
                        _cleanup_buf_ struct buf text = {0};

                        settle(t);
                        policy_nft_changes(policy_table_nft(t), &text);
                }
                if (n % 40 == 39) {
                        _cleanup_free_ char *long_way = whole(t),
                                            *short_way = built_at_once(objects);
                        assert_string_equal(long_way, short_way);
                }
        }
        for (unsigned kind = 0; kind < 3; kind++)
                for (unsigned i = 0; i < OBJECTS; i++)
                        json_decref(objects[kind][i]);
}

/* ---- 10,000 pods, 1,000 policies ---- */

enum { NAMESPACES = 100, POLICIES_EACH = 10, PEERS_EACH = 100, LOCAL_PODS = 500 };

static json_t *big_slice(unsigned ns, unsigned first) {
        json_t *slice = json_pack("{s:{s:o, s:o}, s:{}, s:[]}", "metadata", "name",
                        json_sprintf("s%u", first), "namespace", json_sprintf("n%u", ns),
                        "podSelector", "peers");

        for (unsigned i = 0; i < PEERS_EACH; i++)
                json_array_append_new(json_object_get(slice, "peers"),
                                json_pack("{s:[o]}", "addresses",
                                                json_sprintf("10.%u.%u.%u", 200 + first, ns, i)));
        return slice;
}

static void fill_big(struct policy_table *t) {
        for (unsigned ns = 0; ns < NAMESPACES; ns++) {
                _cleanup_json_ json_t *slice = big_slice(ns, 0);

                assert_int_equal(policy_table_set_slice(t, slice), 1);
                for (unsigned i = 0; i < POLICIES_EACH; i++) {
                        _cleanup_json_ json_t *policy = json_pack("{s:{s:o, s:o}, s:o}", "metadata",
                                        "name", json_sprintf("p%u", i), "namespace",
                                        json_sprintf("n%u", ns), "spec",
                                        parse("{'podSelector':{},'ingress':[{'from':[{"
                                              "'podSelector':{}}]}]}"));
                        assert_int_equal(policy_table_set_policy(t, policy), 1);
                }
        }
        for (unsigned i = 0; i < LOCAL_PODS; i++) {
                _cleanup_json_ json_t *pod = json_pack("{s:{s:o, s:o, s:o}}", "metadata", "name",
                                                      json_sprintf("pod%u", i), "namespace",
                                                      json_sprintf("n%u", i % NAMESPACES), "uid",
                                                      json_sprintf("u%u", i)),
                                      *addresses = json_pack(
                                                      "[o]", json_sprintf("10.244.%u.%u", i / 250,
                                                                             i % 250));
                assert_int_equal(policy_table_set_pod(t, pod, addresses), 1);
        }
}

static uint64_t cost_of(struct policy_table *t, uint64_t before, struct buf *text) {
        buf_reset(text);
        settle(t);
        policy_nft_changes(policy_table_nft(t), text);
        return policy_table_steps(t) - before;
}

static size_t count_of(const struct buf *text, const char *what) {
        size_t n = 0;

        for (const char *s = strempty(text->data); (s = strstr(s, what)); s++)
                n++;
        return n;
}

static void test_scale(void **state) {
        _cleanup_(policy_table_freep) struct policy_table *t = policy_table_new(&facts);
        _cleanup_json_ json_t *more = big_slice(0, 1), *pod = NULL,
                              *addresses = parse("['10.9.9.9']"),
                              *policy = parse("{'metadata':{'name':'p0','namespace':'n0'},'spec':{"
                                              "'podSelector':{},'ingress':[{}]}}");
        _cleanup_buf_ struct buf text = {0};
        uint64_t before;

        fill_big(t);
        /* All: each pod compares itself with the ten policies of its namespace, twice at most. */
        assert_true(cost_of(t, 0, &text) <
                        4 * LOCAL_PODS * POLICIES_EACH + NAMESPACES * PEERS_EACH + 8 * LOCAL_PODS);
        assert_int_equal(policy_table_isolated(t), LOCAL_PODS);
        /* A hundred peers: their elements, in one command, and no rule. */
        before = policy_table_steps(t);
        assert_int_equal(policy_table_set_slice(t, more), 1);
        assert_true(cost_of(t, before, &text) <= PEERS_EACH);
        assert_int_equal(count_of(&text, "add element"), 1);
        assert_int_equal(count_of(&text, "\n"), 1);
        /* A pod that others resemble: its elements. */
        pod = parse("{'metadata':{'name':'new','namespace':'n3','uid':'new'}}");
        before = policy_table_steps(t);
        assert_int_equal(policy_table_set_pod(t, pod, addresses), 1);
        assert_true(cost_of(t, before, &text) < 4 * POLICIES_EACH);
        assert_int_equal(count_of(&text, "add rule"), 0);
        assert_int_equal(count_of(&text, "10.9.9.9 : goto"), 1);
        before = policy_table_steps(t);
        assert_int_equal(policy_table_drop_pod(t, "new"), 1);
        assert_true(cost_of(t, before, &text) < 8);
        /* A policy: its own chain. */
        before = policy_table_steps(t);
        assert_int_equal(policy_table_set_policy(t, policy), 1);
        assert_true(cost_of(t, before, &text) <= 2 * LOCAL_PODS / NAMESPACES);
        assert_int_equal(count_of(&text, "flush chain"), 1);
        assert_int_equal(count_of(&text, "element"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_goldens),
                        cmocka_unit_test(test_directions),
                        cmocka_unit_test(test_peers),
                        cmocka_unit_test(test_labels),
                        cmocka_unit_test(test_names),
                        cmocka_unit_test(test_history_does_not_matter),
                        cmocka_unit_test(test_scale),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
