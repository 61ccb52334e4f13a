/* Cells of the built-in kinds but pods that a path cannot express, by the name that a column gives
 * (x-keelson-cell). */
#include "kapid/table/cells.h"

#include "lib/buf.h"
#include "lib/object.h"
#include "lib/selector.h"
#include "lib/timefmt.h"

enum { ENDPOINTS_SHOWN = 3 };

json_t *cells_age(const char *since, uint64_t now_us) {
        char buffer[TIMEFMT_SIZE];
        uint64_t then;

        if (isempty(since) || time_parse(since, &then) < 0)
                return json_string("<unknown>");
        return json_string(age_format(now_us > then ? now_us - then : 0, buffer));
}

static json_t *or_none(const char *s) {
        return json_string(isempty(s) ? "<none>" : s);
}

static json_t *of_buf(const struct buf *b, const char *fallback) {
        return json_string(b->size > 0 ? b->data : fallback);
}

static void add(struct buf *b, const char *text) {
        if (b->size > 0)
                buf_append_char(b, ',');
        buf_append_str(b, text);
}

json_t *cells_containers(const json_t *pod_spec, const char *field) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(pod_spec, "containers"), i, c)
                add(&b, json_str_or(c, field, streq(field, "image") ? "host" : ""));
        return of_buf(&b, "<none>");
}

json_t *cells_selector(const json_t *selector) {
        _cleanup_(label_selector_freep) struct label_selector *s = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;

        if (json_is_object(selector) && label_selector_from_any(selector, &s, &p) == 0)
                text = label_selector_text(s);
        return or_none(text);
}

static json_t *template_containers(const json_t *o, uint64_t now_us) {
        return cells_containers(json_at(o, "spec.template.spec"), "name");
}

static json_t *template_images(const json_t *o, uint64_t now_us) {
        return cells_containers(json_at(o, "spec.template.spec"), "image");
}

static json_t *workload_selector(const json_t *o, uint64_t now_us) {
        return cells_selector(json_at(o, "spec.selector"));
}

static json_t *workload_ready(const json_t *o, uint64_t now_us) {
        return json_sprintf("%lld/%lld", (long long)json_int_or(o, "status.readyReplicas", 0),
                        (long long)json_int_or(o, "spec.replicas", 0));
}

static const char *job_state(const json_t *o) {
        if (object_condition_true(o, "Complete"))
                return "Complete";
        if (object_condition_true(o, "Failed"))
                return "Failed";
        if (object_is_deleting(o))
                return "Terminating";
        if (object_condition_true(o, "Suspended"))
                return "Suspended";
        if (object_condition_true(o, "FailureTarget"))
                return "FailureTarget";
        if (object_condition_true(o, "SuccessCriteriaMet"))
                return "SuccessCriteriaMet";
        return "Running";
}

static json_t *job_status(const json_t *o, uint64_t now_us) {
        return json_string(job_state(o));
}

static json_t *job_completions(const json_t *o, uint64_t now_us) {
        long long done = (long long)json_int_or(o, "status.succeeded", 0),
                  parallel = (long long)json_int_or(o, "spec.parallelism", 1);

        if (json_at(o, "spec.completions"))
                return json_sprintf("%lld/%lld", done,
                                (long long)json_int_or(o, "spec.completions", 0));
        return parallel > 1 ? json_sprintf("%lld/1 of %lld", done, parallel)
                            : json_sprintf("%lld/1", done);
}

static json_t *job_duration(const json_t *o, uint64_t now_us) {
        const char *started = json_str(o, "status.startTime"),
                   *completed = json_str(o, "status.completionTime");
        char buffer[TIMEFMT_SIZE];
        uint64_t start, end = now_us;

        if (!started || time_parse(started, &start) < 0)
                return json_string("");
        if (completed)
                (void)time_parse(completed, &end);
        return json_string(age_format(end > start ? end - start : 0, buffer));
}

static json_t *service_addresses(const json_t *o, uint64_t now_us) {
        const json_t *ingress = json_at(o, "status.loadBalancer.ingress"), *item;
        const char *type = json_str_or(o, "spec.type", "ClusterIP");
        _cleanup_buf_ struct buf b = {0};
        size_t i;

        if (streq(type, "ExternalName"))
                return json_string(json_str_or(o, "spec.externalName", ""));
        json_array_foreach (ingress, i, item)
                add(&b, json_str_or(item, "ip", json_str_or(item, "hostname", "")));
        json_array_foreach (json_at(o, "spec.externalIPs"), i, item)
                add(&b, strempty(json_string_value(item)));
        return of_buf(&b, streq(type, "LoadBalancer") ? "<pending>" : "<none>");
}

static json_t *service_ports(const json_t *o, uint64_t now_us) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *port;
        size_t i;

        json_array_foreach (json_at(o, "spec.ports"), i, port) {
                int number = (int)json_int_or(port, "port", 0),
                    node = (int)json_int_or(port, "nodePort", 0);

                buf_printf(&b, "%s%i", b.size > 0 ? "," : "", number);
                if (node > 0)
                        buf_printf(&b, ":%i", node);
                buf_printf(&b, "/%s", json_str_or(port, "protocol", "TCP"));
        }
        return of_buf(&b, "<none>");
}

static int compare_words(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "a=b,c=d" of a map, by its keys. */
static json_t *map_cell(const json_t *map) {
        _cleanup_free_ const char **keys = calloc(json_object_size(map) + 1, sizeof(*keys));
        _cleanup_buf_ struct buf b = {0};
        const char *key;
        size_t n = 0;
        json_t *v;

        if (!keys)
                return NULL;
        json_object_foreach ((json_t *)map, key, v)
                keys[n++] = key;
        qsort(keys, n, sizeof(*keys), compare_words);
        for (size_t i = 0; i < n; i++)
                buf_printf(&b, "%s%s=%s", b.size > 0 ? "," : "", keys[i],
                                strempty(json_string_value(json_object_get(map, keys[i]))));
        return of_buf(&b, "<none>");
}

static json_t *service_selector(const json_t *o, uint64_t now_us) {
        return map_cell(json_at(o, "spec.selector"));
}

static json_t *podtemplate_containers(const json_t *o, uint64_t now_us) {
        return cells_containers(json_at(o, "template.spec"), "name");
}

static json_t *podtemplate_images(const json_t *o, uint64_t now_us) {
        return cells_containers(json_at(o, "template.spec"), "image");
}

static json_t *podtemplate_labels(const json_t *o, uint64_t now_us) {
        return map_cell(json_at(o, "template.metadata.labels"));
}

static json_t *component_status(const json_t *o, uint64_t now_us) {
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(o, "conditions"), i, c)
                if (streq(json_str_or(c, "type", ""), "Healthy"))
                        return json_string(streq(json_str_or(c, "status", ""), "True")
                                                           ? "Healthy"
                                                           : "Unhealthy");
        return json_string("Unknown");
}

static json_t *template_nodes(const json_t *o, uint64_t now_us) {
        return map_cell(json_at(o, "spec.template.spec.nodeSelector"));
}

/* "statefulset.apps/web" */
static json_t *controller(const json_t *o, uint64_t now_us) {
        const json_t *ref = object_controller_ref(o);
        char group[OBJECT_GROUP_SIZE] = "", version[OBJECT_VERSION_SIZE];
        _cleanup_free_ char *kind = strdup(json_str_or(ref, "kind", ""));

        if (!ref)
                return json_string("<none>");
        for (char *s = kind; s && *s; s++)
                if (*s >= 'A' && *s <= 'Z')
                        *s = (char)(*s - 'A' + 'a');
        (void)object_split_api_version(json_str_or(ref, "apiVersion", ""), group, version);
        return json_sprintf("%s%s%s/%s", strempty(kind), *group ? "." : "", group,
                        json_str_or(ref, "name", ""));
}

static json_t *data_count(const json_t *o, uint64_t now_us) {
        return json_integer((json_int_t)(json_object_size(json_object_get(o, "data")) +
                                         json_object_size(json_object_get(o, "binaryData"))));
}

static json_t *webhook_count(const json_t *o, uint64_t now_us) {
        return json_integer((json_int_t)json_array_size(json_object_get(o, "webhooks")));
}

static json_t *policy_validations(const json_t *o, uint64_t now_us) {
        return json_integer((json_int_t)json_array_size(json_at(o, "spec.validations")));
}

static json_t *policy_mutations(const json_t *o, uint64_t now_us) {
        return json_integer((json_int_t)json_array_size(json_at(o, "spec.mutations")));
}

static json_t *policy_param_kind(const json_t *o, uint64_t now_us) {
        const json_t *kind = json_at(o, "spec.paramKind");

        if (!kind)
                return json_string("<unset>");
        return json_sprintf("%s/%s", json_str_or(kind, "apiVersion", ""),
                        json_str_or(kind, "kind", ""));
}

static json_t *policy_param_ref(const json_t *o, uint64_t now_us) {
        const json_t *ref = json_at(o, "spec.paramRef");

        if (!ref)
                return json_string("<unset>");
        return json_sprintf(
                        "%s/%s", json_str_or(ref, "namespace", "*"), json_str_or(ref, "name", "*"));
}

static json_t *account_secrets(const json_t *o, uint64_t now_us) {
        return json_integer((json_int_t)json_array_size(json_object_get(o, "secrets")));
}

static json_t *node_status(const json_t *o, uint64_t now_us) {
        const json_t *ready = object_condition(o, "Ready");
        const char *status = json_str_or(ready, "status", "Unknown");

        return json_sprintf("%s%s",
                        streq(status, "True") ? "Ready"
                        : ready               ? "NotReady"
                                              : "Unknown",
                        json_bool_or(o, "spec.unschedulable", false) ? ",SchedulingDisabled" : "");
}

static int compare_texts(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static json_t *node_roles(const json_t *o, uint64_t now_us) {
        static const char prefix[] = "node-role.kubernetes.io/";
        const json_t *labels = json_at(o, "metadata.labels");
        _cleanup_strv_free_ char **roles = NULL;
        _cleanup_free_ char *text = NULL;
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)labels, key, v) {
                const char *role = startswith(key, prefix);

                if (!role && streq(key, "kubernetes.io/role"))
                        role = json_string_value(v);
                if (!isempty(role))
                        strv_extend(&roles, role);
        }
        if (roles)
                qsort(roles, strv_length(roles), sizeof(*roles), compare_texts);
        text = roles ? strv_join(roles, ",") : NULL;
        return or_none(text);
}

static json_t *node_address(const json_t *o, const char *type) {
        const json_t *a;
        size_t i;

        json_array_foreach (json_at(o, "status.addresses"), i, a)
                if (streq(json_str_or(a, "type", ""), type))
                        return json_string(json_str_or(a, "address", ""));
        return json_string("<none>");
}

static json_t *node_internal_ip(const json_t *o, uint64_t now_us) {
        return node_address(o, "InternalIP");
}

static json_t *node_external_ip(const json_t *o, uint64_t now_us) {
        return node_address(o, "ExternalIP");
}

static void add_endpoint(struct buf *b, const char *ip, json_int_t port) {
        bool colons = strchr(ip, ':');

        buf_printf(b, "%s%s%s%s:%lld", b->size > 0 ? "," : "", colons ? "[" : "", ip,
                        colons ? "]" : "", (long long)port);
}

/* A list of which the first few were written, and how many there are. */
static json_t *of_some(struct buf *b, size_t n, const char *absent) {
        if (n > ENDPOINTS_SHOWN)
                buf_printf(b, " + %zu more...", n - ENDPOINTS_SHOWN);
        return of_buf(b, absent);
}

static json_t *endpoints(const json_t *o, uint64_t now_us) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *subset, *address, *port;
        size_t i, j, k, n = 0;

        json_array_foreach (json_object_get(o, "subsets"), i, subset)
                json_array_foreach (json_object_get(subset, "addresses"), j, address) {
                        const json_t *ports = json_object_get(subset, "ports");

                        if (json_array_size(ports) == 0 && n++ < ENDPOINTS_SHOWN)
                                add(&b, json_str_or(address, "ip", ""));
                        json_array_foreach (ports, k, port)
                                if (n++ < ENDPOINTS_SHOWN)
                                        add_endpoint(&b, json_str_or(address, "ip", ""),
                                                        json_int_or(port, "port", 0));
                }
        return of_some(&b, n, json_array_size(json_object_get(o, "subsets")) > 0 ? "" : "<none>");
}

static json_t *slice_ports(const json_t *o, uint64_t now_us) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *item;
        size_t i, n = 0;

        json_array_foreach (json_object_get(o, "ports"), i, item)
                if (n++ < ENDPOINTS_SHOWN) {
                        int port = (int)json_int_or(item, "port", 0);

                        if (port > 0)
                                buf_printf(&b, "%s%i", b.size > 0 ? "," : "", port);
                        else
                                add(&b, json_str_or(item, "name", "*"));
                }
        return of_some(&b, n, "<unset>");
}

static json_t *slice_endpoints(const json_t *o, uint64_t now_us) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *item, *address;
        size_t i, j, n = 0;

        json_array_foreach (json_object_get(o, "endpoints"), i, item)
                json_array_foreach (json_object_get(item, "addresses"), j, address)
                        if (n++ < ENDPOINTS_SHOWN)
                                add(&b, strempty(json_string_value(address)));
        return of_some(&b, n, "<unset>");
}

/* A field of an Event of core/v1, or of events.k8s.io/v1 where it has another name. */
static const char *event_text(const json_t *o, const char *name, const char *newer) {
        const char *text = json_str(o, name);

        return text ? text : json_str(o, newer);
}

static const char *event_first(const json_t *o) {
        return event_text(o, "firstTimestamp", "deprecatedFirstTimestamp");
}

static json_t *event_last_seen(const json_t *o, uint64_t now_us) {
        const char *first_to_last[] = {event_first(o), json_str(o, "eventTime"),
                        event_text(o, "lastTimestamp", "deprecatedLastTimestamp"),
                        json_str(o, "series.lastObservedTime")};
        const char *seen = NULL;

        for (size_t i = 0; i < ELEMENTS(first_to_last); i++)
                if (first_to_last[i])
                        seen = first_to_last[i];
        return cells_age(seen, now_us);
}

static json_t *event_first_seen(const json_t *o, uint64_t now_us) {
        const char *first = event_first(o);

        return cells_age(first ? first : json_str(o, "eventTime"), now_us);
}

static json_t *event_count(const json_t *o, uint64_t now_us) {
        return json_integer(json_int_or(o, "series.count",
                        json_int_or(o, "count", json_int_or(o, "deprecatedCount", 1))));
}

static json_t *event_object(const json_t *o, uint64_t now_us) {
        _cleanup_free_ char *kind =
                        strdup(strempty(event_text(o, "involvedObject.kind", "regarding.kind")));
        const char *name = event_text(o, "involvedObject.name", "regarding.name");

        for (char *s = kind; s && *s; s++)
                if (*s >= 'A' && *s <= 'Z')
                        *s = (char)(*s - 'A' + 'a');
        return json_sprintf("%s%s%s", strempty(kind), isempty(name) ? "" : "/", strempty(name));
}

static json_t *event_source(const json_t *o, uint64_t now_us) {
        const char *component = event_text(o, "source.component", "deprecatedSource.component");
        const char *host = event_text(o, "source.host", "deprecatedSource.host");

        if (isempty(component))
                component = strempty(event_text(o, "reportingComponent", "reportingController"));
        if (isempty(host))
                host = json_str_or(o, "reportingInstance", "");
        return *host ? json_sprintf("%s, %s", component, host) : json_string(component);
}

static json_t *csr_duration(const json_t *o, uint64_t now_us) {
        int64_t seconds = json_int_or(o, "spec.expirationSeconds", 0);
        char buffer[TIMEFMT_SIZE];

        return json_string(
                        seconds > 0 ? age_format((uint64_t)seconds * 1000000, buffer) : "<none>");
}

/* Whatever its status is. */
static bool has_condition(const json_t *o, const char *type) {
        const json_t *c;
        size_t i;

        json_array_foreach (json_at(o, "status.conditions"), i, c)
                if (streq(json_str_or(c, "type", ""), type))
                        return true;
        return false;
}

static json_t *csr_condition(const json_t *o, uint64_t now_us) {
        bool denied = has_condition(o, "Denied"), approved = has_condition(o, "Approved");

        return json_sprintf("%s%s%s",
                        denied     ? "Denied"
                        : approved ? "Approved"
                                   : "Pending",
                        has_condition(o, "Failed") ? ",Failed" : "",
                        *json_str_or(o, "status.certificate", "") ? ",Issued" : "");
}

static json_t *binding_role(const json_t *o, uint64_t now_us) {
        return json_sprintf("%s/%s", json_str_or(o, "roleRef.kind", ""),
                        json_str_or(o, "roleRef.name", ""));
}

/* The names of the subjects of one kind, with their namespaces where they have one. */
static json_t *subjects(const json_t *o, const char *kind) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *s;
        size_t i;

        json_array_foreach (json_object_get(o, "subjects"), i, s)
                if (streq(json_str_or(s, "kind", ""), kind)) {
                        buf_append_str(&b, b.size > 0 ? ", " : "");
                        if (streq(kind, "ServiceAccount"))
                                buf_printf(&b, "%s/", json_str_or(s, "namespace", ""));
                        buf_append_str(&b, json_str_or(s, "name", ""));
                }
        return of_buf(&b, "");
}

static json_t *binding_users(const json_t *o, uint64_t now_us) {
        return subjects(o, "User");
}

static json_t *binding_groups(const json_t *o, uint64_t now_us) {
        return subjects(o, "Group");
}

static json_t *binding_accounts(const json_t *o, uint64_t now_us) {
        return subjects(o, "ServiceAccount");
}

static int by_text(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "pods: 3/10, secrets: 0/5": the used and allowed amounts of a quota whose names begin with
 * "limits." or not, sorted. */
static json_t *quota_amounts(const json_t *o, bool limits) {
        const json_t *hard = json_at(o, "status.hard"), *used = json_at(o, "status.used");
        size_t n = 0, size = json_object_size(hard);
        const char **names = calloc(size + 1, sizeof(*names));
        _cleanup_buf_ struct buf b = {0};
        const char *key;
        json_t *v;

        if (!names)
                return NULL;
        json_object_foreach ((json_t *)hard, key, v)
                if ((startswith(key, "limits.") != NULL) == limits)
                        names[n++] = key;
        qsort(names, n, sizeof(*names), by_text);
        for (size_t i = 0; i < n; i++)
                buf_printf(&b, "%s%s: %s/%s", i > 0 ? ", " : "", names[i],
                                strempty(json_string_value(json_object_get(used, names[i]))),
                                strempty(json_string_value(json_object_get(hard, names[i]))));
        free(names);
        return of_buf(&b, "");
}

static json_t *quota_requests(const json_t *o, uint64_t now_us) {
        return quota_amounts(o, false);
}

static json_t *quota_limits(const json_t *o, uint64_t now_us) {
        return quota_amounts(o, true);
}

/* Of a pod: what cells-pod.c looks at. */
#define POD_STATUS(list) \
        " status." list ".name status." list ".ready status." list ".started status." list \
        ".state status." list ".lastState status." list ".restartCount"
#define POD \
        "spec.containers.name spec.initContainers.name spec.initContainers.restartPolicy " \
        "status.phase status.reason status.conditions metadata.deletionTimestamp" POD_STATUS( \
                        "containerStatuses") POD_STATUS("initContainerStatuses")

static const struct {
        const char *name;
        cell_func func;
        const char *reads; /* paths (lib/json-part.h); NULL: the whole object */
} all[] = {
                {"account-secrets", account_secrets, "secrets.name"},
                {"apiservice-available", cells_apiservice_available, "status.conditions"},
                {"apiservice-service", cells_apiservice_service, "spec.service"},
                {"binding-accounts", binding_accounts, "subjects"},
                {"binding-groups", binding_groups, "subjects"},
                {"binding-role", binding_role, "roleRef"},
                {"binding-users", binding_users, "subjects"},
                {"claim-access-modes", cells_claim_modes, "spec.volumeName status.accessModes"},
                {"claim-capacity", cells_claim_capacity, "spec.volumeName status.capacity.storage"},
                {"component-status", component_status, "conditions"},
                {"controller", controller, "metadata.ownerReferences"},
                {"cronjob-active", cells_cronjob_active, "status.active.name"},
                {"cronjob-containers", cells_cronjob_containers,
                                "spec.jobTemplate.spec.template.spec.containers.name"},
                {"cronjob-images", cells_cronjob_images,
                                "spec.jobTemplate.spec.template.spec.containers.image"},
                {"cronjob-last-schedule", cells_cronjob_last_schedule, "status.lastScheduleTime"},
                {"cronjob-selector", cells_cronjob_selector, "spec.jobTemplate.spec.selector"},
                {"cronjob-suspend", cells_cronjob_suspend, "spec.suspend"},
                {"csidriver-modes", cells_csidriver_modes, "spec.volumeLifecycleModes"},
                {"csidriver-tokens", cells_csidriver_tokens, "spec.tokenRequests"},
                {"csinode-drivers", cells_csinode_drivers, "spec.drivers.name"},
                {"csr-condition", csr_condition, "status.conditions.type status.certificate"},
                {"csr-duration", csr_duration, "spec.expirationSeconds"},
                {"data-count", data_count, "data.* binaryData.*"},
                {"endpoints", endpoints, "subsets.addresses.ip subsets.ports.port"},
                {"event-count", event_count, "series.count count deprecatedCount"},
                {"event-first-seen", event_first_seen,
                                "firstTimestamp eventTime deprecatedFirstTimestamp"},
                {"event-last-seen", event_last_seen,
                                "firstTimestamp eventTime lastTimestamp series.lastObservedTime "
                                "deprecatedFirstTimestamp deprecatedLastTimestamp"},
                {"event-object", event_object,
                                "involvedObject.kind involvedObject.name regarding.kind "
                                "regarding.name"},
                {"event-source", event_source,
                                "source reportingComponent reportingInstance deprecatedSource "
                                "reportingController"},
                {"hpa-reference", cells_hpa_reference, "spec.scaleTargetRef"},
                {"hpa-targets", cells_hpa_targets,
                                "spec.metrics spec.targetCPUUtilizationPercentage "
                                "status.currentMetrics status.currentCPUUtilizationPercentage"},
                {"ingress-addresses", cells_ingress_addresses, "status.loadBalancer.ingress"},
                {"ingress-hosts", cells_ingress_hosts, "spec.rules.host"},
                {"ingress-ports", cells_ingress_ports, "spec.tls"},
                {"ingressclass-parameters", cells_ingressclass_parameters, "spec.parameters"},
                {"job-completions", job_completions,
                                "status.succeeded spec.parallelism spec.completions"},
                {"job-duration", job_duration, "status.startTime status.completionTime"},
                {"job-status", job_status, "status.conditions metadata.deletionTimestamp"},
                {"metrics-cpu", cells_metrics_cpu, "containers.usage"},
                {"metrics-memory", cells_metrics_memory, "containers.usage"},
                {"node-external-ip", node_external_ip, "status.addresses"},
                {"node-internal-ip", node_internal_ip, "status.addresses"},
                {"node-roles", node_roles, "metadata.labels"},
                {"node-status", node_status, "status.conditions spec.unschedulable"},
                {"pod-gates", cells_pod_gates, "spec.readinessGates status.conditions"},
                {"pod-ready", cells_pod_ready, POD},
                {"pod-restarts", cells_pod_restarts, POD},
                {"pod-status", cells_pod_status, POD},
                {"podtemplate-containers", podtemplate_containers, "template.spec.containers.name"},
                {"podtemplate-images", podtemplate_images, "template.spec.containers.image"},
                {"podtemplate-labels", podtemplate_labels, "template.metadata.labels"},
                {"policy-selector", cells_policy_selector, "spec.podSelector"},
                {"policy-mutations", policy_mutations, "spec.mutations"},
                {"policy-param-kind", policy_param_kind, "spec.paramKind"},
                {"policy-param-ref", policy_param_ref, "spec.paramRef"},
                {"policy-validations", policy_validations, "spec.validations"},
                {"quota-limits", quota_limits, "status.hard status.used"},
                {"quota-requests", quota_requests, "status.hard status.used"},
                {"service-addresses", service_addresses,
                                "status.loadBalancer.ingress spec.type "
                                "spec.externalName spec.externalIPs"},
                {"service-ports", service_ports, "spec.ports"},
                {"service-selector", service_selector, "spec.selector"},
                {"servicecidr-ranges", cells_servicecidr_ranges, "spec.cidrs"},
                {"slice-endpoints", slice_endpoints, "endpoints.addresses"},
                {"slice-ports", slice_ports, "ports"},
                {"storage-class", cells_storage_class,
                                "metadata.annotations spec.storageClassName"},
                {"storage-class-name", cells_storage_class_name,
                                "metadata.name metadata.annotations"},
                {"template-containers", template_containers, "spec.template.spec.containers.name"},
                {"template-images", template_images, "spec.template.spec.containers.image"},
                {"template-nodes", template_nodes, "spec.template.spec.nodeSelector"},
                {"volume-access-modes", cells_volume_modes, "spec.accessModes"},
                {"volume-claim", cells_volume_claim, "spec.claimRef"},
                {"volume-phase", cells_volume_phase, "metadata.deletionTimestamp status.phase"},
                {"webhook-count", webhook_count, "webhooks.name"},
                {"workload-ready", workload_ready, "status.readyReplicas spec.replicas"},
                {"workload-selector", workload_selector, "spec.selector"},
};

cell_func cells_find(const char *name, const char **ret_reads) {
        for (size_t i = 0; i < ELEMENTS(all); i++)
                if (streq(all[i].name, name)) {
                        *ret_reads = all[i].reads;
                        return all[i].func;
                }
        return NULL;
}
