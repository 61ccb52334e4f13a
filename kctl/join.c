/* kctl node join, kctl node remove. Machines are joined in parallel, a process each: SSH blocks,
 * and a failure of one must not hold the others. The node's key is made there and stays there; only
 * its request comes here. */
#include <sys/wait.h>

#include "kctl/cluster.h"
#include "kctl/machine.h"
#include "kctl/sign-request.h"
#include "kctl/template.h"
#include "kctl/texts.h"
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/timefmt.h"

#define CONTROL_PLANE_ROLE "node-role.kubernetes.io/control-plane"

enum {
        JOIN_PARALLEL_MAX = 16,
        READY_TIMEOUT_S = 90,
        CERTIFICATE_SECONDS = 31536000
};

struct join {
        struct kctl *k;
        struct machine *machine;
        struct facts facts;
        char *name;   /* of the node */
        bool is_new;  /* the cluster had none of that name */
        json_t *info; /* data of kube-system/keelson-info */
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

static int make_request(struct join *j, char **ret_csr) {
        _cleanup_free_ char *command = strformat(
                        "mkdir -p /etc/keelson/node && chmod 0755 /etc/keelson && chmod 0700 "
                        "/etc/keelson/node && "
                        "/opt/keelson/bin/knodeagent csr --name %s --dir /etc/keelson/node",
                        j->name);
        _cleanup_buf_ struct buf out = {0};
        int r = command ? machine_run(j->machine, command, NULL, 0, 60, &out, j->problem) : -ENOMEM;

        if (r < 0)
                return r;
        *ret_csr = buf_take(&out);
        return *ret_csr ? 0 : -ENOMEM;
}

/* The request must be for this node and nothing else: an administrator's approval is at stake. */
static int check_request(struct join *j, const char *csr) {
        _cleanup_strv_free_ char **organizations = NULL;
        _cleanup_free_ char *cn = NULL, *want = strformat("system:node:%s", j->name);
        int r = pki_csr_read(csr, &cn, &organizations, j->problem);

        if (r < 0)
                return r;
        if (!want || !streq(cn, want) || strv_length(organizations) != 1 ||
                        !streq(organizations[0], "system:nodes"))
                return problem_set(j->problem, EINVAL, 0, NULL,
                                "%s: the machine asks for a certificate of \"%s\", not of a node; "
                                "is its agent from this build?",
                                machine_name(j->machine), cn);
        return 0;
}

/* Has the API sign the request; the certificate's PEM. */
static int sign(struct join *j, const char *csr, char **ret_cert) {
        _cleanup_free_ char *prefix = strformat("node-%s", j->name);

        if (!prefix)
                return -ENOMEM;
        return sign_request(j->k,
                        &(struct certificate_wish){.about = j->name,
                                        .name_prefix = prefix,
                                        .signer = "kubernetes.io/kube-apiserver-client-kubelet",
                                        .csr_pem = csr,
                                        .seconds = CERTIFICATE_SECONDS,
                                        .reason = "KctlNodeJoin",
                                        .verb = "kctl node join"},
                        ret_cert, j->problem);
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
        _cleanup_free_ char *kubeconfig = template_fill(text_node_kubeconfig, values),
                            *config = template_fill(text_nodeagent_yaml, values);
        const struct {
                const char *path, *mode, *text;
        } files[] = {
                        {"/etc/keelson/node/cert.pem", "0600", cert},
                        {"/etc/keelson/node/ca.pem", "0644", info(j, "ca.crt")},
                        {"/etc/keelson/nodeagent.yaml", "0644", config},
                        {"/etc/keelson/node/kubeconfig", "0600", kubeconfig},
        };

        if (!kubeconfig || !config)
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
        return machine_run(j->machine,
                        "install -m 0644 /opt/keelson/units/keelson-nodeagent.service "
                        "/etc/systemd/system/ && systemctl daemon-reload && "
                        "systemctl enable -q keelson-nodeagent && systemctl restart "
                        "keelson-nodeagent",
                        /* input= */ NULL, 0, 120, /* ret_stdout= */ NULL, j->problem);
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

static int wait_node(struct join *j) {
        const struct target t = {.kind = kind_ref_of(KIND_NODES), .name = j->name};
        uint64_t timeout_us = j->k->flags.timeout_us ? j->k->flags.timeout_us
                                                     : READY_TIMEOUT_S * 1000000ull;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf log = {0};
        int status, r;

        r = wait_for(j->k, &t, timeout_us, node_is_ready, NULL, j->problem);
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

        r = make_request(j, &csr);
        if (r < 0)
                return r;
        r = check_request(j, csr);
        if (r < 0)
                return r;
        r = sign(j, csr, &cert);
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
        return check_free(j);
}

static int join_machine(struct join *j, const char *where) {
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
        say(j, r > 0 ? "the agent was copied" : "the agent is installed already", "");
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

static int join_child(struct kctl *k, json_t *data, const char *where) {
        _cleanup_problem_ struct problem p = {0};
        struct join j = {.k = k, .info = data, .problem = &p};
        int r;

        k->client = NULL; /* the parent's connection is not ours */
        if (!kctl_client(k))
                return EXIT_ERROR;
        r = join_machine(&j, where);
        if (r < 0)
                kctl_error("%s: %s", where, p.message ? p.message : strerror(-r));
        machine_free(j.machine);
        facts_done(&j.facts);
        free(j.name);
        return r < 0 ? EXIT_ERROR : EXIT_OK;
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

int kctl_node_join(struct kctl *k) {
        _cleanup_json_ json_t *data = NULL;
        _cleanup_problem_ struct problem p = {0};
        size_t n = strv_length(k->words), started = 0, running = 0, failed = 0;

        if (n == 0)
                return kctl_usage(k, "which machine? for example: kctl node join root@10.0.0.5");
        if (k->flags.name && n > 1)
                return kctl_usage(k, "--name names one machine, and %zu were given", n);
        if (!kctl_client(k))
                return EXIT_ERROR;
        data = read_info(k, &p);
        if (!data)
                return kctl_fail(&p);
        fflush(NULL);
        while (started < n || running > 0) {
                int status;

                if (started < n && running < JOIN_PARALLEL_MAX) {
                        pid_t pid = fork();

                        if (pid == 0)
                                _exit(join_child(k, data, k->words[started]));
                        if (pid < 0)
                                return kctl_error("cannot start a process: %s", strerror(errno));
                        started++;
                        running++;
                        continue;
                }
                if (wait(&status) < 0)
                        return kctl_error("cannot wait for a process: %s", strerror(errno));
                running--;
                failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        }
        if (failed > 0 && n > 1)
                fprintf(stderr, "%zu of %zu machines did not join; finished steps are kept: fix the cause and run the same command again\n",
                                failed, n);
        return failed > 0 ? EXIT_ERROR : EXIT_OK;
}

/* Removes the agent and its pods from the node's machine. */
static int clean_machine(struct kctl *k, const json_t *node, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        int r = machine_open_node(&m, k, node, p);

        if (r < 0)
                return r;
        return machine_run(m, text_clean_node_sh, /* input= */ NULL, 0, 120, /* ret_stdout= */ NULL,
                        p);
}

static int remove_node(struct kctl *k, const char *name, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_NODES), /* ns= */ NULL, name,
                        /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_json_ json_t *node = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = api_get(k->client, path, &node, p);
        if (r < 0)
                return r;
        r = clean_machine(k, node, p);
        if (r < 0 && !k->flags.force) {
                problem_prefix(p,
                                "the machine cannot be cleaned (--force removes the node anyway)");
                return r;
        }
        r = api_request(k->client, "DELETE", path, /* content_type= */ NULL, /* body= */ NULL,
                        /* ret= */ NULL, p);
        if (r < 0)
                return r;
        printf("node/%s removed\n", name);
        return 0;
}

int kctl_node_remove(struct kctl *k) {
        int code = EXIT_OK;

        if (!k->words)
                return kctl_usage(k, "which node? kctl get nodes lists them");
        if (!kctl_client(k))
                return EXIT_ERROR;
        for (char **name = k->words; *name; name++) {
                _cleanup_problem_ struct problem p = {0};

                if (remove_node(k, *name, &p) < 0)
                        code = kctl_fail(&p);
        }
        return code;
}
