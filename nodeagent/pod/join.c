/* The process namespace of a container that runs is found by its main process. The number of a
 * process may be used again before kpod-exec looks at it, so the time of its start goes with it. */
#include "lib/fileio.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pod.h"

enum { STAT_MAX = 4096, START_FIELD = 22 /* proc(5) */ };

/* "PID START"; NULL: it is not there, or out of memory. Caller frees. */
static char *process_of(uint32_t pid) {
        _cleanup_free_ char *path = strformat("/proc/%u/stat", pid), *text = NULL;
        const char *s;
        size_t n;

        if (!path || file_read(path, STAT_MAX, &text, &n) < 0)
                return NULL;
        /* The second field is a name, which may have blanks and brackets. */
        s = strrchr(text, ')');
        for (int field = 2; s && field < START_FIELD; field++)
                s = strchr(s + 1, ' ');
        return s ? strformat("%u %.*s", pid, (int)strcspn(s + 1, " "), s + 1) : NULL;
}

static uint32_t main_process(const struct container *c) {
        struct run_state state;

        return runtime_state(c->pod->pods->agent->runtime, c->unit, &state) > 0 ? state.pid : 0;
}

/* The owner of the folder in /proc is another one while the process cannot be traced. */
int container_user(const struct container *c, uint32_t *ret) {
        _cleanup_free_ char *path = strformat("/proc/%u/status", main_process(c)), *text = NULL,
                            *number = NULL;
        const char *s;
        size_t n;

        if (!path)
                return -ENOMEM;
        if (file_read(path, STAT_MAX, &text, &n) < 0)
                return -ESRCH;
        s = strstr(text, "\nUid:\t");
        s = s ? s + strlen("\nUid:\t") : "";
        number = strndup(s, strcspn(s, "\t"));
        if (!number)
                return -ENOMEM;
        return parse_u32(number, ret) < 0 ? -ESRCH : 0;
}

int container_join(const struct container *c, json_t *unit) {
        json_t *pids = json_object_get(json_object_get(unit, "start"), "pids");
        _cleanup_free_ char *process = NULL;

        if (!pids)
                return 0;
        process = process_of(main_process(c));
        if (!process)
                return -ESRCH;
        return json_object_set_new(pids, "join", json_string(process)) < 0 ? -ENOMEM : 0;
}

int container_join_target(
                const struct container *c, const json_t *unit, json_t **ret, struct problem *p) {
        const char *target = json_str(unit, "start.pids.target");
        _cleanup_json_ json_t *copy = NULL;
        const struct container *of;
        int r;

        if (!target)
                return 0;
        copy = json_deep_copy(unit);
        if (!copy)
                return -ENOMEM;
        of = pod_container(c->pod, target);
        r = of ? container_join(of, copy) : -ESRCH;
        if (r == -ESRCH)
                return problem_set(p, ESRCH, 0, "CreateContainerError",
                                "container %s, whose processes are to be seen, does not run",
                                target);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(copy);
        return 0;
}
