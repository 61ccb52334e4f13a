/* What others do to nftables: a netlink socket in its group tells of every commit. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct nft_monitor;

/* Another program changed a table of this name (or messages were lost and it may have). */
typedef void (*nft_monitor_func)(void *userdata);

int nft_monitor_new(struct nft_monitor **ret, sd_event *event, const char *table,
                nft_monitor_func on_foreign, void *userdata);
struct nft_monitor *nft_monitor_free(struct nft_monitor *m);
/* Around each of our own commits (they run on another thread). ok: the kernel took it; the
 * generations are those that nft_generation() said right before and after it. */
void nft_monitor_begin(struct nft_monitor *m);
void nft_monitor_end(struct nft_monitor *m, bool ok, uint32_t before, uint32_t after);
/* The number of the ruleset's generation, which every commit of anybody raises by one; 0 when the
 * kernel does not say. Blocks for a moment; any thread. */
uint32_t nft_generation(void);
