/* The leader's side of replication: appends in a bounded window per member, commit by majority. */
#include "kstored/raft/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int append_local(struct raft *r, struct raft_entry *e) {
        int q;

        e->index = log_last(&r->log) + 1;
        e->term = r->term;
        q = log_append(&r->log, e);
        if (q < 0)
                return q;
        return config_append_entry(r, e);
}

static int send_snapshot(struct raft *r, struct progress *p) {
        struct raft_config *c;

        if (!p->active)
                return 0; /* not to a member that does not answer */
        c = malloc(sizeof(*c));
        if (!c)
                return -ENOMEM;
        /* The driver sends its state as of some index at or above this one and fills in which. */
        *c = r->configs[0];
        progress_become_snapshot(p, r->log.applied);
        return raft_send_now(r, (struct raft_message){.type = RAFT_MSG_SNAPSHOT,
                                                .to = p->id,
                                                .log_index = r->log.applied,
                                                .log_term = log_term(&r->log, r->log.applied),
                                                .config = c});
}

static int fill_entries(
                struct raft *r, struct progress *p, struct raft_message *m, size_t *ret_bytes) {
        uint64_t last = log_last(&r->log);
        size_t bytes = 0, n = 0;

        while (p->next + n <= last && n < RAFT_APPEND_ENTRIES_MAX &&
                        (n == 0 || bytes < RAFT_APPEND_BYTES_MAX))
                bytes += log_at(&r->log, p->next + n++)->size;
        *ret_bytes = bytes;
        if (n == 0)
                return 0;
        m->entries = malloc(n * sizeof(m->entries[0]));
        if (!m->entries)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                m->entries[i] = raft_entry_ref(log_at(&r->log, p->next + i));
        m->entry_count = n;
        return 0;
}

/* Sends what the window lets through. even_empty: also when there is no entry, to send the commit
 * index. */
int send_append(struct raft *r, struct progress *p, bool even_empty) {
        for (;;) {
                struct raft_message m = {
                                .type = RAFT_MSG_APPEND, .to = p->id, .commit = r->log.commit};
                size_t bytes = 0;
                int e;

                if (p->id == r->id || progress_paused(p))
                        return 0;
                if (p->next <= r->log.base_index)
                        return send_snapshot(r, p);
                m.log_index = p->next - 1;
                m.log_term = log_term(&r->log, m.log_index);
                e = fill_entries(r, p, &m, &bytes);
                if (e < 0)
                        return e;
                if (m.entry_count == 0 && !even_empty)
                        return 0;
                if (p->state == PROGRESS_REPLICATE) {
                        if (m.entry_count > 0) {
                                p->next += m.entry_count;
                                progress_sent(p, p->next - 1, bytes);
                        }
                } else
                        p->paused = true;
                e = raft_send_now(r, m);
                if (e < 0)
                        return e;
                even_empty = false;
        }
}

int broadcast_append(struct raft *r) {
        int e = 0;

        for (size_t i = 0; i < r->peer_count && e >= 0; i++)
                e = send_append(r, r->peers[i], false);
        return e;
}

/* How much of what is committed the member is known to hold. A higher index could commit entries of
 * its own that differ. */
static uint64_t commit_for(const struct raft *r, const struct progress *p) {
        return r->log.commit < p->match || bug(BUG_HEARTBEAT_BEYOND) ? r->log.commit : p->match;
}

int broadcast_heartbeat(struct raft *r) {
        int e = 0;

        for (size_t i = 0; i < r->peer_count && e >= 0; i++) {
                struct progress *p = r->peers[i];

                if (p->id == r->id)
                        continue;
                e = raft_send_now(r, (struct raft_message){.type = RAFT_MSG_HEARTBEAT,
                                                     .to = p->id,
                                                     .commit = commit_for(r, p),
                                                     .context = r->read_round});
        }
        return e;
}

int follow_commit(struct raft *r, uint64_t commit) {
        if (commit > log_last(&r->log))
                commit = log_last(&r->log);
        while (r->log.commit < commit) {
                const struct raft_entry *e = log_at(&r->log, ++r->log.commit);

                r->log.uncommitted_bytes -= e->size < r->log.uncommitted_bytes
                                                            ? e->size
                                                            : r->log.uncommitted_bytes;
        }
        assert(r->log.applied <= r->log.commit);
        assert(r->log.commit <= log_last(&r->log) || bug(BUG_FOLLOW_BLINDLY));
        config_prune(r);
        return 0;
}

/* While the only voter adds a second one, its own log decides, up to and including the entry that
 * adds the other, which cannot run before that entry is committed. This is safe: every majority
 * before and after includes this member, so none leads without what it has saved. */
bool commit_alone(struct raft *r) {
        const struct raft_config *c = &r->configs[0];
        size_t voters = 0;
        bool own = false;
        uint64_t to;

        if (r->config_count < 2)
                return false;
        for (uint32_t i = 0; i < c->count; i++) {
                voters += !c->members[i].learner;
                own |= !c->members[i].learner && c->members[i].id == r->id;
        }
        to = r->log.saved < r->configs[1].index ? r->log.saved : r->configs[1].index;
        if (!own || voters != 1 || to <= r->log.commit)
                return false;
        (void)follow_commit(r, to);
        return true;
}

int maybe_commit(struct raft *r) {
        uint64_t match[RAFT_MEMBERS_MAX];
        size_t n = 0;

        for (size_t i = 0; i < r->peer_count; i++) {
                uint64_t m = r->peers[i]->id == r->id ? r->log.saved : r->peers[i]->match;
                size_t k = n;

                if (r->peers[i]->learner)
                        continue;
                for (; k > 0 && match[k - 1] < m; k--)
                        match[k] = match[k - 1];
                match[k] = m;
                n++;
        }
        if (n == 0)
                return 0;
        /* The majority-th greatest, counted from 0. */
        n = bug(BUG_COMMIT_ALONE) ? 0 : n / 2;
        if (match[n] <= r->log.commit || log_term(&r->log, match[n]) != r->term)
                return 0;
        /* Raft paper, section 5.4.2: only entries of the own term are committed by counting. */
        assert(r->role == RAFT_LEADER && match[n] <= log_last(&r->log));
        (void)follow_commit(r, match[n]);
        return 1;
}
