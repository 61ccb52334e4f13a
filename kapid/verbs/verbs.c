/* From a routed request to its verb. */
#include "kapid/verbs/verbs.h"

static const struct {
        const char *verb;
        enum kind_verb bit;
        void (*run)(struct request *r);
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

/* What a POST (or, for log, a GET) to a subresource does; all others read or write a part of the
 * object. */
static const struct {
        const char *name;
        const char *verb;
        void (*run)(struct request *r);
} subresources[] = {
                {"binding", "create", verb_binding},
                {"eviction", "create", verb_eviction},
                {"token", "create", verb_token},
                {"log", "get", verb_log},
};

static void run_subresource(struct request *r, enum kind_verb bit, void (*run)(struct request *r)) {
        _cleanup_problem_ struct problem p = {0};

        if (r->sub->verbs & bit) {
                for (size_t i = 0; i < ELEMENTS(subresources); i++)
                        if (streq(subresources[i].name, r->sub->name) &&
                                        streq(subresources[i].verb, r->route.verb)) {
                                subresources[i].run(r);
                                return;
                        }
                if (bit & (KIND_GET | KIND_UPDATE | KIND_PATCH)) {
                        run(r);
                        return;
                }
        }
        problem_method(&p);
        respond_problem(r, &p);
}

void verb_run(struct request *r) {
        _cleanup_problem_ struct problem p = {0};

        if (r->kind->deprecation)
                request_warn(r, r->kind->deprecation);
        for (size_t i = 0; i < ELEMENTS(table); i++) {
                if (!streq(table[i].verb, r->route.verb))
                        continue;
                if (r->sub) {
                        run_subresource(r, table[i].bit, table[i].run);
                        return;
                }
                /* A POST to an item is no create. */
                if (!(r->kind->verbs & table[i].bit) ||
                                (table[i].bit == KIND_CREATE && !isempty(r->route.name)) ||
                                ((table[i].bit & (KIND_UPDATE | KIND_PATCH)) &&
                                                isempty(r->route.name)))
                        break;
                if (!r->kind->stored)
                        verb_review(r);
                else
                        table[i].run(r);
                return;
        }
        problem_method(&p);
        respond_problem(r, &p);
}
