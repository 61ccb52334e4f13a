/* Certificates of people that were revoked: what a ClusterUser says about those of its name. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

struct api;
struct change;

/* Whether the object (a ClusterUser) lists the certificate as one that counts. fingerprint: SHA-256
 * as hex. Pure. */
bool certificate_is_listed(const json_t *user, const char *fingerprint);
/* Until when a certificate that was revoked could be used if there were no object, in microseconds
 * since the epoch; 0: none was revoked. Pure. */
uint64_t revoked_until(const json_t *user);

/* 401 in p when there is a ClusterUser of the name that does not list the certificate. */
int revoked_check(struct api *a, const char *name, const char *fingerprint, struct problem *p);
/* A ClusterUser has changed: ends what is open of a user who was revoked. */
void revoked_on_change(struct api *a, const struct change *change);
