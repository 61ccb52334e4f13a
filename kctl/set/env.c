/* kctl set env: NAME=VALUE sets a variable of containers, NAME- removes it; --from takes every key
 * of a ConfigMap or Secret; --list shows what is set. */
#include <ctype.h>

#include "kctl/set/set.h"
#include "lib/object.h"

/* What is to be done with each container. */
struct changes {
        json_t *set;    /* entries of env */
        char **removed; /* names */
        const char *container;
        struct kctl *kctl;
};

static size_t find(const json_t *env, const char *name) {
        size_t i;
        const json_t *e;

        json_array_foreach (env, i, e)
                if (streq(json_str_or(e, "name", ""), name))
                        return i;
        return SIZE_MAX;
}

static int set_one(json_t *container, void *userdata) {
        const struct changes *c = userdata;
        json_t *env = json_object_get(container, "env"), *entry;
        size_t i;

        if (!env) {
                env = json_array();
                if (json_object_set_new(container, "env", env) < 0)
                        return -ENOMEM;
        }
        json_array_foreach (c->set, i, entry) {
                size_t at = find(env, json_str_or(entry, "name", ""));
                int r = at == SIZE_MAX ? json_array_append(env, entry)
                                       : json_array_set(env, at, entry);

                if (r < 0)
                        return -ENOMEM;
        }
        for (char **name = c->removed; name && *name; name++) {
                size_t at = find(env, *name);

                if (at != SIZE_MAX)
                        json_array_remove(env, at);
        }
        if (json_array_size(env) == 0)
                json_object_del(container, "env");
        return 0;
}

static int mutate(json_t *object, const struct target *t, void *userdata, struct problem *p) {
        struct changes *c = userdata;
        json_t *spec = set_pod_spec(object, t, p);
        int r = spec ? set_containers(spec, c->container, set_one, c) : -EINVAL;

        return r == 0 ? set_no_container(spec, c->container, t, p) : MIN(r, 0);
}

static int list_one(json_t *container, void *userdata) {
        const struct target *t = userdata;
        const json_t *e, *from;
        const char *key;
        size_t i;

        printf("# %s %s, container %s\n", t->kind.resource.kind, t->name,
                        json_str_or(container, "name", ""));
        json_array_foreach (json_object_get(container, "env"), i, e) {
                if (!json_object_get(e, "valueFrom")) {
                        printf("%s=%s\n", json_str_or(e, "name", ""), json_str_or(e, "value", ""));
                        continue;
                }
                json_object_each (json_object_get(e, "valueFrom"), key, from)
                        if (startswith(key, "configMap"))
                                printf("# %s from configmap %s, key %s\n",
                                                json_str_or(e, "name", ""),
                                                json_str_or(from, "name", ""),
                                                json_str_or(from, "key", ""));
                        else if (startswith(key, "secret"))
                                printf("# %s from secret %s, key %s\n", json_str_or(e, "name", ""),
                                                json_str_or(from, "name", ""),
                                                json_str_or(from, "key", ""));
                        else
                                printf("# %s from field path %s\n", json_str_or(e, "name", ""),
                                                json_str_or(from, "fieldPath",
                                                                json_str_or(from, "resource", "")));
        }
        return 0;
}

static int list_all(struct kctl *k, const char *pattern) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (!kctl_client(k))
                return EXIT_ERROR;
        if (change_targets(k, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++) {
                _cleanup_free_ char *path = target_path(&t.items[i], NULL, NULL);
                _cleanup_json_ json_t *o = NULL;
                json_t *spec = NULL;
                int r = path ? api_get(k->client, path, &o, &p) : -ENOMEM;

                if (r >= 0)
                        spec = set_pod_spec(o, &t.items[i], &p);
                if (!spec || set_containers(spec, pattern, list_one, &t.items[i]) < 0)
                        code = kctl_fail(&p);
        }
        return code;
}

/* A key as a name of the shell: "db.host-name" is DB_HOST_NAME. Caller frees. */
static char *env_name(const char *prefix, const char *key) {
        char *name = strformat("%s%s", prefix, key);

        for (char *c = name ? name + strlen(prefix) : NULL; c && *c; c++)
                *c = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
        return name;
}

/* --from=configmap/NAME: a reference for each of its keys, or for those of --keys. */
static int add_from(struct kctl *k, json_t *set, struct problem *p) {
        char *words[] = {k->flags.from, NULL}, **own = k->words;
        _cleanup_targets_ struct targets t = {0};
        _cleanup_json_ json_t *o = NULL, *data = NULL;
        _cleanup_free_ char *path = NULL;
        const char *kind, *key;
        json_t *v;
        int r;

        k->words = words;
        r = targets_parse(k, 0, &t, p);
        k->words = own;
        if (r < 0)
                return r;
        kind = t.items[0].kind.resource.kind;
        if (!t.items[0].name || (!streq(kind, "ConfigMap") && !streq(kind, "Secret")))
                return problem_set(p, EINVAL, 0, NULL,
                                "--from %s is not configmap/NAME or secret/NAME", k->flags.from);
        path = target_path(&t.items[0], NULL, NULL);
        r = path ? api_get(k->client, path, &o, p) : -ENOMEM;
        if (r < 0)
                return r;
        data = json_sorted(json_object_get(o, "data"));
        json_object_foreach (data, key, v) {
                _cleanup_free_ char *name = env_name(strempty(k->flags.prefix_text), key);

                if (k->flags.env_keys && !strv_contains(k->flags.env_keys, key))
                        continue;
                if (name && !streq(name + strlen(strempty(k->flags.prefix_text)), key))
                        fprintf(stderr, "Warning: key %s transferred to %s\n", key,
                                        name + strlen(strempty(k->flags.prefix_text)));
                if (!name || json_array_append_new(set,
                                             json_pack("{s:s, s:{s:{s:s, s:s}}}", "name", name,
                                                             "valueFrom",
                                                             streq(kind, "Secret")
                                                                             ? "secretKeyRef"
                                                                             : "configMapKeyRef",
                                                             "key", key, "name", t.items[0].name)) <
                                                0)
                        return -ENOMEM;
        }
        return 0;
}

static int add_word(const char *word, struct changes *c, struct problem *p) {
        const char *equals = strchr(word, '=');
        size_t n = equals ? (size_t)(equals - word) : strlen(word) - 1;
        _cleanup_free_ char *name = strndup(word, n);

        if (!name)
                return -ENOMEM;
        if (!equals)
                return strv_extend(&c->removed, name);
        if (n == 0)
                return problem_set(p, EINVAL, 0, NULL, "\"%s\" is not NAME=VALUE", word);
        return json_array_append_new(c->set,
                               json_pack("{s:s, s:s}", "name", name, "value", equals + 1)) < 0
                               ? -ENOMEM
                               : 0;
}

static bool is_change(const char *word) {
        size_t n = strlen(word);

        return strchr(word, '=') || (n > 1 && word[n - 1] == '-');
}

int kctl_set_env(struct kctl *k) {
        _cleanup_json_ json_t *set = json_array();
        _cleanup_strv_free_ char **words = NULL, **removed = NULL;
        struct changes c = {.set = set,
                        .container = k->flags.container ? k->flags.container : "*",
                        .kctl = k};
        _cleanup_problem_ struct problem p = {0};
        int r = set_split(k, is_change, &words, &p);

        for (char **w = words; r >= 0 && w && *w; w++)
                r = add_word(*w, &c, &p);
        for (char **w = k->flags.env; r >= 0 && w && *w; w++)
                r = add_word(*w, &c, &p);
        removed = c.removed;
        if (r < 0)
                return kctl_fail(&p);
        if (k->flags.list)
                return list_all(k, c.container);
        if (k->flags.from) {
                if (!kctl_client(k))
                        return EXIT_ERROR;
                if (add_from(k, set, &p) < 0)
                        return kctl_fail(&p);
        }
        if (json_array_size(set) == 0 && !removed)
                return kctl_usage(k, "nothing to change: give NAME=VALUE, NAME-, --from or --list");
        return set_all(k, mutate, &c, "env updated");
}
