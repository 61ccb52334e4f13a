/* A certificate is good until it ends, so that a stolen one must be refused by name and
 * fingerprint. A ClusterUser lists the certificates of its name that count: what was issued by
 * other ways does not, once there is one. Names without an object are not looked at. */
#include "kapid/auth/revoked.h"

#include "kapid/aggregation/aggregation.h"
#include "kapid/api.h"
#include "kapid/http/request.h"
#include "kapid/proxy/proxy.h"
#include "kapid/streams/session.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

/* No certificate of the API's signers lives longer (reconcilers/cluster/csr.c). */
#define VALIDITY_MAX_US (366 * 86400 * UINT64_C(1000000))

bool certificate_is_listed(const json_t *user, const char *fingerprint) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(user, "spec.certificates"), i, v)
                if (streq(json_str_or(v, "fingerprint", ""), fingerprint))
                        return !json_str(v, "revokedAt");
        return false;
}

uint64_t revoked_until(const json_t *user) {
        const char *at = json_str(user, "spec.revokedAt");
        uint64_t until = 0, us;
        const json_t *v;
        size_t i;

        if (at && time_parse(at, &us) >= 0)
                until = us + VALIDITY_MAX_US;
        json_array_foreach (json_at(user, "spec.certificates"), i, v)
                if (json_str(v, "revokedAt") &&
                                time_parse(json_str_or(v, "expiresAt", ""), &us) >= 0)
                        until = MAX(until, us);
        return until;
}

int revoked_check(struct api *a, const char *name, const char *fingerprint, struct problem *p) {
        struct item *it = a->cluster_users
                                          ? cache_find(a->cluster_users, name)
                                          : api_find(a, "keelson.dev", "clusterusers", "", name);
        _cleanup_json_ json_t *user = NULL;

        if (!it)
                return 0;
        user = item_object(it);
        if (!user)
                return -ENOMEM;
        if (certificate_is_listed(user, strempty(fingerprint)))
                return 0;
        log_notice("A certificate of user %s was refused: its ClusterUser does not list it, or it "
                   "was revoked (fingerprint %s)",
                        name, strempty(fingerprint));
        return problem_set(p, EACCES, 401, "Unauthorized",
                        "the certificate of user \"%s\" was revoked; an administrator issues a new "
                        "one with kctl user add",
                        name);
}

static const char *revocation_of(struct item *it, json_t **keep) {
        *keep = it ? item_object(it) : NULL;
        return strempty(json_str(*keep, "spec.revokedAt"));
}

void revoked_on_change(struct api *a, const struct change *change) {
        _cleanup_json_ json_t *before = NULL, *after = NULL;
        const char *was, *is, *name;
        struct request *next;
        size_t ended = 0;

        if (!change->after)
                return;
        was = revocation_of(change->before, &before);
        is = revocation_of(change->after, &after);
        if (isempty(is) || streq(was, is))
                return;
        name = object_name(after);
        for (struct request *r = LIST_FIRST(&a->open); r; r = next) {
                const struct user *u = r->real_user.name ? &r->real_user : &r->user;

                next = LIST_NEXT(r, open);
                if (!streq(strempty(u->name), name))
                        continue;
                http_request_hang_up(r->carrier);
                ended++;
        }
        ended += stream_sessions_end_of(a, name);
        ended += pod_proxies_end_of(a->pod_proxies, name);
        ended += aggregation_end_of(a->aggregation, name);
        log_notice("User %s was revoked; watches and sessions that end: %zu", name, ended);
}
