/* Host names to addresses without blocking the loop: getaddrinfo() in its own thread, numeric
 * addresses at once. */
#pragma once

#include <netdb.h>
#include <systemd/sd-event.h>

#include "lib/base.h"

struct resolve;
/* error: 0 or a getaddrinfo() code; addresses: borrowed, freed after the callback. Called from the
 * loop, never from inside resolve_start(). */
typedef void (*resolve_func)(
                struct resolve *r, int error, const struct addrinfo *addresses, void *userdata);
int resolve_start(struct resolve **ret, sd_event *event, const char *host, uint16_t port,
                resolve_func done, void *userdata);
/* Without its callback. Allowed inside of the callback. */
struct resolve *resolve_free(struct resolve *r);
