/* Shared by registry.c (requests, redirects, mirrors) and registry-login.c (credentials, tokens).
 */
#pragma once

#include "lib/http-client.h"
#include "lib/map.h"
#include "nodeagent/image/challenge.h"
#include "nodeagent/image/credentials.h"
#include "nodeagent/image/registry.h"
#include "nodeagent/image/settings.h"

/* An endpoint and how far the log in to it has come. */
struct registry_place {
        const struct image_endpoint *endpoint;
        struct image_credentials credentials;
        size_t credential;      /* the current one; those before it were refused */
        char *authorization;    /* value of the header; NULL: none yet */
        struct challenge asked; /* the last challenge */
        bool challenged;
};

struct registry {
        struct registry_options options;
        char *image; /* the whole name, for messages */
        struct image_endpoints endpoints;
        struct registry_place *places; /* one for each endpoint */
        size_t current;                /* the place that answered last */
        struct map *clients;           /* "https://host:port" -> struct http_client */
};

/* What one request got besides its body. */
struct reply {
        struct http_result result;
        char *location;
        struct challenge challenge;
        bool challenged;
};
void reply_done(struct reply *r);

/* One request; the reply's code may be anything. authorization: NULL for none. -errno with p where
 * no answer came. base and path are parts of a URL; the rest of the options is the caller's. */
struct registry_request {
        const char *base, *path, *accept, *authorization;
        const char *form; /* POST it as application/x-www-form-urlencoded; NULL: GET */
        int (*on_data)(struct http_call *call, const char *data, size_t n, void *userdata);
        void *userdata;
        size_t body_size_max;
};
int registry_ask(struct registry *reg, const struct registry_request *request, struct reply *ret,
                struct problem *p);
/* Fills p for an answer that is not what was asked for; returns -errno. what: "the manifest". */
int registry_refused(struct registry *reg, const char *base, const char *what,
                const struct http_result *result, struct problem *p);

/* After an answer 401 or 403: prepares the next try. 1: try again with place->authorization; 0: no
 * credential is left; -errno with p. used: the current credential was already used for this
 * request. */
int registry_login(
                struct registry *reg, struct registry_place *place, bool used, struct problem *p);
