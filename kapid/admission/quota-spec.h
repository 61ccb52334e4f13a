/* A ResourceQuota's spec, read once: what each of its resources counts, and which objects are in
 * its scopes. Pure. */
#pragma once

#include "lib/json.h"
#include "lib/quantity.h"

enum quota_what {
        QUOTA_NOTHING, /* no object has it: accepted, and the writer is warned */
        QUOTA_OBJECTS, /* every object of the kind */
        QUOTA_PODS,    /* pods that have not ended */
        QUOTA_POD_REQUESTS,
        QUOTA_POD_LIMITS,
        QUOTA_NODE_PORTS,
        QUOTA_LOAD_BALANCERS,
        QUOTA_CLAIMS, /* volume claims, of a storage class where one is named */
        QUOTA_CLAIM_STORAGE,
};

/* One resource of spec.hard. */
struct quota_measure {
        char *resource; /* "requests.cpu" */
        enum quota_what what;
        char *group, *plural; /* the kind that it counts; NULL for QUOTA_NOTHING */
        const char *of;       /* within resource: "cpu" of pods */
        char *storage_class;  /* NULL: any */
        struct quantity hard;
};

struct quota_spec {
        json_t *hard, *scopes, *selector; /* references into the quota: what it was read from */
        struct quota_measure *measures;
        size_t count;
};

/* quota: the object. -ENOMEM; amounts that cannot be read count as 0. */
int quota_spec_read(struct quota_spec *ret, const json_t *quota);
void quota_spec_done(struct quota_spec *s);
/* Whether both count the same; the allowed amounts may differ. */
bool quota_spec_counts_same(const struct quota_spec *a, const struct quota_spec *b);
/* Whether the measure counts objects of that kind. */
bool quota_measure_is_of(const struct quota_measure *m, const char *group, const char *plural);

/* Whether an object is in all scopes. Only pods and volume claims are in any: a quota with scopes
 * counts no other objects. */
bool quota_spec_selects(const struct quota_spec *s, const char *group, const char *plural,
                const json_t *object);
/* What one object of the measure's kind adds. `ended`: a pod that no longer uses anything, whatever
 * its phase says; quota_pod_has_ended() says so by the phase alone. */
struct quantity quota_measure_object(
                const struct quota_measure *m, const json_t *object, bool ended);
bool quota_pod_has_ended(const json_t *pod);
/* When a pod that is being deleted stops counting although it is still there, because its node does
 * not answer: one more grace period after its end, as in kube-controller-manager. Wall clock; 0: it
 * is not being deleted. */
uint64_t quota_pod_released_us(const json_t *pod);

/* The resources of cpu and memory that the quota demands and containers of the pod do not name:
 * "limits.cpu for: a,b; requests.memory for: a". *ret NULL: none. -ENOMEM. */
int quota_spec_missing(const struct quota_spec *s, const json_t *pod, char **ret);
