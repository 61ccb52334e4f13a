/* Start: identity, first configuration, loading what the disk holds, and making the parts. */
#include "kstored/join.h"
#include "kstored/server.h"
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
 * it must not come back under its old id. Its client URLs show that it ran: only it says them. */
static int refuse_second_life(const struct member *m, struct problem *p) {
        return problem_set(p, EEXIST, 0, NULL,
                        "member %llx (%s) was started before and its data directory is empty now: "
                        "remove it from the cluster, add it again (etcdctl member remove %llx; "
                        "etcdctl member add NAME --peer-urls=URL) and start it with "
                        "--initial-cluster-state=existing",
                        (unsigned long long)m->id, m->name, (unsigned long long)m->id);
}

/* Whether one of the others, if any runs already, knows this member from an earlier life. */
static int check_first_life(
                struct server *s, const struct member *self, char **others, struct problem *p) {
        _cleanup_(join_answer_done) struct join_answer a = {0};
        int r = join_ask(&a, others, peer_tls(s), 700, false, p);

        if (r == -ENOTCONN)
                return 0;
        for (size_t i = 0; r >= 0 && i < a.count; i++)
                if (a.members[i]->id == self->id && a.members[i]->client_urls)
                        return refuse_second_life(a.members[i], p);
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
        if (r >= 0 && me->client_urls)
                r = refuse_second_life(me, p);
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
        if (streq(o->initial_cluster_state, "existing"))
                return join_cluster(s, ro, v, self, others, p);
        if (!streq(o->initial_cluster_state, "new"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--initial-cluster-state=%s is neither new nor existing",
                                o->initial_cluster_state);
        return found_cluster(s, ro, v, self, others, p);
}

static void make_metrics(struct server *s, struct metrics *m) {
        s->m_proposals = metrics_counter(
                        m, "kstored_proposals_total", "", "Commands given to the log");
        s->m_applied = metrics_gauge(m, "kstored_applied_index", "", "Last log entry applied");
        s->m_rev = metrics_gauge(m, "kstored_revision", "", "Current revision");
        s->m_keys = metrics_gauge(m, "kstored_keys", "",
                        "Keys in the index, deleted ones that are not compacted included");
        s->m_watchers = metrics_gauge(m, "kstored_watchers", "", "Watchers");
        s->m_db_size = metrics_gauge(m, "kstored_database_bytes", "", "Size of the database");
        s->m_leader = metrics_gauge(m, "kstored_is_leader", "", "1 on the leader");
        s->m_requests_pending = metrics_gauge(m, "kstored_requests_pending", "",
                        "Requests that wait for the log or a read barrier");
        s->m_fsync = metrics_histogram(
                        m, "kstored_save_duration_seconds", "", "Time of a durable transaction");
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
        int r = disk_open(&s->disk, o->data_dir, p);

        if (r < 0)
                return r;
        ro.disk = s->disk;
        if (disk_is_new(s->disk))
                r = first_members(s, &ro, members, p);
        if (r >= 0)
                r = replica_new(&s->replica, &ro, server_now_ms(), p);
        for (size_t i = 0; i < ELEMENTS(members); i++)
                member_free(members[i]);
        if (r < 0)
                return r;
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

static void on_peer_connected(void *userdata, uint64_t id) {
        struct server *s = userdata;

        raft_hurry(s->raft, 0);
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
                        .config_index = on_config_index,
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
        s->peer_tls = (struct tls_files){.cert = options->peer_cert_file,
                        .key = options->peer_key_file,
                        .ca = options->peer_trusted_ca_file};
        /* Distinct from those of other members and of our own earlier runs: an answer to one of
         * them may still come. */
        s->next_request_id = random_u64() >> 2;
        s->next_barrier = random_u64() >> 2;
        arena_init(&s->arena);
        make_metrics(s, metrics);
        r = autocompact_new(&s->autocompact, options->auto_compaction_mode,
                        options->auto_compaction_retention, p);
        if (r >= 0 && parse_duration_us(options->corrupt_check_time, &s->corrupt_check_us) < 0)
                r = problem_set(p, EINVAL, 0, NULL,
                                "--corrupt-check-time \"%s\" is no duration, such as 10m or 0",
                                options->corrupt_check_time);
        if (r >= 0)
                r = make_replica(s, p);
        if (r >= 0)
                r = make_peers(s);
        if (r >= 0)
                r = worker_new(&s->writer, event);
        if (r >= 0)
                r = worker_new(&s->keeper, event);
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

/* Members that are called; a member alone on loopback needs none, but may get company. */
static int listen_for_peers(struct server *s, struct problem *p) {
        const struct server_options *o = s->options;
        struct grpc_server_options g = {.methods = server_peer_methods,
                        .method_count = server_peer_method_count,
                        .message_size_max = PEER_MESSAGE_SIZE_MAX,
                        .priority = PEERS_PRIORITY,
                        .userdata = s};
        struct tls_files tls = s->peer_tls;
        int r;

        if (o->peer_client_cert_auth && !o->peer_trusted_ca_file)
                return problem_set(p, EINVAL, 0, NULL,
                                "--peer-client-cert-auth needs --peer-trusted-ca-file");
        if (!o->listen_peer_urls && s->state->member_count > 1)
                return problem_set(p, EINVAL, 0, NULL,
                                "the cluster has %zu members: --listen-peer-urls must say where "
                                "this one serves the others",
                                s->state->member_count);
        r = grpc_server_new(&s->peer_grpc, s->event, &g);
        for (char **u = o->listen_peer_urls; r >= 0 && u && *u; u++) {
                if (startswith(*u, "https://") && (!tls.cert || !tls.key))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--listen-peer-urls %s needs --peer-cert-file and "
                                        "--peer-key-file",
                                        *u);
                r = grpc_server_listen(s->peer_grpc, *u, &tls, p);
                if (r >= 0)
                        log_info("Serving members on %s", *u);
        }
        return r;
}

int server_listen(struct server *s, struct problem *p) {
        const struct server_options *o = s->options;
        struct tls_files tls = {.cert = o->cert_file,
                        .key = o->key_file,
                        .ca = o->client_cert_auth || o->trusted_ca_file ? o->trusted_ca_file
                                                                        : NULL};
        struct grpc_server_options g = {.methods = server_methods,
                        .method_count = server_method_count,
                        .message_size_max = (size_t)o->max_request_bytes + SERVER_REQUEST_OVERHEAD,
                        .admit = server_admit,
                        .connections_max = server_connections_max(),
                        .userdata = s};
        int r;

        if (o->client_cert_auth && !o->trusted_ca_file)
                return problem_set(
                                p, EINVAL, 0, NULL, "--client-cert-auth needs --trusted-ca-file");
        r = grpc_server_new(&s->grpc, s->event, &g);
        for (char **u = o->listen_client_urls; r >= 0 && u && *u; u++) {
                if (startswith(*u, "https://") && (!tls.cert || !tls.key))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--listen-client-urls %s needs --cert-file and --key-file",
                                        *u);
                r = grpc_server_listen(s->grpc, *u, &tls, p);
                if (r >= 0)
                        log_info("Serving clients on %s", *u);
        }
        return r < 0 ? r : listen_for_peers(s, p);
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
        grpc_server_free(s->grpc);
        grpc_server_free(s->peer_grpc);
        answers_free(s->answers);
        sd_event_source_disable_unref(s->post);
        sd_event_source_disable_unref(s->ticker);
        sd_event_source_disable_unref(s->stopper);
        hashes_end(s);
        worker_free(s->writer);
        worker_free(s->keeper);
        hashes_done(s);
        snapshot_send_end(s);
        snapshot_receive_end(s);
        peers_free(s->peers);
        if (s->replica && !s->replica->writing)
                replica_last_write(s->replica);
        requests_done(s);
        replica_free(s->replica);
        disk_free(s->disk);
        autocompact_free(s->autocompact);
        arena_done(&s->arena);
        free(s);
        return NULL;
}
