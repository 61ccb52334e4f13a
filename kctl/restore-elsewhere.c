/* A control plane from a sealed backup, on machines with other names and addresses. The first one
 * gets the backup's folder (authorities, keys, configuration), certificates of its own from the
 * restored authority, and the store as a cluster of one member; the others are added to it as to
 * any control plane. What the store says about the lost machines is removed from it: their places
 * in the list of servers, not their Node objects, which an administrator removes. At last the nodes
 * are given the new servers. A try that was interrupted is repeated by the same command: until the
 * first machine's API answers, /etc/keelson/restoring marks it. */
#include "kctl/restore.h"

#include <fcntl.h>

#include "kctl/api-address.h"
#include "kctl/cluster.h"
#include "kctl/configs.h"
#include "kctl/control.h"
#include "kctl/encryption.h"
#include "kctl/info.h"
#include "kctl/ingress.h"
#include "kctl/repoint.h"
#include "kctl/store.h"
#include "kctl/template.h"
#include "kctl/texts.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/ssh.h"

enum {
        TIMEOUT_S = 60,
        COPY_TIMEOUT_S = 3600,
        IS_CONTROL = 44, /* restore-begin.sh */
        PEER_PORT = 2380
};

struct elsewhere {
        struct kctl *k;
        const struct opened *opened;
        struct machine *machines[CONTROLS_MAX]; /* the first: m */
        struct machine *m;
        struct facts facts; /* of m */
        bool again;
        struct cluster_ranges ranges;
        uint16_t port;
        char *api, *interface, *server, *url, *config_path;
        json_t *restored;    /* what kstored says */
        struct controls old; /* the lost machines */
        struct problem *p;
};

static void elsewhere_done(struct elsewhere *x) {
        for (size_t i = 0; i < ELEMENTS(x->machines); i++)
                machine_free(x->machines[i]);
        facts_done(&x->facts);
        free(x->api);
        free(x->interface);
        free(x->server);
        free(x->url);
        free(x->config_path);
        json_decref(x->restored);
        controls_done(&x->old);
}

static void step(const struct elsewhere *x, const char *what) {
        printf("%s: %s\n", machine_name(x->m), what);
        fflush(stdout);
}

static size_t machine_count(const struct kctl *k) {
        return MAX(strv_length(k->flags.control), (size_t)1);
}

static const char *where_of(const struct kctl *k, size_t i) {
        return k->flags.control ? k->flags.control[i] : NULL;
}

static struct api_place place_of(const struct elsewhere *x) {
        return (struct api_place){.m = x->m,
                        .hostname = x->facts.hostname,
                        .address = x->facts.address,
                        .api = x->api,
                        .port = x->port};
}

int restore_is_elsewhere(struct kctl *k, const struct opened *o, struct problem *p) {
        static const char look[] = "test -e /etc/keelson/pki/ca.crt && "
                                   "test ! -e /etc/keelson/restoring";
        _cleanup_(machine_freep) struct machine *m = NULL;
        int status, r = machine_open(&m, k, where_of(k, 0), /* host_key= */ NULL, p);

        if (r < 0)
                return r;
        r = machine_try(m, look, NULL, 0, TIMEOUT_S, NULL, NULL, &status, p);
        return r < 0 ? r : status != 0;
}

/* --- before anything is changed --- */

static int look_at(struct elsewhere *x, size_t i) {
        _cleanup_facts_ struct facts facts = {0};
        int r = machine_open(&x->machines[i], x->k, where_of(x->k, i), NULL, x->p);

        if (r < 0)
                return r;
        r = machine_inspect(x->machines[i], false, &facts, x->p);
        if (r < 0)
                return r;
        if (isempty(facts.address))
                return problem_set(x->p, EINVAL, 0, NULL,
                                "%s: it has no address that nodes could reach",
                                machine_name(x->machines[i]));
        if (i > 0 && facts.has_control)
                return problem_set(x->p, EEXIST, 0, NULL,
                                "%s is a control plane already; `kctl down --control %s` removes "
                                "that with all it stores",
                                machine_name(x->machines[i]), machine_name(x->machines[i]));
        if (i > 0)
                return 0;
        x->facts = facts;
        facts = (struct facts){0};
        return 0;
}

static int look(struct elsewhere *x) {
        size_t n = machine_count(x->k);

        if (n > CONTROLS_MAX)
                return problem_set(x->p, E2BIG, 0, NULL, "a control plane has at most %d machines",
                                CONTROLS_MAX);
        for (size_t i = 0; i < n; i++) {
                int r = look_at(x, i);

                if (r < 0)
                        return r;
        }
        x->m = x->machines[0];
        x->config_path = kubeconfig_default_path(x->k->flags.kubeconfig);
        return x->config_path ? 0 : -ENOMEM;
}

/* --- the first machine's files --- */

static int begin(struct elsewhere *x) {
        _cleanup_buf_ struct buf out = {0};
        int status, r;

        r = machine_try(x->m, text_restore_begin_sh, NULL, 0, TIMEOUT_S * 2, &out, NULL, &status,
                        x->p);
        if (r < 0)
                return r;
        if (status != 0)
                return problem_set(x->p, status == IS_CONTROL ? EEXIST : EIO, 0, NULL,
                                status == IS_CONTROL ? "%s: it is a control plane already"
                                                     : "%s: /etc/keelson cannot be written",
                                machine_name(x->m));
        x->again = streq(strempty(out.data), "again\n");
        return 0;
}

/* The address of the API: the one that was asked for, else the lost one's. */
static int choose_api(struct elsewhere *x) {
        const char *asked = x->k->flags.api_address;
        _cleanup_free_ char *address = NULL;
        int r = configs_address(x->m, &address, &x->api, &x->port, x->p);

        if (r < 0)
                return r;
        if (!isempty(asked)) {
                free(x->api);
                x->api = streq(asked, API_ADDRESS_NONE) ? NULL : strdup(asked);
        }
        if (x->api)
                r = api_address_check(x->k, x->m, x->facts.address, x->api, &x->interface, x->p);
        if (r < 0) {
                problem_prefix(x->p,
                                "the lost control plane was reached at %s (--api-address none, or "
                                "another, restores it without)",
                                x->api);
                return r;
        }
        x->server = control_url(x->facts.address, x->port);
        x->url = control_url(x->api ? x->api : x->facts.address, x->port);
        return x->server && x->url ? 0 : -ENOMEM;
}

static int name_member(struct elsewhere *x) {
        _cleanup_free_ char *peer = control_url(x->facts.address, PEER_PORT), *cluster = NULL,
                            *script = NULL;

        cluster = peer ? strformat("%s=%s", x->facts.hostname, peer) : NULL;
        script = cluster ? template_fill(text_store_members_sh,
                                           (const struct template_value[]){
                                                           {"hostname", x->facts.hostname},
                                                           {"peer-url", peer},
                                                           {"initial-cluster", cluster},
                                                           {NULL, NULL}})
                         : NULL;
        return script ? machine_run(x->m, script, NULL, 0, TIMEOUT_S, NULL, x->p) : -ENOMEM;
}

/* The files are those of the machine that was backed up: they become this one's. */
static int adapt(struct elsewhere *x) {
        struct controls own = {.count = 1, .port = 0};
        int r = machine_run(x->m, text_restore_config_sh, NULL, 0, TIMEOUT_S, NULL, x->p);

        if (r < 0)
                return r;
        r = choose_api(x);
        if (r < 0)
                return r;
        r = configs_ranges(x->m, NULL, NULL, (const uint32_t[FAMILIES]){0}, &x->ranges, x->p);
        if (r < 0)
                return r;
        r = name_member(x);
        if (r < 0)
                return r;
        const struct api_place place = place_of(x);
        r = api_address_follow(&place, x->p);
        if (r < 0)
                return r;
        own.port = x->port;
        own.items[0] = (struct control){x->facts.hostname, x->facts.address, (char *)""};
        return control_spread_on(x->m, &own, x->api, x->p);
}

/* --- the store --- */

static int copy_store(struct elsewhere *x, const char *quoted) {
        _cleanup_close_ int fd = open(x->opened->path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *put = strformat("mkdir -p -m 0755 /var/lib/keelson && umask 077 && "
                                             "cat >%s",
                        quoted);
        _cleanup_buf_ struct buf err = {0};
        int status, r;

        if (fd < 0)
                return problem_set(x->p, errno, 0, NULL, "cannot open %s: %s", x->opened->path,
                                strerror(errno));
        r = put ? machine_feed(x->m, put, fd, COPY_TIMEOUT_S, &err, &status, x->p) : -ENOMEM;
        if (r < 0)
                return r;
        return status == 0 ? 0
                           : problem_set(x->p, EIO, 0, NULL, "%s: cannot copy the store there: %s",
                                             machine_name(x->m), strempty(err.data));
}

static int run_kstored(struct elsewhere *x, const char *quoted, bool is_copy) {
        _cleanup_buf_ struct buf out = {0}, err = {0};
        _cleanup_free_ char *command = strformat(
                        "mkdir -p -m 0755 /var/lib/keelson; /opt/keelson/bin/kstored "
                        "--config=/etc/keelson/kstored.yaml --restore=%s%s%s; r=$?; %s %s; exit $r",
                        quoted, x->again || x->k->flags.force ? " --force" : "",
                        x->k->flags.other_cluster ? " --other-cluster" : "",
                        is_copy ? "rm -f" : "true", quoted);
        const char *why, *rest;
        int status, r;

        if (!command)
                return -ENOMEM;
        r = machine_try(x->m, command, NULL, 0, COPY_TIMEOUT_S, &out, &err, &status, x->p);
        if (r < 0)
                return r;
        if (status == 0)
                return json_parse(strempty(out.data), out.size, 0, &x->restored, NULL);
        why = err.size ? err.data : "kstored gave no reason";
        rest = startswith(why, "kstored: ");
        return problem_set(x->p, EIO, 0, NULL, "%s: the store cannot be restored: %.*s",
                        machine_name(x->m), (int)strcspn(rest ? rest : why, "\n"),
                        rest ? rest : why);
}

static int restore_data(struct elsewhere *x) {
        bool is_copy = where_of(x->k, 0);
        _cleanup_free_ char *path = is_copy ? strformat("/var/lib/keelson/restore.%016llx",
                                                              (unsigned long long)random_u64())
                                            : strdup(x->opened->path),
                            *quoted = path ? shell_quote(path) : NULL;
        int r = 0;

        if (!quoted)
                return -ENOMEM;
        if (is_copy)
                r = copy_store(x, quoted);
        return r < 0 ? r : run_kstored(x, quoted, is_copy);
}

/* --- its API --- */

static int start(struct elsewhere *x) {
        const struct api_place place = place_of(x);
        _cleanup_free_ char *admin = NULL;
        int r = encryption_adopt(x->m, x->p); /* sealed by this machine's own key */

        if (r < 0)
                return r;
        r = configs_start(x->m, NULL, NULL, x->p);
        if (r < 0)
                return r;
        r = api_address_float(&place, x->interface, x->p);
        if (r < 0)
                return r;
        admin = machine_read(x->m, "/etc/keelson/admin.kubeconfig", x->p);
        if (!admin)
                return -EIO;
        r = kubeconfig_merge(x->config_path, admin, x->p);
        explicit_bzero(admin, strlen(admin));
        return r < 0 ? r : machine_wait_ready(x->k, x->m, x->config_path, x->p);
}

/* The lost machines' API servers are no longer the cluster's. */
static int forget_lost(struct elsewhere *x) {
        int r = controls_read(x->k, &x->old, x->p);

        for (size_t i = 0; r >= 0 && i < x->old.count; i++) {
                const struct control *c = &x->old.items[i];

                if (!streq(c->address, x->facts.address))
                        r = control_unpublish(x->k, c->address, x->p);
                if (r >= 0 && !streq(c->name, x->facts.hostname))
                        r = controls_remove(x->k, c->name, x->p);
        }
        return r;
}

static int publish(struct elsewhere *x) {
        const struct control own = {x->facts.hostname, x->facts.address,
                        (char *)strempty(where_of(x->k, 0))};
        _cleanup_free_ char *ca = machine_read(x->m, "/etc/keelson/pki/ca.crt", x->p);
        int r = ca ? forget_lost(x) : -EIO;

        if (r < 0)
                return r;
        r = controls_write(x->k, &own, x->port, x->p);
        if (r < 0)
                return r;
        r = info_publish(x->k, x->m, &x->ranges, x->url, x->api, x->p);
        if (r < 0)
                return r;
        r = kctl_install_ingress(x->k, x->m, x->url, ca, x->p);
        if (r < 0)
                return r;
        return machine_run(x->m, "rm -f /etc/keelson/restoring", NULL, 0, TIMEOUT_S, NULL, x->p);
}

static int bring_up(struct elsewhere *x) {
        static const struct {
                const char *what;
                int (*run)(struct elsewhere *x);
        } steps[] = {
                        {"certificates and configuration", adapt},
                        {"restoring the store", restore_data},
                        {"starting the units, waiting for the API", start},
                        {"the lost machines' places are taken out", publish},
        };
        int r = machine_install_bundle(x->m, "control", x->p);

        if (r < 0)
                return r;
        r = begin(x);
        if (r < 0)
                return r;
        step(x, "authorities and keys");
        r = sealing_put_keys_on(x->m, x->opened, x->p);
        for (size_t i = 0; r >= 0 && i < ELEMENTS(steps); i++) {
                step(x, steps[i].what);
                r = steps[i].run(x);
        }
        return r;
}

/* --- the others, the nodes --- */

static int add_others(struct elsewhere *x) {
        for (size_t i = 1; i < machine_count(x->k); i++) {
                int r = control_add(x->k, x->m, x->machines[i], where_of(x->k, i), x->p);

                if (r < 0) {
                        problem_prefix(x->p,
                                        "the first machine is restored; after the fault is "
                                        "corrected: kctl control add %s, then kctl node repoint "
                                        "--all",
                                        where_of(x->k, i));
                        return r;
                }
        }
        return control_spread(x->k, x->p);
}

/* Whether the node is one of the lost machines. */
static bool is_lost(const struct elsewhere *x, const struct controls *now, const json_t *node) {
        const json_t *a;
        size_t i;

        json_array_foreach (json_at(node, "status.addresses"), i, a) {
                const char *text = json_str_or(a, "address", "");

                if (controls_find(&x->old, text) && !controls_find(now, text))
                        return true;
        }
        return false;
}

static int sort_nodes(struct elsewhere *x, json_t *ret_lost, json_t *ret_nodes) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_NODES), NULL, NULL, NULL, NULL);
        _cleanup_controls_ struct controls now = {0};
        _cleanup_json_ json_t *list = NULL;
        json_t *node;
        size_t i;
        int r = path ? api_get(x->k->client, path, &list, x->p) : -ENOMEM;

        if (r < 0)
                return r;
        r = controls_read(x->k, &now, x->p);
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(list, "items"), i, node)
                if (json_array_append(is_lost(x, &now, node) ? ret_lost : ret_nodes, node) < 0)
                        return -ENOMEM;
        return 0;
}

static void print_lost(const json_t *lost) {
        const json_t *node;
        size_t i;

        if (json_array_size(lost) == 0)
                return;
        printf("Lost machines of the control plane that were nodes, too:");
        json_array_foreach (lost, i, node)
                printf(" %s", object_name(node));
        printf("\n  those that do not come back: kctl node remove --force NODE\n");
}

static int tell_nodes(struct elsewhere *x, size_t *ret_failed) {
        _cleanup_json_ json_t *info = NULL, *lost = json_array(), *nodes = json_array();
        _cleanup_strv_free_ char **servers = NULL;
        size_t n;
        int r = lost && nodes ? sort_nodes(x, lost, nodes) : -ENOMEM;

        if (r < 0)
                return r;
        r = info_read(x->k, &info, x->p);
        if (r < 0)
                return r;
        r = info_servers(x->k, &servers, x->p);
        if (r < 0)
                return r;
        n = json_array_size(nodes);
        printf("%zu node%s: each is given the new servers\n", n, n == 1 ? "" : "s");
        fflush(stdout);
        r = nodes_repoint(x->k, nodes, servers,
                        strempty(json_string_value(json_object_get(info, "ca.crt"))), ret_failed,
                        x->p);
        print_lost(lost);
        if (r >= 0 && *ret_failed > 0)
                fprintf(stderr, "%zu of %zu nodes could not be told; their pods run on. When they are reachable: kctl node repoint NODE\n",
                                *ret_failed, n);
        return r;
}

static void print_end(const struct elsewhere *x) {
        _cleanup_free_ char *text = store_info_text(x->restored);

        printf("The control plane is back: %s (kubeconfig: %s, context keelson)\n"
               "Restored: %s\nWhat was changed after %s is lost. Before a lost machine is switched "
               "on again in this network: it still\nis of the old control plane, which `kctl down "
               "--control USER@HOST` removes there\n",
                        x->url, x->config_path, strempty(text),
                        isempty(x->opened->time) ? "the backup" : x->opened->time);
        if (machine_count(x->k) == 2)
                printf("Two machines: both are needed for changes; kctl control add USER@HOST adds "
                       "a third\n");
}

static int restore_all(struct elsewhere *x, size_t *ret_failed) {
        int r = look(x);

        if (r < 0)
                return r;
        r = bring_up(x);
        if (r < 0)
                return r;
        r = add_others(x);
        return r < 0 ? r : tell_nodes(x, ret_failed);
}

int restore_elsewhere(struct kctl *k, const struct opened *o) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_(elsewhere_done) struct elsewhere x = {.k = k, .opened = o, .p = &p};
        size_t failed = 0;
        int r;

        if (k->flags.output)
                return kctl_usage(k, "-o: not where a whole control plane is restored");
        if (!isempty(k->flags.api_address) && !streq(k->flags.api_address, API_ADDRESS_NONE) &&
                        api_address_kind(k->flags.api_address, &p) < 0)
                return kctl_fail(&p);
        r = restore_all(&x, &failed);
        if (r < 0)
                return store_fail(r, &p);
        print_end(&x);
        return failed > 0 ? EXIT_ERROR : EXIT_OK;
}
