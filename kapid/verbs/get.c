/* GET of one object, or of a part of it. Without a resourceVersion the answer is linearizable: the
 * cache first catches up with the store. */
#include "kapid/pipeline/forms.h"
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

static void respond_with(struct request *request, struct item *it) {
        if (request->sub && request->sub->form)
                respond_form(request, it);
        else
                respond_item(request, 200, it);
}

/* An object that a webhook converts. */
struct get {
        struct verb_state state;
        struct item *item;
};

static void get_free(struct verb_state *s) {
        struct get *g = container_of(s, struct get, state);

        item_unref(g->item);
        free(g);
}

/* As it was when it was converted, though it may have changed since. */
static void get_converted(struct request *request) {
        respond_with(request, container_of(request->state, struct get, state)->item);
}

static int get_form(struct request *request, struct item *it, struct problem *p) {
        struct get *g;

        if (!request->kind->by_webhook)
                return 0;
        g = calloc(1, sizeof(*g));
        if (!g)
                return -ENOMEM;
        g->state.free = get_free;
        g->item = item_ref(it);
        request->state = &g->state;
        return request_convert(request, &g->item, 1, get_converted, p);
}

static void get_now(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        struct item *it;
        int r = request_item(request, &it, &p);

        if (r < 0) {
                respond_error(request, r, &p);
                return;
        }
        r = get_form(request, it, &p);
        if (r < 0)
                respond_error(request, r, &p);
        else if (r == 0)
                respond_with(request, it);
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
