/* Names of kinds as people type them. The built-in table answers without a request (start-up time);
 * only a word it does not know costs a look at the server's discovery. */
#include "kctl/kctl.h"
#include "lib/object.h"

static const struct {
        struct api_resource resource;
        const char *singular, *shorts; /* blank-separated */
} known[] = {
                {{"", "v1", "pods", "Pod", true}, "pod", "po"},
                {{"", "v1", "services", "Service", true}, "service", "svc"},
                {{"apps", "v1", "deployments", "Deployment", true}, "deployment", "deploy"},
                {{"", "v1", "nodes", "Node", false}, "node", "no"},
                {{"", "v1", "namespaces", "Namespace", false}, "namespace", "ns"},
                {{"", "v1", "configmaps", "ConfigMap", true}, "configmap", "cm"},
                {{"", "v1", "secrets", "Secret", true}, "secret", ""},
                {{"", "v1", "events", "Event", true}, "event", "ev"},
                {{"", "v1", "serviceaccounts", "ServiceAccount", true}, "serviceaccount", "sa"},
                {{"", "v1", "endpoints", "Endpoints", true}, "endpoints", "ep"},
                {{"apps", "v1", "replicasets", "ReplicaSet", true}, "replicaset", "rs"},
                {{"batch", "v1", "jobs", "Job", true}, "job", ""},
                {{"keelson.dev", "v1", "gitsyncs", "GitSync", true}, "gitsync", "gs"},
                {{"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", true},
                                "endpointslice", ""},
                {{"coordination.k8s.io", "v1", "leases", "Lease", true}, "lease", ""},
                {{"certificates.k8s.io", "v1", "certificatesigningrequests",
                                 "CertificateSigningRequest", false},
                                "certificatesigningrequest", "csr"},
                {{"rbac.authorization.k8s.io", "v1", "roles", "Role", true}, "role", ""},
                {{"rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", true},
                                "rolebinding", ""},
                {{"rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false},
                                "clusterrole", ""},
                {{"rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding",
                                 false},
                                "clusterrolebinding", ""},
                {{"scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", false},
                                "priorityclass", "pc"},
                {{"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                                 "CustomResourceDefinition", false},
                                "customresourcedefinition", "crd crds"},
};

const char *kind_name_at(size_t i, const char **ret_short) {
        if (i >= ELEMENTS(known))
                return NULL;
        *ret_short = known[i].shorts;
        return known[i].resource.plural;
}

static bool in_words(const char *words, const char *word) {
        size_t n = strlen(word);

        for (const char *at = words; n > 0 && (at = strcasestr(at, word)); at++)
                if ((at == words || at[-1] == ' ') && (!at[n] || at[n] == ' '))
                        return true;
        return false;
}

static bool names_it(const struct api_resource *r, const char *singular, const char *shorts,
                const char *word) {
        const char *dot = strchr(word, '.');
        _cleanup_free_ char *bare = dot ? strndup(word, (size_t)(dot - word)) : strdup(word);

        if (!bare || (dot && !streq(dot + 1, r->group)))
                return false;
        return strcaseeq(bare, r->plural) || strcaseeq(bare, singular) ||
               strcaseeq(bare, r->kind) || in_words(shorts, bare);
}

/* An entry made from a discovery document; lives as long as the process. */
static int from_discovery(
                const char *group, const char *version, const json_t *entry, struct kind_ref *ret) {
        char *strings[] = {strdup(group), strdup(version), strdup(json_str_or(entry, "name", "")),
                        strdup(json_str_or(entry, "kind", "")),
                        strdup(json_str_or(entry, "singularName", ""))};

        for (size_t i = 0; i < ELEMENTS(strings); i++)
                if (!strings[i])
                        return -ENOMEM;
        *ret = (struct kind_ref){{strings[0], strings[1], strings[2], strings[3],
                                                 json_bool_or(entry, "namespaced", false)},
                        strings[4]};
        return 0;
}

/* Looks through one APIResourceList for a kind (exact) or a word a person typed. 1 when found. */
static int search_list(
                const json_t *list, const char *kind, const char *word, struct kind_ref *ret) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];
        const json_t *entry, *s;
        size_t i, j;

        if (object_split_api_version(json_str_or(list, "groupVersion", ""), group, version) < 0)
                return 0;
        json_array_foreach (json_object_get(list, "resources"), i, entry) {
                const char *name = json_str_or(entry, "name", "");
                struct api_resource r = {
                                group, version, name, json_str_or(entry, "kind", ""), false};
                bool match = kind ? streq(kind, r.kind)
                                  : names_it(&r, json_str_or(entry, "singularName", ""), "", word);

                if (strchr(name, '/'))
                        continue;
                json_array_foreach (json_object_get(entry, "shortNames"), j, s)
                        match |= word && streq_ptr(json_string_value(s), word);
                if (match) {
                        int q = from_discovery(group, version, entry, ret);
                        return q < 0 ? q : 1;
                }
        }
        return 0;
}

static int search_version(struct kctl *k, const char *api_version, const char *kind,
                const char *word, struct kind_ref *ret, struct problem *p) {
        _cleanup_free_ char *path = strformat(
                        "%s/%s", strchr(api_version, '/') ? "/apis" : "/api", api_version);
        _cleanup_json_ json_t *list = NULL;

        if (!path)
                return -ENOMEM;
        if (!kctl_client(k))
                return -ENOTCONN;
        int r = api_get(k->client, path, &list, p);
        return r == -ENOENT ? 0 : r < 0 ? r : search_list(list, kind, word, ret);
}

static int search_server(
                struct kctl *k, const char *word, struct kind_ref *ret, struct problem *p) {
        _cleanup_json_ json_t *groups = NULL;
        const json_t *group;
        size_t i;
        int r;

        r = search_version(k, "v1", NULL, word, ret, p);
        if (r != 0)
                return r;
        r = api_get(k->client, "/apis", &groups, p);
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(groups, "groups"), i, group) {
                r = search_version(k, json_str_or(group, "preferredVersion.groupVersion", ""), NULL,
                                word, ret, p);
                if (r != 0)
                        return r;
        }
        return 0;
}

int kind_find(struct kctl *k, const char *word, struct kind_ref *ret, struct problem *p) {
        for (size_t i = 0; i < ELEMENTS(known); i++)
                if (names_it(&known[i].resource, known[i].singular, known[i].shorts, word)) {
                        *ret = (struct kind_ref){known[i].resource, known[i].singular};
                        return 0;
                }
        int r = search_server(k, word, ret, p);
        if (r < 0)
                return r;
        return r > 0 ? 0
                     : problem_set(p, ENOENT, 0, NULL,
                                       "the server doesn't have a resource type \"%s\"; kctl "
                                       "api-resources lists those it has",
                                       word);
}

int kind_find_object(struct kctl *k, const char *api_version, const char *kind,
                struct kind_ref *ret, struct problem *p) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];

        if (object_split_api_version(api_version, group, version) < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "apiVersion \"%s\" is not GROUP/VERSION or v1", api_version);
        for (size_t i = 0; i < ELEMENTS(known); i++)
                if (streq(known[i].resource.kind, kind) && streq(known[i].resource.group, group) &&
                                streq(known[i].resource.version, version)) {
                        *ret = (struct kind_ref){known[i].resource, known[i].singular};
                        return 0;
                }
        int r = search_version(k, api_version, kind, NULL, ret, p);
        if (r < 0)
                return r;
        return r > 0 ? 0
                     : problem_set(p, ENOENT, 0, NULL,
                                       "the server knows no kind \"%s\" in version \"%s\"; kctl "
                                       "api-resources lists those it knows",
                                       kind, api_version);
}

const char *kind_label(const struct kind_ref *kind, char buffer[static 320]) {
        snprintf(buffer, 320, "%s%s%s", kind->singular, *kind->resource.group ? "." : "",
                        kind->resource.group);
        return buffer;
}
