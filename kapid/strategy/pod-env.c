/* Variables of containers: their names, and the fields, amounts and keys that they are taken from
 * (downward API). */
#include "kapid/strategy/pod-env.h"

#include "kapid/schema/format.h"
#include "kapid/strategy/pod-volumes.h"
#include "lib/object.h"

static bool is_one_of(const char *word, const char *const *list) {
        for (; *list; list++)
                if (streq(*list, word))
                        return true;
        return false;
}

/* --- fields of the pod --- */

/* "metadata.labels['a']": the key is returned, *ret_end is the length of what stands before. */
static char *subscript_of(const char *path, size_t *ret_length) {
        const char *open = strstr(path, "['"), *close = open ? strstr(open + 2, "']") : NULL;

        if (!close || close[2])
                return NULL;
        *ret_length = (size_t)(open - path);
        return strndup(open + 2, (size_t)(close - open - 2));
}

static void validate_subscript(
                struct findings *f, const json_t *path, size_t length, const char *key) {
        static const char labels[] = "metadata.labels", annotations[] = "metadata.annotations";
        const char *text = json_string_value(path), *error;
        bool of_labels = length == strlen(labels) && strncmp(text, labels, length) == 0,
             of_annotations = length == strlen(annotations) &&
                              strncmp(text, annotations, length) == 0;
        _cleanup_json_ json_t *shown = json_string(key);
        _cleanup_free_ char *lower = strdup(key);

        if (!of_labels && !of_annotations) {
                finding_add(f, FINDING_INVALID, "fieldPath", path,
                                "error converting fieldPath: field label does not support "
                                "subscript: %s",
                                text);
                return;
        }
        for (char *s = of_annotations ? lower : NULL; s && *s; s++)
                if (*s >= 'A' && *s <= 'Z')
                        *s = (char)(*s - 'A' + 'a');
        error = lower ? format_check(FORMAT_QUALIFIED_NAME, lower) : NULL;
        if (error)
                finding_add(f, FINDING_INVALID, NULL, shown, "%s", error);
}

void pod_validate_field_ref(struct findings *f, const json_t *ref, bool file) {
        static const char *const known[] = {"metadata.annotations", "metadata.labels",
                        "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
                        "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName",
                        "status.phase", "status.hostIP", "status.hostIPs", "status.podIP",
                        "status.podIPs", "spec.host", NULL};
        static const char *const of_files[] = {"metadata.annotations", "metadata.labels",
                        "metadata.name", "metadata.namespace", "metadata.uid", NULL};
        static const char *const of_variables[] = {"metadata.name", "metadata.namespace",
                        "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
                        "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
                        "spec.host", NULL};
        const json_t *path = json_object_get(ref, "fieldPath");
        const char *text = strempty(json_string_value(path)),
                   *version = json_str_or(ref, "apiVersion", "v1");
        _cleanup_free_ char *key = NULL;
        size_t length;

        if (!streq(version, "v1") && *version) {
                finding_add(f, FINDING_INVALID, "fieldPath", path,
                                "error converting fieldPath: unsupported pod version: %s", version);
                return;
        }
        key = subscript_of(text, &length);
        if (key)
                validate_subscript(f, path, length, key);
        else if (!is_one_of(text, known))
                finding_add(f, FINDING_INVALID, "fieldPath", path,
                                "error converting fieldPath: field label not supported: %s", text);
        else if (!is_one_of(text, file ? of_files : of_variables))
                finding_add(f, FINDING_NOT_SUPPORTED, "fieldPath", path, "supported values: %s",
                                file ? "\"metadata.annotations\", \"metadata.labels\", "
                                       "\"metadata.name\", \"metadata.namespace\", "
                                       "\"metadata.uid\""
                                     : "\"metadata.name\", \"metadata.namespace\", "
                                       "\"metadata.uid\", \"spec.nodeName\", "
                                       "\"spec.serviceAccountName\", \"status.hostIP\", "
                                       "\"status.hostIPs\", \"status.podIP\", \"status.podIPs\"");
}

/* --- amounts of a container --- */

static void validate_divisor(
                struct findings *f, const char *resource, const json_t *divisor) {
        static const char *const of_cpu[] = {"0", "1", "1m", NULL};
        static const char *const of_bytes[] = {"0", "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki",
                        "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL};
        bool cpu = streq(resource, "limits.cpu") || streq(resource, "requests.cpu");

        if (divisor && !is_one_of(strempty(json_string_value(divisor)), cpu ? of_cpu : of_bytes))
                finding_add(f, FINDING_INVALID, "divisor", divisor, "%s",
                                cpu ? "only divisor's values 1m and 1 are supported with the cpu "
                                      "resource"
                                    : "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, "
                                      "1Gi, 1Ti, 1Pi, 1Ei are supported with this resource");
}

void pod_validate_resource_ref(struct findings *f, const json_t *ref, bool file) {
        static const char *const known[] = {"limits.cpu", "limits.memory",
                        "limits.ephemeral-storage", "requests.cpu", "requests.memory",
                        "requests.ephemeral-storage", NULL};
        const json_t *resource = json_object_get(ref, "resource");
        const char *text = strempty(json_string_value(resource));

        if (file && !*json_str_or(ref, "containerName", "")) {
                finding_add(f, FINDING_REQUIRED, "containerName", NULL, NULL);
                return;
        }
        if (!is_one_of(text, known) && !startswith(text, "limits.hugepages-") &&
                        !startswith(text, "requests.hugepages-")) {
                finding_add(f, FINDING_NOT_SUPPORTED, "resource", resource,
                                "supported values: \"limits.cpu\", \"limits.ephemeral-storage\", "
                                "\"limits.memory\", \"requests.cpu\", "
                                "\"requests.ephemeral-storage\", \"requests.memory\"");
                return;
        }
        validate_divisor(f, text, json_object_get(ref, "divisor"));
}

/* --- variables --- */

static void validate_variable_name(struct findings *f, const char *field, const json_t *name) {
        const char *text = strempty(json_string_value(name));
        bool plain = true;

        for (; *text; text++)
                plain &= *text >= ' ' && *text <= '~' && *text != '=';
        if (!plain)
                finding_add(f, FINDING_INVALID, field, name,
                                "a valid environment variable name must consist only of printable "
                                "ASCII characters other than '='");
}

static void validate_key_ref(struct findings *f, const char *field, const json_t *ref) {
        const json_t *key = json_object_get(ref, "key"), *name = json_object_get(ref, "name");
        const char *text = strempty(json_string_value(key)),
                   *error = format_check(FORMAT_DNS1123_SUBDOMAIN,
                                   strempty(json_string_value(name)));
        size_t at = findings_push(f, field);

        if (error)
                finding_add(f, FINDING_INVALID, "name", name ? name : json_null(), "%s", error);
        error = *text ? format_check(FORMAT_CONFIG_KEY, text) : NULL;
        if (error)
                finding_add(f, FINDING_INVALID, "key", key, "%s", error);
        findings_pop(f, at);
}

static void validate_file_key(struct findings *f, const json_t *ref) {
        size_t at = findings_push(f, "fileKeyRef");

        validate_variable_name(f, "key", json_object_get(ref, "key"));
        pod_validate_path_below(f, "path", json_object_get(ref, "path"));
        findings_pop(f, at);
}

static void validate_from(struct findings *f, const json_t *from, bool has_value) {
        static const char *const sources[] = {"fieldRef", "resourceFieldRef", "configMapKeyRef",
                        "secretKeyRef", "fileKeyRef"};
        size_t at = findings_push(f, "valueFrom"), n = 0, inner;

        for (size_t i = 0; i < ELEMENTS(sources); i++) {
                const json_t *ref = json_object_get(from, sources[i]);

                if (!ref)
                        continue;
                n++;
                if (streq(sources[i], "fileKeyRef")) {
                        validate_file_key(f, ref);
                        continue;
                }
                if (i >= 2) {
                        validate_key_ref(f, sources[i], ref);
                        continue;
                }
                inner = findings_push(f, sources[i]);
                if (i == 0)
                        pod_validate_field_ref(f, ref, /* file= */ false);
                else
                        pod_validate_resource_ref(f, ref, /* file= */ false);
                findings_pop(f, inner);
        }
        if (n == 0)
                finding_add(f, FINDING_INVALID, NULL, from,
                                "must specify one of: `fieldRef`, `resourceFieldRef`, "
                                "`configMapKeyRef` or `secretKeyRef`");
        else if (has_value)
                finding_add(f, FINDING_INVALID, NULL, from,
                                "may not be specified when `value` is not empty");
        else if (n > 1)
                finding_add(f, FINDING_INVALID, NULL, from,
                                "may not have more than one field specified at a time");
        findings_pop(f, at);
}

/* All keys of a ConfigMap or of a Secret, with a prefix. */
static void validate_all_from(struct findings *f, const json_t *entry) {
        static const char *const sources[] = {"configMapRef", "secretRef"};
        _cleanup_json_ json_t *none = json_string("");
        size_t n = 0;

        validate_variable_name(f, "prefix", json_object_get(entry, "prefix"));
        for (size_t i = 0; i < ELEMENTS(sources); i++) {
                const json_t *ref = json_object_get(entry, sources[i]),
                             *name = json_object_get(ref, "name");
                const char *error;
                size_t at;

                if (!ref)
                        continue;
                n++;
                at = findings_push(f, sources[i]);
                if (!*strempty(json_string_value(name)))
                        finding_add(f, FINDING_REQUIRED, "name", NULL, NULL);
                else if ((error = format_check(FORMAT_DNS1123_SUBDOMAIN,
                                          json_string_value(name))))
                        finding_add(f, FINDING_INVALID, "name", name, "%s", error);
                findings_pop(f, at);
        }
        if (n != 1)
                finding_add(f, FINDING_INVALID, NULL, none, "%s",
                                n == 0 ? "must specify one of: `configMapRef` or `secretRef`"
                                       : "may not have more than one field specified at a time");
}

void pod_env_validate(struct findings *f, const json_t *container) {
        const json_t *v;
        size_t i, at;

        json_array_foreach (json_object_get(container, "env"), i, v) {
                const json_t *from = json_object_get(v, "valueFrom");

                at = findings_push(f, "env");
                findings_push_index(f, i);
                validate_variable_name(f, "name", json_object_get(v, "name"));
                if (from)
                        validate_from(f, from, *json_str_or(v, "value", "") != 0);
                findings_pop(f, at);
        }
        json_array_foreach (json_object_get(container, "envFrom"), i, v) {
                at = findings_push(f, "envFrom");
                findings_push_index(f, i);
                validate_all_from(f, v);
                findings_pop(f, at);
        }
}
