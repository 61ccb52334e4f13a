/* The names that a change of an object wakes: what wake functions of controllers report them with.
 */
#pragma once

#include "reconcilers/world.h"

/* Receives the names that wake() finds. */
struct wake {
        void (*add)(void *userdata, const char *key);
        void *userdata;
};
void wake_key(const struct wake *out, const char *ns, const char *name);
void wake_object(const struct wake *out, const json_t *object);
/* The object's controller, when it is of that kind and group. */
void wake_controller(
                const struct wake *out, const json_t *object, const char *group, const char *kind);
/* Those of the index (..._BY_NS) whose spec.selector matches the labels of the object. */
void wake_matching(const struct world *w, const struct wake *out, enum world_index index,
                const json_t *object);
/* ... of an object without controller. */
void wake_selecting(const struct world *w, const struct wake *out, enum world_index index,
                const json_t *object);
