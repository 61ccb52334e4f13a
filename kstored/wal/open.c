/* Reading the log at a start, and beginning one.
 *
 * Blocks are read in order as long as each is whole, has the next number and continues the chain.
 * Where that ends is either the end of the log, perhaps with a block that a crash cut short and
 * that was never acknowledged, or damage. It is damage when anything shows that the log went
 * further durably: the mark, or a whole block or segment behind it that was written after the
 * missing one was synced. */
#include "kstored/disk/checksum.h"
#include "kstored/disk/damage.h"
#include "kstored/raft/bugs.h"
#include "kstored/wal/internal.h"

#define READ_BYTES_MAX ((uint64_t)2 * WAL_PAYLOAD_MAX) /* of one segment */

struct log_reader {
        struct wal *w;
        struct wal_contents *c;
        struct problem *p;
        bool marked;
        struct wal_mark mark;
        uint64_t stranger; /* the mark is of this other member */
        uint8_t *data;     /* the segment that is being read */
        uint64_t size;
        uint64_t first_unmarked; /* where the first block behind the mark begins; 0: none yet */
};

static int corrupt(struct log_reader *x, const char *what) {
        char name[WAL_NAME_SIZE] = "";

        if (x->w->segments.count > 0)
                wal_segment_name(name, x->w->segments.items[x->w->segments.count - 1].number);
        return damage_problem(x->p, "the log is damaged behind block %llu (kstored.log.%s): %s",
                        (unsigned long long)x->w->number, name, what);
}

static int file_trouble(struct log_reader *x, const char *name, int error) {
        return problem_set(x->p, -error, 0, NULL, "cannot read the log file kstored.log.%s: %s",
                        name, strerror(-error));
}

/* ---- the log that the records make up */

static uint64_t last_index(const struct wal_contents *c) {
        return c->base_index + c->entry_count;
}

static uint64_t term_of(const struct wal_contents *c, uint64_t index) {
        return index == c->base_index ? c->base_term : c->entries[index - c->base_index - 1]->term;
}

static void cut(struct wal_contents *c, uint64_t index, uint64_t term) {
        bool known = index >= c->base_index && index <= last_index(c) && term_of(c, index) == term;
        size_t keep = known ? index - c->base_index : 0;

        while (c->entry_count > keep)
                raft_entry_unref(c->entries[--c->entry_count]);
        if (!known) {
                c->base_index = index;
                c->base_term = term;
        }
}

static int take_entry(struct log_reader *x, const struct wal_record *record) {
        struct wal_contents *c = x->c;
        struct raft_entry *e;

        if (record->a != last_index(c) + 1)
                return corrupt(x, "its entries have a gap");
        if (record->a <= x->w->options.skip_to && c->entry_count == 0) {
                c->base_index = record->a;
                c->base_term = record->b;
                return 0;
        }
        e = raft_entry_new(record->a, record->b, record->type, record->data, record->size);
        return e ? wal_contents_add(c, e) : -ENOMEM;
}

static int take_block(struct log_reader *x, const struct wal_block *b) {
        struct wal_segment *segment = &x->w->segments.items[x->w->segments.count - 1];
        struct wal_record record;
        size_t at = 0;
        int r;

        while ((r = wal_record_next(b, &at, &record)) > 0) {
                switch (record.kind) {
                case WAL_STATE:
                        x->c->term = record.a;
                        x->c->vote = record.b;
                        break;
                case WAL_END:
                        cut(x->c, record.a, record.b);
                        break;
                case WAL_ENTRY:
                        r = take_entry(x, &record);
                        break;
                default:
                        return corrupt(x, "a record of a newer kstored: start the newer program");
                }
                if (r < 0)
                        return r;
                segment->last_index = MAX(segment->last_index, last_index(x->c));
        }
        return r < 0 ? corrupt(x, "a record does not fit its block") : 0;
}

/* ---- blocks and segments */

static bool block_at(const struct log_reader *x, uint64_t at, struct wal_block *ret) {
        return at < x->size && wal_block_read(x->data + at, x->size - at, x->w->salt, ret);
}

/* Whether anything from this place of the segment on shows that a block is missing here. */
static bool more_behind(const struct log_reader *x, uint64_t at) {
        struct wal_block b;

        for (; at < x->size; at += WAL_PAGE)
                if (block_at(x, at, &b) && b.synced > x->w->number)
                        return true;
        return false;
}

static int read_blocks(struct log_reader *x) {
        struct wal *w = x->w;
        uint64_t at = WAL_PAGE;
        struct wal_block b;
        int r;

        while (block_at(x, at, &b)) {
                if (b.number != w->number + 1 || b.before != w->before)
                        break;
                r = take_block(x, &b);
                if (r < 0)
                        return r;
                w->number = b.number;
                w->before = b.sum;
                if (b.number == x->mark.number && b.sum != x->mark.sum)
                        return corrupt(x, "its mark belongs to another log");
                if (b.number > x->mark.number && x->first_unmarked == 0)
                        x->first_unmarked = at;
                at += b.pages_size;
        }
        w->at = at;
        if (more_behind(x, at) && !bug(BUG_WAL_END_AT_DAMAGE))
                return corrupt(x, "a block is not what was written, and later ones follow");
        return 0;
}

static int read_whole(struct log_reader *x, const char *name) {
        const struct wal_file_ops *ops = x->w->options.files.ops;
        int r;

        x->w->file = ops->close(x->w->file);
        free(TAKE_PTR(x->data));
        x->size = 0;
        r = ops->open(x->w->options.files.folder, name, false, &x->w->file);
        if (r < 0)
                return r;
        r = ops->size(x->w->file, &x->size);
        if (r < 0)
                return r;
        if (x->size > READ_BYTES_MAX)
                return -EFBIG;
        x->data = malloc(MAX(x->size, (uint64_t)WAL_PAGE));
        if (!x->data)
                return -ENOMEM;
        return ops->read(x->w->file, x->data, x->size, 0);
}

static int load(struct log_reader *x, const char *name) {
        int r = read_whole(x, name);

        return r < 0 ? file_trouble(x, name, r) : 0;
}

/* A head's values must follow from all before it. */
static bool head_fits(const struct log_reader *x, const struct wal_head *h) {
        const struct wal *w = x->w;

        if (w->segments.count == 0)
                return true;
        return h->number == w->number + 1 && h->before == w->before;
}

/* 1: read; 0: this segment was begun and nothing in it counts. */
static int read_segment(struct log_reader *x, uint64_t number) {
        struct wal *w = x->w;
        char name[WAL_NAME_SIZE];
        struct wal_head h;
        bool sound;
        int r;

        wal_segment_name(name, number);
        r = load(x, name);
        if (r < 0)
                return r;
        if (x->size >= WAL_PAGE && wal_head_newer(x->data))
                return problem_set(x->p, EINVAL, 0, NULL,
                                "kstored.log.%s has format %llu, written by a newer kstored; this "
                                "one knows formats up to %d: start the newer program",
                                name, (unsigned long long)wal_head_newer(x->data), WAL_FORMAT);
        sound = x->size >= WAL_PAGE && wal_head_decode(x->data, &h) && h.number == number;
        if (!sound && w->segments.count == 0)
                return damage_problem(x->p, "the first page of kstored.log.%s is damaged", name);
        if (!sound)
                return 0;
        if (h.member_id != w->options.member_id)
                return damage_problem(x->p, "kstored.log.%s is of another member (%llx, not %llx)",
                                name, (unsigned long long)h.member_id,
                                (unsigned long long)w->options.member_id);
        if (!head_fits(x, &h))
                return bug(BUG_WAL_END_AT_DAMAGE)
                                       ? 0
                                       : corrupt(x, "the next segment does not follow from it");
        if (w->segments.count == 0) {
                *x->c = (struct wal_contents){.term = h.term,
                                .vote = h.vote,
                                .base_index = h.base_index,
                                .base_term = h.base_term};
                w->number = h.number - 1;
                w->before = h.before;
        }
        w->salt = h.salt;
        r = wal_segment_add(w, number, last_index(x->c));
        if (r < 0)
                return r;
        x->first_unmarked = 0;
        r = read_blocks(x);
        if (r < 0)
                return r;
        w->size = x->size;
        return 1;
}

/* ---- the mark */

static int read_mark(struct log_reader *x) {
        struct wal *w = x->w;
        const struct wal_file_ops *ops = w->options.files.ops;
        uint8_t page[WAL_PAGE];
        uint64_t size = 0;
        int r = ops->size(w->mark, &size);

        if (r < 0)
                return r;
        for (uint64_t slot = 0; slot < WAL_MARK_SLOTS && size >= (slot + 1) * WAL_PAGE; slot++) {
                struct wal_mark m;

                r = ops->read(w->mark, page, sizeof(page), slot * WAL_PAGE);
                if (r < 0)
                        return r;
                if (!wal_mark_decode(page, &m))
                        continue;
                if (m.member_id != w->options.member_id) {
                        x->stranger = m.member_id;
                        continue;
                }
                if (!x->marked || m.number > x->mark.number)
                        x->mark = m;
                x->marked = true;
        }
        return 0;
}

/* 0 also when it is not there. */
static int open_mark(struct log_reader *x) {
        struct wal *w = x->w;
        int r = w->options.files.ops->open(
                        w->options.files.folder, WAL_MARK_NAME, false /* make */, &w->mark);

        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return file_trouble(x, WAL_MARK_NAME, r);
        r = read_mark(x);
        return r < 0 ? file_trouble(x, WAL_MARK_NAME, r) : 0;
}

/* ---- all of it */

static int by_number(const void *a, const void *b) {
        const uint64_t *x = a, *y = b;

        return *x < *y ? -1 : *x > *y;
}

/* Segments in order; spare files are noted for reuse. */
static int list(struct wal *w, uint64_t **ret, size_t *ret_count) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ uint64_t *v = NULL;
        size_t n = 0;
        int r = w->options.files.ops->list(w->options.files.folder, &names);

        if (r < 0)
                return r;
        v = calloc(strv_length(names) + 1, sizeof(v[0]));
        if (!v)
                return -ENOMEM;
        w->spare_count = 0;
        for (char **name = names; name && *name; name++) {
                if (wal_segment_number(*name, &v[n]))
                        n++;
                else if (startswith(*name, WAL_SPARE_PREFIX) && strlen(*name) < WAL_NAME_SIZE &&
                                w->spare_count < WAL_SPARES_MAX)
                        snprintf(w->spares[w->spare_count++], WAL_NAME_SIZE, "%s", *name);
        }
        assert(w->spare_count <= WAL_SPARES_MAX);
        qsort(v, n, sizeof(v[0]), by_number);
        *ret = TAKE_PTR(v);
        *ret_count = n;
        return 0;
}

static int read_all(struct log_reader *x, const uint64_t *numbers, size_t n) {
        char name[WAL_NAME_SIZE];
        size_t i;
        int r = 1;

        for (i = 0; i < n; i++) {
                r = read_segment(x, numbers[i]);
                if (r <= 0)
                        break;
        }
        if (r < 0)
                return r;
        if (i + 1 < n && !bug(BUG_WAL_END_AT_DAMAGE))
                return corrupt(x, "the first page of the next segment is damaged");
        if (x->mark.number > x->w->number && !bug(BUG_WAL_END_AT_DAMAGE))
                return corrupt(x, "it ends there, but more was durable");
        if (i == n)
                return 0;
        /* Begun when the process ended: nothing in it was ever relied on. */
        wal_segment_name(name, numbers[i]);
        r = x->w->options.files.ops->remove(x->w->options.files.folder, name);
        return r < 0 ? r : load(x, (wal_segment_name(name, numbers[i - 1]), name));
}

/* Writes of a killed process may be in the kernel's memory only, and a sync that
 * failed then may have made the kernel forget that it has to be written. It is built upon from here
 * on, so it is written again and synced. */
static int write_again(struct log_reader *x) {
        struct wal *w = x->w;
        const struct wal_file_ops *ops = w->options.files.ops;
        int r;

        assert(w->file && w->at % WAL_PAGE == 0);
        assert(x->first_unmarked < x->size);
        if (x->first_unmarked != 0) {
                r = ops->write(w->file, x->data + x->first_unmarked,
                                MIN(w->at, x->size) - x->first_unmarked, x->first_unmarked);
                if (r < 0)
                        return r;
        }
        r = ops->sync(w->file);
        if (r < 0)
                return r;
        r = ops->sync_names(w->options.files.folder);
        if (r < 0)
                return r;
        w->synced = w->number;
        r = wal_move_mark(w);
        if (r < 0)
                return r;
        return wal_sync_mark(w);
}

static int settle(struct log_reader *x) {
        int r;

        if (bug(BUG_OPEN_UNSYNCED))
                return 0;
        r = write_again(x);
        return r < 0 ? problem_set(x->p, -r, 0, NULL, "cannot make the log durable: %s",
                                       strerror(-r))
                     : 0;
}

static int open_log(struct log_reader *x) {
        _cleanup_free_ uint64_t *numbers = NULL;
        struct wal *w = x->w;
        size_t n = 0;
        int r = open_mark(x);

        if (r < 0)
                return r;
        r = list(w, &numbers, &n);
        if (r < 0)
                return r;
        if (n == 0 && !w->mark)
                return -ENOENT;
        if (n == 0)
                return damage_problem(x->p, "the files of the log are gone, and only its mark "
                                            "(kstored.log.mark) is there");
        if (!x->marked && x->stranger != 0)
                return damage_problem(x->p,
                                "the log (kstored.log.mark) is of another member "
                                "(%llx, not %llx)",
                                (unsigned long long)x->stranger,
                                (unsigned long long)w->options.member_id);
        if (!x->marked)
                return damage_problem(x->p, "the log's mark (kstored.log.mark) is %s",
                                w->mark ? "damaged" : "gone");
        r = read_all(x, numbers, n);
        if (r < 0)
                return r;
        w->term = x->c->term;
        w->vote = x->c->vote;
        w->last_index = last_index(x->c);
        w->last_term = term_of(x->c, w->last_index);
        return settle(x);
}

int wal_open(struct wal **ret, const struct wal_options *o, struct wal_contents *ret_contents,
                struct problem *p) {
        _cleanup_(wal_freep) struct wal *w = NULL;
        struct wal_contents c = {0};
        struct log_reader x = {.c = &c, .p = p};
        int r = wal_new(&w, o);

        if (r < 0)
                return r;
        x.w = w;
        r = open_log(&x);
        free(x.data);
        if (r < 0) {
                wal_contents_done(&c);
                return r;
        }
        *ret_contents = c;
        *ret = TAKE_PTR(w);
        return 0;
}

int wal_was_written(const struct wal_options *o) {
        _cleanup_(wal_freep) struct wal *w = NULL;
        _cleanup_free_ uint64_t *numbers = NULL;
        _cleanup_problem_ struct problem p = {0};
        struct log_reader x = {.p = &p};
        size_t n = 0;
        int r = wal_new(&w, o);

        if (r < 0)
                return r;
        x.w = w;
        r = list(w, &numbers, &n);
        if (r < 0)
                return r;
        r = open_mark(&x);
        return r < 0 ? r : (n > 0 && numbers[n - 1] > 1) || x.mark.number > 1;
}

static int remove_all(struct wal *w) {
        const struct wal_file_ops *ops = w->options.files.ops;
        _cleanup_strv_free_ char **names = NULL;
        int r = ops->list(w->options.files.folder, &names);

        if (r < 0)
                return r;
        for (char **name = names; name && *name; name++) {
                r = ops->remove(w->options.files.folder, *name);
                if (r < 0)
                        return r;
        }
        return ops->sync_names(w->options.files.folder);
}

/* An empty log, whose first block says where it starts. */
static int begin(struct wal *w, const struct wal_contents *start) {
        static const uint8_t zeros[WAL_MARK_SLOTS * WAL_PAGE];
        const struct wal_file_ops *ops = w->options.files.ops;
        struct wal_batch first = {.term = start->term,
                        .vote = start->vote,
                        .truncate_from = start->base_index + 1,
                        .truncate_term = start->base_term,
                        .entries = start->entries,
                        .entry_count = start->entry_count,
                        .sync = true};
        int r = remove_all(w);

        if (r < 0)
                return r;
        r = ops->open(w->options.files.folder, WAL_MARK_NAME, true /* make */, &w->mark);
        if (r < 0)
                return r;
        r = ops->write(w->mark, zeros, sizeof(zeros), 0);
        if (r < 0)
                return r;
        w->last_index = start->base_index;
        w->last_term = start->base_term;
        w->term = start->term;
        w->vote = start->vote;
        r = wal_write(w, &first);
        if (r < 0)
                return r;
        return wal_sync_mark(w);
}

static int begin_problem(int r, struct problem *p) {
        return problem_set(p, -r, 0, NULL, "cannot begin the log: %s%s", strerror(-r),
                        r == -ENOSPC ? "; make room on the disk" : "");
}

int wal_create(struct wal **ret, const struct wal_options *o, const struct wal_contents *start,
                struct problem *p) {
        _cleanup_(wal_freep) struct wal *w = NULL;
        int r = wal_new(&w, o);

        if (r < 0)
                return begin_problem(r, p);
        r = begin(w, start);
        if (r < 0)
                return begin_problem(r, p);
        *ret = TAKE_PTR(w);
        return 0;
}
