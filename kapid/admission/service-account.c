/* ServiceAccount: a pod that names no service account gets its namespace's `default`; one that it
 * names must be there. A pod without imagePullSecrets gets those of its account. A pod or an
 * account with automountServiceAccountToken: true has its token in the usual folder of its
 * containers. (In Kubernetes that is so without the field, too; here most pods are programs of the
 * machine that never ask the API.) */
#include "kapid/admission/plugins.h"
#include "kapid/cache/item.h"
#include "kapid/api.h"
#include "lib/object.h"

#define TOKEN_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_VOLUME "kube-api-access"
enum { TOKEN_LIFE_S = 3607 }; /* Kubernetes' number */

static int set_pull_secrets(struct admission *a, const char *account) {
        struct item *it = admission_find(a, "", "serviceaccounts", a->namespace, account);
        _cleanup_json_ json_t *object = it ? item_object(it) : NULL;
        const json_t *secrets = json_at(object, "imagePullSecrets");

        if (json_array_size(json_at(a->draft, "spec.imagePullSecrets")) > 0 ||
                        json_array_size(secrets) == 0)
                return 0;
        return json_set_at(a->draft, "spec.imagePullSecrets", json_ref(secrets));
}

static int set_account(struct admission *a, const char *account, struct problem *p) {
        int r;

        /* The default account comes a moment after its namespace; a pod need not wait for it. */
        if (!streq(account, "default") &&
                        !admission_find(a, "", "serviceaccounts", a->namespace, account))
                return admission_forbidden(a, p,
                                "error looking up service account %s/%s: serviceaccount \"%s\" "
                                "not found",
                                a->namespace, account, account);
        r = json_set_str(a->draft, "spec.serviceAccountName", account);
        if (r < 0)
                return r;
        r = json_set_str(a->draft, "spec.serviceAccount", account);
        if (r < 0)
                return r;
        return set_pull_secrets(a, account);
}

/* The pod's own word counts, then the account's. */
static bool wants_token(struct admission *a, const char *account) {
        const json_t *own = json_at(a->draft, "spec.automountServiceAccountToken");
        struct item *it = own ? NULL
                              : admission_find(a, "", "serviceaccounts", a->namespace, account);
        _cleanup_json_ json_t *object = it ? item_object(it) : NULL;

        return own ? json_is_true(own)
                   : json_bool_or(object, "automountServiceAccountToken", false);
}

static bool has_mount(const json_t *container) {
        const json_t *m;
        size_t i;

        json_array_foreach (json_object_get(container, "volumeMounts"), i, m)
                if (streq(json_str_or(m, "mountPath", ""), TOKEN_DIR))
                        return true;
        return false;
}

/* The list of that name, made where it is missing; NULL when out of memory. */
static json_t *list_of(json_t *object, const char *key) {
        json_t *list = json_object_get(object, key);

        if (list)
                return list;
        if (json_object_set_new(object, key, json_array()) < 0)
                return NULL;
        return json_object_get(object, key);
}

/* 1 when a container has the mount now. */
static int mount_in(json_t *spec, const char *containers) {
        json_t *c;
        size_t i;
        int done = 0;

        json_array_foreach (json_object_get(spec, containers), i, c) {
                json_t *mounts = has_mount(c) ? NULL : list_of(c, "volumeMounts");

                if (has_mount(c))
                        continue;
                if (!mounts || json_array_append_new(mounts,
                                               json_pack("{s:s, s:s, s:b}", "name", TOKEN_VOLUME,
                                                               "mountPath", TOKEN_DIR, "readOnly",
                                                               1)) < 0)
                        return -ENOMEM;
                done = 1;
        }
        return done;
}

static json_t *token_volume(void) {
        return json_pack("{s:s, s:{s:i, s:[{s:{s:i, s:s}}, {s:{s:s, s:[{s:s, s:s}]}}, "
                         "{s:{s:[{s:s, s:{s:s, s:s}}]}}]}}",
                        "name", TOKEN_VOLUME, "projected", "defaultMode", 0644, "sources",
                        "serviceAccountToken", "expirationSeconds", TOKEN_LIFE_S, "path", "token",
                        "configMap", "name", "kube-root-ca.crt", "items", "key", "ca.crt", "path",
                        "ca.crt", "downwardAPI", "items", "path", "namespace", "fieldRef",
                        "apiVersion", "v1", "fieldPath", "metadata.namespace");
}

static int mount_token(json_t *spec) {
        static const char *const lists[] = {"initContainers", "containers"};
        json_t *volumes;
        int mounted = 0;

        for (size_t i = 0; i < ELEMENTS(lists); i++) {
                int r = mount_in(spec, lists[i]);

                if (r < 0)
                        return r;
                mounted |= r;
        }
        volumes = mounted ? list_of(spec, "volumes") : NULL;
        if (!mounted)
                return 0;
        return !volumes || json_array_append_new(volumes, token_volume()) < 0 ? -ENOMEM : 0;
}

static int prepare_pod(struct admission *a, struct problem *p) {
        const char *name = json_str_or(a->draft, "spec.serviceAccountName",
                        json_str_or(a->draft, "spec.serviceAccount", ""));
        _cleanup_free_ char *account = strdup(isempty(name) ? "default" : name);
        int r;

        if (!account)
                return -ENOMEM;
        r = set_account(a, account, p);
        if (r < 0)
                return r;
        return wants_token(a, account) ? mount_token(json_object_get(a->draft, "spec")) : 0;
}

static const struct admission_rule rules[] = {
                {.group = "", .plural = "pods", .operations = ADMIT_CREATE, .mutate = prepare_pod},
                {0},
};

const struct admission_plugin admission_service_account = {.rules = rules};
