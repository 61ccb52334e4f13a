/* The core's life: creation from what was saved, ticks, proposals, and the ready/advance/saved
 * cycle. */
#include "kstored/raft/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_options(const struct raft_options *o) {
        uint64_t last = o->snapshot_index + o->entry_count;

        if (o->id == 0 || o->election_ticks < 2 || o->heartbeat_ticks < 1 ||
                        o->heartbeat_ticks >= o->election_ticks)
                return -EINVAL;
        if (o->applied < o->snapshot_index || o->applied > last || o->commit > last)
                return -EINVAL;
        for (size_t i = 0; i < o->entry_count; i++)
                if (o->entries[i]->index != o->snapshot_index + 1 + i)
                        return -EINVAL;
        return 0;
}

static int load_log(struct raft *r, const struct raft_options *o) {
        log_reset(&r->log, o->snapshot_index, o->snapshot_term);
        for (size_t i = 0; i < o->entry_count; i++) {
                int q = log_append(&r->log, raft_entry_ref(o->entries[i]));

                if (q < 0)
                        return q;
                if (o->entries[i]->index <= o->config.index)
                        continue;
                q = config_append_entry(r, o->entries[i]);
                if (q < 0)
                        return q;
        }
        r->log.saved = r->log.save_last = log_last(&r->log);
        r->log.next_save = r->log.saved + 1;
        r->log.applied = o->applied;
        (void)follow_commit(r, o->commit > o->applied ? o->commit : o->applied);
        (void)commit_alone(r); /* otherwise the member that was added would never learn it */
        return 0;
}

int raft_new(struct raft **ret, const struct raft_options *o) {
        struct raft *r;
        int q = check_options(o);

        if (q < 0)
                return q;
        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->id = o->id;
        r->chance = o->seed ? o->seed : 0x9e3779b97f4a7c15ULL;
        r->election_ticks = o->election_ticks;
        r->heartbeat_ticks = o->heartbeat_ticks;
        q = config_push(r, &o->config);
        if (q >= 0)
                q = load_log(r, o);
        if (q < 0) {
                raft_free(r);
                return q;
        }
        r->term = o->term;
        r->vote = o->vote;
        become_follower(r, o->term, 0);
        r->state_dirty = false;
        *ret = r;
        return 0;
}

struct raft *raft_free(struct raft *r) {
        if (!r)
                return NULL;
        log_done(&r->log);
        for (size_t i = 0; i < r->peer_count; i++)
                free(r->peers[i]);
        messages_clear(&r->out);
        messages_clear(&r->taken);
        for (size_t i = 0; i < r->held_count; i++)
                message_done(&r->held[i].m);
        free(r->out.v);
        free(r->taken.v);
        free(r->held);
        free(r->configs);
        free(r->reads);
        free(r->reads_done);
        free(r->save_entries);
        free(r);
        return NULL;
}

static int tick_leader(struct raft *r) {
        r->heartbeat_elapsed++;
        r->election_elapsed++;
        if (r->election_elapsed >= r->election_ticks) {
                size_t active = 0;

                /* CheckQuorum (dissertation, section 6.2): a leader that reaches no majority steps
                 * down, so that its clients try another member. */
                r->election_elapsed = 0;
                for (size_t i = 0; i < r->peer_count; i++) {
                        struct progress *p = r->peers[i];

                        active += !p->learner && (p->active || p->id == r->id);
                        p->active = p->id == r->id;
                }
                if (active < raft_quorum(r)) {
                        become_follower(r, r->term, 0);
                        return 0;
                }
                if (r->transfer_to != 0) /* the transfer timed out: resume leadership */
                        r->transfer_to = 0;
        }
        if (r->heartbeat_elapsed >= r->heartbeat_ticks) {
                r->heartbeat_elapsed = 0;
                return broadcast_heartbeat(r);
        }
        return 0;
}

int raft_tick(struct raft *r) {
        if (r->contradiction.kind != RAFT_CONTRADICTION_NONE)
                return 0;
        if (r->role == RAFT_LEADER)
                return tick_leader(r);
        if (++r->election_elapsed < r->election_timeout)
                return 0;
        r->election_elapsed = 0;
        /* A member that may not campaign forgets a silent leader too: otherwise a learner, or a
         * voter that does not know yet that it is one, would refuse votes forever. */
        r->leader = 0;
        return raft_campaign(r);
}

void raft_hurry(struct raft *r, uint64_t lost) {
        unsigned wait = 1;

        if ((r->role != RAFT_FOLLOWER && r->role != RAFT_PRE_CANDIDATE) ||
                        (r->leader != 0 && r->leader != lost))
                return;
        r->leader = 0;
        for (size_t i = 0; i < r->peer_count; i++)
                if (!r->peers[i]->learner && r->peers[i]->id < r->id && r->peers[i]->id != lost)
                        wait += 2;
        if (wait < r->election_timeout && r->election_elapsed < r->election_timeout - wait)
                r->election_elapsed = r->election_timeout - wait;
}

int raft_campaign(struct raft *r) {
        if (r->role == RAFT_LEADER || !may_campaign(r))
                return 0;
        return campaign(r, CAMPAIGN_PRE);
}

static int propose_entry(struct raft *r, uint32_t type, const void *data, size_t size) {
        struct raft_entry *e;
        int q;

        if (r->log.uncommitted_bytes > 0 &&
                        r->log.uncommitted_bytes + size > RAFT_UNCOMMITTED_BYTES_MAX)
                return -EAGAIN;
        e = raft_entry_new(0, 0, type, data, size);
        if (!e)
                return -ENOMEM;
        if (r->role == RAFT_LEADER) {
                q = append_local(r, e);
                return q < 0 ? q : broadcast_append(r);
        }
        struct raft_entry **v = malloc(sizeof(struct raft_entry *));

        if (!v) {
                raft_entry_unref(e);
                return -ENOMEM;
        }
        v[0] = e;
        return raft_send_now(r, (struct raft_message){.type = RAFT_MSG_PROPOSE,
                                                .to = r->leader,
                                                .entries = v,
                                                .entry_count = 1});
}

int raft_propose(struct raft *r, const void *data, size_t size) {
        if (size == 0)
                return -EINVAL;
        if (r->leader == 0)
                return -ENOTCONN;
        /* While leadership moves, new entries would only keep the transferee from catching up. */
        if (r->role == RAFT_LEADER && r->transfer_to != 0)
                return -ENOTCONN;
        return propose_entry(r, RAFT_ENTRY_NORMAL, data, size);
}

int raft_propose_change(
                struct raft *r, const struct raft_change *change, const void *data, size_t size) {
        struct raft_config next;
        uint8_t *bytes;
        int q;

        if (r->role != RAFT_LEADER)
                return -ENOTCONN;
        /* The second condition closes a hole found in 2015 (Ongaro, raft-dev, "bug in single-server
         * membership changes"): a new leader must commit in its own term before it changes the
         * members. */
        if ((config_change_pending(r) && !bug(BUG_CHANGE_TWICE)) ||
                        log_term(&r->log, r->log.commit) != r->term || r->transfer_to != 0)
                return -EBUSY;
        q = config_apply(raft_get_config(r), change, log_last(&r->log) + 1, &next);
        if (q < 0)
                return q;
        bytes = malloc(RAFT_CHANGE_SIZE + size);
        if (!bytes)
                return -ENOMEM;
        raft_change_encode(change, bytes);
        if (size > 0)
                memcpy(bytes + RAFT_CHANGE_SIZE, data, size);
        q = propose_entry(r, RAFT_ENTRY_CONFIG, bytes, RAFT_CHANGE_SIZE + size);
        free(bytes);
        return q;
}

int raft_read_index(struct raft *r, uint64_t context) {
        const struct pending_read read = {.context = context, .asked = r->log.commit};

        if (r->role == RAFT_LEADER)
                return read_begin(r, &read);
        if (r->leader == 0)
                return read_finish(r, &read, 0);
        return raft_send_now(r, (struct raft_message){.type = RAFT_MSG_READ_INDEX,
                                                .to = r->leader,
                                                .commit = r->log.commit,
                                                .context = context});
}

int raft_transfer(struct raft *r, uint64_t id) {
        struct progress *best = NULL;

        if (r->role != RAFT_LEADER) {
                if (r->leader == 0)
                        return -ENOTCONN;
                return raft_send_now(r, (struct raft_message){.type = RAFT_MSG_TRANSFER,
                                                        .to = r->leader,
                                                        .context = id});
        }
        if (id == r->id)
                return 0;
        for (size_t i = 0; i < r->peer_count; i++) {
                struct progress *p = r->peers[i];

                if (p->learner || p->id == r->id || (id != 0 && p->id != id))
                        continue;
                if (!best || p->match > best->match)
                        best = p;
        }
        if (!best)
                return id != 0 && peer_find(r, id) ? -EINVAL : -ENOENT;
        r->transfer_to = best->id;
        r->election_elapsed = 0;
        if (best->match == log_last(&r->log))
                return raft_send_now(r, (struct raft_message){.type = RAFT_MSG_TIMEOUT_NOW,
                                                        .to = best->id});
        best->paused = false;
        return send_append(r, best, true);
}

static bool ready_save(struct raft *r, struct raft_ready *ret) {
        uint64_t last = log_last(&r->log);
        size_t n = last + 1 - r->log.next_save;

        if (r->saving || (!r->state_dirty && r->log.truncate_from == 0 && n == 0))
                return false;
        if (grow((void **)&r->save_entries, &r->save_entries_allocated, n,
                            sizeof(r->save_entries[0])) < 0)
                return false; /* tried again next time */
        for (size_t i = 0; i < n; i++)
                r->save_entries[i] = log_at(&r->log, r->log.next_save + i);
        ret->save = (struct raft_save){.term = r->term,
                        .vote = r->vote,
                        .commit = r->log.commit,
                        .truncate_from = r->log.truncate_from,
                        .entries = r->save_entries,
                        .entry_count = n};
        r->log.next_save = last + 1;
        r->log.save_last = last;
        r->log.truncate_from = 0;
        r->state_dirty = false;
        r->saving = true;
        r->saves_begun++;
        return true;
}

bool raft_ready(struct raft *r, bool can_save, struct raft_ready *ret) {
        struct vector_of_messages swap;
        uint64_t apply_to = r->log.commit < r->log.saved || bug(BUG_APPLY_UNSAVED) ? r->log.commit
                                                                                   : r->log.saved;
        struct raft_status now;

        *ret = (struct raft_ready){0};
        if (r->contradiction.kind != RAFT_CONTRADICTION_NONE)
                return false;
        ret->must_save = can_save && ready_save(r, ret);
        messages_clear(&r->taken);
        swap = r->taken;
        r->taken = r->out;
        r->out = swap;
        ret->messages = r->taken.v;
        ret->message_count = r->taken.count;
        /* Entries are not applied to a state that a snapshot is about to replace. */
        if (apply_to > r->log.applied) {
                ret->committed_count = apply_to - r->log.applied;
                ret->committed = &r->log.entries[r->log.start +
                                                 (r->log.applied - r->log.base_index)];
        }
        ret->reads = r->reads_done;
        ret->read_count = r->reads_done_count;
        r->ready_reads = ret->read_count;
        r->ready_committed = ret->committed_count;
        ret->restored = r->restored;
        raft_get_status(r, &now);
        ret->role_changed = now.role != r->reported.role || now.term != r->reported.term ||
                            now.leader != r->reported.leader;
        return ret->must_save || ret->message_count > 0 || ret->committed_count > 0 ||
               ret->read_count > 0 || ret->role_changed || ret->restored;
}

void raft_advance(struct raft *r) {
        messages_clear(&r->taken);
        r->log.applied += r->ready_committed;
        assert(r->log.applied <= r->log.commit);
        assert(r->reads_done_count >= r->ready_reads);
        r->reads_done_count -= r->ready_reads;
        if (r->reads_done_count > 0)
                memmove(r->reads_done, r->reads_done + r->ready_reads,
                                r->reads_done_count * sizeof(r->reads_done[0]));
        r->ready_reads = r->ready_committed = 0;
        r->restored = false;
        raft_get_status(r, &r->reported);
        /* A leader that its own change removed leads until that change is committed (dissertation,
         * section 4.2.2). */
        if (r->role == RAFT_LEADER && !raft_is_voter(r, r->id) && !config_change_pending(r))
                become_follower(r, r->term, 0);
}

int raft_saved(struct raft *r) {
        bool alone;
        int q;

        if (!r->saving)
                return -EINVAL;
        r->saving = false;
        r->saves_done = r->saves_begun;
        assert(r->log.save_last <= log_last(&r->log));
        if (r->log.save_last > r->log.saved)
                r->log.saved = r->log.save_last;
        q = held_release(r);
        if (q >= 0 && r->role == RAFT_CANDIDATE && !r->state_dirty && raft_quorum(r) == 1)
                return count_votes(r);
        alone = commit_alone(r);
        if (q < 0 || r->role != RAFT_LEADER)
                return q;
        q = maybe_commit(r);
        if (q < 0 || (q == 0 && !alone))
                return q;
        q = read_started_term(r);
        for (size_t i = 0; i < r->peer_count && q >= 0; i++)
                if (r->peers[i]->id != r->id)
                        q = send_append(r, r->peers[i], true);
        return q;
}

void raft_compact(struct raft *r, uint64_t index) {
        if (index > r->log.applied)
                index = r->log.applied;
        log_drop_until(&r->log, index);
}

size_t raft_log_bytes(const struct raft *r) {
        return r->log.bytes;
}

uint64_t raft_log_excess(const struct raft *r, size_t bytes_max) {
        size_t left = r->log.bytes;
        uint64_t index = r->log.base_index;

        while (left > bytes_max && index < r->log.applied)
                left -= log_at(&r->log, ++index)->size;
        return index > r->log.base_index ? index : 0;
}

void raft_get_status(const struct raft *r, struct raft_status *ret) {
        const struct progress *self = peer_find(r, r->id);

        *ret = (struct raft_status){.role = r->role,
                        .id = r->id,
                        .term = r->term,
                        .vote = r->vote,
                        .leader = r->leader,
                        .commit = r->log.commit,
                        .applied = r->log.applied,
                        .saved = r->log.saved,
                        .first = r->log.base_index + 1,
                        .last = log_last(&r->log),
                        .transfer_to = r->transfer_to,
                        .learner = self && self->learner};
}

size_t raft_get_progress(const struct raft *r, struct raft_progress_view *ret, size_t n) {
        size_t count = r->peer_count < n ? r->peer_count : n;

        for (size_t i = 0; i < count; i++)
                ret[i] = (struct raft_progress_view){.id = r->peers[i]->id,
                                .match = r->peers[i]->id == r->id ? r->log.saved
                                                                  : r->peers[i]->match,
                                .learner = r->peers[i]->learner,
                                .active = r->peers[i]->active,
                                .snapshot = r->peers[i]->state == PROGRESS_SNAPSHOT};
        return count;
}

const struct raft_entry *raft_entry_at(const struct raft *r, uint64_t index) {
        return log_at(&r->log, index);
}

uint64_t raft_term_at(const struct raft *r, uint64_t index) {
        return log_term(&r->log, index);
}

const char *raft_role_to_string(enum raft_role role) {
        static const char *const names[] = {
                        [RAFT_FOLLOWER] = "follower",
                        [RAFT_PRE_CANDIDATE] = "pre-candidate",
                        [RAFT_CANDIDATE] = "candidate",
                        [RAFT_LEADER] = "leader",
        };

        return names[role];
}
