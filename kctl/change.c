/* Making and changing objects, with dry runs, and printing the result. */
#include "kctl/change.h"

#include "lib/object.h"

enum { TRIES_MAX = 5 };

int dry_run_parse(struct kctl *k, enum dry_run *ret, struct problem *p) {
        static const char *const words[] = {[DRY_RUN_NONE] = "none",
                        [DRY_RUN_CLIENT] = "client",
                        [DRY_RUN_SERVER] = "server"};

        if (!k->flags.dry_run) {
                *ret = DRY_RUN_NONE;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (streq(k->flags.dry_run, words[i])) {
                        *ret = (enum dry_run)i;
                        return 0;
                }
        return problem_set(p, EINVAL, 0, NULL, "--dry-run %s is not one of none, client, server",
                        k->flags.dry_run);
}

const char *dry_run_text(enum dry_run dry_run) {
        static const char *const texts[] = {[DRY_RUN_NONE] = "",
                        [DRY_RUN_CLIENT] = " (dry run)",
                        [DRY_RUN_SERVER] = " (server dry run)"};

        return texts[dry_run];
}

char *change_query(struct kctl *k, enum dry_run dry_run, const char *more) {
        _cleanup_free_ char *manager =
                        url_escape(k->flags.field_manager ? k->flags.field_manager : "kctl");

        if (!manager)
                return NULL;
        return strformat("fieldManager=%s%s%s%s", manager,
                        dry_run == DRY_RUN_SERVER ? "&dryRun=All" : "", more ? "&" : "",
                        strempty(more));
}

int print_change(struct kctl *k, const json_t *object, const struct kind_ref *kind,
                const char *done, enum dry_run dry_run, struct problem *p) {
        char label[320];

        if (!done)
                return 0;
        if (k->flags.output && !streq(k->flags.output, "wide"))
                return print_object(k, object, kind, p);
        printf("%s/%s %s%s\n", object_kind_label(object, kind, label), object_name(object), done,
                        dry_run_text(dry_run));
        return 0;
}

int object_create(struct kctl *k, const struct kind_ref *kind, const json_t *object,
                const char *done, json_t **ret_made, struct problem *p) {
        _cleanup_json_ json_t *sent = json_deep_copy(object), *made = NULL;
        _cleanup_free_ char *query = NULL, *path = NULL;
        bool namespaced = kind->resource.namespaced;
        enum dry_run dry_run;
        int r = dry_run_parse(k, &dry_run, p);

        if (r < 0)
                return r;
        if (!sent)
                return -ENOMEM;
        if (namespaced && k->flags.ns && !json_at(sent, "metadata.namespace"))
                json_set_str(sent, "metadata.namespace", k->flags.ns);
        if (dry_run == DRY_RUN_CLIENT)
                return print_change(k, sent, kind, done, dry_run, p);
        query = change_query(k, dry_run, "fieldValidation=Strict");
        if (!query)
                return -ENOMEM;
        path = api_path(&kind->resource,
                        namespaced ? json_str_or(sent, "metadata.namespace", kctl_namespace(k))
                                   : NULL,
                        /* name= */ NULL, /* subresource= */ NULL, query);
        if (!path)
                return -ENOMEM;
        r = api_request(k->client, "POST", path, "application/json", sent, &made, p);
        if (r < 0)
                return r;
        r = print_change(k, made, kind, done, dry_run, p);
        if (r >= 0 && ret_made)
                *ret_made = TAKE_PTR(made);
        return r;
}

json_t *merge_apply(const json_t *value, const json_t *patch) {
        _cleanup_json_ json_t *merged = NULL;
        const json_t *v;
        const char *key;

        if (!json_is_object(patch))
                return json_ref(patch);
        merged = json_is_object(value) ? json_shallow_copy(value) : json_object();
        if (!merged)
                return NULL;
        json_object_each (patch, key, v)
                if (json_is_null(v))
                        json_object_del(merged, key);
                else if (json_object_set_new(merged, key,
                                         merge_apply(json_object_get(merged, key), v)) < 0)
                        return NULL;
        return TAKE_PTR(merged);
}

json_t *merge_difference(const json_t *old, const json_t *new) {
        _cleanup_json_ json_t *patch = json_object();
        const json_t *value;
        const char *key;

        if (!patch)
                return NULL;
        json_object_each (old, key, value)
                if (!json_object_get(new, key) && json_object_set_new(patch, key, json_null()) < 0)
                        return NULL;
        json_object_each (new, key, value) {
                const json_t *before = json_object_get(old, key);
                json_t *part;

                if (json_same(before, value))
                        continue;
                part = json_is_object(before) && json_is_object(value)
                                       ? merge_difference(before, value)
                                       : json_deep_copy(value);
                if (!part || json_object_set_new(patch, key, part) < 0)
                        return NULL;
        }
        return TAKE_PTR(patch);
}

bool merge_is_current(const json_t *patch, const json_t *old, const json_t *live) {
        const json_t *value;
        const char *key;

        json_object_each (patch, key, value) {
                const json_t *before = json_object_get(old, key), *now = json_object_get(live, key);

                if (json_is_object(value) && json_is_object(before)) {
                        if (!merge_is_current(value, before, now))
                                return false;
                } else if (!json_same(before, now))
                        return false;
        }
        return true;
}

json_t *json_sorted(const json_t *v) {
        _cleanup_free_ char *text = json_text_sorted(v);
        json_t *sorted = NULL;

        if (!text || json_parse(text, strlen(text), 0, &sorted, /* ret_error= */ NULL) < 0)
                return NULL;
        return sorted;
}

/* One read and one patch. 1: another change came between, and nothing is done. */
static int change_once(struct kctl *k, const struct target *t, mutate_func mutate, void *userdata,
                const char *done, struct problem *p) {
        _cleanup_json_ json_t *old = NULL, *new = NULL, *patch = NULL, *made = NULL;
        _cleanup_free_ char *query = NULL, *path = NULL, *plain = target_path(t, NULL, NULL);
        enum dry_run dry_run;
        int r = dry_run_parse(k, &dry_run, p);

        if (r < 0)
                return r;
        query = change_query(k, dry_run, /* more= */ NULL);
        path = query ? target_path(t, /* subresource= */ NULL, query) : NULL;
        if (!path || !plain)
                return -ENOMEM;
        r = api_get(k->client, plain, &old, p);
        if (r < 0)
                return r;
        new = json_deep_copy(old);
        if (!new)
                return -ENOMEM;
        r = mutate(new, t, userdata, p);
        if (r < 0)
                return r;
        patch = merge_difference(old, new);
        if (!patch)
                return -ENOMEM;
        if (json_object_size(patch) == 0)
                return 0;
        if (dry_run == DRY_RUN_CLIENT)
                return print_change(k, new, &t->kind, done, dry_run, p);
        json_set_str(patch, "metadata.resourceVersion",
                        json_str_or(old, "metadata.resourceVersion", ""));
        r = api_patch_request(k->client, path, API_PATCH_MERGE, patch, &made, p);
        if (r < 0)
                return r == -ESTALE ? 1 : r;
        return print_change(k, made, &t->kind, done, dry_run, p);
}

int object_change(struct kctl *k, const struct target *t, mutate_func mutate, void *userdata,
                const char *done, struct problem *p) {
        for (unsigned i = 0; i < TRIES_MAX; i++) {
                int r = change_once(k, t, mutate, userdata, done, p);

                if (r <= 0)
                        return r;
        }
        return problem_set(p, ESTALE, 409, "Conflict",
                        "%s \"%s\" is changed by others all the time; try again", t->kind.singular,
                        t->name);
}

int targets_of_files(struct kctl *k, struct targets *ret, struct problem *p) {
        _cleanup_manifests_ struct manifests m = {0};
        int r = manifests_read(k, &m, p);

        if (r < 0)
                return r;
        if (!kctl_client(k))
                return kctl_no_client(p);
        for (size_t i = 0; i < m.count; i++) {
                const json_t *o = m.items[i].object;
                struct kind_ref kind;

                r = kind_find_object(k, object_api_version(o), object_kind(o), &kind, p);
                if (r < 0)
                        return r;
                r = targets_add(ret, &kind, json_str_or(o, "metadata.namespace", kctl_namespace(k)),
                                object_name(o));
                if (r < 0)
                        return r;
        }
        return 0;
}

int change_targets(struct kctl *k, struct targets *ret, struct problem *p) {
        bool whole = strv_length(k->words) == 1 && !strchr(k->words[0], '/');

        if (k->flags.filenames && !k->words)
                return targets_of_files(k, ret, p);
        if (!k->flags.all && !k->flags.selector && whole)
                return problem_set(p, EINVAL, 0, NULL, "which %s? Give names, -l LABELS or --all",
                                k->words[0]);
        return targets_resolve(k, 0, ret, p);
}

int targets_each_named(struct kctl *k, const char *verb,
                int (*one)(struct kctl *k, const struct target *t, struct problem *p)) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK, r;

        if (!kctl_client(k))
                return EXIT_ERROR;
        if (!k->words && !k->flags.filenames)
                return kctl_usage(k, "%s what? Give KIND NAME, KIND/NAME or -f FILE", verb);
        r = k->words ? targets_parse(k, 0, &t, &p) : targets_of_files(k, &t, &p);
        if (r < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++)
                if (!t.items[i].name)
                        return kctl_usage(k, "which %s? Give its name", t.items[i].kind.singular);
                else if (one(k, &t.items[i], &p) < 0)
                        code = kctl_fail(&p);
        return code;
}
