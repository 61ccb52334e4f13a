/* What writes ask admission policies and webhooks. Nothing is held meanwhile that another write may
 * need. */
#include "kapid/pipeline/admit.h"
#include "kapid/pipeline/write-internal.h"
#include "kapid/pipeline/write-object.h"
#include "kapid/policies/set.h"

void write_wait(struct run *run) {
        run->asked = true;
        turns_leave(run->write.request->api->turns, &run->turn, 0);
}

static int on_settle(json_t *object, const struct webhooks_later *later, void *userdata,
                struct problem *p) {
        struct run *run = userdata;
        int r = passage_settle(run->write.passage, object, p);

        if (r > 0)
                run->settling = *later;
        return r;
}

/* Asks them; nothing is held meanwhile that another write may need. 1: done() follows; 0: nobody is
 * to be asked. */
static int ask(struct run *run, enum webhook_type type, webhooks_done done, struct problem *p) {
        struct api *api = run->write.request->api;
        struct write *w = &run->write;
        _cleanup_json_ json_t *object = NULL, *old = NULL;
        struct webhook_request facts;
        int r;

        if (!webhooks_has(api->webhooks, type))
                return 0;
        r = w->passage ? passage_facts(w->passage, &facts, &object, &old)
                       : write_facts(w, run->live, run->decision.object, &facts, &object, &old);
        if (r < 0)
                return r;
        r = webhooks_ask(api->webhooks,
                        &(struct webhooks_question){.type = type,
                                        .request = w->request,
                                        .facts = &facts,
                                        .changed = w->passage && passage_changed(w->passage),
                                        .settle = w->passage ? on_settle : NULL,
                                        .done = done,
                                        .userdata = run},
                        p);
        if (r > 0)
                write_wait(run);
        return r;
}

int write_check_place(struct run *run, struct problem *p) {
        const struct kind_registry *kinds = run->write.request->api->kinds;
        const struct kind *k = run->kind, *now = k;

        if (k->custom)
                now = kind_registry_find(kinds, k->group, k->version, k->plural);
        if (!now)
                return problem_not_found(p, k, run->name);
        if (now->namespaced != k->namespaced ||
                        !streq(now->storage_api_version, k->storage_api_version))
                return problem_conflict(p, k, run->name,
                                "the definition of its kind changed meanwhile; please try again");
        return run->live ? 0 : write_may_create(&run->write, now, p);
}

/* The answers are there. false: the write has ended, or goes another way. */
static bool take_outcome(struct run *run, const struct webhook_outcome *outcome) {
        _cleanup_problem_ struct problem p = {0};
        int r = outcome->error;

        for (char *const *w = outcome->warnings; w && *w; w++)
                if (!strv_contains(run->warned, *w))
                        (void)strv_extend(&run->warned, *w); /* one less without memory */
        if (!run->write.request->http) {                     /* no client waits for it any longer */
                write_fail(run, -ECANCELED, &p);
                return false;
        }
        if (r < 0) {
                p = *outcome->p;
                *outcome->p = (struct problem){0};
        } else
                r = write_check_place(run, &p);
        if (r < 0)
                write_decided(run, r, &p);
        return r >= 0;
}

/* The rest of the steps, on what the mutating webhooks have left. */
static void resume(struct run *run, const json_t *object) {
        _cleanup_(passage_freep) struct passage *a = TAKE_PTR(run->write.passage);
        _cleanup_problem_ struct problem p = {0};
        int r = passage_resume(a, object, &p);

        if (r > 0)
                run->write.passage = TAKE_PTR(a);
        write_decided(run, r, &p);
}

/* After a wait: whether the write continues. */
static int check_wait(struct run *run, struct problem *p) {
        return run->write.request->http ? write_check_place(run, p) : -ECANCELED;
}

void write_wake(struct write *w) {
        struct run *run = container_of(w, struct run, write);
        const struct webhooks_later settling = run->settling;
        _cleanup_(passage_freep) struct passage *a = NULL;
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (settling.func) {
                run->settling = (struct webhooks_later){0};
                settling.func(settling.userdata);
                return;
        }
        a = TAKE_PTR(w->passage);
        r = check_wait(run, &p);
        if (r < 0) {
                write_fail(run, r, &p);
                return;
        }
        r = passage_continue(a, &p);
        if (r > 0)
                w->passage = TAKE_PTR(a);
        write_decided(run, r, &p);
}

static void on_mutated(const struct webhook_outcome *outcome, void *userdata) {
        struct run *run = userdata;

        if (take_outcome(run, outcome))
                resume(run, outcome->changed ? outcome->object : NULL);
}

void write_ask_mutating(struct run *run) {
        _cleanup_problem_ struct problem p = {0};
        int r = ask(run, WEBHOOK_MUTATING, on_mutated, &p);

        if (r == 0)
                resume(run, NULL);
        else if (r < 0)
                write_decided(run, r, &p);
}

static void on_judged(const struct webhook_outcome *outcome, void *userdata) {
        if (take_outcome(userdata, outcome))
                write_carry_out(userdata);
}

static void on_policies(void *userdata) {
        struct run *run = userdata;
        _cleanup_problem_ struct problem p = {0};
        int r = check_wait(run, &p);

        if (r < 0)
                write_fail(run, r, &p);
        else
                write_ask_validating(run);
}

/* Admission policies, before webhooks are asked. 1: not yet. */
static int judge_by_policies(struct run *run, struct problem *p) {
        struct write *w = &run->write;
        struct policy_set *policies = w->request->api->policies;
        const struct policy_waiter waiter = {.func = on_policies, .userdata = run};
        _cleanup_json_ json_t *object = NULL, *old = NULL;
        struct webhook_request facts;
        int r;

        if (!run->judging && !policy_set_has(policies, POLICY_VALIDATING))
                return 0;
        r = write_facts(w, run->live, run->decision.object, &facts, &object, &old);
        if (r < 0)
                return r;
        r = policy_set_judge(policies, w->request, &facts, &waiter, &run->judging, &run->warned, p);
        if (r > 0)
                write_wait(run);
        return r;
}

void write_ask_validating(struct run *run) {
        _cleanup_problem_ struct problem p = {0};
        int r = judge_by_policies(run, &p);

        if (r > 0)
                return;
        if (r < 0) {
                if (run->fresh)
                        write_fail(run, r, &p);
                else
                        write_confirm(run, r, &p);
                return;
        }
        r = ask(run, WEBHOOK_VALIDATING, on_judged, &p);
        if (r == 0)
                write_carry_out(run);
        else if (r < 0)
                write_fail(run, r, &p);
}

static void on_deletion_judged(const struct webhook_outcome *outcome, void *userdata) {
        if (take_outcome(userdata, outcome))
                write_ask_validating(userdata);
}

/* Mutating webhooks judge it too. */
void write_ask_about_deletion(struct run *run) {
        _cleanup_problem_ struct problem p = {0};
        int r = ask(run, WEBHOOK_MUTATING, on_deletion_judged, &p);

        if (r == 0)
                write_ask_validating(run);
        else if (r < 0)
                write_fail(run, r, &p);
}
