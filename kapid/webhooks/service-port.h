/* Ports of Services. */
#pragma once

#include "lib/json.h"

/* The service's port of that number, borrowed; NULL: it has none. */
const json_t *service_port_find(const json_t *service, int64_t number);
