/* GET of one object, or of a part of it. Without a resourceVersion the answer is linearizable: the
 * cache first catches up with the store. */
#include "kapid/cache/forms.h"
#include "kapid/verbs/converted.h"
#include "kapid/verbs/verbs.h"

static void respond_form(struct request *request, struct item *it) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *object = NULL, *form = NULL;
        int r = item_object_as(it, request->kind, &object, &p);

        if (r < 0) {
                respond_error(request, r, &p);
                return;
        }
        form = request->sub->form->get(request->kind, object);
        if (form)
                respond_object(request, 200, form);
        else
                respond_errno(request, -ENOMEM);
}

static void get_now(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        struct item *it;
        int r = request_item(request, &it, &p);

        if (r < 0) {
                respond_error(request, r, &p);
                return;
        }
        r = request_convert(request, &it, 1, false, get_now, &p);
        if (r > 0)
                return;
        if (r < 0)
                respond_error(request, r, &p);
        else if (request->sub && request->sub->form)
                respond_form(request, it);
        else
                respond_item(request, 200, it);
}

void verb_get(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        const char *version = request_query(request, "resourceVersion");
        uint64_t revision;

        if (isempty(version)) {
                request_freshen(request, get_now);
                return;
        }
        if (parse_u64(version, &revision) < 0) {
                problem_set(&p, EINVAL, 400, "BadRequest",
                                "resourceVersion: Invalid value: \"%s\": must be a number",
                                version);
                respond_problem(request, &p);
                return;
        }
        request_wait_revision(request, revision, get_now);
}
