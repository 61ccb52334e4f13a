/* Addresses of expressions (net.IP), for networks too. */
#pragma once

#include "kapid/cel/lib.h"
#include "lib/address.h"

extern const struct cel_opaque_class cel_ip_class;

/* An address that Kubernetes takes; else false, with the error in *ret_error unless that is NULL.
 */
bool cel_ip_parse(struct cel_run *run, struct cel_value text, struct address *ret,
                struct cel_value *ret_error);
/* Its canonical form (RFC 5952). Returns buffer. */
const char *cel_ip_text(const struct address *a, char buffer[static ADDRESS_TEXT_SIZE]);
