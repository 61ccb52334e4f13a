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

int raft_send_now(struct raft *r, struct raft_message m) {
        int e = grow((void **)&r->out.v, &r->out.allocated, r->out.count + 1, sizeof(m));

        if (e < 0) {
                message_done(&m);
                return e;
        }
        m.from = r->id;
        if (m.term == 0)
                m.term = r->term;
        r->out.v[r->out.count++] = m;
        return 0;
}

static bool unsaved(const struct raft *r) {
        return r->state_dirty || r->log.truncate_from != 0 || r->log.next_save <= log_last(&r->log);
}

int raft_send(struct raft *r, struct raft_message m) {
        int e;

        if (!unsaved(r) && !r->saving)
                return raft_send_now(r, m);
        e = grow((void **)&r->held, &r->held_allocated, r->held_count + 1, sizeof(r->held[0]));
        if (e < 0) {
                message_done(&m);
                return e;
        }
        m.from = r->id;
        if (m.term == 0)
                m.term = r->term;
        r->held[r->held_count++] = (struct held_message){
                        .need = r->saves_begun + (unsaved(r) ? 1 : 0), .m = m};
        return 0;
}

int held_release(struct raft *r) {
        size_t n = 0;
        int e = 0;

        while (n < r->held_count && r->held[n].need <= r->saves_done) {
                int q = raft_send_now(r, r->held[n].m);

                e = e < 0 ? e : q;
                n++;
        }
        r->held_count -= n;
        if (n > 0)
                memmove(r->held, r->held + n, r->held_count * sizeof(r->held[0]));
        return e;
}
