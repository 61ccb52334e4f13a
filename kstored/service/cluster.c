/* etcdserverpb.Cluster. */
#include "kstored/service/cluster.h"

#include "kstored/server/links.h"
#include "kstored/server/server.h"
#include "kstored/service/forward.h"
#include "kstored/service/reads.h"
#include "kstored/service/reply.h"
#include "kstored/service/requests.h"
#include "lib/random.h"

/* How long a voter must have been reached without a break; etcd's health interval. */
enum { STEADY_MS = 5000 };

static int compare_members(const void *a, const void *b) {
        const struct member *x = *(struct member *const *)a, *y = *(struct member *const *)b;

        return x->id < y->id ? -1 : x->id > y->id;
}

static void put_members(const struct server *s, struct buf *b, unsigned field) {
        struct member *sorted[RAFT_MEMBERS_MAX];

        memcpy(sorted, s->state->members, s->state->member_count * sizeof(sorted[0]));
        qsort(sorted, s->state->member_count, sizeof(sorted[0]), compare_members);
        for (size_t i = 0; i < s->state->member_count; i++)
                wire_member(b, field, sorted[i]);
}

static void serve_members(struct server *s, struct grpc_call *call, const void *data, size_t n) {
        _cleanup_buf_ struct buf b = {0};

        put_members(s, &b, 2);
        /* As etcd: the header of this service carries no revision. */
        server_reply(s, call, 0, &b);
}

void service_member_list(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__MemberListRequest *request = UNPACK(s, member_list_request, data, n);

        if (!request)
                server_refuse(call, STORE_BAD_MESSAGE);
        else if (request->linearizable)
                server_read(s, call, data, n, serve_members);
        else
                serve_members(s, call, data, n);
}

static void reply_members(
                struct server *s, struct grpc_call *call, const struct outcome *o, void *userdata) {
        if (o->error)
                server_refuse(call, o->error);
        else
                serve_members(s, call, NULL, 0);
}

/* http or https with a port and no path, as etcd wants them; or the path of a socket. */
static bool is_url(const char *u) {
        const char *host = startswith(u, "http://"), *port;

        if (!host)
                host = startswith(u, "https://");
        if (!host) {
                host = startswith(u, "unix://");
                return !isempty(host);
        }
        port = strrchr(host, ':');
        if (!port || (strchr(host, ':') != port && port[-1] != ']'))
                return false;
        return port[1] != '\0' && port[1 + strspn(port + 1, "0123456789")] == '\0';
}

/* The URLs of a request, checked: those of no other member (known: the one they are for). */
static enum store_error check_urls(const struct server *s, char **given, size_t n,
                const struct member *known, char ***ret) {
        for (size_t i = 0; i < n; i++) {
                if (!is_url(given[i]))
                        return STORE_MEMBER_BAD_URLS;
                if (strv_extend(ret, given[i]) < 0)
                        return STORE_NO_MEMORY;
        }
        if (!*ret)
                return STORE_MEMBER_BAD_URLS;
        for (size_t i = 0; i < s->state->member_count; i++)
                for (char **u = *ret; *u; u++)
                        if (s->state->members[i] != known && s->state->members[i]->peer_urls &&
                                        strv_contains(s->state->members[i]->peer_urls, *u))
                                return STORE_PEER_URL_EXISTS;
        return STORE_OK;
}

struct voters {
        size_t count, started, reached;
};

static struct voters count_voters(const struct server *s, uint64_t without) {
        struct voters v = {0};

        for (size_t i = 0; i < s->state->member_count; i++) {
                const struct member *m = s->state->members[i];

                if (m->learner || m->id == without)
                        continue;
                v.count++;
                v.started += !isempty(m->name);
                v.reached += server_reaches(s, m->id, STEADY_MS);
        }
        return v;
}

/* As etcd with --strict-reconfig-check: a new voter must leave a majority of started members, and
 * every voter must have been reached for a while. */
static enum store_error check_add(const struct server *s, bool learner) {
        struct voters v = count_voters(s, 0);

        if (!s->options->strict_reconfig_check)
                return STORE_OK;
        if (!learner && v.started < (v.count + 1) / 2 + 1 && !(v.count == 1 && v.started == 1))
                return STORE_MEMBERS_NOT_STARTED;
        return v.reached < v.count ? STORE_UNHEALTHY : STORE_OK;
}

static enum store_error check_remove(const struct server *s, const struct member *m) {
        struct voters v = count_voters(s, m->id);

        if (!s->options->strict_reconfig_check || m->learner)
                return STORE_OK;
        if (v.started < v.count / 2 + 1)
                return STORE_MEMBERS_NOT_STARTED;
        /* One that is down may always be removed. */
        if (server_reaches(s, m->id, 0) && v.reached < v.count / 2 + 1)
                return STORE_UNHEALTHY;
        return STORE_OK;
}

static bool has_learner(const struct server *s) {
        for (size_t i = 0; i < s->state->member_count; i++)
                if (s->state->members[i]->learner)
                        return true;
        return false;
}

static uint64_t new_id(const struct server *s) {
        uint64_t id;

        do
                id = random_u64();
        while (id == 0 || state_member(s->state, id));
        return id;
}

static void reply_added(
                struct server *s, struct grpc_call *call, const struct outcome *o, void *userdata) {
        const struct member *m = s->state->newest;
        _cleanup_buf_ struct buf b = {0};

        if (o->error || !m) {
                server_refuse(call, o->error ? o->error : STORE_MEMBER_NOT_FOUND);
                return;
        }
        wire_member(&b, 2, m);
        put_members(s, &b, 3);
        server_reply(s, call, 0, &b);
}

static enum store_error check_added(const struct server *s,
                const Etcdserverpb__MemberAddRequest *request, char ***ret_urls) {
        enum store_error e = check_urls(s, request->peerurls, request->n_peerurls, NULL, ret_urls);

        if (e)
                return e;
        if (request->islearner && has_learner(s))
                return STORE_TOO_MANY_LEARNERS;
        return check_add(s, request->islearner);
}

void service_member_add(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__MemberAddRequest *request = UNPACK(s, member_add_request, data, n);
        _cleanup_strv_free_ char **urls = NULL;
        _cleanup_buf_ struct buf b = {0};
        struct member m = {.id = new_id(s)};
        struct raft_change change = {.id = m.id};
        enum store_error e;

        if (!request) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        if (server_forward(s, call, "/etcdserverpb.Cluster/MemberAdd", data, n))
                return;
        e = check_added(s, request, &urls);
        if (e) {
                server_refuse(call, e);
                return;
        }
        if (!s->options->listen_peer_urls) {
                grpc_call_finish(call, GRPC_FAILED_PRECONDITION,
                                "kstored: this member serves no other members: start it with "
                                "--listen-peer-urls, and set its own address with etcdctl member "
                                "update");
                return;
        }
        m.peer_urls = urls;
        m.learner = request->islearner;
        change.op = request->islearner ? RAFT_ADD_LEARNER : RAFT_ADD_VOTER;
        if (member_encode(&m, &b) < 0)
                server_refuse(call, STORE_NO_MEMORY);
        else
                server_propose_change(s, call, &change, b.data, b.size, reply_added);
}

/* In sync with the leader, by etcd's measure: nine tenths of the log. */
static bool learner_ready(const struct server *s, uint64_t id) {
        struct raft_progress_view v[RAFT_MEMBERS_MAX];
        size_t n = raft_get_progress(s->raft, v, ELEMENTS(v));
        struct raft_status status;

        raft_get_status(s->raft, &status);
        for (size_t i = 0; i < n; i++)
                if (v[i].id == id)
                        return v[i].active && !v[i].snapshot && v[i].match * 10 >= status.last * 9;
        return false;
}

static enum store_error check_promote(const struct server *s, const struct member *m) {
        if (!m)
                return STORE_MEMBER_NOT_FOUND;
        if (!m->learner)
                return STORE_MEMBER_NOT_LEARNER;
        return learner_ready(s, m->id) ? STORE_OK : STORE_LEARNER_NOT_READY;
}

void service_member_promote(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__MemberPromoteRequest *request = UNPACK(s, member_promote_request, data, n);
        struct raft_change change = {.op = RAFT_ADD_VOTER};
        _cleanup_buf_ struct buf b = {0};
        struct member *m, voter;
        enum store_error e;

        if (!request) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        if (server_forward(s, call, "/etcdserverpb.Cluster/MemberPromote", data, n))
                return;
        m = state_member(s->state, request->id);
        e = check_promote(s, m);
        if (e) {
                server_refuse(call, e);
                return;
        }
        voter = *m;
        voter.learner = false;
        change.id = request->id;
        if (member_encode(&voter, &b) < 0)
                server_refuse(call, STORE_NO_MEMORY);
        else
                server_propose_change(s, call, &change, b.data, b.size, reply_members);
}

void service_member_remove(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__MemberRemoveRequest *request = UNPACK(s, member_remove_request, data, n);
        struct raft_change change = {.op = RAFT_REMOVE};
        const struct member *m;
        enum store_error e;

        if (!request) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        if (server_forward(s, call, "/etcdserverpb.Cluster/MemberRemove", data, n))
                return;
        m = state_member(s->state, request->id);
        e = m ? check_remove(s, m) : STORE_MEMBER_NOT_FOUND;
        if (e) {
                server_refuse(call, e);
                return;
        }
        change.id = request->id;
        server_propose_change(s, call, &change, NULL, 0, reply_members);
}

void service_member_update(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__MemberUpdateRequest *request = UNPACK(s, member_update_request, data, n);
        struct raft_change change = {.op = RAFT_UPDATE};
        _cleanup_strv_free_ char **urls = NULL;
        _cleanup_buf_ struct buf b = {0};
        struct member *known, changed;
        enum store_error e;

        if (!request) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        if (server_forward(s, call, "/etcdserverpb.Cluster/MemberUpdate", data, n))
                return;
        known = state_member(s->state, request->id);
        e = known ? check_urls(s, request->peerurls, request->n_peerurls, known, &urls)
                  : STORE_MEMBER_NOT_FOUND;
        if (!e) {
                changed = *known;
                changed.peer_urls = urls;
                if (member_encode(&changed, &b) < 0)
                        e = STORE_NO_MEMORY;
        }
        if (e) {
                server_refuse(call, e);
                return;
        }
        change.id = request->id;
        server_propose_change(s, call, &change, b.data, b.size, reply_members);
}
