/* The types of actions of a GitSync's run. executor_options.context is the struct gitsync; requests
 * are made as the identity that the run acts as, inventory and events as kgitd itself. */
#pragma once

#include "lib/client/actions.h"

extern const struct action_type
                run_action_read_inventory, /* an object with a part of the inventory: its name */
                run_action_try,            /* a dry run of a struct wanted */
                run_action_apply,          /* a struct wanted */
                run_action_look,           /* at a struct leaving: fills it */
                run_action_remove,         /* a struct leaving */
                run_action_forget,         /* a struct leaving: its entry in the inventory goes */
                run_action_release,        /* the same, and an event says why the object stays */
                run_action_keep,           /* a struct leaving: until a person allows its removal */
                run_action_compare,        /* a struct finding: fills it */
                run_action_put_back,       /* a struct finding */
                run_action_report,         /* a struct finding: an event says what drifted */
                run_action_ignore;         /* a struct finding */
