/* Kubeconfig files of users: other clusters, users and contexts in them are kept as
 * they are. */
#include <sys/stat.h>

#include "kctl/cluster.h"
#include "lib/fileio.h"
#include "lib/json.h"
#include "lib/yaml.h"

enum { KUBECONFIG_SIZE_MAX = 8 << 20 };

static const char *const lists[] = {"clusters", "users", "contexts"};

char *kubeconfig_default_path(const char *flag) {
        const char *env = getenv("KUBECONFIG"), *home = getenv("HOME");

        if (!isempty(flag))
                return strdup(flag);
        if (!isempty(env))
                return strndup(env, strcspn(env, ":"));
        return strformat("%s/.kube/config", home ? home : "/root");
}

static int read_config(const char *path, json_t **ret, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = file_read(path, KUBECONFIG_SIZE_MAX, &text, &n);

        if (r == -ENOENT || (r == 0 && n == 0)) {
                *ret = json_pack("{s:s, s:s, s:{}, s:[], s:[], s:[]}", "apiVersion", "v1", "kind",
                                "Config", "preferences", "clusters", "users", "contexts");
                return *ret ? 0 : -ENOMEM;
        }
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, r, 0, NULL, "%s", strempty(why));
        }
        r = yaml_parse(text, n, &docs, p);
        if (r < 0) {
                problem_prefix(p, "%s", path);
                return r;
        }
        if (docs.count != 1 || !json_is_object(docs.items[0].value))
                return problem_set(
                                p, EINVAL, 0, NULL, "%s is not a kubeconfig; move it away", path);
        *ret = json_incref(docs.items[0].value);
        return 0;
}

static void remove_named(json_t *config, const char *list, const char *name) {
        json_t *items = json_object_get(config, list);

        for (size_t i = json_array_size(items); i-- > 0;)
                if (streq(json_str_or(json_array_get(items, i), "name", ""), name))
                        json_array_remove(items, i);
}

static int write_text(const char *path, const char *text) {
        _cleanup_free_ char *folder = strdup(path);
        char *slash = folder ? strrchr(folder, '/') : NULL;
        int r;

        if (!folder)
                return -ENOMEM;
        if (slash && slash != folder) {
                *slash = 0;
                r = mkdir_parents(folder, 0700);
                if (r < 0)
                        return r;
        }
        return file_write_atomic(path, text, strlen(text), 0600);
}

static int write_config(const char *path, const json_t *config, struct problem *p) {
        _cleanup_free_ char *text = yaml_text(config);
        int r = text ? write_text(path, text) : -ENOMEM;

        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "write", r);

                return problem_set(p, r, 0, NULL, "%s", strempty(why));
        }
        return 0;
}

int kubeconfig_merge(const char *path, const char *text, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_json_ json_t *config = NULL;
        const json_t *fresh;
        json_t *item;
        size_t i;
        int r = yaml_parse(text, strlen(text), &docs, p);

        if (r < 0)
                return r;
        r = read_config(path, &config, p);
        if (r < 0)
                return r;
        fresh = docs.items[0].value;
        for (size_t l = 0; l < ELEMENTS(lists); l++) {
                if (!json_is_array(json_object_get(config, lists[l])))
                        json_object_set_new(config, lists[l], json_array());
                json_array_foreach (json_object_get(fresh, lists[l]), i, item) {
                        remove_named(config, lists[l], json_str_or(item, "name", ""));
                        json_array_append(json_object_get(config, lists[l]), item);
                }
        }
        json_object_set(config, "current-context", json_object_get(fresh, "current-context"));
        return write_config(path, config, p);
}

int kubeconfig_remove(const char *path, const char *context, struct problem *p) {
        _cleanup_json_ json_t *config = NULL;
        int r = read_config(path, &config, p);

        if (r < 0)
                return r;
        for (size_t l = 0; l < ELEMENTS(lists); l++)
                remove_named(config, lists[l], context);
        if (streq(json_str_or(config, "current-context", ""), context))
                json_object_set_new(config, "current-context", json_string(""));
        return write_config(path, config, p);
}
