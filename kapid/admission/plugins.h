/* Admission plugins (one file each, ordered in admission.c) and what they share. All read the
 * caches and write nothing. A plugin's validate gets the object as it will be stored, and the live
 * one (NULL: a create); it refuses with p. */
#pragma once

#include "kapid/admission/admission.h"
#include "kapid/auth/authz.h"

/* The cached object; NULL when there is none. */
struct item *admission_find(struct api *a, const char *prefix, const char *path);
bool admission_is_kind(const struct write *w, const char *group, const char *plural);
/* 403: `pods "x" is forbidden: why`. Returns -EACCES. */
int admission_forbidden(const struct write *w, struct problem *p, const char *why);
/* Whether the user of the request may; for verbs that are only asked here
 * (docs/who-may-do-what.md). */
bool admission_may(const struct write *w, const char *verb, const char *group, const char *resource,
                const char *namespace, const char *name);
/* Adds a Warning header to the answer. */
int admission_warn(struct write *w, const char *text);

/* What an agent may write (admission-node.c). */
int validate_node(struct write *w, const json_t *live, const json_t *object, struct problem *p);
/* Pods, templates and namespaces against pod security levels (admission-pod-security.c). */
int validate_pod_security(
                struct write *w, const json_t *live, const json_t *object, struct problem *p);
/* A pod that names its node (admission-node-name.c). */
int validate_node_name(
                struct write *w, const json_t *live, const json_t *object, struct problem *p);
/* Addresses that a Service draws to itself, and endpoints (admission-addresses.c). */
int validate_addresses(
                struct write *w, const json_t *live, const json_t *object, struct problem *p);
/* With whose rights a GitSync acts (admission-gitsync.c). */
int validate_gitsync(struct write *w, const json_t *live, const json_t *object, struct problem *p);
int may_delete_gitsync(struct write *w, const json_t *object, struct problem *p);
/* Certificate requests (admission-csr.c). */
int validate_csr(struct write *w, const json_t *live, const json_t *object, struct problem *p);
