/* Reviews: questions about access that are answered in their status and not stored. */
#include "kapid/auth/authn.h"
#include "kapid/auth/authz.h"
#include "kapid/pipeline/body.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"

static int ask(struct request *request, const struct user *u, const json_t *spec, json_t *body) {
        const json_t *res = json_object_get(spec, "resourceAttributes"),
                     *path = json_object_get(spec, "nonResourceAttributes");
        const json_t *from = path ? path : res;
        struct access access = {.user = u,
                        .verb = json_str_or(from, "verb", ""),
                        .group = json_str_or(res, "group", ""),
                        .version = json_str_or(res, "version", ""),
                        .resource = json_str_or(res, "resource", ""),
                        .subresource = json_str_or(res, "subresource", ""),
                        .namespace = json_str_or(res, "namespace", ""),
                        .name = json_str_or(res, "name", ""),
                        .path = path ? json_str_or(path, "path", "") : NULL};
        bool allowed = authorize(request->api, &access);

        return json_set_at(body, "status", json_pack("{sb}", "allowed", allowed));
}

static int self_access(struct request *request, json_t *body, struct problem *p) {
        return ask(request, &request->user, json_object_get(body, "spec"), body);
}

static int access_review(struct request *request, json_t *body, struct problem *p) {
        _cleanup_user_ struct user u = {0};
        const json_t *spec = json_object_get(body, "spec");
        int r = user_from_json(spec, &u);

        if (r < 0)
                return r;
        if (isempty(u.name) && !u.groups)
                return problem_set(p, EINVAL, 422, "Invalid",
                                "%s \"\" is invalid: spec.user: Invalid value: \"\": at least one "
                                "of user or group must be specified",
                                request->kind->kind);
        if (streq(request->kind->kind, "LocalSubjectAccessReview") &&
                        !streq(json_str_or(spec, "resourceAttributes.namespace", ""),
                                        request->route.namespace))
                return problem_set(p, EINVAL, 422, "Invalid",
                                "%s \"\" is invalid: spec.resourceAttributes.namespace: Invalid "
                                "value: must match metadata.namespace",
                                request->kind->kind);
        return ask(request, &u, spec, body);
}

static int self_rules(struct request *request, json_t *body, struct problem *p) {
        json_t *status;

        if (user_is_master(&request->user)) {
                status = json_pack("{s[{s[s], s[s], s[s]}], s[{s[s], s[s]}], sb}", "resourceRules",
                                "verbs", "*", "apiGroups", "*", "resources", "*",
                                "nonResourceRules", "verbs", "*", "nonResourceURLs", "*",
                                "incomplete", 0);
        } else {
                if (rbac_refresh(request->api->rbac, request->api) < 0)
                        return -ENOMEM;
                status = rbac_rules_of(request->api->rbac, &request->user,
                                json_str_or(body, "spec.namespace", ""));
        }
        return status ? json_set_at(body, "status", status) : -ENOMEM;
}

static int self_subject(struct request *request, json_t *body, struct problem *p) {
        json_t *user = user_to_json(&request->user);

        return user ? json_set_at(body, "status", json_pack("{so}", "userInfo", user)) : -ENOMEM;
}

static int token_review(struct request *request, json_t *body, struct problem *p) {
        _cleanup_user_ struct user u = {0};
        _cleanup_problem_ struct problem why = {0};
        const char *token = json_str_or(body, "spec.token", "");
        json_t *status;

        if (authenticate_token(request->api, token, &u, &why) < 0)
                status = json_pack(
                                "{sb, ss}", "authenticated", 0, "error", "the token is not valid");
        else
                status = json_pack("{sb, so, s[s]}", "authenticated", 1, "user", user_to_json(&u),
                                "audiences", request->api->options.issuer);
        json_del_at(body, "spec.token");
        return status ? json_set_at(body, "status", status) : -ENOMEM;
}

static const struct {
        const char *kind;
        int (*answer)(struct request *request, json_t *body, struct problem *p);
} reviews[] = {
                {"SelfSubjectAccessReview", self_access},
                {"SubjectAccessReview", access_review},
                {"LocalSubjectAccessReview", access_review},
                {"SelfSubjectRulesReview", self_rules},
                {"SelfSubjectReview", self_subject},
                {"TokenReview", token_review},
};

/* Reads the question into request->body and fills its status. */
static int review(struct request *request, struct problem *p) {
        json_t *body;
        int r = request_decode(request, p);

        if (r < 0)
                return r;
        body = request->body.object;
        /* The status is the server's part; clients send an empty one. */
        json_object_del(body, "status");
        r = pipeline_default(request->kind, body);
        if (r < 0)
                return r;
        r = pipeline_validate_create(request->kind, body, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(reviews); i++)
                if (streq(reviews[i].kind, request->kind->kind))
                        return reviews[i].answer(request, body, p);
        return problem_method(p);
}

void verb_review(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = review(request, &p);

        if (r < 0) {
                respond_error(request, r, &p);
                return;
        }
        request_warn_all(request, request->body.warnings);
        respond_json(request, 201, request->body.object);
}
