/* The history that the members agreed on: the first member that applies an index or reaches a
 * revision records it, and all others must come to the same. */
#include "kstored/raft/internal.h"
#include "proto/rpc.pb-c.h"
#include "tests/sim/sim.h"

static uint64_t fnv(uint64_t h, const void *data, size_t n) {
        const uint8_t *p = data;

        for (size_t i = 0; i < n; i++)
                h = (h ^ p[i]) * 0x100000001b3ULL;
        return h;
}

static struct agreed *agreed_at(struct story *s, uint64_t index) {
        if (index >= s->entries_allocated) {
                size_t want = MAX((size_t)index + 1, s->entries_allocated * 2 + 256);

                s->entries = reallocarray(s->entries, want, sizeof(s->entries[0]));
                assert(s->entries);
                memset(s->entries + s->entries_allocated, 0,
                                (want - s->entries_allocated) * sizeof(s->entries[0]));
                s->entries_allocated = want;
        }
        return &s->entries[index];
}

/* Notifies the checkers of an entry that was agreed on. */
static void first_of(struct world *w, const struct raft_entry *e) {
        struct raft_change change;
        Etcdserverpb__LeaseRevokeRequest *r;

        if (e->type == RAFT_ENTRY_CONFIG) {
                struct node *n = raft_change_decode(e->data, e->size, &change) >= 0
                                                 ? node_of(w, change.id)
                                                 : NULL;

                w->count.changes++;
                if (n && change.op == RAFT_REMOVE)
                        n->removed = true;
                else if (n)
                        n->added = true;
                trace(w, "agreed: member change %d of %llx at %llu", (int)change.op,
                                (unsigned long long)change.id, (unsigned long long)e->index);
                return;
        }
        if (e->size < COMMAND_HEADER_SIZE || e->data[0] != COMMAND_LEASE_REVOKE ||
                        command_id(e->data, e->size) != 0)
                return;
        r = etcdserverpb__lease_revoke_request__unpack(
                        NULL, e->size - COMMAND_HEADER_SIZE, e->data + COMMAND_HEADER_SIZE);
        assert(r);
        tenants_ended(w, r->id);
        etcdserverpb__lease_revoke_request__free_unpacked(r, NULL);
}

void story_entry(struct world *w, struct node *n, const struct raft_entry *e) {
        struct agreed *a = agreed_at(&w->story, e->index);
        uint64_t hash = fnv(0xcbf29ce484222325ULL + e->type, e->data, e->size);

        if (w->forked)
                return;
        if (a->known) {
                if (a->term != e->term || a->hash != hash)
                        fail(w,
                                        "member %u applied another entry at index %llu (term %llu) "
                                        "than was agreed on (term %llu)",
                                        n->number, (unsigned long long)e->index,
                                        (unsigned long long)e->term, (unsigned long long)a->term);
                return;
        }
        a->known = true;
        a->term = e->term;
        a->hash = hash;
        a->commit_term = n->replica->raft->term;
        w->story.newest_index = MAX(w->story.newest_index, e->index);
        first_of(w, e);
}

void story_digest(struct world *w, struct node *n, uint64_t index, uint64_t digest) {
        struct agreed *a = agreed_at(&w->story, index);

        if (index == 0) /* a new member, which knows nothing yet */
                return;
        if (a->digest == 0)
                a->digest = digest;
        else if (a->digest != digest)
                fail(w, "member %u has another state at index %llu than others had", n->number,
                                (unsigned long long)index);
}

void story_leader(struct world *w, struct node *n, uint64_t term) {
        struct story *s = &w->story;

        for (size_t i = 0; i < s->leader_count; i++) {
                if (s->leaders[i].term != term)
                        continue;
                if (s->leaders[i].id != n->id)
                        fail(w, "two leaders of term %llu: %llx and %llx", (unsigned long long)term,
                                        (unsigned long long)s->leaders[i].id,
                                        (unsigned long long)n->id);
                return;
        }
        if (s->leader_count == s->leaders_allocated) {
                s->leaders_allocated = s->leaders_allocated * 2 + 16;
                s->leaders = reallocarray(s->leaders, s->leaders_allocated, sizeof(s->leaders[0]));
                assert(s->leaders);
        }
        s->leaders[s->leader_count].term = term;
        s->leaders[s->leader_count++].id = n->id;
        w->count.elections++;
}

uint64_t change_hash(const struct change_figures *f, const void *key, size_t key_size,
                const void *value, size_t value_size) {
        uint64_t h = fnv(0xcbf29ce484222325ULL, f, sizeof(*f));

        h = fnv(h ^ key_size, key, key_size);
        return fnv(h, value, value_size);
}

size_t story_find(const struct story *s, int64_t rev) {
        size_t low = 0, high = s->change_count;

        while (low < high) {
                size_t mid = (low + high) / 2;

                if (s->changes[mid].rev < rev)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

static void add_change(struct story *s, const struct row *row, uint64_t hash) {
        struct change *c;

        if (s->change_count == s->changes_allocated) {
                s->changes_allocated = s->changes_allocated * 2 + 256;
                s->changes = reallocarray(s->changes, s->changes_allocated, sizeof(s->changes[0]));
                assert(s->changes);
        }
        c = &s->changes[s->change_count++];
        *c = (struct change){.rev = row->rev, .hash = hash};
        c->key = strndup(row->data, row->key_size);
        if (row->version > 0)
                c->value = strndup(row_value(row), row->value_size);
        assert(c->key && (row->version == 0 || c->value));
}

void story_rows(struct world *w, struct node *n, struct row *const *rows, size_t count) {
        struct story *s = &w->story;
        size_t at = count > 0 ? story_find(s, rows[0]->rev) : 0;
        size_t known = s->change_count;

        if (w->forked)
                return;
        for (size_t i = 0; i < count; i++, at++) {
                const struct row *row = rows[i];
                struct change_figures f = {.rev = row->rev,
                                .create = row->version > 0 ? row->create : 0,
                                .version = row->version,
                                .lease = row->lease};
                uint64_t hash = change_hash(
                                &f, row->data, row->key_size, row_value(row), row->value_size);

                if (at >= known) {
                        if (at > 0 && row->rev < s->changes[at - 1].rev)
                                fail(w, "member %u made revision %lld after %lld", n->number,
                                                (long long)row->rev,
                                                (long long)s->changes[at - 1].rev);
                        add_change(s, row, hash);
                        continue;
                }
                if (s->changes[at].rev != row->rev || s->changes[at].hash != hash) {
                        fail(w, "member %u changed %.*s at revision %lld; agreed is %s at %lld",
                                        n->number, (int)row->key_size, row->data,
                                        (long long)row->rev, s->changes[at].key,
                                        (long long)s->changes[at].rev);
                        return;
                }
        }
        if (count > 0 && at < known && s->changes[at].rev <= rows[count - 1]->rev)
                fail(w, "member %u lacks the change of %s at revision %lld", n->number,
                                s->changes[at].key, (long long)s->changes[at].rev);
}

const char *story_value(const struct story *s, const char *key, int64_t rev) {
        for (size_t i = story_find(s, rev + 1); i > 0; i--)
                if (streq(s->changes[i - 1].key, key))
                        return s->changes[i - 1].value;
        return NULL;
}

void story_done(struct story *s) {
        for (size_t i = 0; i < s->change_count; i++) {
                free(s->changes[i].key);
                free(s->changes[i].value);
        }
        free(s->changes);
        free(s->entries);
        free(s->leaders);
}
