/* Cells of the built-in kinds but pods: one small function a kind. */
#include "kapid/table/cells.h"

#include "lib/buf.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { ENDPOINTS_SHOWN = 3 };

json_t *cells_age(const char *since, uint64_t now_us) {
        char buffer[TIMEFMT_SIZE];
        uint64_t then;

        if (isempty(since) || time_parse(since, &then) < 0)
                return json_string("<unknown>");
        return json_string(age_format(now_us > then ? now_us - then : 0, buffer));
}

json_t *cells_absent(const struct kind_column *c) {
        return streq(c->type, "date") ? json_string("<unknown>") : json_string("");
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

static json_t *selector_cell(const json_t *selector) {
        _cleanup_(label_selector_freep) struct label_selector *s = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;

        if (json_is_object(selector) && label_selector_from_json(selector, &s, &p) == 0)
                text = label_selector_text(s);
        return or_none(text);
}

/* Columns that all workloads have. */
static json_t *workload_cell(const char *column, const json_t *o) {
        const json_t *pod = json_at(o, "spec.template.spec");

        if (streq(column, "Containers"))
                return cells_containers(pod, "name");
        if (streq(column, "Images"))
                return cells_containers(pod, "image");
        return selector_cell(json_at(o, "spec.selector"));
}

static json_t *deployment_cell(const char *column, const json_t *o, uint64_t now_us) {
        if (streq(column, "Ready"))
                return json_sprintf("%lld/%lld",
                                (long long)json_int_or(o, "status.readyReplicas", 0),
                                (long long)json_int_or(o, "spec.replicas", 0));
        if (streq(column, "Up-to-date"))
                return json_integer(json_int_or(o, "status.updatedReplicas", 0));
        if (streq(column, "Available"))
                return json_integer(json_int_or(o, "status.availableReplicas", 0));
        return workload_cell(column, o);
}

static json_t *replicaset_cell(const char *column, const json_t *o, uint64_t now_us) {
        if (streq(column, "Desired"))
                return json_integer(json_int_or(o, "spec.replicas", 0));
        if (streq(column, "Current"))
                return json_integer(json_int_or(o, "status.replicas", 0));
        if (streq(column, "Ready"))
                return json_integer(json_int_or(o, "status.readyReplicas", 0));
        return workload_cell(column, o);
}

static const char *job_status(const json_t *o) {
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

static json_t *job_cell(const char *column, const json_t *o, uint64_t now_us) {
        char buffer[TIMEFMT_SIZE];
        uint64_t start, end = now_us;

        if (streq(column, "Status"))
                return json_string(job_status(o));
        if (streq(column, "Completions")) {
                long long done = (long long)json_int_or(o, "status.succeeded", 0);
                long long parallel = (long long)json_int_or(o, "spec.parallelism", 1);

                if (json_at(o, "spec.completions"))
                        return json_sprintf("%lld/%lld", done,
                                        (long long)json_int_or(o, "spec.completions", 0));
                return parallel > 1 ? json_sprintf("%lld/1 of %lld", done, parallel)
                                    : json_sprintf("%lld/1", done);
        }
        if (streq(column, "Duration")) {
                if (!json_str(o, "status.startTime") ||
                                time_parse(json_str(o, "status.startTime"), &start) < 0)
                        return json_string("");
                if (json_str(o, "status.completionTime"))
                        (void)time_parse(json_str(o, "status.completionTime"), &end);
                return json_string(age_format(end > start ? end - start : 0, buffer));
        }
        return workload_cell(column, o);
}

static json_t *service_addresses(const json_t *o) {
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

static json_t *service_cell(const char *column, const json_t *o, uint64_t now_us) {
        const json_t *port, *v;
        _cleanup_buf_ struct buf b = {0};
        const char *key;
        size_t i;

        if (streq(column, "Cluster-IP"))
                return or_none(json_str(o, "spec.clusterIP"));
        if (streq(column, "External-IP"))
                return service_addresses(o);
        if (streq(column, "Port(s)"))
                json_array_foreach (json_at(o, "spec.ports"), i, port) {
                        int number = (int)json_int_or(port, "port", 0),
                            node = (int)json_int_or(port, "nodePort", 0);

                        buf_printf(&b, "%s%i", b.size > 0 ? "," : "", number);
                        if (node > 0)
                                buf_printf(&b, ":%i", node);
                        buf_printf(&b, "/%s", json_str_or(port, "protocol", "TCP"));
                }
        else
                json_object_foreach ((json_t *)json_at(o, "spec.selector"), key, v)
                        buf_printf(&b, "%s%s=%s", b.size > 0 ? "," : "", key,
                                        strempty(json_string_value(v)));
        return of_buf(&b, "<none>");
}

static json_t *data_cell(const char *column, const json_t *o, uint64_t now_us) {
        return json_integer((json_int_t)(json_object_size(json_object_get(o, "data")) +
                                         json_object_size(json_object_get(o, "binaryData"))));
}

static json_t *account_cell(const char *column, const json_t *o, uint64_t now_us) {
        return json_integer((json_int_t)json_array_size(json_object_get(o, "secrets")));
}

static json_t *node_status(const json_t *o) {
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

static json_t *node_roles(const json_t *o) {
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

static json_t *node_cell(const char *column, const json_t *o, uint64_t now_us) {
        static const struct {
                const char *column, *path;
        } facts[] = {{"OS-Image", "status.nodeInfo.osImage"},
                        {"Kernel-Version", "status.nodeInfo.kernelVersion"},
                        {"Container-Runtime", "status.nodeInfo.containerRuntimeVersion"}};

        if (streq(column, "Status"))
                return node_status(o);
        if (streq(column, "Roles"))
                return node_roles(o);
        if (streq(column, "Internal-IP"))
                return node_address(o, "InternalIP");
        if (streq(column, "External-IP"))
                return node_address(o, "ExternalIP");
        for (size_t i = 0; i < ELEMENTS(facts); i++)
                if (streq(column, facts[i].column)) {
                        const char *text = json_str(o, facts[i].path);

                        return json_string(isempty(text) ? "<unknown>" : text);
                }
        return json_null();
}

static json_t *endpoints_cell(const char *column, const json_t *o, uint64_t now_us) {
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
                                        buf_printf(&b, "%s%s:%i", b.size > 0 ? "," : "",
                                                        json_str_or(address, "ip", ""),
                                                        (int)json_int_or(port, "port", 0));
                }
        if (n > ENDPOINTS_SHOWN)
                buf_printf(&b, " + %zu more...", n - ENDPOINTS_SHOWN);
        return of_buf(&b, "<none>");
}

static json_t *slice_cell(const char *column, const json_t *o, uint64_t now_us) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *item, *address;
        size_t i, j, n = 0;

        if (streq(column, "Ports")) {
                json_array_foreach (json_object_get(o, "ports"), i, item)
                        if (n++ < ENDPOINTS_SHOWN) {
                                int port = (int)json_int_or(item, "port", 0);

                                if (port > 0)
                                        buf_printf(&b, "%s%i", b.size > 0 ? "," : "", port);
                                else
                                        add(&b, "*");
                        }
        } else
                json_array_foreach (json_object_get(o, "endpoints"), i, item)
                        json_array_foreach (json_object_get(item, "addresses"), j, address)
                                if (n++ < ENDPOINTS_SHOWN)
                                        add(&b, strempty(json_string_value(address)));
        if (n > ENDPOINTS_SHOWN)
                buf_printf(&b, " + %zu more...", n - ENDPOINTS_SHOWN);
        return of_buf(&b, "<unset>");
}

static json_t *event_cell(const char *column, const json_t *o, uint64_t now_us) {
        const char *last = json_str(o, "lastTimestamp"), *first = json_str(o, "firstTimestamp"),
                   *event = json_str(o, "eventTime");

        if (streq(column, "Last Seen")) {
                const char *series = json_str(o, "series.lastObservedTime");

                return cells_age(series ? series : last ? last : event ? event : first, now_us);
        }
        if (streq(column, "First Seen"))
                return cells_age(first ? first : event, now_us);
        if (streq(column, "Count"))
                return json_integer(json_int_or(o, "series.count", json_int_or(o, "count", 1)));
        if (streq(column, "Object")) {
                _cleanup_free_ char *kind = strdup(json_str_or(o, "involvedObject.kind", ""));

                for (char *s = kind; s && *s; s++)
                        if (*s >= 'A' && *s <= 'Z')
                                *s = (char)(*s - 'A' + 'a');
                return json_sprintf(
                                "%s/%s", strempty(kind), json_str_or(o, "involvedObject.name", ""));
        }
        const char *component = json_str_or(
                        o, "source.component", json_str_or(o, "reportingComponent", ""));
        const char *host = json_str_or(o, "source.host", json_str_or(o, "reportingInstance", ""));
        return *host ? json_sprintf("%s, %s", component, host) : json_string(component);
}

static json_t *priorityclass_cell(const char *column, const json_t *o, uint64_t now_us) {
        return streq(column, "Value") ? json_integer(json_int_or(o, "value", 0))
                                      : json_boolean(json_bool_or(o, "globalDefault", false));
}

static json_t *csr_cell(const char *column, const json_t *o, uint64_t now_us) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *c;
        char buffer[TIMEFMT_SIZE];
        bool decided = false;
        size_t i;

        if (streq(column, "RequestedDuration")) {
                int64_t seconds = json_int_or(o, "spec.expirationSeconds", 0);

                return json_string(seconds > 0 ? age_format((uint64_t)seconds * 1000000, buffer)
                                               : "<none>");
        }
        json_array_foreach (json_at(o, "status.conditions"), i, c) {
                add(&b, json_str_or(c, "type", ""));
                decided = true;
        }
        if (!decided)
                return json_string("Pending");
        if (*json_str_or(o, "status.certificate", ""))
                add(&b, "Issued");
        return of_buf(&b, "Pending");
}

static json_t *binding_cell(const char *column, const json_t *o, uint64_t now_us) {
        static const struct {
                const char *column, *kind;
        } subjects[] = {{"Users", "User"}, {"Groups", "Group"},
                        {"ServiceAccounts", "ServiceAccount"}};
        _cleanup_buf_ struct buf b = {0};
        const json_t *s;
        size_t i, j;

        if (streq(column, "Role"))
                return json_sprintf("%s/%s", json_str_or(o, "roleRef.kind", ""),
                                json_str_or(o, "roleRef.name", ""));
        for (i = 0; i < ELEMENTS(subjects); i++)
                if (streq(column, subjects[i].column))
                        json_array_foreach (json_object_get(o, "subjects"), j, s)
                                if (streq(json_str_or(s, "kind", ""), subjects[i].kind))
                                        buf_printf(&b, "%s%s%s%s", b.size > 0 ? ", " : "",
                                                        i == 2 ? json_str_or(s, "namespace", "")
                                                               : "",
                                                        i == 2 ? "/" : "",
                                                        json_str_or(s, "name", ""));
        return of_buf(&b, "");
}

cells_func cells_find(const struct kind *k) {
        static const struct {
                const char *kind;
                cells_func func;
        } all[] = {{"Pod", cells_pod}, {"Deployment", deployment_cell},
                        {"ReplicaSet", replicaset_cell}, {"Job", job_cell},
                        {"Service", service_cell}, {"ConfigMap", data_cell}, {"Secret", data_cell},
                        {"ServiceAccount", account_cell}, {"Node", node_cell},
                        {"Endpoints", endpoints_cell}, {"EndpointSlice", slice_cell},
                        {"Event", event_cell}, {"PriorityClass", priorityclass_cell},
                        {"CertificateSigningRequest", csr_cell}, {"RoleBinding", binding_cell},
                        {"ClusterRoleBinding", binding_cell}};

        for (size_t i = 0; !k->custom && i < ELEMENTS(all); i++)
                if (streq(all[i].kind, k->kind))
                        return all[i].func;
        return NULL;
}
