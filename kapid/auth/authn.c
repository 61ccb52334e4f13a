/* Authentication. A request that presents something wrong is refused, never taken for anonymous. */
#include "kapid/auth/authn.h"

#include "kapid/auth/jwt.h"
#include "kapid/auth/oidc.h"
#include "kapid/auth/request-header.h"
#include "kapid/auth/revoked.h"
#include "kapid/auth/verified.h"
#include "lib/crypto.h"
#include "lib/object.h"
#include "lib/timefmt.h"

static int unauthorized(struct problem *p) {
        return problem_set(p, EACCES, 401, "Unauthorized", "Unauthorized");
}

bool audience_is_ours(const struct api *a, const char *audience) {
        return streq(audience, a->options.issuer) || streq(audience, "kubernetes");
}

/* How long after its deletion an object still counts, so that what ends in order can say so. */
#define DELETED_US (60 * UINT64_C(1000000))

/* A finalizer keeps a deleted object, but not its tokens. */
static bool is_long_deleted(const json_t *object) {
        const char *at = json_str(object, "metadata.deletionTimestamp");
        uint64_t us;

        return at && (time_parse(at, &us) < 0 || us + DELETED_US < now_wall_us());
}

/* Whether the object exists; uid "": any. */
static bool is_alive(struct api *a, const char *plural, const char *namespace, const char *name,
                const char *uid) {
        struct item *it = api_find(a, "", plural, namespace, name);
        _cleanup_json_ json_t *object = it ? item_object(it) : NULL;

        return object && (isempty(uid) || streq(object_uid(object), uid)) &&
               !is_long_deleted(object);
}

/* Claims as the reference server writes them: sub, and kubernetes.io {namespace, serviceaccount,
 * pod}. */
static int user_of_claims(
                struct api *a, const json_t *claims, struct user *ret, struct problem *p) {
        _cleanup_user_ struct user u = {0};
        const json_t *k = json_object_get(claims, "kubernetes.io");
        const char *namespace = json_str_or(k, "namespace", ""),
                   *name = json_str_or(k, "serviceaccount.name", ""),
                   *uid = json_str_or(k, "serviceaccount.uid", ""),
                   *pod = json_str_or(k, "pod.name", ""),
                   *secret = json_str_or(k, "secret.name", "");
        _cleanup_free_ char *user = strformat("system:serviceaccount:%s:%s", namespace, name);
        _cleanup_free_ char *group = strformat("system:serviceaccounts:%s", namespace);

        if (!user || !group)
                return -ENOMEM;
        if (isempty(namespace) || isempty(name) || !streq(json_str_or(claims, "sub", ""), user))
                return unauthorized(p);
        if (!is_alive(a, "serviceaccounts", namespace, name, uid))
                return unauthorized(p);
        if (!isempty(pod) && !is_alive(a, "pods", namespace, pod, json_str_or(k, "pod.uid", "")))
                return unauthorized(p);
        if (!isempty(secret) && !is_alive(a, "secrets", namespace, secret,
                                                json_str_or(k, "secret.uid", "")))
                return unauthorized(p);
        if (user_set(&u, user, uid) < 0 || user_add_group(&u, "system:serviceaccounts") < 0 ||
                        user_add_group(&u, group) < 0 ||
                        user_add_group(&u, "system:authenticated") < 0)
                return -ENOMEM;
        if (!isempty(pod))
                u.extra = json_pack("{s[s], s[s]}", "authentication.kubernetes.io/pod-name", pod,
                                "authentication.kubernetes.io/pod-uid",
                                json_str_or(k, "pod.uid", ""));
        *ret = u;
        u = (struct user){0};
        return 0;
}

static bool has_our_audience(const struct api *a, const json_t *claims) {
        const json_t *aud = json_object_get(claims, "aud"), *v;
        size_t i;

        if (json_is_string(aud))
                return audience_is_ours(a, json_string_value(aud));
        json_array_foreach (aud, i, v)
                if (json_is_string(v) && audience_is_ours(a, json_string_value(v)))
                        return true;
        return false;
}

/* A value of a Secret as text; NULL when it has none. */
static char *secret_text(const json_t *secret, const char *name) {
        const char *encoded = json_string_value(json_get(secret, "data", name, NULL));
        void *text = NULL;
        size_t n;

        return encoded && base64_decode(encoded, &text, &n) >= 0 ? text : NULL;
}

enum { JOIN_TOKEN_ID = 6, JOIN_TOKEN_SECRET = 16 };

/* Whether the Secret of a join token holds this secret, for authentication, and still does. */
static bool join_token_is_good(const json_t *object, const char *presented) {
        _cleanup_free_ char *secret = secret_text(object, "token-secret"),
                            *end = secret_text(object, "expiration"),
                            *usage = secret_text(object, "usage-bootstrap-authentication");
        uint64_t end_us;

        if (!streq(json_str_or(object, "type", ""), "bootstrap.kubernetes.io/token"))
                return false;
        if (!secret || strlen(secret) != JOIN_TOKEN_SECRET ||
                        !secret_equal(secret, presented, JOIN_TOKEN_SECRET))
                return false;
        if (!usage || !streq(usage, "true"))
                return false;
        return !end || (time_parse(end, &end_us) >= 0 && end_us > now_wall_us());
}

/* Join tokens, as kubeadm's bootstrap tokens: ID.SECRET, kept in a Secret of kube-system. */
static int user_of_join_token(
                struct api *a, const char *token, struct user *ret, struct problem *p) {
        _cleanup_free_ char *object_name = NULL, *name = NULL;
        _cleanup_json_ json_t *object = NULL;
        struct item *it;

        if (strlen(token) != JOIN_TOKEN_ID + 1 + JOIN_TOKEN_SECRET || token[JOIN_TOKEN_ID] != '.' ||
                        memchr(token, '.', JOIN_TOKEN_ID))
                return unauthorized(p);
        object_name = strformat("bootstrap-token-%.*s", JOIN_TOKEN_ID, token);
        name = strformat("system:bootstrap:%.*s", JOIN_TOKEN_ID, token);
        if (!object_name || !name)
                return -ENOMEM;
        it = api_find(a, "", "secrets", "kube-system", object_name);
        object = it ? item_object(it) : NULL;
        if (!object || !join_token_is_good(object, token + JOIN_TOKEN_ID + 1))
                return unauthorized(p);
        if (user_set(ret, name, "") < 0 || user_add_group(ret, "system:bootstrappers") < 0 ||
                        user_add_group(ret, "system:authenticated") < 0)
                return -ENOMEM;
        return 0;
}

/* The claims of a token that this cluster signed. */
static int cluster_claims(struct api *a, const char *token, const struct token_digest *digest,
                json_t **ret) {
        int r;

        *ret = verified_find(a->verified, digest, VERIFIED_BY_CLUSTER);
        if (*ret)
                return 0;
        r = a->jwt ? jwt_verify_signature(a->jwt, token, ret) : -EINVAL;
        if (r >= 0)
                verified_add(a->verified, digest, VERIFIED_BY_CLUSTER, *ret, strlen(token));
        return r;
}

int authenticate_token(struct api *a, const char *token, struct user *ret, struct problem *p) {
        _cleanup_json_ json_t *claims = NULL;
        struct token_digest digest;

        if (strlen(token) == JOIN_TOKEN_ID + 1 + JOIN_TOKEN_SECRET)
                return user_of_join_token(a, token, ret, p);
        digest = token_digest(token);
        if (a->oidc && oidc_knows(a->oidc, token, &digest))
                return oidc_authenticate(a->oidc, token, &digest, ret, p);
        if (cluster_claims(a, token, &digest, &claims) < 0 ||
                        jwt_check_times(claims, now_wall_us() / 1000000) < 0)
                return unauthorized(p);
        if (!streq(json_str_or(claims, "iss", ""), a->options.issuer) ||
                        !has_our_audience(a, claims))
                return unauthorized(p);
        return user_of_claims(a, claims, ret, p);
}

/* A connection that was made before its certificate expired. */
static int outlived(const struct http_peer *peer, struct problem *p) {
        char end[TIMEFMT_SIZE], now[TIMEFMT_SIZE];

        time_format(peer->not_after_s * 1000000, end);
        time_format(now_wall_us(), now);
        return problem_set(p, EACCES, 401, "Unauthorized",
                        "Unauthorized: the certificate of \"%s\" expired at %s, and this machine's "
                        "clock says %s",
                        peer->cn, end, now);
}

static int user_of_peer(struct request *request, const struct http_peer *peer, struct problem *p) {
        struct user *u = &request->user;
        int r;

        if (peer->unix_socket) {
                /* The socket is root's (and our own account's, whose processes have our keys
                 * anyway). */
                if (peer->uid != 0 && peer->uid != geteuid())
                        return unauthorized(p);
                if (user_set(u, "root", "") < 0 || user_add_group(u, "system:masters") < 0 ||
                                user_add_group(u, "system:authenticated") < 0)
                        return -ENOMEM;
                return 0;
        }
        if (isempty(peer->cn))
                return unauthorized(p);
        if (peer->not_after_s && peer->not_after_s <= now_wall_us() / 1000000)
                return outlived(peer, p);
        r = revoked_check(request->api, peer->cn, peer->fingerprint, p);
        if (r < 0)
                return r;
        if (user_set(u, peer->cn, "") < 0)
                return -ENOMEM;
        for (size_t i = 0; peer->organizations && peer->organizations[i]; i++)
                if (user_add_group(u, peer->organizations[i]) < 0)
                        return -ENOMEM;
        return user_add_group(u, "system:authenticated");
}

int authenticate(struct request *request, struct problem *p) {
        const struct http_peer *peer = http_request_peer(request->http);
        const char *header = request_header(request, "Authorization"), *token;
        int r = peer->unix_socket ? 0 : authenticate_by_header(request, p);

        if (r != 0)
                return MIN(r, 0);
        if (peer->unix_socket || peer->certificate)
                return user_of_peer(request, peer, p);
        if (header) {
                if (strncasecmp(header, "Bearer ", 7) != 0)
                        return unauthorized(p);
                for (token = header + 7; *token == ' ';)
                        token++;
                return authenticate_token(request->api, token, &request->user, p);
        }
        if (peer->certificate_problem)
                return problem_set(p, EACCES, 401, "Unauthorized", "Unauthorized: %s",
                                peer->certificate_problem);
        r = user_set(&request->user, "system:anonymous", "");
        if (r < 0)
                return r;
        r = user_add_group(&request->user, "system:unauthenticated");
        return r < 0 ? r : AUTHN_ANONYMOUS;
}
