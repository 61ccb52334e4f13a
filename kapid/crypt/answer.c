/* GET and POST of /keelson/encryption. One rewriting at a time; a second POST meanwhile is answered
 * like the first. */
#include "kapid/crypt/answer.h"

#include "kapid/crypt/crypt.h"
#include "kapid/crypt/sweep.h"
#include "lib/log.h"

static json_t *rewriting_json(const struct api *a) {
        return json_pack("{s:b, s:I, s:s}", "running", a->rewriting.running, "rewritten",
                        (json_int_t)a->rewriting.rewritten, "error", strempty(a->rewriting.error));
}

/* A new reference; NULL when out of memory. */
static json_t *answer(const struct api *a) {
        _cleanup_json_ json_t *report = crypt_report(a->crypt), *rewriting = rewriting_json(a);

        return json_pack("{s:O, s:O}", "resources", report, "rewriting", rewriting);
}

static void respond(struct request *request, int code) {
        _cleanup_json_ json_t *o = answer(request->api);

        if (o)
                respond_json(request, code, o);
        else
                respond_errno(request, -ENOMEM);
}

/* --- values --- */

static int add_values(json_t *o, const struct sweep_result *res) {
        _cleanup_json_ json_t *values = json_array(), *why = json_array();

        for (size_t i = 0; i < res->count; i++) {
                const struct sweep_count *c = &res->counts[i];

                if (json_array_append_new(values,
                                    json_pack("{s:s, s:I, s:b}", "with", c->with, "count",
                                                    (json_int_t)c->count, "stale", c->stale)) < 0)
                        return -ENOMEM;
        }
        for (char *const *s = res->why; s && *s; s++)
                if (json_array_append_new(why, json_string(*s)) < 0)
                        return -ENOMEM;
        if (json_object_set(o, "values", values) < 0 ||
                        json_object_set_new(o, "unreadable",
                                        json_pack("{s:I, s:O}", "count",
                                                        (json_int_t)res->unreadable, "why", why)) <
                                        0)
                return -ENOMEM;
        return 0;
}

static void on_counted(const struct sweep_result *res, void *userdata) {
        _cleanup_request_ struct request *request = userdata;
        _cleanup_json_ json_t *o = NULL;
        _cleanup_problem_ struct problem p = {0};

        if (res->error) {
                store_problem(&(struct store_result){.error = res->error, .message = res->message},
                                &p);
                respond_problem(request, &p);
                return;
        }
        o = answer(request->api);
        if (!o || add_values(o, res) < 0)
                respond_errno(request, -ENOMEM);
        else
                respond_json(request, 200, o);
}

static void get(struct request *request) {
        const char *values = request_query(request, "values");

        if (!streq_ptr(values, "true")) {
                respond(request, 200);
                return;
        }
        request_ref(request);
        if (sweep_start(request->api, SWEEP_COUNT, on_counted, request) < 0) {
                respond_errno(request, -ENOMEM);
                request_unref(request);
        }
}

/* --- rewriting --- */

static void on_rewritten(const struct sweep_result *res, void *userdata) {
        struct api *a = userdata;

        a->rewriting.running = false;
        a->rewriting.rewritten = res->rewritten;
        if (res->error) {
                a->rewriting.error = strformat("the store: %s", res->message);
                log_warning("The rewriting of stored values ended early: %s", res->message);
                return;
        }
        log_notice("%llu stored values were rewritten with the present key",
                        (unsigned long long)res->rewritten);
}

static void post(struct request *request) {
        struct api *a = request->api;
        _cleanup_problem_ struct problem p = {0};

        if (!a->crypt) {
                problem_set(&p, EINVAL, 400, "BadRequest",
                                "this API server has no --encryption-provider-config: there is "
                                "nothing to rewrite");
                respond_problem(request, &p);
                return;
        }
        if (!a->rewriting.running) {
                a->rewriting.running = true;
                a->rewriting.error = mfree(a->rewriting.error);
                if (sweep_start(a, SWEEP_REWRITE, on_rewritten, a) < 0) {
                        a->rewriting.running = false;
                        respond_errno(request, -ENOMEM);
                        return;
                }
        }
        respond(request, 202);
}

void encryption_run(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        const char *verb = request->route.verb;

        if (streq(verb, "get") || streq(verb, "head"))
                get(request);
        else if (streq(verb, "post"))
                post(request);
        else {
                problem_method(&p);
                respond_problem(request, &p);
        }
}
