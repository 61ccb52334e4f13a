/* The order is: form, algorithm, signature, and only then the claims, each exactly. Names that
 * begin with "system:" are the cluster's own: no issuer gives them. */
#include "kapid/auth/oidc-token.h"

#include <stdarg.h>

#include "kapid/auth/jwt.h"

enum {
        LEEWAY_S = 60, /* of nbf: clocks that are a little apart */
        GROUPS_MAX = 500,
        NAME_SIZE_MAX = 1024,
};

/* --- flags --- */

static int check_required(char *const *claims, struct problem *p) {
        for (; claims && *claims; claims++) {
                const char *equals = strchr(*claims, '=');

                if (!equals || equals == *claims)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--oidc-required-claim %s: expected key=value", *claims);
        }
        return 0;
}

static int check_algorithms(char *const *names, struct problem *p) {
        if (!names)
                return problem_set(p, EINVAL, 0, NULL,
                                "--oidc-signing-algs names no algorithm; the default is RS256");
        for (; *names; names++)
                if (!jwk_algorithm_is_known(*names))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--oidc-signing-algs %s: not one of RS256, RS384, RS512, "
                                        "PS256, PS384, PS512, ES256, ES384, ES512",
                                        *names);
        return 0;
}

int oidc_options_check(const struct oidc_options *o, const char *own_issuer, struct problem *p) {
        const char *host;
        int r;

        if (isempty(o->issuer_url)) {
                if (!isempty(o->client_id))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--oidc-client-id needs --oidc-issuer-url");
                return 0;
        }
        if (isempty(o->client_id))
                return problem_set(p, EINVAL, 0, NULL,
                                "--oidc-issuer-url needs --oidc-client-id: the name of this "
                                "cluster at the issuer");
        host = startswith(o->issuer_url, "https://");
        if (isempty(host) || *host == '/' || strpbrk(o->issuer_url, "?# \t\r\n"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--oidc-issuer-url %s: expected https://HOST[:PORT][/PATH], as "
                                "the issuer writes it in its tokens",
                                o->issuer_url);
        if (streq(o->issuer_url, strempty(own_issuer)))
                return problem_set(p, EINVAL, 0, NULL,
                                "--oidc-issuer-url %s: that is --service-account-issuer, the "
                                "cluster's own issuer",
                                o->issuer_url);
        if (isempty(o->username_claim))
                return problem_set(p, EINVAL, 0, NULL, "--oidc-username-claim must not be empty");
        r = check_required(o->required_claims, p);
        return r < 0 ? r : check_algorithms(o->algorithms, p);
}

/* --- tokens --- */

bool oidc_token_is_from(const char *token, const char *issuer) {
        _cleanup_jwt_ struct jwt jwt = {0};

        return jwt_parse(token, &jwt) >= 0 &&
               streq(strempty(json_string_value(json_object_get(jwt.claims, "iss"))), issuer);
}

static _printf_(2, 3) int refuse(struct problem *p, const char *fmt, ...) {
        _cleanup_free_ char *why = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&why, fmt, ap);
        va_end(ap);
        if (n < 0) {
                why = NULL;
                return -ENOMEM;
        }
        return problem_set(p, EACCES, 401, "Unauthorized", "Unauthorized: the token %s", why);
}

static int check_signature(const struct oidc_options *o, const struct jwk_set *keys,
                const struct jwt *jwt, struct problem *p) {
        const json_t *id = json_object_get(jwt->header, "kid"),
                     *algorithm = json_object_get(jwt->header, "alg");
        struct jws w = {.algorithm = json_string_value(algorithm),
                        .key_id = json_string_value(id),
                        .data = jwt->signed_text,
                        .size = jwt->signed_size,
                        .signature = jwt->signature,
                        .signature_size = jwt->signature_size};
        int r;

        if (!w.algorithm || !strv_contains(o->algorithms, w.algorithm))
                return refuse(p, "is signed with an algorithm that --oidc-signing-algs does not "
                                 "name");
        if (json_object_get(jwt->header, "crit") || (id && !w.key_id))
                return refuse(p, "has a header that is not understood");
        if (!keys)
                return -ENOKEY;
        r = jwk_set_verify(keys, &w);
        return r == -EINVAL ? refuse(p, "has a signature that is not the issuer's") : r;
}

/* Seconds since 1970, which may have a fraction (RFC 7519 section 2). 0: absent. */
static int numeric_date(const json_t *claims, const char *name, double *ret, struct problem *p) {
        const json_t *v = json_object_get(claims, name);

        if (!v)
                return 0;
        if (!json_is_number(v) || !(json_number_value(v) > 0 && json_number_value(v) < 1e12))
                return refuse(p, "has a claim %s that is not a time", name);
        *ret = json_number_value(v);
        return 1;
}

static int check_times(const json_t *claims, uint64_t now_s, struct problem *p) {
        double end = 0, begin = 0;
        int r = numeric_date(claims, "exp", &end, p);

        if (r < 0)
                return r;
        if (r == 0)
                return refuse(p, "has no claim exp");
        if ((double)now_s >= end)
                return refuse(p, "has expired; log in again");
        r = numeric_date(claims, "nbf", &begin, p);
        if (r < 0)
                return r;
        if (r > 0 && (double)now_s + LEEWAY_S < begin)
                return refuse(p, "is not valid yet; are the clocks right?");
        return 0;
}

static int check_audience(const json_t *claims, const char *client_id, struct problem *p) {
        const json_t *audience = json_object_get(claims, "aud"), *v;
        size_t i;

        if (json_is_string(audience) && streq(json_string_value(audience), client_id))
                return 0;
        json_array_foreach (audience, i, v)
                if (json_is_string(v) && streq(json_string_value(v), client_id))
                        return 0;
        return refuse(p, "is for another audience than %s", client_id);
}

static int check_required_claims(const json_t *claims, char *const *required, struct problem *p) {
        for (; required && *required; required++) {
                const char *equals = strchr(*required, '=');
                _cleanup_free_ char *name = strndup(*required, (size_t)(equals - *required));
                const char *value;

                if (!name)
                        return -ENOMEM;
                value = json_string_value(json_object_get(claims, name));
                if (!value || !streq(value, equals + 1))
                        return refuse(p, "lacks the claim %s", *required);
        }
        return 0;
}

/* --- the user --- */

/* A name as it is used and shown: not the cluster's own, of bounded size, without control
 * characters. */
static bool name_is_good(const char *name) {
        if (!*name || strlen(name) > NAME_SIZE_MAX || startswith(name, "system:"))
                return false;
        for (const char *s = name; *s; s++)
                if ((unsigned char)*s < 0x20 || *s == 0x7f)
                        return false;
        return true;
}

static char *prefixed_name(const struct oidc_options *o, const char *name) {
        const char *prefix = o->username_prefix;

        if (isempty(prefix)) /* the default of kube-apiserver */
                return streq(o->username_claim, "email") ? strdup(name)
                                                         : strformat("%s#%s", o->issuer_url, name);
        return streq(prefix, "-") ? strdup(name) : strformat("%s%s", prefix, name);
}

static int set_name(const struct oidc_options *o, const json_t *claims, struct user *u,
                struct problem *p) {
        const char *value = json_string_value(json_object_get(claims, o->username_claim));
        const json_t *verified = json_object_get(claims, "email_verified");
        _cleanup_free_ char *name = NULL;

        if (isempty(value))
                return refuse(p, "has no claim %s that is a text", o->username_claim);
        if (streq(o->username_claim, "email") && verified && !json_is_true(verified))
                return refuse(p, "has an e-mail address that the issuer has not verified");
        name = prefixed_name(o, value);
        if (!name)
                return -ENOMEM;
        if (!name_is_good(name))
                return refuse(p, "names a user that is reserved or no valid name");
        return user_set(u, name, "");
}

static int add_group(const struct oidc_options *o, const char *value, struct user *u) {
        _cleanup_free_ char *group = strformat("%s%s", strempty(o->groups_prefix), value);

        if (!group)
                return -ENOMEM;
        return name_is_good(group) ? user_add_group(u, group) : 0;
}

static int add_groups(const struct oidc_options *o, const json_t *claims, struct user *u,
                struct problem *p) {
        const json_t *groups = isempty(o->groups_claim) ? NULL
                                                        : json_object_get(claims, o->groups_claim),
                     *v;
        size_t i;

        if (!groups)
                return 0;
        if (json_is_string(groups))
                return add_group(o, json_string_value(groups), u);
        if (!json_is_array(groups) || json_array_size(groups) > GROUPS_MAX)
                return refuse(p, "has a claim %s that is neither a text nor a list of at most %d",
                                o->groups_claim, GROUPS_MAX);
        json_array_foreach (groups, i, v) {
                int r = json_is_string(v) ? add_group(o, json_string_value(v), u)
                                          : refuse(p, "has a claim %s that is no list of texts",
                                                            o->groups_claim);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* As kube-apiserver: which token it was. */
static int add_credential(const json_t *claims, struct user *u) {
        const char *id = json_string_value(json_object_get(claims, "jti"));
        _cleanup_free_ char *text = NULL;

        if (isempty(id) || strlen(id) > NAME_SIZE_MAX)
                return 0;
        text = strformat("JTI=%s", id);
        u->extra = text ? json_pack("{s[s]}", "authentication.kubernetes.io/credential-id", text)
                        : NULL;
        return u->extra ? 0 : -ENOMEM;
}

static int user_of_claims(const struct oidc_options *o, const json_t *claims, struct user *ret,
                struct problem *p) {
        _cleanup_user_ struct user u = {0};
        int r = set_name(o, claims, &u, p);

        if (r < 0)
                return r;
        r = add_groups(o, claims, &u, p);
        if (r < 0)
                return r;
        r = add_credential(claims, &u);
        if (r < 0)
                return r;
        r = user_add_group(&u, "system:authenticated");
        if (r < 0)
                return r;
        *ret = u;
        u = (struct user){0};
        return 0;
}

int oidc_token_verify(const struct oidc_options *o, const struct jwk_set *keys, const char *token,
                json_t **ret_claims, struct problem *p) {
        _cleanup_jwt_ struct jwt jwt = {0};
        int r = jwt_parse(token, &jwt);

        if (r < 0)
                return r == -ENOMEM ? r : refuse(p, "is not a JSON Web Token");
        r = check_signature(o, keys, &jwt, p);
        if (r < 0)
                return r;
        *ret_claims = TAKE_PTR(jwt.claims);
        return 0;
}

int oidc_token_judge(const struct oidc_options *o, const json_t *claims, uint64_t now_s,
                struct user *ret, struct problem *p) {
        const char *issuer = json_string_value(json_object_get(claims, "iss"));
        int r;

        if (!issuer || !streq(issuer, o->issuer_url))
                return refuse(p, "is not from the issuer %s", o->issuer_url);
        r = check_audience(claims, o->client_id, p);
        if (r < 0)
                return r;
        r = check_times(claims, now_s, p);
        if (r < 0)
                return r;
        r = check_required_claims(claims, o->required_claims, p);
        return r < 0 ? r : user_of_claims(o, claims, ret, p);
}

int oidc_token_check(const struct oidc_options *o, const struct jwk_set *keys, const char *token,
                uint64_t now_s, struct user *ret, struct problem *p) {
        _cleanup_json_ json_t *claims = NULL;
        int r = oidc_token_verify(o, keys, token, &claims, p);

        return r < 0 ? r : oidc_token_judge(o, claims, now_s, ret, p);
}
