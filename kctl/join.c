/* kctl node join. Machines are joined in parallel, a process each (crew.h). The node's key is made
 * there and stays there; only its request comes here. */
#include <sys/mman.h>

#include "kctl/cluster.h"
#include "kctl/control.h"
#include "kctl/crew.h"
#include "kctl/machine.h"
#include "kctl/node-certificate.h"
#include "kctl/progress.h"
#include "kctl/template.h"
#include "kctl/texts.h"
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/timefmt.h"

#define CONTROL_PLANE_ROLE "node-role.kubernetes.io/control-plane"

enum { READY_TIMEOUT_S = 90, CLAIMS_SIZE_MAX = 1 << 20 };

struct join {
        struct kctl *k;
        struct machine *machine;
        struct facts facts;
        char *name;           /* of the node */
        bool is_new;          /* the cluster had none of that name */
        json_t *info;         /* data of kube-system/keelson-info */
        char *const *servers; /* all of the control plane; NULL: only that of info */
        char *renewed;        /* when its agent was last heard of before it was started */
        json_t *nodes;        /* list: those that there were at the start */
        int claims;           /* a file that the processes of one command share: claim_machine() */
        struct problem *problem;
};

static void say(const struct join *j, const char *what, const char *detail) {
        printf("%s: %s%s\n", j->name, what, detail);
        fflush(stdout);
}

static const char *info(const struct join *j, const char *key) {
        return strempty(json_string_value(json_object_get(j->info, key)));
}

static char *node_path(const struct join *j, const char *query) {
        return api_path(api_resource(KIND_NODES), NULL, j->name, NULL, query);
}

/* Lower case, letters, digits, '-' and '.': RFC 1123. */
static int check_name(struct join *j) {
        for (char *c = j->name; *c; c++)
                *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        size_t n = strlen(j->name);
        if (n == 0 || n > 63 || strspn(j->name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != n ||
                        strchr("-.", j->name[0]) || strchr("-.", j->name[n - 1]))
                return problem_set(j->problem, EINVAL, 0, NULL,
                                "%s: \"%s\" cannot be a node's name (letters, digits, '-' and '.', "
                                "at most 63); give --name",
                                machine_name(j->machine), j->name);
        return 0;
}

/* Whether another machine has the name already. */
static int check_free(struct join *j) {
        _cleanup_free_ char *path = node_path(j, NULL);
        _cleanup_json_ json_t *node = NULL;
        const char *key, *machine_id;
        int r = path ? api_get(j->k->client, path, &node, j->problem) : -ENOMEM;

        if (r == -ENOENT) {
                j->is_new = true;
                return 0;
        }
        if (r < 0)
                return r;
        key = object_annotation(node, "keelson.dev/ssh-host-key");
        machine_id = json_str(node, "status.nodeInfo.machineID");
        if ((key && machine_host_key(j->machine) && !streq(key, machine_host_key(j->machine))) ||
                        (!isempty(machine_id) && *j->facts.machine_id &&
                                        !streq(machine_id, j->facts.machine_id)))
                return problem_set(j->problem, EEXIST, 0, NULL,
                                "%s: another machine has joined as \"%s\" (its host key or machine "
                                "id differs); give this one --name, or remove the other: "
                                "kctl node remove %s",
                                machine_name(j->machine), j->name, j->name);
        return 0;
}

/* A machine is one node. A copy of a machine has its machine id too, and would not work either: the
 * journal and the network's names follow from it. */
static int check_other_names(struct join *j) {
        const json_t *node;
        size_t i;

        if (!*j->facts.machine_id)
                return 0;
        json_array_foreach (json_object_get(j->nodes, "items"), i, node) {
                const char *id = json_str_or(node, "status.nodeInfo.machineID", "");

                if (streq(object_name(node), j->name) || !streq(id, j->facts.machine_id))
                        continue;
                return problem_set(j->problem, EEXIST, 0, NULL,
                                "%s: it has joined already, as the node \"%s\" (same machine id); "
                                "to rename it: kctl node remove %s; if it is another machine, a "
                                "copy of that one, give it an id of its own: rm /etc/machine-id && "
                                "systemd-machine-id-setup, and restart it",
                                machine_name(j->machine), object_name(node), object_name(node));
        }
        return 0;
}

/* Two names of one machine in one command: the first to come claims it. Each claim is a line
 * "ID WHERE" of the shared file, under its lock. */
static int claim_machine(struct join *j) {
        _cleanup_free_ char *line = strformat("%s %s\n", j->facts.machine_id,
                                            machine_name(j->machine)),
                            *text = calloc(1, CLAIMS_SIZE_MAX + 1);
        char *found;
        ssize_t n;
        int r = 0;

        if (!line || !text)
                return -ENOMEM;
        if (!*j->facts.machine_id)
                return 0;
        if (lseek(j->claims, 0, SEEK_SET) < 0 || lockf(j->claims, F_LOCK, 0) < 0)
                return -errno;
        n = pread(j->claims, text, CLAIMS_SIZE_MAX, 0);
        found = n > 0 ? strstr(text, j->facts.machine_id) : NULL;
        if (found) {
                const char *other = found + strlen(j->facts.machine_id) + 1;

                r = problem_set(j->problem, EEXIST, 0, NULL,
                                "%s: it is the same machine as %.*s of this command (same machine "
                                "id); give each machine once, and copies of a machine an id of "
                                "their own (systemd-machine-id-setup)",
                                machine_name(j->machine), (int)strcspn(other, "\n"), other);
        } else if (pwrite(j->claims, line, strlen(line), MAX(n, 0)) < 0)
                r = -errno;
        (void)lseek(j->claims, 0, SEEK_SET);
        (void)lockf(j->claims, F_ULOCK, 0);
        return r;
}

static int write_node_files(struct join *j, const char *cert) {
        const struct template_value values[] = {
                        {"name", j->name},
                        {"address", j->facts.address},
                        {"server", info(j, "server")},
                        {"service-range", info(j, "service-cluster-ip-range")},
                        {"cluster-range", info(j, "cluster-cidr")},
                        {NULL, NULL},
        };
        _cleanup_free_ char *first = template_fill(text_node_kubeconfig, values),
                            *kubeconfig = NULL,
                            *config = template_fill(text_nodeagent_yaml, values);
        int added = first ? kubeconfig_with_servers(first, j->servers, &kubeconfig, j->problem)
                          : -ENOMEM;
        const struct {
                const char *path, *mode, *text;
        } files[] = {
                        {"/etc/keelson/node/cert.pem", "0600", cert},
                        {"/etc/keelson/node/ca.pem", "0644", info(j, "ca.crt")},
                        {"/etc/keelson/nodeagent.yaml", "0644", config},
                        {"/etc/keelson/node/kubeconfig", "0600", kubeconfig},
        };

        if (added < 0)
                return added;
        if (!config)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(files); i++) {
                int r = machine_put(j->machine, files[i].path, files[i].mode, files[i].text,
                                j->problem);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Lets kapid's key run one command on the machine and nothing else. The line of an earlier cluster
 * is replaced. */
static int allow_kapid(struct join *j) {
        _cleanup_free_ char *key = strndup(info(j, "ssh-key"), strcspn(info(j, "ssh-key"), "\n")),
                            *line = NULL;

        if (!key || !startswith(key, "ssh-"))
                return problem_set(j->problem, EINVAL, 0, NULL,
                                "the cluster's ConfigMap kube-system/keelson-info holds no "
                                "ssh-key; run kctl up again");
        line = strformat("restrict,command=\"/opt/keelson/bin/knodeagent ssh\" %s\n", key);
        if (!line)
                return -ENOMEM;
        return machine_run(
                        j->machine, text_allow_kapid_sh, line, strlen(line), 30, NULL, j->problem);
}

/* Keeps users who may create pods off the machine that has the cluster's keys. */
static bool tainted(const struct join *j) {
        return j->facts.has_control && j->is_new && j->k->flags.control_plane_taint;
}

/* The node is created with the taint, which is not applied later: a second join does not put back a
 * taint that was removed on purpose. */
static int make_tainted(struct join *j) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_NODES), /* ns= */ NULL,
                        /* name= */ NULL, /* subresource= */ NULL, "fieldManager=kctl");
        _cleanup_json_ json_t *node = json_pack("{s:s, s:s, s:{s:s}, s:{s:[{s:s, s:s}]}}",
                        "apiVersion", "v1", "kind", "Node", "metadata", "name", j->name, "spec",
                        "taints", "key", CONTROL_PLANE_ROLE, "effect", "NoSchedule");

        if (!path || !node)
                return -ENOMEM;
        return api_request(j->k->client, "POST", path, "application/json", node, NULL, j->problem);
}

static int make_node(struct join *j) {
        _cleanup_free_ char *path = node_path(j, "fieldManager=kctl&force=true");
        char port[16];
        _cleanup_json_ json_t *annotations = json_object(), *node = NULL;

        snprintf(port, sizeof(port), "%u", machine_port(j->machine));
        if (machine_host_key(j->machine))
                json_object_set_new(annotations, "keelson.dev/ssh-host-key",
                                json_string(machine_host_key(j->machine)));
        json_object_set_new(annotations, "keelson.dev/ssh-port", json_string(port));
        json_object_set_new(annotations, "keelson.dev/ssh-user", json_string("root"));
        node = json_pack("{s:s, s:s, s:{s:s, s:O}}", "apiVersion", "v1", "kind", "Node", "metadata",
                        "name", j->name, "annotations", annotations);
        if (node && j->facts.has_control)
                json_set_at(json_object_get(node, "metadata"), "labels",
                                json_pack("{s:s}", CONTROL_PLANE_ROLE, ""));
        if (!path || !node)
                return -ENOMEM;
        return api_patch_request(j->k->client, path, API_PATCH_APPLY, node, NULL, j->problem);
}

static int start_agent(struct join *j) {
        return machine_run(j->machine, text_start_agent_sh, /* input= */ NULL, 0, 120,
                        /* ret_stdout= */ NULL, j->problem);
}

/* Only a machine of a bundle that was built without it can lack it. */
static int check_name_server(struct join *j) {
        _cleanup_buf_ struct buf out = {0};
        int r = machine_run(j->machine,
                        "PATH=$PATH:/usr/sbin:/usr/local/sbin; test -x /opt/keelson/lib/unbound || "
                        "command -v unbound || echo missing",
                        /* input= */ NULL, 0, 30, &out, j->problem);

        if (r < 0)
                return r;
        if (streq(strempty(out.data), "missing\n"))
                say(j,
                                "unbound is missing, pods will not see the cluster's names: "
                                "install the package unbound, disable its own unbound.service "
                                "and restart keelson-nodeagent there",
                                "");
        return 0;
}

static int node_is_ready(const json_t *node, void *userdata, struct problem *p) {
        return node && object_condition_true(node, "Ready") && json_str(node, "spec.podCIDR");
}

/* The node's Lease, when its agent last reported; NULL: never. Caller frees. */
static char *last_report(struct join *j, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_LEASES), "kube-node-lease", j->name,
                        /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_json_ json_t *lease = NULL;
        const char *time;

        if (!path || api_get(j->k->client, path, &lease, p) < 0)
                return NULL;
        time = json_str(lease, "spec.renewTime");
        return time ? strdup(time) : NULL;
}

static int lease_is_new(const json_t *lease, void *userdata, struct problem *p) {
        const struct join *j = userdata;
        const char *time = lease ? json_str(lease, "spec.renewTime") : NULL;

        return time && !streq_ptr(time, j->renewed);
}

/* A node that was Ready before says so until its Lease has run out: a report from after the agent's
 * start is proof that it reaches the API. */
static int wait_report(struct join *j) {
        const struct target node = {.kind = kind_ref_of(KIND_NODES), .name = j->name},
                            lease = {.kind = kind_ref_of(KIND_LEASES),
                                            .ns = (char *)"kube-node-lease",
                                            .name = j->name};
        uint64_t timeout_us = j->k->flags.timeout_us ? j->k->flags.timeout_us
                                                     : READY_TIMEOUT_S * 1000000ull;
        int r = wait_for(j->k, &lease, timeout_us, lease_is_new, j, j->problem);

        return r < 0 ? r : wait_for(j->k, &node, timeout_us, node_is_ready, NULL, j->problem);
}

static int wait_node(struct join *j) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf log = {0};
        int status, r = wait_report(j);

        if (r != -ETIMEDOUT)
                return r;
        (void)machine_try(j->machine, "journalctl --no-pager -q -n 5 -o cat -u keelson-nodeagent",
                        /* input= */ NULL, 0, 30, &log, /* ret_stderr= */ NULL, &status, &p);
        return problem_set(j->problem, ETIMEDOUT, 0, NULL,
                        "%s: the node did not become Ready in time. The tail of its agent's log:\n%s",
                        j->name, strempty(log.data));
}

/* The machine's key is made there and the certificate for it is signed here. */
static int make_credentials(struct join *j) {
        _cleanup_free_ char *csr = NULL, *cert = NULL;
        int r;

        r = node_certificate_request(j->machine, j->name, &csr, j->problem);
        if (r < 0)
                return r;
        r = node_certificate_sign(j->k, machine_name(j->machine), j->name, csr, &cert, j->problem);
        if (r < 0)
                return r;
        return write_node_files(j, cert);
}

/* The Node object, before its agent reports. */
static int register_node(struct join *j) {
        int r;

        if (tainted(j)) {
                r = make_tainted(j);
                if (r < 0)
                        return r;
        }
        return make_node(j);
}

static int choose_name(struct join *j) {
        int r;

        j->name = !isempty(j->k->flags.name)
                                  ? strdup(j->k->flags.name)
                                  : strndup(j->facts.hostname, strcspn(j->facts.hostname, "."));
        if (!j->name)
                return -ENOMEM;
        r = check_name(j);
        if (r < 0)
                return r;
        r = claim_machine(j);
        if (r < 0)
                return r;
        r = check_other_names(j);
        if (r < 0)
                return r;
        return check_free(j);
}

static int join_machine(struct join *j, const char *where) {
        _cleanup_problem_ struct problem ignored = {0};
        int r;

        r = machine_open(&j->machine, j->k, where, NULL, j->problem);
        if (r < 0)
                return r;
        r = machine_inspect(j->machine, true, &j->facts, j->problem);
        if (r < 0)
                return r;
        r = choose_name(j);
        if (r < 0)
                return r;
        say(j, "systemd and nft found; host key ", strempty(machine_host_key(j->machine)));
        r = machine_install_bundle(j->machine, "agent", j->problem);
        if (r < 0)
                return r;
        say(j,
                        r == 0                 ? "the agent is installed already"
                        : j->k->flags.packages ? "the agent's package was installed"
                                               : "the agent was copied",
                        "");
        r = check_name_server(j);
        if (r < 0)
                return r;
        r = make_credentials(j);
        if (r < 0)
                return r;
        r = allow_kapid(j);
        if (r < 0)
                return r;
        r = register_node(j);
        if (r < 0)
                return r;
        say(j, "its key was made there, its certificate is signed", "");
        j->renewed = last_report(j, &ignored);
        r = start_agent(j);
        if (r < 0)
                return r;
        r = wait_node(j);
        if (r < 0)
                return r;
        say(j, "Ready. Undo: kctl node remove ", j->name);
        if (tainted(j))
                printf("%s: it is a machine of the control plane, so only pods that tolerate "
                       "that run there. To let others in: kctl taint node %s %s:NoSchedule-\n",
                                j->name, j->name, CONTROL_PLANE_ROLE);
        return 0;
}

/* "root@n9: root@n9: ..." reads badly. */
static bool names_machine(const char *message, const char *where, const char *name) {
        const char *rest = startswith(message, where);

        if (rest && *rest == ':')
                return true;
        rest = name ? startswith(message, name) : NULL;
        return rest && *rest == ':';
}

static json_t *read_info(struct kctl *k, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_CONFIGMAPS), "kube-system",
                        "keelson-info", /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_json_ json_t *o = NULL;
        int r = path ? api_get(k->client, path, &o, p) : -ENOMEM;

        if (r == -ENOENT)
                problem_set(p, ENOENT, 0, NULL,
                                "this cluster has no ConfigMap kube-system/keelson-info, which "
                                "`kctl up` makes; run it again");
        return r < 0 ? NULL : json_incref(json_object_get(o, "data"));
}

/* ---- many machines ---- */

struct joining {
        struct kctl *k;
        json_t *info, *nodes;
        char **servers;
        int claims;
        bool table;
        struct progress_table progress;
        struct buf errors; /* what goes below the table */
        size_t failed;
};

static int on_job(size_t i, void *userdata) {
        struct joining *g = userdata;
        _cleanup_problem_ struct problem p = {0};
        struct join j = {.k = g->k,
                        .info = g->info,
                        .nodes = g->nodes,
                        .servers = g->servers,
                        .claims = g->claims,
                        .problem = &p};
        const char *where = g->k->words[i];
        int r;

        g->k->client = NULL; /* the parent's connection is not ours */
        if (!kctl_client(g->k))
                return EXIT_ERROR;
        r = join_machine(&j, where);
        if (r < 0)
                kctl_error("%s%s%s",
                                p.message && names_machine(p.message, where, j.name) ? "" : where,
                                p.message && names_machine(p.message, where, j.name) ? "" : ": ",
                                p.message ? p.message : strerror(-r));
        machine_free(j.machine);
        facts_done(&j.facts);
        free(j.name);
        free(j.renewed);
        return r < 0 ? EXIT_ERROR : EXIT_OK;
}

static void on_start(size_t i, void *userdata) {
        struct progress_row *row = &((struct joining *)userdata)->progress.rows[i];

        row->state = PROGRESS_RUNNING;
        row->since_us = now_mono_us();
}

static void on_line(size_t i, bool is_stderr, const char *line, void *userdata) {
        struct joining *g = userdata;

        if (!g->table) {
                fprintf(is_stderr ? stderr : stdout, "%s\n", line);
                fflush(stdout);
        } else if (is_stderr)
                buf_printf(&g->errors, "%s\n", line);
        else
                progress_line(&g->progress.rows[i], line);
}

static void on_end(size_t i, int code, void *userdata) {
        struct joining *g = userdata;
        struct progress_row *row = &g->progress.rows[i];

        row->state = code == 0 ? PROGRESS_DONE : PROGRESS_FAILED;
        row->until_us = now_mono_us();
        g->failed += code != 0;
}

static void on_tick(void *userdata) {
        struct joining *g = userdata;

        if (g->table)
                progress_draw(g->k, &g->progress);
}

/* The API servers that the agents are to know. */
static int list_servers(struct kctl *k, char ***ret, struct problem *p) {
        _cleanup_controls_ struct controls controls = {0};
        int r = controls_read(k, &controls, p);

        return r < 0 ? r : controls_servers(&controls, ret);
}

/* The nodes that there are, to find a machine that has joined under another name. */
static int list_nodes(struct kctl *k, json_t **ret, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_NODES), /* ns= */ NULL,
                        /* name= */ NULL, /* subresource= */ NULL, /* query= */ NULL);

        return path ? api_get(k->client, path, ret, p) : -ENOMEM;
}

static int join_all(struct joining *g, struct problem *p) {
        const struct crew crew = {.count = strv_length(g->k->words),
                        .job = on_job,
                        .on_start = on_start,
                        .on_line = on_line,
                        .on_end = on_end,
                        .on_tick = on_tick,
                        .userdata = g};
        int r;

        g->info = read_info(g->k, p);
        if (!g->info)
                return -EIO;
        r = list_servers(g->k, &g->servers, p);
        if (r < 0)
                return r;
        r = list_nodes(g->k, &g->nodes, p);
        if (r < 0)
                return r;
        r = progress_init(&g->progress, g->k->words);
        if (r < 0)
                return r;
        g->claims = memfd_create("keelson-claims", MFD_CLOEXEC);
        if (g->claims < 0)
                return problem_set(p, errno, 0, NULL, "cannot make a file in memory: %s",
                                strerror(errno));
        g->table = crew.count > 1 && progress_possible();
        return crew_run(&crew, p);
}

int kctl_node_join(struct kctl *k) {
        struct joining g = {.k = k, .claims = -EBADF};
        _cleanup_problem_ struct problem p = {0};
        size_t n = strv_length(k->words);
        int r;

        if (n == 0)
                return kctl_usage(k, "which machine? for example: kctl node join root@10.0.0.5");
        if (k->flags.name && n > 1)
                return kctl_usage(k, "--name names one machine, and %zu were given", n);
        if (!kctl_client(k))
                return EXIT_ERROR;
        r = join_all(&g, &p);
        if (r < 0)
                kctl_fail(&p);
        fputs(strempty(g.errors.data), stderr);
        if (g.failed > 0 && n > 1)
                fprintf(stderr, "%zu of %zu machines did not join; finished steps are kept: fix the cause and run the same command again\n",
                                g.failed, n);
        buf_done(&g.errors);
        progress_done(&g.progress);
        json_decref(g.info);
        json_decref(g.nodes);
        strv_free(g.servers);
        safe_close(g.claims);
        return r < 0 || g.failed > 0 ? EXIT_ERROR : EXIT_OK;
}
