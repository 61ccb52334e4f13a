/* The claims of service-account tokens. */
#include "kapid/auth/account-token.h"

#include "lib/object.h"
#include "lib/random.h"

json_t *account_token_claims(const struct account_token *t) {
        const char *name = object_name(t->account);
        _cleanup_free_ char *subject = strformat("system:serviceaccount:%s:%s", t->namespace, name);
        _cleanup_json_ json_t *claims = NULL;
        char id[UUID_SIZE];
        int r;

        if (!subject)
                return NULL;
        claims = json_pack("{ss, ss, sI, sI, sI, ss, s{ss, s{ss, ss}}}", "iss", t->issuer, "sub",
                        subject, "iat", (json_int_t)t->now_s, "nbf", (json_int_t)t->now_s, "exp",
                        (json_int_t)t->end_s, "jti", random_uuid(id), "kubernetes.io", "namespace",
                        t->namespace, "serviceaccount", "name", name, "uid",
                        object_uid(t->account));
        if (!claims)
                return NULL;
        r = json_array_size(t->audiences) > 0
                            ? json_object_set(claims, "aud", (json_t *)t->audiences)
                            : json_object_set_new(claims, "aud", json_pack("[s]", t->issuer));
        if (r < 0)
                return NULL;
        if (t->bound_claim && json_object_set_new(json_object_get(claims, "kubernetes.io"),
                                              t->bound_claim,
                                              json_pack("{ss, ss}", "name", t->bound_name, "uid",
                                                              t->bound_uid)) < 0)
                return NULL;
        return TAKE_PTR(claims);
}
