/* kstored: wiring only. */
#include "config.h"

#include <malloc.h>
#include <sysexits.h>

#include "kstored/backup/offline.h"
#include "kstored/server/options-check.h"
#include "kstored/server/server.h"
#include "lib/log.h"
#include "lib/options.h"

#define ROW(n, t, field, arg, text, fall) \
        { \
                .name = n, .type = t, .offset = offsetof(struct server_options, field), \
                .argument = arg, .help = text, .fallback = fall \
        }

static const struct option_row rows[] = {
                ROW("name", OPTION_STRING, name, "NAME", "this member's name", "default"),
                ROW("data-dir", OPTION_STRING, data_dir, "DIR",
                                "where the database is kept (default: NAME.kstored)", NULL),
                ROW("listen-client-urls", OPTION_STRINGS, listen_client_urls, "URL",
                                "where clients are served: http://, https:// or unix:///path",
                                "http://localhost:2379"),
                ROW("unix-socket-group-access", OPTION_BOOL, unix_socket_group_access, NULL,
                                "who is in the account's group may open the clients' Unix socket, "
                                "too (mode 0660)",
                                NULL),
                ROW("advertise-client-urls", OPTION_STRINGS, advertise_client_urls, "URL",
                                "where clients find this member (default: what it listens on)",
                                NULL),
                ROW("listen-peer-urls", OPTION_STRINGS, listen_peer_urls, "URL",
                                "where other members are served (default: nowhere while there are "
                                "none)",
                                NULL),
                ROW("initial-advertise-peer-urls", OPTION_STRINGS, initial_advertise_peer_urls,
                                "URL", "where other members find this one",
                                "http://localhost:2380"),
                ROW("initial-cluster", OPTION_STRINGS, initial_cluster, "NAME=URL",
                                "the members of a new cluster (default: this one)", NULL),
                ROW("initial-cluster-state", OPTION_STRING, initial_cluster_state, "new|existing",
                                "whether a member with an empty data directory starts or joins a "
                                "cluster",
                                "new"),
                ROW("initial-cluster-token", OPTION_STRING, initial_cluster_token, "TOKEN",
                                "tells clusters apart", "etcd-cluster"),
                ROW("cert-file", OPTION_STRING, cert_file, "FILE", "certificate for clients (PEM)",
                                NULL),
                ROW("key-file", OPTION_STRING, key_file, "FILE", "its key", NULL),
                ROW("trusted-ca-file", OPTION_STRING, trusted_ca_file, "FILE",
                                "CA of client certificates; makes them mandatory", NULL),
                ROW("client-crl-file", OPTION_STRING, client_crl_file, "FILE",
                                "list of revoked client certificates (CRL); read again when it "
                                "changes",
                                NULL),
                ROW("client-cert-allowed-cn", OPTION_STRINGS, client_cert_allowed_cn, "NAME",
                                "only clients whose certificate has one of these common names",
                                NULL),
                ROW("client-cert-allowed-hostname", OPTION_STRINGS, client_cert_allowed_hostname,
                                "NAME", "only clients whose certificate is for one of these hosts",
                                NULL),
                ROW("auto-tls", OPTION_BOOL, auto_tls, NULL,
                                "https for clients with a certificate made here, which nobody "
                                "signed",
                                "false"),
                ROW("client-cert-auth", OPTION_BOOL, client_cert_auth, NULL,
                                "demand client certificates", "false"),
                ROW("peer-cert-file", OPTION_STRING, peer_cert_file, "FILE",
                                "certificate among members (PEM)", NULL),
                ROW("peer-key-file", OPTION_STRING, peer_key_file, "FILE", "its key", NULL),
                ROW("peer-trusted-ca-file", OPTION_STRING, peer_trusted_ca_file, "FILE",
                                "CA of members' certificates", NULL),
                ROW("peer-crl-file", OPTION_STRING, peer_crl_file, "FILE",
                                "list of revoked certificates of members (CRL); read again when "
                                "it changes",
                                NULL),
                ROW("peer-cert-allowed-cn", OPTION_STRINGS, peer_cert_allowed_cn, "NAME",
                                "only members whose certificate has one of these common names",
                                NULL),
                ROW("peer-cert-allowed-hostname", OPTION_STRINGS, peer_cert_allowed_hostname,
                                "NAME", "only members whose certificate is for one of these hosts",
                                NULL),
                ROW("peer-auto-tls", OPTION_BOOL, peer_auto_tls, NULL,
                                "https among members with a certificate made here, which nobody "
                                "signed: it keeps out listeners, not strangers",
                                "false"),
                ROW("self-signed-cert-validity", OPTION_U32, self_signed_cert_validity, "YEARS",
                                "how long certificates of --auto-tls and --peer-auto-tls last",
                                "1"),
                ROW("peer-client-cert-auth", OPTION_BOOL, peer_client_cert_auth, NULL,
                                "demand certificates of members", "false"),
                ROW("quota-backend-bytes", OPTION_U64, quota_bytes, "BYTES",
                                "largest database before writes are refused; 0: 2 GiB", "0"),
                ROW("auto-compaction-mode", OPTION_STRING, auto_compaction_mode, "MODE",
                                "periodic or revision", "periodic"),
                ROW("auto-compaction-retention", OPTION_STRING, auto_compaction_retention,
                                "AGE|COUNT",
                                "history to keep: a duration (a number is hours) or revisions; 0: "
                                "all",
                                "0"),
                ROW("heartbeat-interval", OPTION_U32, heartbeat_ms, "MS",
                                "time between a leader's signs of life", "100"),
                ROW("election-timeout", OPTION_U32, election_ms, "MS",
                                "time without a leader before an election", "1000"),
                ROW("snapshot-count", OPTION_U64, snapshot_count, "N",
                                "log entries to keep for members that lag", "10000"),
                ROW("max-txn-ops", OPTION_U32, max_txn_ops, "N", "operations in one transaction",
                                "128"),
                ROW("max-request-bytes", OPTION_U32, max_request_bytes, "BYTES", "largest request",
                                "1572864"),
                ROW("listen-metrics-urls", OPTION_STRINGS, listen_metrics_urls, "URL",
                                "where /metrics, /health, /livez and /readyz are served besides "
                                "the "
                                "client URLs",
                                NULL),
                ROW("strict-reconfig-check", OPTION_BOOL, strict_reconfig_check, NULL,
                                "refuse changes of membership that would lose the majority",
                                "true"),
                ROW("corrupt-check-time", OPTION_STRING, corrupt_check_time, "AGE",
                                "how often the members are compared with each other; 0: never",
                                "10m"),
                ROW("unsafe-no-fsync", OPTION_BOOL, unsafe_no_fsync, NULL,
                                "do not wait for the disk: a crash of the machine may lose "
                                "acknowledged writes; "
                                "for tests only",
                                "false"),
                ROW("check", OPTION_STRING, offline.check, "FILE",
                                "instead of serving: read a backup from end to end and say what it "
                                "holds",
                                NULL),
                ROW("write-out", OPTION_STRING, offline.write_out, "FORM",
                                "with --check: simple, table or json, as etcdctl snapshot status "
                                "(which knows only etcd's files) writes it",
                                NULL),
                ROW("restore", OPTION_STRING, offline.restore, "FILE",
                                "instead of serving: make the data directory of a backup, with "
                                "this "
                                "member alone (kctl restore does it)",
                                NULL),
                ROW("force", OPTION_BOOL, offline.force, NULL,
                                "with --restore: a store that is there is put aside", "false"),
                ROW("other-cluster", OPTION_BOOL, offline.other_cluster, NULL,
                                "with --restore: also a backup of another cluster", "false"),
                ROW("dry-run", OPTION_BOOL, offline.dry_run, NULL,
                                "with --restore: only check whether it would be done", "false"),
                ROW("replace", OPTION_BOOL, offline.replace, NULL,
                                "instead of serving: have this member, which is stopped, replaced "
                                "by a new one in the cluster of the others; the old data are put "
                                "aside",
                                "false"),
                ROW("log-level", OPTION_STRING, log_level, "LEVEL",
                                "debug, info, notice, warning or error", "info"),
};

static const struct option_program program = {
                .name = "kstored",
                .summary = "A replicated, watchable key-value store that speaks the etcd v3 API.",
                .usage = "[OPTION...]",
                .rows = rows,
                .count = ELEMENTS(rows),
};

static int fill_defaults(struct server_options *o, struct problem *p) {
        int r = 0;

        if (isempty(o->name))
                return problem_set(p, EINVAL, 0, NULL, "--name must not be empty");
        if (!o->data_dir)
                o->data_dir = strformat("%s.kstored", o->name);
        if (!o->data_dir)
                return -ENOMEM;
        for (char **u = o->listen_client_urls; !o->advertise_client_urls && u && *u && r >= 0; u++)
                r = strv_extend(&o->advertise_client_urls, *u);
        for (char **u = o->initial_advertise_peer_urls; !o->initial_cluster && u && *u && r >= 0;) {
                /* One item a URL; the loop ends itself, because the vector is no longer empty. */
                for (; *u && r >= 0; u++) {
                        _cleanup_free_ char *item = strformat("%s=%s", o->name, *u);

                        r = item ? strv_extend(&o->initial_cluster, item) : -ENOMEM;
                }
        }
        if (r < 0)
                return r;
        if (o->quota_bytes == 0)
                o->quota_bytes = (uint64_t)2 << 30;
        if (o->heartbeat_ms < 10 || o->heartbeat_ms > 10000)
                return problem_set(p, EINVAL, 0, NULL,
                                "--heartbeat-interval %u is not between 10 and 10000 milliseconds",
                                o->heartbeat_ms);
        if (o->election_ms < 5 * o->heartbeat_ms || o->election_ms > 50000)
                return problem_set(p, EINVAL, 0, NULL,
                                "--election-timeout %u must be at least 5 heartbeats (%u) and at "
                                "most "
                                "50000 milliseconds",
                                o->election_ms, 5 * o->heartbeat_ms);
        if (o->max_request_bytes < 1024 || o->max_request_bytes > 10 * 1024 * 1024)
                return problem_set(p, EINVAL, 0, NULL,
                                "--max-request-bytes %u is not between 1024 and 10485760",
                                o->max_request_bytes);
        if (o->max_txn_ops < 1 || o->max_txn_ops > 65536)
                return problem_set(p, EINVAL, 0, NULL,
                                "--max-txn-ops %u is not between 1 and 65536", o->max_txn_ops);
        if (o->snapshot_count < 100)
                o->snapshot_count = 100;
        return options_check(o, p);
}

static void on_stop(void *userdata) {
        server_stop(userdata);
}

static int run(struct server_options *o, struct problem *p) {
        _cleanup_(daemon_freep) struct daemon *d = NULL;
        _cleanup_(server_freep) struct server *s = NULL;
        int r = fill_defaults(o, p);

        if (r >= 0) {
                r = offline_run(o, p);
                if (r > 0)
                        return 0;
        }
        /* Files that SQLite needs for a while lie beside the database: there is room for them. */
        if (r >= 0 && setenv("SQLITE_TMPDIR", o->data_dir, 0) < 0)
                r = -errno;
        if (r >= 0)
                r = daemon_new(&d, "kstored");
        if (r >= 0)
                r = server_new(&s, daemon_event(d), daemon_metrics(d), o, p);
        if (r >= 0)
                r = server_listen(s, p);
        if (r < 0)
                return r;
        daemon_on_stop(d, on_stop, s);
        daemon_on_ready_check(d, server_is_ready, s);
        daemon_notify_ready(d, "Serving clients");
        r = daemon_run(d);
        s = server_free(s);
        return r;
}

/* Large blocks go back to the system when they are freed, instead of staying for the next; without
 * this the C library keeps up to 32 MB of each size it has seen. */
static void keep_little_memory(void) {
        (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
        (void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

int main(int argc, char **argv) {
        _cleanup_problem_ struct problem p = {0};
        struct server_options o = {0};
        int r, level;

        keep_little_memory();
        log_setup("kstored", LOG_INFO);
        r = options_parse(&program, &o, argc, argv, NULL, &p);
        if (r == 0) {
                level = log_level_from_string(strempty(o.log_level));
                if (level < 0)
                        r = problem_set(&p, EINVAL, 0, NULL,
                                        "--log-level \"%s\" is not debug, info, notice, warning or "
                                        "error",
                                        strempty(o.log_level));
                else {
                        log_setup("kstored", level);
                        r = run(&o, &p);
                }
        } else if (r > 0)
                r = 0;
        if (r < 0)
                log_error("%s", p.message ? p.message : strerror(-r));
        options_done(&program, &o);
        /* The unit does not start a damaged member again: it is to be replaced. */
        return r == -EUCLEAN ? EX_CONFIG : r < 0 ? 1 : r;
}
