/* The runner; see runner.h. A round lives from workqueue's work() to workqueue_done(). */
#include "reconcilers/runner.h"

#include "lib/client/executor.h"
#include "lib/client/workqueue.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/vector.h"
#include "reconcilers/jsondiff.h"

/* A write that the caches must show before the next plan of the name. */
struct awaited_write {
        enum world_kind kind;
        uint64_t version; /* 0: wait until the object of that uid is gone */
        char *key, *uid;
};

struct awaited {
        /* A vector: at most one for each kind, and for each deletion of a round. Those that were
         * seen leave it. */
        struct awaited_write *items;
        size_t count, allocated;
        uint64_t until_us;
        bool blocked; /* the queue handed the name out meanwhile */
};

struct runner {
        struct runner_options options;
        const struct controller *controller;
        struct workqueue *queue;
        struct map *awaited; /* name -> struct awaited */
        struct map *rounds;  /* name -> struct round, those under way */
        struct metric *rounds_total, *errors_total, *actions_total;
        bool leading;
};

struct round {
        struct runner *runner;
        char *name;
        struct executor *executor;
        struct api_call *report; /* the write of the status under way */
        json_t *before;          /* the object that the report was made from */
        bool is_telling;         /* of what was written: the last actions of the round */
        uint64_t requeue_after_us;
        struct problem problem;
        int failure;          /* the first error of the round, which `problem` explains */
        bool touched_primary; /* its status is reported in the next round, from its new state */
};

/* The kind of the objects that the names are of; NULL: they are not an object's. */
static const char *kind_of_names(const struct runner *runner) {
        enum world_kind kind = runner->controller->primary;

        return kind < WORLD_KINDS_MAX ? world_resource(kind)->kind : NULL;
}

/* --- writes that the caches must show --- */

static void awaited_pop(struct awaited *a) {
        a->count--;
        free(a->items[a->count].key);
        free(a->items[a->count].uid);
}

static void awaited_free(void *p) {
        struct awaited *a = p;

        if (!a)
                return;
        while (a->count > 0)
                awaited_pop(a);
        vector_done(a);
        free(a);
}

static bool write_is_seen(struct runner *runner, const struct awaited_write *x) {
        const json_t *o;

        if (x->version > 0)
                return runner->options.seen_version(runner->options.userdata, x->kind) >=
                       x->version;
        o = world_get_key(runner->options.world(runner->options.userdata), x->kind, x->key);
        return !o || !streq(object_uid(o), x->uid);
}

/* Whether everything was seen, or the wait has lasted long enough. */
static bool awaited_is_over(struct runner *runner, const char *name, struct awaited *a) {
        /* Called for each event: it looks at one that was not seen and at those seen since. */
        for (; a->count > 0; awaited_pop(a)) {
                if (write_is_seen(runner, &a->items[a->count - 1]))
                        continue;
                if (now_mono_us() < a->until_us)
                        return false;
                log_about(LOG_DEBUG, 0, kind_of_names(runner), name,
                                "%s %s: a write was not seen in the caches for %u s",
                                runner->controller->name, name,
                                (unsigned)(RUNNER_AWAIT_US / 1000000));
                return true;
        }
        return true;
}

static bool kind_of_resource(const struct api_resource *resource, const char *ns, const char *name,
                enum world_kind *ret) {
        for (int k = 0; k < WORLD_KINDS_MAX; k++) {
                if (world_resource(k) != resource || !world_kind_holds(k, ns, name))
                        continue;
                *ret = (enum world_kind)k;
                return true;
        }
        return false;
}

/* The list of the name's awaited writes, waiting from now on. */
static struct awaited *awaited_of(struct runner *runner, const char *name) {
        struct awaited *a = map_get(runner->awaited, name);

        if (!a) {
                a = calloc(1, sizeof(*a));
                assert(a && map_set(runner->awaited, name, a) >= 0);
        }
        a->until_us = now_mono_us() + RUNNER_AWAIT_US;
        return a;
}

/* The cache must reach the version. One number a kind is enough: versions are of one counter and
 * come in order. */
static void await_version(
                struct runner *runner, const char *name, enum world_kind kind, uint64_t version) {
        struct awaited *a = awaited_of(runner, name);

        assert(version > 0);
        for (size_t i = 0; i < a->count; i++)
                if (a->items[i].kind == kind && a->items[i].version > 0) {
                        a->items[i].version = MAX(a->items[i].version, version);
                        return;
                }
        assert(vector_append(a, ((struct awaited_write){.kind = kind, .version = version})) >= 0);
}

/* The cache must lose the object that was deleted. */
static void await_absence(struct runner *runner, const char *name, enum world_kind kind,
                const struct action *x) {
        struct awaited *a = awaited_of(runner, name);
        struct awaited_write w = {.kind = kind};

        w.key = isempty(x->ns) ? strdup(x->name) : strformat("%s/%s", x->ns, x->name);
        w.uid = strdup(x->uid);
        assert(w.key && w.uid);
        assert(vector_append(a, w) >= 0);
}

static void await_action(struct runner *runner, const char *name, const struct action *x,
                const json_t *object) {
        bool is_delete = x->type == &action_type_delete;
        /* An object that is deleted at once is answered in its last state: its absence must be
         * seen. */
        bool is_gone = is_delete && !object_is_deleting(object);
        enum world_kind kind;

        if (!kind_of_resource(x->resource, x->ns, x->name, &kind) ||
                        !(runner->controller->kinds & WORLD_BIT(kind)))
                return;
        if (!is_gone && object_resource_version(object) > 0)
                await_version(runner, name, kind, object_resource_version(object));
        else if (is_delete && x->name && x->uid)
                await_absence(runner, name, kind, x);
}

/* --- a round --- */

static struct round *round_free(struct round *o) {
        if (!o)
                return NULL;
        executor_free(o->executor);
        api_call_cancel(o->report);
        json_decref(o->before);
        problem_done(&o->problem);
        free(o->name);
        free(o);
        return NULL;
}

static void round_free_void(void *p) {
        round_free(p);
}

static void round_end(struct round *o) {
        struct runner *runner = o->runner;
        const struct problem *p = &o->problem;
        int r = o->failure;

        assert(!o->report && !executor_is_running(o->executor));
        assert(map_get(runner->rounds, o->name) == o);
        metric_add(runner->rounds_total, 1);
        if (r < 0) {
                metric_add(runner->errors_total, 1);
                /* Conflicts and busy servers are routine; the rest an operator should see. */
                log_about(r == -ESTALE || r == -EAGAIN || r == -EINPROGRESS ? LOG_DEBUG
                                                                            : LOG_WARNING,
                                0, kind_of_names(runner), o->name, "%s %s: %s",
                                runner->controller->name, o->name,
                                p->message ? p->message : strerror(-r));
        }
        map_steal(runner->rounds, o->name);
        workqueue_done(runner->queue, o->name, r, r < 0 ? 0 : o->requeue_after_us);
        round_free(o);
}

/* True: the executor ends the round. */
static bool round_tell(struct round *o, const json_t *after) {
        const struct controller *c = o->runner->controller;
        _cleanup_actions_ struct actions actions = {0};

        if (!c->reported)
                return false;
        c->reported(o->before, after, &actions);
        if (actions.count == 0)
                return false;
        o->is_telling = true;
        executor_run(o->executor, &actions);
        return true;
}

static void on_reported(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct round *o = userdata;

        o->report = NULL;
        if (error == 0 && object) {
                if (object_resource_version(object) > 0)
                        await_version(o->runner, o->name, o->runner->controller->primary,
                                        object_resource_version(object));
                if (round_tell(o, object))
                        return;
        } else if (error < 0 && error != -ENOENT && o->failure == 0) {
                o->failure = error;
                problem_set(&o->problem, -error, p->code, p->reason, "%s", strempty(p->message));
        }
        round_end(o);
}

static void round_report(struct round *o) {
        struct runner *runner = o->runner;
        const struct controller *c = runner->controller;
        const struct world *w = runner->options.world(runner->options.userdata);
        _cleanup_json_ json_t *status = NULL, *body = NULL, *diff = NULL;
        _cleanup_free_ char *path = NULL;
        const json_t *object;

        if (!c->report || o->touched_primary || !runner->leading ||
                        !(object = world_get_key(w, c->primary, o->name)))
                return round_end(o);
        status = c->report(w, o->name, o->failure < 0 ? &o->problem : NULL);
        if (status)
                diff = json_merge_diff(json_object_get(object, "status"), status);
        if (!diff || json_object_size(diff) == 0)
                return round_end(o);
        o->before = json_ref(object);
        body = json_pack("{s:{s:s}, s:O}", "metadata", "resourceVersion",
                        json_str_or(object, "metadata.resourceVersion", ""), "status", diff);
        path = api_path(world_resource(c->primary), object_namespace(object), object_name(object),
                        "status", NULL);
        if (!body || !path ||
                        api_patch_async(runner->options.client, path, API_PATCH_MERGE, body,
                                        on_reported, o, &o->report) < 0) {
                o->failure = o->failure < 0 ? o->failure : -ENOMEM;
                round_end(o);
        }
}

/* As good as done: the object is gone already, or its namespace is being deleted. */
static bool failure_is_fine(
                const struct action *x, int error, const struct problem *p, void *userdata) {
        if (x->type == &action_type_delete && (error == -ENOENT || error == -ESTALE))
                return true;
        if (x->type == &action_type_delete_seen && error == -ENOENT)
                return true;
        /* The resource is no longer served; the guard that follows checks what is left. */
        if (x->type == &action_type_delete_collection && error == -ENOENT)
                return true;
        if (x->type == &action_type_patch && error == -ENOENT)
                return true;
        return problem_is_end_of_namespace(p);
}

static bool touches_primary(const struct round *o, const struct action *x) {
        const struct controller *c = o->runner->controller;
        _cleanup_free_ char *key = NULL;

        if (c->primary == WORLD_KINDS_MAX || !x->name || x->type->barrier ||
                        x->resource != world_resource(c->primary))
                return false;
        key = isempty(x->ns) ? strdup(x->name) : strformat("%s/%s", x->ns, x->name);
        return key && streq(key, o->name);
}

static void on_action(const struct action *x, int error, const json_t *object,
                const struct problem *p, void *userdata) {
        struct round *o = userdata;

        if (x->type == &action_type_event)
                return;
        metric_add(o->runner->actions_total, 1);
        o->touched_primary |= touches_primary(o, x);
        if (error == 0)
                await_action(o->runner, o->name, x, object);
}

static void on_carried_out(int error, const struct problem *p, void *userdata) {
        struct round *o = userdata;

        if (o->is_telling) { /* an event that could not be written is not written again */
                round_end(o);
                return;
        }
        assert(!o->report && o->failure == 0);
        o->failure = error;
        if (error < 0) {
                problem_set(&o->problem, -error, p->code, p->reason, "%s", strempty(p->message));
                o->problem.causes = json_ref(p->causes); /* of each independent action */
        }
        round_report(o);
}

static struct round *round_new(struct runner *runner, const char *name) {
        struct round *o = calloc(1, sizeof(*o));

        assert(o);
        *o = (struct round){.runner = runner, .name = strdup(name)};
        assert(o->name && !map_get(runner->rounds, name));
        assert(executor_new(&o->executor,
                               &(struct executor_options){.client = runner->options.client,
                                               .event = runner->options.event,
                                               .context = runner,
                                               .is_fine = failure_is_fine,
                                               .on_action = on_action,
                                               .done = on_carried_out,
                                               .userdata = o}) >= 0);
        assert(map_set(runner->rounds, name, o) >= 0);
        return o;
}

static void work(struct workqueue *q, const char *name, void *userdata) {
        struct runner *runner = userdata;
        struct awaited *a = map_get(runner->awaited, name);
        _cleanup_actions_ struct actions actions = {0};
        struct round *o;

        if (a && !awaited_is_over(runner, name, a)) {
                a->blocked = true;
                workqueue_done(q, name, 0, a->until_us - now_mono_us() + 1000);
                return;
        }
        map_remove(runner->awaited, name);
        o = round_new(runner, name);
        runner->controller->plan(
                        runner->options.world(runner->options.userdata), o->name, &actions);
        log_about(LOG_DEBUG, 0, kind_of_names(runner), name, "%s %s: %zu actions",
                        runner->controller->name, name, actions.count);
        o->requeue_after_us = actions.requeue_after_us;
        executor_run(o->executor, &actions);
}

/* --- life --- */

static int make_metrics(struct runner *runner) {
        struct metrics *m = runner->options.metrics;
        char labels[128];

        snprintf(labels, sizeof(labels), "controller=\"%s\"", runner->controller->name);
        runner->rounds_total = metrics_counter(
                        m, "keelson_reconcile_total", labels, "Rounds of reconciliation.");
        runner->errors_total = metrics_counter(m, "keelson_reconcile_errors_total", labels,
                        "Rounds that failed and are tried again.");
        runner->actions_total = metrics_counter(m, "keelson_reconcile_actions_total", labels,
                        "Requests sent to change something.");
        return runner->rounds_total && runner->errors_total && runner->actions_total ? 0 : -ENOMEM;
}

int runner_new(struct runner **ret, const struct runner_options *options) {
        _cleanup_(runner_freep) struct runner *runner = calloc(1, sizeof(*runner));
        unsigned rounds = options->controller->rounds_max;
        struct workqueue_options queue = {.parallel_max = rounds ? rounds : RUNNER_ROUNDS_MAX,
                        .work = work,
                        .userdata = runner,
                        .metrics = options->metrics,
                        .name = options->controller->name};
        int r;

        if (!runner)
                return -ENOMEM;
        runner->options = *options;
        runner->controller = options->controller;
        runner->awaited = map_new(awaited_free);
        runner->rounds = map_new(round_free_void);
        if (!runner->awaited || !runner->rounds)
                return -ENOMEM;
        r = make_metrics(runner);
        if (r < 0)
                return r;
        r = workqueue_new(&runner->queue, options->event, &queue);
        if (r < 0)
                return r;
        workqueue_set_paused(runner->queue, true);
        *ret = TAKE_PTR(runner);
        return 0;
}

struct runner *runner_free(struct runner *runner) {
        if (!runner)
                return NULL;
        map_free(runner->rounds);
        map_free(runner->awaited);
        workqueue_free(runner->queue);
        free(runner);
        return NULL;
}

void runner_set_leading(struct runner *runner, bool leading) {
        runner->leading = leading;
        workqueue_set_paused(runner->queue, !leading);
        if (!leading)
                map_foreach (runner->rounds, e)
                        executor_stop(((struct round *)map_entry_value(e))->executor);
}

void runner_add(struct runner *runner, const char *name) {
        workqueue_add(runner->queue, name);
}

static void add_name(void *userdata, const char *key) {
        workqueue_add(((struct runner *)userdata)->queue, key);
}

void runner_on_event(struct runner *runner, enum world_kind kind, const json_t *old,
                const json_t *object, bool gone) {
        const struct world *w = runner->options.world(runner->options.userdata);
        struct wake out = {add_name, runner};

        if (!(runner->controller->kinds & WORLD_BIT(kind)))
                return;
        runner->controller->wake(w, &out, kind, old, object, gone);
        map_foreach (runner->awaited, e) {
                struct awaited *a = map_entry_value(e);

                if (awaited_is_over(runner, map_entry_key(e), a)) {
                        if (a->blocked)
                                workqueue_add(runner->queue, map_entry_key(e));
                        map_remove(runner->awaited, map_entry_key(e));
                }
        }
}

void runner_on_deleted(
                struct runner *runner, const struct api_resource *resource, const json_t *object) {
        const struct world *w = runner->options.world(runner->options.userdata);
        struct wake out = {add_name, runner};

        if (runner->controller->deleted)
                runner->controller->deleted(w, &out, resource, object);
}

sd_event *runner_event(const struct runner *runner) {
        return runner->options.event;
}

const struct world *runner_world(const struct runner *runner) {
        return runner->options.world(runner->options.userdata);
}

bool runner_is_leading(const struct runner *runner) {
        return runner->leading;
}
