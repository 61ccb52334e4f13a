/* The links to the other members follow the configuration; whether one is up shows which members
 * are in reach. */
#include "kstored/server/links.h"

#include "kstored/server/auto-tls.h"
#include "kstored/server/first-life.h"
#include "kstored/server/metrics.h"
#include "kstored/server/server.h"

/* As of the last update(). */
struct links {
        bool known;
        uint64_t changes, config;
};

/* Makes the links those that the members need now; cheap when nothing changed. */
static int update(struct server *s, struct links *x) {
        struct member *v[RAFT_MEMBERS_MAX];
        uint64_t config = raft_get_config(s->raft)->index;
        size_t n;
        int r;

        if (x->known && x->changes == s->state->member_changes && x->config == config)
                return 0;
        r = replica_members(s->replica, v, &n);
        if (r < 0)
                return r;
        r = peers_update(s->peers, v, n);
        while (n > 0)
                member_free(v[--n]);
        if (r < 0)
                return r;
        x->known = true;
        x->changes = s->state->member_changes;
        x->config = config;
        return 0;
}

static uint64_t on_config_index(void *userdata) {
        struct server *s = userdata;

        return raft_get_config(s->raft)->index;
}

static bool on_fresh(void *userdata) {
        struct server *s = userdata;

        return s->replica->fresh;
}

static size_t on_heard(void *userdata, const uint64_t **ret) {
        struct server *s = userdata;

        *ret = s->state->heard;
        return s->state->heard_count;
}

static void on_peer_connected(void *userdata, uint64_t id) {
        struct server *s = userdata;

        raft_hurry(s->raft, 0);
        first_life_soon(s);
}

static void on_peer_round_trip(void *userdata, uint64_t id, uint64_t us) {
        server_metrics_round_trip(userdata, id, us);
}

static void on_peer_removed_us(void *userdata) {
        server_removed(userdata);
}

static int start(struct server *s, void *state, struct problem *p) {
        struct peers_options o = {.cluster_id = s->cluster_id,
                        .member_id = s->member_id,
                        .tls = server_peer_tls(s),
                        .linger_ms = server_time_limit_ms(s) + 1000,
                        .on_removed = on_peer_removed_us,
                        .on_connected = on_peer_connected,
                        .on_round_trip = on_peer_round_trip,
                        .config_index = on_config_index,
                        .fresh = on_fresh,
                        .heard = on_heard,
                        .userdata = s};
        int r = peers_new(&s->peers, s->event, &o);

        return r < 0 ? r : update(s, state);
}

static void turn(struct server *s, void *state, uint64_t now_ms) {
        (void)update(s, state); /* again in the next turn where it failed */
        peers_flush(s->peers, now_ms);
}

bool server_reaches(const struct server *s, uint64_t member_id, uint64_t ms) {
        uint64_t since = peers_connected_since(s->peers, member_id);

        return member_id == s->member_id || (since && server_now_ms() >= since + ms);
}

bool server_has_successor(const struct server *s) {
        for (size_t i = 0; i < s->state->member_count; i++)
                if (s->state->members[i]->id != s->member_id && !s->state->members[i]->learner &&
                                server_reaches(s, s->state->members[i]->id, 0))
                        return true;
        return false;
}

const struct server_part links_part = {
                .name = "links", .size = sizeof(struct links), .start = start, .turn = turn};
