/* Objects from -f: files, folders (their .yaml, .yml and .json files, by name) and standard input.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "kctl/kctl.h"
#include "lib/fileio.h"
#include "lib/object.h"
#include "lib/vector.h"
#include "lib/yaml.h"

enum { MANIFEST_SIZE_MAX = 16 << 20, MANIFEST_OBJECTS_MAX = 10000 };

void manifests_done(struct manifests *m) {
        for (size_t i = 0; i < m->count; i++) {
                json_decref(m->items[i].object);
                free(m->items[i].place);
        }
        vector_done(m);
}

static int add_object(struct manifests *m, json_t *object, const char *file, unsigned line,
                struct problem *p) {
        _cleanup_free_ char *place = strformat("%s line %u", file, line);

        if (!place)
                return -ENOMEM;
        if (!json_is_object(object) || !*object_kind(object) || !*object_api_version(object))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: no API object: apiVersion and kind are needed", place);
        if (!json_is_string(json_at(object, "metadata.name")) &&
                        !json_is_string(json_at(object, "metadata.generateName")))
                return problem_set(p, EINVAL, 0, NULL, "%s: %s without metadata.name", place,
                                object_kind(object));
        if (m->count >= MANIFEST_OBJECTS_MAX)
                return problem_set(p, E2BIG, 0, NULL, "more than %i objects at once",
                                MANIFEST_OBJECTS_MAX);
        if (vector_append(m, ((struct manifest){object, place})) < 0)
                return -ENOMEM;
        json_incref(object);
        TAKE_PTR(place);
        return 0;
}

/* An object, or the items of a list. */
static int add_document(struct manifests *m, json_t *document, const char *file, unsigned line,
                struct problem *p) {
        json_t *items = json_object_get(document, "items"), *item;
        size_t i;

        if (!endswith(object_kind(document), "List") || !json_is_array(items))
                return add_object(m, document, file, line, p);
        json_array_foreach (items, i, item) {
                int r = add_object(m, item, file, line, p);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_text(struct manifests *m, const char *file, const char *text, size_t n,
                struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        int r;

        r = yaml_parse(text, n, &docs, p);
        if (r < 0) {
                problem_prefix(p, "%s", file);
                p->code = 0; /* no server has seen it */
                return r;
        }
        for (size_t i = 0; i < docs.count; i++) {
                r = add_document(m, docs.items[i].value, file, docs.items[i].line, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_stdin(struct manifests *m, struct problem *p) {
        _cleanup_buf_ struct buf b = {0};
        char piece[65536];
        size_t n;

        while ((n = fread(piece, 1, sizeof(piece), stdin)) > 0)
                if (b.size + n > MANIFEST_SIZE_MAX || buf_append(&b, piece, n) < 0)
                        return problem_set(p, EFBIG, 0, NULL, "standard input: more than %i bytes",
                                        MANIFEST_SIZE_MAX);
        return read_text(m, "standard input", strempty(b.data), b.size, p);
}

static int read_file(struct manifests *m, const char *path, struct problem *p) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = file_read(path, MANIFEST_SIZE_MAX, &text, &n);

        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, r, 0, NULL, "%s", strempty(why));
        }
        return read_text(m, path, text, n, p);
}

static int is_manifest(const struct dirent *e) {
        return e->d_name[0] != '.' &&
               (endswith(e->d_name, ".yaml") || endswith(e->d_name, ".yml") ||
                               endswith(e->d_name, ".json"));
}

static int read_entries(struct manifests *m, const char *path, struct dirent *const *entries, int n,
                struct problem *p) {
        if (n == 0)
                return problem_set(p, ENOENT, 0, NULL,
                                "the folder %s holds no .yaml, .yml or .json file", path);
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *file = strformat("%s/%s", path, entries[i]->d_name);
                int r = file ? read_file(m, file, p) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_folder(struct manifests *m, const char *path, struct problem *p) {
        struct dirent **entries;
        int n = scandir(path, &entries, is_manifest, alphasort), r;

        if (n < 0)
                return problem_set(p, errno, 0, NULL, "cannot read the folder %s: %s", path,
                                strerror(errno));
        r = read_entries(m, path, entries, n, p);
        for (int i = 0; i < n; i++)
                free(entries[i]);
        free(entries);
        return r;
}

int manifests_read(struct kctl *k, struct manifests *ret, struct problem *p) {
        _cleanup_manifests_ struct manifests m = {0};

        for (char **f = k->flags.filenames; f && *f; f++) {
                struct stat st;
                int r = streq(*f, "-")                              ? read_stdin(&m, p)
                        : stat(*f, &st) == 0 && S_ISDIR(st.st_mode) ? read_folder(&m, *f, p)
                                                                    : read_file(&m, *f, p);

                if (r < 0)
                        return r;
        }
        if (m.count == 0)
                return problem_set(p, ENOENT, 0, NULL, "no objects were given; use -f FILE");
        *ret = m;
        m = (struct manifests){0};
        return 0;
}
