/* Clients of the API as the command line wants them. */
#include "kctl/kctl.h"
#include "lib/timefmt.h"

#include "config.h"

struct kubeconfig_overrides kctl_overrides(const struct kctl *k) {
        return (struct kubeconfig_overrides){.context = k->flags.context,
                        .server = k->flags.server,
                        .token = k->flags.token,
                        .as_user = k->flags.as_user,
                        .as_groups = k->flags.as_groups};
}

const char kctl_said[] = "said";

int kctl_no_client(struct problem *p) {
        return problem_set(p, ENOTCONN, 0, kctl_said, "no cluster to talk to");
}

/* -v 6 and more: each request, without headers and bodies, which may hold secrets. */
static void show_request(const char *method, const char *url, int code, uint64_t began_us) {
        fprintf(stderr, "%s %s %d in %llu ms\n", method, url, code,
                        (unsigned long long)((now_mono_us() - began_us) / 1000));
}

enum { TRACE_LEVEL = 6 };

/* Between two tries of a request, where there are several API servers. */
static void pause_a_moment(void) {
        usleep(250000);
}

int kctl_client_new(struct kctl *k, sd_event *event, struct api_client **ret, struct problem *p) {
        const struct kubeconfig_overrides overrides = kctl_overrides(k);

        return api_client_new(ret, event,
                        &(struct api_client_options){.kubeconfig = k->flags.kubeconfig,
                                        .overrides = &overrides,
                                        .timeout_us = k->flags.request_timeout_us,
                                        .trace = k->flags.verbosity >= TRACE_LEVEL ? show_request
                                                                                   : NULL,
                                        .user_agent = "kctl/" PACKAGE_VERSION,
                                        .pause = pause_a_moment},
                        p);
}
