/* Entries from the leader. Raft paper, section 5.3: a member refuses entries whose predecessor it
 * does not hold with the same index and term; where an entry conflicts with one of the leader, it
 * deletes its own from there on and appends the leader's; it follows the leader's commit index as
 * far as its own log reaches. A refusal carries a hint (the end of 5.3), so that the leader finds
 * the common point in a few steps instead of one entry at a time. A conflict at or below the commit
 * index cannot happen (5.4.3): see contradict.c. All terms are compared before anything is
 * acknowledged. */
#include "kstored/raft/internal.h"

#include <assert.h>
#include <errno.h>

static int refuse(struct raft *raft, const struct raft_message *m) {
        uint64_t hint = m->log_index < log_last(&raft->log) ? m->log_index : log_last(&raft->log);

        hint = log_find_conflict(&raft->log, hint, m->log_term);
        return raft_send(raft, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                               .to = m->from,
                                               .log_index = m->log_index,
                                               .reject = true,
                                               .hint_index = hint,
                                               .hint_term = log_term(&raft->log, hint)});
}

static int take_entries(struct raft *raft, const struct raft_message *m) {
        if (bug(BUG_TRUNCATE_ALWAYS) && m->log_index >= raft->log.commit)
                log_truncate(&raft->log, m->log_index + 1);
        for (size_t i = 0; i < m->entry_count; i++) {
                struct raft_entry *e = m->entries[i];
                int r;

                if (e->index <= raft->log.base_index || log_term(&raft->log, e->index) == e->term)
                        continue;
                if (e->index <= log_last(&raft->log)) {
                        /* check_entries() has refused conflicts with what is committed. */
                        assert(e->index > raft->log.commit || bug(BUG_FOLLOW_BLINDLY));
                        log_truncate(&raft->log, e->index);
                        r = config_truncate(raft, e->index);
                        if (r < 0)
                                return r;
                }
                assert(e->index == log_last(&raft->log) + 1);
                r = log_append(&raft->log, raft_entry_ref(e));
                if (r < 0)
                        return r;
                r = config_append_entry(raft, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_entries(struct raft *raft, const struct raft_message *m) {
        uint64_t before = m->log_term;
        int r;

        for (size_t i = 0; i < m->entry_count; i++) {
                const struct raft_entry *e = m->entries[i];

                if (e->index != m->log_index + 1 + i || e->term > m->term || e->term < before)
                        return -EBADMSG;
                before = e->term;
        }
        r = check_against_committed(raft, m, m->log_index, m->log_term);
        for (size_t i = 0; i < m->entry_count && r >= 0; i++)
                r = check_entry(raft, m, m->entries[i]);
        return r;
}

int recv_append(struct raft *raft, const struct raft_message *m) {
        uint64_t last = m->log_index + m->entry_count;
        int r = check_entries(raft, m);

        if (r < 0)
                return r;
        if (m->log_index < raft->log.commit && last <= raft->log.commit)
                return raft_send(raft, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                                       .to = m->from,
                                                       .log_index = raft->log.commit});
        if (m->log_index >= raft->log.base_index &&
                        (m->log_index > log_last(&raft->log) ||
                                        log_term(&raft->log, m->log_index) != m->log_term))
                return refuse(raft, m);
        r = take_entries(raft, m);
        if (r < 0)
                return r;
        (void)follow_commit(raft, m->commit < last ? m->commit : last);
        return (bug(BUG_ACK_EARLY) ? raft_send_now : raft_send)(
                        raft, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                              .to = m->from,
                                              .log_index = last});
}
