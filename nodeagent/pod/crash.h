/* Ends the agent at chosen actions of chosen pods, so that tests can look at every step of a pod's
 * life (tests/node). Off unless the agent was started with KEELSON_LAB_CRASH=FILE in its
 * environment, which only root can do. */
#pragma once

#include "lib/json.h"

/* The file of KEELSON_LAB_CRASH, borrowed; NULL: nothing is ever ended. */
const char *crash_file(void);
/* Kills this process with SIGKILL when the file has the line "WHEN ACTION NAMESPACE/POD", which is
 * removed from it before. when: "before" or "after" the action. file may be NULL. */
void crash_here(const char *file, const char *when, const char *action, const json_t *pod);
