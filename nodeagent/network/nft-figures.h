/* What is counted of a table's transactions; NULL handles count nothing. */
#pragma once

#include "lib/metrics.h"
#include "lib/timefmt.h"

struct nft_figures {
        struct metric *seconds, *failures;
};

/* A transaction that began at that monotonic time has ended. */
static inline void nft_figures_ended(const struct nft_figures *f, uint64_t began_us, int result) {
        metric_observe(f->seconds, (double)(now_mono_us() - began_us) / 1e6);
        metric_add(f->failures, result < 0);
}
