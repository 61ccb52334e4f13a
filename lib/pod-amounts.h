/* How much of a resource a pod asks for as a whole. Pure; LimitRanger, ResourceQuota and the
 * scheduler read it. */
#pragma once

#include "lib/json.h"
#include "lib/quantity.h"

/* side: "requests" or "limits"; spec: the pod's. The larger of what its containers need together
 * (with the init containers that run beside them) and what any init container needs while it runs;
 * a resource that spec.resources names has that amount instead; the overhead comes on top (KEP-753,
 * KEP-688, KEP-2837). False: nothing in the pod names the resource. Amounts
 * that cannot be read count as 0: validation has refused them before. */
bool pod_amount(const json_t *spec, const char *side, const char *resource, struct quantity *ret);
/* The container's own amount; false when it names none. */
bool container_amount(const json_t *container, const char *side, const char *resource,
                struct quantity *ret);
/* Whether no container names an amount of cpu or memory above 0: quality class BestEffort. */
bool pod_is_best_effort(const json_t *spec);
/* "Guaranteed": cpu and memory have limits everywhere, and requests are the same; "BestEffort":
 * there are neither; else "Burstable". spec.resources decides alone where it names one (KEP-2837).
 */
const char *pod_qos_class(const json_t *spec);
