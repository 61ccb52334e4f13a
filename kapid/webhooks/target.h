/* Where a webhook is: a URL, or a service of the cluster. Pure; resolve.c finds a service's
 * addresses. */
#pragma once

#include "lib/json.h"

struct webhook_target {
        char *url; /* "https://host[:port][/path]"; NULL: a service: */
        char *namespace, *service;
        char *path; /* begins with a slash */
        int64_t port;
        char *ca_pem; /* NULL: the machine's authorities */
};
/* From a clientConfig that passed validation. */
int webhook_target_read(const json_t *config, struct webhook_target *ret);
void webhook_target_done(struct webhook_target *t);

/* What is wrong with a URL, or with the path of a service, in words for its writer; NULL: nothing.
 */
const char *webhook_url_error(const char *url);
const char *webhook_path_error(const char *path);

/* A URL that passed, as the part up to the path, and the path ("/" where it has none). The caller
 * frees both. */
int webhook_url_split(const char *url, char **ret_base, char **ret_path);

/* Of an Endpoints object, the addresses that are ready for a port of this name ("" for one without)
 * as "10.0.0.1:8443" or "[fd00::1]:8443"; a vector ended by NULL. -ENOMEM. */
int webhook_addresses(const json_t *endpoints, const char *port_name, char ***ret);
