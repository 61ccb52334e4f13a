/* Invariants, checked after every turn of a member, and at the end, when everything has healed. */
#include "kstored/raft/internal.h"
#include "tests/sim/sim.h"

enum { DIGEST_EVERY = 8 };

static uint64_t blend(uint64_t h, uint64_t v) {
        h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
        return h ^ h >> 29;
}

static uint64_t leases_digest(struct lessor *l) {
        _cleanup_free_ int64_t *ids = NULL;
        uint64_t h = 1;
        size_t n;

        assert(lessor_ids(l, &ids, &n) >= 0);
        for (size_t i = 0; i < n; i++) {
                struct lease *x = lessor_find(l, ids[i]);
                _cleanup_free_ struct lease_key *keys = NULL;
                size_t k;

                assert(lease_keys(x, &keys, &k) >= 0);
                h = blend(blend(blend(h, (uint64_t)ids[i]), (uint64_t)lease_ttl_s(x)), k);
                for (size_t j = 0; j < k; j++)
                        for (size_t c = 0; c < keys[j].size; c++)
                                h = blend(h, (uint8_t)keys[j].key[c]);
        }
        return h;
}

uint64_t node_digest(struct node *n) {
        const struct state *s = n->replica->state;
        struct mvcc *m = s->kv.mvcc;
        uint64_t members = 0, h;
        uint32_t kv = 0;
        int r = mvcc_hash(m, mvcc_rev(m), &kv);

        if (r < 0)
                fail(n->world, "member %u lacks a row that it knows of (%s)", n->number,
                                strerror(-r));
        h = blend(blend(blend(kv, (uint64_t)mvcc_rev(m)), (uint64_t)mvcc_next_seq(m)),
                        (uint64_t)mvcc_compact_rev(m));
        for (size_t i = 0; i < s->member_count; i++)
                members += blend(s->members[i]->id, s->members[i]->learner);
        return blend(blend(h, leases_digest(s->kv.lessor)), members) | 1;
}

static void check_entries(struct world *w, struct node *n) {
        struct raft *r = n->replica->raft;
        uint64_t applied = n->replica->state->applied;

        while (n->checked_index < applied && !w->failure) {
                const struct raft_entry *e = log_at(&r->log, n->checked_index + 1);

                if (!e) {
                        fail(w, "member %u applied index %llu, which is not in its log", n->number,
                                        (unsigned long long)n->checked_index + 1);
                        return;
                }
                story_entry(w, n, e);
                n->checked_index++;
        }
        if (r->log.applied < n->replica->state->applied || r->log.commit < r->log.applied ||
                        r->log.applied > r->log.saved)
                fail(w, "member %u: applied %llu, handed out %llu, committed %llu, saved %llu",
                                n->number, (unsigned long long)n->replica->state->applied,
                                (unsigned long long)r->log.applied,
                                (unsigned long long)r->log.commit,
                                (unsigned long long)r->log.saved);
}

static void check_rows(struct world *w, struct node *n) {
        struct mvcc *m = n->replica->state->kv.mvcc;
        int64_t seq, rev = mvcc_rev(m);

        if (rev > n->checked_rev && mvcc_find_rev(m, n->checked_rev + 1, &seq) >= 0) {
                size_t want = (size_t)(mvcc_next_seq(m) - seq);
                _cleanup_free_ struct row **rows = calloc(want + 1, sizeof(*rows));
                int got = mvcc_scan(m, seq, want, rows);

                assert(got >= 0);
                if (got == 0 || rows[got - 1]->rev != rev)
                        fail(w, "member %u came to revision %lld without a change", n->number,
                                        (long long)rev);
                story_rows(w, n, rows, (size_t)got);
                for (int i = 0; i < got; i++)
                        row_unref(rows[i]);
                n->checked_rev = rev;
                w->story.rev = MAX(w->story.rev, rev);
        }
        if (mvcc_compact_rev(m) > w->story.compacted) {
                w->story.compacted = mvcc_compact_rev(m);
                w->count.compactions++;
        }
}

void check_node(struct world *w, struct node *n) {
        forget_check(w, n);
        if (w->failure || w->forked || n->phase != NODE_UP)
                return;
        check_entries(w, n);
        check_rows(w, n);
        if (!n->turning && n->checked_index != n->hashed_index &&
                        n->checked_index % DIGEST_EVERY == 0) {
                n->hashed_index = n->checked_index;
                story_digest(w, n, n->checked_index, node_digest(n));
        }
}

/* A leader has everything that was agreed on in earlier terms (section 5.4 of the Raft paper). */
void check_leader(struct world *w, struct node *n, uint64_t term) {
        struct raft *r = n->replica->raft;

        if (w->forked)
                return;
        story_leader(w, n, term);
        for (uint64_t i = r->log.base_index + 1; i <= w->story.newest_index; i++) {
                const struct agreed *a = &w->story.entries[i];

                if (!a->known || a->commit_term >= term)
                        continue;
                if (log_term(&r->log, i) != a->term) {
                        fail(w,
                                        "member %u leads term %llu without index %llu, which was "
                                        "agreed on in term %llu",
                                        n->number, (unsigned long long)term, (unsigned long long)i,
                                        (unsigned long long)a->commit_term);
                        return;
                }
        }
}

/* ---- the end */

/* Why the world is not at rest yet; NULL when it is. */
static const char *unrest(struct world *w) {
        struct node *leader = a_leader(w);
        const struct raft_config *c;
        uint64_t applied;

        if (!leader)
                return "there is no leader";
        c = raft_get_config(leader->replica->raft);
        applied = leader->replica->state->applied;
        if (applied != log_last(&leader->replica->raft->log))
                return "the leader has not applied its log";
        if (!members_all_sound(w))
                return "a member has to be replaced";
        if (clients_busy(w))
                return "clients wait for answers";
        if (lessor_count(leader->replica->state->kv.lessor) > 0)
                return "leases have not ended";
        for (uint32_t i = 0; i < c->count; i++) {
                const struct node *n = node_of(w, c->members[i].id);

                if (n->phase != NODE_UP)
                        return "a member is not up";
                if (n->replica->state->applied != applied)
                        return "a member has not applied everything";
        }
        for (unsigned i = 0; i < w->node_count; i++)
                if (w->nodes[i].phase == NODE_UP && !in_config(leader, w->nodes[i].id))
                        return "a member that was removed still runs";
        if (!watchers_at_end(w))
                return "watchers have not got everything";
        return NULL;
}

void check_rest(struct world *w, struct node *none, void *data, uint64_t number) {
        w->unrest = unrest(w);
        if (!w->unrest)
                w->end_at_us = w->now_us;
        else
                after(w, 200 * MS, NULL, check_rest, NULL, NULL, 0);
}

static void check_answers(struct world *w) {
        const struct story *s = &w->story;

        for (size_t i = 0; i < w->answer_count && !w->failure; i++) {
                const struct answered *a = &w->answers[i];
                bool found = false;

                for (size_t k = story_find(s, a->rev); k < s->change_count && !found; k++) {
                        const struct change *c = &s->changes[k];

                        if (c->rev != a->rev)
                                break;
                        found = streq(c->key, a->key) && !a->value == !c->value &&
                                (!a->value || streq(a->value, c->value));
                }
                if (!found)
                        fail(w,
                                        "a client got %s = %s at revision %lld as an answer; it is "
                                        "not so",
                                        a->key, a->value ? a->value : "nothing", (long long)a->rev);
        }
        for (size_t i = 0; i < w->old_read_count && !w->failure; i++) {
                const char *right = story_value(s, w->old_reads[i].key, w->old_reads[i].rev);
                const char *got = w->old_reads[i].value;

                if (!right != !got || (got && !streq(got, right)))
                        fail(w, "a read of %s at revision %lld gave %s; it was %s",
                                        w->old_reads[i].key, (long long)w->old_reads[i].rev,
                                        got ? got : "nothing", right ? right : "nothing");
        }
}

static void check_history(struct world *w) {
        struct linear_report report = {0};

        if (linear_check(w->history.ops, w->history.count, 0, &report) < 0)
                fail(w, "no memory to judge the history");
        else if (report.verdict == LINEAR_GAVE_UP)
                fail(w, "the history of %s is too hard to judge", report.key);
        else if (report.verdict == LINEAR_VIOLATION)
                fail(w, "no order explains what clients saw of %s:\n%s", report.key, report.text);
        linear_report_done(&report);
}

static void describe(struct world *w) {
        for (unsigned i = 0; i < w->node_count; i++) {
                static const char *const phases[] = {"unused", "down", "up", "lost", "retired"};
                const struct node *n = &w->nodes[i];
                struct raft_status s = {0};

                if (n->phase == NODE_UP)
                        raft_get_status(n->replica->raft, &s);
                trace(w,
                                "member %u (%llx) is %s%s: term %llu, led by %llx, log %llu to "
                                "%llu, saved %llu, committed %llu, applied %llu%s",
                                i, (unsigned long long)n->id, phases[n->phase],
                                n->removed ? ", removed" : "", (unsigned long long)s.term,
                                (unsigned long long)s.leader, (unsigned long long)s.first,
                                (unsigned long long)s.last, (unsigned long long)s.saved,
                                (unsigned long long)s.commit, (unsigned long long)s.applied,
                                n->phase == NODE_UP && !replica_idle(n->replica) ? ", writing"
                                                                                 : "");
        }
}

void check_end(struct world *w) {
        describe(w);
        if (w->unrest)
                fail(w, "%u s after everything healed %s",
                                (unsigned)((w->end_at_us - w->heal_at_us) / SECOND), w->unrest);
        for (unsigned i = 0; i < w->node_count && !w->failure; i++) {
                struct node *n = &w->nodes[i];

                if (n->phase == NODE_UP)
                        story_digest(w, n, n->replica->state->applied, node_digest(n));
        }
        watchers_check(w, true);
        if (!w->failure)
                check_answers(w);
        if (!w->failure)
                check_history(w);
}
