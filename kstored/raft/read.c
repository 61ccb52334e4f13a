/* Linearizable reads without the log (ReadIndex, dissertation section 6.4): the leader notes its
 * commit index and confirms with one round of heartbeats that it still leads. One round serves
 * every read that came before it. Until the leader has committed in its own term reads wait. */
#include "kstored/raft/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int read_finish(struct raft *r, const struct pending_read *read, uint64_t index) {
        int e;

        /* Committed entries are durable on a majority: the answer needs no local save, which a full
         * disk may delay. */
        if (read->from != 0 && read->from != r->id)
                return raft_send_now(r, (struct raft_message){.type = RAFT_MSG_READ_INDEX_REPLY,
                                                        .to = read->from,
                                                        .context = read->context,
                                                        .log_index = index,
                                                        .log_term = log_term(&r->log, index),
                                                        .commit = read->asked,
                                                        .reject = index == 0});
        e = grow((void **)&r->reads_done, &r->reads_done_allocated, r->reads_done_count + 1,
                        sizeof(r->reads_done[0]));
        if (e < 0)
                return e;
        r->reads_done[r->reads_done_count++] =
                        (struct raft_read){.context = read->context, .index = index};
        return 0;
}

static bool committed_in_term(const struct raft *r) {
        return log_term(&r->log, r->log.commit) == r->term || bug(BUG_READ_BEFORE_COMMIT);
}

int read_begin(struct raft *r, const struct pending_read *read) {
        int e;

        if (committed_in_term(r) &&
                        ((raft_quorum(r) == 1 && raft_is_voter(r, r->id)) || bug(BUG_READ_AT_ONCE)))
                return read_finish(r, read, r->log.commit);
        if (r->read_count >= RAFT_PENDING_READS_MAX)
                return read_finish(r, read, 0);
        e = grow((void **)&r->reads, &r->reads_allocated, r->read_count + 1, sizeof(r->reads[0]));
        if (e < 0)
                return e;
        r->reads[r->read_count] = *read;
        r->reads[r->read_count].round = 0;
        r->reads[r->read_count++].index = r->log.commit;
        return committed_in_term(r) ? read_started_term(r) : 0;
}

/* The first commit of the term is there: waiting reads get their index and a round. */
int read_started_term(struct raft *r) {
        bool waiting = false;

        for (size_t i = 0; i < r->read_count; i++) {
                if (r->reads[i].round != 0)
                        continue;
                r->reads[i].round = r->read_round + 1;
                r->reads[i].index = r->log.commit;
                waiting = true;
        }
        if (!waiting)
                return 0;
        r->read_round++;
        if (raft_quorum(r) == 1)
                return read_acked(r);
        return broadcast_heartbeat(r);
}

int read_acked(struct raft *r) {
        uint64_t acks[RAFT_MEMBERS_MAX], round;
        size_t n = 0, done = 0;
        int e = 0;

        for (size_t i = 0; i < r->peer_count; i++) {
                uint64_t a = r->peers[i]->id == r->id ? r->read_round : r->peers[i]->read_ack;
                size_t k = n;

                if (r->peers[i]->learner)
                        continue;
                for (; k > 0 && acks[k - 1] < a; k--)
                        acks[k] = acks[k - 1];
                acks[k] = a;
                n++;
        }
        if (n == 0)
                return 0;
        round = acks[n / 2];
        while (done < r->read_count && r->reads[done].round != 0 && r->reads[done].round <= round) {
                int q = read_finish(r, &r->reads[done], r->reads[done].index);

                e = e < 0 ? e : q;
                done++;
        }
        r->read_count -= done;
        if (done > 0)
                memmove(r->reads, r->reads + done, r->read_count * sizeof(r->reads[0]));
        return e;
}

/* No longer leader: the readers must ask again. */
void reads_drop(struct raft *r) {
        for (size_t i = 0; i < r->read_count; i++)
                (void)read_finish(r, &r->reads[i], 0);
        r->read_count = 0;
        r->read_round = 0;
}
