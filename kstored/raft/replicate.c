/* The leader's side of replication: appends in a bounded window per member, commit by majority. */
#include "kstored/raft/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int append_local(struct raft *raft, struct raft_entry *e) {
        int r;

        e->index = log_last(&raft->log) + 1;
        e->term = raft->term;
        r = log_append(&raft->log, e);
        if (r < 0)
                return r;
        return config_append_entry(raft, e);
}

static int send_snapshot(struct raft *raft, struct progress *p) {
        struct raft_config *c;

        if (!p->active)
                return 0; /* not to a member that does not answer */
        c = malloc(sizeof(*c));
        if (!c)
                return -ENOMEM;
        /* The driver sends its state as of some index at or above this one and fills in which. */
        *c = raft->configs[0];
        progress_become_snapshot(p, raft->log.applied);
        return raft_send_now(
                        raft, (struct raft_message){.type = RAFT_MSG_SNAPSHOT,
                                              .to = p->id,
                                              .log_index = raft->log.applied,
                                              .log_term = log_term(&raft->log, raft->log.applied),
                                              .config = c});
}

static int fill_entries(
                struct raft *raft, struct progress *p, struct raft_message *m, size_t *ret_bytes) {
        uint64_t last = log_last(&raft->log);
        size_t bytes = 0, n = 0;

        while (p->next + n <= last && n < RAFT_APPEND_ENTRIES_MAX &&
                        (n == 0 || bytes < RAFT_APPEND_BYTES_MAX))
                bytes += log_at(&raft->log, p->next + n++)->size;
        *ret_bytes = bytes;
        if (n == 0)
                return 0;
        m->entries = malloc(n * sizeof(m->entries[0]));
        if (!m->entries)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                m->entries[i] = raft_entry_ref(log_at(&raft->log, p->next + i));
        m->entry_count = n;
        return 0;
}

/* Sends what the window lets through. even_empty: also when there is no entry, to send the commit
 * index. */
int send_append(struct raft *raft, struct progress *p, bool even_empty) {
        for (;;) {
                struct raft_message m = {
                                .type = RAFT_MSG_APPEND, .to = p->id, .commit = raft->log.commit};
                size_t bytes = 0;
                int r;

                if (p->id == raft->id || progress_paused(p))
                        return 0;
                if (p->next <= raft->log.base_index)
                        return send_snapshot(raft, p);
                m.log_index = p->next - 1;
                m.log_term = log_term(&raft->log, m.log_index);
                r = fill_entries(raft, p, &m, &bytes);
                if (r < 0)
                        return r;
                if (m.entry_count == 0 && !even_empty)
                        return 0;
                if (p->state == PROGRESS_REPLICATE) {
                        if (m.entry_count > 0) {
                                p->next += m.entry_count;
                                progress_sent(p, p->next - 1, bytes);
                        }
                } else
                        p->paused = true;
                r = raft_send_now(raft, m);
                if (r < 0)
                        return r;
                even_empty = false;
        }
}

int broadcast_append(struct raft *raft) {
        int r = 0;

        for (size_t i = 0; i < raft->peer_count && r >= 0; i++)
                r = send_append(raft, raft->peers[i], false);
        return r;
}

/* How much of what is committed the member is known to hold. A higher index could commit entries of
 * its own that differ. */
static uint64_t commit_for(const struct raft *raft, const struct progress *p) {
        return raft->log.commit < p->match || bug(BUG_HEARTBEAT_BEYOND) ? raft->log.commit
                                                                        : p->match;
}

int broadcast_heartbeat(struct raft *raft) {
        int r = 0;

        for (size_t i = 0; i < raft->peer_count && r >= 0; i++) {
                struct progress *p = raft->peers[i];

                if (p->id == raft->id)
                        continue;
                r = raft_send_now(raft, (struct raft_message){.type = RAFT_MSG_HEARTBEAT,
                                                        .to = p->id,
                                                        .commit = commit_for(raft, p),
                                                        .context = raft->read_round});
        }
        return r;
}

int follow_commit(struct raft *raft, uint64_t commit) {
        if (commit > log_last(&raft->log))
                commit = log_last(&raft->log);
        while (raft->log.commit < commit) {
                const struct raft_entry *e = log_at(&raft->log, ++raft->log.commit);

                raft->log.uncommitted_bytes -= e->size < raft->log.uncommitted_bytes
                                                               ? e->size
                                                               : raft->log.uncommitted_bytes;
        }
        assert(raft->log.applied <= raft->log.commit);
        assert(raft->log.commit <= log_last(&raft->log) || bug(BUG_FOLLOW_BLINDLY));
        config_prune(raft);
        return 0;
}

/* While the only voter adds a second one, its own log decides, up to and including the entry that
 * adds the other, which cannot run before that entry is committed. This is safe: every majority
 * before and after includes this member, so none leads without what it has saved. */
bool commit_alone(struct raft *raft) {
        const struct raft_config *c = &raft->configs[0];
        size_t voters = 0;
        bool own = false;
        uint64_t to;

        if (raft->config_count < 2)
                return false;
        for (uint32_t i = 0; i < c->count; i++) {
                voters += !c->members[i].learner;
                own |= !c->members[i].learner && c->members[i].id == raft->id;
        }
        to = raft->log.saved < raft->configs[1].index ? raft->log.saved : raft->configs[1].index;
        if (!own || voters != 1 || to <= raft->log.commit)
                return false;
        (void)follow_commit(raft, to);
        return true;
}

int maybe_commit(struct raft *raft) {
        uint64_t match[RAFT_MEMBERS_MAX];
        size_t n = 0;

        for (size_t i = 0; i < raft->peer_count; i++) {
                uint64_t m = raft->peers[i]->id == raft->id ? raft->log.saved
                                                            : raft->peers[i]->match;
                size_t k = n;

                if (raft->peers[i]->learner)
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
        if (match[n] <= raft->log.commit || log_term(&raft->log, match[n]) != raft->term)
                return 0;
        /* Raft paper, section 5.4.2: only entries of the own term are committed by counting. */
        assert(raft->role == RAFT_LEADER && match[n] <= log_last(&raft->log));
        (void)follow_commit(raft, match[n]);
        return 1;
}
