/* systemd mounts and unmounts, other processes look into the shares: this file only asks and
 * listens, so that no server can hold up the agent. A failed mount is tried again when a pod asks
 * for it after a pause. */
#include "nodeagent/pod/shares.h"

#include <systemd/sd-journal.h>
#include <unistd.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/runtime/units.h"

#define REASON "ContainerCreating"
#define ERROR_DIR AGENT_RUN_DIR "/share-errors"

enum {
        MOUNT_TIMEOUT_US = 30 * 1000000,
        EXEC_TIMEOUT_US = 30 * 1000000,
        RETRY_US = 15 * 1000000,
        ERROR_SIZE_MAX = 4096,
        WORDS_MAX = 300,
};

/* A share that is being mounted, or could not be. */
struct attempt {
        char *what;
        char *failed; /* why; NULL: systemd is at work */
        uint64_t retry_us;
};

struct shares {
        struct agent *agent;
        struct map *attempts; /* by unit */
        char *held;           /* a folder, or NULL */
};

static void attempt_free(void *value) {
        struct attempt *a = value;

        free(a->what);
        free(a->failed);
        free(a);
}

static bool kernel_has_nfs(void) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        return file_read("/proc/filesystems", 64 * 1024, &text, &n) < 0 || strstr(text, "\tnfs");
}

static bool has_mount_program(void) {
        return access("/sbin/mount.nfs", X_OK) >= 0 || access("/usr/sbin/mount.nfs", X_OK) >= 0;
}

/* The last line that mount(8) has written in this run of the unit; NULL: none. Caller frees. */
static char *last_words(const char *invocation) {
        sd_journal *j = NULL;
        char match[sizeof("_SYSTEMD_INVOCATION_ID=") + 32], *text = NULL;
        const void *data;
        size_t n;

        snprintf(match, sizeof(match), "_SYSTEMD_INVOCATION_ID=%s", invocation);
        if (!*invocation || sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY) < 0)
                return NULL;
        if (sd_journal_add_match(j, match, 0) >= 0 && sd_journal_seek_tail(j) >= 0 &&
                        sd_journal_previous(j) > 0 &&
                        sd_journal_get_data(j, "MESSAGE", &data, &n) >= 0 && n > 8)
                text = strndup((const char *)data + 8, MIN(n - 8, (size_t)WORDS_MAX));
        sd_journal_close(j);
        return text;
}

/* Why a mount unit has failed, and what helps. state: NULL when it is gone already. Caller frees.
 */
static char *failure_text(const char *unit, const char *what, const struct unit_state *state) {
        _cleanup_free_ char *said = NULL;

        if (state && streq(state->result, "timeout"))
                return strformat(
                                "NFS share %s: the server did not answer within %d s; check that it "
                                "runs, and that this node may reach its port 2049",
                                what, MOUNT_TIMEOUT_US / 1000000);
        said = state ? last_words(state->invocation) : NULL;
        return strformat(
                        "NFS share %s: mounting it failed%s%s; %s (`journalctl -u %s` on this node)",
                        what, said ? ": " : "", strempty(said),
                        kernel_has_nfs()
                                        ? "check server, path and mount options, and that the "
                                          "server exports the path to this node"
                                        : "the kernel of this node has no NFS client: load it with "
                                          "`modprobe nfs`, or use another kernel",
                        unit);
}

static void fail(struct attempt *a, char *why) {
        free(a->failed);
        a->failed = why;
        a->retry_us = now_mono_us() + RETRY_US;
        log_warning("%s", strempty(why));
}

static void on_mount(const char *name, const struct unit_state *state, const char *error,
                void *userdata) {
        struct shares *s = userdata;
        struct attempt *a = map_get(s->attempts, name);

        if (state && streq(state->active, "active"))
                map_remove(s->attempts, name);
        else if (a && !a->failed && error)
                fail(a, strformat("NFS share %s: systemd refused to mount it: %s", a->what, error));
        else if (a && !a->failed && state && streq(state->active, "failed"))
                fail(a, failure_text(name, a->what, state));
        /* A unit that ended while nobody looked. */
        else if (a && !a->failed && !state)
                fail(a, failure_text(name, a->what, /* state= */ NULL));
        else if (state)
                return;
        if (s->agent->pods)
                pods_wake_all(s->agent->pods);
}

static int attempt_new(struct shares *s, const json_t *share, struct attempt **ret) {
        struct attempt *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        a->what = strdup(json_str_or(share, "what", ""));
        r = a->what ? map_set(s->attempts, json_str_or(share, "unit", ""), a) : -ENOMEM;
        if (r < 0) {
                attempt_free(a);
                return r;
        }
        *ret = a;
        return 0;
}

static int mount_share(struct shares *s, const json_t *share, struct problem *p) {
        const struct units_share unit = {.name = json_str_or(share, "unit", ""),
                        .what = json_str_or(share, "what", ""),
                        .options = json_str_or(share, "options", ""),
                        .timeout_us = MOUNT_TIMEOUT_US};
        struct attempt *a;
        int r;

        if (!has_mount_program())
                return problem_set(p, EAGAIN, 0, REASON,
                                "NFS share %s: this node has no /sbin/mount.nfs; install it with "
                                "`apt install nfs-common`",
                                unit.what);
        r = mkdir_parents(SHARES_DIR, 0700);
        if (r < 0)
                return r;
        r = attempt_new(s, share, &a);
        if (r < 0)
                return r;
        r = units_mount(s->agent->units, &unit);
        if (r < 0)
                map_remove(s->attempts, unit.name);
        return r;
}

int shares_want(struct shares *s, const json_t *share, struct problem *p) {
        const char *name = json_str_or(share, "unit", ""), *what = json_str_or(share, "what", "");
        const struct unit_state *state = units_get(s->agent->units, name);
        const struct attempt *a = map_get(s->attempts, name);
        int r;

        if (state && streq(state->active, "active"))
                return 1;
        if (a && a->failed && now_mono_us() < a->retry_us)
                return problem_set(p, EAGAIN, 0, REASON, "%s", a->failed);
        if (a && a->failed) {
                map_remove(s->attempts, name);
                a = NULL;
        }
        /* One that is being unmounted is mounted again afterwards. */
        if (!a && !state) {
                r = mount_share(s, share, p);
                if (r < 0)
                        return r;
        }
        (void)problem_set(p, EAGAIN, 0, REASON, "waiting for the NFS share %s to be mounted", what);
        return 0;
}

static void sweep_one(const char *name, const struct unit_state *state, void *userdata) {
        struct shares *s = userdata;
        const char *hash = startswith(name, SHARE_UNIT_PREFIX);
        char where[sizeof(SHARES_DIR) + 64];

        if (!hash || !streq(state->active, "active"))
                return;
        snprintf(where, sizeof(where), SHARES_DIR "/%.*s", (int)strcspn(hash, "."), hash);
        if (streq_ptr(s->held, where) || pods_use_share(s->agent->pods, where))
                return;
        log_info("Unmounting the NFS share at %s: no pod has it", where);
        (void)units_stop(s->agent->units, name);
}

void shares_sweep(struct shares *s) {
        if (!s)
                return;
        units_each(s->agent->units, sweep_one, s);
}

int shares_hold(struct shares *s, const char *where) {
        char *copy = where ? strdup(where) : NULL;

        if (where && !copy)
                return -ENOMEM;
        free(s->held);
        s->held = copy;
        return 0;
}

int shares_new(struct shares **ret, struct agent *agent) {
        struct shares *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->agent = agent;
        s->attempts = map_new(attempt_free);
        if (!s->attempts)
                return shares_free(s), -ENOMEM;
        units_on_mount(agent->units, on_mount, s);
        *ret = s;
        return 0;
}

struct shares *shares_free(struct shares *s) {
        if (!s)
                return NULL;
        units_on_mount(s->agent->units, /* func= */ NULL, /* userdata= */ NULL);
        map_free(s->attempts);
        free(s->held);
        free(s);
        return NULL;
}

/* ---- commands ---- */

struct shares_exec {
        struct units_exec *run;
        char *errors; /* the file for its message */
        shares_exec_func done;
        void *userdata;
};

static void exec_free(struct shares_exec *x) {
        if (x->errors)
                (void)unlink(x->errors);
        free(x->errors);
        free(x);
}

static void on_exec_done(const char *result, void *userdata) {
        struct shares_exec *x = userdata;
        _cleanup_free_ char *text = NULL;
        shares_exec_func done = x->done;
        void *of = x->userdata;
        size_t n;

        if (!streq(result, "done") && file_read(x->errors, ERROR_SIZE_MAX, &text, &n) < 0)
                text = streq(result, "timeout") || streq(result, "failed")
                                       ? strdup("the NFS share did not answer in time; check that "
                                                "its server runs")
                                       : strdup(result);
        x->run = NULL;
        exec_free(x);
        done(streq(result, "done") ? NULL : strempty(text), of);
}

/* The commands with the program and the file for messages in front. */
static json_t *full_commands(const struct shares_exec *x, const json_t *commands) {
        _cleanup_json_ json_t *out = json_array();
        const json_t *c, *word;
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        size_t i, k;

        if (!out || n < 0)
                return NULL;
        self[n] = 0;
        json_array_foreach (commands, i, c) {
                json_t *words = json_pack("[s]", self);

                json_array_foreach (c, k, word) {
                        json_array_append(words, json_unconst(word));
                        if (k == 0)
                                json_array_append_new(words, json_string(x->errors));
                }
                if (json_array_append_new(out, words) < 0)
                        return NULL;
        }
        return TAKE_PTR(out);
}

static int exec_unit(struct shares_exec *x, const json_t *commands, json_t **ret) {
        unsigned long long serial = random_u64();
        _cleanup_json_ json_t *full = NULL;

        x->errors = strformat(ERROR_DIR "/%016llx", serial);
        full = x->errors ? full_commands(x, commands) : NULL;
        if (!full)
                return -ENOMEM;
        *ret = json_pack("{s:o, s:{s:s, s:s, s:O, s:s, s:I, s:I}}", "name",
                        json_sprintf("kpodx-share_%016llx.service", serial), "properties",
                        "Description", "keelson: folders of an NFS share", "Type", "oneshot",
                        "ExecStartEx", full, "CollectMode", "inactive-or-failed",
                        "TimeoutStartUSec", (json_int_t)EXEC_TIMEOUT_US, "TimeoutStopUSec",
                        (json_int_t)1000000);
        return *ret ? 0 : -ENOMEM;
}

int shares_exec_start(struct shares *s, const json_t *commands, shares_exec_func done,
                void *userdata, struct shares_exec **ret) {
        struct shares_exec *x = calloc(1, sizeof(*x));
        _cleanup_json_ json_t *unit = NULL;
        int r = x ? mkdir_parents(ERROR_DIR, 0700) : -ENOMEM;

        if (r < 0)
                return free(x), r;
        x->done = done;
        x->userdata = userdata;
        r = exec_unit(x, commands, &unit);
        if (r < 0)
                return exec_free(x), r;
        r = units_exec_start(s->agent->units, unit, on_exec_done, x, &x->run);
        if (r < 0)
                return exec_free(x), r;
        *ret = x;
        return 0;
}

struct shares_exec *shares_exec_cancel(struct shares_exec *x) {
        if (!x)
                return NULL;
        units_exec_cancel(x->run);
        exec_free(x);
        return NULL;
}

/* ---- the shares of a pod ---- */

static int want_all(struct shares *s, const json_t *plan, struct problem *p) {
        const json_t *v;
        int all = 1;
        size_t i;

        json_array_foreach (json_at(plan, "volumes"), i, v) {
                int r;

                if (!streq(json_str_or(v, "type", ""), "share"))
                        continue;
                r = shares_want(s, json_at(v, "share"), p);
                if (r < 0)
                        return r;
                all &= r;
        }
        return all;
}

static void on_bound(const char *why, void *userdata) {
        struct pod *p = userdata;
        struct pod_shares *s = &p->shares;

        s->binding = NULL;
        s->bound = !why;
        free(s->failed);
        s->failed = why ? strdup(why) : NULL;
        s->retry_us = now_mono_us() + RETRY_US;
        pod_wake(p);
}

int shares_prepare(struct pod *pod, const json_t *plan, struct problem *p) {
        struct shares *all = pod->pods->agent->shares;
        struct pod_shares *s = &pod->shares;
        _cleanup_json_ json_t *binds = NULL;
        int r = want_all(all, plan, p);

        if (r <= 0)
                return r;
        binds = pod_share_binds(plan);
        if (!binds)
                return -ENOMEM;
        if (s->bound || json_array_size(binds) == 0)
                return 1;
        if (!s->binding && s->failed && now_mono_us() < s->retry_us)
                return problem_set(p, EAGAIN, 0, REASON, "%s", s->failed);
        if (!s->binding) {
                r = shares_exec_start(all, binds, on_bound, pod, &s->binding);
                if (r < 0)
                        return r;
        }
        (void)problem_set(p, EAGAIN, 0, REASON, "waiting for the folders of its NFS shares");
        return 0;
}

void pod_shares_done(struct pod *p) {
        p->shares.binding = shares_exec_cancel(p->shares.binding);
        p->shares.failed = mfree(p->shares.failed);
        p->shares.bound = false;
}
