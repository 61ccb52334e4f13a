/* A living pod, step by step: what it uses, its network, its volumes, its init containers one after
 * the other, then the rest; probes while they run; back-off when systemd has given up on one. */
#include "nodeagent/pod/internal.h"

#include <signal.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/pod/fetch.h"
#include "nodeagent/logs/log-sockets.h"
#include "nodeagent/pod/admission.h"
#include "nodeagent/plan/pod-units.h"
#include "nodeagent/pod/stage.h"
#include "nodeagent/pod/users.h"
#include "nodeagent/pod/volumes.h"

enum {
        RETRY_US = 5 * 1000000,
        REFRESH_US = 60 * 1000000,
        BACKOFF_MIN_US = 10 * 1000000,
        BACKOFF_MAX_US = 300 * 1000000,
        HEALTHY_US = 600 * 1000000,
        FAILED_US = 500000,
        HOST_FILE_MAX = 256 * 1024,
        QUICK_US = 1000000, /* the first pause, where systemd does not restart by itself */
        REPORT_US = 2 * 1000000,
        REPORT_LOOK_US = 20000,
};

/* Every container that has not started waits with this reason. */
static void all_wait(struct pod *p, const char *reason, const char *message) {
        for (size_t i = 0; i < p->count; i++) {
                struct container_record *r = &p->records[i];
                if (r->phase == CONTAINER_WAITING && !streq_ptr(r->reason, "CrashLoopBackOff"))
                        (void)container_set_waiting(r, reason, message);
        }
}

static void on_fetched(const json_t *resources, bool complete, void *userdata) {
        struct pod *p = userdata;
        bool changed = !p->resources || !json_equal(p->resources, resources);

        p->fetch = NULL;
        p->fetch_us = now_mono_us() + (complete ? REFRESH_US : RETRY_US);
        if (changed && (complete || p->resources)) {
                json_decref(p->resources);
                p->resources = json_incref((json_t *)resources);
                json_decref(TAKE_PTR(p->plan));
                pod_save_desired(p);
        }
        pod_wake(p);
}

/* 1 when the pod can go on with what is there. */
static int ensure_resources(struct pod *p) {
        _cleanup_json_ json_t *references = pod_references(p->object);
        uint64_t now = now_mono_us();
        int r;

        if (json_object_size(json_at(references, "configmaps")) +
                                        json_object_size(json_at(references, "secrets")) ==
                        0)
                return 1;
        if (!p->pods->agent->api)
                return 1;
        if (!p->fetch && now >= p->fetch_us) {
                r = fetch_start(&p->fetch, p->pods->agent->api, object_namespace(p->object),
                                references, p->resources, on_fetched, p);
                if (r < 0)
                        p->fetch_us = now + RETRY_US;
        }
        if (!p->fetch)
                pod_wake_at(p, p->fetch_us);
        if (p->resources)
                return 1;
        all_wait(p, "ContainerCreating",
                        "waiting for the control plane to hand out the ConfigMaps and Secrets of "
                        "this pod");
        return 0;
}

static json_t *host_ports(const struct pod *p) {
        json_t *list = json_array();
        const json_t *c, *port;
        size_t i, k;

        json_array_foreach (json_at(p->object, "spec.containers"), i, c) {
                json_array_foreach (json_at(c, "ports"), k, port) {
                        if (json_int_or(port, "hostPort", 0) > 0)
                                json_array_append(list, (json_t *)port);
                }
        }
        return list;
}

static bool has_loopback_port(const json_t *ports) {
        const json_t *v;
        size_t i;

        json_array_foreach (ports, i, v)
                if (startswith(json_str_or(v, "hostIP", ""), "127."))
                        return true;
        return false;
}

/* The sysctls of the pod's network namespace. */
static int set_sysctls(struct pod *p) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(p->object, "spec.securityContext.sysctls"), i, v) {
                const char *name = json_str_or(v, "name", ""), *value = json_str_or(v, "value", "");
                _cleanup_free_ char *text = NULL;
                int r;

                if (!startswith(name, "net.") && !startswith(name, "net/"))
                        continue; /* the plan warns of it */
                r = network_pod_sysctl(p->uid, name, value);
                if (r >= 0)
                        continue;
                text = strformat("spec.securityContext.sysctls: %.100s cannot be set to '%.100s': "
                                 "%s",
                                name, value, strerror(-r));
                pod_event(p, "Warning", "SysctlForbidden", "%s", strempty(text));
                all_wait(p, "SysctlForbidden", text);
                pod_wake_at(p, now_mono_us() + 6 * RETRY_US);
                return r;
        }
        return 0;
}

static int ensure_network(struct pod *p) {
        struct agent *a = p->pods->agent;
        int r;

        /* What network_pod_up() does again is nothing; but it mends what a hand took away. */
        if (pod_is_host_network(p)) {
                snprintf(p->ip, sizeof(p->ip), "%s", a->node_ip);
                return 1;
        }
        if (p->sandbox_ready)
                return 1;
        if (!a->ipam || !a->network) {
                all_wait(p, "ContainerCreating",
                                "the node has no pod address range yet (spec.podCIDR)");
                return 0;
        }
        if (!*p->ip) {
                r = ipam_take(a->ipam, p->ip);
                if (r < 0) {
                        all_wait(p, "ContainerCreating",
                                        "every pod address of this node is in use");
                        pod_wake_at(p, now_mono_us() + RETRY_US);
                        return 0;
                }
                /* The address is on disk before it is used. */
                pod_report(p);
        }
        r = network_pod_up(a->network, p->uid, p->ip, ipam_gateway(a->ipam));
        if (r >= 0 && set_sysctls(p) < 0)
                return 0;
        if (r < 0) {
                _cleanup_free_ char *text =
                                strformat("cannot set up the pod's network: %s", strerror(-r));
                pod_event(p, "Warning", "FailedCreatePodSandBox", "%s", strempty(text));
                all_wait(p, "ContainerCreating", text);
                pod_wake_at(p, now_mono_us() + RETRY_US);
                return 0;
        }
        if (a->nft) {
                _cleanup_json_ json_t *ports = host_ports(p);
                nft_local_pod(a->nft, p->uid, p->ip, ports);
                if (has_loopback_port(ports) && (r = network_pod_allow_loopback(p->uid)) < 0)
                        pod_event(p, "Warning", "FailedHostPort",
                                        "hostPort.hostIP: 127.0.0.1 cannot lead to the pod: %s",
                                        strerror(-r));
        }
        return 1;
}

void pod_ensure_logs(struct pod *p) {
        static const char *const lists[] = {"initContainers", "containers"};
        const json_t *unit;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists) && p->pods->agent->log_sockets; l++)
                json_array_foreach (json_at(p->plan, lists[l]), i, unit) {
                        int r = log_sockets_ensure(p->pods->agent->log_sockets, unit);
                        if (r < 0)
                                log_warning_errno(r, "Cannot make the log socket of %s",
                                                json_str_or(unit, "name", ""));
                }
}

/* What the pod asks for and does not get as things are; pod_warn_no_effect() says what never has
 * an effect. */
static void warn_once(struct pod *p) {
        const json_t *warnings = json_at(p->plan, "warnings"), *v;
        size_t i;

        if (!p->warned)
                json_array_foreach (warnings, i, v)
                        pod_event(p, "Warning", "FieldWithoutEffect", "%s", json_string_value(v));
        p->warned = true;
}

int pod_ensure_plan(struct pod *p) {
        struct agent *a = p->pods->agent;
        _cleanup_problem_ struct problem problem = {0};
        struct pod_facts facts = {.node_name = a->config.node_name,
                        .node_ip = a->node_ip,
                        .pod_ip = p->ip,
                        .netns_path = pod_is_host_network(p) ? NULL : p->netns,
                        .disk_dir = p->disk_dir,
                        .run_dir = p->run_dir,
                        .secret_dir = p->secret_dir,
                        .exec_program = a->machine.exec_program,
                        .resolv_conf = a->machine.resolv_conf,
                        .cluster_dns = a->config.cluster_dns,
                        .cluster_domain = a->config.cluster_domain,
                        .services = a->nft ? nft_services_in(a->nft, object_namespace(p->object))
                                           : NULL,
                        .api_service = a->nft ? json_object_get(nft_services_in(a->nft, "default"),
                                                                "kubernetes")
                                              : NULL,
                        .cpu_milli = a->machine.cpu_milli,
                        .memory_bytes = a->machine.memory_bytes,
                        .no_user_namespaces = a->machine.no_user_namespaces};
        _cleanup_free_ char *hosts = NULL, *resolv = NULL;
        json_t *plan = NULL;
        size_t n;
        int r;

        if (p->plan)
                return 1;
        (void)file_read("/etc/hosts", HOST_FILE_MAX, &hosts, &n);
        (void)file_read(a->machine.resolv_conf ? a->machine.resolv_conf : "/etc/resolv.conf",
                        HOST_FILE_MAX, &resolv, &n);
        facts.host_hosts = hosts;
        facts.host_resolv = resolv;
        r = pod_to_units(p->object, p->resources, &facts, &plan, &problem);
        if (r >= 0)
                r = volumes_make(json_at(plan, "volumes"), &problem);
        if (r < 0) {
                const char *reason = problem.reason ? problem.reason : "CreateContainerConfigError";
                const char *message = problem.message ? problem.message : strerror(-r);

                json_decref(plan);
                pod_event(p, "Warning",
                                streq(reason, "InvalidImageName") ? "InspectFailed" : "Failed",
                                "%s", message);
                all_wait(p, reason, message);
                pod_wake_at(p, now_mono_us() + 2 * RETRY_US);
                p->fetch_us = MIN(p->fetch_us, now_mono_us() + RETRY_US);
                return 0;
        }
        p->plan = plan;
        warn_once(p);
        pod_ensure_logs(p);
        for (size_t i = 0; i < p->count; i++)
                if (p->records[i].phase == CONTAINER_WAITING && p->records[i].message &&
                                p->containers[i].retry_us == 0 &&
                                !streq_ptr(p->records[i].reason, "CrashLoopBackOff"))
                        (void)container_set_waiting(&p->records[i], "ContainerCreating", NULL);
        p->sandbox_ready = true;
        if (!p->slice_started) {
                (void)units_start_slice(a->units, json_at(plan, "slice"));
                p->slice_started = true;
        }
        return 1;
}

/* ---- probes ---- */

void container_probes_stop(struct container *c) {
        c->startup = probe_free(c->startup);
        c->liveness = probe_free(c->liveness);
        c->readiness = probe_free(c->readiness);
}

void container_end(struct container *c, bool restart, int64_t grace_s) {
        struct units *units = c->pod->pods->agent->units;
        const struct unit_state *state = units_get(units, c->unit);

        container_probes_stop(c);
        c->restarting = true;
        if (grace_s < 0)
                grace_s = json_int_or(c->pod->object, "spec.terminationGracePeriodSeconds", 30);
        if (state) {
                c->kill_us = now_mono_us() + (uint64_t)MAX(grace_s, INT64_C(1)) * 1000000;
                memcpy(c->kill_of, state->invocation, sizeof(c->kill_of));
                pod_wake_at(c->pod, c->kill_us);
        }
        (void)(restart ? units_restart(units, c->unit) : units_stop(units, c->unit));
}

/* The unit's own time-out is the longest that any reason for a stop has. */
static void bound_stop(struct container *c, const struct unit_state *state) {
        if (c->kill_us == 0)
                return;
        if (!state || !streq(state->invocation, c->kill_of) || state->main_pid == 0)
                c->kill_us = 0;
        else if (now_mono_us() < c->kill_us)
                pod_wake_at(c->pod, c->kill_us);
        else {
                c->kill_us = 0;
                (void)units_kill(c->pod->pods->agent->units, c->unit, SIGKILL);
        }
}

static void restart_container(struct container *c, const char *why, const json_t *probe) {
        struct pod *p = c->pod;
        bool never = streq(json_str_or(p->object, "spec.restartPolicy", "Always"), "Never");

        pod_event(p, "Normal", "Killing", "Container %s %s, will be %s", c->record->name, why,
                        never ? "stopped" : "restarted");
        container_end(c, !never, json_int_or(probe, "terminationGracePeriodSeconds", -1));
}

static void on_verdict(struct probe *probe, bool passed, const char *message, void *userdata) {
        struct container *c = userdata;

        if (probe == c->readiness)
                c->record->ready = passed;
        else if (probe == c->startup && passed) {
                c->record->started = true;
                c->startup = probe_free(c->startup);
        } else if (!passed) {
                bool startup = probe == c->startup;

                restart_container(c, startup ? "failed startup probe" : "failed liveness probe",
                                json_at(container_spec(c),
                                                startup ? "startupProbe" : "livenessProbe"));
        }
        pod_wake(c->pod);
}

static void on_probe_failure(struct probe *probe, const char *message, void *userdata) {
        struct container *c = userdata;
        const char *kind = probe == c->readiness ? "Readiness"
                           : probe == c->startup ? "Startup"
                                                 : "Liveness";

        pod_event(c->pod, "Warning", "Unhealthy", "%s probe failed: %s", kind, message);
}

static int on_probe_exec(
                struct probe *probe, const json_t *command, uint64_t timeout_us, void *userdata) {
        return container_exec_probe(userdata, probe, command, timeout_us);
}

static void on_probe_cancel(struct probe *probe, void *userdata) {
        container_exec_cancel(userdata, probe);
}

static struct probe *start_probe(struct container *c, const char *key, bool initial) {
        const json_t *spec = container_spec(c);
        struct probe_options o = {.spec = json_at(spec, key),
                        .container = spec,
                        .address = c->pod->ip,
                        .initial = initial,
                        .exec = on_probe_exec,
                        .exec_cancel = on_probe_cancel,
                        .on_verdict = on_verdict,
                        .on_failure = on_probe_failure,
                        .userdata = c};
        struct probe *probe = NULL;

        if (probe_new(&probe, c->pod->pods->agent->event, &o) < 0)
                log_oom();
        return probe;
}

static void ensure_probes(struct container *c, const struct unit_state *state) {
        const json_t *spec = container_spec(c);
        bool notify = pod_readiness_is_notify(c->pod->object, c->record->name);

        if (c->restarting || c->record->init)
                return;
        if (!json_at(spec, "startupProbe"))
                c->record->started = true;
        else if (!c->record->started) {
                if (!c->startup)
                        c->startup = start_probe(c, "startupProbe", false);
                return;
        }
        if (notify)
                c->record->ready =
                                streq(state->active, "active") || streq(state->active, "reloading");
        else if (!json_at(spec, "readinessProbe"))
                c->record->ready = true;
        else if (!c->readiness)
                c->readiness = start_probe(c, "readinessProbe", c->record->ready);
        if (json_at(spec, "livenessProbe") && !c->liveness)
                c->liveness = start_probe(c, "livenessProbe", true);
}

/* ---- units ---- */

static void start_container(struct container *c) {
        struct pod *p = c->pod;
        const json_t *unit = container_unit(c);
        _cleanup_problem_ struct problem problem = {0};
        int r = unit ? volumes_write_commands(unit) : -ENOENT;

        if (r >= 0)
                r = stage_container(unit, json_at(p->plan, "volumes"), &problem);
        if (r >= 0)
                r = users_ensure(unit, &problem);
        /* The slice may have been stopped since: being there already is no error. */
        if (r >= 0)
                r = units_start_slice(p->pods->agent->units, json_at(p->plan, "slice"));
        if (r >= 0)
                r = units_start(p->pods->agent->units, unit);
        if (r < 0) {
                _cleanup_free_ char *text = problem.message ? strdup(problem.message)
                                                            : strformat("cannot start the unit: %s",
                                                                              strerror(-r));
                if (problem.message)
                        pod_event(p, "Warning", "Failed", "Error: %s", problem.message);
                (void)container_set_waiting(c->record,
                                problem.reason ? problem.reason : "CreateContainerError", text);
                c->retry_us = now_mono_us() + RETRY_US;
                pod_wake_at(p, c->retry_us);
                return;
        }
        c->starting = true;
        c->restarting = false;
}

/* Says once for each invocation how its start went. Returns 1 when that is known, 0 while kpod-exec
 * has yet to report. */
static int note_start(struct container *c, const struct unit_state *state, bool running) {
        struct container_record *r = c->record;
        const char *message = r->message;
        bool failed;

        if (!state->invocation[0] || streq(c->announced, state->invocation))
                return 1;
        if (!start_report_matches(&r->report, state))
                container_read_report(c);
        if (!start_report_matches(&r->report, state)) {
                if (running && now_wall_us() < state->start_us + REPORT_US) {
                        pod_wake_at(c->pod, now_mono_us() + REPORT_LOOK_US);
                        return 0;
                }
                /* systemd itself could not start it. */
                failed = !running;
                if (r->phase != CONTAINER_TERMINATED && r->last)
                        message = json_str(r->last, "message");
        } else {
                failed = !r->report.ran;
                message = r->report.message;
        }
        if (!running && !streq(state->invocation, r->invocation))
                return 1;
        memcpy(c->announced, state->invocation, sizeof(c->announced));
        if (failed && !isempty(message))
                pod_event(c->pod, "Warning", "Failed", "Error: container %s: %s", r->name, message);
        else if (!failed)
                pod_event(c->pod, "Normal", "Started", "Started container %s", r->name);
        return 1;
}

/* Whether an ended container is to run again. */
static bool wants_restart(const struct container *c) {
        const char *policy = json_str_or(c->pod->object, "spec.restartPolicy", "Always");

        if (c->record->phase != CONTAINER_TERMINATED)
                return true;
        /* Gone with the machine or by a hand: not its own end. */
        if (streq_ptr(c->record->reason, "ContainerStatusUnknown"))
                return !streq(policy, "Never");
        if (streq(policy, "Never"))
                return false;
        if (streq(policy, "OnFailure") || c->record->init)
                return c->record->exit_code != 0;
        return true;
}

/* systemd has given up (or may not restart it): the agent's own, growing pause. */
static void back_off(struct container *c, bool exited) {
        struct pod *p = c->pod;
        uint64_t now = now_mono_us();
        _cleanup_free_ char *text = NULL;

        if (c->retry_us == 0) {
                struct container_record *r = c->record;

                if (r->finished_us > r->started_us + HEALTHY_US)
                        c->backoff_us = 0;
                c->backoff_us = exited && c->backoff_us == 0 ? QUICK_US
                                : c->backoff_us < BACKOFF_MIN_US
                                                ? BACKOFF_MIN_US
                                                : MIN(c->backoff_us * 2, (uint64_t)BACKOFF_MAX_US);
                c->retry_us = now + c->backoff_us;
                pod_event(p, "Warning", "BackOff", "Back-off restarting failed container %s",
                                r->name);
        }
        text = strformat("back-off %llus restarting failed container=%s",
                        (unsigned long long)(c->backoff_us / 1000000), c->record->name);
        container_back_off(c->record, text);
        if (now < c->retry_us) {
                pod_wake_at(p, c->retry_us);
                return;
        }
        c->retry_us = 0;
        if (exited)
                (void)units_stop(p->pods->agent->units, c->unit);
        else
                (void)units_reset_failed(p->pods->agent->units, c->unit);
        /* The unit goes away now; its removal wakes the pod, which then starts it afresh. */
        c->restarting = true;
}

/* systemd passes through `failed` on its way to an automatic restart: only one that stays there is
 * ours. */
static bool failed_for_good(struct container *c, const struct unit_state *state) {
        uint64_t now = now_mono_us();

        if (streq(state->result, "start-limit-hit"))
                return true;
        if (c->failed_us == 0)
                c->failed_us = now;
        if (now >= c->failed_us + FAILED_US)
                return true;
        pod_wake_at(c->pod, c->failed_us + FAILED_US);
        return false;
}

static bool belongs_to_other_pod(const struct container *c, const struct unit_state *state) {
        _cleanup_free_ char *slice = pod_slice_name(c->pod->uid);
        return state->slice[0] && slice && !streq(slice, state->slice);
}

/* An adopted unit that was made from another container spec (an image changed while the agent was
 * away). */
static bool is_outdated(const struct container *c, const struct unit_state *state) {
        char hash[16];

        if (!state->description[0])
                return false;
        snprintf(hash, sizeof(hash), "[%08x]",
                        pod_container_hash(c->pod->object, container_spec(c)));
        return strstr(state->description, hash) == NULL;
}

/* What begins with a new invocation, and the probes. Returns 1 when the program runs. */
static int watch_running(struct container *c, const struct unit_state *state) {
        if (!streq(c->seen, state->invocation)) {
                bool begun = !streq(c->announced, state->invocation);

                if (!note_start(c, state, true)) {
                        c->record->ready = c->record->started = false;
                        return 0;
                }
                if (begun)
                        container_post_start(c);
                container_probes_stop(c);
                /* An adopted container was ready before, and stays so until a probe says
                 * otherwise. */
                c->record->started = c->record->ready = !*c->seen && c->adopted;
                memcpy(c->seen, state->invocation, sizeof(c->seen));
                c->restarting = false;
        }
        if (!container_post_start_pending(c))
                ensure_probes(c, state);
        return 1;
}

/* Looks at one container. Returns 1 when it runs or has ended well. */
static int ensure_container(struct container *c) {
        struct pod *p = c->pod;
        const struct unit_state *state = units_get(p->pods->agent->units, c->unit);

        if (state && belongs_to_other_pod(c, state)) {
                /* Nobody knows that pod any more: its unit is a leftover. */
                if (!pods_claim_slice(p->pods, state->slice) &&
                                (p->pods->synced || !p->pods->agent->api))
                        (void)units_stop(p->pods->agent->units, c->unit);
                all_wait(p, "ContainerCreating",
                                "an earlier pod of the same name is still being stopped");
                return 0;
        }
        if (!state) {
                c->restarting = false;
                container_probes_stop(c);
                if (c->starting)
                        return 0;
                if (!wants_restart(c))
                        return c->record->exit_code == 0;
                if (now_mono_us() < c->retry_us) {
                        pod_wake_at(p, c->retry_us);
                        return 0;
                }
                c->retry_us = 0;
                start_container(c);
                return 0;
        }
        if (is_outdated(c, state) && !c->restarting) {
                pod_event(p, "Normal", "Killing",
                                "Container %s definition changed, will be restarted",
                                c->record->name);
                container_end(c, false, -1);
                return 0;
        }
        bound_stop(c, state);
        if (unit_state_is_running(state, c->record->notify))
                return watch_running(c, state);
        if (c->record->phase != CONTAINER_RUNNING && state->exec_code != 0 && state->main_pid == 0)
                (void)note_start(c, state, false);
        container_probes_stop(c);
        c->record->ready = c->record->started = false;
        if (streq(state->active, "failed")) {
                if (wants_restart(c) && !c->restarting && failed_for_good(c, state))
                        back_off(c, false);
                return 0;
        }
        c->failed_us = 0;
        /* HUP, INT, TERM and PIPE are good ends to systemd, whatever Restart= says. */
        if (streq(state->sub, "exited") && !c->restarting && wants_restart(c) &&
                        (c->retry_us != 0 || c->record->phase == CONTAINER_TERMINATED))
                back_off(c, true);
        return c->record->phase == CONTAINER_TERMINATED && c->record->exit_code == 0;
}

static void check_deadline(struct pod *p) {
        int64_t seconds = json_int_or(p->object, "spec.activeDeadlineSeconds", 0);
        uint64_t end = p->start_us + (uint64_t)seconds * 1000000, now = now_wall_us();

        if (seconds <= 0 || p->failed_reason)
                return;
        if (now < end) {
                pod_wake_at(p, now_mono_us() + end - now);
                return;
        }
        p->failed_reason = strdup("DeadlineExceeded");
        p->failed_message = strdup("Pod was active on the node longer than the specified deadline");
        for (size_t i = 0; i < p->count; i++)
                if (units_get(p->pods->agent->units, p->containers[i].unit))
                        container_end(&p->containers[i], false, -1);
}

/* 1 when the pod may run here; 0 while this node's taints are not known. A pod that may not fails,
 * and is on disk as one that failed before it is there as one to start. */
static int ensure_admitted(struct pod *p) {
        _cleanup_problem_ struct problem problem = {0};

        if (p->admitted)
                return 1;
        if (!p->pods->node_seen)
                return 0;
        if (pod_admit(p->object, p->pods->taints, &problem) < 0) {
                p->failed_reason = strdup(strempty(problem.reason));
                p->failed_message = strdup(strempty(problem.message));
                pod_event(p, "Warning", strempty(problem.reason), "%s", strempty(problem.message));
                pod_report(p);
        }
        p->admitted = true;
        pod_save_desired(p);
        return 1;
}

void pod_step_start(struct pod *p) {
        if (!ensure_admitted(p))
                return;
        if (pod_is_terminal(p)) {
                for (size_t i = 0; i < p->count; i++) {
                        struct container *c = &p->containers[i];
                        const struct unit_state *s = units_get(p->pods->agent->units, c->unit);

                        if (s && s->exec_code != 0 && s->main_pid == 0)
                                (void)note_start(c, s, false);
                        container_probes_stop(c);
                }
                pod_sweep_evicted(p);
                pod_report(p);
                return;
        }
        /* The slice may forget the pod before we hear of its deletion. */
        if (p->pods->agent->nft)
                p->was_served |= nft_serves_pod(p->pods->agent->nft, p->uid);
        check_deadline(p);
        if (p->failed_reason || !ensure_resources(p) || !ensure_network(p) || !pod_ensure_plan(p)) {
                pod_report(p);
                return;
        }
        pod_check_usage(p);
        for (size_t i = 0; i < p->count; i++) {
                struct container *c = &p->containers[i];
                int done;

                if (c->record->init && c->record->phase == CONTAINER_TERMINATED &&
                                c->record->exit_code == 0)
                        continue;
                done = ensure_container(c);
                /* The others wait for this one's good end. */
                if (c->record->init && (!done || c->record->phase != CONTAINER_TERMINATED))
                        break;
        }
        pod_report(p);
}
