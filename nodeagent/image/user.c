/* passwd(5) and group(5) of an image: lines of fields, read in place. Lines that are not of that
 * form are skipped. */
#include "nodeagent/image/user.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/fileio.h"
#include "lib/plain.h"

enum { FILE_SIZE_MAX = 1 << 20, FIELDS_MAX = 7 };
#define REASON "CreateContainerConfigError"

struct field {
        const char *text;
        size_t size;
};

/* The fields of the line at *text, which moves to the next one; false: there is no further line. */
static bool next_line(
                const char **text, struct field fields[static FIELDS_MAX], size_t *ret_count) {
        const char *s = *text, *end;
        size_t n = 0;

        if (!*s)
                return false;
        end = s + strcspn(s, "\n");
        while (n < FIELDS_MAX) {
                size_t size = strcspn(s, ":\n");

                fields[n++] = (struct field){s, size};
                s += size;
                if (s == end)
                        break;
                s++;
        }
        *text = *end ? end + 1 : end;
        *ret_count = n;
        return true;
}

static bool field_is(const struct field *f, const char *text) {
        return strlen(text) == f->size && strncmp(f->text, text, f->size) == 0;
}

/* 1; 0: it is not a number. The kernel has no user 2^32-1. */
static int field_number(const struct field *f, uint32_t *ret) {
        _cleanup_free_ char *text = strndup(f->text, f->size);
        uint32_t n;

        if (!text)
                return -ENOMEM;
        if (parse_u32(text, &n) < 0 || n == UINT32_MAX)
                return 0;
        *ret = n;
        return 1;
}

static void copy_field(char *to, size_t room, const struct field *f) {
        size_t n = MIN(f->size, room - 1);

        memcpy(to, f->text, n);
        to[n] = 0;
}

/* The entry of passwd with this name, or with the number when is_number. 1 found, 0 not. */
static int find_user(const char *passwd, const char *name, bool is_number, struct image_user *u) {
        struct field f[FIELDS_MAX];
        uint32_t uid, gid;
        size_t n;

        while (next_line(&passwd, f, &n)) {
                int r;

                if (n < 6)
                        continue;
                r = field_number(&f[2], &uid);
                if (r <= 0) {
                        if (r < 0)
                                return r;
                        continue;
                }
                if (is_number ? uid != u->uid : !field_is(&f[0], name))
                        continue;
                r = field_number(&f[3], &gid);
                if (r < 0)
                        return r;
                u->uid = uid;
                u->gid = r > 0 ? gid : 0;
                copy_field(u->name, sizeof(u->name), &f[0]);
                if (f[5].size > 0 && f[5].text[0] == '/')
                        copy_field(u->home, sizeof(u->home), &f[5]);
                return 1;
        }
        return 0;
}

static int find_group(const char *group, const char *name, uint32_t *ret) {
        struct field f[FIELDS_MAX];
        size_t n;

        while (next_line(&group, f, &n))
                if (n >= 3 && field_is(&f[0], name))
                        return field_number(&f[2], ret);
        return 0;
}

static bool list_has(const struct field *list, const char *name) {
        const char *s = list->text, *end = s + list->size;

        while (s < end) {
                size_t size = strcspn(s, ",\n");

                if (field_is(&(struct field){s, size}, name))
                        return true;
                s += size + 1;
        }
        return false;
}

static int add_groups(const char *group, struct image_user *u) {
        struct field f[FIELDS_MAX];
        uint32_t gid;
        size_t n;

        while (*u->name && next_line(&group, f, &n)) {
                int r;

                if (n < 4 || !list_has(&f[3], u->name))
                        continue;
                r = field_number(&f[2], &gid);
                if (r < 0)
                        return r;
                if (r > 0 && gid != u->gid && u->group_count < IMAGE_GROUPS_MAX)
                        u->groups[u->group_count++] = gid;
        }
        return 0;
}

static int not_there(struct problem *p, const char *kind, const char *name, const char *file) {
        _cleanup_free_ char *shown = plain_copy(name, strnlen(name, 64), PLAIN_LINE);

        if (!shown)
                return -ENOMEM;
        return problem_set(p, ENOENT, 0, REASON,
                        "the image's %s \"%s\" is not in its %s; set securityContext.runAsUser to "
                        "a number",
                        kind, shown, file);
}

/* A number, or a name in the file. 1; 0: neither. */
static int group_number(const char *text, const char *group, uint32_t *ret) {
        int r = field_number(&(struct field){text, strlen(text)}, ret);

        return r != 0 ? r : find_group(group, text, ret);
}

static int set_group(const char *text, const char *group, struct image_user *u, struct problem *p) {
        uint32_t gid;
        int r = group_number(text, group, &gid);

        if (r < 0)
                return r;
        if (r == 0)
                return not_there(p, "group", text, "/etc/group");
        u->gid = gid;
        return 0;
}

int image_user_of(const char *user, const char *passwd, const char *group, struct image_user *ret,
                struct problem *p) {
        struct image_user u = {.home = "/"};
        const char *colon = strchr(user, ':');
        _cleanup_free_ char *name = strndup(user, colon ? (size_t)(colon - user) : strlen(user));
        int r;

        if (!name)
                return -ENOMEM;
        r = *name ? field_number(&(struct field){name, strlen(name)}, &u.uid) : 1;
        if (r < 0)
                return r;
        bool is_number = r > 0;
        r = find_user(passwd, name, is_number, &u);
        if (r < 0)
                return r;
        if (r == 0 && !is_number)
                return not_there(p, "user", name, "/etc/passwd");
        if (colon && colon[1]) {
                r = set_group(colon + 1, group, &u, p);
                if (r < 0)
                        return r;
        } else {
                r = add_groups(group, &u);
                if (r < 0)
                        return r;
        }
        *ret = u;
        return 0;
}

/* The text of a file in the root; "" when there is none. */
static int read_in_root(int root, const char *path, char **ret, struct problem *p) {
        struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
        _cleanup_close_ int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
        char at[32];
        struct stat st;
        int r;

        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) {
                *ret = strdup("");
                return *ret ? 0 : -ENOMEM;
        }
        if (fd < 0 || fstat(fd, &st) < 0)
                return problem_set(p, errno, 0, REASON, "the image's /%s cannot be read: %s", path,
                                strerror(errno));
        if (!S_ISREG(st.st_mode))
                return problem_set(p, EINVAL, 0, REASON, "the image's /%s is not a file", path);
        snprintf(at, sizeof(at), "/proc/self/fd/%d", fd);
        r = file_read(at, FILE_SIZE_MAX, ret, NULL);
        if (r < 0)
                return problem_set(p, -r, 0, REASON, "the image's /%s cannot be read: %s", path,
                                strerror(-r));
        return 0;
}

int image_user_find(const char *root, const char *user, struct image_user *ret, struct problem *p) {
        _cleanup_free_ char *passwd = NULL, *group = NULL;
        _cleanup_close_ int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (fd < 0)
                return problem_set(p, errno, 0, REASON, "the image's root %s cannot be opened: %s",
                                root, strerror(errno));
        r = read_in_root(fd, "etc/passwd", &passwd, p);
        if (r < 0)
                return r;
        r = read_in_root(fd, "etc/group", &group, p);
        if (r < 0)
                return r;
        return image_user_of(user, passwd, group, ret, p);
}
