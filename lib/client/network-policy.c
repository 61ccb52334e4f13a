/* See network-policy.h. The defaults follow Kubernetes' API reference of NetworkPolicySpec. */
#include "lib/client/network-policy.h"

#include "lib/selector.h"

static const struct {
        const char *type, *rules, *peers;
} directions[POLICY_DIRECTIONS] = {
                [POLICY_INGRESS] = {"Ingress", "ingress", "from"},
                [POLICY_EGRESS] = {"Egress", "egress", "to"},
};

const json_t *network_policy_rules(const json_t *policy, enum policy_direction d) {
        return json_get(policy, "spec", directions[d].rules, NULL);
}

const json_t *network_policy_peers(const json_t *rule, enum policy_direction d) {
        return json_object_get(rule, directions[d].peers);
}

bool network_policy_isolates(const json_t *policy, enum policy_direction d) {
        const json_t *types = json_at(policy, "spec.policyTypes"), *v;
        size_t i;

        /* Absent: ingress always, egress where there are rules for it. */
        if (json_array_size(types) == 0)
                return d == POLICY_INGRESS || json_array_size(network_policy_rules(policy, d)) > 0;
        json_array_foreach (types, i, v)
                if (streq_ptr(json_string_value(v), directions[d].type))
                        return true;
        return false;
}

json_t *peer_selector(const json_t *v) {
        const json_t *pods = json_object_get(v, "podSelector"),
                     *namespaces = json_object_get(v, "namespaceSelector");
        json_t *selector;

        if (!json_is_object(pods) && !json_is_object(namespaces))
                return NULL;
        selector = json_object();
        if (!selector || json_object_set_new(selector, "podSelector",
                                         json_is_object(pods) ? json_ref(pods) : json_object()) <
                                         0) {
                json_decref(selector);
                return NULL;
        }
        if (json_is_object(namespaces) && json_object_set_new(selector, "namespaceSelector",
                                                          json_ref(namespaces)) < 0) {
                json_decref(selector);
                return NULL;
        }
        return selector;
}

static bool selects_everything(const json_t *selector) {
        return json_is_object(selector) &&
               json_object_size(json_object_get(selector, "matchLabels")) == 0 &&
               json_array_size(json_object_get(selector, "matchExpressions")) == 0;
}

bool peer_is_every_pod(const json_t *selector) {
        return selects_everything(json_object_get(selector, "namespaceSelector")) &&
               selects_everything(json_object_get(selector, "podSelector"));
}

char *peer_selector_text(const json_t *selector) {
        return json_text_sorted(selector);
}

bool label_selector_json_matches(const json_t *selector, const json_t *labels) {
        _cleanup_(label_selector_freep) struct label_selector *parsed = NULL;
        _cleanup_problem_ struct problem p = {0};
        const char *key;
        json_t *v;

        /* Most have equal labels only: compared without reading the selector. */
        json_object_each (json_object_get(selector, "matchLabels"), key, v)
                if (!streq_ptr(json_string_value(json_object_get(labels, key)),
                                    json_string_value(v)))
                        return false;
        if (json_array_size(json_object_get(selector, "matchExpressions")) == 0)
                return json_is_object(selector);
        return label_selector_from_json(selector, &parsed, &p) >= 0 &&
               label_selector_matches(parsed, labels);
}

static int add_named_ports(json_t *list, const json_t *container) {
        const json_t *port;
        size_t i;

        json_array_foreach (json_object_get(container, "ports"), i, port) {
                const char *name = json_str_or(port, "name", "");
                int64_t number = json_int_or(port, "containerPort", 0);

                if (!*name || number <= 0 || number > 65535)
                        continue;
                if (json_array_append_new(
                                    list, json_pack("{s:s, s:s, s:I}", "name", name, "protocol",
                                                          json_str_or(port, "protocol", "TCP"),
                                                          "port", (json_int_t)number)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

json_t *pod_named_ports(const json_t *pod) {
        static const char *const lists[] = {"initContainers", "containers"};
        json_t *list = json_array();
        const json_t *c;
        size_t i;
        int r = list ? 0 : -ENOMEM;

        for (size_t l = 0; l < ELEMENTS(lists) && r >= 0; l++)
                json_array_foreach (json_get(pod, "spec", lists[l], NULL), i, c) {
                        /* Of the init containers only sidecars serve. */
                        if (l == 0 && !streq(json_str_or(c, "restartPolicy", ""), "Always"))
                                continue;
                        r = add_named_ports(list, c);
                        if (r < 0)
                                break;
                }
        if (r >= 0)
                return list;
        json_decref(list);
        return NULL;
}

json_t *pod_addresses(const json_t *pod) {
        json_t *list = json_array();
        const char *first = json_str_or(pod, "status.podIP", "");
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(pod, "status.podIPs"), i, v) {
                const char *ip = json_str_or(v, "ip", "");
                if (*ip)
                        json_array_append_new(list, json_string(ip));
        }
        if (json_array_size(list) == 0 && *first)
                json_array_append_new(list, json_string(first));
        return list;
}
