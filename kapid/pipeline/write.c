/* Carries a verb's decision out: reads, decides, guards the txn with what was read, tries again. */
#include "kapid/pipeline/write-internal.h"

#include <inttypes.h>

#include "kapid/conversion/conversion.h"
#include "kapid/http/dispatch.h"
#include "kapid/pipeline/admit.h"
#include "kapid/pipeline/convert.h"
#include "kapid/pipeline/forms.h"
#include "kapid/pipeline/leases.h"
#include "kapid/pipeline/turns.h"
#include "kapid/pipeline/write-object.h"
#include "kapid/policies/set.h"
#include "kapid/store/alloc.h"
#include "kapid/strategy/strategy.h"
#include "lib/fiber.h"
#include "lib/object.h"
#include "lib/timefmt.h"

/* How long the caches may take to hold what the store has; longer, and the work continues without:
 * guards keep it right. */
enum { CATCH_UP_US = 2 * 1000 * 1000 };
/* How often a charge is tried on caches that did not catch up in that time. */
enum { LATE_ATTEMPTS_MAX = 5 };

static void decide(struct run *run);

static struct run *run_free(struct run *run) {
        if (!run)
                return NULL;
        turns_leave(run->write.request->api->turns, &run->turn, run->stored_revision);
        passage_free(run->write.passage);
        decision_done(&run->decision);
        problem_done(&run->refusal);
        policy_judging_free(run->judging);
        strv_free(run->warned);
        json_decref(run->live);
        item_unref(run->write.item);
        free(run->namespace);
        free(run->name);
        free(run->key);
        free(run->text);
        kind_unref(run->kind);
        request_unref(run->write.request);
        return mfree(run);
}

static void finish(struct run *run, const struct problem *p) {
        request_warn_all(run->write.request, run->warned);
        /* Who writes the same again is likely to do so once more; after a change the item is
         * another one. */
        if (run->decision.unchanged && run->write.item && run->live)
                item_keep_object(run->write.item, run->live);
        run->done(&run->write, p);
        run_free(run);
}

/* Ends it with p, or for an empty p with the error. */
void write_fail(struct run *run, int error, struct problem *p) {
        assert(error < 0);
        if (!p->code)
                problem_set(p, -error, 500, "InternalError", "Internal error occurred: %s",
                                strerror(-error));
        finish(run, p);
}

static void fail_store(struct run *run, const struct store_result *res) {
        _cleanup_problem_ struct problem p = {0};

        store_problem(res, &p);
        finish(run, &p);
}

/* A call of the store that could not be started. */
static void fail_start(struct run *run, int error) {
        fail_store(run, &(struct store_result){.error = error, .message = strerror(-error)});
}

static int set_name(struct run *run, const char *name) {
        char *copy = strdup(name);
        char *key = kind_store_key(run->kind, run->namespace, name);

        if (!copy || !key) {
                free(copy);
                free(key);
                return -ENOMEM;
        }
        free(run->name);
        free(run->key);
        run->write.name = run->name = copy;
        run->key = key;
        return 0;
}

static void set_live(struct run *run, json_t *live_taken, uint64_t revision, bool fresh) {
        assert(!live_taken || revision > 0);
        json_decref(run->live);
        run->write.item = item_unref(run->write.item);
        run->live = live_taken;
        run->revision = revision;
        run->fresh = fresh;
        run->stale = false;
}

static int take_form(struct run *run, struct item *it, bool fresh, struct problem *p) {
        struct item *form;
        json_t *live;
        int r = item_as_object(it, run->kind, &form, &live, p);

        if (r < 0)
                return r;
        set_live(run, live, item_revision(it), fresh);
        run->write.item = item_ref(form);
        return 0;
}

/* A webhook has made the form of the live object. */
static int take_converted(struct run *run, struct item *form, struct problem *p) {
        bool stale = run->stale;
        int r = take_form(run, form, run->fresh, p);

        run->stale = stale;
        return r < 0 ? r : write_check_place(run, p);
}

static void on_converted(struct item *const *forms, size_t n, struct problem *p, void *userdata) {
        struct run *run = userdata;
        _cleanup_problem_ struct problem own = {0};
        int r;

        if (p) {
                finish(run, p);
                return;
        }
        if (!run->write.request->http) { /* no client waits for it any longer */
                write_fail(run, -ECANCELED, &own);
                return;
        }
        r = take_converted(run, forms[0], &own);
        if (r < 0)
                write_fail(run, r, &own);
        else
                decide(run);
}

/* The item's object in our version becomes the live one. 1: a webhook makes it, and then it is
 * decided. */
static int take_item(struct run *run, struct item *it, bool fresh, struct problem *p) {
        struct api *api = run->write.request->api;
        const struct conversion_waiter waiter = {
                        .done = on_converted, .request = run->write.request, .userdata = run};
        int r = conversion_start(api, run->kind, &it, 1, &waiter, NULL, p);

        if (r == 0)
                return take_form(run, it, fresh, p);
        if (r > 0) {
                run->fresh = fresh;
                turns_leave(api->turns, &run->turn, 0);
                dispatch_leave(run->write.request);
        }
        return r;
}

/* The store's value at our key (NULL: nothing) becomes the live object. */
static int take_stored(struct run *run, const struct store_kv *kv, struct problem *p) {
        _cleanup_item_ struct item *it = NULL;
        int r;

        set_live(run, NULL, 0, true);
        if (!kv)
                return 0;
        if (kv->unreadable)
                return problem_set(p, EBADMSG, 500, "InternalError", "Internal error occurred: %s",
                                kv->unreadable);
        r = item_new(caches_pool(run->write.request->api->caches), kv->key,
                        strlen(run->kind->storage_prefix), kv->value, kv->size, kv->revision, &it);
        if (r < 0)
                return r;
        r = take_item(run, it, true, p);
        run->stale = r >= 0 && (kv->stale || !kind_stores_as(run->kind, kv->value, kv->size));
        return r;
}

/* Whether the store has what a verdict was found on. */
static bool is_confirmed(struct run *run, const struct store_result *res) {
        const struct store_kv *kv = res->count > 0 ? &res->kvs[0] : NULL;
        bool confirmed = run->confirming && kv && !kv->unreadable && kv->revision == run->revision;

        run->confirming = false;
        if (confirmed) {
                run->fresh = true;
                run->stale = kv->stale || !kind_stores_as(run->kind, kv->value, kv->size);
        }
        return confirmed;
}

static void on_read(const struct store_result *res, void *userdata) {
        _cleanup_problem_ struct problem p = {0};
        struct run *run = userdata;
        int r;

        if (res->error) {
                fail_store(run, res);
                return;
        }
        if (is_confirmed(run, res)) {
                p = run->refusal;
                run->refusal = (struct problem){0};
                write_decided(run, run->verdict, &p);
                return;
        }
        problem_done(&run->refusal);
        r = take_stored(run, res->count > 0 ? &res->kvs[0] : NULL, &p);
        if (r < 0)
                write_fail(run, r, &p);
        else if (r == 0)
                decide(run);
}

static void read_store(struct run *run) {
        int r = store_range(run->write.request->api->store, &(struct store_range){.key = run->key},
                        on_read, run);

        if (r < 0)
                fail_start(run, r);
}

static void on_in_cache(int error, void *userdata) {
        finish(userdata, NULL);
}

static void on_stored(struct run *run, uint64_t revision) {
        _cleanup_problem_ struct problem p = {0};
        struct caches *caches = run->write.request->api->caches;
        struct decision *d = &run->decision;
        char number[24];

        run->stored_revision = revision;
        snprintf(number, sizeof(number), "%" PRIu64, revision);
        if (d->object && json_set_str(d->object, "metadata.resourceVersion", number) < 0) {
                write_fail(run, -ENOMEM, &p);
                return;
        }
        if (d->act == DECIDE_PUT)
                pipeline_stored(run->kind, run->write.request->api->kinds, d->object);
        if (pipeline_is_read_at_once(run->kind) &&
                        caches_wait(caches, revision, CATCH_UP_US, on_in_cache, run) >= 0)
                return;
        finish(run, NULL);
}

static bool is_charged(const struct decision *d) {
        for (size_t i = 0; i < d->key_count; i++)
                if (d->keys[i].revision > 0)
                        return true;
        return false;
}

static void on_caught_up(int error, void *userdata) {
        decide(userdata);
}

/* While the caches stay behind, a quota that another kapid has charged cannot be charged here. That
 * is found out in a few attempts, because the others of the namespace wait meanwhile. */
static void on_quota_caught_up(int error, void *userdata) {
        struct run *run = userdata;

        if (error)
                run->charge_attempts += WRITE_CHARGE_ATTEMPTS_MAX / LATE_ATTEMPTS_MAX;
        decide(run);
}

/* Whether it is tried again after a guard did not hold. Other kapids charge the same quotas: that
 * may happen more often than that another writes the same object. */
static bool try_again(struct run *run, bool changed) {
        if (is_charged(&run->decision) && !changed)
                return ++run->charge_attempts < WRITE_CHARGE_ATTEMPTS_MAX;
        return ++run->attempts < WRITE_ATTEMPTS_MAX && !(run->decision.no_retry && changed);
}

/* A guard did not hold: another has written our key, or has claimed one of the others, or has
 * charged a quota. */
static void on_guard_failed(struct run *run, const struct store_result *res) {
        _cleanup_problem_ struct problem p = {0};
        const struct store_kv *mine = NULL;
        bool charged = is_charged(&run->decision);
        int r;

        for (size_t i = 0; i < res->count; i++) {
                const struct store_kv *kv = &res->kvs[i];

                if (streq(kv->key, run->key))
                        mine = kv;
                else
                        alloc_observe(run->write.request->api->alloc, kv->key, kv->value, kv->size);
        }
        bool changed = (mine ? mine->revision : 0) != run->revision;
        if (!try_again(run, changed)) {
                problem_conflict(&p, run->kind, run->name, NULL);
                finish(run, &p);
                return;
        }
        r = take_stored(run, mine, &p);
        if (r < 0)
                write_fail(run, r, &p);
        else if (r > 0)
                return; /* on_converted() continues */
        else if (!charged || caches_wait(run->write.request->api->caches, res->revision,
                                             CATCH_UP_US, on_quota_caught_up, run) < 0)
                decide(run);
}

static void on_txn(const struct store_result *res, void *userdata) {
        if (res->error)
                fail_store(userdata, res);
        else if (res->succeeded)
                on_stored(userdata, res->revision);
        else
                on_guard_failed(userdata, res);
}

/* What is stored is read again, with the bound on nesting of every JSON; the record of its managers
 * is nested deeper than the object itself. */
static int take_text(struct run *run, const json_t *form, struct problem *p) {
        int r = json_text_bounded(form, &run->text);

        if (r != -E2BIG)
                return r;
        return problem_set(p, EINVAL, 422, "Invalid",
                        "%s \"%s\" is invalid: with metadata.managedFields it is nested deeper "
                        "than 100 levels",
                        run->kind->kind, run->name);
}

static int make_text(struct run *run, struct problem *p) {
        const struct kind *k = run->kind;
        _cleanup_json_ json_t *form = NULL;
        int r;

        if (run->decision.act != DECIDE_PUT || run->text)
                return 0;
        r = kind_store_form(k, run->decision.object, &form, p);
        if (r < 0)
                return r;
        run->filled = k->custom && streq(k->api_version, k->storage_api_version) &&
                      pipeline_is_filled(k, form);
        return take_text(run, form, p);
}

/* Whether the text that is stored is the answer's, too, but for its revision. */
static bool is_answered_by_text(const struct run *run) {
        const struct request *request = run->write.request;
        const struct kind *k = run->kind;

        return run->text && run->done == write_respond && k == request->kind &&
               !(request->sub && request->sub->form) && request_is_plain(request) &&
               streq(k->api_version, k->storage_api_version);
}

/* Many writes wait for the store at a time: their trees, which nobody needs any more, would push
 * each other out of the processor's caches. What is decided again is decided on new ones. */
static void drop_trees(struct run *run) {
        if (!is_answered_by_text(run) || run->kind->strategy->stored)
                return;
        json_decref(run->decision.object);
        json_decref(run->live);
        run->decision.object = run->live = NULL;
}

static void run_txn(struct run *run) {
        struct store_guard guards[DECISION_KEYS_MAX + 1] = {
                        {.key = run->key, .revision = run->revision}};
        struct store_op ops[DECISION_KEYS_MAX + 1];
        struct store_txn txn = {.guards = guards, .guard_count = 1, .ops = ops, .op_count = 1};
        int r;

        assert(run->decision.act == DECIDE_PUT ? run->text != NULL : run->text == NULL);
        ops[0] = (struct store_op){.key = run->key,
                        .value = run->text,
                        .size = run->text ? strlen(run->text) : 0,
                        .lease = run->lease};
        for (size_t i = 0; i < run->decision.key_count; i++) {
                const struct decision_key *k = &run->decision.keys[i];

                if (k->claim || k->revision > 0)
                        guards[txn.guard_count++] = (struct store_guard){
                                        .key = k->key, .revision = k->revision};
                ops[txn.op_count++] = (struct store_op){.key = k->key,
                                .value = k->value,
                                .size = k->value ? strlen(k->value) : 0};
        }
        drop_trees(run);
        r = store_txn(run->write.request->api->store, &txn, on_txn, run);
        if (r < 0)
                fail_start(run, r);
}

static void on_lease(const struct store_result *res, void *userdata) {
        struct run *run = userdata;

        if (res->error) {
                fail_store(run, res);
                return;
        }
        run->lease = res->lease;
        leases_add(run->write.request->api->leases, run->kind, res->lease, now_mono_us());
        run_txn(run);
}

/* What was decided in several turns may have lost its place meanwhile. */
static int check_turns(struct run *run, struct problem *p) {
        struct request *request = run->write.request;
        int r = request_breathe(request);

        if (r < 0 || !fiber_if_current(request->fiber))
                return r;
        return write_check_place(run, p);
}

static void store_it(struct run *run) {
        _cleanup_problem_ struct problem p = {0};
        struct api *api = run->write.request->api;
        int r = check_turns(run, &p);

        if (r < 0) {
                write_fail(run, r, &p);
                return;
        }
        r = make_text(run, &p);
        if (r < 0) {
                write_fail(run, r, &p);
                return;
        }
        run->lease = 0;
        if (run->kind->ttl_s > 0 && run->decision.act == DECIDE_PUT) {
                run->lease = leases_find(api->leases, run->kind, now_mono_us());
                if (!run->lease) {
                        r = store_lease_grant(api->store, leases_ttl_s(run->kind), on_lease, run);
                        if (r < 0)
                                fail_start(run, r);
                        return;
                }
        }
        run_txn(run);
}

/* The name is taken by what is live: another one, which the guard finds free or not. */
static void rename_and_decide(struct run *run) {
        _cleanup_problem_ struct problem p = {0};
        int r = set_name(run, run->decision.name);

        if (r < 0) {
                write_fail(run, r, &p);
                return;
        }
        set_live(run, NULL, 0, true);
        decide(run);
}

static void charge(struct run *run);

/* A write whose client has gone meanwhile is not made: others wait behind it. Nor is one whose
 * place has gone. */
static void on_turn(struct turn *turn) {
        struct run *run = container_of(turn, struct run, turn);
        _cleanup_problem_ struct problem p = {0};
        int r = run->write.request->http ? write_check_place(run, &p) : -ECANCELED;

        if (r < 0)
                write_fail(run, r, &p);
        else
                charge(run);
}

/* Quotas refuse it. It is decided again on the store's object and on fresh caches, before that
 * counts: something may have been deleted a moment ago. Others need not wait for it. */
static void confirm_refusal(struct run *run, int error, struct problem *p) {
        struct api *api = run->write.request->api;

        turns_leave(api->turns, &run->turn, 0);
        if (!run->fresh) {
                read_store(run);
                return;
        }
        if (!run->confirmed) {
                run->confirmed = true;
                if (caches_freshen(api->caches, on_caught_up, run) >= 0)
                        return;
        }
        write_fail(run, error, p);
}

/* Stores what was charged, when it is our turn: else the charge is made again then. */
static void store_in_turn(struct run *run, size_t keys_before) {
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (run->turn.is_mine) {
                store_it(run);
                return;
        }
        run->turn.func = on_turn;
        r = turns_take(run->write.request->api->turns, run->namespace, &run->turn);
        if (r < 0)
                write_fail(run, r, &p);
        else if (r > 0)
                store_it(run);
        else
                decision_drop_keys(&run->decision, keys_before);
}

/* Charges the object to the quotas of its namespace. */
static void charge(struct run *run) {
        _cleanup_problem_ struct problem p = {0};
        size_t keys_before = run->decision.key_count;
        int r = write_charge(&run->write, run->live, &p);

        if (r < 0)
                confirm_refusal(run, r, &p);
        else if (run->write.request->dry_run)
                finish(run, NULL);
        else if (is_charged(&run->decision))
                store_in_turn(run, keys_before);
        else
                store_it(run);
}

void write_confirm(struct run *run, int r, struct problem *p) {
        if (run->asked || r >= 0) {
                run->confirming = true;
                run->verdict = r;
                problem_done(&run->refusal);
                run->refusal = *p;
                *p = (struct problem){0};
        }
        read_store(run);
}

/* A webhook has made what is stored. */
static void on_storage_form(json_t *object, struct problem *p, void *userdata) {
        struct run *run = userdata;
        _cleanup_json_ json_t *form = object;
        _cleanup_problem_ struct problem own = {0};
        int r;

        if (p) {
                finish(run, p);
                return;
        }
        json_del_at(form, "metadata.resourceVersion");
        r = run->write.request->http ? take_text(run, form, &own) : -ECANCELED;
        if (r < 0) {
                write_fail(run, r, &own);
                return;
        }
        r = write_check_place(run, &own);
        if (r < 0)
                write_fail(run, r, &own);
        else
                write_carry_out(run);
}

/* 1: a webhook converts what will be stored; write_carry_out() follows its answer. */
static int convert_to_storage(struct run *run, struct problem *p) {
        struct api *api = run->write.request->api;
        const struct kind *k = run->kind;
        const struct conversion_waiter waiter = {
                        .stored = on_storage_form, .request = run->write.request, .userdata = run};
        int r;

        if (!k->by_webhook || run->decision.act != DECIDE_PUT || run->text ||
                        run->write.request->dry_run ||
                        streq(k->api_version, k->storage_api_version))
                return 0;
        r = conversion_to_storage(api, k, run->decision.object, &waiter, p);
        if (r < 0)
                return r;
        turns_leave(api->turns, &run->turn, 0);
        dispatch_leave(run->write.request);
        return 1;
}

void write_carry_out(struct run *run) {
        _cleanup_problem_ struct problem p = {0};
        struct decision *d = &run->decision;
        bool dry_run = run->write.request->dry_run;
        int r;

        /* As with Kubernetes, a replacement by the same is how values get the present key, and the
         * present storage version. */
        if (run->stale && d->unchanged) {
                d->act = DECIDE_PUT;
                d->unchanged = false;
        }
        assert(d->act != DECIDE_PUT || d->object);
        r = convert_to_storage(run, &p);
        if (r != 0) {
                if (r < 0)
                        write_fail(run, r, &p);
                return;
        }
        if (d->act == DECIDE_PUT && write_is_charged(&run->write))
                charge(run);
        else if (d->act == DECIDE_NOTHING || dry_run)
                finish(run, NULL);
        else
                store_it(run);
}

void write_decided(struct run *run, int r, struct problem *p) {
        struct decision *d = &run->decision;

        if (r == -ECANCELED)
                write_fail(run, r, p);
        else if (r == WRITE_ASKS_WEBHOOKS)
                write_ask_mutating(run);
        else if (r > 0)
                write_wait(run);
        else if (!run->fresh && (r < 0 || run->write.request->dry_run))
                write_confirm(run, r, p);
        else if (r < 0)
                write_fail(run, r, p);
        else if (d->act == DECIDE_RENAME)
                rename_and_decide(run);
        else if (!run->fresh && d->act == DECIDE_NOTHING)
                write_confirm(run, r, p);
        else if (d->question == ASK_ABOUT_DELETION)
                write_ask_about_deletion(run);
        else if (d->question == ASK_ABOUT_WRITE)
                write_ask_validating(run);
        else
                write_carry_out(run);
}

static void decide_now(void *userdata) {
        struct run *run = userdata;
        _cleanup_problem_ struct problem p = {0};
        int r;

        decision_done(&run->decision);
        run->write.passage = passage_free(run->write.passage);
        run->text = mfree(run->text);
        run->filled = false;
        run->asked = false;
        strv_free(run->warned);
        run->warned = NULL;
        r = run->decide(&run->write, run->live, &run->decision, &p);
        write_decided(run, r, &p);
}

/* Large objects take several turns. */
static void decide(struct run *run) {
        struct request *request = run->write.request;
        struct item *it = run->write.item;
        size_t n = 0;

        (void)request_body(request, &n);
        request_in_turns(request, MAX(n, it ? item_text(it)->size : 0) >= REQUEST_LARGE_BYTES,
                        decide_now, run);
}

/* From the cache where it has the object; a refusal there is confirmed as decide() does. */
static void begin(struct run *run, bool create) {
        _cleanup_problem_ struct problem p = {0};
        const struct request *request = run->write.request;
        struct cache *c = caches_get(request->api->caches, run->kind->storage_prefix);
        struct item *it;
        int r;

        if (!c) {
                write_fail(run, -ENOMEM, &p);
                return;
        }
        if (create) {
                set_live(run, NULL, 0, true); /* the guard says the rest */
                decide(run);
                return;
        }
        it = cache_find(c, run->key + strlen(run->kind->storage_prefix));
        r = it && !request->dry_run ? take_item(run, it, false, &p) : -ENOENT;
        if (r < 0)
                read_store(run);
        else if (r == 0)
                decide(run);
}

void write_start(struct request *request, const struct write_options *o) {
        const struct kind *k = o->kind ? o->kind : request->kind;
        struct run *run = calloc(1, sizeof(*run));

        assert(k && o->decide);
        if (!run) {
                respond_errno(request, -ENOMEM);
                return;
        }
        run->kind = kind_ref(k);
        run->decide = o->decide;
        run->done = o->done ? o->done : write_respond;
        run->namespace = strdup(o->namespace ? o->namespace : request->route.namespace);
        run->write = (struct write){.request = request_ref(request),
                        .kind = run->kind,
                        .namespace = run->namespace,
                        .name = "",
                        .decision = &run->decision,
                        .wake = write_wake};
        if (!run->namespace || set_name(run, o->name ? o->name : request->route.name) < 0) {
                _cleanup_problem_ struct problem p = {0};

                write_fail(run, -ENOMEM, &p);
                return;
        }
        begin(run, o->create);
}

/* False: the answer is not the text that was stored. */
static bool respond_stored(struct write *w) {
        struct run *run = container_of(w, struct run, write);
        const struct kind *k = w->kind;
        _cleanup_item_ struct item *it = NULL;

        if (run->stored_revision == 0 || !is_answered_by_text(run))
                return false;
        if (item_new(caches_pool(w->request->api->caches), run->key, strlen(k->storage_prefix),
                            run->text, strlen(run->text), run->stored_revision, &it) < 0)
                return false;
        if (run->filled)
                item_set_form(it, k->serial, NULL);
        caches_wrote(w->request->api->caches, it);
        respond_item(w->request, w->decision->created ? 201 : 200, it);
        return true;
}

void write_respond(struct write *w, const struct problem *p) {
        struct request *request = w->request;
        const struct decision *d = w->decision;
        _cleanup_json_ json_t *form = NULL;

        request_warn_all(request, d->warnings);
        if (p) {
                respond_problem(request, p);
                return;
        }
        if (d->unchanged && w->item && (!request->sub || !request->sub->form)) {
                respond_item(request, 200, w->item);
                return;
        }
        if (!request->sub || !request->sub->form) {
                if (!respond_stored(w))
                        respond_object(request, d->created ? 201 : 200, d->object);
                return;
        }
        form = request->sub->form->get(w->kind, d->object);
        if (form)
                respond_json(request, 200, form);
        else
                respond_errno(request, -ENOMEM);
}
