/* Kinds of Kubernetes are structs with structs in them: an empty Deployment has a spec, a template
 * and a strategy, and a list of no containers. Who creates one therefore owns the fields in them
 * and not that they are there, which is what `.` in managedFields says. */
#include "kapid/patch/empty.h"

#define TEMPLATE "\"template\":{\"metadata\":{},\"spec\":{\"containers\":[]}}"

static const struct {
        const char *group, *plural, *json;
} rows[] = {
                {"apps", "daemonsets",
                                "{\"spec\":{\"updateStrategy\":{}," TEMPLATE "},\"status\":{}}"},
                {"apps", "deployments", "{\"spec\":{\"strategy\":{}," TEMPLATE "},\"status\":{}}"},
                {"apps", "replicasets", "{\"spec\":{" TEMPLATE "},\"status\":{}}"},
                {"apps", "statefulsets",
                                "{\"spec\":{\"updateStrategy\":{}," TEMPLATE "},\"status\":{}}"},
                {"apiextensions.k8s.io", "customresourcedefinitions",
                                "{\"spec\":{\"names\":{}},\"status\":{\"acceptedNames\":{}}}"},
                {"autoscaling", "horizontalpodautoscalers",
                                "{\"spec\":{\"scaleTargetRef\":{}},\"status\":{}}"},
                {"batch", "cronjobs",
                                "{\"spec\":{\"jobTemplate\":{\"metadata\":{},\"spec\":{" TEMPLATE
                                "}}},\"status\":{}}"},
                {"batch", "jobs", "{\"spec\":{" TEMPLATE "},\"status\":{}}"},
                {"networking.k8s.io", "ingresses",
                                "{\"spec\":{},\"status\":{\"loadBalancer\":{}}}"},
                {"", "events", "{\"source\":{}}"},
                {"", "nodes",
                                "{\"spec\":{},\"status\":{\"daemonEndpoints\":{"
                                "\"kubeletEndpoint\":{"
                                "}},\"nodeInfo\":{}}}"},
                {"", "persistentvolumeclaims", "{\"spec\":{\"resources\":{}},\"status\":{}}"},
                {"", "pods", "{\"spec\":{\"containers\":[]},\"status\":{}}"},
                {"", "podtemplates", "{" TEMPLATE "}"},
                {"", "services", "{\"spec\":{},\"status\":{\"loadBalancer\":{}}}"},
};

/* A part that the object lacks would count as one that it lost. */
static void drop_missing(json_t *empty, const json_t *object) {
        const char *key;
        json_t *v;
        void *next;

        json_object_foreach_safe(empty, next, key, v) {
                const json_t *is = json_object_get(object, key);

                if (!is || json_typeof(is) != json_typeof(v))
                        json_object_del(empty, key);
                else if (json_is_object(v))
                        drop_missing(v, is); /* as deep as the rows are */
        }
}

json_t *empty_object(const struct kind *k, const json_t *object) {
        const char *text = k->custom ? "{}" : "{\"spec\":{},\"status\":{}}";
        json_t *empty;

        for (size_t i = 0; !k->custom && i < ELEMENTS(rows); i++)
                if (streq(k->group, rows[i].group) && streq(k->plural, rows[i].plural))
                        text = rows[i].json;
        empty = json_loads(text, 0, NULL);
        if (empty)
                drop_missing(empty, object);
        return empty;
}
