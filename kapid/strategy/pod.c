/* Pods: defaults that depend on other fields, cross-field validation, and what an update may
 * change. keelson's own rule: image may be absent (the host's root). */
#include "kapid/schema/format.h"
#include "kapid/strategy/pod-context.h"
#include "kapid/strategy/pod-env.h"
#include "kapid/strategy/pod-ephemeral.h"
#include "kapid/strategy/pod-fields.h"
#include "kapid/strategy/pod-os.h"
#include "kapid/strategy/pod-placement.h"
#include "kapid/strategy/pod-resources.h"
#include "kapid/strategy/pod-volumes.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"
#include "lib/pod-amounts.h"
#include "lib/quantity.h"

static const char *const container_lists[] = {"initContainers", "containers"};
/* Names are unique over all of these. */
static const char *const all_lists[] = {"initContainers", "containers", "ephemeralContainers"};
enum { LIST_INIT, LIST_MAIN, LIST_EPHEMERAL }; /* places in both */

static int default_container(json_t *container, bool host_network) {
        json_t *resources = json_object_get(container, "resources");
        json_t *limits = json_object_get(resources, "limits"), *v, *port;
        const char *key;
        size_t i;

        json_object_foreach (limits, key, v) {
                json_t *requests = json_object_get(resources, "requests");

                if (!requests && (json_object_set_new(resources, "requests", json_object()) < 0 ||
                                                 !(requests = json_object_get(
                                                                   resources, "requests"))))
                        return -ENOMEM;
                if (!json_object_get(requests, key) && json_object_set(requests, key, v) < 0)
                        return -ENOMEM;
        }
        if (host_network)
                json_array_foreach (json_object_get(container, "ports"), i, port) {
                        v = json_object_get(port, "containerPort");
                        if (json_int_or(port, "hostPort", 0) == 0 && v &&
                                        json_object_set(port, "hostPort", v) < 0)
                                return -ENOMEM;
                }
        return 0;
}

int strategy_default_pod_spec(json_t *spec) {
        bool host_network = json_bool_or(spec, "hostNetwork", false);
        json_t *container;

        for (size_t l = 0; l < ELEMENTS(container_lists); l++) {
                size_t i;

                json_array_foreach (json_object_get(spec, container_lists[l]), i, container) {
                        int r = default_container(container, host_network);

                        if (r < 0)
                                return r;
                }
        }
        return pod_resources_default(spec);
}

static int pod_defaults(json_t *pod) {
        json_t *spec = json_object_get(pod, "spec");

        return spec ? strategy_default_pod_spec(spec) : 0;
}

/* Every pod stands a lost node for five minutes unless it says otherwise. */
static int add_toleration(json_t *spec, const char *key) {
        json_t *list = json_object_get(spec, "tolerations"), *t;
        size_t i;

        json_array_foreach (list, i, t) {
                const char *k = json_str_or(t, "key", ""), *effect = json_str_or(t, "effect", "");

                if ((streq(k, key) || !*k) && (!*effect || streq(effect, "NoExecute")))
                        return 0;
        }
        if (!list) {
                list = json_array();
                if (!list || json_object_set_new(spec, "tolerations", list) < 0)
                        return -ENOMEM;
        }
        return json_array_append_new(list,
                               json_pack("{s:s, s:s, s:s, s:i}", "key", key, "operator", "Exists",
                                               "effect", "NoExecute", "tolerationSeconds", 300)) < 0
                               ? -ENOMEM
                               : 0;
}

static int add_tolerations(json_t *spec) {
        int r = add_toleration(spec, "node.kubernetes.io/not-ready");

        return r < 0 ? r : add_toleration(spec, "node.kubernetes.io/unreachable");
}

/* The account under both of its names. */
static int set_account(json_t *spec, const char *fallback) {
        const char *account = json_str_or(spec, "serviceAccountName", "");
        _cleanup_free_ char *name = NULL;
        int r;

        if (!*account)
                account = json_str_or(spec, "serviceAccount", "");
        name = strdup(*account ? account : fallback);
        if (!name)
                return -ENOMEM;
        if (!*name)
                return 0;
        r = json_set_str(spec, "serviceAccountName", name);
        return r < 0 ? r : json_set_str(spec, "serviceAccount", name);
}

static int pod_prepare_create(json_t *pod, const struct pipeline_context *c) {
        json_t *spec = json_object_get(pod, "spec");
        int r;

        if (!json_is_object(spec))
                return 0; /* validation says so */
        if ((r = set_account(spec, "default")) < 0 || (r = add_tolerations(spec)) < 0 ||
                        (r = json_set_str(pod, "status.phase", "Pending")) < 0)
                return r;
        return json_set_str(pod, "status.qosClass", pod_qos_class(spec));
}

/* It is added to the requests of the containers: a negative one would hide them. */
static void validate_overhead(struct findings *f, const json_t *spec) {
        const char *key;
        json_t *v;

        json_object_each (json_object_get(spec, "overhead"), key, v) {
                _cleanup_free_ char *path = strformat("overhead[%s]", key);
                int sign;

                f->failed |= !path;
                if (quantity_compare(v, NULL, &sign) == 0 && sign < 0)
                        finding_add(f, FINDING_INVALID, path, v,
                                        "must be greater than or equal to 0");
        }
}

/* A port given by number must be one; by name it must look like one. */
static void validate_port_ref(struct findings *f, const json_t *port) {
        if (json_is_integer(port) &&
                        (json_integer_value(port) < 1 || json_integer_value(port) > 65535))
                finding_add(f, FINDING_INVALID, "port", port,
                                "must be between 1 and 65535, inclusive");
        else if (json_is_string(port) && format_check(FORMAT_PORT_NAME, json_string_value(port)))
                finding_add(f, FINDING_INVALID, "port", port, "%s",
                                format_check(FORMAT_PORT_NAME, json_string_value(port)));
}

static void validate_headers(struct findings *f, const json_t *handler) {
        const json_t *header;
        size_t i;

        json_array_foreach (json_at(handler, "httpGet.httpHeaders"), i, header) {
                const char *name = json_str_or(header, "name", "");

                if (!*name || name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
                                               "XYZ0123456789-")])
                        finding_add(f, FINDING_INVALID, "httpGet.httpHeaders",
                                        json_object_get(header, "name"),
                                        "a valid HTTP header must consist of alphanumeric "
                                        "characters or '-' (e.g. 'X-Header-Name', regex used for "
                                        "validation is '[-A-Za-z0-9]+')");
        }
}

static void validate_handler(struct findings *f, const json_t *handler, bool sleep_allowed) {
        static const char *const actions[] = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"};
        size_t n = 0, at;

        for (size_t i = 0; i < ELEMENTS(actions) - !sleep_allowed; i++)
                n += json_object_get(handler, actions[i]) != NULL;
        if (n == 0)
                finding_add(f, FINDING_REQUIRED, NULL, NULL, "must specify a handler type");
        if (n > 1)
                finding_add(f, FINDING_FORBIDDEN, NULL, NULL,
                                "may not specify more than 1 handler type");
        validate_headers(f, handler);
        for (size_t i = 1; i <= 2; i++)
                if (json_object_get(handler, actions[i])) {
                        at = findings_push(f, actions[i]);
                        validate_port_ref(f, json_object_get(json_object_get(handler, actions[i]),
                                                             "port"));
                        findings_pop(f, at);
                }
        if (json_object_get(handler, "exec") &&
                        json_array_size(json_at(handler, "exec.command")) == 0)
                finding_add(f, FINDING_REQUIRED, "exec.command", NULL, NULL);
}

static void validate_probes(struct findings *f, const json_t *container) {
        static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};
        static const char *const hooks[] = {"postStart", "preStop"};

        for (size_t i = 0; i < ELEMENTS(probes); i++) {
                const json_t *probe = json_object_get(container, probes[i]);
                size_t at;

                if (!probe)
                        continue;
                at = findings_push(f, probes[i]);
                validate_handler(f, probe, false);
                if (i != 1 && json_int_or(probe, "successThreshold", 1) != 1)
                        finding_add(f, FINDING_INVALID, "successThreshold",
                                        json_object_get(probe, "successThreshold"), "must be 1");
                findings_pop(f, at);
        }
        for (size_t i = 0; i < ELEMENTS(hooks); i++) {
                const json_t *hook = json_get(container, "lifecycle", hooks[i], NULL);
                size_t at;

                if (!hook)
                        continue;
                at = findings_push(f, "lifecycle");
                findings_push(f, hooks[i]);
                validate_handler(f, hook, true);
                findings_pop(f, at);
        }
}

/* Names are unique over the port names of a container; host ports over the pod. */
static void validate_ports(struct findings *f, const json_t *container, bool host_network) {
        const json_t *ports = json_object_get(container, "ports"), *port;
        _cleanup_json_ json_t *names = json_object();
        size_t i;

        json_array_foreach (ports, i, port) {
                const char *name = json_str_or(port, "name", "");
                size_t at = findings_push(f, "ports");

                findings_push_index(f, i);
                if (*name && json_object_get(names, name))
                        finding_add(f, FINDING_DUPLICATE, "name", json_object_get(port, "name"),
                                        NULL);
                f->failed |= json_object_set_new(names, name, json_true()) < 0;
                if (host_network && json_int_or(port, "hostPort", 0) !=
                                                    json_int_or(port, "containerPort", 0))
                        finding_add(f, FINDING_INVALID, "hostPort",
                                        json_object_get(port, "hostPort"),
                                        "must match `containerPort` when `hostNetwork` is true");
                findings_pop(f, at);
        }
}

/* A host port that a container before this one has is a mistake; seen: "address/protocol/port" ->
 * the number of the container that has it first. */
static void validate_host_ports(struct findings *f, const json_t *spec) {
        _cleanup_json_ json_t *seen = json_object();
        const json_t *container, *port, *first;
        size_t i, j;

        json_array_foreach (json_object_get(spec, "containers"), i, container)
                json_array_foreach (json_object_get(container, "ports"), j, port) {
                        _cleanup_free_ char *path = NULL, *key = NULL;

                        if (json_int_or(port, "hostPort", 0) <= 0)
                                continue;
                        path = strformat("containers[%zu].ports[%zu].hostPort", i, j);
                        key = strformat("%s/%s/%lld", json_str_or(port, "hostIP", ""),
                                        json_str_or(port, "protocol", "TCP"),
                                        (long long)json_int_or(port, "hostPort", 0));
                        if (!path || !key) {
                                f->failed = true;
                                return;
                        }
                        first = json_object_get(seen, key);
                        if (!first)
                                f->failed |= json_object_set_new(seen, key,
                                                             json_integer((json_int_t)i)) < 0;
                        else if ((size_t)json_integer_value(first) < i)
                                finding_add(f, FINDING_DUPLICATE, path,
                                                json_object_get(port, "hostPort"), NULL);
                }
}

static void validate_restart_rule(struct findings *f, const json_t *rule) {
        const json_t *codes = json_object_get(rule, "exitCodes");

        if (!codes)
                finding_add(f, FINDING_REQUIRED, "exitCodes", NULL, "must be specified");
        else if (!*json_str_or(codes, "operator", ""))
                finding_add(f, FINDING_REQUIRED, "exitCodes.operator", NULL, "must be specified");
        else if (json_array_size(json_object_get(codes, "values")) == 0)
                finding_add(f, FINDING_REQUIRED, "exitCodes.values", NULL,
                                "must specify at least one exit code");
}

/* Probes and hooks are for what runs beside others: not for init containers but sidecars. */
static void validate_place(struct findings *f, const json_t *container, size_t list) {
        static const char *const fields[] = {
                        "lifecycle", "livenessProbe", "readinessProbe", "startupProbe"};
        const json_t *policy = json_object_get(container, "restartPolicy");
        bool plain_init = list == LIST_INIT &&
                          !streq(strempty(json_string_value(policy)), "Always");

        if (json_object_get(container, "restartPolicyRules") && !policy)
                finding_add(f, FINDING_REQUIRED, "restartPolicy", NULL,
                                "must specify restartPolicy when restart rules are used");
        findings_each(f, container, "restartPolicyRules", validate_restart_rule);
        for (size_t i = 0; plain_init && i < ELEMENTS(fields); i++)
                if (json_object_get(container, fields[i]))
                        finding_add(f, FINDING_FORBIDDEN, fields[i], NULL,
                                        "may not be set for init containers without "
                                        "restartPolicy=Always");
}

static void validate_image(struct findings *f, const json_t *container) {
        const json_t *image = json_object_get(container, "image");
        const char *text = strempty(json_string_value(image));
        size_t n = strlen(text);

        if (n > 0 && (strchr(" \t\r\n", text[0]) || strchr(" \t\r\n", text[n - 1])))
                finding_add(f, FINDING_INVALID, "image", image,
                                "must not have leading or trailing whitespace");
}

/* names: the containers of the lists before this one, which are added to them. */
static void validate_containers(struct findings *f, const json_t *spec, const json_t *volumes,
                json_t *names, size_t list) {
        bool host_network = json_bool_or(spec, "hostNetwork", false);
        const json_t *container;
        size_t i;

        json_array_foreach (json_object_get(spec, all_lists[list]), i, container) {
                size_t at = findings_push(f, all_lists[list]);

                findings_push_index(f, i);
                /* Inside one list the schema finds twins; here only across the lists. */
                if (json_object_get(names, json_str_or(container, "name", "")))
                        finding_add(f, FINDING_DUPLICATE, "name",
                                        json_object_get(container, "name"), NULL);
                validate_ports(f, container, host_network);
                validate_image(f, container);
                pod_mounts_validate(f, volumes, container);
                pod_env_validate(f, container);
                pod_resources_validate_container(f, container);
                pod_context_validate_container(f, container);
                validate_probes(f, container);
                if (list == LIST_EPHEMERAL)
                        pod_ephemeral_validate(f, names, container);
                else
                        validate_place(f, container, list);
                findings_pop(f, at);
        }
        json_array_foreach (json_object_get(spec, all_lists[list]), i, container)
                (void)strategy_was_seen(f, names, json_str_or(container, "name", ""));
}

void strategy_validate_pod_spec(struct findings *f, const json_t *spec) {
        _cleanup_json_ json_t *volumes = json_by_name(json_object_get(spec, "volumes")),
                              *names = json_object();

        f->failed |= !volumes;
        for (size_t l = 0; l < ELEMENTS(all_lists); l++)
                validate_containers(f, spec, volumes, names, l);
        pod_resources_validate(f, spec);
        validate_overhead(f, spec);
        validate_host_ports(f, spec);
        pod_volumes_validate(f, spec);
        pod_context_validate(f, spec);
        pod_placement_validate(f, spec);
        pod_fields_validate(f, spec);
        pod_os_validate(f, spec);
}

static void pod_validate(struct findings *f, const json_t *pod) {
        const json_t *spec = json_object_get(pod, "spec");
        size_t at;

        if (!spec) {
                finding_add(f, FINDING_REQUIRED, "spec", NULL, NULL);
                return;
        }
        at = findings_push(f, "spec");
        strategy_validate_pod_spec(f, spec);
        findings_pop(f, at);
}

static void pod_validate_create(struct findings *f, const json_t *pod) {
        pod_ephemeral_validate_none(f, json_object_get(pod, "spec"), "spec.ephemeralContainers",
                        "cannot be set on create");
}

/* The old and the new spec with what may change taken out must be equal. */
static json_t *without_mutable(const json_t *spec) {
        json_t *copy = json_tree_copy(spec), *container;

        json_object_del(copy, "activeDeadlineSeconds");
        json_object_del(copy, "tolerations");
        json_object_del(copy, "terminationGracePeriodSeconds");
        json_object_del(copy, "schedulingGates");
        for (size_t l = 0; l < ELEMENTS(container_lists); l++) {
                size_t i;

                json_array_foreach (json_object_get(copy, container_lists[l]), i, container)
                        json_object_del(container, "image");
        }
        return copy;
}

/* What of a toleration stays when its tolerationSeconds change. */
static char *toleration_key(const json_t *t) {
        return strformat("%s/%s", json_str_or(t, "effect", ""), json_str_or(t, "key", ""));
}

/* Notes the tolerations of a list: whole, and those with tolerationSeconds by their key. */
static int note_tolerations(const json_t *list, json_t *whole, json_t *timed) {
        const json_t *t;
        size_t i;

        json_array_foreach (list, i, t) {
                _cleanup_free_ char *text = json_dumps(t, JSON_COMPACT | JSON_SORT_KEYS),
                                    *key = toleration_key(t);

                if (!text || !key || json_object_set_new(whole, text, json_true()) < 0 ||
                                (json_object_get(t, "tolerationSeconds") &&
                                                json_object_set_new(timed, key, json_true()) < 0))
                        return -ENOMEM;
        }
        return 0;
}

/* Whether every toleration is still there. Lists may be long: what stays in its place is compared
 * with that alone, the rest is looked up. */
static bool keeps_tolerations(const json_t *old, const json_t *spec) {
        const json_t *before = json_object_get(old, "tolerations"),
                     *after = json_object_get(spec, "tolerations");
        _cleanup_json_ json_t *whole = json_object(), *timed = json_object();
        size_t n = 0;

        while (n < json_array_size(before) &&
                        json_same(json_array_get(before, n), json_array_get(after, n)))
                n++;
        if (n == json_array_size(before))
                return true;
        if (note_tolerations(after, whole, timed) < 0)
                return false;
        for (; n < json_array_size(before); n++) {
                const json_t *t = json_array_get(before, n);
                _cleanup_free_ char *text = json_dumps(t, JSON_COMPACT | JSON_SORT_KEYS),
                                    *key = toleration_key(t);

                if (!text || !key ||
                                (!json_object_get(whole, text) && !json_object_get(timed, key)))
                        return false;
        }
        return true;
}

/* A manifest written again keeps what the server added to it. */
static int keep_given(const json_t *old, json_t *pod) {
        static const char *const kept[] = {"priority", "preemptionPolicy"};
        json_t *spec = json_object_get(pod, "spec");
        int r;

        if (!json_is_object(spec))
                return 0;
        for (size_t i = 0; i < ELEMENTS(kept); i++) {
                json_t *v = json_object_get(json_object_get(old, "spec"), kept[i]);

                if (v && !json_object_get(spec, kept[i]) && json_object_set(spec, kept[i], v) < 0)
                        return -ENOMEM;
        }
        r = set_account(spec, "");
        return r < 0 ? r : add_tolerations(spec);
}

static int pod_prepare_update(const char *subresource, const json_t *old, json_t *object,
                const struct pipeline_context *c) {
        if (streq(subresource, "ephemeralcontainers"))
                return pod_ephemeral_prepare(old, object);
        if (streq(subresource, "resize"))
                return pod_resize_prepare(old, object);
        return *subresource ? 0 : keep_given(old, object);
}

static void pod_validate_update(
                struct findings *f, const char *subresource, const json_t *old, const json_t *pod) {
        const json_t *before = json_object_get(old, "spec"), *after = json_object_get(pod, "spec");
        _cleanup_json_ json_t *a = NULL, *b = NULL;

        if (streq(subresource, "resize"))
                pod_resize_validate(f, old, pod);
        if (streq(subresource, "ephemeralcontainers"))
                pod_ephemeral_validate_update(f, old, pod);
        if (*subresource)
                return; /* binding sets the node, status keeps the spec */
        a = without_mutable(before);
        b = without_mutable(after);
        if (!a || !b || !json_equal(a, b))
                finding_add(f, FINDING_FORBIDDEN, "spec", NULL,
                                "pod updates may not change fields other than "
                                "`spec.containers[*].image`,"
                                "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec."
                                "tolerations` (only additions to "
                                "existing tolerations),`spec.terminationGracePeriodSeconds` (allow "
                                "it to be set to 1 if it was "
                                "previously negative)");
        if (!keeps_tolerations(before, after))
                finding_add(f, FINDING_FORBIDDEN, "spec.tolerations", NULL,
                                "existing toleration can not be modified except its "
                                "tolerationSeconds");
        if (json_int_or(before, "terminationGracePeriodSeconds", 30) !=
                        json_int_or(after, "terminationGracePeriodSeconds", 30))
                finding_add(f, FINDING_FORBIDDEN, "spec.terminationGracePeriodSeconds", NULL,
                                "field is immutable");
}

/* A pod that no agent has, or that has ended, has nothing to wind down. */
static int64_t pod_grace_seconds(const json_t *object, int64_t requested) {
        const char *phase = json_str_or(object, "status.phase", "");
        int64_t grace;

        if (!*json_str_or(object, "spec.nodeName", "") || streq(phase, "Succeeded") ||
                        streq(phase, "Failed"))
                return 0;
        grace = requested >= 0 ? requested
                               : json_int_or(object, "spec.terminationGracePeriodSeconds", 30);
        if (grace < 0)
                grace = 1;
        if (object_is_deleting(object))
                grace = MIN(grace,
                                json_int_or(object, "metadata.deletionGracePeriodSeconds", grace));
        return grace;
}

const struct kind_strategy strategies_pod[] = {
                {.group = "",
                                .kind = "Pod",
                                .flags = STRATEGY_RETURNS_DELETED,
                                .grace_seconds = pod_grace_seconds,
                                .defaults = pod_defaults,
                                .prepare_create = pod_prepare_create,
                                .prepare_update = pod_prepare_update,
                                .validate = pod_validate,
                                .validate_create = pod_validate_create,
                                .validate_update = pod_validate_update},
                {0},
};
