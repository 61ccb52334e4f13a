/* The prologue and one of the answers of POSTs to a part of an object. */
#include "kapid/verbs/subresource-body.h"

#include "kapid/pipeline/body.h"
#include "lib/object.h"

/* A body that acts on the pod names it, lest it act on another one. */
static int check_named(const struct request *request, struct problem *p) {
        static const char *const strict[] = {"Binding", "Eviction"};
        const char *kind = request->sub->kind, *name = object_name(request->body.object);

        for (size_t i = 0; i < ELEMENTS(strict); i++)
                if (streq(kind, strict[i]) && !streq(name, request->route.name))
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "name in URL does not match name in %s object", kind);
        return 0;
}

int subresource_body(struct request *request, struct problem *p) {
        int r = request_decode(request, p);

        if (r < 0)
                return r;
        r = check_named(request, p);
        if (r < 0)
                return r;
        r = request_check_names(request, request->body.object, p);
        if (r < 0)
                return r;
        /* The status is the server's part; clients send an empty one. */
        json_object_del(request->body.object, "status");
        r = pipeline_validate_body(request->kind, request->sub, request->body.object, p);
        if (r < 0)
                return r;
        request_warn_all(request, request->body.warnings);
        return 0;
}

void respond_created(struct request *request) {
        _cleanup_json_ json_t *v = json_pack("{ss, ss, s{}, ss, si}", "kind", "Status",
                        "apiVersion", "v1", "metadata", "status", "Success", "code", 201);

        respond_json(request, 201, v);
}
