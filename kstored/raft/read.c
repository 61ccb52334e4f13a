/* Linearizable reads without the log (ReadIndex, dissertation section 6.4): the leader notes its
 * commit index and confirms with one round of heartbeats that it still leads. One round serves
 * every read that came before it. Until the leader has committed in its own term reads wait. */
#include "kstored/raft/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int read_finish(struct raft *raft, const struct pending_read *read, uint64_t index) {
        int r;

        /* Committed entries are durable on a majority: the answer needs no local save, which a full
         * disk may delay. */
        if (read->from != 0 && read->from != raft->id)
                return raft_send_now(raft, (struct raft_message){.type = RAFT_MSG_READ_INDEX_REPLY,
                                                           .to = read->from,
                                                           .context = read->context,
                                                           .log_index = index,
                                                           .log_term = log_term(&raft->log, index),
                                                           .commit = read->asked,
                                                           .reject = index == 0});
        r = grow((void **)&raft->reads_done, &raft->reads_done_allocated,
                        raft->reads_done_count + 1, sizeof(raft->reads_done[0]));
        if (r < 0)
                return r;
        raft->reads_done[raft->reads_done_count++] =
                        (struct raft_read){.context = read->context, .index = index};
        return 0;
}

static bool committed_in_term(const struct raft *raft) {
        return log_term(&raft->log, raft->log.commit) == raft->term || bug(BUG_READ_BEFORE_COMMIT);
}

int read_begin(struct raft *raft, const struct pending_read *read) {
        int r;

        if (committed_in_term(raft) && ((raft_quorum(raft) == 1 && raft_is_voter(raft, raft->id)) ||
                                                       bug(BUG_READ_AT_ONCE)))
                return read_finish(raft, read, raft->log.commit);
        if (raft->read_count >= RAFT_PENDING_READS_MAX)
                return read_finish(raft, read, 0);
        r = grow((void **)&raft->reads, &raft->reads_allocated, raft->read_count + 1,
                        sizeof(raft->reads[0]));
        if (r < 0)
                return r;
        raft->reads[raft->read_count] = *read;
        raft->reads[raft->read_count].round = 0;
        raft->reads[raft->read_count++].index = raft->log.commit;
        return committed_in_term(raft) ? read_started_term(raft) : 0;
}

/* The first commit of the term is there: waiting reads get their index and a round. */
int read_started_term(struct raft *raft) {
        bool waiting = false;

        for (size_t i = 0; i < raft->read_count; i++) {
                if (raft->reads[i].round != 0)
                        continue;
                raft->reads[i].round = raft->read_round + 1;
                raft->reads[i].index = raft->log.commit;
                waiting = true;
        }
        if (!waiting)
                return 0;
        raft->read_round++;
        if (raft_quorum(raft) == 1)
                return read_acked(raft);
        return broadcast_heartbeat(raft);
}

int read_acked(struct raft *raft) {
        uint64_t acks[RAFT_MEMBERS_MAX], round;
        size_t n = 0, done = 0;
        int r = 0;

        for (size_t i = 0; i < raft->peer_count; i++) {
                uint64_t a = raft->peers[i]->id == raft->id ? raft->read_round
                                                            : raft->peers[i]->read_ack;
                size_t k = n;

                if (raft->peers[i]->learner)
                        continue;
                for (; k > 0 && acks[k - 1] < a; k--)
                        acks[k] = acks[k - 1];
                acks[k] = a;
                n++;
        }
        if (n == 0)
                return 0;
        round = acks[n / 2];
        while (done < raft->read_count && raft->reads[done].round != 0 &&
                        raft->reads[done].round <= round) {
                int finished = read_finish(raft, &raft->reads[done], raft->reads[done].index);

                r = r < 0 ? r : finished; /* the first failure counts; all are finished */
                done++;
        }
        raft->read_count -= done;
        if (done > 0)
                memmove(raft->reads, raft->reads + done, raft->read_count * sizeof(raft->reads[0]));
        return r;
}

/* No longer leader: the readers must ask again. */
void reads_drop(struct raft *raft) {
        for (size_t i = 0; i < raft->read_count; i++)
                (void)read_finish(raft, &raft->reads[i], 0);
        raft->read_count = 0;
        raft->read_round = 0;
}
