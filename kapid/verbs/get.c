/* GET of one object, or of its scale. Without a resourceVersion the answer is linearizable: the
 * cache first catches up with the store. */
#include "kapid/verbs/verbs.h"

static void get_now(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *path = request_cache_path(r, r->route.name);
        struct item *it = path ? cache_find(r->cache, path) : NULL;
        _cleanup_json_ json_t *object = NULL, *scale = NULL;

        if (!it) {
                problem_not_found(&p, r->kind, r->route.name);
                respond_problem(r, &p);
                return;
        }
        if (!r->sub || !streq(r->sub->name, "scale")) {
                respond_item(r, 200, it);
                return;
        }
        object = request_object_of(r, it);
        scale = object ? machine_scale_get(r->kind, object) : NULL;
        if (scale)
                respond_json(r, 200, scale);
        else
                respond_errno(r, ENOMEM);
}

void verb_get(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        const char *version = request_query(r, "resourceVersion");
        uint64_t revision;

        if (isempty(version)) {
                request_freshen(r, get_now);
                return;
        }
        if (parse_u64(version, &revision) < 0) {
                problem_set(&p, EINVAL, 400, "BadRequest",
                                "resourceVersion: Invalid value: \"%s\": must be a number",
                                version);
                respond_problem(r, &p);
                return;
        }
        request_wait_revision(r, revision, get_now);
}
