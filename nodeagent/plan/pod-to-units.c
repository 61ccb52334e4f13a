/* Pod -> units: all that a pod becomes on a systemd machine. docs/pod-to-units.md is the user's
 * page about it; the golden files in tests/golden/pod-to-units show it by example. */
#include "nodeagent/plan/plan.h"

#include "lib/object.h"
#include "lib/pki.h"
#include "nodeagent/logs/log-collect.h"
#include "nodeagent/plan/ephemeral.h"
#include "nodeagent/plan/image.h"
#include "nodeagent/plan/pids.h"
#include "nodeagent/plan/pod-fields.h"
#include "nodeagent/plan/restart.h"

#define REASON "CreateContainerConfigError"

enum {
        UNIT_STEM_LENGTH_MAX = 190, /* 255 bytes for systemd-private-<boot>-<unit>-XXXXXX */
        NAME_HASH_LENGTH = 16,
        RESTART_US = 1000000, /* systemd restarts after this time ... */
        RESTART_BURST = 5,    /* ... at most N times in the interval; then the agent backs off */
        SOCKET_BURST = 8,     /* the same where connections start it */
        SOCKET_INTERVAL_US = 10000000,
};
#define RESTART_INTERVAL_US INT64_C(600000000)

static uint32_t fnv(uint32_t hash, const char *s) {
        for (; *s; s++)
                hash = (hash ^ (unsigned char)*s) * UINT32_C(16777619);
        return hash;
}

/* Namespace and container have at most 63 characters each; only the pod's name may be too long.
 * Names have no "_", so that a shortened name never equals the full name of another pod. */
static char *unit_name(const char *prefix, const char *ns, const char *pod, const char *container,
                const char *suffix) {
        _cleanup_free_ char *stem = strformat("%s-%s_%s_%s%s", prefix, ns, pod, container, suffix);
        size_t n = stem ? strlen(stem) : 0, over, length = strlen(pod);
        char hash[65];

        if (!stem)
                return NULL;
        if (n <= UNIT_STEM_LENGTH_MAX)
                return strformat("%s.service", stem);
        sha256_hex(pod, length, hash);
        over = n + 1 + NAME_HASH_LENGTH - UNIT_STEM_LENGTH_MAX;
        return strformat("%s-%.63s_%.*s_%.*s_%.63s%s.service", prefix, ns,
                        (int)(length > over ? length - over : 0), pod, NAME_HASH_LENGTH, hash,
                        container, suffix);
}

char *pod_unit_name_of(const char *ns, const char *pod, const char *container) {
        return unit_name("kpod", ns, pod, container, "");
}

char *pod_unit_name(const json_t *pod, const char *container) {
        return pod_unit_name_of(object_namespace(pod), object_name(pod), container);
}

char *pod_exec_unit_name(const json_t *pod, const char *container, unsigned serial) {
        char suffix[16];

        snprintf(suffix, sizeof(suffix), "_%u", serial);
        return unit_name("kpodx", object_namespace(pod), object_name(pod), container, suffix);
}

char *pod_stream_unit_name(const json_t *pod, const char *container, uint32_t number) {
        char suffix[16];

        snprintf(suffix, sizeof(suffix), "_%u", number);
        return unit_name("kpode", object_namespace(pod), object_name(pod), container, suffix);
}

char *pod_share_unit_name(const json_t *pod) {
        return unit_name("kpodi", object_namespace(pod), object_name(pod), "", "");
}

char *pod_slice_name(const char *uid) {
        char *s = strformat("keelson-pod_%s.slice", uid);

        for (char *c = s ? s + strlen("keelson-pod_") : NULL; c && *c; c++)
                if (*c == '-')
                        *c = '_';
        return s;
}

const char *container_list_name(enum container_list list) {
        static const char *const names[CONTAINER_LISTS] = {[CONTAINERS_INIT] = "initContainers",
                        [CONTAINERS_MAIN] = "containers",
                        [CONTAINERS_EPHEMERAL] = "ephemeralContainers"};

        assert(list < CONTAINER_LISTS);
        return names[list];
}

/* Keys that may be there and empty come last. */
enum { EMPTY_FROM = 2, EMPTY_COUNT = 3 };

/* empty: a bit for each of those that counts as empty where the container lacks it. */
static uint32_t hash_of(const json_t *pod, const json_t *container, unsigned empty) {
        static const char *const keys[EMPTY_FROM + EMPTY_COUNT] = {
                        "name", "image", "command", "args", "workingDir"};
        static const char *const empties[EMPTY_COUNT] = {"[]", "[]", "\"\""};
        uint32_t hash = fnv(UINT32_C(2166136261), object_uid(pod));

        for (size_t i = 0; i < ELEMENTS(keys); i++) {
                const json_t *v = json_object_get(container, keys[i]);
                const bool is_empty = i >= EMPTY_FROM && empty & 1u << (i - EMPTY_FROM);
                char *text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS)
                               : NULL;

                hash = fnv(fnv(hash, "|"), text ? text : is_empty ? empties[i - EMPTY_FROM] : "");
                free(text);
        }
        return hash;
}

uint32_t pod_container_hash(const json_t *pod, const json_t *container) {
        return hash_of(pod, container, 0);
}

bool pod_container_made(const json_t *pod, const json_t *container, const char *description) {
        for (unsigned empty = 0; empty < 1u << EMPTY_COUNT; empty++) {
                char hash[16];

                snprintf(hash, sizeof(hash), "[%08x]", hash_of(pod, container, empty));
                if (strstr(description, hash))
                        return true;
        }
        return false;
}

bool pod_readiness_is_notify(const json_t *pod, const char *container) {
        _cleanup_free_ char *own = strformat("%s.keelson.dev/readiness", container);
        const char *v = own ? object_annotation(pod, own) : NULL;

        return streq_ptr(v ? v : object_annotation(pod, "keelson.dev/readiness"), "notify");
}

static void set_str(json_t *o, const char *key, const char *value) {
        json_object_set_new(o, key, json_string(value));
}

static void set_int(json_t *o, const char *key, int64_t value) {
        json_object_set_new(o, key, json_integer(value));
}

/* A probe may have its own grace period (KEP-2238); the agent itself enforces a shorter one. */
static int64_t longest_grace_s(const json_t *pod, const json_t *container) {
        static const char *const own[] = {"livenessProbe.terminationGracePeriodSeconds",
                        "startupProbe.terminationGracePeriodSeconds"};
        int64_t s = MAX(json_int_or(pod, "spec.terminationGracePeriodSeconds", 30), INT64_C(1));

        for (size_t i = 0; i < ELEMENTS(own); i++)
                s = MAX(s, json_int_or(container, own[i], 0));
        return MIN(s, INT64_C(10) * 365 * 86400);
}

/* One that waits for connections ends well by itself, and starts again at the next one. systemd
 * counts these starts, too: the limit is for programs that cannot live. */
static void socket_lifetime(json_t *properties) {
        set_str(properties, "Restart", "on-failure");
        set_int(properties, "StartLimitIntervalUSec", SOCKET_INTERVAL_US);
        set_int(properties, "StartLimitBurst", SOCKET_BURST);
}

static void lifetime(const json_t *pod, const json_t *container, enum container_list list,
                json_t *properties) {
        bool init = list == CONTAINERS_INIT,
             sidecar = init && streq(json_str_or(container, "restartPolicy", ""), "Always");
        const char *policy = container_restart_policy(pod, container);
        bool stays = !init || sidecar, always = streq(policy, "Always") && stays,
             never = streq(policy, "Never");
        bool notify = pod_readiness_is_notify(pod, json_str_or(container, "name", "")) && stays;

        set_str(properties, "Type", notify ? "notify" : "exec");
        if (notify) {
                set_str(properties, "NotifyAccess", "all");
                set_int(properties, "TimeoutStartUSec", -1);
        }
        /* The hook is a part of the start, and may take as long as it likes. */
        if (json_at(container, "lifecycle.postStart.exec"))
                set_int(properties, "TimeoutStartUSec", -1);
        set_str(properties, "Restart", never ? "no" : always ? "always" : "on-failure");
        if (!never) {
                set_int(properties, "RestartUSec", RESTART_US);
                set_int(properties, "StartLimitIntervalUSec", RESTART_INTERVAL_US);
                set_int(properties, "StartLimitBurst", RESTART_BURST);
        }
        /* A finished unit must stay, so that its exit status can be read, also by the next agent.
         */
        if (!always)
                json_object_set_new(properties, "RemainAfterExit", json_true());
        else if (list == CONTAINERS_MAIN && pod_is_socket_activated(pod, container))
                socket_lifetime(properties);
        set_int(properties, "TimeoutStopUSec", longest_grace_s(pod, container) * 1000000);
}

/* The same connection in both directions, or a terminal, of which keelson-logs.service has the
 * other end. It writes what `kctl attach` sends. */
static int standard_input(const json_t *container, const char *socket, json_t *properties) {
        _cleanup_free_ char *tty = NULL;

        if (!json_bool_or(container, "tty", false)) {
                if (json_bool_or(container, "stdin", false))
                        set_str(properties, "StandardInputFile", socket);
                return 0;
        }
        tty = strformat("%s" LOG_TTY_SUFFIX, socket);
        if (!tty)
                return -ENOMEM;
        set_str(properties, "TTYPath", tty);
        set_str(properties, "StandardInput", "tty");
        set_str(properties, "StandardOutput", "tty");
        return 0;
}

/* What keelson-logs.service does with the input; NULL: there is none. */
static json_t *stream_of(const json_t *container) {
        bool in = json_bool_or(container, "stdin", false),
             tty = json_bool_or(container, "tty", false);

        if (!in && !tty)
                return NULL;
        return json_pack("{s:b, s:b, s:b}", "stdin", in, "stdinOnce",
                        json_bool_or(container, "stdinOnce", false), "tty", tty);
}

static int identification(const json_t *pod, const json_t *container, json_t *properties) {
        const char *name = json_str_or(container, "name", "");
        _cleanup_free_ char *socket = log_socket_path(object_uid(pod), name),
                            *slice = pod_slice_name(object_uid(pod));
        int r;

        if (!socket || !slice)
                return -ENOMEM;
        json_object_set_new(properties, "Description",
                        json_sprintf("Pod %s/%s container %s [%08x]", object_namespace(pod),
                                        object_name(pod), name,
                                        pod_container_hash(pod, container)));
        set_str(properties, "Slice", slice);
        set_str(properties, "StandardOutputFile", socket);
        r = standard_input(container, socket, properties);
        if (r < 0)
                return r;
        json_object_set_new(properties, "After", json_pack("[s]", LOG_COLLECT_UNIT));
        json_object_set_new(properties, "LogExtraFields",
                        json_pack("[o, o, o, o]",
                                        json_sprintf("KEELSON_NAMESPACE=%s", object_namespace(pod)),
                                        json_sprintf("KEELSON_POD=%s", object_name(pod)),
                                        json_sprintf("KEELSON_POD_UID=%s", object_uid(pod)),
                                        json_sprintf("KEELSON_CONTAINER=%s", name)));
        return 0;
}

static void bind(json_t *properties, const char *key, const char *source, const char *target) {
        json_t *binds = json_object_get(properties, key);

        if (!binds) {
                binds = json_array();
                json_object_set_new(properties, key, binds);
        }
        json_array_append_new(binds, json_pack("[s, s]", source, target));
}

#define RUN_EXEC "/run/kpod/exec"
#define RUN_COMMAND "/run/kpod/command"
#define RUN_REPORT "/run/kpod/report"

/* Plain words only: systemd 252 does not write `$`, `;` and so on back unchanged, so that the next
 * daemon-reload would change the command. The real command is in files (kpod-exec.c). */
static json_t *exec_words(const char *file, bool report) {
        json_t *words = json_pack("[s, o]", RUN_EXEC, json_sprintf(RUN_COMMAND "/%s", file));

        if (report)
                json_array_append_new(words, json_string(RUN_REPORT));
        return json_pack("[o]", words);
}

static int start_of(const json_t *container, const struct pod_env *env, const struct pod_facts *f,
                json_t *properties, json_t **ret, struct problem *p) {
        const char *name = json_str_or(container, "name", "");
        const json_t *hook = json_at(container, "lifecycle.postStart.exec.command"),
                     *image = image_of_container(f, container);
        json_t *environment = json_copy(env->plain), *commands = json_object(), *words = NULL;
        _cleanup_json_ json_t *start = json_pack("{s:o, s:o, s:s, s:o, s:o}", "dir",
                        json_sprintf("%s/command/%s", f->secret_dir, name), "report",
                        json_sprintf("%s/containers/%s/report", f->disk_dir, name), "workingDir",
                        image_working_dir(image, container), "environment", environment, "commands",
                        commands);
        int r;

        if (!start || json_array_extend(environment, env->secret) < 0)
                return -ENOMEM;
        r = image_command(image, container, env, &words, p);
        if (r < 0)
                return r;
        if (json_object_set_new(commands, "main", words) < 0)
                return -ENOMEM;
        if (hook && json_object_set(commands, "post-start", (json_t *)hook) < 0)
                return -ENOMEM;
        bind(properties, "BindReadOnlyPaths", f->exec_program, RUN_EXEC);
        bind(properties, "BindReadOnlyPaths", json_str_or(start, "dir", ""), RUN_COMMAND);
        bind(properties, "BindPaths", json_str_or(start, "report", ""), RUN_REPORT);
        json_object_set_new(properties, "ExecStartEx", exec_words("main", true));
        if (hook)
                json_object_set_new(properties, "ExecStartPostEx", exec_words("post-start", false));
        *ret = TAKE_PTR(start);
        return 0;
}

/* The last mount: whether it is possible depends on the other mounts and the annotations. */
static int termination_message(const json_t *container, const json_t *volumes,
                const struct pod_facts *f, json_t *properties, json_t *start, struct problem *p) {
        const char *name = json_str_or(container, "name", ""), *volume,
                   *given = json_str_or(container, "terminationMessagePath", "");
        _cleanup_free_ char *path = NULL, *devices = NULL;

        if (!*given)
                return 0;
        path = pod_mount_target(properties, given);
        if (!path || streq(path, "/"))
                return problem_set(p, EINVAL, 0, REASON,
                                "terminationMessagePath '%s' must be absolute, without '..' and "
                                "not /",
                                given);
        volume = container_is_privileged(container)
                                 ? NULL
                                 : pod_volume_above(container, volumes, properties, path);
        /* It is the default: the user did not ask for it. */
        if (volume && streq(path, "/dev/termination-log"))
                return 0;
        if (volume)
                return problem_set(p, EINVAL, 0, REASON,
                                "container %s: terminationMessagePath '%s' is in volume %s, where "
                                "a link could lead it elsewhere: choose a path outside of the "
                                "container's volumeMounts",
                                name, given, volume);
        if (startswith(path, "/dev/") && json_bool_or(properties, "PrivateDevices", false)) {
                int r;

                devices = strformat("%s/dev/%s", f->run_dir, name);
                r = devices ? pod_own_devices(properties, devices) : -ENOMEM;
                if (r <= 0)
                        return r;
                set_str(start, "devices", devices);
        }
        json_object_set_new(start, "message",
                        json_sprintf("%s/containers/%s/message", f->disk_dir, name));
        set_str(start, "messagePath", path);
        bind(properties, "BindPaths", json_str_or(start, "message", ""), path);
        return 0;
}

/* The volume of pod_etc_volume() is the last one, if it exists. */
static const json_t *etc_volume(const json_t *volumes) {
        const json_t *last = json_array_get(volumes, json_array_size(volumes) - 1);

        return strchr(json_str_or(last, "name", ""), '~') ? last : NULL;
}

/* Fields without effect on this node, in sentences that begin with the field. */
static json_t *warnings_of(const json_t *pod, const struct pod_facts *f) {
        _cleanup_json_ json_t *list = json_array(), *variables = NULL;

        if (list && pod_service_env(pod, f, &variables) == -E2BIG)
                json_array_append_new(list,
                                json_string("spec.enableServiceLinks: the namespace has too many "
                                            "services for an environment; no variables are made "
                                            "(false avoids this warning)"));
        if (list)
                pod_dns_warnings(pod, f, list);
        return TAKE_PTR(list);
}

/* All properties of a container's unit but its mounts. */
static int fill_unit(const json_t *pod, const json_t *container, enum container_list list,
                const struct pod_env *env, const struct pod_facts *f, json_t *properties,
                json_t **ret_start, struct problem *p) {
        int r;

        r = identification(pod, container, properties);
        if (r < 0)
                return r;
        r = pod_fields_apply(pod, container, properties);
        if (r < 0)
                return r;
        r = image_set_root(f, container, properties);
        if (r < 0)
                return r;
        lifetime(pod, container, list, properties);
        r = image_stop_signal(image_of_container(f, container), container, properties);
        if (r < 0)
                return r;
        set_int(properties, "OOMScoreAdjust", pod_oom_score(pod, container, f->memory_bytes));
        return start_of(container, env, f, properties, ret_start, p);
}

/* The order matters: each step looks at what the ones before it have mounted. */
static int mount_all(const json_t *pod, const json_t *container, const json_t *volumes,
                const struct pod_env *env, const struct pod_facts *f, json_t *properties,
                json_t *stage, json_t *start, struct problem *p) {
        int r;

        r = pod_mounts(container, volumes, env->names, f, properties, stage, p);
        if (r < 0)
                return r;
        r = pod_security(pod, container, f, properties, p);
        if (r < 0)
                return r;
        if (f->netns_path)
                set_str(properties, "NetworkNamespacePath", f->netns_path);
        pod_etc_mounts(pod, container, etc_volume(volumes), f->resolv_conf, properties);
        r = pod_passthrough(pod, container, properties, p);
        if (r < 0)
                return r;
        r = pod_terminals(f, properties);
        if (r < 0)
                return r;
        r = termination_message(container, volumes, f, properties, start, p);
        if (r < 0)
                return r;
        r = pod_protect(container, volumes, f, properties);
        if (r < 0)
                return r;
        r = pod_shares_check(container, volumes, properties, p);
        if (r < 0)
                return r;
        return pod_nested(container, volumes, properties, stage);
}

static int build_unit(const json_t *pod, const json_t *container, enum container_list list,
                const json_t *resources, const json_t *volumes, const struct pod_facts *f,
                json_t **ret, struct problem *p) {
        const char *name = json_str_or(container, "name", "");
        _cleanup_(pod_env_done) struct pod_env env = {0};
        _cleanup_json_ json_t *properties = json_object(), *stage = json_array(), *stream = NULL;
        _cleanup_free_ char *unit = pod_unit_name(pod, name);
        _cleanup_json_ json_t *start = NULL, *root = NULL, *socket = NULL;
        int r;

        if (!properties || !stage || !unit)
                return -ENOMEM;
        r = list == CONTAINERS_MAIN ? pod_adopted_plan(pod, container, ret, p) : 0;
        if (r != 0)
                return MIN(r, 0);
        r = pod_env_build(pod, container, resources, f, &env, p);
        if (r < 0)
                return r;
        r = fill_unit(pod, container, list, &env, f, properties, &start, p);
        if (r < 0)
                return r;
        r = mount_all(pod, container, volumes, &env, f, properties, stage, start, p);
        if (r < 0)
                return r;
        if (list == CONTAINERS_EPHEMERAL) {
                r = ephemeral_settle(properties);
                if (r < 0)
                        return r;
        }
        if (json_object_get(properties, "StandardOutput"))
                json_object_del(properties, "StandardOutputFile");
        r = image_root_plan(pod, container, f, properties, &root);
        if (r < 0)
                return r;
        if (list == CONTAINERS_MAIN) {
                r = pod_socket_unit(pod, container, unit, properties, &socket, p);
                if (r < 0)
                        return r;
        }
        *ret = json_pack("{s:s, s:s, s:O, s:O, s:O, s:b, s:O*, s:O*}", "container", name, "name",
                        unit, "properties", properties, "start", start, "stage", stage,
                        "privileged", container_is_privileged(container), "root", root, "socket",
                        socket);
        if (!*ret)
                return -ENOMEM;
        stream = stream_of(container);
        if (stream)
                json_object_set(*ret, "stream", stream);
        return 0;
}

/* The pod's slice: what its containers together ask for and may use. */
static int slice_unit(const json_t *pod, json_t **ret) {
        _cleanup_free_ char *name = pod_slice_name(object_uid(pod));
        _cleanup_json_ json_t *properties = NULL;
        int r = pod_slice_resources(pod, &properties);

        if (r < 0)
                return r;
        if (!name || json_object_set_new(properties, "Description",
                                     json_sprintf("Pod %s/%s", object_namespace(pod),
                                                     object_name(pod))) < 0)
                return -ENOMEM;
        *ret = json_pack("{s:s, s:O}", "name", name, "properties", properties);
        return *ret ? 0 : -ENOMEM;
}

/* A container whose image is not here yet has no unit (0), and one that cannot be made one says so
 * by itself: the pod runs already. */
static int build_ephemeral(const json_t *pod, const json_t *container, const json_t *resources,
                const json_t *volumes, const struct pod_facts *f, json_t **ret) {
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (!image_of_container(f, container))
                return 0;
        r = build_unit(pod, container, CONTAINERS_EPHEMERAL, resources, volumes, f, ret, &p);
        if (r >= 0)
                return 1;
        if (!p.message)
                return r;
        *ret = ephemeral_refused(container, &p);
        return *ret ? 1 : -ENOMEM;
}

/* The units of one list of the pod's spec. */
static int units_of(const json_t *pod, enum container_list list, const json_t *resources,
                const json_t *volumes, const struct pod_facts *f, json_t **ret, struct problem *p) {
        const json_t *c;
        _cleanup_json_ json_t *units = json_array();
        size_t i;

        if (!units)
                return -ENOMEM;
        json_array_foreach (json_get(pod, "spec", container_list_name(list), NULL), i, c) {
                json_t *unit = NULL;
                int r = list == CONTAINERS_EPHEMERAL
                                        ? build_ephemeral(pod, c, resources, volumes, f, &unit)
                                        : build_unit(pod, c, list, resources, volumes, f, &unit, p);

                if (r < 0)
                        return r;
                if (unit && json_array_append_new(units, unit) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(units);
        return 0;
}

static int all_volumes(const json_t *pod, const json_t *resources, const struct pod_facts *f,
                json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *volumes = NULL;
        json_t *etc = NULL;
        int r;

        r = pod_volumes(pod, resources, f, &volumes, p);
        if (r < 0)
                return r;
        r = pod_etc_volume(pod, f, &etc, p);
        if (r < 0)
                return r;
        if (r > 0 && json_array_append_new(volumes, etc) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(volumes);
        return 0;
}

static const char *claimed_folder(const json_t *volumes) {
        const json_t *v;
        size_t i;

        json_array_foreach (volumes, i, v) {
                const char *type = json_str_or(v, "type", "");

                if (json_bool_or(v, "readOnly", false))
                        continue;
                if (streq(type, "claim") || streq(type, "local"))
                        return json_str(v, "path");
                /* The same on all nodes. */
                if (streq(type, "share"))
                        return json_str(v, "source");
        }
        return NULL;
}

static int lighten_all(const struct pod_facts *facts, json_t *plan) {
        for (enum container_list l = 0; l < CONTAINER_LISTS; l++) {
                json_t *unit;
                size_t i;

                json_array_foreach (json_object_get(plan, container_list_name(l)), i, unit) {
                        int r = pod_lighten(facts, unit);

                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int pod_to_units(const json_t *pod, const json_t *resources, const struct pod_facts *facts,
                json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *out = json_object(), *volumes = NULL, *warnings = NULL,
                              *slice = NULL;
        struct pod_facts known = *facts;
        int r;

        if (json_array_size(json_at(pod, "spec.resourceClaims")) > 0)
                return problem_set(p, EINVAL, 0, REASON,
                                "spec.resourceClaims: devices are not claimed here; take the field "
                                "away");
        r = all_volumes(pod, resources, facts, &volumes, p);
        if (r < 0)
                return r;
        known.claimed = claimed_folder(volumes);
        warnings = warnings_of(pod, facts);
        if (json_array_size(warnings) > 0)
                json_object_set(out, "warnings", warnings);
        r = slice_unit(pod, &slice);
        if (r < 0)
                return r;
        json_object_set(out, "slice", slice);
        json_object_set(out, "volumes", volumes);
        for (enum container_list l = 0; l < CONTAINER_LISTS; l++) {
                const char *name = container_list_name(l);
                json_t *units = NULL;

                if (l == CONTAINERS_EPHEMERAL && !json_get(pod, "spec", name, NULL))
                        continue;
                r = units_of(pod, l, resources, volumes, &known, &units, p);
                if (r < 0)
                        return r;
                if (json_object_set_new(out, name, units) < 0)
                        return -ENOMEM;
        }
        r = pod_pids(pod, facts, out);
        if (r < 0)
                return r;
        r = ephemeral_warn(pod, out);
        if (r < 0)
                return r;
        r = lighten_all(facts, out);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(out);
        return 0;
}

json_t *pod_exec_unit(
                const json_t *unit, const char *name, const json_t *words, uint64_t timeout_us) {
        static const char *const dropped[] = {"Restart", "RestartUSec", "StartLimitIntervalUSec",
                        "StartLimitBurst", "RemainAfterExit", "RuntimeMaxUSec", "ExecStartPostEx",
                        "ExecStartPreEx", "WatchdogUSec", "NotifyAccess", "MemoryLow",
                        /* its output is not the container's log */
                        "StandardOutputFile", "LogExtraFields", "StandardInputFile", "TTYPath"};
        _cleanup_json_ json_t *copy = json_deep_copy(unit);
        json_t *properties = json_object_get(copy, "properties"),
               *start = json_object_get(copy, "start");
        const char *serial = strrchr(name, '_');
        _cleanup_free_ char *file =
                        serial ? strformat("run%.*s", (int)strcspn(serial, "."), serial) : NULL;

        if (!properties || !start || !file)
                return NULL;
        for (size_t i = 0; i < ELEMENTS(dropped); i++)
                json_object_del(properties, dropped[i]);
        set_str(properties, "Type", "oneshot");
        set_str(properties, "CollectMode", "inactive-or-failed");
        set_int(properties, "TimeoutStartUSec", (int64_t)timeout_us);
        set_int(properties, "TimeoutStopUSec", 1000000);
        json_object_set_new(properties, "ExecStartEx",
                        pids_has_namespace(copy) ? pids_words(start, file, false)
                                                 : exec_words(file, false));
        pids_strip(copy);
        json_object_set_new(start, "commands", json_pack("{s:O}", file, words));
        /* The same private /tmp: probes look for files there. */
        json_object_set_new(properties, "JoinsNamespaceOf",
                        json_pack("[s]", json_str_or(unit, "name", "")));
        json_object_set_new(copy, "name", json_string(name));
        return TAKE_PTR(copy);
}

static bool has_variable(const json_t *environment, const char *name) {
        size_t n = strlen(name), i;
        const json_t *v;

        json_array_foreach (environment, i, v) {
                const char *text = strempty(json_string_value(v));

                if (strncmp(text, name, n) == 0 && text[n] == '=')
                        return true;
        }
        return false;
}

json_t *pod_stream_unit(const json_t *unit, const char *name, const json_t *words, unsigned flags) {
        static const char *const dropped[] = {"TimeoutStartUSec", "StandardInput",
                        "StandardInputFile", "StandardOutput", "StandardError", "TTYPath"};
        _cleanup_json_ json_t *run = pod_exec_unit(unit, name, words, 0);
        json_t *properties = json_object_get(run, "properties"),
               *environment = json_object_get(json_object_get(run, "start"), "environment");

        if (!run)
                return NULL;
        for (size_t i = 0; i < ELEMENTS(dropped); i++)
                json_object_del(properties, dropped[i]);
        /* Its start is over when the command was executed, so that a failure to do so shows. */
        set_str(properties, "Type", "exec");
        set_str(run, "partOf", json_str_or(unit, "name", ""));
        if (flags & POD_STREAM_TTY && !has_variable(environment, "TERM"))
                json_array_append_new(environment, json_string("TERM=xterm"));
        return TAKE_PTR(run);
}
