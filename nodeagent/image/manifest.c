/* Documents of images: each member is checked for its type and bounds before it is used, and only
 * what is honoured is kept. */
#include "nodeagent/image/manifest.h"

#include <sys/utsname.h>

#include "lib/buf.h"
#include "lib/plain.h"
#include "lib/timefmt.h"
#include "nodeagent/image/cause.h"
#include "nodeagent/image/reference.h"

enum { LIST_MAX = 4096, PLATFORMS_SHOWN_MAX = 24, SHOWN_MAX = 128 };

#define OCI "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."

static const char *const index_types[] = {
                OCI "index.v1+json", DOCKER "distribution.manifest.list.v2+json"};
static const char *const manifest_types[] = {
                OCI "manifest.v1+json", DOCKER "distribution.manifest.v2+json"};
static const char *const config_types[] = {OCI "config.v1+json", DOCKER "container.image.v1+json"};
/* How a layer is compressed is seen by its first bytes. */
static const char *const layer_types[] = {OCI "layer.v1.tar", OCI "layer.v1.tar+gzip",
                OCI "layer.v1.tar+zstd", OCI "layer.nondistributable.v1.tar",
                OCI "layer.nondistributable.v1.tar+gzip", OCI "layer.nondistributable.v1.tar+zstd",
                DOCKER "image.rootfs.diff.tar", DOCKER "image.rootfs.diff.tar.gzip",
                DOCKER "image.rootfs.diff.tar.zstd", DOCKER "image.rootfs.foreign.diff.tar",
                DOCKER "image.rootfs.foreign.diff.tar.gzip"};

static bool is_one_of(const char *text, const char *const *list, size_t n) {
        for (size_t i = 0; text && i < n; i++)
                if (streq(list[i], text))
                        return true;
        return false;
}

static int invalid(struct problem *p, const char *what) {
        return image_problem(p, EINVAL, IMAGE_CAUSE_INVALID, "%s", what);
}

/* --- platforms --- */

struct image_platform image_platform_of_machine(void) {
        static const struct {
                const char *machine, *architecture, *variant;
        } known[] = {{"x86_64", "amd64", ""}, {"aarch64", "arm64", "v8"}, {"armv7l", "arm", "v7"},
                        {"armv6l", "arm", "v6"}, {"armv8l", "arm", "v7"}, {"i686", "386", ""},
                        {"i386", "386", ""}, {"ppc64le", "ppc64le", ""}, {"s390x", "s390x", ""},
                        {"riscv64", "riscv64", ""}, {"loongarch64", "loong64", ""}};
        struct image_platform platform = {"linux", "unknown", ""};
        struct utsname name;

        if (uname(&name) < 0)
                return platform;
        for (size_t i = 0; i < ELEMENTS(known); i++)
                if (streq(known[i].machine, name.machine)) {
                        platform.architecture = known[i].architecture;
                        platform.variant = known[i].variant;
                }
        return platform;
}

/* "v7" -> 7; without one what the architecture means by it. 0: not a variant. */
static unsigned variant_number(const char *architecture, const char *variant) {
        uint32_t n;

        if (isempty(variant))
                return streq(architecture, "arm64") ? 8 : streq(architecture, "arm") ? 7 : 1;
        if (variant[0] != 'v' || parse_u32(variant + 1, &n) < 0 || n > 1000)
                return 0;
        return n;
}

/* 0: cannot run here; else the higher the better. */
static unsigned platform_rank(const json_t *entry, const struct image_platform *want) {
        const json_t *platform = json_at(entry, "platform");
        const char *os = json_str_or(platform, "os", ""),
                   *architecture = json_str_or(platform, "architecture", "");
        unsigned have, most = variant_number(want->architecture, want->variant);

        if (!platform)
                return 1; /* says nothing; its configuration will */
        if (!streq(os, want->os) || !streq(architecture, want->architecture))
                return 0;
        have = variant_number(architecture, json_str_or(platform, "variant", ""));
        return have == 0 || have > most ? 0 : have + 1;
}

static void add_platform(struct buf *b, const json_t *entry) {
        const char *os = json_str_or(entry, "platform.os", "?"),
                   *architecture = json_str_or(entry, "platform.architecture", "?"),
                   *variant = json_str_or(entry, "platform.variant", "");

        if (streq(os, "unknown"))
                return;
        buf_printf(b, "%s%.20s/%.20s%s%.10s", b->size ? ", " : "", os, architecture,
                        *variant ? "/" : "", variant);
}

static int no_platform(const json_t *index, const struct image_platform *want, struct problem *p) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_free_ char *shown = NULL;
        const json_t *entry, *list = json_at(index, "manifests");
        size_t i;

        json_array_foreach (list, i, entry)
                if (i < PLATFORMS_SHOWN_MAX)
                        add_platform(&b, entry);
        shown = plain_copy(b.data ? b.data : "none", b.data ? b.size : 4, PLAIN_LINE);
        if (!shown)
                return -ENOMEM;
        return image_problem(p, ENOENT, IMAGE_CAUSE_PLATFORM,
                        "the image is not made for this machine (%s/%s%s%s); it is there for: %s",
                        want->os, want->architecture, *want->variant ? "/" : "", want->variant,
                        shown);
}

/* --- indexes --- */

static int read_blob(const json_t *descriptor, struct image_blob *ret, struct problem *p) {
        const char *digest = json_str_or(descriptor, "digest", "");
        int64_t size = json_int_or(descriptor, "size", -1);

        if (!image_digest_is_valid(digest))
                return invalid(p, "the image's manifest names a blob without a sha256 or sha512 "
                                  "digest; push the image again");
        if (size < 0)
                return invalid(p,
                                "the image's manifest names a blob without a size; push the image "
                                "again");
        ret->digest = strdup(digest);
        ret->size = (uint64_t)size;
        return ret->digest ? 0 : -ENOMEM;
}

bool image_document_is_index(const json_t *document) {
        const char *type = json_str(document, "mediaType");

        if (is_one_of(type, index_types, ELEMENTS(index_types)))
                return true;
        return !type && json_is_array(json_at(document, "manifests")) &&
               !json_at(document, "layers");
}

int image_index_choose(const json_t *index, const struct image_platform *platform,
                struct image_blob *ret, struct problem *p) {
        const json_t *list = json_at(index, "manifests"), *entry, *best = NULL;
        unsigned rank, best_rank = 0;
        size_t i;

        if (json_array_size(list) > IMAGE_INDEX_ENTRIES_MAX)
                return invalid(p, "the image's index has more than 1024 entries");
        json_array_foreach (list, i, entry) {
                const char *type = json_str(entry, "mediaType");

                if (type && !is_one_of(type, manifest_types, ELEMENTS(manifest_types)) &&
                                !is_one_of(type, index_types, ELEMENTS(index_types)))
                        continue;
                rank = platform_rank(entry, platform);
                if (rank > best_rank) {
                        best = entry;
                        best_rank = rank;
                }
        }
        if (!best)
                return no_platform(index, platform, p);
        if (json_int_or(best, "size", -1) > IMAGE_MANIFEST_SIZE_MAX)
                return image_problem(p, EINVAL, IMAGE_CAUSE_TOO_LARGE,
                                "the image's manifest has more than 4 MiB");
        return read_blob(best, ret, p);
}

/* --- manifests --- */

void image_manifest_done(struct image_manifest *m) {
        free(m->config.digest);
        for (size_t i = 0; i < m->layer_count; i++)
                free(m->layers[i].digest);
        free(m->layers);
        *m = (struct image_manifest){0};
}

static int wrong_type(const char *what, const char *type, struct problem *p) {
        _cleanup_free_ char *shown = plain_copy(type, strnlen(type, SHOWN_MAX), PLAIN_LINE);

        if (!shown)
                return -ENOMEM;
        return image_problem(p, EINVAL, IMAGE_CAUSE_INVALID,
                        "%s of the type \"%s\", which is not an image that a container can run",
                        what, shown);
}

static int check_manifest(const json_t *document, struct problem *p) {
        const json_t *layers = json_at(document, "layers");
        const char *type = json_str(document, "mediaType");
        const char *config = json_str_or(document, "config.mediaType", "");

        if (json_int_or(document, "schemaVersion", 0) == 1)
                return invalid(p,
                                "the image has a manifest of Docker's old schema 1; pull and push "
                                "it again with a current client");
        if (type && !is_one_of(type, manifest_types, ELEMENTS(manifest_types)))
                return wrong_type("the registry has a document", type, p);
        if (json_int_or(document, "schemaVersion", 0) != 2 || !json_is_array(layers) ||
                        !json_is_object(json_at(document, "config")))
                return invalid(p, "the registry's answer is not the manifest of an image");
        if (!is_one_of(config, config_types, ELEMENTS(config_types)))
                return wrong_type("the name means an artifact", config, p);
        if (json_array_size(layers) > IMAGE_LAYERS_MAX)
                return image_problem(p, EINVAL, IMAGE_CAUSE_TOO_LARGE,
                                "the image has %zu layers; %d are allowed", json_array_size(layers),
                                IMAGE_LAYERS_MAX);
        return 0;
}

int image_manifest_parse(const json_t *document, struct image_manifest *ret, struct problem *p) {
        _cleanup_image_manifest_ struct image_manifest m = {0};
        const json_t *layers = json_at(document, "layers"), *layer;
        size_t i;
        int r = check_manifest(document, p);

        if (r < 0)
                return r;
        r = read_blob(json_at(document, "config"), &m.config, p);
        if (r < 0)
                return r;
        if (m.config.size > IMAGE_CONFIG_SIZE_MAX)
                return image_problem(p, EINVAL, IMAGE_CAUSE_TOO_LARGE,
                                "the image's configuration has more than 4 MiB");
        m.layers = calloc(json_array_size(layers) + 1, sizeof(*m.layers));
        if (!m.layers)
                return -ENOMEM;
        json_array_foreach (layers, i, layer) {
                const char *type = json_str_or(layer, "mediaType", "");

                if (!is_one_of(type, layer_types, ELEMENTS(layer_types)))
                        return wrong_type("the image has a layer", type, p);
                r = read_blob(layer, &m.layers[m.layer_count], p);
                if (r < 0)
                        return r;
                m.layer_count++;
        }
        *ret = m;
        m = (struct image_manifest){0};
        return 0;
}

/* --- configurations --- */

/* NAME=value; other entries of Env have no effect elsewhere either. */
static bool is_variable(const char *s) {
        const char *equals = strchr(s, '=');

        return equals && equals > s;
}

/* Copies a list of words; entries that are not text are refused. NULL and [] add nothing. */
static int copy_words(const json_t *from, const char *name, json_t *to, struct problem *p) {
        const json_t *list = json_get(from, name, NULL), *word;
        _cleanup_json_ json_t *copy = NULL;
        size_t i;

        if (!list || json_is_null(list) || (json_is_array(list) && json_array_size(list) == 0))
                return 0;
        if (!json_is_array(list) || json_array_size(list) > LIST_MAX)
                return image_problem(p, EINVAL, IMAGE_CAUSE_INVALID,
                                "%s in the image's configuration is not a list of at most %d words",
                                name, LIST_MAX);
        copy = json_array();
        json_array_foreach (list, i, word) {
                if (!json_is_string(word))
                        return image_problem(p, EINVAL, IMAGE_CAUSE_INVALID,
                                        "%s in the image's configuration has an entry that is not "
                                        "text",
                                        name);
                if (streq(name, "Env") && !is_variable(json_string_value(word)))
                        continue;
                if (json_array_append_new(copy, json_ref(word)) < 0)
                        return -ENOMEM;
        }
        return json_object_set_new(to, name, TAKE_PTR(copy)) < 0 ? -ENOMEM : 0;
}

static bool path_is_plain(const char *path) {
        if (*path != '/')
                return false;
        for (const char *s = path; *s; s++)
                if (startswith(s, "/../") || streq(s, "/.."))
                        return false;
        return true;
}

/* The keys of an object as a sorted list. */
static int copy_keys(const json_t *from, const char *name, json_t *to, struct problem *p) {
        const json_t *object = json_get(from, name, NULL);
        _cleanup_json_ json_t *list = json_array();
        _cleanup_free_ const char **keys = NULL;
        const char *key;
        const json_t *value;
        size_t n = 0;

        if (!json_is_object(object) || json_object_size(object) == 0)
                return list ? 0 : -ENOMEM;
        if (json_object_size(object) > LIST_MAX)
                return image_problem(p, EINVAL, IMAGE_CAUSE_INVALID,
                                "%s in the image's configuration has more than %d entries", name,
                                LIST_MAX);
        keys = calloc(json_object_size(object), sizeof(*keys));
        if (!keys || !list)
                return -ENOMEM;
        json_object_each (object, key, value) {
                size_t at = n;

                if (streq(name, "Volumes") && !path_is_plain(key))
                        return invalid(p,
                                        "a volume in the image's configuration is not an absolute "
                                        "path without \"..\"");
                for (; at > 0 && strcmp(keys[at - 1], key) > 0; at--)
                        keys[at] = keys[at - 1];
                keys[at] = key;
                n++;
        }
        for (size_t i = 0; i < n; i++)
                if (json_array_append_new(list, json_string(keys[i])) < 0)
                        return -ENOMEM;
        return json_object_set_new(to, name, TAKE_PTR(list)) < 0 ? -ENOMEM : 0;
}

static int copy_text(const json_t *from, const char *name, json_t *to) {
        const char *text = json_string_value(json_get(from, name, NULL));

        if (isempty(text))
                return 0;
        return json_object_set_new(to, name, json_string(text)) < 0 ? -ENOMEM : 0;
}

static int copy_folder(const json_t *from, json_t *to) {
        const char *text = json_string_value(json_get(from, "WorkingDir", NULL));
        _cleanup_free_ char *path = NULL;

        if (isempty(text))
                return 0;
        path = strformat("%s%s", *text == '/' ? "" : "/", text);
        if (!path)
                return -ENOMEM;
        return json_object_set_new(to, "WorkingDir", json_string(path)) < 0 ? -ENOMEM : 0;
}

static int copy_config(const json_t *from, json_t *to, struct problem *p) {
        static const char *const words[] = {"Entrypoint", "Cmd", "Env"},
                                 *const texts[] = {"User", "StopSignal"},
                                 *const keys[] = {"Volumes", "ExposedPorts"};
        int r;

        for (size_t i = 0; i < ELEMENTS(words); i++) {
                r = copy_words(from, words[i], to, p);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTS(texts); i++) {
                r = copy_text(from, texts[i], to);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTS(keys); i++) {
                r = copy_keys(from, keys[i], to, p);
                if (r < 0)
                        return r;
        }
        return copy_folder(from, to);
}

static int copy_layers(const json_t *document, size_t layer_count, json_t *to, struct problem *p) {
        const json_t *ids = json_at(document, "rootfs.diff_ids"), *id;
        json_t *list = json_array();
        size_t i;

        if (!list || json_object_set_new(to, "layers", list) < 0)
                return -ENOMEM;
        if (json_array_size(ids) != layer_count)
                return invalid(p,
                                "the image's configuration and its manifest have different numbers "
                                "of layers");
        json_array_foreach (ids, i, id) {
                if (!json_is_string(id) || !image_digest_is_valid(json_string_value(id)))
                        return invalid(p,
                                        "a diff_id in the image's configuration is not a sha256 or "
                                        "sha512 digest");
                if (json_array_append_new(list, json_ref(id)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int check_platform(
                const json_t *document, const struct image_platform *platform, struct problem *p) {
        const char *os = json_str_or(document, "os", ""),
                   *architecture = json_str_or(document, "architecture", "");
        _cleanup_free_ char *shown = NULL;

        /* Images that were made without a tool say nothing. */
        if ((!*os || streq(os, platform->os)) &&
                        (!*architecture || streq(architecture, platform->architecture)))
                return 0;
        shown = strformat("%.20s/%.20s", os, architecture);
        if (!shown)
                return -ENOMEM;
        return image_problem(p, EINVAL, IMAGE_CAUSE_PLATFORM,
                        "the image is made for %s, this machine is %s/%s",
                        plain_is_needed(shown) ? "another platform" : shown, platform->os,
                        platform->architecture);
}

int image_config_parse(const json_t *document, size_t layer_count,
                const struct image_platform *platform, json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *result = json_object();
        const char *created = json_str_or(document, "created", "");
        json_t *config = json_object();
        uint64_t time_us;
        int r;

        if (!result || !config || json_object_set_new(result, "config", config) < 0)
                return -ENOMEM;
        if (!json_is_object(document))
                return invalid(p, "the image's configuration is not a JSON object");
        r = check_platform(document, platform, p);
        if (r < 0)
                return r;
        if (json_set_str(result, "os", platform->os) < 0 ||
                        json_set_str(result, "architecture", platform->architecture) < 0 ||
                        copy_text(document, "variant", result) < 0)
                return -ENOMEM;
        if (time_parse(created, &time_us) == 0 && copy_text(document, "created", result) < 0)
                return -ENOMEM;
        r = copy_layers(document, layer_count, result, p);
        if (r < 0)
                return r;
        r = copy_config(json_at(document, "config"), config, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(result);
        return 0;
}
