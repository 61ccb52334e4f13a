/* kctl diff: what kctl apply would change, as the server says (a dry run of the same server-side
 * apply). Both sides go as YAML into two folders, and a program compares them: diff -u -N, or
 * $KUBECTL_EXTERNAL_DIFF. Exit codes as diff's: 0 no difference, 1 some, more: trouble. */
#include <sys/stat.h>

#include "kctl/change.h"
#include "kctl/program.h"
#include "lib/fileio.h"
#include "lib/object.h"
#include "lib/yaml.h"

enum { EXIT_DIFFERENT = 1, EXIT_TROUBLE = 2 };

/* Values of a Secret are not shown, only that they are or change. */
static int mask(json_t *live, json_t *merged) {
        static const char *const fields[] = {"data", "stringData"};

        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                json_t *before = json_object_get(live, fields[i]),
                       *after = json_object_get(merged, fields[i]), *v;
                _cleanup_json_ json_t *hidden_before = json_object(), *hidden_after = json_object();
                const char *key;

                json_object_foreach (after, key, v) {
                        const json_t *old = json_object_get(before, key);
                        bool changed = old && !json_same(old, v);

                        json_object_set_new(hidden_after, key,
                                        json_string(changed ? "*** (after)" : "***"));
                }
                json_object_foreach (before, key, v) {
                        const json_t *new = json_object_get(after, key);
                        bool changed = new && !json_same(new, v);

                        json_object_set_new(hidden_before, key,
                                        json_string(changed ? "*** (before)" : "***"));
                }
                if (before && json_object_set(live, fields[i], hidden_before) < 0)
                        return -ENOMEM;
                if (after && json_object_set(merged, fields[i], hidden_after) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int write_side(const char *folder, const char *side, const char *name, json_t *object,
                struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/%s/%s", folder, side, name), *text = NULL;
        _cleanup_json_ json_t *sorted = NULL;
        int r;

        if (!path)
                return -ENOMEM;
        json_del_at(object, "metadata.managedFields");
        sorted = json_sorted(object);
        text = sorted ? yaml_text(sorted) : NULL;
        if (!text)
                return -ENOMEM;
        r = file_write_atomic(path, text, strlen(text), 0600);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "write", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        return 0;
}

/* "apps.v1.Deployment.default.web", as kubectl names them. */
static char *file_name(const struct kind_ref *kind, const char *ns, const char *name) {
        const struct api_resource *r = &kind->resource;

        return strformat("%s%s%s.%s.%s.%s", r->group, *r->group ? "." : "", r->version, r->kind,
                        r->namespaced ? ns : "", name);
}

static int diff_one(struct kctl *k, const json_t *object, const char *folder, struct problem *p) {
        _cleanup_json_ json_t *live = NULL, *merged = NULL;
        _cleanup_free_ char *query = NULL, *path = NULL, *name = NULL, *manager = NULL;
        struct target t = {.name = (char *)object_name(object)};
        int r = kind_find_object(k, object_api_version(object), object_kind(object), &t.kind, p);

        if (r < 0)
                return r;
        if (t.kind.resource.namespaced)
                t.ns = (char *)json_str_or(object, "metadata.namespace", kctl_namespace(k));
        manager = url_escape(k->flags.field_manager ? k->flags.field_manager : "kctl");
        query = manager ? strformat("fieldManager=%s%s&dryRun=All&fieldValidation=Strict", manager,
                                          k->flags.force_conflicts ? "&force=true" : "")
                        : NULL;
        path = query ? target_path(&t, /* subresource= */ NULL, query) : NULL;
        name = file_name(&t.kind, strempty(t.ns), t.name);
        if (!path || !name)
                return -ENOMEM;
        _cleanup_free_ char *plain = target_path(&t, NULL, NULL);
        r = plain ? api_get(k->client, plain, &live, p) : -ENOMEM;
        if (r < 0 && r != -ENOENT)
                return r;
        r = api_patch_request(k->client, path, API_PATCH_APPLY, object, &merged, p);
        if (r < 0)
                return r;
        if (t.kind.facts && t.kind.facts->confidential && mask(live, merged) < 0)
                return -ENOMEM;
        if (live) {
                r = write_side(folder, "LIVE", name, live, p);
                if (r < 0)
                        return r;
        }
        return write_side(folder, "MERGED", name, merged, p);
}

static int make_sides(const char *folder) {
        static const char *const sides[] = {"LIVE", "MERGED"};

        for (size_t i = 0; i < ELEMENTS(sides); i++) {
                _cleanup_free_ char *path = strformat("%s/%s", folder, sides[i]);

                if (!path)
                        return -ENOMEM;
                if (mkdir(path, 0700) < 0)
                        return -errno;
        }
        return 0;
}

static int compare(const char *folder, int *ret_code, struct problem *p) {
        const char *external = getenv("KUBECTL_EXTERNAL_DIFF");
        _cleanup_free_ char *live = strformat("%s/LIVE", folder),
                            *merged = strformat("%s/MERGED", folder);
        char *const arguments[] = {live, merged, NULL};

        if (!live || !merged)
                return -ENOMEM;
        return run_by_shell(isempty(external) ? "diff -u -N" : external, arguments, ret_code, p);
}

/* All objects into the folder, then the comparison. */
static int diff_all(struct kctl *k, const struct manifests *m, const char *folder, int *ret_code,
                struct problem *p) {
        int r = make_sides(folder);

        if (r < 0)
                return r;
        for (size_t i = 0; i < m->count; i++) {
                r = diff_one(k, m->items[i].object, folder, p);
                if (r < 0) {
                        problem_prefix(p, "%s", m->items[i].place);
                        return r;
                }
        }
        return compare(folder, ret_code, p);
}

static int trouble(const struct problem *p) {
        (void)kctl_fail(p);
        return EXIT_TROUBLE;
}

int kctl_diff(struct kctl *k) {
        _cleanup_manifests_ struct manifests m = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *folder = NULL;
        int code = 0, r;

        if (!k->flags.filenames || k->words)
                return kctl_usage(k, "-f FILE is needed, and no word");
        if (manifests_read(k, &m, &p) < 0)
                return trouble(&p);
        if (!kctl_client(k))
                return EXIT_TROUBLE;
        if (private_folder(&folder, &p) < 0)
                return trouble(&p);
        r = diff_all(k, &m, folder, &code, &p);
        (void)remove_tree(folder);
        return r < 0 ? trouble(&p) : code;
}
