/* What test-wal.c works on: see wal-fixture.h. Syncing is only counted: these tests end processes,
 * not machines (tests/sim does that). */
#include "tests/unit/wal-fixture.h"

#include "lib/fileio.h"
#include "tests/unit/unit.h"

/* ---- files that fail */

struct wal_file {
        struct wal_fixture *fixture;
        struct wal_file *real;
};

/* 0: the change is done; else the error, and *n bytes of a write are done. */
static int change(struct wal_fixture *f, size_t *n) {
        bool killed = f->fault == WAL_FAULT_KILL && f->done >= f->fault_at;

        f->done++;
        if (killed && f->done > f->fault_at)
                *n = 0;
        else if (f->fault == WAL_FAULT_NONE || f->done != f->fault_at)
                return 0;
        else
                *n = f->fault == WAL_FAULT_ERROR ? 0 : *n / 2;
        return f->fault == WAL_FAULT_FULL ? -ENOSPC : -EIO;
}

static int faulty_list(void *folder, char ***ret) {
        struct wal_fixture *f = folder;

        return f->real.ops->list(f->real.folder, ret);
}

static int faulty_open(void *folder, const char *name, bool make, struct wal_file **ret) {
        struct wal_fixture *f = folder;
        struct wal_file *file = calloc(1, sizeof(*file));
        size_t n = 1;
        int r;

        assert_non_null(file);
        file->fixture = f;
        r = f->real.ops->open(f->real.folder, name, false, &file->real);
        if (r == -ENOENT && make) {
                r = change(f, &n);
                if (r >= 0)
                        r = f->real.ops->open(f->real.folder, name, true, &file->real);
        }
        if (r < 0) {
                free(file);
                return r;
        }
        *ret = file;
        return 0;
}

static struct wal_file *faulty_close(struct wal_file *file) {
        if (file)
                file->fixture->real.ops->close(file->real);
        return mfree(file);
}

static int faulty_size(struct wal_file *file, uint64_t *ret) {
        return file->fixture->real.ops->size(file->real, ret);
}

static int faulty_read(struct wal_file *file, void *data, size_t n, uint64_t at) {
        return file->fixture->real.ops->read(file->real, data, n, at);
}

static int faulty_write(struct wal_file *file, const void *data, size_t n, uint64_t at) {
        int r = change(file->fixture, &n);

        if (n > 0)
                assert_int_equal(file->fixture->real.ops->write(file->real, data, n, at), 0);
        return r;
}

static int faulty_sync(struct wal_file *file) {
        size_t n = 1;

        return change(file->fixture, &n);
}

static int faulty_rename(void *folder, const char *from, const char *to) {
        struct wal_fixture *f = folder;
        size_t n = 1;
        int r = change(f, &n);

        return r < 0 ? r : f->real.ops->rename(f->real.folder, from, to);
}

static int faulty_remove(void *folder, const char *name) {
        struct wal_fixture *f = folder;
        size_t n = 1;
        int r = change(f, &n);

        return r < 0 ? r : f->real.ops->remove(f->real.folder, name);
}

static int faulty_sync_names(void *folder) {
        size_t n = 1;

        return change(folder, &n);
}

static const struct wal_file_ops faulty_ops = {.list = faulty_list,
                .open = faulty_open,
                .close = faulty_close,
                .size = faulty_size,
                .read = faulty_read,
                .write = faulty_write,
                .sync = faulty_sync,
                .rename = faulty_rename,
                .remove = faulty_remove,
                .sync_names = faulty_sync_names};

void wal_fixture_init(struct wal_fixture *f) {
        strcpy(f->folder, "/tmp/keelson-wal-XXXXXX");
        assert_non_null(mkdtemp(f->folder));
        assert_int_equal(wal_files_new(&f->real, f->folder), 0);
        f->faulty = (struct wal_folder){.ops = &faulty_ops, .folder = f};
        f->options = (struct wal_options){.files = f->faulty,
                        .member_id = WAL_MEMBER,
                        .seed = 17,
                        .segment_bytes = 48 * 1024,
                        .step_bytes = 16 * 1024};
}

void wal_fixture_done(struct wal_fixture *f) {
        problem_done(&f->p);
        wal_files_done(&f->real);
        assert_int_equal(remove_tree(f->folder), 0);
}

/* ---- what must be there */

static void fill(uint8_t *data, size_t n, uint64_t index, uint64_t term) {
        for (size_t i = 0; i < n; i++)
                data[i] = (uint8_t)(index * 31 + term * 7 + i);
}

static size_t size_of_entry(uint64_t index, uint64_t term) {
        static const size_t sizes[] = {0, 10, 100, 4000, 1, 700, 9000, 20};

        return index % 23 == 0 ? 60000 : sizes[(index + term) % ELEMENTS(sizes)];
}

void wal_model_begin(struct wal_model *m) {
        *m = (struct wal_model){.term = 1, .base_index = 1, .base_term = 1, .last = 1};
        m->entries[1].term = 1;
}

static void add_entries(struct wal_model *m, struct wal_batch *b, size_t n) {
        b->entries = calloc(n, sizeof(b->entries[0]));
        assert_non_null(b->entries);
        for (size_t i = 0; i < n; i++) {
                uint64_t index = ++m->last;
                size_t size = size_of_entry(index, m->term);
                uint8_t *data = malloc(size + 1);

                assert_non_null(data);
                fill(data, size, index, m->term);
                b->entries[i] = raft_entry_new(index, m->term, index % 5 == 0, data, size);
                assert_non_null(b->entries[i]);
                free(data);
                m->entries[index].term = m->term;
                m->entries[index].size = size;
        }
        b->entry_count = n;
}

struct wal_batch wal_script_batch(struct wal_model *m, unsigned step) {
        struct wal_batch b = {.sync = true};

        if (step % 9 == 4)
                m->term++;
        if (step % 6 == 4)
                m->vote = step % 4;
        if (step % 10 == 7 && m->last > m->base_index + 4) {
                m->last -= 2;
                b.truncate_from = m->last + 1;
                b.truncate_term = m->entries[m->last].term;
        }
        if (step == 33) { /* a whole state came */
                m->base_index = m->last = m->last + 50;
                m->base_term = m->entries[m->last].term = m->term;
                b.truncate_from = m->last + 1;
                b.truncate_term = m->term;
        } else if (step % 12 != 5)
                add_entries(m, &b, 1 + step % 3);
        if (step % 14 == 13 && m->last > m->base_index + 8) {
                b.trim_to = m->base_index = m->last - 8;
                m->base_term = m->entries[m->base_index].term;
        }
        b.term = m->term;
        b.vote = m->vote;
        return b;
}

static bool entry_fits(const struct wal_model *m, const struct raft_entry *e) {
        uint8_t *want = malloc(e->size + 1);
        bool fits;

        assert_non_null(want);
        fill(want, e->size, e->index, e->term);
        fits = e->term == m->entries[e->index].term && e->size == m->entries[e->index].size &&
               e->type == (e->index % 5 == 0) && memcmp(e->data, want, e->size) == 0;
        free(want);
        return fits;
}

bool wal_model_holds(const struct wal_model *m, const struct wal_contents *c, bool later) {
        if (c->term != m->term || c->vote != m->vote || c->base_index + c->entry_count != m->last ||
                        (!later && c->base_index > m->base_index) ||
                        c->base_term != m->entries[c->base_index].term)
                return false;
        for (size_t i = 0; i < c->entry_count; i++)
                if (c->entries[i]->index != c->base_index + 1 + i || !entry_fits(m, c->entries[i]))
                        return false;
        return true;
}

/* ---- files put aside */

void wal_save_files(struct wal_fixture *f, struct wal_saved *ret) {
        _cleanup_strv_free_ char **names = NULL;

        *ret = (struct wal_saved){0};
        assert_int_equal(file_list(f->folder, &names), 0);
        ret->files = calloc(strv_length(names) + 1, sizeof(ret->files[0]));
        assert_non_null(ret->files);
        for (char **name = names; *name; name++) {
                struct wal_saved_file *x = &ret->files[ret->count++];
                _cleanup_free_ char *path = strformat("%s/%s", f->folder, *name);

                x->name = strdup(*name);
                assert_int_equal(file_read(path, 1 << 26, &x->data, &x->size), 0);
        }
}

void wal_restore_files(struct wal_fixture *f, const struct wal_saved *s) {
        _cleanup_strv_free_ char **names = NULL;

        assert_int_equal(file_list(f->folder, &names), 0);
        for (char **name = names; *name; name++) {
                _cleanup_free_ char *path = strformat("%s/%s", f->folder, *name);

                assert_int_equal(unlink(path), 0);
        }
        for (size_t i = 0; i < s->count; i++) {
                struct wal_file *file;
                const char *name = startswith(s->files[i].name, "kstored.log.");

                assert_int_equal(f->real.ops->open(f->real.folder, name, true, &file), 0);
                assert_int_equal(
                                f->real.ops->write(file, s->files[i].data, s->files[i].size, 0), 0);
                f->real.ops->close(file);
        }
}

void wal_saved_done(struct wal_saved *s) {
        for (size_t i = 0; i < s->count; i++) {
                free(s->files[i].name);
                free(s->files[i].data);
        }
        free(s->files);
        *s = (struct wal_saved){0};
}
