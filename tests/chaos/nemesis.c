/* What is done to the members: one fault after the other, chosen by the seed. After each the
 * members are all there again and write for a while, so that no fault hides behind another. */
#include "tests/chaos/chaos.h"

struct fault {
        const char *name;
        unsigned count; /* how often in each round */
        unsigned members_min;
        void (*run)(struct chaos *c);
};

static unsigned choose_running(struct chaos *c) {
        unsigned m = 0;

        for (unsigned tries = 0; tries < 1000; tries++) {
                m = (unsigned)dice_below(&c->dice, c->slot_count);
                if (member_in_cluster(c, m) && c->slots[m].state == MEMBER_RUNNING)
                        break;
        }
        return m;
}

static unsigned leader_or_any(struct chaos *c) {
        unsigned any = choose_running(c); /* always drawn, so that the schedule stays the same */
        int leader = cluster_leader(c);

        return leader >= 0 ? (unsigned)leader : any;
}

static void pause_for(struct chaos *c, uint64_t low_ms, uint64_t high_ms) {
        (void)chaos_run(c, dice_between(&c->dice, low_ms, high_ms) * 1000);
}

static void restart(struct chaos *c, unsigned m) {
        int r = c->slots[m].state == MEMBER_DOWN && !c->slots[m].removed ? member_start(c, m) : 0;

        if (r < 0)
                chaos_fail(c, "%s does not start: %s", c->slots[m].name, strerror(-r));
}

static bool wrote_since(struct chaos *c, void *userdata) {
        const uint64_t *since_us = userdata;

        return c->last_success_us > *since_us;
}

/* How long nobody could write after the leader was gone: measured with a write every few
 * milliseconds to each member that is left. */
struct probe {
        uint64_t started_us;
        uint64_t answered_us;
        unsigned under_way;
};

static void on_probe(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct probe *p = userdata;

        p->under_way--;
        if (reply->code == GRPC_OK && p->answered_us == 0)
                p->answered_us = chaos_now_us(c);
}

static void measure_gap(struct chaos *c) {
        enum { LIMIT_US = 10000000, EVERY_US = 10000, UNDER_WAY_MAX = 400 };
        struct probe p = {.started_us = chaos_now_us(c)};
        Etcdserverpb__PutRequest r = ETCDSERVERPB__PUT_REQUEST__INIT;

        r.key = text_data("probe");
        r.value = text_data("now");
        while (p.answered_us == 0 && chaos_now_us(c) < p.started_us + LIMIT_US && !c->interrupted) {
                for (unsigned m = 0; m < c->slot_count; m++) {
                        struct member_slot *s = &c->slots[m];

                        if (member_in_cluster(c, m) && link_is_up(&s->control) &&
                                        p.under_way < UNDER_WAY_MAX &&
                                        rpc_start(&s->control, "/etcdserverpb.KV/Put", &r.base,
                                                        2000000, on_probe, &p) >= 0)
                                p.under_way++;
                }
                (void)chaos_run(c, EVERY_US);
        }
        if (p.answered_us == 0 && !c->interrupted)
                chaos_fail(c, "no write within %d s after the leader was killed",
                                LIMIT_US / 1000000);
        if (p.answered_us != 0) {
                c->gaps = reallocarray(c->gaps, c->gap_count + 1, sizeof(*c->gaps));
                assert(c->gaps);
                c->gaps[c->gap_count++].us = p.answered_us - p.started_us;
        }
        /* The probes hold a pointer into here. */
        while (p.under_way > 0)
                if (sd_event_run(c->event, 100000) < 0)
                        break;
}

static void kill_leader(struct chaos *c) {
        unsigned m = leader_or_any(c);
        bool was_leader = cluster_leader(c) == (int)m;

        chaos_say(c, "kill -9 of the leader, %s", c->slots[m].name);
        member_kill(c, m);
        if (was_leader && c->options.members > 1)
                measure_gap(c);
        pause_for(c, 0, 2000);
        restart(c, m);
}

static void kill_any(struct chaos *c) {
        unsigned m = choose_running(c);

        chaos_say(c, "kill -9 of %s", c->slots[m].name);
        member_kill(c, m);
        pause_for(c, 0, 3000);
        restart(c, m);
}

static void kill_two(struct chaos *c) {
        unsigned a = choose_running(c), b;

        member_kill(c, a);
        b = choose_running(c);
        chaos_say(c, "kill -9 of %s and %s", c->slots[a].name, c->slots[b].name);
        member_kill(c, b);
        pause_for(c, 0, 2500);
        restart(c, b);
        pause_for(c, 0, 1500);
        restart(c, a);
}

static void kill_all(struct chaos *c) {
        chaos_say(c, "kill -9 of all");
        for (unsigned m = 0; m < c->slot_count; m++)
                member_kill(c, m);
        pause_for(c, 0, 500);
        for (unsigned m = 0; m < c->slot_count; m++) {
                restart(c, m);
                pause_for(c, 0, 300);
        }
}

/* Killed again and again before it is well on its feet. */
static void kill_often(struct chaos *c) {
        unsigned m = choose_running(c);

        chaos_say(c, "kill -9 of %s, four times", c->slots[m].name);
        for (unsigned i = 0; i < 4; i++) {
                member_kill(c, m);
                restart(c, m);
                pause_for(c, 20, 400);
        }
}

static void pause_any(struct chaos *c) {
        unsigned m = choose_running(c);

        chaos_say(c, "pause of %s", c->slots[m].name);
        member_pause(c, m);
        pause_for(c, 200, 3500);
        member_resume(c, m);
}

static void pause_leader(struct chaos *c) {
        unsigned m = leader_or_any(c);

        chaos_say(c, "pause of the leader, %s", c->slots[m].name);
        member_pause(c, m);
        pause_for(c, ELECTION_MS * 2, 4000);
        member_resume(c, m);
}

static void stop_any(struct chaos *c) {
        unsigned m = choose_running(c);

        chaos_say(c, "clean stop of %s", c->slots[m].name);
        (void)member_stop(c, m);
        pause_for(c, 0, 1500);
        restart(c, m);
}

static void stop_leader(struct chaos *c) {
        unsigned m = leader_or_any(c);

        chaos_say(c, "clean stop of the leader, %s", c->slots[m].name);
        (void)member_stop(c, m);
        pause_for(c, 0, 1500);
        restart(c, m);
}

static void open_all(struct chaos *c) {
        memset(c->cut, 0, sizeof(c->cut));
        memset(c->delay_ms, 0, sizeof(c->delay_ms));
        proxies_update(c);
}

static void cut_one_way(struct chaos *c) {
        unsigned a = choose_running(c), b = choose_running(c);

        chaos_say(c, "nothing arrives from %s at %s", c->slots[a].name, c->slots[b].name);
        c->cut[a][b] = true;
        proxies_update(c);
        pause_for(c, 500, 4000);
        open_all(c);
}

static void cut_off(struct chaos *c, unsigned m, bool in, bool out) {
        for (unsigned i = 0; i < c->slot_count; i++) {
                c->cut[i][m] = i != m && in;
                c->cut[m][i] = i != m && out;
        }
        proxies_update(c);
}

static void cut_leader(struct chaos *c) {
        unsigned m = leader_or_any(c);
        uint64_t how = dice_below(&c->dice, 3);

        chaos_say(c, "the leader, %s, is cut off: %s", c->slots[m].name,
                        how == 0   ? "nothing arrives"
                        : how == 1 ? "nothing leaves"
                                   : "both ways");
        cut_off(c, m, how != 1, how != 0);
        pause_for(c, ELECTION_MS, 5000);
        open_all(c);
}

static void cut_any(struct chaos *c) {
        unsigned m = choose_running(c);

        chaos_say(c, "%s is cut off", c->slots[m].name);
        cut_off(c, m, true, true);
        pause_for(c, 500, 5000);
        open_all(c);
}

static void delay(struct chaos *c) {
        chaos_say(c, "every way takes longer");
        for (unsigned i = 0; i < c->slot_count; i++)
                for (unsigned j = 0; j < c->slot_count; j++)
                        c->delay_ms[i][j] = (uint32_t)dice_below(&c->dice, 120);
        pause_for(c, 1000, 3000);
        open_all(c);
}

static void move_leader(struct chaos *c) {
        Etcdserverpb__MoveLeaderRequest r = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
        unsigned to = choose_running(c);
        int leader = cluster_leader(c);

        if (leader < 0 || leader == (int)to)
                return;
        chaos_say(c, "leadership goes from %s to %s", c->slots[leader].name, c->slots[to].name);
        r.targetid = c->slots[to].id;
        (void)rpc_wait(&c->slots[leader].control, "/etcdserverpb.Maintenance/MoveLeader", &r.base,
                        5000000, NULL, NULL);
}

static void compact(struct chaos *c) {
        Etcdserverpb__CompactionRequest r = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
        unsigned m = choose_running(c);

        r.revision = INT64_MAX;
        for (unsigned i = 0; i < c->slot_count; i++)
                if (member_in_cluster(c, i))
                        r.revision = MIN(r.revision, watcher_rev(c->slots[i].watcher));
        r.revision -= 100;
        if (r.revision < 2)
                return;
        chaos_say(c, "compaction at revision %lld", (long long)r.revision);
        (void)rpc_wait(&c->slots[m].control, "/etcdserverpb.KV/Compact", &r.base, 5000000, NULL,
                        NULL);
}

static void defragment(struct chaos *c) {
        Etcdserverpb__DefragmentRequest r = ETCDSERVERPB__DEFRAGMENT_REQUEST__INIT;
        unsigned m = choose_running(c);

        chaos_say(c, "defragmentation of %s", c->slots[m].name);
        (void)rpc_wait(&c->slots[m].control, "/etcdserverpb.Maintenance/Defragment", &r.base,
                        20000000, NULL, NULL);
}

/* ---- membership ---- */

/* Asks the leader, whoever it is by then, until it agrees. */
static bool ask_leader(struct chaos *c, const char *path, const ProtobufCMessage *request,
                uint64_t limit_us, void **ret_data, size_t *ret_size) {
        uint64_t end_us = chaos_now_us(c) + limit_us;

        while (chaos_now_us(c) < end_us && !c->interrupted) {
                int leader = cluster_leader(c);

                if (leader >= 0 && rpc_wait(&c->slots[leader].control, path, request, 5000000,
                                                   ret_data, ret_size) == GRPC_OK)
                        return true;
                if (ret_data)
                        *ret_data = mfree(*ret_data);
                if (!chaos_run(c, 200000))
                        return false;
        }
        return false;
}

static unsigned members_count(const struct chaos *c) {
        unsigned n = 0;

        for (unsigned m = 0; m < c->slot_count; m++)
                n += member_in_cluster(c, m);
        return n;
}

static bool add_member(struct chaos *c, unsigned *ret) {
        Etcdserverpb__MemberAddRequest add = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
        Etcdserverpb__MemberPromoteRequest promote = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;
        Etcdserverpb__MemberAddResponse *answer = NULL;
        _cleanup_free_ char *url = NULL;
        _cleanup_free_ void *data = NULL;
        int m = member_add_slot(c);
        size_t size = 0;

        if (m < 0) {
                chaos_fail(c, "no new member: %s", strerror(-m));
                return false;
        }
        c->slots[m].joins = true;
        url = strformat("https://127.0.0.1:%u", proxy_port(c->slots[m].proxy));
        assert(url);
        add.peerurls = &url;
        add.n_peerurls = 1;
        add.islearner = true;
        if (!ask_leader(c, "/etcdserverpb.Cluster/MemberAdd", &add.base, 20000000, &data, &size)) {
                chaos_fail(c, "no member could be added within 20 s: %s", c->answer);
                return false;
        }
        answer = etcdserverpb__member_add_response__unpack(NULL, size, data);
        promote.id = answer && answer->member ? answer->member->id : 0;
        if (answer)
                etcdserverpb__member_add_response__free_unpacked(answer, NULL);
        if (member_start(c, (unsigned)m) < 0) {
                chaos_fail(c, "%s does not start", c->slots[m].name);
                return false;
        }
        pause_for(c, 100, 1500);
        if (!ask_leader(c, "/etcdserverpb.Cluster/MemberPromote", &promote.base, 30000000, NULL,
                            NULL)) {
                chaos_fail(c, "%s could not be promoted within 30 s: %s", c->slots[m].name,
                                c->answer);
                return false;
        }
        *ret = (unsigned)m;
        return true;
}

static void replace_member(struct chaos *c) {
        Etcdserverpb__MemberRemoveRequest r = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
        bool leader = dice_below(&c->dice, 2);
        unsigned added = 0, m;

        if (c->slot_count == SLOTS_MAX)
                return;
        chaos_say(c, "another member joins as a learner");
        if (!add_member(c, &added))
                return;
        chaos_say(c, "%s was promoted", c->slots[added].name);
        pause_for(c, 100, 1500);
        m = leader ? leader_or_any(c) : choose_running(c);
        if (members_count(c) <= c->options.members || c->slots[m].id == 0)
                return;
        chaos_say(c, "%s%s is removed", c->slots[m].name,
                        cluster_leader(c) == (int)m ? ", the leader," : "");
        r.id = c->slots[m].id;
        c->slots[m].may_exit = true;
        if (!ask_leader(c, "/etcdserverpb.Cluster/MemberRemove", &r.base, 20000000, NULL, NULL)) {
                chaos_fail(c, "%s could not be removed within 20 s: %s", c->slots[m].name,
                                c->answer);
                return;
        }
        c->slots[m].removed = true;
        pause_for(c, 500, 1500);
        member_kill(c, m);
}

static const struct fault faults[] = {
                {"kill-leader", 3, 1, kill_leader},
                {"kill", 1, 1, kill_any},
                {"kill-two", 1, 3, kill_two},
                {"kill-all", 1, 1, kill_all},
                {"kill-often", 1, 1, kill_often},
                {"pause", 1, 1, pause_any},
                {"pause-leader", 1, 3, pause_leader},
                {"stop", 1, 1, stop_any},
                {"stop-leader", 1, 3, stop_leader},
                {"cut-one-way", 1, 3, cut_one_way},
                {"cut-leader", 2, 3, cut_leader},
                {"cut", 1, 3, cut_any},
                {"delay", 1, 3, delay},
                {"move-leader", 1, 3, move_leader},
                {"compact", 1, 1, compact},
                {"defragment", 1, 1, defragment},
                {"replace", 2, 3, replace_member},
};

enum { DECK_MAX = 64 };

/* Every fault comes once or more in a round, in an order that the seed says. */
static size_t shuffle(struct chaos *c, const struct fault **deck) {
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(faults); i++) {
                const struct fault *f = &faults[i];

                if ((c->options.faults && !strv_contains(c->options.faults, f->name)) ||
                                c->options.members < f->members_min)
                        continue;
                for (unsigned k = 0; k < f->count && n < DECK_MAX; k++)
                        deck[n++] = f;
        }
        for (size_t i = n; i > 1; i--) {
                size_t k = dice_below(&c->dice, i);
                const struct fault *f = deck[i - 1];

                deck[i - 1] = deck[k];
                deck[k] = f;
        }
        return n;
}

void nemesis_heal(struct chaos *c) {
        open_all(c);
        for (unsigned m = 0; m < c->slot_count; m++) {
                member_resume(c, m);
                restart(c, m);
        }
}

void nemesis_run(struct chaos *c, uint64_t end_us) {
        enum { HEALTHY_LIMIT_US = 20000000 };
        const struct fault *deck[DECK_MAX];
        size_t left = 0;

        while (chaos_now_us(c) < end_us && !c->interrupted) {
                const struct fault *f = NULL;
                uint64_t now_us;

                if (left == 0)
                        left = shuffle(c, deck);
                if (left > 0) {
                        f = deck[--left];
                        f->run(c);
                }
                nemesis_heal(c);
                if (!cluster_wait_healthy(c, HEALTHY_LIMIT_US) && !c->interrupted)
                        chaos_fail(c, "not all members agree on a leader %d s after \"%s\"",
                                        HEALTHY_LIMIT_US / 1000000, f ? f->name : "nothing");
                now_us = chaos_now_us(c);
                if (!chaos_until(c, HEALTHY_LIMIT_US, wrote_since, &now_us) && !c->interrupted)
                        chaos_fail(c, "nothing could be written %d s after \"%s\"",
                                        HEALTHY_LIMIT_US / 1000000, f ? f->name : "nothing");
                c->faults_done++;
                pause_for(c, 300, 1500);
        }
}
