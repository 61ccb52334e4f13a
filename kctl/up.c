/* kctl up, kctl down: a control plane on a machine, over SSH or here. Every step may be repeated: a
 * second `up` skips the steps that are done. */
#include "kctl/cluster.h"
#include "kctl/configs.h"
#include "kctl/control.h"
#include "kctl/encryption.h"
#include "kctl/ingress.h"
#include "kctl/machine.h"
#include "kctl/texts.h"
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { UP_TIMEOUT_DEFAULT_S = 90 };
/* How often the units of a control plane that is awaited are looked at. */
#define UNITS_LOOK_US UINT64_C(2000000)

static void step(struct kctl *k, const char *what) {
        printf("%s\n", what);
        fflush(stdout);
}

static int make_folders(struct machine *m, struct problem *p) {
        return machine_run(m,
                        "mkdir -p /etc/keelson/pki && chmod 0755 /etc/keelson && "
                        "chmod 0755 /etc/keelson/pki",
                        /* input= */ NULL, 0, 30, /* ret_stdout= */ NULL, p);
}

/* ca.crt goes last: its presence marks a complete set. */
static int write_files(struct machine *m, const struct cluster_files *files, struct problem *p) {
        for (size_t i = files->count; i-- > 0;) {
                const struct cluster_file *file = &files->items[i];
                bool admin = streq(file->name, "admin.kubeconfig");
                _cleanup_free_ char *path =
                                strformat("/etc/keelson/%s%s", admin ? "" : "pki/", file->name);
                int r;

                if (!path)
                        return -ENOMEM;
                r = machine_put(m, path, file->secret ? "0600" : "0644", file->text, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Gives an installation of a version whose store trusted the cluster's CA an authority of the
 * store's own. Where an administrator set up members or clients, kctl cannot know their needs: it
 * is reported. */
static int upgrade_store(
                struct kctl *k, struct machine *m, const char *address, struct problem *p) {
        const char *addresses[] = {address, NULL};
        const struct cluster_spec spec = {.addresses = addresses};
        _cleanup_cluster_ struct cluster_files files = {0};
        enum store_state state;
        int r;

        r = configs_store_state(m, &state, p);
        if (r < 0 || state == STORE_HAS_AUTHORITY)
                return r;
        if (state == STORE_IS_ELSEWHERE) {
                step(k, "The store's members or clients were changed manually: it still trusts "
                        "the cluster's CA.\n  docs/operate-store.md describes how to give it one "
                        "of its own (\"An authority of its own\")");
                return machine_run(m,
                                "cd /etc/keelson/pki && cp ca.crt store-ca.crt.new && "
                                "mv store-ca.crt.new store-ca.crt",
                                /* input= */ NULL, 0, 30, /* ret_stdout= */ NULL, p);
        }
        step(k, "Giving the store its own certificate authority");
        r = cluster_files_make_store(&spec, &files, p);
        if (r < 0)
                return r;
        r = configs_name_store_authority(m, p);
        if (r < 0)
                return r;
        return write_files(m, &files, p);
}

/* Prints why the control plane does not start. */
static void print_trouble(struct machine *m) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf out = {0};
        int status;

        if (machine_try(m, text_units_trouble_sh, /* input= */ NULL, 0, 30, &out,
                            /* ret_stderr= */ NULL, &status, &p) == 0 &&
                        out.data)
                fprintf(stderr, "%s", out.data);
}

int machine_wait_ready(
                struct kctl *k, struct machine *m, const char *config_path, struct problem *p) {
        uint64_t timeout = k->flags.timeout_us ? k->flags.timeout_us
                                               : UP_TIMEOUT_DEFAULT_S * 1000000ull,
                 deadline = now_mono_us() + timeout, look_us = now_mono_us() + UNITS_LOOK_US;
        struct api_client_options options = {.kubeconfig = config_path, .user_agent = "kctl"};
        int r = api_client_new(&k->client, NULL, &options, p);

        if (r < 0)
                return r;
        for (;;) {
                struct http_result result;
                _cleanup_free_ char *why = NULL;
                bool ready;

                r = http_client_do(api_client_http(k->client),
                                &(struct http_call_options){.method = "GET",
                                                .path = "/readyz",
                                                .accept = "*/*",
                                                .timeout_us = 3000000},
                                &result);
                ready = r == 0 && result.code == 200;
                why = strdup(r < 0 ? strempty(result.error_text) : result.body);
                http_result_done(&result);
                if (ready)
                        return 0;
                if (now_mono_us() > look_us) {
                        r = machine_units_failing(m, p);
                        if (r < 0)
                                return r;
                        look_us = now_mono_us() + UNITS_LOOK_US;
                }
                if (now_mono_us() > deadline) {
                        print_trouble(m);
                        return problem_set(p, ETIMEDOUT, 0, NULL,
                                        "%s: the API did not become ready: %s", machine_name(m),
                                        strempty(why));
                }
                usleep(200000);
        }
}

/* Stores the data that a join needs where every administrator can read it. */
static int publish_info(struct kctl *k, const struct cluster_ranges *ranges, const char *ca,
                const char *ssh_key, const char *server, struct problem *p) {
        const struct api_resource *configmaps = api_resource(KIND_CONFIGMAPS);
        _cleanup_free_ char *path = api_path(configmaps, "kube-system", "keelson-info", NULL,
                        "fieldManager=kctl&force=true");
        _cleanup_json_ json_t *o = json_pack(
                        "{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s}}", "apiVersion", "v1",
                        "kind", "ConfigMap", "metadata", "name", "keelson-info", "namespace",
                        "kube-system", "data", "ca.crt", ca, "ssh-key", ssh_key, "server", server,
                        "service-cluster-ip-range", ranges->services_text, "cluster-cidr",
                        ranges->pods_text);
        int r = -ENOMEM;

        /* kapid makes the namespace at its first start, a moment after it is ready to answer. */
        for (int i = 0; path && o && i < 50; i++) {
                r = api_patch_request(k->client, path, API_PATCH_APPLY, o, NULL, p);
                if (r != -ENOENT)
                        break;
                usleep(100000);
        }
        return r;
}

static char *read_remote(struct machine *m, const char *path, struct problem *p) {
        _cleanup_free_ char *command = strformat("cat %s", path);
        _cleanup_buf_ struct buf out = {0};

        if (!command || machine_run(m, command, NULL, 0, 30, &out, p) < 0)
                return NULL;
        return buf_take(&out);
}

/* A machine that becomes one of the control plane, or is. */
struct up {
        struct kctl *k;
        struct machine *m;
        const char *where; /* as given; NULL: this machine */
        size_t others;     /* that are to follow it */
        struct facts facts;
        struct cluster_ranges ranges;
        char *kept; /* the address of an installation that exists; or NULL */
        char *address, *server, *config_path;
        uint16_t port;
};

static void up_done(struct up *u) {
        facts_done(&u->facts);
        free(u->kept);
        free(u->address);
        free(u->server);
        free(u->config_path);
}

/* A first installation: keys, certificates and configuration. */
static int install_files(struct up *u, struct problem *p) {
        const char *names[] = {u->facts.hostname, NULL}, *addresses[] = {u->address, NULL};
        const struct cluster_spec spec = {.names = names,
                        .addresses = addresses,
                        .server = u->server,
                        .port = u->port,
                        .ranges = &u->ranges,
                        .advertise_address = u->address,
                        .pki_dir = "/etc/keelson/pki",
                        .context = "keelson"};
        const struct config_spec config = {.hostname = u->facts.hostname,
                        .address = u->address,
                        .has_others = u->others > 0,
                        .port = u->port,
                        .ranges = &u->ranges};
        _cleanup_cluster_ struct cluster_files files = {0};
        int r;

        step(u->k, "Making keys and certificates");
        r = cluster_files_make(&spec, &files, p);
        if (r < 0)
                return r;
        r = make_folders(u->m, p);
        if (r < 0)
                return r;
        r = configs_write(u->m, &config, p);
        if (r < 0)
                return r;
        r = encryption_make(u->m, p);
        if (r < 0)
                return r;
        return write_files(u->m, &files, p);
}

/* The address that is published is one that the certificate has: nodes would refuse the server
 * otherwise. The administrator's kubeconfig there follows. */
static int follow_address(struct up *u, struct problem *p) {
        const char *addresses[] = {u->address, u->kept ? u->kept : u->address, NULL};
        _cleanup_free_ char *admin = NULL, *text = NULL;
        int r = control_certify(u->m, u->facts.hostname, addresses, p);

        if (r < 0)
                return r;
        if (r > 0)
                printf("The API's certificate did not name %s: a new one was signed\n", u->address);
        if (streq_ptr(u->kept, u->address))
                return 0;
        r = configs_set_address(u->m, u->address, p);
        if (r < 0)
                return r;
        admin = read_remote(u->m, "/etc/keelson/admin.kubeconfig", p);
        if (!admin)
                return -EIO;
        r = kubeconfig_with_server(admin, u->server, &text, p);
        return r < 0 ? r : machine_put(u->m, "/etc/keelson/admin.kubeconfig", "0600", text, p);
}

/* An existing installation keeps its files; the differences of earlier versions are brought
 * up to date. */
static int upgrade_files(struct up *u, struct problem *p) {
        int r;

        step(u->k, "Keys and certificates exist already: kept");
        r = upgrade_store(u->k, u->m, u->address, p);
        if (r < 0)
                return r;
        r = configs_refresh(u->m, p);
        if (r < 0)
                return r;
        r = encryption_adopt(u->m, p);
        if (r < 0)
                return r;
        if (r == 0)
                step(u->k, "Secrets are stored unencrypted here: `kctl encryption enable` "
                           "changes that");
        return follow_address(u, p);
}

/* Makes the cluster known here: merges the administrator's kubeconfig into the file at config_path,
 * waits for the API and publishes the data for joins. */
static int connect_cluster(struct up *u, struct problem *p) {
        _cleanup_free_ char *admin = read_remote(u->m, "/etc/keelson/admin.kubeconfig", p),
                            *ca = NULL, *ssh_key = NULL;
        struct kctl *k = u->k;
        int r;

        if (!admin)
                return -EIO;
        ca = read_remote(u->m, "/etc/keelson/pki/ca.crt", p);
        if (!ca)
                return -EIO;
        ssh_key = read_remote(u->m, "/etc/keelson/pki/ssh_kapid.pub", p);
        if (!ssh_key)
                return -EIO;
        r = kubeconfig_merge(u->config_path, admin, p);
        if (r < 0)
                return r;
        step(k, "Waiting for the API");
        r = machine_wait_ready(k, u->m, u->config_path, p);
        if (r < 0)
                return r;
        r = publish_info(k, &u->ranges, ca, ssh_key, u->server, p);
        if (r < 0)
                return r;
        r = controls_write(k,
                        &(struct control){
                                        u->facts.hostname, u->address, (char *)strempty(u->where)},
                        u->port, p);
        if (r < 0)
                return r;
        if (u->kept && !streq(u->kept, u->address)) {
                r = control_unpublish(k, u->kept, p);
                if (r < 0)
                        return r;
        }
        return kctl_install_ingress(k, u->m, u->server, ca, p);
}

/* Those of an installation that is there stay. */
static int find_ranges(struct up *u, struct problem *p) {
        const struct kctl_flags *flags = &u->k->flags;
        const uint32_t bits[FAMILIES] = {flags->mask_size, flags->mask_size6};

        return u->facts.has_control ? configs_ranges(u->m, flags->cluster_range,
                                                      flags->service_range, bits, &u->ranges, p)
                                    : ranges_read(flags->cluster_range, flags->service_range, bits,
                                                      &u->ranges, p);
}

/* Pods reach the API by Service default/kubernetes, which has the first family. An installation
 * that exists stays as it is. */
static int check_address(const struct up *u, const char *address, struct problem *p) {
        enum ip_family family = ranges_family(&u->ranges);
        struct address a = address_parse(address);

        if (u->kept || a.size == 0 || address_family(&a) == family)
                return 0;
        return problem_set(p, EINVAL, 0, NULL,
                        "%s: its address %s is of %s, and the pods' first network of %s: give "
                        "--advertise-address with one of %s, or other networks with --cluster-cidr "
                        "and --service-cluster-ip-range",
                        machine_name(u->m), address, family_name(address_family(&a)),
                        family_name(family), family_name(family));
}

/* The address that was asked for, else the one of the installation, else the machine's. */
static int find_address(struct up *u, struct problem *p) {
        const char *asked = u->k->flags.advertise_address, *address;
        uint16_t kept_port = 0;
        int r = 0;

        u->port = u->k->flags.port;
        if (u->facts.has_control)
                r = configs_address(u->m, &u->kept, &kept_port, p);
        if (r < 0)
                return r;
        if (kept_port && u->port != CONFIGS_PORT_DEFAULT && u->port != kept_port)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: its API has port %u, which stays (nodes know it); leave out "
                                "--port",
                                machine_name(u->m), kept_port);
        if (kept_port)
                u->port = kept_port;
        address = !isempty(asked) ? asked
                  : u->kept       ? u->kept
                                  : facts_address(&u->facts, ranges_family(&u->ranges));
        if (isempty(address))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: it has no address that nodes could reach; give "
                                "--advertise-address",
                                machine_name(u->m));
        r = check_address(u, address, p);
        if (r < 0)
                return r;
        u->address = strdup(address);
        u->server = control_url(address, u->port);
        u->config_path = kubeconfig_default_path(u->k->flags.kubeconfig);
        return u->address && u->server && u->config_path ? 0 : -ENOMEM;
}

static int look(struct up *u, struct problem *p) {
        int r = machine_inspect(u->m, false, &u->facts, p);

        if (r < 0)
                return r;
        r = find_ranges(u, p);
        return r < 0 ? r : find_address(u, p);
}

static int up_on(struct up *u, struct problem *p) {
        _cleanup_free_ char *started = NULL;
        int r = look(u, p);

        if (r < 0)
                return r;
        printf("%s: systemd %u, %s, address %s\n", machine_name(u->m), u->facts.systemd,
                        u->facts.arch, u->address);
        step(u->k, "Copying the programs");
        r = machine_install_bundle(u->m, "control", p);
        if (r < 0)
                return r;
        r = u->facts.has_control ? upgrade_files(u, p) : install_files(u, p);
        if (r < 0)
                return r;
        step(u->k, "Starting the units");
        r = configs_start(u->m, NULL, &started, p);
        if (r < 0 || !u->facts.has_control)
                return r;
        printf("%s: %s%s\n", machine_name(u->m), *started ? "restarted: " : "nothing to restart",
                        started);
        return 0;
}

/* One that is of the control plane already is brought up to date. */
static int up_further(struct kctl *k, struct machine *first, const char *where, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_(up_done) struct up u = {.k = k, .where = where};
        int r = machine_open(&m, k, where, NULL, p);

        if (r < 0)
                return r;
        u.m = m;
        r = machine_inspect(m, false, &u.facts, p);
        if (r < 0)
                return r;
        if (!u.facts.has_control)
                return control_add(k, first, m, where, p);
        facts_done(&u.facts);
        r = up_on(&u, p);
        return r < 0 ? r : control_wait_ready(k, m, u.server, p);
}

static int up_all(struct kctl *k, char *const *wheres, struct problem *p) {
        size_t n = strv_length(wheres);
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_(up_done) struct up u = {.k = k, .where = n > 0 ? wheres[0] : NULL};
        int r = machine_open(&m, k, u.where, NULL, p);

        if (r < 0)
                return r;
        u.m = m;
        u.others = n > 1 ? n - 1 : 0;
        r = up_on(&u, p);
        if (r < 0)
                return r;
        r = connect_cluster(&u, p);
        if (r >= 0) /* itself, not one of the others: only then may the next one restart */
                r = control_wait_ready(k, m, u.server, p);
        for (size_t i = 1; r >= 0 && i < n; i++)
                r = up_further(k, m, wheres[i], p);
        if (r < 0)
                return r;
        r = control_spread(k, p);
        if (r < 0)
                return r;
        printf("The control plane is up: %s (kubeconfig: %s, context keelson)\n"
               "Next: kctl node join USER@HOST...    Undo: kctl down",
                        u.server, u.config_path);
        for (size_t i = 0; i < n; i++)
                printf(" --control %s", wheres[i]);
        printf("\n");
        return 0;
}

int kctl_up(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        size_t n = strv_length(k->flags.control);

        if (strv_length(k->words) > 0)
                return kctl_usage(k,
                                "up takes no argument (\"%s\"); a machine is given with --control",
                                k->words[0]);
        if (n > 1 && n % 2 == 0)
                return kctl_usage(k,
                                "%zu machines tolerate no more failures than %zu: give three, five "
                                "or one",
                                n, n - 1);
        if (n > CONTROLS_MAX)
                return kctl_usage(k, "a control plane has at most %d machines", CONTROLS_MAX);
        if (n > 1 && !isempty(k->flags.advertise_address))
                return kctl_usage(k, "--advertise-address is one machine's, and %zu were given", n);
        if (k->flags.port == 0)
                return kctl_usage(k, "--port 0 is not possible here: nodes must know the port");
        return up_all(k, k->flags.control, &p) < 0 ? kctl_fail(&p) : EXIT_OK;
}

static int down_on(struct kctl *k, const char *where, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        int r = machine_open(&m, k, where, NULL, p);

        if (r < 0)
                return r;
        r = machine_run(m, text_down_sh, /* input= */ NULL, 0, 120, /* ret_stdout= */ NULL, p);
        if (r < 0)
                return r;
        printf("%s is no longer a control plane\n", machine_name(m));
        return 0;
}

int kctl_down(struct kctl *k) {
        char *here[] = {NULL, NULL}, **wheres = k->flags.control ? k->flags.control : here;
        size_t n = MAX(strv_length(k->flags.control), (size_t)1);
        _cleanup_free_ char *question = NULL,
                            *config_path = kubeconfig_default_path(k->flags.kubeconfig);
        _cleanup_problem_ struct problem p = {0};

        question = strformat("This removes the control plane of %s%s with all it stores",
                        wheres[0] ? wheres[0] : "this machine", n > 1 ? " and the others" : "");
        if (!question || !kctl_confirmed(k, question))
                return EXIT_ERROR;
        for (size_t i = 0; i < n; i++)
                if (down_on(k, wheres[i], &p) < 0)
                        return kctl_fail(&p);
        if (config_path && kubeconfig_remove(config_path, "keelson", &p) < 0)
                return kctl_fail(&p);
        printf("Nodes that were joined keep their pods; to end them, run kctl node remove before "
               "kctl down.\n");
        return EXIT_OK;
}
