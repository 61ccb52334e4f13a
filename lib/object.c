/* Typed views of metadata and conditions. */
#include "lib/object.h"

#include "lib/log.h"

const char *object_kind(const json_t *o) {
        return json_str_or(o, "kind", "");
}

const char *object_api_version(const json_t *o) {
        return json_str_or(o, "apiVersion", "");
}

const char *object_name(const json_t *o) {
        return json_str_or(o, "metadata.name", "");
}

const char *object_namespace(const json_t *o) {
        return json_str_or(o, "metadata.namespace", "");
}

const char *object_uid(const json_t *o) {
        return json_str_or(o, "metadata.uid", "");
}

uint64_t object_resource_version(const json_t *o) {
        uint64_t v;

        return parse_u64(json_str(o, "metadata.resourceVersion"), &v) < 0 ? 0 : v;
}

int64_t object_generation(const json_t *o) {
        return json_int_or(o, "metadata.generation", 0);
}

bool object_is_deleting(const json_t *o) {
        return json_is_string(json_at(o, "metadata.deletionTimestamp"));
}

const char *object_label(const json_t *o, const char *key) {
        return json_string_value(json_get(o, "metadata", "labels", key, NULL));
}

const char *object_annotation(const json_t *o, const char *key) {
        return json_string_value(json_get(o, "metadata", "annotations", key, NULL));
}

bool object_has_finalizer(const json_t *o, const char *name) {
        const json_t *list = json_at(o, "metadata.finalizers");
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (json_is_string(v) && streq(json_string_value(v), name))
                        return true;
        return false;
}

const json_t *object_controller_ref(const json_t *o) {
        const json_t *refs = json_at(o, "metadata.ownerReferences");
        const json_t *ref;
        size_t i;

        json_array_foreach (refs, i, ref)
                if (json_bool_or(ref, "controller", false))
                        return ref;
        return NULL;
}

char *object_key(const json_t *o) {
        const char *ns = object_namespace(o);

        return *ns ? strformat("%s/%s", ns, object_name(o)) : strdup(object_name(o));
}

const json_t *object_condition(const json_t *o, const char *type) {
        const json_t *list = json_at(o, "status.conditions");
        const json_t *c;
        size_t i;

        json_array_foreach (list, i, c)
                if (streq(json_str_or(c, "type", ""), type))
                        return c;
        return NULL;
}

bool object_condition_true(const json_t *o, const char *type) {
        return streq(json_str_or(object_condition(o, type), "status", ""), "True");
}

int object_log(int level, int error, const json_t *o, const char *kind, const char *fmt, ...) {
        _cleanup_free_ char *key = level <= log_level_max() ? object_key(o) : NULL;
        va_list ap;

        va_start(ap, fmt);
        int r = log_aboutv(level, error, kind ? kind : object_kind(o), key, fmt, ap);
        va_end(ap);
        return r;
}

void object_trim_to_metadata(json_t *o) {
        static const char *const keep[] = {"name", "namespace", "uid", "resourceVersion",
                        "ownerReferences", "finalizers", "deletionTimestamp"};
        json_t *metadata = json_object_get(o, "metadata"), *small = json_object();

        for (size_t k = 0; small && k < ELEMENTS(keep); k++) {
                json_t *v = json_object_get(metadata, keep[k]);

                if (v)
                        json_object_set(small, keep[k], v);
        }
        json_object_clear(o);
        json_object_set_new(o, "metadata", small);
}

int object_split_api_version(const char *api_version, char group[static OBJECT_GROUP_SIZE],
                char version[static OBJECT_VERSION_SIZE]) {
        const char *slash = strchr(api_version, '/');
        size_t n = slash ? (size_t)(slash - api_version) : 0;
        const char *v = slash ? slash + 1 : api_version;

        if (n >= OBJECT_GROUP_SIZE || !*v || strlen(v) >= OBJECT_VERSION_SIZE ||
                        (slash && n == 0) || strchr(v, '/'))
                return -EINVAL;
        memcpy(group, api_version, n);
        group[n] = 0;
        memcpy(version, v, strlen(v) + 1);
        return 0;
}
