/* Volumes and mounts. A volume is planned as a folder (empty, in memory, of files, the host's own)
 * that the driver creates and the container bind-mounts. Volumes with data from a Secret are on the
 * ramfs, never on disk. */
#include "nodeagent/plan/plan.h"

#include "lib/volumes.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/quantity.h"

#define REASON "CreateContainerConfigError"

struct volume_context {
        const json_t *pod;
        const json_t *resources;
        const struct pod_facts *facts;
        const char *name;
        json_t *files; /* array of {"path", "mode", "data" (base64)} */
        int64_t mode;
        struct problem *p;
};

/* A relative path without "..", of at most 4096 bytes. */
static bool path_is_relative(const char *path) {
        if (!*path || *path == '/' || strlen(path) > 4096)
                return false;
        for (const char *s = path; s; s = strchr(s, '/')) {
                s += *s == '/';
                if (strncmp(s, "..", 2) == 0 && (s[2] == '/' || !s[2]))
                        return false;
        }
        return true;
}

char *pod_path_tidy(const char *path) {
        _cleanup_free_ char *out = *path == '/' ? malloc(strlen(path) + 2) : NULL;
        size_t n = 0;

        if (!out)
                return NULL;
        while (*path) {
                size_t part;

                path += strspn(path, "/");
                part = strcspn(path, "/");
                if (part == 2 && strncmp(path, "..", 2) == 0)
                        return NULL;
                if (part > 0 && !(part == 1 && *path == '.')) {
                        out[n++] = '/';
                        memcpy(out + n, path, part);
                        n += part;
                }
                path += part;
        }
        if (n == 0)
                out[n++] = '/';
        out[n] = 0;
        return TAKE_PTR(out);
}

static int add_file(struct volume_context *c, const char *path, int64_t mode, const char *base64) {
        /* Names that begin with ".." are the volume's own (..data). */
        if (!path_is_relative(path) || startswith(path, ".."))
                return problem_set(c->p, EINVAL, 0, REASON,
                                "volume %s: the path '%s' must be relative, without '..', and "
                                "must not begin with '..'",
                                c->name, path);
        return json_array_append_new(c->files, json_pack("{s:s, s:I, s:s}", "path", path, "mode",
                                                               (json_int_t)mode, "data", base64));
}

static int add_text(struct volume_context *c, const char *path, int64_t mode, const char *text) {
        _cleanup_free_ char *b = base64_encode(text, strlen(text));
        return b ? add_file(c, path, mode, b) : -ENOMEM;
}

/* Adds one key of a ConfigMap or Secret as a file. 1 when there, 0 when absent. */
static int add_key(struct volume_context *c, const json_t *object, bool secret, const char *key,
                const char *path, int64_t mode) {
        const char *text = json_string_value(json_get(object, "data", key, NULL));
        const char *binary = json_string_value(json_get(object, "binaryData", key, NULL));
        int r;

        if (!text && !binary)
                return 0;
        if (secret || !text)
                r = add_file(c, path, mode, text ? text : binary);
        else
                r = add_text(c, path, mode, text);
        return r < 0 ? r : 1;
}

static int add_object(
                struct volume_context *c, const json_t *source, const char *name, bool secret) {
        const json_t *object =
                        json_get(c->resources, secret ? "secrets" : "configmaps", name, NULL);
        const json_t *items = json_at(source, "items"), *item;
        bool optional = json_bool_or(source, "optional", false);
        static const char *const maps[] = {"data", "binaryData"};
        size_t i;
        int r = 0;

        if (!object)
                return optional ? 0
                                : problem_set(c->p, EINVAL, 0, "ContainerCreating",
                                                  "volume %s: %s \"%s\" not found", c->name,
                                                  secret ? "secret" : "configmap", name);
        json_array_foreach (items, i, item) {
                const char *key = json_str_or(item, "key", "");
                r = add_key(c, object, secret, key, json_str_or(item, "path", ""),
                                json_int_or(item, "mode", c->mode));
                if (r == 0 && !optional)
                        return problem_set(c->p, EINVAL, 0, "ContainerCreating",
                                        "volume %s: %s \"%s\" has no key %s", c->name,
                                        secret ? "secret" : "configmap", name, key);
                if (r < 0)
                        return r;
        }
        for (size_t m = 0; !items && m < ELEMENTS(maps); m++) {
                const char *key;
                json_t *v;
                json_object_foreach ((json_t *)json_at(object, maps[m]), key, v) {
                        r = add_key(c, object, secret, key, key, c->mode);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int add_downward(struct volume_context *c, const json_t *source) {
        const json_t *item;
        size_t i;

        json_array_foreach (json_at(source, "items"), i, item) {
                const char *field = json_str(item, "fieldRef.fieldPath");
                _cleanup_free_ char *value = NULL;
                int r = 0;

                if (field)
                        value = pod_field_value(c->pod, c->facts, field);
                else
                        r = pod_resource_value(c->pod, NULL, json_at(item, "resourceFieldRef"),
                                        c->facts, &value, c->p);
                if (r < 0)
                        return r;
                if (!value)
                        return problem_set(c->p, EINVAL, 0, REASON,
                                        "volume %s: fieldRef '%s' is not supported", c->name,
                                        strempty(field));
                r = add_text(c, json_str_or(item, "path", ""), json_int_or(item, "mode", c->mode),
                                value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_token(struct volume_context *c, const json_t *source) {
        const char *token = pod_token_text(c->resources, source);

        if (!token)
                return problem_set(c->p, EAGAIN, 0, "ContainerCreating",
                                "volume %s: waiting for a token of service account \"%s\" from the "
                                "control plane",
                                c->name, json_str_or(c->pod, "spec.serviceAccountName", "default"));
        return add_text(c, json_str_or(source, "path", ""), c->mode, token);
}

static int add_projected(struct volume_context *c, const json_t *source, bool *ret_secret) {
        const json_t *s, *x;
        size_t i;
        int r = 0;

        json_array_foreach (json_at(source, "sources"), i, s) {
                if ((x = json_at(s, "configMap")))
                        r = add_object(c, x, json_str_or(x, "name", ""), false);
                else if ((x = json_at(s, "secret")))
                        r = add_object(c, x, json_str_or(x, "name", ""), true), *ret_secret = true;
                else if ((x = json_at(s, "downwardAPI")))
                        r = add_downward(c, x);
                else if ((x = json_at(s, "serviceAccountToken")))
                        r = add_token(c, x), *ret_secret = true;
                else
                        r = problem_set(c->p, EINVAL, 0, REASON,
                                        "volume %s: this projected source is not supported; use "
                                        "configMap, secret, downwardAPI or serviceAccountToken",
                                        c->name);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int64_t volume_size(const json_t *source) {
        const json_t *limit = json_at(source, "sizeLimit");
        int64_t bytes;

        return limit && quantity_parse_units(limit, &bytes) >= 0 && bytes > 0 ? bytes : 0;
}

static json_t *plan_files(struct volume_context *c, const json_t *source, const char *kind,
                struct problem *p) {
        _cleanup_free_ char *path = NULL;
        bool secret = streq(kind, "secret");
        int r;

        c->files = json_array();
        c->mode = json_int_or(source, "defaultMode", 0644);
        if (secret)
                r = add_object(c, source, json_str_or(source, "secretName", ""), true);
        else if (streq(kind, "configMap"))
                r = add_object(c, source, json_str_or(source, "name", ""), false);
        else if (streq(kind, "downwardAPI"))
                r = add_downward(c, source);
        else
                r = add_projected(c, source, &secret);
        path = secret ? strformat("%s/%s", c->facts->secret_dir, c->name)
                      : strformat("%s/volumes/%s", c->facts->disk_dir, c->name);
        if (r < 0 || !path) {
                json_decref(TAKE_PTR(c->files));
                if (!p->message)
                        problem_set(p, ENOMEM, 0, REASON, "out of memory");
                return NULL;
        }
        return json_pack("{s:s, s:s, s:s, s:b, s:o}", "name", c->name, "type", "files", "path",
                        path, "secret", secret, "files", TAKE_PTR(c->files));
}

static json_t *plan_volume(struct volume_context *c, const json_t *volume, struct problem *p) {
        static const char *const file_kinds[] = {"configMap", "secret", "downwardAPI", "projected"};
        const json_t *source;
        _cleanup_free_ char *path = NULL;

        for (size_t i = 0; i < ELEMENTS(file_kinds); i++)
                if ((source = json_at(volume, file_kinds[i])))
                        return plan_files(c, source, file_kinds[i], p);
        if ((source = json_at(volume, "hostPath"))) {
                path = pod_path_tidy(json_str_or(source, "path", ""));
                if (!path) {
                        problem_set(p, EINVAL, 0, REASON,
                                        "volume %s: hostPath '%s' must be absolute and without "
                                        "'..'",
                                        c->name, json_str_or(source, "path", ""));
                        return NULL;
                }
                return json_pack("{s:s, s:s, s:s, s:s}", "name", c->name, "type", "host", "path",
                                path, "check", json_str_or(source, "type", ""));
        }
        if (json_at(volume, "nfs")) {
                json_t *out = NULL;

                (void)pod_share_volume(volume, /* bound= */ NULL, c->facts, &out, p);
                return out;
        }
        source = json_at(volume, "emptyDir");
        if (!source && json_object_size(volume) > 1) {
                problem_set(p, EINVAL, 0, REASON,
                                "volume %s: its kind is not supported; use emptyDir, hostPath, "
                                "configMap, secret, downwardAPI, projected, nfs or "
                                "persistentVolumeClaim",
                                c->name);
                return NULL;
        }
        if (streq(json_str_or(source, "medium", ""), "Memory")) {
                path = strformat("%s/volumes/%s", c->facts->run_dir, c->name);
                return json_pack("{s:s, s:s, s:s, s:I}", "name", c->name, "type", "memory", "path",
                                path, "size", (json_int_t)volume_size(source));
        }
        path = strformat("%s/volumes/%s", c->facts->disk_dir, c->name);
        if (volume_size(source) > 0)
                return json_pack("{s:s, s:s, s:s, s:I}", "name", c->name, "type", "empty", "path",
                                path, "size", (json_int_t)volume_size(source));
        return json_pack("{s:s, s:s, s:s}", "name", c->name, "type", "empty", "path", path);
}

int pod_volumes(const json_t *pod, const json_t *resources, const struct pod_facts *facts,
                json_t **ret, struct problem *p) {
        struct volume_context c = {.pod = pod, .resources = resources, .facts = facts, .p = p};
        _cleanup_json_ json_t *out = json_array();
        int64_t fs_group = json_int_or(pod, "spec.securityContext.fsGroup", -1);
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
                json_t *planned;

                c.name = json_str_or(v, "name", "");
                if (!path_is_relative(c.name) || strchr(c.name, '/'))
                        return problem_set(p, EINVAL, 0, REASON, "volume name '%s' is not valid",
                                        c.name);
                if (json_at(v, "persistentVolumeClaim") || json_at(v, "ephemeral")) {
                        int r = pod_claim_volume(pod, v, resources, facts, &planned, p);

                        if (r < 0)
                                return r;
                } else
                        planned = plan_volume(&c, v, p);
                if (!planned)
                        return -EINVAL;
                if (fs_group >= 0)
                        json_object_set_new(planned, "group", json_integer(fs_group));
                if (json_array_append_new(out, planned) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(out);
        return 0;
}

static void bind_add(json_t *properties, bool read_only, const char *source, const char *target) {
        const char *key = read_only ? "BindReadOnlyPaths" : "BindPaths";
        json_t *list = json_object_get(properties, key);

        if (!list) {
                list = json_array();
                json_object_set_new(properties, key, list);
        }
        json_array_append_new(list, json_pack("[s, s]", source, target));
}

/* subPath, or subPathExpr with $(NAME) replaced; every name must be known. */
static int sub_path(const json_t *mount, const json_t *names, char **ret, struct problem *p) {
        const char *sub = json_str_or(mount, "subPath", ""),
                   *expression = json_str_or(mount, "subPathExpr", "");
        _cleanup_free_ char *text = NULL;

        if (*sub && *expression)
                return problem_set(p, EINVAL, 0, REASON,
                                "volumeMounts %s: subPath and subPathExpr exclude each other",
                                json_str_or(mount, "name", ""));
        for (const char *s = strchr(expression, '$'); s; s = strchr(s, '$')) {
                const char *end = s[1] == '(' ? strchr(s, ')') : NULL;
                _cleanup_free_ char *name = NULL;

                if (!end) {
                        s += s[1] == '$' ? 2 : 1;
                        continue;
                }
                name = strndup(s + 2, (size_t)(end - s - 2));
                if (!name)
                        return -ENOMEM;
                if (!json_object_get(names, name))
                        return problem_set(p, EINVAL, 0, REASON,
                                        "subPathExpr '%s': the container has no variable %s",
                                        expression, name);
                s = end;
        }
        text = *expression ? pod_env_expand(names, expression) : strdup(sub);
        if (!text)
                return -ENOMEM;
        if ((*sub || *expression) && !path_is_relative(text))
                return problem_set(p, EINVAL, 0, REASON,
                                "subPath '%s' must be relative and without '..'", text);
        *ret = TAKE_PTR(text);
        return 0;
}

/* A sub-path of a volume is resolved when the container starts, without following a link out of the
 * volume, and mounted from a place that no pod can change; the volume as a whole is such a place.
 */
static int mount_source(const json_t *volume, const json_t *container, const char *sub,
                size_t index, const struct pod_facts *facts, json_t *stage, char **ret) {
        bool files = streq(json_str_or(volume, "type", ""), "files");
        const char *path = json_str_or(volume, "path", ""),
                   *root = json_str_or(volume, "share.where", path);
        char *source;

        if (!*sub)
                return *ret = strdup(path), *ret ? 0 : -ENOMEM;
        source = strformat("%s/mounts/%s/%zu", facts->run_dir, json_str_or(container, "name", ""),
                        index);
        if (!source)
                return -ENOMEM;
        *ret = source;
        return json_array_append_new(
                        stage, json_pack("{s:s, s:s, s:s, s:s, s:O*, s:o, s:b}", "path", source,
                                               "volume", json_str_or(volume, "name", ""), "type",
                                               json_str_or(volume, "type", ""), "root", root,
                                               "folder", json_object_get(volume, "folder"), "sub",
                                               json_sprintf("%s%s", files ? "..data/" : "", sub),
                                               "make", !files));
}

int pod_mounts(const json_t *container, const json_t *volumes, const json_t *names,
                const struct pod_facts *facts, json_t *properties, json_t *stage,
                struct problem *p) {
        const json_t *m;
        size_t i;

        json_array_foreach (json_at(container, "volumeMounts"), i, m) {
                const json_t *volume = json_named(volumes, json_str_or(m, "name", ""));
                _cleanup_free_ char *source = NULL, *sub = NULL,
                                    *target = pod_mount_target(
                                                    properties, json_str_or(m, "mountPath", ""));
                int r;

                if (!volume)
                        return problem_set(p, EINVAL, 0, REASON,
                                        "volumeMounts: the pod has no volume named %s",
                                        json_str_or(m, "name", ""));
                if (!target || streq(target, "/"))
                        return problem_set(p, EINVAL, 0, REASON,
                                        "mountPath '%s' must be absolute, without '..' and not /",
                                        json_str_or(m, "mountPath", ""));
                r = sub_path(m, names, &sub, p);
                if (r < 0)
                        return r;
                r = mount_source(volume, container, sub, i, facts, stage, &source);
                if (r < 0)
                        return r;
                bind_add(properties,
                                streq(json_str_or(volume, "type", ""), "files") ||
                                                json_bool_or(m, "readOnly", false) ||
                                                json_bool_or(volume, "readOnly", false),
                                source, target);
        }
        return 0;
}

/* Adds name -> optional; required wins. */
static void reference_add(json_t *out, bool secret, const json_t *ref, const char *name_key) {
        json_t *map = json_object_get(out, secret ? "secrets" : "configmaps");
        const char *name = json_str_or(ref, name_key, "");
        bool optional = json_bool_or(ref, "optional", false);

        if (!ref || !*name)
                return;
        if (json_is_false(json_object_get(map, name)))
                optional = false;
        json_object_set_new(map, name, json_boolean(optional));
}

/* Optional: the image may be there already, or need no credentials. */
static void pull_secret_add(json_t *out, const char *name) {
        json_t *map = json_object_get(out, "secrets");

        if (*name && !json_object_get(map, name))
                json_object_set_new(map, name, json_true());
}

static void claim_add(json_t *out, const json_t *pod, const json_t *volume) {
        _cleanup_free_ char *name = NULL;

        if (pod_claim_name(pod, volume, &name) >= 0 && name) {
                if (!json_object_get(out, "claims"))
                        json_object_set_new(out, "claims", json_object());
                json_object_set_new(json_object_get(out, "claims"), name, json_false());
        }
}

static void references_of_container(json_t *out, const json_t *container) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(container, "envFrom"), i, v) {
                reference_add(out, false, json_at(v, "configMapRef"), "name");
                reference_add(out, true, json_at(v, "secretRef"), "name");
        }
        json_array_foreach (json_at(container, "env"), i, v) {
                reference_add(out, false, json_at(v, "valueFrom.configMapKeyRef"), "name");
                reference_add(out, true, json_at(v, "valueFrom.secretKeyRef"), "name");
        }
}

json_t *pod_references(const json_t *pod) {
        json_t *out = json_pack("{s:{}, s:{}}", "configmaps", "secrets");
        const json_t *v, *s;
        size_t i, j;

        for (enum container_list l = 0; l < CONTAINER_LISTS; l++)
                json_array_foreach (json_get(pod, "spec", container_list_name(l), NULL), i, v)
                        references_of_container(out, v);
        json_array_foreach (json_at(pod, "spec.imagePullSecrets"), i, v)
                pull_secret_add(out, json_str_or(v, "name", ""));
        json_array_foreach (json_at(pod, "spec.volumes"), i, v) {
                reference_add(out, false, json_at(v, "configMap"), "name");
                reference_add(out, true, json_at(v, "secret"), "secretName");
                claim_add(out, pod, v);
                json_array_foreach (json_at(v, "projected.sources"), j, s) {
                        reference_add(out, false, json_at(s, "configMap"), "name");
                        reference_add(out, true, json_at(s, "secret"), "name");
                }
        }
        if (pod_token_references(pod, out) < 0)
                json_decref(TAKE_PTR(out));
        return out;
}

static int watched_add(json_t *out, const json_t *pod, const json_t *resources, const char *kind,
                const char *name) {
        _cleanup_free_ char *key = strformat("%s/%s/%s", kind, object_namespace(pod), name);
        const json_t *known = json_get(resources, kind, name, NULL);

        if (!key)
                return -ENOMEM;
        if (!*name || json_bool_or(known, "immutable", false))
                return 0;
        return json_object_set_new(out, key, json_true()) < 0 ? -ENOMEM : 0;
}

json_t *pod_watched(const json_t *pod, const json_t *resources) {
        static const struct {
                const char *path, *kind;
                bool projected;
        } rows[] = {{"configMap.name", "configmaps", false},
                        {"secret.secretName", "secrets", false},
                        {"configMap.name", "configmaps", true}, {"secret.name", "secrets", true}};
        _cleanup_json_ json_t *out = json_object();
        const json_t *v, *s;
        size_t i, j;

        if (!out)
                return NULL;
        json_array_foreach (json_at(pod, "spec.volumes"), i, v)
                for (size_t k = 0; k < ELEMENTS(rows); k++) {
                        if (!rows[k].projected &&
                                        watched_add(out, pod, resources, rows[k].kind,
                                                        json_str_or(v, rows[k].path, "")) < 0)
                                return NULL;
                        if (!rows[k].projected)
                                continue;
                        json_array_foreach (json_at(v, "projected.sources"), j, s)
                                if (watched_add(out, pod, resources, rows[k].kind,
                                                    json_str_or(s, rows[k].path, "")) < 0)
                                        return NULL;
                }
        return TAKE_PTR(out);
}

int pod_keep_objects(
                const json_t *before, const json_t *fresh, const json_t *references, json_t **ret) {
        static const char *const kinds[] = {"configmaps", "secrets"};
        _cleanup_json_ json_t *out = json_deep_copy(fresh);

        if (!out)
                return -ENOMEM;
        for (size_t k = 0; k < ELEMENTS(kinds); k++) {
                const char *name;
                json_t *optional;

                json_object_each (json_object_get(references, kinds[k]), name, optional) {
                        const json_t *old = json_get(before, kinds[k], name, NULL);

                        if (!old || json_is_true(optional) || json_get(out, kinds[k], name, NULL))
                                continue;
                        if (json_object_set(json_object_get(out, kinds[k]), name,
                                            json_unconst(old)) < 0)
                                return -ENOMEM;
                }
        }
        *ret = TAKE_PTR(out);
        return 0;
}
