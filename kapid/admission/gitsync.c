/* With whose rights a GitSync acts. With spec.serviceAccountName it is that account of its own
 * namespace; without it is kgitd itself, which may do everything. So whoever makes such a GitSync,
 * changes what it applies or deletes it (which deletes what it applied) must be one who could act
 * as kgitd anyway: asked as the verb `impersonate` on kgitd's user. The same for addresses that are
 * paths on the control plane's own disk, where other people's repositories lie too. */
#include "kapid/admission/plugins.h"
#include "lib/object.h"

#define KGITD "system:keelson:kgitd"

static bool acts_as_kgitd(const json_t *gitsync) {
        return isempty(json_str_or(gitsync, "spec.serviceAccountName", ""));
}

static bool reads_own_disk(const json_t *gitsync) {
        const char *url = json_str_or(gitsync, "spec.url", "");

        return *url == '/' || strncasecmp(url, "file:", 5) == 0;
}

static bool may_be_kgitd(const struct write *w) {
        return admission_may(w, "impersonate", "", "users", "", KGITD);
}

static int refuse(struct write *w, const char *what, const char *remedy, struct problem *p) {
        _cleanup_free_ char *text = strformat("%s, and user \"%s\" may not impersonate the user "
                                              "\"" KGITD "\": %s",
                        what, w->request->user.name, remedy);

        return text ? admission_forbidden(w, p, text) : -ENOMEM;
}

static bool is_changed(const json_t *live, const json_t *object) {
        const json_t *a = json_at(live, "metadata.ownerReferences"),
                     *b = json_at(object, "metadata.ownerReferences");

        return !json_equal(json_object_get(live, "spec"), json_object_get(object, "spec")) ||
               ((a || b) && !json_equal((json_t *)a, (json_t *)b));
}

static int check_account(struct write *w, const json_t *object, struct problem *p) {
        const char *account = json_str_or(object, "spec.serviceAccountName", "");
        _cleanup_free_ char *text = NULL;

        if (admission_may(w, "impersonate", "", "serviceaccounts", w->namespace, account))
                return 0;
        text = strformat("it would act as the service account \"%s\", which user \"%s\" may not "
                         "impersonate in the namespace \"%s\": name another account, or ask for "
                         "the role edit there",
                        account, w->request->user.name, w->namespace);
        return text ? admission_forbidden(w, p, text) : -ENOMEM;
}

int validate_gitsync(struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        if (!admission_is_kind(w, "keelson.dev", "gitsyncs") ||
                        (w->request->sub && streq(w->request->sub->name, "status")) ||
                        (live && !is_changed(live, object)) || may_be_kgitd(w))
                return 0;
        if (acts_as_kgitd(object) || (live && acts_as_kgitd(live)))
                return refuse(w,
                                "a GitSync without spec.serviceAccountName acts with all rights of "
                                "the cluster",
                                "set spec.serviceAccountName to a service account of this "
                                "namespace "
                                "(an existing GitSync without one is an administrator's to change)",
                                p);
        if (reads_own_disk(object))
                return refuse(w, "spec.url names a path on the control plane's own disk",
                                "use the address of a Git server", p);
        return check_account(w, object, p);
}

int may_delete_gitsync(struct write *w, const json_t *object, struct problem *p) {
        struct item *it;
        _cleanup_json_ json_t *namespace = NULL;

        if (!admission_is_kind(w, "keelson.dev", "gitsyncs") || !acts_as_kgitd(object) ||
                        may_be_kgitd(w))
                return 0;
        /* The collector of what has no owner or namespace left asks for nobody. */
        if (streq(w->request->user.name, "system:kube-controller-manager"))
                return 0;
        it = admission_find(w->request->api, "/registry/namespaces/", w->namespace);
        namespace = it ? item_object(it) : NULL;
        if (namespace && object_is_deleting(namespace))
                return 0;
        return refuse(w,
                        "a GitSync without spec.serviceAccountName acts with all rights of the "
                        "cluster, also when it removes what it applied",
                        "ask an administrator of the cluster to delete it", p);
}
