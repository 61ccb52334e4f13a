/* Types of variables (reference: apiserver's admission/plugin/cel: BuildRequestType,
 * BuildNamespaceType). */
#include "kapid/policies/language.h"

#include "kapid/schema/pattern.h"

#define TEXT(n) \
        { .name = (n), .property = (n), .type = &cel_string_type }
#define FIELD(n, t) \
        { .name = (n), .property = (n), .type = (t) }

static const struct cel_type *object_of(struct cel_types *t, const char *name,
                const struct cel_field *fields, size_t count) {
        struct cel_field *copy = cel_types_alloc(t, MAX(count, (size_t)1) * sizeof(*copy));

        if (!copy)
                return NULL;
        if (count > 0)
                memcpy(copy, fields, count * sizeof(*copy));
        return cel_object_type(t, name, copy, count);
}

static const struct cel_type *request_type(struct cel_types *t) {
        const struct cel_type *texts = cel_list_type(t, &cel_string_type),
                              *extra = texts ? cel_map_type(t, &cel_string_type, texts) : NULL,
                              *kind, *resource, *user;
        const struct cel_field kind_fields[] = {TEXT("group"), TEXT("version"), TEXT("kind")},
                               resource_fields[] = {
                                               TEXT("group"), TEXT("version"), TEXT("resource")};

        kind = object_of(t, "kubernetes.GroupVersionKind", kind_fields, ELEMENTS(kind_fields));
        resource = object_of(t, "kubernetes.GroupVersionResource", resource_fields,
                        ELEMENTS(resource_fields));
        if (!extra || !kind || !resource)
                return NULL;

        const struct cel_field user_fields[] = {TEXT("username"), TEXT("uid"),
                        FIELD("groups", texts), FIELD("extra", extra)};

        user = object_of(t, "kubernetes.UserInfo", user_fields, ELEMENTS(user_fields));
        if (!user)
                return NULL;

        const struct cel_field fields[] = {FIELD("kind", kind), FIELD("resource", resource),
                        TEXT("subResource"), FIELD("requestKind", kind),
                        FIELD("requestResource", resource), TEXT("requestSubResource"),
                        TEXT("name"), TEXT("namespace"), TEXT("operation"), FIELD("userInfo", user),
                        FIELD("dryRun", &cel_bool_type), FIELD("options", &cel_dyn_type)};

        return object_of(t, "kubernetes.AdmissionRequest", fields, ELEMENTS(fields));
}

static const struct cel_type *metadata_type(struct cel_types *t) {
        const struct cel_type *map = cel_map_type(t, &cel_string_type, &cel_string_type),
                              *list = cel_list_type(t, &cel_string_type);

        if (!map || !list)
                return NULL;

        const struct cel_field fields[] = {TEXT("name"), TEXT("generateName"), TEXT("namespace"),
                        FIELD("labels", map), FIELD("annotations", map), TEXT("uid"), TEXT("UID"),
                        FIELD("creationTimestamp", &cel_timestamp_type),
                        FIELD("deletionTimestamp", &cel_timestamp_type),
                        FIELD("deletionGracePeriodSeconds", &cel_int_type),
                        FIELD("generation", &cel_int_type), TEXT("resourceVersion"),
                        FIELD("finalizers", list)};

        return object_of(t, "kubernetes.NamespaceMetadata", fields, ELEMENTS(fields));
}

static const struct cel_type *namespace_type(struct cel_types *t) {
        const struct cel_type *metadata = metadata_type(t), *spec, *status, *condition, *conditions,
                              *list = cel_list_type(t, &cel_string_type);
        const struct cel_field condition_fields[] = {TEXT("type"), TEXT("status"),
                        FIELD("lastTransitionTime", &cel_timestamp_type), TEXT("reason"),
                        TEXT("message")};

        condition = object_of(t, "kubernetes.NamespaceCondition", condition_fields,
                        ELEMENTS(condition_fields));
        conditions = condition ? cel_list_type(t, condition) : NULL;
        if (!metadata || !list || !conditions)
                return NULL;

        const struct cel_field spec_fields[] = {FIELD("finalizers", list)},
                               status_fields[] = {FIELD("conditions", conditions), TEXT("phase")};

        spec = object_of(t, "kubernetes.NamespaceSpec", spec_fields, ELEMENTS(spec_fields));
        status = object_of(t, "kubernetes.NamespaceStatus", status_fields, ELEMENTS(status_fields));
        if (!spec || !status)
                return NULL;

        const struct cel_field fields[] = {
                        FIELD("metadata", metadata), FIELD("spec", spec), FIELD("status", status)};

        return object_of(t, "kubernetes.Namespace", fields, ELEMENTS(fields));
}

static int add_functions(struct policy_language *l) {
        _cleanup_free_ char *error = NULL;
        size_t n = 0;
        int r;

        while (cel_libraries[n]) {
                assert(n + 3 < ELEMENTS(l->libraries));
                l->libraries[n] = cel_libraries[n];
                n++;
        }
        l->libraries[n++] = &policy_library_authorizer;
        memcpy(l->mutation_libraries, l->libraries, sizeof(l->libraries));
        l->mutation_libraries[n] = &policy_library_mutation;
        r = cel_functions_new(l->libraries, l->patterns, &l->functions, &error);
        if (r < 0)
                return r;
        return cel_functions_new(
                        l->mutation_libraries, l->patterns, &l->mutation_functions, &error);
}

int policy_language_new(struct policy_language **ret) {
        _cleanup_(policy_language_freep) struct policy_language *l = calloc(1, sizeof(*l));
        int r;

        if (!l)
                return -ENOMEM;
        l->patterns = pattern_cache_new();
        l->types = cel_types_new();
        if (!l->patterns || !l->types)
                return -ENOMEM;
        r = add_functions(l);
        if (r < 0)
                return r;
        l->request = request_type(l->types);
        l->namespace = namespace_type(l->types);
        l->variables = object_of(l->types, "kubernetes.variables", NULL, 0);
        if (!l->request || !l->namespace || !l->variables)
                return -ENOMEM;
        *ret = TAKE_PTR(l);
        return 0;
}

struct policy_language *policy_language_free(struct policy_language *l) {
        if (!l)
                return NULL;
        cel_functions_free(l->functions);
        cel_functions_free(l->mutation_functions);
        pattern_cache_free(l->patterns);
        cel_types_free(l->types);
        return mfree(l);
}

void policy_language_variables(const struct policy_language *l, unsigned names,
                const struct cel_type *object, const struct cel_type *params,
                struct cel_variable *ret) {
        bool authorizer = names & POLICY_HAS_AUTHORIZER, has_params = names & POLICY_HAS_PARAMS;
        const struct cel_variable variables[POLICY_VARIABLE_COUNT] = {
                        [POLICY_OBJECT] = {"object", object},
                        [POLICY_OLD_OBJECT] = {"oldObject", object},
                        [POLICY_REQUEST] = {"request", l->request},
                        [POLICY_NAMESPACE] = {"namespaceObject", l->namespace},
                        [POLICY_VARIABLES] = {"variables", l->variables},
                        /* No expression can write an empty name. */
                        [POLICY_PARAMS] = {has_params ? "params" : "", params},
                        [POLICY_AUTHORIZER] = {authorizer ? "authorizer" : "",
                                        &policy_authorizer_class.type},
                        [POLICY_REQUEST_RESOURCE] = {authorizer ? "authorizer.requestResource" : "",
                                        &policy_resource_check_class.type},
        };

        memcpy(ret, variables, sizeof(variables));
}
