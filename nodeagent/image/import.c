/* Images from an archive or folder: the archive is unpacked into the ingest's folder first, then
 * its images are read like those of an OCI layout. */
#include <fcntl.h>
#include <sys/stat.h>

#include "nodeagent/image/add.h"
#include "nodeagent/image/archive.h"

struct import {
        struct image_request *request;
        struct image_ingest *ingest;
        int folder;
        const struct archive_image *image; /* the current one */
};

static void import_done(struct import *i) {
        image_ingest_end(i->ingest);
        safe_close(i->folder);
}

/* The archive, a folder or standard input. */
static int open_source(const struct image_request *q, struct problem *p) {
        const char *path = json_str(q->json, "path");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
                      : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);

        if (fd < 0)
                return image_problem(p, errno, IMAGE_CAUSE_INVALID,
                                "the archive %s cannot be opened: %s; check the path",
                                path ? path : "on standard input", strerror(errno));
        return fd;
}

static int extract(struct import *i, int source, struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/archive", image_ingest_dir(i->ingest));

        if (!path)
                return -ENOMEM;
        if (mkdir(path, 0700) < 0)
                return image_disk_problem(p, errno, path);
        i->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (i->folder < 0)
                return image_disk_problem(p, errno, path);
        return add_extract(i->request, source, i->folder, p);
}

static int open_folder(struct import *i, struct problem *p) {
        _cleanup_close_ int source = open_source(i->request, p);
        struct stat st;

        if (source < 0)
                return source;
        if (fstat(source, &st) < 0)
                return image_disk_problem(p, errno, "the archive");
        if (!S_ISDIR(st.st_mode))
                return extract(i, source, p);
        i->folder = TAKE_FD(source);
        return 0;
}

static int open_blob(size_t index, void *userdata, struct problem *p) {
        const struct import *i = userdata;
        const char *path = i->image->layer_paths[index];
        int fd = archive_open(i->folder, path);

        if (fd == -ENOMEM)
                return fd;
        if (fd < 0)
                return image_problem(p, -fd, IMAGE_CAUSE_INVALID,
                                "the archive does not have layer %zu of the image (%s); save the "
                                "image again",
                                index + 1, strerror(-fd));
        return fd;
}

static int import_image(struct import *i, struct problem *p) {
        const struct archive_image *image = i->image;
        _cleanup_json_ json_t *record = NULL, *stored = NULL;
        int r = add_record(image->config, image->id, image->digest, true, &record);

        if (r < 0)
                return r;
        r = image_store_add_names(i->request->store, image->id, true, image->names, &stored, p);
        if (r == 0)
                return request_answer_image(i->request, stored, true);
        if (r != -ENOENT)
                return r;
        r = add_layers(i->request, i->ingest, record, open_blob, i, p);
        if (r < 0)
                return r;
        r = image_ingest_commit(i->ingest, record, image->names, &stored, p);
        return r < 0 ? r : request_answer_image(i->request, stored, false);
}

static int import_all(struct import *i, struct problem *p) {
        _cleanup_archive_images_ struct archive_images images = {0};
        const char *name = json_str(i->request->json, "name");
        _cleanup_image_reference_ struct image_reference reference = {0};
        int r = name ? image_reference_parse(name, &reference, p) : 0;

        if (r < 0)
                return r;
        r = archive_find(i->folder, &i->request->platform, name, &images, p);
        if (r < 0)
                return r;
        for (size_t n = 0; n < images.count; n++) {
                i->image = &images.items[n];
                r = import_image(i, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int open_and_import(struct import *i, struct problem *p) {
        int r = open_folder(i, p);

        return r < 0 ? r : import_all(i, p);
}

int import_images(struct image_request *q, struct problem *p) {
        _cleanup_(import_done) struct import i = {.request = q, .folder = -EBADF};
        int r = image_ingest_begin(q->store, &i.ingest, p);

        if (r < 0)
                return r;
        r = open_and_import(&i, p);
        if (r < 0 && p->message)
                problem_prefix(p, "importing %s",
                                json_str_or(q->json, "path", "from standard input"));
        return r;
}
