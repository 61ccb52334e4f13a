/* Pods: defaults that depend on other fields, cross-field validation, and what an update may
 * change. keelson's own rule: image may be absent (the host's root). */
#include "kapid/schema/format.h"
#include "kapid/strategy/pod-ephemeral.h"
#include "kapid/strategy/pod-resources.h"
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

static int pod_prepare_create(json_t *pod, const struct pipeline_context *c) {
        json_t *spec = json_object_get(pod, "spec");
        const char *account = json_str(spec, "serviceAccountName");
        int r;

        if (!json_is_object(spec))
                return 0; /* validation says so */
        if (isempty(account))
                account = json_str_or(spec, "serviceAccount", "default");
        if ((r = json_set_str(spec, "serviceAccountName", *account ? account : "default")) < 0 ||
                        (r = json_set_str(spec, "serviceAccount",
                                         json_str_or(spec, "serviceAccountName", ""))) < 0 ||
                        (r = add_toleration(spec, "node.kubernetes.io/not-ready")) < 0 ||
                        (r = add_toleration(spec, "node.kubernetes.io/unreachable")) < 0 ||
                        (r = json_set_str(pod, "status.phase", "Pending")) < 0)
                return r;
        return json_set_str(pod, "status.qosClass", pod_qos_class(spec));
}

/* The names of a list as the keys of an object: a pod of thousands of entries is looked through in
 * one pass. NULL when out of memory. */
static json_t *names_of(const json_t *list) {
        json_t *names = json_object(), *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (json_object_set_new(names, json_str_or(v, "name", ""), json_true()) < 0) {
                        json_decref(names);
                        return NULL;
                }
        return names;
}

static void validate_mounts(struct findings *f, const json_t *volumes, const json_t *container) {
        const json_t *mount;
        size_t i;

        json_array_foreach (json_object_get(container, "volumeMounts"), i, mount) {
                size_t at = findings_push(f, "volumeMounts");
                const json_t *name = json_object_get(mount, "name"),
                             *path = json_object_get(mount, "mountPath");

                findings_push_index(f, i);
                if (!json_object_get(volumes, strempty(json_string_value(name))))
                        finding_add(f, FINDING_NOT_FOUND, "name", name, NULL);
                if (strchr(strempty(json_string_value(path)), ':'))
                        finding_add(f, FINDING_INVALID, "mountPath", path, "must not contain ':'");
                if (strstr(json_str_or(mount, "subPath", ""), ".."))
                        finding_add(f, FINDING_INVALID, "subPath",
                                        json_object_get(mount, "subPath"), "must not contain '..'");
                findings_pop(f, at);
        }
}

static void validate_env(struct findings *f, const json_t *container) {
        static const char *const sources[] = {
                        "fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"};
        const json_t *env;
        size_t i;

        json_array_foreach (json_object_get(container, "env"), i, env) {
                const json_t *from = json_object_get(env, "valueFrom"),
                             *name = json_object_get(env, "name");
                size_t at = findings_push(f, "env"), n = 0;

                findings_push_index(f, i);
                if (strchr(strempty(json_string_value(name)), '='))
                        finding_add(f, FINDING_INVALID, "name", name,
                                        "a valid environment variable name must not contain '='");
                for (size_t j = 0; j < ELEMENTS(sources); j++)
                        n += json_object_get(from, sources[j]) != NULL;
                if (from && n != 1)
                        finding_add(f, FINDING_INVALID, "valueFrom", from, "%s",
                                        n == 0 ? "must specify one of: `fieldRef`, "
                                                 "`resourceFieldRef`, `configMapKeyRef` or "
                                                 "`secretKeyRef`"
                                               : "may not have more than one field specified at a "
                                                 "time");
                if (from && *json_str_or(env, "value", ""))
                        finding_add(f, FINDING_INVALID, "valueFrom", from,
                                        "may not be specified when `value` is not empty");
                findings_pop(f, at);
        }
}

/* of: a container, or the pod's spec. */
static void validate_resources(struct findings *f, const json_t *of) {
        const json_t *limits = json_at(of, "resources.limits"),
                     *requests = json_at(of, "resources.requests");
        size_t at = findings_push(f, "resources");
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)requests, key, v) {
                const json_t *limit = json_object_get(limits, key);
                _cleanup_free_ char *path = strformat("requests[%s]", key);
                int sign, order;

                if (quantity_compare(v, NULL, &sign) < 0)
                        continue;
                if (sign < 0)
                        finding_add(f, FINDING_INVALID, path, v,
                                        "must be greater than or equal to 0");
                if (limit && quantity_compare(v, limit, &order) == 0 && order > 0)
                        finding_add(f, FINDING_INVALID, "requests", v,
                                        "must be less than or equal to %s limit of %s", key,
                                        strempty(json_string_value(limit)));
        }
        json_object_foreach ((json_t *)limits, key, v) {
                _cleanup_free_ char *path = strformat("limits[%s]", key);
                int sign;

                if (quantity_compare(v, NULL, &sign) == 0 && sign < 0)
                        finding_add(f, FINDING_INVALID, path, v,
                                        "must be greater than or equal to 0");
        }
        findings_pop(f, at);
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

static bool name_taken(const json_t *spec, size_t list, size_t index, const char *name) {
        for (size_t l = 0; l <= list; l++) {
                const json_t *all = json_object_get(spec, all_lists[l]);
                size_t n = l == list ? index : json_array_size(all);

                for (size_t i = 0; i < n && list != l; i++)
                        if (streq(json_str_or(json_array_get(all, i), "name", ""), name))
                                return true;
        }
        return false;
}

/* Probes and hooks are for what runs beside others; only init containers can be sidecars. */
static void validate_place(struct findings *f, const json_t *container, size_t list) {
        static const char *const fields[] = {
                        "lifecycle", "livenessProbe", "readinessProbe", "startupProbe"};
        const json_t *policy = json_object_get(container, "restartPolicy");
        bool init = list == LIST_INIT;

        if (!init && policy)
                finding_add(f, FINDING_FORBIDDEN, "restartPolicy", NULL,
                                "may not be set for non-init containers");
        for (size_t i = 0; init && !policy && i < ELEMENTS(fields); i++)
                if (json_object_get(container, fields[i]))
                        finding_add(f, FINDING_FORBIDDEN, fields[i], NULL,
                                        "may not be set for init containers without "
                                        "restartPolicy=Always");
}

static void validate_containers(
                struct findings *f, const json_t *spec, const json_t *volumes, size_t list) {
        bool host_network = json_bool_or(spec, "hostNetwork", false);
        const json_t *container;
        size_t i;

        json_array_foreach (json_object_get(spec, all_lists[list]), i, container) {
                size_t at = findings_push(f, all_lists[list]);

                findings_push_index(f, i);
                /* Inside one list the schema finds twins; here only across the lists. */
                if (name_taken(spec, list, i, json_str_or(container, "name", "")))
                        finding_add(f, FINDING_DUPLICATE, "name",
                                        json_object_get(container, "name"), NULL);
                validate_ports(f, container, host_network);
                validate_mounts(f, volumes, container);
                validate_env(f, container);
                validate_resources(f, container);
                validate_probes(f, container);
                if (list == LIST_EPHEMERAL)
                        pod_ephemeral_validate(f, spec, container);
                else
                        validate_place(f, container, list);
                findings_pop(f, at);
        }
}

static void validate_ephemeral(struct findings *f, const json_t *source, size_t index) {
        const json_t *template = json_object_get(source, "volumeClaimTemplate");
        size_t at = findings_push(f, "volumes");

        findings_push_index(f, index);
        findings_push(f, "ephemeral");
        if (!template)
                finding_add(f, FINDING_REQUIRED, "volumeClaimTemplate", NULL, NULL);
        else {
                findings_push(f, "volumeClaimTemplate");
                strategy_validate_claim_template(f, template);
        }
        findings_pop(f, at);
}

static void validate_volumes(struct findings *f, const json_t *spec) {
        const json_t *volume;
        size_t i;

        json_array_foreach (json_object_get(spec, "volumes"), i, volume) {
                size_t n = json_object_size(volume) - (json_object_get(volume, "name") != NULL);
                _cleanup_free_ char *path = strformat("volumes[%zu]", i);

                if (n == 0)
                        finding_add(f, FINDING_REQUIRED, path, NULL, "must specify a volume type");
                else if (n > 1)
                        finding_add(f, FINDING_FORBIDDEN, path, NULL,
                                        "may not specify more than 1 volume type");
                if (json_object_get(volume, "ephemeral"))
                        validate_ephemeral(f, json_object_get(volume, "ephemeral"), i);
        }
}

static void validate_tolerations(struct findings *f, const json_t *spec) {
        const json_t *t;
        size_t i;

        json_array_foreach (json_object_get(spec, "tolerations"), i, t) {
                const char *key = json_str_or(t, "key", ""),
                           *operator= json_str_or(t, "operator", "Equal");
                size_t at = findings_push(f, "tolerations");

                findings_push_index(f, i);
                if (!*key && !streq(operator, "Exists"))
                        finding_add(f, FINDING_INVALID, "operator",
                                        json_object_get(t, "operator")
                                                        ? json_object_get(t, "operator")
                                                        : json_null(),
                                        "operator must be Exists when `key` is empty, which means "
                                        "\"match all values and all keys\"");
                if (streq(operator, "Exists") && *json_str_or(t, "value", ""))
                        finding_add(f, FINDING_INVALID, "operator", json_object_get(t, "operator"),
                                        "value must be empty when `operator` is 'Exists'");
                if (*key && format_check(FORMAT_QUALIFIED_NAME, key))
                        finding_add(f, FINDING_INVALID, "key", json_object_get(t, "key"), "%s",
                                        format_check(FORMAT_QUALIFIED_NAME, key));
                if (json_object_get(t, "tolerationSeconds") &&
                                !streq(json_str_or(t, "effect", ""), "NoExecute"))
                        finding_add(f, FINDING_INVALID, "effect",
                                        json_object_get(t, "effect") ? json_object_get(t, "effect")
                                                                     : json_null(),
                                        "effect must be 'NoExecute' when `tolerationSeconds` is "
                                        "set");
                findings_pop(f, at);
        }
}

static void validate_searches(struct findings *f, const json_t *searches) {
        enum { SEARCHES_MAX = 32, SEARCH_LENGTH_MAX = 2048 };
        const json_t *v;
        size_t i, total = 0;

        json_array_foreach (searches, i, v) {
                _cleanup_free_ char *path = strformat("searches[%zu]", i),
                                    *name = strdup(strempty(json_string_value(v)));
                size_t n = name ? strlen(name) : 0;
                const char *error;

                total += n + (i > 0);
                if (n > 1 && name[n - 1] == '.')
                        name[n - 1] = 0;
                error = name ? format_check(FORMAT_DNS1123_SUBDOMAIN, name) : NULL;
                if (error && path)
                        finding_add(f, FINDING_INVALID, path, v, "%s", error);
        }
        if (json_array_size(searches) > SEARCHES_MAX)
                finding_add(f, FINDING_INVALID, "searches", searches,
                                "must not have more than %d search paths", SEARCHES_MAX);
        if (total > SEARCH_LENGTH_MAX)
                finding_add(f, FINDING_INVALID, "searches", searches,
                                "must not have more than %d characters (including spaces) in the "
                                "search list",
                                SEARCH_LENGTH_MAX);
}

static void validate_dns_config(struct findings *f, const json_t *config) {
        enum { NAMESERVERS_MAX = 3 };
        const json_t *v, *servers = json_object_get(config, "nameservers");
        size_t i;

        if (json_array_size(servers) > NAMESERVERS_MAX)
                finding_add(f, FINDING_INVALID, "nameservers", servers,
                                "must not have more than %d nameservers", NAMESERVERS_MAX);
        json_array_foreach (servers, i, v) {
                _cleanup_free_ char *path = strformat("nameservers[%zu]", i);
                const char *error = format_check(FORMAT_IP, strempty(json_string_value(v)));

                if (error && path)
                        finding_add(f, FINDING_INVALID, path, v, "%s", error);
        }
        validate_searches(f, json_object_get(config, "searches"));
        json_array_foreach (json_object_get(config, "options"), i, v) {
                _cleanup_free_ char *path = strformat("options[%zu]", i);

                if (path && !*json_str_or(v, "name", ""))
                        finding_add(f, FINDING_REQUIRED, path, NULL, "must not be empty");
        }
}

static void validate_dns(struct findings *f, const json_t *spec) {
        const json_t *config = json_object_get(spec, "dnsConfig");
        bool none = streq(json_str_or(spec, "dnsPolicy", ""), "None");
        size_t at;

        if (none && !config)
                finding_add(f, FINDING_REQUIRED, "dnsConfig", NULL,
                                "must provide `dnsConfig` when `dnsPolicy` is None");
        if (!config)
                return;
        at = findings_push(f, "dnsConfig");
        if (none && json_array_size(json_object_get(config, "nameservers")) == 0)
                finding_add(f, FINDING_REQUIRED, "nameservers", NULL,
                                "must provide at least one DNS nameserver when `dnsPolicy` is "
                                "None");
        validate_dns_config(f, config);
        findings_pop(f, at);
}

void strategy_validate_pod_spec(struct findings *f, const json_t *spec) {
        _cleanup_json_ json_t *volumes = names_of(json_object_get(spec, "volumes"));

        f->failed |= !volumes;
        for (size_t l = 0; l < ELEMENTS(all_lists); l++)
                validate_containers(f, spec, volumes, l);
        validate_resources(f, spec);
        pod_resources_validate(f, spec);
        validate_overhead(f, spec);
        validate_host_ports(f, spec);
        validate_volumes(f, spec);
        validate_tolerations(f, spec);
        validate_dns(f, spec);
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

static bool keeps_tolerations(const json_t *old, const json_t *spec) {
        const json_t *before = json_object_get(old, "tolerations"),
                     *after = json_object_get(spec, "tolerations");
        const json_t *t, *other;
        size_t i, j;

        json_array_foreach (before, i, t) {
                bool found = false;

                json_array_foreach (after, j, other)
                        found |= json_equal((json_t *)t, (json_t *)other) ||
                                 (streq(json_str_or(t, "key", ""), json_str_or(other, "key", "")) &&
                                                 streq(json_str_or(t, "effect", ""),
                                                                 json_str_or(other, "effect",
                                                                                 "")) &&
                                                 json_object_get(other, "tolerationSeconds"));
                if (!found)
                        return false;
        }
        return true;
}

static int pod_prepare_update(const char *subresource, const json_t *old, json_t *object,
                const struct pipeline_context *c) {
        if (streq(subresource, "ephemeralcontainers"))
                return pod_ephemeral_prepare(old, object);
        return streq(subresource, "resize") ? pod_resize_prepare(old, object) : 0;
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
