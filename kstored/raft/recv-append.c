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

static int refuse(struct raft *r, const struct raft_message *m) {
        uint64_t hint = m->log_index < log_last(&r->log) ? m->log_index : log_last(&r->log);

        hint = log_find_conflict(&r->log, hint, m->log_term);
        return raft_send(r, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                            .to = m->from,
                                            .log_index = m->log_index,
                                            .reject = true,
                                            .hint_index = hint,
                                            .hint_term = log_term(&r->log, hint)});
}

static int take_entries(struct raft *r, const struct raft_message *m) {
        if (bug(BUG_TRUNCATE_ALWAYS) && m->log_index >= r->log.commit)
                log_truncate(&r->log, m->log_index + 1);
        for (size_t i = 0; i < m->entry_count; i++) {
                struct raft_entry *e = m->entries[i];
                int q;

                if (e->index <= r->log.base_index || log_term(&r->log, e->index) == e->term)
                        continue;
                if (e->index <= log_last(&r->log)) {
                        /* check_entries() has refused conflicts with what is committed. */
                        assert(e->index > r->log.commit || bug(BUG_FOLLOW_BLINDLY));
                        log_truncate(&r->log, e->index);
                        q = config_truncate(r, e->index);
                        if (q < 0)
                                return q;
                }
                assert(e->index == log_last(&r->log) + 1);
                q = log_append(&r->log, raft_entry_ref(e));
                if (q < 0)
                        return q;
                q = config_append_entry(r, e);
                if (q < 0)
                        return q;
        }
        return 0;
}

static int check_entries(struct raft *r, const struct raft_message *m) {
        uint64_t before = m->log_term;
        int q;

        for (size_t i = 0; i < m->entry_count; i++) {
                const struct raft_entry *e = m->entries[i];

                if (e->index != m->log_index + 1 + i || e->term > m->term || e->term < before)
                        return -EBADMSG;
                before = e->term;
        }
        q = check_against_committed(r, m, m->log_index, m->log_term);
        for (size_t i = 0; i < m->entry_count && q >= 0; i++)
                q = check_entry(r, m, m->entries[i]);
        return q;
}

int recv_append(struct raft *r, const struct raft_message *m) {
        uint64_t last = m->log_index + m->entry_count;
        int q = check_entries(r, m);

        if (q < 0)
                return q;
        if (m->log_index < r->log.commit && last <= r->log.commit)
                return raft_send(r, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                                    .to = m->from,
                                                    .log_index = r->log.commit});
        if (m->log_index >= r->log.base_index &&
                        (m->log_index > log_last(&r->log) ||
                                        log_term(&r->log, m->log_index) != m->log_term))
                return refuse(r, m);
        q = take_entries(r, m);
        if (q < 0)
                return q;
        (void)follow_commit(r, m->commit < last ? m->commit : last);
        return (bug(BUG_ACK_EARLY) ? raft_send_now : raft_send)(
                        r, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                           .to = m->from,
                                           .log_index = last});
}
