/* In the words of Kubernetes' apiextensions validation. */
#include "kapid/strategy/crd-validate.h"

#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"

enum { SELECTABLE_FIELDS_MAX = 8 };

/* --- names --- */

static void check_label(struct findings *f, const char *path, const json_t *v, const char *text) {
        const char *error = format_check(FORMAT_DNS1035_LABEL, text);

        if (error)
                finding_add(f, FINDING_INVALID, path, v, "%s", error);
}

/* Kinds may have capitals. */
static void check_kind_name(struct findings *f, const json_t *names, const char *key) {
        const json_t *v = json_object_get(names, key);
        _cleanup_free_ char *lower = strdup(strempty(json_string_value(v))),
                            *path = strformat("spec.names.%s", key);
        const char *error;

        for (char *s = lower; s && *s; s++)
                if (*s >= 'A' && *s <= 'Z')
                        *s = (char)(*s - 'A' + 'a');
        error = lower && *lower ? format_check(FORMAT_DNS1035_LABEL, lower) : NULL;
        if (error)
                finding_add(f, FINDING_INVALID, path, v,
                                "may have mixed case, but should otherwise match: %s", error);
}

static void check_names(struct findings *f, const json_t *names) {
        static const char *const lists[] = {"shortNames", "categories"};
        const char *kind = json_str_or(names, "kind", ""),
                   *list_kind = json_str_or(names, "listKind", ""),
                   *singular = json_str_or(names, "singular", "");
        const json_t *item;
        size_t i;

        if (*singular)
                check_label(f, "spec.names.singular", json_object_get(names, "singular"), singular);
        check_kind_name(f, names, "kind");
        check_kind_name(f, names, "listKind");
        for (size_t n = 0; n < ELEMENTS(lists); n++)
                json_array_foreach (json_object_get(names, lists[n]), i, item) {
                        _cleanup_free_ char *path = strformat("spec.names.%s[%zu]", lists[n], i);

                        check_label(f, path, item, strempty(json_string_value(item)));
                }
        if (*kind && streq(kind, list_kind))
                finding_add(f, FINDING_INVALID, "spec.names.listKind",
                                json_object_get(names, "listKind"),
                                "kind and listKind may not be the same");
}

/* --- versions --- */

static void check_path(struct findings *f, const char *at, const json_t *v) {
        const char *text = strempty(json_string_value(v));

        if (!*text)
                finding_add(f, FINDING_INVALID, at, v, "must not be empty");
        else if (*text != '.')
                finding_add(f, FINDING_INVALID, at, v,
                                "must be a simple json path starting with .");
}

static bool is_below(const json_t *path, const char *root) {
        const char *rest = startswith(strempty(json_string_value(path)), root);

        return rest && *rest == '.';
}

static void check_scale(struct findings *f, const json_t *scale, size_t i) {
        static const struct {
                const char *key, *root, *other;
                bool required;
        } rows[] = {{"specReplicasPath", ".spec", NULL, true},
                        {"statusReplicasPath", ".status", NULL, true},
                        {"labelSelectorPath", ".spec", ".status", false}};

        for (size_t n = 0; scale && n < ELEMENTS(rows); n++) {
                const json_t *v = json_object_get(scale, rows[n].key);
                _cleanup_free_ char *at = strformat(
                                "spec.versions[%zu].subresources.scale.%s", i, rows[n].key);

                if (!*strempty(json_string_value(v))) {
                        if (rows[n].required)
                                finding_add(f, FINDING_REQUIRED, at, NULL, "must not be empty");
                        continue;
                }
                check_path(f, at, v);
                if (is_below(v, rows[n].root) || (rows[n].other && is_below(v, rows[n].other)))
                        continue;
                if (rows[n].other)
                        finding_add(f, FINDING_INVALID, at, v,
                                        "should be a json path under either %s or %s", rows[n].root,
                                        rows[n].other);
                else
                        finding_add(f, FINDING_INVALID, at, v, "should be a json path under %s",
                                        rows[n].root);
        }
}

static void check_column(struct findings *f, const json_t *column) {
        static const char *const formats[] = {"", "byte", "date", "date-time", "double", "float",
                        "int32", "int64", "password", NULL};
        const char *format = json_str_or(column, "format", "");

        if (isempty(json_str_or(column, "name", "")))
                finding_add(f, FINDING_REQUIRED, "name", NULL, NULL);
        if (!strv_contains((char *const *)formats, format))
                finding_add(f, FINDING_INVALID, "format", json_object_get(column, "format"),
                                "must be one of byte,date,date-time,double,float,int32,int64,"
                                "password");
        check_path(f, "jsonPath", json_object_get(column, "jsonPath"));
}

static void check_columns(struct findings *f, const json_t *columns, size_t i) {
        const json_t *column;
        size_t n;

        json_array_foreach (columns, n, column) {
                _cleanup_free_ char *at =
                                strformat("spec.versions[%zu].additionalPrinterColumns[%zu]", i, n);
                size_t length = findings_push(f, strempty(at));

                check_column(f, column);
                findings_pop(f, length);
        }
}

/* With the subresource status the root of the schema has only what says nothing about the whole. */
static void check_root(struct findings *f, const json_t *version, size_t i) {
        static const char *const allowed[] = {"description", "type", "format", "title", "maximum",
                        "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength",
                        "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf", "required",
                        "items", "properties", "externalDocs", "example",
                        "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"};
        const json_t *schema = json_at(version, "schema.openAPIV3Schema");
        _cleanup_free_ char *at = strformat("spec.versions[%zu].schema.openAPIV3Schema", i);
        const char *key;
        json_t *v;

        f->failed |= !at;
        if (!json_at(version, "subresources.status"))
                return;
        json_object_each (schema, key, v) {
                bool fine = json_is_false(v) || json_is_null(v) ||
                            (json_is_string(v) && json_string_length(v) == 0);

                for (size_t k = 0; k < ELEMENTS(allowed) && !fine; k++)
                        fine = streq(key, allowed[k]);
                if (!fine)
                        finding_add(f, FINDING_INVALID, at, NULL,
                                        "%s: only type, properties, required, description, title, "
                                        "x-kubernetes-preserve-unknown-fields and "
                                        "x-kubernetes-validations are allowed at the root of the "
                                        "schema if the status subresource is enabled",
                                        key);
        }
}

/* The schema that a path of field names (".spec.color") leads to; NULL: it leads nowhere. */
static const json_t *schema_at(const json_t *schema, const char *path) {
        while (schema && *path == '.') {
                size_t n = strcspn(path + 1, ".");
                _cleanup_free_ char *name = strndup(path + 1, n);
                const json_t *properties = json_object_get(schema, "properties");

                if (!name || n == 0 || strcspn(name, "[]'\"*") < n)
                        return NULL;
                schema = json_object_get(properties, name);
                path += 1 + n;
        }
        return *path ? NULL : schema;
}

static void check_selectable_field(struct findings *f, const json_t *schema, const json_t *fields,
                size_t n, const char *at) {
        const json_t *v = json_object_get(json_array_get(fields, n), "jsonPath");
        const char *path = strempty(json_string_value(v));
        const json_t *found = *path == '.' ? schema_at(schema, path) : NULL;
        const char *type = json_str_or(found, "type", "");

        if (!*path) {
                finding_add(f, FINDING_REQUIRED, at, NULL, NULL);
                return;
        }
        if (startswith(path, ".metadata")) {
                finding_add(f, FINDING_INVALID, at, v, "must not point to fields in metadata");
                return;
        }
        if (!found) {
                finding_add(f, FINDING_INVALID, at, v,
                                "is an invalid path: does not refer to a valid field");
                return;
        }
        if (!streq(type, "string") && !streq(type, "boolean") && !streq(type, "integer"))
                finding_add(f, FINDING_INVALID, at, v,
                                "must point to a field of type string, boolean or integer. Enum "
                                "string fields and strings with formats are allowed.");
        for (size_t i = 0; i < n; i++)
                if (streq(json_str_or(json_array_get(fields, i), "jsonPath", ""), path)) {
                        finding_add(f, FINDING_DUPLICATE, at, v, NULL);
                        return;
                }
}

static void check_selectable_fields(struct findings *f, const json_t *version, size_t i) {
        const json_t *fields = json_object_get(version, "selectableFields"),
                     *schema = json_at(version, "schema.openAPIV3Schema");
        size_t n = json_array_size(fields);
        _cleanup_free_ char *all = strformat("spec.versions[%zu].selectableFields", i);

        if (n > SELECTABLE_FIELDS_MAX)
                finding_add(f, FINDING_TOO_MANY, all, NULL, "%zu: must have at most %d items", n,
                                SELECTABLE_FIELDS_MAX);
        for (size_t j = 0; j < n && j <= SELECTABLE_FIELDS_MAX; j++) {
                _cleanup_free_ char *at = strformat("%s[%zu].jsonPath", strempty(all), j);

                check_selectable_field(f, schema, fields, j, strempty(at));
        }
}

static void check_unique_versions(struct findings *f, const json_t *versions) {
        _cleanup_json_ json_t *names = json_array(), *seen = json_object();
        bool unique = true;
        const json_t *v;
        size_t i;

        json_array_foreach (versions, i, v) {
                const char *name = json_str_or(v, "name", "");

                json_array_append_new(names, json_string(name));
                unique &= !strategy_was_seen(f, seen, name);
        }
        if (!unique)
                finding_add(f, FINDING_INVALID, "spec.versions", names,
                                "must contain unique version names");
}

/* --- conversion --- */

static void check_client(struct findings *f, const json_t *client) {
        static const char path[] = "spec.conversion.webhook.clientConfig";
        const json_t *url = json_object_get(client, "url"),
                     *service = json_object_get(client, "service");
        int64_t port = json_int_or(service, "port", 443);

        if (!client)
                finding_add(f, FINDING_REQUIRED, path, NULL,
                                "required when strategy is set to Webhook");
        else if (!url == !service)
                finding_add(f, FINDING_REQUIRED, path, NULL,
                                "exactly one of url or service is required");
        if (url && !startswith(strempty(json_string_value(url)), "https://"))
                finding_add(f, FINDING_INVALID, "spec.conversion.webhook.clientConfig.url", url,
                                "'https' is the only allowed URL scheme");
        if (service && (port < 1 || port > 65535))
                finding_add(f, FINDING_INVALID, "spec.conversion.webhook.clientConfig.service.port",
                                json_object_get(service, "port"),
                                "port is not valid: must be between 1 and 65535, inclusive");
}

static void check_review_versions(struct findings *f, const json_t *list) {
        static const char path[] = "spec.conversion.webhook.conversionReviewVersions";
        bool known = false;
        const json_t *v;
        size_t i;

        if (json_array_size(list) == 0) {
                finding_add(f, FINDING_REQUIRED, path, NULL, NULL);
                return;
        }
        json_array_foreach (list, i, v)
                known |= streq(strempty(json_string_value(v)), "v1") ||
                         streq(strempty(json_string_value(v)), "v1beta1");
        if (!known)
                finding_add(f, FINDING_INVALID, path, list,
                                "must include at least one of v1, v1beta1");
}

static void check_conversion(struct findings *f, const json_t *crd) {
        const json_t *conversion = json_at(crd, "spec.conversion"),
                     *webhook = json_object_get(conversion, "webhook");
        bool by_webhook = streq(json_str_or(conversion, "strategy", "None"), "Webhook");

        if (by_webhook) {
                check_client(f, json_object_get(webhook, "clientConfig"));
                check_review_versions(f, json_object_get(webhook, "conversionReviewVersions"));
        } else if (webhook)
                finding_add(f, FINDING_FORBIDDEN, "spec.conversion.webhook", NULL,
                                "should not be set when strategy is not set to Webhook");
}

void crd_validate_spec(struct findings *f, const json_t *crd) {
        const json_t *versions = json_at(crd, "spec.versions"), *v;
        size_t i;

        check_names(f, json_at(crd, "spec.names"));
        check_unique_versions(f, versions);
        json_array_foreach (versions, i, v) {
                check_scale(f, json_at(v, "subresources.scale"), i);
                check_columns(f, json_object_get(v, "additionalPrinterColumns"), i);
                check_selectable_fields(f, v, i);
                check_root(f, v, i);
        }
        check_conversion(f, crd);
        if (json_bool_or(crd, "spec.preserveUnknownFields", false))
                finding_add(f, FINDING_INVALID, "spec.preserveUnknownFields",
                                json_at(crd, "spec.preserveUnknownFields"),
                                "cannot set to true, set x-kubernetes-preserve-unknown-fields to "
                                "true in spec.versions[*].schema instead");
}

/* --- stored versions --- */

void crd_validate_stored_versions(struct findings *f, const json_t *crd) {
        const json_t *stored = json_at(crd, "status.storedVersions"),
                     *versions = json_at(crd, "spec.versions"), *v, *version;
        _cleanup_json_ json_t *names = json_by_name(versions), *known = json_object();
        size_t i;

        f->failed |= !names;
        if (json_array_size(stored) == 0) {
                finding_add(f, FINDING_INVALID, "status.storedVersions", stored,
                                "must have at least one stored version");
                return;
        }
        json_array_foreach (stored, i, v)
                (void)strategy_was_seen(f, known, strempty(json_string_value(v)));
        json_array_foreach (versions, i, version) {
                const char *name = json_str_or(version, "name", "");

                if (json_bool_or(version, "storage", false) && !json_object_get(known, name))
                        finding_add(f, FINDING_INVALID, "status.storedVersions", stored,
                                        "must have the storage version %s", name);
        }
        json_array_foreach (stored, i, v) {
                _cleanup_free_ char *at = strformat("status.storedVersions[%zu]", i);

                if (!json_object_get(names, strempty(json_string_value(v))))
                        finding_add(f, FINDING_INVALID, at, v, "must appear in spec.versions");
        }
}
