/* From method, path and query to a verb on a resource, or on a plain path. Pure. */
#pragma once

#include "lib/problem.h"

enum { ROUTE_PATH_MAX = 4096 };

struct route {
        char *text;        /* holds the segments */
        bool resource;     /* else a path such as /healthz; only verb and path are set */
        const char *verb;  /* get, list, watch, create, update, patch, delete, deletecollection,
                            * for proxies also options;
                            * for paths the method in lower case */
        const char *path;  /* decoded, without a slash at its end */
        const char *group; /* "" for core */
        const char *version;
        const char *plural;
        const char *namespace;   /* "" when the path has none */
        const char *name;        /* "" for collections, but for a watch of one object's path */
        const char *subresource; /* "" when none */
        const char *rest;        /* of core's proxies: what follows "proxy", not decoded: "", "/x";
                                  * else NULL */
        bool deep; /* more segments follow the subresource; built-in resources have none */
};

/* query_watch: the query parameter "watch" or NULL. Refusals: 400 (bad encoding, too long), 405. A
 * path below /api or /apis that names no resource (discovery) is a plain path. */
int route_parse(const char *method, const char *path, const char *query_watch, struct route *ret,
                struct problem *p);
void route_done(struct route *r);
#define _cleanup_route_ _cleanup_(route_done)

/* Query booleans: only absent, "0" and "false" (any case) are false: "?watch=" is true. */
bool query_true(const char *value);
