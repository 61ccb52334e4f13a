/* Checks of a KV request before it is proposed: the same rules and order as etcd's. */
#include "kstored/state/kv.h"

typedef Etcdserverpb__RequestOp Op;

enum { TOTAL_OPS_FACTOR = 64 };

static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret) {
        uint64_t v = 0;

        for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
                uint8_t b = *(*p)++;

                v |= (uint64_t)(b & 0x7f) << shift;
                if (!(b & 0x80)) {
                        *ret = v;
                        return true;
                }
        }
        return false;
}

/* Walks length-delimited fields: success (2) and failure (3) of a TxnRequest, request_txn (4) of a
 * RequestOp. Malformed bytes are left to the parser, which does not recurse on them. */
static bool too_deep(const uint8_t *p, const uint8_t *end, unsigned level) {
        bool op = level % 2 == 1;

        if (level > 2 * KV_TXN_DEPTH_MAX)
                return true;
        while (p < end) {
                uint64_t tag, n;

                if (!read_varint(&p, end, &tag))
                        return false;
                switch (tag & 7) {
                case 0:
                        if (!read_varint(&p, end, &n))
                                return false;
                        continue;
                case 1:
                        n = 8;
                        break;
                case 5:
                        n = 4;
                        break;
                case 2:
                        if (!read_varint(&p, end, &n))
                                return false;
                        break;
                default:
                        return false;
                }
                if (n > (uint64_t)(end - p))
                        return false;
                if ((tag & 7) == 2 && (op ? tag >> 3 == 4 : tag >> 3 == 2 || tag >> 3 == 3) &&
                                too_deep(p, p + n, level + 1))
                        return true;
                p += n;
        }
        return false;
}

bool kv_txn_too_deep(const void *data, size_t n) {
        return too_deep(data, (const uint8_t *)data + n, 0);
}

enum store_error kv_check_range(const Etcdserverpb__RangeRequest *r) {
        if (r->key.len == 0)
                return STORE_KEY_MISSING;
        if ((unsigned)r->sort_order > 2 || (unsigned)r->sort_target > 4)
                return STORE_BAD_SORT;
        return STORE_OK;
}

enum store_error kv_check_put(const Etcdserverpb__PutRequest *r) {
        if (r->key.len == 0)
                return STORE_KEY_MISSING;
        if (r->ignore_value && r->value.len != 0)
                return STORE_VALUE_PROVIDED;
        if (r->ignore_lease && r->lease != 0)
                return STORE_LEASE_PROVIDED;
        return STORE_OK;
}

enum store_error kv_check_delete(const Etcdserverpb__DeleteRangeRequest *r) {
        return r->key.len == 0 ? STORE_KEY_MISSING : STORE_OK;
}

static enum store_error check_counts(
                const Etcdserverpb__TxnRequest *r, int64_t max, size_t *budget);

static enum store_error check_op(const Op *op, int64_t max, size_t *budget) {
        if (*budget == 0)
                return STORE_TOO_MANY_OPS;
        --*budget;
        switch (op->request_case) {
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
                return kv_check_range(op->request_range);
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
                return kv_check_put(op->request_put);
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
                return kv_check_delete(op->request_delete_range);
        case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
                return check_counts(op->request_txn, max, budget);
        default:
                return STORE_KEY_NOT_FOUND;
        }
}

static enum store_error check_counts(
                const Etcdserverpb__TxnRequest *r, int64_t max, size_t *budget) {
        size_t ops = MAX(r->n_success, r->n_failure);
        int64_t count = (int64_t)MAX(r->n_compare, ops);
        enum store_error e = STORE_OK;

        if (count > max)
                return STORE_TOO_MANY_OPS;
        for (size_t i = 0; i < r->n_compare; i++)
                if (r->compare[i]->key.len == 0)
                        return STORE_KEY_MISSING;
        for (size_t i = 0; i < r->n_success && !e; i++)
                e = check_op(r->success[i], max - count, budget);
        for (size_t i = 0; i < r->n_failure && !e; i++)
                e = check_op(r->failure[i], max - count, budget);
        return e;
}

/* The keys that a branch may put and the ranges it may delete. */
struct touched {
        struct index *puts;
        struct key_range *dels;
        size_t del_count;
};

static void touched_done(struct touched *t) {
        index_free(t->puts);
        free(t->dels);
}

static enum store_error add_del(struct touched *t, struct key_range range) {
        struct key_range *v = realloc(t->dels, (t->del_count + 1) * sizeof(*v));

        if (!v)
                return STORE_NO_MEMORY;
        t->dels = v;
        t->dels[t->del_count++] = range;
        return STORE_OK;
}

/* As etcd's check, which takes the end as a bound even where it says "no bound" (a single NUL): a
 * deletion to the end overlaps nothing, and clients use that to replace all there is. */
static bool overlaps(const struct key_range *r, const void *key, size_t n) {
        if (key_range_is_single(r))
                return key_compare(r->key, r->key_size, key, n) == 0;
        return key_compare(key, n, r->key, r->key_size) >= 0 &&
               key_compare(key, n, r->end, r->end_size) < 0;
}

static enum store_error add_put(
                struct touched *t, const void *key, size_t n, const struct touched *other_branch) {
        if (index_get(t->puts, key, n) && !(other_branch && index_get(other_branch->puts, key, n)))
                return STORE_DUPLICATE_KEY;
        for (size_t i = 0; i < t->del_count; i++)
                if (overlaps(&t->dels[i], key, n))
                        return STORE_DUPLICATE_KEY;
        if (index_get(t->puts, key, n))
                return STORE_OK;
        return index_add(t->puts, key, n, (struct place){0}, 0, 1, 0) < 0 ? STORE_NO_MEMORY
                                                                          : STORE_OK;
}

static enum store_error merge_puts(
                struct touched *t, const struct touched *branch, const struct touched *other) {
        enum store_error e = STORE_OK;
        struct index_cursor c;
        const struct index_item *it;

        for (index_seek(branch->puts, "", 0, &c); !e && (it = index_cursor_item(&c));
                        index_cursor_next(&c))
                e = add_put(t, it->key, index_item_key_size(it), other);
        return e;
}

static enum store_error collect(Op *const *ops, size_t n, struct touched *t);

static enum store_error collect_txn(const Etcdserverpb__TxnRequest *r, struct touched *t) {
        _cleanup_(touched_done) struct touched then = {0}, other = {0};
        enum store_error e = collect(r->success, r->n_success, &then);

        if (!e)
                e = collect(r->failure, r->n_failure, &other);
        /* A key that both branches put is put once: only one of them runs. */
        if (!e)
                e = merge_puts(t, &then, NULL);
        if (!e)
                e = merge_puts(t, &other, &then);
        for (size_t i = 0; i < then.del_count && !e; i++)
                e = add_del(t, then.dels[i]);
        for (size_t i = 0; i < other.del_count && !e; i++)
                e = add_del(t, other.dels[i]);
        return e;
}

static enum store_error collect(Op *const *ops, size_t n, struct touched *t) {
        enum store_error e = STORE_OK;

        if (index_new(&t->puts) < 0)
                return STORE_NO_MEMORY;
        for (size_t i = 0; i < n && !e; i++) {
                const Etcdserverpb__DeleteRangeRequest *d = ops[i]->request_delete_range;

                if (ops[i]->request_case != ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE)
                        continue;
                e = add_del(t, (struct key_range){.key = (char *)d->key.data,
                                               .key_size = d->key.len,
                                               .end = (char *)d->range_end.data,
                                               .end_size = d->range_end.len});
        }
        for (size_t i = 0; i < n && !e; i++)
                if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN)
                        e = collect_txn(ops[i]->request_txn, t);
        for (size_t i = 0; i < n && !e; i++)
                if (ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT)
                        e = add_put(t, ops[i]->request_put->key.data, ops[i]->request_put->key.len,
                                        NULL);
        return e;
}

enum store_error kv_check_txn(const Etcdserverpb__TxnRequest *r, uint32_t max_ops) {
        _cleanup_(touched_done) struct touched then = {0}, other = {0};
        size_t budget = (size_t)max_ops * TOTAL_OPS_FACTOR;
        enum store_error e = check_counts(r, max_ops, &budget);

        if (!e)
                e = collect(r->success, r->n_success, &then);
        if (!e)
                e = collect(r->failure, r->n_failure, &other);
        return e;
}

static bool any_op(const Etcdserverpb__TxnRequest *r, bool (*test)(const Op *op)) {
        for (size_t i = 0; i < r->n_success; i++)
                if (test(r->success[i]))
                        return true;
        for (size_t i = 0; i < r->n_failure; i++)
                if (test(r->failure[i]))
                        return true;
        return false;
}

static bool op_writes(const Op *op) {
        if (op->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN)
                return any_op(op->request_txn, op_writes);
        return op->request_case != ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
}

static bool op_puts(const Op *op) {
        if (op->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN)
                return any_op(op->request_txn, op_puts);
        return op->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
}

static bool op_not_serializable(const Op *op) {
        return op->request_case != ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE ||
               !op->request_range->serializable;
}

bool kv_txn_is_read_only(const Etcdserverpb__TxnRequest *r) {
        return !any_op(r, op_writes);
}

bool kv_txn_is_serializable(const Etcdserverpb__TxnRequest *r) {
        return !any_op(r, op_not_serializable);
}

bool kv_txn_has_put(const Etcdserverpb__TxnRequest *r) {
        return any_op(r, op_puts);
}
