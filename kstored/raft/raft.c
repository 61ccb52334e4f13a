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

static int load_log(struct raft *raft, const struct raft_options *o) {
        log_reset(&raft->log, o->snapshot_index, o->snapshot_term);
        for (size_t i = 0; i < o->entry_count; i++) {
                int r = log_append(&raft->log, raft_entry_ref(o->entries[i]));

                if (r < 0)
                        return r;
                if (o->entries[i]->index <= o->config.index)
                        continue;
                r = config_append_entry(raft, o->entries[i]);
                if (r < 0)
                        return r;
        }
        raft->log.saved = raft->log.save_last = log_last(&raft->log);
        raft->log.next_save = raft->log.saved + 1;
        raft->log.applied = o->applied;
        (void)follow_commit(raft, o->commit > o->applied ? o->commit : o->applied);
        (void)commit_alone(raft); /* otherwise the member that was added would never learn it */
        return 0;
}

int raft_new(struct raft **ret, const struct raft_options *o) {
        struct raft *raft;
        int r = check_options(o);

        if (r < 0)
                return r;
        raft = calloc(1, sizeof(*raft));
        if (!raft)
                return -ENOMEM;
        raft->id = o->id;
        raft->chance = o->seed ? o->seed : 0x9e3779b97f4a7c15ULL;
        raft->election_ticks = o->election_ticks;
        raft->heartbeat_ticks = o->heartbeat_ticks;
        r = config_push(raft, &o->config);
        if (r < 0)
                goto failed;
        r = load_log(raft, o);
        if (r < 0)
                goto failed;
        raft->term = o->term;
        raft->vote = o->vote;
        become_follower(raft, o->term, 0);
        raft->state_dirty = false;
        *ret = raft;
        return 0;
failed:
        raft_free(raft);
        return r;
}

struct raft *raft_free(struct raft *raft) {
        if (!raft)
                return NULL;
        log_done(&raft->log);
        for (size_t i = 0; i < raft->peer_count; i++)
                free(raft->peers[i]);
        messages_clear(&raft->out);
        messages_clear(&raft->taken);
        for (size_t i = 0; i < raft->held_count; i++)
                message_done(&raft->held[i].m);
        free(raft->out.v);
        free(raft->taken.v);
        free(raft->held);
        free(raft->configs);
        free(raft->reads);
        free(raft->reads_done);
        free(raft->save_entries);
        free(raft);
        return NULL;
}

static int tick_leader(struct raft *raft) {
        raft->heartbeat_elapsed++;
        raft->election_elapsed++;
        if (raft->election_elapsed >= raft->election_ticks) {
                size_t active = 0;

                /* CheckQuorum (dissertation, section 6.2): a leader that reaches no majority steps
                 * down, so that its clients try another member. */
                raft->election_elapsed = 0;
                for (size_t i = 0; i < raft->peer_count; i++) {
                        struct progress *p = raft->peers[i];

                        active += !p->learner && (p->active || p->id == raft->id);
                        p->active = p->id == raft->id;
                }
                if (active < raft_quorum(raft)) {
                        become_follower(raft, raft->term, 0);
                        return 0;
                }
                if (raft->transfer_to != 0) /* the transfer timed out: resume leadership */
                        raft->transfer_to = 0;
        }
        if (raft->heartbeat_elapsed >= raft->heartbeat_ticks) {
                raft->heartbeat_elapsed = 0;
                return broadcast_heartbeat(raft);
        }
        return 0;
}

int raft_tick(struct raft *raft) {
        if (raft->contradiction.kind != RAFT_CONTRADICTION_NONE)
                return 0;
        if (raft->role == RAFT_LEADER)
                return tick_leader(raft);
        if (++raft->election_elapsed < raft->election_timeout)
                return 0;
        raft->election_elapsed = 0;
        /* A member that may not campaign forgets a silent leader too: otherwise a learner, or a
         * voter that does not know yet that it is one, would refuse votes forever. */
        raft->leader = 0;
        return raft_campaign(raft);
}

void raft_hurry(struct raft *raft, uint64_t lost) {
        unsigned wait = 1;

        if ((raft->role != RAFT_FOLLOWER && raft->role != RAFT_PRE_CANDIDATE) ||
                        (raft->leader != 0 && raft->leader != lost))
                return;
        raft->leader = 0;
        for (size_t i = 0; i < raft->peer_count; i++)
                if (!raft->peers[i]->learner && raft->peers[i]->id < raft->id &&
                                raft->peers[i]->id != lost)
                        wait += 2;
        if (wait < raft->election_timeout && raft->election_elapsed < raft->election_timeout - wait)
                raft->election_elapsed = raft->election_timeout - wait;
}

int raft_campaign(struct raft *raft) {
        if (raft->role == RAFT_LEADER || !may_campaign(raft))
                return 0;
        return campaign(raft, CAMPAIGN_PRE);
}

static int propose_entry(struct raft *raft, uint32_t type, const void *data, size_t size) {
        struct raft_entry *e;
        int r;

        if (raft->log.uncommitted_bytes > 0 &&
                        raft->log.uncommitted_bytes + size > RAFT_UNCOMMITTED_BYTES_MAX)
                return -EAGAIN;
        e = raft_entry_new(0, 0, type, data, size);
        if (!e)
                return -ENOMEM;
        if (raft->role == RAFT_LEADER) {
                r = append_local(raft, e);
                return r < 0 ? r : broadcast_append(raft);
        }
        struct raft_entry **v = malloc(sizeof(struct raft_entry *));

        if (!v) {
                raft_entry_unref(e);
                return -ENOMEM;
        }
        v[0] = e;
        return raft_send_now(raft, (struct raft_message){.type = RAFT_MSG_PROPOSE,
                                                   .to = raft->leader,
                                                   .entries = v,
                                                   .entry_count = 1});
}

int raft_propose(struct raft *raft, const void *data, size_t size) {
        if (size == 0)
                return -EINVAL;
        if (raft->leader == 0)
                return -ENOTCONN;
        /* While leadership moves, new entries would only keep the transferee from catching up. */
        if (raft->role == RAFT_LEADER && raft->transfer_to != 0)
                return -ENOTCONN;
        return propose_entry(raft, RAFT_ENTRY_NORMAL, data, size);
}

int raft_propose_change(struct raft *raft, const struct raft_change *change, const void *data,
                size_t size) {
        struct raft_config next;
        uint8_t *bytes;
        int r;

        if (raft->role != RAFT_LEADER)
                return -ENOTCONN;
        /* The second condition closes a hole found in 2015 (Ongaro, raft-dev, "bug in single-server
         * membership changes"): a new leader must commit in its own term before it changes the
         * members. */
        if ((config_change_pending(raft) && !bug(BUG_CHANGE_TWICE)) ||
                        log_term(&raft->log, raft->log.commit) != raft->term ||
                        raft->transfer_to != 0)
                return -EBUSY;
        r = config_apply(raft_get_config(raft), change, log_last(&raft->log) + 1, &next);
        if (r < 0)
                return r;
        bytes = malloc(RAFT_CHANGE_SIZE + size);
        if (!bytes)
                return -ENOMEM;
        raft_change_encode(change, bytes);
        if (size > 0)
                memcpy(bytes + RAFT_CHANGE_SIZE, data, size);
        r = propose_entry(raft, RAFT_ENTRY_CONFIG, bytes, RAFT_CHANGE_SIZE + size);
        free(bytes);
        return r;
}

int raft_read_index(struct raft *raft, uint64_t context) {
        const struct pending_read read = {.context = context, .asked = raft->log.commit};

        if (raft->role == RAFT_LEADER)
                return read_begin(raft, &read);
        if (raft->leader == 0)
                return read_finish(raft, &read, 0);
        return raft_send_now(raft, (struct raft_message){.type = RAFT_MSG_READ_INDEX,
                                                   .to = raft->leader,
                                                   .commit = raft->log.commit,
                                                   .context = context});
}

int raft_transfer(struct raft *raft, uint64_t id) {
        struct progress *best = NULL;

        if (raft->role != RAFT_LEADER) {
                if (raft->leader == 0)
                        return -ENOTCONN;
                return raft_send_now(raft, (struct raft_message){.type = RAFT_MSG_TRANSFER,
                                                           .to = raft->leader,
                                                           .context = id});
        }
        if (id == raft->id)
                return 0;
        for (size_t i = 0; i < raft->peer_count; i++) {
                struct progress *p = raft->peers[i];

                if (p->learner || p->id == raft->id || (id != 0 && p->id != id))
                        continue;
                if (!best || p->match > best->match)
                        best = p;
        }
        if (!best)
                return id != 0 && peer_find(raft, id) ? -EINVAL : -ENOENT;
        raft->transfer_to = best->id;
        raft->election_elapsed = 0;
        if (best->match == log_last(&raft->log))
                return raft_send_now(raft, (struct raft_message){.type = RAFT_MSG_TIMEOUT_NOW,
                                                           .to = best->id});
        best->paused = false;
        return send_append(raft, best, true);
}

static bool ready_save(struct raft *raft, struct raft_ready *ret) {
        uint64_t last = log_last(&raft->log);
        size_t n = last + 1 - raft->log.next_save;

        if (raft->saving || (!raft->state_dirty && raft->log.truncate_from == 0 && n == 0))
                return false;
        if (grow((void **)&raft->save_entries, &raft->save_entries_allocated, n,
                            sizeof(raft->save_entries[0])) < 0)
                return false; /* tried again next time */
        for (size_t i = 0; i < n; i++)
                raft->save_entries[i] = log_at(&raft->log, raft->log.next_save + i);
        ret->save = (struct raft_save){.term = raft->term,
                        .vote = raft->vote,
                        .commit = raft->log.commit,
                        .truncate_from = raft->log.truncate_from,
                        .entries = raft->save_entries,
                        .entry_count = n};
        raft->log.next_save = last + 1;
        raft->log.save_last = last;
        raft->log.truncate_from = 0;
        raft->state_dirty = false;
        raft->saving = true;
        raft->saves_begun++;
        return true;
}

bool raft_ready(struct raft *raft, bool can_save, struct raft_ready *ret) {
        struct vector_of_messages swap;
        uint64_t apply_to = raft->log.commit < raft->log.saved || bug(BUG_APPLY_UNSAVED)
                                            ? raft->log.commit
                                            : raft->log.saved;
        struct raft_status now;

        *ret = (struct raft_ready){0};
        if (raft->contradiction.kind != RAFT_CONTRADICTION_NONE)
                return false;
        ret->must_save = can_save && ready_save(raft, ret);
        messages_clear(&raft->taken);
        swap = raft->taken;
        raft->taken = raft->out;
        raft->out = swap;
        ret->messages = raft->taken.v;
        ret->message_count = raft->taken.count;
        /* Entries are not applied to a state that a snapshot is about to replace. */
        if (apply_to > raft->log.applied) {
                ret->committed_count = apply_to - raft->log.applied;
                ret->committed = &raft->log.entries[raft->log.start +
                                                    (raft->log.applied - raft->log.base_index)];
        }
        ret->reads = raft->reads_done;
        ret->read_count = raft->reads_done_count;
        raft->ready_reads = ret->read_count;
        raft->ready_committed = ret->committed_count;
        ret->restored = raft->restored;
        raft_get_status(raft, &now);
        ret->role_changed = now.role != raft->reported.role || now.term != raft->reported.term ||
                            now.leader != raft->reported.leader;
        return ret->must_save || ret->message_count > 0 || ret->committed_count > 0 ||
               ret->read_count > 0 || ret->role_changed || ret->restored;
}

void raft_advance(struct raft *raft) {
        messages_clear(&raft->taken);
        raft->log.applied += raft->ready_committed;
        assert(raft->log.applied <= raft->log.commit);
        assert(raft->reads_done_count >= raft->ready_reads);
        raft->reads_done_count -= raft->ready_reads;
        if (raft->reads_done_count > 0)
                memmove(raft->reads_done, raft->reads_done + raft->ready_reads,
                                raft->reads_done_count * sizeof(raft->reads_done[0]));
        raft->ready_reads = raft->ready_committed = 0;
        raft->restored = false;
        raft_get_status(raft, &raft->reported);
        /* A leader that its own change removed leads until that change is committed (dissertation,
         * section 4.2.2). */
        if (raft->role == RAFT_LEADER && !raft_is_voter(raft, raft->id) &&
                        !config_change_pending(raft))
                become_follower(raft, raft->term, 0);
}

int raft_saved(struct raft *raft) {
        bool alone;
        int r;

        if (!raft->saving)
                return -EINVAL;
        raft->saving = false;
        raft->saves_done = raft->saves_begun;
        assert(raft->log.save_last <= log_last(&raft->log));
        if (raft->log.save_last > raft->log.saved)
                raft->log.saved = raft->log.save_last;
        r = held_release(raft);
        if (r >= 0 && raft->role == RAFT_CANDIDATE && !raft->state_dirty && raft_quorum(raft) == 1)
                return count_votes(raft);
        alone = commit_alone(raft);
        if (r < 0 || raft->role != RAFT_LEADER)
                return r;
        r = maybe_commit(raft);
        if (r < 0 || (r == 0 && !alone))
                return r;
        r = read_started_term(raft);
        for (size_t i = 0; i < raft->peer_count && r >= 0; i++)
                if (raft->peers[i]->id != raft->id)
                        r = send_append(raft, raft->peers[i], true);
        return r;
}

void raft_compact(struct raft *raft, uint64_t index) {
        if (index > raft->log.applied)
                index = raft->log.applied;
        log_drop_until(&raft->log, index);
}

size_t raft_log_bytes(const struct raft *raft) {
        return raft->log.bytes;
}

uint64_t raft_log_excess(const struct raft *raft, size_t bytes_max) {
        size_t left = raft->log.bytes;
        uint64_t index = raft->log.base_index;

        while (left > bytes_max && index < raft->log.applied)
                left -= log_at(&raft->log, ++index)->size;
        return index > raft->log.base_index ? index : 0;
}

void raft_get_status(const struct raft *raft, struct raft_status *ret) {
        const struct progress *self = peer_find(raft, raft->id);

        *ret = (struct raft_status){.role = raft->role,
                        .id = raft->id,
                        .term = raft->term,
                        .vote = raft->vote,
                        .leader = raft->leader,
                        .commit = raft->log.commit,
                        .applied = raft->log.applied,
                        .saved = raft->log.saved,
                        .first = raft->log.base_index + 1,
                        .last = log_last(&raft->log),
                        .transfer_to = raft->transfer_to,
                        .learner = self && self->learner};
}

size_t raft_get_progress(const struct raft *raft, struct raft_progress_view *ret, size_t n) {
        size_t count = raft->peer_count < n ? raft->peer_count : n;

        for (size_t i = 0; i < count; i++)
                ret[i] = (struct raft_progress_view){.id = raft->peers[i]->id,
                                .match = raft->peers[i]->id == raft->id ? raft->log.saved
                                                                        : raft->peers[i]->match,
                                .learner = raft->peers[i]->learner,
                                .active = raft->peers[i]->active,
                                .snapshot = raft->peers[i]->state == PROGRESS_SNAPSHOT};
        return count;
}

const struct raft_entry *raft_entry_at(const struct raft *raft, uint64_t index) {
        return log_at(&raft->log, index);
}

uint64_t raft_term_at(const struct raft *raft, uint64_t index) {
        return log_term(&raft->log, index);
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
