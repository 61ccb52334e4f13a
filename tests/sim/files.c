/* kstored/wal/files.h on a simulated disk: when the power fails, each sector that was not synced
 * may be there or not; names that were not synced come and go in order; a process that is killed
 * ends anywhere in a write. */
#include "tests/sim/sim.h"

enum { SECTOR_SIZE = 512 };

struct wal_file {
        unsigned refs; /* names and handles */
        uint8_t *now, *durable;
        uint8_t *dirty; /* a byte a sector of now that is not in durable */
        size_t size, durable_size, allocated;
        struct sim_folder *folder;
};

static struct wal_file *unref(struct wal_file *f) {
        if (f && --f->refs == 0) {
                free(f->now);
                free(f->durable);
                free(f->dirty);
                free(f);
        }
        return NULL;
}

static struct wal_file *ref(struct wal_file *f) {
        f->refs++;
        return f;
}

static void reserve(struct wal_file *f, size_t n) {
        size_t want = (n + SECTOR_SIZE - 1) / SECTOR_SIZE * SECTOR_SIZE;

        if (want <= f->allocated)
                return;
        want = MAX(want, f->allocated * 2);
        f->now = reallocarray(f->now, want, 1);
        f->durable = reallocarray(f->durable, want, 1);
        f->dirty = reallocarray(f->dirty, want / SECTOR_SIZE, 1);
        assert(f->now && f->durable && f->dirty);
        memset(f->now + f->allocated, 0, want - f->allocated);
        memset(f->durable + f->allocated, 0, want - f->allocated);
        memset(f->dirty + f->allocated / SECTOR_SIZE, 0, (want - f->allocated) / SECTOR_SIZE);
        f->allocated = want;
}

/* ---- names */

static void names_clear(struct sim_names *n) {
        while (n->count > 0) {
                free(n->v[--n->count].name);
                unref(n->v[n->count].file);
        }
        free(n->v);
        *n = (struct sim_names){0};
}

static void add(struct sim_names *n, const char *name, struct wal_file *file) {
        if (n->count == n->allocated) {
                n->allocated = n->allocated * 2 + 8;
                n->v = reallocarray(n->v, n->allocated, sizeof(n->v[0]));
                assert(n->v);
        }
        n->v[n->count] = (struct sim_name){.name = strdup(name), .file = ref(file)};
        assert(n->v[n->count++].name);
}

static void names_copy(struct sim_names *to, const struct sim_names *from) {
        struct sim_names old = *to;

        *to = (struct sim_names){0};
        for (size_t i = 0; i < from->count; i++)
                add(to, from->v[i].name, from->v[i].file);
        names_clear(&old);
}

static struct sim_name *find(struct sim_names *n, const char *name) {
        for (size_t i = 0; i < n->count; i++)
                if (streq(n->v[i].name, name))
                        return &n->v[i];
        return NULL;
}

static void drop(struct sim_names *n, struct sim_name *x) {
        free(x->name);
        unref(x->file);
        *x = n->v[--n->count];
}

static void set(struct sim_names *n, const char *name, struct wal_file *file) {
        struct sim_name *x = find(n, name);

        if (!x) {
                add(n, name, file);
                return;
        }
        ref(file);
        unref(x->file);
        x->file = file;
}

/* Notes the names that a power failure would leave, after each change since the last sync. */
static void note_names(struct sim_folder *d) {
        if (d->step_count == SIM_STEPS_MAX) {
                names_copy(&d->steps[SIM_STEPS_MAX - 1], &d->names);
                return;
        }
        names_copy(&d->steps[d->step_count++], &d->names);
}

/* ---- the operations */

/* The process or the power ends in the midst of this: n bytes are done, or all of them. */
static bool ends_here(struct sim_folder *d, size_t *n) {
        if (!d->ending)
                return false;
        if (*n <= d->budget) {
                d->budget -= *n;
                return false;
        }
        *n = d->budget;
        d->budget = 0;
        return true;
}

static int file_list_all(void *folder, char ***ret) {
        struct sim_folder *d = folder;
        char **names = NULL;

        for (size_t i = 0; i < d->names.count; i++)
                assert(strv_extend(&names, d->names.v[i].name) >= 0);
        *ret = names;
        return 0;
}

static int file_open(void *folder, const char *name, bool make, struct wal_file **ret) {
        struct sim_folder *d = folder;
        struct sim_name *x = find(&d->names, name);
        struct wal_file *f;
        size_t n = 1;

        if (x) {
                *ret = ref(x->file);
                return 0;
        }
        if (!make)
                return -ENOENT;
        if (ends_here(d, &n))
                return -EIO;
        f = calloc(1, sizeof(*f));
        assert(f);
        f->refs = 1;
        f->folder = d;
        set(&d->names, name, f);
        note_names(d);
        *ret = f;
        return 0;
}

static struct wal_file *file_close(struct wal_file *f) {
        return unref(f);
}

static int file_size(struct wal_file *f, uint64_t *ret) {
        *ret = f->size;
        return 0;
}

static int file_read_at(struct wal_file *f, void *data, size_t n, uint64_t at) {
        if (at + n > f->size)
                return -EIO;
        memcpy(data, f->now + at, n);
        return 0;
}

static int file_write_at(struct wal_file *f, const void *data, size_t n, uint64_t at) {
        bool ends = ends_here(f->folder, &n);

        if (f->folder->full && at + n > f->size)
                return -ENOSPC;
        reserve(f, at + n);
        memcpy(f->now + at, data, n);
        for (size_t s = at / SECTOR_SIZE; s * SECTOR_SIZE < at + n; s++)
                f->dirty[s] = 1;
        f->size = MAX(f->size, at + n);
        return ends ? -EIO : 0;
}

static int file_sync(struct wal_file *f) {
        size_t n = 1;

        if (ends_here(f->folder, &n))
                return -EIO;
        for (size_t s = 0; s < f->allocated / SECTOR_SIZE; s++) {
                if (!f->dirty[s])
                        continue;
                memcpy(f->durable + s * SECTOR_SIZE, f->now + s * SECTOR_SIZE, SECTOR_SIZE);
                f->dirty[s] = 0;
        }
        f->durable_size = f->size;
        return 0;
}

static int file_rename(void *folder, const char *from, const char *to) {
        struct sim_folder *d = folder;
        struct sim_name *x = find(&d->names, from);
        size_t n = 1;

        if (!x)
                return -ENOENT;
        if (ends_here(d, &n))
                return -EIO;
        set(&d->names, to, x->file);
        drop(&d->names, find(&d->names, from));
        note_names(d);
        return 0;
}

static int file_remove(void *folder, const char *name) {
        struct sim_folder *d = folder;
        struct sim_name *x = find(&d->names, name);
        size_t n = 1;

        if (!x)
                return 0;
        if (ends_here(d, &n))
                return -EIO;
        drop(&d->names, x);
        note_names(d);
        return 0;
}

static void steps_clear(struct sim_folder *d) {
        while (d->step_count > 0)
                names_clear(&d->steps[--d->step_count]);
}

static int file_sync_names(void *folder) {
        struct sim_folder *d = folder;
        size_t n = 1;

        if (ends_here(d, &n))
                return -EIO;
        names_copy(&d->durable, &d->names);
        steps_clear(d);
        return 0;
}

static const struct wal_file_ops ops = {.list = file_list_all,
                .open = file_open,
                .close = file_close,
                .size = file_size,
                .read = file_read_at,
                .write = file_write_at,
                .sync = file_sync,
                .rename = file_rename,
                .remove = file_remove,
                .sync_names = file_sync_names};

struct wal_folder sim_folder_use(struct sim_folder *d) {
        return (struct wal_folder){.ops = &ops, .folder = d};
}

/* ---- faults */

static void lose_unsynced(struct world *w, struct wal_file *f) {
        unsigned kept_percent = (unsigned)below(w, 4) * 33;
        size_t size = f->durable_size;

        for (size_t s = 0; s < f->allocated / SECTOR_SIZE; s++) {
                size_t at = s * SECTOR_SIZE;

                if (!f->dirty[s])
                        continue;
                if (below(w, 100) < kept_percent) {
                        memcpy(f->durable + at, f->now + at, SECTOR_SIZE);
                        if (at + SECTOR_SIZE > size)
                                size = MIN(at + SECTOR_SIZE, f->size);
                } else
                        memcpy(f->now + at, f->durable + at, SECTOR_SIZE);
                f->dirty[s] = 0;
        }
        f->size = f->durable_size = size;
}

void sim_folder_crash(struct world *w, struct sim_folder *d, enum crash how) {
        d->ending = d->full = false;
        if (how != CRASH_POWER)
                return;
        /* Files first: those of names that are lost do not matter. */
        for (size_t i = 0; i < d->names.count; i++)
                lose_unsynced(w, d->names.v[i].file);
        for (size_t i = 0; i < d->durable.count; i++)
                lose_unsynced(w, d->durable.v[i].file);
        for (size_t i = 0; i < d->step_count; i++)
                for (size_t k = 0; k < d->steps[i].count; k++)
                        lose_unsynced(w, d->steps[i].v[k].file);
        if (d->step_count > 0) {
                size_t kept = below(w, d->step_count + 1);

                if (kept > 0)
                        names_copy(&d->durable, &d->steps[kept - 1]);
                names_copy(&d->names, &d->durable);
                steps_clear(d);
        }
}

bool sim_folder_rot(struct world *w, struct sim_folder *d) {
        struct sim_name *x;
        size_t at;

        if (d->names.count == 0)
                return false;
        x = &d->names.v[below(w, d->names.count)];
        if (x->file->size == 0)
                return false;
        at = below(w, x->file->size);
        x->file->now[at] ^= (uint8_t)(1 << below(w, 8));
        x->file->durable[at] = x->file->now[at];
        return true;
}

void sim_folder_copy(struct sim_folder *to, const struct sim_folder *from) {
        sim_folder_done(to);
        *to = (struct sim_folder){0};
        for (size_t i = 0; i < from->names.count; i++) {
                const struct wal_file *f = from->names.v[i].file;
                struct wal_file *copy = calloc(1, sizeof(*copy));

                assert(copy);
                copy->refs = 1;
                copy->folder = to;
                reserve(copy, f->size);
                if (f->size > 0) {
                        memcpy(copy->now, f->now, f->size);
                        memcpy(copy->durable, f->now, f->size);
                }
                copy->size = copy->durable_size = f->size;
                add(&to->names, from->names.v[i].name, copy);
                unref(copy);
        }
        names_copy(&to->durable, &to->names);
}

void sim_folder_done(struct sim_folder *d) {
        steps_clear(d);
        names_clear(&d->names);
        names_clear(&d->durable);
}
