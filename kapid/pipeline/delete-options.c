/* DeleteOptions is not a served kind, so its schema is here. */
#include "kapid/pipeline/delete-options.h"

#include "kapid/pipeline/options.h"
#include "kapid/pipeline/pipeline.h"
#include "kapid/schema/internal.h"

static const struct schema string_schema = {.type = SCHEMA_STRING};
static const struct schema integer_schema = {.type = SCHEMA_INTEGER, .format = FORMAT_INT64};
static const struct schema boolean_schema = {.type = SCHEMA_BOOLEAN};
static const struct schema strings_schema = {.type = SCHEMA_ARRAY, .items = &string_schema};
static const struct schema_field precondition_fields[] = {
                {.name = "resourceVersion", .schema = &string_schema, .protobuf = 2},
                {.name = "uid", .schema = &string_schema, .protobuf = 1},
};
static const struct schema preconditions = {.name = "meta.v1.Preconditions",
                .type = SCHEMA_OBJECT,
                .fields = precondition_fields,
                .field_count = ELEMENTS(precondition_fields)};
static const struct schema_field delete_option_fields[] = {
                {.name = "apiVersion", .schema = &string_schema},
                {.name = "dryRun", .schema = &strings_schema, .protobuf = 5},
                {.name = "gracePeriodSeconds", .schema = &integer_schema, .protobuf = 1},
                {.name = "kind", .schema = &string_schema},
                {.name = "orphanDependents", .schema = &boolean_schema, .protobuf = 3},
                {.name = "preconditions", .schema = &preconditions, .protobuf = 2},
                {.name = "propagationPolicy", .schema = &string_schema, .protobuf = 4},
};
static const struct schema delete_options = {.name = "meta.v1.DeleteOptions",
                .type = SCHEMA_OBJECT,
                .fields = delete_option_fields,
                .field_count = ELEMENTS(delete_option_fields)};

void delete_options_done(struct delete_options *o) {
        json_decref(o->body);
        *o = (struct delete_options){0};
}

int delete_options_decode(const char *content_type, const void *data, size_t n, json_t **ret,
                struct problem *p) {
        if (n == 0) {
                *ret = NULL;
                return 0;
        }
        return pipeline_decode_plain(
                        &delete_options, "DeleteOptions", content_type, data, n, ret, p);
}

/* In the query everything but "0" and "false" means true. */
static bool query_true(const char *value) {
        return value && !streq(value, "0") && !streq(value, "false");
}

static int refuse_propagation(
                const char *reason, const char *given, const char *why, struct problem *p) {
        bool invalid = streq(reason, "FieldValueInvalid");
        _cleanup_free_ char *text = strformat(
                        "%s value: \"%.64s\": %s", invalid ? "Invalid" : "Unsupported", given, why);

        return text ? options_refused(p, "DeleteOptions", reason, "propagationPolicy", text)
                    : -ENOMEM;
}

static int parse_propagation(const json_t *body, const char *query, const char *query_orphan,
                const char **ret, struct problem *p) {
        static const char *const words[] = {"", "Background", "Foreground", "Orphan"};
        bool orphans = json_is_true(json_object_get(body, "orphanDependents")) ||
                       (!body && query_true(query_orphan));
        const char *given = json_str(body, "propagationPolicy");

        if (!body && query_orphan && !isempty(query))
                given = query;
        if (given && (json_object_get(body, "orphanDependents") || (!body && query_orphan)))
                return refuse_propagation("FieldValueInvalid", given,
                                "orphanDependents and deletionPropagation cannot be both set", p);
        if (!given)
                given = !isempty(query) ? query : orphans ? "Orphan" : "";
        /* Named in the body, it is one of the words; the query may leave it empty. */
        for (size_t i = json_str(body, "propagationPolicy") ? 1 : 0; i < ELEMENTS(words); i++)
                if (streq(words[i], given)) {
                        *ret = words[i];
                        return 0;
                }
        return refuse_propagation("FieldValueNotSupported", given,
                        "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"", p);
}

static int parse_dry_run(const json_t *body, bool *ret, struct problem *p) {
        const json_t *words = json_object_get(body, "dryRun"), *v;
        size_t i;

        json_array_foreach (words, i, v)
                if (!streq(strempty(json_string_value(v)), "All"))
                        return options_dry_run_refused(p, "DeleteOptions", words);
        *ret = json_array_size(words) > 0;
        return 0;
}

int delete_options_parse(const json_t *body, const char *query_grace, const char *query_propagation,
                const char *query_orphan, struct delete_options *ret, struct problem *p) {
        struct delete_options o = {.grace_s = json_int_or(body, "gracePeriodSeconds", -1),
                        .uid = json_str(body, "preconditions.uid"),
                        .resource_version = json_str(body, "preconditions.resourceVersion")};
        int r;

        bool given = json_is_integer(json_object_get(body, "gracePeriodSeconds"));

        if (!given && !isempty(query_grace)) {
                if (parse_i64(query_grace, &o.grace_s) < 0)
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "gracePeriodSeconds: must be a number");
                given = true;
        }
        if (given && o.grace_s < 0)
                o.grace_s = 1;
        r = parse_dry_run(body, &o.dry_run, p);
        if (r < 0)
                return r;
        r = parse_propagation(body, query_propagation, query_orphan, &o.propagation, p);
        if (r < 0)
                return r;
        o.body = json_incref((json_t *)body);
        *ret = o;
        return 0;
}
