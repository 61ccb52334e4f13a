/* The answers for spec.healthCheckNodePort: balancers outside ask each node, on a port of the
 * service, whether it has endpoints of its own (services of type LoadBalancer with the policy
 * Local). */
#pragma once

#include <systemd/sd-event.h>

#include "nodeagent/network/service-table.h"

struct service_health;

/* Observes the table, and listens on every address of the machine on the ports of its services,
 * from now on. Borrows the table; copies node_name. A negative errno. */
int service_health_new(struct service_health **ret, sd_event *event, struct service_table *table,
                const char *node_name);
/* Before the table is freed. */
struct service_health *service_health_free(struct service_health *h);
DEFINE_CLEANUP(struct service_health *, service_health_free);
