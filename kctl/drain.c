/* kctl cordon, uncordon, drain. */
#include "kctl/drain.h"

#include "kctl/node-pods.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { EVICT_RETRY_US = 2000000 };

/* The nodes named, or found by -l. */
static int nodes_of(struct kctl *k, struct targets *ret, struct problem *p) {
        _cleanup_strv_free_ char **words = NULL;
        char **own = k->words;
        int r;

        if (!own && !k->flags.selector)
                return problem_set(p, EINVAL, 0, NULL,
                                "which node? Give names or -l LABELS; kctl get nodes lists them");
        if (strv_extend(&words, api_resource(KIND_NODES)->plural) < 0)
                return -ENOMEM;
        for (char **w = own; w && *w; w++) {
                const char *name = startswith(*w, "node/") ? *w + 5 : *w;

                if (strv_extend(&words, name) < 0)
                        return -ENOMEM;
        }
        k->words = words;
        r = targets_resolve(k, 0, ret, p);
        k->words = own;
        return r;
}

static int set_unschedulable(struct kctl *k, const struct target *t, bool on, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, NULL, "fieldManager=kctl");
        _cleanup_json_ json_t *patch = json_pack("{s:{s:o}}", "spec", "unschedulable",
                                              on ? json_true() : json_null()),
                              *node = NULL;
        bool already;
        int r;

        if (!path || !patch)
                return -ENOMEM;
        r = api_get(k->client, path, &node, p);
        if (r < 0)
                return r;
        already = json_bool_or(node, "spec.unschedulable", false) == on;
        if (!already) {
                r = api_patch_request(k->client, path, API_PATCH_MERGE, patch, NULL, p);
                if (r < 0)
                        return r;
        }
        printf("node/%s %s%s\n", t->name, already ? "already " : "",
                        on ? "cordoned" : "uncordoned");
        return 0;
}

static int cordon_all(struct kctl *k, bool on) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (nodes_of(k, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++)
                if (set_unschedulable(k, &t.items[i], on, &p) < 0)
                        code = kctl_fail(&p);
        return code;
}

int kctl_cordon(struct kctl *k) {
        return cordon_all(k, true);
}

int kctl_uncordon(struct kctl *k) {
        return cordon_all(k, false);
}

static bool uses_emptydir(const json_t *pod) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(pod, "spec.volumes"), i, v)
                if (json_object_get(v, "emptyDir"))
                        return true;
        return false;
}

/* 1: evict it; 0: leave it; -EPERM with p: a flag is needed. */
static int judge_pod(struct kctl *k, const json_t *pod, struct problem *p) {
        const json_t *owner = object_controller_ref(pod);
        const char *phase = json_str_or(pod, "status.phase", "");

        if (streq(json_str_or(owner, "kind", ""), "DaemonSet"))
                return k->flags.ignore_daemonsets
                                       ? 0
                                       : problem_set(p, EPERM, 0, NULL,
                                                         "pod \"%s\" belongs to a DaemonSet and "
                                                         "would come back; --ignore-daemonsets "
                                                         "leaves such pods",
                                                         object_name(pod));
        if (streq(phase, "Succeeded") || streq(phase, "Failed"))
                return 1;
        if (!owner && !k->flags.force)
                return problem_set(p, EPERM, 0, NULL,
                                "pod \"%s\" has no controller and would not come back; --force "
                                "removes it anyway",
                                object_name(pod));
        if (uses_emptydir(pod) && !k->flags.delete_emptydir_data)
                return problem_set(p, EPERM, 0, NULL,
                                "pod \"%s\" has an emptyDir whose data would be lost; "
                                "--delete-emptydir-data accepts that",
                                object_name(pod));
        return 1;
}

/* The budget that refused, in the server's words. */
static const char *why_blocked(const struct problem *p) {
        const json_t *cause;
        size_t i;

        json_array_foreach (p->causes, i, cause)
                if (streq(json_str_or(cause, "reason", ""), "DisruptionBudget"))
                        return json_str_or(cause, "message", "");
        return strempty(p->message);
}

/* One attempt. 0: it is going; 1: a budget does not allow it now, p says which. */
static int evict(struct kctl *k, const json_t *pod, struct problem *p) {
        const struct api_resource *pods = api_resource(KIND_PODS);
        bool plain = k->flags.disable_eviction;
        _cleanup_free_ char *path = api_path(pods, object_namespace(pod), object_name(pod),
                        plain ? NULL : "eviction", NULL);
        _cleanup_json_ json_t *options = json_object(), *body = NULL;
        int64_t grace;
        int r;

        if (k->flags.grace_period && parse_i64(k->flags.grace_period, &grace) == 0 && grace >= 0)
                json_object_set_new(options, "gracePeriodSeconds", json_integer(grace));
        body = plain ? json_ref(options)
                     : json_pack("{s:s, s:s, s:{s:s, s:s}, s:O}", "apiVersion", "policy/v1", "kind",
                                       "Eviction", "metadata", "name", object_name(pod),
                                       "namespace", object_namespace(pod), "deleteOptions",
                                       options);
        if (!path || !body)
                return -ENOMEM;
        r = api_request(k->client, plain ? "DELETE" : "POST", path, "application/json", body,
                        /* ret= */ NULL, p);
        if (r == 0 || r == -ENOENT)
                return 0;
        return p->code == 429 ? 1 : r;
}

/* Evicts all of them, each as soon as its budget allows it. A blocked pod does not hold up others:
 * their end may be what it waits for. */
static int evict_all(struct kctl *k, const json_t *pods, uint64_t deadline, struct problem *p) {
        _cleanup_json_ json_t *left = json_shallow_copy(pods);

        if (!left)
                return -ENOMEM;
        for (bool first = true;; first = false) {
                _cleanup_json_ json_t *blocked = json_array();
                json_t *pod;
                size_t i;

                json_array_foreach (left, i, pod) {
                        int r;

                        if (first)
                                printf("evicting pod %s/%s\n", object_namespace(pod),
                                                object_name(pod));
                        r = evict(k, pod, p);
                        if (r < 0)
                                return r;
                        if (r == 0)
                                continue;
                        if (first)
                                printf("pod/%s cannot be evicted yet: %s (trying again)\n",
                                                object_name(pod), why_blocked(p));
                        if (json_array_append(blocked, pod) < 0)
                                return -ENOMEM;
                }
                fflush(stdout);
                if (json_array_size(blocked) == 0)
                        return 0;
                if (now_mono_us() > deadline) {
                        _cleanup_free_ char *why = strdup(why_blocked(p));

                        return problem_set(p, ETIMEDOUT, 0, NULL,
                                        "%zu pods cannot be evicted in time, pod \"%s\" among "
                                        "them: %s",
                                        json_array_size(blocked),
                                        object_name(json_array_get(
                                                        blocked, json_array_size(blocked) - 1)),
                                        strempty(why));
                }
                json_decref(left);
                left = TAKE_PTR(blocked);
                usleep(EVICT_RETRY_US);
        }
}

static int is_other(const json_t *object, void *userdata, struct problem *p) {
        return !object || !streq(object_uid(object), userdata);
}

/* The pods of a node that must leave it. All or nothing: an error when one of them may not. */
static int pods_to_evict(struct kctl *k, const char *node, json_t **ret_pods, struct problem *p) {
        _cleanup_json_ json_t *list = NULL, *pods = json_array();
        json_t *pod;
        size_t i;
        int r;

        if (!pods)
                return -ENOMEM;
        r = node_pods(k, node, &list, p);
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(list, "items"), i, pod) {
                r = judge_pod(k, pod, p);
                if (r < 0)
                        return r;
                if (r > 0 && json_array_append(pods, pod) < 0)
                        return -ENOMEM;
        }
        *ret_pods = TAKE_PTR(pods);
        return 0;
}

static int drain_node(struct kctl *k, const struct target *t, struct problem *p) {
        uint64_t timeout = k->flags.timeout_us,
                 deadline = timeout ? now_mono_us() + timeout : UINT64_MAX;
        _cleanup_json_ json_t *pods = NULL;
        json_t *pod;
        size_t i;
        int r;

        r = pods_to_evict(k, t->name, &pods, p);
        if (r < 0)
                return r;
        r = evict_all(k, pods, deadline, p);
        if (r < 0)
                return r;
        json_array_foreach (pods, i, pod) {
                const struct target target = {kind_ref_of(KIND_PODS), (char *)object_namespace(pod),
                                (char *)object_name(pod)};
                uint64_t now = now_mono_us();

                r = wait_for(k, &target, timeout ? (deadline > now ? deadline - now : 1) : 0,
                                is_other, (void *)object_uid(pod), p);
                if (r < 0)
                        return r;
                printf("pod/%s evicted\n", object_name(pod));
        }
        printf("node/%s drained\n", t->name);
        return 0;
}

int node_drain(struct kctl *k, const char *name, struct problem *p) {
        const struct target t = {.kind = kind_ref_of(KIND_NODES), .name = (char *)name};
        int r = set_unschedulable(k, &t, true, p);

        return r < 0 ? r : drain_node(k, &t, p);
}

int kctl_drain(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (nodes_of(k, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++)
                if (set_unschedulable(k, &t.items[i], true, &p) < 0 ||
                                drain_node(k, &t.items[i], &p) < 0)
                        code = kctl_fail(&p);
        return code;
}
