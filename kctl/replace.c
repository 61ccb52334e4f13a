/* kctl replace: whole objects of files in place of those that exist; with --force they are deleted
 * first, and made again. */
#include "kctl/change.h"
#include "lib/object.h"

static int is_gone(const json_t *object, void *userdata, struct problem *p) {
        return !object;
}

/* Deletes what is there, and waits until it is gone. */
static int delete_first(struct kctl *k, const struct target *t, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_json_ json_t *options = NULL;
        char label[320];
        int64_t grace = 0;
        int r;

        if (!path)
                return -ENOMEM;
        if (k->flags.grace_period && parse_i64(k->flags.grace_period, &grace) < 0)
                return problem_set(p, EINVAL, 0, NULL, "--grace-period %s is not a number",
                                k->flags.grace_period);
        options = json_pack("{s:s, s:I}", "propagationPolicy", "Background", "gracePeriodSeconds",
                        (json_int_t)MAX(grace, (int64_t)0));
        r = api_request(k->client, "DELETE", path, "application/json", options, /* ret= */ NULL, p);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        printf("%s \"%s\" deleted\n", kind_label(&t->kind, label), t->name);
        return wait_for(k, t, k->flags.timeout_us, is_gone, NULL, p);
}

static int put(struct kctl *k, const struct target *t, const json_t *object, struct problem *p) {
        const char *sub = isempty(k->flags.subresource) ? NULL : k->flags.subresource;
        _cleanup_free_ char *plain = target_path(t, sub, NULL), *query = NULL, *path = NULL;
        _cleanup_json_ json_t *sent = json_deep_copy(object), *now = NULL, *made = NULL;
        enum dry_run dry_run;
        int r = dry_run_parse(k, &dry_run, p);

        if (r < 0)
                return r;
        if (!sent || !plain)
                return -ENOMEM;
        if (dry_run == DRY_RUN_CLIENT)
                return print_change(k, sent, &t->kind, "replaced", dry_run, p);
        if (!json_at(sent, "metadata.resourceVersion")) {
                r = api_get(k->client, plain, &now, p);
                if (r < 0)
                        return r;
                json_set_str(sent, "metadata.resourceVersion",
                                json_str_or(now, "metadata.resourceVersion", ""));
        }
        query = change_query(k, dry_run, "fieldValidation=Strict");
        path = query ? target_path(t, sub, query) : NULL;
        r = path ? api_request(k->client, "PUT", path, "application/json", sent, &made, p)
                 : -ENOMEM;
        return r < 0 ? r : print_change(k, made, &t->kind, "replaced", dry_run, p);
}

static int replace_one(struct kctl *k, const json_t *object, struct problem *p) {
        struct target t = {.ns = NULL};
        _cleanup_json_ json_t *fresh = NULL;
        const char *ns;
        int r = kind_find_object(k, object_api_version(object), object_kind(object), &t.kind, p);

        if (r < 0)
                return r;
        if (!*object_name(object))
                return problem_set(p, EINVAL, 0, NULL,
                                "metadata.generateName cannot be replaced; give a name");
        ns = json_str_or(object, "metadata.namespace", kctl_namespace(k));
        if (k->flags.ns && !streq(ns, k->flags.ns))
                return problem_set(p, EINVAL, 0, NULL,
                                "its namespace \"%s\" is not the one given by -n, \"%s\"", ns,
                                k->flags.ns);
        t.ns = t.kind.resource.namespaced ? (char *)ns : NULL;
        t.name = (char *)object_name(object);
        if (!k->flags.force)
                return put(k, &t, object, p);
        if (k->flags.dry_run || k->flags.subresource)
                return problem_set(p, EINVAL, 0, NULL,
                                "--force deletes and makes again: it has no dry run and no "
                                "subresource");
        r = delete_first(k, &t, p);
        if (r < 0)
                return r;
        fresh = json_deep_copy(object);
        if (!fresh)
                return -ENOMEM;
        json_del_at(fresh, "metadata.resourceVersion");
        json_del_at(fresh, "metadata.uid");
        return object_create(k, &t.kind, fresh, "replaced", /* ret_made= */ NULL, p);
}

int kctl_replace(struct kctl *k) {
        _cleanup_manifests_ struct manifests m = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (!k->flags.filenames || k->words)
                return kctl_usage(k, "-f FILE is needed, and no word");
        if (manifests_read(k, &m, &p) < 0)
                return kctl_fail(&p);
        if (!kctl_client(k))
                return EXIT_ERROR;
        for (size_t i = 0; i < m.count; i++)
                if (replace_one(k, m.items[i].object, &p) < 0) {
                        problem_prefix(&p, "%s", m.items[i].place);
                        code = kctl_fail(&p);
                }
        return code;
}
