/* kctl scale. */
#include "kctl/change.h"
#include "lib/object.h"

/* With --current-replicas: refuses another number, and binds the patch to the version that was
 * read. */
static int expect_current(struct kctl *k, const struct target *t, const char *path, json_t *patch,
                struct problem *p) {
        _cleanup_json_ json_t *current = NULL;
        int64_t expected;
        int r;

        if (!k->flags.current_replicas)
                return 0;
        if (parse_i64(k->flags.current_replicas, &expected) < 0)
                return problem_set(p, EINVAL, 0, NULL, "--current-replicas %s is not a number",
                                k->flags.current_replicas);
        r = api_get(k->client, path, &current, p);
        if (r < 0)
                return r;
        if (json_int_or(current, "spec.replicas", 0) != expected)
                return problem_set(p, ESTALE, 0, NULL, "%s \"%s\" has %lld replicas, not %lld",
                                t->kind.singular, t->name,
                                (long long)json_int_or(current, "spec.replicas", 0),
                                (long long)expected);
        json_set_str(patch, "metadata.resourceVersion",
                        json_str_or(current, "metadata.resourceVersion", ""));
        return 0;
}

static int scale_one(struct kctl *k, const struct target *t, int64_t replicas, struct problem *p) {
        _cleanup_json_ json_t *patch = json_pack("{s:{s:I}}", "spec", "replicas",
                                              (json_int_t)replicas),
                              *made = NULL;
        _cleanup_free_ char *query = NULL, *path = NULL;
        enum dry_run dry_run;
        char label[320];
        int r = dry_run_parse(k, &dry_run, p);

        if (r < 0)
                return r;
        query = change_query(k, dry_run, /* more= */ NULL);
        path = query ? target_path(t, "scale", query) : NULL;
        if (!path || !patch)
                return -ENOMEM;
        r = expect_current(k, t, path, patch, p);
        if (r < 0)
                return r;
        if (dry_run != DRY_RUN_CLIENT) {
                r = api_patch_request(k->client, path, API_PATCH_MERGE, patch, &made, p);
                if (r < 0)
                        return r;
        }
        if (k->flags.output)
                return print_object(k, made ? made : patch, &t->kind, p);
        printf("%s/%s scaled%s\n", kind_label(&t->kind, label), t->name, dry_run_text(dry_run));
        return 0;
}

int kctl_scale(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int64_t replicas;
        int code = EXIT_OK;

        if (!k->flags.replicas || parse_i64(k->flags.replicas, &replicas) < 0 || replicas < 0)
                return kctl_usage(k, "--replicas needs a number from 0 on");
        if (targets_parse(k, 0, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++)
                if (!t.items[i].name)
                        return kctl_usage(k, "which %s? Give its name", t.items[i].kind.singular);
                else if (scale_one(k, &t.items[i], replicas, &p) < 0)
                        code = kctl_fail(&p);
        return code;
}
