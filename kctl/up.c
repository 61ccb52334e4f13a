/* kctl up, kctl down: a control plane on a machine, over SSH or here. Every step may be repeated: a
 * second `up` skips the steps that are done. */
#include "kctl/cluster.h"
#include "kctl/configs.h"
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
                        "chmod 0700 /etc/keelson/pki",
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

/* A first installation: keys, certificates and configuration. */
static int install_files(struct kctl *k, struct machine *m, const struct facts *f,
                const struct cluster_ranges *ranges, const char *address, const char *server,
                struct problem *p) {
        const char *names[] = {f->hostname, NULL}, *addresses[] = {address, NULL};
        const struct cluster_spec spec = {.names = names,
                        .addresses = addresses,
                        .server = server,
                        .port = k->flags.port,
                        .ranges = ranges,
                        .advertise_address = address,
                        .pki_dir = "/etc/keelson/pki",
                        .context = "keelson"};
        const struct config_spec config = {.hostname = f->hostname,
                        .address = address,
                        .port = k->flags.port,
                        .ranges = ranges};
        _cleanup_cluster_ struct cluster_files files = {0};
        int r;

        step(k, "Making keys and certificates");
        r = cluster_files_make(&spec, &files, p);
        if (r < 0)
                return r;
        r = make_folders(m, p);
        if (r < 0)
                return r;
        r = configs_write(m, &config, p);
        if (r < 0)
                return r;
        return write_files(m, &files, p);
}

/* An existing installation keeps its files; the differences of earlier versions are brought
 * up to date. */
static int upgrade_files(
                struct kctl *k, struct machine *m, const char *address, struct problem *p) {
        int r;

        step(k, "Keys and certificates exist already: kept");
        r = upgrade_store(k, m, address, p);
        if (r < 0)
                return r;
        return configs_refresh(m, p);
}

/* Makes the cluster known here: merges the administrator's kubeconfig into the file at config_path,
 * waits for the API and publishes the data for joins. */
static int connect_cluster(struct kctl *k, struct machine *m, const struct cluster_ranges *ranges,
                const char *server, const char *config_path, struct problem *p) {
        _cleanup_free_ char *admin = read_remote(m, "/etc/keelson/admin.kubeconfig", p), *ca = NULL,
                            *ssh_key = NULL;
        int r;

        if (!admin)
                return -EIO;
        ca = read_remote(m, "/etc/keelson/pki/ca.crt", p);
        if (!ca)
                return -EIO;
        ssh_key = read_remote(m, "/etc/keelson/pki/ssh_kapid.pub", p);
        if (!ssh_key)
                return -EIO;
        r = kubeconfig_merge(config_path, admin, p);
        if (r < 0)
                return r;
        step(k, "Waiting for the API");
        r = machine_wait_ready(k, m, config_path, p);
        if (r < 0)
                return r;
        r = publish_info(k, ranges, ca, ssh_key, server, p);
        if (r < 0)
                return r;
        return kctl_install_ingress(k, m, server, ca, p);
}

/* Those of an installation that is there stay. */
static int find_ranges(struct kctl *k, struct machine *m, const struct facts *f,
                struct cluster_ranges *ret, struct problem *p) {
        const uint32_t bits[FAMILIES] = {k->flags.mask_size, k->flags.mask_size6};

        return f->has_control ? configs_ranges(m, k->flags.cluster_range, k->flags.service_range,
                                                bits, ret, p)
                              : ranges_read(k->flags.cluster_range, k->flags.service_range, bits,
                                                ret, p);
}

static int up_on(struct kctl *k, struct machine *m, struct problem *p) {
        _cleanup_free_ char *server = NULL,
                            *config_path = kubeconfig_default_path(k->flags.kubeconfig);
        _cleanup_facts_ struct facts f = {0};
        struct cluster_ranges ranges = {0};
        const char *address;
        int r;

        r = machine_inspect(m, false, &f, p);
        if (r < 0)
                return r;
        r = find_ranges(k, m, &f, &ranges, p);
        if (r < 0)
                return r;
        address = !isempty(k->flags.advertise_address) ? k->flags.advertise_address : f.address;
        if (isempty(address))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: it has no address that nodes could reach; give "
                                "--advertise-address",
                                machine_name(m));
        server = strformat(strchr(address, ':') ? "https://[%s]:%u" : "https://%s:%u", address,
                        k->flags.port);
        if (!server || !config_path)
                return -ENOMEM;
        printf("%s: systemd %u, %s, address %s\n", machine_name(m), f.systemd, f.arch, address);
        step(k, "Copying the programs");
        r = machine_install_bundle(m, "control", p);
        if (r < 0)
                return r;
        r = f.has_control ? upgrade_files(k, m, address, p)
                          : install_files(k, m, &f, &ranges, address, server, p);
        if (r < 0)
                return r;
        step(k, "Starting the units");
        r = machine_run(m, text_start_units_sh, /* input= */ NULL, 0, 90, /* ret_stdout= */ NULL,
                        p);
        if (r < 0)
                return r;
        r = connect_cluster(k, m, &ranges, server, config_path, p);
        if (r < 0)
                return r;
        printf("The control plane is up: %s (kubeconfig: %s, context keelson)\n"
               "Next: kctl node join USER@HOST...    Undo: kctl down%s%s\n",
                        server, config_path, k->flags.control ? " --control " : "",
                        k->flags.control ? k->flags.control[0] : "");
        return 0;
}

int kctl_up(struct kctl *k) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_problem_ struct problem p = {0};
        size_t n = strv_length(k->flags.control);

        if (strv_length(k->words) > 0)
                return kctl_usage(k,
                                "up takes no argument (\"%s\"); a machine is given with --control",
                                k->words[0]);
        if (n > 1)
                return kctl_usage(k,
                                "this version sets up one control-plane machine; %zu were given",
                                n);
        if (k->flags.port == 0)
                return kctl_usage(k, "--port 0 is not possible here: nodes must know the port");
        if (machine_open(&m, k, n > 0 ? k->flags.control[0] : NULL, NULL, &p) < 0 ||
                        up_on(k, m, &p) < 0)
                return kctl_fail(&p);
        return EXIT_OK;
}

static bool confirmed(struct kctl *k, const char *question) {
        char line[16];

        if (k->flags.yes)
                return true;
        if (!isatty(STDIN_FILENO)) {
                fprintf(stderr, "error: %s; give --yes to do it without being asked\n", question);
                return false;
        }
        printf("%s? [y/N] ", question);
        fflush(stdout);
        return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

int kctl_down(struct kctl *k) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_free_ char *question = NULL,
                            *config_path = kubeconfig_default_path(k->flags.kubeconfig);
        _cleanup_problem_ struct problem p = {0};

        if (machine_open(&m, k, k->flags.control ? k->flags.control[0] : NULL, NULL, &p) < 0)
                return kctl_fail(&p);
        question = strformat(
                        "This removes the control plane of %s with all it stores", machine_name(m));
        if (!question || !confirmed(k, question))
                return EXIT_ERROR;
        if (machine_run(m, text_down_sh, /* input= */ NULL, 0, 120, /* ret_stdout= */ NULL, &p) < 0)
                return kctl_fail(&p);
        if (config_path && kubeconfig_remove(config_path, "keelson", &p) < 0)
                return kctl_fail(&p);
        printf("%s is no longer a control plane. Nodes that were joined keep their pods; to end "
               "them, run kctl node remove before kctl down.\n",
                        machine_name(m));
        return EXIT_OK;
}
