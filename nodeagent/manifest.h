/* Pods from files: static pods of a folder, and `knodeagent units FILE`. */
#pragma once

#include "nodeagent/agent.h"

/* Calls func for every Pod in the *.yaml, *.yml and *.json files of a folder, completed with a uid
 * and the node's name. Invalid files are logged and skipped: returns their number, or a negative
 * errno. */
int manifest_each(const char *dir, const char *node_name,
                void (*func)(const json_t *pod, void *userdata), void *userdata);
/* Prints the units of the pods in a file ("-": standard input); ConfigMaps and Secrets of the same
 * file are used. Returns an exit code. */
int manifest_print_units(const char *path, const char *node_name);
