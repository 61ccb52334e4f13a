/* What the path of a proxied request says, and what of an answer points back to the server itself.
 * Pure. Reference: SplitSchemeNamePort of k8s.io/apimachinery/pkg/util/net, rewriteURL of
 * k8s.io/apimachinery/pkg/util/proxy. */
#pragma once

#include "lib/problem.h"

/* "[SCHEME:]NAME[:PORT]": a scheme stands only where a port, which may be empty, does:
 * "https:web:". Texts are owned. */
struct proxy_name {
        char *name, *port; /* port "": none was named */
        bool tls;
};
void proxy_name_done(struct proxy_name *n);
#define _cleanup_proxy_name_ _cleanup_(proxy_name_done)
/* singular: "pod", "service", "node", for the refusal (400). */
int proxy_name_parse(
                const char *text, const char *singular, struct proxy_name *ret, struct problem *p);

/* The path below ".../proxy" as it came, with the query: what a request line can hold. rest: ""
 * counts as "/". The caller frees. -ENOMEM */
int proxy_target(const char *rest, const char *query, char **ret);

/* A Location of the answer, for the client: paths and addresses of the server become paths below
 * prefix ("/api/v1/namespaces/NS/pods/NAME/proxy", as the client wrote it). hosts, ended by NULL,
 * are the server's own. Others stay. *ret is the caller's; NULL: it stays as it is. -ENOMEM */
int proxy_location(const char *location, const char *prefix, const char *const *hosts, char **ret);
