/* Names of pods' dynamic users, and the numbers that systemd gives them (its
 * src/core/dynamic-user.c). Pure. */
#include "nodeagent/plan/dynamic-user.h"

#include "lib/crypto.h"
#include "lib/siphash.h"
#include "nodeagent/plan/plan.h"

enum { NUMBER_MIN = 61184, NUMBER_MAX = 65519 };

void dynamic_user_name(const char *of, unsigned attempt, char ret[static DYNAMIC_USER_SIZE]) {
        _cleanup_free_ char *more = attempt > 0 ? strformat("%s.%u", of, attempt) : NULL;
        const char *text = more ? more : of;
        char digest[SHA256_HEX_SIZE];

        assert(attempt == 0 || more);
        sha256_hex(text, strlen(text), digest);
        snprintf(ret, DYNAMIC_USER_SIZE, "kp-%.16s", digest);
}

uint32_t dynamic_user_number(const char *name) {
        static const uint64_t key[2] = {UINT64_C(0xf548cecf317e5337), UINT64_C(0x59ecd98d5739bb8a)};
        /* systemd takes the lower half. */
        uint32_t hash = (uint32_t)siphash(key, name, strlen(name));

        return NUMBER_MIN + hash % (NUMBER_MAX - NUMBER_MIN + 1);
}

unsigned dynamic_user_choose(const char *uid, dynamic_user_taken_func taken, void *userdata) {
        for (unsigned i = 0; i < DYNAMIC_USER_TRIES; i++) {
                char name[DYNAMIC_USER_SIZE];

                dynamic_user_name(uid, i, name);
                if (!taken(dynamic_user_number(name), name, userdata))
                        return i;
        }
        return 0;
}

uint32_t dynamic_user_of_plan(const json_t *plan) {
        for (enum container_list l = 0; l < CONTAINER_LISTS; l++) {
                const json_t *unit;
                size_t i;

                json_array_foreach (json_object_get(plan, container_list_name(l)), i, unit) {
                        const json_t *properties = json_object_get(unit, "properties");
                        const char *name = json_str(properties, "User");

                        if (name && json_bool_or(properties, "DynamicUser", false))
                                return dynamic_user_number(name);
                }
        }
        return 0;
}
