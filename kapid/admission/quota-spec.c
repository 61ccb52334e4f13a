/* What quotas count. The names are those of kube-apiserver's evaluators (pods, services, volume
 * claims, and count/ for all kinds). */
#include "kapid/admission/quota-spec.h"

#include "lib/object.h"
#include "lib/pod-amounts.h"
#include "lib/timefmt.h"
#include "lib/volumes.h"

/* --- measures --- */

static const struct row {
        const char *resource;
        enum quota_what what;
        const char *plural; /* of the core group */
        const char *of;
} rows[] = {
                {"pods", QUOTA_PODS, "pods", NULL},
                {"cpu", QUOTA_POD_REQUESTS, "pods", "cpu"},
                {"memory", QUOTA_POD_REQUESTS, "pods", "memory"},
                {"ephemeral-storage", QUOTA_POD_REQUESTS, "pods", "ephemeral-storage"},
                {"requests.cpu", QUOTA_POD_REQUESTS, "pods", "cpu"},
                {"requests.memory", QUOTA_POD_REQUESTS, "pods", "memory"},
                {"requests.ephemeral-storage", QUOTA_POD_REQUESTS, "pods", "ephemeral-storage"},
                {"limits.cpu", QUOTA_POD_LIMITS, "pods", "cpu"},
                {"limits.memory", QUOTA_POD_LIMITS, "pods", "memory"},
                {"limits.ephemeral-storage", QUOTA_POD_LIMITS, "pods", "ephemeral-storage"},
                {"services", QUOTA_OBJECTS, "services", NULL},
                {"services.nodeports", QUOTA_NODE_PORTS, "services", NULL},
                {"services.loadbalancers", QUOTA_LOAD_BALANCERS, "services", NULL},
                {"configmaps", QUOTA_OBJECTS, "configmaps", NULL},
                {"secrets", QUOTA_OBJECTS, "secrets", NULL},
                {"resourcequotas", QUOTA_OBJECTS, "resourcequotas", NULL},
                {"replicationcontrollers", QUOTA_OBJECTS, "replicationcontrollers", NULL},
                {"persistentvolumeclaims", QUOTA_CLAIMS, "persistentvolumeclaims", NULL},
                {"requests.storage", QUOTA_CLAIM_STORAGE, "persistentvolumeclaims", NULL},
};

static int set_kind(struct quota_measure *m, enum quota_what what, const char *group,
                const char *plural, size_t plural_size) {
        m->what = what;
        m->group = strdup(group);
        m->plural = strndup(plural, plural_size);
        return m->group && m->plural ? 0 : -ENOMEM;
}

/* "count/deployments.apps", "count/pods". */
static int read_count(struct quota_measure *m, const char *name) {
        const char *dot = strchr(name, '.');
        size_t n = dot ? (size_t)(dot - name) : strlen(name);

        return n > 0 ? set_kind(m, QUOTA_OBJECTS, dot ? dot + 1 : "", name, n) : 0;
}

/* "gold.storageclass.storage.k8s.io/requests.storage". */
static int read_class(struct quota_measure *m, const char *infix) {
        static const char claims[] = "persistentvolumeclaims", storage[] = "requests.storage";
        const char *what = strchr(infix, '/') + 1;

        if (!streq(what, claims) && !streq(what, storage))
                return 0;
        m->storage_class = strndup(m->resource, (size_t)(infix - m->resource));
        if (!m->storage_class)
                return -ENOMEM;
        return set_kind(m, streq(what, claims) ? QUOTA_CLAIMS : QUOTA_CLAIM_STORAGE, "", claims,
                        strlen(claims));
}

static int read_measure(struct quota_measure *m, const char *resource, const json_t *hard) {
        static const char infix[] = ".storageclass.storage.k8s.io/";
        const char *rest;

        (void)quantity_read(hard, &m->hard);
        m->resource = strdup(resource);
        if (!m->resource)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (streq(resource, rows[i].resource)) {
                        m->of = rows[i].of;
                        return set_kind(m, rows[i].what, "", rows[i].plural,
                                        strlen(rows[i].plural));
                }
        rest = startswith(resource, "count/");
        if (rest)
                return read_count(m, rest);
        rest = strstr(m->resource, infix);
        if (rest && rest > m->resource)
                return read_class(m, rest);
        /* Huge pages under both names, other resources of machines under "requests." only. */
        rest = startswith(m->resource, "requests.");
        if (!rest && startswith(resource, "hugepages-"))
                rest = m->resource;
        if (!rest || (!startswith(rest, "hugepages-") && !strchr(rest, '/')))
                return 0;
        m->of = rest;
        return set_kind(m, QUOTA_POD_REQUESTS, "", "pods", strlen("pods"));
}

int quota_spec_read(struct quota_spec *ret, const json_t *quota) {
        const json_t *spec = json_object_get(quota, "spec");
        const char *key;
        json_t *v;

        *ret = (struct quota_spec){.hard = json_ref(json_object_get(spec, "hard")),
                        .scopes = json_ref(json_object_get(spec, "scopes")),
                        .selector = json_ref(
                                        json_get(spec, "scopeSelector", "matchExpressions", NULL))};
        ret->measures = calloc(json_object_size(ret->hard) + 1, sizeof(*ret->measures));
        if (!ret->measures)
                return -ENOMEM;
        json_object_foreach (ret->hard, key, v) {
                int r = read_measure(&ret->measures[ret->count++], key, v);

                if (r < 0)
                        return r;
        }
        return 0;
}

void quota_spec_done(struct quota_spec *s) {
        for (size_t i = 0; i < s->count; i++) {
                free(s->measures[i].resource);
                free(s->measures[i].group);
                free(s->measures[i].plural);
                free(s->measures[i].storage_class);
        }
        free(s->measures);
        json_decref(s->hard);
        json_decref(s->scopes);
        json_decref(s->selector);
        *s = (struct quota_spec){0};
}

bool quota_spec_counts_same(const struct quota_spec *a, const struct quota_spec *b) {
        if (a->count != b->count || !json_same(a->scopes, b->scopes) ||
                        !json_same(a->selector, b->selector))
                return false;
        for (size_t i = 0; i < a->count; i++)
                if (!streq(a->measures[i].resource, b->measures[i].resource))
                        return false;
        return true;
}

bool quota_measure_is_of(const struct quota_measure *m, const char *group, const char *plural) {
        return m->plural && streq(m->plural, plural) && streq(m->group, group);
}

/* --- scopes --- */

static bool term_is_cross_namespace(const json_t *term) {
        return json_array_size(json_object_get(term, "namespaces")) > 0 ||
               json_object_get(term, "namespaceSelector");
}

static bool is_cross_namespace(const json_t *pod) {
        static const char *const sides[] = {"podAffinity", "podAntiAffinity"};

        for (size_t s = 0; s < ELEMENTS(sides); s++) {
                const json_t *side = json_get(pod, "spec", "affinity", sides[s], NULL), *term;
                size_t i;

                json_array_foreach (json_object_get(side, "requiredDuringSchedulingIgnoredDuring"
                                                          "Execution"),
                                i, term)
                        if (term_is_cross_namespace(term))
                                return true;
                json_array_foreach (json_object_get(side, "preferredDuringSchedulingIgnoredDuring"
                                                          "Execution"),
                                i, term)
                        if (term_is_cross_namespace(json_object_get(term, "podAffinityTerm")))
                                return true;
        }
        return false;
}

static bool is_terminating(const json_t *pod) {
        return json_int_or(pod, "spec.activeDeadlineSeconds", -1) >= 0;
}

static bool is_best_effort(const json_t *pod) {
        return pod_is_best_effort(json_object_get(pod, "spec"));
}

static const struct {
        const char *scope;
        bool wanted;
        bool (*holds)(const json_t *pod);
} pod_scopes[] = {
                {"Terminating", true, is_terminating},
                {"NotTerminating", false, is_terminating},
                {"BestEffort", true, is_best_effort},
                {"NotBestEffort", false, is_best_effort},
                {"CrossNamespacePodAffinity", true, is_cross_namespace},
};

static bool is_listed(const json_t *values, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (values, i, v)
                if (streq(strempty(json_string_value(v)), name))
                        return true;
        return false;
}

/* A name ("": none) against an operator, as labels are. */
static bool name_matches(const char *name, const char *operator, const json_t * values) {
        if (streq(operator, "In"))
                return *name && is_listed(values, name);
        if (streq(operator, "NotIn"))
                return !*name || !is_listed(values, name);
        return streq(operator, "DoesNotExist") ? !*name : *name != 0;
}

static bool pod_is_in(const json_t *pod, const char *scope, const json_t *term) {
        for (size_t i = 0; i < ELEMENTS(pod_scopes); i++)
                if (streq(scope, pod_scopes[i].scope))
                        return pod_scopes[i].holds(pod) == pod_scopes[i].wanted;
        return streq(scope, "PriorityClass") &&
               name_matches(json_str_or(pod, "spec.priorityClassName", ""),
                               json_str_or(term, "operator", "Exists"),
                               json_object_get(term, "values"));
}

/* A claim changes its class in steps: each class that it has or is to have counts. */
static bool claim_is_in(const json_t *claim, const char *scope, const json_t *term) {
        static const char *const paths[] = {"spec.volumeAttributesClassName",
                        "status.currentVolumeAttributesClassName",
                        "status.modifyVolumeStatus.targetVolumeAttributesClassName"};
        const char *operator= json_str_or(term, "operator", "Exists");
        bool any = false, all = true;

        if (!streq(scope, "VolumeAttributesClass"))
                return false;
        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                bool matches = name_matches(json_str_or(claim, paths[i], ""), operator,
                                json_object_get(term, "values"));

                any |= matches;
                all &= matches;
        }
        return streq(operator, "In") || streq(operator, "Exists") ? any : all;
}

bool quota_spec_selects(const struct quota_spec *s, const char *group, const char *plural,
                const json_t *object) {
        bool (*is_in)(const json_t *object, const char *scope, const json_t *term) =
                        *group                                    ? NULL
                        : streq(plural, "pods")                   ? pod_is_in
                        : streq(plural, "persistentvolumeclaims") ? claim_is_in
                                                                  : NULL;
        const json_t *v;
        size_t i;

        if (!is_in)
                return json_array_size(s->scopes) == 0 && json_array_size(s->selector) == 0;
        json_array_foreach (s->scopes, i, v)
                if (!is_in(object, strempty(json_string_value(v)), NULL))
                        return false;
        json_array_foreach (s->selector, i, v)
                if (!is_in(object, json_str_or(v, "scopeName", ""), v))
                        return false;
        return true;
}

/* --- amounts --- */

bool quota_pod_has_ended(const json_t *pod) {
        const char *phase = json_str_or(pod, "status.phase", "");

        return streq(phase, "Succeeded") || streq(phase, "Failed");
}

uint64_t quota_pod_released_us(const json_t *pod) {
        int64_t grace = json_int_or(pod, "metadata.deletionGracePeriodSeconds", -1);
        uint64_t end;

        if (grace < 0 || time_parse(json_str_or(pod, "metadata.deletionTimestamp", ""), &end) < 0)
                return 0;
        return end + (uint64_t)MIN(grace, (int64_t)INT32_MAX) * 1000000;
}

/* Ports that are open on every node, or will be once they are assigned. */
static int64_t node_ports(const json_t *service) {
        const char *type = json_str_or(service, "spec.type", "ClusterIP");
        const json_t *port;
        int64_t n = 0;
        size_t i;

        if (streq(type, "NodePort"))
                return (int64_t)json_array_size(json_at(service, "spec.ports"));
        if (!streq(type, "LoadBalancer"))
                return 0;
        if (json_bool_or(service, "spec.allocateLoadBalancerNodePorts", true))
                return (int64_t)json_array_size(json_at(service, "spec.ports"));
        json_array_foreach (json_at(service, "spec.ports"), i, port)
                n += json_int_or(port, "nodePort", 0) > 0;
        return n;
}

struct quantity quota_measure_object(
                const struct quota_measure *m, const json_t *object, bool ended) {
        const json_t *spec = json_object_get(object, "spec");
        struct quantity q = {0};

        switch (m->what) {
        case QUOTA_NOTHING:
                return q;
        case QUOTA_OBJECTS:
                return (struct quantity){.milli = 1000};
        case QUOTA_PODS:
                return (struct quantity){.milli = ended ? 0 : 1000};
        case QUOTA_POD_REQUESTS:
        case QUOTA_POD_LIMITS:
                if (!ended)
                        pod_amount(spec, m->what == QUOTA_POD_LIMITS ? "limits" : "requests", m->of,
                                        &q);
                return q;
        case QUOTA_NODE_PORTS:
                return (struct quantity){.milli = node_ports(object) * 1000};
        case QUOTA_LOAD_BALANCERS:
                return (struct quantity){.milli = streq(json_str_or(object, "spec.type", ""),
                                                                  "LoadBalancer") *
                                                  1000};
        case QUOTA_CLAIMS:
        case QUOTA_CLAIM_STORAGE:
                if (m->storage_class && !streq(m->storage_class, volume_class(object)))
                        return q;
                if (m->what == QUOTA_CLAIMS)
                        return (struct quantity){.milli = 1000};
                container_amount(spec, "requests", "storage", &q);
                return q;
        }
        assert_not_reached();
}

/* --- required requests and limits --- */

/* Only these, for historical reasons: they were there before the quality classes. */
static bool demands(const struct quota_measure *m) {
        return (m->what == QUOTA_POD_REQUESTS || m->what == QUOTA_POD_LIMITS) &&
               (streq(m->of, "cpu") || streq(m->of, "memory"));
}

static int by_text(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The sorted names of containers that lack the amount. */
static int lacking(const struct quota_measure *m, const json_t *pod, char ***ret) {
        static const char *const lists[] = {"containers", "initContainers"};
        const char *side = m->what == QUOTA_POD_LIMITS ? "limits" : "requests";
        const json_t *spec = json_object_get(pod, "spec"), *container;
        struct quantity q;
        size_t i;

        /* The pod as a whole says it, and it is counted; but that limits no container. */
        if (m->what == QUOTA_POD_REQUESTS && container_amount(spec, side, m->of, &q))
                return 0;
        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_object_get(spec, lists[l]), i, container) {
                        const char *name = json_str_or(container, "name", "");

                        if (!container_amount(container, side, m->of, &q) &&
                                        strv_extend(ret, name) < 0)
                                return -ENOMEM;
                }
        if (*ret)
                qsort(*ret, strv_length(*ret), sizeof(**ret), by_text);
        return 0;
}

int quota_spec_missing(const struct quota_spec *s, const json_t *pod, char **ret) {
        _cleanup_strv_free_ char **parts = NULL;

        for (size_t i = 0; i < s->count; i++) {
                _cleanup_strv_free_ char **names = NULL;
                _cleanup_free_ char *list = NULL, *part = NULL;
                int r = demands(&s->measures[i]) ? lacking(&s->measures[i], pod, &names) : 0;

                if (r < 0)
                        return r;
                if (!names)
                        continue;
                list = strv_join(names, ",");
                part = list ? strformat("%s for: %s", s->measures[i].resource, list) : NULL;
                if (!part || strv_extend(&parts, part) < 0)
                        return -ENOMEM;
        }
        if (!parts)
                return 0;
        qsort(parts, strv_length(parts), sizeof(*parts), by_text);
        *ret = strv_join(parts, "; ");
        return *ret ? 0 : -ENOMEM;
}
