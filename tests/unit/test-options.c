/* Flags, config files and their errors; metrics text. */
#include "tests/unit/unit.h"

#include "lib/metric-names.h"
#include "lib/metrics.h"
#include "lib/options-man.h"
#include "lib/options.h"

struct target {
        char *dir;
        char **urls;
        bool verbose;
        uint16_t port;
        uint64_t wait_us;
};

static const struct option_row rows[] = {
                {"data-dir", 'd', OPTION_STRING, offsetof(struct target, dir), "DIR", "Where",
                                "/var"},
                {"urls", 0, OPTION_STRINGS, offsetof(struct target, urls), "URL", "Which", "a,b"},
                {"verbose", 'v', OPTION_BOOL, offsetof(struct target, verbose), NULL, "More", NULL},
                {"port", 0, OPTION_PORT, offsetof(struct target, port), "PORT", "Port", "80"},
                {"wait", 0, OPTION_DURATION, offsetof(struct target, wait_us), "TIME", "How long",
                                "30s"},
};
static const struct option_program program = {
                "prog", "Does things.", "[OPTION...]", rows, ELEMENTS(rows)};

static int run(struct target *t, char ***words, struct problem *p, ...) {
        char *argv[16] = {(char *)"prog"};
        int argc = 1;
        va_list ap;
        char *word;

        va_start(ap, p);
        while ((word = va_arg(ap, char *)))
                argv[argc++] = word;
        va_end(ap);
        return options_parse(&program, t, argc, argv, words, p);
}

static void test_flags(void **state) {
        struct target t = {0};
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(run(&t, &words, &p, "-d", "/x", "--urls=c", "--urls", "d,e", "w1",
                                         "--verbose", "--", "--w2", NULL),
                        0);
        assert_string_equal(t.dir, "/x");
        assert_int_equal(strv_length(t.urls), 3);
        assert_string_equal(t.urls[0], "c");
        assert_true(t.verbose);
        assert_int_equal(t.port, 80);
        assert_int_equal(t.wait_us, 30000000);
        assert_int_equal(strv_length(words), 2);
        options_done(&program, &t);
}

static void test_refusals(void **state) {
        static const struct {
                const char *word, *why;
        } cases[] = {
                        {"--date-dir=x", "did you mean --data-dir?"},
                        {"--port=70000", "port number"},
                        {"--data-dir", "needs a value"},
                        {"--wait=soon", "duration"},
                        {"stray", "takes no word"},
                        {"--config=/nonexistent/x", "/nonexistent/x"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct target t = {0};
                _cleanup_problem_ struct problem p = {0};

                assert_true(run(&t, NULL, &p, cases[i].word, NULL) < 0);
                assert_non_null(strstr(p.message, cases[i].why));
                options_done(&program, &t);
        }
}

static void test_config(void **state) {
        char path[] = "/tmp/keelson-config-XXXXXX";
        int fd = mkstemp(path);
        static const char text[] = "port: 81\nwait: 5m\nurls: [x, z]\nverbose: true\n";
        struct target t = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        assert_int_equal(run(&t, NULL, &p, "--port", "82", "--config", path, NULL), 0);
        assert_int_equal(t.port, 82);
        assert_int_equal(t.wait_us, 300000000);
        assert_int_equal(strv_length(t.urls), 2);
        assert_true(t.verbose);
        options_done(&program, &t);

        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, "\nprot: 1\n", 9, 0), 9);
        t = (struct target){0};
        assert_true(run(&t, NULL, &p, "--config", path, NULL) < 0);
        assert_non_null(strstr(p.message, "line 2"));
        assert_non_null(strstr(p.message, "did you mean port?"));
        options_done(&program, &t);
        close(fd);
        unlink(path);
}

/* Names beyond the number share a value; those that were there keep theirs. */
static void test_metric_names(void **state) {
        _cleanup_(metric_names_freep) struct metric_names *n = NULL;

        assert_int_equal(metric_names_new(&n, 2), 0);
        assert_string_equal(metric_name(n, "a"), "a");
        assert_string_equal(metric_name(n, "b"), "b");
        assert_string_equal(metric_name(n, "c"), "other");
        assert_string_equal(metric_name(n, "a"), "a");
}

static void test_metrics(void **state) {
        _cleanup_(metrics_freep) struct metrics *m = metrics_new();
        _cleanup_buf_ struct buf b = {0};

        metric_add(metrics_counter(m, "a_total", "x=\"1\"", "A"), 2);
        metric_set(metrics_gauge(m, "g", "", "G"), 7);
        metric_add(metrics_counter(m, "a_total", "x=\"2\"", "A"), 1);
        metric_add(metrics_counter(m, "a_total", "x=\"1\"", "A"), 1);
        metric_observe(metrics_histogram(m, "h", "", "H"), 0.02);
        assert_int_equal(metrics_render(m, &b), 0);
        assert_non_null(strstr(b.data,
                        "# TYPE a_total counter\na_total{x=\"1\"} 3\na_total{x=\"2\"} 1\n"));
        assert_non_null(strstr(b.data, "g 7\n"));
        assert_non_null(strstr(b.data, "h_bucket{le=\"0.01\"} 0\nh_bucket{le=\"0.025\"} 1\n"));
        assert_non_null(strstr(b.data, "h_bucket{le=\"+Inf\"} 1\nh_sum 0.02\nh_count 1\n"));
        assert_non_null(strstr(b.data, "process_resident_memory_bytes "));
        /* Other buckets, and figures that were counted elsewhere. */
        struct metric *x = metrics_histogram_exponential(m, "e", "", "E", 0.5, 2, 3);
        metric_observe(x, 0.9);
        const uint64_t above[] = {7, 3, 0};
        metric_set_histogram(
                        metrics_histogram_exponential(m, "f", "", "F", 1, 10, 3), above, 9, 50);
        metrics_zero(m, "a_total");
        buf_reset(&b);
        assert_int_equal(metrics_render(m, &b), 0);
        assert_non_null(strstr(b.data,
                        "e_bucket{le=\"0.5\"} 0\ne_bucket{le=\"1\"} 1\ne_bucket{le=\"2\"} 1\n"));
        assert_non_null(strstr(b.data,
                        "f_bucket{le=\"1\"} 2\nf_bucket{le=\"10\"} 6\nf_bucket{le=\"100\"} 9\n"
                        "f_bucket{le=\"+Inf\"} 9\nf_sum 50\nf_count 9\n"));
        assert_non_null(strstr(b.data, "a_total{x=\"1\"} 0\na_total{x=\"2\"} 0\n"));
}

static void test_man(void **state) {
        static const struct option_row special[] = {{"x", 'x', OPTION_BOOL, 0, "BOOL",
                        "A \\ and a-b\n.starts like a command", "true"}};
        static const struct option_program two_words = {
                        "prog do-it", "Does it.", "WORD", special, 1};
        _cleanup_free_ char *page = options_man(&two_words, MAN_SECTION_USER),
                            *file = options_man(&program, MAN_SECTION_FILE),
                            *daemon = options_man(&program, MAN_SECTION_DAEMON);

        assert_non_null(strstr(page, ".TH PROG-DO-IT 1 \"\" \"keelson "));
        assert_non_null(strstr(page, ".SH NAME\nprog-do-it \\- Does it\n"));
        assert_non_null(strstr(page,
                        ".TP\n\\fB\\-x\\fR, \\fB\\-\\-x\\fR[=\\fIBOOL\\fR]\n"
                        "A \\e and a\\-b\n\\&.starts like a command (default: true)\n"));
        assert_null(strstr(page, ".SH FILES"));
        assert_non_null(strstr(file, ".TH PROG.YAML 5 "));
        assert_non_null(strstr(file, ".TP\n\\fBwait:\\fR a duration such as 500ms, 30s or 5m\n"
                                     "How long (default: 30s)\n"));
        assert_non_null(strstr(daemon, ".I /etc/keelson/prog.yaml\n"));
        assert_int_equal(options_man_section("man8"), 8);
        assert_int_equal(options_man_section("man3"), 0);
        assert_int_equal(options_man_section("man88"), 0);
        assert_int_equal(options_man_section("on"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_flags),
                        cmocka_unit_test(test_refusals),
                        cmocka_unit_test(test_config),
                        cmocka_unit_test(test_metrics),
                        cmocka_unit_test(test_metric_names),
                        cmocka_unit_test(test_man),
        };

        return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
