/* The catalogue of kinds: the facts of the built-in kinds for all programs but kapid. The table is
 * made at build time from kapid/kinds/ *.yaml by kapid/kinds/kinds-to-c; the keys are described in
 * kapid/kinds/documents.h. Kinds of CustomResourceDefinitions are not in it. */
#pragma once

#include "lib/base.h"
#include "lib/client/kind-ids.h" /* enum kind_id: KIND_PODS, KIND_DEPLOYMENTS, ... */

/* A kind's place on the wire. */
struct api_resource {
        const char *group;   /* "" for core */
        const char *version; /* "v1" */
        const char *plural;  /* "pods" */
        const char *kind;    /* "Pod" */
        bool namespaced;
};

/* Holds when an object has a condition of this type that is True (with a reason: of that reason,
 * whatever its status), or when the value at path has this text. */
struct kind_rule {
        const char *condition, *reason;
        const char *path, *value;
        const char *text; /* predicate: "exceeded its progress deadline"; may be NULL */
};

/* How healthy an object is, in this order: not yet when `observed` is behind its generation; failed
 * by a rule of `failed`; when there are rules in `ready`, one must hold; enough replicas. Paths are
 * NULL where the kind has no such field. */
struct kind_health {
        const char *observed;           /* "status.observedGeneration" */
        const struct kind_rule *failed; /* ended by a zero rule, as `ready` is; never NULL */
        const struct kind_rule *ready;
        const char *otherwise; /* predicate when no rule of `ready` holds: "has not completed" */
        const char *wanted, *updated, *current, *available; /* numbers of replicas */
        const char *held_back; /* path: the number of replicas that stay as they were on purpose */
        /* One rule or none: when it holds, people replace the pods, and being updated is not
         * waited for. Never NULL. */
        const struct kind_rule *manual;
};

/* A kind whose changes are rolled out in steps. */
struct kind_rollout {
        enum kind_id revisions; /* objects it owns, one a revision of its pod template */
        /* Where the number of a revision is: an annotation, also of the object for the present one,
         * or a path in the revision; the other one is NULL. */
        const char *revision_annotation, *revision_path;
        const char *template_path; /* of the pod template in a revision; NULL: as in the object */
        const char *hash_label; /* a label of the revisions' template that the kind itself sets */
        const char *paused;     /* path of the field that pauses it */
};

/* Ranks of applying: up to BASE, everything is applied before the rest can be checked (namespaces
 * and CRDs). */
enum { KIND_RANK_BASE = 1, KIND_RANK_LAST = 10 };

struct kind_facts {
        struct api_resource resource;
        const char *singular;
        const char *const *short_names, *const *categories; /* ended by NULL, never NULL */
        /* Names of objects that the control plane makes in every namespace; ended by NULL. */
        const char *const *in_each_namespace;
        const char *pod_template; /* path of the pod it runs, "" for a Pod itself, NULL: none */
        const struct kind_health *health;   /* NULL: healthy as soon as it exists */
        const struct kind_rollout *rollout; /* NULL: none */
        int apply_rank;      /* order of applying, lower first; negative: last (kind_rank()) */
        bool listable;       /* false: answered and not stored, as a TokenReview */
        bool follows_others; /* copies of facts of other objects, as Events and Endpoints */
        bool confidential;   /* contents are never shown, nor hashed without a salt */
};

/* By enum kind_id. */
extern const struct kind_facts kind_facts[];

/* The place of a kind that the program names itself. */
static inline const struct api_resource *api_resource(enum kind_id id) {
        return &kind_facts[id].resource;
}
/* NULL for kinds that are not built in. */
const struct kind_facts *kind_facts_find(const char *group, const char *plural);
const struct kind_facts *kind_facts_by_kind(const char *group, const char *kind);
/* Whether a list of words (short_names, in_each_namespace...) has the word. */
bool kind_word_in(const char *const *words, const char *word);
/* The order of applying: 0 to KIND_RANK_LAST, which kinds have that are not built in. */
unsigned kind_rank(const char *group, const char *kind);
/* By plural alone, for the first group that has it; NULL when unknown. */
const struct api_resource *api_resource_find(const char *plural);
