/* The families of a Service's addresses: ipFamilies, ipFamilyPolicy and clusterIPs, as a write may
 * change them (KEP-563). What a write leaves out is chosen with the addresses
 * (kapid/admission/service-ips.c). */
#pragma once

#include "kapid/schema/findings.h"

/* A change to SingleStack releases the second address and family, also where the writer left them
 * in place. -ENOMEM. */
int service_families_trim(const json_t *before, json_t *spec);
/* The findings' path is that of the spec. */
void service_families_validate(struct findings *f, const json_t *spec);
/* Neither spec is of type ExternalName. */
void service_families_validate_update(
                struct findings *f, const json_t *before, const json_t *after);
