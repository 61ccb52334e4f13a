/* Mutating webhooks are asked one after another, each about what the one before has left; those
 * with reinvocationPolicy IfNeeded once more when the object is no longer as they left it.
 * Validating ones are asked all at once, and the first refusal in their order counts.
 *
 *      mutating:    walk -> (ask, answer: patch)* -> settle -> walk those to be asked again -> settle
 *      validating:  ask all -> answers -> the first refusal
 *
 * A request that waits holds nothing but its objects (docs/admission.md). */
#include "kapid/webhooks/round.h"

#include "kapid/http/dispatch.h"
#include "kapid/pipeline/convert.h"
#include "kapid/webhooks/patched.h"
#include "kapid/webhooks/resolve.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/timefmt.h"

static void walk(struct round *r);

struct round *round_free(struct round *r) {
        if (!r)
                return NULL;
        sd_event_source_disable_unref(r->soon);
        for (size_t i = 0; r->list && r->probes && i < r->list->count; i++) {
                kind_unref(r->probes[i].as);
                webhook_place_done(&r->probes[i].place);
                json_decref(r->probes[i].after);
        }
        free(r->probes);
        webhook_list_unref(r->list);
        for (size_t i = 0; r->equivalents.kinds[i]; i++)
                kind_unref((struct kind *)r->equivalents.kinds[i]);
        kind_unref(r->kind);
        json_decref(r->object);
        json_decref(r->old_object);
        json_decref(r->options);
        json_decref(r->user);
        json_decref(r->labels);
        strv_free(r->warnings);
        problem_done(&r->refusal);
        free(r->namespace);
        free(r->name);
        request_unref(r->question.request);
        return mfree(r);
}

static void finish(struct round *r, int error) {
        struct webhook_outcome outcome = {.error = error,
                        .p = &r->refusal,
                        .object = r->object,
                        .changed = r->changed,
                        .warnings = r->warnings};

        if (error < 0 && !r->refusal.code)
                problem_set(&r->refusal, error, 500, "InternalError",
                                "Internal error occurred: %s", strerror(-error));
        LIST_REMOVE(r, entry);
        r->hooks->waiting--;
        webhook_count_waiting(r->hooks);
        r->question.done(&outcome, r->question.userdata);
        round_free(r);
}

static size_t index_of(const struct round *r, const struct probe *probe) {
        return (size_t)(probe - r->probes);
}

/* The first one in the list's order is what the client sees. */
static void refuse(struct round *r, const struct probe *probe, struct problem *p) {
        size_t i = index_of(r, probe);

        if (r->refusal.code && r->refused_by < i) {
                problem_done(p);
                return;
        }
        problem_done(&r->refusal);
        r->refusal = *p;
        *p = (struct problem){0};
        r->refused_by = i;
}

/* --- one call --- */

static int object_form(const json_t *object, const struct round *r, const struct kind *as,
                json_t **ret, struct problem *p) {
        *ret = NULL;
        if (!object)
                return 0;
        if (as == r->kind || webhook_has_own_form(r->kind, r->facts.sub)) {
                *ret = json_ref(object);
                return 0;
        }
        return object_as(object, as, ret, p);
}

static int message(struct probe *probe, char **ret, struct problem *p) {
        struct round *r = probe->round;
        struct webhook_request facts = r->facts;
        _cleanup_json_ json_t *object = NULL, *old = NULL, *review = NULL;
        int e = object_form(r->object, r, probe->as, &object, p);

        if (e < 0)
                return e;
        e = object_form(r->old_object, r, probe->as, &old, p);
        if (e < 0)
                return e;
        facts.object = object;
        facts.old_object = old;
        review = webhook_review(probe->webhook, &facts, probe->as, probe->uid);
        *ret = review ? json_text(review) : NULL;
        return *ret ? 0 : -ENOMEM;
}

/* The call brought no answer, or not a right one. 0: the round continues without it. */
static int on_failure(struct probe *probe, int error, const char *why) {
        struct round *r = probe->round;
        const struct webhook *w = probe->webhook;
        struct problem p = {0};

        if (now_mono_us() >= r->deadline_us) {
                webhook_record(probe, WEBHOOK_FAILED, false, why);
                problem_set(&p, ETIMEDOUT, 504, "Timeout",
                                "Timeout: request did not complete within requested timeout: its "
                                "admission webhooks took longer than %d s in all",
                                WEBHOOKS_WRITE_US / 1000000);
                refuse(r, probe, &p);
                return -ETIMEDOUT;
        }
        webhook_record(probe, w->ignores_failures ? WEBHOOK_IGNORED : WEBHOOK_FAILED, false, why);
        if (w->ignores_failures)
                return 0;
        error = webhook_failed(w, error, why, &p);
        refuse(r, probe, &p);
        return error;
}

/* The patch becomes the round's object. */
static int take_patch(struct probe *probe, const json_t *patch, bool *ret_mutated) {
        struct round *r = probe->round;
        _cleanup_problem_ struct problem p = {0};
        const struct patched_facts facts = {.kind = r->kind,
                        .sub = r->facts.sub,
                        .as = probe->as,
                        .webhook = probe->webhook->name};
        json_t *object = NULL;
        int e = patched_object(&facts,
                        r->facts.operation == WEBHOOK_CONNECT ? NULL : r->object, patch, &object,
                        &p);

        if (e < 0) {
                refuse(r, probe, &p);
                return e;
        }
        *ret_mutated = !json_same(object, r->object);
        r->changed |= *ret_mutated;
        r->changed_in_pass |= *ret_mutated;
        json_decref(r->object);
        r->object = object;
        r->facts.object = object;
        return 0;
}

/* 0: the round continues. */
static int on_verdict(struct probe *probe, const struct webhook_answer *a) {
        struct round *r = probe->round;
        struct problem p = {0};
        bool mutated = false;
        int e = webhook_take_notes(r, a);

        if (e < 0)
                return e;
        if (!a->allowed) {
                webhook_record(probe, WEBHOOK_DENIED, false, NULL);
                problem_set(&p, EACCES, (int)json_int_or(a->status, "code", 400), NULL, "%s",
                                json_str_or(a->status, "message", ""));
                p.status = json_incref(a->status);
                refuse(r, probe, &p);
                return -EACCES;
        }
        if (json_array_size(a->patch) > 0) {
                e = take_patch(probe, a->patch, &mutated);
                if (e < 0)
                        return e;
        }
        webhook_record(probe, WEBHOOK_OK, mutated, NULL);
        if (r->question.type == WEBHOOK_MUTATING) {
                json_decref(probe->after);
                probe->after = json_ref(r->object);
        }
        return 0;
}

static int judge(struct probe *probe, const struct http_result *result) {
        _cleanup_webhook_answer_ struct webhook_answer answer = {0};
        _cleanup_free_ char *why = NULL;
        int e;

        if (result->error) {
                why = strformat("failed to call webhook: Post \"%s?timeout=%llus\": %s",
                                probe->place.shown,
                                (unsigned long long)(probe->webhook->timeout_us / 1000000),
                                strempty(result->error_text));
                return on_failure(probe, result->error, why ? why : "out of memory");
        }
        if (result->code != 200) {
                why = strformat("failed to call webhook: %s answered with HTTP status %d",
                                probe->place.shown, result->code);
                return on_failure(probe, -EPROTO, why ? why : "out of memory");
        }
        e = webhook_answer_parse(probe->webhook, probe->uid, result->body, result->body_size,
                        &answer, &why);
        if (e < 0) {
                _cleanup_free_ char *text = strformat(
                                "received invalid webhook response: %s", strempty(why));

                return on_failure(probe, e, text ? text : "out of memory");
        }
        return on_verdict(probe, &answer);
}

static void on_answer(const struct http_result *result, void *userdata) {
        struct probe *probe = userdata;
        struct round *r = probe->round;
        int e = judge(probe, result);

        assert(r->waiting > 0);
        r->waiting--;
        if (r->question.type == WEBHOOK_VALIDATING) {
                if (e < 0 && !r->refusal.code)
                        problem_set(&r->refusal, e, 500, "InternalError",
                                        "Internal error occurred: %s", strerror(-e));
                if (r->waiting == 0)
                        finish(r, r->refusal.code ? -EACCES : 0);
        } else if (e < 0)
                finish(r, e);
        else
                walk(r);
}

/* 1: the call is under way; 0: it is not, and the round continues. */
static int call(struct probe *probe) {
        struct round *r = probe->round;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL, *why = NULL;
        uint64_t now_us = now_mono_us(), left_us;
        int e;

        probe->began_us = now_us;
        random_uuid(probe->uid);
        if (now_us >= r->deadline_us)
                return on_failure(probe, -ETIMEDOUT, "the request took too long in all");
        left_us = r->deadline_us - now_us;
        webhook_place_done(&probe->place);
        e = webhook_resolve(r->hooks->api, probe->webhook, &probe->place, &why);
        if (e < 0 && e != -ENOMEM) {
                _cleanup_free_ char *long_why =
                                strformat("failed to call webhook: %s", strempty(why));

                return on_failure(probe, e, strempty(long_why));
        }
        if (e < 0)
                return e;
        e = message(probe, &text, &p);
        if (e < 0) {
                refuse(r, probe, &p);
                return e;
        }
        e = webhook_call_start(r->hooks->clients, probe->webhook, &probe->place, text,
                        MIN(probe->webhook->timeout_us, left_us), on_answer, probe);
        if (e < 0)
                return e;
        r->waiting++;
        return 1;
}

/* Whether the i-th webhook of the list is for the request as it is now. */
static bool choose(struct round *r, size_t i) {
        struct probe *probe = &r->probes[i];
        const struct kind *as = webhook_match(r->list->all[i], &r->facts, &r->equivalents);

        kind_unref(probe->as);
        probe->as = as ? kind_ref(as) : NULL;
        probe->round = r;
        probe->webhook = as ? r->list->all[i] : NULL;
        return as != NULL;
}

/* --- validating --- */

static void ask_all(struct round *r) {
        int e = 0;

        for (size_t i = 0; i < r->list->count && e >= 0; i++)
                if (choose(r, i))
                        e = call(&r->probes[i]);
        if (e < 0 && !r->refusal.code)
                problem_set(&r->refusal, e, 500, "InternalError", "Internal error occurred: %s",
                                strerror(-e));
        if (r->waiting == 0)
                finish(r, r->refusal.code ? -EACCES : 0);
}

/* --- mutating --- */

/* Whether it wants to see what others have made of the object since. */
static bool is_asked_again(const struct round *r, size_t i) {
        const struct probe *probe = &r->probes[i];

        return r->list->all[i]->reinvoked && probe->after && !json_same(probe->after, r->object);
}

static int settle(struct round *r) {
        json_t *copy;
        int e;

        if (!r->changed_in_pass || !r->question.settle)
                return 0;
        copy = json_deep_copy(r->object);
        if (!copy)
                return -ENOMEM;
        json_decref(r->object);
        r->object = copy;
        r->facts.object = copy;
        e = r->question.settle(copy, r->question.userdata, &r->refusal);
        return MIN(e, 0);
}

static void walk(struct round *r) {
        int e = 0;

        for (;;) {
                while (r->next < r->list->count && e == 0) {
                        size_t i = r->next++;

                        if ((r->pass == 0 || is_asked_again(r, i)) && choose(r, i))
                                e = call(&r->probes[i]);
                }
                if (e > 0)
                        return; /* on_answer() continues */
                if (e == 0)
                        e = settle(r);
                if (e < 0 || r->pass > 0 || !r->changed)
                        break;
                r->pass++;
                r->next = 0;
                r->changed_in_pass = false;
        }
        finish(r, e);
}

static int on_soon(sd_event_source *source, void *userdata) {
        struct round *r = userdata;

        r->soon = sd_event_source_disable_unref(r->soon);
        /* A stream needs its seat (dispatch_stream()). */
        if (r->facts.operation != WEBHOOK_CONNECT)
                dispatch_leave(r->question.request);
        if (r->question.type == WEBHOOK_MUTATING)
                walk(r);
        else
                ask_all(r);
        return 0;
}

int round_start(struct round *r) {
        int e = sd_event_add_defer(r->hooks->api->event, &r->soon, on_soon, r);

        if (e < 0)
                return e;
        LIST_INSERT_HEAD(&r->hooks->rounds, r, entry);
        r->hooks->waiting++;
        webhook_count_waiting(r->hooks);
        return 0;
}
