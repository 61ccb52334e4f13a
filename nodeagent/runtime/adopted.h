/* Units of the machine that containers of pods stand for: followed by name, and, where they are
 * managed, started, stopped and limited. Nothing here acts on a unit that is not managed. */
#pragma once

#include "nodeagent/runtime/units.h"

struct adopted;

struct adopted_unit {
        const char *name; /* the container's */
        const char *unit;
        bool managed;
        struct unit_state state;
        const char *trouble; /* why it cannot be adopted; NULL: it can */
};

struct adopted_callbacks {
        /* Of the container of this name something changed. */
        void (*on_change)(const char *name, void *userdata);
        /* The manager refused to start its unit. */
        void (*on_refused)(const char *name, const char *message, void *userdata);
        void *userdata;
};

int adopted_new(struct adopted **ret, struct units *units,
                const struct adopted_callbacks *callbacks);
/* NULL is fine; returns NULL. Leaves the units as they are. */
struct adopted *adopted_free(struct adopted *a);
DEFINE_CLEANUP(struct adopted *, adopted_free);
/* The container of this name stands for the unit from now on; again is fine. */
int adopted_add(struct adopted *a, const char *name, const char *unit, bool managed);
/* It does no longer: its drop-in file is removed. */
void adopted_remove(struct adopted *a, const char *name);
/* Whether the name is of such a container; its state, or NULL while that is not known. */
bool adopted_has(const struct adopted *a, const char *name);
const struct adopted_unit *adopted_get(const struct adopted *a, const char *name);
/* The unit for a container's name: its own name where it is no such container. */
const char *adopted_name(const struct adopted *a, const char *name);
/* Calls of the manager: "StartUnit", "StopUnit", "RestartUnit", "ResetFailedUnit". Of a unit that
 * is not managed they do nothing. */
int adopted_call(struct adopted *a, const char *name, const char *method);
int adopted_kill(struct adopted *a, const char *name, int signal);
/* What a managed unit gets, as a drop-in file that goes with the machine's next start. -EINVAL: a
 * value cannot be written. */
int adopted_limit(struct adopted *a, const char *name, const json_t *properties);
/* Whether the drop-in file is as it was written last. */
bool adopted_is_limited(const struct adopted *a, const char *name, const json_t *properties);
/* The manager has read its units again. */
void adopted_refresh(struct adopted *a);
/* Removes drop-in files of containers that are no longer here. */
void adopted_sweep(struct adopted *a);
