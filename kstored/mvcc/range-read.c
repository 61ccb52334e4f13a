/* Rows in the order of keys are found in the index twice: once to add up their sizes, once to write
 * them. Where the client wants another order, a number and a place in the table are kept for each
 * and sorted by merging, which can be interrupted after every comparison.
 *
 *   COLLECT -> (SORT -> MEASURE) -> WRITE
 *
 * The size of a row is found without reading its value. Values are compared by their first eight
 * bytes, and read only where those are equal. */
#include "kstored/mvcc/range-read.h"

#include <endian.h>

typedef Etcdserverpb__RangeRequest Request;

enum phase { COLLECT, SORT, MEASURE, WRITE };

struct sorted {
        uint64_t number; /* what is sorted by */
        int64_t seq;
};

/* The merging of neighbouring runs of `width` from one array to the other. */
struct merging {
        size_t width, low, left, right, out;
        struct row *rows[2]; /* the last that were compared by value */
};

struct range_read {
        enum phase phase;
        int64_t rev, below_seq;
        unsigned field, flags;
        Request request; /* keys are in bytes */
        bool sorts, filters, descends;
        size_t collect_max; /* of rows that are sorted; SIZE_MAX: all */
        size_t total, found, shown;
        uint64_t rows_size, size, written;
        char *next; /* the key to continue from */
        size_t next_size;
        struct sorted *v, *other;
        size_t allocated;
        struct merging merge;
        size_t at; /* rows measured, or written */
        /* The row being written: what stands before its value and behind it, and how far it is. */
        struct row *row;
        int64_t row_seq;
        struct buf edges;
        size_t before_size;
        uint64_t row_done, row_size;
        bool in_row;
        struct buf tail;
        char bytes[];
};

static bool wants_order(const Request *r) {
        return r->sort_target != ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY ||
               r->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND;
}

struct range_read *range_read_new(
                const Request *r, int64_t rev, int64_t below_seq, unsigned field, unsigned flags) {
        struct range_read *x = calloc(1, sizeof(*x) + r->key.len + r->range_end.len);
        bool all;

        if (!x)
                return NULL;
        x->rev = rev;
        x->below_seq = below_seq;
        x->field = field;
        x->flags = flags;
        x->request = *r;
        memcpy(x->bytes, r->key.data, r->key.len);
        if (r->range_end.len > 0)
                memcpy(x->bytes + r->key.len, r->range_end.data, r->range_end.len);
        x->request.key.data = (uint8_t *)x->bytes;
        x->request.range_end.data = (uint8_t *)x->bytes + r->key.len;
        x->sorts = wants_order(r) && !r->count_only;
        x->descends = r->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND;
        x->filters = r->min_mod_revision || r->max_mod_revision || r->min_create_revision ||
                     r->max_create_revision;
        /* As etcd, which cuts before it sorts where no order is said. */
        all = r->limit <= 0 || x->filters ||
              r->sort_order != ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE;
        x->collect_max = all ? SIZE_MAX : (size_t)r->limit + 1;
        return x;
}

static void forget_merge_rows(struct range_read *x) {
        for (size_t i = 0; i < ELEMENTS(x->merge.rows); i++)
                x->merge.rows[i] = row_unref(x->merge.rows[i]);
}

struct range_read *range_read_free(struct range_read *x) {
        if (!x)
                return NULL;
        row_unref(x->row);
        forget_merge_rows(x);
        buf_done(&x->edges);
        buf_done(&x->tail);
        free(x->next);
        free(x->v);
        free(x->other);
        free(x);
        return NULL;
}

size_t range_read_bytes(const struct range_read *x) {
        return sizeof(*x) + x->request.key.len + x->request.range_end.len + x->next_size +
               x->allocated * sizeof(*x->v) * (x->phase == SORT ? 2 : 1);
}

void range_read_let_go(struct range_read *x) {
        x->row = row_unref(x->row);
        forget_merge_rows(x);
}

/* ---- the walk over the keys ---- */

static void begin_walk(struct range_read *x, struct mvcc *m, struct mvcc_walk *w) {
        struct key_range range = {.key = x->bytes,
                        .key_size = x->request.key.len,
                        .end = x->bytes + x->request.key.len,
                        .end_size = x->request.range_end.len};

        mvcc_walk_begin(m, &range, x->next, x->next_size, w);
}

/* Where the next step continues: at the item, or with `behind` after it. */
static int keep_place(struct range_read *x, const struct index_item *it, bool behind) {
        size_t n = index_item_key_size(it) + behind;
        char *p = realloc(x->next, MAX(n, (size_t)1));

        if (!p)
                return -ENOMEM;
        memcpy(p, it->key, index_item_key_size(it));
        if (behind)
                p[n - 1] = 0;
        x->next = p;
        x->next_size = n;
        return 0;
}

static bool is_visible(const struct range_read *x, const struct index_item *it, struct place *ret) {
        return index_item_at_seq(it, x->rev, x->below_seq, ret) && !place_dead(ret);
}

static bool passes(const struct range_read *x, int64_t mod, int64_t create) {
        const Request *r = &x->request;

        return (r->max_mod_revision == 0 || mod <= r->max_mod_revision) &&
               (r->min_mod_revision == 0 || mod >= r->min_mod_revision) &&
               (r->max_create_revision == 0 || create <= r->max_create_revision) &&
               (r->min_create_revision == 0 || create >= r->min_create_revision);
}

static unsigned kv_flags(const struct range_read *x) {
        return x->request.keys_only ? WIRE_KV_NO_VALUE : 0;
}

/* The row without its value, unless that comes free. */
static int read_head(struct mvcc *m, int64_t seq, struct row **ret, work_left *work) {
        *work -= WORK_ROW;
        return mvcc_head(m, seq, ret);
}

static int read_row(struct mvcc *m, int64_t seq, struct row **ret, work_left *work) {
        int r = mvcc_row(m, seq, ret);

        *work -= WORK_ROW;
        if (r >= 0)
                *work -= (*ret)->value_size / WORK_BYTES;
        return r;
}

/* ---- the plan: the rows of the answer, and its size ---- */

/* The order of values is that of these numbers, where they differ. */
static uint64_t value_number(const struct row *row) {
        uint64_t n = 0;

        memcpy(&n, row_value(row), MIN((size_t)row->value_size, sizeof(n)));
        return be64toh(n);
}

static uint64_t sort_number(const struct range_read *x, const struct row *row) {
        switch (x->request.sort_target) {
        case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VERSION:
                return (uint64_t)row->version;
        case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE:
                return (uint64_t)row->create;
        case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__MOD:
                return (uint64_t)row->rev;
        case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE:
                return value_number(row);
        default:
                return 0;
        }
}

static int add_sorted(struct range_read *x, const struct row *row) {
        if (x->found == x->allocated) {
                size_t want = x->allocated ? x->allocated * 2 : 256;
                struct sorted *v = reallocarray(x->v, want, sizeof(*v));

                if (!v)
                        return -ENOMEM;
                x->v = v;
                x->allocated = want;
        }
        x->v[x->found] = (struct sorted){.number = sort_number(x, row), .seq = row->seq};
        return 0;
}

/* An existing key. Without filters and order nothing has to be read once the limit is reached.
 */
static int collect(
                struct range_read *x, struct mvcc *m, const struct place *place, work_left *work) {
        _cleanup_row_ struct row *row = NULL;
        const Request *request = &x->request;
        bool by_value = x->sorts &&
                        request->sort_target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE;
        bool shows = request->limit <= 0 || x->found < (size_t)request->limit;
        int r;

        x->total++;
        if (request->count_only || (!x->sorts && !x->filters && !shows)) {
                x->found++;
                return 0;
        }
        if (x->sorts && x->found >= x->collect_max)
                return 0;
        r = by_value ? read_row(m, place_seq(place), &row, work)
                     : read_head(m, place_seq(place), &row, work);
        if (r < 0)
                return r;
        if (!passes(x, row->rev, row->create))
                return 0;
        if (x->sorts) {
                r = add_sorted(x, row);
                if (r < 0)
                        return r;
        }
        if (x->sorts || shows)
                x->rows_size += wire_kv_size(x->field, row, kv_flags(x));
        x->found++;
        return 0;
}

static void plan_done(struct range_read *x) {
        const Request *r = &x->request;
        bool more = !r->count_only && x->shown < x->found;

        if (!(x->flags & RANGE_READ_ROWS_ONLY)) {
                wire_bool(&x->tail, 3, more);
                wire_uint(&x->tail, 4, x->total);
        }
        x->size = x->rows_size + x->tail.size;
        x->next = mfree(x->next);
        x->next_size = 0;
        x->at = 0;
        x->other = mfree(x->other);
        x->phase = WRITE;
}

static int collected(struct range_read *x) {
        const Request *r = &x->request;

        x->shown = r->count_only                                 ? 0
                   : r->limit > 0 && x->found > (size_t)r->limit ? (size_t)r->limit
                                                                 : x->found;
        if (!x->sorts || x->found == 0) {
                plan_done(x);
                return 0;
        }
        x->other = reallocarray(NULL, x->allocated, sizeof(*x->other));
        if (!x->other)
                return -ENOMEM;
        x->merge = (struct merging){.width = 1, .right = 1};
        x->phase = SORT;
        return 1;
}

static int collect_step(struct range_read *x, struct mvcc *m, work_left *work) {
        struct mvcc_walk w;
        const struct index_item *it;
        int r = 0;

        for (begin_walk(x, m, &w); r >= 0 && (it = mvcc_walk_item(&w)); mvcc_walk_next(&w)) {
                struct place place;

                if (*work <= 0) {
                        r = keep_place(x, it, false);
                        return r < 0 ? r : 1;
                }
                *work -= WORK_KEY;
                if (is_visible(x, it, &place))
                        r = collect(x, m, &place, work);
        }
        return r < 0 ? r : collected(x);
}

/* ---- order ---- */

static int merge_row(
                struct range_read *x, struct mvcc *m, unsigned side, int64_t seq, work_left *work) {
        struct row **row = &x->merge.rows[side];

        if (*row && (*row)->seq == seq)
                return 0;
        *row = row_unref(*row);
        return read_row(m, seq, row, work);
}

/* Whether the right one comes first; equal ones stay in the order of keys, backwards too. */
static int right_is_first(struct range_read *x, struct mvcc *m, const struct sorted *left,
                const struct sorted *right, work_left *work) {
        const struct row *const *rows = (const struct row *const *)x->merge.rows;
        int r;

        if (left->number != right->number)
                return (right->number < left->number) != x->descends;
        if (x->request.sort_target != ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE)
                return 0;
        r = merge_row(x, m, 0, left->seq, work);
        if (r < 0)
                return r;
        r = merge_row(x, m, 1, right->seq, work);
        if (r < 0)
                return r;
        r = key_compare(row_value(rows[1]), rows[1]->value_size, row_value(rows[0]),
                        rows[0]->value_size);
        return x->descends ? r > 0 : r < 0;
}

static int sort_step(struct range_read *x, struct mvcc *m, work_left *work) {
        struct merging *g = &x->merge;
        size_t n = x->found;

        for (; g->width < n; *work -= WORK_KEY) {
                size_t middle = MIN(g->low + g->width, n), end = MIN(middle + g->width, n);
                int r = 0;

                if (*work <= 0)
                        return 1;
                if (g->left < middle && g->right < end)
                        r = right_is_first(x, m, &x->v[g->left], &x->v[g->right], work);
                else if (g->left >= middle)
                        r = 1;
                if (r < 0)
                        return r;
                x->other[g->out++] = x->v[r > 0 ? g->right++ : g->left++];
                if (g->out < end)
                        continue;
                if (end == n) { /* this width is done */
                        struct sorted *v = x->v;

                        x->v = x->other;
                        x->other = v;
                        g->width *= 2;
                        g->low = g->out = g->left = 0;
                } else
                        g->low = g->left = g->out;
                g->right = MIN(g->low + g->width, n);
        }
        forget_merge_rows(x);
        if (x->shown == x->found) {
                plan_done(x);
                return 0;
        }
        x->rows_size = 0;
        x->phase = MEASURE;
        return 1;
}

static int64_t nth_seq(const struct range_read *x, size_t i) {
        bool from_behind = x->descends &&
                           x->request.sort_target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY;

        return x->v[from_behind ? x->found - 1 - i : i].seq;
}

/* The size of those that are shown, where the limit leaves some out. */
static int measure_step(struct range_read *x, struct mvcc *m, work_left *work) {
        for (; x->at < x->shown; x->at++) {
                _cleanup_row_ struct row *row = NULL;
                int r;

                if (*work <= 0)
                        return 1;
                r = read_head(m, nth_seq(x, x->at), &row, work);
                if (r < 0)
                        return r;
                x->rows_size += wire_kv_size(x->field, row, kv_flags(x));
        }
        plan_done(x);
        return 0;
}

int range_read_plan(struct range_read *x, struct mvcc *m, work_left *work) {
        int r = 1;

        while (x->phase != WRITE && r > 0 && *work > 0) {
                if (x->phase == COLLECT)
                        r = collect_step(x, m, work);
                else if (x->phase == SORT)
                        r = sort_step(x, m, work);
                else
                        r = measure_step(x, m, work);
        }
        if (r >= 0 && x->tail.failed)
                return -ENOMEM;
        return r < 0 ? r : x->phase != WRITE;
}

uint64_t range_read_size(const struct range_read *x) {
        assert(x->phase == WRITE);
        return x->size;
}

/* ---- writing ---- */

/* Takes the row at hand. */
static int begin_row(struct range_read *x, struct row *row) {
        size_t value_size = x->request.keys_only ? 0 : row->value_size;

        row_unref(x->row);
        x->row = row;
        x->row_seq = row->seq;
        buf_reset(&x->edges);
        wire_kv_edges(&x->edges, x->field, row, kv_flags(x), &x->before_size);
        if (x->edges.failed)
                return -ENOMEM;
        x->row_size = x->edges.size + value_size;
        return 0;
}

static int next_row(struct range_read *x, struct mvcc *m, int64_t seq, work_left *work) {
        struct row *row;
        int r = x->request.keys_only ? read_head(m, seq, &row, work) : read_row(m, seq, &row, work);

        return r < 0 ? r : begin_row(x, row);
}

/* As much of the row as there is room for. */
static void write_part(struct range_read *x, struct buf *out, size_t size_max, work_left *work) {
        size_t had = out->size;

        while (x->row_done < x->row_size && out->size < size_max && !out->failed) {
                size_t room = size_max - out->size, value_size = x->row_size - x->edges.size;
                size_t at = x->row_done, n;
                const char *from;

                if (at < x->before_size) {
                        from = x->edges.data + at;
                        n = x->before_size - at;
                } else if (at < x->before_size + value_size) {
                        from = row_value(x->row) + (at - x->before_size);
                        n = x->before_size + value_size - at;
                } else {
                        from = x->edges.data + (at - value_size);
                        n = x->row_size - at;
                }
                n = MIN(n, room);
                (void)buf_append(out, from, n);
                x->row_done += n;
        }
        *work -= (int64_t)(out->size - had) / WORK_BYTES / 4;
        x->written += out->size - had;
}

/* The rest of the row that did not fit before: 1 while it is not out. */
static int write_rest(struct range_read *x, struct mvcc *m, struct buf *out, size_t size_max,
                work_left *work) {
        if (!x->in_row)
                return 0;
        if (!x->row) {
                int r = next_row(x, m, x->row_seq, work);

                if (r < 0)
                        return r;
        }
        write_part(x, out, size_max, work);
        x->in_row = x->row_done < x->row_size;
        if (!x->in_row)
                x->row = row_unref(x->row);
        return x->in_row;
}

/* A row begins; it must not exceed the plan. */
static int write_row(struct range_read *x, struct mvcc *m, int64_t seq, struct buf *out,
                size_t size_max, work_left *work) {
        int r = next_row(x, m, seq, work);

        if (r < 0)
                return r;
        if (x->written + x->row_size > x->rows_size)
                return -ESTALE;
        x->row_done = 0;
        x->in_row = true;
        x->at++;
        return write_rest(x, m, out, size_max, work);
}

static int write_sorted(struct range_read *x, struct mvcc *m, struct buf *out, size_t size_max,
                work_left *work) {
        int r = 0;

        while (r == 0 && x->at < x->shown) {
                if (*work <= 0 || out->size >= size_max)
                        return 1;
                r = write_row(x, m, nth_seq(x, x->at), out, size_max, work);
        }
        return r;
}

static int filter_out(struct range_read *x, struct mvcc *m, int64_t seq, work_left *work) {
        _cleanup_row_ struct row *row = NULL;
        int r = x->filters ? read_head(m, seq, &row, work) : 0;

        return r < 0 ? r : x->filters && !passes(x, row->rev, row->create);
}

static int write_in_order(struct range_read *x, struct mvcc *m, struct buf *out, size_t size_max,
                work_left *work) {
        struct mvcc_walk w;
        const struct index_item *it;
        int r;

        if (x->at == x->shown)
                return 0;
        for (begin_walk(x, m, &w); (it = mvcc_walk_item(&w)); mvcc_walk_next(&w)) {
                struct place place;

                if (*work <= 0 || out->size >= size_max) {
                        r = keep_place(x, it, false);
                        return r < 0 ? r : 1;
                }
                *work -= WORK_KEY;
                if (!is_visible(x, it, &place))
                        continue;
                r = filter_out(x, m, place_seq(&place), work);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                r = write_row(x, m, place_seq(&place), out, size_max, work);
                if (r < 0)
                        return r;
                if (r > 0)
                        return keep_place(x, it, true) < 0 ? -ENOMEM : r;
                if (x->at == x->shown)
                        return 0;
        }
        return 0;
}

static int write_rows(struct range_read *x, struct mvcc *m, struct buf *out, size_t size_max,
                work_left *work) {
        int r = write_rest(x, m, out, size_max, work);

        if (r != 0)
                return r;
        return x->sorts ? write_sorted(x, m, out, size_max, work)
                        : write_in_order(x, m, out, size_max, work);
}

int range_read_write(struct range_read *x, struct mvcc *m, struct buf *out, size_t size_max,
                work_left *work) {
        int r;

        assert(x->phase == WRITE);
        r = write_rows(x, m, out, size_max, work);
        if (out->failed)
                return -ENOMEM;
        if (r != 0)
                return r;
        if (x->written != x->rows_size)
                return -ESTALE;
        (void)buf_append(out, strempty(x->tail.data), x->tail.size);
        return out->failed ? -ENOMEM : 0;
}
