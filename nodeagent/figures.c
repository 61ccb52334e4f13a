/* The agent's figures. */
#include "nodeagent/figures.h"

static const char *const phases[POD_PHASES] = {[PHASE_PENDING] = "Pending",
                [PHASE_RUNNING] = "Running",
                [PHASE_SUCCEEDED] = "Succeeded",
                [PHASE_FAILED] = "Failed"};

enum pod_phase pod_phase_from_string(const char *s) {
        for (size_t i = 0; i < POD_PHASES; i++)
                if (streq(s, phases[i]))
                        return (enum pod_phase)i;
        return POD_PHASES;
}

static struct metric *labelled(struct metrics *m,
                struct metric *(*make)(struct metrics *m, const char *name, const char *labels,
                                const char *help),
                const char *name, const char *help, const char *key, const char *value) {
        char labels[128];

        (void)snprintf(labels, sizeof(labels), "%s=\"%s\"", key, value);
        return make(m, name, labels, help);
}

static int make_probes(struct agent_figures *f, struct metrics *m) {
        static const char *const kinds[PROBE_KINDS] = {[PROBE_STARTUP] = "startup",
                        [PROBE_LIVENESS] = "liveness",
                        [PROBE_READINESS] = "readiness"};
        static const char *const results[2] = {"failure", "success"};
        char labels[128];

        for (size_t i = 0; i < PROBE_KINDS; i++)
                for (size_t k = 0; k < ELEMENTS(results); k++) {
                        (void)snprintf(labels, sizeof(labels), "type=\"%s\",result=\"%s\"",
                                        kinds[i], results[k]);
                        f->probes[i][k] = metrics_counter(m, "keelson_agent_probes_total", labels,
                                        "Checks of containers by probes.");
                        if (!f->probes[i][k])
                                return -ENOMEM;
                }
        return 0;
}

static int make_nft(struct nft_figures *f, struct metrics *m, const char *table) {
        f->seconds = labelled(m, metrics_histogram, "keelson_agent_nft_sync_seconds",
                        "How long a transaction of nftables took, from its beginning to its end.",
                        "table", table);
        f->failures = labelled(m, metrics_counter, "keelson_agent_nft_sync_failures_total",
                        "Transactions that nftables refused; they are tried again.", "table",
                        table);
        return f->seconds && f->failures ? 0 : -ENOMEM;
}

int agent_figures_init(struct agent_figures *f, struct metrics *m) {
        static const double start_bounds[] = {
                        0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600};
        int r;

        for (size_t i = 0; i < POD_PHASES; i++) {
                f->pods[i] = labelled(m, metrics_gauge, "keelson_agent_pods", "Pods of this node.",
                                "phase", phases[i]);
                if (!f->pods[i])
                        return -ENOMEM;
        }
        f->start_seconds = metrics_histogram_bounds(m, "keelson_agent_pod_start_seconds", "",
                        "From a pod's arrival at the node until its containers run, with images, "
                        "volumes and init containers.",
                        start_bounds, ELEMENTS(start_bounds));
        f->restarts = metrics_counter(m, "keelson_agent_container_restarts_total", "",
                        "Restarts of containers, by systemd and by the agent.");
        if (!f->start_seconds || !f->restarts)
                return -ENOMEM;
        r = make_probes(f, m);
        if (r < 0)
                return r;
        r = make_nft(&f->services, m, "services");
        return r < 0 ? r : make_nft(&f->policies, m, "policies");
}
