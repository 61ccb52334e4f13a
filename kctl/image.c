/* kctl image pull, list, remove: the images of nodes, over SSH. Nodes are worked on in parallel, a
 * process for each, because SSH blocks and a slow node must not hold the others. */
#include "kctl/image.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fileio.h"
#include "lib/object.h"
#include "lib/ssh.h"
#include "lib/timefmt.h"

enum {
        PARALLEL_MAX = 16,
        RESULT_SIZE_MAX = 16 << 20,
        LINE_SIZE_MAX = 8 << 20,
        PROGRESS_US = 2 * 1000000,
        ASK_TIMEOUT_S = 60,
};

/* ---- nodes ---- */

static int add_node(struct kctl *k, const char *name, json_t *list, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_NODES), /* ns= */ NULL, name,
                        /* subresource= */ NULL, /* query= */ NULL);
        json_t *node = NULL;
        int r = path ? api_get(k->client, path, &node, p) : -ENOMEM;

        if (r < 0)
                return r;
        return json_array_append_new(list, node) < 0 ? -ENOMEM : 0;
}

int image_nodes(struct kctl *k, size_t from, bool default_all, json_t **ret, struct problem *p) {
        size_t n = strv_length(k->words);
        bool named = n > from, all = k->flags.all || (default_all && !named);
        _cleanup_json_ json_t *list = NULL;
        int r;

        if (named && (k->flags.selector || k->flags.all))
                return problem_set(p, EINVAL, 0, NULL,
                                "names of nodes and --selector or --all exclude each other");
        if (!named && !k->flags.selector && !all)
                return problem_set(p, EINVAL, 0, NULL,
                                "which nodes? name them, or give --selector or --all");
        if (!named) {
                _cleanup_free_ char *query = selector_query(k, /* more= */ NULL), *path = NULL;

                path = api_path(api_resource(KIND_NODES), /* ns= */ NULL, /* name= */ NULL,
                                /* subresource= */ NULL, isempty(query) ? NULL : query);
                r = path ? api_get(k->client, path, &list, p) : -ENOMEM;
                if (r < 0)
                        return r;
                *ret = json_ref(json_at(list, "items"));
                return *ret ? 0 : -EINVAL;
        }
        list = json_array();
        if (!list)
                return -ENOMEM;
        for (size_t i = from; i < n; i++) {
                r = add_node(k, k->words[i], list, p);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(list);
        return 0;
}

/* ---- a process for each node ---- */

struct worker_process {
        pid_t pid; /* 0: not started, or ended */
        int file;  /* for what it has to say */
};

static int work_on(struct image_node *n, const json_t *node, image_node_func run,
                const void *userdata, struct problem *p) {
        int r = machine_open_node(&n->machine, n->k, node, p);

        return r < 0 ? r : run(n, userdata, p);
}

static int run_child(struct kctl *k, const json_t *node, image_node_func run, const void *userdata,
                int file) {
        _cleanup_problem_ struct problem p = {0};
        struct image_node n = {.k = k, .name = object_name(node), .file = file};
        int r = work_on(&n, node, run, userdata, &p);

        if (r < 0)
                kctl_error("%s: %s", n.name, p.message ? p.message : strerror(-r));
        machine_free(n.machine);
        fflush(NULL);
        return r < 0 ? EXIT_ERROR : EXIT_OK;
}

static int start_child(struct kctl *k, const json_t *node, image_node_func run,
                const void *userdata, struct worker_process *ret) {
        ret->file = memfd_create("kctl-image", MFD_CLOEXEC);
        if (ret->file < 0)
                return -errno;
        fflush(NULL);
        ret->pid = fork();
        if (ret->pid == 0)
                _exit(run_child(k, node, run, userdata, ret->file));
        return ret->pid < 0 ? -errno : 0;
}

/* Waits for one of them. 1 when it failed, 0. */
static int wait_child(struct worker_process *list, size_t n) {
        int status;
        pid_t pid = wait(&status);

        if (pid < 0)
                return -errno;
        for (size_t i = 0; i < n; i++)
                if (list[i].pid == pid)
                        list[i].pid = 0;
        return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static int read_result(int fd, char **ret, size_t *ret_size) {
        char path[32];

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        return file_read(path, RESULT_SIZE_MAX, ret, ret_size);
}

static int run_all(struct kctl *k, const json_t *nodes, image_node_func run, const void *userdata,
                struct worker_process *list) {
        size_t n = json_array_size(nodes), started = 0, running = 0;
        int failed = 0;

        while (started < n || running > 0) {
                int r;

                if (started < n && running < PARALLEL_MAX) {
                        r = start_child(k, json_array_get(nodes, started), run, userdata,
                                        &list[started]);
                        if (r < 0)
                                return r;
                        started++;
                        running++;
                        continue;
                }
                r = wait_child(list, n);
                if (r < 0)
                        return r;
                running--;
                failed += r;
        }
        return failed;
}

int image_on_nodes(struct kctl *k, const json_t *nodes, image_node_func run, const void *userdata,
                void (*on_result)(const char *node, const char *text, size_t n, void *result),
                void *result) {
        size_t n = json_array_size(nodes);
        _cleanup_free_ struct worker_process *list = calloc(MAX(n, (size_t)1), sizeof(*list));
        int failed;

        if (!list)
                return kctl_error("out of memory");
        failed = run_all(k, nodes, run, userdata, list);
        if (failed < 0)
                return kctl_error("cannot start a process for each node: %s", strerror(-failed));
        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *text = NULL;
                size_t size = 0;

                if (on_result && read_result(list[i].file, &text, &size) >= 0)
                        on_result(object_name(json_array_get(nodes, i)), text, size, result);
                close(list[i].file);
        }
        if (failed > 0 && n > 1)
                fprintf(stderr, "%d of %zu nodes failed; run the same command again for them\n",
                                failed, n);
        return failed > 0 ? EXIT_ERROR : EXIT_OK;
}

/* ---- requests to keelson-image ---- */

struct conversation {
        struct image_node *node;
        struct buf line, err;
        uint64_t told_us;
        char *failure;
        bool done;
};

static void on_progress(struct conversation *c, const json_t *answer) {
        uint64_t now = now_mono_us();
        int64_t total = json_int_or(answer, "total", 0), layers = json_int_or(answer, "layers", 0);

        if (now < c->told_us + PROGRESS_US)
                return;
        c->told_us = now;
        printf("%s: %s", c->node->name, json_str_or(answer, "phase", ""));
        if (layers > 0)
                printf(" layer %lld of %lld", (long long)json_int_or(answer, "layer", 0),
                                (long long)layers);
        if (total > 0)
                printf(", %lld of %lld MB", (long long)json_int_or(answer, "done", 0) / 1000000,
                                (long long)total / 1000000);
        putchar('\n');
        fflush(stdout);
}

static void on_image(struct conversation *c, const json_t *answer) {
        const json_t *image = json_at(answer, "image"), *names = json_at(image, "names");
        const char *id = json_str_or(image, "id", ""),
                   *name = json_string_value(json_array_get(names, 0));

        printf("%s: %s (%.19s, %lld MB)%s\n", c->node->name, name ? name : id, id,
                        (long long)json_int_or(image, "size", 0) / 1000000,
                        json_bool_or(answer, "already", false) ? " was there" : "");
        fflush(stdout);
}

static int on_line(struct conversation *c, const char *text, size_t n) {
        _cleanup_json_ json_t *answer = NULL;
        const char *type;

        if (json_parse(text, n, /* flags= */ 0, &answer, /* ret_error= */ NULL) < 0)
                return 0;
        type = json_str_or(answer, "type", "");
        if (streq(type, "progress"))
                on_progress(c, answer);
        else if (streq(type, "image"))
                on_image(c, answer);
        else if (streq(type, "failed") && !c->failure)
                c->failure = strdup(json_str_or(answer, "message", ""));
        else if (streq(type, "done"))
                c->done = true;
        return 0;
}

static int on_output(bool is_stderr, const char *data, size_t n, void *userdata) {
        struct conversation *c = userdata;

        if (is_stderr)
                return c->err.size < 4096 ? buf_append(&c->err, data, n) : 0;
        for (size_t i = 0; i < n; i++) {
                if (data[i] != '\n') {
                        if (c->line.size < LINE_SIZE_MAX && buf_append(&c->line, data + i, 1) < 0)
                                return -ENOMEM;
                        continue;
                }
                (void)on_line(c, strempty(c->line.data), c->line.size);
                buf_reset(&c->line);
        }
        return 0;
}

/* The program has not said that it is done. */
static int no_success(const struct conversation *c, int status, struct problem *p) {
        return problem_set(p, EIO, 0, NULL, "%s",
                        c->failure        ? c->failure
                        : c->err.size > 0 ? c->err.data
                        : status == 127   ? "it has no keelson-image; its agent is older: run kctl "
                                            "node join again"
                                          : "keelson-image ended without an answer");
}

static int converse(struct conversation *c, int fd, struct problem *p) {
        int status = 0,
            r = machine_pipe(c->node->machine, IMAGE_PROGRAM_PATH, fd, on_output, c, &status, p);

        if (r < 0)
                return r;
        return c->done ? 0 : no_success(c, status, p);
}

int image_request(struct image_node *n, int fd, struct problem *p) {
        struct conversation c = {.node = n};
        int r = converse(&c, fd, p);

        buf_done(&c.line);
        buf_done(&c.err);
        free(c.failure);
        return r;
}

/* ---- pull ---- */

/* A file in memory with the request's line. */
static int request_file(const json_t *request, int *ret) {
        _cleanup_free_ char *text = json_text(request);
        _cleanup_close_ int fd = memfd_create("kctl-image", MFD_CLOEXEC);
        int r;

        if (!text)
                return -ENOMEM;
        if (fd < 0)
                return -errno;
        r = file_write_all(fd, text, strlen(text));
        if (r < 0)
                return r;
        r = file_write_all(fd, "\n", 1);
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        *ret = fd;
        fd = -EBADF;
        return 0;
}

static int pull_on(struct image_node *n, const void *userdata, struct problem *p) {
        const char *image = userdata;
        _cleanup_json_ json_t *request = json_pack("{s:s, s:s}", "action", "pull", "image", image);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!request)
                return -ENOMEM;
        r = request_file(request, &fd);
        return r < 0 ? r : image_request(n, fd, p);
}

int kctl_image_pull(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *nodes = NULL;

        if (!k->words)
                return kctl_usage(k, "which image? for example: kctl image pull nginx:1.27 n1");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (image_nodes(k, /* from= */ 1, /* default_all= */ false, &nodes, &p) < 0)
                return kctl_fail(&p);
        return image_on_nodes(k, nodes, pull_on, k->words[0], /* on_result= */ NULL,
                        /* result= */ NULL);
}

/* ---- remove ---- */

static int remove_on(struct image_node *n, const void *userdata, struct problem *p) {
        _cleanup_free_ char *quoted = shell_quote(userdata), *command = NULL;
        int r;

        command = quoted ? strformat(IMAGE_AGENT_PATH
                                           " image remove %s && echo '{\"action\": \"sweep\"}' "
                                           "| " IMAGE_PROGRAM_PATH " >/dev/null",
                                           quoted)
                         : NULL;
        if (!command)
                return -ENOMEM;
        r = machine_run(n->machine, command, /* input= */ NULL, 0, ASK_TIMEOUT_S,
                        /* ret_stdout= */ NULL, p);
        if (r < 0)
                return r;
        printf("%s: %s removed\n", n->name, (const char *)userdata);
        return 0;
}

int kctl_image_remove(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *nodes = NULL;

        if (!k->words)
                return kctl_usage(k, "which image? kctl image list shows them");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (image_nodes(k, /* from= */ 1, /* default_all= */ false, &nodes, &p) < 0)
                return kctl_fail(&p);
        return image_on_nodes(k, nodes, remove_on, k->words[0], /* on_result= */ NULL,
                        /* result= */ NULL);
}

/* ---- list ---- */

static int list_on(struct image_node *n, const void *userdata, struct problem *p) {
        _cleanup_buf_ struct buf out = {0};
        int r = machine_run(n->machine, IMAGE_AGENT_PATH " image list", /* input= */ NULL, 0,
                        ASK_TIMEOUT_S, &out, p);

        return r < 0 ? r : file_write_all(n->file, strempty(out.data), out.size);
}

/* {node: [image]} */
static void take_list(const char *node, const char *text, size_t n, void *result) {
        _cleanup_json_ json_t *answer = NULL;

        if (n > 0 && json_parse(text, n, /* flags= */ 0, &answer, /* ret_error= */ NULL) >= 0)
                json_object_set(result, node, json_object_get(answer, "images"));
}

static void print_image(const char *node, const json_t *image, int node_width, int name_width) {
        const json_t *names = json_at(image, "names"), *v;
        char size[32];
        size_t i, shown = 0;

        snprintf(size, sizeof(size), "%.1f MB", (double)json_int_or(image, "size", 0) / 1e6);
        json_array_foreach (names, i, v) {
                const char *name = strempty(json_string_value(v));

                /* A name with a digest says nothing beside a tag. */
                if (strchr(name, '@') && json_array_size(names) > 1 &&
                                (i + 1 < json_array_size(names) || shown > 0))
                        continue;
                printf("%-*s   %-*s   %-19.19s   %-10s   %-20s   %lld\n", node_width, node,
                                name_width, name, json_str_or(image, "id", ""), size,
                                json_str_or(image, "pulled", ""),
                                (long long)json_int_or(image, "usedBy", 0));
                shown++;
        }
}

static void widen(int *width, const char *text) {
        *width = MAX(*width, (int)strlen(text));
}

static void print_lists(struct kctl *k, const json_t *lists) {
        int node_width = (int)strlen("NODE"), name_width = (int)strlen("IMAGE");
        const char *node;
        const json_t *v, *name;
        json_t *images;
        size_t i, j;

        json_object_each (lists, node, images) {
                widen(&node_width, node);
                json_array_foreach (images, i, v)
                        json_array_foreach (json_at(v, "names"), j, name)
                                if (!strchr(strempty(json_string_value(name)), '@'))
                                        widen(&name_width, strempty(json_string_value(name)));
        }
        if (!k->flags.no_headers)
                printf("%-*s   %-*s   %-19s   %-10s   %-20s   %s\n", node_width, "NODE", name_width,
                                "IMAGE", "ID", "SIZE", "PULLED", "CONTAINERS");
        json_object_each (lists, node, images)
                json_array_foreach (images, i, v)
                        print_image(node, v, node_width, name_width);
}

int kctl_image_list(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *nodes = NULL, *lists = json_object();
        const char *form = strempty(k->flags.output);
        int code;

        if (!lists)
                return kctl_error("out of memory");
        if (*form && !streq(form, "json"))
                return kctl_usage(k, "--output %s: only json is possible here", form);
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (image_nodes(k, /* from= */ 0, /* default_all= */ true, &nodes, &p) < 0)
                return kctl_fail(&p);
        code = image_on_nodes(k, nodes, list_on, /* userdata= */ NULL, take_list, lists);
        if (streq(form, "json")) {
                _cleanup_free_ char *text = json_text_pretty(lists);

                puts(strempty(text));
        } else
                print_lists(k, lists);
        return code;
}
