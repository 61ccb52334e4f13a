/* Parsing a part of a JSON text: the members that a set of paths names, prepared once and used for
 * many texts. All else is skipped, which costs a fraction of parsing it. */
#pragma once

#include "lib/json.h"

/* A member that is wanted, and which of its own members. An empty one wants nothing. */
struct json_part;
struct json_part *json_part_new(void) _warn_unused_;
struct json_part *json_part_free(struct json_part *p);
DEFINE_CLEANUP(struct json_part *, json_part_free);
/* The member of that name (n bytes), made when there is none yet; borrowed. NULL when out of
 * memory. */
struct json_part *json_part_member(struct json_part *p, const char *name, size_t n);
/* It is wanted whole. */
void json_part_want(struct json_part *p);
bool json_part_is_whole(const struct json_part *p);
/* Adds paths of names, separated by blanks: "metadata.name spec.containers.image data.*". A path
 * leads through arrays to the members of their items; a last "*" wants the names of all members,
 * with null for each value. -ENOMEM. */
int json_part_add(struct json_part *p, const char *paths);

/* The text's value with nothing but what is wanted in it: whoever reads only wanted paths finds
 * there what json_parse() would give. Values in the way of a path that are neither object nor array
 * are there as they are. -ENOMEM; -EINVAL when the text is not JSON, or is written in a way that is
 * not understood here (names with escapes): then json_parse() is to be asked. */
int json_part_parse(const struct json_part *p, const char *text, size_t n, json_t **ret);
