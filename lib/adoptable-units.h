/* Which units of a machine a pod may adopt (annotation unit.keelson.dev/adopt), and how. The one
 * table behind the API's check (kapid) and the agent's; docs/own-units.md explains it. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum adoption {
        ADOPTION_NONE,
        ADOPTION_READ_ONLY, /* shown: nothing is changed, started or stopped */
        ADOPTION_MANAGED,
};

/* "adopt" and so on: words after unit.keelson.dev/ that are no properties. */
bool adoption_is_word(const char *name);
/* The unit that the container adopts, of "<container>.unit.keelson.dev/adopt", or of
 * "unit.keelson.dev/adopt" for the only container of a pod; borrowed from metadata. NULL: none. */
const char *adoption_unit(const json_t *metadata, const json_t *spec, const char *container);
/* The image of a portable service whose units the pod adopts, "unit.keelson.dev/portable", and the
 * profile that they get, "unit.keelson.dev/portable-profile" ("default" without it). NULL: none. */
const char *adoption_portable(const json_t *metadata);
const char *adoption_profile(const json_t *metadata);
/* The mode of such a container; ADOPTION_NONE with a unit that is set: the word is not known. Units
 * of an image are managed. */
enum adoption adoption_mode(const json_t *metadata, const char *container);
/* Whether a unit with this name may be adopted so; -EINVAL with p: not a service's name, or one of
 * those that the machine or keelson needs. */
int adoption_check_name(const char *unit, enum adoption mode, struct problem *p);
/* The same for all of a pod's annotations about adoption. -EINVAL with p. */
int adoption_check(const json_t *metadata, const json_t *spec, struct problem *p);
