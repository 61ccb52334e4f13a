/* Each step can be repeated: the cluster and the directory show what is left to do, so that it may
 * be killed anywhere: a directory that is empty was put aside; a member with our
 * address that was never started is the one that was added; a ticket says that all is done.
 *
 * Data first: while the old member is still in the cluster an empty directory is refused at a start
 * (first-life.c), and afterwards the old one is. */
#include "kstored/backup/replace.h"

#include "kstored/server/join.h"
#include "kstored/backup/replace-data.h"
#include "kstored/backup/replace-survey.h"
#include "kstored/server/options.h"
#include "lib/log.h"
#include "lib/timefmt.h"

enum { CHANGE_LIMIT_US = 60000000, CHANGE_TIMEOUT_MS = 10000, AGAIN_US = 500000 };

void replace_result_done(struct replace_result *r) {
        free(r->data_dir);
        free(r->aside);
        *r = (struct replace_result){0};
}

/* A change of membership, through any of the others. 1, 0 to try again, or an error. */
static int try_change(const struct survey *s, const char *path, const struct buf *request,
                struct join_reply *reply, struct problem *p) {
        for (size_t i = 0; i < s->count; i++) {
                const struct join_question q = {.url = s->urls[i],
                                .path = path,
                                .data = request->data,
                                .size = request->size,
                                .tls = s->tls,
                                .timeout_ms = CHANGE_TIMEOUT_MS};
                int r;

                join_reply_done(reply);
                r = join_call(reply, &q, p);
                if (r < 0)
                        return r;
                if (reply->code == GRPC_OK)
                        return 1;
                /* The others may be about to elect, or have not seen each other for long enough. */
                if (reply->code != GRPC_UNAVAILABLE && reply->code != GRPC_DEADLINE_EXCEEDED)
                        return 1;
        }
        return 0;
}

static int change(const struct survey *s, const char *path, const struct buf *request,
                struct join_reply *reply, struct problem *p) {
        uint64_t end_us = now_mono_us() + CHANGE_LIMIT_US;
        bool reported = false;
        int r;

        for (;;) {
                r = try_change(s, path, request, reply, p);
                if (r != 0)
                        return r;
                if (now_mono_us() > end_us)
                        return problem_set(p, ETIMEDOUT, 0, NULL,
                                        "the others refuse to change their members: %s; repeat "
                                        "this later",
                                        reply->why ? reply->why : "no answer");
                if (!reported)
                        log_info("Waiting for the others: %s", strempty(reply->why));
                reported = true;
                survey_wait(AGAIN_US);
        }
}

static int remove_old(const struct survey *s, uint64_t id, struct problem *p) {
        _cleanup_(join_reply_done) struct join_reply reply = {0};
        _cleanup_buf_ struct buf b = {0};
        int r;

        wire_uint(&b, 1, id);
        r = b.failed ? -ENOMEM : change(s, "/etcdserverpb.Cluster/MemberRemove", &b, &reply, p);
        if (r < 0 || reply.code == GRPC_OK || reply.code == GRPC_NOT_FOUND)
                return r < 0 ? r : 0;
        return problem_set(p, EREMOTEIO, 0, NULL, "member %llx is not removed: %s",
                        (unsigned long long)id, strempty(reply.why));
}

/* 1 with the id; 0 when another member has the address already: look again. */
static int add_new(const struct survey *s, char *const *peer_urls, uint64_t *ret_id,
                struct problem *p) {
        _cleanup_(join_reply_done) struct join_reply reply = {0};
        _cleanup_buf_ struct buf b = {0};
        Etcdserverpb__MemberAddResponse *added;
        int r;

        for (char *const *u = peer_urls; u && *u; u++)
                wire_string(&b, 1, *u);
        r = b.failed ? -ENOMEM : change(s, "/etcdserverpb.Cluster/MemberAdd", &b, &reply, p);
        if (r < 0)
                return r;
        if (reply.code == GRPC_FAILED_PRECONDITION &&
                        strstr(strempty(reply.why), store_error_text(STORE_PEER_URL_EXISTS)))
                return 0;
        added = reply.code == GRPC_OK
                                ? etcdserverpb__member_add_response__unpack(NULL, reply.bytes.size,
                                                  (const uint8_t *)reply.bytes.data)
                                : NULL;
        if (added && added->member)
                *ret_id = added->member->id;
        else
                r = problem_set(p, EREMOTEIO, 0, NULL, "the new member is not added: %s",
                                reply.why ? reply.why : "its answer cannot be read");
        if (added)
                etcdserverpb__member_add_response__free_unpacked(added, NULL);
        return r < 0 ? r : 1;
}

/* Until there is a member at our address that was never started. */
static int become_new(struct survey *s, const struct server_options *o, uint64_t *ret_removed,
                uint64_t *ret_id, struct problem *p) {
        for (unsigned rounds = 0; rounds < 10; rounds++) {
                const struct member *self = s->self;
                uint64_t id = self ? self->id : 0;
                int r;

                if (self && !s->self_started) {
                        *ret_id = id;
                        return 0;
                }
                if (self) {
                        log_info("Removing member %llx (%s)", (unsigned long long)id, self->name);
                        r = remove_old(s, id, p);
                        *ret_removed = id;
                } else {
                        log_info("Adding a new member at %s", o->initial_advertise_peer_urls[0]);
                        r = add_new(s, o->initial_advertise_peer_urls, ret_id, p);
                        if (r > 0)
                                return 0;
                }
                if (r < 0)
                        return r;
                r = survey_again(s, o, p);
                if (r < 0)
                        return r;
        }
        return problem_set(p, EREMOTEIO, 0, NULL,
                        "the others replaced this member, but their member list does not show it; "
                        "look at etcdctl member list and repeat this");
}

static int prepare(struct survey *s, const struct server_options *o, struct replace_dir *dir,
                struct replace_result *ret, struct problem *p) {
        _cleanup_(replace_ticket_done) struct replace_ticket t = {.cluster_id = s->cluster_id};
        int r;

        if (dir->has_data) {
                r = replace_dir_put_aside(dir, &ret->aside, p);
                if (r < 0)
                        return r;
        }
        if (ret->aside)
                log_info("The old data are in %s", ret->aside);
        r = become_new(s, o, &ret->removed, &ret->member_id, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < s->count; i++) {
                r = strv_extend(&t.peer_urls, s->urls[i]);
                if (r < 0)
                        return r;
        }
        t.member_id = ret->member_id;
        r = replace_dir_write_ticket(dir, &t, p);
        if (r < 0)
                return r;
        ret->cluster_id = s->cluster_id;
        ret->data_dir = TAKE_PTR(dir->path);
        return 0;
}

static int replace_member(
                const struct server_options *o, struct replace_result *ret, struct problem *p) {
        _cleanup_(replace_dir_done) struct replace_dir dir = {.lock_fd = -EBADF};
        _cleanup_(survey_done) struct survey s = {0};
        int r = replace_dir_open(&dir, o->data_dir, p);

        if (r < 0)
                return r;
        r = survey_others(&s, o, p);
        if (r < 0)
                return r;
        return prepare(&s, o, &dir, ret, p);
}

int replace_run(const struct server_options *o, struct replace_result *ret, struct problem *p) {
        struct replace_result result = {0};
        int r;

        if (!o->initial_advertise_peer_urls || !o->listen_peer_urls)
                return problem_set(p, EINVAL, 0, NULL,
                                "--replace needs what the service is started with, "
                                "--listen-peer-urls and --initial-advertise-peer-urls among it: "
                                "give the same --config");
        r = replace_member(o, &result, p);
        if (r < 0) {
                if (result.aside)
                        log_notice("The old data are in %s; run this again to continue",
                                        result.aside);
                replace_result_done(&result);
                return r;
        }
        *ret = result;
        return 0;
}
