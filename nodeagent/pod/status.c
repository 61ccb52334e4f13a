/* States of the runtime -> container records -> pod status. Restarts are counted by the ids of
 * runs: a new one is one restart, or as many as the runtime's own counter says happened in between.
 * The record is kept on disk, so that counts survive the agent. */
#include "nodeagent/pod/status.h"

#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/plan/restart.h"

/* A container with restartPolicy Never is tried so often until its program has been reached. */
enum { START_TRIES = 3 };

static bool set_text(char **to, const char *text) {
        if (streq_ptr(*to, text))
                return false;
        free(*to);
        *to = text ? strdup(text) : NULL;
        return true;
}

void container_record_done(struct container_record *c) {
        free(c->name);
        free(c->reason);
        free(c->message);
        free(c->last_words);
        json_decref(c->last);
        json_decref(c->image);
        json_decref(c->allocated);
        json_decref(c->resources);
        *c = (struct container_record){0};
}

enum container_list container_record_list(const struct container_record *c) {
        if (c->ephemeral)
                return CONTAINERS_EPHEMERAL;
        return c->init ? CONTAINERS_INIT : CONTAINERS_MAIN;
}

bool container_set_waiting(struct container_record *c, const char *reason, const char *message) {
        bool changed = c->phase != CONTAINER_WAITING;

        c->phase = CONTAINER_WAITING;
        changed |= set_text(&c->reason, reason);
        changed |= set_text(&c->message, message);
        return changed;
}

static const char *time_or_null(uint64_t us, char buffer[static TIMEFMT_SIZE]) {
        return us > 0 ? time_format(us, buffer) : NULL;
}

static json_t *terminated_json(const struct container_record *c) {
        char a[TIMEFMT_SIZE], b[TIMEFMT_SIZE];
        json_t *v = json_pack("{s:i, s:s, s:s*, s:s*, s:s*}", "exitCode", c->exit_code, "reason",
                        c->reason ? c->reason : "Error", "message", c->message, "startedAt",
                        time_or_null(c->started_us, a), "finishedAt",
                        time_or_null(c->finished_us, b));

        if (c->signal > 0)
                json_object_set_new(v, "signal", json_integer(c->signal));
        if (c->invocation[0])
                json_object_set_new(v, "containerID", json_sprintf("systemd://%s", c->invocation));
        return v;
}

void start_report_parse(const char *text, size_t n, struct start_report *ret) {
        const char *end = memchr(text, '\n', n), *id, *rest;

        *ret = (struct start_report){0};
        if (!end || memchr(text, 0, (size_t)(end - text)) ||
                        !utf8_is_valid(text, (size_t)(end - text)))
                return;
        ret->ran = startswith(text, "ran ") != NULL;
        id = ret->ran ? text + 4 : startswith(text, "error ");
        if (!id || strspn(id, "0123456789abcdef") != 32)
                return;
        rest = id + 32;
        if (ret->ran ? rest != end : *rest != ' ')
                return;
        memcpy(ret->invocation, id, 32);
        if (ret->ran)
                return;
        snprintf(ret->message, sizeof(ret->message), "%.*s", (int)(end - rest - 1), rest + 1);
        /* Cut at the end of the buffer, maybe inside of a character. */
        while (!utf8_is_valid(ret->message, strlen(ret->message)))
                ret->message[strlen(ret->message) - 1] = 0;
}

bool start_report_matches(const struct start_report *r, const struct run_state *s) {
        return r->invocation[0] && streq(r->invocation, s->id);
}

/* Why the runtime could not make what the program runs in; NULL: it could. Without a report of
 * kpod-exec the command was not reached, and the exit code is one that the runtime itself set. */
static const char *unmade_reason(const struct container_record *c, const struct run_state *s) {
        bool exited = s->ended && s->signal == 0;

        return exited && !start_report_matches(&c->report, s) ? s->start_failure : NULL;
}

/* What the program runs in is made from many mounts, each of which another program may take away at
 * that moment (/etc/shadow is replaced when a user is made). So that is no run of the container. */
static void note_made(
                struct container_record *c, const struct run_state *s, const char *unmade_reason) {
        if (!unmade_reason) {
                c->unmade[0] = 0;
                c->unmade_count = 0;
        } else if (!streq(c->unmade, s->id)) {
                memcpy(c->unmade, s->id, sizeof(c->unmade));
                c->unmade_count++;
        }
}

/* Fills the record's end from the last main process. */
static void take_end(struct container_record *c, const struct run_state *s, uint64_t now_us) {
        const char *failure = unmade_reason(c, s);

        note_made(c, s, failure);
        if (!failure && s->ended && s->signal == 0 && start_report_matches(&c->report, s) &&
                        !c->report.ran)
                failure = c->report.message;
        c->signal = s->signal;
        c->exit_code = s->exit_code;
        if (s->start_us > 0)
                c->started_us = s->start_us;
        c->finished_us = s->exit_us > 0 ? s->exit_us : now_us;
        set_text(&c->message, failure ? failure : c->last_words);
        c->last_words = mfree(c->last_words);
        if (s->cause == RUN_CAUSE_OUT_OF_MEMORY)
                set_text(&c->reason, "OOMKilled");
        else if (s->cause == RUN_CAUSE_TIMEOUT && c->exit_code == 0)
                set_text(&c->reason, "DeadlineExceeded");
        else if (s->cause == RUN_CAUSE_WATCHDOG)
                set_text(&c->reason, "WatchdogTimeout");
        else if (failure)
                set_text(&c->reason, "StartError");
        else
                set_text(&c->reason, c->exit_code == 0 ? "Completed" : "Error");
}

/* How many restarts of its container lie before this run, at least. The runtime counts a restart a
 * moment before it begins the run: one that has ended may be the one before. It has not the id that
 * was seen last, so of the same container it is a later one. */
static uint32_t restarts_before(const struct container_record *c, const struct run_state *s) {
        bool ahead = s->restarts > 0 &&
                     (s->phase == RUN_RESTARTING || s->phase == RUN_STOPPED || s->given_up);
        uint32_t n = s->restarts - ahead;

        return c->invocation[0] && s->restarts > c->restarts_seen ? MAX(n, c->restarts_seen + 1)
                                                                  : n;
}

static void count_restarts(struct container_record *c, const struct run_state *s) {
        uint32_t n = restarts_before(c, s), added = n;

        if (c->invocation[0] && s->restarts > c->restarts_seen)
                added = n - c->restarts_seen;
        else if (c->invocation[0]) /* made again */
                added = n + 1;
        if (added > 0 && c->invocation[0] && streq(c->invocation, c->unmade))
                added--;
        /* A connection that wakes the container is no restart. */
        if (!c->asleep)
                c->restart_count += added;
        c->restarts_seen = n;
        memcpy(c->invocation, s->id, sizeof(c->invocation));
}

static void become_last(struct container_record *c) {
        json_decref(c->last);
        c->last = terminated_json(c);
}

void container_back_off(struct container_record *c, const char *message) {
        if (c->phase == CONTAINER_TERMINATED)
                become_last(c);
        (void)container_set_waiting(c, "CrashLoopBackOff", message);
}

static void set_json(json_t **to, const json_t *v) {
        json_t *old = *to;

        *to = v ? json_ref(v) : json_object();
        json_decref(old);
}

void container_record_allocate(struct container_record *c, const json_t *resources) {
        set_json(&c->allocated, resources);
}

void container_record_resized(struct container_record *c, const json_t *resources) {
        set_json(&c->resources, resources);
}

/* Whether the end that is shown beside the present state is this run's. */
static bool last_is_of(const struct container_record *c, const char *id) {
        const char *last = startswith(json_str_or(c->last, "containerID", ""), "systemd://");

        return last && streq(last, id);
}

void container_record_words(struct container_record *c, const char *id, const char *text) {
        json_t *with;

        if (c->phase == CONTAINER_TERMINATED && streq(c->invocation, id)) {
                if (!c->message)
                        set_text(&c->message, text);
                return;
        }
        if (!last_is_of(c, id) || json_str(c->last, "message"))
                return;
        /* A status that was sent holds the object, too. */
        with = json_copy(c->last);
        if (!with || json_object_set_new(with, "message", json_string(text)) < 0) {
                json_decref(with);
                return;
        }
        json_decref(c->last);
        c->last = with;
}

static bool observe_running(struct container_record *c, const struct run_state *s) {
        bool changed = c->phase != CONTAINER_RUNNING || c->started_us != s->start_us;

        if (c->phase == CONTAINER_TERMINATED)
                become_last(c);
        note_made(c, s, /* unmade_reason= */ NULL);
        c->phase = CONTAINER_RUNNING;
        c->asleep = false;
        c->started_us = s->start_us;
        c->finished_us = 0;
        set_text(&c->reason, NULL);
        set_text(&c->message, NULL);
        return changed;
}

/* The runtime listens for the container: connections are accepted, so it counts as running. */
static bool observe_asleep(struct container_record *c, const struct run_state *s, uint64_t now_us) {
        if (c->asleep && c->phase == CONTAINER_RUNNING)
                return false;
        if (c->phase == CONTAINER_RUNNING && s->ended)
                take_end(c, s, now_us);
        if (c->phase == CONTAINER_TERMINATED || (c->phase == CONTAINER_RUNNING && s->ended))
                become_last(c);
        c->phase = CONTAINER_RUNNING;
        c->asleep = true;
        c->started_us = now_us;
        c->finished_us = 0;
        set_text(&c->reason, NULL);
        set_text(&c->message, NULL);
        return true;
}

/* Gone while it ran: stopped manually, or the machine was restarted. */
static bool observe_gone(struct container_record *c, uint64_t now_us) {
        if (c->phase != CONTAINER_RUNNING)
                return false;
        if (c->asleep) {
                c->asleep = false;
                return container_set_waiting(c, "ContainerCreating", NULL);
        }
        c->phase = CONTAINER_TERMINATED;
        c->finished_us = now_us;
        c->exit_code = 255;
        set_text(&c->reason, "ContainerStatusUnknown");
        set_text(&c->message, "the unit had disappeared when the agent checked");
        return true;
}

/* Another run than the one seen last. The id comes a moment before the process; the end of the run
 * before is read first. */
static void observe_new_run(
                struct container_record *c, const struct run_state *s, uint64_t now_us) {
        if (c->phase == CONTAINER_RUNNING && !c->asleep && c->invocation[0] &&
                        c->started_us != s->start_us) {
                c->phase = CONTAINER_TERMINATED;
                c->finished_us = now_us;
                c->exit_code = 255;
                set_text(&c->reason, "Error");
        }
        if (c->phase == CONTAINER_TERMINATED && c->invocation[0]) {
                become_last(c);
                c->phase = CONTAINER_WAITING;
                set_text(&c->reason, "ContainerCreating");
                set_text(&c->message, NULL);
        }
        count_restarts(c, s);
}

/* Whether this run's end is in the record, from which the wait for the next run has begun. The
 * phase does not say so: systemd reads the end of a short run before it reads that the program was
 * executed, so a run may end that was never seen to run. */
static bool end_is_known(const struct container_record *c, const struct run_state *s) {
        return c->phase == CONTAINER_WAITING &&
               (last_is_of(c, s->id) || (*s->id && streq(c->unmade, s->id)));
}

static bool observe_end(struct container_record *c, const struct run_state *s, uint64_t now_us) {
        bool kept = s->phase == RUN_FAILED || s->phase == RUN_EXITED;

        if (!s->ended || c->phase == CONTAINER_TERMINATED || (!kept && s->phase != RUN_STOPPED) ||
                        (kept && end_is_known(c, s)))
                return false;
        take_end(c, s, now_us);
        c->phase = CONTAINER_TERMINATED;
        if (c->never && s->phase == RUN_FAILED && c->unmade_count > 0 &&
                        c->unmade_count < START_TRIES) {
                _cleanup_free_ char *message = TAKE_PTR(c->message);

                (void)container_set_waiting(c, "CreateContainerError", message);
        }
        return true;
}

static bool observe_restarting(
                struct container_record *c, const struct run_state *s, uint64_t now_us) {
        bool missed = c->phase == CONTAINER_WAITING && s->ended && !end_is_known(c, s);

        if (missed || c->phase == CONTAINER_RUNNING)
                take_end(c, s, now_us);
        if (missed || c->phase != CONTAINER_WAITING)
                become_last(c);
        return container_set_waiting(c, "CrashLoopBackOff", "systemd starts the container again") ||
               missed;
}

bool container_observe(struct container_record *c, const struct run_state *s, uint64_t now_us) {
        bool changed = false;

        if (!s)
                return observe_gone(c, now_us);
        if (s->id[0] && !streq(s->id, c->invocation)) {
                observe_new_run(c, s, now_us);
                changed = true;
        }
        if (run_state_is_running(s, c->notify))
                return observe_running(c, s) || changed;
        if (s->phase == RUN_ASLEEP)
                return observe_asleep(c, s, now_us) || changed;
        if (s->phase != RUN_STARTING)
                c->asleep = false;
        if (s->phase == RUN_RESTARTING)
                return observe_restarting(c, s, now_us) || changed;
        return observe_end(c, s, now_us) || changed;
}

json_t *container_record_save(const struct container_record *c) {
        json_t *v = json_pack("{s:s, s:i, s:s*, s:s*, s:i, s:i, s:I, s:I, s:I, s:I, s:s}", "name",
                        c->name, "phase", (int)c->phase, "reason", c->reason, "message", c->message,
                        "exitCode", c->exit_code, "signal", c->signal, "startedUs",
                        (json_int_t)c->started_us, "finishedUs", (json_int_t)c->finished_us,
                        "restartCount", (json_int_t)c->restart_count, "restartsSeen",
                        (json_int_t)c->restarts_seen, "invocation", c->invocation);

        if (v)
                json_object_set_new(v, "ready", json_boolean(c->ready && c->started));
        if (v && c->asleep)
                json_object_set_new(v, "asleep", json_true());
        if (v && c->found != UNIT_NOT_SEEN)
                json_object_set_new(v, "found", json_integer(c->found));
        if (v)
                json_object_set_new(v, "hooked", json_string(c->hooked));
        if (v && c->unmade_count > 0) {
                json_object_set_new(v, "unmade", json_string(c->unmade));
                json_object_set_new(v, "unmadeCount", json_integer(c->unmade_count));
        }
        if (v && c->last)
                json_object_set(v, "last", c->last);
        if (v && c->image)
                json_object_set(v, "image", c->image);
        if (v && c->allocated)
                json_object_set(v, "allocated", c->allocated);
        if (v && c->resources)
                json_object_set(v, "resources", c->resources);
        return v;
}

void container_record_load(struct container_record *c, const json_t *v) {
        int64_t phase = json_int_or(v, "phase", 0), found = json_int_or(v, "found", 0);
        json_t *last = json_object_get(v, "last"), *image = json_object_get(v, "image");

        c->phase = phase == CONTAINER_RUNNING || phase == CONTAINER_TERMINATED
                                   ? (enum container_phase)phase
                                   : CONTAINER_WAITING;
        c->found = found == UNIT_FOUND_RUNNING || found == UNIT_FOUND_STOPPED
                                   ? (enum unit_found)found
                                   : UNIT_NOT_SEEN;
        set_text(&c->reason, json_str(v, "reason"));
        set_text(&c->message, json_str(v, "message"));
        c->asleep = c->phase == CONTAINER_RUNNING && json_bool_or(v, "asleep", false);
        c->exit_code = (int)json_int_or(v, "exitCode", 0);
        c->signal = (int)json_int_or(v, "signal", 0);
        c->started_us = (uint64_t)json_int_or(v, "startedUs", 0);
        c->finished_us = (uint64_t)json_int_or(v, "finishedUs", 0);
        c->restart_count = (uint32_t)json_int_or(v, "restartCount", 0);
        c->restarts_seen = (uint32_t)json_int_or(v, "restartsSeen", 0);
        snprintf(c->invocation, sizeof(c->invocation), "%s", json_str_or(v, "invocation", ""));
        /* An agent before this one did not note it: its hook has run. */
        snprintf(c->hooked, sizeof(c->hooked), "%s", json_str_or(v, "hooked", c->invocation));
        snprintf(c->unmade, sizeof(c->unmade), "%s", json_str_or(v, "unmade", ""));
        c->unmade_count = (uint32_t)json_int_or(v, "unmadeCount", 0);
        json_decref(c->last);
        c->last = json_is_object(last) ? json_incref(last) : NULL;
        json_decref(c->image);
        c->image = json_is_object(image) ? json_incref(image) : NULL;
        if (json_object_get(v, "allocated"))
                set_json(&c->allocated, json_object_get(v, "allocated"));
        if (json_object_get(v, "resources"))
                set_json(&c->resources, json_object_get(v, "resources"));
}

void container_record_recover(struct container_record *c, const json_t *status) {
        const json_t *end = json_at(status, "state.terminated");

        if (!end && !json_at(status, "state.running"))
                return;
        c->phase = end ? CONTAINER_TERMINATED : CONTAINER_RUNNING;
        c->exit_code = (int)json_int_or(end, "exitCode", 0);
        set_text(&c->reason, json_str(end, "reason"));
        set_text(&c->message, json_str(end, "message"));
}

static const json_t *spec_of(const json_t *pod, const struct container_record *c) {
        const char *list = container_list_name(container_record_list(c));

        return json_named(json_get(pod, "spec", list, NULL), c->name);
}

static bool restarts(const json_t *pod, const struct container_record *c) {
        return container_restarts(pod, spec_of(pod, c), c->init, c->exit_code);
}

/* Whether one that waits after its end does so to be started. */
static bool starts_again(const json_t *pod, const struct container_record *c) {
        const json_t *spec = spec_of(pod, c);

        return !streq(container_restart_policy(pod, spec), "Never") ||
               container_restarts(pod, spec, c->init, (int)json_int_or(c->last, "exitCode", 0));
}

/* The phase that the ordinary containers give. */
static const char *phase_of_main(const json_t *pod, const struct container_record *c, size_t n) {
        size_t waiting = 0, running = 0, stopped = 0, succeeded = 0, restarting = 0;

        for (size_t i = 0; i < n; i++) {
                if (c[i].sidecar || c[i].ephemeral)
                        continue;
                if (c[i].init) {
                        if (c[i].phase == CONTAINER_TERMINATED && c[i].exit_code == 0)
                                continue;
                        return c[i].phase == CONTAINER_TERMINATED && !restarts(pod, &c[i])
                                               ? "Failed"
                                               : "Pending";
                }
                if (c[i].phase == CONTAINER_RUNNING)
                        running++;
                else if (c[i].phase == CONTAINER_TERMINATED) {
                        stopped++;
                        succeeded += c[i].exit_code == 0;
                        restarting += restarts(pod, &c[i]);
                } else if (c[i].last) {
                        bool again = starts_again(pod, &c[i]);

                        stopped++;
                        waiting += again;
                        running += again;
                } else
                        waiting++;
        }
        if (waiting > 0 && running == 0)
                return "Pending";
        if (running > 0)
                return "Running";
        if (stopped == 0)
                return "Pending";
        if (restarting > 0)
                return "Running";
        return succeeded == stopped ? "Succeeded" : "Failed";
}

static bool is_end(const char *phase) {
        return streq(phase, "Succeeded") || streq(phase, "Failed");
}

bool status_is_over(const json_t *pod, const struct container_record *c, size_t n,
                const struct status_facts *f) {
        return f->failed_reason || is_end(phase_of_main(pod, c, n));
}

const char *status_phase(const json_t *pod, const struct container_record *c, size_t n,
                const struct status_facts *f) {
        const char *phase = f->failed_reason ? "Failed" : phase_of_main(pod, c, n);

        if (f->failed_reason || !is_end(phase))
                return phase;
        for (size_t i = 0; i < n; i++)
                if (c[i].sidecar && c[i].phase == CONTAINER_RUNNING)
                        return "Running";
        return phase;
}

static bool has_succeeded(const struct container_record *c) {
        return c->phase == CONTAINER_TERMINATED && c->exit_code == 0;
}

static bool is_ready(const struct container_record *c) {
        return c->phase == CONTAINER_RUNNING && c->ready && c->started && !c->ephemeral;
}

static void add_resources(json_t *status, const struct container_record *c) {
        json_t *requests = json_object_get(c->allocated, "requests");

        if (json_object_size(requests) > 0)
                json_object_set(status, "allocatedResources", requests);
        if (c->phase == CONTAINER_RUNNING && json_object_size(c->resources) > 0)
                json_object_set(status, "resources", c->resources);
}

static json_t *container_status(const json_t *pod, const struct container_record *c) {
        const char *image = json_str_or(spec_of(pod, c), "image", "");
        /* Until the pod names another one. */
        const json_t *has = streq(json_str_or(c->image, "of", ""), image) ? c->image : NULL;
        _cleanup_json_ json_t *state = json_object(), *last = json_object();
        char when[TIMEFMT_SIZE];
        bool running = c->phase == CONTAINER_RUNNING;
        bool ready = c->init && !c->sidecar ? has_succeeded(c) : is_ready(c);
        json_t *v;

        if (running)
                json_object_set_new(state, "running",
                                json_pack("{s:s*}", "startedAt",
                                                time_or_null(c->started_us, when)));
        else if (c->phase == CONTAINER_TERMINATED)
                json_object_set_new(state, "terminated", terminated_json(c));
        else
                json_object_set_new(state, "waiting",
                                json_pack("{s:s, s:s*}", "reason",
                                                c->reason ? c->reason : "ContainerCreating",
                                                "message", c->message));
        if (c->last)
                json_object_set(last, "terminated", c->last);
        v = json_pack("{s:s, s:s, s:s, s:b, s:b, s:I, s:O, s:O}", "name", c->name, "image",
                        json_str_or(has, "name", *image ? image : "host"), "imageID",
                        json_str_or(has, "shown", ""), "ready", ready, "started",
                        running && c->started, "restartCount", (json_int_t)c->restart_count,
                        "state", state, "lastState", last);
        if (v && c->invocation[0])
                json_object_set_new(v, "containerID", json_sprintf("systemd://%s", c->invocation));
        if (v)
                add_resources(v, c);
        return v;
}

static const json_t *previous_condition(const json_t *status, const char *type) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(status, "conditions"), i, v)
                if (streq(json_str_or(v, "type", ""), type))
                        return v;
        return NULL;
}

bool status_is_shown(const json_t *pod, const json_t *status) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)status, key, v) {
                const json_t *shown = json_get(pod, "status", key, NULL);
                if (!shown || !json_equal(shown, v))
                        return false;
        }
        return true;
}

/* Adds a condition; the time of its last change is kept when the status is the same. */
static void condition(json_t *list, const json_t *pod, const char *type, bool status,
                const char *reason, const char *message, const struct status_facts *f) {
        const json_t *old = previous_condition(f->previous, type);
        const char *text = status ? "True" : "False";
        char now[TIMEFMT_SIZE];
        if (!old)
                old = object_condition(pod, type);
        const char *when = old && streq(json_str_or(old, "status", ""), text)
                                           ? json_str(old, "lastTransitionTime")
                                           : NULL;

        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s*, s:s*}", "type", type, "status",
                                                    text, "lastTransitionTime",
                                                    when ? when : time_format(f->now_us, now),
                                                    "reason", reason, "message", message));
}

/* "containers with unready status: [a b]" */
static char *unready_text(const struct container_record *c, size_t n) {
        _cleanup_buf_ struct buf b = {0};

        buf_append_str(&b, "containers with unready status: [");
        for (size_t i = 0, shown = 0; i < n; i++)
                if ((!c[i].init || c[i].sidecar) && !c[i].ephemeral && !is_ready(&c[i]))
                        buf_printf(&b, "%s%s", shown++ > 0 ? " " : "", c[i].name);
        buf_append_char(&b, ']');
        return buf_take(&b);
}

/* Whether an ordinary container has been started. */
static bool has_begun(const struct container_record *c, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (!c[i].init && !c[i].ephemeral && (c[i].phase != CONTAINER_WAITING || c[i].last))
                        return true;
        return false;
}

/* The node ended the pod for its own sake: not the pod's failure, for a Job's failure policy. */
static bool is_disruption(const struct status_facts *f) {
        return streq_ptr(f->failed_reason, "Terminated") ||
               (streq_ptr(f->failed_reason, "Evicted") &&
                               startswith(strempty(f->failed_message), "The node was low on "));
}

static void resize_conditions(json_t *list, const json_t *pod, const struct container_record *c,
                size_t n, const struct status_facts *f) {
        bool in_progress = false;

        for (size_t i = 0; i < n; i++)
                in_progress |= c[i].phase == CONTAINER_RUNNING && c[i].allocated &&
                               c[i].resources &&
                               !resources_are_same(c[i].allocated, c[i].resources);
        if (f->resize_reason)
                condition(list, pod, "PodResizePending", true, f->resize_reason, f->resize_message,
                                f);
        if (in_progress)
                condition(list, pod, "PodResizeInProgress", true, f->resize_error ? "Error" : NULL,
                                f->resize_error, f);
}

/* Of pods that start at their first connection: whether some container waits for one. */
static void asleep_condition(json_t *list, const json_t *pod, const struct container_record *c,
                size_t n, const struct status_facts *f) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_free_ char *text = NULL;
        bool any = false, asleep = false;

        buf_append_str(&b, "containers that start at their next connection: [");
        for (size_t i = 0; i < n; i++) {
                any |= c[i].socket;
                if (!c[i].asleep || c[i].phase != CONTAINER_RUNNING)
                        continue;
                buf_printf(&b, "%s%s", asleep ? " " : "", c[i].name);
                asleep = true;
        }
        buf_append_char(&b, ']');
        text = buf_take(&b);
        if (any)
                condition(list, pod, "keelson.dev/Asleep", asleep,
                                asleep ? "WaitingForConnection" : "Activated", asleep ? text : NULL,
                                f);
}

static json_t *conditions(const json_t *pod, const struct container_record *c, size_t n,
                const struct status_facts *f, const char *phase) {
        static const char *const ours[] = {"Initialized", "Ready", "ContainersReady",
                        "PodReadyToStartContainers", "PodResizePending", "PodResizeInProgress",
                        "keelson.dev/Asleep"};
        json_t *list = json_array();
        const json_t *v;
        size_t i;
        bool initialized = true, ready = true, done = streq(phase, "Succeeded"), gates = true;
        _cleanup_free_ char *unready = NULL;
        const char *reason = NULL;

        json_array_foreach (json_at(pod, "status.conditions"), i, v) {
                bool mine = is_disruption(f) &&
                            streq(json_str_or(v, "type", ""), "DisruptionTarget");

                for (size_t k = 0; k < ELEMENTS(ours); k++)
                        mine |= streq(json_str_or(v, "type", ""), ours[k]);
                if (!mine)
                        json_array_append(list, (json_t *)v);
        }
        for (i = 0; i < n; i++) {
                if (c[i].ephemeral)
                        continue;
                if (c[i].init && !c[i].sidecar)
                        initialized &= has_succeeded(&c[i]);
                else
                        ready &= is_ready(&c[i]);
                if (c[i].sidecar)
                        initialized &= has_begun(c, n) ||
                                       (c[i].phase == CONTAINER_RUNNING && c[i].started);
        }
        ready &= streq(phase, "Running");
        json_array_foreach (json_at(pod, "spec.readinessGates"), i, v)
                gates &= object_condition_true(pod, json_str_or(v, "conditionType", ""));
        if (!ready) {
                reason = done                     ? "PodCompleted"
                         : streq(phase, "Failed") ? "PodFailed"
                                                  : "ContainersNotReady";
                unready = done ? NULL : unready_text(c, n);
        }
        condition(list, pod, "PodReadyToStartContainers", f->sandbox_ready, NULL, NULL, f);
        condition(list, pod, "Initialized", initialized,
                        initialized ? done ? "PodCompleted" : NULL : "ContainersNotInitialized",
                        NULL, f);
        condition(list, pod, "ContainersReady", ready, reason, unready, f);
        condition(list, pod, "Ready", ready && gates,
                        ready && !gates ? "ReadinessGatesNotReady" : reason, unready, f);
        if (!object_condition(pod, "PodScheduled"))
                condition(list, pod, "PodScheduled", true, NULL, NULL, f);
        if (is_disruption(f))
                condition(list, pod, "DisruptionTarget", true, "TerminationByKubelet",
                                f->failed_message, f);
        resize_conditions(list, pod, c, n, f);
        asleep_condition(list, pod, c, n, f);
        return list;
}

static json_t *ip_list(const char *first, const char *second) {
        return isempty(second) ? json_pack("[{s:s}]", "ip", first)
                               : json_pack("[{s:s}, {s:s}]", "ip", first, "ip", second);
}

json_t *status_build(const json_t *pod, const struct container_record *c, size_t n,
                const struct status_facts *f) {
        static const char *const keys[CONTAINER_LISTS] = {
                        [CONTAINERS_INIT] = "initContainerStatuses",
                        [CONTAINERS_MAIN] = "containerStatuses",
                        [CONTAINERS_EPHEMERAL] = "ephemeralContainerStatuses"};
        const char *phase = status_phase(pod, c, n, f);
        json_t *v = json_pack("{s:s, s:o, s:s*, s:s*}", "phase", phase, "conditions",
                        conditions(pod, c, n, f, phase), "reason", f->failed_reason, "message",
                        f->failed_message);
        char when[TIMEFMT_SIZE];
        const char *qos = json_str(pod, "status.qosClass");

        if (!isempty(f->host_ip)) {
                json_object_set_new(v, "hostIP", json_string(f->host_ip));
                json_object_set_new(v, "hostIPs", ip_list(f->host_ip, f->host_ip6));
        }
        if (!isempty(f->pod_ip)) {
                json_object_set_new(v, "podIP", json_string(f->pod_ip));
                json_object_set_new(v, "podIPs", ip_list(f->pod_ip, f->pod_ip6));
        }
        if (f->start_us > 0)
                json_object_set_new(v, "startTime", json_string(time_format(f->start_us, when)));
        if (qos)
                json_object_set_new(v, "qosClass", json_string(qos));
        json_object_set_new(v, "containerStatuses", json_array());
        for (size_t i = 0; i < n; i++) {
                const char *key = keys[container_record_list(&c[i])];

                if (!json_object_get(v, key))
                        json_object_set_new(v, key, json_array());
                json_array_append_new(json_object_get(v, key), container_status(pod, &c[i]));
        }
        return v;
}
