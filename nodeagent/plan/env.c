/* The environment of a container: env, envFrom, field and resource references, $(VAR) expansion.
 * Values from a Secret are kept apart, because every user can read a unit's Environment=. */
#include "nodeagent/plan/plan.h"

#include <ctype.h>

#include "lib/object.h"
#include "lib/pki.h"
#include "lib/quantity.h"
#include "nodeagent/plan/image.h"

enum { ENV_MAX = 6 * 1024 * 1024 };

void pod_env_done(struct pod_env *e) {
        json_decref(e->names);
        json_decref(e->plain);
        json_decref(e->secret);
        *e = (struct pod_env){0};
}

char *pod_env_expand(const json_t *names, const char *text) {
        _cleanup_buf_ struct buf out = {0};

        for (const char *s = text; *s;) {
                const char *end;

                if (out.size > POD_ENV_TEXT_MAX)
                        return NULL;
                if (s[0] == '$' && s[1] == '$') {
                        buf_append_char(&out, '$');
                        s += 2;
                } else if (s[0] == '$' && s[1] == '(' && (end = strchr(s, ')'))) {
                        _cleanup_free_ char *name = strndup(s + 2, (size_t)(end - s - 2));
                        const json_t *v = name ? json_object_get(names, name) : NULL;

                        if (v)
                                buf_append_str(&out, json_string_value(v));
                        else
                                buf_append(&out, s, (size_t)(end - s + 1));
                        s = end + 1;
                } else
                        buf_append_char(&out, *s++);
        }
        return buf_take(&out);
}

/* metadata.labels['key'] and metadata.annotations['key'] */
static char *subscripted(const json_t *pod, const char *path) {
        const char *open = strstr(path, "['"), *close = open ? strstr(open, "']") : NULL;
        bool labels = startswith(path, "metadata.labels[") != NULL;
        _cleanup_free_ char *key = NULL;

        if (!close || close[2] || (!labels && !startswith(path, "metadata.annotations[")))
                return NULL;
        key = strndup(open + 2, (size_t)(close - open - 2));
        if (!key)
                return NULL;
        return strdup(strempty(labels ? object_label(pod, key) : object_annotation(pod, key)));
}

static char *map_lines(const json_t *map) {
        _cleanup_buf_ struct buf out = {0};
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)map, key, v) {
                if (out.size > 0)
                        buf_append_char(&out, '\n');
                buf_printf(&out, "%s=\"", key);
                for (const char *s = strempty(json_string_value(v)); *s; s++) {
                        if (*s == '"' || *s == '\\')
                                buf_append_char(&out, '\\');
                        if (*s == '\n')
                                buf_append_str(&out, "\\n");
                        else
                                buf_append_char(&out, *s);
                }
                buf_append_char(&out, '"');
        }
        return buf_take(&out);
}

static char *address_list(const char *first, const char *second) {
        return strformat("%s%s%s", strempty(first), isempty(second) ? "" : ",", strempty(second));
}

char *pod_field_value(const json_t *pod, const struct pod_facts *f, const char *path) {
        static const char *const plain[] = {"metadata.name", "metadata.namespace", "metadata.uid",
                        "spec.nodeName", "spec.serviceAccountName"};

        if (streq(path, "spec.nodeName"))
                return strdup(strempty(f->node_name));
        for (size_t i = 0; i < ELEMENTS(plain); i++)
                if (streq(path, plain[i]))
                        return strdup(json_str_or(pod, path, ""));
        if (streq(path, "status.hostIP"))
                return strdup(strempty(f->node_ip));
        if (streq(path, "status.hostIPs"))
                return address_list(f->node_ip, f->node_ip6);
        if (streq(path, "status.podIP"))
                return strdup(strempty(f->pod_ip));
        if (streq(path, "status.podIPs"))
                return address_list(f->pod_ip, f->pod_ip6);
        if (streq(path, "metadata.labels"))
                return map_lines(json_at(pod, "metadata.labels"));
        if (streq(path, "metadata.annotations"))
                return map_lines(json_at(pod, "metadata.annotations"));
        return subscripted(pod, path);
}

static const json_t *container_find(const json_t *pod, const char *name) {
        static const char *const lists[] = {"spec.containers", "spec.initContainers"};

        for (size_t l = 0; l < ELEMENTS(lists); l++) {
                const json_t *c;
                size_t i;
                json_array_foreach (json_at(pod, lists[l]), i, c)
                        if (streq_ptr(json_str(c, "name"), name))
                                return c;
        }
        return NULL;
}

int pod_resource_value(const json_t *pod, const json_t *container, const json_t *ref,
                const struct pod_facts *f, char **ret, struct problem *p) {
        const char *resource = json_str_or(ref, "resource", ""),
                   *named = json_str(ref, "containerName");
        int64_t value = 0, divisor = 1000;
        const json_t *q, *d = json_at(ref, "divisor");
        const char *kind = startswith(resource, "limits.") ? "limits" : "requests";
        const char *what = strchr(resource, '.');

        if (named)
                container = container_find(pod, named);
        if (!container || !what || (!streq(what, ".cpu") && !streq(what, ".memory")))
                return problem_set(p, EINVAL, 0, "CreateContainerConfigError",
                                "resourceFieldRef '%s' is not supported; use limits or requests of "
                                "cpu or memory",
                                resource);
        q = json_get(container, "resources", kind, what + 1, NULL);
        if (q) {
                if (quantity_parse_milli(q, &value) < 0)
                        value = 0;
        } else if (streq(kind, "limits"))
                value = streq(what, ".cpu") ? f->cpu_milli : f->memory_bytes * 1000;
        if (d && (quantity_parse_milli(d, &divisor) < 0 || divisor <= 0))
                divisor = 1000;
        *ret = strformat("%lld", (long long)((value + divisor - 1) / divisor));
        return *ret ? 0 : -ENOMEM;
}

/* Until to_list(), plain and secret are maps of the name to the line. */
static int env_add(struct pod_env *e, const char *name, const char *value, bool secret) {
        /* A later value replaces an earlier one, in either list. */
        e->size += strlen(name) + strlen(value) + 2;
        json_object_del(e->plain, name);
        json_object_del(e->secret, name);
        if (json_object_set_new(secret ? e->secret : e->plain, name,
                            json_sprintf("%s=%s", name, value)) < 0 ||
                        json_object_set_new(e->names, name, json_string(value)) < 0)
                return -ENOMEM;
        return 0;
}

/* Linux cannot start a program with more; and a large variable may be used many times. */
static int check_size(const struct pod_env *e, const json_t *container, struct problem *p) {
        if (e->size <= ENV_MAX)
                return 0;
        return problem_set(p, E2BIG, 0, "CreateContainerConfigError",
                        "container %s: env and envFrom have more than %d bytes; leave some out",
                        json_str_or(container, "name", ""), ENV_MAX);
}

static int to_list(json_t **map) {
        json_t *list = json_array(), *v;
        const char *name;

        if (!list)
                return -ENOMEM;
        json_object_foreach (*map, name, v)
                if (json_array_append(list, v) < 0) {
                        json_decref(list);
                        return -ENOMEM;
                }
        json_decref(*map);
        *map = list;
        return 0;
}

/* The text of one key; NULL when absent or not text. Caller frees. */
static char *resource_text(const json_t *object, bool secret, const char *key) {
        const char *s = json_string_value(json_get(object, "data", key, NULL));
        _cleanup_free_ void *data = NULL;
        size_t n;

        if (!s)
                return NULL;
        if (!secret)
                return strdup(s);
        if (base64_decode(s, &data, &n) < 0 || !utf8_is_valid(n > 0 ? data : "", n))
                return NULL;
        return strndup(n > 0 ? data : "", n);
}

static int env_from_key(struct pod_env *e, const char *name, const json_t *ref, bool secret,
                const json_t *resources, struct problem *p) {
        const char *object_name_ = json_str_or(ref, "name", ""), *key = json_str_or(ref, "key", "");
        const json_t *object =
                        json_get(resources, secret ? "secrets" : "configmaps", object_name_, NULL);
        _cleanup_free_ char *value = resource_text(object, secret, key);

        if (value)
                return env_add(e, name, value, secret);
        if (json_bool_or(ref, "optional", false))
                return 0;
        return problem_set(p, EINVAL, 0, "CreateContainerConfigError",
                        object ? "couldn't find key %s in %s %s" : "key %s: %s \"%s\" not found",
                        key, secret ? "secret" : "configmap", object_name_);
}

static int env_from(struct pod_env *e, const json_t *source, const json_t *resources,
                struct problem *p) {
        bool secret = json_at(source, "secretRef") != NULL;
        const json_t *ref = json_at(source, secret ? "secretRef" : "configMapRef"), *object;
        const char *prefix = json_str_or(source, "prefix", ""),
                   *name = json_str_or(ref, "name", ""), *key;
        json_t *v;

        object = json_get(resources, secret ? "secrets" : "configmaps", name, NULL);
        if (!object) {
                if (json_bool_or(ref, "optional", false))
                        return 0;
                return problem_set(p, EINVAL, 0, "CreateContainerConfigError",
                                "%s \"%s\" not found", secret ? "secret" : "configmap", name);
        }
        json_object_foreach ((json_t *)json_at(object, "data"), key, v) {
                _cleanup_free_ char *value = resource_text(object, secret, key);
                _cleanup_free_ char *full = strformat("%s%s", prefix, key);
                /* Keys that are not variable names are left out, as Kubernetes does. */
                bool valid = full && (isalpha((unsigned char)full[0]) || full[0] == '_');

                for (const char *s = strempty(full); *s && valid; s++)
                        valid = isalnum((unsigned char)*s) || *s == '_';
                if (value && valid && env_add(e, full, value, secret) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int env_one(struct pod_env *e, const json_t *pod, const json_t *container, const json_t *env,
                const json_t *resources, const struct pod_facts *f, struct problem *p) {
        const char *name = json_str_or(env, "name", "");
        const json_t *from = json_at(env, "valueFrom"), *ref;
        _cleanup_free_ char *value = NULL;
        int r;

        if (!*name || strchr(name, '='))
                return problem_set(p, EINVAL, 0, "CreateContainerConfigError",
                                "environment variable name '%s' is not valid", name);
        if ((ref = json_at(from, "configMapKeyRef")))
                return env_from_key(e, name, ref, false, resources, p);
        if ((ref = json_at(from, "secretKeyRef")))
                return env_from_key(e, name, ref, true, resources, p);
        if ((ref = json_at(from, "fieldRef"))) {
                value = pod_field_value(pod, f, json_str_or(ref, "fieldPath", ""));
                if (!value)
                        return problem_set(p, EINVAL, 0, "CreateContainerConfigError",
                                        "fieldRef '%s' of environment variable %s is not supported",
                                        json_str_or(ref, "fieldPath", ""), name);
                return env_add(e, name, value, false);
        }
        if ((ref = json_at(from, "resourceFieldRef"))) {
                r = pod_resource_value(pod, container, ref, f, &value, p);
                return r < 0 ? r : env_add(e, name, value, false);
        }
        if (json_object_get(from, "fileKeyRef"))
                return 0; /* without effect, as its writer was warned: the variable is not set */
        value = pod_env_expand(e->names, json_str_or(env, "value", ""));
        if (!value)
                return problem_set(p, EINVAL, 0, "CreateContainerConfigError",
                                "environment variable %s: its value has more than %d bytes with "
                                "the variables in it replaced; make it shorter",
                                name, POD_ENV_TEXT_MAX);
        /* A value that may contain a secret is kept as one. */
        return env_add(e, name, value,
                        json_object_size(e->secret) > 0 &&
                                        strstr(json_str_or(env, "value", ""), "$("));
}

/* The services' variables come first: the container's own ones replace them. */
static int env_services(struct pod_env *e, const json_t *pod, const struct pod_facts *f) {
        _cleanup_json_ json_t *variables = NULL;
        const char *name;
        json_t *v;
        int r = pod_service_env(pod, f, &variables);

        if (r < 0)
                return r == -E2BIG ? 0 : r;
        json_object_foreach (variables, name, v) {
                r = env_add(e, name, strempty(json_string_value(v)), false);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The image's own variables are below all others, and $(NAME) does not see them. */
static int env_image(struct pod_env *e, const struct pod_facts *f, const json_t *container) {
        _cleanup_json_ json_t *lines = NULL;
        const json_t *v;
        size_t i;
        int r = image_variables(image_of_container(f, container), &lines);

        if (r < 0)
                return r;
        json_array_foreach (lines, i, v) {
                const char *line = strempty(json_string_value(v));
                _cleanup_free_ char *name = strndup(line, strcspn(line, "="));

                if (!name)
                        return -ENOMEM;
                if (!*name || !line[strlen(name)])
                        continue;
                e->size += strlen(line) + 1;
                if (json_object_set(e->plain, name, json_unconst(v)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Fills the empty maps of e; the caller frees it after an error. */
static int env_fill(struct pod_env *e, const json_t *pod, const json_t *container,
                const json_t *resources, const struct pod_facts *f, struct problem *p) {
        _cleanup_free_ char *host_name = pod_host_name(pod, f);
        const json_t *v;
        size_t i;
        int r;

        if (!host_name)
                return -ENOMEM;
        r = env_image(e, f, container);
        if (r < 0)
                return r;
        r = env_services(e, pod, f);
        if (r < 0)
                return r;
        r = env_add(e, "HOSTNAME", host_name, /* secret= */ false);
        if (r < 0)
                return r;
        json_array_foreach (json_at(container, "envFrom"), i, v) {
                r = env_from(e, v, resources, p);
                if (r < 0)
                        return r;
                r = check_size(e, container, p);
                if (r < 0)
                        return r;
        }
        json_array_foreach (json_at(container, "env"), i, v) {
                r = env_one(e, pod, container, v, resources, f, p);
                if (r < 0)
                        return r;
                r = check_size(e, container, p);
                if (r < 0)
                        return r;
        }
        r = to_list(&e->plain);
        if (r < 0)
                return r;
        return to_list(&e->secret);
}

int pod_env_build(const json_t *pod, const json_t *container, const json_t *resources,
                const struct pod_facts *f, struct pod_env *ret, struct problem *p) {
        struct pod_env e = {json_object(), json_object(), json_object(), 0};
        int r;

        if (!e.names || !e.plain || !e.secret)
                r = -ENOMEM;
        else
                r = env_fill(&e, pod, container, resources, f, p);
        if (r < 0) {
                pod_env_done(&e);
                return r;
        }
        *ret = e;
        return 0;
}
