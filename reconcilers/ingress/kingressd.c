/* kingressd: Ingresses, realized by the haproxy of this machine. Watches, decides (decide.h), has
 * it carried out (haproxy.h). Every kingressd serves; the one that leads also reports the faults of
 * Ingresses as their events. (status.loadBalancer is written by kreconciled.) */
#include <linux/magic.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "lib/client/informer.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "reconcilers/ingress/decide.h"
#include "reconcilers/ingress/haproxy.h"
#include "reconcilers/program.h"

enum { FALLBACK_DAYS = 3650, THREADS_MAX = 4, REFUSED_MANY = 1000, OWN_FILES = 200 };
#define DEBOUNCE_US UINT64_C(50000)

struct kingressd_flags {
        struct program_flags common;
        char *haproxy, *run_dir, *bind_address, *default_certificate;
        uint16_t http_port, https_port;
        uint32_t connections_max;
        uint64_t drain_us;
        bool share_hosts;
};

#define AT(field) offsetof(struct kingressd_flags, field)
static const struct option_row rows[] = {
                {"haproxy", 0, OPTION_STRING, AT(haproxy), "FILE", "the program",
                                "/usr/sbin/haproxy"},
                {"run-dir", 0, OPTION_STRING, AT(run_dir), "DIR",
                                "configuration, keys and sockets; on a tmpfs",
                                "/run/keelson/kingressd"},
                {"bind-address", 0, OPTION_STRING, AT(bind_address), "ADDR",
                                "where it listens; absent: on all addresses", NULL},
                {"http-port", 0, OPTION_PORT, AT(http_port), "PORT", "for HTTP", "80"},
                {"https-port", 0, OPTION_PORT, AT(https_port), "PORT", "for HTTPS", "443"},
                {"connections-max", 0, OPTION_U32, AT(connections_max), "N",
                                "connections of clients at a time", "10000"},
                {"default-certificate", 0, OPTION_STRING, AT(default_certificate), "NS/NAME",
                                "Secret for names that no Ingress has a certificate for; absent: a "
                                "self-signed one",
                                NULL},
                {"share-hosts", 0, OPTION_BOOL, AT(share_hosts), NULL,
                                "let Ingresses of several namespaces have rules for one host",
                                "false"},
                {"drain", 0, OPTION_DURATION, AT(drain_us), "TIME",
                                "at a stop: time for requests in progress", "20s"},
};

enum {
        WATCH_INGRESSES,
        WATCH_INGRESS_CLASSES,
        WATCH_INGRESS_SERVICES,
        WATCH_SLICES,
        WATCH_TLS_SECRETS,
        INGRESS_WATCHES
};

struct kingressd {
        const struct kingressd_flags *flags;
        struct program *program;
        sd_event *event;
        struct api_client *client;
        struct informer *watches[INGRESS_WATCHES];
        struct haproxy *haproxy;
        struct ingress_options options;
        char *fallback_pem;
        sd_event_source *debounce;
        json_t *decision;
        json_t *refused;  /* decide.h */
        json_t *reported; /* {text of a finding: true} */
        struct metric *served;
        bool leading;
};

static int on_debounce(sd_event_source *s, uint64_t usec, void *userdata);

/* Many changes come at once: one decision for them. */
static void decide_soon(struct kingressd *k) {
        if (!k->debounce && sd_event_add_time_relative(k->event, &k->debounce, CLOCK_MONOTONIC,
                                            DEBOUNCE_US, /* accuracy= */ 1000, on_debounce, k) < 0)
                log_oom();
}

/* --- what a decision sees --- */

static json_t *all_of(const struct informer *i) {
        json_t *list = json_array();

        assert(list);
        informer_foreach(i, e)
                        assert(json_array_append(list, json_unconst(informer_object(e))) >= 0);
        return list;
}

static const json_t *see_service(void *data, const char *ns, const char *name) {
        struct kingressd *k = data;

        return informer_get2(k->watches[WATCH_INGRESS_SERVICES], ns, name);
}

static const json_t *see_secret(void *data, const char *ns, const char *name) {
        struct kingressd *k = data;

        return informer_get2(k->watches[WATCH_TLS_SECRETS], ns, name);
}

static void add_slice(const json_t *slice, void *userdata) {
        assert(json_array_append(userdata, json_unconst(slice)) >= 0);
}

static void see_slices(void *data, const char *ns, const char *service, json_t *ret) {
        struct kingressd *k = data;
        _cleanup_free_ char *key = strformat("%s/%s", ns, service);

        assert(key);
        informer_by_index(k->watches[WATCH_SLICES], "service", key, add_slice, ret);
}

static const char *slice_service(const json_t *slice, char *buffer, size_t n) {
        const char *name = object_label(slice, "kubernetes.io/service-name");

        if (!name)
                return NULL;
        snprintf(buffer, n, "%s/%s", object_namespace(slice), name);
        return buffer;
}

/* --- deciding --- */

static bool is_synced(const struct kingressd *k) {
        for (size_t i = 0; i < INGRESS_WATCHES; i++)
                if (!k->watches[i] || !informer_is_synced(k->watches[i]))
                        return false;
        return true;
}

/* Events for what was not reported yet. */
static void report(struct kingressd *k) {
        json_t *now = json_object();
        const json_t *f;
        size_t i;

        if (!now) {
                log_oom();
                return;
        }
        json_array_foreach (json_object_get(k->decision, "findings"), i, f) {
                const json_t *ingress = informer_get(
                                k->watches[WATCH_INGRESSES], json_str_or(f, "ingress", ""));
                _cleanup_free_ char *text = json_text(f);

                if (!text || !ingress)
                        continue;
                (void)json_object_set_new(now, text, json_true());
                if (!json_object_get(k->reported, text))
                        api_event(k->client, ingress, "Warning", json_str_or(f, "reason", ""), "%s",
                                        json_str_or(f, "message", ""));
        }
        json_decref(k->reported);
        k->reported = now;
}

static void decide(struct kingressd *k) {
        _cleanup_json_ json_t *ingresses = all_of(k->watches[WATCH_INGRESSES]),
                              *classes = all_of(k->watches[WATCH_INGRESS_CLASSES]);
        const struct ingress_view view = {.options = &k->options,
                        .ingresses = ingresses,
                        .classes = classes,
                        .refused = k->refused,
                        .service = see_service,
                        .secret = see_secret,
                        .slices = see_slices,
                        .data = k};

        json_decref(k->decision);
        k->decision = ingress_decide(&view);
        metric_set(k->served, (double)json_array_size(json_object_get(k->decision, "served")));
        if (k->leading)
                report(k);
        haproxy_want(k->haproxy, json_ref(k->decision));
}

static int on_debounce(sd_event_source *s, uint64_t usec, void *userdata) {
        struct kingressd *k = userdata;

        k->debounce = sd_event_source_disable_unref(k->debounce);
        /* Never from half of the cluster: what is served would be lost. */
        if (is_synced(k))
                decide(k);
        return 0;
}

/* The Secret of a file "ns_name.pem"; a namespace has no '_'. */
static void on_refused_certificate(const char *file, const char *why, void *userdata) {
        struct kingressd *k = userdata;
        const char *line = strchr(file, '_');
        _cleanup_free_ char *key = NULL, *mark = NULL;
        const json_t *secret;

        key = line ? strformat("%.*s/%.*s", (int)(line - file), file,
                                     (int)(strlen(line + 1) - strlen(".pem")), line + 1)
                   : NULL;
        secret = key ? informer_get(k->watches[WATCH_TLS_SECRETS], key) : NULL;
        if (!secret) {
                log_error("haproxy refuses the certificate %s: %s", file, why);
                return;
        }
        if (json_object_size(k->refused) >= REFUSED_MANY)
                ingress_forget_refused(&(struct ingress_view){.secret = see_secret, .data = k},
                                k->refused);
        mark = ingress_secret_mark(secret);
        (void)json_object_set_new(k->refused, mark,
                        json_sprintf("haproxy refuses it (%s); is the key too short?", why));
        decide_soon(k);
}

/* --- watching --- */

/* Whether the last decision looked for it; without one everything counts. */
static bool is_used(const struct kingressd *k, const char *kind, const json_t *object,
                const char *name) {
        _cleanup_free_ char *key = strformat("%s %s/%s", kind, object_namespace(object), name);

        return !k->decision || !key ||
               json_object_get(json_object_get(k->decision, "uses"), key) != NULL;
}

static void on_object(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct kingressd *k = userdata;

        if (i == k->watches[WATCH_INGRESS_SERVICES] &&
                        !is_used(k, "service", object, object_name(object)))
                return;
        if (i == k->watches[WATCH_TLS_SECRETS] &&
                        !is_used(k, "secret", object, object_name(object)))
                return;
        decide_soon(k);
}

static void on_slice(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *slice, void *userdata) {
        struct kingressd *k = userdata;
        const char *now = strempty(object_label(slice, "kubernetes.io/service-name")),
                   *before = strempty(old ? object_label(old, "kubernetes.io/service-name") : now);

        if (is_used(k, "service", slice, now) || is_used(k, "service", slice, before))
                decide_soon(k);
}

static void on_synced(struct informer *i, void *userdata) {
        decide_soon(userdata);
}

static int watch(struct kingressd *k) {
        static const struct {
                enum kind_id kind;
                const char *fields;
        } watched[INGRESS_WATCHES] = {
                        [WATCH_INGRESSES] = {KIND_INGRESSES, NULL},
                        [WATCH_INGRESS_CLASSES] = {KIND_INGRESSCLASSES, NULL},
                        [WATCH_INGRESS_SERVICES] = {KIND_SERVICES, NULL},
                        [WATCH_SLICES] = {KIND_ENDPOINTSLICES, NULL},
                        [WATCH_TLS_SECRETS] = {KIND_SECRETS, "type=kubernetes.io/tls"},
        };

        for (size_t i = 0; i < INGRESS_WATCHES; i++) {
                const struct informer_options options = {.resource = api_resource(watched[i].kind),
                                .field_selector = watched[i].fields,
                                .on_event = i == WATCH_SLICES ? on_slice : on_object,
                                .on_synced = on_synced,
                                .userdata = k};
                int r = informer_new(&k->watches[i], k->client, &options);

                if (r < 0)
                        return r;
        }
        return informer_add_index(k->watches[WATCH_SLICES], "service", slice_service);
}

/* --- wiring --- */

static void on_leading(bool leading, void *userdata) {
        struct kingressd *k = userdata;

        k->leading = leading;
        if (leading && k->decision)
                report(k);
}

static const char *not_ready(bool leading, void *userdata) {
        const struct kingressd *k = userdata;

        return is_synced(k) ? haproxy_not_ready(k->haproxy) : "the caches are not filled yet";
}

static void on_haproxy_stopped(void *userdata) {
        struct kingressd *k = userdata;

        (void)sd_event_exit(k->event, 0);
}

static void on_stop(void *userdata) {
        struct kingressd *k = userdata;

        k->debounce = sd_event_source_disable_unref(k->debounce);
        haproxy_stop(k->haproxy, k->flags->drain_us, on_haproxy_stopped, k);
}

/* The folder has private keys: in memory, and nobody else's. */
static int make_run_dir(const char *path) {
        _cleanup_free_ char *why = NULL;
        struct statfs fs;
        int r = mkdir_parents(path, 0700);

        if (r >= 0 && (chmod(path, 0700) < 0 || statfs(path, &fs) < 0))
                r = -errno;
        if (r < 0) {
                why = file_error_text(path, "make the folder", r);
                log_error("%s", strempty(why));
                return r;
        }
        if ((unsigned)fs.f_type != TMPFS_MAGIC && (unsigned)fs.f_type != RAMFS_MAGIC) {
                log_error("--run-dir %s is on a disk, and private keys would be written there; give "
                          "a folder on a tmpfs, for example below /run",
                                path);
                return -EINVAL;
        }
        return 0;
}

static int check_haproxy(const char *path) {
        if (access(path, X_OK) >= 0)
                return 0;
        log_error("haproxy is not installed on this machine (no %s), so no Ingress is served here; "
                  "remedy: apt install haproxy",
                        path);
        return -ENOENT;
}

static int make_fallback(struct kingressd *k) {
        static const char *const organizations[] = {NULL};
        const struct pki_subject subject = {
                        .cn = "keelson ingress default", .organizations = organizations};
        _cleanup_free_ char *cert = NULL, *key = NULL;
        int r = pki_self_signed(&subject, PKI_USAGE_SERVER, FALLBACK_DAYS, &cert, &key);

        if (r < 0)
                return r;
        k->fallback_pem = strformat("%s%s", cert, key);
        return k->fallback_pem ? 0 : -ENOMEM;
}

/* Each connection of a client needs two file descriptors, and haproxy some for itself. */
static unsigned connections_max(unsigned wanted) {
        struct rlimit files;
        unsigned fit;

        if (getrlimit(RLIMIT_NOFILE, &files) < 0 ||
                        files.rlim_cur >= 2 * (uint64_t)wanted + OWN_FILES)
                return wanted;
        fit = files.rlim_cur > 2 * OWN_FILES ? (unsigned)(files.rlim_cur - OWN_FILES) / 2
                                             : OWN_FILES / 2;
        log_notice("This process may have %llu open files: %u connections instead of %u",
                        (unsigned long long)files.rlim_cur, fit, wanted);
        return fit;
}

static void set_options(struct kingressd *k) {
        const struct kingressd_flags *f = k->flags;
        long processors = sysconf(_SC_NPROCESSORS_ONLN),
             threads = MIN(processors, (long)THREADS_MAX);
        bool has_ipv6 = access("/proc/net/if_inet6", F_OK) >= 0;

        k->options = (struct ingress_options){.bind_address = !isempty(f->bind_address)
                                                                              ? f->bind_address
                                                              : has_ipv6 ? "[::]"
                                                                         : "*",
                        .http_port = f->http_port,
                        .https_port = f->https_port,
                        .threads = (unsigned)MAX(threads, 1L),
                        .connections_max = connections_max(f->connections_max),
                        .run_dir = f->run_dir,
                        .default_certificate = f->default_certificate,
                        .fallback_pem = k->fallback_pem,
                        .share_hosts = f->share_hosts};
}

static int setup(struct kingressd *k) {
        struct daemon *daemon = program_daemon(k->program);
        const struct haproxy_options haproxy = {.event = daemon_event(daemon),
                        .metrics = daemon_metrics(daemon),
                        .program = k->flags->haproxy,
                        .run_dir = k->flags->run_dir,
                        .on_refused_certificate = on_refused_certificate,
                        .userdata = k};
        int r;

        k->event = haproxy.event;
        k->client = program_client(k->program);
        k->refused = json_object();
        k->reported = json_object();
        k->served = metrics_gauge(
                        haproxy.metrics, "keelson_ingress_served", "", "Ingresses of our classes.");
        if (!k->refused || !k->reported || !k->served)
                return -ENOMEM;
        r = make_fallback(k);
        if (r < 0)
                return r;
        set_options(k);
        r = haproxy_new(&k->haproxy, &haproxy);
        if (r < 0)
                return r;
        daemon_on_stop(daemon, on_stop, k);
        return watch(k);
}

static void teardown(struct kingressd *k) {
        sd_event_source_disable_unref(k->debounce);
        for (size_t i = 0; i < INGRESS_WATCHES; i++)
                informer_free(k->watches[i]);
        haproxy_free(k->haproxy);
        json_decref(k->decision);
        json_decref(k->refused);
        json_decref(k->reported);
        if (k->fallback_pem)
                explicit_bzero(k->fallback_pem, strlen(k->fallback_pem));
        free(k->fallback_pem);
}

/* Exits of haproxy are read from a signal. */
static int block_child_signal(void) {
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        return sigprocmask(SIG_BLOCK, &mask, NULL) < 0 ? -errno : 0;
}

static int run(struct program_flags *common) {
        const struct kingressd_flags *flags = container_of(common, struct kingressd_flags, common);
        _cleanup_(program_freep) struct program *program = NULL;
        struct kingressd k = {.flags = flags};
        struct program_options options = {.name = "kingressd",
                        .flags = common,
                        .on_leading = on_leading,
                        .not_ready = not_ready,
                        .userdata = &k};
        int r, code = 1;

        if (check_haproxy(flags->haproxy) < 0 || make_run_dir(flags->run_dir) < 0 ||
                        block_child_signal() < 0)
                return 1;
        if (program_new(&program, &options) < 0)
                return 1;
        k.program = program;
        r = setup(&k);
        if (r < 0)
                log_error_errno(r, "Cannot start");
        else
                code = program_run(program);
        teardown(&k);
        return code;
}

int main(int argc, char **argv) {
        struct kingressd_flags flags = {0};
        const struct program_entry entry = {.name = "kingressd",
                        .summary = "Serves Ingresses with the haproxy of this machine.",
                        .rows = rows,
                        .row_count = ELEMENTS(rows),
                        .flags = &flags.common,
                        .run = run};

        return program_main(argc, argv, &entry);
}
