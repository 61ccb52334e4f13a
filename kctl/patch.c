/* kctl patch: a patch of the user's own, of one of the three kinds. */
#include "kctl/change.h"
#include "lib/fileio.h"
#include "lib/object.h"
#include "lib/yaml.h"

enum { PATCH_SIZE_MAX = 3 << 20 };

static int patch_kind(const char *word, enum api_patch *ret, struct problem *p) {
        static const struct {
                const char *word;
                enum api_patch kind;
        } kinds[] = {{"strategic", API_PATCH_STRATEGIC}, {"merge", API_PATCH_MERGE},
                        {"json", API_PATCH_JSON}};

        for (size_t i = 0; i < ELEMENTS(kinds); i++)
                if (streq(word ? word : "strategic", kinds[i].word)) {
                        *ret = kinds[i].kind;
                        return 0;
                }
        return problem_set(p, EINVAL, 0, NULL, "--type %s is not one of strategic, merge, json",
                        word);
}

/* The patch of -p or --patch-file, in JSON or YAML. */
static int patch_read(struct kctl *k, json_t **ret, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        const char *file = k->flags.patch_file, *where = file ? file : "-p";
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        int r = 0;

        if (!file == !k->flags.patch)
                return problem_set(p, EINVAL, 0, NULL, "one of -p PATCH and --patch-file is needed");
        if (file)
                r = file_read(file, PATCH_SIZE_MAX, &text, &n);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(file, "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        r = yaml_parse(file ? text : k->flags.patch, file ? n : strlen(k->flags.patch), &docs, p);
        if (r < 0) {
                problem_prefix(p, "%s", where);
                p->code = 0; /* no server has seen it */
                return r;
        }
        if (docs.count != 1)
                return problem_set(p, EINVAL, 0, NULL, "%s: one patch in JSON or YAML is needed",
                                where);
        *ret = json_incref(docs.items[0].value);
        return 0;
}

struct patching {
        enum api_patch kind;
        const json_t *patch;
        enum dry_run dry_run;
};

static int patch_one(struct kctl *k, const struct target *t, const struct patching *x,
                struct problem *p) {
        const char *sub = isempty(k->flags.subresource) ? NULL : k->flags.subresource;
        _cleanup_free_ char *query = change_query(k, x->dry_run, /* more= */ NULL),
                            *path = query ? target_path(t, sub, query) : NULL,
                            *plain = target_path(t, sub, NULL);
        _cleanup_json_ json_t *before = NULL, *after = NULL;
        int r = path && plain ? api_get(k->client, plain, &before, p) : -ENOMEM;

        if (r < 0)
                return r;
        if (x->dry_run == DRY_RUN_CLIENT)
                return print_change(k, before, &t->kind, "patched", x->dry_run, p);
        r = api_patch_request(k->client, path, x->kind, x->patch, &after, p);
        if (r < 0)
                return r;
        bool same = x->dry_run == DRY_RUN_NONE
                        ? object_resource_version(before) == object_resource_version(after)
                        : json_same(before, after);
        return print_change(k, after, &t->kind, same ? "patched (no change)" : "patched",
                        x->dry_run, p);
}

int kctl_patch(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *patch = NULL;
        struct patching x = {0};
        int code = EXIT_OK;

        if (!k->words && !k->flags.filenames)
                return kctl_usage(k, "patch what? Give KIND NAME, KIND/NAME or -f FILE");
        if (patch_kind(k->flags.type, &x.kind, &p) < 0 || dry_run_parse(k, &x.dry_run, &p) < 0 ||
                        patch_read(k, &patch, &p) < 0)
                return kctl_fail(&p);
        if (x.dry_run == DRY_RUN_CLIENT && k->flags.output)
                return kctl_usage(k, "only the server can say what a patch makes of an object: "
                                     "--dry-run server shows it");
        x.patch = patch;
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (change_targets(k, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++)
                if (patch_one(k, &t.items[i], &x, &p) < 0)
                        code = kctl_fail(&p);
        return code;
}
