/* Generators: kctl create KIND NAME makes an object of words. One file for each; what several need
 * is in parts.c, sources.c, rules.c and subjects.c. */
#pragma once

#include "kctl/change.h"

/* Fills the object, which has its kind and name already. 0, or an error with p. */
typedef int (*create_build)(struct kctl *k, json_t *object, struct problem *p);
/* The frame of every generator: exactly one NAME, the object, then object_create(). */
int create_run(struct kctl *k, enum kind_id kind, create_build build);
/* The words behind "--", NULL when there are none. */
char *const *create_command(const struct kctl *k);

/* parts.c. Pure. */
/* {apiVersion, kind, metadata: {name}}; NULL when out of memory. */
json_t *object_new(enum kind_id kind, const char *name);
/* "KEY=VALUE" texts into an object of texts; flag names their origin. -EINVAL with p. */
int pairs_read(char *const *texts, const char *flag, json_t *into, struct problem *p);
/* A list of texts as JSON; NULL when out of memory. */
json_t *texts_json(char *const *texts);
/* A number of at least `least` from a flag. -EINVAL with p. */
int number_read(const char *text, const char *flag, int64_t least, int64_t *ret, struct problem *p);
/* "80" is a number, everything else ("http", "50%") a text. */
json_t *number_or_text(const char *text);
/* {matchLabels, matchExpressions} of "a=b,c in (d)". -EINVAL with p. */
int label_selector_json(const char *text, json_t **ret, struct problem *p);
/* The name of a container of an image: "web" of "registry:5000/x/web:1@sha256:..". Caller frees;
 * NULL when out of memory. */
char *image_container_name(const char *image);
/* {name, image, command}; command may be NULL. NULL when out of memory. */
json_t *container_json(const char *name, const char *image, char *const *command);
/* --image, which a generator that has one container needs exactly once. -EINVAL with p. */
int one_image(const struct kctl *k, const char **ret, struct problem *p);

/* sources.c: --from-file, --from-literal and --from-env-file into `data`; what is not UTF-8 into
 * `binary` in Base64, or, when binary is NULL, everything in Base64 into `data`. */
int sources_read(struct kctl *k, json_t *data, json_t *binary, struct problem *p);
/* --append-hash: what the object holds, as kustomize and kubectl hash it, is appended to its name.
 */
int append_hash(json_t *object, struct problem *p);

/* rules.c: --verb, --resource and --resource-name (--non-resource-url) as rules of a role. */
int rules_read(struct kctl *k, json_t *rules, struct problem *p);
/* subjects.c: --user, --group and --serviceaccount as subjects of a binding. */
int subjects_read(struct kctl *k, json_t *subjects, struct problem *p);
/* service-parts.c: what the four generators of services share: labels, selector, ports of --tcp. */
int service_build(struct kctl *k, json_t *object, const char *type, struct problem *p);
