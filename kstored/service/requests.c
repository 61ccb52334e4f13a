/* Proposals that wait for their entry to be applied. A request that comes while there is no leader
 * is held and proposed later. One that a leader was given which then died would wait in vain: when
 * an entry of a later term is applied, every entry of that leader's that will ever be applied has
 * been. Its client is told so instead of waiting out its time; as after a timeout, it cannot know
 * whether its request was carried out, because the message may yet reach the same leader, elected
 * again. */
#include "kstored/service/requests.h"

#include <sys/queue.h>
#include <uthash.h>

#include "kstored/server/server.h"
#include "kstored/service/reads.h"
#include "kstored/service/reply.h"
#include "lib/random.h"

enum { HELD_BYTES_MAX = 64 * 1024 * 1024 };

/* A proposal that could not be made yet. */
struct held {
        enum command_kind kind;
        size_t size;
        char data[];
};

struct proposal {
        struct held *held; /* until there is a leader; NULL: proposed */
        uint64_t id;
        uint64_t term; /* when it was proposed */
        struct grpc_call *call;
        request_done done;
        struct server *server;
        uint64_t end_ms;
        TAILQ_ENTRY(proposal) link;
        UT_hash_handle hh;
};

TAILQ_HEAD(proposal_list, proposal);

struct requests {
        struct proposal *by_id;
        struct proposal_list by_age; /* the oldest first */
        uint64_t next_id, applied_term;
        size_t held_count, held_bytes;
};

static struct requests *requests_of(const struct server *s) {
        return server_part(s, SERVER_PART_REQUESTS);
}

static void unhold(struct requests *x, struct proposal *proposal) {
        if (!proposal->held)
                return;
        assert(x->held_count > 0 && x->held_bytes >= proposal->held->size);
        x->held_count--;
        x->held_bytes -= proposal->held->size;
        proposal->held = mfree(proposal->held);
}

static void unlink_proposal(struct requests *x, struct proposal *proposal) {
        HASH_DEL(x->by_id, proposal);
        TAILQ_REMOVE(&x->by_age, proposal, link);
        unhold(x, proposal);
        free(proposal);
}

static void on_proposal_gone(struct grpc_call *call, void *userdata) {
        struct proposal *proposal = userdata;

        unlink_proposal(requests_of(proposal->server), proposal);
}

static void standard_done(
                struct server *s, struct grpc_call *call, const struct outcome *o, void *userdata) {
        if (o->error)
                server_refuse(call, o->error);
        else
                server_answer(s, call, o->rev, o->answer);
}

static void proposal_finish(struct server *s, struct proposal *proposal, const struct outcome *o) {
        struct grpc_call *call = proposal->call;
        request_done done = proposal->done;

        unlink_proposal(requests_of(s), proposal);
        grpc_call_on_gone(call, NULL, NULL);
        done(s, call, o, NULL);
}

bool requests_are_too_many(const struct server *s) {
        return requests_pending(s) + reads_pending(s) >= REQUESTS_MAX;
}

static uint64_t term_now(const struct server *s) {
        struct raft_status status;

        raft_get_status(s->raft, &status);
        return status.term;
}

static struct proposal *proposal_new(
                struct server *s, struct grpc_call *call, uint64_t id, request_done done) {
        struct requests *x = requests_of(s);
        struct proposal *proposal;

        if (requests_are_too_many(s)) {
                server_refuse(call, STORE_TOO_MANY_REQUESTS);
                return NULL;
        }
        proposal = calloc(1, sizeof(*proposal));
        if (!proposal) {
                server_refuse(call, STORE_NO_MEMORY);
                return NULL;
        }
        proposal->id = id;
        proposal->term = term_now(s);
        proposal->call = call;
        proposal->done = done ? done : standard_done;
        proposal->server = s;
        proposal->end_ms = server_now_ms() + server_time_limit_ms(s);
        TAILQ_INSERT_TAIL(&x->by_age, proposal, link);
        HASH_ADD(hh, x->by_id, id, sizeof(proposal->id), proposal);
        grpc_call_on_gone(call, on_proposal_gone, proposal);
        return proposal;
}

static struct proposal *proposal_find(const struct server *s, uint64_t id) {
        struct proposal *proposal;

        HASH_FIND(hh, requests_of(s)->by_id, &id, sizeof(id), proposal);
        return proposal;
}

static enum store_error propose_error(int r) {
        switch (r) {
        case -ENOTCONN:
                return STORE_NO_LEADER;
        case -EAGAIN:
                return STORE_TOO_MANY_REQUESTS;
        case -EBUSY:
                return STORE_UNHEALTHY;
        case -EEXIST:
                return STORE_MEMBER_EXISTS;
        case -ENOENT:
                return STORE_MEMBER_NOT_FOUND;
        case -EINVAL:
                return STORE_MEMBERS_NOT_STARTED;
        default:
                return STORE_NO_MEMORY;
        }
}

static void fail_now(struct server *s, uint64_t id, int error) {
        struct outcome o = {.error = propose_error(error)};

        s->counts.proposals_failed++;
        requests_outcome(s, id, &o);
}

/* As etcd, which lets changes wait out an election: they continue once there is a leader, or time
 * out. */
static int proposal_hold(
                struct server *s, uint64_t id, enum command_kind kind, const void *data, size_t n) {
        struct proposal *proposal = proposal_find(s, id);
        struct requests *x = requests_of(s);

        if (!proposal || x->held_bytes + n > HELD_BYTES_MAX)
                return -ENOTCONN;
        assert(!proposal->held);
        proposal->held = malloc(sizeof(*proposal->held) + n);
        if (!proposal->held)
                return -ENOMEM;
        *proposal->held = (struct held){.kind = kind, .size = n};
        memcpy(proposal->held->data, data, n);
        x->held_count++;
        x->held_bytes += n;
        return 0;
}

static void propose_held(struct server *s, void *state, uint64_t now_ms) {
        struct requests *x = state;
        struct proposal *proposal = x->held_count > 0 ? TAILQ_FIRST(&x->by_age) : NULL, *newer;

        for (; proposal; proposal = newer) {
                const struct held *held = proposal->held;
                int r;

                newer = TAILQ_NEXT(proposal, link);
                if (!held)
                        continue;
                r = replica_propose(s->replica, held->kind, proposal->id, held->data, held->size);
                if (r == -ENOTCONN)
                        return;
                unhold(x, proposal);
                proposal->term = term_now(s);
                if (r < 0)
                        fail_now(s, proposal->id, r);
        }
}

static void fail_lost(struct server *s, struct requests *x) {
        struct outcome o = {.error = STORE_LEADER_CHANGED};
        struct proposal *next;

        if (s->state->applied_term == x->applied_term)
                return;
        x->applied_term = s->state->applied_term;
        for (struct proposal *p = TAILQ_FIRST(&x->by_age); p; p = next) {
                next = TAILQ_NEXT(p, link);
                if (p->held || p->term >= x->applied_term)
                        continue;
                s->counts.proposals_failed++;
                proposal_finish(s, p, &o);
        }
}

static void prepare(struct server *s, void *state, uint64_t now_ms) {
        fail_lost(s, state);
        propose_held(s, state, now_ms);
}

void server_propose(struct server *s, struct grpc_call *call, enum command_kind kind,
                const void *data, size_t n, request_done done) {
        uint64_t id = requests_of(s)->next_id++;
        int r;

        if (call && (s->stopping || server_is_learner(s))) {
                /* As etcd: one that is catching up serves only what may be old. */
                server_refuse(call, s->stopping ? STORE_STOPPED : STORE_NOT_FOR_LEARNER);
                return;
        }
        if (call && !proposal_new(s, call, id, done))
                return;
        r = replica_propose(s->replica, kind, id, data, n);
        if (r == -ENOTCONN)
                r = proposal_hold(s, id, kind, data, n);
        if (r < 0)
                fail_now(s, id, r);
}

void server_propose_change(struct server *s, struct grpc_call *call,
                const struct raft_change *change, const void *data, size_t n, request_done done) {
        struct raft_status status;
        uint64_t id;
        int r;

        /* Entries of this kind have no id: they are found by their index, which only a leader
         * knows. */
        raft_get_status(s->raft, &status);
        if (status.role != RAFT_LEADER) {
                server_refuse(call, status.leader ? STORE_NOT_LEADER : STORE_NO_LEADER);
                return;
        }
        id = UINT64_MAX - (status.last + 1);
        if (!proposal_new(s, call, id, done))
                return;
        r = raft_propose_change(s->raft, change, data, n);
        if (r < 0)
                fail_now(s, id, r);
}

static size_t varint_size(uint64_t v) {
        size_t n = 1;

        while (v >>= 7)
                n++;
        return n;
}

/* etcd's limit applies to what it gives to Raft (InternalRaftRequest): the request as a field, with
 * tag and length, and a header (field 100) with the request's id, whose top 16 bits are the lowest
 * of the member's. */
enum store_error server_check_size(const struct server *s, size_t bytes) {
        uint64_t id = s->member_id << 48 | (((uint64_t)1 << 48) - 1);
        size_t header = 2 + 1 + 1 + varint_size(id);

        return 1 + varint_size(bytes) + bytes + header > s->options->max_request_bytes
                               ? STORE_TOO_LARGE
                               : STORE_OK;
}

bool requests_waiting(const struct server *s, uint64_t id) {
        return proposal_find(s, id);
}

void requests_outcome(struct server *s, uint64_t id, const struct outcome *o) {
        struct proposal *proposal = proposal_find(s, id);

        if (proposal)
                proposal_finish(s, proposal, o);
}

void requests_fail_all(struct server *s, enum store_error e) {
        struct requests *x = requests_of(s);
        struct outcome o = {.error = e};

        while (!TAILQ_EMPTY(&x->by_age)) {
                s->counts.proposals_failed++;
                proposal_finish(s, TAILQ_FIRST(&x->by_age), &o);
        }
        assert(x->held_count == 0 && x->held_bytes == 0);
}

size_t requests_pending(const struct server *s) {
        return HASH_COUNT(requests_of(s)->by_id);
}

static void expire(struct server *s, void *state, uint64_t now_ms) {
        struct outcome o = {.error = STORE_TIMEOUT};
        struct requests *x = state;
        struct proposal *oldest;

        while ((oldest = TAILQ_FIRST(&x->by_age)) && oldest->end_ms <= now_ms) {
                s->counts.proposals_failed++;
                proposal_finish(s, oldest, &o);
        }
}

static int configure(struct server *s, void *state, struct problem *p) {
        struct requests *x = state;

        TAILQ_INIT(&x->by_age);
        /* Distinct from those of other members and of earlier runs, whose entries may still be
         * applied. */
        x->next_id = random_u64() >> 2;
        return 0;
}

static void stop(struct server *s, void *state) {
        requests_fail_all(s, STORE_STOPPED);
}

const struct server_part requests_part = {.name = "requests",
                .size = sizeof(struct requests),
                .configure = configure,
                .prepare = prepare,
                .second = expire,
                .stop = stop};
