/* The members that have to be reached. */
#include "kstored/replica/replica.h"

static int member_copy(const struct member *m, struct member **ret) {
        _cleanup_buf_ struct buf b = {0};
        int r = member_encode(m, &b);

        return r < 0 ? r : member_decode(b.data, b.size, ret);
}

static struct member **find(struct member **v, size_t n, uint64_t id) {
        for (size_t i = 0; i < n; i++)
                if (v[i]->id == id)
                        return &v[i];
        return NULL;
}

/* Adds or replaces the member that an entry is about. */
static int take_change(const struct raft_entry *e, struct member **v, size_t *n) {
        struct raft_change change;
        struct member *m, **known;
        int r;

        if (e->type != RAFT_ENTRY_CONFIG || raft_change_decode(e->data, e->size, &change) < 0 ||
                        change.op == RAFT_REMOVE)
                return 0;
        r = member_decode(e->data + RAFT_CHANGE_SIZE, e->size - RAFT_CHANGE_SIZE, &m);
        if (r < 0)
                return r == -EBADMSG ? 0 : r;
        known = find(v, *n, change.id);
        m->learner = change.op == RAFT_ADD_LEARNER ||
                     (change.op == RAFT_UPDATE && known && (*known)->learner);
        if (known) {
                member_free(*known);
                *known = m;
        } else if (*n < RAFT_MEMBERS_MAX)
                v[(*n)++] = m;
        else
                member_free(m);
        return 0;
}

int replica_members(const struct replica *replica, struct member *ret[static RAFT_MEMBERS_MAX],
                size_t *ret_count) {
        const struct state *s = replica->state;
        const struct raft_entry *e;
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; i < s->member_count && r >= 0; i++) {
                r = member_copy(s->members[i], &ret[n]);
                n += r >= 0;
        }
        for (uint64_t i = s->applied + 1; r >= 0 && (e = raft_entry_at(replica->raft, i)); i++)
                r = take_change(e, ret, &n);
        if (r < 0) {
                while (n > 0)
                        member_free(ret[--n]);
                return r;
        }
        *ret_count = n;
        return 0;
}
