/* kctl create token: a token of a service account (KEP-1205), for a time, for readers and bound to
 * an object, as asked for. */
#include "kctl/create/create.h"

static int bind_to(const struct kctl_flags *f, json_t *spec, struct problem *p) {
        static const struct {
                const char *kind, *version;
        } kinds[] = {{"Pod", "v1"}, {"Secret", "v1"}, {"Node", "v1"}};

        if (isempty(f->bound_kind)) {
                if (f->bound_name || f->bound_uid)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--bound-object-kind is needed beside --bound-object-name: "
                                        "Pod, Secret or Node");
                return 0;
        }
        if (isempty(f->bound_name))
                return problem_set(p, EINVAL, 0, NULL,
                                "--bound-object-name is needed beside --bound-object-kind");
        for (size_t i = 0; i < ELEMENTS(kinds); i++)
                if (streq(f->bound_kind, kinds[i].kind))
                        return json_set_at(spec, "boundObjectRef",
                                        json_pack("{s:s, s:s, s:s, s:s*}", "kind", kinds[i].kind,
                                                        "apiVersion", kinds[i].version, "name",
                                                        f->bound_name, "uid",
                                                        isempty(f->bound_uid) ? NULL
                                                                              : f->bound_uid));
        return problem_set(p, EINVAL, 0, NULL,
                        "--bound-object-kind %s is not one of Pod, Secret, Node", f->bound_kind);
}

static int request_json(struct kctl *k, json_t **ret, struct problem *p) {
        const struct kctl_flags *f = &k->flags;
        _cleanup_json_ json_t *request = json_pack("{s:s, s:s, s:{s:o*}}", "apiVersion",
                        "authentication.k8s.io/v1", "kind", "TokenRequest", "spec", "audiences",
                        f->audiences ? texts_json(f->audiences) : NULL);
        json_t *spec = json_object_get(request, "spec");
        int r;

        if (!request)
                return -ENOMEM;
        if (f->duration_us > 0)
                json_set_int(spec, "expirationSeconds", (int64_t)(f->duration_us / 1000000));
        r = bind_to(f, spec, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(request);
        return 0;
}

int kctl_create_token(struct kctl *k) {
        struct kind_ref kind = {.resource = {.group = "authentication.k8s.io",
                                                .version = "v1",
                                                .plural = "tokenrequests",
                                                .kind = "TokenRequest"},
                        .singular = "tokenrequest"};
        _cleanup_json_ json_t *request = NULL, *answer = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *path = NULL;
        int r;

        if (k->word_count != 1)
                return kctl_usage(k, "one name of a service account is needed");
        if (request_json(k, &request, &p) < 0)
                return kctl_fail(&p);
        if (!kctl_client(k))
                return EXIT_ERROR;
        path = api_path(api_resource(KIND_SERVICEACCOUNTS), kctl_namespace(k), k->words[0], "token",
                        /* query= */ NULL);
        r = path ? api_request(k->client, "POST", path, "application/json", request, &answer, &p)
                 : -ENOMEM;
        if (r < 0)
                return kctl_error(
                                "failed to create token: %s", p.message ? p.message : strerror(-r));
        if (k->flags.output && print_object(k, answer, &kind, &p) < 0)
                return kctl_fail(&p);
        if (!k->flags.output)
                puts(json_str_or(answer, "status.token", ""));
        return EXIT_OK;
}
