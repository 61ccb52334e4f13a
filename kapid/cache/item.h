/* An object as the cache keeps it: immutable and reference-counted; its serialized bytes with the
 * resourceVersion put in, and its tree, made when someone asks and forgotten when many others were
 * asked for since. Walks over many items read the text instead. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"

struct item;

/* Bounds how much memory the trees that items hold take together. */
struct item_pool;
struct item_pool *item_pool_new(size_t bytes_max) _warn_unused_;
/* Their present size, as json_size counts. */
size_t item_pool_bytes(const struct item_pool *p);
struct item_pool *item_pool_free(struct item_pool *p);
DEFINE_CLEANUP(struct item_pool *, item_pool_free);

/* key: the store's. prefix_size: the part of it that names the resource ("/registry/pods/"). The
 * value is stored JSON without resourceVersion. -EINVAL when it is not an object with metadata. */
int item_new(struct item_pool *pool, const char *key, size_t prefix_size, const char *value,
                size_t n, uint64_t revision, struct item **ret);
/* Whether it was made from this. */
bool item_is(const struct item *it, const char *key, const char *value, size_t n,
                uint64_t revision);
/* The same object at another revision: what a deletion shows. */
int item_at_revision(const struct item *it, uint64_t revision, struct item **ret);
struct item *item_ref(struct item *it);
struct item *item_unref(struct item *it);
DEFINE_CLEANUP(struct item *, item_unref);
#define _cleanup_item_ _cleanup_(item_unrefp)

const char *item_key(const struct item *it);
/* "namespace/name" or "name": the key after the prefix. */
const char *item_path(const struct item *it);
struct item_pool *item_pool(const struct item *it);
uint64_t item_revision(const struct item *it);
/* Whole JSON text, borrowed. */
struct bytes *item_text(const struct item *it);
/* Whether the text has this apiVersion, found without parsing the rest. */
bool item_has_api_version(const struct item *it, const char *api_version);
/* The form of the item that was made for the kind of that number (kind.serial): the item itself or
 * another one that the item owns; NULL: none was made. Used by forms.c. */
struct item *item_form(struct item *it, uint64_t serial);
/* Keeps a form in place of the one before; takes it. NULL: the item itself is the form. */
void item_set_form(struct item *it, uint64_t serial, struct item *form_taken);
/* The mark of an apply that was found to change nothing of this item (kapid/verbs/update.c); 0:
 * none. */
uint64_t item_applied(const struct item *it);
void item_set_applied(struct item *it, uint64_t mark);
/* The tree, kept for the next caller; a new reference to something immutable. NULL when out
 * of memory. */
json_t *item_object(struct item *it);
/* The same, but what is parsed for it is not kept: for walks over many items. */
json_t *item_object_once(struct item *it);
/* Keeps the tree that was parsed from the item's text, as item_object() does. */
void item_keep_object(struct item *it, json_t *object);
/* The string at outer.inner ("spec", "nodeName"), without parsing the rest: whether there is one
 * that is not empty, has no escapes and fits. */
bool item_string(const struct item *it, const char *outer, const char *inner, char *ret, size_t n);
/* metadata.labels alone, without parsing the rest: a new reference, NULL in *ret when there are
 * none. */
int item_labels(const struct item *it, json_t **ret);
/* Their text, borrowed from the item's; NULL: there are none. */
const char *item_labels_text(const struct item *it, size_t *ret_n);
/* Whether both are the same text. */
bool item_same_labels(const struct item *a, const struct item *b);
