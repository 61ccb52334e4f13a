/* Removes mirrors; fetch.c creates them. */
#include "reconcilers/gitsync/mirrors.h"

#include <dirent.h>

#include "lib/fileio.h"
#include "lib/log.h"

enum { UID_LENGTH = 36 };

static void remove_one(const char *data_dir, const char *name) {
        _cleanup_free_ char *path = strformat("%s/%s", data_dir, name);
        int r = path ? remove_tree(path) : -ENOMEM;

        if (r < 0 && r != -ENOENT)
                log_warning_errno(r, "Cannot remove the mirror %s", strempty(path));
}

/* A uid, alone or with one of our suffixes; anything else is left alone. */
static bool is_mirror(const char *name) {
        const char *rest = name + UID_LENGTH;

        return strspn(name, "0123456789abcdef-") == UID_LENGTH && (!*rest || streq(rest, ".home"));
}

void mirrors_remove(const char *data_dir, const char *uid) {
        static const char *const suffixes[] = {"", ".home"};

        for (size_t i = 0; i < ELEMENTS(suffixes); i++) {
                _cleanup_free_ char *name = strformat("%s%s", uid, suffixes[i]);

                if (name && is_mirror(name))
                        remove_one(data_dir, name);
        }
}

void mirrors_sweep(const char *data_dir, bool (*is_known)(const char *uid, void *userdata),
                void *userdata) {
        DIR *d = opendir(data_dir);
        struct dirent *e;

        while (d && (e = readdir(d))) {
                char uid[UID_LENGTH + 1];

                if (!is_mirror(e->d_name))
                        continue;
                memcpy(uid, e->d_name, UID_LENGTH);
                uid[UID_LENGTH] = '\0';
                if (!is_known(uid, userdata))
                        remove_one(data_dir, e->d_name);
        }
        if (d)
                (void)closedir(d);
}
