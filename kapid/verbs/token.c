/* TokenRequests: tokens for service accounts (KEP-1205), bound to an existing Pod or Secret
 * where the request says so, so that they end with it. An agent gets only tokens that are bound to
 * a pod which runs on its node with that account, and for a day at most. */
#include "kapid/auth/account-token.h"
#include "kapid/auth/jwt.h"
#include "kapid/pipeline/ask.h"
#include "kapid/verbs/subresource-body.h"
#include "kapid/verbs/verbs.h"
#include "lib/crypto.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum {
        TOKEN_MIN_S = 600,
        TOKEN_DEFAULT_S = 3600,
        TOKEN_MAX_S = 90 * 24 * 3600,
        TOKEN_OF_AGENT_MAX_S = 24 * 3600,
};

/* Kinds that a token can be bound to (all of v1). */
static const struct bound_kind {
        const char *kind, *plural, *claim;
        bool runs_as_account; /* it must run with the account of the token */
} bound_kinds[] = {
                {"Pod", "pods", "pod", .runs_as_account = true},
                {"Secret", "secrets", "secret"},
};

static const struct bound_kind *bound_kind_find(const json_t *bound) {
        for (size_t i = 0; i < ELEMENTS(bound_kinds); i++)
                if (streq(bound_kinds[i].kind, json_str_or(bound, "kind", "")) &&
                                streq(json_str_or(bound, "apiVersion", "v1"), "v1"))
                        return &bound_kinds[i];
        return NULL;
}

static int forbid(struct request *request, struct problem *p, const char *why) {
        return problem_set(p, EACCES, 403, "Forbidden", "serviceaccounts \"%s\" is forbidden: %s",
                        request->route.name, why);
}

/* The requests allowed to an agent (reference server: NodeRestriction). */
static int check_agent(struct request *request, const char *node, const json_t *bound,
                const json_t *object, struct problem *p) {
        if (!streq(json_str_or(bound, "kind", ""), "Pod"))
                return forbid(request, p, "node requested token not bound to a pod");
        if (isempty(json_str_or(bound, "uid", "")))
                return forbid(request, p, "node requested token with a pod binding without a uid");
        if (!streq(json_str_or(object, "spec.nodeName", ""), node))
                return forbid(request, p,
                                "node requested token bound to a pod scheduled on a different "
                                "node");
        return 0;
}

/* The object that the token is bound to is there, is the one that is meant, and (a pod) runs with
 * this account. Its uid goes into the request. */
static int check_bound(struct request *request, json_t *body, struct problem *p) {
        const char *node = user_is_master(&request->user) ? NULL : user_node(&request->user);
        const json_t *bound = json_at(body, "spec.boundObjectRef");
        const char *name = json_str_or(bound, "name", ""), *uid = json_str_or(bound, "uid", "");
        const struct bound_kind *k = bound ? bound_kind_find(bound) : NULL;
        _cleanup_json_ json_t *object = NULL;
        struct item *it;

        if (!bound)
                return node ? check_agent(request, node, NULL, NULL, p) : 0;
        if (!k)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "cannot bind token to object of type %s %s: only to a Pod or a "
                                "Secret of v1",
                                json_str_or(bound, "apiVersion", ""),
                                json_str_or(bound, "kind", ""));
        it = api_find(request->api, "", k->plural, request->route.namespace, name);
        if (!it) {
                problem_set(p, ENOENT, 404, "NotFound", "%s \"%s\" not found", k->plural, name);
                problem_about(p, "", k->plural, name);
                return -ENOENT;
        }
        object = item_object(it);
        if (!object)
                return -ENOMEM;
        if (!isempty(uid) && !streq(uid, object_uid(object))) {
                const char *kind = json_str_or(bound, "kind", "");

                problem_set(p, EEXIST, 409, "Conflict",
                                "Operation cannot be fulfilled on %s \"%s\": the UID in the bound "
                                "object reference (%s) does not match the UID in record. The "
                                "object might have been deleted and then recreated",
                                kind, name, uid);
                problem_about(p, "", kind, name);
                return -EEXIST;
        }
        if (k->runs_as_account && !streq(json_str_or(object, "spec.serviceAccountName", "default"),
                                                  request->route.name))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "cannot bind token for serviceaccount \"%s\" to pod running with "
                                "different serviceaccount name.",
                                request->route.name);
        if (node && check_agent(request, node, bound, object, p) < 0)
                return -EACCES;
        return json_set_str(body, "spec.boundObjectRef.uid", object_uid(object));
}

static json_t *token_claims(struct request *request, const json_t *account, const json_t *body,
                uint64_t end_s) {
        const json_t *bound = json_at(body, "spec.boundObjectRef");
        const struct bound_kind *k = bound ? bound_kind_find(bound) : NULL;
        struct account_token t = {
                        .issuer = request->api->options.issuer,
                        .namespace = request->route.namespace,
                        .account = account,
                        .audiences = json_at(body, "spec.audiences"),
                        .bound_claim = k ? k->claim : NULL,
                        .bound_name = json_str_or(bound, "name", ""),
                        .bound_uid = json_str_or(bound, "uid", ""),
                        .now_s = request->now_us / 1000000,
                        .end_s = end_s,
        };

        return account_token_claims(&t);
}

static int check_request(struct request *request, json_t *body, struct problem *p) {
        int64_t seconds = json_int_or(body, "spec.expirationSeconds", TOKEN_DEFAULT_S);

        if (!request->api->jwt || !sign_key_is_private(request->api->jwt))
                return problem_set(p, EOPNOTSUPP, 500, "InternalError",
                                "this server has no key to sign tokens with "
                                "(--service-account-key-file)");
        if (seconds < TOKEN_MIN_S) {
                problem_set(p, EINVAL, 422, "Invalid",
                                "TokenRequest \"%s\" is invalid: spec.expirationSeconds: Invalid "
                                "value: %lld: may not specify a duration less than 10 minutes",
                                request->route.name, (long long)seconds);
                problem_cause(p, "FieldValueInvalid", "spec.expirationSeconds",
                                "Invalid value: may not specify a duration less than 10 minutes");
                return -EINVAL;
        }
        return check_bound(request, body, p);
}

static void issue(struct request *request, const json_t *account, json_t *body) {
        bool agent = user_node(&request->user) && !user_is_master(&request->user);
        int64_t seconds = json_int_or(body, "spec.expirationSeconds", TOKEN_DEFAULT_S);
        uint64_t end_s = request->now_us / 1000000 +
                         (uint64_t)MIN(seconds, agent ? TOKEN_OF_AGENT_MAX_S : TOKEN_MAX_S);
        _cleanup_json_ json_t *claims = token_claims(request, account, body, end_s);
        _cleanup_free_ char *token = NULL;
        char end[TIMEFMT_SIZE];

        if (!claims || jwt_sign(request->api->jwt, claims, &token) < 0) {
                respond_errno(request, ENOMEM);
                return;
        }
        if (json_set_str(body, "status.token", token) < 0 ||
                        json_set_str(body, "status.expirationTimestamp",
                                        time_format(end_s * 1000000, end)) < 0 ||
                        json_set_str(body, "metadata.creationTimestamp",
                                        time_format(request->now_us, end)) < 0)
                respond_errno(request, ENOMEM);
        else
                respond_json(request, 201, body);
}

static void token_now(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *account = NULL;
        int r;

        r = request_object(request, &account, &p);
        if (r < 0) {
                respond_error(request, r, &p);
                return;
        }
        r = check_request(request, request->body.object, &p);
        if (r < 0)
                respond_error(request, r, &p);
        else
                issue(request, account, request->body.object);
}

static void token_freshen(struct request *request) {
        request_freshen(request, token_now);
}

void verb_token(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = subresource_body(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                request_ask(request, WEBHOOK_CREATE, NULL, token_freshen);
}
