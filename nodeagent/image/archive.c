/* index.json, else manifest.json. A current docker save writes both, and the first is the more
 * exact one. */
#include "nodeagent/image/archive.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/vector.h"
#include "nodeagent/image/beneath.h"
#include "nodeagent/image/digest.h"

enum { INDEX_DEPTH_MAX = 4, NAMES_MAX = 256 };

static void archive_image_done(struct archive_image *i) {
        json_decref(i->config);
        json_decref(i->names);
        strv_free(i->layer_paths);
        *i = (struct archive_image){0};
}

void archive_images_done(struct archive_images *a) {
        for (size_t i = 0; i < a->count; i++)
                archive_image_done(&a->items[i]);
        vector_done(a);
}

/* --- files --- */

int archive_open(int folder, const char *path) {
        _cleanup_close_ int fd = beneath_open(folder, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        struct stat st;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        return S_ISREG(st.st_mode) ? TAKE_FD(fd) : -EINVAL;
}

static int read_file(int folder, const char *path, size_t size_max, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = archive_open(folder, path);
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t size, done = 0;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < 0 || (uint64_t)st.st_size > size_max)
                return -EFBIG;
        size = (size_t)st.st_size;
        text = malloc(size + 1);
        if (!text)
                return -ENOMEM;
        while (done < size) {
                ssize_t n = read(fd, text + done, size - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                done += (size_t)n;
        }
        text[done] = 0;
        *ret = TAKE_PTR(text);
        *ret_size = done;
        return 0;
}

static int unreadable(struct problem *p, const char *what, int error) {
        return image_problem(p, error, IMAGE_CAUSE_INVALID,
                        "the archive's %s cannot be read: %s; save the image again", what,
                        error == EBADMSG ? "it is damaged" : strerror(error));
}

/* A JSON document of the folder; digest: what it must have, or NULL; ret_digest may be NULL. */
static int read_document(
                int folder, const char *path, const char *digest, json_t **ret, char *ret_digest) {
        _cleanup_(image_hash_freep) struct image_hash *hash = image_hash_new(digest);
        _cleanup_free_ char *text = NULL;
        char got[IMAGE_DIGEST_SIZE];
        size_t n = 0;
        int r = hash ? read_file(folder, path, IMAGE_MANIFEST_SIZE_MAX, &text, &n) : -ENOMEM;

        if (r < 0)
                return r;
        image_hash_add(hash, text, n);
        image_hash_take(hash, got);
        if (digest && !streq(got, digest))
                return -EBADMSG;
        r = json_parse(text, n, 0, ret, NULL);
        if (r < 0)
                return r == -EINVAL ? -EBADMSG : r;
        if (ret_digest)
                memcpy(ret_digest, got, IMAGE_DIGEST_SIZE);
        return 0;
}

/* "blobs/sha256/<hex>". Caller frees. */
static char *blob_path(const char *digest) {
        const char *colon = strchr(digest, ':');

        return strformat("blobs/%.*s/%s", (int)(colon - digest), digest, colon + 1);
}

/* --- names --- */

/* Adds the full form of a name; one that is not a reference is left out. */
static int add_name(json_t *names, const char *text, const char *digest) {
        _cleanup_image_reference_ struct image_reference reference = {0};
        _cleanup_problem_ struct problem problem = {0};
        _cleanup_free_ char *full = NULL, *name = NULL, *exact = NULL;
        int r = image_reference_parse(text, &reference, &problem);

        if (r < 0)
                return r == -ENOMEM ? r : 0;
        full = image_reference_text(&reference);
        name = image_reference_name(&reference);
        exact = name ? strformat("%s@%s", name, digest) : NULL;
        if (!full || !exact)
                return -ENOMEM;
        if (json_array_append_new(names, json_string(full)) < 0)
                return -ENOMEM;
        if (!*digest || streq(exact, full))
                return 0;
        return json_array_append_new(names, json_string(exact)) < 0 ? -ENOMEM : 0;
}

/* The names of a descriptor of index.json. ref.name may be a tag alone, which names nothing. */
static int names_of(
                const json_t *descriptor, const char *fallback, const char *digest, json_t **ret) {
        _cleanup_json_ json_t *names = json_array();
        const json_t *annotations = json_at(descriptor, "annotations");
        const char *name = json_string_value(
                                   json_get(annotations, "io.containerd.image.name", NULL)),
                   *ref = json_string_value(json_get(
                                   annotations, "org.opencontainers.image.ref.name", NULL));
        int r;

        if (!name && ref && strpbrk(ref, "/:"))
                name = ref;
        name = name ? name : fallback;
        if (!names)
                return -ENOMEM;
        r = name ? add_name(names, name, digest) : 0;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(names);
        return 0;
}

/* --- OCI layouts --- */

struct finder {
        int folder;
        const struct image_platform *platform;
        const char *name; /* for images without one, or NULL */
        struct archive_images images;
};

static int read_config(struct finder *f, const char *path, const char *digest, size_t layers,
                struct archive_image *image, struct problem *p) {
        _cleanup_json_ json_t *document = NULL;
        int r = read_document(f->folder, path, digest, &document, image->id);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return unreadable(p, "configuration of an image", -r);
        return image_config_parse(document, layers, f->platform, &image->config, p);
}

static int read_manifest(struct finder *f, const json_t *document, struct archive_image *image,
                struct problem *p) {
        _cleanup_image_manifest_ struct image_manifest m = {0};
        _cleanup_free_ char *config = NULL;
        int r = image_manifest_parse(document, &m, p);

        if (r < 0)
                return r;
        for (size_t i = 0; i < m.layer_count; i++) {
                _cleanup_free_ char *path = blob_path(m.layers[i].digest);

                r = path ? strv_extend(&image->layer_paths, path) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        config = blob_path(m.config.digest);
        return config ? read_config(f, config, m.config.digest, m.layer_count, image, p) : -ENOMEM;
}

/* The manifest that a descriptor means, through indexes. 0: none for this platform. */
static int resolve(struct finder *f, const char *first, json_t **ret, struct problem *p) {
        _cleanup_free_ char *digest = strdup(first);
        int r;

        for (int depth = 0; digest && depth < INDEX_DEPTH_MAX; depth++) {
                _cleanup_json_ json_t *document = NULL;
                _cleanup_problem_ struct problem none = {0};
                _cleanup_free_ char *path = blob_path(digest);
                struct image_blob next;

                r = path ? read_document(f->folder, path, digest, &document, NULL) : -ENOMEM;
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return unreadable(p, "manifest", -r);
                if (!image_document_is_index(document)) {
                        *ret = TAKE_PTR(document);
                        return 1;
                }
                r = image_index_choose(document, f->platform, &next, &none);
                if (r < 0)
                        return r == -ENOMEM ? r : 0;
                free(digest);
                digest = next.digest;
        }
        return digest ? unreadable(p, "index", ELOOP) : -ENOMEM;
}

/* Whether a descriptor says that it is for another platform. */
static bool is_for_other(const json_t *descriptor, const struct image_platform *platform) {
        const char *os = json_str_or(descriptor, "platform.os", platform->os),
                   *architecture = json_str_or(
                                   descriptor, "platform.architecture", platform->architecture);

        return !streq(os, platform->os) || !streq(architecture, platform->architecture);
}

static int add_image(struct finder *f, struct archive_image *image) {
        int r = vector_append(&f->images, *image);

        if (r < 0)
                archive_image_done(image);
        return r;
}

static int add_descriptor(struct finder *f, const json_t *descriptor, struct problem *p) {
        const char *digest = json_str_or(descriptor, "digest", "");
        _cleanup_(archive_image_done) struct archive_image image = {0};
        _cleanup_json_ json_t *manifest = NULL;
        int r;

        if (!image_digest_is_valid(digest))
                return unreadable(p, "index.json", EBADMSG);
        if (is_for_other(descriptor, f->platform))
                return 0;
        r = resolve(f, digest, &manifest, p);
        if (r <= 0)
                return r;
        snprintf(image.digest, sizeof(image.digest), "%s", digest);
        r = read_manifest(f, manifest, &image, p);
        if (r < 0)
                return r;
        r = names_of(descriptor, f->name, digest, &image.names);
        if (r < 0)
                return r;
        r = add_image(f, &image);
        image = (struct archive_image){0};
        return r;
}

/* --- docker save --- */

static int docker_names(const json_t *entry, const char *fallback, json_t **ret) {
        _cleanup_json_ json_t *names = json_array();
        const json_t *tags = json_at(entry, "RepoTags"), *tag;
        size_t i;
        int r;

        if (!names)
                return -ENOMEM;
        json_array_foreach (tags, i, tag) {
                if (i == NAMES_MAX)
                        break;
                r = add_name(names, strempty(json_string_value(tag)), "");
                if (r < 0)
                        return r;
        }
        if (json_array_size(names) == 0 && fallback) {
                r = add_name(names, fallback, "");
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(names);
        return 0;
}

static int add_docker(struct finder *f, const json_t *entry, struct problem *p) {
        _cleanup_(archive_image_done) struct archive_image image = {0};
        const json_t *layers = json_at(entry, "Layers"), *layer;
        size_t i;
        int r;

        if (json_array_size(layers) > IMAGE_LAYERS_MAX)
                return unreadable(p, "manifest.json", E2BIG);
        json_array_foreach (layers, i, layer) {
                r = strv_extend(&image.layer_paths, strempty(json_string_value(layer)));
                if (r < 0)
                        return r;
        }
        r = read_config(f, json_str_or(entry, "Config", ""), NULL, json_array_size(layers), &image,
                        p);
        if (r < 0)
                return r;
        r = docker_names(entry, f->name, &image.names);
        if (r < 0)
                return r;
        r = add_image(f, &image);
        image = (struct archive_image){0};
        return r;
}

/* --- both --- */

static int add_all(struct finder *f, const char *what, const json_t *list,
                int (*add)(struct finder *f, const json_t *entry, struct problem *p),
                struct problem *p) {
        const json_t *entry;
        size_t i;

        if (!json_is_array(list) || json_array_size(list) > ARCHIVE_IMAGES_MAX)
                return unreadable(p, what, EBADMSG);
        json_array_foreach (list, i, entry) {
                int r = add(f, entry, p);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int find(struct finder *f, struct problem *p) {
        _cleanup_json_ json_t *document = NULL;
        int r = read_document(f->folder, "index.json", NULL, &document, NULL);

        if (r == 0)
                return add_all(f, "index.json", json_at(document, "manifests"), add_descriptor, p);
        if (r != -ENOENT)
                return r == -ENOMEM ? r : unreadable(p, "index.json", -r);
        r = read_document(f->folder, "manifest.json", NULL, &document, NULL);
        if (r == -ENOENT)
                return image_problem(p, EINVAL, IMAGE_CAUSE_INVALID,
                                "it has neither index.json (an OCI layout) nor manifest.json "
                                "(docker save): it is not an archive of images");
        if (r < 0)
                return r == -ENOMEM ? r : unreadable(p, "manifest.json", -r);
        return add_all(f, "manifest.json", document, add_docker, p);
}

static void finder_done(struct finder *f) {
        archive_images_done(&f->images);
}

int archive_find(int folder, const struct image_platform *platform, const char *name,
                struct archive_images *ret, struct problem *p) {
        _cleanup_(finder_done) struct finder f = {
                        .folder = folder, .platform = platform, .name = name};
        int r = find(&f, p);

        if (r < 0)
                return r;
        if (f.images.count == 0)
                return image_problem(p, ENOENT, IMAGE_CAUSE_PLATFORM,
                                "it has no image for this machine (%s/%s)", platform->os,
                                platform->architecture);
        *ret = f.images;
        f.images = (struct archive_images){0};
        return 0;
}
