/* The pod machine's decisions, as traces: a scenario of tests/golden/pod-decide is a pod and its
 * view step by step; its .out has the actions of each step and the memory after it. The trace plays
 * the pure part of the driver: it keeps memory and records. */
#include "tests/unit/unit.h"

#include "lib/buf.h"
#include "lib/object.h"
#include "lib/yaml.h"
#include "nodeagent/plan/restart.h"
#include "nodeagent/pod/decide.h"
#include "tests/unit/golden.h"

enum { CONTAINERS_MAX = 4, MONO_S = 1000, WALL_S = 1700000000 };

struct trace {
        const json_t *pod;
        struct pod_view view;
        struct container_view containers[CONTAINERS_MAX];
        struct container_record records[CONTAINERS_MAX];
        char *failed_reason;
        char resize_reason[32], resize_message[200];
        struct buf out;
};

static uint64_t seconds(const json_t *v, const char *key, uint64_t base) {
        return (base + (uint64_t)json_int_or(v, key, 0)) * 1000000;
}

static int word_of(const char *const *words, size_t n, const char *word) {
        for (size_t i = 0; i < n; i++)
                if (streq(words[i], word))
                        return (int)i;
        fail_msg("'%s' is not a word of a scenario", word);
        return -1;
}

static const char *const stages[] = {
                "alive", "draining", "pre-stop", "stopping", "cleaning", "finished"};

static void add_containers(struct trace *t) {
        static const char *const lists[] = {
                        "spec.initContainers", "spec.containers", "spec.ephemeralContainers"};
        const json_t *spec;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_at(t->pod, lists[l]), i, spec) {
                        struct container_record *r = &t->records[t->view.count];

                        assert_true(t->view.count < CONTAINERS_MAX);
                        *r = (struct container_record){.name = strdup(json_str(spec, "name")),
                                        .init = l == 0,
                                        .ephemeral = l == 2,
                                        .sidecar = l == 0 && streq(json_str_or(spec, "restartPolicy", ""),
                                                                    "Always"),
                                        .never = streq(container_restart_policy(t->pod, spec),
                                                        "Never")};
                        container_record_allocate(r, json_at(spec, "resources"));
                        container_record_resized(r, json_at(spec, "resources"));
                        (void)container_set_waiting(r, "ContainerCreating", NULL);
                        t->containers[t->view.count].spec = spec;
                        t->containers[t->view.count++].record = r;
                }
}

static void see_room(int64_t *amounts, const json_t *list) {
        for (size_t i = 0; i < NODE_RESOURCES && list; i++)
                amounts[i] = json_integer_value(json_array_get(list, i));
}

/* The view of the pod as a whole: each key of the scenario changes one fact. */
static void see_pod(struct trace *t, const json_t *see) {
        const struct {
                const char *key;
                bool *fact;
        } rows[] = {{"standalone", &t->view.standalone}, {"synced", &t->view.synced},
                        {"taintsKnown", &t->view.taints_known},
                        {"admitted", &t->view.memory.admitted},
                        {"resourcesWanted", &t->view.resources_wanted},
                        {"resourcesKnown", &t->view.resources_known},
                        {"fetching", &t->view.fetching}, {"prepared", &t->view.prepared},
                        {"prepareFailed", &t->view.prepare_failed},
                        {"measurable", &t->view.measurable}, {"measuring", &t->view.measuring},
                        {"swept", &t->view.swept}, {"served", &t->view.served},
                        {"halting", &t->view.halting}, {"shuttingDown", &t->view.shutting_down},
                        {"slotsFull", &t->view.slots_full}};

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                *rows[i].fact = json_bool_or(see, rows[i].key, *rows[i].fact);
        if (json_at(see, "taints"))
                t->view.taints = json_at(see, "taints");
        if (json_str(see, "overLimit")) {
                t->view.end_reason = "Evicted";
                t->view.end_message = json_str(see, "overLimit");
        }
        t->view.stop_grace_s = json_int_or(see, "stopGrace", t->view.stop_grace_s);
        t->view.pressures = (unsigned)json_int_or(see, "pressures", t->view.pressures);
        see_room(t->view.room.capacity, json_at(see, "room.capacity"));
        see_room(t->view.room.used, json_at(see, "room.used"));
        see_room(t->view.room.own, json_at(see, "room.own"));
        if (json_at(see, "fetchAt"))
                t->view.fetch_us = seconds(see, "fetchAt", MONO_S);
        if (json_bool_or(see, "deleted", false)) {
                pod_memory_end(&t->view.memory, t->view.now_us, t->view.wall_us);
                pod_memory_set_grace(
                                &t->view.memory, json_int_or(see, "grace", pod_grace_s(t->pod)));
        }
        if (json_bool_or(see, "stopsSince", false)) {
                t->view.memory.stage = POD_STOPPING;
                t->view.memory.step_us = t->view.now_us;
        }
}

/* The resources of a container's spec change; its unit has got those that are granted. */
static void see_resources(struct container_view *c, const json_t *see) {
        struct container_record *r = (struct container_record *)c->record;

        if (json_at(see, "resources"))
                json_object_set(json_unconst(c->spec), "resources",
                                json_unconst(json_at(see, "resources")));
        if (json_bool_or(see, "resized", false)) {
                c->resizing = false;
                container_record_resized(r, r->allocated);
        }
}

static void see_run(struct container_view *c, const json_t *run, uint64_t wall_us) {
        static const char *const phases[] = {"starting", "running", "stopping", "restarting",
                        "exited", "failed", "stopped", "asleep"};
        static const char *const causes[] = {"own", "oom", "timeout", "watchdog"};

        if (json_bool_or(run, "gone", false)) {
                c->there = false;
                (void)container_observe((struct container_record *)c->record, NULL, wall_us);
                return;
        }
        c->there = true;
        c->starting = false;
        c->run = (struct run_state){.phase = (enum run_phase)word_of(phases, ELEMENTS(phases),
                                                    json_str_or(run, "phase", "")),
                        .alive = json_bool_or(run, "alive", false),
                        .ready = json_bool_or(run, "ready", true),
                        .ended = json_at(run, "exit") != NULL,
                        .given_up = json_bool_or(run, "givenUp", false),
                        .hook_failed = json_bool_or(run, "hookFailed", false),
                        .exit_code = (int)json_int_or(run, "exit", 0),
                        .start_failure = json_str(run, "startFailure"),
                        .cause = (enum run_cause)word_of(
                                        causes, ELEMENTS(causes), json_str_or(run, "cause", "own")),
                        .owner = "",
                        .description = "",
                        .restarts = (uint32_t)json_int_or(run, "restarts", 0),
                        .start_us = seconds(run, "start", WALL_S),
                        .exit_us = json_at(run, "exit") ? wall_us : 0};
        snprintf(c->run.id, sizeof(c->run.id), "%s", json_str_or(run, "id", "a"));
        if (!c->foreign)
                (void)container_observe((struct container_record *)c->record, &c->run, wall_us);
}

static void see_image(struct image_view *image, const json_t *see) {
        static const char *const states[] = {"ready", "invalid", "broken", "missing", "there",
                        "pulling", "pulled", "failed"};

        *image = (struct image_view){.state = (enum image_state)word_of(states, ELEMENTS(states),
                                                     json_str_or(see, "state", "")),
                        .name = json_str_or(see, "name", "nginx:1.27"),
                        .policy = json_str_or(see, "policy", "IfNotPresent"),
                        .reason = json_str(see, "reason"),
                        .message = json_str(see, "message"),
                        .took_us = seconds(see, "took", 0),
                        .waited_us = seconds(see, "waited", 0),
                        .size_bytes = (uint64_t)json_int_or(see, "size", 0),
                        .retry_after_us = seconds(see, "retryAfter", 0),
                        .layered = true};
}

/* As view.c does it, of a pod that lives. */
static void see_adopted(struct container_view *c, const json_t *see) {
        static const char *const modes[] = {"none", "read-only", "managed"};
        struct container_record *r = (struct container_record *)c->record;

        if (json_str(see, "adoption"))
                r->adoption = (enum adoption)word_of(
                                modes, ELEMENTS(modes), json_str(see, "adoption"));
        if (r->adoption == ADOPTION_NONE || !json_at(see, "run"))
                return;
        c->known = true;
        c->run.trouble = json_str(see, "trouble");
        c->there = r->adoption == ADOPTION_MANAGED && c->run.phase != RUN_STOPPED &&
                   !json_bool_or(see, "leftAlone", false);
        if (c->run.alive) {
                r->report = (struct start_report){.ran = true};
                memcpy(r->report.invocation, c->run.id, sizeof(c->run.id));
        }
}

static void see_container(struct trace *t, struct container_view *c, const json_t *see) {
        static const char *const names[] = {"startup", "liveness", "readiness"};
        static const char *const verdicts[] = {"off", "asking", "passed", "failed"};
        struct container_record *r = (struct container_record *)c->record;
        const struct {
                const char *key;
                bool *fact;
        } rows[] = {{"starting", &c->starting}, {"foreign", &c->foreign}, {"claimed", &c->claimed},
                        {"outdated", &c->outdated}, {"hookBusy", &c->hook_busy},
                        {"preStopDone", &c->pre_stop_done},
                        {"postStartFailed", &c->post_start_failed}, {"adopted", &c->memory.adopted},
                        {"notify", &r->notify}, {"socket", &r->socket}, {"resizing", &c->resizing}};

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                *rows[i].fact = json_bool_or(see, rows[i].key, *rows[i].fact);
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                const char *verdict = json_str(json_at(see, "probes"), names[i]);

                if (verdict)
                        c->probes[i] = (enum probe_verdict)word_of(
                                        verdicts, ELEMENTS(verdicts), verdict);
        }
        if (json_at(see, "record")) {
                container_record_load(r, json_at(see, "record"));
                snprintf(c->memory.announced, sizeof(c->memory.announced), "%s", r->invocation);
                snprintf(c->memory.hooked, sizeof(c->memory.hooked), "%s", r->hooked);
        }
        if (json_str(see, "report")) {
                r->report = (struct start_report){.ran = streq(json_str(see, "report"), "ran")};
                snprintf(r->report.message, sizeof(r->report.message), "%s",
                                json_str(see, "report"));
                snprintf(r->report.invocation, sizeof(r->report.invocation), "%s",
                                json_str_or(see, "run.id", "a"));
        }
        if (json_bool_or(see, "refused", false)) {
                c->starting = false;
                container_memory_refused(&c->memory, t->view.now_us);
        }
        if (json_at(see, "image"))
                see_image(&c->image, json_at(see, "image"));
        see_resources(c, see);
        if (json_at(see, "run"))
                see_run(c, json_at(see, "run"), t->view.wall_us);
        see_adopted(c, see);
}

/* ---- the text of a step ---- */

static int64_t at_s(uint64_t mono_us) {
        return (int64_t)(mono_us / 1000000) - MONO_S;
}

static void write_time(struct buf *b, const char *what, uint64_t us) {
        if (us > 0)
                buf_printf(b, " %s=%lld.%03llus", what, (long long)at_s(us),
                                (unsigned long long)(us / 1000 % 1000));
}

static char *memory_text(const struct container_record *r, const struct container_memory *m) {
        _cleanup_buf_ struct buf b = {0};

        buf_printf(&b, "  %s:", r->name);
        buf_append_str(&b, m->ready ? " ready" : "");
        buf_append_str(&b, m->started ? " started" : "");
        buf_append_str(&b, m->restarting ? " restarting" : "");
        buf_append_str(&b, m->ending == ENDING_RESTART ? " hook-then-restart"
                           : m->ending == ENDING_STOP  ? " hook-then-stop"
                                                       : "");
        if (m->backoff_us > 0)
                buf_printf(&b, " back-off=%llus", (unsigned long long)(m->backoff_us / 1000000));
        write_time(&b, "retry", m->retry_us);
        write_time(&b, "failed", m->failed_us);
        write_time(&b, "kill", m->kill_us);
        write_time(&b, "pull", m->pull_retry_us);
        buf_append_char(&b, '\n');
        return buf_take(&b);
}

/* As the driver does it, as far as it is pure. */
static void play(struct trace *t, const struct pod_decision *d) {
        for (size_t i = 0; i < d->actions.count; i++) {
                const struct action *x = &d->actions.items[i];
                enum pod_action what = pod_action_of(x);

                if (what == POD_FAIL && !t->failed_reason)
                        t->view.failed_reason = t->failed_reason = strdup(x->reason);
                if (what == POD_SWEEP)
                        t->view.swept = true;
                if (what == POD_RESIZE_PENDING) {
                        snprintf(t->resize_reason, sizeof(t->resize_reason), "%s", x->reason);
                        snprintf(t->resize_message, sizeof(t->resize_message), "%s", x->message);
                        t->view.resize_reason = *x->reason ? t->resize_reason : NULL;
                        t->view.resize_message = t->resize_message;
                }
                for (size_t k = 0; k < t->view.count && what == POD_RESIZE; k++)
                        container_record_allocate(&t->records[k],
                                        json_object_get(t->containers[k].spec, "resources"));
                for (size_t k = 0; k < t->view.count; k++) {
                        struct container_view *c = &t->containers[k];
                        enum probe_kind kind = (enum probe_kind)(what - CONTAINER_PROBE_STARTUP);

                        if (!x->name || !streq(x->name, t->records[k].name))
                                continue;
                        if (what == CONTAINER_WAIT)
                                (void)container_set_waiting(&t->records[k], x->reason, x->message);
                        else if (what == CONTAINER_BACK_OFF)
                                container_back_off(&t->records[k], x->message);
                        else if (what == CONTAINER_START)
                                c->starting = true;
                        else if (what == CONTAINER_ADOPT)
                                t->records[k].found = c->run.phase == RUN_STOPPED
                                                                      ? UNIT_FOUND_STOPPED
                                                                      : UNIT_FOUND_RUNNING;
                        else if (what == CONTAINER_RESIZE)
                                c->resizing = true;
                        else if (what == CONTAINER_PROBES_STOP)
                                memset(c->probes, 0, sizeof(c->probes));
                        else if (what == CONTAINER_STARTUP_PROBE_STOP)
                                c->probes[PROBE_STARTUP] = PROBE_OFF;
                        else if (what >= CONTAINER_PROBE_STARTUP &&
                                        what <= CONTAINER_PROBE_READINESS)
                                c->probes[kind] = PROBE_ASKING;
                }
        }
}

static void commit(struct trace *t, const struct pod_decision *d) {
        if (d->memory.stage != t->view.memory.stage)
                buf_printf(&t->out, "  now %s\n", stages[d->memory.stage]);
        t->view.memory = d->memory;
        for (size_t i = 0; i < t->view.count; i++) {
                _cleanup_free_ char *before = memory_text(&t->records[i], &t->containers[i].memory),
                                    *after = memory_text(&t->records[i], &d->containers[i]);

                if (!streq(before, after))
                        buf_append_str(&t->out, after);
                t->containers[i].memory = d->containers[i];
                t->records[i].ready = d->containers[i].ready;
                t->records[i].started = d->containers[i].started;
        }
}

static void step(struct trace *t, const json_t *s) {
        _cleanup_(pod_decision_done) struct pod_decision d = {0};
        _cleanup_free_ char *text = NULL;
        struct status_facts f = {0};
        double at = json_number_value(json_at(s, "at"));

        t->view.now_us = (uint64_t)((MONO_S + at) * 1000000);
        t->view.wall_us = (uint64_t)((WALL_S + at) * 1000000);
        see_pod(t, s);
        for (size_t i = 0; i < t->view.count; i++)
                see_container(t, &t->containers[i], json_get(s, t->records[i].name, NULL));
        pod_decide(&t->view, &d);
        buf_printf(&t->out, "[%.3g s] %s\n", at, json_str_or(s, "what", ""));
        text = actions_text(&d.actions);
        for (const char *line = text; *line;) {
                size_t n = strcspn(line, "\n");
                buf_printf(&t->out, "  -> %.*s\n", (int)n, line);
                line += line[n] ? n + 1 : n;
        }
        commit(t, &d);
        play(t, &d);
        f.failed_reason = t->view.failed_reason;
        buf_printf(&t->out, "  phase %s", status_phase(t->pod, t->records, t->view.count, &f));
        if (d.again)
                buf_append_str(&t->out, ", decide again at once");
        if (d.wants_slot)
                buf_append_str(&t->out, ", wants a slot");
        write_time(&t->out, "look-again", d.wake_us);
        buf_append_char(&t->out, '\n');
}

static char *run_trace(const char *yaml) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        struct trace t = {0};
        const json_t *s;
        size_t i;

        assert_int_equal(yaml_parse(yaml, strlen(yaml), &docs, &p), 0);
        t.pod = json_at(docs.items[0].value, "pod");
        t.view = (struct pod_view){.object = t.pod,
                        .memory.admitted = true,
                        .start_us = (uint64_t)WALL_S * 1000000,
                        .synced = true,
                        .taints_known = true,
                        .prepared = true,
                        .stop_grace_s = -1,
                        .records = t.records,
                        .containers = t.containers};
        add_containers(&t);
        json_array_foreach (json_at(docs.items[0].value, "steps"), i, s)
                step(&t, s);
        for (i = 0; i < t.view.count; i++)
                container_record_done(&t.records[i]);
        free(t.failed_reason);
        return buf_take(&t.out);
}

static void test_goldens(void **state) {
        static const char *const names[] = {"start", "init-containers", "killed-in-pause", "crash",
                        "back-off", "gives-up", "probes", "startup-probe", "hooks", "post-start",
                        "stop", "grace-exceeded", "reboot", "adoption", "gone-while-stopping",
                        "evicted", "never", "on-failure", "own-restart", "not-admitted", "deadline",
                        "same-name", "outdated", "resources", "image-pull", "image-back-off",
                        "image-never", "image-invalid", "image-root", "sidecars", "sidecars-job",
                        "sidecar-crash", "hook-then-restart", "hook-takes-all", "resize",
                        "resize-interrupted", "resize-waits", "halted", "node-low", "pressure",
                        "socket", "socket-fails", "adopt-read-only", "adopt-managed",
                        "adopt-trouble", "ephemeral", "ephemeral-early", "hook-again",
                        "hook-failed", "slots", "short-run", "unmade", "restart-refused"};

        for (size_t i = 0; i < ELEMENTS(names); i++)
                golden_check("pod-decide", names[i], run_trace);
}

static void test_restart_rules(void **state) {
        _cleanup_json_ json_t *pod = json_pack("{s{ss}}", "spec", "restartPolicy", "Always"),
                              *container = json_pack("{ss, s[{ss, s{ss, s[i]}}]}", "restartPolicy",
                                              "Never", "restartPolicyRules", "action", "Restart",
                                              "exitCodes", "operator", "NotIn", "values", 1);

        assert_non_null(container);
        assert_true(container_restarts(pod, container, false, 0));
        assert_true(container_restarts(pod, container, false, 255));
        assert_false(container_restarts(pod, container, false, 1));
        assert_true(container_restarts(pod, container, true, 255));
        assert_false(container_restarts(pod, container, true, 0)); /* it has done its work */
        assert_true(container_restarts(pod, NULL, false, 0));
        assert_false(container_restarts(pod, NULL, true, 0));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_goldens), cmocka_unit_test(test_restart_rules)};
        return cmocka_run_group_tests(tests, NULL, NULL);
}
