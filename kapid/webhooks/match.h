/* Which webhooks a request is for, as Kubernetes decides it. Pure. */
#pragma once

#include "kapid/kinds/kind.h"
#include "kapid/webhooks/config.h"

/* A request as webhooks see it. Everything is borrowed. */
struct webhook_request {
        unsigned operation; /* WEBHOOK_CREATE... */
        const struct kind *kind;
        const struct kind_subresource *sub; /* NULL: the object itself */
        const char *namespace;              /* of a Namespace: its name; "" for others without */
        const char *name;                   /* "": the server makes it */
        const json_t *object, *old_object;  /* NULL: none; in the form of the kind or, where the
                                               subresource has one of its own, in that */
        const json_t *options;              /* NULL: none */
        const json_t *user;                 /* userInfo */
        const json_t *namespace_labels;     /* of the namespace as it is stored; NULL: none */
        bool dry_run;
};

/* Whether the subresource's body is of a kind of its own, which has one version. */
bool webhook_has_own_form(const struct kind *k, const struct kind_subresource *sub);

/* Other versions of the request's resource, for matchPolicy Equivalent; ended by NULL. */
enum { WEBHOOK_EQUIVALENTS_MAX = 16 };
struct webhook_equivalents {
        const struct kind *kinds[WEBHOOK_EQUIVALENTS_MAX + 1];
};
void webhook_equivalents_find(const struct kind_registry *registry, const struct kind *k,
                struct webhook_equivalents *ret);

/* The namespace that the message names: that of an object, or the Namespace itself. */
const char *webhook_namespace(const struct kind *k, const char *namespace, const char *name);

/* Never sent to any webhook, or a broken one could not be got rid of. */
bool webhook_is_exempt(const struct kind *k);

/* The version of the kind in which the webhook wants the request; NULL: it is not for it. */
const struct kind *webhook_match(const struct webhook *w, const struct webhook_request *a,
                const struct webhook_equivalents *equivalents);
/* Its two halves: the rules alone, and the selectors alone. */
const struct kind *webhook_rules_match(const struct webhook *w, const struct webhook_request *a,
                const struct webhook_equivalents *equivalents);
bool webhook_selectors_match(const struct webhook *w, const struct webhook_request *a);
