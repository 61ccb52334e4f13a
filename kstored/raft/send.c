/* Messages on their way out. A message that promises something (a vote, an acknowledgement, a term)
 * must not leave before its promise is durable: it is held until the save that contains it is
 * done. */
#include "kstored/raft/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void message_done(struct raft_message *m) {
        for (size_t i = 0; i < m->entry_count; i++)
                raft_entry_unref(m->entries[i]);
        free(m->entries);
        free((void *)(uintptr_t)m->config);
        m->entries = NULL;
        m->entry_count = 0;
        m->config = NULL;
}

void messages_clear(struct vector_of_messages *v) {
        for (size_t i = 0; i < v->count; i++)
                message_done(&v->v[i]);
        v->count = 0;
}

int raft_send_now(struct raft *raft, struct raft_message m) {
        int r = grow((void **)&raft->out.v, &raft->out.allocated, raft->out.count + 1, sizeof(m));

        if (r < 0) {
                message_done(&m);
                return r;
        }
        m.from = raft->id;
        if (m.term == 0)
                m.term = raft->term;
        raft->out.v[raft->out.count++] = m;
        return 0;
}

static bool unsaved(const struct raft *raft) {
        return raft->state_dirty || raft->log.truncate_from != 0 ||
               raft->log.next_save <= log_last(&raft->log);
}

int raft_send(struct raft *raft, struct raft_message m) {
        int r;

        if (!unsaved(raft) && !raft->saving)
                return raft_send_now(raft, m);
        r = grow((void **)&raft->held, &raft->held_allocated, raft->held_count + 1,
                        sizeof(raft->held[0]));
        if (r < 0) {
                message_done(&m);
                return r;
        }
        m.from = raft->id;
        if (m.term == 0)
                m.term = raft->term;
        raft->held[raft->held_count++] = (struct held_message){
                        .need = raft->saves_begun + (unsaved(raft) ? 1 : 0), .m = m};
        return 0;
}

int held_release(struct raft *raft) {
        size_t n = 0;
        int r = 0;

        while (n < raft->held_count && raft->held[n].need <= raft->saves_done) {
                int sent = raft_send_now(raft, raft->held[n].m);

                r = r < 0 ? r : sent; /* the first failure counts; all are sent */
                n++;
        }
        raft->held_count -= n;
        if (n > 0)
                memmove(raft->held, raft->held + n, raft->held_count * sizeof(raft->held[0]));
        return r;
}
