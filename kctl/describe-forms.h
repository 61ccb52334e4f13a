/* kctl describe: readable forms of the kinds that people look at most, by table. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"

/* Appends the form of an object to b, a line for each row: "Title:   text". Conditions and events
 * are not part of it. What the object says is made safe for a terminal (lib/plain.h). Pure. 1: its
 * kind has a form; 0: it has none and nothing was added; -ENOMEM. */
int describe_form(const json_t *o, struct buf *b);

/* How many of these pods (a list's items) the object controls, by phase: "2 Running / 1 Waiting / 0
 * Succeeded / 0 Failed". Caller frees; NULL when out of memory. */
char *describe_pod_counts(const json_t *pods, const char *uid) _warn_unused_;

/* Whether the pod uses the claim as a volume. */
bool describe_pod_uses_claim(const json_t *pod, const char *claim);
