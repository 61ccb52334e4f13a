/* The user of a container by the image's own /etc/passwd and /etc/group: systemd would look names
 * up on the machine. */
#pragma once

#include "lib/problem.h"

enum { IMAGE_GROUPS_MAX = 64 };

struct image_user {
        uint32_t uid, gid;
        uint32_t groups[IMAGE_GROUPS_MAX]; /* further ones that /etc/group gives the name */
        size_t group_count;
        char name[256]; /* "" when the number has no name */
        char home[256]; /* "/" when it has none */
};

/* Finds what User of an image's configuration means ("", "nginx", "101", "nginx:www", "101:101");
 * "" is user 0. passwd, group: the texts of the files, "" where there are none. A number needs no
 * entry (its group is then 0), a name does. Pure. -ENOENT with p (reason
 * CreateContainerConfigError).
 */
int image_user_of(const char *user, const char *passwd, const char *group, struct image_user *ret,
                struct problem *p);
/* The same with the files of the root, read without leaving it (RESOLVE_IN_ROOT), at most 1 MiB
 * each. */
int image_user_find(const char *root, const char *user, struct image_user *ret, struct problem *p);
