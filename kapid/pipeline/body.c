/* Reading a write's body; every verb with a body comes through here. */
#include "kapid/pipeline/body.h"

#include "kapid/audit/audit.h"
#include "kapid/pipeline/options.h"
#include "lib/object.h"

int request_decode(struct request *request, struct problem *p) {
        size_t n;
        const char *data = request_body(request, &n);

        int r;

        assert(!request->body.object);
        request->body.breath = request_yaml_breath(request);
        r = pipeline_decode(request->kind, request->sub, request_header(request, "Content-Type"),
                        data, n, request->validation, &request->body, p);
        if (r < 0)
                return r;
        audit_request_object(request, request->body.object);
        return request_breathe(request);
}

int request_check_names(struct request *request, json_t *object, struct problem *p) {
        const struct route *route = &request->route;
        const char *namespace = object_namespace(object);

        if (request->kind->namespaced) {
                if (!isempty(namespace) && !streq(namespace, route->namespace))
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "the namespace of the provided object does not match the "
                                        "namespace sent on the request");
                if (json_set_str(object, "metadata.namespace", route->namespace) < 0)
                        return -ENOMEM;
        } else {
                json_del_at(object, "metadata.namespace");
        }
        if (isempty(route->name))
                return 0;
        if (isempty(object_name(object)))
                return json_set_str(object, "metadata.name", route->name);
        if (!streq(object_name(object), route->name))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the name of the object (%.128s) does not match the name on the "
                                "URL (%.128s)",
                                object_name(object), route->name);
        return 0;
}

int request_apply_options(struct request *request, bool is_apply, struct apply_options *ret,
                char **ret_manager, struct problem *p) {
        int r = field_manager_name(request_query(request, "fieldManager"),
                        request_header(request, "User-Agent"), options_kind(request->route.verb),
                        is_apply, ret_manager, p);

        if (r < 0)
                return r;
        *ret = (struct apply_options){.manager = *ret_manager,
                        .force = query_true(request_query(request, "force")),
                        .subresource = request->sub ? request->sub->name : "",
                        .now_us = request->now_us};
        return 0;
}
