/* Keeps an unbound's records the same as the table's. */
#pragma once

#include <systemd/sd-event.h>

#include "nodeagent/dns/table.h"

struct dns_sync;

/* All borrowed, and as long as the sync lives. */
struct dns_sync_options {
        sd_event *event;
        struct dns_table *table;
        const char *socket_path;
        const char *domain; /* of the cluster */
        char *const *zones; /* its reverse zones; no other names are ever touched */
        /* unbound has taken changes; may be NULL. */
        void (*on_changed)(void *userdata);
        void *userdata;
};
/* -ENOMEM, or an errno of sd-event. */
int dns_sync_new(struct dns_sync **ret, const struct dns_sync_options *options);
struct dns_sync *dns_sync_free(struct dns_sync *s);
DEFINE_CLEANUP(struct dns_sync *, dns_sync_free);
/* An unbound of which nothing is known answers at the socket: it lists what it has, and gets the
 * difference. */
void dns_sync_start(struct dns_sync *s);
/* It is gone. */
void dns_sync_stop(struct dns_sync *s);
/* The table has changed. */
void dns_sync_wake(struct dns_sync *s);
/* Whether unbound has all that the table has. */
bool dns_sync_is_settled(const struct dns_sync *s);
