/* kctl label, kctl annotate: KEY=VALUE sets, KEY- removes. */
#include "kctl/change.h"
#include "lib/object.h"

/* Splits the words into names of objects and changes. */
static int split_words(struct kctl *k, char ***ret_names, json_t *changes, struct problem *p) {
        for (char **w = k->words; w && *w; w++) {
                const char *equals = strchr(*w, '=');
                size_t n = strlen(*w);

                if (equals) {
                        if (equals == *w)
                                return problem_set(p, EINVAL, 0, NULL, "\"%s\" has no key", *w);
                        _cleanup_free_ char *key = strndup(*w, (size_t)(equals - *w));
                        if (!key || json_object_set_new(changes, key, json_string(equals + 1)) < 0)
                                return problem_set(p, EINVAL, 0, NULL,
                                                "\"%s\" is not KEY=VALUE in UTF-8", *w);
                } else if (w != k->words && n > 1 && (*w)[n - 1] == '-') {
                        _cleanup_free_ char *key = strndup(*w, n - 1);
                        if (!key || json_object_set_new(changes, key, json_null()) < 0)
                                return -ENOMEM;
                } else if (strv_extend(ret_names, *w) < 0)
                        return -ENOMEM;
        }
        if (json_object_size(changes) == 0 && !k->flags.list)
                return problem_set(p, EINVAL, 0, NULL,
                                "nothing to change: give KEY=VALUE to set, KEY- to remove");
        return 0;
}

/* Values that are set already are kept unless --overwrite says otherwise. */
static int check_overwrite(struct kctl *k, const struct target *t, const json_t *o,
                const char *field, json_t *changes, struct problem *p) {
        const char *key;
        json_t *v;

        if (k->flags.overwrite)
                return 0;
        json_object_foreach (changes, key, v) {
                const json_t *old = json_get(o, "metadata", field, key, NULL);

                if (old && json_is_string(v) && !json_same(old, v))
                        return problem_set(p, EEXIST, 0, NULL,
                                        "\"%s\" is already \"%s\" on %s \"%s\"; --overwrite "
                                        "replaces it",
                                        key, json_string_value(old), t->kind.singular, t->name);
        }
        return 0;
}

/* What has been done, in kubectl's words. */
static const char *done_text(const json_t *before, const json_t *after, const char *field) {
        const json_t *old = json_get(before, "metadata", field, NULL),
                     *new = json_get(after, "metadata", field, NULL);

        if (!streq(field, "labels"))
                return "annotated";
        if (json_same(old, new) || (!json_object_size(old) && !json_object_size(new)))
                return "not labeled";
        return json_object_size(new) < json_object_size(old) ? "unlabeled" : "labeled";
}

static int change_one(struct kctl *k, const struct target *t, const char *field, json_t *changes,
                const json_t *patch, struct problem *p) {
        _cleanup_free_ char *query = NULL, *path = NULL, *plain = target_path(t, NULL, NULL);
        _cleanup_json_ json_t *before = NULL, *after = NULL;
        enum dry_run dry_run;
        int r = dry_run_parse(k, &dry_run, p);

        if (r < 0)
                return r;
        query = change_query(k, dry_run, /* more= */ NULL);
        path = query ? target_path(t, /* subresource= */ NULL, query) : NULL;
        if (!path || !plain || !patch)
                return -ENOMEM;
        r = api_get(k->client, plain, &before, p);
        if (r < 0)
                return r;
        r = check_overwrite(k, t, before, field, changes, p);
        if (r < 0)
                return r;
        if (dry_run == DRY_RUN_CLIENT) {
                after = merge_apply(before, patch);
                r = after ? 0 : -ENOMEM;
        } else
                r = api_patch_request(k->client, path, API_PATCH_MERGE, patch, &after, p);
        if (r < 0)
                return r;
        return print_change(k, after, &t->kind, done_text(before, after, field), dry_run, p);
}

/* --list: what each object has. */
static int list_one(struct kctl *k, const struct target *t, const char *field, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, NULL, NULL);
        _cleanup_json_ json_t *o = NULL, *sorted = NULL;
        const char *key;
        json_t *v;
        int r = path ? api_get(k->client, path, &o, p) : -ENOMEM;

        if (r < 0)
                return r;
        sorted = json_sorted(json_get(o, "metadata", field, NULL));
        json_object_foreach (sorted, key, v)
                printf("%s=%s\n", key, strempty(json_string_value(v)));
        return 0;
}

static int change(struct kctl *k, const char *field) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_json_ json_t *changes = json_object(), *patch = NULL;
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        char **own = k->words;
        int r, code = EXIT_OK;

        r = split_words(k, &names, changes, &p);
        if (r < 0)
                return kctl_fail(&p);
        if (strv_length(names) == 1 && !strchr(names[0], '/') && !k->flags.all &&
                        !k->flags.selector)
                return kctl_usage(k, "which %s? Give names, -l LABELS or --all", names[0]);
        k->words = names;
        r = targets_resolve(k, 0, &t, &p);
        k->words = own;
        if (r < 0)
                return kctl_fail(&p);
        patch = json_pack("{s:{s:O}}", "metadata", field, changes);
        for (size_t i = 0; i < t.count; i++) {
                r = k->flags.list ? list_one(k, &t.items[i], field, &p)
                                  : change_one(k, &t.items[i], field, changes, patch, &p);
                if (r < 0)
                        code = kctl_fail(&p);
        }
        return code;
}

int kctl_label(struct kctl *k) {
        return change(k, "labels");
}

int kctl_annotate(struct kctl *k) {
        return change(k, "annotations");
}
