/* The checker of histories: what it lets pass, what it does not, and that its work is bounded. */
#include "tests/sim/linear.h"
#include "tests/unit/unit.h"

/* A history in the tests: times are small numbers. */
struct history {
        struct linear_history h;
};

static struct linear_op *add(struct history *t, unsigned client, enum linear_kind kind,
                const char *argument, uint64_t start, uint64_t end) {
        ssize_t n = linear_begin(&t->h, client, kind, "k", argument, NULL, start);

        assert_true(n >= 0);
        if (end > 0)
                assert_int_equal(linear_end(&t->h, (size_t)n, LINEAR_KNOWN, 0, NULL, end), 0);
        return &t->h.ops[n];
}

static struct linear_op *write_op(struct history *t, unsigned client, const char *value,
                uint64_t start, uint64_t end) {
        return add(t, client, LINEAR_WRITE, value, start, end);
}

static struct linear_op *append_op(struct history *t, unsigned client, const char *word,
                uint64_t start, uint64_t end) {
        return add(t, client, LINEAR_APPEND, word, start, end);
}

static struct linear_op *delete_op(
                struct history *t, unsigned client, uint64_t start, uint64_t end) {
        return add(t, client, LINEAR_DELETE, NULL, start, end);
}

static struct linear_op *read_op(struct history *t, unsigned client, const char *value,
                uint64_t start, uint64_t end) {
        struct linear_op *op = add(t, client, LINEAR_READ, NULL, start, end);

        op->result = value ? strdup(value) : NULL;
        return op;
}

static struct linear_op *cas_op(struct history *t, unsigned client, const char *from,
                const char *to, unsigned flags, uint64_t start, uint64_t end) {
        struct linear_op *op = add(t, client, LINEAR_CAS, to, start, end);

        op->expected = from ? strdup(from) : NULL;
        op->flags = flags;
        return op;
}

/* The verdict on the history, which is then cleared. */
static enum linear_verdict judge(struct history *t) {
        _cleanup_linear_report_ struct linear_report r = {0};

        assert_int_equal(linear_check(t->h.ops, t->h.count, 0, &r), 0);
        assert_int_equal(r.verdict == LINEAR_OK, r.key == NULL);
        assert_int_equal(r.verdict == LINEAR_OK, r.text == NULL);
        linear_history_done(&t->h);
        return r.verdict;
}

static void test_sequential(void **state) {
        struct history t = {0};

        read_op(&t, 1, NULL, 1, 2);
        write_op(&t, 1, "a", 3, 4);
        read_op(&t, 2, "a", 5, 6);
        cas_op(&t, 1, "a", "b", LINEAR_SWAPPED, 7, 8);
        cas_op(&t, 2, "a", "c", 0, 9, 10);
        append_op(&t, 1, "x", 11, 12);
        read_op(&t, 2, "b x", 13, 14);
        delete_op(&t, 1, 15, 16);
        append_op(&t, 2, "y", 17, 18);
        read_op(&t, 1, "y", 19, 20);
        cas_op(&t, 1, NULL, "c", 0, 21, 22);
        assert_int_equal(judge(&t), LINEAR_OK);
        assert_int_equal(judge(&t), LINEAR_OK); /* nothing happened at all */
}

static void test_stale_read(void **state) {
        struct history t = {0};

        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 1, "b", 3, 4);
        read_op(&t, 2, "a", 5, 6);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
        /* Beside the write it may still see the old value. */
        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 1, "b", 3, 10);
        read_op(&t, 2, "a", 5, 6);
        assert_int_equal(judge(&t), LINEAR_OK);
        /* An end and a start at the same instant come in either order. */
        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 1, "b", 3, 5);
        read_op(&t, 2, "a", 5, 6);
        assert_int_equal(judge(&t), LINEAR_OK);
}

static void test_lost_write(void **state) {
        struct history t = {0};

        write_op(&t, 1, "a", 1, 2);
        read_op(&t, 1, NULL, 3, 4);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
        append_op(&t, 1, "a", 1, 2);
        append_op(&t, 2, "b", 3, 4);
        append_op(&t, 2, "c", 5, 6);
        read_op(&t, 1, "a c", 7, 8);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
}

static void test_double_append(void **state) {
        struct history t = {0};

        append_op(&t, 1, "a", 1, 2);
        append_op(&t, 2, "b", 1, 4);
        read_op(&t, 1, "a b a", 7, 8);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
        append_op(&t, 1, "a", 1, 2);
        append_op(&t, 2, "b", 1, 4);
        read_op(&t, 1, "b a", 7, 8);
        assert_int_equal(judge(&t), LINEAR_OK);
        /* An order that was seen stays. */
        append_op(&t, 1, "a", 1, 9);
        append_op(&t, 2, "b", 1, 9);
        read_op(&t, 3, "b", 2, 3);
        read_op(&t, 3, "a b", 10, 11);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
        /* One of several words is one. */
        append_op(&t, 1, "a b", 1, 9);
        read_op(&t, 3, "a", 2, 3);
        read_op(&t, 3, "a b", 10, 11);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
}

static void test_cas(void **state) {
        struct history t = {0};

        write_op(&t, 1, "a", 1, 2);
        cas_op(&t, 1, "b", "c", LINEAR_SWAPPED, 3, 4);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
        write_op(&t, 1, "a", 1, 2);
        cas_op(&t, 1, "a", "c", 0, 3, 4);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
        /* Two of the same, from the same value: one of them loses. */
        write_op(&t, 1, "a", 1, 2);
        cas_op(&t, 1, "a", "b", LINEAR_SWAPPED, 3, 9);
        cas_op(&t, 2, "a", "c", LINEAR_SWAPPED, 3, 9);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
        write_op(&t, 1, "a", 1, 2);
        cas_op(&t, 1, "a", "b", LINEAR_SWAPPED, 3, 9);
        cas_op(&t, 2, "a", "c", 0, 3, 9);
        read_op(&t, 3, "a", 3, 4);
        read_op(&t, 3, "b", 10, 11);
        assert_int_equal(judge(&t), LINEAR_OK);
        cas_op(&t, 1, NULL, "b", LINEAR_SWAPPED, 3, 9);
        cas_op(&t, 2, NULL, "c", LINEAR_SWAPPED, 3, 9);
        delete_op(&t, 3, 4, 5);
        assert_int_equal(judge(&t), LINEAR_OK);
}

static void test_unknown(void **state) {
        struct history t = {0};

        /* Seen later, also much later. */
        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 2, "b", 3, 0);
        read_op(&t, 1, "a", 5, 6);
        read_op(&t, 1, "b", 7, 8);
        assert_int_equal(judge(&t), LINEAR_OK);
        /* Never seen. */
        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 2, "b", 3, 0);
        read_op(&t, 1, "a", 5, 6);
        assert_int_equal(judge(&t), LINEAR_OK);
        /* Not before it began. */
        read_op(&t, 1, "b", 1, 2);
        write_op(&t, 2, "b", 3, 0);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
        /* Once, not twice. */
        write_op(&t, 2, "b", 3, 0);
        read_op(&t, 1, "b", 4, 5);
        write_op(&t, 1, "c", 6, 7);
        read_op(&t, 1, "c", 8, 9);
        read_op(&t, 1, "b", 10, 11);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
        /* Hidden behind a cas that would have gone through without it. */
        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 2, "b", 3, 0);
        cas_op(&t, 1, "a", "c", 0, 5, 6);
        assert_int_equal(judge(&t), LINEAR_OK);
        /* A chain of unknown ones, each of which only makes the next one possible. */
        cas_op(&t, 1, NULL, "a", 0, 1, 0);
        cas_op(&t, 2, "a", "b", 0, 1, 0);
        cas_op(&t, 3, "b", "c", 0, 1, 0);
        read_op(&t, 4, "c", 5, 6);
        assert_int_equal(judge(&t), LINEAR_OK);
        /* One delete can not do the work of two. */
        write_op(&t, 1, "a", 1, 2);
        delete_op(&t, 2, 3, 0);
        read_op(&t, 1, NULL, 4, 5);
        write_op(&t, 1, "b", 6, 7);
        read_op(&t, 1, NULL, 8, 9);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
}

static void test_failed(void **state) {
        struct history t = {0};

        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 1, "b", 3, 4)->outcome = LINEAR_FAILED;
        read_op(&t, 1, "a", 5, 6);
        assert_int_equal(judge(&t), LINEAR_OK);
        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 1, "b", 3, 4)->outcome = LINEAR_FAILED;
        read_op(&t, 1, "b", 5, 6);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
}

static void test_back_in_time(void **state) {
        struct history t = {0};

        /* The write may happen at any time, but what was seen of it stays seen. */
        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 2, "b", 3, 20);
        read_op(&t, 3, "b", 4, 5);
        read_op(&t, 4, "a", 6, 7);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 2, "b", 3, 20);
        read_op(&t, 3, "b", 4, 8);
        read_op(&t, 4, "a", 6, 7);
        assert_int_equal(judge(&t), LINEAR_OK);
        /* The same where nobody knows what became of the write. */
        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 2, "b", 3, 0);
        read_op(&t, 3, "b", 4, 5);
        read_op(&t, 4, "a", 6, 7);
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
}

static void test_previous(void **state) {
        struct history t = {0};
        struct linear_op *op;

        write_op(&t, 1, "a", 1, 2);
        op = write_op(&t, 2, "b", 3, 9);
        op->flags = LINEAR_SAW;
        op->result = strdup("a");
        op = delete_op(&t, 3, 3, 9);
        op->flags = LINEAR_SAW;
        op->result = strdup("b");
        assert_int_equal(judge(&t), LINEAR_OK);
        write_op(&t, 1, "a", 1, 2);
        op = write_op(&t, 2, "b", 3, 4);
        op->flags = LINEAR_SAW;
        assert_int_equal(judge(&t), LINEAR_VIOLATION);
        /* An unknown one may be known from what the next one replaced. */
        write_op(&t, 1, "a", 1, 0);
        op = delete_op(&t, 2, 3, 4);
        op->flags = LINEAR_SAW;
        op->result = strdup("a");
        assert_int_equal(judge(&t), LINEAR_OK);
}

/* Of several keys the shortest history is reported, up to the contradiction. */
static void test_report(void **state) {
        _cleanup_linear_report_ struct linear_report r = {0};
        struct history t = {0};

        for (uint64_t i = 0; i < 50; i++) {
                write_op(&t, 1, "a", 10 * i + 1, 10 * i + 2);
                read_op(&t, 1, i == 7 ? "b" : "a", 10 * i + 3, 10 * i + 4);
        }
        for (size_t i = 0; i < t.h.count; i++)
                t.h.ops[i].key[0] = 'l'; /* "l": long */
        write_op(&t, 1, "a", 1, 2);
        write_op(&t, 1, "b", 3, 4);
        write_op(&t, 2, "c", 5, 90);
        read_op(&t, 1, "a", 6, 7);
        read_op(&t, 1, "b", 8, 9);
        assert_int_equal(linear_check(t.h.ops, t.h.count, 0, &r), 0);
        assert_int_equal(r.verdict, LINEAR_VIOLATION);
        assert_int_equal(r.keys, 2);
        assert_int_equal(r.failed_keys, 2);
        assert_string_equal(r.key, "k");
        assert_int_equal(r.op_count, 4);
        assert_non_null(strstr(r.text, "what no order explains:\n"));
        assert_non_null(strstr(r.text, "read   k -> \"a\"\n"));
        assert_null(strstr(r.text, "read   k -> \"b\"\n"));
        linear_history_done(&t.h);
}

/* A small random source of this test's own, so that every run is the same. */
static uint64_t draw(uint64_t *seed, uint64_t bound) {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return (*seed >> 11) % bound;
}

/* Histories of a real register: each operation happens at one instant between start and end. */
static void record_real(struct history *t, uint64_t seed, size_t count, unsigned unknown_percent,
                bool lists) {
        static char value[1 << 20], words[1 << 20];
        uint64_t now = 1;
        bool there = false;

        value[0] = '\0';
        for (size_t i = 0; i < count; i++) {
                uint64_t before = draw(&seed, 40), after = draw(&seed, 40);
                bool unknown = draw(&seed, 100) < unknown_percent, happens = draw(&seed, 2);
                uint64_t start = now > before ? now - before : 1, end = unknown ? 0 : now + after;
                uint64_t what = draw(&seed, 10);
                char word[32];

                now += 10;
                snprintf(word, sizeof(word), "%zu", i);
                if (what < 5) {
                        read_op(t, 1, there ? value : NULL, start, now - 10 + after);
                        continue;
                }
                if (lists) {
                        append_op(t, 1, word, start, end);
                        if (!unknown || happens) {
                                snprintf(words, sizeof(words), "%s%s%s", value, there ? " " : "",
                                                word);
                                snprintf(value, sizeof(value), "%s", words);
                                there = true;
                        }
                } else if (what < 7) {
                        write_op(t, 1, word, start, end);
                        if (!unknown || happens) {
                                snprintf(value, sizeof(value), "%s", word);
                                there = true;
                        }
                } else if (what < 9) {
                        bool right = draw(&seed, 2);

                        cas_op(t, 1, right ? (there ? value : NULL) : "0", word,
                                        !unknown && (right || streq(value, "0")) ? LINEAR_SWAPPED
                                                                                 : 0,
                                        start, end);
                        if ((!unknown || happens) && (right || streq(value, "0"))) {
                                snprintf(value, sizeof(value), "%s", word);
                                there = true;
                        }
                } else {
                        delete_op(t, 1, start, end);
                        if (!unknown || happens) {
                                value[0] = '\0';
                                there = false;
                        }
                }
        }
}

static void test_random(void **state) {
        for (uint64_t seed = 1; seed <= 300; seed++) {
                struct history t = {0};

                record_real(&t, seed * 7919, 20 + seed, seed % 4 * 10, seed % 3 == 0);
                if (judge(&t) != LINEAR_OK)
                        fail_msg("the good history of seed %d is called bad", (int)seed);
        }
}

/* Every order of a small history, tried one after the other: what the search must agree with. */
static bool explains(const struct linear_op *const *ops, size_t count, unsigned done,
                const char *value) {
        uint64_t first_end = UINT64_MAX;
        bool left = false;

        for (size_t i = 0; i < count; i++) {
                if (done & 1u << i || ops[i]->outcome != LINEAR_KNOWN)
                        continue;
                left = true;
                first_end = MIN(first_end, ops[i]->end_ns);
        }
        if (!left)
                return true;
        for (size_t i = 0; i < count; i++) {
                const struct linear_op *op = ops[i];
                char buffer[64];
                const char *next = value;

                if (done & 1u << i || op->start_ns > first_end)
                        continue;
                if (op->kind == LINEAR_READ && op->outcome == LINEAR_KNOWN &&
                                !streq_ptr(op->result, value))
                        continue;
                if (op->kind == LINEAR_WRITE)
                        next = op->argument;
                else if (op->kind == LINEAR_DELETE)
                        next = NULL;
                else if (op->kind == LINEAR_CAS) {
                        bool equal = streq_ptr(op->expected, value);

                        if (op->outcome == LINEAR_KNOWN && equal != !!(op->flags & LINEAR_SWAPPED))
                                continue;
                        next = equal ? op->argument : value;
                } else if (op->kind == LINEAR_APPEND) {
                        snprintf(buffer, sizeof(buffer), "%s%s%s", strempty(value),
                                        value ? " " : "", op->argument);
                        next = buffer;
                }
                if (explains(ops, count, done | 1u << i, next))
                        return true;
        }
        return false;
}

static void record_noise(struct history *t, uint64_t *seed, bool lists) {
        static const char *const values[] = {"a", "b", "a b", "b a", "a a", NULL};
        size_t count = 3 + draw(seed, 5);

        for (size_t i = 0; i < count; i++) {
                uint64_t start = 1 + draw(seed, 30), end = start + draw(seed, 15);
                const char *value = values[draw(seed, 2)];
                uint64_t what = draw(seed, lists ? 5 : 10);

                if (draw(seed, 4) == 0)
                        end = 0;
                if (what < 3)
                        read_op(t, 1, values[draw(seed, ELEMENTS(values))], start, end);
                else if (what < 5)
                        append_op(t, 1, value, start, end);
                else if (what < 7)
                        write_op(t, 1, value, start, end);
                else if (what < 9)
                        cas_op(t, 1, values[draw(seed, ELEMENTS(values))], value,
                                        end && draw(seed, 2) ? LINEAR_SWAPPED : 0, start, end);
                else
                        delete_op(t, 1, start, end);
        }
}

static void test_against_all_orders(void **state) {
        size_t good = 0, bad = 0;
        uint64_t seed = 4711;

        for (size_t n = 0; n < 20000; n++) {
                const struct linear_op *ops[16];
                struct history t = {0};
                bool want;

                record_noise(&t, &seed, n % 2);
                assert_true(t.h.count <= ELEMENTS(ops));
                for (size_t i = 0; i < t.h.count; i++)
                        ops[i] = &t.h.ops[i];
                want = explains(ops, t.h.count, 0, NULL);
                good += want;
                bad += !want;
                if ((judge(&t) == LINEAR_OK) != want)
                        fail_msg("history %zu: it is %s", n, want ? "good" : "bad");
        }
        assert_true(good > 2000 && bad > 2000);
}

/* A search that does not come to an end within the work allowed says so. */
static void test_gave_up(void **state) {
        _cleanup_linear_report_ struct linear_report r = {0};
        struct history t = {0};
        char word[8];

        for (unsigned i = 0; i < 14; i++) {
                snprintf(word, sizeof(word), "%u", i);
                append_op(&t, i, word, 1, 100);
                delete_op(&t, i, 1, 100);
        }
        read_op(&t, 99, "none of them", 200, 201);
        assert_int_equal(linear_check(t.h.ops, t.h.count, 10000, &r), 0);
        assert_int_equal(r.verdict, LINEAR_GAVE_UP);
        assert_true(r.work >= 10000 && r.work < 11000);
        assert_string_equal(r.key, "k");
        linear_history_done(&t.h);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_sequential),
                        cmocka_unit_test(test_stale_read),
                        cmocka_unit_test(test_lost_write),
                        cmocka_unit_test(test_double_append),
                        cmocka_unit_test(test_cas),
                        cmocka_unit_test(test_unknown),
                        cmocka_unit_test(test_failed),
                        cmocka_unit_test(test_back_in_time),
                        cmocka_unit_test(test_previous),
                        cmocka_unit_test(test_report),
                        cmocka_unit_test(test_random),
                        cmocka_unit_test(test_against_all_orders),
                        cmocka_unit_test(test_gave_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
