/* Shared by backup and restore: the store's program on this machine, and its description of a
 * backup.
 */
#pragma once

#include "kctl/machine.h"

/* A program of the control plane: beside this build's kctl, beside the installed one, or where it
 * would be installed. Caller frees; NULL when out of memory. */
char *program_path(const char *folder, const char *name);

/* Runs kstored with these words and reads the line of JSON it prints; its refusal is passed on. */
int store_program_run(char *const *words, json_t **ret, struct problem *p);
/* "cluster 1a2b, revision 8, 5 keys, 1 lease, 29 KB". Caller frees. */
char *store_info_text(const json_t *info);
/* Prints the failure: p, or the text of the error r where p has no message. Returns EXIT_ERROR. */
int store_fail(int r, const struct problem *p);
/* The one machine of --control, or NULL. p when there are several. */
int store_control_machine(struct kctl *k, const char **ret, struct problem *p);
