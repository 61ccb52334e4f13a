/* From a request's bytes to a pruned, normalised object; strict and duplicate-field errors in the
 * words of the API (docs/wire.md section 11). */
#include "kapid/pipeline/encode.h"
#include "kapid/pipeline/options.h"
#include "kapid/pipeline/pipeline.h"
#include "kapid/schema/internal.h"
#include "lib/object.h"
#include "lib/yaml.h"

enum encoding { ENCODING_JSON, ENCODING_YAML, ENCODING_PROTOBUF, ENCODING_NONE };

static enum encoding encoding_of(const char *content_type) {
        size_t n = content_type ? strcspn(content_type, "; \t") : 0;
        static const struct {
                const char *name;
                enum encoding encoding;
        } known[] = {{"application/json", ENCODING_JSON}, {"application/yaml", ENCODING_YAML},
                        {"text/yaml", ENCODING_YAML}, {"application/x-yaml", ENCODING_YAML},
                        {"application/apply-patch+yaml", ENCODING_YAML},
                        {"text/json", ENCODING_JSON},
                        {"application/vnd.kubernetes.protobuf", ENCODING_PROTOBUF},
                        {"*/*", ENCODING_JSON}};

        if (n == 0)
                return ENCODING_JSON;
        for (size_t i = 0; i < ELEMENTS(known); i++)
                if (strlen(known[i].name) == n && strncasecmp(known[i].name, content_type, n) == 0)
                        return known[i].encoding;
        return ENCODING_NONE;
}

int field_validation_parse(const char *options, const char *word, enum field_validation *ret,
                struct problem *p) {
        if (isempty(word) || streq(word, "Warn"))
                *ret = FIELD_VALIDATION_WARN;
        else if (streq(word, "Ignore"))
                *ret = FIELD_VALIDATION_IGNORE;
        else if (streq(word, "Strict"))
                *ret = FIELD_VALIDATION_STRICT;
        else {
                char text[128];

                snprintf(text, sizeof(text),
                                "Unsupported value: \"%.32s\": supported values: \"Ignore\", "
                                "\"Strict\", \"Warn\"",
                                word);
                return options_refused(
                                p, options, "FieldValueNotSupported", "fieldValidation", text);
        }
        return 0;
}

void decoded_done(struct decoded *d) {
        json_decref(d->object);
        strv_free(d->warnings);
        *d = (struct decoded){0};
}

static int out_of_memory(struct problem *p) {
        return problem_set(p, ENOMEM, 500, "InternalError", "out of memory");
}

static int bad_body(struct problem *p, const char *why) {
        return problem_set(p, EINVAL, 400, "BadRequest", "the object provided is unrecognized: %s",
                        why);
}

/* JSON with duplicates collected: the common body has none and is parsed once. */
static int parse_json(const void *data, size_t n, json_t **ret, char ***ret_duplicates,
                struct problem *p) {
        _cleanup_free_ char *error = NULL;

        if (json_parse(data, n, JSON_PARSE_REJECT_DUPLICATES_FLAG, ret, NULL) == 0)
                return 0;
        if (json_parse(data, n, 0, ret, &error) < 0)
                return bad_body(p, strempty(error));
        if (json_find_duplicates(data, n, ret_duplicates) < 0) {
                json_decref(*ret);
                return out_of_memory(p);
        }
        return 0;
}

static int parse_yaml(const void *data, size_t n, const struct yaml_breath *breath, json_t **ret,
                struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        int r = yaml_parse_breathing(data, n, breath, &docs, p);

        if (r < 0)
                return p->code ? r : bad_body(p, "not YAML");
        if (docs.count != 1)
                return bad_body(p, docs.count == 0 ? "the body is empty"
                                                   : "the body holds more than one document");
        *ret = json_incref(docs.items[0].value);
        return 0;
}

static int bad_protobuf(struct problem *p, int r, const char *why) {
        if (r == -ENOMEM)
                return out_of_memory(p);
        return bad_body(p, why ? why : "not a protobuf object");
}

static int parse_protobuf(const struct schema *s, const void *data, size_t n, json_t **ret,
                struct problem *p) {
        _cleanup_free_ char *api_version = NULL, *kind = NULL, *error = NULL;
        _cleanup_json_ json_t *object = NULL;
        const void *raw;
        size_t raw_size;
        int r = protobuf_unwrap(data, n, &api_version, &kind, &raw, &raw_size);

        if (r < 0)
                return bad_protobuf(p, r, /* why= */ NULL);
        r = protobuf_decode(s, raw, raw_size, &object, &error);
        if (r < 0)
                return bad_protobuf(p, r, error);
        if ((*api_version && json_set_str(object, "apiVersion", api_version) < 0) ||
                        (*kind && json_set_str(object, "kind", kind) < 0))
                return out_of_memory(p);
        *ret = TAKE_PTR(object);
        return 0;
}

/* without_protobuf: the schema has no numbers of fields; all of them would be unknown. */
static int parse_body(const struct schema *s, bool without_protobuf, const char *content_type,
                const void *data, size_t n, const struct yaml_breath *breath, json_t **ret,
                char ***ret_duplicates, struct problem *p) {
        enum encoding encoding = encoding_of(content_type);

        if (encoding == ENCODING_NONE || (encoding == ENCODING_PROTOBUF && without_protobuf))
                return problem_set(p, EINVAL, 415, "UnsupportedMediaType",
                                "the body of the request was in an unknown format - accepted media "
                                "types include: "
                                "application/json, application/yaml%s",
                                without_protobuf ? "" : ", application/vnd.kubernetes.protobuf");
        if (n == 0)
                return bad_body(p, "the body is empty");
        switch (encoding) {
        case ENCODING_YAML:
                return parse_yaml(data, n, breath, ret, p);
        case ENCODING_PROTOBUF:
                return parse_protobuf(s, data, n, ret, p);
        default:
                return parse_json(data, n, ret, ret_duplicates, p);
        }
}

/* What a custom resource is, its body says: only of built-in kinds the path may say it alone. */
static int check_custom(const json_t *object, const char *kind, struct problem *p) {
        static const char *const keys[] = {"kind", "apiVersion"};
        const json_t *metadata = json_object_get(object, "metadata");
        char why[64];

        for (size_t i = 0; i < ELEMENTS(keys); i++)
                if (isempty(json_string_value(json_object_get(object, keys[i])))) {
                        (void)snprintf(why, sizeof(why), "'%s' is missing or is no string",
                                        keys[i]);
                        return bad_body(p, why);
                }
        if (metadata && !json_is_null(metadata) && !json_is_object(metadata))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "%s cannot be handled as a %s: metadata must be an object", kind,
                                kind);
        return 0;
}

/* The type of the body must be the path's; left out, it is filled in. */
static int check_type(json_t *object, const char *group, const char *version, const char *kind,
                struct problem *p) {
        const char *given_version = json_str_or(object, "apiVersion", ""),
                   *given_kind = json_str_or(object, "kind", "");
        _cleanup_free_ char *api_version =
                        *group ? strformat("%s/%s", group, version) : strdup(version);

        if (!api_version)
                return out_of_memory(p);
        if (*given_kind && !streq(given_kind, kind))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "%s in version \"%s\" cannot be handled as a %s", given_kind,
                                *given_version ? given_version : version, kind);
        if (*given_version && !streq(given_version, api_version))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the API version in the data (%s) does not match the expected API "
                                "version (%s)",
                                given_version, api_version);
        if ((!*given_kind && json_set_str(object, "kind", kind) < 0) ||
                        (!*given_version && json_set_str(object, "apiVersion", api_version) < 0))
                return out_of_memory(p);
        return 0;
}

static int strict_error(
                const char *kind, const char *version, char **complaints, struct problem *p) {
        _cleanup_free_ char *text = strv_join(complaints, ", ");

        return problem_set(p, EINVAL, 400, "BadRequest",
                        "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
                        kind, version, kind, strempty(text));
}

static int run_normalise(const struct schema *s, bool custom, const char *kind, const char *version,
                json_t *object, char ***unknown, struct problem *p) {
        _cleanup_normaliser_ struct normaliser n = {.custom = custom, .unknown = unknown};
        int r = normalise(&n, s, object);

        if (r == -ENOMEM)
                return out_of_memory(p);
        if (r < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "%s in version \"%s\" cannot be handled as a %s: %s", kind, version,
                                kind, strempty(n.error));
        return 0;
}

int pipeline_decode(const struct kind *k, const struct kind_subresource *sub,
                const char *content_type, const void *data, size_t n,
                enum field_validation validation, struct decoded *ret, struct problem *p) {
        const struct schema *s = sub && sub->schema ? sub->schema : k->schema;
        const char *group = sub ? sub->group : k->group, *version = sub ? sub->version : k->version;
        const char *kind = sub ? sub->kind : k->kind;
        bool custom = k->custom && s == k->schema;
        _cleanup_strv_free_ char **complaints = NULL;
        _cleanup_json_ json_t *object = NULL;
        int r = parse_body(s, custom || !schema_has_protobuf(s), content_type, data, n, ret->breath,
                        &object, &complaints, p);

        if (r < 0)
                return r;
        if (!json_is_object(object))
                return bad_body(p, "the body must be an object");
        r = custom ? check_custom(object, kind, p) : 0;
        if (r < 0)
                return r;
        if ((r = check_type(object, group, version, kind, p)) < 0 ||
                        (r = run_normalise(s, custom, kind, version, object, &complaints, p)) < 0)
                return r;
        if (validation == FIELD_VALIDATION_STRICT && complaints)
                return strict_error(kind, version, complaints, p);
        ret->object = TAKE_PTR(object);
        ret->warnings = validation == FIELD_VALIDATION_WARN ? TAKE_PTR(complaints) : NULL;
        return 0;
}

int pipeline_normalise(const struct kind *k, json_t *object, char ***unknown, struct problem *p) {
        return run_normalise(k->schema, k->custom, k->kind, k->version, object, unknown, p);
}

int pipeline_decode_plain(const struct schema *s, const char *kind, const char *content_type,
                const void *data, size_t n, json_t **ret, struct problem *p) {
        _cleanup_strv_free_ char **ignored = NULL;
        _cleanup_json_ json_t *object = NULL;
        const char *given;
        int r = parse_body(s, false, content_type, data, n, NULL, &object, &ignored, p);

        if (r < 0)
                return r;
        if (!json_is_object(object))
                return bad_body(p, "the body must be an object");
        given = json_str_or(object, "kind", kind);
        if (!streq(given, kind))
                return problem_set(p, EINVAL, 400, "BadRequest", "%s cannot be handled as a %s",
                                given, kind);
        r = run_normalise(s, false, kind, "v1", object, NULL, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(object);
        return 0;
}
