/* A further machine of the control plane. The store's member comes first as a learner, which
 * nothing depends on, and is promoted when it has caught up; only then the machine counts. Every
 * step may be repeated: a member that was added and did not start is found by its URL.
 *
 * The machines share the authorities, the keys that sign and the configuration: they go from one to
 * the other through this process's memory, never through a file here or a command's words. A
 * machine's own certificates are signed here with the authorities of the first. */
#include "kctl/cluster.h"
#include "kctl/configs.h"
#include "kctl/control.h"
#include "kctl/encryption.h"
#include "kctl/template.h"
#include "kctl/texts.h"
#include "lib/buf.h"
#include "lib/client/kubeconfig.h"
#include "lib/json.h"
#include "lib/pki.h"
#include "lib/timefmt.h"

enum { PEER_PORT = 2380, RESTART_S = 90, READY_S = 90 };

struct addition {
        struct kctl *k;
        struct machine *from, *m;
        struct facts facts;
        struct control control;
        uint16_t port;
        char *peer_url;
        json_t *members; /* after the addition */
        struct problem *p;
};

static void addition_done(struct addition *a) {
        facts_done(&a->facts);
        free(a->control.name);
        free(a->control.address);
        free(a->control.ssh);
        free(a->peer_url);
        json_decref(a->members);
}

static void say(const struct addition *a, const char *what) {
        printf("%s: %s\n", a->control.name, what);
        fflush(stdout);
}

static void wipe(struct buf *b) {
        if (b->data)
                explicit_bzero(b->data, b->allocated);
        buf_done(b);
}
#define _cleanup_secret_ _cleanup_(wipe)

/* --- the store --- */

static const json_t *member_at(const json_t *members, const char *url) {
        const json_t *m;
        size_t i;

        json_array_foreach (json_object_get(members, "members"), i, m)
                if (streq(json_str_or(m, "peerURL", ""), url))
                        return m;
        return NULL;
}

/* The only member of a store that `kctl up` made is reached at its loopback address: it gets the
 * machine's own. The member changes its address in the cluster first, then its file, then it starts
 * again: for that moment the store is away. */
static int open_first(struct addition *a, const json_t *members) {
        const json_t *m = json_array_get(json_object_get(members, "members"), 0);
        const char *url = json_str_or(m, "peerURL", ""), *name = json_str_or(m, "name", "");
        _cleanup_controls_ struct controls c = {0};
        _cleanup_free_ char *own = NULL, *words = NULL, *cluster = NULL, *script = NULL;
        const struct control *first;
        int r;

        if (json_array_size(json_object_get(members, "members")) != 1 ||
                        !strstr(url, "//127.0.0.1:"))
                return 0;
        r = controls_read(a->k, &c, a->p);
        if (r < 0)
                return r;
        first = controls_find(&c, name);
        own = first ? control_url(first->address, PEER_PORT) : NULL;
        words = own ? strformat("update %s %s", json_str_or(m, "id", "0"), own) : NULL;
        cluster = own ? strformat("%s=%s", name, own) : NULL;
        if (!first)
                return problem_set(a->p, ENOENT, 0, NULL,
                                "the store's member is called \"%s\", and the API lists no machine "
                                "of that name; run `kctl up` again there",
                                name);
        script = cluster ? template_fill(text_store_members_sh,
                                           (const struct template_value[]){{"hostname", name},
                                                           {"peer-url", own},
                                                           {"initial-cluster", cluster},
                                                           {NULL, NULL}})
                         : NULL;
        if (!words || !script)
                return -ENOMEM;
        printf("%s: its store is opened to other members; it restarts\n", name);
        r = control_members(a->from, words, NULL, a->p);
        if (r < 0)
                return r;
        r = machine_run(a->from, script, NULL, 0, 30, NULL, a->p);
        if (r < 0)
                return r;
        r = configs_start(a->from, "kstored", NULL, a->p);
        /* A start that is under way is waited for. */
        return r < 0 ? r
                     : machine_run(a->from, "systemctl start keelson-kstored", NULL, 0, RESTART_S,
                                       NULL, a->p);
}

/* 1: it is a member already (an addition that was interrupted). */
static int add_member(struct addition *a) {
        _cleanup_json_ json_t *members = NULL;
        _cleanup_free_ char *words = strformat("add %s", a->peer_url);
        int r = control_members(a->from, "list", &members, a->p);

        if (r < 0)
                return r;
        r = open_first(a, members);
        if (r < 0)
                return r;
        if (member_at(members, a->peer_url)) {
                a->members = TAKE_PTR(members);
                return 1;
        }
        say(a, "joining the store as a learner");
        return words ? control_members(a->from, words, &a->members, a->p) : -ENOMEM;
}

/* "n1=https://...,n2=https://..."; a member that has not started has no name yet: it is ours. */
static char *initial_cluster(const struct addition *a) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *m;
        size_t i;

        json_array_foreach (json_object_get(a->members, "members"), i, m) {
                const char *url = json_str_or(m, "peerURL", ""), *name = json_str_or(m, "name", "");

                buf_printf(&b, "%s%s=%s", i > 0 ? "," : "",
                                streq(url, a->peer_url) ? a->control.name : name, url);
        }
        return buf_take(&b);
}

static int promote(struct addition *a) {
        const json_t *m = member_at(a->members, a->peer_url);
        _cleanup_free_ char *words = strformat("promote %s", json_str_or(m, "id", "0"));

        if (!json_bool_or(m, "learner", true))
                return 0;
        say(a, "waiting until it has caught up");
        return words ? control_members(a->m, words, NULL, a->p) : -ENOMEM;
}

/* --- files --- */

static int read_secret(struct machine *m, const char *name, struct buf *ret, struct problem *p) {
        _cleanup_free_ char *command = strformat("cat /etc/keelson/pki/%s", name);

        return command ? machine_run(m, command, NULL, 0, 30, ret, p) : -ENOMEM;
}

/* What signs certificates, for as long as it is needed. */
struct authorities {
        struct buf texts[4];
};

static void authorities_done(struct authorities *a) {
        for (size_t i = 0; i < ELEMENTS(a->texts); i++)
                wipe(&a->texts[i]);
}

static int authorities_read(struct machine *m, struct authorities *ret, struct problem *p) {
        static const char *const names[] = {"ca.crt", "ca.key", "store-ca.crt", "store-ca.key"};

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                int r = read_secret(m, names[i], &ret->texts[i], p);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_files(struct machine *m, const struct cluster_files *files, struct problem *p) {
        for (size_t i = 0; i < files->count; i++) {
                const struct cluster_file *f = &files->items[i];
                _cleanup_free_ char *path = strformat("/etc/keelson/pki/%s", f->name);
                int r = path ? machine_put(m, path, f->secret ? "0600" : "0644", f->text, p)
                             : -ENOMEM;

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Certificates of m's own, signed here with the authorities of `from`. */
static int write_own(struct machine *from, struct machine *m, const char *hostname,
                const char *const *addresses, struct problem *p) {
        const char *names[] = {hostname, NULL};
        _cleanup_(authorities_done) struct authorities a = {0};
        _cleanup_cluster_ struct cluster_files files = {0};
        struct cluster_ranges ranges;
        const struct cluster_spec spec = {
                        .names = names, .addresses = addresses, .ranges = &ranges};
        int r = authorities_read(from, &a, p);

        if (r < 0)
                return r;
        r = configs_ranges(from, NULL, NULL, (const uint32_t[FAMILIES]){0}, &ranges, p);
        if (r < 0)
                return r;
        r = cluster_files_make_machine(&spec, a.texts[0].data, a.texts[1].data, a.texts[2].data,
                        a.texts[3].data, &files, p);
        return r < 0 ? r : write_files(m, &files, p);
}

int control_certify(struct machine *m, const char *hostname, const char *const *addresses,
                struct problem *p) {
        _cleanup_buf_ struct buf cert = {0};
        int r = machine_run(m, "cat /etc/keelson/pki/kapid.crt", NULL, 0, 30, &cert, p);

        if (r < 0)
                return r;
        r = pki_cert_covers(strempty(cert.data), addresses[0]);
        if (r < 0)
                return problem_set(p, r, 0, NULL,
                                "%s: /etc/keelson/pki/kapid.crt is not a certificate",
                                machine_name(m));
        if (r > 0)
                return 0;
        r = write_own(m, m, hostname, addresses, p);
        return r < 0 ? r : 1;
}

static int copy_shared(struct addition *a) {
        _cleanup_secret_ struct buf shared = {0};
        _cleanup_free_ char *script = template_fill(text_further_control_sh,
                        (const struct template_value[]){
                                        {"address", a->control.address}, {NULL, NULL}});
        int r;

        if (!script)
                return -ENOMEM;
        r = machine_run(a->from, text_collect_control_sh, NULL, 0, 60, &shared, a->p);
        if (r < 0)
                return r;
        return machine_run(a->m, script, shared.data, shared.size, 60, NULL, a->p);
}

static int write_store_config(struct addition *a) {
        _cleanup_free_ char *cluster = initial_cluster(a), *script = NULL;
        const struct template_value values[] = {{"hostname", a->control.name},
                        {"peer-url", a->peer_url}, {"initial-cluster", strempty(cluster)},
                        {NULL, NULL}};

        script = cluster ? template_fill(text_store_members_sh, values) : NULL;
        return script ? machine_run(a->m, script, NULL, 0, 30, NULL, a->p) : -ENOMEM;
}

/* --- the whole --- */

static int check(struct addition *a) {
        _cleanup_controls_ struct controls c = {0};
        const struct control *same;
        int r = controls_read(a->k, &c, a->p);

        if (r < 0)
                return r;
        if (c.count >= CONTROLS_MAX)
                return problem_set(a->p, E2BIG, 0, NULL, "a control plane has at most %d machines",
                                CONTROLS_MAX);
        a->port = c.port;
        same = controls_find(&c, a->control.name);
        if (!same)
                same = controls_find(&c, a->control.address);
        if (same && (!streq(same->name, a->control.name) ||
                                    !streq(same->address, a->control.address)))
                return problem_set(a->p, EEXIST, 0, NULL,
                                "%s: its host name is %s and its address %s, and %s at %s is a "
                                "machine of the control plane; each needs its own of both",
                                machine_name(a->m), a->control.name, a->control.address, same->name,
                                same->address);
        if (a->facts.has_control && !same)
                return problem_set(a->p, EEXIST, 0, NULL,
                                "%s: it is a control plane of its own; `kctl down --control %s` "
                                "removes that with all it stores",
                                machine_name(a->m), machine_name(a->m));
        return 0;
}

static bool is_answering(struct kctl *k, const char *url) {
        struct http_result result;
        bool ready;

        (void)http_client_do(api_client_http(k->client),
                        &(struct http_call_options){.method = "GET",
                                        .path = "/readyz",
                                        .accept = "*/*",
                                        .base_url = url,
                                        .timeout_us = 2000000},
                        &result);
        ready = result.error == 0 && result.code == 200;
        http_result_done(&result);
        return ready;
}

int control_wait_ready(struct kctl *k, struct machine *m, const char *url, struct problem *p) {
        uint64_t deadline = now_mono_us() +
                            (k->flags.timeout_us ? k->flags.timeout_us : READY_S * 1000000ull);

        while (!is_answering(k, url)) {
                if (now_mono_us() > deadline)
                        return problem_set(p, ETIMEDOUT, 0, NULL,
                                        "%s: its API server at %s is not ready; `journalctl -u "
                                        "keelson-kapid -u keelson-kstored` there says why. The "
                                        "same command continues where this one ended",
                                        machine_name(m), url);
                usleep(300000);
        }
        return 0;
}

static int carry_out(struct addition *a) {
        _cleanup_free_ char *url = control_url(a->control.address, a->port);
        int r;

        if (!url)
                return -ENOMEM;
        r = machine_install_bundle(a->m, "control", a->p);
        if (r < 0)
                return r;
        say(a, r > 0 ? "the programs were copied" : "the programs are there already");
        r = add_member(a);
        if (r < 0)
                return r;
        say(a, "keys, certificates and configuration");
        r = copy_shared(a);
        if (r < 0)
                return r;
        r = encryption_copy(a->from, a->m, a->p);
        if (r < 0)
                return r;
        r = write_own(a->from, a->m, a->facts.hostname, (const char *[]){a->control.address, NULL},
                        a->p);
        if (r < 0)
                return r;
        r = write_store_config(a);
        if (r < 0)
                return r;
        say(a, "starting the units");
        r = configs_start(a->m, NULL, NULL, a->p);
        if (r < 0)
                return r;
        r = promote(a);
        if (r < 0)
                return r;
        r = control_wait_ready(a->k, a->m, url, a->p);
        if (r < 0)
                return r;
        r = controls_write(a->k, &a->control, a->port, a->p);
        if (r >= 0)
                say(a, "a machine of the control plane");
        return r;
}

int control_add(struct kctl *k, struct machine *from, struct machine *m, const char *where,
                struct problem *p) {
        _cleanup_(addition_done) struct addition a = {.k = k, .from = from, .m = m, .p = p};
        struct cluster_ranges ranges;
        int r = machine_inspect(m, false, &a.facts, p);

        if (r < 0)
                return r;
        r = configs_ranges(from, NULL, NULL, (const uint32_t[FAMILIES]){0}, &ranges, p);
        if (r < 0)
                return r;
        a.control.name = strdup(a.facts.hostname);
        a.control.address = strdup(facts_address(&a.facts, ranges_family(&ranges)));
        a.control.ssh = strdup(strempty(where));
        if (!a.control.name || !a.control.address || !a.control.ssh)
                return -ENOMEM;
        if (isempty(a.control.address))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: it has no address that the others could reach",
                                machine_name(m));
        a.peer_url = control_url(a.control.address, PEER_PORT);
        if (!a.peer_url)
                return -ENOMEM;
        r = check(&a);
        return r < 0 ? r : carry_out(&a);
}

/* --- the servers that everyone knows --- */

/* One file that names a server; its mode stays. */
static int spread_file(
                struct machine *m, const char *name, char *const *servers, struct problem *p) {
        _cleanup_free_ char *path = strformat("/etc/keelson/%s", name),
                            *command = strformat("stat -c %%a /etc/keelson/%s && cat "
                                                 "/etc/keelson/%s",
                                            name, name),
                            *text = NULL;
        _cleanup_secret_ struct buf old = {0};
        char *line, mode[8];
        int r;

        if (!path || !command)
                return -ENOMEM;
        r = machine_run(m, command, NULL, 0, 30, &old, p);
        if (r < 0)
                return r;
        line = strchr(strempty(old.data), '\n');
        if (!line || (size_t)(line - old.data) >= sizeof(mode) - 1)
                return problem_set(p, EIO, 0, NULL, "%s: cannot read %s", machine_name(m), path);
        (void)snprintf(mode, sizeof(mode), "0%.*s", (int)(line - old.data), old.data);
        r = kubeconfig_with_servers(line + 1, servers, &text, p);
        if (r < 0)
                return r;
        r = machine_put(m, path, mode, text, p);
        explicit_bzero(text, strlen(text));
        return r;
}

/* A single one needs none; a name is none for a unit (and the text goes into a script). Caller
 * frees. */
static char *addresses_text(const struct controls *c) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; c->count > 1 && i < c->count; i++) {
                const char *address = c->items[i].address;

                if (!address[strspn(address, "0123456789abcdefABCDEF:.")])
                        buf_printf(&b, "%s%s", b.size > 0 ? " " : "", address);
        }
        return buf_take(&b);
}

/* What the units of the daemons let them reach. */
static int allow_servers(struct machine *m, const struct controls *c, struct problem *p) {
        _cleanup_free_ char *addresses = addresses_text(c), *script = NULL;
        const struct template_value values[] = {{"addresses", addresses}, {NULL, NULL}};

        if (!addresses)
                return -ENOMEM;
        script = template_fill(text_allow_servers_sh, values);
        return script ? machine_run(m, script, /* input= */ NULL, 0, 60, /* ret_stdout= */ NULL, p)
                      : -ENOMEM;
}

static int spread_on(struct machine *m, const struct controls *c, char *const *servers,
                struct problem *p) {
        static const char *const files[] = {"pki/kreconciled.kubeconfig", "pki/kschedd.kubeconfig",
                        "pki/kgitd.kubeconfig", "admin.kubeconfig"};

        for (size_t i = 0; i < ELEMENTS(files); i++) {
                int r = spread_file(m, files[i], servers, p);

                if (r < 0)
                        return r;
        }
        return allow_servers(m, c, p);
}

int control_spread(struct kctl *k, struct problem *p) {
        _cleanup_free_ char *path = kubeconfig_default_path(k->flags.kubeconfig);
        _cleanup_strv_free_ char **servers = NULL;
        _cleanup_controls_ struct controls c = {0};
        int r = controls_read(k, &c, p);

        if (r < 0)
                return r;
        r = controls_servers(&c, &servers);
        if (r < 0 || !path)
                return -ENOMEM;
        for (size_t i = 0; i < c.count; i++) {
                _cleanup_(machine_freep) struct machine *m = NULL;
                _cleanup_problem_ struct problem ignored = {0};
                const struct control *x = &c.items[i];

                /* One that is away gets it from the API when it is back, or from the next change.
                 */
                if (control_open(k, x, &m, &ignored) < 0)
                        continue;
                r = spread_on(m, &c, servers, p);
                if (r < 0)
                        return r;
        }
        return kubeconfig_set_servers(path, "keelson", servers, p);
}
