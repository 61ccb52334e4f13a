/* keelsonpeer.Peer, the side that is called: Raft messages from other members, and the list of
 * members for a new one. */
#include "kstored/service/peer.h"

#include "kstored/server/first-life.h"
#include "kstored/server/links.h"
#include "kstored/server/metrics.h"
#include "kstored/server/server.h"
#include "kstored/service/reply.h"
#include "lib/log.h"

struct peer_call {
        struct server *server;
        uint64_t from;
        uint64_t config_index; /* of the newest configuration it had */
};

void peer_refuse(struct grpc_call *call, const char *why, bool removed) {
        grpc_call_finish(call, removed ? GRPC_PERMISSION_DENIED : GRPC_FAILED_PRECONDITION, why);
}

static bool in_config(const struct raft_config *c, uint64_t id) {
        for (uint32_t i = 0; i < c->count; i++)
                if (c->members[i].id == id)
                        return true;
        return false;
}

/* A configuration that is newer than its own, or the same, does without it. */
static bool was_removed(const struct server *s, uint64_t id, uint64_t config_index) {
        const struct raft_config *c = raft_get_config(s->raft);

        return !in_config(c, id) && c->index >= config_index;
}

static bool only_voter(const struct raft_config *c, uint64_t id) {
        bool ours = false, others = false;

        for (uint32_t i = 0; i < c->count; i++) {
                ours |= c->members[i].id == id && !c->members[i].learner;
                others |= c->members[i].id != id && !c->members[i].learner;
        }
        return ours && !others;
}

/* A cluster with one voter grows only through it. A member that it does not know and that has a
 * newer configuration was added before this member's data were deleted and it started alone. */
static bool began_again(struct server *s, const Keelsonpeer__Hello *h) {
        const struct raft_config *c = raft_get_config(s->raft);

        if (!only_voter(c, s->member_id) || in_config(c, h->from) || h->config_index <= c->index)
                return false;
        first_life_over(s);
        return true;
}

static char *removed_text(uint64_t id) {
        return strformat("member %llx is not in the cluster: it was removed",
                        (unsigned long long)id);
}

bool peer_hello_ok(struct server *s, struct grpc_call *call, const Keelsonpeer__Hello *h) {
        _cleanup_free_ char *why = NULL;
        bool removed = false;

        if (h->protocol != PEER_PROTOCOL)
                why = strformat("this kstored speaks version %d among members, the other version "
                                "%u: run the same kstored on all",
                                PEER_PROTOCOL, h->protocol);
        else if (h->cluster_id != s->cluster_id)
                why = strformat("member %llx belongs to cluster %llx, the member that answers to "
                                "cluster %llx: check --initial-cluster, --initial-cluster-token "
                                "and the data directories",
                                (unsigned long long)h->from, (unsigned long long)h->cluster_id,
                                (unsigned long long)s->cluster_id);
        else if (h->from == s->member_id)
                why = strformat("two processes say they are member %llx: one data directory was "
                                "copied; empty it and add another member for it",
                                (unsigned long long)h->from);
        else if (h->to != s->member_id)
                why = strformat("member %llx answers here, not %llx: a member's peer URL is wrong "
                                "(etcdctl member update)",
                                (unsigned long long)s->member_id, (unsigned long long)h->to);
        else if (began_again(s, h))
                why = strdup("this member has started again without its data and stops");
        else if (was_removed(s, h->from, h->config_index)) {
                why = removed_text(h->from);
                removed = true;
        } else
                return true;
        log_warning("Refused a member: %s", strempty(why));
        peer_refuse(call, strempty(why), removed);
        return false;
}

/* A leader whose connection ends may be dead: an election soon, not after the whole timeout. */
static void peer_call_free(struct peer_call *c) {
        if (!c->server->stopping)
                raft_hurry(c->server->raft, c->from);
        free(c);
}

static void on_gone(struct grpc_call *call, void *userdata) {
        peer_call_free(userdata);
}

static void end(struct grpc_call *call, struct peer_call *c, const char *why, bool removed) {
        grpc_call_on_gone(call, NULL, NULL);
        grpc_call_set_userdata(call, NULL);
        peer_call_free(c);
        peer_refuse(call, why, removed);
}

static struct peer_call *begin(
                struct server *s, struct grpc_call *call, const Keelsonpeer__Hello *hello) {
        struct peer_call *c;

        if (!hello) {
                peer_refuse(call, "the first message of a member must be a Hello", false);
                return NULL;
        }
        if (!peer_hello_ok(s, call, hello))
                return NULL;
        c = calloc(1, sizeof(*c));
        if (!c) {
                server_refuse(call, STORE_NO_MEMORY);
                return NULL;
        }
        c->server = s;
        c->from = hello->from;
        c->config_index = hello->config_index;
        if (!hello->fresh)
                (void)replica_hear(s->replica, hello->from);
        grpc_call_set_userdata(call, c);
        grpc_call_on_gone(call, on_gone, c);
        return c;
}

/* A snapshot comes with InstallSnapshot only. How the sending of one ended is reported to the core
 * by this member itself, never by another. */
static bool type_allowed(uint32_t type) {
        return type != RAFT_MSG_SNAPSHOT && type != RAFT_MSG_SNAPSHOT_STATUS;
}

void service_peer_messages(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        struct peer_call *c = grpc_call_userdata(call);
        Keelsonpeer__Envelope *e = keelsonpeer__envelope__unpack(&s->arena.allocator, n, data);

        if (!e) {
                if (c)
                        end(call, c, "a message among members cannot be read", false);
                else
                        peer_refuse(call, "a message among members cannot be read", false);
                return;
        }
        if (!c)
                c = begin(s, call, e->hello);
        if (!c)
                return;
        server_count_received(s, c->from, n, false);
        if (was_removed(s, c->from, c->config_index)) {
                _cleanup_free_ char *why = removed_text(c->from);

                end(call, c, strempty(why), true);
                return;
        }
        for (size_t i = 0; i < e->n_heard; i++)
                (void)replica_hear(s->replica, e->heard[i]);
        for (size_t i = 0; i < e->n_messages && !s->fatal; i++) {
                struct raft_message m;
                int r = peer_message_read(e->messages[i], &m);

                if (r == -ENOMEM)
                        break;
                if (r < 0 || m.from != c->from || !type_allowed(m.type)) {
                        if (r >= 0)
                                peer_message_done(&m);
                        server_count_received(s, c->from, 0, true);
                        end(call, c, "a message among members is invalid", false);
                        return;
                }
                replica_step(s->replica, &m);
                peer_message_done(&m);
        }
}

void service_peer_half_close(struct grpc_call *call, void *server) {
        struct peer_call *c = grpc_call_userdata(call);

        if (c)
                peer_call_free(c);
        grpc_call_on_gone(call, NULL, NULL);
        grpc_call_finish(call, GRPC_OK, NULL);
}

void service_peer_members(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        struct member *v[RAFT_MEMBERS_MAX];
        _cleanup_buf_ struct buf b = {0};
        struct raft_status status;
        size_t count = 0;

        b.failed = replica_members(s->replica, v, &count) < 0;
        wire_uint(&b, 1, s->cluster_id);
        wire_uint(&b, 2, raft_get_config(s->raft)->index);
        for (size_t i = 0; i < count; i++) {
                wire_member(&b, 3, v[i]);
                member_free(v[i]);
        }
        raft_get_status(s->raft, &status);
        wire_uint(&b, 4, s->member_id);
        peer_wire_heard(&b, 5, s->state->heard, s->state->heard_count);
        wire_bool(&b, 6, replica_is_new(s->replica));
        for (size_t i = 0; i < s->state->member_count; i++)
                if (server_reaches(s, s->state->members[i]->id, 0))
                        wire_uint(&b, 7, s->state->members[i]->id);
        wire_uint(&b, 8, status.leader);
        wire_uint(&b, 9, status.term);
        wire_uint(&b, 10, (uint64_t)mvcc_rev(s->state->kv.mvcc));
        if (b.failed)
                server_refuse(call, STORE_NO_MEMORY);
        else
                grpc_call_reply(call, b.data, b.size);
}
