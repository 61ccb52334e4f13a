/* kctl apply: server-side apply of manifests, namespaces and CRDs first. */
#include "kctl/change.h"
#include "lib/object.h"

/* When an object is applied: what others need comes first, the rest in the order of the files. */
static unsigned pass_of(const json_t *o) {
        char group[OBJECT_GROUP_SIZE] = "", version[OBJECT_VERSION_SIZE];

        (void)object_split_api_version(object_api_version(o), group, version);
        return MIN(kind_rank(group, object_kind(o)), KIND_RANK_BASE + 1u);
}

static int apply_one(struct kctl *k, const json_t *object, struct problem *p) {
        _cleanup_free_ char *manager = url_escape(k->flags.field_manager), *query = NULL,
                            *path = NULL;
        _cleanup_json_ json_t *result = NULL;
        struct kind_ref kind;
        const char *ns;
        char label[320];
        int r;

        r = kind_find_object(k, object_api_version(object), object_kind(object), &kind, p);
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
        if (!manager)
                return -ENOMEM;
        query = strformat("fieldManager=%s&fieldValidation=Strict%s%s", manager,
                        k->flags.force_conflicts ? "&force=true" : "",
                        streq_ptr(k->flags.dry_run, "server") ? "&dryRun=All" : "");
        if (!query)
                return -ENOMEM;
        path = api_path(&kind.resource, kind.resource.namespaced ? ns : NULL, object_name(object),
                        NULL, query);
        if (!path)
                return -ENOMEM;
        r = api_patch_request(k->client, path, API_PATCH_APPLY, object, &result, p);
        if (r < 0)
                return r;
        if (k->flags.output && !streq(k->flags.output, "wide"))
                return print_object(k, result, &kind, p);
        printf("%s/%s serverside-applied%s\n", kind_label(&kind, label), object_name(result),
                        streq_ptr(k->flags.dry_run, "server") ? " (server dry run)" : "");
        return 0;
}

int kctl_apply(struct kctl *k) {
        _cleanup_manifests_ struct manifests m = {0};
        _cleanup_problem_ struct problem p = {0};
        enum dry_run dry_run;
        int code = EXIT_OK;

        if (!k->flags.filenames)
                return kctl_usage(k, "-f FILE is needed");
        if (strv_length(k->words) > 0)
                return kctl_usage(k, "apply takes no argument (\"%s\"); files are given with -f",
                                k->words[0]);
        if (dry_run_parse(k, &dry_run, &p) < 0)
                return kctl_fail(&p);
        if (dry_run == DRY_RUN_CLIENT)
                return kctl_usage(k, "what apply does, only the server can say: --dry-run server");
        if (manifests_read(k, &m, &p) < 0)
                return kctl_fail(&p);
        if (!kctl_client(k))
                return EXIT_ERROR;
        for (unsigned pass = 0; pass <= KIND_RANK_BASE + 1; pass++)
                for (size_t i = 0; i < m.count; i++) {
                        if (pass_of(m.items[i].object) != pass)
                                continue;
                        if (apply_one(k, m.items[i].object, &p) < 0) {
                                problem_prefix(&p, "%s", m.items[i].place);
                                if (p.code == 409)
                                        problem_prefix(&p,
                                                        "(--force-conflicts takes over the fields)");
                                code = kctl_fail(&p);
                        }
                }
        return code;
}
