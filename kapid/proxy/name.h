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

/* The path below ".../proxy", decoded and without doubled slashes, "." and "..": as the reference
 * server has it, so "a%2Fb" is "/a/b". "" counts as "/". 400 in p for a broken escape. */
int proxy_path(const char *rest, char **ret, struct problem *p);
/* A path, encoded, with the query as it came: what a request line can hold. -ENOMEM */
int proxy_target(const char *path, const char *query, char **ret);

/* A Location of the answer, for the client: paths and addresses of the server become paths below
 * prefix ("/api/v1/namespaces/NS/pods/NAME/proxy"). hosts, ended by NULL,
 * are the server's own. Others stay. *ret is the caller's; NULL: it stays as it is. -ENOMEM */
int proxy_location(const char *location, const char *prefix, const char *const *hosts, char **ret);
