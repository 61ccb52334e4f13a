/* Membership. A configuration takes effect when its entry enters the log and is undone when that
 * entry is cut off (dissertation, section 4.1): only then do the majorities of neighbouring
 * configurations always overlap. The history keeps the newest committed one and those after it. */
#include "kstored/raft/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void raft_change_encode(const struct raft_change *c, uint8_t out[static RAFT_CHANGE_SIZE]) {
        out[0] = (uint8_t)c->op;
        for (unsigned i = 0; i < 8; i++)
                out[1 + i] = (uint8_t)(c->id >> (8 * i));
}

int raft_change_decode(const uint8_t *data, size_t n, struct raft_change *ret) {
        uint64_t id = 0;

        if (n < RAFT_CHANGE_SIZE || data[0] < RAFT_ADD_VOTER || data[0] > RAFT_UPDATE)
                return -EINVAL;
        for (unsigned i = 0; i < 8; i++)
                id |= (uint64_t)data[1 + i] << (8 * i);
        if (id == 0)
                return -EINVAL;
        *ret = (struct raft_change){.op = data[0], .id = id};
        return 0;
}

static const struct raft_config *config_newest(const struct raft *raft) {
        return &raft->configs[raft->config_count - 1];
}

static int config_find(const struct raft_config *c, uint64_t id) {
        for (uint32_t i = 0; i < c->count; i++)
                if (c->members[i].id == id)
                        return (int)i;
        return -1;
}

int config_apply(const struct raft_config *from, const struct raft_change *c, uint64_t index,
                struct raft_config *ret) {
        struct raft_config n = *from;
        size_t voters = 0;
        int i = config_find(from, c->id);

        n.index = index;
        switch (c->op) {
        case RAFT_ADD_VOTER:
        case RAFT_ADD_LEARNER:
                if (i >= 0 && (c->op == RAFT_ADD_LEARNER || !from->members[i].learner))
                        return -EEXIST;
                if (i < 0) {
                        if (n.count == RAFT_MEMBERS_MAX)
                                return -EINVAL;
                        i = (int)n.count++;
                }
                n.members[i].id = c->id;
                n.members[i].learner = c->op == RAFT_ADD_LEARNER;
                break;
        case RAFT_REMOVE:
                if (i < 0)
                        return -ENOENT;
                memmove(&n.members[i], &n.members[i + 1],
                                (n.count - (size_t)i - 1) * sizeof(n.members[0]));
                n.count--;
                break;
        case RAFT_UPDATE:
                if (i < 0)
                        return -ENOENT;
                break;
        }
        for (uint32_t k = 0; k < n.count; k++)
                voters += !n.members[k].learner;
        if (voters == 0)
                return -EINVAL;
        *ret = n;
        return 0;
}

int config_push(struct raft *raft, const struct raft_config *c) {
        int r = grow((void **)&raft->configs, &raft->config_allocated, raft->config_count + 1,
                        sizeof(*c));

        if (r < 0)
                return r;
        assert(c->count <= RAFT_MEMBERS_MAX);
        assert(raft->config_count == 0 || c->index > raft->configs[raft->config_count - 1].index);
        raft->configs[raft->config_count++] = *c;
        return config_sync_peers(raft);
}

int config_append_entry(struct raft *raft, const struct raft_entry *entry) {
        struct raft_config c;
        struct raft_change change;

        if (entry->type != RAFT_ENTRY_CONFIG || entry->index <= config_newest(raft)->index)
                return 0;
        /* No leader that runs this code would have accepted a change that changes nothing: it has
         * no effect. */
        if (raft_change_decode(entry->data, entry->size, &change) < 0 ||
                        config_apply(config_newest(raft), &change, entry->index, &c) < 0)
                return 0;
        return config_push(raft, &c);
}

int config_truncate(struct raft *raft, uint64_t from) {
        size_t before = raft->config_count;

        assert(before > 0);
        while (raft->config_count > 1 && config_newest(raft)->index >= from)
                raft->config_count--;
        assert(raft->config_count > 0); /* the newest committed one stays */
        return raft->config_count == before ? 0 : config_sync_peers(raft);
}

void config_prune(struct raft *raft) {
        size_t n = 0;

        while (n + 1 < raft->config_count && raft->configs[n + 1].index <= raft->log.commit)
                n++;
        assert(n < raft->config_count);
        if (n > 0) {
                raft->config_count -= n;
                memmove(raft->configs, raft->configs + n,
                                raft->config_count * sizeof(raft->configs[0]));
        }
}

bool config_change_pending(const struct raft *raft) {
        return config_newest(raft)->index > raft->log.commit;
}

struct progress *peer_find(const struct raft *raft, uint64_t id) {
        for (size_t i = 0; i < raft->peer_count; i++)
                if (raft->peers[i]->id == id)
                        return raft->peers[i];
        return NULL;
}

/* Makes the peers those of the newest configuration; known ones keep their progress. */
int config_sync_peers(struct raft *raft) {
        const struct raft_config *c = config_newest(raft);
        struct progress *next[RAFT_MEMBERS_MAX] = {0};

        for (uint32_t i = 0; i < c->count; i++) {
                struct progress *p = peer_find(raft, c->members[i].id);

                if (!p) {
                        p = calloc(1, sizeof(*p));
                        if (!p) {
                                for (uint32_t k = 0; k < i; k++)
                                        if (!peer_find(raft, next[k]->id))
                                                free(next[k]);
                                return -ENOMEM;
                        }
                        p->id = c->members[i].id;
                        p->active = true; /* it has a whole period to show itself */
                        progress_reset(p, log_last(&raft->log) + 1);
                }
                next[i] = p;
        }
        for (size_t i = 0; i < raft->peer_count; i++)
                if (config_find(c, raft->peers[i]->id) < 0)
                        free(raft->peers[i]);
        for (uint32_t i = 0; i < c->count; i++) {
                next[i]->learner = c->members[i].learner;
                raft->peers[i] = next[i];
        }
        raft->peer_count = c->count;
        assert(raft->peer_count <= RAFT_MEMBERS_MAX);
        return 0;
}

bool raft_is_voter(const struct raft *raft, uint64_t id) {
        const struct progress *p = peer_find(raft, id);

        return p && !p->learner;
}

size_t raft_voter_count(const struct raft *raft) {
        size_t n = 0;

        for (size_t i = 0; i < raft->peer_count; i++)
                n += !raft->peers[i]->learner;
        return n;
}

const struct raft_config *raft_get_config(const struct raft *raft) {
        return config_newest(raft);
}
