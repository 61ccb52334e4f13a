/* UserRevocation: a ClusterUser stays as long as a certificate of its name that was revoked could
 * still be used: without the object every certificate of the name is accepted. */
#include "kapid/admission/plugins.h"
#include "kapid/auth/revoked.h"
#include "lib/timefmt.h"

static int keep_revoked(struct admission *a, struct problem *p) {
        uint64_t until_us = revoked_until(a->live);
        char until[TIMEFMT_SIZE];

        if (until_us <= a->now_us)
                return 0;
        return admission_forbidden(a, p,
                        "certificates of this user were revoked and would be accepted again until "
                        "they expire (%s); to allow that, remove spec.revokedAt and the revokedAt "
                        "of each certificate first",
                        time_format(until_us, until));
}

static const struct admission_rule rules[] = {
                {.group = "keelson.dev",
                                .plural = "clusterusers",
                                .operations = ADMIT_DELETE,
                                .may_delete = keep_revoked},
                {0},
};

const struct admission_plugin admission_user_revocation = {.safeguard = true, .rules = rules};
