/* The write-ahead log on real files: what was acknowledged is there after any end of the process,
 * and whatever is changed in the files is either refused or without effect. */
#include <fcntl.h>
#include <sys/stat.h>

#include "kstored/disk/checksum.h"
#include "lib/fileio.h"
#include "tests/unit/unit.h"
#include "tests/unit/wal-fixture.h"

struct test {
        struct wal_fixture f;
        struct wal *w;
        struct wal_model m;
        struct wal_contents c; /* as it was read last */
};

static int setup(void **state) {
        struct test *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        wal_fixture_init(&t->f);
        *state = t;
        return 0;
}

static int teardown(void **state) {
        struct test *t = *state;

        wal_free(t->w);
        wal_contents_done(&t->c);
        wal_fixture_done(&t->f);
        free(t);
        return 0;
}

static int begin(struct test *t) {
        struct wal_contents start;

        wal_model_begin(&t->m);
        start = (struct wal_contents){.term = t->m.term,
                        .base_index = t->m.base_index,
                        .base_term = t->m.base_term};
        return wal_create(&t->w, &t->f.options, &start, &t->f.p);
}

static int open_again(struct test *t) {
        t->w = wal_free(t->w);
        wal_contents_done(&t->c);
        problem_done(&t->f.p);
        return wal_open(&t->w, &t->f.options, &t->c, &t->f.p);
}

static void must_open(struct test *t) {
        int r = open_again(t);

        if (r < 0)
                fail_msg("%d: %s", r, strempty(t->f.p.message));
}

static int write_step(struct test *t, unsigned step) {
        struct wal_batch b = wal_script_batch(&t->m, step);
        int r = wal_write(t->w, &b);

        wal_batch_clear(&b);
        return r;
}

static size_t count_files(struct test *t, const char *prefix) {
        _cleanup_strv_free_ char **names = NULL;
        size_t n = 0;

        assert_int_equal(t->f.real.ops->list(t->f.real.folder, &names), 0);
        for (char **name = names; name && *name; name++)
                n += startswith(*name, prefix) != NULL;
        return n;
}

static int open_file(struct test *t, const char *name) {
        _cleanup_free_ char *path = strformat("%s/%s", t->f.folder, name);
        int fd = open(path, O_RDWR | O_CLOEXEC);

        assert_true(fd >= 0);
        return fd;
}

static void put_bytes(struct test *t, const char *name, const void *data, size_t n, size_t at) {
        _cleanup_close_ int fd = open_file(t, name);

        assert_int_equal(pwrite(fd, data, n, (off_t)at), (ssize_t)n);
}

/* ---- writing and reading */

static void test_what_was_written_is_there(void **state) {
        struct test *t = *state;

        assert_int_equal(wal_open(&t->w, &t->f.options, &t->c, &t->f.p), -ENOENT);
        assert_int_equal(begin(t), 0);
        must_open(t);
        assert_true(wal_model_holds(&t->m, &t->c, false));
        assert_int_equal(t->c.entry_count, 0);
        for (unsigned step = 0; step < WAL_SCRIPT_STEPS; step++) {
                assert_int_equal(write_step(t, step), 0);
                if (step % 7 == 6)
                        must_open(t); /* continues in the segment that is there */
                if (step % 4 == 0)
                        continue;
                must_open(t);
                if (!wal_model_holds(&t->m, &t->c, false))
                        fail_msg("something else is there after step %u", step);
        }
        assert_true(count_files(t, "0") > 2);
}

static void test_a_batch_that_says_nothing(void **state) {
        struct test *t = *state;
        unsigned done;

        assert_int_equal(begin(t), 0);
        done = t->f.done;
        assert_int_equal(wal_write(t->w, &(struct wal_batch){.term = 1, .sync = true}), 0);
        assert_int_equal(t->f.done, done);
}

/* Old segments go when nothing in them is needed, and their files come back into use. */
static void test_segments_come_and_go(void **state) {
        struct test *t = *state;
        size_t most = 0, spares = 0;

        assert_int_equal(begin(t), 0);
        for (unsigned i = 0; i < 300; i++) {
                struct wal_batch b = wal_script_batch(&t->m, 2); /* three entries */

                b.trim_to = i % 20 == 19 ? t->m.last - 10 : 0;
                if (b.trim_to > 0) {
                        t->m.base_index = b.trim_to;
                        t->m.base_term = t->m.entries[b.trim_to].term;
                }
                assert_int_equal(wal_write(t->w, &b), 0);
                wal_batch_clear(&b);
                most = MAX(most, count_files(t, "0"));
                spares = MAX(spares, count_files(t, "spare-"));
                if (i % 20 == 19) {
                        must_open(t);
                        assert_true(wal_model_holds(&t->m, &t->c, false));
                        assert_true(t->c.entry_count < 80);
                }
        }
        assert_true(t->w->segments.items[0].number > 100);
        assert_int_equal(spares, WAL_SPARES_MAX);
        assert_true(most > WAL_SPARES_MAX);
        assert_true(most < 40);
}

/* Adds a batch that is larger than a segment. */
static void write_large(struct test *t) {
        struct wal_batch b = wal_script_batch(&t->m, 2);

        for (unsigned i = 0; i < 30; i++) {
                struct wal_batch more = wal_script_batch(&t->m, 2);

                b.entries = reallocarray(
                                b.entries, b.entry_count + more.entry_count, sizeof(b.entries[0]));
                assert_non_null(b.entries);
                memcpy(b.entries + b.entry_count, more.entries,
                                more.entry_count * sizeof(b.entries[0]));
                b.entry_count += more.entry_count;
                free(more.entries);
        }
        assert_int_equal(wal_write(t->w, &b), 0);
        wal_batch_clear(&b);
}

static void test_a_batch_larger_than_a_segment(void **state) {
        struct test *t = *state;

        assert_int_equal(begin(t), 0);
        for (unsigned round = 0; round < 3; round++) {
                write_large(t);
                must_open(t);
                assert_true(wal_model_holds(&t->m, &t->c, false));
        }
        assert_int_equal(t->c.entry_count, 3 * 93);
}

static struct {
        const struct wal_file_ops *real;
        const struct test *test;
        unsigned count;
} mark_syncs;

static int count_mark_syncs(struct wal_file *f) {
        mark_syncs.count += mark_syncs.test->w && f == mark_syncs.test->w->mark;
        return mark_syncs.real->sync(f);
}

/* All of a segment hangs on its head: what vouches for it does not wait. */
static void test_a_new_segment_is_vouched_for(void **state) {
        struct test *t = *state;
        struct wal_file_ops ops = *t->f.options.files.ops;
        unsigned begun = 0;

        mark_syncs.real = t->f.options.files.ops;
        mark_syncs.test = t;
        ops.sync = count_mark_syncs;
        t->f.options.files.ops = &ops;
        assert_int_equal(begin(t), 0);
        for (unsigned i = 0; i < 40; i++) {
                size_t segments = t->w->segments.count;

                mark_syncs.count = 0;
                assert_int_equal(write_step(t, 2), 0);
                assert_int_equal(mark_syncs.count, t->w->segments.count - segments);
                begun += mark_syncs.count;
        }
        assert_true(begun > 2);
        t->w = wal_free(t->w);
        t->f.options.files.ops = mark_syncs.real;
}

/* The power went when a segment had its head and nothing else. */
static void test_a_segment_of_nothing_but_its_head(void **state) {
        struct test *t = *state;
        struct wal_model before = {0};
        uint8_t mark[WAL_MARK_SLOTS * WAL_PAGE];
        _cleanup_free_ char *file = NULL;
        char name[WAL_NAME_SIZE];

        assert_int_equal(begin(t), 0);
        for (size_t segments = t->w->segments.count; t->w->segments.count == segments;) {
                _cleanup_close_ int fd = open_file(t, "kstored.log.mark");

                assert_int_equal(pread(fd, mark, sizeof(mark), 0), sizeof(mark));
                before = t->m;
                assert_int_equal(write_step(t, 2), 0);
        }
        wal_segment_name(name, t->w->segments.items[t->w->segments.count - 1].number);
        file = strformat("%s/kstored.log.%s", t->f.folder, name);
        t->w = wal_free(t->w);
        assert_int_equal(truncate(file, WAL_PAGE), 0);
        put_bytes(t, "kstored.log.mark", mark, sizeof(mark), 0);
        t->m = before;
        must_open(t);
        assert_true(wal_model_holds(&t->m, &t->c, false));
        write_large(t);
        for (size_t i = 1; i < t->w->segments.count; i++)
                assert_true(t->w->segments.items[i].number > t->w->segments.items[i - 1].number);
        must_open(t);
        assert_true(wal_model_holds(&t->m, &t->c, false));
}

static void test_reset(void **state) {
        struct test *t = *state;

        assert_int_equal(begin(t), 0);
        for (unsigned step = 0; step < 20; step++)
                assert_int_equal(write_step(t, step), 0);
        assert_int_equal(wal_reset(t->w, 500, 9), 0);
        must_open(t);
        assert_int_equal(t->c.base_index, 500);
        assert_int_equal(t->c.base_term, 9);
        assert_int_equal(t->c.entry_count, 0);
        assert_true(t->c.term == t->m.term && t->c.vote == t->m.vote);
        t->m.base_index = t->m.last = 500;
        t->m.entries[500].term = 9;
        for (unsigned step = 34; step < 50; step++)
                assert_int_equal(write_step(t, step), 0);
        must_open(t);
        assert_true(wal_model_holds(&t->m, &t->c, false));
}

/* What was not synced is there when only the process ended, and a clean stop makes it durable. */
static void test_unsynced_batches(void **state) {
        struct test *t = *state;

        assert_int_equal(begin(t), 0);
        for (unsigned step = 0; step < 30; step++) {
                struct wal_batch b = wal_script_batch(&t->m, step);
                unsigned done = t->f.done;

                b.sync = false;
                assert_int_equal(wal_write(t->w, &b), 0);
                wal_batch_clear(&b);
                if (step == 14)
                        must_open(t);
                if (step == 20) {
                        done = t->f.done;
                        assert_int_equal(wal_finish(t->w), 0);
                        assert_true(t->f.done > done);
                        done = t->f.done;
                        assert_int_equal(wal_finish(t->w), 0);
                        assert_int_equal(t->f.done, done);
                }
        }
        must_open(t);
        assert_true(wal_model_holds(&t->m, &t->c, false));
}

static void test_files_of_others(void **state) {
        static const char *const names[] = {"junk", "000000000000001", "0000000000000001.old",
                        "00000000000000FF", "spare", "spare-a-name-that-is-much-too-long"};
        struct test *t = *state;

        assert_int_equal(begin(t), 0);
        assert_int_equal(write_step(t, 0), 0);
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                _cleanup_free_ char *path = strformat("%s/kstored.log.%s", t->f.folder, names[i]);

                assert_int_equal(file_write_atomic(path, "x", 1, 0600), 0);
        }
        must_open(t);
        assert_true(wal_model_holds(&t->m, &t->c, false));
        t->f.options.member_id++;
        assert_int_equal(open_again(t), -EUCLEAN);
}

/* ---- changes of files that fail */

/* The script until something fails: 0, or the error and the step. A full disk is tried again. */
static int run_script(struct test *t, struct wal_model *before, unsigned *step) {
        int r = 0;

        for (*step = 0; *step < WAL_SCRIPT_STEPS; ++*step) {
                struct wal_batch b;

                *before = t->m;
                b = wal_script_batch(&t->m, *step);
                r = wal_write(t->w, &b);
                if (r == -ENOSPC && t->f.fault == WAL_FAULT_FULL)
                        r = wal_write(t->w, &b);
                if (r >= 0 && *step % 8 == 7)
                        r = wal_sync_mark(t->w) < 0 && t->f.fault != WAL_FAULT_FULL ? -EIO : 0;
                wal_batch_clear(&b);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Opens what is left, which must hold either; then it continues from there. */
static void check_left(struct test *t, const struct wal_model *before, unsigned step) {
        enum wal_fault fault = t->f.fault;

        t->f.fault = WAL_FAULT_NONE;
        if (open_again(t) < 0)
                fail_msg("fault %u at change %u, step %u: %s", fault, t->f.fault_at, step,
                                strempty(t->f.p.message));
        if (!wal_model_holds(&t->m, &t->c, false)) {
                if (!wal_model_holds(before, &t->c, false))
                        fail_msg("fault %u at change %u, step %u: something is lost", fault,
                                        t->f.fault_at, step);
                t->m = *before;
        }
        for (unsigned more = 34; more < 42; more++)
                assert_int_equal(write_step(t, more), 0);
        must_open(t);
        if (!wal_model_holds(&t->m, &t->c, false))
                fail_msg("fault %u at change %u, step %u: it does not go on", fault, t->f.fault_at,
                                step);
}

/* Every change of a file fails once, in every way. */
static void test_every_change_fails(void **state) {
        struct test *t = *state;
        struct wal_model before;

        for (enum wal_fault fault = WAL_FAULT_ERROR; fault < WAL_FAULTS; fault++) {
                for (unsigned at = 1;; at++) {
                        unsigned step = 0;
                        int r;

                        t->f.fault = fault;
                        t->f.fault_at = at;
                        t->f.done = 0;
                        r = begin(t);
                        before = t->m;
                        if (r >= 0)
                                r = run_script(t, &before, &step);
                        else { /* it was never begun: again */
                                problem_done(&t->f.p);
                                t->f.fault = WAL_FAULT_NONE;
                                assert_int_equal(begin(t), 0);
                        }
                        if (fault == WAL_FAULT_FULL && r < 0 && step > 0)
                                fail_msg("full at change %u, step %u: %d", at, step, r);
                        if (t->f.done < at)
                                break;
                        check_left(t, &before, step);
                        t->w = wal_free(t->w);
                }
                t->w = wal_free(t->w);
        }
}

/* ---- files that were changed */

/* The whole script, and what opening it gives. */
static void make_log(struct test *t, struct wal_saved *saved) {
        assert_int_equal(begin(t), 0);
        for (unsigned step = 0; step < WAL_SCRIPT_STEPS; step++)
                assert_int_equal(write_step(t, step), 0);
        assert_int_equal(wal_finish(t->w), 0);
        must_open(t);
        assert_true(wal_model_holds(&t->m, &t->c, false));
        assert_true(t->w->segments.count >= 4);
        t->w = wal_free(t->w);
        wal_save_files(&t->f, saved);
}

/* Nothing may be written where damage was found. */
static void assert_untouched(struct test *t, const struct wal_saved *saved, const char *changed) {
        struct wal_saved now;

        wal_save_files(&t->f, &now);
        assert_int_equal(now.count, saved->count);
        for (size_t i = 0; i < now.count; i++)
                for (size_t k = 0; k < saved->count; k++)
                        if (streq(now.files[i].name, saved->files[k].name) &&
                                        !streq(now.files[i].name, changed)) {
                                assert_int_equal(now.files[i].size, saved->files[k].size);
                                assert_memory_equal(now.files[i].data, saved->files[k].data,
                                                now.files[i].size);
                        }
        wal_saved_done(&now);
}

/* Opens it after a change: true when the change was refused, else everything must be there. */
static bool is_refused(struct test *t, const struct wal_saved *saved, const char *name,
                const char *how, size_t at) {
        int r = open_again(t);

        if (r == -EUCLEAN) {
                assert_non_null(strstr(t->f.p.message, "replace this member"));
                if (at % 101 == 0)
                        assert_untouched(t, saved, name);
                return true;
        }
        if (r < 0)
                fail_msg("%s at %zu of %s: %d %s", how, at, name, r, strempty(t->f.p.message));
        if (!wal_model_holds(&t->m, &t->c, false))
                fail_msg("%s at %zu of %s: silently something else", how, at, name);
        return false;
}

static bool flip(struct test *t, const struct wal_saved *saved, size_t file, size_t at) {
        const struct wal_saved_file *x = &saved->files[file];
        char byte = (char)(x->data[at] ^ 1 << (at * 5 + at / 8) % 8);
        bool refused;

        put_bytes(t, x->name, &byte, 1, at);
        refused = is_refused(t, saved, x->name, "a flipped bit", at);
        put_bytes(t, x->name, &x->data[at], 1, at);
        return refused;
}

/* All of heads, marks and the headers of blocks and first records; samples of the rest. */
static bool flip_here(size_t at, bool small) {
        return small ? at % WAL_PAGE < 64 || at % 97 == 0 : at % WAL_PAGE < 112 || at % 211 == 0;
}

static void test_every_flipped_bit_is_reported(void **state) {
        struct test *t = *state;
        struct wal_saved saved;
        size_t flips = 0, refused = 0, in_marks = 0;

        make_log(t, &saved);
        for (size_t i = 0; i < saved.count; i++) {
                bool mark = streq(saved.files[i].name, "kstored.log.mark");

                for (size_t at = 0; at < saved.files[i].size; at++) {
                        bool is;

                        if (!flip_here(at, mark))
                                continue;
                        is = flip(t, &saved, i, at);
                        flips++;
                        refused += is;
                        in_marks += mark && is;
                }
        }
        assert_true(flips > 3000);
        assert_true(refused > flips / 3);
        assert_int_equal(in_marks, 0); /* one of the two slots is enough */
        wal_restore_files(&t->f, &saved);
        must_open(t);
        assert_true(wal_model_holds(&t->m, &t->c, false));
        wal_saved_done(&saved);
}

/* Whether a byte counts: no flip in it may be without effect where the checksums reach. */
static void test_heads_and_headers_count(void **state) {
        struct test *t = *state;
        struct wal_saved saved;
        size_t segments = 0;

        make_log(t, &saved);
        for (size_t i = 0; i < saved.count; i++) {
                const char *rest = startswith(saved.files[i].name, "kstored.log.0");

                segments += rest != NULL;
                for (size_t at = 0; rest && at < 96; at++)
                        assert_true(flip(t, &saved, i, at));
                for (size_t at = WAL_PAGE; rest && at < WAL_PAGE + 80; at++)
                        assert_true(flip(t, &saved, i, at));
        }
        assert_true(segments >= 4);
        wal_saved_done(&saved);
}

static void test_zeroed_and_swapped(void **state) {
        static const char zeros[WAL_PAGE];
        struct test *t = *state;
        struct wal_saved saved;
        size_t refused = 0;

        make_log(t, &saved);
        for (size_t i = 0; i < saved.count; i++) {
                const struct wal_saved_file *x = &saved.files[i];

                for (size_t at = 0; at + 512 <= x->size; at += 512) {
                        put_bytes(t, x->name, zeros, 512, at);
                        refused += is_refused(t, &saved, x->name, "a zeroed sector", at);
                        put_bytes(t, x->name, x->data + at, 512, at);
                }
                for (size_t at = 0; at + WAL_PAGE <= x->size; at += WAL_PAGE) {
                        size_t to = (at * 7 + 3 * WAL_PAGE) % (x->size / WAL_PAGE * WAL_PAGE);

                        put_bytes(t, x->name, zeros, WAL_PAGE, at);
                        refused += is_refused(t, &saved, x->name, "a zeroed page", at);
                        put_bytes(t, x->name, x->data + to, WAL_PAGE, at);
                        refused += is_refused(t, &saved, x->name, "a page of elsewhere", at);
                        put_bytes(t, x->name, x->data + at, WAL_PAGE, to);
                        refused += is_refused(t, &saved, x->name, "swapped pages", at);
                        put_bytes(t, x->name, x->data + at, WAL_PAGE, at);
                        put_bytes(t, x->name, x->data + to, WAL_PAGE, to);
                }
        }
        assert_true(refused > 300);
        wal_saved_done(&saved);
}

static void test_cut_files(void **state) {
        struct test *t = *state;
        struct wal_saved saved;
        size_t refused = 0;

        make_log(t, &saved);
        for (size_t i = 0; i < saved.count; i++) {
                const struct wal_saved_file *x = &saved.files[i];

                for (size_t size = 0; size < x->size; size += 1000) {
                        _cleanup_close_ int fd = open_file(t, x->name);

                        assert_int_equal(ftruncate(fd, (off_t)size), 0);
                        refused += is_refused(t, &saved, x->name, "the end of the file", size);
                        put_bytes(t, x->name, x->data, x->size, 0);
                }
        }
        assert_true(refused > 100);
        wal_saved_done(&saved);
}

static void remove_file(struct test *t, const char *name) {
        _cleanup_free_ char *path = strformat("%s/%s", t->f.folder, name);

        assert_int_equal(unlink(path), 0);
}

static void test_missing_files(void **state) {
        struct test *t = *state;
        struct wal_saved saved;

        make_log(t, &saved);
        for (size_t i = 0; i < saved.count; i++) {
                const char *name = saved.files[i].name;
                int r;

                remove_file(t, name);
                r = open_again(t);
                if (startswith(name, "kstored.log.spare-")) {
                        assert_int_equal(r, 0);
                        assert_true(wal_model_holds(&t->m, &t->c, false));
                } else if (r == 0) { /* the first one: as if trimmed; the database tells */
                        assert_true(wal_model_holds(&t->m, &t->c, true));
                        assert_false(wal_model_holds(&t->m, &t->c, false));
                } else
                        assert_int_equal(r, -EUCLEAN);
                if (streq(name, "kstored.log.mark"))
                        assert_non_null(strstr(t->f.p.message, "is gone"));
                wal_restore_files(&t->f, &saved);
        }
        wal_saved_done(&saved);
}

/* Single files of an earlier time come back. */
static void test_old_copies(void **state) {
        struct test *t = *state;
        struct wal_saved early, saved;
        size_t refused = 0, same = 0;

        for (unsigned when = 1; when < WAL_SCRIPT_STEPS; when += 3) {
                assert_int_equal(begin(t), 0);
                for (unsigned step = 0; step < WAL_SCRIPT_STEPS; step++) {
                        if (step == when)
                                wal_save_files(&t->f, &early);
                        assert_int_equal(write_step(t, step), 0);
                }
                t->w = wal_free(t->w);
                wal_save_files(&t->f, &saved);
                for (size_t i = 0; i < early.count; i++) {
                        const struct wal_saved_file *x = &early.files[i];
                        _cleanup_free_ char *path = strformat("%s/%s", t->f.folder, x->name);
                        bool mark = streq(x->name, "kstored.log.mark");

                        assert_int_equal(file_write_atomic(path, x->data, x->size, 0600), 0);
                        if (is_refused(t, &saved, x->name, "an old copy", when)) {
                                refused++;
                                assert_false(mark); /* it says less than there is */
                        } else
                                same++;
                        t->w = wal_free(t->w);
                        wal_restore_files(&t->f, &saved);
                }
                wal_saved_done(&early);
                wal_saved_done(&saved);
        }
        assert_true(refused > 10);
        assert_true(same > 10);
}

/* The last block was being written when the power went: any of its sectors may be there. */
static void test_torn_tails(void **state) {
        struct test *t = *state;
        struct wal_saved before, after;
        struct wal_model acknowledged;
        uint64_t dice = 99;

        for (unsigned last = 1; last < WAL_SCRIPT_STEPS; last += 2) {
                unsigned both = 0;

                assert_int_equal(begin(t), 0);
                for (unsigned step = 0; step < last; step++)
                        assert_int_equal(write_step(t, step), 0);
                wal_save_files(&t->f, &before);
                acknowledged = t->m;
                assert_int_equal(write_step(t, last), 0);
                wal_save_files(&t->f, &after);
                t->w = wal_free(t->w);
                for (unsigned round = 0; round < 40; round++) {
                        wal_restore_files(&t->f, &before);
                        for (size_t i = 0; i < before.count; i++)
                                for (size_t k = 0; k < after.count; k++) {
                                        const struct wal_saved_file *x = &before.files[i];
                                        const struct wal_saved_file *y = &after.files[k];

                                        if (!streq(x->name, y->name) ||
                                                        streq(x->name, "kstored.log.mark"))
                                                continue;
                                        for (size_t at = 0; at < y->size; at += 512) {
                                                dice = dice * 6364136223846793005u + 1;
                                                if (dice >> 60 < round % 16)
                                                        put_bytes(t, y->name, y->data + at, 512,
                                                                        at);
                                        }
                                }
                        must_open(t);
                        if (wal_model_holds(&acknowledged, &t->c, false))
                                both |= 1;
                        else if (wal_model_holds(&t->m, &t->c, false))
                                both |= 2;
                        else
                                fail_msg("step %u, round %u: neither", last, round);
                        t->w = wal_free(t->w);
                }
                assert_true(both & 1);
                wal_saved_done(&before);
                wal_saved_done(&after);
        }
}

/* A client's value that looks like blocks of the log, where a torn block leaves it behind the end.
 */
static void test_a_value_like_a_block(void **state) {
        struct test *t = *state;
        _cleanup_buf_ struct buf value = {0};
        struct wal_batch b = {.term = 1, .sync = true};
        struct wal_block x;
        char zeros[WAL_PAGE] = {0};
        uint64_t at;

        assert_int_equal(begin(t), 0);
        assert_int_equal(buf_append(&value, zeros, WAL_PAGE - 48 - 32), 0); /* what is before it */
        for (unsigned i = 0; i < 4; i++) {
                size_t from = value.size;

                wal_block_begin(&value);
                wal_block_add(&value, WAL_STATE, 77, 77);
                x = (struct wal_block){.number = 2 + i, .before = t->w->before, .synced = 1000};
                assert_int_equal(wal_block_end(&value, from, i, &x), 0); /* salts they guess */
        }
        b.entries = calloc(1, sizeof(b.entries[0]));
        b.entries[0] = raft_entry_new(2, 1, RAFT_ENTRY_NORMAL, value.data, value.size);
        b.entry_count = 1;
        at = t->w->at;
        t->f.fault = WAL_FAULT_KILL; /* after the block, so that the mark does not know it */
        t->f.fault_at = t->f.done + 2;
        assert_int_equal(wal_write(t->w, &b), -EIO);
        t->f.fault = WAL_FAULT_NONE;
        wal_batch_clear(&b);
        {
                char name[WAL_NAME_SIZE];
                _cleanup_free_ char *file = NULL;

                wal_segment_name(name, t->w->segments.items[0].number);
                file = strformat("kstored.log.%s", name);
                put_bytes(t, file, zeros, sizeof(zeros), at);
        }
        must_open(t);
        assert_true(wal_model_holds(&t->m, &t->c, false));
        assert_int_equal(write_step(t, 0), 0);
        must_open(t);
        assert_true(wal_model_holds(&t->m, &t->c, false));
}

/* A whole head of a later format is no damage: nothing of the log is touched. */
static void test_a_newer_format(void **state) {
        struct test *t = *state;
        uint8_t page[WAL_PAGE];
        uint64_t words[12], format = WAL_FORMAT + 1;
        struct wal_head head = {.number = 1, .member_id = t->f.options.member_id};
        _cleanup_free_ char *file = NULL;
        char name[WAL_NAME_SIZE];

        assert_int_equal(begin(t), 0);
        wal_segment_name(name, t->w->segments.items[0].number);
        file = strformat("kstored.log.%s", name);
        t->w = wal_free(t->w);
        wal_head_encode(&head, page);
        assert_int_equal(wal_head_newer(page), 0);
        memcpy(words, page, sizeof(words));
        words[2] = format;
        memcpy(page, words, sizeof(words));
        assert_int_equal(wal_head_newer(page), 0); /* its checksum is wrong: that is damage */
        words[0] = checksum((uint8_t *)words + 8, sizeof(words) - 8, 0);
        memcpy(page, words, sizeof(words));
        assert_int_equal(wal_head_newer(page), format);
        put_bytes(t, file, page, sizeof(page), 0);
        assert_int_equal(open_again(t), -EINVAL);
        assert_non_null(strstr(t->f.p.message, "written by a newer kstored"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test_setup_teardown(test_a_newer_format, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_what_was_written_is_there, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_batch_that_says_nothing, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_segments_come_and_go, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_batch_larger_than_a_segment, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_new_segment_is_vouched_for, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_a_segment_of_nothing_but_its_head, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_unsynced_batches, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_files_of_others, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_every_change_fails, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_every_flipped_bit_is_reported, setup, teardown),
                        cmocka_unit_test_setup_teardown(
                                        test_heads_and_headers_count, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_zeroed_and_swapped, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_cut_files, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_missing_files, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_old_copies, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_torn_tails, setup, teardown),
                        cmocka_unit_test_setup_teardown(test_a_value_like_a_block, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
