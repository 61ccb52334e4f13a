/* The table of options (usage, completion and the configuration file come from it), defaults that
 * depend on other options, and what does not go together: what a person meant by two options that
 * contradict each other is not guessed, the start is refused. */
#include "kstored/server/options.h"

#include "lib/grpc.h"

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
                                "members of the account's group may open the clients' Unix socket, "
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
                                "distinguishes clusters", "etcd-cluster"),
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
                                "https for clients with a self-signed certificate", "false"),
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
                                "https among members with self-signed certificates: stops "
                                "eavesdropping, not impostors",
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
                                "time between a leader's heartbeats", "100"),
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
                                "instead of serving: make the data directory from a backup, with "
                                "this member alone (used by kctl restore)",
                                NULL),
                ROW("force", OPTION_BOOL, offline.force, NULL,
                                "with --restore: move an existing store aside", "false"),
                ROW("other-cluster", OPTION_BOOL, offline.other_cluster, NULL,
                                "with --restore: also a backup of another cluster", "false"),
                ROW("dry-run", OPTION_BOOL, offline.dry_run, NULL,
                                "with --restore: only check whether it would work", "false"),
                ROW("replace", OPTION_BOOL, offline.replace, NULL,
                                "instead of serving: have this member, which is stopped, replaced "
                                "by a new one in the cluster of the others; the old data are put "
                                "aside",
                                "false"),
                ROW("log-level", OPTION_STRING, log_level, "LEVEL",
                                "debug, info, notice, warning or error", "info"),
};

const struct option_program kstored_program = {
                .name = "kstored",
                .summary = "A replicated, watchable key-value store that speaks the etcd v3 API.",
                .usage = "[OPTION...]",
                .rows = rows,
                .count = ELEMENTS(rows),
};

static bool has_https(char *const *urls) {
        for (; urls && *urls; urls++)
                if (startswith(*urls, "https://"))
                        return true;
        return false;
}

/* The options of one side. */
struct side {
        const char *urls_option, *prefix; /* "", "peer-" */
        const char *lists_prefix;         /* of lists of clients' or members' certificates */
        char *const *urls;
        const char *cert, *key, *ca, *crl;
        char *const *allowed_cns, *const *allowed_hostnames;
        bool made; /* --auto-tls */
};

static int check_made(const struct side *s, struct problem *p) {
        if (!s->made)
                return 0;
        if (!isempty(s->cert) || !isempty(s->key) || !isempty(s->ca))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%sauto-tls makes a certificate: it does not go together with "
                                "--%s%s-file",
                                s->prefix, s->prefix,
                                !isempty(s->cert)  ? "cert"
                                : !isempty(s->key) ? "key"
                                                   : "trusted-ca");
        if (s->urls && *s->urls && !has_https(s->urls))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%sauto-tls is given, but %s has no https:// address: it would "
                                "not be used",
                                s->prefix, s->urls_option);
        return 0;
}

/* Options that reject certificates need the CA that accepts them. */
static int check_lists(const struct side *s, struct problem *p) {
        const char *list = !isempty(s->crl)       ? "crl-file"
                           : s->allowed_cns       ? "cert-allowed-cn"
                           : s->allowed_hostnames ? "cert-allowed-hostname"
                                                  : NULL;

        if (list && isempty(s->ca))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%s%s needs --%strusted-ca-file: without it no certificate is "
                                "asked for",
                                s->lists_prefix, list, s->prefix);
        if (s->allowed_cns && s->allowed_hostnames)
                return problem_set(p, EINVAL, 0, NULL,
                                "--%scert-allowed-cn and --%scert-allowed-hostname: give one of "
                                "them",
                                s->lists_prefix, s->lists_prefix);
        return 0;
}

/* Files that would not be used would look like protection that is not there. */
static int check_tls(const struct side *s, struct problem *p) {
        const char *prefix = s->prefix;
        int r = check_made(s, p);

        if (r < 0)
                return r;
        if (has_https(s->urls) && isempty(s->cert) && isempty(s->key) && !s->made)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s has an https:// address, which needs --%scert-file and "
                                "--%skey-file, or --%sauto-tls",
                                s->urls_option, prefix, prefix, prefix);
        if (!isempty(s->cert) != !isempty(s->key))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%scert-file and --%skey-file belong "
                                "together: --%s%s-file is missing",
                                prefix, prefix, prefix, isempty(s->cert) ? "cert" : "key");
        if ((!isempty(s->cert) || !isempty(s->ca)) && s->urls && *s->urls && !has_https(s->urls))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%s%s-file is given, but %s has no https:// address: it would "
                                "not be used",
                                prefix, isempty(s->cert) ? "trusted-ca" : "cert", s->urls_option);
        return check_lists(s, p);
}

static int check_both_sides(const struct server_options *o, struct problem *p) {
        const struct side client = {.urls_option = "--listen-client-urls",
                        .prefix = "",
                        .lists_prefix = "client-",
                        .urls = o->listen_client_urls,
                        .cert = o->cert_file,
                        .key = o->key_file,
                        .ca = o->trusted_ca_file,
                        .crl = o->client_crl_file,
                        .allowed_cns = o->client_cert_allowed_cn,
                        .allowed_hostnames = o->client_cert_allowed_hostname,
                        .made = o->auto_tls};
        const struct side peer = {.urls_option = "--listen-peer-urls",
                        .prefix = "peer-",
                        .lists_prefix = "peer-",
                        .urls = o->listen_peer_urls,
                        .cert = o->peer_cert_file,
                        .key = o->peer_key_file,
                        .ca = o->peer_trusted_ca_file,
                        .crl = o->peer_crl_file,
                        .allowed_cns = o->peer_cert_allowed_cn,
                        .allowed_hostnames = o->peer_cert_allowed_hostname,
                        .made = o->peer_auto_tls};
        int r = check_tls(&client, p);

        if (r >= 0 && (o->auto_tls || o->peer_auto_tls) &&
                        (o->self_signed_cert_validity < 1 || o->self_signed_cert_validity > 100))
                r = problem_set(p, EINVAL, 0, NULL,
                                "--self-signed-cert-validity %u is not between 1 and 100 years",
                                o->self_signed_cert_validity);
        if (r >= 0 && has_https(o->listen_metrics_urls) && isempty(o->cert_file) && !o->auto_tls)
                r = problem_set(p, EINVAL, 0, NULL,
                                "--listen-metrics-urls has an https:// address, which needs "
                                "--cert-file and --key-file, or --auto-tls");
        return r < 0 ? r : check_tls(&peer, p);
}

static int check_urls(const char *option, char *const *urls, struct problem *p) {
        for (; urls && *urls; urls++) {
                _cleanup_problem_ struct problem why = {0};
                int r = grpc_url_check(*urls, &why);

                if (r < 0)
                        return problem_set(p, EINVAL, 0, NULL, "%s: %s", option,
                                        strempty(why.message));
        }
        return 0;
}

/* A URL is one member's. */
static int check_cluster(char *const *items, struct problem *p) {
        for (char *const *a = items; a && *a; a++)
                for (char *const *b = a + 1; *b; b++) {
                        const char *url = strchr(*a, '='), *other = strchr(*b, '=');

                        if (url && other && streq(url, other))
                                return problem_set(p, EINVAL, 0, NULL,
                                                "--initial-cluster gives the address %s to two "
                                                "members, \"%s\" and \"%s\"",
                                                url + 1, *a, *b);
                }
        return 0;
}

static int check(const struct server_options *o, struct problem *p) {
        int r;

        if (isempty(o->data_dir))
                return problem_set(p, EINVAL, 0, NULL, "--data-dir must not be empty");
        if (!o->listen_client_urls || !*o->listen_client_urls)
                return problem_set(p, EINVAL, 0, NULL,
                                "--listen-client-urls is empty: no client could be served");
        r = check_urls("--listen-client-urls", o->listen_client_urls, p);
        if (r < 0)
                return r;
        r = check_urls("--listen-peer-urls", o->listen_peer_urls, p);
        if (r < 0)
                return r;
        r = check_both_sides(o, p);
        if (r < 0)
                return r;
        r = check_urls("--advertise-client-urls", o->advertise_client_urls, p);
        if (r < 0)
                return r;
        r = check_urls("--initial-advertise-peer-urls", o->initial_advertise_peer_urls, p);
        if (r < 0)
                return r;
        if (o->client_cert_auth && isempty(o->trusted_ca_file))
                return problem_set(
                                p, EINVAL, 0, NULL, "--client-cert-auth needs --trusted-ca-file");
        if (o->peer_client_cert_auth && isempty(o->peer_trusted_ca_file))
                return problem_set(p, EINVAL, 0, NULL,
                                "--peer-client-cert-auth needs --peer-trusted-ca-file");
        return check_cluster(o->initial_cluster, p);
}

int options_complete(struct server_options *o, struct problem *p) {
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
                /* One item a URL; the loop ends because the list is no longer empty. */
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
        return check(o, p);
}
