/* An image from a registry: name -> manifest (through indexes) -> configuration -> layers, one blob
 * at a time through one file. Each document is checked here against the digest that named it, so
 * that nothing depends on the process that fetched it. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/fileio.h"
#include "nodeagent/image/add.h"
#include "nodeagent/image/cause.h"
#include "nodeagent/image/child.h"
#include "nodeagent/image/digest.h"
#include "nodeagent/image/fetch.h"
#include "nodeagent/image/settings.h"

enum { INDEX_DEPTH_MAX = 4 };

struct pull {
        struct image_request *request;
        struct image_reference reference;
        json_t *settings;
        struct image_ingest *ingest;
        struct image_child *fetcher;
        int file; /* where the fetcher puts bytes */
        struct image_manifest manifest;
        char digest[IMAGE_DIGEST_SIZE]; /* of what the name means: a manifest or an index */
};

static void pull_done(struct pull *u) {
        image_child_free(u->fetcher);
        image_ingest_end(u->ingest);
        image_manifest_done(&u->manifest);
        image_reference_done(&u->reference);
        json_decref(u->settings);
        safe_close(u->file);
}

/* --- beginning --- */

static int parse_settings(struct pull *u, const char *text, size_t n, struct problem *p) {
        int r = image_settings_parse(text, n, &u->settings, p);

        return r < 0 ? r : image_settings_read_cas(u->settings, p);
}

static int read_settings(struct pull *u, struct problem *p) {
        const char *path = json_str_or(u->request->json, "settings", IMAGE_SETTINGS_FILE);
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        int r = file_read(path, IMAGE_SETTINGS_SIZE_MAX, &text, &n);

        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return image_problem(p, -r, IMAGE_CAUSE_INTERNAL,
                                "the settings of registries cannot be read: %s: %s", path,
                                strerror(-r));
        r = parse_settings(u, text, n, p);
        if (r < 0)
                problem_prefix(p, "%s", path);
        return r;
}

static int open_file(struct pull *u, struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/blob", image_ingest_dir(u->ingest));

        if (!path)
                return -ENOMEM;
        u->file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        return u->file < 0 ? image_disk_problem(p, errno, path) : 0;
}

static int run_fetcher(int in, int out, void *userdata) {
        struct pull *u = userdata;
        struct image_fetch_options options = {.reference = &u->reference,
                        .credentials = json_at(u->request->json, "credentials"),
                        .settings = u->settings,
                        .limits = u->request->limits,
                        .file = u->file};

        return image_fetch_run(in, out, &options);
}

static void on_progress(const json_t *answer, void *userdata) {
        struct pull *u = userdata;

        request_progress(answer, u->request);
}

static int begin(struct pull *u, struct problem *p) {
        int r = image_reference_parse(json_str_or(u->request->json, "image", ""), &u->reference, p);

        if (r < 0)
                return r;
        r = read_settings(u, p);
        if (r < 0)
                return r;
        r = image_ingest_begin(u->request->store, &u->ingest, p);
        if (r < 0)
                return r;
        r = open_file(u, p);
        if (r < 0)
                return r;
        return image_child_start(&u->fetcher,
                        &(struct image_child_options){.run = run_fetcher,
                                        .on_progress = on_progress,
                                        .userdata = u,
                                        .deadline_us = u->request->deadline_us},
                        p);
}

/* --- documents --- */

/* What the file holds, with its digest checked (NULL: it is only taken). */
static int read_fetched(struct pull *u, const char *digest, json_t **ret,
                char ret_digest[static IMAGE_DIGEST_SIZE], struct problem *p) {
        _cleanup_(image_hash_freep) struct image_hash *hash = image_hash_new(digest);
        _cleanup_free_ char *text = NULL;
        struct stat st;
        ssize_t n;
        int r;

        if (fstat(u->file, &st) < 0)
                return image_disk_problem(p, errno, "a document of the image");
        if (st.st_size > IMAGE_MANIFEST_SIZE_MAX)
                return image_problem(p, EFBIG, IMAGE_CAUSE_TOO_LARGE,
                                "a document of the image has more than 4 MiB");
        text = malloc((size_t)st.st_size + 1);
        if (!text || !hash)
                return -ENOMEM;
        n = pread(u->file, text, (size_t)st.st_size, 0);
        if (n != st.st_size)
                return image_disk_problem(p, n < 0 ? errno : EIO, "a document of the image");
        image_hash_add(hash, text, (size_t)n);
        image_hash_take(hash, ret_digest);
        if (digest && !streq(digest, ret_digest))
                return image_problem(p, EBADMSG, IMAGE_CAUSE_DIGEST,
                                "a document of the image does not have the digest %s", digest);
        r = json_parse(text, (size_t)n, 0, ret, NULL);
        if (r == -EINVAL)
                return image_problem(p, EBADMSG, IMAGE_CAUSE_INVALID,
                                "a document of the image is not JSON; push the image again");
        return r;
}

static int ask(struct pull *u, json_t *command, struct problem *p) {
        _cleanup_json_ json_t *answer = NULL, *asked = command;

        return asked ? image_child_ask(u->fetcher, asked, &answer, p) : -ENOMEM;
}

static int fetch_blob(struct pull *u, const struct image_blob *blob, struct problem *p) {
        return ask(u,
                        json_pack("{s:s, s:s, s:I}", "get", "blob", "digest", blob->digest, "size",
                                        (json_int_t)blob->size),
                        p);
}

static int fetch_manifest(struct pull *u, const char *digest, json_t **ret,
                char ret_digest[static IMAGE_DIGEST_SIZE], struct problem *p) {
        int r = ask(u, json_pack("{s:s, s:s?}", "get", "manifest", "digest", digest), p);

        if (r < 0)
                return r;
        return read_fetched(u, digest ? digest : u->reference.digest, ret, ret_digest, p);
}

/* From the name to the manifest for this machine. */
static int resolve(struct pull *u, struct problem *p) {
        _cleanup_free_ char *digest = NULL;
        char got[IMAGE_DIGEST_SIZE];
        int r;

        request_step(u->request, "resolving", 0, 0);
        for (int depth = 0; depth < INDEX_DEPTH_MAX; depth++) {
                _cleanup_json_ json_t *document = NULL;
                struct image_blob next;

                r = fetch_manifest(u, digest, &document, got, p);
                if (r < 0)
                        return r;
                if (!digest)
                        memcpy(u->digest, got, sizeof(got));
                if (!image_document_is_index(document))
                        return image_manifest_parse(document, &u->manifest, p);
                r = image_index_choose(document, &u->request->platform, &next, p);
                if (r < 0)
                        return r;
                free(digest);
                digest = next.digest;
        }
        return image_problem(p, ELOOP, IMAGE_CAUSE_INVALID,
                        "the image's indexes are nested more than %d deep", INDEX_DEPTH_MAX);
}

static int read_config(struct pull *u, json_t **ret_record, struct problem *p) {
        _cleanup_json_ json_t *document = NULL, *config = NULL;
        char got[IMAGE_DIGEST_SIZE];
        int r = fetch_blob(u, &u->manifest.config, p);

        if (r < 0)
                return r;
        r = read_fetched(u, u->manifest.config.digest, &document, got, p);
        if (r < 0)
                return r;
        r = image_config_parse(
                        document, u->manifest.layer_count, &u->request->platform, &config, p);
        if (r < 0)
                return r;
        return add_record(config, u->manifest.config.digest, u->digest, false, ret_record);
}

/* --- layers --- */

static int check_size(struct pull *u, const struct image_blob *blob, struct problem *p) {
        const struct image_limits *l = &u->request->limits;
        struct statvfs st;

        if (blob->size > l->layer_bytes_max)
                return image_problem(p, EFBIG, IMAGE_CAUSE_TOO_LARGE,
                                "a layer has %llu bytes, more than %llu (limit layerBytesMax)",
                                (unsigned long long)blob->size,
                                (unsigned long long)l->layer_bytes_max);
        if (fstatvfs(u->file, &st) < 0)
                return image_disk_problem(p, errno, "the image store");
        if ((uint64_t)st.f_bavail * st.f_frsize < blob->size + l->free_bytes_min)
                return image_disk_problem(p, ENOSPC, "a layer cannot be fetched");
        return 0;
}

static int open_blob(size_t index, void *userdata, struct problem *p) {
        struct pull *u = userdata;
        const struct image_blob *blob = &u->manifest.layers[index];
        int fd, r = check_size(u, blob, p);

        if (r < 0)
                return r;
        request_step(u->request, "fetching", index + 1, blob->size);
        r = fetch_blob(u, blob, p);
        if (r < 0)
                return r;
        if (lseek(u->file, 0, SEEK_SET) < 0)
                return image_disk_problem(p, errno, "a layer cannot be read");
        fd = fcntl(u->file, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? image_disk_problem(p, errno, "a layer cannot be read") : fd;
}

/* The name that was asked for, and the one by digest. */
static int names_of(const struct pull *u, json_t **ret) {
        _cleanup_free_ char *full = image_reference_text(&u->reference),
                            *name = image_reference_name(&u->reference), *exact = NULL;

        exact = name ? strformat("%s@%s", name, u->digest) : NULL;
        if (!full || !exact)
                return -ENOMEM;
        *ret = streq(full, exact) ? json_pack("[s]", full) : json_pack("[s, s]", full, exact);
        return *ret ? 0 : -ENOMEM;
}

static int pull(struct pull *u, struct problem *p) {
        _cleanup_json_ json_t *record = NULL, *names = NULL, *stored = NULL;
        int r = resolve(u, p);

        if (r < 0)
                return r;
        r = read_config(u, &record, p);
        if (r < 0)
                return r;
        r = names_of(u, &names);
        if (r < 0)
                return r;
        r = image_store_add_names(
                        u->request->store, json_str(record, "id"), false, names, &stored, p);
        if (r == 0)
                return request_answer_image(u->request, stored, true);
        if (r != -ENOENT)
                return r;
        r = add_layers(u->request, u->ingest, record, open_blob, u, p);
        if (r < 0)
                return r;
        r = image_ingest_commit(u->ingest, record, names, &stored, p);
        return r < 0 ? r : request_answer_image(u->request, stored, false);
}

/* Problems of layers and documents do not say which image it is. */
static void name_image(const struct pull *u, struct problem *p) {
        _cleanup_free_ char *full =
                        u->reference.registry ? image_reference_text(&u->reference) : NULL;

        if (full && p->message && !strstr(p->message, full))
                problem_prefix(p, "image \"%s\"", full);
}

static int begin_and_pull(struct pull *u, struct problem *p) {
        int r = begin(u, p);

        return r < 0 ? r : pull(u, p);
}

int pull_image(struct image_request *q, struct problem *p) {
        _cleanup_(pull_done) struct pull u = {.request = q, .file = -EBADF};
        int r = begin_and_pull(&u, p);

        if (r < 0)
                name_image(&u, p);
        return r;
}
