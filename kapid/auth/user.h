/* The user who makes a request. */
#pragma once

#include "lib/json.h"

struct user {
        char *name;
        char *uid; /* "" when unknown */
        char **groups;
        json_t *extra; /* object of arrays of strings, or NULL */
};

void user_done(struct user *u);
#define _cleanup_user_ _cleanup_(user_done)
/* Sets name (copied); the user's groups stay. */
int user_set(struct user *u, const char *name, const char *uid);
int user_add_group(struct user *u, const char *group);
bool user_in_group(const struct user *u, const char *group);
/* The key of an extra field: the rest of a header's name, in lower case, percent-decoded (header
 * names take no slash). -EINVAL when it is none. */
enum { USER_EXTRA_KEY_SIZE = 256 };
int user_extra_key(const char *text, char ret[static USER_EXTRA_KEY_SIZE]);
/* Adds a value to a field. */
int user_add_extra(struct user *u, const char *key, const char *value);
/* system:masters: may do everything. */
bool user_is_master(const struct user *u);
/* "NAME" of system:node:NAME when it is an agent, else NULL. */
const char *user_node(const struct user *u);
/* {username, uid, groups, extra}: the form in reviews. */
json_t *user_to_json(const struct user *u);
int user_from_json(const json_t *v, struct user *ret);
