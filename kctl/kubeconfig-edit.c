/* Reading and writing kubeconfig files for kctl config. */
#include "kctl/kubeconfig-edit.h"

#include "kctl/cluster.h"
#include "lib/fileio.h"
#include "lib/yaml.h"

enum { KUBECONFIG_SIZE_MAX = 8 << 20 };

static const char *const lists[] = {"clusters", "contexts", "users"};

/* 0 with NULL when there is no file. */
static int read_config(const char *path, json_t **ret, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = file_read(path, KUBECONFIG_SIZE_MAX, &text, &n);

        *ret = NULL;
        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        r = yaml_parse(text, n, &docs, p);
        if (r < 0) {
                problem_prefix(p, "%s", path);
                return r;
        }
        if (docs.count > 1 || (docs.count == 1 && !json_is_object(docs.items[0].value)))
                return problem_set(p, EINVAL, 0, NULL, "%s is not a kubeconfig", path);
        *ret = docs.count == 1 ? json_incref(docs.items[0].value) : NULL;
        return 0;
}

static json_t *empty_config(void) {
        return json_pack("{s:s, s:[], s:[], s:s, s:s, s:{}, s:[]}", "apiVersion", "v1", "clusters",
                        "contexts", "current-context", "", "kind", "Config", "preferences",
                        "users");
}

int kubeconfig_open(struct kctl *k, char **ret_path, json_t **ret, struct problem *p) {
        _cleanup_free_ char *path = kubeconfig_default_path(k->flags.kubeconfig);
        json_t *config = NULL;
        int r = path ? read_config(path, &config, p) : -ENOMEM;

        if (r < 0)
                return r;
        if (!config)
                config = empty_config();
        if (!config)
                return -ENOMEM;
        *ret_path = TAKE_PTR(path);
        *ret = config;
        return 0;
}

static int write_text(const char *path, const char *text) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *folder =
                        slash && slash != path ? strndup(path, (size_t)(slash - path)) : NULL;
        int r = folder ? mkdir_parents(folder, 0700) : 0;

        return r < 0 ? r : file_write_atomic(path, text, strlen(text), 0600);
}

int kubeconfig_save(const char *path, const json_t *config, struct problem *p) {
        _cleanup_free_ char *text = yaml_text(config);
        int r = text ? write_text(path, text) : -ENOMEM;

        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "write", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        return 0;
}

json_t *kubeconfig_entry(const json_t *config, const char *list, const char *name) {
        return json_unconst(json_named(json_object_get(config, list), name));
}

json_t *kubeconfig_entry_make(json_t *config, const char *list, const char *member,
                const char *name, bool *ret_made) {
        json_t *e = kubeconfig_entry(config, list, name), *entries;

        *ret_made = !e;
        if (!e) {
                if (!json_is_array(json_object_get(config, list)) &&
                                json_object_set_new(config, list, json_array()) < 0)
                        return NULL;
                entries = json_object_get(config, list);
                e = json_pack("{s:{}, s:s}", member, "name", name);
                if (!e || json_array_append_new(entries, e) < 0)
                        return NULL;
        }
        if (!json_is_object(json_object_get(e, member)) &&
                        json_object_set_new(e, member, json_object()) < 0)
                return NULL;
        return e;
}

/* What `more` has and `into` has not. */
static int add_missing(json_t *into, const json_t *more) {
        const json_t *e;
        size_t i;

        if (isempty(json_str(into, "current-context")) && json_str(more, "current-context"))
                json_set_str(into, "current-context", json_str(more, "current-context"));
        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_object_get(more, lists[l]), i, e) {
                        if (kubeconfig_entry(into, lists[l], json_str_or(e, "name", "")))
                                continue;
                        if (json_array_append(json_object_get(into, lists[l]), json_unconst(e)) < 0)
                                return -ENOMEM;
                }
        return 0;
}

int kubeconfig_merged(struct kctl *k, json_t **ret, struct problem *p) {
        const char *env = getenv("KUBECONFIG");
        _cleanup_free_ char *only = kubeconfig_default_path(k->flags.kubeconfig);
        _cleanup_strv_free_ char **paths = NULL;
        _cleanup_json_ json_t *config = empty_config();
        int r;

        if (!only || !config)
                return -ENOMEM;
        r = isempty(k->flags.kubeconfig) && !isempty(env) ? strv_split(env, ":", &paths)
                                                          : strv_extend(&paths, only);
        for (char **path = paths; r >= 0 && path && *path; path++) {
                _cleanup_json_ json_t *one = NULL;

                r = read_config(*path, &one, p);
                if (r < 0)
                        break;
                r = add_missing(config, one);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(config);
        return 0;
}
