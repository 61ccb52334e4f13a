/* kctl control member: the store's members, asked and changed at the socket of this machine. It is
 * run by kctl elsewhere, over SSH, on a machine of the control plane; its answers are lines of
 * JSON. */
#include <systemd/sd-event.h>

#include "kctl/control.h"
#include "lib/buf.h"
#include "lib/grpc-client.h"
#include "lib/json.h"
#include "lib/timefmt.h"
#include "proto/rpc.pb-c.h"

#define STORE_SOCKET "unix:///run/keelson/kstored/kstored.sock"

enum { CALL_TIMEOUT_US = 10000000, RETRY_US = 500000 };
#define CHANGE_MAX_US UINT64_C(120000000)

struct member_call {
        sd_event *event;
        struct grpc_channel *channel;
        const char *path;
        const ProtobufCMessage *request;
        const ProtobufCMessageDescriptor *answer_type;
        ProtobufCMessage *answer;
        enum grpc_code code;
        char *message;
};

static void member_call_done(struct member_call *c) {
        grpc_channel_free(c->channel);
        sd_event_unref(c->event);
        if (c->answer)
                protobuf_c_message_free_unpacked(c->answer, NULL);
        free(c->message);
}

static void on_message(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct member_call *c = userdata;

        if (!c->answer)
                c->answer = protobuf_c_message_unpack(c->answer_type, NULL, n, data);
}

static void on_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct member_call *c = userdata;

        c->code = code;
        c->message = strdup(strempty(message));
        (void)sd_event_exit(c->event, 0);
}

/* One call on a channel of its own. c has the answer, or its refusal. */
static int call_once(struct member_call *c, const char *url, struct problem *p) {
        char *endpoints[] = {(char *)(url ? url : STORE_SOCKET), NULL};
        size_t n = protobuf_c_message_get_packed_size(c->request);
        _cleanup_free_ uint8_t *data = malloc(n + 1);
        int r;

        if (!data)
                return -ENOMEM;
        protobuf_c_message_pack(c->request, data);
        r = sd_event_new(&c->event);
        if (r < 0)
                return r;
        r = grpc_channel_new(&c->channel, c->event,
                        &(struct grpc_channel_options){.endpoints = endpoints}, p);
        if (r < 0)
                return r;
        r = grpc_client_unary(c->channel,
                        &(struct grpc_client_call_options){.path = c->path,
                                        .timeout_us = CALL_TIMEOUT_US,
                                        .fail_fast = true,
                                        .on_message = on_message,
                                        .on_done = on_done,
                                        .userdata = c},
                        data, n, NULL);
        if (r < 0)
                return r;
        r = sd_event_loop(c->event);
        return r < 0 ? r : 0;
}

/* A refusal that time cures: no leader for a moment, members that have not seen each other for long
 * enough, a learner that is behind. */
static bool may_pass(const struct member_call *c) {
        const char *message = strempty(c->message);

        return c->code == GRPC_UNAVAILABLE || c->code == GRPC_DEADLINE_EXCEEDED ||
               strstr(message, "unhealthy cluster") || strstr(message, "in sync with leader") ||
               strstr(message, "no leader") || strstr(message, "not enough started members") ||
               strstr(message, "too many learner members");
}

static int member_ask(struct kctl *k, const char *path, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *answer_type, ProtobufCMessage **ret,
                struct problem *p) {
        uint64_t deadline = now_mono_us() + CHANGE_MAX_US;

        for (;;) {
                _cleanup_(member_call_done) struct member_call c = {
                                .path = path, .request = request, .answer_type = answer_type};
                int r = call_once(&c, k->flags.store, p);

                if (r < 0)
                        return r;
                if (c.code == GRPC_OK && c.answer) {
                        *ret = TAKE_PTR(c.answer);
                        return 0;
                }
                if (!may_pass(&c) || now_mono_us() > deadline)
                        return problem_set(p, EIO, 0, NULL, "the store refuses: %s",
                                        isempty(c.message) ? "no reason was given" : c.message);
                usleep(RETRY_US);
        }
}

/* One that was added and has not started has no name. */
static json_t *member_json(const Etcdserverpb__Member *m) {
        char id[32];

        (void)snprintf(id, sizeof(id), "%llx", (unsigned long long)m->id);
        return json_pack("{s:s, s:s, s:s, s:b}", "id", id, "name", strempty(m->name), "peerURL",
                        m->n_peerurls > 0 ? m->peerurls[0] : "", "learner", m->islearner);
}

static int print_members(Etcdserverpb__Member *const *members, size_t n,
                const Etcdserverpb__Member *added, uint64_t leader) {
        _cleanup_json_ json_t *o = NULL, *list = json_array();
        _cleanup_free_ char *text = NULL;
        char id[32];

        for (size_t i = 0; list && i < n; i++)
                if (json_array_append_new(list, member_json(members[i])) < 0)
                        return -ENOMEM;
        (void)snprintf(id, sizeof(id), "%llx", (unsigned long long)leader);
        o = list ? json_pack("{s:O, s:s}", "members", list, "leader", id) : NULL;
        if (o && added)
                (void)json_object_set_new(o, "added", member_json(added));
        text = o ? json_text(o) : NULL;
        if (!text)
                return -ENOMEM;
        printf("%s\n", text);
        return 0;
}

/* 0 when it cannot be said. */
static uint64_t leader_of(struct kctl *k) {
        const Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
        _cleanup_problem_ struct problem p = {0};
        Etcdserverpb__StatusResponse *a;
        ProtobufCMessage *answer = NULL;
        uint64_t leader;

        if (member_ask(k, "/etcdserverpb.Maintenance/Status", &request.base,
                            &etcdserverpb__status_response__descriptor, &answer, &p) < 0)
                return 0;
        a = (void *)answer;
        leader = a->leader;
        protobuf_c_message_free_unpacked(answer, NULL);
        return leader;
}

static int list(struct kctl *k, struct problem *p) {
        const Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
        Etcdserverpb__MemberListResponse *a;
        ProtobufCMessage *answer = NULL;
        int r = member_ask(k, "/etcdserverpb.Cluster/MemberList", &request.base,
                        &etcdserverpb__member_list_response__descriptor, &answer, p);

        if (r < 0)
                return r;
        a = (void *)answer;
        r = print_members(a->members, a->n_members, NULL, leader_of(k));
        protobuf_c_message_free_unpacked(answer, NULL);
        return r;
}

static int add(struct kctl *k, char *url, struct problem *p) {
        Etcdserverpb__MemberAddRequest request = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
        Etcdserverpb__MemberAddResponse *a;
        ProtobufCMessage *answer = NULL;
        int r;

        request.peerurls = &url;
        request.n_peerurls = 1;
        request.islearner = true;
        r = member_ask(k, "/etcdserverpb.Cluster/MemberAdd", &request.base,
                        &etcdserverpb__member_add_response__descriptor, &answer, p);
        if (r < 0)
                return r;
        a = (void *)answer;
        r = print_members(a->members, a->n_members, a->member, 0);
        protobuf_c_message_free_unpacked(answer, NULL);
        return r;
}

static int parse_id(const char *text, uint64_t *ret, struct problem *p) {
        char *end;

        errno = 0;
        *ret = strtoull(text, &end, 16);
        if (errno != 0 || end == text || *end)
                return problem_set(p, EINVAL, 0, NULL, "\"%s\" is not the id of a member", text);
        return 0;
}

/* A change whose answer says nothing that is needed. */
static int change(struct kctl *k, const char *path, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *answer_type, struct problem *p) {
        ProtobufCMessage *answer = NULL;
        int r = member_ask(k, path, request, answer_type, &answer, p);

        if (r >= 0)
                protobuf_c_message_free_unpacked(answer, NULL);
        return r;
}

static int promote(struct kctl *k, uint64_t id, struct problem *p) {
        Etcdserverpb__MemberPromoteRequest request = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;

        request.id = id;
        return change(k, "/etcdserverpb.Cluster/MemberPromote", &request.base,
                        &etcdserverpb__member_promote_response__descriptor, p);
}

static int remove_member(struct kctl *k, uint64_t id, struct problem *p) {
        Etcdserverpb__MemberRemoveRequest request = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;

        request.id = id;
        return change(k, "/etcdserverpb.Cluster/MemberRemove", &request.base,
                        &etcdserverpb__member_remove_response__descriptor, p);
}

static int update(struct kctl *k, uint64_t id, char *url, struct problem *p) {
        Etcdserverpb__MemberUpdateRequest request = ETCDSERVERPB__MEMBER_UPDATE_REQUEST__INIT;

        request.id = id;
        request.peerurls = &url;
        request.n_peerurls = 1;
        return change(k, "/etcdserverpb.Cluster/MemberUpdate", &request.base,
                        &etcdserverpb__member_update_response__descriptor, p);
}

int kctl_control_member(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        size_t n = strv_length(k->words);
        const char *what = n > 0 ? k->words[0] : "";
        uint64_t id = 0;
        int r;

        output_exact(k, true);
        if (streq(what, "list") && n == 1)
                r = list(k, &p);
        else if (streq(what, "add") && n == 2)
                r = add(k, k->words[1], &p);
        else if (n < 2)
                return kctl_usage(k, "list, add URL, promote ID, remove ID or update ID URL");
        else {
                r = parse_id(k->words[1], &id, &p);
                if (r < 0)
                        return kctl_fail(&p);
                if (streq(what, "promote") && n == 2)
                        r = promote(k, id, &p);
                else if (streq(what, "remove") && n == 2)
                        r = remove_member(k, id, &p);
                else if (streq(what, "update") && n == 3)
                        r = update(k, id, k->words[2], &p);
                else
                        return kctl_usage(k, "\"%s\" is not a change of members", what);
        }
        return r < 0 ? kctl_fail(&p) : EXIT_OK;
}
