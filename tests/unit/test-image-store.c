/* Layers, roots and the store in a temporary folder, without root: owners are not set. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>

#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/timefmt.h"
#include "nodeagent/image/beneath.h"
#include "nodeagent/image/cause.h"
#include "nodeagent/image/digest.h"
#include "nodeagent/image/store.h"
#include "nodeagent/image/tree.h"
#include "nodeagent/image/unpack.h"

enum { BLOCK = 512 };

struct scratch {
        char *dir;
};

static int setup(void **state) {
        struct scratch *s = calloc(1, sizeof(*s));

        s->dir = strdup("/tmp/keelson-image-XXXXXX");
        if (!mkdtemp(s->dir))
                return -1;
        *state = s;
        return 0;
}

static int teardown(void **state) {
        struct scratch *s = *state;
        int r = remove_tree(s->dir);

        free(s->dir);
        free(s);
        return r;
}

/* --- archives --- */

/* type: '0' file, '5' folder, '2' link, '1' hard link, '6' FIFO, '3' device. */
struct member {
        char type;
        const char *path, *target, *data;
        unsigned mode;
};

/* A number of a header, in octal digits that fill the field but its last byte. */
static void put_octal(char *field, size_t size, unsigned value) {
        field[size - 1] = 0;
        for (size_t i = size - 1; i-- > 0; value /= 8)
                field[i] = (char)('0' + value % 8);
}

static void add_member(struct buf *b, const struct member *m) {
        char header[BLOCK] = {0}, padding[BLOCK] = {0};
        size_t size = m->data ? strlen(m->data) : 0;
        unsigned sum = 0;

        snprintf(header, 100, "%s", m->path);
        put_octal(header + 100, 8, m->mode ? m->mode : m->type == '5' ? 0755 : 0644);
        put_octal(header + 108, 8, 0);
        put_octal(header + 116, 8, 0);
        put_octal(header + 124, 12, (unsigned)size);
        put_octal(header + 136, 12, 1700000000);
        memset(header + 148, ' ', 8);
        header[156] = m->type;
        if (m->target)
                snprintf(header + 157, 100, "%s", m->target);
        memcpy(header + 257,
                        "ustar\0"
                        "00",
                        8);
        for (size_t i = 0; i < sizeof(header); i++)
                sum += (unsigned char)header[i];
        put_octal(header + 148, 7, sum);
        buf_append(b, header, sizeof(header));
        if (size > 0) {
                buf_append(b, m->data, size);
                buf_append(b, padding, (BLOCK - size % BLOCK) % BLOCK);
        }
}

/* The members (ended by a NULL path) as a tar in an unnamed file, read from its beginning. */
static int tar_of(const struct member *members, char digest[static IMAGE_DIGEST_SIZE]) {
        static const char end[2 * BLOCK];
        _cleanup_(image_hash_freep) struct image_hash *hash = image_hash_new(NULL);
        _cleanup_buf_ struct buf b = {0};
        int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);

        assert_true(fd >= 0);
        for (const struct member *m = members; m->path; m++)
                add_member(&b, m);
        buf_append(&b, end, sizeof(end));
        assert_int_equal(file_write_all(fd, b.data, b.size), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        image_hash_add(hash, b.data, b.size);
        image_hash_take(hash, digest);
        return fd;
}

static int folder_in(const char *dir, const char *name) {
        _cleanup_free_ char *path = strformat("%s/%s", dir, name);
        int fd;

        assert_int_equal(mkdir(path, 0755), 0);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fd >= 0);
        return fd;
}

static int unpack(const struct member *members, int folder, const char *diff_id,
                const struct image_limits *limits, json_t **ret, struct problem *p) {
        char digest[IMAGE_DIGEST_SIZE];
        _cleanup_close_ int fd = tar_of(members, digest);
        struct unpack_options o = {.limits = limits ? *limits : image_limits_from_json(NULL),
                        .diff_id = diff_id ? diff_id : digest};

        o.limits.free_bytes_min = 0;
        return unpack_layer(fd, folder, &o, ret, p);
}

/* "path=contents" of each file, "path/" of each folder, "path>target" of each link, sorted. */
static struct buf walked;
static size_t walked_root;
static int on_walk(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        _cleanup_free_ char *text = NULL;
        char target[256] = "";

        if (strlen(path) == walked_root)
                return 0;
        path += walked_root + 1;
        if (S_ISDIR(st->st_mode))
                buf_printf(&walked, "%s/\n", path);
        else if (S_ISLNK(st->st_mode)) {
                assert_true(readlink(path - walked_root - 1, target, sizeof(target) - 1) >= 0);
                buf_printf(&walked, "%s>%s\n", path, target);
        } else if (S_ISREG(st->st_mode)) {
                assert_int_equal(file_read(path - walked_root - 1, 4096, &text, NULL), 0);
                buf_printf(&walked, "%s=%s\n", path, text);
        } else
                buf_printf(&walked, "%s|\n", path);
        return 0;
}

static int compare_lines(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static void assert_tree(const char *dir, const char *name, const char *want) {
        _cleanup_free_ char *path = strformat("%s%s%s", dir, *name ? "/" : "", name), *got = NULL;
        _cleanup_strv_free_ char **lines = NULL;

        buf_reset(&walked);
        walked_root = strlen(path);
        assert_int_equal(nftw(path, on_walk, 16, FTW_PHYS), 0);
        if (walked.size > 0)
                assert_int_equal(strv_split(walked.data, "\n", &lines), 0);
        if (strv_length(lines) > 1)
                qsort(lines, strv_length(lines), sizeof(*lines), compare_lines);
        got = strv_join(lines, " ");
        assert_string_equal(strempty(got), want);
}

/* --- one layer --- */

static void test_unpack(void **state) {
        const char *dir = ((struct scratch *)*state)->dir;
        static const struct member members[] = {{'5', "./", .mode = 0755},
                        {'5', "etc", .mode = 0750}, {'0', "etc/passwd", .data = "root"},
                        {'0', "/abs", .data = "a"},
                        {'0', "implied/deep/file", .data = "f", .mode = 04755},
                        {'2', "link", "/etc/passwd"}, {'2', "dir", "etc"},
                        {'0', "dir/through", .data = "t"}, /* by the link */
                        {'1', "hard", "etc/passwd"},
                        {'1', "lower", "usr/lower"}, /* in a lower layer */
                        {'6', "fifo"}, {'3', "device"}, {'0', "etc/.wh.gone"},
                        {'0', "data/.wh..wh..opq"}, {'0', ".wh..wh.plnk/1.2", .data = "x"},
                        {'0', "twice", .data = "1"}, {'0', "twice", .data = "22"},
                        {'5', "implied/deep", .mode = 0711}, {0}};
        _cleanup_close_ int folder = folder_in(dir, "layer");
        _cleanup_json_ json_t *notes = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;
        struct stat a, b;

        if (unpack(members, folder, NULL, NULL, &notes, &p) < 0)
                fail_msg("%s", p.message);
        assert_tree(dir, "layer",
                        "abs=a dir>etc etc/ etc/passwd=root etc/through=t fifo| hard=root implied/ "
                        "implied/deep/ implied/deep/file=f link>/etc/passwd twice=22");
        json_del_at(notes, "entries");
        text = json_text_sorted(notes);
        assert_string_equal(text,
                        "{\"bytes\":11,\"implied\":[\"implied\"],\"links\":[[\"lower\","
                        "\"usr/lower\"]],\"opaque\":[\"data\"],\"whiteouts\":[\"etc/gone\"]}");
        assert_int_equal(fstatat(folder, "hard", &a, 0), 0);
        assert_int_equal(fstatat(folder, "etc/passwd", &b, 0), 0);
        assert_int_equal(a.st_ino, b.st_ino);
        assert_int_equal(a.st_mtim.tv_sec, 1700000000);
        assert_int_equal(fstatat(folder, "implied/deep/file", &a, 0), 0);
        assert_int_equal(a.st_mode & 07777, 04755);
        assert_int_equal(fstatat(folder, "implied/deep", &a, 0), 0);
        assert_int_equal(a.st_mode & 07777, 0711);
        assert_int_equal(fstatat(folder, "etc", &a, 0), 0);
        assert_int_equal(a.st_mode & 07777, 0750);
        assert_int_equal(a.st_mtim.tv_sec, 1700000000);
}

/* Layers that must be refused, and leave nothing beside the folder. */
static void test_refused(void **state) {
        const char *dir = ((struct scratch *)*state)->dir;
        static const struct {
                struct member members[4];
                enum image_cause cause;
        } cases[] = {
                        {{{'0', "../out", .data = "x"}}, IMAGE_CAUSE_UNSAFE},
                        {{{'0', "a/../../out", .data = "x"}}, IMAGE_CAUSE_UNSAFE},
                        {{{'5', ".."}}, IMAGE_CAUSE_UNSAFE},
                        {{{'2', "l", ".."}, {'0', "l/../out", .data = "x"}}, IMAGE_CAUSE_UNSAFE},
                        {{{'2', "l", "/tmp/nowhere"}, {'0', "l/out", .data = "x"}},
                                        IMAGE_CAUSE_UNSAFE},
                        {{{'0', "f", .data = "x"}, {'0', "f/out", .data = "x"}},
                                        IMAGE_CAUSE_UNSAFE},
                        {{{'1', "h", "../out"}}, IMAGE_CAUSE_UNSAFE},
                        {{{'1', "h", "h"}}, IMAGE_CAUSE_INVALID},
                        {{{'5', "d"}, {'1', "h", "d"}}, IMAGE_CAUSE_INVALID},
                        {{{'0', "a/.wh."}}, IMAGE_CAUSE_UNSAFE},
                        {{{'0', "a/.wh..."}}, IMAGE_CAUSE_UNSAFE},
                        {{{'0', "./", .data = "x"}}, IMAGE_CAUSE_INVALID},
                        {{{'0', "1/2/3/4/5/6", .data = "x"}}, IMAGE_CAUSE_TOO_LARGE},
                        {{{'0', "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}},
                                        IMAGE_CAUSE_TOO_LARGE},
                        {{{'0', "a", .data = "123456"}, {'0', "b", .data = "123456"}},
                                        IMAGE_CAUSE_TOO_LARGE},
                        {{{'5', "a"}, {'5', "b"}, {'5', "c"}}, IMAGE_CAUSE_TOO_LARGE},
        };
        struct image_limits limits = image_limits_from_json(NULL);
        _cleanup_free_ char *out = strformat("%s/out", dir);

        limits.depth_max = 5;
        limits.path_max = 40;
        limits.entries_max = 2;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *name = strformat("case-%zu", i);
                _cleanup_close_ int folder = folder_in(dir, name);
                _cleanup_json_ json_t *notes = NULL;
                _cleanup_problem_ struct problem p = {0};

                /* The stream of headers is longer than the files. */
                limits.image_bytes_max =
                                cases[i].members[0].data && strlen(cases[i].members[0].data) > 5
                                                ? 10
                                                : 1 << 20;
                if (unpack(cases[i].members, folder, NULL, &limits, &notes, &p) >= 0)
                        fail_msg("case %zu", i);
                if (image_problem_cause(&p) != cases[i].cause)
                        fail_msg("case %zu: %s: %s", i, p.field, p.message);
                assert_int_equal(access(out, F_OK), -1);
        }
}

/* A link of the layer leads to another place of it at most. */
static void test_links_stay_inside(void **state) {
        const char *dir = ((struct scratch *)*state)->dir;
        static const struct member members[] = {{'5', "tmp"}, {'2', "a", "/tmp"},
                        {'2', "b", "../../../../tmp"}, {'0', "a/x", .data = "1"},
                        {'0', "b/y", .data = "2"}, {0}};
        _cleanup_close_ int folder = folder_in(dir, "inside");
        _cleanup_json_ json_t *notes = NULL;
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(unpack(members, folder, NULL, NULL, &notes, &p), 0);
        assert_tree(dir, "inside", "a>/tmp b>../../../../tmp tmp/ tmp/x=1 tmp/y=2");
}

static void test_damaged(void **state) {
        const char *dir = ((struct scratch *)*state)->dir;
        static const struct member members[] = {{'0', "a", .data = "1"}, {0}};
        static const char other[] =
                        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef01234567"
                        "89abcdef";
        _cleanup_close_ int folder = folder_in(dir, "damaged"),
                            garbage = open("/tmp", O_TMPFILE | O_RDWR, 0600),
                            gzip = open("/tmp", O_TMPFILE | O_RDWR, 0600);
        _cleanup_json_ json_t *notes = NULL;
        _cleanup_problem_ struct problem wrong = {0}, bad = {0}, cut = {0};
        const struct unpack_options o = {.limits = image_limits_from_json(NULL)};

        assert_int_equal(unpack(members, folder, other, NULL, &notes, &wrong), -EBADMSG);
        assert_int_equal(image_problem_cause(&wrong), IMAGE_CAUSE_DIGEST);
        assert_int_equal(write(garbage, "this is not a tar", 17), 17);
        assert_int_equal(lseek(garbage, 0, SEEK_SET), 0);
        assert_true(unpack_layer(garbage, folder, &o, &notes, &bad) < 0);
        assert_int_equal(image_problem_cause(&bad), IMAGE_CAUSE_INVALID);
        assert_int_equal(write(gzip, "\x1f\x8b\x08\0\0\0\0\0\0\3", 10), 10);
        assert_int_equal(lseek(gzip, 0, SEEK_SET), 0);
        assert_true(unpack_layer(gzip, folder, &o, &notes, &cut) < 0);
        assert_int_equal(image_problem_cause(&cut), IMAGE_CAUSE_INVALID);
}

/* --- roots --- */

static void test_tree(void **state) {
        const char *dir = ((struct scratch *)*state)->dir;
        static const struct member lower[] = {{'5', "./", .mode = 0711}, {'5', "usr"},
                        {'5', "usr/lib"}, {'0', "usr/lib/a", .data = "a"}, {'2', "lib", "usr/lib"},
                        {'5', "tmp", .mode = 01777}, {'5', "data"}, {'0', "data/old", .data = "o"},
                        {'0', "etc/gone", .data = "g"}, {'0', "etc/stays", .data = "s"},
                        {'0', "was-file", .data = "f"}, {'5', "was-dir"},
                        {'0', "was-dir/x", .data = "x"}, {'2', "was-link", "usr"}, {0}};
        static const struct member upper[] = {{'0', "lib/b", .data = "b"}, /* through the link */
                        {'0', "tmp/t", .data = "t"}, {'0', "data/.wh..wh..opq"},
                        {'0', "data/new", .data = "n"}, {'0', "etc/.wh.gone"},
                        {'0', "etc/.wh.never"}, {'1', "linked", "usr/lib/a"}, {'5', "was-file"},
                        {'0', "was-file/y", .data = "y"}, {'0', "was-dir", .data = "d"},
                        {'5', "was-link"}, {'0', "was-link/z", .data = "z"}, {0}};
        _cleanup_close_ int root = folder_in(dir, "root"), one = folder_in(dir, "one"),
                            two = folder_in(dir, "two"), copy = folder_in(dir, "copy");
        _cleanup_json_ json_t *notes_one = NULL, *notes_two = NULL;
        _cleanup_problem_ struct problem p = {0};
        static const char want[] =
                        "data/ data/new=n etc/ etc/stays=s lib>usr/lib linked=a tmp/ tmp/t=t usr/ "
                        "usr/lib/ usr/lib/a=a usr/lib/b=b was-dir=d was-file/ was-file/y=y "
                        "was-link/ was-link/z=z";
        struct stat a, b;

        assert_int_equal(unpack(lower, one, NULL, NULL, &notes_one, &p), 0);
        assert_int_equal(unpack(upper, two, NULL, NULL, &notes_two, &p), 0);
        assert_int_equal(tree_add_layer(root, one, notes_one, &p), 0);
        assert_int_equal(tree_add_layer(root, two, notes_two, &p), 0);
        assert_tree(dir, "root", want);
        assert_int_equal(fstatat(root, "tmp", &a, 0), 0);
        assert_int_equal(a.st_mode & 07777, 01777);
        assert_int_equal(fstat(root, &a), 0);
        assert_int_equal(a.st_mode & 07777, 0711);
        assert_int_equal(fstatat(root, "usr/lib/a", &a, 0), 0);
        assert_int_equal(fstatat(one, "usr/lib/a", &b, 0), 0);
        assert_int_equal(a.st_ino, b.st_ino); /* on the disk once */
        assert_int_equal(tree_copy(root, copy), 0);
        assert_tree(dir, "copy", want);
        assert_int_equal(fstatat(copy, "usr/lib/a", &a, 0), 0);
        assert_int_not_equal(a.st_ino, b.st_ino);
        assert_int_equal(fstatat(copy, "linked", &b, 0), 0);
        assert_int_equal(a.st_ino, b.st_ino); /* still one file */
        assert_int_equal(fstat(copy, &a), 0);
        assert_int_equal(a.st_mode & 07777, 0711);
}

/* Notes that no layer can have: the process that wrote them was taken over. */
static void test_forged_notes(void **state) {
        const char *dir = ((struct scratch *)*state)->dir;
        static const char *const cases[] = {"{\"whiteouts\": [\"..\"]}",
                        "{\"whiteouts\": [\"a/..\"]}", "{\"whiteouts\": [\"\"]}",
                        "{\"whiteouts\": [\"/a\"]}", "{\"opaque\": [\"../b\"]}",
                        "{\"links\": [[\"../x\", \"a\"]]}", "{\"links\": [[\"x\", \"..\"]]}",
                        "{\"links\": [5]}"};
        _cleanup_close_ int root = folder_in(dir, "forged-root"), layer = folder_in(dir, "forged");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *notes = NULL;

                assert_int_equal(json_parse(cases[i], strlen(cases[i]), 0, &notes, NULL), 0);
                assert_int_equal(tree_add_layer(root, layer, notes, &p), -EPERM);
                assert_int_equal(image_problem_cause(&p), IMAGE_CAUSE_UNSAFE);
        }
}

/* --- the store --- */

#define ID(c) "sha256:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
#define ID_A ID("aa")
#define ID_B ID("bb")

/* Brings one layer of these members into the ingest; returns its diff id. */
static char *ingest_layer(struct image_ingest *i, const struct member *members) {
        char digest[IMAGE_DIGEST_SIZE];
        _cleanup_close_ int blob = tar_of(members, digest), folder = -EBADF;
        _cleanup_json_ json_t *notes = NULL;
        _cleanup_problem_ struct problem p = {0};
        struct unpack_options o = {.limits = image_limits_from_json(NULL), .diff_id = digest};

        o.limits.free_bytes_min = 0;
        if (image_ingest_has_layer(i, digest, &notes) > 0)
                return strdup(digest);
        assert_int_equal(image_ingest_layer_folder(i, digest, &folder, &p), 0);
        assert_int_equal(unpack_layer(blob, folder, &o, &notes, &p), 0);
        assert_int_equal(image_ingest_layer_done(i, digest, notes, &p), 0);
        return strdup(digest);
}

static const struct member base[] = {{'0', "base", .data = "base"}, {0}},
                           own[] = {{'0', "own", .data = "own"}, {0}};

/* An image of the base layer and, for ID_B, one of its own. */
static void ingest_image(struct image_store *s, const char *id, const char *name) {
        _cleanup_(image_ingest_endp) struct image_ingest *i = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *one = NULL, *two = NULL;
        _cleanup_json_ json_t *record = NULL, *names = NULL, *stored = NULL;

        assert_int_equal(image_ingest_begin(s, &i, &p), 0);
        one = ingest_layer(i, base);
        two = streq(id, ID_B) ? ingest_layer(i, own) : NULL;
        record = json_pack(
                        "{s:s, s:s, s:[s], s:{}}", "id", id, "digest", "", "layers", one, "config");
        if (two)
                json_array_append_new(json_object_get(record, "layers"), json_string(two));
        names = json_pack("[s]", name);
        if (image_ingest_commit(i, record, names, &stored, &p) < 0)
                fail_msg("%s", p.message);
        assert_string_equal(json_str(stored, "id"), id);
}

static size_t count_in(const char *dir, const char *kind) {
        _cleanup_free_ char *path = strformat("%s/store/%s", dir, kind);
        _cleanup_strv_free_ char **names = NULL;

        assert_int_equal(file_list(path, &names), 0);
        return strv_length(names);
}

static void test_store(void **state) {
        const char *dir = ((struct scratch *)*state)->dir;
        _cleanup_free_ char *path = strformat("%s/store", dir);
        _cleanup_(image_store_freep) struct image_store *s = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *a = NULL, *b = NULL, *list = NULL, *moved = NULL, *none = NULL;
        char time[TIMEFMT_SIZE];

        assert_int_equal(image_store_open(&s, path, &p), 0);
        assert_int_equal(image_store_find(s, "x.lan/a", &none), -ENOENT);
        assert_int_equal(image_store_find(s, "X Y", &none), -EINVAL);
        ingest_image(s, ID_A, "x.lan/a:latest");
        ingest_image(s, ID_B, "x.lan/b:1");
        assert_int_equal(count_in(dir, "layers"), 2); /* the base is shared */
        assert_int_equal(count_in(dir, "ingest"), 0);
        assert_int_equal(image_store_find(s, "x.lan/a", &a), 0);
        assert_string_equal(json_str(a, "id"), ID_A);
        assert_int_equal(json_int_or(a, "size", 0), 4);
        assert_int_equal(image_store_find(s, ID_B, &b), 0);
        assert_int_equal(json_int_or(b, "size", 0), 7);
        assert_tree(json_str(b, "root"), "", "base=base own=own");
        assert_int_equal(image_store_mark_used(s, ID_A, UINT64_C(1700000000) * 1000000), 0);
        assert_int_equal(image_store_list(s, &list), 0);
        assert_int_equal(json_array_size(list), 2);
        assert_string_equal(json_str(json_array_get(list, 0), "lastUsed"),
                        time_format(UINT64_C(1700000000) * 1000000, time));
        /* A tag moves. */
        ingest_image(s, ID_B, "x.lan/a:latest");
        assert_int_equal(image_store_find(s, "x.lan/a", &moved), 0);
        assert_string_equal(json_str(moved, "id"), ID_B);
        assert_int_equal(json_array_size(json_at(moved, "names")), 2);
        json_decref(TAKE_PTR(a));
        assert_int_equal(image_store_find(s, ID_A, &a), 0);
        assert_int_equal(json_array_size(json_at(a, "names")), 0);
}

/* With the two images of test_store. */
static void test_remove(void **state) {
        const char *dir = ((struct scratch *)*state)->dir;
        _cleanup_free_ char *path = strformat("%s/store", dir),
                            *orphan = strformat("%s/store/layers/" ID("cc"), dir),
                            *stale = strformat("%s/store/ingest/stale", dir);
        _cleanup_(image_store_freep) struct image_store *s = NULL;
        _cleanup_(image_ingest_endp) struct image_ingest *running = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *b = NULL, *none = NULL, *layers = NULL;

        assert_int_equal(image_store_open(&s, path, &p), 0);
        assert_int_equal(image_store_find(s, ID_B, &b), 0);
        layers = json_ref(json_at(b, "layers"));
        assert_int_equal(image_store_remove_name(s, "x.lan/none:1"), -ENOENT);
        assert_int_equal(image_store_remove_name(s, "x.lan/b:1"), 0);
        assert_int_equal(image_store_remove_name(s, "x.lan/a:latest"), 1);
        assert_int_equal(image_store_find(s, ID_B, &none), -ENOENT);
        assert_int_equal(count_in(dir, "layers"), 1); /* the base is the other image's */
        assert_true(count_in(dir, "trash") > 0);
        /* A pull that runs keeps the layers that it claims. */
        assert_int_equal(image_ingest_begin(s, &running, &p), 0);
        assert_int_equal(image_ingest_claim(running, layers), 0);
        assert_int_equal(image_store_remove(s, ID_A), 0);
        assert_int_equal(image_store_remove(s, ID_A), -ENOENT);
        assert_int_equal(count_in(dir, "layers"), 1);
        /* What a crash leaves. */
        strchr(orphan, ':')[0] = '-';
        assert_int_equal(mkdir(orphan, 0700), 0);
        assert_int_equal(mkdir(stale, 0700), 0);
        assert_int_equal(image_store_sweep(s), 0);
        assert_int_equal(count_in(dir, "trash"), 0);
        assert_int_equal(count_in(dir, "ingest"), 1);
        assert_int_equal(count_in(dir, "layers"), 1);
        running = image_ingest_end(running);
        assert_int_equal(image_store_sweep(s), 0);
        assert_int_equal(count_in(dir, "layers"), 0);
        assert_int_equal(count_in(dir, "ingest"), 0);
        assert_int_equal(count_in(dir, "names"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_unpack),
                        cmocka_unit_test(test_refused),
                        cmocka_unit_test(test_links_stay_inside),
                        cmocka_unit_test(test_damaged),
                        cmocka_unit_test(test_tree),
                        cmocka_unit_test(test_forged_notes),
                        cmocka_unit_test(test_store),
                        cmocka_unit_test(test_remove),
        };
        int r = cmocka_run_group_tests(tests, setup, teardown);

        buf_done(&walked);
        return r;
}
