/* Names of pods' dynamic users. systemd derives a user's number from its name; while another unit's
 * user has that number it takes one at random, another at each start, and the pod cannot write any
 * longer what it has written before. So a pod gets a name whose number is free. */
#pragma once

#include "lib/json.h"

enum { DYNAMIC_USER_SIZE = 20, DYNAMIC_USER_TRIES = 16 };

/* "kp-<16 digits>", by a pod's uid or by a claimed folder; attempt: of dynamic_user_choose(). */
void dynamic_user_name(const char *of, unsigned attempt, char ret[static DYNAMIC_USER_SIZE]);
/* The number that systemd gives a user of this name, where it is free. */
uint32_t dynamic_user_number(const char *name);
/* Whether another user than `name` has the number. */
typedef bool (*dynamic_user_taken_func)(uint32_t number, const char *name, void *userdata);
/* The first attempt whose number is free; 0 when none of DYNAMIC_USER_TRIES has one. */
unsigned dynamic_user_choose(const char *uid, dynamic_user_taken_func taken, void *userdata);
/* The number of the dynamic user in a plan of pod_to_units(); 0: there is none. */
uint32_t dynamic_user_of_plan(const json_t *plan);
