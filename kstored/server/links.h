/* The links to the other members (peers.h), kept as the configuration needs them. */
#pragma once

#include <stdbool.h>

#include "kstored/server/parts.h"

/* Makes server->peers; it ends with the server, after all parts. */
extern const struct server_part links_part;

/* Whether a member was reachable for the last ms; this one always is. */
bool server_reaches(const struct server *s, uint64_t member_id, uint64_t ms);
/* Whether another voter that could lead is reachable. */
bool server_has_successor(const struct server *s);
