/* Execution of KV requests. Txn first decides its whole path by the compares, then checks every
 * operation on it, and only then changes anything: a refusal leaves no trace. */
#include "kstored/state/kv.h"

#include "lib/vector.h"

/* Larger answers are read when they are sent, in pieces. */
enum { AT_ONCE_KEYS = 256, AT_ONCE_BYTES = 32 * 1024, AT_ONCE_TEXT_MAX = 256 * 1024 };

static struct key_range range_of(const ProtobufCBinaryData *key, const ProtobufCBinaryData *end) {
        return (struct key_range){.key = (const char *)key->data,
                        .key_size = key->len,
                        .end = (const char *)end->data,
                        .end_size = end->len};
}

/* Rows of an answer that are read, filtered and sorted before they are written. */
struct found_keys {
        struct row **rows;
        size_t count;
};

static void found_done(struct found_keys *f) {
        for (size_t i = 0; i < f->count; i++)
                row_unref(f->rows[i]);
        free(f->rows);
}

static int64_t row_create(const struct row *r) {
        return r->create;
}

static int compare_numbers(int64_t a, int64_t b) {
        return a < b ? -1 : a > b;
}

static int compare_rows(const void *pa, const void *pb, void *userdata) {
        const Etcdserverpb__RangeRequest *r = userdata;
        const struct row *a = *(struct row *const *)pa, *b = *(struct row *const *)pb;
        int c = 0;

        switch (r->sort_target) {
        case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VERSION:
                c = compare_numbers(a->version, b->version);
                break;
        case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE:
                c = compare_numbers(row_create(a), row_create(b));
                break;
        case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__MOD:
                c = compare_numbers(a->rev, b->rev);
                break;
        case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE:
                c = key_compare(row_value(a), a->value_size, row_value(b), b->value_size);
                break;
        default:
                break;
        }
        if (c == 0 && r->sort_target != ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY)
                return key_compare(a->data, a->key_size, b->data, b->key_size);
        if (c == 0)
                c = key_compare(a->data, a->key_size, b->data, b->key_size);
        return r->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND ? -c : c;
}

static bool is_filtered(const Etcdserverpb__RangeRequest *r, const struct row *row) {
        return (r->max_mod_revision != 0 && row->rev > r->max_mod_revision) ||
               (r->min_mod_revision != 0 && row->rev < r->min_mod_revision) ||
               (r->max_create_revision != 0 && row->create > r->max_create_revision) ||
               (r->min_create_revision != 0 && row->create < r->min_create_revision);
}

/* 1, or 0 when they are too large to be read at once. */
static int read_matches(struct kv *kv, const Etcdserverpb__RangeRequest *request,
                const struct mvcc_match *matches, size_t n, struct found_keys *f) {
        size_t bytes = 0;

        for (size_t i = 0; i < n; i++) {
                struct row *row;
                int r;

                if (bytes > AT_ONCE_BYTES)
                        return 0;
                r = mvcc_row(kv->mvcc, place_seq(&matches[i].place), &row);
                if (r < 0)
                        return r;
                bytes += row_bytes(row);
                if (is_filtered(request, row))
                        row_unref(row);
                else
                        f->rows[f->count++] = row;
        }
        return bytes <= AT_ONCE_BYTES;
}

/* The same, with one view of the disk. */
static int read_rows(struct kv *kv, const Etcdserverpb__RangeRequest *request,
                const struct mvcc_match *matches, size_t n, struct found_keys *f) {
        int r;

        f->rows = malloc(MAX(n, (size_t)1) * sizeof(f->rows[0]));
        if (!f->rows)
                return -ENOMEM;
        if (n > 1)
                mvcc_hold(kv->mvcc, true);
        r = read_matches(kv, request, matches, n, f);
        if (n > 1)
                mvcc_hold(kv->mvcc, false);
        return r;
}

static enum store_error check_rev(struct kv *kv, int64_t rev) {
        if (rev > mvcc_txn_rev(kv->mvcc))
                return STORE_FUTURE_REV;
        if (rev > 0 && rev < mvcc_compact_rev(kv->mvcc))
                return STORE_COMPACTED;
        return STORE_OK;
}

/* The present and the rows of the range as they were at its revision are shown later. */
static void range_later(struct kv *kv, const Etcdserverpb__RangeRequest *r, unsigned field,
                unsigned flags, struct kv_answer *out) {
        int64_t rev = r->revision > 0 ? r->revision : mvcc_txn_rev(kv->mvcc);

        answer_range(out, range_read_new(r, rev, mvcc_next_seq(kv->mvcc), field, flags),
                        MIN(rev, mvcc_rev(kv->mvcc)));
}

/* Most ranges are small: 1 when it was written, 0 when it is too large to be. */
static int range_at_once(
                struct kv *kv, const Etcdserverpb__RangeRequest *request, struct kv_answer *out) {
        struct key_range range = range_of(&request->key, &request->range_end);
        bool sorts = request->sort_order != ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE;
        bool filters = request->min_mod_revision || request->max_mod_revision ||
                       request->min_create_revision || request->max_create_revision;
        _cleanup_free_ struct mvcc_match *matches = NULL;
        _cleanup_(found_done) struct found_keys f = {0};
        size_t total = 0, n, show;
        int r;

        if (out->lazy || out->text.size > AT_ONCE_TEXT_MAX)
                return 0;
        r = mvcc_range(kv->mvcc, &range, request->revision > 0 ? request->revision : INT64_MAX,
                        AT_ONCE_KEYS, &matches, &total);
        if (r < 0)
                return r == -E2BIG ? 0 : r;
        n = request->count_only                        ? 0
            : request->limit > 0 && !sorts && !filters ? MIN(total, (size_t)request->limit + 1)
                                                       : total;
        r = read_rows(kv, request, matches, n, &f);
        if (r <= 0)
                return r;
        if (request->sort_target != ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY ||
                        request->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND)
                qsort_r(f.rows, f.count, sizeof(f.rows[0]), compare_rows,
                                (void *)(uintptr_t)request);
        show = request->limit > 0 && f.count > (size_t)request->limit ? (size_t)request->limit
                                                                      : f.count;
        for (size_t i = 0; i < show; i++)
                wire_kv(&out->text, 2, f.rows[i], request->keys_only ? WIRE_KV_NO_VALUE : 0);
        wire_bool(&out->text, 3, show < f.count);
        wire_uint(&out->text, 4, total);
        return 1;
}

static enum store_error answer_error(const struct kv_answer *out) {
        return out && answer_failed(out) ? STORE_NO_MEMORY : STORE_OK;
}

enum store_error kv_range(
                struct kv *kv, const Etcdserverpb__RangeRequest *request, struct kv_answer *out) {
        enum store_error e = check_rev(kv, request->revision);
        int r;

        if (e || !out)
                return e;
        r = range_at_once(kv, request, out);
        if (r < 0)
                return store_error_from_errno(r);
        if (r == 0)
                range_later(kv, request, 2, 0, out);
        return answer_error(out);
}

/* A range's rows as fields, before a change. */
static int show_previous(struct kv *kv, const ProtobufCBinaryData *key,
                const ProtobufCBinaryData *end, unsigned field, const struct mvcc_match *matches,
                size_t n, struct kv_answer *out) {
        Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
        _cleanup_(found_done) struct found_keys f = {0};
        bool small = !out->lazy && n <= AT_ONCE_KEYS && out->text.size <= AT_ONCE_TEXT_MAX;
        int r;

        request.key = *key;
        request.range_end = *end;
        r = small ? read_rows(kv, &request, matches, n, &f) : 0;
        if (r < 0)
                return r;
        if (r == 0) {
                range_later(kv, &request, field, RANGE_READ_ROWS_ONLY, out);
                return 0;
        }
        for (size_t i = 0; i < f.count; i++)
                wire_kv(&out->text, field, f.rows[i], 0);
        return 0;
}

static bool lacks_key(struct kv *kv, const Etcdserverpb__PutRequest *r) {
        return (r->ignore_value || r->ignore_lease) && !mvcc_get(kv->mvcc, r->key.data, r->key.len);
}

static bool lacks_lease(struct kv *kv, const Etcdserverpb__PutRequest *r) {
        return r->lease != 0 && !lessor_find(kv->lessor, r->lease);
}

/* Puts the key under its lease in place of the previous one. */
static int put(struct kv *kv, const ProtobufCBinaryData *key, const void *value, size_t value_size,
                int64_t old_lease, int64_t lease) {
        int r = mvcc_put(kv->mvcc, key->data, key->len, value, value_size, lease);

        if (r < 0)
                return r;
        return lessor_move_key(kv->lessor, old_lease, lease, key->data, key->len);
}

enum store_error kv_put(
                struct kv *kv, const Etcdserverpb__PutRequest *request, struct kv_answer *out) {
        _cleanup_row_ struct row *prev = NULL;
        const struct index_item *it = mvcc_get(kv->mvcc, request->key.data, request->key.len);
        const void *value = request->value.data;
        size_t value_size = request->value.len;
        int64_t old_lease = it ? index_item_lease(it) : 0;
        int r;

        if (lacks_lease(kv, request))
                return STORE_LEASE_NOT_FOUND;
        if (lacks_key(kv, request))
                return STORE_KEY_NOT_FOUND;
        if (it && request->ignore_value) {
                r = mvcc_row(kv->mvcc, index_item_seq(it), &prev);
                if (r < 0)
                        return store_error_from_errno(r);
                value = row_value(prev);
                value_size = prev->value_size;
        }
        if (it && request->prev_kv && out) {
                struct mvcc_match match = {.item = it, .place = index_item_newest(it)};

                r = show_previous(kv, &request->key, &(ProtobufCBinaryData){0}, 2, &match, 1, out);
                if (r < 0)
                        return store_error_from_errno(r);
        }
        r = put(kv, &request->key, value, value_size, old_lease,
                        request->ignore_lease ? old_lease : request->lease);
        return r < 0 ? store_error_from_errno(r) : answer_error(out);
}

static int delete_item(struct kv *kv, const struct index_item *it) {
        int64_t lease = index_item_lease(it);
        int r = mvcc_delete(kv->mvcc, it->key, index_item_key_size(it));

        if (r < 0)
                return r;
        return lessor_move_key(kv->lessor, lease, 0, it->key, index_item_key_size(it));
}

enum store_error kv_delete(struct kv *kv, const Etcdserverpb__DeleteRangeRequest *request,
                struct kv_answer *out) {
        struct key_range range = range_of(&request->key, &request->range_end);
        _cleanup_free_ struct mvcc_match *matches = NULL;
        size_t n = 0;
        int r = mvcc_range(kv->mvcc, &range, INT64_MAX, SIZE_MAX, &matches, &n);

        if (r < 0)
                return store_error_from_errno(r);
        if (out)
                wire_uint(&out->text, 2, n);
        if (out && request->prev_kv && n > 0) {
                r = show_previous(kv, &request->key, &request->range_end, 3, matches, n, out);
                if (r < 0)
                        return store_error_from_errno(r);
        }
        /* Deleting adds to items but moves none, so the matches stay good. */
        for (size_t i = 0; i < n; i++) {
                r = delete_item(kv, matches[i].item);
                if (r < 0)
                        return store_error_from_errno(r);
        }
        return answer_error(out);
}

static bool compare_result(Etcdserverpb__Compare__CompareResult want, int c) {
        switch (want) {
        case ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL:
                return c == 0;
        case ETCDSERVERPB__COMPARE__COMPARE_RESULT__NOT_EQUAL:
                return c != 0;
        case ETCDSERVERPB__COMPARE__COMPARE_RESULT__GREATER:
                return c > 0;
        case ETCDSERVERPB__COMPARE__COMPARE_RESULT__LESS:
                return c < 0;
        default:
                return true;
        }
}

/* Zero when the operand is not of the target's kind. */
static int64_t compare_operand(const Etcdserverpb__Compare *c) {
        switch (c->target_union_case) {
        case ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION:
                return c->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION ? c->version : 0;
        case ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION:
                return c->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE
                                       ? c->create_revision
                                       : 0;
        case ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION:
                return c->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD ? c->mod_revision
                                                                               : 0;
        case ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE:
                return c->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE ? c->lease : 0;
        default:
                return 0;
        }
}

static int compare_value(struct kv *kv, const Etcdserverpb__Compare *c, const struct index_item *it,
                bool *ret) {
        _cleanup_row_ struct row *head = NULL, *row = NULL;
        ProtobufCBinaryData want = {0};
        bool equality = c->result == ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL ||
                        c->result == ETCDSERVERPB__COMPARE__COMPARE_RESULT__NOT_EQUAL;
        int r = mvcc_head(kv->mvcc, index_item_seq(it), &head);

        if (r < 0)
                return r;
        if (c->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE)
                want = c->value;
        if (equality && head->value_size != want.len) {
                *ret = compare_result(c->result, 1);
                return 0;
        }
        r = mvcc_row(kv->mvcc, index_item_seq(it), &row);
        if (r < 0)
                return r;
        *ret = compare_result(c->result,
                        key_compare(row_value(row), row->value_size, want.data, want.len));
        return 0;
}

/* it NULL: a key that is not there compares as zeros. */
static int compare_item(struct kv *kv, const Etcdserverpb__Compare *c, const struct index_item *it,
                bool *ret) {
        int64_t have = 0;

        switch (c->target) {
        case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE:
                if (!it) {
                        *ret = false;
                        return 0;
                }
                return compare_value(kv, c, it, ret);
        case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION:
                have = it ? index_item_version(it) : 0;
                break;
        case ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE:
                have = it ? index_item_create(it) : 0;
                break;
        case ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD:
                have = it ? index_item_newest(it).rev : 0;
                break;
        case ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE:
                have = it ? index_item_lease(it) : 0;
                break;
        default:
                *ret = compare_result(c->result, 0);
                return 0;
        }
        *ret = compare_result(c->result, compare_numbers(have, compare_operand(c)));
        return 0;
}

/* All keys of the compare's range; a range without keys compares as one that is not there. */
static int compare_range(struct kv *kv, const Etcdserverpb__Compare *c, bool *ret) {
        struct key_range range = range_of(&c->key, &c->range_end);
        _cleanup_free_ struct mvcc_match *matches = NULL;
        size_t n = 0;
        bool ok = true;
        int r = mvcc_range(kv->mvcc, &range, INT64_MAX, SIZE_MAX, &matches, &n);

        if (r < 0)
                return r;
        if (n == 0)
                return compare_item(kv, c, NULL, ret);
        for (size_t i = 0; i < n && ok; i++) {
                r = compare_item(kv, c, matches[i].item, &ok);
                if (r < 0)
                        return r;
        }
        *ret = ok;
        return 0;
}

static int compare_all(struct kv *kv, const Etcdserverpb__TxnRequest *request, bool *ret) {
        bool ok = true;

        for (size_t i = 0; i < request->n_compare && ok; i++) {
                int r = compare_range(kv, request->compare[i], &ok);

                if (r < 0)
                        return r;
        }
        *ret = ok;
        return 0;
}

/* The decisions of a txn and the txns in it, in the order in which they are met: nested compares
 * see the state before the whole txn. */
struct path {
        VECTOR(bool) taken;
        size_t next;
};

static void path_done(struct path *p) {
        vector_done(&p->taken);
}

static enum store_error decide(
                struct kv *kv, const Etcdserverpb__TxnRequest *request, struct path *p) {
        enum store_error e = STORE_OK;
        Etcdserverpb__RequestOp **ops;
        bool then = false;
        size_t n;
        int r = compare_all(kv, request, &then);

        if (r < 0)
                return store_error_from_errno(r);
        if (vector_append(&p->taken, then) < 0)
                return STORE_NO_MEMORY;
        ops = then ? request->success : request->failure;
        n = then ? request->n_success : request->n_failure;
        for (size_t i = 0; i < n && !e; i++)
                if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN)
                        e = decide(kv, ops[i]->request_txn, p);
        return e;
}

static enum store_error check_put_op(struct kv *kv, const Etcdserverpb__RequestOp *op) {
        if (op->request_case != ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT)
                return STORE_OK;
        if (lacks_key(kv, op->request_put))
                return STORE_KEY_NOT_FOUND;
        return lacks_lease(kv, op->request_put) ? STORE_LEASE_NOT_FOUND : STORE_OK;
}

static enum store_error check_range_op(struct kv *kv, const Etcdserverpb__RequestOp *op) {
        if (op->request_case != ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE)
                return STORE_OK;
        /* Alone a range takes a negative revision as the present; here etcd takes it literally,
         * and calls the compacted revision -1 while there is none. */
        if (op->request_range->revision < (mvcc_compact_rev(kv->mvcc) > 0 ? 0 : -1))
                return STORE_COMPACTED;
        return check_rev(kv, op->request_range->revision);
}

static enum store_error check_path(struct kv *kv, const Etcdserverpb__TxnRequest *r, struct path *p,
                enum store_error (*check)(struct kv *kv, const Etcdserverpb__RequestOp *op)) {
        bool then = p->taken.items[p->next++];
        Etcdserverpb__RequestOp **ops = then ? r->success : r->failure;
        size_t n = then ? r->n_success : r->n_failure;
        enum store_error e = STORE_OK;

        for (size_t i = 0; i < n && !e; i++) {
                if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN)
                        e = check_path(kv, ops[i]->request_txn, p, check);
                else
                        e = check(kv, ops[i]);
        }
        return e;
}

/* Answers inside a txn carry a header with nothing but the revision. */
static void inner_header(struct kv *kv, struct kv_answer *out) {
        size_t mark;

        if (!out)
                return;
        mark = wire_begin(&out->text, 1);
        wire_uint(&out->text, 1 + 2, (uint64_t)mvcc_txn_rev(kv->mvcc));
        wire_end(&out->text, mark);
}

static enum store_error run_path(struct kv *kv, const Etcdserverpb__TxnRequest *r, struct path *p,
                struct kv_answer *out);

/* The header has the revision that the change made. */
static enum store_error run_write(
                struct kv *kv, const Etcdserverpb__RequestOp *op, struct kv_answer *out) {
        _cleanup_answer_ struct kv_answer fields = {.lazy = out && out->lazy};
        enum store_error e;

        if (op->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT)
                e = kv_put(kv, op->request_put, out ? &fields : NULL);
        else
                e = kv_delete(kv, op->request_delete_range, out ? &fields : NULL);
        inner_header(kv, out);
        if (out)
                answer_append(out, &fields);
        return e;
}

static enum store_error run_op(struct kv *kv, const Etcdserverpb__RequestOp *op, struct path *p,
                struct kv_answer *out) {
        enum store_error e = STORE_OK;
        size_t mark = out ? answer_begin(out, 3) : 0;
        /* Answers have their requests' numbers. */
        size_t inner = out ? answer_begin(out, (unsigned)op->request_case) : 0;

        switch (op->request_case) {
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
                inner_header(kv, out);
                e = kv_range(kv, op->request_range, out);
                break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
                e = run_write(kv, op, out);
                break;
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
                if (out)
                        wire_message(&out->text, 1, 0);
                e = run_path(kv, op->request_txn, p, out);
                break;
        default:
                return STORE_KEY_NOT_FOUND;
        }
        if (e || !out)
                return e;
        answer_end(out, inner);
        answer_end(out, mark);
        return answer_error(out);
}

static enum store_error run_path(struct kv *kv, const Etcdserverpb__TxnRequest *r, struct path *p,
                struct kv_answer *out) {
        bool then = p->taken.items[p->next++];
        Etcdserverpb__RequestOp **ops = then ? r->success : r->failure;
        size_t n = then ? r->n_success : r->n_failure;
        enum store_error e = STORE_OK;

        if (out)
                wire_bool(&out->text, 2, then);
        for (size_t i = 0; i < n && !e; i++)
                e = run_op(kv, ops[i], p, out);
        return e;
}

enum store_error kv_txn(struct kv *kv, const Etcdserverpb__TxnRequest *r, struct kv_answer *out) {
        _cleanup_(path_done) struct path p = {0};
        enum store_error e = decide(kv, r, &p);

        /* All puts, then all ranges: of two mistakes etcd reports that of the put. */
        if (!e)
                e = check_path(kv, r, &p, check_put_op);
        p.next = 0;
        if (!e)
                e = check_path(kv, r, &p, check_range_op);
        p.next = 0;
        return e ? e : run_path(kv, r, &p, out);
}

enum store_error kv_revoke(struct kv *kv, int64_t lease) {
        struct lease *x = lessor_find(kv->lessor, lease);
        _cleanup_free_ struct lease_key *keys = NULL;
        size_t n = 0;
        int r;

        if (!x)
                return STORE_LEASE_NOT_FOUND;
        r = lease_keys(x, &keys, &n);
        if (r < 0)
                return store_error_from_errno(r);
        for (size_t i = 0; i < n; i++) {
                r = mvcc_delete(kv->mvcc, keys[i].key, keys[i].size);
                if (r < 0)
                        return store_error_from_errno(r);
        }
        lessor_remove(kv->lessor, lease);
        return STORE_OK;
}
