/* Strings, numbers, UTF-8, buffers, maps, files, times. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/map.h"
#include "lib/pool.h"
#include "lib/random.h"
#include "lib/timefmt.h"

static void test_numbers(void **state) {
        uint64_t u;
        int64_t i;
        uint16_t port;
        uint32_t u32;

        assert_int_equal(parse_u64("18446744073709551615", &u), 0);
        assert_true(u == UINT64_MAX);
        assert_int_equal(parse_u64("18446744073709551616", &u), -ERANGE);
        assert_int_equal(parse_u64("", &u), -EINVAL);
        assert_int_equal(parse_u64("+1", &u), -EINVAL);
        assert_int_equal(parse_u64("1 ", &u), -EINVAL);
        assert_int_equal(parse_i64("-9223372036854775808", &i), 0);
        assert_true(i == INT64_MIN);
        assert_int_equal(parse_i64("9223372036854775808", &i), -ERANGE);
        assert_int_equal(parse_port("65536", &port), -ERANGE);
        assert_int_equal(parse_u32("4294967296", &u32), -ERANGE);
}

static void test_durations(void **state) {
        uint64_t us;

        assert_int_equal(parse_duration_us("1h30m", &us), 0);
        assert_int_equal(us, 5400000000);
        assert_int_equal(parse_duration_us("250ms", &us), 0);
        assert_int_equal(us, 250000);
        assert_int_equal(parse_duration_us("7", &us), 0);
        assert_int_equal(us, 7000000);
        assert_int_equal(parse_duration_us("5 m", &us), -EINVAL);
        assert_int_equal(parse_duration_us("5x", &us), -EINVAL);
        assert_int_equal(parse_duration_us("99999999999999999999s", &us), -ERANGE);
}

static void test_utf8(void **state) {
        assert_true(utf8_is_valid("gr\xc3\xbc\xc3\x9f\xf0\x9f\x98\x80", 10));
        assert_false(utf8_is_valid("\xc0\x80", 2));         /* overlong */
        assert_false(utf8_is_valid("\xed\xa0\x80", 3));     /* surrogate */
        assert_false(utf8_is_valid("\xf4\x90\x80\x80", 4)); /* above U+10FFFF */
        assert_false(utf8_is_valid("\xe2\x82", 2));         /* cut short */
        assert_false(utf8_is_valid("a\0b", 3));

        char whole[] = "gr\xc3\xbc\xc3\x9f\xf0\x9f\x98\x80",
             cut[] = "\xbc: '\xe2\x82' \xf0\x9f\x98\x80\xc3";

        assert_int_equal(utf8_clean(whole, sizeof(whole) - 1), sizeof(whole) - 1);
        assert_string_equal(whole, "gr\xc3\xbc\xc3\x9f\xf0\x9f\x98\x80");
        assert_int_equal(utf8_clean(cut, sizeof(cut) - 1), 9);
        assert_string_equal(cut, ": '' \xf0\x9f\x98\x80");
        assert_int_equal(utf8_clean(cut, 0), 0);
}

static void test_strv(void **state) {
        _cleanup_strv_free_ char **v = NULL;
        _cleanup_free_ char *joined = NULL;

        assert_int_equal(strv_split(",a,,b c,", ",", &v), 0);
        assert_int_equal(strv_length(v), 2);
        assert_true(strv_contains(v, "b c"));
        joined = strv_join(v, "--");
        assert_string_equal(joined, "a--b c");
}

static void test_buf(void **state) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_free_ char *s = NULL;

        for (int i = 0; i < 1000; i++)
                buf_printf(&b, "%03i,", i);
        assert_int_equal(b.size, 4000);
        buf_consume(&b, 3996);
        assert_string_equal(b.data, "999,");
        s = buf_take(&b);
        assert_string_equal(s, "999,");
        assert_null(b.data);
}

static unsigned freed;

static void count_free(void *p) {
        freed++;
        free(p);
}

static void test_map(void **state) {
        struct map *m = map_new(count_free);
        unsigned n = 0;

        freed = 0;
        for (int i = 0; i < 100; i++) {
                _cleanup_free_ char *key = strformat("k%i", i);
                assert_int_equal(map_set(m, key, strdup(key)), 0);
        }
        assert_int_equal(map_set(m, "k7", strdup("new")), 0);
        assert_int_equal(freed, 1);
        assert_string_equal(map_get(m, "k7"), "new");
        map_foreach (m, e) {
                if (n == 0)
                        assert_string_equal(map_entry_key(e), "k0");
                if (n++ % 2)
                        map_remove(m, map_entry_key(e));
        }
        assert_int_equal(n, 100);
        assert_int_equal(map_size(m), 50);
        free(map_steal(m, "k0"));
        map_free(m);
        assert_int_equal(freed, 100);
}

static void test_files(void **state) {
        char folder[] = "/tmp/keelson-test-XXXXXX";
        _cleanup_free_ char *path = NULL, *deep = NULL, *text = NULL;
        struct stat st;
        size_t n;

        assert_non_null(mkdtemp(folder));
        deep = strformat("%s/a/b/c", folder);
        path = strformat("%s/file", deep);
        assert_int_equal(mkdir_parents(deep, 0755), 0);
        assert_int_equal(mkdir_parents(deep, 0755), 0);
        assert_int_equal(file_write_atomic(path, "one", 3, 0600), 0);
        assert_int_equal(file_write_atomic(path, "three", 5, 0600), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(file_read(path, 4, &text, &n), -EFBIG);
        assert_int_equal(file_read(path, 5, &text, &n), 0);
        assert_string_equal(text, "three");
        assert_int_equal(file_read(deep, 5, &text, &n), -EISDIR);
        assert_int_equal(remove_tree(folder), 0);
        assert_int_equal(remove_tree(folder), 0);
        assert_int_equal(stat(folder, &st), -1);
}

/* Deeper than any path is long, and more folders than may be open at a time. */
static void test_deep_tree(void **state) {
        enum { LEVELS = 600, WIDTH = 100 };
        char folder[] = "/tmp/keelson-test-XXXXXX", name[WIDTH + 1];
        struct rlimit before, few;
        int fd;

        assert_non_null(mkdtemp(folder));
        memset(name, 'd', WIDTH);
        name[WIDTH] = 0;
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int i = 0; i < LEVELS; i++) {
                int next, file = openat(fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

                assert_true(file >= 0);
                close(file);
                assert_int_equal(symlinkat("/", fd, "link"), 0);
                assert_int_equal(mkdirat(fd, "beside", 0700), 0);
                assert_int_equal(mkdirat(fd, name, 0700), 0);
                next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(next >= 0);
                close(fd);
                fd = next;
        }
        close(fd);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        few = (struct rlimit){100, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        assert_int_equal(remove_tree(folder), 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(access(folder, F_OK), -1);
}

static void test_times(void **state) {
        char b[TIMEFMT_SIZE];
        uint64_t t;

        assert_int_equal(time_parse("2024-02-29T23:59:58.25+01:30", &t), 0);
        assert_string_equal(time_format_micro(t, b), "2024-02-29T22:29:58.250000Z");
        assert_string_equal(time_format(t, b), "2024-02-29T22:29:58Z");
        assert_int_equal(time_parse("2024-02-29 23:59:58Z", &t), -EINVAL);
        assert_int_equal(time_parse("2024-13-01T00:00:00Z", &t), -EINVAL);
        assert_int_equal(time_parse("2024-01-01T00:00:00", &t), -EINVAL);
        assert_int_equal(time_parse("9999-12-31T23:59:59Z", &t), 0);
        assert_string_equal(time_format(t, b), "9999-12-31T23:59:59Z");
        assert_int_equal(time_parse("9999-12-31T23:59:59-00:01", &t), -EINVAL);
        assert_int_equal(seconds_us(5), 5000000);
        assert_int_equal(seconds_us(-5), 0);
        assert_int_equal(seconds_us(INT64_MIN), 0);
        assert_true(seconds_us(INT64_MAX) + UINT64_C(1700000000) * 1000000 >
                        seconds_us(INT64_MAX)); /* a date, no overflow */
        assert_int_equal(strlen(time_format(seconds_us(INT64_MAX), b)), 20);
}

static void test_ages(void **state) {
        static const struct {
                uint64_t s;
                const char *text;
        } cases[] = {{0, "0s"}, {119, "119s"}, {190, "3m10s"}, {240, "4m"}, {720, "12m"},
                        {5 * 3600, "5h"}, {5 * 3600 + 60, "5h1m"}, {76 * 3600, "3d4h"},
                        {40 * 86400, "40d"}, {760 * 86400, "2y30d"}};
        char b[TIMEFMT_SIZE];

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                assert_string_equal(age_format(cases[i].s * 1000000, b), cases[i].text);
}

static void test_random(void **state) {
        char a[UUID_SIZE], b[UUID_SIZE], suffix[6];

        assert_string_not_equal(random_uuid(a), random_uuid(b));
        assert_int_equal(strlen(a), 36);
        assert_int_equal(a[14], '4');
        struct uuid_source one = {0}, two = {0};
        uuid_next(&one, a);
        assert_string_not_equal(a, uuid_next(&one, b));
        assert_string_not_equal(a, uuid_next(&two, b));
        assert_int_equal(strlen(a), 36);
        assert_int_equal(a[14], '4');
        assert_non_null(strchr("89ab", a[19]));
        assert_int_equal(strspn(a, "0123456789abcdef-"), 36);
        random_name_suffix(suffix, 5);
        assert_int_equal(strspn(suffix, "bcdfghjklmnpqrstvwxz2456789"), 5);
        for (int i = 0; i < 100; i++)
                assert_true(random_below(3) < 3);
}

static void test_pool(void **state) {
        static const size_t sizes[] = {0, 1, 32, 33, 1280, 1281, 100000};
        unsigned char *blocks[ELEMENTS(sizes)];
        struct pool *p;
        char *text;

        assert_int_equal(pool_new(&p), 0);
        for (unsigned round = 0; round < 3; round++) {
                for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                        blocks[i] = pool_zalloc(p, sizes[i]);
                        assert_non_null(blocks[i]);
                        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
                        for (size_t k = 0; k < sizes[i]; k++)
                                assert_int_equal(blocks[i][k], 0);
                        if (sizes[i] > 0)
                                memset(blocks[i], 0xff, sizes[i]);
                }
                for (size_t i = 0; i < ELEMENTS(sizes); i++)
                        pool_free(p, blocks[i]);
        }
        pool_free(p, NULL);
        text = pool_realloc(p, NULL, 6);
        memcpy(text, "hello", 6);
        for (size_t n = 20; n < 5000; n += 20) {
                text = pool_realloc(p, text, n);
                assert_string_equal(text, "hello");
        }
        pool_free(pool_ref(p), text);
        assert_null(pool_unref(p));
        pool_free(p, pool_alloc(p, 10)); /* one holder is left */
        assert_null(pool_unref(p));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_numbers),
                        cmocka_unit_test(test_durations),
                        cmocka_unit_test(test_utf8),
                        cmocka_unit_test(test_strv),
                        cmocka_unit_test(test_buf),
                        cmocka_unit_test(test_map),
                        cmocka_unit_test(test_files),
                        cmocka_unit_test(test_deep_tree),
                        cmocka_unit_test(test_times),
                        cmocka_unit_test(test_ages),
                        cmocka_unit_test(test_random),
                        cmocka_unit_test(test_pool),
        };

        return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
