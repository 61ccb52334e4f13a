/* Start: identity, first configuration, loading what the disk holds, and making the parts. */
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

/* An empty disk: the members that the flags name, and which of them we are. */
static int bootstrap(struct server *s, struct problem *p) {
        struct server_options *o = s->options;
        struct member *v[RAFT_MEMBERS_MAX] = {0}, *self;
        struct disk_batch *b = &s->state->batch;
        size_t n = 0;
        uint64_t cluster = 0xcbf29ce484222325ULL;
        int r = parse_cluster(o, v, &n, p);

        self = r >= 0 ? find_name(v, n, o->name) : NULL;
        if (r >= 0 && !self)
                r = problem_set(p, EINVAL, 0, NULL,
                                "--initial-cluster does not name this member, \"%s\" (--name)",
                                o->name);
        if (r >= 0 && !streq(o->initial_cluster_state, "new"))
                r = problem_set(p, EINVAL, 0, NULL,
                                "--initial-cluster-state=%s: this version starts only new clusters",
                                o->initial_cluster_state);
        if (r >= 0 && n > 1)
                r = problem_set(p, EINVAL, 0, NULL,
                                "--initial-cluster names %zu members; this version runs one: give "
                                "only "
                                "%s=URL",
                                n, o->name);
        for (size_t i = 0; i < n && r >= 0; i++) {
                v[i]->id = member_id_of(v[i]->peer_urls, strempty(o->initial_cluster_token));
                cluster ^= v[i]->id;
        }
        if (r >= 0) {
                s->member_id = self->id;
                s->cluster_id = id_hash(cluster, strempty(o->initial_cluster_token));
                disk_batch_number(b, DISK_MEMBER_ID, s->member_id);
                disk_batch_number(b, DISK_CLUSTER_ID, s->cluster_id);
                disk_batch_number(b, DISK_CONFIG_INDEX, 0);
        }
        for (size_t i = 0; i < n; i++) {
                if (r >= 0)
                        r = state_set_member(s->state, v[i]); /* takes it */
                else
                        member_free(v[i]);
        }
        if (r < 0)
                return r;
        b->sync = true;
        r = disk_write(s->disk, b);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot write %s: %s", disk_path(s->disk),
                                disk_error_text(s->disk));
        disk_batch_clear(b);
        return 0;
}

static int load_raft(struct server *s, struct problem *p) {
        struct raft_options o = {.id = s->member_id,
                        .seed = random_u64(),
                        /* Ticks are half a heartbeat: elections end sooner that way. */
                        .heartbeat_ticks = 2,
                        .election_ticks = MAX(
                                        2 * s->options->election_ms / s->options->heartbeat_ms, 4u),
                        .term = disk_number(s->disk, DISK_TERM),
                        .vote = disk_number(s->disk, DISK_VOTE),
                        .commit = disk_number(s->disk, DISK_COMMIT),
                        .applied = s->state->applied,
                        .snapshot_index = disk_number(s->disk, DISK_LOG_BASE),
                        .snapshot_term = disk_number(s->disk, DISK_LOG_BASE_TERM)};
        int r;

        o.config.index = disk_number(s->disk, DISK_CONFIG_INDEX);
        for (size_t i = 0; i < s->state->member_count; i++) {
                o.config.members[i].id = s->state->members[i]->id;
                o.config.members[i].learner = s->state->members[i]->learner;
        }
        o.config.count = (uint32_t)s->state->member_count;
        r = disk_load_log(s->disk, &o.entries, &o.entry_count);
        if (r >= 0)
                r = raft_new(&s->raft, &o);
        for (size_t i = 0; i < o.entry_count; i++)
                raft_entry_unref(o.entries[i]);
        free(o.entries);
        if (r < 0)
                return problem_set(p, -r, 0, NULL,
                                "the log in %s contradicts itself (%s); restore a backup, or "
                                "remove the "
                                "member from the cluster and add it again empty",
                                disk_path(s->disk), strerror(-r));
        return 0;
}

static int source_read(void *userdata, int64_t seq, struct row **ret) {
        return disk_read_row(userdata, seq, ret);
}

static int source_find_rev(void *userdata, int64_t rev, int64_t *ret_seq) {
        return disk_find_rev(userdata, rev, ret_seq);
}

static int source_scan(void *userdata, int64_t from_seq, size_t n, struct row **ret_rows) {
        return disk_scan_rows(userdata, from_seq, n, ret_rows);
}

static void source_hold(void *userdata, bool open) {
        if (open)
                disk_read_begin(userdata);
        else
                disk_read_end(userdata);
}

static void make_metrics(struct server *s, struct metrics *m) {
        s->m_proposals = metrics_counter(
                        m, "kstored_proposals_total", "", "Commands given to the log");
        s->m_applied = metrics_counter(
                        m, "kstored_entries_applied_total", "", "Log entries applied");
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

static int load(struct server *s, struct problem *p) {
        struct row_source source = {.find_rev = source_find_rev,
                        .read = source_read,
                        .scan = source_scan,
                        .hold = source_hold};
        /* As etcd: one and a half elections, in whole seconds. */
        int64_t ttl_min_s = ((int64_t)s->options->election_ms * 3 / 2 + 999) / 1000;
        int r = disk_open(&s->disk, s->options->data_dir, p);

        if (r < 0)
                return r;
        source.userdata = s->disk;
        r = state_new(&s->state, &source, MAX(ttl_min_s, (int64_t)1));
        if (r < 0)
                return r;
        if (disk_is_new(s->disk))
                r = bootstrap(s, p);
        else {
                s->member_id = disk_number(s->disk, DISK_MEMBER_ID);
                s->cluster_id = disk_number(s->disk, DISK_CLUSTER_ID);
                r = state_load(s->state, s->disk, p);
        }
        return r < 0 ? r : load_raft(s, p);
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
        s->next_request_id = random_u64() >> 2; /* distinct from those of other members and runs */
        arena_init(&s->arena);
        make_metrics(s, metrics);
        r = autocompact_new(&s->autocompact, options->auto_compaction_mode,
                        options->auto_compaction_retention, p);
        if (r >= 0)
                r = load(s, p);
        if (r >= 0)
                r = hub_new(&s->hub, s->state->kv.mvcc,
                                (size_t)options->max_request_bytes + SERVER_REQUEST_OVERHEAD);
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
        /* Nobody else to ask: lead at once. */
        if (raft_get_config(s->raft)->count == 1)
                r = raft_campaign(s->raft);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
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
        return r;
}

/* What was applied but not written yet is in the log; writing it now saves work at the next start.
 */
static void last_flush(struct server *s) {
        if (!s->disk || !s->state || s->fatal || s->disk_full || !disk_batch_empty(&s->saving))
                return;
        if (!disk_batch_empty(&s->state->batch))
                (void)disk_write(s->disk, &s->state->batch);
}

struct server *server_free(struct server *s) {
        if (!s)
                return NULL;
        s->stopping = true;
        if (s->raft)
                requests_fail_all(s, STORE_STOPPED);
        grpc_server_free(s->grpc);
        sd_event_source_disable_unref(s->post);
        sd_event_source_disable_unref(s->ticker);
        worker_free(s->writer);
        worker_free(s->keeper);
        last_flush(s);
        requests_done(s);
        hub_free(s->hub);
        raft_free(s->raft);
        disk_batch_clear(&s->saving);
        state_free(s->state);
        disk_free(s->disk);
        autocompact_free(s->autocompact);
        arena_done(&s->arena);
        free(s);
        return NULL;
}
