/* kctl apply: server-side apply of manifests, namespaces and CRDs first. */
#include "kctl/kctl.h"
#include "lib/object.h"

/* What others need comes first; else as written. */
static unsigned rank(const json_t *o) {
        const char *kind = object_kind(o);

        return streq(kind, "Namespace") ? 0 : streq(kind, "CustomResourceDefinition") ? 1 : 2;
}

static int apply_one(struct kctl *k, const json_t *object, const char *place, struct problem *p) {
        _cleanup_free_ char *manager = url_escape(k->flags.field_manager), *query = NULL,
                            *path = NULL;
        _cleanup_json_ json_t *result = NULL;
        struct kind_ref kind;
        const char *ns;
        char label[320];
        int r = kind_find_object(k, object_api_version(object), object_kind(object), &kind, p);

        if (r < 0)
                return r;
        if (!*object_name(object))
                return problem_set(p, EINVAL, 0, NULL,
                                "metadata.generateName cannot be applied; give a name");
        ns = json_str_or(object, "metadata.namespace", kctl_namespace(k));
        if (k->flags.ns && json_str(object, "metadata.namespace") && !streq(ns, k->flags.ns))
                return problem_set(p, EINVAL, 0, NULL,
                                "its namespace \"%s\" is not the one given by -n, \"%s\"", ns,
                                k->flags.ns);
        query = manager ? strformat("fieldManager=%s&fieldValidation=Strict%s%s", manager,
                                          k->flags.force_conflicts ? "&force=true" : "",
                                          streq_ptr(k->flags.dry_run, "server") ? "&dryRun=All"
                                                                                : "")
                        : NULL;
        path = query ? api_path(&kind.resource, kind.resource.namespaced ? ns : NULL,
                                       object_name(object), NULL, query)
                     : NULL;
        r = path ? api_patch_request(k->client, path, API_PATCH_APPLY, object, &result, p)
                 : -ENOMEM;
        if (r < 0)
                return r;
        if (k->flags.output && !streq(k->flags.output, "wide"))
                return print_object(k, result, &kind, p);
        printf("%s/%s serverside-applied%s\n", kind_label(&kind, label), object_name(result),
                        streq_ptr(k->flags.dry_run, "server") ? " (server dry run)" : "");
        return 0;
}

int kctl_apply(struct kctl *k) {
        _cleanup_objects_ struct manifests m = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (!k->flags.filenames)
                return kctl_usage(k, "-f FILE is needed");
        if (strv_length(k->words) > 0)
                return kctl_usage(k, "apply takes no word \"%s\"; files are given with -f",
                                k->words[0]);
        if (k->flags.dry_run && !streq(k->flags.dry_run, "server") &&
                        !streq(k->flags.dry_run, "none"))
                return kctl_usage(k, "--dry-run %s is none of server, none", k->flags.dry_run);
        if (manifests_read(k, &m, &p) < 0)
                return kctl_fail(&p);
        if (!kctl_client(k))
                return EXIT_ERROR;
        for (unsigned pass = 0; pass <= 2; pass++)
                for (size_t i = 0; i < m.count; i++) {
                        if (rank(m.objects[i]) != pass)
                                continue;
                        if (apply_one(k, m.objects[i], m.places[i], &p) < 0) {
                                problem_prefix(&p, "%s", m.places[i]);
                                if (p.code == 409)
                                        problem_prefix(&p, "(--force-conflicts takes the fields "
                                                           "over)");
                                code = kctl_fail(&p);
                        }
                }
        return code;
}
