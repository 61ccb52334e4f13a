/* kctl get: its parts. */
#pragma once

#include "kctl/kctl.h"

/* Whether the server makes the table that is shown: without -o, and with -o wide. */
bool get_wants_table(const struct kctl *k);
/* The Accept header that asks for a Table. */
#define GET_ACCEPT_TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

/* get-table.c: GET as a Table; 0, or negative with p. */
int get_table(struct kctl *k, const char *path, json_t **ret, struct problem *p);
/* Tables of several names of one kind are printed as one. Returns an exit code. */
int get_tables(struct kctl *k, const struct targets *t);

/* get.c: a copy of a list's item with its kind, which items come without. NULL when out of memory.
 */
json_t *get_typed_item(const json_t *list, const json_t *item, const struct kind_ref *kind);

/* get-watch.c: shows the list once, then follows changes; a stream that ends is resumed where it
 * ended. Returns an exit code. */
int get_watch(struct kctl *k, const struct target *t);
