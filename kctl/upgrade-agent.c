/* One node: its agent is replaced and restarted, its pods run on. It is done when the agent has
 * reported since, in its new version, the node is Ready, and no pod was restarted. */
#include "kctl/texts.h"
#include "kctl/upgrade.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { COMMAND_S = 120, WAIT_DEFAULT_S = 120, LOOK_US = 300000 };

static void say(const char *node, const char *what) {
        printf("%s: %s\n", node, what);
        fflush(stdout);
}

static int get(struct kctl *k, enum kind_id kind, const char *ns, const char *name, json_t **ret,
                struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(kind), ns, name,
                        /* subresource= */ NULL, /* query= */ NULL);

        return path ? api_get(k->client, path, ret, p) : -ENOMEM;
}

/* The agent's own last words; systemd's about it say less. */
static void add_words(struct machine *m, struct problem *p) {
        _cleanup_problem_ struct problem ignored = {0};
        _cleanup_buf_ struct buf out = {0};
        _cleanup_free_ char *message = strdup(strempty(p->message));
        int status;

        if (machine_try(m,
                            "journalctl --no-pager -q -n 1 -o cat "
                            "_SYSTEMD_UNIT=keelson-nodeagent.service",
                            /* input= */ NULL, 0, COMMAND_S, &out, /* ret_stderr= */ NULL, &status,
                            &ignored) < 0 ||
                        out.size == 0 || !message)
                return;
        problem_set(p, EIO, 0, NULL,
                        "%s. Its agent's last line: %.*s; `journalctl -u keelson-nodeagent` there "
                        "has all of it",
                        message, (int)strcspn(out.data, "\n"), out.data);
}

/* ret_us: the clock there when the earlier agent had ended; 0: it was not restarted, it runs. */
static int restart(struct machine *m, const char *node, uint64_t *ret_us, struct problem *p) {
        _cleanup_buf_ struct buf out = {0};
        int64_t us = 0;
        int r = upgrade_is_running(m, "nodeagent", p);

        *ret_us = 0;
        if (r != 0)
                return r < 0 ? r : 0;
        r = machine_run(m, text_start_agent_sh, /* input= */ NULL, 0, COMMAND_S, &out, p);
        if (r < 0) {
                problem_set(p, EIO, 0, NULL, "%s: its agent does not start", node);
                add_words(m, p);
                return r;
        }
        if (out.size > 0)
                out.data[strcspn(out.data, "\n")] = 0;
        if (parse_i64(strempty(out.data), &us) < 0 || us <= 0)
                return problem_set(p, EPROTO, 0, NULL, "%s: its clock could not be read", node);
        *ret_us = (uint64_t)us;
        return 0;
}

/* 1: all is as it should be; else a word what is not. */
static int look(const struct upgrade_run *run, const char *node, const char *version,
                uint64_t since_us, const char **ret_why, struct problem *p) {
        _cleanup_json_ json_t *lease = NULL, *o = NULL;
        _cleanup_free_ char *want = strformat("v%s+keelson", version);
        uint64_t renewed = 0;
        int r = want ? get(run->k, KIND_LEASES, "kube-node-lease", node, &lease, p) : -ENOMEM;

        if (r < 0)
                return r;
        if (time_parse(json_str_or(lease, "spec.renewTime", ""), &renewed) < 0 ||
                        renewed <= since_us) {
                *ret_why = "its agent has not reported since its restart";
                return 0;
        }
        r = get(run->k, KIND_NODES, /* ns= */ NULL, node, &o, p);
        if (r < 0)
                return r;
        if (!object_condition_true(o, "Ready"))
                *ret_why = "it is not Ready";
        else if (!streq(json_str_or(o, "status.nodeInfo.kubeletVersion", ""), want))
                *ret_why = "its agent does not report the new version";
        else
                return 1;
        return 0;
}

static int wait_report(const struct upgrade_run *run, struct machine *m, const char *node,
                uint64_t since_us, struct problem *p) {
        uint64_t timeout = run->k->flags.timeout_us,
                 deadline = now_mono_us() +
                            (timeout ? timeout : WAIT_DEFAULT_S * UINT64_C(1000000));
        _cleanup_free_ char *version = NULL;
        int r = upgrade_installed_version(m, "agent", &version, p);

        while (r >= 0) {
                const char *why = "";

                r = look(run, node, version, since_us, &why, p);
                if (r > 0)
                        return 0;
                /* A kapid that is away for a moment is no fault of the node. */
                if (r < 0 && now_mono_us() <= deadline)
                        r = 0;
                if (r >= 0 && now_mono_us() > deadline) {
                        r = problem_set(p, ETIMEDOUT, 0, NULL,
                                        "%s: it did not come back in time: %s", node, why);
                        add_words(m, p);
                }
                if (r >= 0)
                        usleep(LOOK_US);
        }
        return r;
}

static int check_pods(const struct upgrade_run *run, struct machine *m, const char *node,
                const struct upgrade_pods *before, struct problem *p) {
        _cleanup_(upgrade_pods_done) struct upgrade_pods after = {0};
        _cleanup_free_ char *restarted = NULL;
        int r = upgrade_pods_see(run->k, m, node, &after, p);

        if (r < 0)
                return r;
        r = upgrade_pods_restarted(before, &after, &restarted);
        if (r < 0 || !restarted)
                return r;
        return problem_set(p, EIO, 0, NULL,
                        "%s: pods were restarted meanwhile, which an upgrade never does: %s; look "
                        "at kctl describe pod and the agent's journal before you continue",
                        node, restarted);
}

static int replace(const struct upgrade_run *run, struct machine *m, const char *node,
                struct problem *p) {
        _cleanup_(upgrade_pods_done) struct upgrade_pods before = {0};
        uint64_t since_us;
        int r = upgrade_pods_see(run->k, m, node, &before, p);

        if (r < 0)
                return r;
        r = upgrade_install(run, m, "agent", p);
        if (r < 0)
                return r;
        say(node, r == 0               ? "its programs are in place already"
                        : run->bundles ? "its programs were copied, the earlier ones are kept"
                                       : "its earlier programs were put back");
        r = restart(m, node, &since_us, p);
        if (r < 0)
                return r;
        say(node, "waiting for the report of its agent");
        r = wait_report(run, m, node, since_us, p);
        if (r < 0)
                return r;
        r = check_pods(run, m, node, &before, p);
        if (r >= 0)
                say(node, "done");
        return r;
}

int upgrade_agent(const struct upgrade_run *run, const json_t *node, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        int r = machine_open_node(&m, run->k, node, p);

        return r < 0 ? r : replace(run, m, object_name(node), p);
}
