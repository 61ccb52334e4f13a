/* Rules of a kind that a schema can't express: a few functions and facts, one file per group. Every
 * member may be NULL. kapid/pipeline/pipeline.h says when they are called. */
#pragma once

#include "kapid/pipeline/pipeline.h"
#include "kapid/schema/findings.h"

enum name_rule {
        NAME_SUBDOMAIN,    /* RFC 1123 subdomain, the usual */
        NAME_LABEL,        /* RFC 1123 label (namespaces) */
        NAME_LABEL_1035,   /* RFC 1035 label (services) */
        NAME_PATH_SEGMENT, /* anything that fits a path (RBAC) */
};

enum strategy_flag {
        STRATEGY_NO_GENERATION = 1 << 0, /* kinds that never had one: Secret, Event, Lease, ... */
        STRATEGY_STATUS_ON_CREATE = 1 << 1, /* a create may bring its status: Node */
        /* A PUT must carry a resourceVersion (custom resources always: kind.custom). */
        STRATEGY_NEEDS_VERSION = 1 << 2,
        /* spec.finalizers hold a deleted object, too: Namespace. */
        STRATEGY_SPEC_FINALIZERS = 1 << 3,
        /* A delete that removes the object answers with the object, not with a Status: Pod,
         * PersistentVolumeClaim, ServiceAccount. */
        STRATEGY_RETURNS_DELETED = 1 << 4,
        /* Admission reads the object from the cache: a write of it is answered once it is there. */
        STRATEGY_READ_AT_ONCE = 1 << 5,
        /* The server counts the status itself, from caches that are freshened before a write of it:
         * ResourceQuota. */
        STRATEGY_STATUS_COUNTED = 1 << 6,
        STRATEGY_STATUS_DEFAULTS = 1 << 7, /* defaults() fills in parts of the status: Node */
};

struct kind_strategy {
        const char *group, *kind; /* the key */
        enum name_rule name;
        unsigned flags;
        const char *pod_template; /* where its pods' template is: "spec.template"; NULL: none */
        int (*defaults)(json_t *object);
        /* Defaults that an old version has and the others have not, before those of the schema. */
        int (*old_defaults)(const char *api_version, json_t *object);
        int (*prepare_create)(json_t *object, const struct pipeline_context *c);
        int (*prepare_update)(const char *subresource, const json_t *old, json_t *object,
                        const struct pipeline_context *c);
        void (*validate)(struct findings *f, const json_t *object);
        /* After validate, of a new object. */
        void (*validate_create)(struct findings *f, const json_t *object);
        void (*validate_update)(struct findings *f, const char *subresource, const json_t *old,
                        const json_t *object);
        /* Rules that depend on the version that the client writes ("events.k8s.io/v1"), after those
         * above; old: before an update, else NULL. */
        void (*validate_as)(struct findings *f, const char *api_version, const json_t *old,
                        const json_t *object);
        /* Changes an object, which is in any version of the kind, in place to the form of another
         * version ("v2"); apiVersion is the caller's (convert.h). Refuses with p; a code of 0
         * becomes 500. NULL: all versions have one shape. */
        int (*convert)(const struct kind *k, const char *to_version, json_t *object,
                        struct problem *p);
        /* The grace period of a delete, in seconds; requested: the client's, or -1. NULL: 0. */
        int64_t (*grace_seconds)(const json_t *object, int64_t requested);
        /* A finalizer that the first delete adds; NULL: none. */
        const char *delete_finalizer;
        /* A delete that only marks the object, because something holds it. */
        int (*prepare_delete)(json_t *object);
        /* After the store has taken a write of the object, before the client gets its answer. */
        void (*stored)(struct kind_registry *kinds, const json_t *object);
};

/* Never NULL: kinds without an entry have the empty strategy. */
const struct kind_strategy *strategy_find(const char *group, const char *kind);

/* The groups' tables, ended by an entry without kind. */
extern const struct kind_strategy strategies_core[], strategies_pod[], strategies_service[],
                strategies_apps[], strategies_batch[], strategies_certificates[], strategies_rbac[],
                strategies_apiextensions[], strategies_keelson[], strategies_networking[],
                strategies_policy[], strategies_storage[], strategies_other[], strategies_quota[],
                strategies_autoscaling[], strategies_addresspool[], strategies_descheduling[],
                strategies_endpoints[], strategies_admissionregistration[],
                strategies_admissionpolicies[], strategies_apiregistration[], strategies_events[],
                strategies_csi[], strategies_node[], strategies_podtemplate[],
                strategies_flowcontrol[];

/* A PriorityClass that every cluster has, also before it is stored (KEP-268). Its name begins with
 * "system-", which no other class's name does. */
struct system_class {
        const char *name;
        int64_t value;
};
/* NULL: there is no such one. */
const struct system_class *system_class_find(const char *name);

/* Shared checks. */
/* metadata of any object: name, labels, annotations, owner references, finalizers. */
void strategy_validate_metadata(
                struct findings *f, const json_t *metadata, enum name_rule rule, bool namespaced);
/* Objects within a custom one (x-kubernetes-embedded-resource): apiVersion, kind, metadata. The
 * object's types must fit the schema. */
void strategy_validate_embedded(struct findings *f, const struct schema *s, const json_t *v);
/* A LabelSelector at the path's end: operators fit their values. */
void strategy_validate_label_selector(struct findings *f, const json_t *selector);
/* The pod of a pod or a template at the path's end ("spec", "spec.template.spec"). */
void strategy_validate_pod_spec(struct findings *f, const json_t *spec);
/* The spec of a claim, and a template of one in a pod (spec.volumes[].ephemeral), at the path's
 * end.
 */
void strategy_validate_claim_spec(struct findings *f, const json_t *spec);
void strategy_validate_claim_template(struct findings *f, const json_t *template);
/* Defaults that depend on other fields of a pod spec. */
int strategy_default_pod_spec(json_t *spec);
/* spec.template of what makes pods: its labels must match spec.selector, which must select
 * something; its pod must be valid. `more` (with the pod's spec, at spec.template.spec) says what
 * else holds for it. */
void strategy_validate_template(struct findings *f, const json_t *object,
                void (*more)(struct findings *f, const json_t *spec));
/* A pod template at the path's end; more may be NULL. */
void strategy_validate_pod_template(struct findings *f, const json_t *template,
                void (*more)(struct findings *f, const json_t *spec));
/* The name of a CSI driver, in the field at the path's end. */
void strategy_validate_driver_name(struct findings *f, const char *field, const json_t *name);
/* The field v, at the path's end and `field`, as a count or a percentage ("25%"), which *ret is.
 * For anything else, and for negative ones, -EINVAL and a finding. */
int strategy_count_or_percent(struct findings *f, const char *field, const json_t *v, int64_t *ret);
/* spec.schedule (required, cron) and spec.timeZone (may be NULL) of what runs at times. */
void strategy_validate_schedule(struct findings *f, const json_t *schedule);
void strategy_validate_zone(struct findings *f, const json_t *zone);
/* Rules for the pod of a template that runs to completion, for strategy_validate_template(). */
void strategy_validate_finishing(struct findings *f, const json_t *spec);
/* "spec" of a Job or of a template of one, at the path's end, but its pod's template. */
void strategy_validate_job(struct findings *f, const json_t *object);
/* For old versions (old-versions.c): the defaults of Deployments and their like; conversions. */
int strategy_default_old(const char *api_version, json_t *object);
int strategy_convert_ingress(
                const struct kind *k, const char *to_version, json_t *object, struct problem *p);
int strategy_convert_budget(
                const struct kind *k, const char *to_version, json_t *object, struct problem *p);
/* HorizontalPodAutoscalers: autoscaling/v1 (autoscaling-v1.c), and the defaults that it shares with
 * v2: the rules that `behavior` (changed in place) leaves out, and the metrics of one without any,
 * a new reference. */
int strategy_convert_hpa(
                const struct kind *k, const char *to_version, json_t *object, struct problem *p);
int strategy_default_hpa_behavior(json_t *behavior);
json_t *strategy_default_hpa_metrics(void);
/* Whether text is a key of the object `seen`, which it is from then on: entries that must be unique
 * are found in one pass, however many a user writes. */
bool strategy_was_seen(struct findings *f, json_t *seen, const char *text);
/* An immutable field at a dotted path. */
void strategy_validate_immutable(
                struct findings *f, const json_t *old, const json_t *object, const char *path);
