/* CustomResourceDefinitions: names filled in, one storage version, schemas that compile. */
#include "kapid/kinds/crd-approval.h"
#include "kapid/kinds/crd-delete.h"
#include "kapid/kinds/crd-names.h"
#include "kapid/schema/internal.h"
#include "kapid/schema/rules.h"
#include "kapid/schema/structural.h"
#include "kapid/strategy/crd-validate.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { DEPRECATION_SIZE_MAX = 256 };

static int crd_defaults(json_t *object) {
        json_t *names = json_at_mut(object, "spec.names");
        const char *kind = json_str_or(names, "kind", "");
        int r = 0;

        if (*kind && !*json_str_or(names, "singular", "")) {
                _cleanup_free_ char *lower = strdup(kind);

                for (char *s = lower; s && *s; s++)
                        if (*s >= 'A' && *s <= 'Z')
                                *s = (char)(*s - 'A' + 'a');
                r = json_set_str(names, "singular", strempty(lower));
        }
        if (r < 0)
                return r;
        if (*kind && !*json_str_or(names, "listKind", "")) {
                _cleanup_free_ char *list = strformat("%sList", kind);

                r = json_set_str(names, "listKind", strempty(list));
        }
        if (r < 0)
                return r;
        if (json_is_object(json_object_get(object, "spec")) && !json_at(object, "spec.conversion"))
                r = json_set_str(object, "spec.conversion.strategy", "None");
        return r;
}

/* The names as if nobody else wanted them; admission, which sees the others, settles it
 * (crd-names.h). */
static int crd_accept(json_t *object, const struct pipeline_context *c) {
        const json_t *versions = json_at(object, "spec.versions"), *v;
        _cleanup_json_ json_t *stored = json_array();
        char now[TIMEFMT_SIZE];
        size_t i;

        time_format(c->now_us, now);
        json_array_foreach (versions, i, v)
                if (json_bool_or(v, "storage", false))
                        json_array_append_new(stored, json_string(json_str_or(v, "name", "")));
        return json_set_at(object, "status",
                        json_pack("{s:O*, s:O, s:[{s:s,s:s,s:s,s:s,s:s},{s:s,s:s,s:s,s:s,s:s}]}",
                                        "acceptedNames", json_at(object, "spec.names"),
                                        "storedVersions", stored, "conditions", "type",
                                        "NamesAccepted", "status", "True", "reason", "NoConflicts",
                                        "message", "no conflicts found", "lastTransitionTime", now,
                                        "type", "Established", "status", "True", "reason",
                                        "InitialNamesAccepted", "message",
                                        "the initial names have been accepted",
                                        "lastTransitionTime", now));
}

/* The storage versions that objects may be stored in only grow. */
static int crd_prepare_update(const char *subresource, const json_t *old, json_t *object,
                const struct pipeline_context *c) {
        const json_t *versions = json_at(object, "spec.versions"), *v;
        json_t *stored, *names = (json_t *)json_at(object, "spec.names"), *status;
        _cleanup_json_ json_t *known = json_object();
        size_t i;

        if (*subresource)
                return 0;
        status = json_tree_copy(json_object_get(old, "status"));
        if (!status)
                return crd_accept(object, c);
        if (json_object_set_new(object, "status", status) < 0 ||
                        (names && json_object_set(status, "acceptedNames", names) < 0))
                return -ENOMEM;
        stored = json_object_get(status, "storedVersions");
        json_array_foreach (stored, i, v)
                if (json_is_string(v) &&
                                json_object_set_new(known, json_string_value(v), json_true()) < 0)
                        return -ENOMEM;
        json_array_foreach (versions, i, v) {
                const char *name = json_str_or(v, "name", "");

                if (!stored || !json_bool_or(v, "storage", false) || json_object_get(known, name))
                        continue;
                if (json_array_append_new(stored, json_string(name)) < 0 ||
                                json_object_set_new(known, name, json_true()) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* In the words of schema validation, which CRDs are not validated with themselves. */
static void validate_defaults(struct findings *f, const struct schema *root, const char *path) {
        _cleanup_findings_ struct findings own = {0};

        findings_push(&own, path);
        schema_check_defaults(&own, root);
        f->failed |= own.failed;
        if (!own.causes)
                return;
        if (!f->causes)
                f->causes = json_array();
        if (json_array_extend(f->causes, own.causes) < 0)
                f->failed = true;
}

/* Whether the document can be compiled. */
static bool validate_structure(struct findings *f, const json_t *doc, const char *path) {
        size_t before = findings_count(f), at = findings_push(f, path);

        schema_check_structural(f, doc);
        findings_pop(f, at);
        return findings_count(f) == before;
}

static void validate_schema(struct findings *f, const json_t *version, size_t i) {
        _cleanup_free_ char *path = strformat("spec.versions[%zu].schema.openAPIV3Schema", i);
        _cleanup_json_ json_t *definitions =
                        json_pack("{s:{s:s}}", "meta.v1.ObjectMeta", "type", "object");
        const json_t *doc = json_at(version, "schema.openAPIV3Schema");
        _cleanup_(schema_set_freep) struct schema_set *set = NULL;
        _cleanup_problem_ struct problem p = {0};
        const struct schema *root;

        if (!doc) {
                finding_add(f, FINDING_REQUIRED, path, NULL, "schemas are required");
                return;
        }
        if (!validate_structure(f, doc, strempty(path)))
                return;
        if (!path || !definitions || schema_set_new(&set, NULL) < 0 ||
                        schema_set_define(set, definitions) < 0) {
                f->failed = true;
                return;
        }
        schema_set_check_patterns(set);
        if (schema_compile(set, doc, true, path, &root, &p) < 0)
                finding_add(f, FINDING_INVALID, p.field ? p.field : path, NULL, "%s",
                                json_str_or(json_array_get(p.causes, 0), "message",
                                                strempty(p.message)));
        else
                validate_defaults(f, root, path);
}

/* The rules of a version's schema, unless it is the one that was there before; before: the versions
 * then, by name, or NULL. */
static void validate_rules(
                struct findings *f, const json_t *version, size_t i, const json_t *before) {
        _cleanup_free_ char *path = strformat("spec.versions[%zu].schema.openAPIV3Schema", i);
        const json_t *doc = json_at(version, "schema.openAPIV3Schema"),
                     *was = json_object_get(before, json_str_or(version, "name", ""));
        size_t at;

        f->failed |= !path;
        if (was && json_same(json_at(was, "schema.openAPIV3Schema"), doc))
                return;
        at = findings_push(f, strempty(path));
        rules_check_definition(f, doc);
        findings_pop(f, at);
}

/* An update may leave an approval as bad as it was. */
static void validate_approval(struct findings *f, const json_t *old, const json_t *object) {
        static const char path[] = "metadata.annotations[" CRD_APPROVAL_ANNOTATION "]";
        _cleanup_free_ char *why = NULL, *before = NULL;
        enum crd_approval approval = crd_approval_of(object, &why);

        if (old && crd_approval_of(old, &before) == approval)
                return;
        if (approval == CRD_APPROVAL_MISSING)
                finding_add(f, FINDING_REQUIRED, path, NULL, "%s", strempty(why));
        else if (approval == CRD_APPROVAL_INVALID)
                finding_add(f, FINDING_INVALID, path,
                                json_object_get(json_at(object, "metadata.annotations"),
                                                CRD_APPROVAL_ANNOTATION),
                                "%s", strempty(why));
}

static void crd_validate_create(struct findings *f, const json_t *object) {
        const json_t *v;
        size_t i;

        validate_approval(f, NULL, object);
        json_array_foreach (json_at(object, "spec.versions"), i, v)
                validate_rules(f, v, i, NULL);
}

/* A warning goes into a header: short, and of characters that show. */
static void validate_deprecation(struct findings *f, const json_t *version, size_t i) {
        const json_t *v = json_object_get(version, "deprecationWarning");
        _cleanup_free_ char *path = strformat("spec.versions[%zu].deprecationWarning", i);
        const char *text = json_string_value(v);

        if (!text)
                return;
        if (!json_bool_or(version, "deprecated", false))
                finding_add(f, FINDING_INVALID, path, v, "can only be set for deprecated versions");
        if (!*text)
                finding_add(f, FINDING_INVALID, path, v, "must not be an empty string");
        if (json_string_length(v) > DEPRECATION_SIZE_MAX)
                finding_add(f, FINDING_INVALID, path, v, "must be <= %d bytes",
                                DEPRECATION_SIZE_MAX);
        for (size_t at = 0; text[at]; at++)
                if ((unsigned char)text[at] < 0x20 || text[at] == 0x7f) {
                        finding_add(f, FINDING_INVALID, path, v,
                                        "must only contain printable UTF-8 characters; "
                                        "non-printable character found at index %zu",
                                        at);
                        break;
                }
}

static void crd_validate(struct findings *f, const json_t *object) {
        const char *group = json_str_or(object, "spec.group", ""),
                   *plural = json_str_or(object, "spec.names.plural", "");
        _cleanup_free_ char *name = strformat("%s.%s", plural, group);
        const json_t *versions = json_at(object, "spec.versions"), *v;
        size_t i, stored = 0;

        if (!streq(object_name(object), strempty(name)))
                finding_add(f, FINDING_INVALID, "metadata.name", json_at(object, "metadata.name"),
                                "must be spec.names.plural+\".\"+spec.group");
        if (!strchr(group, '.'))
                finding_add(f, FINDING_INVALID, "spec.group", json_at(object, "spec.group"),
                                "should be a domain with at least one dot");
        json_array_foreach (versions, i, v) {
                stored += json_bool_or(v, "storage", false);
                validate_schema(f, v, i);
                validate_deprecation(f, v, i);
        }
        crd_validate_spec(f, object);
        if (stored != 1)
                finding_add(f, FINDING_INVALID, "spec.versions", NULL,
                                "must have exactly one version marked as storage version");
}

static int crd_prepare_delete(json_t *object) {
        uint64_t t = 0;

        (void)time_parse(json_str_or(object, "metadata.deletionTimestamp", ""), &t);
        return crd_set_condition(object, "Terminating", "True", "InstanceDeletionPending",
                        "CustomResourceDefinition marked for deletion; CustomResource deletion "
                        "will begin soon",
                        t);
}

static void crd_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        _cleanup_json_ json_t *before = json_by_name(json_at(old, "spec.versions"));
        const json_t *v;
        size_t i;

        f->failed |= !before;
        validate_approval(f, old, object);
        strategy_validate_immutable(f, old, object, "spec.group");
        strategy_validate_immutable(f, old, object, "spec.scope");
        strategy_validate_immutable(f, old, object, "spec.names.plural");
        strategy_validate_immutable(f, old, object, "spec.names.kind");
        json_array_foreach (json_at(object, "spec.versions"), i, v)
                validate_rules(f, v, i, before);
        /* Objects may be stored in them: their versions must stay until `kctl migrate` has
         * rewritten these. */
        crd_validate_stored_versions(f, object);
}

const struct kind_strategy strategies_apiextensions[] = {
                {.group = "apiextensions.k8s.io",
                                .kind = "CustomResourceDefinition",
                                .flags = STRATEGY_NEEDS_VERSION,
                                .delete_finalizer = CRD_FINALIZER,
                                .defaults = crd_defaults,
                                .prepare_create = crd_accept,
                                .prepare_update = crd_prepare_update,
                                .validate = crd_validate,
                                .validate_create = crd_validate_create,
                                .validate_update = crd_validate_update,
                                .prepare_delete = crd_prepare_delete,
                                .stored = crd_serve},
                {0},
};
