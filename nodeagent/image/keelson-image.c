/* keelson-image: one request on standard input, answers on standard output (job.h). It is the part
 * between the store and the processes that read bytes from outside, and reads none itself. */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "lib/log.h"
#include "lib/timefmt.h"
#include "nodeagent/image/add.h"
#include "nodeagent/image/cause.h"
#include "nodeagent/image/child.h"
#include "nodeagent/image/job.h"
#include "nodeagent/image/tree.h"

/* --- actions --- */

static int cannot_remove(const char *image, int error, struct problem *p) {
        return image_problem(p, error, error == ENOENT ? IMAGE_CAUSE_NOT_FOUND : IMAGE_CAUSE_DISK,
                        "image \"%s\" cannot be removed: %s", image,
                        error == ENOENT ? "it is not in the store" : strerror(error));
}

/* An id, or a name in any form. */
static int remove_one(struct image_request *q, const char *image, struct problem *p) {
        _cleanup_image_reference_ struct image_reference reference = {0};
        _cleanup_free_ char *name = NULL;
        int r;

        if (image_digest_is_valid(image))
                r = image_store_remove(q->store, image);
        else {
                r = image_reference_parse(image, &reference, p);
                if (r < 0)
                        return r;
                name = image_reference_text(&reference);
                r = name ? image_store_remove_name(q->store, name) : -ENOMEM;
        }
        if (r < 0)
                return cannot_remove(image, -r, p);
        return image_child_answer(
                        q->out, json_pack("{s:s, s:s}", "type", "removed", "image", image));
}

static int sweep(struct image_request *q, struct problem *p) {
        int r = image_store_sweep(q->store);

        return r < 0 ? image_disk_problem(p, -r, "the image store cannot be cleaned") : 0;
}

static int remove_images(struct image_request *q, struct problem *p) {
        const json_t *image;
        size_t i;

        json_array_foreach (json_at(q->json, "images"), i, image) {
                int r = remove_one(q, strempty(json_string_value(image)), p);

                if (r < 0)
                        return r;
        }
        return sweep(q, p);
}

static int copy_root(struct image_request *q, struct problem *p) {
        const char *image = json_str_or(q->json, "image", ""), *to = json_str_or(q->json, "to", "");
        _cleanup_json_ json_t *record = NULL;
        _cleanup_close_ int from_fd = -EBADF, to_fd = -EBADF;
        int r = image_store_find(q->store, image, &record);

        if (r < 0)
                return image_problem(p, -r, IMAGE_CAUSE_NOT_FOUND,
                                "image \"%s\" is not in the store", image);
        from_fd = open(json_str_or(record, "root", ""), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        to_fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (from_fd < 0 || to_fd < 0)
                return image_disk_problem(p, errno, "the root of a container cannot be copied");
        r = tree_copy(from_fd, to_fd);
        return r < 0 ? image_disk_problem(p, -r, "the root of a container cannot be copied") : 0;
}

static const struct {
        const char *name;
        int (*run)(struct image_request *q, struct problem *p);
} actions[] = {
                {"pull", pull_image},
                {"import", import_images},
                {"remove", remove_images},
                {"sweep", sweep},
                {"copy", copy_root},
};

/* --- the request --- */

static int no_request(struct problem *p, int error) {
        return image_problem(p, error, IMAGE_CAUSE_INTERNAL,
                        "the request on standard input is not one line of JSON (%s)",
                        strerror(error));
}

static int read_request(json_t **ret, struct problem *p) {
        _cleanup_free_ char *line = NULL;
        size_t n;
        int r = image_child_read_line(STDIN_FILENO, IMAGE_REQUEST_SIZE_MAX, &line, &n);

        if (r < 0)
                return no_request(p, -r);
        r = json_parse(line, n, 0, ret, NULL);
        explicit_bzero(line, n);
        return r < 0 ? no_request(p, -r) : 0;
}

static void read_platform(const json_t *v, struct image_platform *platform) {
        if (!v)
                return;
        platform->os = json_str_or(v, "os", platform->os);
        platform->architecture = json_str_or(v, "architecture", platform->architecture);
        platform->variant = json_str_or(v, "variant", "");
}

static int carry_out(const json_t *json, struct problem *p) {
        _cleanup_(image_store_freep) struct image_store *store = NULL;
        struct image_request q = {.json = json,
                        .limits = image_limits_from_json(json_at(json, "limits")),
                        .platform = image_platform_of_machine(),
                        .out = STDOUT_FILENO};
        const char *action = json_str_or(json, "action", "");
        int r;

        if (geteuid() != 0)
                return image_problem(p, EPERM, IMAGE_CAUSE_INTERNAL,
                                "it must be started by root: the files of images have owners");
        q.deadline_us = now_mono_us() + MIN(q.limits.total_us, UINT64_MAX / 2);
        read_platform(json_at(json, "platform"), &q.platform);
        r = image_store_open(&store, json_str_or(json, "store", IMAGE_STORE_DIR), p);
        if (r < 0)
                return r;
        q.store = store;
        for (size_t i = 0; i < ELEMENTS(actions); i++)
                if (streq(actions[i].name, action))
                        return actions[i].run(&q, p);
        return image_problem(p, EINVAL, IMAGE_CAUSE_INTERNAL,
                        "the request's action \"%.32s\" is not one of pull, import, remove, sweep "
                        "and copy",
                        action);
}

static int run(struct problem *p) {
        _cleanup_json_ json_t *request = NULL;
        int r = read_request(&request, p);

        if (r < 0)
                return r;
        r = carry_out(request, p);
        if (r < 0)
                return r;
        return image_child_answer(STDOUT_FILENO, json_pack("{s:s}", "type", "done"));
}

int main(int argc, char **argv) {
        _cleanup_problem_ struct problem problem = {0};
        int r;

        if (argc == 2 && streq(argv[1], "--version"))
                return puts(IMAGE_PROGRAM " " PACKAGE_VERSION) < 0;
        if (argc > 1) {
                fprintf(stderr, "usage: " IMAGE_PROGRAM " <REQUEST\n"
                                "Reads a request (one line of JSON), writes answers; the agent of "
                                "a node starts it.\n");
                return 2;
        }
        log_setup(IMAGE_PROGRAM, LOG_INFO);
        (void)signal(SIGPIPE, SIG_IGN);
        (void)umask(077);
        r = run(&problem);
        if (r < 0)
                (void)image_child_answer_problem(STDOUT_FILENO, &problem);
        return r < 0;
}
