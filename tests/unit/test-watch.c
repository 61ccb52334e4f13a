/* Watches: the events of each watcher, their order, and cancellations. */
#include "tests/unit/mvcc-fixture.h"

/* What a stream got, as text. */
struct listener {
        char text[8192];
        size_t size, queued;
};

static int listen_send(void *userdata, const void *data, size_t n) {
        struct listener *l = userdata;
        Etcdserverpb__WatchResponse *r = etcdserverpb__watch_response__unpack(NULL, n, data);

        assert_non_null(r);
        l->size += (size_t)snprintf(l->text + l->size, sizeof(l->text) - l->size,
                        "%d%s%s%s:", (int)r->watch_id, r->created ? "created" : "",
                        r->canceled ? "canceled" : "", r->fragment ? "fragment" : "");
        if (r->compact_revision)
                l->size += (size_t)snprintf(l->text + l->size, sizeof(l->text) - l->size, "c%d",
                                (int)r->compact_revision);
        for (size_t i = 0; i < r->n_events; i++)
                l->size += (size_t)snprintf(l->text + l->size, sizeof(l->text) - l->size,
                                "%s%.*s@%d%s%.*s,", r->events[i]->type ? "-" : "+",
                                (int)r->events[i]->kv->key.len, (char *)r->events[i]->kv->key.data,
                                (int)r->events[i]->kv->mod_revision,
                                r->events[i]->prev_kv ? "<" : "",
                                r->events[i]->prev_kv ? (int)r->events[i]->prev_kv->value.len : 0,
                                r->events[i]->prev_kv ? (char *)r->events[i]->prev_kv->value.data
                                                      : "");
        l->size += (size_t)snprintf(l->text + l->size, sizeof(l->text) - l->size, " ");
        etcdserverpb__watch_response__free_unpacked(r, NULL);
        return 0;
}

static size_t listen_queued(void *userdata) {
        return ((struct listener *)userdata)->queued;
}

static struct watch_stream *stream_new(struct fixture *f, struct listener *l) {
        struct watch_sink sink = {.send = listen_send, .queued = listen_queued, .userdata = l};
        struct watch_stream *s = NULL;

        memset(l, 0, sizeof(*l));
        assert_int_equal(watch_stream_new(&s, f->hub, &sink), 0);
        return s;
}

static void watch(struct watch_stream *s, const char *key, const char *end, int64_t start,
                int64_t id, unsigned flags) {
        struct key_range r = {
                        .key = key, .key_size = strlen(key), .end = end, .end_size = strlen(end)};

        assert_int_equal(watch_create(s, &r, start, id, flags), 0);
}

static void sync_all(struct fixture *f) {
        for (int i = 0; hub_sync_step(f->hub) > 0; i++)
                assert_true(i < 1000);
}

static void test_watch(void **state) {
        struct fixture *f = fixture_new();
        struct listener *l = malloc(sizeof(*l));
        struct watch_stream *s = stream_new(f, l);

        fixture_put(f, "a", "1", 0);
        fixture_put(f, "b", "1", 0);
        watch(s, "a", "", 0, 0, 0);
        watch(s, "a", "c", 2, 5, WATCH_PREV_KV);
        watch(s, "a", "c", 0, 5, 0);
        watch(s, "a", "c", 0, 6, WATCH_NO_PUT);
        assert_string_equal(l->text, "0created: 5created: -1createdcanceled: 6created: ");
        l->size = 0;
        sync_all(f);
        assert_string_equal(l->text, "5:+a@2,+b@3, ");
        l->size = 0;
        fixture_put(f, "a", "2", 0);
        assert_string_equal(l->text, "0:+a@4, 5:+a@4<1, ");
        l->size = 0;
        fixture_del(f, "a", "c");
        /* One revision is one response. */
        assert_string_equal(l->text, "0:-a@5, 6:-a@5,-b@5, 5:-a@5<2,-b@5<1, ");
        l->size = 0;
        /* Those that come together are answered each. */
        assert_int_equal(watch_progress(s), 0);
        assert_int_equal(watch_progress(s), 0);
        hub_flush(f->hub);
        hub_flush(f->hub);
        assert_string_equal(l->text, "-1: -1: ");
        l->size = 0;
        assert_int_equal(watch_cancel(s, 0), 0);
        assert_int_equal(watch_cancel(s, 77), 0);
        assert_string_equal(l->text, "0canceled: ");
        assert_int_equal(hub_watcher_count(f->hub), 2);
        watch_stream_free(s);
        assert_int_equal(hub_watcher_count(f->hub), 0);
        free(l);
        fixture_free(f);
}

static void test_a_slow_watcher_loses_nothing(void **state) {
        struct fixture *f = fixture_new();
        struct listener *l = malloc(sizeof(*l)), *quick = malloc(sizeof(*quick));
        struct watch_stream *s = stream_new(f, l), *s2 = stream_new(f, quick);

        watch(s, "a", "z", 0, 0, 0);
        watch(s2, "a", "z", 0, 0, 0);
        fixture_put(f, "a", "1", 0);
        l->size = quick->size = 0;
        l->text[0] = 0;
        l->queued = WATCH_QUEUED_MAX + 1;
        fixture_put(f, "b", "1", 0);
        fixture_put(f, "c", "1", 0);
        sync_all(f);
        assert_string_equal(l->text, "");
        assert_string_equal(quick->text, "0:+b@3, 0:+c@4, ");
        l->queued = 0;
        fixture_put(f, "d", "1", 0);
        sync_all(f);
        fixture_put(f, "e", "1", 0);
        assert_string_equal(l->text, "0:+b@3,+c@4,+d@5, 0:+e@6, ");
        watch_stream_free(s);
        watch_stream_free(s2);
        free(l);
        free(quick);
        fixture_free(f);
}

/* A sink that only counts, and never drains. */
struct heap {
        size_t queued, events, largest;
};

static int heap_send(void *userdata, const void *data, size_t n) {
        struct heap *p = userdata;
        Etcdserverpb__WatchResponse *r = etcdserverpb__watch_response__unpack(NULL, n, data);

        assert_non_null(r);
        p->events += r->n_events;
        p->queued += n;
        p->largest = MAX(p->largest, n);
        etcdserverpb__watch_response__free_unpacked(r, NULL);
        return 0;
}

static size_t heap_queued(void *userdata) {
        return ((struct heap *)userdata)->queued;
}

/* Many watchers on one stream, of large values: what it does not take stays in the table, is read
 * from there in small batches, and comes once it takes it. */
static void test_what_waits_for_a_stream_is_bounded(void **state) {
        enum { WATCHERS = 50, PUTS = 60, SIZE = 20000 };
        struct fixture *f = fixture_new();
        struct heap p = {0};
        struct watch_sink sink = {.send = heap_send, .queued = heap_queued, .userdata = &p};
        _cleanup_free_ char *value = calloc(1, SIZE + 1);
        struct watch_stream *s = NULL;
        size_t before;

        memset(value, 'v', SIZE);
        assert_int_equal(watch_stream_new(&s, f->hub, &sink), 0);
        for (int i = 0; i < WATCHERS; i++)
                watch(s, "a", "z", 0, 0, 0);
        for (int i = 0; i < PUTS; i++) {
                fixture_put(f, "k", value, 0);
                (void)hub_sync_step(f->hub);
                assert_true(p.queued <= WATCH_QUEUED_MAX + WATCH_BATCH_BYTES + 2 * SIZE);
        }
        for (int round = 0; p.events < WATCHERS * PUTS; round++) {
                assert_true(round < 10000);
                p.queued = 0;
                (void)hub_sync_step(f->hub);
                assert_true(p.queued <= WATCH_QUEUED_MAX + WATCH_BATCH_BYTES + 2 * SIZE);
        }
        assert_int_equal(p.events, WATCHERS * PUTS);
        assert_true(p.largest <= WATCH_BATCH_BYTES + 2 * SIZE);
        /* One that begins in the past, where memory has forgotten it: a step reads not all. */
        for (int i = 0; i < 1000; i++)
                fixture_put(f, "other", value, 0);
        p.queued = 0;
        before = f->table.scanned;
        watch(s, "k", "", 2, 0, 0);
        (void)hub_sync_step(f->hub);
        assert_true(f->table.scanned > before);
        assert_true((f->table.scanned - before) * SIZE <= 2 * WATCH_SCAN_BYTES);
        watch_stream_free(s);
        fixture_free(f);
}

static void test_watch_of_compacted_and_future(void **state) {
        struct fixture *f = fixture_new();
        struct listener *l = malloc(sizeof(*l));
        struct watch_stream *s = stream_new(f, l);

        for (int i = 0; i < 5; i++)
                fixture_put(f, "a", "1", 0);
        fixture_del(f, "a", ""); /* 7 */
        fixture_compact(f, 7);
        watch(s, "a", "", 6, 1, 0);
        watch(s, "a", "", 7, 2, 0);
        watch(s, "a", "", 9, 3, 0);
        l->size = 0;
        sync_all(f);
        assert_string_equal(l->text, "1canceled:c7 2:-a@7, ");
        l->size = 0;
        fixture_put(f, "a", "1", 0);
        assert_string_equal(l->text, "2:+a@8, ");
        l->size = 0;
        fixture_put(f, "a", "1", 0);
        assert_string_equal(l->text, "3:+a@9, 2:+a@9, ");
        watch_stream_free(s);
        free(l);
        fixture_free(f);
}

static void test_fragments(void **state) {
        struct fixture *f = fixture_new();
        struct listener *l = malloc(sizeof(*l));
        struct watch_stream *s;
        char value[101];

        memset(value, 'x', 100);
        value[100] = 0;
        for (char k = 'a'; k < 'e'; k++)
                fixture_put(f, (char[]){k, 0}, value, 0);
        s = stream_new(f, l);
        watch(s, "a", "z", 2, 0, WATCH_FRAGMENT);
        l->size = 0;
        sync_all(f);
        assert_string_equal(l->text, "0fragment:+a@2, 0fragment:+b@3, 0fragment:+c@4, 0:+d@5, ");
        watch_stream_free(s);
        free(l);
        fixture_free(f);
}

/* A store that has come further takes the place of f's, as when a member takes its leader's whole
 * state: returns it with the streams of the old one. */
static struct fixture *replace(struct fixture *f, struct fixture *by) {
        int64_t had = mvcc_rev(f->kv.mvcc);
        struct hub *hub = f->hub;

        f->hub = by->hub;
        by->hub = hub;
        hub_flush(hub);
        fixture_free(f);
        hub_restore(hub, by->kv.mvcc, had);
        return by;
}

static struct fixture *with_puts(const char *keys) {
        struct fixture *f = fixture_new();

        for (; *keys; keys++)
                fixture_put(f, (char[]){*keys, 0}, (char[]){*keys, 0}, 0);
        return f;
}

static void forget(struct listener *l) {
        l->size = 0;
        l->text[0] = 0;
}

static void test_a_replaced_store(void **state) {
        struct fixture *f = with_puts("ab"); /* revision 3 */
        struct listener *l = malloc(sizeof(*l)), *slow = malloc(sizeof(*slow));
        struct watch_stream *s = stream_new(f, l), *s2 = stream_new(f, slow);

        watch(s, "a", "", 0, 1, 0);
        watch(s, "a", "z", 0, 2, WATCH_PREV_KV);
        watch(s, "a", "z", 0, 3, WATCH_NO_PUT);
        watch(s, "x", "", 0, 4, 0);
        watch(s2, "a", "z", 0, 5, 0);
        slow->queued = WATCH_QUEUED_MAX + 1;
        fixture_put(f, "a", "3", 0); /* 4: the slow one has not got it */
        forget(l);
        forget(slow);
        f = replace(f, with_puts("abacab")); /* 7 */
        fixture_del(f, "b", "");             /* 8, before they have caught up */
        assert_string_equal(l->text, "");
        sync_all(f);
        /* From 5 on, what each asked for, once. */
        assert_string_equal(l->text, "1:+a@6, 2:+c@5,+a@6<a,+b@7<b,-b@8<b, 3:-b@8, ");
        forget(l);
        fixture_put(f, "a", "9", 0);
        sync_all(f);
        assert_string_equal(l->text, "1:+a@9, 2:+a@9<a, ");
        forget(l);
        fixture_put(f, "x", "10", 0);
        assert_string_equal(l->text, "4:+x@10, 2:+x@10, ");
        /* What waited before the exchange goes on from where it was. */
        assert_string_equal(slow->text, "");
        slow->queued = 0;
        sync_all(f);
        assert_string_equal(slow->text, "5:+a@4,+c@5,+a@6,+b@7,-b@8,+a@9,+x@10, ");
        watch_stream_free(s);
        watch_stream_free(s2);
        free(l);
        free(slow);
        fixture_free(f);
}

/* A second state before anybody has caught up with the first. */
static void test_a_store_replaced_twice(void **state) {
        struct fixture *f = with_puts("a"), *by = with_puts("aab");
        struct listener *l = malloc(sizeof(*l));
        struct watch_stream *s = stream_new(f, l);

        watch(s, "a", "z", 2, 1, 0);
        sync_all(f);
        forget(l);
        f = replace(f, by);
        f = replace(f, with_puts("aabb"));
        sync_all(f);
        assert_string_equal(l->text, "1:+a@3,+b@4,+b@5, ");
        watch_stream_free(s);
        free(l);
        fixture_free(f);
}

/* The new store has compacted what a watcher misses: it must be notified, as any other. */
static void test_a_replaced_store_that_is_compacted(void **state) {
        struct fixture *f = with_puts("ab"), *by = with_puts("ababab"); /* 3 and 7 */
        struct listener *l = malloc(sizeof(*l)), *l2 = malloc(sizeof(*l2));
        struct watch_stream *s = stream_new(f, l), *s2 = stream_new(f, l2);

        fixture_compact(by, 6);
        watch(s, "a", "", 0, 1, 0); /* wants 4 */
        watch(s2, "a", "", 6, 2, 0);
        forget(l);
        forget(l2);
        f = replace(f, by);
        sync_all(f);
        assert_string_equal(l->text, "1canceled:c6 ");
        assert_int_equal(watch_stream_count(s), 0);
        assert_string_equal(l2->text, "2:+a@6, ");
        watch_stream_free(s);
        watch_stream_free(s2);
        free(l);
        free(l2);
        fixture_free(f);
}

/* One that waits for a revision that the new store has not reached either goes on waiting, and
 * costs nothing meanwhile. */
static void test_a_replaced_store_and_the_future(void **state) {
        struct fixture *f = with_puts("ab");
        struct listener *l = malloc(sizeof(*l));
        struct watch_stream *s = stream_new(f, l);

        watch(s, "a", "", 8, 1, 0);
        watch(s, "a", "z", 9, 2, 0);
        forget(l);
        f = replace(f, with_puts("aaaaaa")); /* 7 */
        assert_int_equal(hub_sync_step(f->hub), 0);
        fixture_put(f, "a", "8", 0);
        fixture_put(f, "a", "9", 0);
        assert_string_equal(l->text, "1:+a@8, 1:+a@9, 2:+a@9, ");
        watch_stream_free(s);
        free(l);
        fixture_free(f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_watch),
                        cmocka_unit_test(test_a_slow_watcher_loses_nothing),
                        cmocka_unit_test(test_what_waits_for_a_stream_is_bounded),
                        cmocka_unit_test(test_watch_of_compacted_and_future),
                        cmocka_unit_test(test_fragments),
                        cmocka_unit_test(test_a_replaced_store),
                        cmocka_unit_test(test_a_store_replaced_twice),
                        cmocka_unit_test(test_a_replaced_store_that_is_compacted),
                        cmocka_unit_test(test_a_replaced_store_and_the_future),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
