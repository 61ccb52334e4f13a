/* The log in memory: entries base_index+1 .. last in one array. The driver bounds it with
 * raft_compact(). Invariants: base <= applied <= commit <= last, saved <= last (check()). */
#include "kstored/raft/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int grow(void **v, size_t *allocated, size_t n, size_t element) {
        size_t want = *allocated ? *allocated : 8;
        void *p;

        if (n <= *allocated)
                return 0;
        while (want < n)
                want *= 2;
        p = realloc(*v, want * element);
        if (!p)
                return -ENOMEM;
        *v = p;
        *allocated = want;
        return 0;
}

struct raft_entry *raft_entry_new(
                uint64_t index, uint64_t term, uint32_t type, const void *data, size_t size) {
        struct raft_entry *e = malloc(sizeof(*e) + size);

        if (!e)
                return NULL;
        *e = (struct raft_entry){
                        .index = index, .term = term, .type = type, .refs = 1, .size = size};
        if (size > 0 && data)
                memcpy(e->data, data, size);
        return e;
}

struct raft_entry *raft_entry_ref(struct raft_entry *e) {
        e->refs++;
        return e;
}

struct raft_entry *raft_entry_unref(struct raft_entry *e) {
        if (e && --e->refs == 0)
                free(e);
        return NULL;
}

uint64_t log_last(const struct raft_log *l) {
        return l->base_index + l->count;
}

struct raft_entry *log_at(const struct raft_log *l, uint64_t index) {
        if (index <= l->base_index || index > log_last(l))
                return NULL;
        return l->entries[l->start + (index - l->base_index - 1)];
}

uint64_t log_term(const struct raft_log *l, uint64_t index) {
        struct raft_entry *e;

        if (index == l->base_index)
                return l->base_term;
        e = log_at(l, index);
        return e ? e->term : 0;
}

static void check(const struct raft_log *l) {
        uint64_t last = log_last(l);

        assert(l->base_index <= l->applied && l->applied <= l->commit);
        assert(l->commit <= last || bug(BUG_FOLLOW_BLINDLY));
        assert(l->saved <= last && l->save_last <= last && l->next_save <= last + 1);
}

int log_append(struct raft_log *l, struct raft_entry *e) {
        int r;

        assert(e->index == log_last(l) + 1);
        if (l->start > 1024 && l->start > l->count) {
                memmove(l->entries, l->entries + l->start, l->count * sizeof(l->entries[0]));
                l->start = 0;
        }
        r = grow((void **)&l->entries, &l->allocated, l->start + l->count + 1,
                        sizeof(l->entries[0]));
        if (r < 0) {
                raft_entry_unref(e);
                return r;
        }
        l->entries[l->start + l->count++] = e;
        l->uncommitted_bytes += e->size;
        l->bytes += e->size;
        assert(l->start + l->count <= l->allocated);
        return 0;
}

void log_truncate(struct raft_log *l, uint64_t from) {
        if (from > log_last(l))
                return;
        assert(from > l->base_index);
        while (l->count > 0 && log_last(l) >= from) {
                struct raft_entry *e = l->entries[l->start + --l->count];

                l->uncommitted_bytes -=
                                e->size < l->uncommitted_bytes ? e->size : l->uncommitted_bytes;
                assert(l->bytes >= e->size);
                l->bytes -= e->size;
                raft_entry_unref(e);
        }
        /* Only what the disk may hold needs to be removed there. */
        if (from < l->next_save) {
                if (l->truncate_from == 0 || from < l->truncate_from)
                        l->truncate_from = from;
                l->next_save = from;
        }
        if (l->saved >= from)
                l->saved = from - 1;
        if (l->save_last >= from)
                l->save_last = from - 1;
}

void log_drop_until(struct raft_log *l, uint64_t index) {
        if (index <= l->base_index)
                return;
        assert(index <= l->applied);
        l->base_term = log_term(l, index);
        while (l->count > 0 && l->base_index < index) {
                l->bytes -= l->entries[l->start]->size;
                raft_entry_unref(l->entries[l->start++]);
                l->count--;
                l->base_index++;
        }
        check(l);
}

void log_reset(struct raft_log *l, uint64_t index, uint64_t term) {
        for (size_t i = 0; i < l->count; i++)
                raft_entry_unref(l->entries[l->start + i]);
        l->start = l->count = 0;
        l->uncommitted_bytes = l->bytes = 0;
        l->base_index = l->commit = l->applied = l->saved = l->save_last = index;
        l->next_save = index + 1;
        l->base_term = term;
        l->truncate_from = 0;
        check(l);
}

void log_done(struct raft_log *l) {
        log_reset(l, 0, 0);
        free(l->entries);
        l->entries = NULL;
}

bool log_up_to_date(const struct raft_log *l, uint64_t index, uint64_t term) {
        uint64_t last = log_last(l), last_term = log_term(l, last);

        return term > last_term || (term == last_term && index >= last);
}

uint64_t log_find_conflict(const struct raft_log *l, uint64_t index, uint64_t term) {
        if (index > log_last(l))
                index = log_last(l);
        while (index > l->base_index && log_term(l, index) > term)
                index--;
        return index;
}
