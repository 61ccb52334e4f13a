/* Each step looks whether it was done before: by this agent, one before it, or one that was ended
 * in the middle. */
#include "nodeagent/proc-view.h"

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>

#include "lib/base.h"
#include "lib/fileio.h"
#include "nodeagent/proc-masks.h"

enum { FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC };

static int hide(const char *path) {
        struct stat cover, st;

        if (stat("/dev/null", &cover) < 0 || stat(path, &st) < 0)
                return -errno;
        if (S_ISCHR(st.st_mode) && st.st_rdev == cover.st_rdev)
                return 0;
        return mount("/dev/null", path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int make_read_only(const char *path) {
        struct statvfs s;

        if (statvfs(path, &s) < 0)
                return -errno;
        if (s.f_flag & ST_RDONLY)
                return 0;
        if (mount(path, path, NULL, MS_BIND, NULL) < 0 ||
                        mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | FLAGS, NULL) < 0)
                return -errno;
        return 0;
}

int proc_view_mount(const char *dir) {
        struct statfs fs;
        int r = mkdir_parents(dir, 0755);

        if (r < 0)
                return r;
        if (statfs(dir, &fs) < 0)
                return -errno;
        if (fs.f_type != PROC_SUPER_MAGIC &&
                        mount("proc", dir, "proc", FLAGS, "hidepid=ptraceable") < 0)
                return -errno;
        for (size_t i = 0; i < PROC_MASKS; i++) {
                _cleanup_free_ char *path = strformat("%s/%s", dir, proc_masks[i].path);
                struct stat st;

                if (!path)
                        return -ENOMEM;
                if (lstat(path, &st) < 0 && errno == ENOENT)
                        continue;
                r = proc_masks[i].hidden ? hide(path) : make_read_only(path);
                if (r < 0)
                        return r;
        }
        return 0;
}
