/* Reviews: questions about access that are answered in their status and not stored. */
#include "kapid/auth/authn.h"
#include "kapid/auth/authz.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"

static int ask(struct request *r, const struct user *u, const json_t *spec, json_t *body) {
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
        bool allowed = authorize(r->api, &access);

        return json_set_at(body, "status", json_pack("{sb}", "allowed", allowed));
}

static int self_access(struct request *r, json_t *body, struct problem *p) {
        return ask(r, &r->user, json_object_get(body, "spec"), body);
}

static int access_review(struct request *r, json_t *body, struct problem *p) {
        _cleanup_user_ struct user u = {0};
        const json_t *spec = json_object_get(body, "spec");
        int e = user_from_json(spec, &u);

        if (e < 0)
                return e;
        if (isempty(u.name) && !u.groups)
                return problem_set(p, EINVAL, 422, "Invalid",
                                "%s \"\" is invalid: spec.user: Invalid value: \"\": at least one "
                                "of user or group must be specified",
                                r->kind->kind);
        if (streq(r->kind->kind, "LocalSubjectAccessReview") &&
                        !streq(json_str_or(spec, "resourceAttributes.namespace", ""),
                                        r->route.namespace))
                return problem_set(p, EINVAL, 422, "Invalid",
                                "%s \"\" is invalid: spec.resourceAttributes.namespace: Invalid "
                                "value: must match metadata.namespace",
                                r->kind->kind);
        return ask(r, &u, spec, body);
}

static int self_rules(struct request *r, json_t *body, struct problem *p) {
        json_t *status;

        if (user_is_master(&r->user)) {
                status = json_pack("{s[{s[s], s[s], s[s]}], s[{s[s], s[s]}], sb}", "resourceRules",
                                "verbs", "*", "apiGroups", "*", "resources", "*",
                                "nonResourceRules", "verbs", "*", "nonResourceURLs", "*",
                                "incomplete", 0);
        } else {
                if (rbac_refresh(r->api->rbac, r->api) < 0)
                        return -ENOMEM;
                status = rbac_rules_of(
                                r->api->rbac, &r->user, json_str_or(body, "spec.namespace", ""));
        }
        return status ? json_set_at(body, "status", status) : -ENOMEM;
}

static int self_subject(struct request *r, json_t *body, struct problem *p) {
        json_t *user = user_to_json(&r->user);

        return user ? json_set_at(body, "status", json_pack("{so}", "userInfo", user)) : -ENOMEM;
}

static int token_review(struct request *r, json_t *body, struct problem *p) {
        _cleanup_user_ struct user u = {0};
        _cleanup_problem_ struct problem why = {0};
        const char *token = json_str_or(body, "spec.token", "");
        json_t *status;

        if (authenticate_token(r->api, token, &u, &why) < 0)
                status = json_pack(
                                "{sb, ss}", "authenticated", 0, "error", "the token is not valid");
        else
                status = json_pack("{sb, so, s[s]}", "authenticated", 1, "user", user_to_json(&u),
                                "audiences", r->api->options.issuer);
        json_del_at(body, "spec.token");
        return status ? json_set_at(body, "status", status) : -ENOMEM;
}

static const struct {
        const char *kind;
        int (*answer)(struct request *r, json_t *body, struct problem *p);
} reviews[] = {
                {"SelfSubjectAccessReview", self_access},
                {"SubjectAccessReview", access_review},
                {"LocalSubjectAccessReview", access_review},
                {"SelfSubjectRulesReview", self_rules},
                {"SelfSubjectReview", self_subject},
                {"TokenReview", token_review},
};

void verb_review(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_(decoded_done) struct decoded d = {0};
        const char *data;
        size_t n;
        int e;

        data = request_body(r, &n);
        e = machine_decode(r->kind, NULL, request_header(r, "Content-Type"), data, n, r->validation,
                        &d, &p);
        if (e >= 0) {
                /* The answer is ours to write; clients send an empty one. */
                json_object_del(d.object, "status");
                e = machine_default(r->kind, d.object);
        }
        if (e >= 0)
                e = machine_validate_create(r->kind, d.object, &p);
        for (size_t i = 0; e >= 0 && i <= ELEMENTS(reviews); i++) {
                if (i == ELEMENTS(reviews)) {
                        e = problem_method(&p);
                } else if (streq(reviews[i].kind, r->kind->kind)) {
                        e = reviews[i].answer(r, d.object, &p);
                        break;
                }
        }
        if (e >= 0) {
                request_warn_all(r, d.warnings);
                respond_json(r, 201, d.object);
        } else if (p.code) {
                respond_problem(r, &p);
        } else {
                respond_errno(r, e);
        }
}
