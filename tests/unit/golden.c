/* Compares a conversion's text with a file, or writes the file. */
#include "tests/unit/unit.h"

#include "tests/unit/golden.h"

#include "lib/fileio.h"

enum { FILE_SIZE_MAX = 1 << 20 };

static char *path_of(const char *folder, const char *name, const char *suffix) {
        char *path = strformat(
                        "%s/tests/golden/%s/%s%s", getenv("KEELSON_SRCDIR"), folder, name, suffix);

        assert_non_null(path);
        return path;
}

void golden_check(const char *folder, const char *name, char *(*convert)(const char *yaml)) {
        _cleanup_free_ char *in = path_of(folder, name, ".yaml"),
                            *out = path_of(folder, name, ".out"), *yaml = NULL, *want = NULL,
                            *got = NULL;
        size_t n;

        if (file_read(in, FILE_SIZE_MAX, &yaml, &n) < 0)
                fail_msg("cannot read %s", in);
        got = convert(yaml);
        assert_non_null(got);
        if (!isempty(getenv("REWRITE"))) {
                assert_int_equal(file_write_atomic(out, got, strlen(got), 0644), 0);
                return;
        }
        if (file_read(out, FILE_SIZE_MAX, &want, &n) < 0)
                fail_msg("cannot read %s: REWRITE=1 writes it", out);
        assert_string_equal(got, want);
}
