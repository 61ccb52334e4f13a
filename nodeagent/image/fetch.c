/* A loop over commands. The file is the only thing that it can write to. */
#include "nodeagent/image/fetch.h"

#include "config.h"

#include "lib/fileio.h"
#include "lib/timefmt.h"
#include "nodeagent/image/child.h"
#include "nodeagent/image/registry.h"
#include "nodeagent/image/sandbox.h"

enum { COMMAND_SIZE_MAX = 4096 };
#define PROGRESS_US (UINT64_C(200) * 1000)

struct fetch {
        const struct image_fetch_options *options;
        struct registry *registry;
        int out;
        uint64_t last_us; /* of the last progress */
};

static void on_progress(uint64_t done, uint64_t total, void *userdata) {
        struct fetch *f = userdata;
        uint64_t now = now_mono_us();

        if (now - f->last_us < PROGRESS_US && done < total)
                return;
        f->last_us = now;
        (void)image_child_answer(
                        f->out, json_pack("{s:s, s:I, s:I}", "type", "progress", "done",
                                                (json_int_t)done, "total", (json_int_t)total));
}

static int write_whole(int fd, const char *data, size_t n) {
        if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        return file_write_all(fd, data, n);
}

static int get_manifest(struct fetch *f, const char *digest, struct problem *p) {
        char got[IMAGE_DIGEST_SIZE];
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = registry_manifest(f->registry, digest, &text, &n, got, p);

        if (r < 0)
                return r;
        r = write_whole(f->options->file, text, n);
        if (r < 0)
                return image_disk_problem(p, -r, "the image's manifest cannot be written");
        r = image_child_answer(f->out, json_pack("{s:s, s:I, s:s}", "type", "ok", "size",
                                                       (json_int_t)n, "digest", got));
        return r < 0 ? image_problem(p, -r, IMAGE_CAUSE_INTERNAL, "the pipe is closed") : 0;
}

static int get_blob(struct fetch *f, const char *digest, int64_t size, struct problem *p) {
        int r;

        f->last_us = 0;
        r = registry_blob(f->registry, digest, (uint64_t)size, f->options->file, p);
        if (r < 0)
                return r;
        r = image_child_answer(
                        f->out, json_pack("{s:s, s:I}", "type", "ok", "size", (json_int_t)size));
        return r < 0 ? image_problem(p, -r, IMAGE_CAUSE_INTERNAL, "the pipe is closed") : 0;
}

static int serve(struct fetch *f, const char *line, size_t n, struct problem *p) {
        _cleanup_json_ json_t *command = NULL;
        const char *digest;
        int64_t size;
        int r = json_parse(line, n, 0, &command, NULL);

        if (r < 0)
                return image_problem(p, EBADMSG, IMAGE_CAUSE_INTERNAL, "a command is not JSON");
        digest = json_str(command, "digest");
        size = json_int_or(command, "size", -1);
        if (streq(json_str_or(command, "get", ""), "manifest"))
                return get_manifest(f, digest, p);
        if (!digest || size < 0)
                return image_problem(p, EBADMSG, IMAGE_CAUSE_INTERNAL, "a command is incomplete");
        return get_blob(f, digest, size, p);
}

static int serve_all(struct fetch *f, int in, struct problem *p) {
        for (;;) {
                _cleanup_free_ char *line = NULL;
                size_t n;
                int r = image_child_read_line(in, COMMAND_SIZE_MAX, &line, &n);

                if (r == -ENODATA)
                        return 0;
                if (r < 0)
                        return image_problem(
                                        p, -r, IMAGE_CAUSE_INTERNAL, "a command: %s", strerror(-r));
                r = serve(f, line, n, p);
                if (r < 0)
                        return r;
        }
}

static int start_and_serve(struct fetch *f, int in, struct problem *p) {
        const struct image_fetch_options *o = f->options;
        const struct registry_options options = {.reference = o->reference,
                        .credentials = o->credentials,
                        .settings = o->settings,
                        .limits = o->limits,
                        .user_agent = "keelson/" PACKAGE_VERSION,
                        .on_progress = on_progress,
                        .userdata = f};
        int r;

        sandbox_keep_only((const int[]){in, f->out, o->file}, 3);
        r = sandbox_fetcher(p);
        if (r < 0)
                return r;
        r = registry_new(&f->registry, &options, p);
        return r < 0 ? r : serve_all(f, in, p);
}

/* Of a pull one failure is the end. */
int image_fetch_run(int in, int out, void *userdata) {
        _cleanup_problem_ struct problem problem = {0};
        struct fetch f = {.options = userdata, .out = out};
        int r = start_and_serve(&f, in, &problem);

        registry_free(f.registry);
        if (r < 0)
                (void)image_child_answer_problem(out, &problem);
        return r < 0;
}
