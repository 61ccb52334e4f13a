/* What was reported is kept by its text, so that the same is not reported again and again. The
 * metric has a line for each kind; its action is the mode of this agent. */
#include "nodeagent/host-drift.h"

#include "lib/log.h"
#include "lib/timefmt.h"
#include "nodeagent/agent.h"
#include "nodeagent/node.h"

enum {
        REPAIRED_AGAIN_US = 10 * 1000000, /* the same event at most so often: another program may
                                             change it again and again */
        REPORTED_MAX = 256,
};
#define REPORTED_AGAIN_US INT64_C(3600000000) /* what is left as it is */

struct host_drift {
        struct agent *agent;
        bool report;
        struct map *reported; /* what -> uint64_t, when (monotonic) */
        struct metric *count[DRIFT_KINDS];
};

static int make_metrics(struct host_drift *d) {
        static const char *const kinds[DRIFT_KINDS] = {[DRIFT_UNIT] = "unit",
                        [DRIFT_RULES] = "rules",
                        [DRIFT_NETWORK] = "network",
                        [DRIFT_FILE] = "file"};
        struct metrics *m = daemon_metrics(d->agent->daemon);

        for (size_t i = 0; i < DRIFT_KINDS; i++) {
                char labels[64];

                snprintf(labels, sizeof(labels), "kind=\"%s\",action=\"%s\"", kinds[i],
                                d->report ? "reported" : "repaired");
                d->count[i] = metrics_counter(m, "keelson_drift_total", labels,
                                "Changes that other programs made to what the agent has made.");
                if (!d->count[i])
                        return -ENOMEM;
        }
        return 0;
}

int host_drift_new(struct host_drift **ret, struct agent *agent, struct problem *p) {
        _cleanup_(host_drift_freep) struct host_drift *d = calloc(1, sizeof(*d));
        const char *mode = strempty(agent->config.drift);
        int r;

        if (!d)
                return -ENOMEM;
        if (!streq(mode, "repair") && !streq(mode, "report"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--drift '%s' is not possible: write repair (what other programs "
                                "change is repaired) or report (it is only reported)",
                                mode);
        d->agent = agent;
        d->report = streq(mode, "report");
        d->reported = map_new(free);
        if (!d->reported)
                return -ENOMEM;
        r = make_metrics(d);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

struct host_drift *host_drift_free(struct host_drift *d) {
        if (!d)
                return NULL;
        map_free(d->reported);
        free(d);
        return NULL;
}

bool host_drift_is_repaired(const struct host_drift *d) {
        return !d->report;
}

/* Whether it was not reported a moment ago; it is now. */
static bool is_news(struct host_drift *d, const char *what) {
        uint64_t now = now_mono_us(), *when = map_get(d->reported, what),
                 pause = d->report ? REPORTED_AGAIN_US : REPAIRED_AGAIN_US;

        if (when && now < *when + pause)
                return false;
        if (map_size(d->reported) >= REPORTED_MAX)
                map_clear(d->reported);
        when = malloc(sizeof(*when));
        if (!when)
                return true;
        *when = now;
        if (map_set(d->reported, what, when) < 0)
                free(when);
        return true;
}

bool host_drift_found(
                struct host_drift *d, enum drift_kind kind, const char *what, bool *ret_news) {
        const struct agent *a = d->agent;
        const char *then = d->report ? "it is left as it is (--drift=report)" : "it is repaired";
        bool news = is_news(d, what);

        assert(kind < DRIFT_KINDS);
        if (ret_news)
                *ret_news = news;
        if (news || !d->report)
                metric_add(d->count[kind], 1);
        if (!news)
                return !d->report;
        log_notice("Drift: %s; %s", what, then);
        if (a->api && a->node && node_object(a->node))
                api_event(a->api, node_object(a->node), "Warning", "HostDrift", "%s; %s", what,
                                then);
        return !d->report;
}
