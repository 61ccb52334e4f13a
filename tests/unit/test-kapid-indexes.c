/* The indexes of the cache: what is found by them, and who is called for a change, is what a look
 * at every item and every watcher gives, whatever is written, asked for and filled meanwhile. */
#include "tests/unit/unit.h"

#include "kapid/cache/internal.h"
#include "kapid/verbs/selection.h"
#include "kapid/verbs/watch.h"
#include "lib/buf.h"
#include "tests/unit/random.h"

static const struct cache_key by_node = {
                .by = CACHE_BY_FIELD, .name = "spec.nodeName", .api_version = "v1"};

struct bed {
        sd_event *event;
        struct caches *caches;
        struct cache *pods;
        struct kind_registry *registry;
        const struct kind *kind;
        uint64_t revision;
};

static int setup(void **state) {
        struct bed *b = calloc(1, sizeof(*b));
        _cleanup_problem_ struct problem p = {0};

        assert_non_null(b);
        assert_true(sd_event_new(&b->event) >= 0);
        assert_int_equal(caches_new(&b->caches, b->event, &(struct caches_options){0}), 0);
        assert_int_equal(kind_registry_new(&b->registry, &p), 0);
        b->kind = kind_registry_find(b->registry, "", "v1", "pods");
        assert_non_null(b->kind);
        b->pods = caches_get(b->caches, b->kind->storage_prefix);
        assert_non_null(b->pods);
        *state = b;
        return 0;
}

static int teardown(void **state) {
        struct bed *b = *state;

        caches_free(b->caches);
        kind_registry_free(b->registry);
        sd_event_unref(b->event);
        free(b);
        return 0;
}

/* The text with the path's namespace and name in its metadata. */
static char *named(const char *path, const char *text) {
        static const char metadata[] = "\"metadata\":{";
        const char *at = strstr(text, metadata), *slash = strchr(path, '/');

        assert_non_null(at);
        at += strlen(metadata);
        return strformat("%.*s\"namespace\":\"%.*s\",\"name\":\"%s\"%s%s", (int)(at - text), text,
                        (int)(slash - path), path, slash + 1, *at == '}' ? "" : ",", at);
}

/* text NULL: it is deleted. */
static void feed(struct bed *b, const char *path, const char *text) {
        _cleanup_free_ char *key = strformat("%s%s", b->kind->storage_prefix, path),
                            *whole = text ? named(path, text) : NULL;

        b->revision++;
        assert_int_equal(caches_feed(b->caches, key, whole, whole ? strlen(whole) : 0,
                                         b->revision),
                        0);
        caches_feed_done(b->caches, b->revision);
}

static void feed_labels(struct bed *b, const char *path, const char *labels) {
        _cleanup_free_ char *text = strformat(
                        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"labels\":{%s}}}",
                        labels);

        feed(b, path, text);
}

static void select_by(struct selection *s, const char *namespace, const char *labels,
                const char *fields, const struct bed *b) {
        _cleanup_problem_ struct problem p = {0};
        const char *name;

        *s = (struct selection){.namespace = namespace};
        assert_int_equal(label_selector_parse(labels, &s->labels, &p), 0);
        assert_int_equal(field_selector_parse(fields, &s->fields, &p), 0);
        assert_int_equal(kind_check_field_selector(b->kind, s->fields, &p), 0);
        assert_int_equal(kind_field_selector_part(s->fields, &s->part), 0);
        s->label_bits = label_selector_bits(s->labels);
        name = field_selector_exact(s->fields, "metadata.name");
        if (name)
                s->name = strdup(name);
}

static void add_match(
                struct bed *b, const struct selection *s, struct item *it, struct buf *paths) {
        _cleanup_problem_ struct problem p = {0};
        int r = selection_matches(b->kind, s, it, &p);

        assert_true(r >= 0);
        if (r > 0)
                buf_printf(paths, "%s ", item_path(it));
}

/* As selection_matches(), by the whole object. */
static bool object_matches(struct bed *b, const struct selection *s, struct item *it) {
        _cleanup_json_ json_t *object = item_object(it);
        const char *path = item_path(it), *slash = strchr(path, '/');
        const size_t n = strlen(s->namespace);

        assert_non_null(object);
        assert_non_null(slash);
        if (n > 0 && (n != (size_t)(slash - path) || memcmp(path, s->namespace, n) != 0))
                return false;
        return label_selector_matches(s->labels, json_at(object, "metadata.labels")) &&
               kind_field_selector_matches(b->kind, s->fields, object);
}

/* By a look at every item. */
static char *looked_up(struct bed *b, const struct selection *s) {
        _cleanup_buf_ struct buf paths = {0};

        for (struct item *it = cache_first(b->pods, ""); it; it = cache_next(b->pods, it))
                if (object_matches(b, s, it))
                        buf_printf(&paths, "%s ", item_path(it));
        return strdup(strempty(paths.data));
}

/* By walks of so many matches each, as the pages of a list; 0: one. */
static char *walked(struct bed *b, const struct selection *s, const char *prefix, size_t page,
                size_t *ret_visited) {
        _cleanup_buf_ struct buf paths = {0};
        _cleanup_free_ char *after = NULL;
        bool more = true;

        *ret_visited = 0;
        while (more) {
                struct cache_walk walk;
                struct item *it;
                size_t n = 0;

                more = false;
                assert_int_equal(selection_walk(b->kind, s, b->pods, prefix, after, &walk), 0);
                while (!more && (it = cache_walk_next(&walk))) {
                        size_t size = paths.size;

                        ++*ret_visited;
                        add_match(b, s, it, &paths);
                        if (paths.size == size || ++n != page)
                                continue;
                        free(after);
                        after = strdup(item_path(it));
                        more = true;
                }
        }
        return strdup(strempty(paths.data));
}

static void same_answers(
                struct bed *b, const struct selection *s, size_t page, size_t *ret_visited) {
        _cleanup_free_ char *prefix = selection_prefix(b->kind, s), *want, *have = NULL;

        assert_non_null(prefix);
        want = looked_up(b, s);
        have = walked(b, s, prefix, page, ret_visited);
        assert_string_equal(have, want);
}

/* --- what items have --- */

static void test_keys(void **state) {
        static const struct cache_key app = {.by = CACHE_BY_LABEL, .name = "app"},
                                      name = {.by = CACHE_BY_FIELD, .name = "metadata.name"},
                                      ready = {.by = CACHE_BY_FIELD,
                                                      .name = "status.ready",
                                                      .api_version = "v1"},
                                      filled = {.by = CACHE_BY_FIELD,
                                                      .name = "spec.nodeName",
                                                      .api_version = "v1",
                                                      .filled = true};
        static const struct {
                const struct cache_key *key;
                const char *members;
                enum cache_held held;
                const char *text;
        } cases[] = {
                        {&app, "'metadata':{'labels':{'a':'app','app':'x'}}", HELD_TEXT, "x"},
                        {&app, "'metadata':{'labels':{'app':''}}", HELD_TEXT, ""},
                        {&app, "'metadata':{'labels':{'appl':'x'}}", HELD_NOTHING, ""},
                        {&app, "'metadata':{}", HELD_NOTHING, ""},
                        {&app, "'metadata':{'labels':{'b':'\\\\u0061','app':'x'}}", HELD_UNSURE, ""},
                        {&app, "'metadata':{'labels':{'app':7}}", HELD_UNSURE, ""},
                        {&name, "'metadata':{'name':'other'}", HELD_TEXT, "p"},
                        {&by_node, "'metadata':{},'spec':{'nodeName':'n1'}", HELD_TEXT, "n1"},
                        {&by_node, "'metadata':{},'spec':{'a':{'nodeName':'n1'}}", HELD_TEXT, ""},
                        {&by_node, "'metadata':{},'spec':{'nodeName':null}", HELD_TEXT, ""},
                        {&by_node, "'metadata':{},'spec':[{'nodeName':'n1'}]", HELD_TEXT, ""},
                        {&by_node, "'metadata':{},'spec':{'nodeName':'n\\\\u0031'}", HELD_UNSURE, ""},
                        {&by_node, "'metadata':{},'spec':{'nodeName':['n1']}", HELD_UNSURE, ""},
                        {&ready, "'metadata':{},'status':{'ready':true}", HELD_TEXT, "true"},
                        {&ready, "'metadata':{},'status':{'ready':10 }", HELD_TEXT, "10"},
                        {&ready, "'metadata':{},'status':{'ready':-1}", HELD_UNSURE, ""},
                        {&ready, "'metadata':{},'status':{'ready':1e1}", HELD_UNSURE, ""},
                        {&ready, "'metadata':{},'status':{'ready':00}", HELD_UNSURE, ""},
                        {&filled, "'metadata':{},'spec':{'nodeName':'n1'}", HELD_TEXT, "n1"},
                        {&filled, "'metadata':{},'spec':{}", HELD_UNSURE, ""},
        };
        _cleanup_(item_pool_freep) struct item_pool *pool = item_pool_new(64 << 10);

        for (size_t i = 0; i < 2 * ELEMENTS(cases); i++) {
                const size_t k = i / 2;
                const bool other_version = i % 2;
                _cleanup_free_ char *value = strformat("{'apiVersion':'%s',%s}",
                                    other_version ? "v1beta1" : "v1", cases[k].members);
                _cleanup_item_ struct item *it = NULL;
                const char *text = "";
                size_t n = 0;
                enum cache_held held;

                for (char *c = value; *c; c++)
                        *c = *c == '\'' ? '"' : *c;
                assert_int_equal(item_new(pool, "/registry/pods/a/p", 15, value, strlen(value), 7,
                                                 &it),
                                0);
                held = cache_held(cases[k].key, it, &text, &n);
                if (other_version && cases[k].key->api_version) {
                        assert_int_equal(held, HELD_UNSURE);
                        continue;
                }
                assert_int_equal(held, cases[k].held);
                if (held == HELD_TEXT) {
                        assert_int_equal(n, strlen(cases[k].text));
                        assert_memory_equal(text, cases[k].text, n);
                }
        }
}

/* --- random writes and selections --- */

static const char *const keys[] = {"app", "tier", "x.y/z", "rare"};
static const char *const odd_labels[] = {"\"app\":\"\\u00761\"", "\"app\":7", "\"tier\":null,\"app\":\"a\"",
                "\"app\":\"\",\"tier\":\"b\""};
static const char *const nodes[] = {"\"n0\"", "\"n1\"", "\"n2\"", "\"n3\"", "\"\"", "null", "\"n\\u0030\""};

static char *random_pod(struct dice *d) {
        _cleanup_buf_ struct buf b = {0};
        const char *comma = "";

        buf_append_str(&b, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"labels\":{");
        if (roll(d, 25) == 0) {
                buf_append_str(&b, odd_labels[roll(d, ELEMENTS(odd_labels))]);
        } else {
                for (size_t i = 0; i < ELEMENTS(keys); i++) {
                        if (roll(d, i == 3 ? 20 : 3) == 0)
                                continue;
                        buf_printf(&b, "%s\"%s\":\"v%u\"", comma, keys[i], (unsigned)roll(d, 12));
                        comma = ",";
                }
        }
        buf_append_str(&b, "}},\"spec\":{");
        if (roll(d, 4) > 0)
                buf_printf(&b, "\"nodeName\":%s", nodes[roll(d, ELEMENTS(nodes))]);
        buf_append_str(&b, "},\"status\":{");
        if (roll(d, 3) > 0)
                buf_printf(&b, "\"phase\":\"%s\"", roll(d, 2) ? "Running" : "Failed");
        buf_append_str(&b, "}}");
        return buf_take(&b);
}

static void random_write(struct bed *b, struct dice *d) {
        _cleanup_free_ char *path = strformat("%c/p%u", "abc"[roll(d, 3)], (unsigned)roll(d, 80)),
                            *text = roll(d, 4) == 0 ? NULL : random_pod(d);

        feed(b, path, text);
}

static char *random_labels(struct dice *d) {
        static const char *const forms[] = {"%s=v%u", "%s=v%u", "%s in (v%u,v3,v4)", "%s", "!%s",
                        "%s!=v%u", "%s notin (v%u)", "%s>%u", "%s=", "%s in (v%u)"};
        _cleanup_buf_ struct buf b = {0};

        for (uint64_t n = roll(d, 4); n > 0; n--) {
                unsigned value = (unsigned)roll(d, 13);
                char term[64];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                snprintf(term, sizeof(term), forms[roll(d, ELEMENTS(forms))],
                                keys[roll(d, ELEMENTS(keys))], value);
#pragma GCC diagnostic pop
                buf_printf(&b, "%s%s", b.size > 0 ? "," : "", term);
        }
        return b.size > 0 ? buf_take(&b) : strdup("");
}

static char *random_fields(struct dice *d) {
        static const char *const terms[] = {"spec.nodeName=n0", "spec.nodeName=n1", "spec.nodeName=",
                        "spec.nodeName!=n0", "status.phase=Running", "status.phase=Failed,spec.nodeName=n2",
                        "metadata.name=p7", "metadata.name!=p7", "metadata.namespace=a",
                        "spec.nodeName=nowhere", "spec.hostNetwork=false", "status.podIP="};

        return strdup(roll(d, 3) ? "" : terms[roll(d, ELEMENTS(terms))]);
}

static void random_selection(struct bed *b, struct dice *d, struct selection *ret) {
        static const char *const namespaces[] = {"", "a", "b", "nowhere"};
        _cleanup_free_ char *labels = random_labels(d), *fields = random_fields(d);

        select_by(ret, namespaces[MIN(roll(d, 6), ELEMENTS(namespaces) - 1)], labels, fields, b);
}

static void test_random(void **state) {
        struct bed *b = *state;
        struct rounds rounds = {0};
        size_t visited, all = 0, indexed = 0;

        assert_int_equal(cache_keep_index(b->pods, &by_node), 0);
        while (next_round(&rounds, 30)) {
                struct dice d = {.state = rounds.seed};

                for (unsigned step = 0; step < 100; step++) {
                        struct selection s;

                        for (uint64_t n = roll(&d, 12); n > 0; n--)
                                random_write(b, &d);
                        random_selection(b, &d, &s);
                        for (unsigned again = 0; again < 3; again++) {
                                same_answers(b, &s, roll(&d, 3) ? 0 : roll(&d, 9) + 1, &visited);
                                if (again == 2) {
                                        all += cache_count(b->pods);
                                        indexed += visited;
                                }
                        }
                        selection_done(&s);
                }
                assert_true(caches_postings(b->caches) <=
                                cache_count(b->pods) * CACHE_INDEXES_MAX);
                if (rounds.seed % 8 == 0) {
                        cache_reset(b->pods, b->revision);
                        assert_int_equal(caches_postings(b->caches), 0);
                }
        }
        assert_true(cache_is_indexed(b->pods, &by_node));
        assert_true(indexed < all / 3);
}

/* --- making one --- */

static void feed_many(struct bed *b, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                _cleanup_free_ char *path = strformat("a/p%05u", i),
                                    *labels = strformat("\"app\":\"v%u\",\"unique\":\"u%u\"", i % 100, i);

                feed_labels(b, path, labels);
        }
}

/* It comes into being some at a time, while others write: also to where it has come to. */
static void test_filling(void **state) {
        enum { MANY = 30000, ASKS_MAX = 60 };
        static const struct cache_key unique = {.by = CACHE_BY_LABEL, .name = "unique"};
        struct bed *b = *state;
        struct dice d = {.state = 1};
        size_t visited = 0, before = 0;
        struct selection s;
        unsigned asks;

        feed_many(b, MANY);
        select_by(&s, "", "unique in (u7,u77,u29999,new)", "", b);
        for (asks = 0; asks < ASKS_MAX && !cache_is_indexed(b->pods, &unique); asks++) {
                size_t now;

                same_answers(b, &s, 0, &visited);
                now = caches_postings(b->caches);
                assert_true(asks > 0 || now == 0); /* what is asked for once makes none */
                assert_true(now - before <= 8000);
                /* The one that would come next goes. */
                for (unsigned n = 0; asks == 1 && n < 3; n++) {
                        _cleanup_free_ char *path = strformat("a/p%05u", (unsigned)now + n);

                        feed(b, path, NULL);
                }
                for (unsigned n = 0; asks > 0 && n < 200; n++) {
                        _cleanup_free_ char *path = strformat("a/p%05u",
                                            (unsigned)(n < 100 ? roll(&d, MANY) : now + n - 100));

                        if (roll(&d, 2))
                                feed(b, path, NULL);
                        else
                                feed_labels(b, path, roll(&d, 3) ? "\"unique\":\"new\"" : "\"app\":\"v1\"");
                }
                before = caches_postings(b->caches);
        }
        assert_in_range(asks, 4, ASKS_MAX - 1);
        same_answers(b, &s, 0, &visited);
        assert_in_range(visited, 1, cache_count(b->pods) / 4);
        selection_done(&s);
        /* Each value is one item's. */
        select_by(&s, "a", "unique=u10", "", b);
        feed_labels(b, "a/p00010", "\"unique\":\"u10\"");
        same_answers(b, &s, 0, &visited);
        assert_int_equal(visited, 1);
        selection_done(&s);
}

static void ask(struct bed *b, const char *labels, size_t *ret_visited) {
        struct selection s;

        select_by(&s, "", labels, "", b);
        same_answers(b, &s, 0, ret_visited);
        selection_done(&s);
}

/* Of several terms the one with the fewest items is walked along; one that has many lets another
 * one be made. */
static void test_choice(void **state) {
        struct bed *b = *state;
        size_t visited;

        for (unsigned i = 0; i < 3000; i++) {
                _cleanup_free_ char *path = strformat("a/p%05u", i),
                                    *labels = strformat("\"all\":\"yes\",\"some\":\"v%u\"", i % 300);

                feed_labels(b, path, labels);
        }
        for (unsigned i = 0; i < 3; i++)
                ask(b, "all=yes", &visited);
        assert_int_equal(visited, 3000);
        for (unsigned i = 0; i < 3; i++)
                ask(b, "all=yes,some=v1", &visited);
        assert_int_equal(visited, 10);
        ask(b, "some in (v1,v2),all", &visited);
        assert_int_equal(visited, 20);
        ask(b, "some in (v1,v1),!none", &visited);
        assert_int_equal(visited, 10);
}

/* Many keys do not take the place of one that is used, nor memory. */
static void test_many_keys(void **state) {
        static const struct cache_key app = {.by = CACHE_BY_LABEL, .name = "app"};
        struct bed *b = *state;
        size_t visited;

        feed_many(b, 500);
        for (unsigned i = 0; i < 3; i++)
                ask(b, "app=v1", &visited);
        assert_int_equal(visited, 5);
        for (unsigned i = 0; i < 400; i++) {
                _cleanup_free_ char *other = strformat("key%u=v1", i);

                ask(b, other, &visited);
                ask(b, other, &visited);
                ask(b, "app=v1", &visited);
                assert_int_equal(visited, 5);
        }
        assert_true(cache_is_indexed(b->pods, &app));
        assert_true(caches_postings(b->caches) <= 500);
        /* One that is asked for more often than others takes the place of one of them. */
        for (unsigned i = 0; i < 12 * CACHE_INDEXES_MAX; i++) {
                _cleanup_free_ char *other = strformat("later%u", i / 12);

                ask(b, other, &visited);
        }
        for (unsigned i = 0; i < 200; i++)
                ask(b, "unique=u7", &visited);
        assert_int_equal(visited, 1);
        assert_true(caches_postings(b->caches) <= 1000);
}

/* A large one whose place is needed is taken apart some at a time, while its items change. */
static void test_going(void **state) {
        enum { MANY = 5000, FEEDS_MAX = 10 * 1000 * 1000 };
        static const struct cache_key unique = {.by = CACHE_BY_LABEL, .name = "unique"};
        struct bed *b = *state;
        size_t visited, before;

        feed_many(b, MANY);
        for (unsigned i = 0; i < 4; i++)
                ask(b, "unique=u7", &visited);
        assert_int_equal(visited, 1);
        assert_int_equal(caches_postings(b->caches), MANY);
        for (unsigned i = 0; i < 500 && cache_is_indexed(b->pods, &unique); i++) {
                _cleanup_free_ char *other = strformat("later%u", i % (CACHE_INDEXES_MAX + 3));
                struct cache_walk walk;
                const struct cache_term t = {
                                .key = {.by = CACHE_BY_LABEL, .name = other}, .value = "x"};

                for (unsigned n = 0; n < 20; n++)
                        cache_walk_terms(&walk, b->pods, "", NULL, 0, &t, 1);
        }
        assert_false(cache_is_indexed(b->pods, &unique));
        before = caches_postings(b->caches);
        assert_in_range(before, MANY / 2, MANY - 1);
        feed_labels(b, "a/p04999", "\"unique\":\"u7\"");
        for (unsigned i = 4900; i < MANY - 1; i++) { /* many: which are left is by their hashes */
                _cleanup_free_ char *key = strformat("a/p%05u", i);

                feed(b, key, NULL);
        }
        assert_true(caches_postings(b->caches) < before);
        ask(b, "unique=u7", &visited);
        for (unsigned i = 0; caches_postings(b->caches) > 0 && i < FEEDS_MAX; i++)
                feed_labels(b, "b/q", "");
        assert_int_equal(caches_postings(b->caches), 0);
}

/* --- who is called --- */

struct listener {
        struct cache_follower follower;
        struct selection selection;
        unsigned calls;
};

static void on_change(struct cache_follower *f, bool lost) {
        container_of(f, struct listener, follower)->calls++;
}

static void listen(struct bed *b, struct listener *l) {
        const struct selection *s = &l->selection;
        struct cache_term terms[SELECTION_TERMS_MAX];

        l->follower.func = on_change;
        cache_follow(b->pods, &l->follower,
                        &(struct cache_interest){.namespace = *s->namespace ? s->namespace : NULL,
                                        .terms = terms,
                                        .term_count = selection_terms(b->kind, s, terms)});
}

static void listen_to(struct bed *b, struct listener *l, const char *namespace, const char *labels,
                const char *fields) {
        select_by(&l->selection, namespace, labels, fields, b);
        listen(b, l);
}

static void silence(struct listener *l) {
        cache_unfollow(&l->follower);
        selection_done(&l->selection);
}

/* All whom a change concerns are called for it. */
static void test_random_listeners(void **state) {
        static struct listener listeners[40]; /* also there at the end of a test that fails */
        struct bed *b = *state;
        struct rounds rounds = {0};
        uint64_t calls = 0, wanted = 0, all = 0;

        while (next_round(&rounds, 10)) {
                struct dice d = {.state = rounds.seed};

                for (size_t i = 0; i < ELEMENTS(listeners); i++) {
                        random_selection(b, &d, &listeners[i].selection);
                        listen(b, &listeners[i]);
                }
                for (unsigned step = 0; step < 300; step++) {
                        const struct change *c;

                        for (size_t i = 0; i < ELEMENTS(listeners); i++)
                                listeners[i].calls = 0;
                        random_write(b, &d);
                        c = cache_change(b->pods, cache_window_end(b->pods) - 1);
                        if (!c || c->revision != b->revision)
                                continue; /* it was not there */
                        for (size_t i = 0; i < ELEMENTS(listeners); i++) {
                                _cleanup_problem_ struct problem p = {0};
                                _cleanup_item_ struct item *made = NULL;
                                enum watch_event event;
                                struct item *it;

                                assert_int_equal(watch_transition(b->kind, &listeners[i].selection,
                                                                 c, &event, &it, &made, &p),
                                                0);
                                assert_true(listeners[i].calls <= 1);
                                assert_true(event == WATCH_NONE || listeners[i].calls == 1);
                                calls += listeners[i].calls;
                                wanted += event != WATCH_NONE;
                                all++;
                        }
                        if (roll(&d, 10) == 0) {
                                struct listener *l = &listeners[roll(&d, ELEMENTS(listeners))];

                                silence(l);
                                random_selection(b, &d, &l->selection);
                                listen(b, l);
                        }
                }
                for (size_t i = 0; i < ELEMENTS(listeners); i++)
                        silence(&listeners[i]);
        }
        assert_true(wanted > 0);
        assert_true(calls < all / 2);
}

/* Nobody else is, where one label or field is asked for: also with another one that all ask for. */
static void test_one_of_many(void **state) {
        struct bed *b = *state;
        static struct listener by_label[500], by_field[500];
        unsigned calls = 0;

        for (unsigned i = 0; i < ELEMENTS(by_label); i++) {
                _cleanup_free_ char *labels = strformat("agent=yes,node=n%u", i),
                                    *fields = strformat("spec.nodeName=n%u", i);

                listen_to(b, &by_label[i], i % 2 ? "a" : "", labels, "");
                listen_to(b, &by_field[i], i % 2 ? "a" : "", "", fields);
        }
        feed_labels(b, "a/p", "\"agent\":\"yes\",\"node\":\"n7\"");
        feed(b, "a/q", "{\"apiVersion\":\"v1\",\"metadata\":{},\"spec\":{\"nodeName\":\"n9\"}}");
        feed(b, "b/q", "{\"apiVersion\":\"v1\",\"metadata\":{},\"spec\":{\"nodeName\":\"n8\"}}");
        feed(b, "a/q", NULL);
        for (size_t i = 0; i < ELEMENTS(by_label); i++)
                calls += by_label[i].calls + by_field[i].calls;
        assert_int_equal(by_label[7].calls, 1);
        assert_int_equal(by_field[9].calls, 2);
        assert_int_equal(by_field[8].calls, 1);
        /* The first of a namespace and of all could not know what tells them apart. */
        assert_int_equal(calls, 4 + by_label[0].calls + by_label[1].calls);
        for (size_t i = 0; i < ELEMENTS(by_label); i++) {
                silence(&by_label[i]);
                silence(&by_field[i]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_keys),
                        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_filling, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_choice, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_many_keys, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_going, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_random_listeners, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_one_of_many, setup, teardown),
        };

        return cmocka_run_group_tests_name("kapid indexes", tests, NULL, NULL);
}
