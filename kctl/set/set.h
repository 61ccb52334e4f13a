/* kctl set: what its verbs share. Each changes the pod template of objects, or another part of
 * them, through object_change(). */
#pragma once

#include "kctl/change.h"

/* Splits the words: those that `is_value` accepts are values, the others name objects, which take
 * their place in k->words. ret_values is a strv that borrows nothing. */
int set_split(struct kctl *k, bool (*is_value)(const char *word), char ***ret_values,
                struct problem *p);
/* Changes every object that the command line names; prints and returns an exit code. */
int set_all(struct kctl *k, mutate_func mutate, void *userdata, const char *done);
/* "a=b" and the like. */
bool set_is_pair(const char *word);

/* The spec of the pods that an object runs, in an object of one's own; NULL with p. */
json_t *set_pod_spec(json_t *object, const struct target *t, struct problem *p);
/* Calls func for each container and init container whose name the pattern (fnmatch) matches;
 * returns how many there were, or func's error. */
typedef int (*container_func)(json_t *container, void *userdata);
int set_containers(json_t *pod_spec, const char *pattern, container_func func, void *userdata);
/* -ENOENT with p: which containers there are. */
int set_no_container(const json_t *pod_spec, const char *pattern, const struct target *t,
                struct problem *p);
