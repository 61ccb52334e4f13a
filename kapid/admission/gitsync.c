/* GitSyncImpersonation: with whose rights a GitSync acts. With spec.serviceAccountName it is that
 * account of its namespace; without it as kgitd itself, which may do everything. So a user who
 * makes such a GitSync, changes what it applies or deletes it (which deletes what it applied) must
 * be one who could act as kgitd anyway: asked as the verb `impersonate` on kgitd's user. The same
 * for addresses that are paths on the control plane's own disk, where other people's repositories
 * lie too. */
#include "kapid/admission/plugins.h"
#include "kapid/auth/user.h"
#include "kapid/cache/item.h"
#include "lib/object.h"

#define KGITD "system:keelson:kgitd"

static bool acts_as_kgitd(const json_t *gitsync) {
        return isempty(json_str_or(gitsync, "spec.serviceAccountName", ""));
}

static bool reads_own_disk(const json_t *gitsync) {
        const char *url = json_str_or(gitsync, "spec.url", "");

        return *url == '/' || strncasecmp(url, "file:", 5) == 0;
}

static bool may_be_kgitd(const struct admission *a) {
        return admission_may(a,
                        &(struct admission_right){
                                        .verb = "impersonate", .resource = "users", .name = KGITD});
}

static int refuse(struct admission *a, const char *what, const char *remedy, struct problem *p) {
        return admission_forbidden(a, p,
                        "%s, and user \"%s\" may not impersonate the user \"" KGITD "\": %s", what,
                        a->user->name, remedy);
}

static bool is_changed(const json_t *live, const json_t *object) {
        const json_t *a = json_at(live, "metadata.ownerReferences"),
                     *b = json_at(object, "metadata.ownerReferences");

        return !json_equal(json_object_get(live, "spec"), json_object_get(object, "spec")) ||
               ((a || b) && !json_equal((json_t *)a, (json_t *)b));
}

static int check_account(struct admission *a, struct problem *p) {
        const char *account = json_str_or(a->object, "spec.serviceAccountName", "");

        if (admission_may(a, &(struct admission_right){.verb = "impersonate",
                                             .resource = "serviceaccounts",
                                             .namespace = a->namespace,
                                             .name = account}))
                return 0;
        return admission_forbidden(a, p,
                        "it would act as the service account \"%s\", which user \"%s\" may not "
                        "impersonate in the namespace \"%s\": name another account, or ask for "
                        "the role edit there",
                        account, a->user->name, a->namespace);
}

static int check_gitsync(struct admission *a, struct problem *p) {
        if ((a->live && !is_changed(a->live, a->object)) || may_be_kgitd(a))
                return 0;
        if (acts_as_kgitd(a->object) || (a->live && acts_as_kgitd(a->live)))
                return refuse(a,
                                "a GitSync without spec.serviceAccountName acts with all rights of "
                                "the cluster",
                                "set spec.serviceAccountName to a service account of this "
                                "namespace (only an administrator may change an existing GitSync "
                                "without one)",
                                p);
        if (reads_own_disk(a->object))
                return refuse(a, "spec.url names a path on the control plane's own disk",
                                "use the address of a Git server", p);
        return check_account(a, p);
}

static bool namespace_is_deleting(const struct admission *a) {
        struct item *it = admission_find(a, "", "namespaces", "", a->namespace);
        _cleanup_json_ json_t *namespace = it ? item_object(it) : NULL;

        return namespace && object_is_deleting(namespace);
}

static int check_deletion(struct admission *a, struct problem *p) {
        if (!acts_as_kgitd(a->live) || may_be_kgitd(a))
                return 0;
        /* The garbage collector acts for no user. */
        if (streq(a->user->name, "system:kube-controller-manager") || namespace_is_deleting(a))
                return 0;
        return refuse(a,
                        "a GitSync without spec.serviceAccountName acts with all rights of the "
                        "cluster, also when it removes what it applied",
                        "ask an administrator of the cluster to delete it", p);
}

static const struct admission_rule rules[] = {
                {.group = "keelson.dev",
                                .plural = "gitsyncs",
                                .operations = ADMIT_WRITE | ADMIT_DELETE,
                                .validate = check_gitsync,
                                .may_delete = check_deletion},
                {0},
};

const struct admission_plugin admission_gitsync = {.safeguard = true, .rules = rules};
