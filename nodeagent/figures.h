/* The agent's figures for /metrics: pods by phase, how long their start took, restarts, checks of
 * probes, transactions of nftables. None has a label with a pod's name: their number is fixed. */
#pragma once

#include "lib/metrics.h"
#include "nodeagent/network/nft-figures.h"
#include "nodeagent/pod/decide.h"

enum pod_phase {
        PHASE_PENDING,
        PHASE_RUNNING,
        PHASE_SUCCEEDED,
        PHASE_FAILED,
        POD_PHASES,
};

struct agent_figures {
        struct metric *pods[POD_PHASES];
        struct metric *start_seconds; /* from the pod's arrival here until its containers run */
        struct metric *restarts;
        struct metric *probes[PROBE_KINDS][2]; /* failed, passed */
        struct nft_figures services, policies;
};

/* -ENOMEM. */
int agent_figures_init(struct agent_figures *f, struct metrics *m);
/* "Running" and the like; POD_PHASES: none of them. */
enum pod_phase pod_phase_from_string(const char *s);
