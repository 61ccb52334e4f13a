/* Mutating webhooks are asked one after another, each about what the one before has left; those
 * with reinvocationPolicy IfNeeded once more when the object is no longer as they left it.
 * Validating ones are asked side by side, and the first refusal in their order counts.
 *
 *      mutating:    walk -> (ask, answer: patch)* -> settle -> walk those to be asked again ->
 * settle validating:  ask some -> answers, ask others -> the first refusal
 *
 * A request that waits holds nothing but its objects (docs/admission.md). */
#include "kapid/webhooks/round.h"

#include "kapid/conversion/conversion.h"
#include "kapid/http/dispatch.h"
#include "kapid/pipeline/convert.h"
#include "kapid/policies/judge.h"
#include "kapid/policies/rights.h"
#include "kapid/webhooks/conditions.h"
#include "kapid/webhooks/patched.h"
#include "kapid/webhooks/resolve.h"
#include "lib/fiber.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/timefmt.h"

/* Validating webhooks of one request that are asked at the same time: each has its own text of the
 * objects. */
enum { AT_ONCE_MAX = 16 };
/* matchConditions: of one webhook, as Kubernetes, and of all of a round. */
enum { CONDITIONS_COST_MAX = 2500 * 1000, CONDITIONS_US = 500 * 1000 };

static void walk(struct round *round);
static void ask_some(struct round *round);

struct round *round_free(struct round *round) {
        if (!round)
                return NULL;
        sd_event_source_disable_unref(round->soon);
        wait_shares_leave(round->hooks->shares, round->share);
        for (size_t i = 0; round->list && round->probes && i < round->list->count; i++) {
                kind_unref(round->probes[i].as);
                webhook_place_done(&round->probes[i].place);
                json_decref(round->probes[i].after);
        }
        free(round->probes);
        webhook_list_unref(round->list);
        for (size_t i = 0; round->equivalents.kinds[i]; i++)
                kind_unref((struct kind *)round->equivalents.kinds[i]);
        made_forms_done(&round->forms);
        kind_unref(round->kind);
        json_decref(round->object);
        json_decref(round->old_object);
        json_decref(round->options);
        json_decref(round->user);
        json_decref(round->labels);
        strv_free(round->warnings);
        problem_done(&round->refusal);
        free(round->namespace);
        free(round->name);
        request_unref(round->question.request);
        return mfree(round);
}

static void finish(struct round *round, int error) {
        struct webhook_outcome outcome = {.error = error,
                        .p = &round->refusal,
                        .object = round->object,
                        .changed = round->changed,
                        .warnings = round->warnings};

        if (error < 0 && !round->refusal.code)
                problem_set(&round->refusal, error, 500, "InternalError",
                                "Internal error occurred: %s", strerror(-error));
        LIST_REMOVE(round, entry);
        round->share = wait_shares_leave(round->hooks->shares, round->share);
        webhook_count_waiting(round->hooks);
        round->question.done(&outcome, round->question.userdata);
        round_free(round);
}

static size_t index_of(const struct round *round, const struct probe *probe) {
        return (size_t)(probe - round->probes);
}

/* The first one in the list's order is what the client sees. */
static void refuse(struct round *round, const struct probe *probe, struct problem *p) {
        size_t i = index_of(round, probe);

        if (round->refusal.code && round->refused_by < i) {
                problem_done(p);
                return;
        }
        problem_done(&round->refusal);
        round->refusal = *p;
        *p = (struct problem){0};
        round->refused_by = i;
}

/* --- one call --- */

/* -EAGAIN: the conversion webhook makes it first. */
static int object_form(const json_t *object, struct probe *probe, json_t **ret, struct problem *p) {
        const struct round *round = probe->round;
        const struct kind *as = probe->as;
        const json_t *made;

        *ret = NULL;
        if (!object)
                return 0;
        if (as == round->kind || webhook_has_own_form(round->kind, round->facts.sub)) {
                *ret = json_ref(object);
                return 0;
        }
        if (!as->by_webhook)
                return object_as(object, as, ret, p);
        made = made_forms_find(&round->forms, as, object, NULL);
        if (!made) {
                probe->converted = object;
                return -EAGAIN;
        }
        *ret = json_ref(made);
        return 0;
}

static int message(struct probe *probe, json_t **ret, struct problem *p) {
        struct round *round = probe->round;
        struct webhook_request facts = round->facts;
        _cleanup_json_ json_t *object = NULL, *old = NULL;
        int r = object_form(round->object, probe, &object, p);

        if (r < 0)
                return r;
        r = object_form(round->old_object, probe, &old, p);
        if (r < 0)
                return r;
        facts.object = object;
        facts.old_object = old;
        *ret = webhook_review(probe->webhook, &facts, probe->as, probe->uid);
        return *ret ? 0 : -ENOMEM;
}

/* matchConditions on what would be sent. All of a round share a time; waiting for answers does not
 * count. */
struct conditions {
        struct probe *probe;
        json_t *review;
        int r; /* as webhook_conditions_hold() */
        char *why;
        struct fiber *fiber;
        uint64_t seen_us; /* of its time that counts already */
};

/* What all of the round have used: several may be evaluated in turn. */
static uint64_t conditions_us(void *userdata) {
        struct conditions *c = userdata;
        uint64_t now_us = fiber_clock_us(c->fiber);

        c->probe->round->conditions_us += now_us - c->seen_us;
        c->seen_us = now_us;
        return c->probe->round->conditions_us;
}

static void evaluate_conditions(struct fiber *f, void *userdata) {
        struct conditions *c = userdata;
        const struct probe *probe = c->probe;
        struct round *round = probe->round;
        const struct cel_limits limits = {.cost_max = CONDITIONS_COST_MAX,
                        .deadline_us = CONDITIONS_US,
                        .now_us = conditions_us,
                        .clock = c};
        const struct policy_authority authority = {
                        .may = policy_may, .userdata = round->question.request};
        const json_t *request = json_object_get(c->review, "request");
        struct policy_question q = {.request = &round->facts,
                        .as = probe->as,
                        .object = json_object_get(request, "object"),
                        .old_object = json_object_get(request, "oldObject"),
                        .review = request,
                        .authority = &authority,
                        .limits = &limits};

        c->fiber = f;
        c->seen_us = fiber_clock_us(f);
        if (round->conditions_us >= CONDITIONS_US) {
                c->why = strdup("the matchConditions of the request's webhooks took too long");
                c->r = c->why ? -EINVAL : -ENOMEM;
                return;
        }
        c->r = webhook_conditions_hold(probe->webhook->conditions, &q, &c->why);
        (void)conditions_us(c);
}

static struct conditions *conditions_free(struct conditions *c) {
        if (!c)
                return NULL;
        json_decref(c->review);
        free(c->why);
        return mfree(c);
}
DEFINE_CLEANUP(struct conditions *, conditions_free);

/* The call brought no answer, or not a right one. 0: the round continues without it. */
static int on_failure(struct probe *probe, int error, const char *why) {
        struct round *round = probe->round;
        const struct webhook *w = probe->webhook;
        struct problem p = {0};

        if (now_mono_us() >= round->deadline_us) {
                webhook_record(probe, WEBHOOK_FAILED, false, why);
                problem_set(&p, ETIMEDOUT, 504, "Timeout",
                                "Timeout: request did not complete within requested timeout: its "
                                "admission webhooks took longer than %d s in all",
                                WEBHOOKS_WRITE_US / 1000000);
                refuse(round, probe, &p);
                return -ETIMEDOUT;
        }
        webhook_record(probe, w->ignores_failures ? WEBHOOK_IGNORED : WEBHOOK_FAILED, false, why);
        if (w->ignores_failures)
                return 0;
        error = webhook_failed(w, error, why, &p);
        refuse(round, probe, &p);
        return error;
}

static struct patched_facts facts_of_patch(const struct probe *probe, const char *who) {
        return (struct patched_facts){.kind = probe->round->kind,
                        .sub = probe->round->facts.sub,
                        .as = probe->as,
                        .who = who};
}

static char *author(const struct probe *probe) {
        return strformat("admission webhook \"%s\"", probe->webhook->name);
}

static int on_allowed(struct probe *probe, bool mutated) {
        struct round *round = probe->round;

        webhook_record(probe, WEBHOOK_OK, mutated, NULL);
        if (round->question.type == WEBHOOK_MUTATING) {
                json_decref(probe->after);
                probe->after = json_ref(round->object);
        }
        return 0;
}

/* The patched object becomes the round's. */
static int take_object(struct probe *probe, json_t *object) {
        struct round *round = probe->round;
        bool mutated = !json_same(object, round->object);

        round->changed |= mutated;
        round->changed_in_pass |= mutated;
        json_decref(round->object);
        round->object = object;
        round->facts.object = object;
        return on_allowed(probe, mutated);
}

/* --- with a conversion webhook --- */

static void round_continue(struct round *round, int r);
static int call(struct probe *probe);

/* Its refusal is the request's, whatever the failurePolicy. */
static int not_converted(struct probe *probe, struct problem *p) {
        struct problem own = *p;

        *p = (struct problem){0};
        webhook_record(probe, WEBHOOK_FAILED, false, strempty(own.message));
        refuse(probe->round, probe, &own);
        return -EPROTO;
}

/* 1: done follows. */
static int convert(struct probe *probe, const json_t *object, const char *to_api_version,
                conversion_stored done) {
        struct round *round = probe->round;
        _cleanup_problem_ struct problem p = {0};
        const struct conversion_waiter waiter = {.stored = done,
                        .user = request_sharer(round->question.request),
                        .userdata = probe};
        int r = conversion_to(round->hooks->api, round->kind, to_api_version, json_unconst(object),
                        &waiter, &p);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return not_converted(probe, &p);
        round->waiting++;
        return 1;
}

static int take_form(struct probe *probe, json_t *form, struct problem *p) {
        struct round *round = probe->round;
        int r;

        if (p)
                return not_converted(probe, p);
        r = made_forms_add(&round->forms, probe->as, probe->converted, form, NULL);
        return r < 0 ? r : call(probe);
}

/* What is to be sent to the webhook. */
static void on_form(json_t *form, struct problem *p, void *userdata) {
        struct probe *probe = userdata;
        struct round *round = probe->round;

        round->waiting--;
        round_continue(round, take_form(probe, form, p));
}

static int take_patched(struct probe *probe, const json_t *converted, struct problem *p) {
        _cleanup_free_ char *who = author(probe);
        const struct patched_facts facts = facts_of_patch(probe, who);
        struct problem own = {0};
        json_t *object = NULL;
        int r;

        if (p)
                return not_converted(probe, p);
        if (!who)
                return -ENOMEM;
        r = patched_accept(&facts, probe->round->object, converted, &object, &own);
        if (r < 0) {
                refuse(probe->round, probe, &own);
                return r;
        }
        return take_object(probe, object);
}

/* What the webhook made of it, in the version of the request again. */
static void on_patched(json_t *object, struct problem *p, void *userdata) {
        struct probe *probe = userdata;
        struct round *round = probe->round;
        int r = take_patched(probe, object, p);

        json_decref(object);
        round->waiting--;
        round_continue(round, r);
}

static bool is_converted(const struct probe *probe) {
        const struct round *round = probe->round;

        return probe->as->by_webhook && probe->as != round->kind &&
               !webhook_has_own_form(round->kind, round->facts.sub);
}

/* 1: the patched form is converted, and the round continues with it. */
static int take_patch(struct probe *probe, const json_t *patch) {
        struct round *round = probe->round;
        _cleanup_free_ char *who = author(probe);
        const struct patched_facts facts = facts_of_patch(probe, who);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *form = NULL;
        const json_t *object = round->facts.operation == WEBHOOK_CONNECT ? NULL : round->object,
                     *made = object && is_converted(probe)
                                             ? made_forms_find(&round->forms, probe->as, object,
                                                               NULL)
                                             : NULL;
        json_t *patched = NULL;
        int r;

        if (!who)
                return -ENOMEM;
        r = made ? patched_apply(&facts, made, patch, &form, &p)
                 : patched_object(&facts, object, patch, &patched, &p);
        if (r < 0) {
                refuse(round, probe, &p);
                return r;
        }
        return made ? convert(probe, form, round->kind->api_version, on_patched)
                    : take_object(probe, patched);
}

/* 0: the round continues; 1: later. */
static int on_verdict(struct probe *probe, const struct webhook_answer *a) {
        struct round *round = probe->round;
        struct problem p = {0};
        int r = webhook_take_notes(round, a);

        if (r < 0)
                return r;
        if (!a->allowed) {
                webhook_record(probe, WEBHOOK_DENIED, false, NULL);
                problem_set(&p, EACCES, (int)json_int_or(a->status, "code", 400), NULL, "%s",
                                json_str_or(a->status, "message", ""));
                p.status = json_incref(a->status);
                refuse(round, probe, &p);
                return -EACCES;
        }
        return json_array_size(a->patch) > 0 ? take_patch(probe, a->patch)
                                             : on_allowed(probe, false);
}

static int judge(struct probe *probe, const struct http_result *result) {
        _cleanup_webhook_answer_ struct webhook_answer answer = {0};
        _cleanup_free_ char *why = NULL;
        int r;

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
        r = webhook_answer_parse(
                        probe->webhook, probe->uid, result->body, result->body_size, &answer, &why);
        if (r < 0) {
                _cleanup_free_ char *text =
                                strformat("received invalid webhook response: %s", strempty(why));

                return on_failure(probe, r, text ? text : "out of memory");
        }
        return on_verdict(probe, &answer);
}

static void on_answer(const struct http_result *result, void *userdata) {
        struct probe *probe = userdata;
        struct round *round = probe->round;
        int r;

        assert(round->waiting > 0);
        round->waiting--;
        wait_shares_drop(round->hooks->shares, round->share, probe->size);
        probe->size = 0;
        r = judge(probe, result);
        round_continue(round, r);
}

/* r: what has become of a probe; 1: it goes on by itself. */
static void round_continue(struct round *round, int r) {
        if (r > 0)
                return;
        if (round->question.type == WEBHOOK_VALIDATING) {
                if (r < 0 && !round->refusal.code)
                        problem_set(&round->refusal, r, 500, "InternalError",
                                        "Internal error occurred: %s", strerror(-r));
                ask_some(round);
        } else if (r < 0)
                finish(round, r);
        else
                walk(round);
}

/* As call(). */
static int send_review(struct probe *probe, const json_t *review) {
        struct round *round = probe->round;
        _cleanup_free_ char *text = NULL, *why = NULL;
        uint64_t now_us = now_mono_us();
        int r;

        if (now_us >= round->deadline_us)
                return on_failure(probe, -ETIMEDOUT, "the request took too long in all");
        webhook_place_done(&probe->place);
        r = webhook_resolve(round->hooks->api, probe->webhook, &probe->place, &why);
        if (r < 0 && r != -ENOMEM) {
                _cleanup_free_ char *long_why =
                                strformat("failed to call webhook: %s", strempty(why));

                return on_failure(probe, r, strempty(long_why));
        }
        if (r < 0)
                return r;
        text = json_text(review);
        if (!text)
                return -ENOMEM;
        r = webhook_call_start(round->hooks->clients, probe->webhook, &probe->place, text,
                        MIN(probe->webhook->timeout_us, round->deadline_us - now_us), on_answer,
                        probe);
        if (r < 0)
                return r;
        round->waiting++;
        probe->size = strlen(text);
        wait_shares_hold(round->hooks->shares, round->share, probe->size);
        return 1;
}

/* What was evaluated says that it is sent, or not; as call(). */
static int take_conditions(struct conditions *c) {
        struct probe *probe = c->probe;

        if (c->r == 0)
                probe->webhook = NULL; /* it is not for the request */
        if (c->r == -EINVAL)
                return on_failure(probe, c->r, strempty(c->why));
        return c->r <= 0 ? c->r : send_review(probe, c->review);
}

static void on_conditions(void *userdata) {
        _cleanup_(conditions_freep) struct conditions *c = userdata;
        struct round *round = c->probe->round;

        round->waiting--;
        round_continue(round, take_conditions(c));
}

/* As call(). */
static int check_conditions(struct probe *probe, json_t *review) {
        struct round *round = probe->round;
        _cleanup_(conditions_freep) struct conditions *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        *c = (struct conditions){.probe = probe, .review = json_incref(review)};
        r = fibers_start(round->hooks->api->fibers, evaluate_conditions, on_conditions, c);
        if (r < 0)
                return r;
        if (r == 0)
                return take_conditions(c);
        round->waiting++;
        (void)TAKE_PTR(c);
        return 1;
}

/* 1: the call is under way; 0: it is not, and the round continues. */
static int call(struct probe *probe) {
        struct round *round = probe->round;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *review = NULL;
        int r;

        probe->began_us = now_mono_us();
        random_uuid(probe->uid);
        if (probe->began_us >= round->deadline_us)
                return on_failure(probe, -ETIMEDOUT, "the request took too long in all");
        r = message(probe, &review, &p);
        if (r == -EAGAIN)
                return convert(probe, probe->converted, probe->as->api_version, on_form);
        if (r < 0) {
                refuse(round, probe, &p);
                return r;
        }
        return probe->webhook->conditions ? check_conditions(probe, review)
                                          : send_review(probe, review);
}

/* Whether the i-th webhook of the list is for the request as it is now. */
static bool choose(struct round *round, size_t i) {
        struct probe *probe = &round->probes[i];
        const struct kind *as =
                        webhook_match(round->list->all[i], &round->facts, &round->equivalents);

        kind_unref(probe->as);
        probe->as = as ? kind_ref(as) : NULL;
        probe->round = round;
        probe->webhook = as ? round->list->all[i] : NULL;
        return as != NULL;
}

/* --- validating --- */

/* A refusal ends it: those that were not asked yet need not be. */
static void ask_some(struct round *round) {
        int r = 0;

        while (round->next < round->list->count && round->waiting < AT_ONCE_MAX && r >= 0 &&
                        !round->refusal.code) {
                size_t i = round->next++;

                if (choose(round, i))
                        r = call(&round->probes[i]);
        }
        if (r < 0 && !round->refusal.code)
                problem_set(&round->refusal, r, 500, "InternalError", "Internal error occurred: %s",
                                strerror(-r));
        if (round->waiting == 0)
                finish(round, round->refusal.code ? -EACCES : 0);
}

/* --- mutating --- */

/* Whether it wants to see what others have made of the object since. */
static bool is_asked_again(const struct round *round, size_t i) {
        const struct probe *probe = &round->probes[i];

        return round->list->all[i]->reinvoked && probe->after &&
               !json_same(probe->after, round->object);
}

static void on_settled(void *userdata) {
        walk(userdata);
}

/* 1: on_settled() continues. */
static int settle(struct round *round) {
        const struct webhooks_later later = {.func = on_settled, .userdata = round};
        int r;

        if (!round->changed_in_pass || !round->question.settle)
                return 0;
        if (!round->settling) {
                json_t *copy = json_tree_copy(round->object);

                if (!copy)
                        return -ENOMEM;
                json_decref(round->object);
                round->object = copy;
                round->facts.object = copy;
        }
        r = round->question.settle(
                        round->object, &later, round->question.userdata, &round->refusal);
        round->settling = r > 0;
        return r;
}

/* The webhooks that are left of this pass. 1: one is under way, and on_answer() continues, or
 * on_settled(). */
static int ask_next(struct round *round) {
        while (round->next < round->list->count) {
                size_t i = round->next++;
                int r;

                if ((round->pass > 0 && !is_asked_again(round, i)) || !choose(round, i))
                        continue;
                r = call(&round->probes[i]);
                if (r != 0)
                        return r;
        }
        return settle(round);
}

static void walk(struct round *round) {
        int r;

        while ((r = ask_next(round)) == 0 && round->pass == 0 && round->changed) {
                round->pass++;
                round->next = 0;
                round->changed_in_pass = false;
        }
        if (r <= 0)
                finish(round, r);
}

static int on_soon(sd_event_source *source, void *userdata) {
        struct round *round = userdata;

        round->soon = sd_event_source_disable_unref(round->soon);
        /* A stream needs its seat (dispatch_stream()). */
        if (round->facts.operation != WEBHOOK_CONNECT)
                dispatch_leave(round->question.request);
        if (round->question.type == WEBHOOK_MUTATING)
                walk(round);
        else
                ask_some(round);
        return 0;
}

int round_start(struct round *round) {
        int r = sd_event_add_defer(round->hooks->api->event, &round->soon, on_soon, round);

        if (r < 0)
                return r;
        LIST_INSERT_HEAD(&round->hooks->rounds, round, entry);
        webhook_count_waiting(round->hooks);
        return 0;
}
