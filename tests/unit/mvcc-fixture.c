/* The store in memory. */
#include "tests/unit/mvcc-fixture.h"

static int table_read(void *userdata, int64_t seq, struct row **ret) {
        struct table *t = userdata;

        for (size_t i = 0; i < t->count; i++)
                if (t->rows[i]->seq == seq) {
                        *ret = row_ref(t->rows[i]);
                        return 1;
                }
        return 0;
}

static int table_find_rev(void *userdata, int64_t rev, int64_t *ret_seq) {
        struct table *t = userdata;

        *ret_seq = INT64_MAX;
        for (size_t i = 0; i < t->count; i++)
                if (t->rows[i]->rev >= rev) {
                        *ret_seq = t->rows[i]->seq;
                        break;
                }
        return 0;
}

static int table_scan(void *userdata, int64_t from_seq, size_t n, struct row **ret_rows) {
        struct table *t = userdata;
        size_t count = 0;

        for (size_t i = 0; i < t->count && count < n; i++)
                if (t->rows[i]->seq >= from_seq)
                        ret_rows[count++] = row_ref(t->rows[i]);
        t->scanned += count;
        return (int)count;
}

struct fixture *fixture_new(void) {
        struct fixture *f = calloc(1, sizeof(*f));
        struct row_source source = {
                        .read = table_read, .find_rev = table_find_rev, .scan = table_scan};

        assert_non_null(f);
        source.userdata = &f->table;
        arena_init(&f->arena);
        assert_int_equal(mvcc_new(&f->kv.mvcc, &source), 0);
        assert_int_equal(lessor_new(&f->kv.lessor), 0);
        assert_int_equal(hub_new(&f->hub, f->kv.mvcc, 200), 0);
        return f;
}

void fixture_free(struct fixture *f) {
        hub_free(f->hub);
        mvcc_free(f->kv.mvcc);
        lessor_free(f->kv.lessor);
        for (size_t i = 0; i < f->table.count; i++)
                row_unref(f->table.rows[i]);
        arena_done(&f->arena);
        buf_done(&f->out);
        free(f);
}

void fixture_settle(struct fixture *f) {
        size_t n;
        struct row **rows = mvcc_take_changes(f->kv.mvcc, &n);

        (void)hub_notify(f->hub, rows, n);
        hub_flush(f->hub);
        for (size_t i = 0; i < n; i++)
                f->table.rows[f->table.count++] = rows[i];
        free(rows);
        mvcc_flushed(f->kv.mvcc, mvcc_next_seq(f->kv.mvcc));
}

enum store_error fixture_put(struct fixture *f, const char *key, const char *value, int64_t lease) {
        Etcdserverpb__PutRequest r = ETCDSERVERPB__PUT_REQUEST__INIT;
        enum store_error e;

        r.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
        r.value = (ProtobufCBinaryData){strlen(value), (uint8_t *)(uintptr_t)value};
        r.lease = lease;
        mvcc_begin(f->kv.mvcc);
        e = kv_put(&f->kv, &r, NULL);
        (void)mvcc_end(f->kv.mvcc);
        fixture_settle(f);
        return e;
}

int64_t fixture_del(struct fixture *f, const char *key, const char *end) {
        Etcdserverpb__DeleteRangeRequest r = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
        Etcdserverpb__DeleteRangeResponse *answer;
        _cleanup_answer_ struct kv_answer a = {0};
        int64_t n;

        r.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
        r.range_end = (ProtobufCBinaryData){strlen(end), (uint8_t *)(uintptr_t)end};
        buf_reset(&f->out);
        mvcc_begin(f->kv.mvcc);
        assert_int_equal(kv_delete(&f->kv, &r, &a), STORE_OK);
        (void)mvcc_end(f->kv.mvcc);
        assert_int_equal(answer_whole(&a, f->kv.mvcc, &f->out), 0);
        fixture_settle(f);
        answer = etcdserverpb__delete_range_response__unpack(
                        NULL, f->out.size, (uint8_t *)f->out.data);
        assert_non_null(answer);
        n = answer->deleted;
        etcdserverpb__delete_range_response__free_unpacked(answer, NULL);
        return n;
}

void fixture_drop(int64_t seq, void *table) {
        struct table *t = table;

        for (size_t i = 0; i < t->count; i++)
                if (t->rows[i]->seq == seq) {
                        row_unref(t->rows[i]);
                        memmove(&t->rows[i], &t->rows[i + 1],
                                        (--t->count - i) * sizeof(t->rows[0]));
                        return;
                }
        fail_msg("row %d dropped twice", (int)seq);
}

void fixture_compact(struct fixture *f, int64_t rev) {
        assert_int_equal(mvcc_compact(f->kv.mvcc, rev), 0);
        while (mvcc_compact_step(f->kv.mvcc, 2, fixture_drop, &f->table) > 0)
                ;
}
