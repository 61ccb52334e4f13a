/* /health, /livez, /readyz, /version and /metrics over plain HTTP. */
#pragma once

#include "kstored/server/parts.h"
#include "lib/web.h"

extern const struct server_part web_part;

void service_web(struct web_request *request, void *server);
