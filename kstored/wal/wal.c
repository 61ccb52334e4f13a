/* Writing the log. A block goes behind the last one, into bytes that are there already where
 * possible: syncing an overwritten place is cheap, making a new length durable is not. So a new
 * segment grows ahead of the writer by zeros, and segments that are no longer needed are
 * overwritten under a new name. */
#include "kstored/wal/internal.h"

#include "kstored/disk/checksum.h"
#include "kstored/raft/bugs.h"

enum { BLOCK_KEPT_BYTES = 4 * 1024 * 1024 }; /* the buffer of a larger one is freed */

void wal_batch_clear(struct wal_batch *b) {
        for (size_t i = 0; i < b->entry_count; i++)
                raft_entry_unref(b->entries[i]);
        free(b->entries);
        *b = (struct wal_batch){0};
}

void wal_contents_done(struct wal_contents *c) {
        for (size_t i = 0; i < c->entry_count; i++)
                raft_entry_unref(c->entries[i]);
        free(c->entries);
        *c = (struct wal_contents){0};
}

int wal_contents_add(struct wal_contents *c, struct raft_entry *entry) {
        struct raft_entry **v = vector_grown(c->entries, &c->entries_allocated, c->entry_count + 1,
                        sizeof(c->entries[0]));

        assert(entry->index == c->base_index + c->entry_count + 1);
        if (!v) {
                raft_entry_unref(entry);
                return -ENOMEM;
        }
        c->entries = v;
        c->entries[c->entry_count++] = entry;
        return 0;
}

int wal_new(struct wal **ret, const struct wal_options *o) {
        struct wal *w = calloc(1, sizeof(*w));

        if (!w)
                return -ENOMEM;
        w->options = *o;
        if (w->options.segment_bytes == 0)
                w->options.segment_bytes = WAL_SEGMENT_BYTES;
        if (w->options.step_bytes == 0)
                w->options.step_bytes = WAL_STEP_BYTES;
        *ret = w;
        return 0;
}

struct wal *wal_free(struct wal *w) {
        const struct wal_file_ops *ops;

        if (!w)
                return NULL;
        ops = w->options.files.ops;
        w->file = ops->close(w->file);
        w->mark = ops->close(w->mark);
        buf_done(&w->block);
        vector_done(&w->segments);
        return mfree(w);
}

void wal_segment_name(char name[static WAL_NAME_SIZE], uint64_t number) {
        snprintf(name, WAL_NAME_SIZE, "%016llx", (unsigned long long)number);
}

bool wal_segment_number(const char *name, uint64_t *ret) {
        char again[WAL_NAME_SIZE];
        char *end = NULL;

        *ret = strtoull(name, &end, 16);
        wal_segment_name(again, *ret);
        return *end == 0 && streq(name, again);
}

int wal_segment_add(struct wal *w, uint64_t number, uint64_t last_index) {
        assert(w->segments.count == 0 || w->segments.items[w->segments.count - 1].number < number);
        return vector_append(&w->segments,
                        ((struct wal_segment){.number = number, .last_index = last_index}));
}

int wal_move_mark(struct wal *w) {
        struct wal_mark m = {
                        .member_id = w->options.member_id, .number = w->number, .sum = w->before};
        uint8_t page[WAL_PAGE];
        int r;

        assert(w->mark);
        assert(w->synced <= w->number);
        wal_mark_encode(&m, page);
        r = w->options.files.ops->write(
                        w->mark, page, sizeof(page), m.number % WAL_MARK_SLOTS * WAL_PAGE);
        if (r < 0)
                return r;
        atomic_store(&w->mark_moved, true);
        return 0;
}

bool wal_mark_is_ahead(const struct wal *w) {
        return atomic_load(&w->mark_moved);
}

int wal_sync_mark(struct wal *w) {
        int r;

        if (!atomic_exchange(&w->mark_moved, false))
                return 0;
        r = w->options.files.ops->sync(w->mark);
        if (r < 0)
                atomic_store(&w->mark_moved, true);
        return r;
}

/* Zeros ahead of the writer. A failure does not matter: the write itself will fail. */
static void grow(struct wal *w, size_t need) {
        static const uint8_t zeros[64 * 1024];
        uint64_t end = w->at + need, to;

        if (end <= w->size)
                return;
        to = (end / w->options.step_bytes + 1) * w->options.step_bytes;
        if (to > w->options.segment_bytes)
                to = MAX(end, (uint64_t)w->options.segment_bytes);
        for (uint64_t at = end; at < to;) {
                size_t n = (size_t)MIN(to - at, (uint64_t)sizeof(zeros));

                if (w->options.files.ops->write(w->file, zeros, n, at) < 0)
                        return;
                at += n;
                w->size = at;
        }
}

/* The block's records; false when there are none, then no block is written. */
static bool compose(struct wal *w, const struct wal_batch *b) {
        static const uint8_t head[WAL_PAGE];

        buf_reset(&w->block);
        (void)buf_append(&w->block, head, sizeof(head)); /* in case that a segment begins here */
        wal_block_begin(&w->block);
        if ((b->term != w->term || b->vote != w->vote) && !bug(BUG_VOTE_NOT_SAVED))
                wal_block_add(&w->block, WAL_STATE, b->term, b->vote);
        if (b->truncate_from > 0)
                wal_block_add(&w->block, WAL_END, b->truncate_from - 1, b->truncate_term);
        for (size_t i = 0; i < b->entry_count; i++)
                wal_block_add_entry(&w->block, b->entries[i]);
        return b->truncate_from > 0 || b->entry_count > 0 || b->term != w->term ||
               b->vote != w->vote;
}

static void remove_spares(struct wal *w) {
        while (w->spare_count > 0)
                (void)w->options.files.ops->remove(
                                w->options.files.folder, w->spares[--w->spare_count]);
}

/* The file for a segment that begins with the next block: a spare one, or a new one. */
static int next_file(struct wal *w, const char *name, struct wal_file **ret, uint64_t *ret_size) {
        const struct wal_file_ops *ops = w->options.files.ops;
        void *folder = w->options.files.folder;
        int r;

        *ret_size = 0;
        while (w->spare_count > 0) {
                r = ops->rename(folder, w->spares[--w->spare_count], name);
                if (r >= 0)
                        break;
                if (r != -ENOENT) /* wal_give_back() removed it */
                        return r;
        }
        r = ops->open(folder, name, true, ret);
        if (r < 0)
                return r;
        return ops->size(*ret, ret_size);
}

/* The new segment's file becomes the one that is written, and gets the composed block. *ret is for
 * the caller to close when this fails; NULL when it was not opened. */
static int fill_segment(struct wal *w, const char *name, bool sync, struct wal_file **ret) {
        const struct wal_file_ops *ops = w->options.files.ops;
        uint64_t size = 0;
        int r = next_file(w, name, ret, &size);

        if (r < 0)
                return r;
        w->file = *ret;
        w->at = 0;
        w->size = size;
        grow(w, w->block.size);
        r = ops->write(*ret, w->block.data, w->block.size, 0);
        if (r < 0)
                return r;
        if (sync) {
                r = ops->sync(*ret);
                if (r < 0)
                        return r;
        }
        return ops->sync_names(w->options.files.folder);
}

/* Writes the composed block at the head of a new segment. The log is as before when it fails. */
static int write_segment(struct wal *w, struct wal_block *x, bool sync) {
        const struct wal_file_ops *ops = w->options.files.ops;
        struct wal_file *file = NULL, *old = w->file;
        uint64_t old_at = w->at, old_size = w->size;
        struct wal_head h = {.salt = checksum(&x->number, sizeof(x->number), w->options.seed),
                        .number = x->number,
                        .before = x->before,
                        .synced = x->synced,
                        .member_id = w->options.member_id,
                        .term = w->term,
                        .vote = bug(BUG_WAL_HEAD_VOTE) ? 0 : w->vote,
                        .base_index = w->last_index,
                        .base_term = w->last_term};
        char name[WAL_NAME_SIZE];
        int r;

        assert(x->number == w->number + 1 && x->before == w->before);
        assert(w->block.size > WAL_PAGE); /* the page of the head, and the block */
        wal_head_encode(&h, (uint8_t *)w->block.data);
        r = wal_block_end(&w->block, WAL_PAGE, h.salt, x);
        if (r < 0)
                return r;
        wal_segment_name(name, x->number);
        r = wal_segment_add(w, x->number, w->last_index);
        if (r < 0)
                return r;
        r = fill_segment(w, name, sync, &file);
        if (r < 0) {
                ops->close(file);
                (void)ops->remove(w->options.files.folder, name);
                w->file = old;
                w->at = old_at;
                w->size = old_size;
                w->segments.count--;
                return r;
        }
        ops->close(old);
        w->salt = h.salt;
        w->at = w->block.size;
        w->size = MAX(w->size, w->at);
        return 0;
}

static int write_block(struct wal *w, struct wal_block *x, bool sync) {
        const struct wal_file_ops *ops = w->options.files.ops;
        int r;

        assert(x->number == w->number + 1 && x->before == w->before);
        assert(w->file && w->at >= WAL_PAGE && w->at % WAL_PAGE == 0);
        r = wal_block_end(&w->block, WAL_PAGE, w->salt, x);
        if (r < 0)
                return r;
        grow(w, x->pages_size);
        if (bug(BUG_WAL_MARK_EARLY)) {
                w->number++;
                w->before = x->sum;
                (void)wal_move_mark(w);
                (void)wal_sync_mark(w);
                w->number--;
                w->before = x->before;
        }
        r = ops->write(w->file, w->block.data + WAL_PAGE, x->pages_size, w->at);
        if (r < 0)
                return r;
        if (sync) {
                r = ops->sync(w->file);
                if (r < 0)
                        return r;
        }
        w->at += x->pages_size;
        w->size = MAX(w->size, w->at);
        return 0;
}

/* Segments that are no longer needed, the oldest first. */
static int drop_segments(struct wal *w, uint64_t trim_to) {
        const struct wal_file_ops *ops = w->options.files.ops;
        size_t n = 0;
        int r = 0; /* of a segment that can not be removed: it stops here */

        while (n + 1 < w->segments.count && w->segments.items[n].last_index <= trim_to) {
                char name[WAL_NAME_SIZE], spare[WAL_NAME_SIZE];

                wal_segment_name(name, w->segments.items[n].number);
                snprintf(spare, sizeof(spare), WAL_SPARE_PREFIX "%016llx",
                                (unsigned long long)w->segments.items[n].number);
                if (w->spare_count < WAL_SPARES_MAX &&
                                ops->rename(w->options.files.folder, name, spare) >= 0)
                        memcpy(w->spares[w->spare_count++], spare, sizeof(spare));
                else
                        r = ops->remove(w->options.files.folder, name);
                if (r < 0)
                        break;
                n++;
        }
        if (n == 0)
                return r;
        assert(n < w->segments.count); /* the one that is written stays */
        w->segments.count -= n;
        memmove(w->segments.items, w->segments.items + n,
                        w->segments.count * sizeof(w->segments.items[0]));
        /* A gap would be taken for damage: they are removed in order, also when the power fails. */
        return ops->sync_names(w->options.files.folder);
}

/* The block is written, and must not be written again: a mark that lags on a full disk moves with
 * the next one. A whole segment depends on its head: the mark that covers it is made durable at
 * once. */
static int mark_block(struct wal *w, bool new_segment) {
        int r = wal_move_mark(w);

        if (r >= 0 && new_segment)
                return w->options.files.ops->sync(w->mark);
        return r;
}

static int append(struct wal *w, const struct wal_batch *b) {
        struct wal_block x = {.number = w->number + 1, .before = w->before, .synced = w->synced};
        /* A block that is larger than a segment goes into an empty one, too. */
        bool fits = w->file &&
                    (w->at == WAL_PAGE ||
                                    w->at + w->block.size <= w->options.segment_bytes + WAL_PAGE);
        int r;

        if (w->block.failed)
                return -ENOMEM;
        r = fits ? write_block(w, &x, b->sync) : write_segment(w, &x, b->sync);
        if (r == -ENOSPC && w->spare_count > 0) {
                remove_spares(w);
                (void)compose(w, b);
                r = fits ? write_block(w, &x, b->sync) : write_segment(w, &x, b->sync);
        }
        if (r < 0)
                return r;
        w->number = x.number;
        w->before = x.sum;
        w->term = b->term;
        w->vote = b->vote;
        if (b->truncate_from > 0) {
                w->last_index = b->truncate_from - 1;
                w->last_term = b->truncate_term;
        }
        if (b->entry_count > 0) {
                assert(b->entries[0]->index == w->last_index + 1);
                w->last_index = b->entries[b->entry_count - 1]->index;
                w->last_term = b->entries[b->entry_count - 1]->term;
        }
        assert(w->segments.count > 0);
        w->segments.items[w->segments.count - 1].last_index =
                        MAX(w->segments.items[w->segments.count - 1].last_index, w->last_index);
        if (!b->sync)
                return 0;
        w->synced = w->number;
        r = mark_block(w, !fits);
        return r == -ENOSPC ? 0 : r;
}

int wal_write(struct wal *w, const struct wal_batch *b) {
        int r = compose(w, b) ? append(w, b) : 0;

        if (w->block.allocated > BLOCK_KEPT_BYTES)
                buf_done(&w->block);
        if (r < 0)
                return r;
        r = drop_segments(w, b->trim_to); /* those that stay go another time */
        return r == -ENOSPC ? 0 : r;
}

int wal_reset(struct wal *w, uint64_t index, uint64_t term) {
        return wal_write(w, &(struct wal_batch){.term = w->term,
                                            .vote = w->vote,
                                            .truncate_from = index + 1,
                                            .truncate_term = term,
                                            .sync = true});
}

int wal_give_back(const struct wal *w) {
        const struct wal_file_ops *ops = w->options.files.ops;
        _cleanup_strv_free_ char **names = NULL;
        int r = ops->list(w->options.files.folder, &names);

        if (r < 0)
                return r;
        for (char **name = names; name && *name; name++) {
                if (!startswith(*name, WAL_SPARE_PREFIX))
                        continue;
                r = ops->remove(w->options.files.folder, *name);
                if (r < 0)
                        return r;
        }
        return 0;
}

int wal_finish(struct wal *w) {
        int r;

        assert(w->synced <= w->number);
        if (w->synced < w->number) {
                r = w->options.files.ops->sync(w->file);
                w->synced = w->number;
                if (r < 0)
                        return r;
                r = wal_move_mark(w);
                if (r < 0)
                        return r;
        }
        return wal_sync_mark(w);
}
