/* The others are asked for their members, their leader and a hash of their data. Nothing is changed
 * unless more than half of the voters that remain answer, follow one leader and hold the same. */
#include "kstored/backup/replace-survey.h"

#include <poll.h>

#include "kstored/backup/replace-data.h"
#include "kstored/server/options.h"
#include "lib/log.h"
#include "lib/timefmt.h"

enum {
        ANSWER_MS = 2000,
        HASH_MS = 60000,
        AGREE_LIMIT_US = 15000000, /* an election, and a connection that is found to be dead */
        AGAIN_US = 500000,
        HASH_ROUNDS = 5,
};

void survey_wait(uint64_t us) {
        (void)poll(NULL, 0, (int)(us / 1000));
}

static void forget(struct survey *s) {
        for (size_t i = 0; i < s->count; i++)
                join_answer_done(&s->answers[i]);
        free(s->answers);
        s->answers = NULL;
        s->count = 0;
        join_answer_done(&s->newest);
        s->self = NULL;
}

void survey_done(struct survey *s) {
        forget(s);
        s->known_urls = strv_free(s->known_urls);
}

static bool shares(char *const *a, char *const *b) {
        for (; a && *a; a++)
                if (b && strv_contains(b, *a))
                        return true;
        return false;
}

/* ---- the members */

/* The others as the options name them, and as an earlier run found them. */
static int known_urls(struct survey *s, const struct server_options *o, struct problem *p) {
        _cleanup_(replace_ticket_done) struct replace_ticket t = {0};
        int r = replace_ticket_read(o->data_dir, &t, p);

        for (char **item = o->initial_cluster; r >= 0 && item && *item; item++) {
                const char *eq = strchr(*item, '=');

                if (!eq || strv_contains(o->initial_advertise_peer_urls, eq + 1) ||
                                ((size_t)(eq - *item) == strlen(o->name) &&
                                                strncmp(*item, o->name, strlen(o->name)) == 0))
                        continue;
                r = strv_extend(&s->known_urls, eq + 1);
        }
        for (char **u = t.peer_urls; r >= 0 && u && *u; u++)
                r = strv_extend(&s->known_urls, *u);
        if (r < 0)
                return r;
        return s->known_urls ? 0
                             : problem_set(p, ENOTCONN, 0, NULL,
                                               "--initial-cluster names this member only. A "
                                               "cluster "
                                               "of one is not replaced from others: restore a "
                                               "backup (kstored --config FILE --restore BACKUP "
                                               "--force). If it has got others since, name them: "
                                               "--initial-cluster %s=%s,OTHER=URL",
                                               o->name, o->initial_advertise_peer_urls[0]);
}

/* By its address, else by its name. */
static int find_self(struct survey *s, const struct server_options *o, struct problem *p) {
        const struct member *by_url = NULL, *by_name = NULL;
        const struct join_answer *a = &s->newest;

        for (size_t i = 0; i < a->count; i++) {
                if (shares(a->members[i]->peer_urls, o->initial_advertise_peer_urls))
                        by_url = a->members[i];
                if (streq(a->members[i]->name, o->name))
                        by_name = a->members[i];
        }
        if (by_url && by_name && by_url != by_name)
                return problem_set(p, EINVAL, 0, NULL,
                                "the cluster has \"%s\" as member %llx, and at this member's "
                                "address %s it has member %llx (\"%s\"): give the right --name and "
                                "--initial-advertise-peer-urls",
                                o->name, (unsigned long long)by_name->id,
                                o->initial_advertise_peer_urls[0], (unsigned long long)by_url->id,
                                by_url->name);
        s->self = by_url ? by_url : by_name;
        /* One that was only added has no name: it says it when it starts. */
        s->self_started = s->self && (!isempty(s->self->name) || join_knows(a, s->self));
        return 0;
}

static int ask_member(struct survey *s, const struct member *m, struct problem *p) {
        struct join_answer *a = &s->answers[s->count];
        _cleanup_problem_ struct problem silent = {0};

        for (char **u = m->peer_urls; u && *u; u++) {
                char *one[] = {*u, NULL};
                int r = join_ask(a, one, s->tls, ANSWER_MS, false, &silent);

                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        continue;
                if (a->cluster_id != s->cluster_id || (a->member_id && a->member_id != m->id)) {
                        join_answer_done(a);
                        return problem_set(p, EINVAL, 0, NULL,
                                        "at %s answers member %llx of cluster %llx, and it should "
                                        "be %llx of %llx: correct the address (etcdctl member "
                                        "update)",
                                        *u, (unsigned long long)a->member_id,
                                        (unsigned long long)a->cluster_id,
                                        (unsigned long long)m->id,
                                        (unsigned long long)s->cluster_id);
                }
                s->urls[s->count++] = *u;
                return 0;
        }
        return 0;
}

/* Everybody's answer, with the newest list of members. */
static int ask_all(struct survey *s, const struct server_options *o, struct problem *p) {
        struct join_answer first;
        int r;

        forget(s);
        r = join_ask(&first, s->known_urls, s->tls, ANSWER_MS, false, p);
        if (r == -ENOTCONN) {
                _cleanup_free_ char *urls = strv_join(s->known_urls, ", ");

                return problem_set(p, ENOTCONN, 0, NULL,
                                "none of the other members answers at %s; start them, or correct "
                                "--initial-cluster. When most of them are lost, restore a backup: "
                                "kstored --config FILE --restore BACKUP --force",
                                strempty(urls));
        }
        if (r < 0)
                return r;
        s->newest = first;
        s->cluster_id = first.cluster_id;
        r = find_self(s, o, p);
        if (r < 0)
                return r;
        s->answers = calloc(RAFT_MEMBERS_MAX, sizeof(*s->answers));
        if (!s->answers)
                return -ENOMEM;
        for (size_t i = 0; i < s->newest.count; i++) {
                if (s->newest.members[i] == s->self)
                        continue;
                r = ask_member(s, s->newest.members[i], p);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- their agreement */

static size_t voters_left(const struct survey *s) {
        size_t n = 0;

        for (size_t i = 0; i < s->newest.count; i++)
                n += s->newest.members[i] != s->self && !s->newest.members[i]->learner;
        return n;
}

static size_t voters_that_follow(const struct survey *s, uint64_t leader, uint64_t term) {
        size_t n = 0;

        for (size_t i = 0; i < s->count; i++) {
                const struct join_answer *a = &s->answers[i];

                for (size_t k = 0; k < a->count; k++)
                        n += a->members[k]->id == a->member_id && !a->members[k]->learner &&
                             a->leader == leader && a->term == term && a->leader != 0 &&
                             a->config_index == s->newest.config_index;
        }
        return n;
}

static bool is_reached(const struct survey *s) {
        for (size_t i = 0; s->self && i < s->count; i++)
                for (size_t k = 0; k < s->answers[i].reached_count; k++)
                        if (s->answers[i].reached[k] == s->self->id)
                                return true;
        return false;
}

/* NULL when they agree; else the obstacle, which may be transient. */
static const char *disagreement(const struct survey *s, size_t *ret_follow) {
        size_t follow = 0;

        for (size_t i = 0; i < s->count; i++)
                follow = MAX(follow,
                                voters_that_follow(s, s->answers[i].leader, s->answers[i].term));
        *ret_follow = follow;
        if (follow < voters_left(s) / 2 + 1)
                return "too few of them answer and follow one leader";
        if (is_reached(s))
                return "this member runs somewhere: stop it first";
        return NULL;
}

static int agree(struct survey *s, const struct server_options *o, struct problem *p) {
        uint64_t end_us = now_mono_us() + AGREE_LIMIT_US;
        const char *why;
        size_t follow;

        for (;;) {
                int r = ask_all(s, o, p);

                if (r < 0)
                        return r;
                if (voters_left(s) == 0)
                        return problem_set(p, ENOTCONN, 0, NULL,
                                        "no voter is left without this member: restore a backup "
                                        "(kstored --config FILE --restore BACKUP --force)");
                why = disagreement(s, &follow);
                if (!why)
                        return 0;
                if (now_mono_us() > end_us)
                        break;
                survey_wait(AGAIN_US);
        }
        return problem_set(p, EAGAIN, 0, NULL,
                        "this member cannot be replaced now: %s (%zu of %zu voters that "
                        "remain). Start those that are down and repeat this; when most of them are "
                        "lost, restore a backup of one that is left: kstored --config FILE "
                        "--restore BACKUP --force",
                        why, follow, voters_left(s));
}

/* ---- their data */

struct hash {
        uint32_t hash;
        int64_t compact_rev;
        bool known;
};

static int ask_hash(const struct survey *s, size_t i, int64_t rev, struct hash *ret,
                struct problem *p) {
        _cleanup_(join_reply_done) struct join_reply reply = {0};
        _cleanup_buf_ struct buf b = {0};
        struct join_question q = {.url = s->urls[i],
                        .path = "/etcdserverpb.Maintenance/HashKV",
                        .tls = s->tls,
                        .timeout_ms = HASH_MS};
        Etcdserverpb__HashKVResponse *h;
        int r;

        wire_uint(&b, 1, (uint64_t)rev);
        if (b.failed)
                return -ENOMEM;
        q.data = b.data;
        q.size = b.size;
        r = join_call(&reply, &q, p);
        if (r < 0 || reply.code != GRPC_OK)
                return r;
        h = etcdserverpb__hash_kvresponse__unpack(
                        NULL, reply.bytes.size, (const uint8_t *)reply.bytes.data);
        if (!h)
                return 0;
        *ret = (struct hash){.hash = h->hash, .compact_rev = h->compact_revision, .known = true};
        etcdserverpb__hash_kvresponse__free_unpacked(h, NULL);
        return 0;
}

/* 1: equal, 0: not comparable now, or an error. */
static int compare_once(struct survey *s, struct problem *p) {
        struct hash hashes[RAFT_MEMBERS_MAX] = {0};
        int64_t rev = INT64_MAX;

        for (size_t i = 0; i < s->count; i++)
                rev = MIN(rev, s->answers[i].revision);
        for (size_t i = 0; i < s->count; i++) {
                int r = ask_hash(s, i, rev, &hashes[i], p);

                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < s->count; i++)
                if (!hashes[i].known || hashes[i].compact_rev != hashes[0].compact_rev)
                        return 0; /* compacted meanwhile */
        for (size_t i = 1; i < s->count; i++)
                if (hashes[i].hash != hashes[0].hash)
                        return problem_set(p, EUCLEAN, 0, NULL,
                                        "the other members differ from each other at revision "
                                        "%lld (%s: %08x, %s: %08x): decide first which of them is "
                                        "right; keep the data of all",
                                        (long long)rev, s->urls[0], hashes[0].hash, s->urls[i],
                                        hashes[i].hash);
        return 1;
}

static int compare(struct survey *s, const struct server_options *o, struct problem *p) {
        for (unsigned i = 0; i < HASH_ROUNDS; i++) {
                int r = compare_once(s, p);

                if (r != 0)
                        return r;
                survey_wait(AGAIN_US);
                r = agree(s, o, p);
                if (r < 0)
                        return r;
        }
        return problem_set(p, EAGAIN, 0, NULL,
                        "the data of the others cannot be compared: one of them does not answer in "
                        "time, or they are being compacted; repeat this");
}

int survey_again(struct survey *s, const struct server_options *o, struct problem *p) {
        return agree(s, o, p);
}

int survey_others(struct survey *s, const struct server_options *o, struct problem *p) {
        int r;

        s->tls_files = (struct tls_files){.cert = o->peer_cert_file,
                        .key = o->peer_key_file,
                        .ca = o->peer_trusted_ca_file};
        s->tls = s->tls_files.cert || s->tls_files.ca ? &s->tls_files : NULL;
        r = known_urls(s, o, p);
        if (r < 0)
                return r;
        r = agree(s, o, p);
        if (r < 0)
                return r;
        return compare(s, o, p);
}
