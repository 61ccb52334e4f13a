/* kctl label, kctl annotate: KEY=VALUE sets, KEY- removes. */
#include "kctl/kctl.h"
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
        if (json_object_size(changes) == 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "nothing to change: give KEY=VALUE to set, KEY- to remove");
        return 0;
}

/* Values that are set already are kept unless --overwrite says otherwise. */
static int check_overwrite(struct kctl *k, const struct target *t, const char *field,
                json_t *changes, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_json_ json_t *o = NULL;
        const char *key;
        json_t *v;
        int r;

        if (k->flags.overwrite)
                return 0;
        r = path ? api_get(k->client, path, &o, p) : -ENOMEM;
        if (r < 0)
                return r;
        json_object_foreach (changes, key, v) {
                const json_t *old = json_get(o, "metadata", field, key, NULL);

                if (old && json_is_string(v) && !json_equal((json_t *)old, v))
                        return problem_set(p, EEXIST, 0, NULL,
                                        "\"%s\" is already \"%s\" on %s \"%s\"; --overwrite "
                                        "replaces it",
                                        key, json_string_value(old), t->kind.singular, t->name);
        }
        return 0;
}

static int change_one(struct kctl *k, const struct target *t, const char *field, json_t *changes,
                const json_t *patch, struct problem *p) {
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL,
                        streq_ptr(k->flags.dry_run, "server") ? "fieldManager=kctl&dryRun=All"
                                                              : "fieldManager=kctl");
        int r;

        if (!path || !patch)
                return -ENOMEM;
        r = check_overwrite(k, t, field, changes, p);
        if (r < 0)
                return r;
        return api_patch_request(k->client, path, API_PATCH_MERGE, patch, /* ret= */ NULL, p);
}

static int change(struct kctl *k, const char *field, const char *done) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_json_ json_t *changes = json_object(), *patch = NULL;
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        char **own = k->words, label[320];
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
                r = change_one(k, &t.items[i], field, changes, patch, &p);
                if (r < 0)
                        code = kctl_fail(&p);
                else
                        printf("%s/%s %s\n", kind_label(&t.items[i].kind, label), t.items[i].name,
                                        done);
        }
        return code;
}

int kctl_label(struct kctl *k) {
        return change(k, "labels", "labeled");
}

int kctl_annotate(struct kctl *k) {
        return change(k, "annotations", "annotated");
}
