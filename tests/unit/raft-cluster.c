/* The cluster of cores that the Raft tests drive. */
#include "tests/unit/raft-cluster.h"

uint64_t cluster_chance(struct cluster *c, uint64_t below) {
        c->chance ^= c->chance >> 12;
        c->chance ^= c->chance << 25;
        c->chance ^= c->chance >> 27;
        return (c->chance * 2685821657736338717ULL >> 11) % below;
}

static uint64_t mix(uint64_t h, const void *data, size_t n) {
        const uint8_t *p = data;

        for (size_t i = 0; i < n; i++)
                h = (h ^ p[i]) * 0x100000001b3ULL;
        return h ^ (h >> 29);
}

static uint64_t entry_hash(const struct raft_entry *e) {
        uint64_t h = mix(0xcbf29ce484222325ULL, &e->term, sizeof(e->term));

        return mix(h, e->data, e->size);
}

void cluster_start(struct cluster *c, size_t i) {
        struct cluster_node *n = &c->nodes[i];
        struct raft_options o = {.id = i + 1,
                        .seed = cluster_chance(c, UINT64_MAX) + 1,
                        .election_ticks = 10,
                        .heartbeat_ticks = 2,
                        .config = n->config,
                        .term = n->term,
                        .vote = n->vote,
                        .commit = n->commit,
                        .applied = n->applied,
                        .snapshot_index = n->base_index,
                        .snapshot_term = n->base_term,
                        .entries = n->log,
                        .entry_count = n->log_count};

        assert(!n->up);
        assert(raft_new(&n->raft, &o) == 0);
        n->up = true;
}

void cluster_crash(struct cluster *c, size_t i) {
        struct cluster_node *n = &c->nodes[i];

        for (size_t k = 0; n->save_delay > 0 && k < n->pending.entry_count; k++)
                raft_entry_unref(n->pending_entries[k]);
        free(n->pending_entries);
        n->pending_entries = NULL;
        n->save_delay = 0; /* an unfinished save is lost whole */
        n->raft = raft_free(n->raft);
        n->up = false;
}

void cluster_init(struct cluster *c, size_t n, size_t voters, uint64_t seed) {
        memset(c, 0, sizeof(*c));
        c->chance = seed * 0x9e3779b97f4a7c15ULL + 1;
        c->count = n;
        c->delay_max = 3;
        c->save_delay_max = 2;
        for (size_t i = 0; i < n; i++) {
                c->nodes[i].config.count = (uint32_t)voters;
                for (size_t k = 0; k < voters; k++)
                        c->nodes[i].config.members[k].id = k + 1;
                cluster_start(c, i);
        }
}

static void message_free(struct raft_message *m) {
        for (size_t i = 0; i < m->entry_count; i++)
                raft_entry_unref(m->entries[i]);
        free(m->entries);
        free((void *)(uintptr_t)m->config);
}

void cluster_done(struct cluster *c) {
        for (size_t i = 0; i < c->count; i++) {
                if (c->nodes[i].up)
                        cluster_crash(c, i);
                for (size_t k = 0; k < c->nodes[i].log_count; k++)
                        raft_entry_unref(c->nodes[i].log[k]);
        }
        for (size_t i = 0; i < c->network_count; i++)
                message_free(&c->network[i].m);
}

/* A deep copy with entries of its own, as a wire would make. */
static void post(struct cluster *c, const struct raft_message *m, uint64_t snapshot_hash) {
        struct cluster_message *x;

        if (c->network_count == CLUSTER_NETWORK_MAX)
                return;
        x = &c->network[c->network_count++];
        *x = (struct cluster_message){.m = *m, .snapshot_hash = snapshot_hash};
        x->delay = (unsigned)cluster_chance(c, c->delay_max + 1);
        x->m.entries = calloc(m->entry_count + 1, sizeof(x->m.entries[0]));
        for (size_t i = 0; i < m->entry_count; i++)
                x->m.entries[i] = raft_entry_new(m->entries[i]->index, m->entries[i]->term,
                                m->entries[i]->type, m->entries[i]->data, m->entries[i]->size);
        if (m->config) {
                struct raft_config *copy = malloc(sizeof(*copy));

                *copy = *m->config;
                x->m.config = copy;
        }
}

static void send_out(struct cluster *c, struct cluster_node *n, const struct raft_message *m) {
        struct raft_message copy = *m;

        assert(m->to >= 1 && m->to <= c->count);
        if (m->type == RAFT_MSG_SNAPSHOT) {
                copy.log_index = n->applied;
                copy.log_term = raft_term_at(n->raft, n->applied);
                copy.config = &n->config;
        }
        if (cluster_chance(c, 100) >= c->loss_percent)
                post(c, &copy, n->applied_hash);
        else if (m->type == RAFT_MSG_SNAPSHOT)
                /* The driver learns that its stream broke. */
                (void)raft_step(n->raft, &(struct raft_message){.type = RAFT_MSG_SNAPSHOT_STATUS,
                                                         .from = m->to,
                                                         .to = m->from,
                                                         .reject = true});
        if (m->type != RAFT_MSG_SNAPSHOT && cluster_chance(c, 100) < c->repeat_percent)
                post(c, &copy, n->applied_hash);
}

static void begin_save(struct cluster *c, struct cluster_node *n, const struct raft_save *v) {
        n->pending = *v;
        n->pending_entries = calloc(v->entry_count + 1, sizeof(v->entries[0]));
        for (size_t i = 0; i < v->entry_count; i++)
                n->pending_entries[i] = raft_entry_ref(v->entries[i]);
        n->save_delay = 1 + (unsigned)cluster_chance(c, c->save_delay_max + 1);
}

static void finish_save(struct cluster_node *n) {
        struct raft_save *v = &n->pending;

        n->term = v->term;
        n->vote = v->vote;
        n->commit = v->commit;
        if (v->truncate_from > 0) {
                assert(v->truncate_from > n->base_index);
                while (n->log_count > 0 && n->base_index + n->log_count >= v->truncate_from)
                        raft_entry_unref(n->log[--n->log_count]);
        }
        for (size_t i = 0; i < v->entry_count; i++) {
                struct raft_entry *e = n->pending_entries[i];

                if (e->index <= n->base_index) { /* a snapshot came meanwhile */
                        raft_entry_unref(e);
                        continue;
                }
                assert(e->index == n->base_index + n->log_count + 1);
                assert(n->log_count < CLUSTER_LOG_MAX);
                n->log[n->log_count++] = e;
        }
        free(n->pending_entries);
        n->pending_entries = NULL;
        assert(raft_saved(n->raft) == 0);
}

static void check_committed(struct cluster *c, const struct raft_entry *e) {
        uint64_t h = entry_hash(e);

        assert(e->index < ELEMENTS(c->committed_term));
        if (c->forked)
                return;
        if (c->committed_term[e->index] == 0) {
                c->committed_term[e->index] = e->term;
                c->committed_hash[e->index] = h;
        }
        assert(c->committed_term[e->index] == e->term && c->committed_hash[e->index] == h);
        c->max_committed = MAX(c->max_committed, e->index);
}

static void apply(struct cluster *c, struct cluster_node *n, const struct raft_entry *e) {
        struct raft_change change;
        uint64_t h = entry_hash(e);

        assert(e->index == n->applied + 1);
        check_committed(c, e);
        n->applied = e->index;
        n->applied_hash = mix(n->applied_hash, &h, sizeof(h));
        if (c->state_hash[e->index] == 0 || c->forked)
                c->state_hash[e->index] = n->applied_hash;
        assert(c->state_hash[e->index] == n->applied_hash);
        if (e->type == RAFT_ENTRY_CONFIG && raft_change_decode(e->data, e->size, &change) == 0) {
                const struct raft_config *now = raft_get_config(n->raft);

                /* The next change waits for this one, so the newest one is it, unless newer ones
                 * came in the same batch; replay of entries after `index` makes up for that. */
                if (now->index == e->index)
                        n->config = *now;
        }
}

static void check_leader(struct cluster *c, struct cluster_node *n, size_t i) {
        struct raft_status s;

        raft_get_status(n->raft, &s);
        if (s.role != RAFT_LEADER)
                return;
        assert(s.term < ELEMENTS(c->leader_of_term));
        if (c->leader_of_term[s.term] == 0)
                c->leader_of_term[s.term] = i + 1;
        assert(c->leader_of_term[s.term] == i + 1);
}

static void turn_node(struct cluster *c, size_t i) {
        struct cluster_node *n = &c->nodes[i];
        struct raft_ready ready;

        if (n->save_delay > 0 && --n->save_delay == 0)
                finish_save(n);
        while (raft_ready(n->raft, n->save_delay == 0, &ready)) {
                if (ready.must_save)
                        begin_save(c, n, &ready.save);
                for (size_t k = 0; k < ready.committed_count; k++)
                        apply(c, n, ready.committed[k]);
                for (size_t k = 0; k < ready.message_count; k++)
                        send_out(c, n, &ready.messages[k]);
                for (size_t k = 0; k < ready.read_count; k++)
                        if (ready.reads[k].index > 0) {
                                n->last_read = ready.reads[k].context;
                                n->last_read_index = ready.reads[k].index;
                        }
                raft_advance(n->raft);
                check_leader(c, n, i);
        }
        if (c->compact_after > 0 && n->save_delay == 0 &&
                        n->applied > n->base_index + 2 * c->compact_after &&
                        n->config.index + c->compact_after < n->applied) {
                uint64_t to = n->applied - c->compact_after;

                if (to > n->base_index + n->log_count)
                        return;
                n->base_term = raft_term_at(n->raft, to);
                raft_compact(n->raft, to);
                for (size_t k = 0; k < to - n->base_index; k++)
                        raft_entry_unref(n->log[k]);
                n->log_count -= to - n->base_index;
                memmove(n->log, n->log + (to - n->base_index), n->log_count * sizeof(n->log[0]));
                n->base_index = to;
        }
}

static void deliver(struct cluster *c, struct cluster_message *x) {
        struct cluster_node *n = &c->nodes[x->m.to - 1];
        int r;

        if (!n->up || c->cut[x->m.from - 1][x->m.to - 1])
                return;
        if (x->m.type == RAFT_MSG_SNAPSHOT) {
                struct raft_status before, after;

                if (n->save_delay > 0)
                        return; /* the driver installs between saves */
                raft_get_status(n->raft, &before);
                r = raft_step(n->raft, &x->m);
                assert(r == 0);
                raft_get_status(n->raft, &after);
                if (after.applied != before.applied) {
                        for (size_t k = 0; k < n->log_count; k++)
                                raft_entry_unref(n->log[k]);
                        n->log_count = 0;
                        n->base_index = n->applied = n->commit = x->m.log_index;
                        n->base_term = x->m.log_term;
                        n->applied_hash = x->snapshot_hash;
                        n->config = *x->m.config;
                        n->term = after.term;
                        assert(c->state_hash[n->applied] == n->applied_hash);
                }
        } else {
                r = raft_step(n->raft, &x->m);
                assert(r == 0 || (r == -EUCLEAN && c->forked));
                if (r == -EUCLEAN) {
                        n->contradiction = *raft_get_contradiction(n->raft);
                        n->contradicted = true;
                        cluster_crash(c, x->m.to - 1);
                        return;
                }
        }
        turn_node(c, x->m.to - 1);
}

void cluster_run(struct cluster *c, unsigned turns) {
        while (turns-- > 0) {
                for (size_t i = 0; i < c->network_count;) {
                        struct cluster_message x = c->network[i];

                        if (c->network[i].delay > 0) {
                                c->network[i++].delay--;
                                continue;
                        }
                        /* The last takes the free place: that reorders, too. */
                        c->network[i] = c->network[--c->network_count];
                        deliver(c, &x);
                        message_free(&x.m);
                }
                for (size_t i = 0; i < c->count; i++) {
                        if (!c->nodes[i].up)
                                continue;
                        if (cluster_chance(c, 4) == 0) /* a tick takes several turns */
                                assert(raft_tick(c->nodes[i].raft) == 0);
                        turn_node(c, i);
                }
        }
}

void cluster_until(struct cluster *c, unsigned turns, bool (*condition)(struct cluster *c)) {
        while (!condition(c)) {
                assert(turns-- > 0);
                cluster_run(c, 1);
        }
}

void cluster_isolate(struct cluster *c, size_t i, bool isolated) {
        for (size_t k = 0; k < c->count; k++)
                if (k != i)
                        c->cut[i][k] = c->cut[k][i] = isolated;
}

int cluster_leader(struct cluster *c) {
        uint64_t term = 0;
        int leader = -1;

        for (size_t i = 0; i < c->count; i++) {
                struct raft_status s;

                if (!c->nodes[i].up)
                        continue;
                raft_get_status(c->nodes[i].raft, &s);
                if (s.role == RAFT_LEADER && s.term >= term) {
                        term = s.term;
                        leader = (int)i;
                }
        }
        return leader;
}

bool cluster_has_leader(struct cluster *c) {
        return cluster_leader(c) >= 0;
}

bool cluster_settled(struct cluster *c) {
        int leader = cluster_leader(c);
        struct raft_status s;

        if (leader < 0)
                return false;
        raft_get_status(c->nodes[leader].raft, &s);
        if (s.commit != s.last || s.applied != s.commit)
                return false;
        for (size_t i = 0; i < c->count; i++)
                if (c->nodes[i].up && c->nodes[i].applied != s.applied)
                        return false;
        return true;
}
