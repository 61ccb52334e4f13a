/* The watch cache: items, order, the window of changes, what a change means to a watcher, waiting.
 */
#include "tests/unit/unit.h"

#include "kapid/cache/cache.h"
#include "kapid/store/store-format.h"
#include "kapid/verbs/watch.h"
#include "lib/object.h"

struct bed {
        sd_event *event;
        struct caches *caches;
        unsigned changes, ranges;
};

static void on_change(struct cache *c, const struct change *change, void *userdata) {
        struct bed *b = userdata;

        b->changes++;
}

static void on_range(const char *key, const char *value, size_t n, void *userdata) {
        struct bed *b = userdata;

        b->ranges++;
}

static int setup(void **state) {
        struct bed *b = calloc(1, sizeof(*b));

        assert_non_null(b);
        assert_true(sd_event_new(&b->event) >= 0);
        assert_int_equal(caches_new(&b->caches, b->event,
                                         &(struct caches_options){.on_change = on_change,
                                                         .on_range = on_range,
                                                         .userdata = b}),
                        0);
        *state = b;
        return 0;
}

static int teardown(void **state) {
        struct bed *b = *state;

        caches_free(b->caches);
        sd_event_unref(b->event);
        free(b);
        return 0;
}

static void feed(struct bed *b, const char *path, const char *value, uint64_t revision) {
        _cleanup_free_ char *key = strformat("/registry/pods/%s", path);

        assert_int_equal(
                        caches_feed(b->caches, key, value, value ? strlen(value) : 0, revision), 0);
        caches_feed_done(b->caches, revision);
}

static struct cache *pods(struct bed *b) {
        struct cache *c = caches_get(b->caches, "/registry/pods/");

        assert_non_null(c);
        return c;
}

static const char plain[] =
                "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"}}";
static const char labelled[] =
                "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"labels\":{\"app\":\"a\"}}}";

/* --- items --- */

static void test_item_text(void **state) {
        static const struct {
                const char *value, *text;
        } cases[] = {
                        {"{\"metadata\":{}}", "{\"metadata\":{\"resourceVersion\":\"7\"}}"},
                        {"{\"a\":\"metadata\",\"metadata\" : { \"name\":\"x\"},\"b\":1}",
                                        "{\"a\":\"metadata\",\"metadata\" : "
                                        "{\"resourceVersion\":\"7\", "
                                        "\"name\":\"x\"},\"b\":1}"},
                        {"{\"spec\":{\"metadata\":{\"q\":1}},\"x\\\"metadata\":[\"{\"],"
                         "\"metadata\":{\"n\":1}}",
                                        "{\"spec\":{\"metadata\":{\"q\":1}},\"x\\\"metadata\":[\"{"
                                        "\"],"
                                        "\"metadata\":{\"resourceVersion\":\"7\",\"n\":1}}"},
        };
        static const char *const bad[] = {"", "{", "k8s", "{\"metadata\":1}", "{\"metadata\"",
                        "[{}]", "{\"spec\":{\"metadata\":{}}}", "{}}}}\"metadata\":{}", "{\"a"};
        _cleanup_(item_pool_freep) struct item_pool *pool = item_pool_new(2);
        struct item *it;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct item *later;

                assert_int_equal(item_new(pool, "/registry/pods/a/b", 15, cases[i].value,
                                                 strlen(cases[i].value), 7, &it),
                                0);
                assert_string_equal(item_text(it)->data, cases[i].text);
                assert_int_equal(item_text(it)->size, strlen(cases[i].text));
                assert_string_equal(item_path(it), "a/b");
                assert_int_equal(item_at_revision(it, 1234, &later), 0);
                assert_non_null(strstr(item_text(later)->data, "\"resourceVersion\":\"1234\""));
                item_unref(later);
                item_unref(it);
        }
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_free_ char *exact = strndup(bad[i], strlen(bad[i]));

                assert_int_equal(item_new(pool, "/registry/pods/a/b", 15, exact, strlen(exact), 7,
                                                 &it),
                                -EINVAL);
        }
}

/* Labels are read without parsing the rest; nothing of it is kept. */
static void test_item_labels(void **state) {
        static const struct {
                const char *value, *labels;
        } cases[] = {
                        {"{\"spec\":{\"labels\":{\"no\":\"1\"}},\"metadata\":{\"name\":\"p\","
                         "\"annotations\":{\"labels\":\"{\"},\"labels\":{\"a\":\"}\\\"\",\"b\":"
                         "\"2\"},"
                         "\"uid\":\"u\"},\"status\":{}}",
                                        "{\"a\":\"}\\\"\",\"b\":\"2\"}"},
                        {"{\"metadata\":{\"name\":\"labels\",\"ownerReferences\":[{\"labels\":{}}]}"
                         ","
                         "\"labels\":{\"no\":\"1\"}}",
                                        NULL},
                        {"{\"metadata\":{\"labels\":{}}}", "{}"},
                        {"{\"metadata\":{}}", NULL},
        };
        _cleanup_(item_pool_freep) struct item_pool *pool = item_pool_new(1 << 20);

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_item_ struct item *it = NULL;

                assert_int_equal(item_new(pool, "/registry/pods/a/b", 15, cases[i].value,
                                                 strlen(cases[i].value), 7, &it),
                                0);
                for (unsigned kept = 0; kept < 2; kept++) {
                        _cleanup_json_ json_t *labels = NULL, *tree = NULL;
                        _cleanup_free_ char *text = NULL;

                        assert_int_equal(item_labels(it, &labels), 0);
                        text = labels ? json_text(labels) : NULL;
                        assert_string_equal(strempty(text), strempty(cases[i].labels));
                        assert_int_equal(item_pool_bytes(pool) > 0, kept);
                        tree = kept ? NULL : item_object(it);
                }
        }
        assert_int_equal(item_pool_bytes(pool), 0);
}

/* What was written here comes back as the item that was made then; what differs in anything does
 * not, nor what had come back already. */
static void test_own(void **state) {
        static const char key[] = "/registry/pods/a/p";
        struct bed *b = *state;
        static const struct {
                const char *key, *value;
                uint64_t revision, back;
                bool same;
        } cases[] = {{key, plain, 10, 10, true}, {key, plain, 11, 12, false},
                        {"/registry/pods/a/q", plain, 13, 13, false},
                        {key, "{\"metadata\":{\"name\":\"x\"}}", 14, 14, false},
                        {key, plain, 15 + 64, 15 + 64, true}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct item *it, *found;

                assert_int_equal(item_new(caches_pool(b->caches), cases[i].key, 15, cases[i].value,
                                                 strlen(cases[i].value), cases[i].revision, &it),
                                0);
                caches_wrote(b->caches, it);
                feed(b, "a/p", plain, cases[i].back);
                found = cache_find(pods(b), "a/p");
                assert_int_equal(found == it, cases[i].same);
                assert_int_equal(item_revision(found), cases[i].back);
                assert_non_null(strstr(item_text(found)->data, "\"p\""));
                caches_wrote(b->caches, it); /* too late: nothing is kept for it */
                item_unref(it);
        }
}

/* What many trees take is bounded; walks keep none, and a huge one is not kept. */
static void test_item_bytes(void **state) {
        enum { BYTES_MAX = 64 << 10, ITEMS = 200 };
        _cleanup_(item_pool_freep) struct item_pool *pool = item_pool_new(BYTES_MAX);
        _cleanup_buf_ struct buf big = {0};
        struct item *items[ITEMS], *huge;

        for (size_t i = 0; i < ITEMS; i++) {
                assert_int_equal(item_new(pool, "/registry/pods/a/b", 15, plain, strlen(plain),
                                                 i + 1, &items[i]),
                                0);
                json_decref(item_object_once(items[i]));
        }
        assert_int_equal(item_pool_bytes(pool), 0);
        for (size_t i = 0; i < ITEMS; i++) {
                json_decref(item_object(items[i]));
                assert_in_range(item_pool_bytes(pool), 1, BYTES_MAX);
        }
        assert_in_range(item_pool_bytes(pool), BYTES_MAX / 2, BYTES_MAX);
        buf_append_str(&big, "{\"metadata\":{},\"data\":[0");
        for (size_t i = 0; i < BYTES_MAX; i++)
                buf_append_str(&big, ",0");
        buf_append_str(&big, "]}");
        assert_int_equal(item_new(pool, "/registry/pods/a/b", 15, big.data, big.size, 1, &huge), 0);
        json_decref(item_object(huge));
        assert_in_range(item_pool_bytes(pool), BYTES_MAX / 2, BYTES_MAX);
        item_unref(huge);
        for (size_t i = 0; i < ITEMS; i++)
                item_unref(items[i]);
        assert_int_equal(item_pool_bytes(pool), 0);
}

/* Trees are forgotten and made again; one that is in use stays valid. */
static void test_item_trees(void **state) {
        _cleanup_(item_pool_freep) struct item_pool *pool = item_pool_new(4096);
        struct item *items[4];
        json_t *first;

        for (size_t i = 0; i < 4; i++)
                assert_int_equal(item_new(pool, "/registry/pods/a/b", 15, plain, strlen(plain),
                                                 i + 1, &items[i]),
                                0);
        first = item_object(items[0]);
        for (size_t i = 1; i < 4; i++)
                json_decref(item_object(items[i]));
        assert_string_equal(object_name(first), "p");
        json_decref(first);
        first = item_object(items[0]);
        assert_int_equal(object_resource_version(first), 1);
        json_decref(first);
        for (size_t i = 0; i < 4; i++)
                item_unref(items[i]);
}

/* --- order and keys --- */

static void test_order(void **state) {
        struct bed *b = *state;
        static const char *const paths[] = {"b/x", "a/z", "a/b", "a-b/c", "c/a"};
        static const char *const sorted[] = {"a-b/c", "a/b", "a/z", "b/x", "c/a"};
        struct item *it;
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(paths); i++)
                feed(b, paths[i], plain, i + 1);
        for (it = cache_first(pods(b), ""); it; it = cache_next(pods(b), it))
                assert_string_equal(item_path(it), sorted[n++]);
        assert_int_equal(n, 5);
        assert_string_equal(item_path(cache_first(pods(b), "a/")), "a/b");
        assert_null(cache_find(pods(b), "a/"));
        assert_int_equal(item_revision(cache_find(pods(b), "a/z")), 2);
        assert_int_equal(caches_revision(b->caches), 5);
        feed(b, "a/z", NULL, 6);
        assert_null(cache_find(pods(b), "a/z"));
        assert_int_equal(cache_count(pods(b)), 4);
        assert_int_equal(b->changes, 6);
}

static void test_keys(void **state) {
        struct bed *b = *state;
        struct cache *widgets;

        assert_int_equal(caches_feed(b->caches, "/registry/example.com/widgets/a/w", plain,
                                         strlen(plain), 3),
                        0);
        assert_int_equal(caches_feed(b->caches, "/registry/ranges/serviceips/10.96.0.1", "a/b", 3,
                                         4),
                        0);
        assert_int_equal(caches_feed(b->caches, "/elsewhere/x", "?", 1, 5), 0);
        assert_int_equal(caches_feed(b->caches, "/registry/pods/", "?", 1, 5), 0);
        assert_int_equal(caches_feed(b->caches, "/registry/pods/a/protobuf", "k8s?", 4, 5), 0);
        widgets = caches_get(b->caches, "/registry/example.com/widgets/");
        assert_int_equal(cache_count(widgets), 1);
        assert_non_null(cache_find(widgets, "a/w"));
        assert_int_equal(cache_count(pods(b)), 0);
        assert_int_equal(b->ranges, 1);
}

static void test_item_string(void **state) {
        static const struct {
                const char *value, *node; /* NULL: none */
        } cases[] = {
                        {"{\"metadata\":{},\"spec\":{\"nodeName\":\"n1\"}}", "n1"},
                        {"{\"metadata\":{\"labels\":{\"nodeName\":\"no\"}},\"spec\":{\"a\":{"
                         "\"nodeName\":\"no\"},\"nodeName\":\"n2\",\"z\":1}}",
                                        "n2"},
                        {"{\"metadata\":{\"annotations\":{\"a\":\"\\\"spec\\\":{\\\"nodeName\\\":"
                         "\\\"no\\\"}\"}},\"spec\":{}}",
                                        NULL},
                        {"{\"metadata\":{},\"nodeName\":\"no\",\"status\":{\"nodeName\":\"no\"}}",
                                        NULL},
                        {"{\"metadata\":{},\"spec\":{\"nodeName\":\"\"}}", NULL},
                        {"{\"metadata\":{},\"spec\":{\"nodeName\":7}}", NULL},
                        {"{\"metadata\":{},\"spec\":\"nodeName\"}", NULL},
                        {"{\"metadata\":{},\"spec\":{\"nodeName\":\"a\\\"b\"}}", NULL},
                        {"{\"metadata\":{},\"spec\":{\"nodeName\":\"longer-than-fits\"}}", NULL},
        };
        _cleanup_(item_pool_freep) struct item_pool *pool = item_pool_new(64 << 10);

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_item_ struct item *it = NULL;
                char node[16] = "before";

                assert_int_equal(item_new(pool, "/registry/pods/a/b", 15, cases[i].value,
                                                 strlen(cases[i].value), 7, &it),
                                0);
                assert_int_equal(item_string(it, "spec", "nodeName", node, sizeof(node)),
                                cases[i].node != NULL);
                assert_string_equal(node, cases[i].node ? cases[i].node : "before");
        }
}

/* --- the window --- */

static void test_window(void **state) {
        struct bed *b = *state;
        const uint64_t n = CACHE_WINDOW_CHANGES_MAX + 100;
        uint64_t number;

        for (uint64_t i = 1; i <= n; i++)
                feed(b, "a/p", plain, i * 10);
        /* from the newest back: nothing, one, all that are kept */
        assert_int_equal(cache_window_after(pods(b), n * 10, &number), 0);
        assert_int_equal(number, cache_window_end(pods(b)));
        assert_int_equal(cache_window_after(pods(b), n * 10 + 500, &number), 0);
        assert_int_equal(number, cache_window_end(pods(b)));
        assert_int_equal(cache_window_after(pods(b), n * 10 - 1, &number), 0);
        assert_int_equal(number, cache_window_end(pods(b)) - 1);
        assert_int_equal(cache_window_after(pods(b), 1000, &number), 0);
        assert_int_equal(cache_change(pods(b), number)->revision, 1010);
        assert_int_equal(cache_window_after(pods(b), 999, &number), -ESTALE);
        assert_null(cache_change(pods(b), cache_window_end(pods(b))));
        assert_null(cache_change(pods(b), 0));
}

static void test_window_bytes(void **state) {
        struct bed *b = *state;
        const size_t n = 4 * 1024 * 1024;
        _cleanup_free_ char *big = malloc(n);
        uint64_t number;

        memset(big, ' ', n);
        memcpy(big, "{\"metadata\":{", 13);
        big[n - 2] = '}';
        big[n - 1] = '}';
        for (uint64_t i = 1; i <= 40; i++) {
                assert_int_equal(caches_feed(b->caches, "/registry/pods/a/p", big, n, i), 0);
                caches_feed_done(b->caches, i);
        }
        assert_int_equal(cache_window_after(pods(b), 10, &number), -ESTALE);
        assert_int_equal(cache_window_after(pods(b), 39, &number), 0);
        assert_true(cache_window_end(pods(b)) - cache_window_first(pods(b)) <= 17);
        assert_in_range(caches_window_bytes(b->caches), n, CACHE_WINDOW_BYTES_MAX);
        /* All resources together are bounded too. */
        for (uint64_t i = 41; i <= 80; i++) {
                _cleanup_free_ char *key = strformat("/registry/kind%u/a/p", (unsigned)(i % 5));

                assert_int_equal(caches_feed(b->caches, key, big, n, i), 0);
                caches_feed_done(b->caches, i);
                assert_in_range(caches_window_bytes(b->caches), 0, CACHE_WINDOWS_BYTES_MAX);
        }
        assert_in_range(caches_window_bytes(b->caches), CACHE_WINDOW_BYTES_MAX,
                        CACHE_WINDOWS_BYTES_MAX);
}

/* --- what a watcher sees --- */

static enum watch_event event_of(struct bed *b, const struct kind *k, const struct selection *s,
                uint64_t *ret_revision) {
        const struct change *c = cache_change(pods(b), cache_window_end(pods(b)) - 1);
        _cleanup_problem_ struct problem p = {0};
        struct item *it = NULL, *made = NULL;
        enum watch_event e;

        assert_int_equal(watch_transition(k, s, c, &e, &it, &made, &p), 0);
        *ret_revision = 0;
        if (it) {
                _cleanup_json_ json_t *o = item_object(it);

                *ret_revision = object_resource_version(o);
        }
        item_unref(made);
        return e;
}

static void test_transitions(void **state) {
        struct bed *b = *state;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_(kind_registry_freep) struct kind_registry *registry = NULL;
        struct selection s = {.namespace = "a"};
        const struct kind *k;
        uint64_t rv;

        assert_int_equal(kind_registry_new(&registry, &p), 0);
        k = kind_registry_find(registry, "", "v1", "pods");
        assert_int_equal(label_selector_parse("app=a", &s.labels, &p), 0);
        assert_int_equal(field_selector_parse("", &s.fields, &p), 0);

        feed(b, "a/p", plain, 1);
        assert_int_equal(event_of(b, k, &s, &rv), WATCH_NONE);
        feed(b, "a/p", labelled, 2);
        assert_int_equal(event_of(b, k, &s, &rv), WATCH_ADDED);
        assert_int_equal(rv, 2);
        feed(b, "a/p", labelled, 3);
        assert_int_equal(event_of(b, k, &s, &rv), WATCH_MODIFIED);
        assert_int_equal(rv, 3);
        feed(b, "a/p", plain,
                        4); /* ceases to match: its last matching state, the change's revision */
        assert_int_equal(event_of(b, k, &s, &rv), WATCH_DELETED);
        assert_int_equal(rv, 4);
        feed(b, "a/p", labelled, 5);
        feed(b, "a/p", NULL, 6);
        assert_int_equal(event_of(b, k, &s, &rv), WATCH_DELETED);
        assert_int_equal(rv, 6);
        feed(b, "ab/p", labelled, 7); /* another namespace */
        assert_int_equal(event_of(b, k, &s, &rv), WATCH_NONE);
        s.name = strdup("q");
        feed(b, "a/p", labelled, 8);
        assert_int_equal(event_of(b, k, &s, &rv), WATCH_NONE);
        feed(b, "a/q", labelled, 9);
        assert_int_equal(event_of(b, k, &s, &rv), WATCH_ADDED);
        selection_done(&s);
}

/* The paths that a walk gives, joined by blanks. */
static char *walked(struct bed *b, const char *prefix, const char *after, const char *selector) {
        _cleanup_(label_selector_freep) struct label_selector *s = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf paths = {0};
        struct cache_walk walk;
        struct item *it;

        assert_int_equal(label_selector_parse(selector, &s, &p), 0);
        cache_walk_begin(&walk, pods(b), prefix, after, label_selector_bits(s));
        while ((it = cache_walk_next(&walk)))
                buf_printf(&paths, "%s%s", paths.size > 0 ? " " : "", item_path(it));
        return buf_take(&paths);
}

static void test_walk(void **state) {
        static const struct {
                const char *prefix, *after, *selector, *paths;
        } cases[] = {
                        {"", NULL, "", "a-b/p a/p a/q ab/p b/p"},
                        {"a/", NULL, "", "a/p a/q"},
                        {"b/", NULL, "", "b/p"},
                        {"c/", NULL, "", ""},
                        {"", "a/q", "", "ab/p b/p"},
                        {"a/", "a/p", "", "a/q"},
                        {"a/", "a/pp", "", "a/q"},
                        {"a/", "a/q", "", ""},
                        {"", NULL, "app=a", "a/q b/p"},
                        {"", NULL, "app", "a/q b/p"},
                        {"", NULL, "app=b", ""},
                        {"", NULL, "app!=a", "a-b/p a/p a/q ab/p b/p"}, /* to be looked at */
                        {"a/", NULL, "app=a", "a/q"},
        };
        struct bed *b = *state;

        feed(b, "b/p", labelled, 1);
        feed(b, "a/q", plain, 2);
        feed(b, "a/p", labelled, 3);
        feed(b, "ab/p", plain, 4);
        feed(b, "a-b/p", plain, 5);
        feed(b, "a/q", labelled, 6);
        feed(b, "a/p", plain, 7);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *paths =
                                walked(b, cases[i].prefix, cases[i].after, cases[i].selector);

                assert_string_equal(paths, cases[i].paths);
        }
        assert_true(cache_is_at(pods(b), 7));
        assert_false(cache_is_at(pods(b), 6));
        assert_false(cache_is_at(pods(b), 8)); /* not there yet */
        caches_feed_done(b->caches, 9);        /* others have changed */
        assert_true(cache_is_at(pods(b), 7));
        assert_true(cache_is_at(pods(b), 8));
}

/* --- followers and waiting --- */

struct counter {
        struct cache_follower follower;
        struct cache_follower *other;
        unsigned calls;
};

static void on_follow(struct cache_follower *f, bool lost) {
        struct counter *c = container_of(f, struct counter, follower);

        c->calls++;
        if (c->other) {
                cache_unfollow(c->other);
                cache_unfollow(f);
        }
}

static void test_followers(void **state) {
        struct bed *b = *state;
        struct counter one = {.follower.func = on_follow}, two = one, three = one;

        cache_follow(pods(b), &one.follower, NULL);
        cache_follow(pods(b), &two.follower, NULL);
        cache_follow(pods(b), &three.follower, NULL);
        assert_int_equal(caches_feed(b->caches, "/registry/pods/a/p", plain, strlen(plain), 1), 0);
        assert_int_equal(caches_feed(b->caches, "/registry/pods/a/q", plain, strlen(plain), 2), 0);
        caches_feed_done(b->caches, 2);
        assert_int_equal(one.calls, 1); /* once for both */
        /* the first that is called takes the next one and itself out */
        three.other = &two.follower;
        feed(b, "a/p", plain, 3);
        assert_int_equal(three.calls, 2);
        assert_int_equal(two.calls, 1);
        assert_int_equal(one.calls, 2);
        feed(b, "a/p", plain, 4);
        assert_int_equal(three.calls, 2);
        assert_int_equal(one.calls, 3);
        cache_unfollow(&one.follower);
        cache_unfollow(&two.follower);
}

struct choosy {
        struct cache_follower follower;
        unsigned calls;
        uint64_t first;
        bool lost;
};

static void on_choosy(struct cache_follower *f, bool lost) {
        struct choosy *c = container_of(f, struct choosy, follower);

        c->calls++;
        c->first = f->first;
        c->lost = lost;
}

static const char *on_node(const char *node, char text[static 128]) {
        (void)snprintf(text, 128, "{\"apiVersion\":\"v1\",\"metadata\":{},\"spec\":{\"nodeName\":\"%s\"}}",
                        node);
        return text;
}

/* Each is called for what it wants, with the first change of it, and for nothing else. */
static void test_interests(void **state) {
        struct bed *b = *state;
        struct choosy name = {.follower.func = on_choosy}, space = name, node = name, all = name;
        const struct cache_term on_n1 = {.key = {.by = CACHE_BY_FIELD,
                                                         .name = "spec.nodeName",
                                                         .api_version = "v1"},
                        .value = "n1"};
        char text[128];

        cache_follow(pods(b), &name.follower,
                        &(struct cache_interest){.path = "a/p", .namespace = "a"});
        cache_follow(pods(b), &space.follower, &(struct cache_interest){.namespace = "a"});
        cache_follow(pods(b), &node.follower,
                        &(struct cache_interest){.terms = &on_n1, .term_count = 1});
        cache_follow(pods(b), &all.follower, &(struct cache_interest){0});
        feed(b, "b/p", plain, 1);
        feed(b, "ab/p", plain, 2);
        assert_int_equal(name.calls + space.calls + node.calls, 0);
        assert_int_equal(all.calls, 2);
        feed(b, "a/q", plain, 3);
        assert_int_equal(name.calls, 0);
        assert_int_equal(space.calls, 1);
        assert_int_equal(space.first, cache_window_end(pods(b)) - 1);
        feed(b, "a/p", on_node("n1", text), 4); /* comes to the node, */
        feed(b, "a/p", on_node("n2", text), 5); /* leaves it */
        feed(b, "a/p", on_node("n2", text), 6);
        assert_int_equal(node.calls, 2);
        assert_int_equal(name.calls, 3);
        feed(b, "b/r", on_node("n1", text), 7);
        feed(b, "b/r", NULL, 8);
        assert_int_equal(node.calls, 4);
        assert_int_equal(cache_follower_next(&name.follower), cache_window_end(pods(b)));
        assert_int_equal(caches_feed(b->caches, "/registry/pods/b/s", plain, strlen(plain), 9), 0);
        assert_int_equal(caches_feed(b->caches, "/registry/pods/a/p", plain, strlen(plain), 10), 0);
        assert_int_equal(caches_feed(b->caches, "/registry/pods/a/p", plain, strlen(plain), 11), 0);
        assert_int_equal(cache_follower_next(&name.follower), cache_window_end(pods(b)) - 2);
        cache_unfollow(&space.follower); /* while it is to be called */
        caches_feed_done(b->caches, 11);
        assert_int_equal(name.calls, 4);
        assert_int_equal(name.first, cache_window_end(pods(b)) - 2);
        assert_int_equal(space.calls, 4);
        cache_unfollow(&name.follower);
        cache_unfollow(&node.follower);
        cache_unfollow(&all.follower);
}

static void on_waited(int error, void *userdata) {
        *(int *)userdata = error;
}

static void test_wait(void **state) {
        struct bed *b = *state;
        int early = 1, late = 1, never = 1, index = 1;

        assert_int_equal(caches_wait(b->caches, 2, 1000000, on_waited, &early), 0);
        assert_int_equal(caches_wait(b->caches, 3, 1000000, on_waited, &late), 0);
        assert_int_equal(caches_wait(b->caches, 99, 1000, on_waited, &never), 0);
        feed(b, "a/p", plain, 2);
        assert_int_equal(early, 0);
        assert_int_equal(late, 1);
        feed(b, "a/p", plain, 3);
        assert_int_equal(late, 0);
        while (never == 1)
                assert_true(sd_event_run(b->event, 1000000) >= 0);
        assert_int_equal(never, -ETIMEDOUT);
        /* no store: a fresh read is refused, not left waiting */
        assert_int_equal(caches_freshen(b->caches, on_waited, &index), 0);
        while (index == 1)
                assert_true(sd_event_run(b->event, 1000000) >= 0);
        assert_int_equal(index, -EHOSTUNREACH);
}

static void test_store_format(void **state) {
        unsigned format = 0;

        assert_int_equal(store_format_judge(NULL, &format), STORE_FORMAT_OLDER);
        assert_int_equal(store_format_judge("1", &format), STORE_FORMAT_CURRENT);
        assert_int_equal(store_format_judge("2", &format), STORE_FORMAT_NEWER);
        assert_int_equal(format, 2);
        assert_int_equal(store_format_judge("0", &format), STORE_FORMAT_UNKNOWN);
        assert_int_equal(store_format_judge("one", &format), STORE_FORMAT_UNKNOWN);
}

/* --- values that no key opens --- */

static void test_unreadable(void **state) {
        struct bed *b = *state;
        const char *why = NULL;

        feed(b, "default/a", plain, 1);
        assert_int_equal(caches_unreadable_count(b->caches), 0);
        assert_int_equal(
                        caches_feed_unreadable(b->caches, "/registry/pods/default/a", "no key"), 0);
        assert_int_equal(caches_feed_unreadable(b->caches, "/registry/pods/default/c", "c"), 0);
        assert_int_equal(caches_feed_unreadable(b->caches, "/registry/pods/other/b", "b"), 0);
        assert_int_equal(b->changes, 1); /* watchers see nothing */
        assert_non_null(cache_find(pods(b), "default/a"));
        assert_string_equal(caches_unreadable(b->caches, "/registry/pods/default/a"), "no key");
        assert_null(caches_unreadable(b->caches, "/registry/pods/default/b"));
        assert_string_equal(caches_unreadable_after(b->caches, "/registry/pods/default/", "", &why),
                        "/registry/pods/default/a");
        assert_string_equal(why, "no key");
        assert_string_equal(caches_unreadable_after(b->caches, "/registry/pods/default/",
                                            "/registry/pods/default/a", &why),
                        "/registry/pods/default/c");
        assert_null(caches_unreadable_after(
                        b->caches, "/registry/pods/default/", "/registry/pods/default/c", &why));
        /* Written again, and deleted. */
        feed(b, "default/a", plain, 2);
        feed(b, "default/c", NULL, 3);
        assert_int_equal(caches_unreadable_count(b->caches), 1);
        assert_null(caches_unreadable(b->caches, "/registry/pods/default/a"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_store_format),
                        cmocka_unit_test(test_item_text),
                        cmocka_unit_test(test_item_labels),
                        cmocka_unit_test_setup_teardown(test_walk, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_own, setup, teardown),
                        cmocka_unit_test(test_item_bytes),
                        cmocka_unit_test(test_item_trees),
                        cmocka_unit_test(test_item_string),
                        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_window, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_window_bytes, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_transitions, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_followers, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_interests, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
        };

        return cmocka_run_group_tests_name("kapid cache", tests, NULL, NULL);
}
