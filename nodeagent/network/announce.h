/* Tells the neighbours on a link which machine has an address (gratuitous ARP, RFC 5227 section 3;
 * unsolicited neighbour advertisement, RFC 4861 section 7.2.6), and notices when another machine
 * says that it has one. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/address.h"

enum { ANNOUNCE_MAC_SIZE = 18 };

struct announce;

/* A machine on that link says that the address is its own. mac: "52:54:00:12:34:56". */
typedef void (*announce_func)(const struct address *a, int link, const char *mac, void *userdata);

/* A negative errno; -EPERM without CAP_NET_RAW. */
int announce_new(struct announce **ret, sd_event *event, announce_func on_other, void *userdata);
struct announce *announce_free(struct announce *n);
DEFINE_CLEANUP(struct announce *, announce_free);
/* Says once on the link that this machine has the address. */
int announce_send(struct announce *n, const struct address *a, int link);
