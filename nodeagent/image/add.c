/* Layers through the sandboxed unpacker. */
#include "nodeagent/image/add.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/timefmt.h"
#include "nodeagent/image/cause.h"
#include "nodeagent/image/child.h"
#include "nodeagent/image/sandbox.h"
#include "nodeagent/image/unpack.h"

#define PROGRESS_US (UINT64_C(200) * 1000)

/* --- answers --- */

void request_step(struct image_request *q, const char *phase, size_t layer, uint64_t total) {
        q->phase = phase;
        q->layer = layer;
        q->total = total;
        (void)image_child_answer(
                        q->out, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "type", "progress",
                                                "phase", phase, "layer", (json_int_t)layer,
                                                "layers", (json_int_t)q->layers, "done",
                                                (json_int_t)0, "total", (json_int_t)total));
}

void request_progress(const json_t *answer, void *userdata) {
        const struct image_request *q = userdata;
        int64_t said = json_int_or(answer, "done", 0);
        uint64_t done = said > 0 ? MIN((uint64_t)said, q->total) : 0;

        (void)image_child_answer(
                        q->out, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "type", "progress",
                                                "phase", q->phase, "layer", (json_int_t)q->layer,
                                                "layers", (json_int_t)q->layers, "done",
                                                (json_int_t)done, "total", (json_int_t)q->total));
}

int request_answer_image(struct image_request *q, const json_t *record, bool already) {
        json_t *answer = json_pack("{s:s, s:O}", "type", "image", "image", json_unconst(record));

        if (answer && already && json_object_set_new(answer, "already", json_true()) < 0) {
                json_decref(answer);
                return -ENOMEM;
        }
        return image_child_answer(q->out, answer);
}

/* --- the unpacker --- */

struct unpacking {
        struct unpack_options options;
        int blob, folder, out;
        uint64_t last_us;
};

static void on_unpacked(uint64_t done, void *userdata) {
        struct unpacking *u = userdata;
        uint64_t now = now_mono_us();

        if (now - u->last_us < PROGRESS_US)
                return;
        u->last_us = now;
        (void)image_child_answer(u->out,
                        json_pack("{s:s, s:I}", "type", "progress", "done", (json_int_t)done));
}

static int unpack_sandboxed(struct unpacking *u, json_t **ret_notes, struct problem *p) {
        int r;

        sandbox_keep_only((const int[]){u->blob, u->folder, u->out}, 3);
        r = sandbox_unpacker(u->folder, u->options.keep_owner, p);
        if (r < 0)
                return r;
        u->options.on_progress = on_unpacked;
        u->options.userdata = u;
        u->last_us = now_mono_us();
        return unpack_layer(u->blob, u->folder, &u->options, ret_notes, p);
}

static int unpack_run(int in, int out, void *userdata) {
        _cleanup_problem_ struct problem problem = {0};
        struct unpacking *u = userdata;
        json_t *notes = NULL;
        int r;

        u->out = out;
        r = unpack_sandboxed(u, &notes, &problem);
        if (r < 0)
                (void)image_child_answer_problem(out, &problem);
        else
                r = image_child_answer(out, json_pack("{s:s, s:o}", "type", "ok", "notes", notes));
        return r < 0;
}

/* What on_progress needs beside what run needs. */
struct unpack_job {
        struct unpacking unpacking;
        struct image_request *request;
};

static int run_job(int in, int out, void *userdata) {
        struct unpack_job *job = userdata;

        return unpack_run(in, out, &job->unpacking);
}

static void on_job_progress(const json_t *answer, void *userdata) {
        struct unpack_job *job = userdata;

        request_progress(answer, job->request);
}

static int unpack(struct image_request *q, const struct unpacking *unpacking, json_t **ret_notes,
                struct problem *p) {
        _cleanup_(image_child_freep) struct image_child *child = NULL;
        _cleanup_json_ json_t *answer = NULL;
        struct unpack_job job = {.unpacking = *unpacking, .request = q};
        int r = image_child_start(&child,
                        &(struct image_child_options){.run = run_job,
                                        .on_progress = on_job_progress,
                                        .userdata = &job,
                                        .deadline_us = q->deadline_us},
                        p);

        if (r < 0)
                return r;
        r = image_child_ask(child, NULL, &answer, p);
        if (r < 0)
                return r;
        *ret_notes = json_ref(json_at(answer, "notes"));
        return *ret_notes ? 0
                          : image_problem(p, EBADMSG, IMAGE_CAUSE_INTERNAL,
                                            "the process that unpacks a layer has no notes");
}

static uint64_t size_of(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

int add_extract(struct image_request *q, int blob, int folder, struct problem *p) {
        const struct unpacking u = {.options = {.limits = q->limits, .is_archive = true},
                        .blob = blob,
                        .folder = folder};
        _cleanup_json_ json_t *notes = NULL;

        request_step(q, "unpacking", 0, size_of(blob));
        return unpack(q, &u, &notes, p);
}

/* --- layers --- */

/* What the lower layers have of the limits. */
struct sum {
        uint64_t bytes, entries;
};

static void add_notes(struct sum *sum, const json_t *notes) {
        sum->bytes += (uint64_t)MAX(json_int_or(notes, "bytes", 0), INT64_C(0));
        sum->entries += (uint64_t)MAX(json_int_or(notes, "entries", 0), INT64_C(0));
}

static int add_layer(struct image_request *q, struct image_ingest *ingest, const char *diff_id,
                int blob, struct sum *sum, struct problem *p) {
        _cleanup_close_ int folder = -EBADF;
        _cleanup_json_ json_t *notes = NULL;
        struct unpacking u = {.options = {.limits = q->limits,
                                              .bytes_before = sum->bytes,
                                              .entries_before = sum->entries,
                                              .diff_id = diff_id,
                                              .keep_owner = true},
                        .blob = blob};
        int r = image_ingest_layer_folder(ingest, diff_id, &folder, p);

        if (r < 0)
                return r;
        u.folder = folder;
        request_step(q, "unpacking", q->layer, size_of(blob));
        r = unpack(q, &u, &notes, p);
        if (r < 0)
                return r;
        add_notes(sum, notes);
        return image_ingest_layer_done(ingest, diff_id, notes, p);
}

int add_layers(struct image_request *q, struct image_ingest *ingest, const json_t *record,
                add_open_blob open_blob, void *userdata, struct problem *p) {
        const json_t *ids = json_at(record, "layers"), *id;
        struct sum sum = {0};
        size_t i;
        int r = image_ingest_claim(ingest, ids);

        if (r < 0)
                return image_disk_problem(p, -r, "the image store");
        q->layers = json_array_size(ids);
        json_array_foreach (ids, i, id) {
                const char *diff_id = json_string_value(id);
                _cleanup_json_ json_t *notes = NULL;
                _cleanup_close_ int blob = -EBADF;

                q->layer = i + 1;
                r = image_ingest_has_layer(ingest, diff_id, &notes);
                if (r < 0)
                        return image_disk_problem(p, -r, "a layer in the image store");
                if (r > 0) {
                        add_notes(&sum, notes);
                        continue;
                }
                blob = open_blob(i, userdata, p);
                if (blob < 0)
                        return blob;
                r = add_layer(q, ingest, diff_id, blob, &sum, p);
                if (r < 0)
                        return r;
        }
        request_step(q, "storing", q->layers, 0);
        return 0;
}

int add_record(const json_t *config, const char *id, const char *digest, bool pinned,
                json_t **ret) {
        _cleanup_json_ json_t *record = json_shallow_copy(config);

        if (!record || json_set_str(record, "id", id) < 0 ||
                        json_set_str(record, "digest", digest) < 0 ||
                        json_object_set_new(record, "pinned", json_boolean(pinned)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(record);
        return 0;
}
