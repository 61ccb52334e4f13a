/* Start: identity, first configuration, loading what the disk holds, and making the parts. */
#include "kstored/disk/damage.h"
#include "kstored/server/first-life.h"
#include "kstored/server/join.h"
#include "kstored/backup/replace-data.h"
#include "kstored/server/server.h"
#include "lib/log.h"
#include "lib/random.h"

/* FNV-1a with a final mix (splitmix64): ids must be equal on all members for equal flags, no more.
 */
static uint64_t id_hash(uint64_t h, const char *text) {
        for (const char *c = text; *c; c++)
                h = (h ^ (uint8_t)*c) * 0x100000001b3ULL;
        h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
        h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
        return h ^ (h >> 31);
}

static int compare_texts(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static uint64_t member_id_of(char **urls, const char *token) {
        uint64_t h = 0xcbf29ce484222325ULL;

        if (urls)
                qsort(urls, strv_length(urls), sizeof(urls[0]), compare_texts);
        for (char **u = urls; u && *u; u++)
                h = id_hash(h, *u);
        h = id_hash(h, token);
        return h ? h : 1;
}

static struct member *find_name(struct member **v, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (streq(v[i]->name, name))
                        return v[i];
        return NULL;
}

/* "name=url" items, a name once for each of its urls. */
static int parse_cluster(const struct server_options *o, struct member **v, size_t *ret_n,
                struct problem *p) {
        size_t n = 0;
        int r = 0;

        for (char **item = o->initial_cluster; item && *item && r >= 0; item++) {
                const char *eq = strchr(*item, '=');
                _cleanup_free_ char *name = eq ? strndup(*item, (size_t)(eq - *item)) : NULL;
                struct member *m;

                if (!name || !*name || !strstr(eq + 1, "://")) {
                        r = problem_set(p, EINVAL, 0, NULL,
                                        "--initial-cluster \"%s\" is not NAME=URL", *item);
                        break;
                }
                m = find_name(v, n, name);
                if (!m) {
                        if (n == RAFT_MEMBERS_MAX) {
                                r = problem_set(p, EINVAL, 0, NULL,
                                                "--initial-cluster names more than %d members",
                                                RAFT_MEMBERS_MAX);
                                break;
                        }
                        m = calloc(1, sizeof(*m));
                        if (!m) {
                                r = -ENOMEM;
                                break;
                        }
                        m->name = TAKE_PTR(name);
                        v[n++] = m;
                }
                r = strv_extend(&m->peer_urls, eq + 1);
        }
        *ret_n = n;
        return r;
}

static const struct tls_files *peer_tls(const struct server *s) {
        return s->peer_tls.cert || s->peer_tls.ca ? &s->peer_tls : NULL;
}

/* The peer URLs of everyone else. */
static int urls_of_others(const struct server *s, struct member **v, size_t n, char ***ret) {
        int r = 0;

        for (size_t i = 0; i < n; i++)
                for (char **u = v[i]->peer_urls;
                                r >= 0 && u && *u && !streq(v[i]->name, s->options->name); u++)
                        r = strv_extend(ret, *u);
        return r;
}

static bool same_set(char **a, char **b) {
        if (strv_length(a) != strv_length(b))
                return false;
        for (; a && *a; a++)
                if (!strv_contains(b, *a))
                        return false;
        return true;
}

/* A member with this id that has lost its disk may have voted and promised what it no longer knows:
 * it must not come back under its old id. */
static int refuse_second_life(const struct member *m, const char *name, struct problem *p) {
        _cleanup_free_ char *why = first_life_refusal(m->id, name);

        return problem_set(p, EEXIST, 0, NULL, "%s", strempty(why));
}

/* Whether one of the others, if any runs already, knows this member from an earlier life. */
static int check_first_life(
                struct server *s, const struct member *self, char **others, struct problem *p) {
        _cleanup_(join_answer_done) struct join_answer a = {0};
        int r = join_ask(&a, others, peer_tls(s), 700, false, p);

        if (r == -ENOTCONN)
                return 0;
        for (size_t i = 0; r >= 0 && i < a.count; i++)
                if (a.members[i]->id == self->id && join_knows(&a, a.members[i]))
                        return refuse_second_life(a.members[i], self->name, p);
        return r;
}

/* What the flags say of a new cluster. Takes nothing; v becomes the members. */
static int found_cluster(struct server *s, struct replica_options *ro, struct member **v,
                const struct member *self, char **others, struct problem *p) {
        const char *token = strempty(s->options->initial_cluster_token);
        uint64_t cluster = 0xcbf29ce484222325ULL;

        for (size_t i = 0; i < ro->member_count; i++) {
                v[i]->id = member_id_of(v[i]->peer_urls, token);
                cluster ^= v[i]->id;
        }
        ro->member_id = self->id;
        ro->cluster_id = id_hash(cluster, token);
        return others ? check_first_life(s, self, others, p) : 0;
}

/* What a running cluster says; v becomes its members. */
static int join_cluster(struct server *s, struct replica_options *ro, struct member **v,
                const struct member *self, char **others, struct problem *p) {
        _cleanup_(join_answer_done) struct join_answer a = {0};
        const struct member *me = NULL;
        int r = join_ask(&a, others, peer_tls(s), 5000, true, p);

        for (size_t i = 0; r >= 0 && i < a.count; i++)
                if (same_set(a.members[i]->peer_urls, self->peer_urls))
                        me = a.members[i];
        if (r >= 0 && !me)
                r = problem_set(p, ENOENT, 0, NULL,
                                "cluster %llx has no member with the peer URL %s: add it first "
                                "(etcdctl member add %s --peer-urls=%s)",
                                (unsigned long long)a.cluster_id, self->peer_urls[0], self->name,
                                self->peer_urls[0]);
        if (r >= 0 && join_knows(&a, me))
                r = refuse_second_life(me, self->name, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ro->member_count; i++)
                v[i] = member_free(v[i]);
        ro->joining = true;
        ro->cluster_id = a.cluster_id;
        ro->config_index = a.config_index;
        ro->member_id = me->id;
        ro->member_count = a.count;
        memcpy(v, a.members, a.count * sizeof(v[0]));
        a.count = 0;
        return 0;
}

/* For an empty disk: the members, and which of them we are. */
static int first_members(struct server *s, struct replica_options *ro, struct member **v,
                struct problem *p) {
        _cleanup_(replace_ticket_done) struct replace_ticket ticket = {0};
        _cleanup_strv_free_ char **others = NULL;
        struct server_options *o = s->options;
        struct member *self;
        int r = parse_cluster(o, v, &ro->member_count, p);

        if (r < 0)
                return r;
        self = find_name(v, ro->member_count, o->name);
        if (!self)
                return problem_set(p, EINVAL, 0, NULL,
                                "--initial-cluster does not name this member, \"%s\" (--name)",
                                o->name);
        r = urls_of_others(s, v, ro->member_count, &others);
        if (r < 0)
                return r;
        r = replace_ticket_read(o->data_dir, &ticket, p);
        if (r > 0) { /* kstored --replace was here */
                for (char **u = ticket.peer_urls; r >= 0 && u && *u; u++)
                        r = strv_extend(&others, *u);
                return r < 0 ? r : join_cluster(s, ro, v, self, others, p);
        }
        if (r < 0)
                return r;
        if (streq(o->initial_cluster_state, "existing"))
                return join_cluster(s, ro, v, self, others, p);
        if (!streq(o->initial_cluster_state, "new"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--initial-cluster-state=%s is neither new nor existing",
                                o->initial_cluster_state);
        return found_cluster(s, ro, v, self, others, p);
}

/* One of the two may have changed: a member may get another name, or another address by etcdctl
 * member update. When neither is its own, somebody took the wrong directory: it would speak for
 * the other member, which may run. */
static int check_is_self(const struct server *s, struct problem *p) {
        const struct server_options *o = s->options;
        const struct member *me = state_member(s->state, s->member_id);

        if (s->state->member_count < 2 || !me || isempty(me->name) || streq(me->name, o->name) ||
                        !me->peer_urls || !o->initial_advertise_peer_urls)
                return 0;
        for (char **u = o->initial_advertise_peer_urls; *u; u++)
                if (strv_contains(me->peer_urls, *u))
                        return 0;
        return problem_set(p, EEXIST, 0, NULL,
                        "%s holds the data of another member: %llx, \"%s\" at %s, and this is "
                        "\"%s\" at %s; give the right --data-dir or --name, or start with an empty "
                        "directory",
                        o->data_dir, (unsigned long long)me->id, me->name, me->peer_urls[0],
                        o->name, o->initial_advertise_peer_urls[0]);
}

static int make_replica(struct server *s, struct problem *p) {
        struct server_options *o = s->options;
        struct member *members[RAFT_MEMBERS_MAX] = {0};
        struct replica_options ro = {.ops = &server_replica_ops,
                        .userdata = s,
                        .seed = random_u64(),
                        .heartbeat_ms = o->heartbeat_ms,
                        .election_ms = o->election_ms,
                        .snapshot_count = o->snapshot_count,
                        .fragment_bytes = (size_t)o->max_request_bytes + SERVER_REQUEST_OVERHEAD,
                        .no_fsync = o->unsafe_no_fsync,
                        .members = members};
        int r = damage_check(o->data_dir, p);

        if (r >= 0)
                r = disk_open(&s->disk, o->data_dir, p);
        if (r >= 0)
                r = wal_files_new(&s->log_files, o->data_dir);
        if (r < 0)
                return r;
        r = server_tls(s, p);
        if (r < 0)
                return r;
        ro.disk = s->disk;
        ro.files = s->log_files;
        if (disk_is_new(s->disk))
                r = first_members(s, &ro, members, p);
        if (r >= 0)
                r = replica_new(&s->replica, &ro, server_now_ms(), p);
        for (size_t i = 0; i < ELEMENTS(members); i++)
                member_free(members[i]);
        if (r < 0)
                return r;
        replace_ticket_drop(o->data_dir);
        s->state = s->replica->state;
        s->raft = s->replica->raft;
        s->hub = s->replica->hub;
        s->cluster_id = s->replica->cluster_id;
        s->member_id = s->replica->member_id;
        return check_is_self(s, p);
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
        server_metrics_round_trip(((struct server *)userdata)->metrics, id, us);
}

static void on_peer_removed_us(void *userdata) {
        server_removed(userdata);
}

static int make_peers(struct server *s) {
        struct peers_options o = {.cluster_id = s->cluster_id,
                        .member_id = s->member_id,
                        .tls = peer_tls(s),
                        .linger_ms = server_time_limit_ms(s) + 1000,
                        .on_removed = on_peer_removed_us,
                        .on_connected = on_peer_connected,
                        .on_round_trip = on_peer_round_trip,
                        .config_index = on_config_index,
                        .fresh = on_fresh,
                        .heard = on_heard,
                        .userdata = s};
        int r = peers_new(&s->peers, s->event, &o);

        return r < 0 ? r : server_update_peers(s);
}

int server_new(struct server **ret, sd_event *event, struct metrics *metrics,
                struct server_options *options, struct problem *p) {
        _cleanup_(server_freep) struct server *s = calloc(1, sizeof(*s));
        struct raft_status status;
        int r;

        if (!s)
                return -ENOMEM;
        s->options = options;
        s->event = event;
        s->all_metrics = metrics;
        /* Distinct from those of other members and of our own earlier runs: an answer to one of
         * them may still come. */
        s->next_request_id = random_u64() >> 2;
        s->next_barrier = random_u64() >> 2;
        arena_init(&s->arena);
        r = autocompact_new(&s->autocompact, options->auto_compaction_mode,
                        options->auto_compaction_retention, p);
        if (r >= 0 && parse_duration_us(options->corrupt_check_time, &s->corrupt_check_us) < 0)
                r = problem_set(p, EINVAL, 0, NULL,
                                "--corrupt-check-time \"%s\" is no duration, such as 10m or 0",
                                options->corrupt_check_time);
        if (r >= 0)
                r = make_replica(s, p);
        if (r >= 0)
                r = server_metrics_new(&s->metrics, s, metrics);
        if (r >= 0)
                r = make_peers(s);
        if (r >= 0)
                r = worker_new(&s->writer, event);
        if (r >= 0)
                r = worker_new(&s->flusher, event);
        if (r >= 0)
                r = worker_new(&s->keeper, event);
        if (r >= 0)
                r = scrub_new(s);
        if (r >= 0)
                r = server_start_loop(s);
        if (r < 0)
                return r;
        raft_get_status(s->raft, &status);
        log_info("Member %llx of cluster %llx: %zu keys, revision %lld, log %llu..%llu, applied "
                 "%llu",
                        (unsigned long long)s->member_id, (unsigned long long)s->cluster_id,
                        mvcc_key_count(s->state->kv.mvcc), (long long)mvcc_rev(s->state->kv.mvcc),
                        (unsigned long long)status.first, (unsigned long long)status.last,
                        (unsigned long long)s->state->applied);
        *ret = TAKE_PTR(s);
        return 0;
}

struct server *server_free(struct server *s) {
        if (!s)
                return NULL;
        s->stopping = true;
        if (s->replica)
                requests_fail_all(s, STORE_STOPPED);
        if (s->peers)
                forwards_end(s);
        move_leader_end(s);
        corrupt_check_end(s);
        service_snapshot_end(s);
        first_life_end(s);
        grpc_server_free(s->grpc);
        grpc_server_free(s->peer_grpc);
        grpc_server_free(s->web);
        answers_free(s->answers);
        sd_event_source_disable_unref(s->post);
        sd_event_source_disable_unref(s->ticker);
        sd_event_source_disable_unref(s->stopper);
        hashes_end(s);
        scrub_stop(s);
        worker_free(s->writer);
        worker_free(s->flusher);
        worker_free(s->keeper);
        hashes_done(s);
        scrub_free(s);
        snapshot_send_end(s);
        snapshot_receive_end(s);
        peers_free(s->peers);
        server_tls_done(s);
        if (s->replica)
                replica_last_write(s->replica);
        requests_done(s);
        replica_free(s->replica);
        disk_free(s->disk);
        wal_files_done(&s->log_files);
        autocompact_free(s->autocompact);
        server_metrics_free(s->metrics);
        buf_done(&s->metrics_text);
        arena_done(&s->arena);
        free(s);
        return NULL;
}
