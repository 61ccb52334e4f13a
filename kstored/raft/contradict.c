/* Compares a leader's messages with the committed entries here. A leader has every entry that was
 * committed in terms before its own, and a committed entry never changes (section 5.4 of the Raft
 * paper): where it seems otherwise, a disk has lost or changed what it had confirmed, here or
 * there. A member that followed it could serve wrong data or destroy the only copy of what was
 * acknowledged, so it stops, and people decide. */
#include "kstored/raft/internal.h"

#include <errno.h>
#include <string.h>

int contradict(struct raft *raft, const struct raft_contradiction *c) {
        if (raft->contradiction.kind == RAFT_CONTRADICTION_NONE)
                raft->contradiction = *c;
        return -EUCLEAN;
}

const struct raft_contradiction *raft_get_contradiction(const struct raft *raft) {
        return &raft->contradiction;
}

/* Terms rise along a log, so the terms of entries that are no longer or not yet here are bounded by
 * those of their neighbours that are. */
static bool can_be(const struct raft *raft, uint64_t index, uint64_t term) {
        const struct raft_log *l = &raft->log;

        if (index < l->base_index)
                return term <= l->base_term;
        if (index <= l->commit)
                return term == log_term(l, index);
        return term >= log_term(l, l->commit);
}

int check_against_committed(
                struct raft *raft, const struct raft_message *m, uint64_t index, uint64_t term) {
        bool known = index >= raft->log.base_index && index <= raft->log.commit;

        if (can_be(raft, index, term) || bug(BUG_FOLLOW_BLINDLY))
                return 0;
        return contradict(raft, &(struct raft_contradiction){.kind = RAFT_CONTRADICTION_ENTRY,
                                                .leader = m->from,
                                                .leader_term = m->term,
                                                .index = index,
                                                .our_term = known ? log_term(&raft->log, index) : 0,
                                                .their_term = term,
                                                .our_index = raft->log.commit});
}

int check_entry(struct raft *raft, const struct raft_message *m, const struct raft_entry *e) {
        const struct raft_entry *ours = log_at(&raft->log, e->index);
        int r = check_against_committed(raft, m, e->index, e->term);

        if (r < 0 || !ours || ours->term != e->term || bug(BUG_FOLLOW_BLINDLY))
                return r;
        if (ours->type == e->type && ours->size == e->size &&
                        memcmp(ours->data, e->data, e->size) == 0)
                return 0;
        /* A member voted twice in that term: a disk lost its vote. */
        return contradict(raft, &(struct raft_contradiction){.kind = RAFT_CONTRADICTION_ENTRY,
                                                .leader = m->from,
                                                .leader_term = m->term,
                                                .index = e->index,
                                                .our_term = e->term,
                                                .their_term = e->term,
                                                .our_index = raft->log.commit});
}

int raft_check_terms(struct raft *raft, const struct raft_message *m,
                const struct raft_term_start *starts, size_t n) {
        if (raft->contradiction.kind != RAFT_CONTRADICTION_NONE)
                return -EUCLEAN;
        if (m->term < raft->term || bug(BUG_TERMS_IGNORED))
                return 0; /* no longer anybody's leader */
        /* Sent before those entries were committed: it proves nothing; raft_step() compares. */
        if (m->log_index <= raft->log.commit)
                return 0;
        /* The last that begins at or before what is committed here is its term there. */
        while (n > 0 && starts[n - 1].index > raft->log.commit)
                n--;
        return n > 0 ? check_against_committed(raft, m, raft->log.commit, starts[n - 1].term) : 0;
}
