/* From a routed request to its verb. */
#include "kapid/verbs/verbs.h"

static const struct {
        const char *verb;
        enum kind_verb bit;
        void (*run)(struct request *request);
} table[] = {
                {"get", KIND_GET, verb_get},
                {"list", KIND_LIST, verb_list},
                {"watch", KIND_WATCH, verb_watch},
                {"create", KIND_CREATE, verb_create},
                {"update", KIND_UPDATE, verb_update},
                {"patch", KIND_PATCH, verb_patch},
                {"delete", KIND_DELETE, verb_delete},
                {"deletecollection", KIND_DELETECOLLECTION, verb_delete_collection},
};

/* Handlers of a POST (or, for log, a GET, for usage a PUT) to a subresource; all others read or
 * write a part of the object. */
static const struct {
        const char *name;
        const char *verb;
        void (*run)(struct request *request);
} subresources[] = {
                {"binding", "create", verb_binding},
                {"eviction", "create", verb_eviction},
                {"token", "create", verb_token},
                {"log", "get", verb_log},
                {"exec", "get", verb_stream},
                {"exec", "create", verb_stream},
                {"attach", "get", verb_stream},
                {"attach", "create", verb_stream},
                {"portforward", "get", verb_stream},
                {"portforward", "create", verb_stream},
                {"usage", "update", verb_usage},
};

static void run_subresource(
                struct request *request, enum kind_verb bit, void (*run)(struct request *request)) {
        _cleanup_problem_ struct problem p = {0};

        if (request->sub->verbs & bit) {
                for (size_t i = 0; i < ELEMENTS(subresources); i++)
                        if (streq(subresources[i].name, request->sub->name) &&
                                        streq(subresources[i].verb, request->route.verb)) {
                                subresources[i].run(request);
                                return;
                        }
                if (bit & (KIND_GET | KIND_UPDATE | KIND_PATCH)) {
                        run(request);
                        return;
                }
        }
        problem_method(&p);
        respond_problem(request, &p);
}

static void run_unstored(struct request *request, unsigned verb) {
        if (streq(request->kind->kind, "ComponentStatus"))
                verb_components(request);
        else if (verb != KIND_CREATE)
                verb_metrics(request);
        else if (streq(request->kind->kind, "Binding"))
                verb_create_binding(request);
        else
                verb_review(request);
}

void verb_run(struct request *request) {
        _cleanup_problem_ struct problem p = {0};

        if (request->kind->deprecation)
                request_warn(request, request->kind->deprecation);
        if (request->sub && request->route.rest) {
                verb_proxy(request);
                return;
        }
        for (size_t i = 0; i < ELEMENTS(table); i++) {
                if (!streq(table[i].verb, request->route.verb))
                        continue;
                if (request->sub) {
                        run_subresource(request, table[i].bit, table[i].run);
                        return;
                }
                /* A POST to a named item is not a create. */
                if (!(request->kind->verbs & table[i].bit) ||
                                (table[i].bit == KIND_CREATE && !isempty(request->route.name)) ||
                                ((table[i].bit & (KIND_UPDATE | KIND_PATCH)) &&
                                                isempty(request->route.name)))
                        break;
                if (!request->kind->stored)
                        run_unstored(request, table[i].bit);
                else
                        table[i].run(request);
                return;
        }
        problem_method(&p);
        respond_problem(request, &p);
}
