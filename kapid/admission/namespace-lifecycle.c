/* NamespaceLifecycle: nothing is made in a namespace that is not there or that is going away, and
 * the namespaces that a cluster cannot do without stay. */
#include "kapid/admission/plugins.h"
#include "kapid/cache/item.h"
#include "lib/object.h"

static int refuse_terminating(const struct admission *a, struct problem *p) {
        const char *quote = isempty(a->name) ? "" : "\"";

        problem_set(p, EACCES, 403, "Forbidden",
                        "%s%s%s%s%s is forbidden: unable to create new content in namespace %s "
                        "because it is being terminated",
                        a->kind->resource, isempty(a->name) ? "" : " ", quote, a->name, quote,
                        a->namespace);
        problem_cause(p, "NamespaceTerminating", "metadata.namespace",
                        "namespace is being terminated");
        return -EACCES;
}

static int not_found(const char *namespace, struct problem *p) {
        problem_set(p, ENOENT, 404, "NotFound", "namespaces \"%s\" not found", namespace);
        problem_about(p, "", "namespaces", namespace);
        return -ENOENT;
}

static int check_namespace(struct admission *a, struct problem *p) {
        _cleanup_json_ json_t *namespace = NULL;
        struct item *it;

        if (!a->kind->namespaced)
                return 0;
        it = admission_find(a, "", "namespaces", "", a->namespace);
        if (!it)
                return not_found(a->namespace, p);
        namespace = item_object(it);
        if (!namespace)
                return -ENOMEM;
        if (object_is_deleting(namespace) ||
                        streq(json_str_or(namespace, "status.phase", ""), "Terminating"))
                return refuse_terminating(a, p);
        return 0;
}

static int keep_namespace(struct admission *a, struct problem *p) {
        static const char *const kept[] = {"default", "kube-system", "kube-public"};

        for (size_t i = 0; i < ELEMENTS(kept); i++)
                if (streq(a->name, kept[i]))
                        return admission_forbidden(a, p, "this namespace may not be deleted");
        return 0;
}

static const struct admission_rule rules[] = {
                {.subresource = "*", .operations = ADMIT_CREATE, .may_create = check_namespace},
                {.group = "",
                                .plural = "namespaces",
                                .operations = ADMIT_DELETE,
                                .may_delete = keep_namespace},
                {0},
};

const struct admission_plugin admission_namespace_lifecycle = {.rules = rules};
