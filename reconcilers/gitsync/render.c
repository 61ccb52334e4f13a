/* Two sides of one pipe: the fetch, which hands the files over, and the process that writes them
 * into its own folder, confines itself and runs the program. */
#include "reconcilers/gitsync/render.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/buf.h"
#include "lib/confine.h"
#include "lib/fileio.h"
#include "lib/pki.h"
#include "reconcilers/gitsync/fetch.h"
#include "reconcilers/gitsync/kustomization.h"
#include "reconcilers/gitsync/no-network.h"
#include "reconcilers/gitsync/tree.h"

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"
enum { CPU_S = 60, MEMORY = 1 << 30, OUTPUT_MAX = 64 << 20, WORDS_MAX = 2000, ARGUMENTS_MAX = 48 };

/* --- the fetch's side --- */

static int write_all(int fd, const char *text, size_t n) {
        while (n > 0) {
                ssize_t k = write(fd, text, n);

                if (k < 0 && errno != EINTR)
                        return -errno;
                if (k > 0) {
                        text += k;
                        n -= (size_t)k;
                }
        }
        return 0;
}

static void be_renderer(int in, int out);

int renderer_start(struct renderer *renderer) {
        int to[2], from[2], r;

        *renderer = (struct renderer){.to = -EBADF, .from = -EBADF};
        if (pipe2(to, O_CLOEXEC) < 0)
                return -errno;
        if (pipe2(from, O_CLOEXEC) < 0) {
                r = -errno;
                close(to[0]);
                close(to[1]);
                return r;
        }
        renderer->pid = fork();
        if (renderer->pid == 0) {
                close(to[1]);
                close(from[0]);
                be_renderer(to[0], from[1]);
        }
        r = renderer->pid < 0 ? -errno : 0;
        close(to[0]);
        close(from[1]);
        renderer->to = to[1];
        renderer->from = from[0];
        if (r < 0) {
                renderer->pid = 0;
                renderer_stop(renderer);
        }
        return r;
}

void renderer_stop(struct renderer *renderer) {
        renderer->to = safe_close(renderer->to);
        renderer->from = safe_close(renderer->from);
        if (renderer->pid > 0)
                (void)waitpid(renderer->pid, NULL, 0);
        renderer->pid = 0;
}

/* It reads the whole request before it writes. */
static int ask_renderer(struct renderer *renderer, const char *request, json_t **ret) {
        FILE *f = fdopen(renderer->from, "r");
        json_error_t error;
        int r;

        if (!f)
                return -errno;
        renderer->from = -EBADF;
        r = write_all(renderer->to, request, strlen(request));
        renderer->to = safe_close(renderer->to);
        *ret = json_loadf(f, 0, &error);
        (void)fclose(f);
        return *ret ? 0 : r < 0 ? r : -EPROTO;
}

static json_t *make_request(const json_t *request, json_t *folders, json_t *files) {
        _cleanup_free_ char *dir =
                        strformat("%s/keelson-render", json_str_or(request, "mirror", ""));

        return dir ? json_pack("{s:s, s:O, s:O, s:s, s:s, s:O*}", "dir", dir, "folders", folders,
                                     "files", files, "name",
                                     json_str_or(request, "name", "release"), "namespace",
                                     json_str_or(request, "namespace", "default"), "helm",
                                     json_object_get(request, "helm"))
                   : NULL;
}

int render_folders(struct renderer *renderer, git_repository *repo, git_commit *commit,
                const json_t *request, json_t *answer, struct problem *p) {
        _cleanup_json_ json_t *folders = json_incref(json_object_get(answer, "folders"));
        _cleanup_json_ json_t *files = NULL, *whole = NULL, *reply = NULL;
        _cleanup_free_ char *text = NULL;
        int r = tree_export(repo, commit, answer, &files, p);

        if (r < 0)
                return r;
        json_object_del(answer, "folders");
        whole = make_request(request, folders, files);
        text = whole ? json_text(whole) : NULL;
        r = text ? ask_renderer(renderer, text, &reply) : -ENOMEM;
        if (r < 0)
                return problem_set(p, r, 0, NULL,
                                "the renderer ended without an answer: it took more than %i s of "
                                "processor time or %i MiB of memory",
                                CPU_S, MEMORY >> 20);
        if (json_str(reply, "error"))
                return problem_set(p, EINVAL, 0, NULL, "%s", json_str(reply, "error"));
        return json_array_extend(json_object_get(answer, "files"), json_object_get(reply, "files"));
}

/* --- the renderer --- */

struct render_job {
        const json_t *request;
        const char *dir;
        struct problem *problem;
};

static int cannot_write(struct render_job *job, const char *name, int r) {
        return problem_set(job->problem, r, 0, NULL, "cannot write %s: %s", name, strerror(-r));
}

/* A name from a tree is a path without "..", "." or empty parts. */
static int write_file(struct render_job *job, const json_t *file) {
        const char *name = json_str_or(file, "name", ""), *text = json_str(file, "text");
        _cleanup_free_ char *clean = tree_path_join("", name), *path = NULL, *folder = NULL;
        _cleanup_free_ void *data = NULL;
        size_t n = text ? json_string_length(json_object_get(file, "text")) : 0;
        char *slash;
        int r;

        if (!clean || !streq(clean, name) || !*name)
                return problem_set(job->problem, EINVAL, 0, NULL,
                                "the file name \"%s\" is not accepted", name);
        if (!text) {
                if (base64_decode(json_str_or(file, "base64", ""), &data, &n) < 0)
                        return -EINVAL;
                text = data;
        }
        path = strformat("%s/tree/%s", job->dir, name);
        folder = path ? strdup(path) : NULL;
        slash = folder ? strrchr(folder, '/') : NULL;
        if (!slash)
                return -ENOMEM;
        *slash = '\0';
        r = mkdir_parents(folder, 0700);
        if (r < 0)
                return cannot_write(job, name, r);
        r = file_write_atomic(path, text, n, 0600);
        if (r < 0)
                return cannot_write(job, name, r);
        return 0;
}

static int write_files(struct render_job *job) {
        const json_t *file;
        size_t i;

        json_array_foreach (json_object_get(job->request, "files"), i, file) {
                int r = write_file(job, file);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The programs of this machine, the folder, and the files that programs need to start. */
static int confine(struct render_job *job) {
        static const char *const programs[] = {"/bin", "/sbin", "/usr", "/lib", "/lib64", "/opt"};
        struct confine_path paths[ELEMENTS(programs) + 5] = {{job->dir, CONFINE_WRITE},
                        {"/dev/null", CONFINE_WRITE}, {"/etc/ld.so.cache", CONFINE_READ},
                        {"/dev/urandom", CONFINE_READ},
                        {"/sys/kernel/mm/transparent_hugepage", CONFINE_READ}};
        int r;

        for (size_t i = 0; i < ELEMENTS(programs); i++)
                paths[5 + i] = (struct confine_path){programs[i], CONFINE_RUN};
        r = confine_self(&(struct confine_options){.paths = paths, .path_count = ELEMENTS(paths)});
        return r == -EOPNOTSUPP ? 0 : MIN(r, 0); /* kgitd logs at its start that there is none */
}

/* Without network and with limits, from here on and for all that it starts. */
static int shut_off(struct render_job *job) {
        const struct {
                int what;
                rlim_t limit;
        } limits[] = {{RLIMIT_CPU, CPU_S}, {RLIMIT_DATA, MEMORY}, {RLIMIT_FSIZE, OUTPUT_MAX},
                        {RLIMIT_CORE, 0}, {RLIMIT_NOFILE, 256}};

        int r = no_network();

        if (r < 0)
                return problem_set(job->problem, r, 0, NULL,
                                "cannot shut the renderer off from the network: %s", strerror(-r));
        /* Where kgitd's unit does not allow lowering limits, those of the unit apply. */
        for (size_t i = 0; i < ELEMENTS(limits); i++)
                if (setrlimit(limits[i].what, &(struct rlimit){limits[i].limit, limits[i].limit}) <
                                                0 &&
                                errno != EPERM)
                        return -errno;
        return confine(job);
}

/* The program's path, or NULL when it is not installed. Caller frees. */
static char *find_program(const char *name) {
        const char *path = getenv("PATH");
        _cleanup_strv_free_ char **folders = NULL;

        if (strv_split(isempty(path) ? PATH_DEFAULT : path, ":", &folders) < 0)
                return NULL;
        for (char **f = folders; f && *f; f++) {
                char *full = strformat("%s/%s", *f, name);

                if (full && access(full, X_OK) == 0)
                        return full;
                free(full);
        }
        return NULL;
}

static int open_output(struct render_job *job, const char *name, char **ret_path) {
        int fd;

        *ret_path = strformat("%s/%s", job->dir, name);
        fd = *ret_path ? open(*ret_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
        return fd < 0 ? -errno : fd;
}

/* Only what a program needs; nothing from kgitd's environment. */
static char **make_environment(struct render_job *job) {
        char **environment = NULL;
        _cleanup_free_ char *home = strformat("HOME=%s/home", job->dir);
        _cleanup_free_ char *path = strformat(
                        "PATH=%s", isempty(getenv("PATH")) ? PATH_DEFAULT : getenv("PATH"));
        _cleanup_free_ char *temporary = strformat("TMPDIR=%s", job->dir);

        if (!home || !path || !temporary || strv_extend(&environment, home) < 0 ||
                        strv_extend(&environment, path) < 0 ||
                        strv_extend(&environment, temporary) < 0 ||
                        strv_extend(&environment, "LC_ALL=C.UTF-8") < 0)
                return strv_free(environment);
        return environment;
}

/* The program's message, without the temporary folder. Caller frees. */
static char *words(struct render_job *job, const char *path) {
        _cleanup_free_ char *text = NULL, *prefix = strformat("%s/tree/", job->dir);
        struct buf b = {0};
        char *at, *found;

        if (!prefix || file_read(path, OUTPUT_MAX, &text, NULL) < 0)
                return NULL;
        /* kubectl's are wrapped in a line of its log: E1128 ... "command failed" err="..." */
        at = strstr(text, " err=\"");
        at = *text == 'E' && at ? at + strlen(" err=\"") : text;
        for (; (found = strstr(at, prefix)); at = found + strlen(prefix))
                buf_append(&b, at, (size_t)(found - at));
        buf_append_str(&b, at);
        if (!b.failed && b.size > WORDS_MAX)
                buf_consume(&b, b.size - WORDS_MAX);
        while (!b.failed && b.size > 0 && strchr(" \n\"", b.data[b.size - 1]))
                b.data[--b.size] = '\0';
        if (!b.failed && !utf8_is_valid(strempty(b.data), b.size))
                buf_reset(&b);
        return buf_take(&b);
}

/* In the child: never returns. */
static void become(char *const *argv, char *const *environment, int out_fd, int err_fd) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(out_fd, STDOUT_FILENO) >= 0 &&
                        dup2(err_fd, STDERR_FILENO) >= 0)
                execve(argv[0], argv, environment);
        _exit(127);
}

static int run_program(struct render_job *job, char *const *argv, int out_fd, int err_fd) {
        _cleanup_strv_free_ char **environment = make_environment(job);
        int status = 0;
        pid_t pid;

        if (!environment)
                return -ENOMEM;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                become(argv, environment, out_fd, err_fd);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EINVAL;
}

/* {"tool", ...} for the folder; the strings in `owned` are freed with it. */
struct render_command {
        char *argv[ARGUMENTS_MAX + 1];
        char *owned[ARGUMENTS_MAX];
        size_t argc, owned_count;
        bool failed;
};

static void command_done(struct render_command *c) {
        for (size_t i = 0; i < c->owned_count; i++)
                free(c->owned[i]);
}

static void argument(struct render_command *c, char *taken) {
        if (!taken || c->argc >= ARGUMENTS_MAX) {
                free(taken);
                c->failed = true;
                return;
        }
        c->argv[c->argc++] = c->owned[c->owned_count++] = taken;
}

static int kustomize_command(struct render_job *job, const char *path, struct render_command *c) {
        char *program = find_program("kustomize"),
             *other = program ? NULL : find_program("kubectl");

        if (!program && !other)
                return problem_set(job->problem, ENOENT, 0, NULL,
                                "%s holds a kustomization, and neither kustomize nor kubectl is "
                                "installed where kgitd runs; install one of them there, or commit "
                                "the rendered manifests",
                                path);
        argument(c, program ? program : other);
        argument(c, strdup(program ? "build" : "kustomize"));
        argument(c, strformat("%s/tree/%s", job->dir, path));
        return c->failed ? -ENOMEM : 0;
}

static int helm_values(struct render_job *job, const char *path, struct render_command *c) {
        const json_t *helm = json_object_get(job->request, "helm"), *v;
        const json_t *values = json_object_get(helm, "values");
        size_t i;

        json_array_foreach (json_object_get(helm, "valuesFiles"), i, v) {
                _cleanup_free_ char *at = tree_path_join(path, strempty(json_string_value(v)));

                if (!at)
                        return problem_set(job->problem, EINVAL, 0, NULL,
                                        "spec.helm.valuesFiles: \"%s\" leads out of the repository",
                                        strempty(json_string_value(v)));
                argument(c, strdup("--values"));
                argument(c, strformat("%s/tree/%s", job->dir, at));
        }
        if (values) {
                _cleanup_free_ char *text = json_text(values),
                                    *at = strformat("%s/values", job->dir);

                if (!text || !at || file_write_atomic(at, text, strlen(text), 0600) < 0)
                        return -EIO;
                argument(c, strdup("--values"));
                argument(c, TAKE_PTR(at));
        }
        return c->failed ? -ENOMEM : 0;
}

static int helm_command(struct render_job *job, const char *path, struct render_command *c) {
        char *program = find_program("helm");
        const char *base = strrchr(path, '/');

        if (!program)
                return problem_set(job->problem, ENOENT, 0, NULL,
                                "%s holds a Helm chart, and helm is not installed where kgitd "
                                "runs; "
                                "install it there, commit the rendered manifests, or leave the "
                                "folder out with spec.exclude",
                                path);
        base = base ? base + 1 : path;
        argument(c, program);
        argument(c, strdup("template"));
        argument(c, strdup(json_str_or(job->request, "helm.releaseName",
                                    streq(base, ".") ? json_str_or(job->request, "name", "release")
                                                     : base)));
        argument(c, strformat("%s/tree/%s", job->dir, path));
        argument(c, strdup("--include-crds"));
        argument(c, strdup("--namespace"));
        argument(c, strdup(json_str_or(job->request, "namespace", "default")));
        return c->failed ? -ENOMEM : helm_values(job, path, c);
}

static int cannot_render(struct render_job *job, const char *path, int r) {
        return problem_set(
                        job->problem, r, 0, NULL, "%s cannot be rendered: %s", path, strerror(-r));
}

static int render(struct render_job *job, const char *path, struct render_command *c,
                const char *file, json_t *files) {
        _cleanup_free_ char *out = NULL, *err = NULL, *text = NULL, *name = NULL, *said = NULL;
        _cleanup_close_ int out_fd = open_output(job, "out", &out);
        _cleanup_close_ int err_fd = open_output(job, "err", &err);
        size_t n;
        int r;

        if (out_fd < 0 || err_fd < 0)
                return cannot_render(job, path, out_fd < 0 ? out_fd : err_fd);
        r = run_program(job, c->argv, out_fd, err_fd);
        if (r == -EINVAL) {
                said = words(job, err);
                return problem_set(job->problem, EINVAL, 0, NULL, "%s cannot be rendered: %s", path,
                                isempty(said) ? "the program ended without a message; it may have "
                                                "reached a bound of time, memory or size"
                                              : said);
        }
        if (r < 0)
                return cannot_render(job, path, r);
        r = file_read(out, OUTPUT_MAX, &text, &n);
        if (r < 0)
                return cannot_render(job, path, r);
        if (!utf8_is_valid(text, n) || memchr(text, 0, n))
                return problem_set(job->problem, EINVAL, 0, NULL,
                                "%s cannot be rendered: the result is not UTF-8 text", path);
        name = strformat("%s%s%s (rendered)", streq(path, ".") ? "" : path,
                        streq(path, ".") ? "" : "/", file);
        return name && json_array_append_new(files,
                                       json_pack("{s:s, s:s%}", "name", name, "text", text, n)) == 0
                               ? 0
                               : -ENOMEM;
}

static int render_folder(struct render_job *job, const json_t *folder, struct render_command *c,
                json_t *files) {
        const char *path = json_str_or(folder, "path", ".");
        bool helm = streq(json_str_or(folder, "tool", ""), "helm");
        int r = helm ? helm_command(job, path, c) : kustomize_command(job, path, c);

        if (r < 0)
                return r;
        return render(job, path, c, helm ? "Chart.yaml" : "kustomization.yaml", files);
}

static int render_all(struct render_job *job, json_t *files) {
        const json_t *folder;
        size_t i;

        json_array_foreach (json_object_get(job->request, "folders"), i, folder) {
                struct render_command c = {0};
                int r = render_folder(job, folder, &c, files);

                command_done(&c);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The folder must exist before the process gives up its access to the one above it. */
static int prepare_folder(struct render_job *job) {
        int r = remove_tree(job->dir);

        return r < 0 && r != -ENOENT ? r : mkdir_parents(job->dir, 0700);
}

static int fill_and_render(struct render_job *job, json_t *files) {
        int r = prepare_folder(job);

        if (r < 0)
                return r;
        r = shut_off(job);
        if (r < 0)
                return r;
        r = write_files(job);
        if (r < 0)
                return r;
        return render_all(job, files);
}

static json_t *do_job(json_t *request) {
        _cleanup_json_ json_t *files = json_array();
        _cleanup_problem_ struct problem p = {0};
        struct render_job job = {
                        .request = request, .dir = json_str_or(request, "dir", ""), .problem = &p};
        int r = files ? fill_and_render(&job, files) : -ENOMEM;

        (void)remove_tree(job.dir);
        return r < 0 ? json_pack("{s:s}", "error", p.message ? p.message : strerror(-r))
                     : json_pack("{s:O}", "files", files);
}

/* The renderer's process: waits for a request, which may never come. Does not return. */
static void be_renderer(int in, int out) {
        _cleanup_json_ json_t *request = NULL, *reply = NULL;
        _cleanup_free_ char *text = NULL;
        FILE *f = fdopen(in, "r");

        /* The parent is gone: the result has no reader. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        request = f ? json_loadf(f, 0, NULL) : NULL;
        reply = request ? do_job(request) : NULL;
        text = reply ? json_text(reply) : NULL;
        _exit(text && write_all(out, text, strlen(text)) == 0 ? 0 : 1);
}
