/* Notices changes of nftables by other programs: a netlink socket in its group receives every
 * commit. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct nft_monitor;

/* Another program changed a table of this name (or messages were lost and it may have). */
typedef void (*nft_monitor_func)(void *userdata);

/* table: the name to watch; borrowed. A negative errno when the socket cannot be opened. */
int nft_monitor_new(struct nft_monitor **ret, sd_event *event, const char *table,
                nft_monitor_func on_foreign, void *userdata);
struct nft_monitor *nft_monitor_free(struct nft_monitor *m);
/* To be called around our own commits (they run on another thread, always the same). commits: how
 * many the kernel accepted; the generations are those that nft_generation() returned right before
 * the first and after the last. */
void nft_monitor_begin(struct nft_monitor *m);
/* After it, before large commits that begin with a look at the whole table: nothing is received
 * until they end. The kernel keeps some kilobytes for each changed element as long as anybody
 * listens. */
void nft_monitor_pause(struct nft_monitor *m);
void nft_monitor_end(struct nft_monitor *m, unsigned commits, uint32_t before, uint32_t after);
/* The generation of the ruleset, which every commit by any process increments; 0 when the kernel
 * does not report it. Blocks briefly; any thread. */
uint32_t nft_generation(void);
