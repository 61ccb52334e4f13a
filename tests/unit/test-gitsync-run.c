/* Whole runs of a Git sync: a real repository, an API in memory. */
#include "tests/unit/fake-api.h"

#include "reconcilers/gitsync/fetch.h"
#include "reconcilers/gitsync/identity.h"
#include "reconcilers/gitsync/gitsync.h"

struct world {
        sd_event *event;
        struct fake_api *api;
        struct gitsync_world gitsync_world;
        struct metrics *metrics;
        struct gitsync *sync;
        char repo[128], data[128];
        unsigned dry_runs, applies, take_overs, events;
};

/* What on_request needs beside the API; one test at a time. */
static struct world *the_world;
static const char *asked;  /* the last value of keelson.dev/reconcileAt */
static const char *broken; /* applying an object of this name fails with 500 */
static int broken_checks;  /* ... and its dry run is refused with this code */
static const char *unseen; /* reading an object of this name is forbidden */
static const char *shared; /* a person owns a field of the object of this name */
/* The next dry run of an object of this name is answered later, by release_held(); with
 * "gitsyncinventories" the next write of a part of the inventory. */
static const char *hold;
static struct http_request *held;
static json_t *held_answer;

static void release_held(int code) {
        struct http_request *r = TAKE_PTR(held);

        if (code >= 400)
                fake_refuse(r, code, "InternalError");
        else
                fake_respond(r, code, held_answer);
        json_decref(held_answer);
        held_answer = NULL;
}

static void answer_discovery(struct http_request *r) {
        _cleanup_json_ json_t *list = json_pack("{s:s, s:[{s:s, s:s, s:b}]}", "kind",
                        "APIResourceList", "resources", "name", "configmaps", "kind", "ConfigMap",
                        "namespaced", 1);

        fake_respond(r, 200, list);
}

/* Apply: the fake has merge only, which is enough for objects with one owner. */
static void answer_apply(struct fake_api *a, struct http_request *r, const json_t *body) {
        bool is_broken = broken && streq(object_name(body), broken);
        struct fake_path p;
        char key[600];

        fake_parse(http_request_path(r), &p);
        fake_key(&p, p.name, key);
        json_t *old = map_get(a->objects, key);
        if (http_request_query(r, "dryRun")) {
                _cleanup_json_ json_t *answer = old ? json_deep_copy(old) : json_object();

                the_world->dry_runs++;
                fake_merge(answer, body);
                if (shared && streq(object_name(body), shared))
                        json_object_set_new(json_object_get(answer, "metadata"), "managedFields",
                                        json_pack("[{s:s, s:s, s:{s:{s:{}}}}]", "manager",
                                                        "kubectl", "operation", "Update",
                                                        "fieldsV1", "f:data", "f:extra"));
                if (is_broken && broken_checks)
                        fake_refuse(r, broken_checks, "Invalid");
                else if (hold && streq(object_name(body), hold)) {
                        hold = NULL;
                        held = r;
                        held_answer = json_incref(answer);
                } else
                        fake_respond(r, 200, answer);
                return;
        }
        if (*p.sub) {
                fake_change(a, r, key, old, body, true, p.sub);
                return;
        }
        the_world->applies++;
        if (is_broken)
                fake_refuse(r, 500, "InternalError");
        else if (old)
                fake_change(a, r, key, old, body, true, "");
        else {
                _cleanup_json_ json_t *copy = json_deep_copy(body);

                fake_create(a, r, &p, copy);
        }
}

static bool on_request(struct fake_api *a, struct http_request *r, const json_t *body) {
        const char *type = http_request_header(r, "Content-Type");
        struct fake_path p;

        fake_parse(http_request_path(r), &p);
        if (unseen && streq(http_request_method(r), "GET") && streq(p.name, unseen))
                fake_refuse(r, 403, "Forbidden");
        else if (hold && endswith(p.collection, hold)) {
                hold = NULL;
                held = r;
        } else if (json_at(body, "metadata.managedFields")) {
                if (the_world->take_overs++ > 0)
                        return false;
                fake_refuse(r, 409, "Conflict");
        } else if (streq(http_request_path(r), "/api/v1"))
                answer_discovery(r);
        else if (type && startswith(type, "application/apply-patch"))
                answer_apply(a, r, body);
        else
                return false;
        return true;
}

static void on_gitsync(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct world *w = userdata;

        if (w->sync)
                gitsync_poke(w->sync);
}

static void on_drift(const char *user, const struct api_resource *resource, const char *ns,
                const char *name, const json_t *object, bool gone, void *userdata) {
        struct world *w = userdata;

        w->events++;
        if (w->sync)
                gitsync_object_changed(w->sync, user, resource, object, gone);
}

static void on_watch_synced(const char *user, const struct api_resource *resource, void *userdata) {
        struct world *w = userdata;

        if (w->sync)
                gitsync_watch_synced(w->sync, user, resource);
}

static void git(struct world *w, const char *what) {
        _cleanup_free_ char *command = strformat("cd '%s' && GIT_CONFIG_GLOBAL=/dev/null git -c "
                                                 "user.name=t -c user.email=t@t "
                                                 "-c init.defaultBranch=main %s >/dev/null 2>&1",
                        w->repo, what);

        assert_int_equal(system(command), 0);
}

static void write_map(struct world *w, const char *name, const char *value) {
        _cleanup_free_ char *path = strformat("%s/%s.yaml", w->repo, name);
        _cleanup_free_ char *text = strformat("apiVersion: v1\nkind: ConfigMap\nmetadata:\n"
                                              "  name: %s\ndata:\n  key: %s\n",
                        name, value);

        assert_int_equal(file_write_atomic(path, text, strlen(text), 0644), 0);
}

static void push(struct world *w) {
        git(w, "add -A");
        git(w, "commit --allow-empty -m next");
}

/* Has the sync look at Git at once. */
static void ask_now(struct world *w) {
        static unsigned count;
        json_t *o = json_deep_copy(fake_api_get(w->api, "gitsyncs", "default/s"));
        static char when[32];
        json_t *metadata = json_object_get(o, "metadata");

        (void)snprintf(when, sizeof(when), "now-%u", ++count);
        asked = when;
        json_object_set_new(metadata, "annotations",
                        json_pack("{s:s}", "keelson.dev/reconcileAt", when));
        fake_api_put(w->api, "gitsyncs", o);
}

static const char *ready(struct world *w) {
        return json_str_or(object_condition(fake_api_get(w->api, "gitsyncs", "default/s"), "Ready"),
                        "status", "");
}

static const char *status(struct world *w, const char *field) {
        return json_str_or(json_object_get(fake_api_get(w->api, "gitsyncs", "default/s"), "status"),
                        field, "");
}

static const char *value_of(struct world *w, const char *name) {
        _cleanup_free_ char *key = strformat("default/%s", name);

        return json_str_or(fake_api_get(w->api, "configmaps", key), "data.key", "");
}

static bool is_at(struct world *w, const char *name, const char *value) {
        return streq(value_of(w, name), value);
}

/* A user changes an object. */
static void meddle(struct world *w, const char *name, const char *value) {
        _cleanup_free_ char *key = strformat("default/%s", name);
        json_t *o = json_deep_copy(fake_api_get(w->api, "configmaps", key));

        assert_int_equal(json_set_str(o, "data.key", value), 0);
        fake_api_put(w->api, "configmaps", o);
}

static bool is_watched(struct world *w) {
        for (size_t i = 0; i < FAKE_WATCHES_MAX; i++)
                if (w->api->watches[i].stream &&
                                streq(w->api->watches[i].prefix, "/api/v1/configmaps|"))
                        return true;
        return false;
}

static void world_start(struct world *w, const char *drift) {
        *w = (struct world){0};
        the_world = w;
        broken = unseen = shared = hold = NULL;
        broken_checks = 0;
        assert_int_equal(sd_event_new(&w->event), 0);
        w->api = fake_api_new(w->event);
        w->api->on_request = on_request;
        (void)snprintf(w->repo, sizeof(w->repo), "%s/repo", w->api->dir);
        (void)snprintf(w->data, sizeof(w->data), "%s/data", w->api->dir);
        assert_int_equal(mkdir_parents(w->repo, 0755), 0);
        git(w, "init");
        write_map(w, "a", "one");
        write_map(w, "b", "one");
        push(w);
        fake_api_put(w->api, "gitsyncs",
                        json_pack("{s:s, s:s, s:{s:s, s:s, s:i}, s:{s:s, s:s, s:s}}", "apiVersion",
                                        "keelson.dev/v1", "kind", "GitSync", "metadata", "name",
                                        "s", "namespace", "default", "generation", 1, "spec", "url",
                                        w->repo, "interval", "1h", "drift", drift));
        struct gitsync_world *sw = &w->gitsync_world;
        sw->event = w->event;
        sw->client = w->api->client;
        sw->data_dir = w->data;
        sw->program = "/proc/self/exe";
        w->metrics = metrics_new();
        assert_int_equal(figures_shared_init(&sw->figures, w->metrics), 0);
        assert_int_equal(turns_init(&sw->turns, sw->event, 1, 1, 1000000), 0);
        assert_int_equal(discovery_new(&sw->discovery, sw->client), 0);
        sw->identities = identities_new();
        assert_non_null(sw->identities);
        assert_int_equal(
                        drift_new(&sw->drift, &(struct drift_events){on_drift, on_watch_synced, w}),
                        0);
        assert_int_equal(informer_new(&sw->gitsyncs, sw->client,
                                         &(struct informer_options){
                                                         .resource = api_resource_find("gitsyncs"),
                                                         .on_event = on_gitsync,
                                                         .userdata = w}),
                        0);
        loop_until(w->event, informer_is_synced(sw->gitsyncs));
        assert_int_equal(gitsync_new(&w->sync, sw, "default", "s"), 0);
        /* Meddling begins once the objects are watched. */
        loop_until(w->event, streq(ready(w), "True") && is_watched(w));
        assert_true(is_at(w, "a", "one") && is_at(w, "b", "one"));
}

static void world_stop(struct world *w) {
        gitsync_free(w->sync);
        informer_free(w->gitsync_world.gitsyncs);
        drift_free(w->gitsync_world.drift);
        map_free(w->gitsync_world.identities);
        turns_done(&w->gitsync_world.turns);
        discovery_free(w->gitsync_world.discovery);
        fake_api_free(w->api);
        metrics_free(w->metrics);
        sd_event_unref(w->event);
}

/* The value of a series, -1 when there is none. */
static double figure(struct world *w, const char *series) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_free_ char *start = strformat("\n%s ", series);
        const char *at;

        assert_int_equal(metrics_render(w->metrics, &b), 0);
        at = strstr(b.data, start);
        return at ? strtod(at + strlen(start), NULL) : -1;
}

static void applies_and_prunes(void **state) {
        struct world w;

        world_start(&w, "revert");
        assert_int_equal(w.dry_runs, 2);
        git(&w, "rm b.yaml");
        write_map(&w, "c", "one");
        push(&w);
        ask_now(&w);
        loop_until(w.event, is_at(&w, "c", "one") && is_at(&w, "b", ""));
        assert_true(is_at(&w, "a", "one"));
        world_stop(&w);
}

/* The API fails in the middle: what left Git is still removed by the run that repeats it. */
static void prunes_after_a_failed_run(void **state) {
        struct world w;

        world_start(&w, "revert");
        git(&w, "rm b.yaml");
        write_map(&w, "a", "two");
        push(&w);
        broken = "a";
        ask_now(&w);
        loop_until(w.event, streq(ready(&w), "False"));
        assert_true(is_at(&w, "b", "one"));
        broken = NULL;
        ask_now(&w);
        loop_until(w.event, streq(ready(&w), "True"));
        assert_true(is_at(&w, "a", "two"));
        assert_true(is_at(&w, "b", ""));
        world_stop(&w);
}

/* An object that may not be read does not hold up the others that left Git. */
static void prunes_beside_what_it_cannot_read(void **state) {
        struct world w;

        world_start(&w, "revert");
        write_map(&w, "c", "one");
        push(&w);
        ask_now(&w);
        loop_until(w.event, is_at(&w, "c", "one"));
        git(&w, "rm b.yaml c.yaml");
        push(&w);
        unseen = "b";
        ask_now(&w);
        loop_until(w.event, streq(ready(&w), "False"));
        assert_true(is_at(&w, "b", "one") && is_at(&w, "c", ""));
        assert_non_null(strstr(status(&w, "message"), "cannot remove ConfigMap \"b\""));
        unseen = NULL;
        ask_now(&w);
        loop_until(w.event, is_at(&w, "b", "") && streq(ready(&w), "True"));
        world_stop(&w);
}

static void refuses_a_broken_commit_whole(void **state) {
        struct world w;

        world_start(&w, "revert");
        unsigned applies = w.applies;
        write_map(&w, "a", "two");
        write_map(&w, "b", "two");
        push(&w);
        broken = "b";
        broken_checks = 422;
        ask_now(&w);
        loop_until(w.event, streq(ready(&w), "False"));
        assert_int_equal(w.applies, applies);
        assert_true(is_at(&w, "a", "one"));
        assert_non_null(strstr(status(&w, "message"), "b.yaml line 4"));
        assert_string_not_equal(
                        status(&w, "lastAttemptedRevision"), status(&w, "lastAppliedRevision"));
        world_stop(&w);
}

static void puts_drift_back(void **state) {
        struct world w;

        world_start(&w, "revert");
        meddle(&w, "a", "changed");
        loop_until(w.event, is_at(&w, "a", "one"));
        world_stop(&w);
}

/* It changes again while it is compared, and the watch says so before the comparison's answer. */
static void puts_back_what_changes_during_the_comparison(void **state) {
        struct world w;

        world_start(&w, "revert");
        hold = "a";
        meddle(&w, "a", "changed");
        loop_until(w.event, held);
        unsigned events = w.events;
        meddle(&w, "a", "changed again");
        loop_until(w.event, w.events > events);
        release_held(200);
        loop_until(w.event, is_at(&w, "a", "one"));
        world_stop(&w);
}

/* It changes between the comparison and taking over what people own: it is compared again. */
static void takes_over_after_a_conflict(void **state) {
        struct world w;

        world_start(&w, "revert");
        shared = "a";
        meddle(&w, "a", "changed");
        loop_until(w.event, is_at(&w, "a", "one"));
        assert_int_equal(w.take_overs, 2);
        world_stop(&w);
}

/* Comparisons that fail each time become rarer. */
static void backs_off_when_comparisons_fail(void **state) {
        struct world w;

        world_start(&w, "detect");
        broken = "a";
        broken_checks = 500;
        unsigned before = w.dry_runs;
        meddle(&w, "a", "changed");
        loop_for_ms(w.event, 3000);
        assert_in_range(w.dry_runs - before, 2, 6);
        world_stop(&w);
}

static void leaves_drift_that_it_only_detects(void **state) {
        struct world w;

        world_start(&w, "detect");
        loop_for_ms(w.event, 50);
        meddle(&w, "a", "changed");
        loop_for_ms(w.event, 300);
        gitsync_poke(w.sync);
        loop_for_ms(w.event, 100);
        assert_true(is_at(&w, "a", "changed"));
        world_stop(&w);
}

/* Drift that cannot be put back must not keep the commit away that cures it. */
static void takes_a_new_commit_while_drift_fails(void **state) {
        struct world w;

        world_start(&w, "revert");
        broken = "a";
        meddle(&w, "a", "changed");
        loop_until(w.event, streq(ready(&w), "False"));
        git(&w, "rm a.yaml");
        write_map(&w, "b", "two");
        push(&w);
        ask_now(&w);
        loop_until(w.event, is_at(&w, "b", "two") && streq(ready(&w), "True"));
        assert_true(is_at(&w, "a", ""));
        world_stop(&w);
}

/* After a start what was applied is known: nothing is applied or tried again. */
static void applies_nothing_after_a_start(void **state) {
        struct world w;

        world_start(&w, "revert");
        loop_for_ms(w.event, 400); /* the hashes are in the status */
        unsigned applies = w.applies, dry_runs = w.dry_runs;
        w.sync = gitsync_free(w.sync);
        assert_int_equal(gitsync_new(&w.sync, &w.gitsync_world, "default", "s"), 0);
        ask_now(&w);
        loop_until(w.event, streq(status(&w, "lastHandledReconcileAt"), asked));
        loop_for_ms(w.event, 300);
        assert_int_equal(w.applies, applies);
        assert_int_equal(w.dry_runs, dry_runs);
        /* What changed meanwhile is seen all the same. */
        w.sync = gitsync_free(w.sync);
        meddle(&w, "a", "meanwhile");
        loop_for_ms(w.event, 50);
        assert_true(is_at(&w, "a", "meanwhile"));
        drift_free(w.gitsync_world.drift); /* as a process that starts has it */
        assert_int_equal(drift_new(&w.gitsync_world.drift,
                                         &(struct drift_events){on_drift, on_watch_synced, &w}),
                        0);
        assert_int_equal(gitsync_new(&w.sync, &w.gitsync_world, "default", "s"), 0);
        loop_until(w.event, is_at(&w, "a", "one"));
        assert_int_equal(w.applies, applies + 1);
        world_stop(&w);
}

#define OF "namespace=\"default\",name=\"s\""

/* Good and failed runs are counted and timed, and a GitSync that is gone leaves no series. */
static void counts_its_runs(void **state) {
        struct world w;

        world_start(&w, "revert");
        double good = figure(&w, "keelson_gitsync_runs_total{" OF ",result=\"good\"}"),
               last = figure(&w, "keelson_gitsync_last_success_timestamp_seconds{" OF "}");
        assert_true(good >= 1);
        assert_true(last > (double)now_wall_us() / 1e6 - 60);
        assert_true(figure(&w, "keelson_gitsync_ready{" OF "}") == 1);
        assert_true(figure(&w, "keelson_gitsync_interval_seconds{" OF "}") == 3600);
        assert_true(figure(&w, "keelson_gitsync_run_seconds_count{" OF "}") == good);
        /* nothing new is a good run, too */
        ask_now(&w);
        loop_until(w.event, figure(&w, "keelson_gitsync_runs_total{" OF ",result=\"good\"}") ==
                                            good + 1);
        last = figure(&w, "keelson_gitsync_last_success_timestamp_seconds{" OF "}");
        (void)remove_tree(w.repo);
        ask_now(&w);
        loop_until(w.event, streq(ready(&w), "False"));
        assert_true(figure(&w, "keelson_gitsync_runs_total{" OF ",result=\"failed\"}") >= 1);
        assert_true(figure(&w, "keelson_gitsync_ready{" OF "}") == 0);
        assert_true(figure(&w, "keelson_gitsync_last_success_timestamp_seconds{" OF "}") == last);
        w.sync = gitsync_free(w.sync);
        assert_true(figure(&w, "keelson_gitsync_ready{" OF "}") == -1);
        world_stop(&w);
}

/* Only what a commit changes is tried and applied. */
static void applies_what_a_commit_changes(void **state) {
        struct world w;

        world_start(&w, "revert");
        unsigned applies = w.applies, dry_runs = w.dry_runs;
        write_map(&w, "b", "two");
        push(&w);
        ask_now(&w);
        loop_until(w.event, is_at(&w, "b", "two") &&
                                            streq(status(&w, "lastHandledReconcileAt"), asked));
        assert_int_equal(w.applies, applies + 1);
        assert_int_equal(w.dry_runs, dry_runs + 1);
        world_stop(&w);
}

static const char *condition(struct world *w, const char *type) {
        return json_str_or(object_condition(fake_api_get(w->api, "gitsyncs", "default/s"), type),
                        "status", "");
}

static struct fake_watch *watch_of_gitsyncs(struct world *w) {
        for (size_t i = 0; i < FAKE_WATCHES_MAX; i++)
                if (startswith(w->api->watches[i].prefix, "/apis/keelson.dev/v1/gitsyncs|"))
                        return &w->api->watches[i];
        fail_msg("no watch of GitSyncs");
        return NULL;
}

/* The watch of the GitSync is late: no condition is lost for it. */
static void keeps_conditions_when_the_watch_is_late(void **state) {
        struct world w;

        world_start(&w, "revert");
        watch_of_gitsyncs(&w)->prefix[0] = '-'; /* its events are not sent */
        meddle(&w, "a", "changed");
        loop_until(w.event, is_at(&w, "a", "one") && streq(condition(&w, "Healthy"), "True"));
        loop_for_ms(w.event, 400);
        assert_string_equal(condition(&w, "Ready"), "True");
        assert_string_equal(condition(&w, "Healthy"), "True");
        assert_string_equal(condition(&w, "Reconciling"), "False");
        world_stop(&w);
}

/* The GitSync is deleted and created again while the parts of its inventory are written. */
static void waits_for_the_write_of_the_one_before(void **state) {
        struct world w;

        world_start(&w, "revert");
        for (unsigned i = 0; i < 210; i++) { /* too many for the status itself */
                _cleanup_free_ char *name = strformat("m%u", i);

                write_map(&w, name, "one");
        }
        push(&w);
        ask_now(&w);
        loop_until(w.event, streq(status(&w, "lastHandledReconcileAt"), asked));
        loop_for_ms(w.event, 500);
        hold = "gitsyncinventories";
        json_t *o = json_deep_copy(fake_api_get(w.api, "configmaps", "default/a"));
        assert_int_equal(json_set_str(o, "data.key", "changed"), 0);
        assert_int_equal(json_set_str(o, "data.more", "stays, and changes its entry"), 0);
        fake_api_put(w.api, "configmaps", o);
        loop_until(w.event, held && is_at(&w, "a", "one"));
        o = json_deep_copy(fake_api_get(w.api, "gitsyncs", "default/s"));
        json_object_del(o, "status");
        assert_int_equal(json_set_str(o, "metadata.uid", "another"), 0);
        fake_api_put(w.api, "gitsyncs", o);
        loop_for_ms(w.event, 300);
        assert_string_equal(ready(&w), ""); /* it has not started */
        release_held(500);
        loop_until(w.event, streq(ready(&w), "True"));
        assert_true(json_array_size(json_at(fake_api_get(w.api, "gitsyncs", "default/s"),
                                    "status.inventoryIn")) > 0);
        world_stop(&w);
}

/* Created again under the same name, which kgitd has not seen: its status stays its own. */
static void writes_no_status_of_the_one_before(void **state) {
        struct world w;

        world_start(&w, "revert");
        struct fake_watch *watch = watch_of_gitsyncs(&w);
        json_t *o = json_deep_copy(fake_api_get(w.api, "gitsyncs", "default/s"));
        unsigned conflicts = w.api->conflicts;

        watch->prefix[0] = '-'; /* its events are not sent */
        json_object_del(o, "status");
        assert_int_equal(json_set_str(o, "metadata.uid", "another"), 0);
        fake_api_put(w.api, "gitsyncs", json_deep_copy(o));
        meddle(&w, "a", "drift");
        loop_until(w.event, w.api->conflicts > conflicts);
        loop_for_ms(w.event, 300);
        assert_null(json_object_get(fake_api_get(w.api, "gitsyncs", "default/s"), "status"));
        /* Once it is seen it gets its own. */
        watch->prefix[0] = '/';
        fake_api_put(w.api, "gitsyncs", o);
        loop_until(w.event, streq(ready(&w), "True"));
        world_stop(&w);
}

/* Everything left the repository: nothing is removed without permission. */
static void keeps_all_when_nothing_is_left(void **state) {
        struct world w;

        world_start(&w, "revert");
        git(&w, "rm a.yaml b.yaml");
        push(&w);
        ask_now(&w);
        loop_until(w.event, streq(ready(&w), "False"));
        assert_non_null(strstr(status(&w, "message"), "keelson.dev/prune-confirm="));
        assert_true(is_at(&w, "a", "one") && is_at(&w, "b", "one"));
        world_stop(&w);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(applies_and_prunes),
                        cmocka_unit_test(prunes_after_a_failed_run),
                        cmocka_unit_test(prunes_beside_what_it_cannot_read),
                        cmocka_unit_test(refuses_a_broken_commit_whole),
                        cmocka_unit_test(puts_drift_back),
                        cmocka_unit_test(puts_back_what_changes_during_the_comparison),
                        cmocka_unit_test(takes_over_after_a_conflict),
                        cmocka_unit_test(backs_off_when_comparisons_fail),
                        cmocka_unit_test(leaves_drift_that_it_only_detects),
                        cmocka_unit_test(takes_a_new_commit_while_drift_fails),
                        cmocka_unit_test(applies_nothing_after_a_start),
                        cmocka_unit_test(applies_what_a_commit_changes),
                        cmocka_unit_test(counts_its_runs),
                        cmocka_unit_test(keeps_conditions_when_the_watch_is_late),
                        cmocka_unit_test(waits_for_the_write_of_the_one_before),
                        cmocka_unit_test(writes_no_status_of_the_one_before),
                        cmocka_unit_test(keeps_all_when_nothing_is_left),
        };

        if (argc == 2 && streq(argv[1], "fetch")) /* the child that the sync starts */
                return fetch_main();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
