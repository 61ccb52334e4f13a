/* An overlay keeps the names that it has looked up, and so would show a file of /etc that was
 * replaced as it was before. A remount makes the kernel forget them: after changes in /etc itself
 * at once, once a minute for those in its folders. The files of the mask layer are empty and have
 * no mode bits, as those that systemd uses for InaccessiblePaths=; a folder below one is hidden
 * with it. */
#include "nodeagent/etc-view.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "lib/base.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "nodeagent/agent.h"
#include "nodeagent/plan/plan.h"

#define ETC "/etc"

enum {
        VIEW_FLAGS = MS_RDONLY | MS_NOSUID | MS_NODEV,
        AFTER_CHANGE_US = 100000,
        ALWAYS_US = 60 * 1000000,
        ACCURACY_US = 10 * 1000000,
};

struct etc_view {
        sd_event_source *changes, *timer;
        bool made;
};

static void etc_view_freep(struct etc_view **v) {
        (void)etc_view_free(*v);
}

/* ---- the layer that hides ---- */

/* A folder of the mask layer has the mode and owner of the machine's. -ELOOP: that is a link. */
static int mask_folder(const char *theirs, const char *ours) {
        struct stat st;

        if (mkdir(ours, 0755) < 0 && errno != EEXIST)
                return -errno;
        if (lstat(theirs, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (S_ISLNK(st.st_mode))
                return -ELOOP;
        if (!S_ISDIR(st.st_mode))
                return -ENOTDIR;
        return chown(ours, st.st_uid, st.st_gid) < 0 || chmod(ours, st.st_mode & 07777) < 0 ? -errno
                                                                                            : 0;
}

static int mask_file(const char *theirs, const char *ours) {
        struct stat st;
        int fd;

        if (lstat(theirs, &st) >= 0 && S_ISLNK(st.st_mode))
                return -ELOOP;
        fd = open(ours, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0);
        if (fd < 0)
                return -errno;
        close(fd);
        return 0;
}

/* All folders of one hidden path, and the file. */
static int mask_path(const char *mask, const char *hidden) {
        for (const char *end = hidden + strlen(ETC);;) {
                _cleanup_free_ char *theirs = strndup(hidden, (size_t)(end - hidden)),
                                    *ours = theirs ? strformat("%s%s", mask, theirs + strlen(ETC))
                                                   : NULL;
                int r;

                if (!ours)
                        return -ENOMEM;
                if (!*end)
                        return mask_file(theirs, ours);
                r = mask_folder(theirs, ours);
                if (r < 0)
                        return r;
                end = strchrnul(end + 1, '/');
        }
}

static int mask_all(const char *mask) {
        const char *hidden;
        int r = mkdir_parents(mask, 0755);

        for (size_t i = 0; r >= 0 && (hidden = pod_hidden_path(i)); i++)
                if (startswith(hidden, ETC "/"))
                        r = mask_path(mask, hidden);
        return r;
}

/* Files that pods have their own of, in a layer below the machine's /etc: what it does not have
 * could not be mounted over. */
static int make_points(const char *base) {
        static const char *const names[] = {"hosts", "hostname", "resolv.conf"};
        int r = mkdir_parents(base, 0755);

        for (size_t i = 0; r >= 0 && i < ELEMENTS(names); i++) {
                _cleanup_free_ char *path = strformat("%s/%s", base, names[i]);

                r = path ? file_write_atomic(path, "", 0, 0644) : -ENOMEM;
        }
        return r;
}

/* ---- the overlay ---- */

/* An overlay does not show what is mounted below its layers. */
static bool has_mounts(void) {
        _cleanup_free_ char *line = NULL;
        FILE *f = fopen("/proc/self/mountinfo", "re");
        bool found = false;
        size_t size = 0;

        while (f && !found && getline(&line, &size, f) > 0) {
                char *save = NULL, *word = strtok_r(line, " ", &save);

                for (int i = 0; i < 4 && word; i++)
                        word = strtok_r(NULL, " ", &save);
                found = word && startswith(word, ETC "/");
        }
        if (f)
                (void)fclose(f);
        return found;
}

static bool is_mounted(void) {
        struct statfs fs;

        return statfs(AGENT_ETC_DIR, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

static int make(void) {
        int r;

        if (is_mounted())
                return 0;
        if (has_mounts())
                return -EBUSY;
        r = mask_all(AGENT_ETC_MASK);
        if (r < 0)
                return r;
        r = make_points(AGENT_ETC_BASE);
        if (r < 0)
                return r;
        r = mkdir_parents(AGENT_ETC_DIR, 0755);
        if (r < 0)
                return r;
        return mount("keelson-etc", AGENT_ETC_DIR, "overlay", VIEW_FLAGS,
                               "lowerdir=" AGENT_ETC_MASK ":" ETC ":" AGENT_ETC_BASE) < 0
                               ? -errno
                               : 0;
}

/* ---- its names follow the machine's ---- */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        if (mount(NULL, AGENT_ETC_DIR, NULL, MS_REMOUNT | VIEW_FLAGS, NULL) < 0)
                log_debug("Cannot refresh %s: %s", AGENT_ETC_DIR, strerror(errno));
        (void)sd_event_source_set_time_accuracy(source, ACCURACY_US);
        (void)sd_event_source_set_time_relative(source, ALWAYS_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_change(sd_event_source *source, const struct inotify_event *event, void *userdata) {
        struct etc_view *v = userdata;
        uint64_t now, due;

        if (sd_event_now(sd_event_source_get_event(source), CLOCK_MONOTONIC, &now) < 0 ||
                        sd_event_source_get_time(v->timer, &due) < 0)
                return 0;
        /* Many changes are one. */
        if (due <= now + AFTER_CHANGE_US)
                return 0;
        (void)sd_event_source_set_time_accuracy(v->timer, AFTER_CHANGE_US);
        (void)sd_event_source_set_time(v->timer, now + AFTER_CHANGE_US);
        return 0;
}

static int follow(struct etc_view *v, sd_event *event) {
        int r = sd_event_add_time_relative(
                        event, &v->timer, CLOCK_MONOTONIC, ALWAYS_US, ACCURACY_US, on_timer, v);

        if (r < 0)
                return r;
        /* A machine that has no watches left has its pods all the same. */
        r = sd_event_add_inotify(event, &v->changes, ETC,
                        IN_CREATE | IN_DELETE | IN_MOVE | IN_ONLYDIR, on_change, v);
        if (r < 0)
                log_warning_errno(r,
                                "Cannot watch %s: pods see files that are replaced in it "
                                "up to a minute later",
                                ETC);
        return r == -ENOMEM ? r : 0;
}

int etc_view_new(struct etc_view **ret, sd_event *event) {
        _cleanup_(etc_view_freep) struct etc_view *v = calloc(1, sizeof(*v));
        int r;

        if (!v)
                return -ENOMEM;
        r = make();
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                log_warning("Pods on the machine's own root get the machine's /etc with mounts "
                            "over its hidden files, which end when such a file is replaced: %s",
                                r == -ELOOP   ? "a hidden file or its folder is a link"
                                : r == -EBUSY ? "something is mounted in /etc"
                                              : strerror(-r));
        v->made = r >= 0;
        if (v->made) {
                r = follow(v, event);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(v);
        return 0;
}

struct etc_view *etc_view_free(struct etc_view *v) {
        if (!v)
                return NULL;
        sd_event_source_disable_unref(v->changes);
        sd_event_source_disable_unref(v->timer);
        free(v);
        return NULL;
}

const char *etc_view_dir(const struct etc_view *v) {
        return v && v->made ? AGENT_ETC_DIR : NULL;
}
