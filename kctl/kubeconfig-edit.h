/* kctl config: its frame. Kubeconfig files as JSON trees that are read, changed and written, with
 * everything in them that we do not know kept. */
#pragma once

#include "kctl/kctl.h"

/* kubeconfig-edit.c: the file that a change goes into (the first of $KUBECONFIG), {} with its kind
 * when there is none. */
int kubeconfig_open(struct kctl *k, char **ret_path, json_t **ret, struct problem *p);
int kubeconfig_save(const char *path, const json_t *config, struct problem *p);
/* All files of $KUBECONFIG as one: the first one that has a name wins. */
int kubeconfig_merged(struct kctl *k, json_t **ret, struct problem *p);
/* The entry of a list ("contexts") by its name, borrowed; NULL when there is none. */
json_t *kubeconfig_entry(const json_t *config, const char *list, const char *name);
/* The same, made when there is none; ret_made says which. NULL when out of memory. */
json_t *kubeconfig_entry_make(json_t *config, const char *list, const char *member,
                const char *name, bool *ret_made);
