/* Kinds whose status is a struct in Kubernetes' types, which JSON never omits: it is there from the
 * start, with the counters that have no omitempty. */
#include "kapid/strategy/initial-status.h"

static const struct {
        const char *group, *plural, *json;
} rows[] = {
                {"apps", "deployments", "{}"},
                {"apps", "replicasets", "{\"replicas\":0}"},
                {"apps", "statefulsets", "{\"replicas\":0,\"availableReplicas\":0}"},
                {"apps", "daemonsets",
                                "{\"currentNumberScheduled\":0,\"numberMisscheduled\":0,"
                                "\"desiredNumberScheduled\":0,\"numberReady\":0}"},
                {"batch", "jobs", "{}"},
                {"batch", "cronjobs", "{}"},
                {"certificates.k8s.io", "certificatesigningrequests", "{}"},
                {"flowcontrol.apiserver.k8s.io", "flowschemas", "{}"},
                {"flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "{}"},
                {"networking.k8s.io", "ingresses", "{\"loadBalancer\":{}}"},
                {"networking.k8s.io", "servicecidrs", "{}"},
                {"storage.k8s.io", "volumeattachments", "{\"attached\":false}"},
                {"", "replicationcontrollers", "{\"replicas\":0}"},
                {"", "nodes",
                                "{\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":0}},"
                                "\"nodeInfo\":{\"machineID\":\"\",\"systemUUID\":\"\","
                                "\"bootID\":\"\",\"kernelVersion\":\"\",\"osImage\":\"\","
                                "\"containerRuntimeVersion\":\"\",\"kubeletVersion\":\"\","
                                "\"kubeProxyVersion\":\"\",\"operatingSystem\":\"\","
                                "\"architecture\":\"\"}}"},
};

int strategy_initial_status(const struct kind *k, json_t *object) {
        if (k->custom || json_object_get(object, "status"))
                return 0;
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                json_t *status;

                if (!streq(k->group, rows[i].group) || !streq(k->plural, rows[i].plural))
                        continue;
                status = json_loads(rows[i].json, 0, NULL);
                return json_object_set_new(object, "status", status) < 0 ? -ENOMEM : 0;
        }
        return 0;
}
