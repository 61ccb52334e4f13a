/* Answers that are read in pieces: the same bytes as when they are made at once, whatever changes
 * meanwhile; and leases that end, beside a plain list. */
#include "tests/unit/mvcc-fixture.h"

enum { KEYS = 40, ROUNDS = 400, VALUE_MAX = 3000 };

static uint32_t next_random(uint32_t *x) {
        *x = *x * 1664525u + 1013904223u;
        return *x >> 8;
}

static ProtobufCBinaryData text(const char *s) {
        return (ProtobufCBinaryData){strlen(s), (uint8_t *)(uintptr_t)s};
}

/* Some values are long, some equal, many begin alike. */
static void change_some(struct fixture *f, uint32_t *x, int n) {
        static char value[VALUE_MAX + 1];
        char key[16];

        for (int i = 0; i < n; i++) {
                size_t size = next_random(x) % 5 == 0 ? next_random(x) % VALUE_MAX
                                                      : next_random(x) % 12;

                memset(value, 'a' + (int)(next_random(x) % 2), size);
                if (size > 8 && next_random(x) % 2)
                        value[size - 1] = 'c';
                value[size] = 0;
                (void)snprintf(key, sizeof(key), "k%02u", next_random(x) % KEYS);
                if (next_random(x) % 8 == 0)
                        (void)fixture_del(f, key, "");
                else
                        assert_int_equal(fixture_put(f, key, value, 0), STORE_OK);
        }
}

static void random_range(Etcdserverpb__RangeRequest *r, struct mvcc *m, uint32_t *x) {
        static const char *const ends[] = {"k2", "l", "\0", ""};
        uint32_t end = next_random(x) % 4;

        etcdserverpb__range_request__init(r);
        r->key = text(next_random(x) % 2 ? "k" : "k1");
        r->range_end = (ProtobufCBinaryData){end == 2 ? 1 : strlen(ends[end]),
                        (uint8_t *)(uintptr_t)ends[end]};
        if (next_random(x) % 3 == 0)
                r->limit = next_random(x) % 8;
        if (next_random(x) % 3 == 0)
                r->revision = mvcc_compact_rev(m) +
                              next_random(x) % (uint32_t)(mvcc_rev(m) - mvcc_compact_rev(m) + 1);
        r->sort_order = next_random(x) % 3;
        r->sort_target = next_random(x) % 5;
        r->keys_only = next_random(x) % 5 == 0;
        r->count_only = next_random(x) % 7 == 0;
        if (next_random(x) % 4 == 0)
                r->min_mod_revision = next_random(x) % (uint32_t)mvcc_rev(m);
        if (next_random(x) % 4 == 0)
                r->max_create_revision = next_random(x) % (uint32_t)mvcc_rev(m);
}

static void take(struct fixture *f, struct kv_answer *a, struct buf *out) {
        buf_reset(out);
        (void)buf_append(out, "", 0);
        assert_int_equal(answer_whole(a, f->kv.mvcc, out), 0);
}

/* With as little work as one step may do, and other changes between the steps. */
static void take_slowly(struct fixture *f, struct kv_answer *a, struct buf *out, uint32_t *x) {
        work_left work;
        int r;

        buf_reset(out);
        (void)buf_append(out, "", 0);
        do {
                work = 1 + next_random(x) % 60;
                r = answer_plan(a, f->kv.mvcc, &work);
                change_some(f, x, (int)(next_random(x) % 2));
        } while (r > 0);
        assert_int_equal(r, 0);
        do {
                size_t had = out->size, most = 1 + next_random(x) % 700;

                work = 1 + next_random(x) % 60;
                r = answer_write(a, f->kv.mvcc, out, had + most, &work);
                /* Heads of messages are not cut. */
                assert_true(out->size <= had + most + 2 * WIRE_MESSAGE_HEAD_MAX + 32);
                if (next_random(x) % 4 == 0)
                        answer_let_go(a);
                change_some(f, x, (int)(next_random(x) % 2));
        } while (r > 0);
        assert_int_equal(r, 0);
}

static void assert_same(const struct buf *a, const struct buf *b) {
        assert_int_equal(a->size, b->size);
        assert_memory_equal(a->data, b->data, a->size);
}

static void forget_table(struct fixture *f) {
        if (f->table.count > 3000)
                fixture_compact(f, mvcc_rev(f->kv.mvcc));
        /* Rows are read from the table, not from memory. */
        mvcc_flushed(f->kv.mvcc, mvcc_next_seq(f->kv.mvcc));
}

static void test_ranges(void **state) {
        struct fixture *f = fixture_new();
        _cleanup_buf_ struct buf at_once = {0}, slowly = {0};
        uint32_t x = 1;

        change_some(f, &x, 200);
        for (int i = 0; i < ROUNDS; i++) {
                _cleanup_answer_ struct kv_answer a = {0}, b = {.lazy = true};
                Etcdserverpb__RangeRequest r;

                random_range(&r, f->kv.mvcc, &x);
                assert_int_equal(kv_range(&f->kv, &r, &a), STORE_OK);
                assert_false(answer_is_long(&a));
                assert_int_equal(kv_range(&f->kv, &r, &b), STORE_OK);
                assert_true(answer_is_long(&b));
                take(f, &a, &at_once);
                take_slowly(f, &b, &slowly, &x);
                assert_same(&at_once, &slowly);
                forget_table(f);
        }
        fixture_free(f);
}

/* put k05, range, delete k1.. with what was there, a txn in it that puts and reads, range again */
static void run_txn(struct fixture *f, struct kv_answer *out) {
        Etcdserverpb__PutRequest p = ETCDSERVERPB__PUT_REQUEST__INIT,
                                 p2 = ETCDSERVERPB__PUT_REQUEST__INIT;
        Etcdserverpb__RangeRequest g = ETCDSERVERPB__RANGE_REQUEST__INIT;
        Etcdserverpb__DeleteRangeRequest d = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
        Etcdserverpb__TxnRequest t = ETCDSERVERPB__TXN_REQUEST__INIT, inner = t;
        Etcdserverpb__RequestOp put = ETCDSERVERPB__REQUEST_OP__INIT, range = put, del = put,
                                txn = put, put2 = put,
                                *ops[] = {&range, &put, &range, &del, &txn, &range},
                                *inner_ops[] = {&range, &put2, &range};

        p.key = text("k05");
        p.value = text("of the txn");
        p.prev_kv = true;
        p2.key = text("k30");
        p2.value = text("of the txn in it");
        p2.prev_kv = true;
        g.key = text("k");
        g.range_end = text("l");
        d.key = text("k1");
        d.range_end = text("k2");
        d.prev_kv = true;
        put.request_case = put2.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        put.request_put = &p;
        put2.request_put = &p2;
        range.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        range.request_range = &g;
        del.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        del.request_delete_range = &d;
        txn.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
        txn.request_txn = &inner;
        inner.success = inner_ops;
        inner.n_success = ELEMENTS(inner_ops);
        t.success = ops;
        t.n_success = ELEMENTS(ops);
        assert_int_equal(kv_check_txn(&t, 128), STORE_OK);
        mvcc_begin(f->kv.mvcc);
        assert_int_equal(kv_txn(&f->kv, &t, out), STORE_OK);
        assert_true(mvcc_end(f->kv.mvcc));
        fixture_settle(f);
}

/* Two stores that are equal: one answers at once, the other when it is asked for the bytes. */
static void test_txns_see_what_was_before_them(void **state) {
        struct fixture *f = fixture_new(), *g = fixture_new();
        _cleanup_buf_ struct buf at_once = {0}, slowly = {0};
        uint32_t x = 3, y = 3, z = 9;

        for (int i = 0; i < 60; i++) {
                _cleanup_answer_ struct kv_answer a = {0}, b = {.lazy = true};
                Etcdserverpb__TxnResponse *r;

                change_some(f, &x, 30);
                change_some(g, &y, 30);
                run_txn(f, &a);
                run_txn(g, &b);
                assert_true(answer_is_long(&b));
                assert_int_equal(b.hold_rev, mvcc_rev(g->kv.mvcc) - 1);
                take(f, &a, &at_once);
                z = x; /* what g changes meanwhile f gets, too */
                take_slowly(g, &b, &slowly, &y);
                assert_same(&at_once, &slowly);
                r = etcdserverpb__txn_response__unpack(
                                NULL, slowly.size, (const uint8_t *)slowly.data);
                assert_non_null(r);
                assert_int_equal(r->n_responses, 6);
                etcdserverpb__txn_response__free_unpacked(r, NULL);
                fixture_free(f);
                fixture_free(g);
                f = fixture_new();
                g = fixture_new();
                x = y = z + (uint32_t)i;
        }
        fixture_free(f);
        fixture_free(g);
}

/* What was dropped meanwhile is not made up for. */
static void test_a_range_whose_rows_are_gone(void **state) {
        struct fixture *f = fixture_new();
        _cleanup_answer_ struct kv_answer a = {.lazy = true}, b = {.lazy = true};
        Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT;
        _cleanup_buf_ struct buf out = {0};
        work_left work = WORK_STEP;

        fixture_put(f, "a", "1", 0);
        fixture_put(f, "b", "2", 0);
        r.key = text("a");
        r.range_end = text("z");
        assert_int_equal(kv_range(&f->kv, &r, &a), STORE_OK);
        assert_int_equal(kv_range(&f->kv, &r, &b), STORE_OK);
        assert_int_equal(answer_plan(&a, f->kv.mvcc, &work), 0);
        assert_int_equal(a.hold_rev, 3);
        fixture_put(f, "b", "3", 0);
        fixture_put(f, "a", "4", 0);
        fixture_compact(f, mvcc_rev(f->kv.mvcc));
        work = WORK_STEP;
        assert_int_equal(answer_write(&a, f->kv.mvcc, &out, 1000, &work), -ESTALE);
        /* One that is planned afterwards sees less than there was: hold_rev tells. */
        assert_true(b.hold_rev < mvcc_compact_rev(f->kv.mvcc));
        fixture_free(f);
}

/* ---- leases */

enum { LEASES = 300 };

struct lease_model {
        uint64_t end_ms;
        bool there;
};

static void step_leases(struct lessor *l, struct lease_model *v, uint32_t *x, uint64_t now_ms) {
        int64_t id = 1 + next_random(x) % LEASES, ttl = 1 + next_random(x) % 50;
        struct lease *y = lessor_find(l, id);

        lessor_set_now(l, now_ms);
        assert_int_equal(y != NULL, v[id].there);
        if (!y) {
                assert_int_equal(lessor_grant(l, id, ttl), STORE_OK);
                v[id] = (struct lease_model){now_ms + (uint64_t)ttl * 1000, true};
        } else if (next_random(x) % 3 == 0) {
                lessor_remove(l, id);
                v[id].there = false;
        } else {
                lease_renew(y, now_ms);
                v[id].end_ms = now_ms + (uint64_t)lease_ttl_s(y) * 1000;
        }
}

static void test_leases_end_when_they_should(void **state) {
        struct lease_model v[LEASES + 1] = {0};
        struct lessor *l = NULL;
        uint64_t now_ms = 1000;
        int64_t ids[32];
        uint32_t x = 5;

        assert_int_equal(lessor_new(&l), 0);
        lessor_promote(l, now_ms, 0);
        for (int i = 0; i < 60000; i++) {
                size_t n;

                now_ms += next_random(&x) % 30;
                step_leases(l, v, &x, now_ms);
                n = lessor_expired(l, now_ms, 1000000000, ids, 1 + next_random(&x) % 32);
                for (size_t k = 0; k < n; k++) {
                        assert_true(v[ids[k]].there && v[ids[k]].end_ms <= now_ms);
                        lessor_remove(l, ids[k]);
                        v[ids[k]].there = false;
                }
                if (i % 500 != 0)
                        continue;
                while ((n = lessor_expired(l, now_ms, 1000000000, ids, 32)) > 0)
                        for (size_t k = 0; k < n; k++) {
                                lessor_remove(l, ids[k]);
                                v[ids[k]].there = false;
                        }
                for (size_t k = 1; k <= LEASES; k++)
                        assert_true(!v[k].there || v[k].end_ms > now_ms);
        }
        lessor_demote(l);
        assert_int_equal(lessor_expired(l, UINT64_MAX / 2, 1, ids, 32), 0);
        lessor_free(l);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_ranges),
                        cmocka_unit_test(test_txns_see_what_was_before_them),
                        cmocka_unit_test(test_a_range_whose_rows_are_gone),
                        cmocka_unit_test(test_leases_end_when_they_should),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
