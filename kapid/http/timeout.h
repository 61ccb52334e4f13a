/* The query parameter `timeout`: how long a client wants to wait for its answer. */
#pragma once

#include "kapid/http/request.h"

/* A duration as Go writes it: "32s", "1m30s", "1.5h", "250ms". -EINVAL, -ERANGE. */
int go_duration_parse(const char *s, uint64_t *ret_us);
/* Reads the parameter; when the time has passed, the request is answered with 504. Streams have no
 * such end. 400 for what is no duration. */
int request_read_timeout(struct request *request, struct problem *p);
