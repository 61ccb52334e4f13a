/* The runner; see runner.h. A round lives from workqueue's work() to workqueue_done(). */
#include "reconcilers/runner.h"

#include "lib/client/workqueue.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/jsondiff.h"

enum { ROUNDS_PARALLEL_MAX = 16, CALLS_PARALLEL_MAX = 16, WRITES_AWAITED_MAX = 64 };
/* A watch that lags longer is broken in a way that waiting does not mend. */
#define AWAIT_US UINT64_C(15000000)

/* A write that the caches must show before the next plan of the name. */
struct write {
        enum world_kind kind;
        uint64_t version; /* 0: wait until the object of that uid is gone */
        char *key, *uid;
};

struct awaited {
        struct write writes[WRITES_AWAITED_MAX];
        size_t count;
        uint64_t until_us;
        bool blocked; /* the name came up meanwhile */
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

struct call {
        struct round *round;
        struct action *action;
        struct api_call *api;
};

struct round {
        struct runner *runner;
        char *name;
        struct actions actions;
        size_t next;
        unsigned in_flight, window;
        struct call calls[CALLS_PARALLEL_MAX];
        struct api_call *report;
        struct problem problem;
        int error;
        bool touched_primary, stopped;
};

/* --- what the caches must show --- */

static void awaited_free(void *p) {
        struct awaited *a = p;

        for (size_t i = 0; a && i < a->count; i++) {
                free(a->writes[i].key);
                free(a->writes[i].uid);
        }
        free(a);
}

static bool write_is_seen(struct runner *r, const struct write *x) {
        const json_t *o;

        if (x->version > 0)
                return r->options.seen_version(r->options.userdata, x->kind) >= x->version;
        o = world_get_key(r->options.world(r->options.userdata), x->kind, x->key);
        return !o || !streq(object_uid(o), x->uid);
}

/* 1 when everything was seen (or waited for long enough). */
static bool awaited_is_over(struct runner *r, const char *name, struct awaited *a) {
        for (size_t i = 0; i < a->count; i++)
                if (!write_is_seen(r, &a->writes[i])) {
                        if (now_mono_us() < a->until_us)
                                return false;
                        log_debug("%s %s: a write was not seen in the caches for %u s",
                                        r->controller->name, name, (unsigned)(AWAIT_US / 1000000));
                        return true;
                }
        return true;
}

static bool kind_of_resource(const struct api_resource *resource, const char *ns, const char *name,
                enum world_kind *ret) {
        for (int k = 0; k < WORLD_KINDS_MAX; k++) {
                const struct world_kind_row *row = &world_kinds[k];

                if (world_resource(k) != resource)
                        continue;
                if (row->ns && !streq(row->ns, strempty(ns)))
                        continue;
                *ret = (enum world_kind)k;
                return true;
        }
        return false;
}

static void await_write(
                struct runner *r, const char *name, const struct action *x, const json_t *object) {
        struct awaited *a = map_get(r->awaited, name);
        /* What is gone at once comes back as it last was: its absence is what must be seen. */
        bool gone = x->type == ACTION_DELETE && !object_is_deleting(object);
        struct write w = {.version = gone ? 0 : object_resource_version(object)};

        if (!kind_of_resource(x->resource, x->ns, x->name, &w.kind) ||
                        !(r->controller->kinds & WORLD_BIT(w.kind)))
                return;
        if (w.version == 0 && (x->type != ACTION_DELETE || !x->name || !x->uid))
                return;
        if (!a) {
                a = calloc(1, sizeof(*a));
                assert(a && map_set(r->awaited, name, a) >= 0);
        }
        a->until_us = now_mono_us() + AWAIT_US;
        /* One number a kind is enough: versions are of one counter and come in order. */
        for (size_t i = 0; w.version > 0 && i < a->count; i++)
                if (a->writes[i].kind == w.kind && a->writes[i].version > 0) {
                        a->writes[i].version = MAX(a->writes[i].version, w.version);
                        return;
                }
        if (a->count >= WRITES_AWAITED_MAX)
                return;
        if (w.version == 0) {
                w.key = isempty(x->ns) ? strdup(x->name) : strformat("%s/%s", x->ns, x->name);
                w.uid = strdup(x->uid);
                assert(w.key && w.uid);
        }
        a->writes[a->count++] = w;
}

/* --- a round --- */

static struct round *round_free(struct round *o) {
        if (!o)
                return NULL;
        for (size_t i = 0; i < ELEMENTS(o->calls); i++)
                api_call_cancel(o->calls[i].api);
        api_call_cancel(o->report);
        actions_done(&o->actions);
        problem_done(&o->problem);
        free(o->name);
        free(o);
        return NULL;
}

static void round_free_void(void *p) {
        round_free(p);
}

static void round_end(struct round *o) {
        struct runner *r = o->runner;
        const struct problem *p = &o->problem;
        int error = o->error;

        metric_add(r->rounds_total, 1);
        if (error < 0) {
                metric_add(r->errors_total, 1);
                /* Conflicts and busy servers are daily bread; the rest an operator should see. */
                log_full(error == -ESTALE || error == -EAGAIN || error == -EINPROGRESS
                                                ? LOG_DEBUG
                                                : LOG_WARNING,
                                0, NULL, "%s %s: %s", r->controller->name, o->name,
                                p->message ? p->message : strerror(-error));
        }
        map_steal(r->rounds, o->name);
        workqueue_done(r->queue, o->name, error, error < 0 ? 0 : o->actions.requeue_after_us);
        round_free(o);
}

static void on_reported(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct round *o = userdata;

        o->report = NULL;
        if (error == 0 && object) {
                struct action x = {.type = ACTION_PATCH,
                                .resource = world_resource(o->runner->controller->primary),
                                .ns = (char *)object_namespace(object)};

                await_write(o->runner, o->name, &x, object);
        } else if (error < 0 && error != -ENOENT && o->error == 0) {
                o->error = error;
                problem_set(&o->problem, -error, p->code, p->reason, "%s", strempty(p->message));
        }
        round_end(o);
}

static void round_report(struct round *o) {
        struct runner *r = o->runner;
        const struct controller *c = r->controller;
        const struct world *w = r->options.world(r->options.userdata);
        _cleanup_json_ json_t *status = NULL, *body = NULL, *diff = NULL;
        _cleanup_free_ char *path = NULL;
        const json_t *object;

        if (!c->report || o->touched_primary || !r->leading ||
                        !(object = world_get_key(w, c->primary, o->name)))
                return round_end(o);
        status = c->report(w, o->name, o->error < 0 ? &o->problem : NULL);
        if (status)
                diff = json_merge_diff(json_object_get(object, "status"), status);
        if (!diff || json_object_size(diff) == 0)
                return round_end(o);
        body = json_pack("{s:{s:s}, s:O}", "metadata", "resourceVersion",
                        json_str_or(object, "metadata.resourceVersion", ""), "status", diff);
        path = api_path(world_resource(c->primary), object_namespace(object), object_name(object),
                        "status", NULL);
        if (!body || !path ||
                        api_patch_async(r->options.client, path, API_PATCH_MERGE, body, on_reported,
                                        o, &o->report) < 0) {
                o->error = o->error < 0 ? o->error : -ENOMEM;
                round_end(o);
        }
}

static void round_go_on(struct round *o);

/* What is as good as done: the thing is gone already, or its namespace is on its way out. */
static bool failure_is_fine(const struct action *x, int error, const struct problem *p) {
        const json_t *cause;
        size_t i;

        if (x->type == ACTION_DELETE && (error == -ENOENT || error == -ESTALE))
                return true;
        if (x->type == ACTION_PATCH && error == -ENOENT)
                return true;
        json_array_foreach (p->causes, i, cause)
                if (streq(json_str_or(cause, "reason", ""), "NamespaceTerminating"))
                        return true;
        return false;
}

static bool is_guard(const struct action *x) {
        return x->type == ACTION_GUARD_ABSENT || x->type == ACTION_GUARD_EMPTY;
}

static void on_guard(struct round *o, const struct action *x, int error, const json_t *object) {
        if (x->type == ACTION_GUARD_EMPTY && error == 0 &&
                        json_array_size(json_object_get(object, "items")) == 0)
                return;
        if (error == -ENOENT || (error == 0 && x->type == ACTION_GUARD_ABSENT && !isempty(x->uid) &&
                                                !streq(object_uid(object), x->uid)))
                return;
        o->stopped = true;
        o->error = error < 0 ? error : -EINPROGRESS; /* it lives after all: look again later */
        problem_set(&o->problem, -o->error, 0, NULL, "%s %s is still there", x->resource->plural,
                        strempty(x->name));
}

static void on_action_done(
                int error, const json_t *object, const struct problem *p, void *userdata) {
        struct call *call = userdata;
        struct round *o = call->round;
        const struct action *x = call->action;

        call->api = NULL;
        call->action = NULL;
        o->in_flight--;
        if (is_guard(x))
                on_guard(o, x, error, object);
        else if (error == 0) {
                o->window = MIN(o->window * 2, (unsigned)CALLS_PARALLEL_MAX);
                await_write(o->runner, o->name, x, object);
        } else if (!failure_is_fine(x, error, p)) {
                o->stopped = true;
                if (o->error == 0) {
                        o->error = error;
                        problem_set(&o->problem, -error, p->code, p->reason, "%s",
                                        strempty(p->message));
                }
        }
        round_go_on(o);
}

static int action_start(struct round *o, struct call *call, struct action *x) {
        struct api_client *c = o->runner->options.client;
        _cleanup_free_ char *path = api_path(x->resource, x->ns, x->name, x->subresource,
                        x->type == ACTION_GUARD_EMPTY ? "limit=1" : NULL);

        if (!path)
                return -ENOMEM;
        log_debug("%s %s: %s", o->runner->controller->name, o->name, path);
        switch (x->type) {
        case ACTION_CREATE:
                return api_create_async(c, path, x->body, on_action_done, call, &call->api);
        case ACTION_PATCH:
                return api_patch_async(c, path, API_PATCH_MERGE, x->body, on_action_done, call,
                                &call->api);
        case ACTION_UPDATE:
                return api_update_async(c, path, x->body, on_action_done, call, &call->api);
        case ACTION_DELETE:
                return api_delete_async(c, path, x->body, on_action_done, call, &call->api);
        case ACTION_DELETE_COLLECTION:
                return api_delete_async(c, path, x->body, on_action_done, call, &call->api);
        case ACTION_GUARD_EMPTY:
        case ACTION_GUARD_ABSENT:
                return api_get_async(c, path, on_action_done, call, &call->api);
        case ACTION_EVENT:
                break;
        }
        assert_not_reached();
}

static bool touches_primary(const struct round *o, const struct action *x) {
        const struct controller *c = o->runner->controller;
        _cleanup_free_ char *key = NULL;

        if (c->primary == WORLD_KINDS_MAX || !x->name || x->resource != world_resource(c->primary))
                return false;
        key = isempty(x->ns) ? strdup(x->name) : strformat("%s/%s", x->ns, x->name);
        return key && streq(key, o->name);
}

static struct call *free_call(struct round *o) {
        for (size_t i = 0; i < ELEMENTS(o->calls); i++)
                if (!o->calls[i].action)
                        return &o->calls[i];
        return NULL;
}

/* Starts as many actions as the window allows; when all are through, reports. */
static void round_go_on(struct round *o) {
        struct runner *r = o->runner;

        if (!r->leading)
                o->stopped = true;
        while (!o->stopped && o->next < o->actions.count && o->in_flight < o->window) {
                struct action *x = &o->actions.items[o->next];
                struct call *call = free_call(o);
                int error;

                if (!call || (is_guard(x) && o->in_flight > 0))
                        break;
                if (o->next > 0 && o->in_flight > 0 && is_guard(&o->actions.items[o->next - 1]))
                        break;
                o->next++;
                if (x->type == ACTION_EVENT) {
                        api_event(r->options.client, x->body, x->event_type, x->reason, "%s",
                                        x->message);
                        continue;
                }
                o->touched_primary |= !is_guard(x) && touches_primary(o, x);
                metric_add(r->actions_total, 1);
                *call = (struct call){.round = o, .action = x};
                error = action_start(o, call, x);
                if (error < 0) {
                        call->action = NULL;
                        o->stopped = true;
                        o->error = o->error < 0 ? o->error : error;
                } else
                        o->in_flight++;
        }
        if (o->in_flight == 0 && (o->stopped || o->next == o->actions.count))
                round_report(o);
}

static void work(struct workqueue *q, const char *name, void *userdata) {
        struct runner *r = userdata;
        struct awaited *a = map_get(r->awaited, name);
        struct round *o;

        if (a && !awaited_is_over(r, name, a)) {
                a->blocked = true;
                workqueue_done(q, name, 0, a->until_us - now_mono_us() + 1000);
                return;
        }
        map_remove(r->awaited, name);
        o = calloc(1, sizeof(*o));
        assert(o);
        o->runner = r;
        o->window = 1;
        o->name = strdup(name);
        assert(o->name && map_set(r->rounds, name, o) >= 0);
        r->controller->plan(r->options.world(r->options.userdata), o->name, &o->actions);
        round_go_on(o);
}

/* --- life --- */

static int make_metrics(struct runner *r) {
        struct metrics *m = r->options.metrics;
        char labels[128];

        snprintf(labels, sizeof(labels), "controller=\"%s\"", r->controller->name);
        r->rounds_total = metrics_counter(
                        m, "keelson_reconcile_total", labels, "Rounds of reconciliation.");
        r->errors_total = metrics_counter(m, "keelson_reconcile_errors_total", labels,
                        "Rounds that failed and are tried again.");
        r->actions_total = metrics_counter(m, "keelson_reconcile_actions_total", labels,
                        "Requests sent to change something.");
        return r->rounds_total && r->errors_total && r->actions_total ? 0 : -ENOMEM;
}

int runner_new(struct runner **ret, const struct runner_options *options) {
        _cleanup_(runner_freep) struct runner *r = calloc(1, sizeof(*r));
        struct workqueue_options queue = {
                        .parallel_max = ROUNDS_PARALLEL_MAX, .work = work, .userdata = r};
        int error;

        if (!r)
                return -ENOMEM;
        r->options = *options;
        r->controller = options->controller;
        r->awaited = map_new(awaited_free);
        r->rounds = map_new(round_free_void);
        if (!r->awaited || !r->rounds)
                return -ENOMEM;
        error = make_metrics(r);
        if (error < 0)
                return error;
        error = workqueue_new(&r->queue, options->event, &queue);
        if (error < 0)
                return error;
        workqueue_set_paused(r->queue, true);
        *ret = TAKE_PTR(r);
        return 0;
}

struct runner *runner_free(struct runner *r) {
        if (!r)
                return NULL;
        map_free(r->rounds);
        map_free(r->awaited);
        workqueue_free(r->queue);
        free(r);
        return NULL;
}

void runner_set_leading(struct runner *r, bool leading) {
        r->leading = leading;
        workqueue_set_paused(r->queue, !leading);
}

void runner_add(struct runner *r, const char *name) {
        workqueue_add(r->queue, name);
}

static void add_name(void *userdata, const char *key) {
        workqueue_add(((struct runner *)userdata)->queue, key);
}

void runner_on_event(struct runner *r, enum world_kind kind, const json_t *old,
                const json_t *object, bool gone) {
        const struct world *w = r->options.world(r->options.userdata);
        struct wake out = {add_name, r};

        if (!(r->controller->kinds & WORLD_BIT(kind)))
                return;
        r->controller->wake(w, &out, kind, old, object, gone);
        map_foreach (r->awaited, e) {
                struct awaited *a = map_entry_value(e);

                if (awaited_is_over(r, map_entry_key(e), a)) {
                        if (a->blocked)
                                workqueue_add(r->queue, map_entry_key(e));
                        map_remove(r->awaited, map_entry_key(e));
                }
        }
}
