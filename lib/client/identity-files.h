/* The files that say who a client is (its kubeconfig and those that it names), looked at while the
 * program runs: certificates and tokens are renewed under it. */
#pragma once

#include "lib/client/api.h"
#include "lib/client/kubeconfig.h"

struct identity_files;

/* As they are now: k was just read from them. -ENOMEM. */
int identity_files_new(struct identity_files **ret, const struct api_client_options *options,
                const struct kubeconfig_context *k);
struct identity_files *identity_files_free(struct identity_files *f);
DEFINE_CLEANUP(struct identity_files *, identity_files_free);
/* Gives http the new credentials when a file has changed; looks at most once a second. Files that
 * cannot be used change nothing. */
void identity_files_check(struct identity_files *f, struct http_client *http);
