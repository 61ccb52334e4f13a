/* Which member of which cluster this is. */
#pragma once

#include "kstored/replica/replica.h"

struct server;

/* For an empty disk: fills in the cluster's and this member's ids and the members, in
 * ro->members = v, which become the caller's (also when it fails). May ask other members, and wait
 * for that. p says what a person can do. */
int identity_first_members(
                struct server *s, struct replica_options *ro, struct member **v, struct problem *p);
/* -EEXIST when the data directory holds the data of another member than the options name. */
int identity_check(const struct server *s, struct problem *p);
