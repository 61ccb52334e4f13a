/* sizeLimit of emptyDir volumes on disk: du(1) measures them from time to time, in a process of its
 * own because a volume may hold a million files. A pod over its limit is evicted as by a kubelet:
 * phase Failed, reason Evicted. (In memory, the tmpfs has that size.) */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/quantity.h"
#include "lib/timefmt.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/pod/volumes.h"

enum { PERIOD_US = 20 * 1000000, ANSWER_SIZE_MAX = 1024 * 1024 };

extern char **environ;

struct measurement {
        struct pod *pod;
        pid_t pid;
        sd_event_source *io;
        int fd;
        struct buf text;
};

static struct measurement *measurement_free(struct measurement *u) {
        if (!u)
                return NULL;
        sd_event_source_disable_unref(u->io);
        safe_close(u->fd);
        buf_done(&u->text);
        if (u->pid > 0) {
                (void)kill(u->pid, SIGKILL);
                while (waitpid(u->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        free(u);
        return NULL;
}

DEFINE_CLEANUP(struct measurement *, measurement_free);

void usage_done(struct pod *p) {
        p->usage.running = measurement_free(p->usage.running);
        p->usage.over = mfree(p->usage.over);
}

static const json_t *volume_at(const struct pod *p, const char *path, size_t n) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(p->sandbox.plan, "volumes"), i, v) {
                const char *own = json_str_or(v, "path", "");
                if (strlen(own) == n && strncmp(own, path, n) == 0)
                        return v;
        }
        return NULL;
}

static const char *limit_text(const struct pod *p, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(p->object, "spec.volumes"), i, v)
                if (streq(json_str_or(v, "name", ""), name))
                        return json_str_or(v, "emptyDir.sizeLimit", "");
        return "";
}

static void note_over(struct pod *p, const char *volume) {
        if (p->usage.over)
                return;
        p->usage.over = strformat("Usage of EmptyDir volume \"%s\" exceeds the limit \"%s\". ",
                        volume, limit_text(p, volume));
        pod_wake(p);
}

/* Lines of "bytes<TAB>path". */
static void judge(struct pod *p, const char *text) {
        for (const char *line = text; *line;) {
                const char *end = strchrnul(line, '\n'),
                           *tab = memchr(line, '\t', (size_t)(end - line));
                _cleanup_free_ char *number = tab ? strndup(line, (size_t)(tab - line)) : NULL;
                const json_t *v = tab ? volume_at(p, tab + 1, (size_t)(end - tab - 1)) : NULL;
                uint64_t bytes;

                if (v && number && parse_u64(number, &bytes) >= 0 &&
                                bytes > (uint64_t)json_int_or(v, "size", INT64_MAX))
                        note_over(p, json_str_or(v, "name", ""));
                line = *end ? end + 1 : end;
        }
}

static int on_answer(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        struct measurement *u = userdata;
        struct pod *p = u->pod;
        char piece[4096];
        ssize_t n = read(fd, piece, sizeof(piece));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0 && u->text.size < ANSWER_SIZE_MAX) {
                buf_append(&u->text, piece, (size_t)n);
                return 0;
        }
        if (!u->text.failed && u->text.size > 0)
                judge(p, u->text.data);
        p->usage.running = measurement_free(u);
        return 0;
}

static int spawn_with(
                char *const *argv, int output, posix_spawn_file_actions_t *actions, pid_t *ret) {
        int r = -posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);

        if (r < 0)
                return r;
        return -posix_spawnp(ret, argv[0], actions, /* attributes= */ NULL, argv, environ);
}

static int spawn(char *const *argv, int output, pid_t *ret) {
        posix_spawn_file_actions_t actions;
        int r = -posix_spawn_file_actions_init(&actions);

        if (r < 0)
                return r;
        r = spawn_with(argv, output, &actions, ret);
        posix_spawn_file_actions_destroy(&actions);
        return r;
}

static int start(struct pod *p, char *const *argv) {
        _cleanup_(measurement_freep) struct measurement *u = calloc(1, sizeof(*u));
        _cleanup_close_ int output = -EBADF;
        int ends[2], r;

        if (!u)
                return -ENOMEM;
        *u = (struct measurement){.pod = p, .fd = -EBADF};
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        u->fd = ends[0];
        output = ends[1];
        r = spawn(argv, output, &u->pid);
        if (r < 0)
                return r;
        r = sd_event_add_io(p->pods->agent->event, &u->io, u->fd, EPOLLIN, on_answer, u);
        if (r < 0)
                return r;
        p->usage.running = TAKE_PTR(u);
        return 0;
}

static bool is_limited(const json_t *volume) {
        return streq(json_str_or(volume, "type", ""), "empty") &&
               json_int_or(volume, "size", 0) > 0;
}

bool usage_is_limited(const struct pod *p) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(p->sandbox.plan, "volumes"), i, v)
                if (is_limited(v))
                        return true;
        return false;
}

/* du and the paths to measure. */
static int command(const struct pod *p, char ***ret) {
        /* Nothing is mounted in a volume here; files of an overlay have other devices than its
         * folders, so that --one-file-system would leave them out. */
        static const char *const words[] = {"du", "--block-size=1", "--summarize", "--"};
        _cleanup_strv_free_ char **argv = NULL;
        const json_t *v;
        size_t i;
        int r;

        for (i = 0; i < ELEMENTS(words); i++) {
                r = strv_extend(&argv, words[i]);
                if (r < 0)
                        return r;
        }
        json_array_foreach (json_at(p->sandbox.plan, "volumes"), i, v) {
                r = is_limited(v) ? strv_extend(&argv, json_str_or(v, "path", "")) : 0;
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(argv);
        return 0;
}

static int measure(struct pod *p) {
        _cleanup_strv_free_ char **argv = NULL;
        int r = command(p, &argv);

        if (r < 0)
                return r;
        return start(p, argv);
}

void usage_measure(struct pod *p) {
        int r;

        assert(!p->usage.running);
        p->usage.next_us = now_mono_us() + PERIOD_US;
        pod_wake_at(p, p->usage.next_us);
        r = measure(p);
        if (r < 0)
                log_warning_errno(r, "Cannot measure the volumes of pod %s/%s with du",
                                object_namespace(p->object), object_name(p->object));
}

void usage_sweep(struct pod *p) {
        assert(!p->usage.swept && p->failed_reason);
        p->usage.swept = true;
        (void)volumes_remove(p->pods->agent->trash, p->disk_dir, p->run_dir, p->secret_dir);
}
