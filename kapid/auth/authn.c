/* Authentication. A request that presents something wrong is refused, never taken for anonymous. */
#include "kapid/auth/authn.h"

#include "kapid/auth/jwt.h"
#include "lib/crypto.h"
#include "lib/object.h"
#include "lib/timefmt.h"

static int unauthorized(struct problem *p) {
        return problem_set(p, EACCES, 401, "Unauthorized", "Unauthorized");
}

bool audience_is_ours(const struct api *a, const char *audience) {
        return streq(audience, a->options.issuer) || streq(audience, "kubernetes");
}

/* The item's object if its uid is the wanted one ("" any). */
static bool is_alive(struct api *a, const char *prefix, const char *namespace, const char *name,
                const char *uid) {
        _cleanup_free_ char *path = strformat("%s/%s", namespace, name);
        struct cache *c = caches_get(a->caches, prefix);
        struct item *it = c && path ? cache_find(c, path) : NULL;
        _cleanup_json_ json_t *o = it ? item_object(it) : NULL;

        return o && (isempty(uid) || streq(object_uid(o), uid));
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
        if (!is_alive(a, "/registry/serviceaccounts/", namespace, name, uid))
                return unauthorized(p);
        if (!isempty(pod) && !is_alive(a, "/registry/pods/", namespace, pod,
                                             json_str_or(k, "pod.uid", "")))
                return unauthorized(p);
        if (!isempty(secret) && !is_alive(a, "/registry/secrets/", namespace, secret,
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

/* Join tokens, as kubeadm's bootstrap tokens: ID.SECRET, kept in a Secret of kube-system. */
static int user_of_join_token(
                struct api *a, const char *token, struct user *ret, struct problem *p) {
        const char *dot = strchr(token, '.');
        _cleanup_free_ char *path = NULL, *name = NULL;
        _cleanup_json_ json_t *o = NULL;
        struct cache *c = caches_get(a->caches, "/registry/secrets/");
        const char *fields[] = {"token-secret", "expiration", "usage-bootstrap-authentication"};
        _cleanup_free_ char *secret = NULL, *end = NULL, *usage = NULL;
        char **values[] = {&secret, &end, &usage};
        struct item *it;
        uint64_t end_us;

        if (!c || strlen(token) != 23 || dot != token + 6)
                return unauthorized(p);
        path = strformat("kube-system/bootstrap-token-%.6s", token);
        name = strformat("system:bootstrap:%.6s", token);
        if (!path || !name)
                return -ENOMEM;
        it = cache_find(c, path);
        o = it ? item_object(it) : NULL;
        if (!o || !streq(json_str_or(o, "type", ""), "bootstrap.kubernetes.io/token"))
                return unauthorized(p);
        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                const char *text = json_string_value(json_get(o, "data", fields[i], NULL));
                void *value = NULL;
                size_t n;

                if (text && base64_decode(text, &value, &n) >= 0) {
                        *values[i] = strndup(value, n);
                        free(value);
                }
        }
        if (!secret || strlen(secret) != 16 || !secret_equal(secret, dot + 1, 16))
                return unauthorized(p);
        if (!usage || !streq(usage, "true"))
                return unauthorized(p);
        if (end && (time_parse(end, &end_us) < 0 || end_us <= now_wall_us()))
                return unauthorized(p);
        if (user_set(ret, name, "") < 0 || user_add_group(ret, "system:bootstrappers") < 0 ||
                        user_add_group(ret, "system:authenticated") < 0)
                return -ENOMEM;
        return 0;
}

int authenticate_token(struct api *a, const char *token, struct user *ret, struct problem *p) {
        _cleanup_json_ json_t *claims = NULL;

        if (strlen(token) == 23)
                return user_of_join_token(a, token, ret, p);
        if (!a->jwt || jwt_verify(a->jwt, token, now_wall_us() / 1000000, &claims) < 0)
                return unauthorized(p);
        if (!streq(json_str_or(claims, "iss", ""), a->options.issuer) ||
                        !has_our_audience(a, claims))
                return unauthorized(p);
        return user_of_claims(a, claims, ret, p);
}

static int user_of_peer(struct request *r, const struct http_peer *peer, struct problem *p) {
        struct user *u = &r->user;

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
                return unauthorized(p); /* a connection that outlived its certificate */
        if (user_set(u, peer->cn, "") < 0)
                return -ENOMEM;
        for (size_t i = 0; peer->organizations && peer->organizations[i]; i++)
                if (user_add_group(u, peer->organizations[i]) < 0)
                        return -ENOMEM;
        return user_add_group(u, "system:authenticated");
}

int authenticate(struct request *r, struct problem *p) {
        const struct http_peer *peer = http_request_peer(r->http);
        const char *header = request_header(r, "Authorization"), *token;
        int e;

        if (peer->unix_socket || peer->certificate)
                return user_of_peer(r, peer, p);
        if (header) {
                if (strncasecmp(header, "Bearer ", 7) != 0)
                        return unauthorized(p);
                for (token = header + 7; *token == ' ';)
                        token++;
                return authenticate_token(r->api, token, &r->user, p);
        }
        e = user_set(&r->user, "system:anonymous", "");
        if (e < 0)
                return e;
        e = user_add_group(&r->user, "system:unauthenticated");
        return e < 0 ? e : AUTHN_ANONYMOUS;
}
