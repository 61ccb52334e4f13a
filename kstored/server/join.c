/* How a member with an empty disk learns its identity in a running cluster. */
#include "kstored/server/join.h"

#include "kstored/replica/peer-wire.h"
#include "lib/grpc-client.h"

struct asking {
        sd_event *event;
        struct join_reply *reply;
};

static void on_message(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct asking *a = userdata;

        if (a->reply->bytes.size == 0)
                (void)buf_append(&a->reply->bytes, data, n);
}

static void on_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct asking *a = userdata;

        a->reply->code = code;
        if (code != GRPC_OK)
                a->reply->why = strdup(message);
        (void)sd_event_exit(a->event, 0);
}

void join_reply_done(struct join_reply *r) {
        buf_done(&r->bytes);
        free(r->why);
        *r = (struct join_reply){0};
}

int join_call(struct join_reply *ret, const struct join_question *q, struct problem *p) {
        char *urls[] = {q->url, NULL};
        struct grpc_channel_options o = {
                        .endpoints = urls, .tls = q->tls, .backoff_max_us = 300000};
        struct asking a = {.reply = ret};
        struct grpc_client_call_options c = {.path = q->path,
                        .timeout_us = q->timeout_ms * 1000,
                        .fail_fast = !q->patient,
                        .on_message = on_message,
                        .on_done = on_done,
                        .userdata = &a};
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(grpc_channel_freep) struct grpc_channel *channel = NULL; /* goes first */
        int r = sd_event_new(&event);

        *ret = (struct join_reply){.code = GRPC_UNAVAILABLE};
        if (r < 0)
                return r;
        a.event = event;
        r = grpc_channel_new(&channel, event, &o, p);
        if (r < 0)
                return r;
        r = grpc_client_unary(channel, &c, q->data ? q->data : "", q->size, NULL);
        if (r < 0)
                return r;
        r = sd_event_loop(event);
        if (r < 0)
                return r;
        return ret->bytes.failed ? -ENOMEM : r;
}

void join_answer_done(struct join_answer *a) {
        for (size_t i = 0; i < a->count; i++)
                member_free(a->members[i]);
        *a = (struct join_answer){0};
}

bool join_knows(const struct join_answer *a, const struct member *m) {
        for (size_t i = 0; i < a->heard_count; i++)
                if (a->heard[i] == m->id)
                        return true;
        return m->client_urls;
}

static int take_reply(const Keelsonpeer__MembersReply *reply, struct join_answer *ret) {
        int r = reply->n_members == 0 || reply->n_members > RAFT_MEMBERS_MAX ? -EBADMSG : 0;

        ret->cluster_id = reply->cluster_id;
        ret->config_index = reply->config_index;
        ret->member_id = reply->member_id;
        ret->leader = reply->leader;
        ret->term = reply->term;
        ret->revision = reply->revision;
        ret->is_new = reply->is_new;
        for (size_t i = 0; i < reply->n_reached && i < RAFT_MEMBERS_MAX; i++)
                ret->reached[ret->reached_count++] = reply->reached[i];
        for (size_t i = 0; i < reply->n_heard && i < HEARD_MAX; i++)
                ret->heard[ret->heard_count++] = reply->heard[i];
        for (size_t i = 0; r >= 0 && i < reply->n_members; i++) {
                const Keelsonpeer__MemberRecord *m = reply->members[i];
                size_t size = keelsonpeer__member_record__get_packed_size(m);
                _cleanup_free_ uint8_t *bytes = malloc(MAX(size, (size_t)1));

                if (!bytes)
                        return -ENOMEM;
                keelsonpeer__member_record__pack(m, bytes);
                r = member_decode(bytes, size, &ret->members[i]);
                if (r >= 0)
                        ret->count++;
        }
        return r;
}

int join_ask(struct join_answer *ret, char **peer_urls, const struct tls_files *tls,
                uint64_t timeout_ms, bool patient, struct problem *p) {
        _cleanup_(join_reply_done) struct join_reply reply = {0};
        Keelsonpeer__MembersReply *m = NULL;
        int r = 0;

        *ret = (struct join_answer){0};
        for (char **u = peer_urls; u && *u && !m && r >= 0; u++) {
                const struct join_question q = {.url = *u,
                                .path = "/keelsonpeer.Peer/Members",
                                .tls = tls,
                                .timeout_ms = timeout_ms,
                                .patient = patient};

                join_reply_done(&reply);
                r = join_call(&reply, &q, p);
                if (r >= 0 && reply.code == GRPC_OK)
                        m = keelsonpeer__members_reply__unpack(
                                        NULL, reply.bytes.size, (const uint8_t *)reply.bytes.data);
        }
        if (r >= 0 && !m)
                return problem_set(p, ENOTCONN, 0, NULL,
                                "no other member of --initial-cluster answers: %s",
                                reply.why ? reply.why : "it names this member only");
        if (r >= 0) {
                r = take_reply(m, ret);
                if (r < 0)
                        r = problem_set(p, -r, 0, NULL,
                                        "the list of members that a member gave cannot be used");
        }
        if (m)
                keelsonpeer__members_reply__free_unpacked(m, NULL);
        if (r < 0)
                join_answer_done(ret);
        return r;
}
