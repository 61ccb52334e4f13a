/* kapid: flags, keys, listeners. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <malloc.h>
#include <net/if.h>
#include <netinet/in.h>

#include "kapid/admission/addresses.h"
#include "kapid/admission/plugins.h"
#include "kapid/admission/pod-security.h"
#include "kapid/api.h"
#include "kapid/audit/audit.h"
#include "kapid/auth/front-proxy.h"
#include "kapid/auth/oidc-token.h"
#include "kapid/http/handle.h"
#include "lib/fileio.h"
#include "lib/http-server.h"
#include "lib/json-memory.h"
#include "lib/log.h"
#include "lib/options.h"
#include "lib/parallel.h"
#include "lib/timefmt.h"

struct flags {
        char **store;
        char *store_ca, *store_cert, *store_key;
        char *bind_address;
        uint16_t port;
        char *unix_socket;
        char *tls_cert, *tls_key, *client_ca;
        char *proxy_cert, *proxy_key, *proxy_ca;
        char **proxy_names, **user_headers, **uid_headers, **group_headers, **extra_headers;
        char *service_range;
        char *sa_key_file;
        char *issuer;
        char *ssh_key_file;
        char *encryption_config;
        char *advertise, *api_address;
        char *pod_security;
        char **external_ip_ranges;
        char **runtime_config;
        char **admission_disable, **admission_enable, **admission_order;
        char *log_level;
        uint64_t stream_idle_us;
        bool http2_disabled;
        uint32_t http2_streams_max;
        struct oidc_options oidc; /* but ca_pem */
        char *oidc_ca_file;
        struct audit_options audit; /* but log.path */
        char *audit_log_path;
};

static const struct option_row rows[] = {
                {"store", 0, OPTION_STRINGS, offsetof(struct flags, store), "URL[,URL]",
                                "The store: unix:///PATH or https://HOST:PORT, several for a "
                                "cluster",
                                "unix:///run/keelson/kstored/kstored.sock"},
                {"store-cafile", 0, OPTION_STRING, offsetof(struct flags, store_ca), "FILE",
                                "CA certificates that verify the store", NULL},
                {"store-certfile", 0, OPTION_STRING, offsetof(struct flags, store_cert), "FILE",
                                "Client certificate for the store", NULL},
                {"store-keyfile", 0, OPTION_STRING, offsetof(struct flags, store_key), "FILE",
                                "Its key", NULL},
                {"bind-address", 0, OPTION_STRING, offsetof(struct flags, bind_address), "ADDRESS",
                                "Where to listen with TLS", "0.0.0.0"},
                {"secure-port", 0, OPTION_PORT, offsetof(struct flags, port), "PORT",
                                "Port for TLS; 0 for none", "6443"},
                {"unix-socket", 0, OPTION_STRING, offsetof(struct flags, unix_socket), "PATH",
                                "Socket for root on this machine; empty for none", NULL},
                {"tls-cert-file", 0, OPTION_STRING, offsetof(struct flags, tls_cert), "FILE",
                                "Server certificate", NULL},
                {"tls-private-key-file", 0, OPTION_STRING, offsetof(struct flags, tls_key), "FILE",
                                "Its key", NULL},
                {"client-ca-file", 0, OPTION_STRING, offsetof(struct flags, client_ca), "FILE",
                                "CA certificates that verify clients", NULL},
                {"proxy-client-cert-file", 0, OPTION_STRING, offsetof(struct flags, proxy_cert),
                                "FILE",
                                "Certificate by which extension servers (APIService) know the "
                                "requests that are passed on to them",
                                NULL},
                {"proxy-client-key-file", 0, OPTION_STRING, offsetof(struct flags, proxy_key),
                                "FILE", "Its key", NULL},
                {"requestheader-client-ca-file", 0, OPTION_STRING, offsetof(struct flags, proxy_ca),
                                "FILE",
                                "The authority of that certificate, for extension servers to trust, "
                                "and of authenticating proxies before kapid",
                                NULL},
                {"requestheader-allowed-names", 0, OPTION_STRINGS,
                                offsetof(struct flags, proxy_names), "NAME[,NAME]",
                                "Common names for extension servers and kapid to accept; empty for "
                                "any",
                                "front-proxy-client"},
                {"requestheader-username-headers", 0, OPTION_STRINGS,
                                offsetof(struct flags, user_headers), "NAME[,NAME]",
                                "Headers in which an authenticating proxy names the user "
                                "(X-Remote-User); none is believed without",
                                NULL},
                {"requestheader-uid-headers", 0, OPTION_STRINGS,
                                offsetof(struct flags, uid_headers), "NAME[,NAME]",
                                "Headers of the user's uid (X-Remote-Uid)", NULL},
                {"requestheader-group-headers", 0, OPTION_STRINGS,
                                offsetof(struct flags, group_headers), "NAME[,NAME]",
                                "Headers of the user's groups (X-Remote-Group)", NULL},
                {"requestheader-extra-headers-prefix", 0, OPTION_STRINGS,
                                offsetof(struct flags, extra_headers), "PREFIX[,PREFIX]",
                                "Beginnings of the headers of extra fields (X-Remote-Extra-)",
                                NULL},
                {"service-cluster-ip-range", 0, OPTION_STRING,
                                offsetof(struct flags, service_range), "CIDR",
                                "Addresses of Services; one network, or one of IPv4 and one of "
                                "IPv6 with a comma between them",
                                "10.96.0.0/16"},
                {"service-account-key-file", 0, OPTION_STRING, offsetof(struct flags, sa_key_file),
                                "FILE", "Key that signs and checks service-account tokens", NULL},
                {"service-account-issuer", 0, OPTION_STRING, offsetof(struct flags, issuer), "URL",
                                "Issuer in those tokens", "https://kubernetes.default.svc"},
                {"oidc-issuer-url", 0, OPTION_STRING, offsetof(struct flags, oidc.issuer_url),
                                "URL",
                                "OpenID Connect issuer whose ID tokens are accepted, exactly as it "
                                "writes itself; https only",
                                NULL},
                {"oidc-client-id", 0, OPTION_STRING, offsetof(struct flags, oidc.client_id), "NAME",
                                "The audience that its tokens must have", NULL},
                {"oidc-username-claim", 0, OPTION_STRING,
                                offsetof(struct flags, oidc.username_claim), "CLAIM",
                                "The claim that is the user's name", "sub"},
                {"oidc-username-prefix", 0, OPTION_STRING,
                                offsetof(struct flags, oidc.username_prefix), "TEXT",
                                "Text before the name; - for none. Without the flag: the issuer "
                                "and #, none for the claim email",
                                NULL},
                {"oidc-groups-claim", 0, OPTION_STRING, offsetof(struct flags, oidc.groups_claim),
                                "CLAIM", "The claim that lists the user's groups", NULL},
                {"oidc-groups-prefix", 0, OPTION_STRING, offsetof(struct flags, oidc.groups_prefix),
                                "TEXT", "Text before each of them", NULL},
                {"oidc-required-claim", 0, OPTION_STRINGS,
                                offsetof(struct flags, oidc.required_claims), "KEY=VALUE",
                                "A claim that its tokens must have; may be repeated", NULL},
                {"oidc-signing-algs", 0, OPTION_STRINGS, offsetof(struct flags, oidc.algorithms),
                                "NAME[,NAME]",
                                "Algorithms that are accepted: RS256, RS384, RS512, PS256, PS384, "
                                "PS512, ES256, ES384, ES512",
                                "RS256"},
                {"oidc-ca-file", 0, OPTION_STRING, offsetof(struct flags, oidc_ca_file), "FILE",
                                "CA certificates that verify the issuer's server; without the flag "
                                "those of the system",
                                NULL},
                {"audit-policy-file", 0, OPTION_STRING, offsetof(struct flags, audit.policy_file),
                                "FILE",
                                "Policy (audit.k8s.io/v1) that says which requests are logged and "
                                "how much of them",
                                NULL},
                {"audit-log-path", 0, OPTION_STRING, offsetof(struct flags, audit_log_path), "FILE",
                                "The audit log: a file, - for standard output, journald for the "
                                "journal",
                                NULL},
                {"audit-log-maxage", 0, OPTION_U32, offsetof(struct flags, audit.log.age_days),
                                "DAYS",
                                "Old files of the audit log are removed after these; 0: "
                                "never",
                                "0"},
                {"audit-log-maxbackup", 0, OPTION_U32, offsetof(struct flags, audit.log.backups),
                                "N", "Old files that are kept; 0: all", "0"},
                {"audit-log-maxsize", 0, OPTION_U32, offsetof(struct flags, audit.log.size_mb_max),
                                "MB", "Size at which a new file is begun; 0: 100", "0"},
                {"audit-log-format", 0, OPTION_STRING, offsetof(struct flags, audit.format), "json",
                                "Format of the audit log: one Event of audit.k8s.io/v1 a line",
                                "json"},
                {"encryption-provider-config", 0, OPTION_STRING,
                                offsetof(struct flags, encryption_config), "FILE",
                                "Which resources are encrypted in the store and with which keys: "
                                "an EncryptionConfiguration (apiserver.config.k8s.io/v1). A word "
                                "without / names a credential of the unit",
                                NULL},
                {"ssh-key-file", 0, OPTION_STRING, offsetof(struct flags, ssh_key_file), "FILE",
                                "Private key for the nodes (logs)", NULL},
                {"advertise-address", 0, OPTION_STRING, offsetof(struct flags, advertise),
                                "ADDRESS", "Where nodes reach this server (default: detected)",
                                NULL},
                {"api-address", 0, OPTION_STRING, offsetof(struct flags, api_address), "ADDRESS",
                                "Another address of the API, which moves between its servers (kctl "
                                "--api-address): no Service may take it",
                                NULL},
                {"pod-security-default", 0, OPTION_STRING, offsetof(struct flags, pod_security),
                                "LEVEL",
                                "Pod security level of namespaces without the label "
                                "pod-security.kubernetes.io/enforce: privileged, baseline or "
                                "restricted",
                                "baseline"},
                {"external-ip-ranges", 0, OPTION_STRINGS,
                                offsetof(struct flags, external_ip_ranges), "CIDR[,CIDR]",
                                "Addresses that every Service may take as an external address; "
                                "others need the verb use-external-ips",
                                NULL},
                {"runtime-config", 0, OPTION_STRINGS, offsetof(struct flags, runtime_config),
                                "GROUP/VERSION[=BOOL][,...]",
                                "Old versions of kinds to serve, such as extensions/v1beta1; none "
                                "is served without this flag",
                                NULL},
                {"disable-admission-plugins", 0, OPTION_STRINGS,
                                offsetof(struct flags, admission_disable), "NAME[,NAME]",
                                "Admission plugins to disable; * disables all except those that "
                                "stop users from gaining rights. Plugins:" ADMISSION_PLUGIN_WORDS,
                                NULL},
                {"enable-admission-plugins", 0, OPTION_STRINGS,
                                offsetof(struct flags, admission_enable), "NAME[,NAME]",
                                "Admission plugins that stay enabled with "
                                "--disable-admission-plugins=*",
                                NULL},
                {"admission-order", 0, OPTION_STRINGS, offsetof(struct flags, admission_order),
                                "NAME[,NAME]",
                                "Admission plugins that run first, in this order; the others "
                                "follow in their default order",
                                NULL},
                {"streaming-connection-idle-timeout", 0, OPTION_DURATION,
                                offsetof(struct flags, stream_idle_us), "TIME",
                                "An exec, attach or port-forward without a byte for this long is "
                                "ended; 0: never",
                                "4h"},
                {"disable-http2-serving", 0, OPTION_BOOL, offsetof(struct flags, http2_disabled),
                                NULL, "Serve HTTP/1.1 alone", NULL},
                {"http2-max-streams-per-connection", 0, OPTION_U32,
                                offsetof(struct flags, http2_streams_max), "N",
                                "Requests and watches at a time on one connection of "
                                "HTTP/2; 0: 250",
                                "0"},
                {"log-level", 0, OPTION_STRING, offsetof(struct flags, log_level), "LEVEL",
                                "debug, info, notice, warning or error", "info"},
};

static const struct option_program program = {
                .name = "kapid",
                .summary = "The API server of keelson: the single gate to the cluster's state.",
                .usage = "[OPTION...]",
                .rows = rows,
                .count = ELEMENTS(rows),
};

enum {
        PEM_SIZE_MAX = 1024 * 1024,
        MMAP_THRESHOLD = 256 * 1024,
        TRIM_THRESHOLD = 2 * 1024 * 1024,
        GZIP_ABOVE = 128 * 1024, /* as the reference server */
        DRAIN_STEP_US = 20 * 1000,
        DRAIN_MAX_US = 5 * 1000 * 1000,
        CONNECTIONS_MAX = 24000, /* API_STREAMS_MAX watches by HTTP/1.1, and others */
};

/* NULL path: nothing. */
static int read_pem(const char *path, const char *what, char **ret, struct problem *p) {
        size_t n;
        int r;

        if (isempty(path))
                return 0;
        r = file_read(path, PEM_SIZE_MAX, ret, &n);
        if (r < 0) {
                _cleanup_free_ char *text = file_error_text(path, what, r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(text));
        }
        return 0;
}

/* The first address that is not loopback or of the link; of IPv4 where there is one. */
static char *own_address(void) {
        struct ifaddrs *list = NULL;
        char text[INET6_ADDRSTRLEN];
        char *found = NULL;

        if (getifaddrs(&list) < 0)
                return NULL;
        for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
                struct sockaddr_in in;

                if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
                                (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
                        continue;
                memcpy(&in, i->ifa_addr, sizeof(in));
                if (inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text)))
                        found = strdup(text);
        }
        for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
                struct sockaddr_in6 in;

                if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET6 ||
                                (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP))
                        continue;
                memcpy(&in, i->ifa_addr, sizeof(in));
                if (!IN6_IS_ADDR_LINKLOCAL(&in.sin6_addr) &&
                                inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof(text)))
                        found = strdup(text);
        }
        freeifaddrs(list);
        return found;
}

static char *advertise_address(const struct flags *f) {
        if (!isempty(f->advertise))
                return strdup(f->advertise);
        if (!isempty(f->bind_address) && !streq(f->bind_address, "0.0.0.0") &&
                        !streq(f->bind_address, "::"))
                return strdup(f->bind_address);
        return own_address();
}

struct server {
        struct daemon *daemon;
        struct api *api;
        struct http_server *secure, *local;
        struct parallel *parallel;
        char *sa_key, *cert, *key, *ca, *advertise, *oidc_ca, *encryption;
        struct oidc_options oidc;
        struct audit_options audit;
        struct front_proxy_options front_proxy;
        sd_event_source *drain;
        uint64_t drain_until_us;
        struct metric *http2;
};

static void on_render(void *userdata) {
        struct server *s = userdata;

        metric_set(s->http2, (double)http_server_http2(s->secure));
}

static int add_metrics(struct server *s) {
        struct metrics *m = daemon_metrics(s->daemon);

        s->http2 = metrics_gauge(
                        m, "keelson_http2_connections", "", "Connections of clients by HTTP/2.");
        return s->http2 ? metrics_on_render(m, on_render, s) : -ENOMEM;
}

static int listen_secure(struct server *s, const struct flags *f, struct problem *p) {
        const struct tls_files files = {.cert = f->tls_cert,
                        .key = f->tls_key,
                        .ca = f->client_ca,
                        .unnamed_authorities = !isempty(f->proxy_ca)};
        int r = 0;

        if (f->port == 0)
                return 0;
        if (isempty(f->tls_cert) || isempty(f->tls_key) || isempty(f->client_ca))
                return problem_set(p, EINVAL, 0, NULL,
                                "--secure-port needs --tls-cert-file, --tls-private-key-file and "
                                "--client-ca-file (or --secure-port 0 for the Unix socket alone)");
        r = read_pem(f->tls_cert, "read", &s->cert, p);
        if (r < 0)
                return r;
        r = read_pem(f->tls_key, "read", &s->key, p);
        if (r < 0)
                return r;
        r = read_pem(f->client_ca, "read", &s->ca, p);
        if (r < 0)
                return r;
        r = parallel_new(&s->parallel, /* count= */ 0);
        if (r < 0)
                return r;
        r = http_server_new(&s->secure, daemon_event(s->daemon),
                        &(struct http_server_options){.host = f->bind_address,
                                        .port = f->port,
                                        .tls_cert = s->cert,
                                        .tls_key = s->key,
                                        .tls_client_ca = s->ca,
                                        .tls_files = &files,
                                        .connections_max = CONNECTIONS_MAX,
                                        .http2 = !f->http2_disabled,
                                        .http2_streams_max = f->http2_streams_max,
                                        .gzip_above = GZIP_ABOVE,
                                        .parallel = s->parallel,
                                        .admit = api_admit,
                                        .handler = api_handle,
                                        .reject = api_reject,
                                        .userdata = s->api},
                        p);
        return r < 0 ? r : add_metrics(s);
}

static int listen_local(struct server *s, const struct flags *f, struct problem *p) {
        if (isempty(f->unix_socket))
                return 0;
        return http_server_new(&s->local, daemon_event(s->daemon),
                        &(struct http_server_options){.unix_path = f->unix_socket,
                                        .unix_mode = 0600,
                                        .admit = api_admit,
                                        .handler = api_handle,
                                        .reject = api_reject,
                                        .userdata = s->api},
                        p);
}

/* SIGTERM: no new connections; what is under way is answered, within bounds. */
static int on_drain(sd_event_source *source, uint64_t usec, void *userdata) {
        struct server *s = userdata;

        if ((s->api->reads == 0 && s->api->writes == 0) || now_mono_us() >= s->drain_until_us)
                return sd_event_exit(daemon_event(s->daemon), 0);
        (void)sd_event_source_set_time_relative(source, DRAIN_STEP_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void on_stop(void *userdata) {
        struct server *s = userdata;

        if (s->secure)
                http_server_stop_accepting(s->secure);
        if (s->local)
                http_server_stop_accepting(s->local);
        s->drain_until_us = now_mono_us() + DRAIN_MAX_US;
        if (sd_event_add_time_relative(daemon_event(s->daemon), &s->drain, CLOCK_MONOTONIC,
                            DRAIN_STEP_US, 0, on_drain, s) < 0)
                sd_event_exit(daemon_event(s->daemon), 0);
}

/* Permissions that the administrator gives to others. */
static int read_policies(const struct flags *f, struct api_options *o, struct problem *p) {
        if (pod_security_level_parse(f->pod_security, &o->pod_security_default) < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "--pod-security-default %s: must be one of privileged, baseline, "
                                "restricted",
                                f->pod_security);
        for (size_t i = 0; f->external_ip_ranges && f->external_ip_ranges[i]; i++)
                if (address_range_check(f->external_ip_ranges[i], p) < 0)
                        return problem_prefix(p, "--external-ip-ranges"), -EINVAL;
        o->external_ip_ranges = f->external_ip_ranges;
        o->runtime_config = f->runtime_config;
        o->admission = (struct admission_options){.disable = f->admission_disable,
                        .enable = f->admission_enable,
                        .order = f->admission_order};
        return 0;
}

/* Who may come in beside the holders of the cluster's own certificates and tokens, and the log of
 * what they did. */
static int read_people(
                struct server *s, const struct flags *f, struct api_options *o, struct problem *p) {
        int r = oidc_options_check(&f->oidc, f->issuer, p);

        if (r < 0)
                return r;
        r = read_pem(f->oidc_ca_file, "read", &s->oidc_ca, p);
        if (r < 0)
                return r;
        s->oidc = f->oidc;
        s->oidc.ca_pem = s->oidc_ca;
        s->audit = f->audit;
        s->audit.log.path = f->audit_log_path;
        o->oidc = &s->oidc;
        o->audit = &s->audit;
        return 0;
}

/* The file has keys in it: it is forgotten as soon as they are in use. */
static int read_encryption(struct server *s, const char *name, struct problem *p) {
        const char *folder = getenv("CREDENTIALS_DIRECTORY");
        _cleanup_free_ char *path = NULL;

        if (isempty(name) || strchr(name, '/'))
                return read_pem(name, "read", &s->encryption, p);
        if (!folder)
                return problem_set(p, ENOENT, 0, NULL,
                                "--encryption-provider-config %s: the unit has no credentials; "
                                "give a path with / for a file",
                                name);
        path = strformat("%s/%s", folder, name);
        return path ? read_pem(path, "read", &s->encryption, p) : -ENOMEM;
}

static void forget_encryption(struct server *s) {
        if (s->encryption)
                explicit_bzero(s->encryption, strlen(s->encryption));
        s->encryption = mfree(s->encryption);
}

static int start(struct server *s, const struct flags *f, struct problem *p) {
        const struct tls_files tls = {
                        .cert = f->store_cert, .key = f->store_key, .ca = f->store_ca};
        struct store_options store = {
                        .endpoints = f->store, .tls = isempty(f->store_ca) ? NULL : &tls};
        struct api_options o = {.port = f->port,
                        .service_range = f->service_range,
                        .ssh_key_file = isempty(f->ssh_key_file) ? NULL : f->ssh_key_file,
                        .issuer = f->issuer,
                        .stream_idle_us = f->stream_idle_us};
        int r;

        if (f->port == 0 && isempty(f->unix_socket))
                return problem_set(p, EINVAL, 0, NULL,
                                "nothing to listen on: give --secure-port or --unix-socket");
        r = read_policies(f, &o, p);
        if (r < 0)
                return r;
        r = read_people(s, f, &o, p);
        if (r < 0)
                return r;
        r = read_pem(f->sa_key_file, "read", &s->sa_key, p);
        if (r < 0)
                return r;
        r = read_encryption(s, f->encryption_config, p);
        if (r < 0)
                return r;
        s->advertise = advertise_address(f);
        o.sa_key_pem = s->sa_key;
        o.advertise_address = s->advertise;
        o.api_address = f->api_address;
        o.encryption_config = s->encryption;
        s->front_proxy = (struct front_proxy_options){.cert_file = f->proxy_cert,
                        .key_file = f->proxy_key,
                        .ca_file = f->proxy_ca,
                        .allowed_names = f->proxy_names,
                        .headers = {.user_names = f->user_headers,
                                        .uid_names = f->uid_headers,
                                        .group_names = f->group_headers,
                                        .extra_prefixes = f->extra_headers},
                        .client_ca_file = f->client_ca};
        o.front_proxy = &s->front_proxy;
        r = api_new(&s->api, s->daemon, &o, &store, p);
        forget_encryption(s);
        if (r < 0)
                return r;
        daemon_on_ready_check(s->daemon, api_ready, s->api);
        daemon_on_stop(s->daemon, on_stop, s);
        r = listen_secure(s, f, p);
        return r < 0 ? r : listen_local(s, f, p);
}

static void server_done(struct server *s) {
        sd_event_source_disable_unref(s->drain);
        if (s->http2)
                metrics_off_render(daemon_metrics(s->daemon), on_render, s);
        http_server_free(s->secure);
        http_server_free(s->local);
        parallel_free(s->parallel);
        api_free(s->api);
        daemon_free(s->daemon);
        free(s->sa_key);
        free(s->cert);
        free(s->key);
        free(s->ca);
        free(s->advertise);
        free(s->oidc_ca);
        forget_encryption(s);
}

static void flags_done(struct flags *f) {
        options_done(&program, f);
}

static int prepare(struct server *s, const struct flags *f, struct problem *p) {
        int level = log_level_from_string(f->log_level), r;

        if (level < 0)
                return problem_set(
                                p, EINVAL, 0, NULL, "--log-level %s: no such level", f->log_level);
        log_setup("kapid", level);
        r = daemon_new(&s->daemon, "kapid");
        if (r < 0)
                return r;
        return start(s, f, p);
}

static int exit_failed(int r, const struct problem *p) {
        log_error("%s", p->message ? p->message : strerror(-r));
        return EXIT_FAILURE;
}

int main(int argc, char **argv) {
        _cleanup_(flags_done) struct flags f = {0};
        _cleanup_(server_done) struct server s = {0};
        _cleanup_problem_ struct problem p = {0};
        int r;

        /* Large texts are mapped on their own for ever, and go back when they are freed: glibc
         * would raise the bound with the first of them. */
        (void)mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
        /* What each turn takes and gives back at the heap's end stays: pages are made again slowly.
         * lib/trim.h gives back what is more. */
        (void)mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
        json_memory_keep();
        r = options_parse(&program, &f, argc, argv, NULL, &p);
        if (r > 0)
                return EXIT_SUCCESS;
        if (r < 0)
                return exit_failed(r, &p);
        r = prepare(&s, &f, &p);
        if (r < 0)
                return exit_failed(r, &p);
        return daemon_run(s.daemon);
}
