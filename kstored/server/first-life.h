/* Whether a member that begins a cluster with an empty disk does so for the first time. Its data
 * may have been deleted: then it has voted and acknowledged what it no longer knows, and
 * must not take part under its old id. Only the others know. */
#pragma once

#include "kstored/server/parts.h"

/* Asks the others, while the replica is fresh, whether they know this member. */
extern const struct server_part first_life_part;

/* It is not the first: stops, and logs what to do. */
void first_life_over(struct server *s);
/* A member became reachable: asks again now. */
void first_life_soon(struct server *s);
/* The message for a person who starts such a member; returned, NULL without memory. */
char *first_life_refusal(uint64_t member_id, const char *name);
