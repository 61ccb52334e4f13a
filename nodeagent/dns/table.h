/* All records of the node, by name and by owner (a service, a pod), and the difference to what
 * unbound has. A change costs what it changes: nothing here visits every name for one service.
 * Pure. */
#pragma once

#include "lib/buf.h"
#include "nodeagent/dns/records.h"

struct dns_table;

struct dns_table *dns_table_new(void) _warn_unused_;
struct dns_table *dns_table_free(struct dns_table *t);
DEFINE_CLEANUP(struct dns_table *, dns_table_free);
/* The records of an owner are these lines (of records.h) and no others; "": none. -ENOMEM. */
int dns_table_set(struct dns_table *t, const char *owner, const char *lines);
/* Whether an owner has records. */
bool dns_table_has_owner(const struct dns_table *t, const char *owner);
/* What unbound has is not known: every name is compared again. dns_table_found() follows for each
 * record that unbound lists. */
void dns_table_compare_all(struct dns_table *t);
/* rr: "A 10.96.3.4". -ENOMEM. */
int dns_table_found(struct dns_table *t, const char *name, const char *rr);
/* The number of names that may differ from what unbound has. */
size_t dns_table_pending(const struct dns_table *t);

/* What unbound must be sent, in this order. A name of which records go and others stay cannot be
 * changed at once by unbound: its new records are shown in a view that is asked first, while the
 * old ones are replaced. A CNAME is followed only in a zone of its own, which is in the view, too:
 * unbound 1.17 no longer finds the zone around one that was added while it runs, and would ask
 * others for all names of the cluster that sort after it. */
struct dns_changes {
        struct buf shown;     /* view_local_datas */
        char **dropped;       /* view_local_zone_remove: zones that are made again */
        char **zones;         /* view_local_zone */
        struct buf zone_data; /* view_local_datas */
        struct buf removed;   /* local_datas_remove: names */
        struct buf added;     /* local_datas */
        char **unshown;       /* view_local_zone_remove */
};
/* Takes the changes of at most names_max names; unbound is assumed to have them from now on. ret
 * is empty before; dns_changes_done() frees it, also after an error. The number of names that
 * differ; -ENOMEM. */
int dns_table_take(struct dns_table *t, size_t names_max, struct dns_changes *ret);
void dns_changes_done(struct dns_changes *c);
#define _cleanup_dns_changes_ _cleanup_(dns_changes_done)
/* Appends the records of further names in the form of unbound.conf: those of a server clause, and
 * those of the view. In pieces, because a large table takes long; names that change meanwhile have
 * their old or their new records. dns_table_rewind() begins. 1; 0 at the end; -ENOMEM. */
void dns_table_rewind(struct dns_table *t);
int dns_table_config(
                struct dns_table *t, size_t names_max, struct buf *server, struct buf *in_view);
/* Names visited since the table was made; tests compare it with the size of a change. */
uint64_t dns_table_steps(const struct dns_table *t);
