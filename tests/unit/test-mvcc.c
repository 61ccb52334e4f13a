/* mvcc over a table in memory, KV requests and leases. */
#include "tests/unit/mvcc-fixture.h"

/* The answer as "key=value@mod ..." with "+" when there is more, then "/count". */
static const char *range(struct fixture *f, Etcdserverpb__RangeRequest *r, const char *key,
                const char *end) {
        static char text[1024];
        _cleanup_answer_ struct kv_answer answer = {0};
        Etcdserverpb__RangeResponse *a;
        enum store_error e;
        size_t at = 0;

        r->key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
        r->range_end = (ProtobufCBinaryData){strlen(end), (uint8_t *)(uintptr_t)end};
        buf_reset(&f->out);
        e = kv_range(&f->kv, r, &answer);
        if (e)
                return store_error_text(e);
        assert_int_equal(answer_whole(&answer, f->kv.mvcc, &f->out), 0);
        a = etcdserverpb__range_response__unpack(NULL, f->out.size, (uint8_t *)f->out.data);
        assert_non_null(a);
        text[0] = 0;
        for (size_t i = 0; i < a->n_kvs; i++)
                at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s=%.*s@%d ",
                                (int)a->kvs[i]->key.len, (char *)a->kvs[i]->key.data,
                                (int)a->kvs[i]->value.len, (char *)a->kvs[i]->value.data,
                                (int)a->kvs[i]->mod_revision);
        snprintf(text + at, sizeof(text) - at, "%s/%d", a->more ? "+" : "", (int)a->count);
        etcdserverpb__range_response__free_unpacked(a, NULL);
        return text;
}

static const char *get(struct fixture *f, const char *key, const char *end, int64_t rev) {
        Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT;

        r.revision = rev;
        return range(f, &r, key, end);
}

static void test_revisions(void **state) {
        struct fixture *f = fixture_new();

        assert_int_equal(mvcc_rev(f->kv.mvcc), 1);
        fixture_put(f, "a", "1", 0);
        fixture_put(f, "b", "1", 0);
        fixture_put(f, "a", "2", 0);
        assert_int_equal(mvcc_rev(f->kv.mvcc), 4);
        assert_string_equal(get(f, "a", "", 0), "a=2@4 /1");
        assert_string_equal(get(f, "a", "", 3), "a=1@2 /1");
        assert_string_equal(get(f, "a", "", 1), "/0");
        assert_string_equal(get(f, "a", "c", 0), "a=2@4 b=1@3 /2");
        assert_string_equal(get(f, "a", "", 5), store_error_text(STORE_FUTURE_REV));
        assert_int_equal(fixture_del(f, "a", "c"), 2);
        assert_int_equal(mvcc_rev(f->kv.mvcc), 5);
        assert_int_equal(fixture_del(f, "a", "c"), 0);
        assert_int_equal(mvcc_rev(f->kv.mvcc), 5); /* nothing changed: no revision */
        assert_string_equal(get(f, "a", "c", 0), "/0");
        assert_string_equal(get(f, "a", "c", 4), "a=2@4 b=1@3 /2");
        fixture_put(f, "a", "3", 0);
        assert_int_equal(index_item_version(mvcc_get(f->kv.mvcc, "a", 1)), 1); /* a new life */
        assert_int_equal(index_item_create(mvcc_get(f->kv.mvcc, "a", 1)), 6);
        fixture_free(f);
}

static void test_range_options(void **state) {
        struct fixture *f = fixture_new();
        Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT;

        fixture_put(f, "a", "3", 0);
        fixture_put(f, "b", "1", 0);
        fixture_put(f, "c", "2", 0);
        r.limit = 2;
        assert_string_equal(range(f, &r, "a", "z"), "a=3@2 b=1@3 +/3");
        r.limit = 0;
        r.sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE;
        assert_string_equal(range(f, &r, "a", "z"), "b=1@3 c=2@4 a=3@2 /3");
        r.sort_order = ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND;
        r.limit = 1;
        assert_string_equal(range(f, &r, "a", "z"), "a=3@2 +/3");
        r = (Etcdserverpb__RangeRequest)ETCDSERVERPB__RANGE_REQUEST__INIT;
        r.min_mod_revision = 3;
        r.keys_only = true;
        assert_string_equal(range(f, &r, "a", "z"), "b=@3 c=@4 /3");
        r = (Etcdserverpb__RangeRequest)ETCDSERVERPB__RANGE_REQUEST__INIT;
        r.count_only = true;
        assert_string_equal(range(f, &r, "b", "z"), "/2");
        fixture_free(f);
}

static void test_compaction(void **state) {
        struct fixture *f = fixture_new();
        uint32_t before, after;

        for (int i = 0; i < 5; i++) {
                char v[2] = {(char)('0' + i), 0};

                fixture_put(f, "a", v, 0);
                fixture_put(f, "b", v, 0);
        }
        fixture_del(f, "b", ""); /* revision 12 */
        fixture_put(f, "c", "x", 0);
        assert_int_equal(mvcc_compact(f->kv.mvcc, 99), -EOVERFLOW);
        assert_int_equal(mvcc_compact(f->kv.mvcc, 6), 0);
        assert_int_equal(mvcc_hash(f->kv.mvcc, 13, &before), 0);
        while (mvcc_compact_step(f->kv.mvcc, 1, fixture_drop, &f->table) > 0)
                ;
        assert_int_equal(mvcc_hash(f->kv.mvcc, 13, &after), 0);
        assert_int_equal(before, after); /* the hash does not tell how far the dropping has got */
        assert_int_equal(mvcc_compact(f->kv.mvcc, 6), -ERANGE);
        assert_string_equal(get(f, "a", "z", 5), store_error_text(STORE_COMPACTED));
        assert_string_equal(get(f, "a", "z", 6), "a=2@6 b=1@5 /2");
        assert_string_equal(get(f, "a", "z", 0), "a=4@10 c=x@13 /2");
        fixture_compact(f, 12);
        assert_int_equal(mvcc_key_count(f->kv.mvcc), 3); /* the deletion at 12 is an event still */
        fixture_compact(f, 13);
        assert_int_equal(mvcc_key_count(f->kv.mvcc), 2);
        assert_int_equal(f->table.count, 2);
        fixture_free(f);
}

static void test_txn(void **state) {
        struct fixture *f = fixture_new();
        Etcdserverpb__TxnRequest t = ETCDSERVERPB__TXN_REQUEST__INIT;
        Etcdserverpb__Compare c = ETCDSERVERPB__COMPARE__INIT, *compares[] = {&c};
        Etcdserverpb__PutRequest p = ETCDSERVERPB__PUT_REQUEST__INIT;
        Etcdserverpb__RangeRequest g = ETCDSERVERPB__RANGE_REQUEST__INIT;
        Etcdserverpb__RequestOp put_op = ETCDSERVERPB__REQUEST_OP__INIT,
                                get_op = ETCDSERVERPB__REQUEST_OP__INIT,
                                *ops[] = {&put_op, &get_op};
        Etcdserverpb__RequestOp *twice[] = {&put_op, &put_op};
        _cleanup_answer_ struct kv_answer answer = {0};
        Etcdserverpb__TxnResponse *a;

        fixture_put(f, "k", "old", 0);
        c.key = p.key = g.key = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "k"};
        c.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
        c.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
        c.mod_revision = 2;
        p.value = (ProtobufCBinaryData){3, (uint8_t *)(uintptr_t) "new"};
        put_op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        put_op.request_put = &p;
        get_op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        get_op.request_range = &g;
        t.compare = compares;
        t.n_compare = 1;
        t.success = ops;
        t.n_success = 2;
        assert_int_equal(kv_check_txn(&t, 128), STORE_OK);
        assert_false(kv_txn_is_read_only(&t));
        buf_reset(&f->out);
        mvcc_begin(f->kv.mvcc);
        assert_int_equal(kv_txn(&f->kv, &t, &answer), STORE_OK);
        assert_true(mvcc_end(f->kv.mvcc));
        assert_int_equal(answer_whole(&answer, f->kv.mvcc, &f->out), 0);
        fixture_settle(f);
        a = etcdserverpb__txn_response__unpack(NULL, f->out.size, (uint8_t *)f->out.data);
        assert_non_null(a);
        assert_true(a->succeeded);
        assert_int_equal(a->n_responses, 2);
        assert_int_equal(a->responses[0]->response_put->header->revision, 3);
        /* A read in a txn sees what the txn wrote before it. */
        assert_memory_equal(a->responses[1]->response_range->kvs[0]->value.data, "new", 3);
        etcdserverpb__txn_response__free_unpacked(a, NULL);
        /* The compare fails now: the other branch, which is empty. */
        mvcc_begin(f->kv.mvcc);
        assert_int_equal(kv_txn(&f->kv, &t, NULL), STORE_OK);
        assert_false(mvcc_end(f->kv.mvcc));
        t.success = twice;
        assert_int_equal(kv_check_txn(&t, 128), STORE_DUPLICATE_KEY);
        assert_int_equal(kv_check_txn(&t, 1), STORE_TOO_MANY_OPS);
        /* A refusal leaves no trace, though a put comes before it. */
        t.success = ops;
        c.mod_revision = 3;
        g.revision = 99;
        mvcc_begin(f->kv.mvcc);
        assert_int_equal(kv_txn(&f->kv, &t, NULL), STORE_FUTURE_REV);
        assert_false(mvcc_end(f->kv.mvcc));
        fixture_free(f);
}

static enum store_error run_txn(struct fixture *f, Etcdserverpb__RequestOp **ops, size_t n) {
        Etcdserverpb__TxnRequest t = ETCDSERVERPB__TXN_REQUEST__INIT;
        enum store_error e;

        t.success = ops;
        t.n_success = n;
        e = kv_check_txn(&t, 128);
        mvcc_begin(f->kv.mvcc);
        if (!e)
                e = kv_txn(&f->kv, &t, NULL);
        (void)mvcc_end(f->kv.mvcc);
        fixture_settle(f);
        return e;
}

/* What etcd does where one could do otherwise, as the comparison with a real one showed. */
static void test_as_etcd(void **state) {
        struct fixture *f = fixture_new();
        Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT, future = r;
        Etcdserverpb__PutRequest p = ETCDSERVERPB__PUT_REQUEST__INIT;
        Etcdserverpb__DeleteRangeRequest d = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
        Etcdserverpb__RequestOp put_op = ETCDSERVERPB__REQUEST_OP__INIT, get_op = put_op,
                                del_op = put_op, *mistakes[] = {&get_op, &put_op},
                                *replace[] = {&del_op, &put_op};

        fixture_put(f, "k", "1", 0);
        fixture_put(f, "k", "2", 0);
        /* Of two mistakes in a put that of the lease is reported; in a transaction that of the key,
         * and that of a put before that of a range. */
        p.key = future.key = d.key = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "x"};
        p.ignore_value = true;
        p.lease = 7;
        assert_int_equal(kv_put(&f->kv, &p, NULL), STORE_LEASE_NOT_FOUND);
        future.revision = 99;
        put_op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        put_op.request_put = &p;
        get_op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        get_op.request_range = &future;
        assert_int_equal(run_txn(f, mistakes, 2), STORE_KEY_NOT_FOUND);
        p.ignore_value = false;
        assert_int_equal(run_txn(f, mistakes, 2), STORE_LEASE_NOT_FOUND);
        p.lease = 0;
        assert_int_equal(run_txn(f, mistakes, 2), STORE_FUTURE_REV);
        future.revision = -2;
        assert_int_equal(run_txn(f, mistakes, 2), STORE_COMPACTED);
        /* A bound below zero is one; alone, a revision below zero is the present. */
        r.max_mod_revision = -1;
        assert_string_equal(range(f, &r, "k", ""), "/1");
        r.max_mod_revision = 0;
        r.revision = -2;
        assert_string_equal(range(f, &r, "k", ""), "k=2@3 /1");
        /* All there is may be replaced in one transaction, but not a range with an end. */
        r.revision = 0;
        d.key = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "k"};
        d.range_end = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "\0"};
        p.key = d.key;
        del_op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        del_op.request_delete_range = &d;
        assert_int_equal(run_txn(f, replace, 2), STORE_OK);
        assert_string_equal(range(f, &r, "k", ""), "k=@4 /1");
        d.range_end = (ProtobufCBinaryData){1, (uint8_t *)(uintptr_t) "z"};
        assert_int_equal(run_txn(f, replace, 2), STORE_DUPLICATE_KEY);
        fixture_free(f);
}

static void test_txn_depth(void **state) {
        char *bytes = calloc(1, 8192);
        size_t size = 0;

        /* success { request_txn { success { ... } } }, from the inside out */
        for (int i = 0; i < 400; i++) {
                _cleanup_buf_ struct buf b = {0};

                wire_message(&b, i % 2 == 0 ? 4 : 2, size);
                buf_append(&b, bytes, size);
                memcpy(bytes, b.data, b.size);
                size = b.size;
        }
        assert_true(kv_txn_too_deep(bytes, size));
        assert_false(kv_txn_too_deep("\x12\x02\x22\x00", 4));
        assert_false(kv_txn_too_deep("\x12\xff\xff\xff\xff", 5));
        free(bytes);
}

static void test_leases(void **state) {
        struct fixture *f = fixture_new();
        int64_t ids[4];

        assert_int_equal(fixture_put(f, "a", "1", 7), STORE_LEASE_NOT_FOUND);
        assert_int_equal(lessor_grant(f->kv.lessor, 7, 10), STORE_OK);
        assert_int_equal(lessor_grant(f->kv.lessor, 7, 10), STORE_LEASE_EXISTS);
        fixture_put(f, "a", "1", 7);
        fixture_put(f, "b", "1", 7);
        fixture_put(f, "b", "2", 0); /* no longer the lease's */
        assert_int_equal(lessor_expired(f->kv.lessor, 1000000, 1000, ids, 4),
                        0); /* we do not lead */
        lessor_promote(f->kv.lessor, 1000, 500);
        assert_int_equal(lease_remaining_s(lessor_find(f->kv.lessor, 7), 1000), 10);
        assert_int_equal(lessor_expired(f->kv.lessor, 11499, 1000, ids, 4), 0);
        lease_renew(lessor_find(f->kv.lessor, 7), 11499);
        assert_false(lease_is_ending(lessor_find(f->kv.lessor, 7)));
        assert_int_equal(lessor_expired(f->kv.lessor, 21498, 1000, ids, 4), 0);
        assert_int_equal(lessor_expired(f->kv.lessor, 21499, 1000, ids, 4), 1);
        assert_int_equal(ids[0], 7);
        assert_true(lease_is_ending(lessor_find(f->kv.lessor, 7)));
        assert_int_equal(lessor_expired(f->kv.lessor, 21500, 1000, ids, 4),
                        0); /* reported already */
        assert_int_equal(lessor_expired(f->kv.lessor, 22499, 1000, ids, 4), 1);
        mvcc_begin(f->kv.mvcc);
        assert_int_equal(kv_revoke(&f->kv, 7), STORE_OK);
        assert_true(mvcc_end(f->kv.mvcc));
        fixture_settle(f);
        assert_string_equal(get(f, "a", "z", 0), "b=2@4 /1");
        assert_null(lessor_find(f->kv.lessor, 7));
        /* One that is granted has its whole time, however long ago somebody asked for ended ones.
         */
        lessor_set_now(f->kv.lessor, 23000);
        assert_int_equal(lessor_grant(f->kv.lessor, 8, 10), STORE_OK);
        assert_int_equal(lessor_expired(f->kv.lessor, 32999, 1000, ids, 4), 0);
        assert_int_equal(lessor_expired(f->kv.lessor, 33000, 1000, ids, 4), 1);
        lessor_remove(f->kv.lessor, 8);
        fixture_free(f);
}

/* Many keys in random order: the index keeps order and finds all; compare with a plain array. */
static void test_index(void **state) {
        struct index *x = NULL;
        struct index_cursor c;
        struct index_item *it;
        uint32_t n = 1;
        char previous[16] = "";
        size_t count = 0;

        assert_int_equal(index_new(&x), 0);
        for (int i = 0; i < 20000; i++) {
                char key[16];

                n = n * 1664525u + 1013904223u;
                snprintf(key, sizeof(key), "%u", n % 10000);
                assert_int_equal(index_add(x, key, strlen(key),
                                                 (struct place){.rev = i + 1, .seq_dead = i * 2}, 1,
                                                 1, 0),
                                0);
                it = index_get(x, key, strlen(key));
                assert_non_null(it);
                assert_int_equal(index_item_newest(it).rev, i + 1);
        }
        for (index_seek(x, "", 0, &c); (it = index_cursor_item(&c)); index_cursor_next(&c)) {
                char key[16];

                snprintf(key, sizeof(key), "%.*s", (int)index_item_key_size(it), it->key);
                assert_true(strcmp(previous, key) < 0);
                memcpy(previous, key, sizeof(key));
                count++;
        }
        assert_int_equal(count, index_count(x));
        index_free(x);
}

/* What is said of a key, whatever the index leaves out because it follows from the rest: random
 * puts, deletions, leases and compactions beside a plain array. Keys of many sizes. */
struct model_key {
        int64_t rev, create, version, lease;
        bool present; /* in the index, if only as a deletion */
};

enum { MODEL_KEYS = 200, MODEL_STEPS = 20000 };

static size_t model_name(uint32_t i, char name[static 512]) {
        size_t n = (size_t)snprintf(name, 512, "%03u/", i);

        for (; n < 4 + i * 2; n++)
                name[n] = (char)('a' + i % 26);
        return n;
}

static void model_dropped(int64_t seq, void *userdata) {
        size_t *places = userdata;

        (*places)--;
}

static void test_index_model(void **state) {
        struct model_key model[MODEL_KEYS] = {0};
        struct index *x = NULL;
        struct index_item *it;
        char name[512], *next = NULL;
        size_t places = 0, left = 0, next_size = 0;
        uint32_t random = 7;

        assert_int_equal(index_new(&x), 0);
        for (int64_t rev = 1; rev <= MODEL_STEPS; rev++) {
                struct model_key *k;
                size_t n;

                random = random * 1664525u + 1013904223u;
                k = &model[(random >> 8) % MODEL_KEYS];
                n = model_name((uint32_t)(k - model), name);
                if (k->version > 0 && random >> 29 == 0)
                        *k = (struct model_key){.rev = rev, .present = true};
                else
                        *k = (struct model_key){.rev = rev,
                                        .create = k->version > 0 ? k->create : rev,
                                        .version = k->version + 1,
                                        .lease = random >> 28 & 1 ? 0 : rev * 3,
                                        .present = true};
                assert_int_equal(index_add(x, name, n,
                                                 (struct place){.rev = rev,
                                                                 .seq_dead = rev * 2 +
                                                                             (k->version == 0)},
                                                 k->create, k->version, k->lease),
                                0);
                places++;
                if (rev % 5000 != 0)
                        continue;
                assert_int_equal(index_compact(x, rev, "", 0, SIZE_MAX, model_dropped, &places,
                                                 &next, &next_size),
                                0);
                for (size_t i = 0; i < MODEL_KEYS; i++)
                        model[i].present &= model[i].version > 0 || model[i].rev == rev;
        }
        for (uint32_t i = 0; i < MODEL_KEYS; i++) {
                it = index_get(x, name, model_name(i, name));
                assert_int_equal(it != NULL, model[i].present);
                if (!it)
                        continue;
                left++;
                assert_int_equal(index_item_newest(it).rev, model[i].rev);
                assert_int_equal(index_item_create(it), model[i].create);
                assert_int_equal(index_item_version(it), model[i].version);
                assert_int_equal(index_item_lease(it), model[i].lease);
        }
        assert_int_equal(left, index_count(x));
        assert_int_equal(places, left); /* the last step was a compaction */
        assert_int_equal(
                        index_add(x, "far", 3, (struct place){.rev = INT64_MAX}, 1, 1, 0), -ERANGE);
        index_free(x);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_revisions),
                        cmocka_unit_test(test_range_options),
                        cmocka_unit_test(test_compaction),
                        cmocka_unit_test(test_txn),
                        cmocka_unit_test(test_as_etcd),
                        cmocka_unit_test(test_txn_depth),
                        cmocka_unit_test(test_leases),
                        cmocka_unit_test(test_index),
                        cmocka_unit_test(test_index_model),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
