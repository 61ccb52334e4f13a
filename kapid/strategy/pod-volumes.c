/* Volumes of pods: exactly one source each, whose paths stay below the volume; mounts and devices
 * that name one of them. */
#include "kapid/strategy/pod-volumes.h"

#include "kapid/strategy/pod-env.h"
#include "lib/object.h"
#include "lib/quantity.h"

static bool has_backsteps(const char *path) {
        for (; path; path = strchr(path, '/')) {
                path += *path == '/';
                if (path[0] == '.' && path[1] == '.' && (path[2] == '/' || !path[2]))
                        return true;
        }
        return false;
}

static void validate_no_backsteps(struct findings *f, const char *field, const json_t *path) {
        if (has_backsteps(strempty(json_string_value(path))))
                finding_add(f, FINDING_INVALID, field, path, "must not contain '..'");
}

void pod_validate_path_below(struct findings *f, const char *field, const json_t *path) {
        if (*strempty(json_string_value(path)) == '/')
                finding_add(f, FINDING_INVALID, field, path, "must be a relative path");
        validate_no_backsteps(f, field, path);
}

/* The names that begin with ".." are those of the atomic switch of a volume's content. */
static void validate_file_path(struct findings *f, const json_t *path) {
        const char *text = strempty(json_string_value(path));

        if (!*text) {
                finding_add(f, FINDING_REQUIRED, "path", NULL, NULL);
                return;
        }
        pod_validate_path_below(f, "path", path);
        if (startswith(text, "..") && !startswith(text, "../"))
                finding_add(f, FINDING_INVALID, "path", path, "must not start with '..'");
}

/* --- sources of files --- */

static void validate_items(struct findings *f, const json_t *source) {
        const json_t *item;
        size_t i;

        json_array_foreach (json_object_get(source, "items"), i, item) {
                size_t at = findings_push(f, "items");

                findings_push_index(f, i);
                validate_file_path(f, json_object_get(item, "path"));
                findings_pop(f, at);
        }
}

static void validate_name(struct findings *f, const json_t *source, const char *field) {
        if (!*json_str_or(source, field, ""))
                finding_add(f, FINDING_REQUIRED, field, NULL, NULL);
}

static void validate_secret(struct findings *f, const json_t *source) {
        validate_name(f, source, "secretName");
        validate_items(f, source);
}

static void validate_named_files(struct findings *f, const json_t *source) {
        validate_name(f, source, "name");
        validate_items(f, source);
}

static void validate_downward_file(struct findings *f, const json_t *file) {
        const json_t *field = json_object_get(file, "fieldRef"),
                     *resource = json_object_get(file, "resourceFieldRef");
        size_t at;

        validate_file_path(f, json_object_get(file, "path"));
        if (field) {
                at = findings_push(f, "fieldRef");
                pod_validate_field_ref(f, field, /* file= */ true);
                findings_pop(f, at);
                if (resource)
                        finding_add(f, FINDING_INVALID, NULL, file,
                                        "fieldRef and resourceFieldRef can not be specified "
                                        "simultaneously");
        } else if (resource) {
                at = findings_push(f, "resourceFieldRef");
                pod_validate_resource_ref(f, resource, /* file= */ true);
                findings_pop(f, at);
        } else {
                finding_add(f, FINDING_REQUIRED, NULL, NULL,
                                "one of fieldRef and resourceFieldRef is required");
        }
}

static void validate_downward(struct findings *f, const json_t *source) {
        const json_t *file;
        size_t i;

        json_array_foreach (json_object_get(source, "items"), i, file)
                validate_downward_file(f, file);
}

static void validate_token(struct findings *f, const json_t *source) {
        const json_t *seconds = json_object_get(source, "expirationSeconds");

        if (json_integer_value(seconds) > INT64_C(1) << 32)
                finding_add(f, FINDING_INVALID, "expirationSeconds", seconds,
                                "may not specify a duration larger than 2^32 seconds");
        validate_file_path(f, json_object_get(source, "path"));
}

static void validate_bundle(struct findings *f, const json_t *source) {
        const json_t *name = json_object_get(source, "name"),
                     *signer = json_object_get(source, "signerName");

        if (name && signer)
                finding_add(f, FINDING_INVALID, NULL, source,
                                "only one of name and signerName may be used");
        else if (!name && !signer)
                finding_add(f, FINDING_REQUIRED, NULL, NULL,
                                "either name or signerName must be specified");
        if (name && json_object_get(source, "labelSelector"))
                finding_add(f, FINDING_INVALID, "labelSelector",
                                json_object_get(source, "labelSelector"),
                                "must be unset if name is specified");
        if (*json_str_or(source, "path", ""))
                validate_file_path(f, json_object_get(source, "path"));
}

static void validate_certificate(struct findings *f, const json_t *source) {
        static const char *const fields[] = {
                        "credentialBundlePath", "keyPath", "certificateChainPath"};
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                n += *json_str_or(source, fields[i], "") != 0;
                pod_validate_path_below(f, fields[i], json_object_get(source, fields[i]));
        }
        if (n == 0)
                finding_add(f, FINDING_REQUIRED, NULL, NULL,
                                "specify at least one of credentialBundlePath, keyPath, and "
                                "certificateChainPath");
}

static const struct source {
        const char *name;
        void (*validate)(struct findings *f, const json_t *source);
} projections[] = {{"secret", validate_named_files}, {"configMap", validate_named_files},
                {"downwardAPI", validate_downward}, {"serviceAccountToken", validate_token},
                {"clusterTrustBundle", validate_bundle}, {"podCertificate", validate_certificate}};

/* Two sources may not write one file. */
static void note_paths(struct findings *f, const json_t *source, json_t *seen) {
        const json_t *items = json_object_get(source, "items"), *item;
        size_t i;

        json_array_foreach (items, i, item) {
                const char *path = json_str_or(item, "path", "");

                if (!*path)
                        continue;
                if (json_object_get(seen, path))
                        finding_add(f, FINDING_INVALID, NULL, json_object_get(item, "path"),
                                        "conflicting duplicate paths");
                f->failed |= json_object_set_new(seen, path, json_true()) < 0;
        }
}

static void validate_projection(struct findings *f, const json_t *projection, size_t index) {
        size_t n = 0, at = findings_push(f, "sources"), inner;

        findings_push_index(f, index);
        for (size_t k = 0; k < ELEMENTS(projections); k++) {
                const json_t *source = json_object_get(projection, projections[k].name);

                if (!source)
                        continue;
                n++;
                inner = findings_push(f, projections[k].name);
                projections[k].validate(f, source);
                findings_pop(f, inner);
        }
        if (n > 1)
                finding_add(f, FINDING_FORBIDDEN, NULL, NULL,
                                "may not specify more than 1 volume type");
        findings_pop(f, at);
}

static void validate_projected(struct findings *f, const json_t *volume) {
        const json_t *projection;
        _cleanup_json_ json_t *seen = json_object();
        size_t i;

        f->failed |= !seen;
        json_array_foreach (json_object_get(volume, "sources"), i, projection) {
                validate_projection(f, projection, i);
                for (size_t k = 0; seen && k < ELEMENTS(projections); k++)
                        note_paths(f, json_object_get(projection, projections[k].name), seen);
        }
}

/* --- other sources --- */

static void validate_host_path(struct findings *f, const json_t *source) {
        validate_no_backsteps(f, "path", json_object_get(source, "path"));
}

static void validate_nfs(struct findings *f, const json_t *source) {
        const json_t *path = json_object_get(source, "path");

        validate_name(f, source, "server");
        if (!*strempty(json_string_value(path)))
                finding_add(f, FINDING_REQUIRED, "path", NULL, NULL);
        else if (*json_string_value(path) != '/')
                finding_add(f, FINDING_INVALID, "path", path, "must be an absolute path");
}

static void validate_empty_dir(struct findings *f, const json_t *source) {
        const json_t *limit = json_object_get(source, "sizeLimit");
        int sign;

        if (limit && quantity_compare(limit, NULL, &sign) == 0 && sign < 0)
                finding_add(f, FINDING_FORBIDDEN, "sizeLimit", NULL,
                                "SizeLimit field must be a valid resource quantity");
}

static void validate_fibre_channel(struct findings *f, const json_t *source) {
        const json_t *names = json_object_get(source, "targetWWNs"),
                     *ids = json_object_get(source, "wwids");

        if (!names && !ids)
                finding_add(f, FINDING_REQUIRED, "targetWWNs", NULL,
                                "must specify either targetWWNs or wwids, but not both");
        if (names && ids)
                finding_add(f, FINDING_INVALID, "targetWWNs", names,
                                "targetWWNs and wwids can not be specified simultaneously");
        if (names && !json_object_get(source, "lun"))
                finding_add(f, FINDING_REQUIRED, "lun", NULL,
                                "lun is required if targetWWNs is specified");
}

static void validate_flocker(struct findings *f, const json_t *source) {
        const char *name = json_str_or(source, "datasetName", ""),
                   *id = json_str_or(source, "datasetUUID", "");

        if (!*name && !*id)
                finding_add(f, FINDING_REQUIRED, NULL, NULL,
                                "one of datasetName and datasetUUID is required");
        if (*name && *id)
                finding_add(f, FINDING_INVALID, NULL, source,
                                "datasetName and datasetUUID can not be specified simultaneously");
        if (strchr(name, '/'))
                finding_add(f, FINDING_INVALID, "datasetName",
                                json_object_get(source, "datasetName"), "must not contain '/'");
}

static void validate_repository(struct findings *f, const json_t *source) {
        pod_validate_path_below(f, "directory", json_object_get(source, "directory"));
}

static void validate_ephemeral(struct findings *f, const json_t *source) {
        const json_t *template = json_object_get(source, "volumeClaimTemplate");
        size_t at;

        if (!template) {
                finding_add(f, FINDING_REQUIRED, "volumeClaimTemplate", NULL, NULL);
                return;
        }
        at = findings_push(f, "volumeClaimTemplate");
        strategy_validate_claim_template(f, template);
        findings_pop(f, at);
}

static const struct source sources[] = {{"secret", validate_secret},
                {"configMap", validate_named_files}, {"downwardAPI", validate_downward},
                {"projected", validate_projected}, {"hostPath", validate_host_path},
                {"nfs", validate_nfs}, {"emptyDir", validate_empty_dir},
                {"ephemeral", validate_ephemeral}, {"fc", validate_fibre_channel},
                {"flocker", validate_flocker}, {"gitRepo", validate_repository}};

void pod_volumes_validate(struct findings *f, const json_t *spec) {
        const json_t *volume;
        size_t i;

        json_array_foreach (json_object_get(spec, "volumes"), i, volume) {
                size_t n = json_object_size(volume) - (json_object_get(volume, "name") != NULL),
                       at = findings_push(f, "volumes");

                findings_push_index(f, i);
                if (n == 0)
                        finding_add(f, FINDING_REQUIRED, NULL, NULL, "must specify a volume type");
                else if (n > 1)
                        finding_add(f, FINDING_FORBIDDEN, NULL, NULL,
                                        "may not specify more than 1 volume type");
                for (size_t s = 0; s < ELEMENTS(sources); s++) {
                        const json_t *source = json_object_get(volume, sources[s].name);
                        size_t inner;

                        if (!source)
                                continue;
                        inner = findings_push(f, sources[s].name);
                        sources[s].validate(f, source);
                        findings_pop(f, inner);
                }
                findings_pop(f, at);
        }
}

/* --- what containers see --- */

/* The volumes and the paths of a container's volumeDevices, as the keys of objects. */
struct devices {
        json_t *names, *paths;
};

static void validate_mount(struct findings *f, const json_t *volumes, const struct devices *devices,
                const json_t *mount) {
        const json_t *name = json_object_get(mount, "name"),
                     *path = json_object_get(mount, "mountPath"),
                     *part = json_object_get(mount, "subPath"),
                     *expression = json_object_get(mount, "subPathExpr");

        if (!json_object_get(volumes, strempty(json_string_value(name))))
                finding_add(f, FINDING_NOT_FOUND, "name", name, NULL);
        if (strchr(strempty(json_string_value(path)), ':'))
                finding_add(f, FINDING_INVALID, "mountPath", path, "must not contain ':'");
        if (json_object_get(devices->names, strempty(json_string_value(name))))
                finding_add(f, FINDING_INVALID, "name", name,
                                "must not already exist in volumeDevices");
        if (json_object_get(devices->paths, strempty(json_string_value(path))))
                finding_add(f, FINDING_INVALID, "mountPath", path,
                                "must not already exist as a path in volumeDevices");
        pod_validate_path_below(f, "subPath", part);
        pod_validate_path_below(f, "subPathExpr", expression);
        if (*strempty(json_string_value(part)) && *strempty(json_string_value(expression)))
                finding_add(f, FINDING_INVALID, "subPathExpr", expression,
                                "subPathExpr and subPath are mutually exclusive");
}

static void validate_propagation(
                struct findings *f, const json_t *container, const json_t *mount) {
        if (streq(json_str_or(mount, "mountPropagation", ""), "Bidirectional") &&
                        !json_bool_or(container, "securityContext.privileged", false))
                finding_add(f, FINDING_FORBIDDEN, "mountPropagation", NULL,
                                "Bidirectional mount propagation is available only to privileged "
                                "containers");
}

static void validate_mounts(struct findings *f, const json_t *volumes, const json_t *container) {
        _cleanup_json_ json_t *names = json_object(), *paths = json_object();
        const struct devices devices = {.names = names, .paths = paths};
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(container, "volumeDevices"), i, v) {
                f->failed |= json_object_set_new(
                                             names, json_str_or(v, "name", ""), json_true()) < 0;
                f->failed |= json_object_set_new(paths, json_str_or(v, "devicePath", ""),
                                             json_true()) < 0;
        }
        json_array_foreach (json_object_get(container, "volumeMounts"), i, v) {
                size_t at = findings_push(f, "volumeMounts");

                findings_push_index(f, i);
                validate_mount(f, volumes, &devices, v);
                validate_propagation(f, container, v);
                findings_pop(f, at);
        }
}

void pod_mounts_validate(struct findings *f, const json_t *volumes, const json_t *container) {
        const json_t *devices = json_object_get(container, "volumeDevices"), *v;
        size_t i, at;

        validate_mounts(f, volumes, container);
        json_array_foreach (devices, i, v) {
                const json_t *name = json_object_get(v, "name"),
                             *path = json_object_get(v, "devicePath"),
                             *volume = json_object_get(volumes, strempty(json_string_value(name)));

                at = findings_push(f, "volumeDevices");
                findings_push_index(f, i);
                if (!volume)
                        finding_add(f, FINDING_NOT_FOUND, "name", name, NULL);
                else if (!json_object_get(volume, "persistentVolumeClaim") &&
                                !json_object_get(volume, "ephemeral"))
                        finding_add(f, FINDING_INVALID, "name", name,
                                        "can only use volume source type of PersistentVolumeClaim "
                                        "or Ephemeral for block mode");
                if (!*strempty(json_string_value(path)))
                        finding_add(f, FINDING_REQUIRED, "devicePath", NULL, NULL);
                if (has_backsteps(strempty(json_string_value(path))))
                        finding_add(f, FINDING_INVALID, "devicePath", path,
                                        "can not contain backsteps ('..')");
                findings_pop(f, at);
        }
}
