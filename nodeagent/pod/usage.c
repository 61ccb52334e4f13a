/* sizeLimit of emptyDir volumes on disk: du(1) measures them now and then, in a process of its own
 * because a volume may hold a million files, and a pod over its limit is evicted as a kubelet does
 * it: phase Failed, reason Evicted. (In memory, the tmpfs has that size.) */
#include "nodeagent/pod/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/quantity.h"
#include "lib/timefmt.h"
#include "nodeagent/pod/volumes.h"

enum { PERIOD_US = 20 * 1000000, ANSWER_SIZE_MAX = 1024 * 1024 };

extern char **environ;

struct pod_usage {
        struct pod *pod;
        pid_t pid;
        sd_event_source *io;
        int fd;
        struct buf text;
};

static struct pod_usage *usage_free(struct pod_usage *u) {
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

void pod_usage_cancel(struct pod *p) {
        p->usage = usage_free(p->usage);
}

static const json_t *volume_at(const struct pod *p, const char *path, size_t n) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(p->plan, "volumes"), i, v) {
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

static void evict(struct pod *p, const char *volume) {
        if (p->failed_reason)
                return;
        p->failed_reason = strdup("Evicted");
        p->failed_message = strformat("Usage of EmptyDir volume \"%s\" exceeds the limit \"%s\". ",
                        volume, limit_text(p, volume));
        pod_event(p, "Warning", "Evicted", "%s", strempty(p->failed_message));
        for (size_t i = 0; i < p->count; i++)
                if (units_get(p->pods->agent->units, p->containers[i].unit))
                        (void)units_stop(p->pods->agent->units, p->containers[i].unit);
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
                        evict(p, json_str_or(v, "name", ""));
                line = *end ? end + 1 : end;
        }
}

static int on_answer(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        struct pod_usage *u = userdata;
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
        pod_usage_cancel(p);
        return 0;
}

static int start(struct pod *p, char *const *argv) {
        struct pod_usage *u = calloc(1, sizeof(*u));
        posix_spawn_file_actions_t actions;
        int ends[2], r;

        if (!u)
                return -ENOMEM;
        if (pipe2(ends, O_CLOEXEC) < 0) {
                free(u);
                return -errno;
        }
        *u = (struct pod_usage){.pod = p, .fd = ends[0]};
        r = -posix_spawn_file_actions_init(&actions);
        if (r >= 0) {
                r = -posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
                if (r >= 0)
                        r = -posix_spawnp(&u->pid, argv[0], &actions, NULL, argv, environ);
                posix_spawn_file_actions_destroy(&actions);
        }
        close(ends[1]);
        if (r >= 0)
                r = sd_event_add_io(p->pods->agent->event, &u->io, u->fd, EPOLLIN, on_answer, u);
        if (r < 0) {
                usage_free(u);
                return r;
        }
        p->usage = u;
        return 0;
}

void pod_check_usage(struct pod *p) {
        /* Nothing is mounted in a volume here; files of an overlay have other devices than its
         * folders, so that --one-file-system would leave them out. */
        static const char *const words[] = {"du", "--block-size=1", "--summarize", "--"};
        _cleanup_strv_free_ char **argv = NULL;
        uint64_t now = now_mono_us();
        const json_t *v;
        bool any = false;
        size_t i;
        int r = 0;

        if (p->usage)
                return;
        for (i = 0; i < ELEMENTS(words) && r >= 0; i++)
                r = strv_extend(&argv, words[i]);
        json_array_foreach (json_at(p->plan, "volumes"), i, v) {
                if (r < 0 || !streq(json_str_or(v, "type", ""), "empty") ||
                                json_int_or(v, "size", 0) <= 0)
                        continue;
                r = strv_extend(&argv, json_str_or(v, "path", ""));
                any = true;
        }
        if (!any)
                return;
        if (now >= p->usage_us) {
                p->usage_us = now + PERIOD_US;
                if (r >= 0)
                        r = start(p, argv);
                if (r < 0)
                        log_warning_errno(r, "Cannot measure the volumes of pod %s/%s with du",
                                        object_namespace(p->object), object_name(p->object));
        }
        pod_wake_at(p, p->usage_us);
}

/* An evicted pod's data goes with it: the object may stay for long. */
void pod_sweep_evicted(struct pod *p) {
        if (p->swept || !streq_ptr(p->failed_reason, "Evicted"))
                return;
        for (size_t i = 0; i < p->count; i++) {
                const struct unit_state *s =
                                units_get(p->pods->agent->units, p->containers[i].unit);
                if (s && !streq(s->active, "failed") && !streq(s->active, "inactive"))
                        return;
        }
        p->swept = true;
        (void)volumes_remove(p->disk_dir, p->run_dir, p->secret_dir);
}
