/* Kubeconfig files of users: other clusters, users and contexts in them are kept as
 * they are. */
#include <sys/stat.h>

#include "kctl/cluster.h"
#include "kctl/control.h"
#include "lib/client/kubeconfig.h"
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

/* Replaces the entries of config that have the names of those of fresh. */
static void merge_lists(json_t *config, const json_t *fresh) {
        json_t *item;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++) {
                if (!json_is_array(json_object_get(config, lists[l])))
                        json_object_set_new(config, lists[l], json_array());
                json_array_foreach (json_object_get(fresh, lists[l]), i, item) {
                        remove_named(config, lists[l], json_str_or(item, "name", ""));
                        json_array_append(json_object_get(config, lists[l]), item);
                }
        }
}

int kubeconfig_merge(const char *path, const char *text, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_json_ json_t *config = NULL;
        const json_t *fresh;
        int r = yaml_parse(text, strlen(text), &docs, p);

        if (r < 0)
                return r;
        r = read_config(path, &config, p);
        if (r < 0)
                return r;
        fresh = docs.items[0].value;
        merge_lists(config, fresh);
        json_object_set(config, "current-context", json_object_get(fresh, "current-context"));
        return write_config(path, config, p);
}

/* In whatever order. */
static bool has_same_entries(const json_t *a, const json_t *b) {
        const json_t *item, *other;
        size_t i, k;

        for (size_t l = 0; l < ELEMENTS(lists); l++) {
                json_array_foreach (json_object_get(b, lists[l]), i, item) {
                        bool found = false;

                        json_array_foreach (json_object_get(a, lists[l]), k, other)
                                found |= json_equal(item, other);
                        if (!found)
                                return false;
                }
        }
        return true;
}

int kubeconfig_renew(const char *path, const char *text, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_json_ json_t *config = NULL, *before = NULL;
        const json_t *fresh;
        int r = yaml_parse(text, strlen(text), &docs, p);

        if (r < 0)
                return r;
        if (docs.count != 1 || !json_is_object(docs.items[0].value))
                return problem_set(p, EINVAL, 0, NULL, "the new credentials are no kubeconfig");
        r = read_config(path, &config, p);
        if (r < 0)
                return r;
        fresh = docs.items[0].value;
        if (!json_named(json_object_get(config, "contexts"),
                            json_str_or(fresh, "current-context", "")))
                return 0;
        before = json_deep_copy(config);
        merge_lists(config, fresh);
        if (before && has_same_entries(before, config))
                return 0;
        r = write_config(path, config, p);
        return r < 0 ? r : 1;
}

/* The extension with the servers in place of an earlier one; a single server needs none. */
static int set_servers(json_t *cluster, char *const *servers) {
        json_t *extensions = json_object_get(cluster, "extensions"), *list;

        remove_named(cluster, "extensions", KUBECONFIG_SERVERS);
        if (strv_length(servers) < 2) {
                if (json_array_size(extensions) == 0)
                        json_object_del(cluster, "extensions");
                return 0;
        }
        list = json_array();
        if (!list)
                return -ENOMEM;
        for (; *servers; servers++)
                if (json_array_append_new(list, json_string(*servers)) < 0) {
                        json_decref(list);
                        return -ENOMEM;
                }
        if (!json_is_array(extensions)) {
                extensions = json_array();
                if (json_object_set_new(cluster, "extensions", extensions) < 0) {
                        json_decref(list);
                        return -ENOMEM;
                }
        }
        return json_array_append_new(
                               extensions, json_pack("{s:s, s:{s:o}}", "name", KUBECONFIG_SERVERS,
                                                           "extension", "servers", list)) < 0
                               ? -ENOMEM
                               : 0;
}

/* name NULL: in every cluster. */
static int set_all_servers(json_t *config, const char *name, char *const *servers) {
        json_t *entry;
        size_t i;

        json_array_foreach (json_object_get(config, "clusters"), i, entry) {
                json_t *cluster = json_object_get(entry, "cluster");

                if (!json_is_object(cluster) ||
                                (name && !streq(json_str_or(entry, "name", ""), name)))
                        continue;
                if (set_servers(cluster, servers) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int kubeconfig_with_servers(const char *text, char *const *servers, char **ret, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_json_ json_t *config = NULL;
        int r = yaml_parse(text, strlen(text), &docs, p);

        if (r < 0)
                return r;
        if (docs.count != 1 || !json_is_object(docs.items[0].value))
                return problem_set(p, EINVAL, 0, NULL, "this is not a kubeconfig");
        config = json_deep_copy(docs.items[0].value);
        if (!config || set_all_servers(config, NULL, servers) < 0)
                return -ENOMEM;
        *ret = yaml_text(config);
        return *ret ? 0 : -ENOMEM;
}

int kubeconfig_with_server(const char *text, const char *server, char **ret, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_json_ json_t *config = NULL;
        json_t *entry;
        size_t i;
        int r = yaml_parse(text, strlen(text), &docs, p);

        if (r < 0)
                return r;
        config = docs.count == 1 ? json_deep_copy(docs.items[0].value) : NULL;
        if (!config)
                return problem_set(p, EINVAL, 0, NULL, "this is not a kubeconfig");
        json_array_foreach (json_object_get(config, "clusters"), i, entry)
                if (json_object_set_new(json_object_get(entry, "cluster"), "server",
                                    json_string(server)) < 0)
                        return -ENOMEM;
        *ret = yaml_text(config);
        return *ret ? 0 : -ENOMEM;
}

int kubeconfig_set_servers(
                const char *path, const char *cluster, char *const *servers, struct problem *p) {
        _cleanup_json_ json_t *config = NULL;
        int r = read_config(path, &config, p);

        if (r < 0)
                return r;
        r = set_all_servers(config, cluster, servers);
        return r < 0 ? r : write_config(path, config, p);
}

int kubeconfig_set_server(
                const char *path, const char *cluster, const char *server, struct problem *p) {
        _cleanup_json_ json_t *config = NULL;
        json_t *entry;
        size_t i;
        int r = read_config(path, &config, p);

        if (r < 0 || !json_named(json_object_get(config, "clusters"), cluster))
                return r;
        json_array_foreach (json_object_get(config, "clusters"), i, entry)
                if (streq(json_str_or(entry, "name", ""), cluster) &&
                                json_object_set_new(json_object_get(entry, "cluster"), "server",
                                                json_string(server)) < 0)
                        return -ENOMEM;
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
