/* APIServices as the aggregator reads them: which server serves a version of a group, the objects
 * for what kapid serves itself, and whether a server can be reached. Pure.
 *
 * Reference: kube-aggregator (KEP-263, apiregistration.k8s.io/v1). */
#pragma once

#include "kapid/kinds/kind.h"
#include "kapid/webhooks/target.h"

#define APISERVICE_AUTOMANAGED "kube-aggregator.kubernetes.io/automanaged"
/* Its values: of a built-in group, and of a definition's. */
#define APISERVICE_ON_START "onstart"
#define APISERVICE_FOLLOWS "true"

/* The name of the object: "v1beta1.metrics.k8s.io". Caller frees; NULL when out of memory. */
char *apiservice_name(const char *group, const char *version) _warn_unused_;

struct apiservice {
        char *name, *group, *version, *uid;
        struct webhook_target target; /* its path is not used */
        bool local, insecure;
        int64_t group_priority, version_priority;
};
/* From an object that passed validation; -EINVAL for another one, -ENOMEM. */
int apiservice_read(const json_t *object, struct apiservice *ret);
void apiservice_done(struct apiservice *s);
#define _cleanup_apiservice_ _cleanup_(apiservice_done)

/* Whether a server of that group and version may take the place of what kapid serves itself:
 * nothing built-in but metrics.k8s.io, everything else. */
bool apiservice_may_replace(const struct kind_registry *r, const char *group, const char *version);

/* The priorities of a group that kapid serves, and of its version. */
void apiservice_priorities(const char *group, const char *version, bool custom, int64_t *ret_group,
                int64_t *ret_version);

/* What becomes of the object of a group and version. live: NULL where there is none. Of what may be
 * replaced nothing is wanted, so that charts can make the object. *ret is the object to be written,
 * a new reference. */
enum apiservice_action { APISERVICE_KEEP, APISERVICE_WRITE, APISERVICE_DELETE };
enum apiservice_wish { APISERVICE_UNWANTED, APISERVICE_BUILT_IN, APISERVICE_CUSTOM };
int apiservice_decide(const json_t *live, const char *group, const char *version,
                enum apiservice_wish wish, enum apiservice_action *ret_action, json_t **ret);

/* The condition Available. */
struct availability {
        const char *status, *reason; /* static */
        char *message;
};
void availability_done(struct availability *a);
#define _cleanup_availability_ _cleanup_(availability_done)
int availability_set(struct availability *a, const char *status, const char *reason,
                const char *fmt, ...) _printf_(4, 5);
/* What the service and its endpoints (each may be NULL) say before the server is asked. 1: it can
 * be asked, *ret is not set; 0; -ENOMEM. */
int availability_of_service(const struct apiservice *s, const json_t *service,
                const json_t *endpoints, struct availability *ret);
/* A copy of the object with the condition; NULL in *ret when it has it already. */
int availability_apply(
                const json_t *object, const struct availability *a, uint64_t now_us, json_t **ret);
