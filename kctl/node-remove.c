/* kctl node remove: the pods leave, then the agent is removed from its machine, then the node from
 * the cluster. It asks before, because pods without a controller end. */
#include "kctl/drain.h"
#include "kctl/machine.h"
#include "kctl/node-pods.h"
#include "kctl/texts.h"
#include "lib/object.h"

enum { DRAIN_TIMEOUT_US = 300 * 1000000, DRAIN_FORCED_TIMEOUT_US = 30 * 1000000 };

/* What removing a node does to its pods. */
struct pods_count {
        size_t move, end; /* with a controller that replaces them; without */
};

static int get_node(struct kctl *k, const char *name, json_t **ret, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_NODES), /* ns= */ NULL, name,
                        /* subresource= */ NULL, /* query= */ NULL);

        return path ? api_get(k->client, path, ret, p) : -ENOMEM;
}

static int count_pods(struct kctl *k, const char *name, struct pods_count *c, struct problem *p) {
        _cleanup_json_ json_t *list = NULL;
        const json_t *pod;
        size_t i;
        int r = node_pods(k, name, &list, p);

        if (r < 0)
                return r;
        json_array_foreach (json_object_get(list, "items"), i, pod) {
                const json_t *owner = object_controller_ref(pod);
                const char *phase = json_str_or(pod, "status.phase", "");

                if (streq(json_str_or(owner, "kind", ""), "DaemonSet") ||
                                streq(phase, "Succeeded") || streq(phase, "Failed"))
                        continue;
                if (owner)
                        c->move++;
                else
                        c->end++;
        }
        return 0;
}

/* All the nodes must exist before one is touched. */
static int count_all(struct kctl *k, struct pods_count *c, struct problem *p) {
        for (char **name = k->words; *name; name++) {
                _cleanup_json_ json_t *node = NULL;
                int r = get_node(k, *name, &node, p);

                if (r < 0)
                        return r;
                r = count_pods(k, *name, c, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool confirmed(struct kctl *k, const struct pods_count *c) {
        _cleanup_free_ char *names = strv_join(k->words, ", "),
                            *question = strformat("This removes %s: %zu pods move to other nodes, "
                                                  "%zu have no controller and end",
                                            strempty(names), c->move, c->end);

        return question && kctl_confirmed(k, question);
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

/* The user has agreed to what a drain otherwise asks for with flags. A node that does not answer
 * cannot end pods, so nothing is waited for. */
static int drain_first(struct kctl *k, const json_t *node, struct problem *p) {
        struct kctl_flags own = k->flags;
        int r;

        if (!object_condition_true(node, "Ready")) {
                printf("node/%s is not Ready: its pods are not drained; they are deleted with the "
                       "node\n",
                                object_name(node));
                return 0;
        }
        k->flags.ignore_daemonsets = k->flags.delete_emptydir_data = k->flags.force = true;
        if (k->flags.timeout_us == 0)
                k->flags.timeout_us = own.force ? DRAIN_FORCED_TIMEOUT_US : DRAIN_TIMEOUT_US;
        r = node_drain(k, object_name(node), p);
        k->flags = own;
        return r;
}

static int drain_or_pass(struct kctl *k, const json_t *node, struct problem *p) {
        int r = drain_first(k, node, p);

        if (r == 0)
                return 0;
        if (!k->flags.force) {
                problem_prefix(p,
                                "node/%s stays and takes no new pods (--force removes it and ends "
                                "them; kctl uncordon %s undoes this)",
                                object_name(node), object_name(node));
                return r;
        }
        fprintf(stderr, "node/%s: not all pods could be moved: %s\n", object_name(node),
                        strempty(p->message));
        return 0;
}

static int remove_node(struct kctl *k, const char *name, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_NODES), /* ns= */ NULL, name,
                        /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_json_ json_t *node = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        r = get_node(k, name, &node, p);
        if (r < 0)
                return r;
        r = drain_or_pass(k, node, p);
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
        _cleanup_problem_ struct problem all = {0};
        struct pods_count c = {0};
        int code = EXIT_OK;

        if (!k->words)
                return kctl_usage(k, "which node? kctl get nodes lists them");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (count_all(k, &c, &all) < 0)
                return kctl_fail(&all);
        if (!confirmed(k, &c))
                return EXIT_ERROR;
        for (char **name = k->words; *name; name++) {
                _cleanup_problem_ struct problem p = {0};

                if (remove_node(k, *name, &p) < 0)
                        code = kctl_fail(&p);
        }
        return code;
}
