/* Texts of HTTP that a registry's client reads: the WWW-Authenticate header, and URLs of token
 * services and redirects. Pure. */
#pragma once

#include "lib/base.h"

enum { CHALLENGE_SIZE_MAX = 8192 };

/* One challenge (RFC 9110 section 11.6.1) of the schemes that registries use. */
struct challenge {
        bool basic;    /* else Bearer */
        char *realm;   /* of Bearer: the URL of the token service; may be NULL for Basic */
        char *service; /* NULL where there is none; likewise scope */
        char *scope;
};
void challenge_done(struct challenge *c);
#define _cleanup_challenge_ _cleanup_(challenge_done)

/* Reads one header's value; of several challenges in it the first Bearer, else Basic. 1; 0: none
 * that is known; -ENOMEM. */
int challenge_parse(const char *header, struct challenge *ret);

/* "https://host:5000/a?b" -> "https://host:5000" and "/a?b" (at least "/", no fragment). Both are
 * the caller's. -EINVAL: not such a URL, or one with a user in it. -ENOMEM. */
int challenge_split_url(const char *url, char **ret_base, char **ret_path);
/* The same for the Location of a redirect, which may lack scheme and host: base is that of the
 * request. -EPERM when it leads from https to http. */
int challenge_redirect(const char *base, const char *location, char **ret_base, char **ret_path);
/* Adds "name=value" to a path with a query or without, escaped. 0 or -ENOMEM. */
int challenge_add_query(char **path, const char *name, const char *value);
