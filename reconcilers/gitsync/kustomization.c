/* Reads which other folders and files a kustomization includes. */
#include "reconcilers/gitsync/kustomization.h"

#include "lib/object.h"
#include "lib/yaml.h"

bool kustomization_is_name(const char *name) {
        return streq(name, "kustomization.yaml") || streq(name, "kustomization.yml") ||
               streq(name, "Kustomization");
}

char *tree_path_join(const char *folder, const char *name) {
        _cleanup_free_ char *whole = *name == '/' ? strdup(name) : strformat("%s/%s", folder, name);
        _cleanup_strv_free_ char **parts = NULL;
        char **kept = NULL, *path;
        size_t n = 0;

        if (!whole || strstr(name, "://") || strv_split(whole, "/", &parts) < 0)
                return NULL;
        for (char **p = parts; p && *p; p++)
                n++;
        kept = calloc(n + 1, sizeof(*kept));
        if (!kept)
                return NULL;
        n = 0;
        for (char **p = parts; p && *p; p++) {
                if (streq(*p, "..") && n == 0) {
                        free(kept);
                        return NULL;
                }
                if (streq(*p, ".."))
                        n--;
                else if (!streq(*p, ".") && **p)
                        kept[n++] = *p;
        }
        kept[n] = NULL;
        path = strv_join(kept, "/");
        free(kept);
        return path;
}

static int add_refs(const char *folder, const json_t *list, json_t *refs) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const char *name = json_is_object(v) ? json_str_or(v, "path", "")
                                                     : strempty(json_string_value(v));
                _cleanup_free_ char *path = *name ? tree_path_join(folder, name) : NULL;

                if (path && json_object_set_new(refs, path, json_true()) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int kustomization_read(const char *folder, const char *text, size_t n, json_t *refs) {
        static const char *const lists[] = {"resources", "bases", "components", "crds", "patches",
                        "patchesStrategicMerge", "patchesJson6902", "generators", "transformers",
                        "configurations"};
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        const json_t *k;

        /* A file that can't be parsed is left to kustomize, whose message is better. */
        if (yaml_parse(text, n, &docs, &p) < 0 || docs.count != 1)
                return 1;
        k = docs.items[0].value;
        if (*object_api_version(k) &&
                        !startswith(object_api_version(k), "kustomize.config.k8s.io/"))
                return -EINVAL;
        for (size_t i = 0; i < ELEMENTS(lists); i++)
                if (add_refs(folder, json_object_get(k, lists[i]), refs) < 0)
                        return -ENOMEM;
        return !streq(object_kind(k), "Component");
}
