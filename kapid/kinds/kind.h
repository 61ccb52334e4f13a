/* Kinds: the description of each resource that kapid serves. Built-in kinds are documents compiled
 * into the program (kapid/kinds/), CustomResourceDefinitions add more at run time on the same path.
 *
 * A struct kind is one served version of one resource. It is immutable and reference-counted: a
 * request that outlives the current event must hold a reference, because a CRD can go away. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"
#include "lib/selector.h"

struct json_part;
struct jsonpath;
struct rules;
struct schema;
struct kind_strategy;
struct subresource_form;

/* Verbs as bits, in the order discovery lists them. */
enum kind_verb {
        KIND_CREATE = 1 << 0,
        KIND_DELETE = 1 << 1,
        KIND_DELETECOLLECTION = 1 << 2,
        KIND_GET = 1 << 3,
        KIND_LIST = 1 << 4,
        KIND_PATCH = 1 << 5,
        KIND_UPDATE = 1 << 6,
        KIND_WATCH = 1 << 7,
};
/* The words of a set of verbs, "create" and so on, as a JSON array. */
json_t *kind_verbs_json(unsigned verbs);

/* A path below an item. Known names: status, scale, binding, eviction, log, token, approval,
 * finalize. */
struct kind_subresource {
        const char *name;
        unsigned verbs;
        /* The kind that the body has: the resource's own for status, Scale (autoscaling/v1),
         * Eviction (policy/v1), Binding, TokenRequest... */
        const char *group;
        const char *version;
        const char *kind;
        const struct schema *schema;         /* of that body; NULL when there is none (log) */
        const struct subresource_form *form; /* NULL: it is read and written as the whole object */
};

/* Dotted JSON paths, without a leading dot, of the scale subresource; label_selector may be NULL.
 */
struct kind_scale {
        const char *spec_replicas;
        const char *status_replicas;
        const char *label_selector;
};

struct kind_column {
        const char *name;
        const char *type;   /* string, integer, number, boolean, date */
        const char *shown;  /* the type that a Table names; NULL: type */
        const char *format; /* "" or "name" ... */
        const char *description;
        int priority;           /* 0 always, above only in -o wide */
        const char *path;       /* JSONPath of the cell; NULL when a function makes it: */
        struct jsonpath *steps; /* the path as it was read; NULL: it cannot be */
        json_t *(*cell)(const json_t *object, uint64_t now_us);
        const char *reads;  /* the paths that the function reads; NULL: any (table/cells.h) */
        const char *absent; /* text of the cell when the path finds nothing; NULL: by type */
        bool first;         /* only the first of what the path finds; null for nothing */
};

/* What objects stored in one version of a custom kind are: the schema that they were made with says
 * which fields and defaults they have, whatever version they are read in. */
struct kind_form {
        const char *api_version;
        const struct schema *schema;
        bool fills_defaults;
};

struct kind {
        const char *group; /* "" for core */
        const char *version;
        const char *api_version; /* "v1", "apps/v1" */
        const char *plural;
        const char *singular;
        const char *kind;
        const char *list_kind;
        const char *resource;     /* as messages name it: "pods", "deployments.apps" */
        char *const *short_names; /* NULL-terminated vectors; NULL is empty */
        char *const *categories;
        bool namespaced;
        bool stored;     /* false: TokenReview and its like, answered and forgotten */
        bool custom;     /* from a CRD posted by a user: no strategic merge patch, no protobuf */
        bool has_status; /* has the status subresource: main writes keep status, status writes keep
                            the rest */
        bool update_creates; /* PUT on a missing object creates it (Lease, Event) */
        bool deprecated;
        bool fills_defaults; /* custom, and its schema has defaults: stored objects may lack them */
        bool prunes;         /* custom, and its schema is not the only one that stored objects may
                                have passed: they may have fields that it has not */
        bool has_embedded;   /* its schema has whole objects inside */
        bool by_webhook;     /* a webhook converts between its versions (kapid/conversion/) */
        bool terminating;    /* its definition is being deleted: nothing is created any longer */
        unsigned ttl_s;      /* the store deletes objects after this many seconds; 0: never */
        unsigned ttl_share_s;    /* objects written within this many seconds share a lease */
        uint64_t serial;         /* no other kind had or will have it while kapid runs; never 0 */
        uint64_t fingerprint;    /* of its definition's spec: the same in every kapid */
        const char *deprecation; /* what to warn users of this version with; NULL: nothing */
        unsigned verbs;
        const struct kind_subresource *subresources;
        size_t subresource_count;
        const struct kind_scale *scale; /* NULL: none */
        const struct schema *schema;    /* of the whole object */
        struct rules *rules;            /* its schema's x-kubernetes-validations; NULL: none */
        /* Built-in: an object's structs that are no pointers in Kubernetes' types; NULL: an empty
         * spec and status. See kapid/patch/empty.h. */
        const json_t *empty;
        const json_t *initial_status;      /* of a new object; NULL: none */
        const struct kind_column *columns; /* of its Table, the name column first */
        size_t column_count;
        struct json_part *row;           /* what the cells of its Table read */
        char *const *selectable_fields;  /* field selector keys besides metadata.name and
                                            metadata.namespace */
        const char *storage_prefix;      /* "/registry/pods/" or "/registry/example.com/widgets/" */
        const char *storage_version;     /* the version in which it is stored ("v1") */
        const char *storage_group;       /* its group: another one for old versions ("apps") */
        const char *storage_api_version; /* both ("apps/v1") */
        /* Of a custom kind with several versions, all of them, ended by one without api_version;
         * NULL: there is only this one. */
        const struct kind_form *forms;
        const struct kind_strategy *strategy; /* never NULL */
};

struct kind *kind_ref(const struct kind *k);
struct kind *kind_unref(struct kind *k);
DEFINE_CLEANUP(struct kind *, kind_unref);

/* The name of the document that made it ("widgets.example.com"). */
const char *kind_document(const struct kind *k);
/* The store's key of an object; namespace is not used where the kind has none. The caller frees. */
char *kind_store_key(const struct kind *k, const char *namespace, const char *name) _warn_unused_;
/* NULL when the kind has no such subresource. */
const struct kind_subresource *kind_subresource_find(const struct kind *k, const char *name);
/* "pods \"x\" not found" needs "pods"; groups are appended: kind->resource. */

/* Refuses (400, `field label not supported: spec.x`) selectors with a key the kind does not offer.
 */
int kind_check_field_selector(
                const struct kind *k, const struct field_selector *s, struct problem *p);
/* The part of an object that kind_field_selector_matches() reads. */
int kind_field_selector_part(const struct field_selector *s, struct json_part **ret);
/* Whether the object matches; absent booleans count as "false", absent numbers as "0" (as the API's
 * typed objects do), other absent values as "". */
bool kind_field_selector_matches(
                const struct kind *k, const struct field_selector *s, const json_t *object);

struct kind_registry;
/* Compiles the built-in documents (about a dozen milliseconds, once). */
int kind_registry_new(struct kind_registry **ret, struct problem *p);
/* The same, with old versions of built-in kinds: settings are "extensions/v1beta1" or
 * "extensions/v1beta1=true" (or =false, the default), a vector ended by NULL; NULL: none. -EINVAL
 * with p for a version that cannot be switched (p lists those that can). */
int kind_registry_new_with(struct kind_registry **ret, char *const *settings, struct problem *p);
struct kind_registry *kind_registry_free(struct kind_registry *registry);
DEFINE_CLEANUP(struct kind_registry *, kind_registry_free);

/* A definition that the built-in kinds share ("meta.v1.Status"); borrowed, NULL: there is none. */
const struct schema *kind_registry_definition(
                const struct kind_registry *registry, const char *name);
/* Borrowed; NULL when unknown. plural is the resource's path segment. */
const struct kind *kind_registry_find(const struct kind_registry *registry, const char *group,
                const char *version, const char *plural);
const struct kind *kind_registry_find_kind(const struct kind_registry *registry, const char *group,
                const char *version, const char *kind);
/* The preferred (first) version of a group's resource; version-less look-ups (RBAC, owner
 * references). */
const struct kind *kind_registry_find_resource(
                const struct kind_registry *registry, const char *group, const char *plural);
bool kind_registry_has_group_version(
                const struct kind_registry *registry, const char *group, const char *version);
/* Iteration: all kinds, grouped by group and version in order of preference; NULL past the end. */
const struct kind *kind_registry_at(const struct kind_registry *registry, size_t i);

/* Adds or replaces every served version of a (validated) CustomResourceDefinition. A schema that is
 * not structural, or names taken by another kind, is refused with 422 and causes. */
int kind_registry_add_crd(struct kind_registry *registry, const json_t *crd, struct problem *p);
/* Removes what the CRD of that name ("widgets.example.com") added; 1 when there was something. */
int kind_registry_remove_crd(struct kind_registry *registry, const char *crd_name);
/* Grows with every change: caches of discovery and OpenAPI documents key on it. */
uint64_t kind_registry_generation(const struct kind_registry *registry);
/* A hash of the documents that are compiled in. */
uint64_t kind_registry_fingerprint(const struct kind_registry *registry);
