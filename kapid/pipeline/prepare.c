/* Defaulting, preparing and validating in the order that write-object.c gives, with what each
 * kind's strategy adds; grace periods and the scale subresource. */
#include "kapid/pipeline/pipeline.h"

#include "kapid/pipeline/convert.h"
#include "kapid/schema/internal.h"
#include "kapid/schema/rules.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

int pipeline_default(const struct kind *k, json_t *object) {
        int r = 0;

        if (k->strategy->old_defaults && !streq(k->api_version, k->storage_api_version))
                r = k->strategy->old_defaults(k->api_version, object);
        if (r < 0)
                return r;
        r = schema_default(k->schema, object);
        return r == 0 && k->strategy->defaults ? k->strategy->defaults(object) : r;
}

int pipeline_default_status(const struct kind *k, json_t *object) {
        return schema_default(schema_child(k->schema, "status"), json_object_get(object, "status"));
}

static bool is_filled(const struct schema *s, const json_t *stored, unsigned what) {
        return !what || schema_is_settled(s, stored, what);
}

static json_t *fill(const struct schema *s, json_t *stored, unsigned what) {
        _cleanup_normaliser_ struct normaliser n = {.custom = true};
        _cleanup_json_ json_t *filled = NULL;

        if (is_filled(s, stored, what))
                return json_incref(stored);
        filled = json_tree_copy(stored);
        if (!filled || (what & SETTLED_PRUNED && normalise(&n, s, filled) < 0) ||
                        (what & SETTLED_DEFAULTS && schema_default(s, filled) < 0))
                return NULL;
        return json_same(filled, stored) ? json_incref(stored) : TAKE_PTR(filled);
}

static unsigned what_to_fill(const struct kind *k) {
        return (k->prunes ? SETTLED_PRUNED : 0) | (k->fills_defaults ? SETTLED_DEFAULTS : 0);
}

bool pipeline_is_filled(const struct kind *k, const json_t *stored) {
        return is_filled(k->schema, stored, what_to_fill(k));
}

json_t *pipeline_fill(const struct kind *k, json_t *stored) {
        return fill(k->schema, stored, what_to_fill(k));
}

json_t *pipeline_prune(const struct kind *k, json_t *converted) {
        return fill(k->schema, converted, k->prunes ? SETTLED_PRUNED : 0);
}

json_t *pipeline_fill_stored(const struct kind *k, json_t *stored) {
        const char *version = object_api_version(stored);

        if (streq(version, k->api_version))
                return pipeline_fill(k, stored);
        for (const struct kind_form *f = k->forms; f && f->api_version; f++)
                if (streq(version, f->api_version))
                        return fill(f->schema, stored, f->fills_defaults ? SETTLED_DEFAULTS : 0);
        return json_incref(stored);
}

bool pipeline_needs_version(const struct kind *k) {
        return k->custom || k->strategy->flags & STRATEGY_NEEDS_VERSION;
}

static int add_initial_status(const struct kind *k, json_t *object) {
        if (!k->initial_status || json_object_get(object, "status"))
                return 0;
        return json_object_set_new(object, "status", json_tree_copy(k->initial_status)) < 0
                               ? -ENOMEM
                               : 0;
}

int pipeline_prepare_create(
                const struct kind *k, json_t *object, const struct pipeline_context *c) {
        int r = 0;

        if (k->has_status && !(k->strategy->flags & STRATEGY_STATUS_ON_CREATE))
                json_object_del(object, "status");
        if (!(k->strategy->flags & STRATEGY_NO_GENERATION) && k->stored)
                r = json_set_int(object, "metadata.generation", 1);
        if (r != 0)
                return r;
        if (k->strategy->prepare_create)
                r = k->strategy->prepare_create(object, c);
        return r < 0 ? r : add_initial_status(k, object);
}

static int keep(json_t *object, const json_t *old, const char *key) {
        json_t *v = json_object_get(old, key);

        if (!v) {
                json_object_del(object, key);
                return 0;
        }
        return json_object_set(object, key, v) < 0 ? -ENOMEM : 0;
}

/* A copy of its own, as strategies change labels and annotations, with these managedFields (NULL:
 * its own), which nobody changes in place. */
static json_t *copy_metadata(const json_t *metadata, const json_t *managed) {
        _cleanup_json_ json_t *bare = json_shallow_copy(metadata), *copy = NULL;
        const json_t *fields = managed ? managed : json_object_get(metadata, "managedFields");

        if (json_object_get(bare, "managedFields") &&
                        json_object_set_new(bare, "managedFields", json_null()) < 0)
                return NULL;
        copy = json_tree_copy(bare);
        if (fields && json_object_set(copy, "managedFields", json_unconst(fields)) < 0)
                return NULL;
        return TAKE_PTR(copy);
}

/* Everything but `only` becomes the old object's; of the metadata managedFields stay the new ones.
 */
static int keep_all_but(json_t *object, const json_t *old, const char *only) {
        const json_t *managed = json_at(object, "metadata.managedFields"),
                     *was = json_object_get(old, "metadata");
        json_t *metadata = was ? copy_metadata(was, managed) : NULL;
        _cleanup_json_ json_t *value = json_incref(json_object_get(object, only));
        const char *key;
        json_t *v;
        int r = 0;

        if (was && !metadata)
                return -ENOMEM;
        r |= json_object_clear(object);
        json_object_foreach ((json_t *)old, key, v)
                if (!streq(key, only))
                        r |= json_object_set(object, key, v);
        if (metadata)
                r |= json_object_set_new(object, "metadata", metadata);
        if (value)
                r |= json_object_set(object, only, value);
        return r < 0 ? -ENOMEM : 0;
}

/* Whether anything outside metadata, status, kind and apiVersion differs. */
static bool wanted_differs(const struct kind *k, const json_t *old, const json_t *object) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)object, key, v) {
                const json_t *other = json_object_get(old, key);

                if (streq(key, "metadata") || streq(key, "apiVersion") ||
                                (k->has_status && streq(key, "status")))
                        continue;
                if (!other || !json_same(v, other))
                        return true;
        }
        json_object_foreach ((json_t *)old, key, v)
                if (!json_object_get(object, key) && !streq(key, "metadata") &&
                                !(k->has_status && streq(key, "status")))
                        return true;
        return false;
}

/* The parts that this request does not write become the old object's. */
static int keep_unwritten(const struct kind *k, const struct kind_subresource *sub,
                const json_t *old, json_t *object) {
        if (!sub)
                return k->has_status ? keep(object, old, "status") : 0;
        if (streq(sub->name, "status") || streq(sub->name, "approval"))
                return keep_all_but(object, old, "status");
        if (streq(sub->name, "finalize") || streq(sub->name, "resize") ||
                        streq(sub->name, "ephemeralcontainers"))
                return keep_all_but(object, old, "spec");
        return 0;
}

int pipeline_prepare_update(const struct kind *k, const struct kind_subresource *sub,
                const json_t *old, json_t *object, const struct pipeline_context *c) {
        const char *name = sub ? sub->name : "";
        int64_t generation = object_generation(old);
        int r = keep_unwritten(k, sub, old, object);

        if (r < 0)
                return r;
        if (k->strategy->prepare_update) {
                r = k->strategy->prepare_update(name, old, object, c);
                if (r < 0)
                        return r;
        }
        if (k->strategy->flags & STRATEGY_NO_GENERATION || !k->stored)
                return 0;
        if (wanted_differs(k, old, object))
                generation++;
        return json_set_int(object, "metadata.generation", MAX(generation, (int64_t)1));
}

/* What the rules of the kind are about: the object in the version that is stored. A new reference;
 * NULL with a failed list of findings. */
static json_t *ruled_form(struct findings *f, const struct kind *k, const json_t *object) {
        _cleanup_problem_ struct problem p = {0};
        json_t *form = NULL;

        if (k->custom || !k->strategy->convert || streq(k->api_version, k->storage_api_version))
                return json_incref((json_t *)object);
        if (kind_store_form(k, object, &form, &p) < 0)
                f->failed = true;
        return form;
}

static void validate_rules(struct findings *f, const struct kind *k, const json_t *object) {
        _cleanup_json_ json_t *form = ruled_form(f, k, object);

        if (form)
                k->strategy->validate(f, form);
}

static void validate_rules_create(struct findings *f, const struct kind *k, const json_t *object) {
        _cleanup_json_ json_t *form = ruled_form(f, k, object);

        if (form)
                k->strategy->validate_create(f, form);
}

static void validate_rules_update(struct findings *f, const struct kind *k, const char *subresource,
                const json_t *old, const json_t *object) {
        _cleanup_json_ json_t *was = ruled_form(f, k, old), *is = ruled_form(f, k, object);

        if (was && is)
                k->strategy->validate_update(f, subresource, was, is);
}

static void validate_rules_as(
                struct findings *f, const struct kind *k, const json_t *old, const json_t *object) {
        _cleanup_json_ json_t *was = old ? ruled_form(f, k, old) : NULL,
                              *is = ruled_form(f, k, object);

        if (is && (was || !old))
                k->strategy->validate_as(f, k->api_version, was, is);
}

/* What keeps expressions from being read: values that are missing, too long, of another type or not
 * of an enumeration. */
static bool blocks_rules(const struct findings *f) {
        static const char *const blocking[] = {"FieldValueRequired", "FieldValueTooLong",
                        "FieldValueTooMany", "FieldValueTypeInvalid", "FieldValueNotSupported"};
        const json_t *cause;
        size_t i;

        json_array_foreach (f->causes, i, cause)
                for (size_t b = 0; b < ELEMENTS(blocking); b++)
                        if (streq(json_str_or(cause, "reason", ""), blocking[b]))
                                return true;
        return false;
}

static void validate_expressions(struct findings *f, const struct kind *k, const json_t *object,
                const json_t *old, char ***warnings) {
        _cleanup_json_ json_t *none = json_null();

        if (blocks_rules(f))
                finding_add(f, FINDING_INVALID, "<nil>", none,
                                "some validation rules were not checked because the object was "
                                "invalid; correct the existing errors to complete validation");
        else
                rules_validate(f, k->rules, object, old, warnings);
}

static void drop_same(struct findings *f, const struct findings *before) {
        const json_t *cause;
        size_t i;

        for (size_t n = json_array_size(f->causes); n > 0; n--)
                json_array_foreach (before->causes, i, cause)
                        if (json_equal(json_array_get(f->causes, n - 1), json_unconst(cause))) {
                                json_array_remove(f->causes, n - 1);
                                break;
                        }
}

/* The groups that Kubernetes serves by its generic code take any finalizer: definitions have one of
 * the server's own without a slash. */
static bool needs_domains(const struct kind *k) {
        static const char *const any[] = {"admissionregistration.k8s.io", "apiextensions.k8s.io",
                        "apiregistration.k8s.io"};

        for (size_t i = 0; i < ELEMENTS(any); i++)
                if (streq(k->group, any[i]))
                        return false;
        return !k->custom;
}

/* Whether something is to be forgiven. With as many findings as are kept there may be more, which
 * nobody would compare. */
static bool may_forgive(const struct findings *f, const json_t *old) {
        return old && findings_count(f) > 0 && findings_count(f) < FINDINGS_MAX;
}

/* What the old object breaks in the same way does not stop an update: rules may be newer than it,
 * and its status and finalizers must be written all the same. */
static void forgive_old(struct findings *f, const struct kind *k, const json_t *old, bool rules) {
        _cleanup_findings_ struct findings before = {.built_in = true};

        if (k->custom || !may_forgive(f, old))
                return;
        if (rules)
                validate_rules(&before, k, old);
        else
                schema_validate(&before, k->schema, old);
        drop_same(f, &before);
}

/* The same of the metadata; their names never change (validate_metadata_update). */
static void validate_metadata(
                struct findings *f, const struct kind *k, const json_t *object, const json_t *old) {
        _cleanup_findings_ struct findings before = {
                        .built_in = f->built_in, .domains = needs_domains(k)};

        f->domains = before.domains;
        strategy_validate_metadata(
                        f, json_object_get(object, "metadata"), k->strategy->name, k->namespaced);
        if (!may_forgive(f, old))
                return;
        strategy_validate_metadata(&before, json_object_get(old, "metadata"), k->strategy->name,
                        k->namespaced);
        drop_same(f, &before);
}

/* old: before an update, else NULL. warnings: what an update breaks in parts that it does not
 * change; may be NULL. */
static void validate_whole(struct findings *f, const struct kind *k, const json_t *object,
                const json_t *old, char ***warnings) {
        f->built_in = !k->custom;
        if (k->stored)
                validate_metadata(f, k, object, old);
        schema_validate_update(f, k->schema, object, k->custom ? old : NULL);
        forgive_old(f, k, old, /* rules= */ false);
        if (k->has_embedded && findings_count(f) == 0)
                strategy_validate_embedded(f, k->schema, object);
        /* Strategies read typed fields: they run only on what has the right shape. */
        if (k->strategy->validate && findings_count(f) == 0) {
                validate_rules(f, k, object);
                forgive_old(f, k, old, /* rules= */ true);
        }
        if (k->rules)
                validate_expressions(f, k, object, old, warnings);
}

static bool list_has(const json_t *list, const char *word) {
        const json_t *item;
        size_t i;

        json_array_foreach (list, i, item)
                if (json_is_string(item) && streq(json_string_value(item), word))
                        return true;
        return false;
}

static int warn_finalizer(const char *name, char ***warnings) {
        static const char *const known[] = {"foregroundDeletion", "orphan", "kubernetes"};
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < ELEMENTS(known); i++)
                if (streq(name, known[i]))
                        return 0;
        if (strchr(name, '/'))
                return 0;
        text = strformat(
                        "metadata.finalizers: \"%s\": prefer a domain-qualified finalizer name%s to "
                        "avoid accidental conflicts with other finalizer writers",
                        name, strchr(name, '.') ? " including a path (/)" : "");
        return text ? strv_extend(warnings, text) : -ENOMEM;
}

static int warn_finalizers(const json_t *old, const json_t *object, char ***warnings) {
        const json_t *list = json_at(object, "metadata.finalizers"),
                     *had = json_at(old, "metadata.finalizers"), *item;
        size_t i;

        json_array_foreach (list, i, item) {
                const char *name = strempty(json_string_value(item));
                int r = list_has(had, name) ? 0 : warn_finalizer(name, warnings);

                if (r < 0)
                        return r;
        }
        return 0;
}

int pipeline_warnings(
                const struct kind *k, const json_t *old, const json_t *object, char ***warnings) {
        return k->custom ? warn_finalizers(old, object, warnings)
                         : schema_warn_hidden(k->schema, object, warnings);
}

/* The strings of a list as keys. NULL when out of memory. */
static json_t *set_of(const json_t *list) {
        _cleanup_json_ json_t *set = json_object();
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (json_is_string(v) &&
                                json_object_set_new(set, json_string_value(v), json_true()) < 0)
                        return NULL;
        return TAKE_PTR(set);
}

static void validate_metadata_update(struct findings *f, const json_t *old, const json_t *object) {
        static const char *const fixed[] = {"metadata.name", "metadata.namespace", "metadata.uid",
                        "metadata.creationTimestamp"};
        const json_t *list = json_at(object, "metadata.finalizers"), *item;
        _cleanup_json_ json_t *had = NULL;
        size_t i;

        for (i = 0; i < ELEMENTS(fixed); i++)
                strategy_validate_immutable(f, old, object, fixed[i]);
        if (!object_is_deleting(old))
                return;
        had = set_of(json_at(old, "metadata.finalizers"));
        f->failed |= !had;
        json_array_foreach (list, i, item)
                if (json_is_string(item) && !json_object_get(had, json_string_value(item)))
                        finding_add(f, FINDING_FORBIDDEN, "metadata.finalizers", NULL,
                                        "no new finalizers can be added if the object is being "
                                        "deleted, found new "
                                        "finalizers []string{\"%s\"}",
                                        json_string_value(item));
}

static void validate_create(const struct pipeline_validation *v, struct findings *f) {
        const struct kind *k = v->kind;

        validate_whole(f, k, v->object, NULL, NULL);
        if (k->strategy->validate_create && findings_count(f) == 0)
                validate_rules_create(f, k, v->object);
        if (k->strategy->validate_as && findings_count(f) == 0)
                validate_rules_as(f, k, NULL, v->object);
}

static void validate_update(const struct pipeline_validation *v, struct findings *f) {
        const struct kind *k = v->kind;

        validate_whole(f, k, v->object, v->old, v->warnings);
        validate_metadata_update(f, v->old, v->object);
        if (k->strategy->validate_update && findings_count(f) == 0)
                validate_rules_update(f, k, v->sub ? v->sub->name : "", v->old, v->object);
        if (k->strategy->validate_as && findings_count(f) == 0)
                validate_rules_as(f, k, v->old, v->object);
}

int pipeline_validate(const struct pipeline_validation *v, struct problem *p) {
        _cleanup_findings_ struct findings f = {.now_us = v->now_us, .clock = v->clock};

        if (v->old)
                validate_update(v, &f);
        else
                validate_create(v, &f);
        return findings_problem(&f, v->kind, NULL, object_name(v->object), p);
}

int pipeline_validate_create(const struct kind *k, const json_t *object, struct problem *p) {
        return pipeline_validate(&(struct pipeline_validation){.kind = k, .object = object}, p);
}

int pipeline_validate_update(const struct kind *k, const struct kind_subresource *sub,
                const json_t *old, const json_t *object, char ***warnings, struct problem *p) {
        const struct pipeline_validation v = {
                        .kind = k, .sub = sub, .old = old, .object = object, .warnings = warnings};

        return pipeline_validate(&v, p);
}

int pipeline_validate_body(const struct kind *k, const struct kind_subresource *sub, json_t *body,
                struct problem *p) {
        const struct schema *s = sub->schema ? sub->schema : k->schema;
        _cleanup_findings_ struct findings f = {.built_in = true};
        _cleanup_free_ char *word =
                        *sub->group ? strformat("%s.%s", sub->kind, sub->group) : strdup(sub->kind);

        if (schema_default(s, body) < 0 || !word)
                return problem_set(p, ENOMEM, 500, "InternalError", "out of memory");
        schema_validate(&f, s, body);
        return findings_problem(&f, k, word, object_name(body), p);
}

int64_t pipeline_grace_seconds(const struct kind *k, const json_t *object, int64_t requested) {
        return k->strategy->grace_seconds ? k->strategy->grace_seconds(object, requested) : 0;
}

const char *pipeline_delete_finalizer(const struct kind *k) {
        return k->strategy->delete_finalizer;
}

int pipeline_prepare_delete(const struct kind *k, json_t *object) {
        return k->strategy->prepare_delete ? k->strategy->prepare_delete(object) : 0;
}

bool pipeline_is_held(const struct kind *k, const json_t *object) {
        if (json_array_size(json_at(object, "metadata.finalizers")) > 0)
                return true;
        return k->strategy->flags & STRATEGY_SPEC_FINALIZERS &&
               json_array_size(json_at(object, "spec.finalizers")) > 0;
}

bool pipeline_is_read_at_once(const struct kind *k) {
        return k->strategy->flags & STRATEGY_READ_AT_ONCE;
}

bool pipeline_counts_status(const struct kind *k, const struct kind_subresource *sub) {
        return k->strategy->flags & STRATEGY_STATUS_COUNTED && sub && streq(sub->name, "status");
}

bool pipeline_returns_deleted(const struct kind *k) {
        return k->strategy->flags & STRATEGY_RETURNS_DELETED;
}

void pipeline_stored(const struct kind *k, struct kind_registry *kinds, const json_t *object) {
        if (k->strategy->stored)
                k->strategy->stored(kinds, object);
}

static json_t *scale_get(const struct kind *k, const json_t *object) {
        static const char *const copied[] = {
                        "name", "namespace", "uid", "resourceVersion", "creationTimestamp"};
        const json_t *selector;
        json_t *scale;
        _cleanup_free_ char *text = NULL;

        if (!k->scale)
                return NULL;
        scale = json_pack("{s:s, s:s, s:{}, s:{s:I}, s:{s:I}}", "kind", "Scale", "apiVersion",
                        "autoscaling/v1", "metadata", "spec", "replicas",
                        (json_int_t)json_int_or(object, k->scale->spec_replicas, 0), "status",
                        "replicas", (json_int_t)json_int_or(object, k->scale->status_replicas, 0));
        if (!scale)
                return NULL;
        for (size_t i = 0; i < ELEMENTS(copied); i++) {
                json_t *v = (json_t *)json_get(object, "metadata", copied[i], NULL);

                if (v)
                        json_object_set(json_object_get(scale, "metadata"), copied[i], v);
        }
        selector = k->scale->label_selector ? json_at(object, k->scale->label_selector) : NULL;
        if (json_is_string(selector))
                text = strdup(json_string_value(selector));
        else if (json_is_object(selector)) {
                _cleanup_(label_selector_freep) struct label_selector *s = NULL;
                _cleanup_problem_ struct problem p = {0};

                if (label_selector_from_any(selector, &s, &p) == 0)
                        text = label_selector_text(s);
        }
        if (text && json_set_str(scale, "status.selector", text) < 0) {
                json_decref(scale);
                return NULL;
        }
        return scale;
}

static int scale_put(const struct kind *k, json_t *object, const json_t *scale, struct problem *p) {
        json_t *replicas = (json_t *)json_at(scale, "spec.replicas");
        _cleanup_findings_ struct findings f = {.built_in = true};

        if (!k->scale)
                return problem_set(p, ENOTSUP, 404, "NotFound",
                                "the server could not find the requested resource");
        if (replicas && (!json_is_integer(replicas) || json_integer_value(replicas) < 0))
                finding_add(&f, FINDING_INVALID, "spec.replicas", replicas,
                                "must be greater than or equal to 0");
        int r = findings_problem(&f, k, "Scale.autoscaling", object_name(object), p);
        if (r < 0)
                return r;
        r = json_set_at(object, k->scale->spec_replicas,
                        replicas ? json_incref(replicas) : json_integer(0));
        return r < 0 ? problem_set(p, ENOMEM, 500, "InternalError", "out of memory") : 0;
}

const struct subresource_form scale_form = {.get = scale_get, .put = scale_put};
