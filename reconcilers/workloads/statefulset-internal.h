/* Shared by the files of the StatefulSet controller: a set, its pods by ordinal, its revisions and
 * its claims. */
#pragma once

#include "reconcilers/workloads/history.h"

#define POD_NAME_LABEL "statefulset.kubernetes.io/pod-name"
#define POD_INDEX_LABEL "apps.kubernetes.io/pod-index"

struct set_member {
        const json_t *pod;
        int64_t ordinal;
        bool healthy;   /* ready and not terminating */
        bool available; /* healthy for spec.minReadySeconds */
};

struct set_members {
        struct set_member *items;
        size_t count, allocated;
};

struct set {
        const json_t *object;
        struct history history;
        struct objects pods;          /* its own, whatever their names */
        struct set_members replicas;  /* pods with an ordinal that is wanted, lowest first */
        struct set_members condemned; /* those with another one, lowest first */
        int64_t start, wanted;        /* ordinals from start to start + wanted - 1 */
        bool ordered;                 /* podManagementPolicy OrderedReady */
        bool rolling;                 /* updateStrategy RollingUpdate */
        int64_t partition, max_unavailable;
        const json_t *current; /* revision that pods below the partition have; NULL: none yet */
        uint64_t wait_us;      /* until the next pod is available; 0: none is expected to be */
};

/* --- statefulset-pods.c: reading the set, names, pods --- */

void set_read(struct set *s, const struct world *w, const json_t *object);
void set_done(struct set *s);
/* The ordinal in the name of a pod of the set; -1 when it has none. */
int64_t set_ordinal_of(const json_t *object, const json_t *pod);
/* The revision that a pod of that ordinal is meant to have. */
const json_t *set_revision_for(const struct set *s, int64_t ordinal);
/* The pod of an ordinal, of that revision; a new reference. */
json_t *set_pod(const struct set *s, int64_t ordinal, const json_t *revision);
/* Plans the labels of a pod that lacks them (an adopted one). */
void set_label_pod(const struct set *s, struct actions *a, const struct set_member *m);
void set_create_pod(const struct set *s, struct actions *a, int64_t ordinal);
void set_delete_pod(const struct set *s, struct actions *a, const json_t *pod);

/* --- statefulset-claims.c: a claim of each template for each pod --- */

/* Whether a claim of that name is the claim of a pod of the set. */
bool set_names_claim(const json_t *object, const char *claim);
/* Plans the claims that the pod of an ordinal lacks. False: it has to wait, because a claim is
 * being deleted, or will be with an earlier pod of that name. pod: NULL when it does not exist. */
bool set_create_claims(const struct set *s, const struct world *w, struct actions *a,
                int64_t ordinal, const json_t *pod);
/* Plans the owners of an existing pod's claims as persistentVolumeClaimRetentionPolicy says.
 * condemned: a smaller number of replicas removes the pod. */
void set_own_claims(const struct set *s, const struct world *w, struct actions *a,
                const json_t *pod, bool condemned);
/* Puts volumes for the claims into the pod's spec, in place of those of the same name. */
void set_mount_claims(const struct set *s, json_t *pod_spec, const char *pod_name);
