/* The kinds our own programs name, and how a request's path is put together. */
#include "lib/client/api.h"

#include "lib/buf.h"

static const struct api_resource resources[] = {
                {"", "v1", "namespaces", "Namespace", false},
                {"", "v1", "nodes", "Node", false},
                {"", "v1", "pods", "Pod", true},
                {"", "v1", "services", "Service", true},
                {"", "v1", "configmaps", "ConfigMap", true},
                {"", "v1", "secrets", "Secret", true},
                {"", "v1", "events", "Event", true},
                {"", "v1", "serviceaccounts", "ServiceAccount", true},
                {"", "v1", "endpoints", "Endpoints", true},
                {"", "v1", "persistentvolumes", "PersistentVolume", false},
                {"", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", true},
                {"", "v1", "resourcequotas", "ResourceQuota", true},
                {"", "v1", "limitranges", "LimitRange", true},
                {"apps", "v1", "deployments", "Deployment", true},
                {"apps", "v1", "replicasets", "ReplicaSet", true},
                {"apps", "v1", "statefulsets", "StatefulSet", true},
                {"apps", "v1", "daemonsets", "DaemonSet", true},
                {"apps", "v1", "controllerrevisions", "ControllerRevision", true},
                {"batch", "v1", "jobs", "Job", true},
                {"batch", "v1", "cronjobs", "CronJob", true},
                {"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true},
                {"coordination.k8s.io", "v1", "leases", "Lease", true},
                {"policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", true},
                {"autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", true},
                {"scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", false},
                {"certificates.k8s.io", "v1", "certificatesigningrequests",
                                "CertificateSigningRequest", false},
                {"rbac.authorization.k8s.io", "v1", "roles", "Role", true},
                {"rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true},
                {"rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false},
                {"rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding",
                                false},
                {"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                                "CustomResourceDefinition", false},
                {"keelson.dev", "v1", "gitsyncs", "GitSync", true},
                {"keelson.dev", "v1", "gitsyncinventories", "GitSyncInventory", true},
};

const struct api_resource *api_resource_find(const char *plural) {
        for (size_t i = 0; i < ELEMENTS(resources); i++)
                if (streq(resources[i].plural, plural))
                        return &resources[i];
        return NULL;
}

static void append_segment(struct buf *b, const char *s) {
        _cleanup_free_ char *escaped = url_escape(s);

        if (escaped)
                buf_printf(b, "/%s", escaped);
        else
                b->failed = true;
}

char *api_path(const struct api_resource *r, const char *ns, const char *name,
                const char *subresource, const char *query) {
        _cleanup_buf_ struct buf b = {0};

        if (*r->group)
                buf_printf(&b, "/apis/%s/%s", r->group, r->version);
        else
                buf_printf(&b, "/api/%s", r->version);
        if (r->namespaced && !isempty(ns)) {
                buf_append_str(&b, "/namespaces");
                append_segment(&b, ns);
        }
        append_segment(&b, r->plural);
        if (!isempty(name))
                append_segment(&b, name);
        if (!isempty(subresource))
                buf_printf(&b, "/%s", subresource); /* "log", but also "proxy/a/b" */
        if (!isempty(query))
                buf_printf(&b, "?%s", query);
        return buf_take(&b);
}
