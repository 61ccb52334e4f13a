/* kstored/disk/disk.h in memory, above a device that keeps a log of frames: each write adds a frame
 * with its length and checksum. After a crash the whole frames from the beginning count, at least
 * those that a checkpoint settled. SQLite promises that and the store relies on no more;
 * damage behind the last checkpoint looks like the end. */
#include "tests/sim/sim.h"

struct disk {
        struct device *device;
        char path[32];
        bool is_new;
        uint64_t numbers[DISK_NUMBERS];
        struct row **rows; /* in order of seq */
        size_t row_count, rows_allocated;
        struct disk_op *ops;
        size_t op_count, ops_allocated;
};

struct frame {
        uint64_t size; /* of what follows */
        uint64_t checksum;
};

enum { SECTOR = 512 };

static uint64_t checksum_of(const void *data, size_t n, uint64_t at) {
        const uint8_t *p = data;
        uint64_t h = 0xcbf29ce484222325ULL ^ at;

        for (size_t i = 0; i < n; i++)
                h = (h ^ p[i]) * 0x100000001b3ULL;
        return h;
}

static void need(void **v, size_t *allocated, size_t n, size_t element) {
        if (n <= *allocated)
                return;
        *allocated = MAX(n, *allocated * 2 + 16);
        *v = reallocarray(*v, *allocated, element);
        assert(*v);
}

/* ---- the contents of a frame */

static void put(struct buf *b, const void *data, size_t n) {
        (void)buf_append(b, data, n);
}
static void put_number(struct buf *b, uint64_t v) {
        put(b, &v, sizeof(v));
}

static void put_row(struct buf *b, const struct row *row) {
        put_number(b, (uint64_t)row->seq);
        put_number(b, (uint64_t)row->rev);
        put_number(b, (uint64_t)row->create);
        put_number(b, (uint64_t)row->version);
        put_number(b, (uint64_t)row->lease);
        put_number(b, row->key_size);
        put_number(b, row->value_size);
        put(b, row->data, row->key_size + row->value_size);
}

static void put_op(struct buf *b, const struct disk_op *op) {
        put_number(b, op->table);
        put_number(b, op->remove);
        put_number(b, op->id);
        put_number(b, (uint64_t)op->value);
        put_number(b, op->blob ? op->blob->size : 0);
        if (op->blob)
                put(b, op->blob->data, op->blob->size);
}

static void encode(struct buf *b, const struct disk_batch *x, bool whole) {
        put_number(b, whole);
        put_number(b, x->numbers_set);
        for (unsigned i = 0; i < DISK_NUMBERS; i++)
                if (x->numbers_set & (1u << i))
                        put_number(b, x->numbers[i]);
        put_number(b, x->rows.count);
        for (size_t i = 0; i < x->rows.count; i++)
                put_row(b, x->rows.items[i]);
        put_number(b, x->dead.count);
        for (size_t i = 0; i < x->dead.count; i++)
                put_number(b, (uint64_t)x->dead.items[i]);
        put_number(b, x->ops.count);
        for (size_t i = 0; i < x->ops.count; i++)
                put_op(b, &x->ops.items[i]);
        assert(!b->failed);
}

struct reading {
        const char *at;
};

static uint64_t get_number(struct reading *x) {
        uint64_t v;

        memcpy(&v, x->at, sizeof(v));
        x->at += sizeof(v);
        return v;
}

static const char *get(struct reading *x, size_t n) {
        const char *p = x->at;

        x->at += n;
        return p;
}

/* ---- tables */

static size_t row_find(const struct disk *d, int64_t seq) {
        size_t low = 0, high = d->row_count;

        while (low < high) {
                size_t mid = (low + high) / 2;

                if (d->rows[mid]->seq < seq)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

static void get_rows(struct disk *d, struct reading *x) {
        uint64_t n = get_number(x), dead;

        for (uint64_t i = 0; i < n; i++) {
                struct row figures = {.seq = (int64_t)get_number(x),
                                .rev = (int64_t)get_number(x),
                                .create = (int64_t)get_number(x),
                                .version = (int64_t)get_number(x),
                                .lease = (int64_t)get_number(x)};
                uint64_t key_size = get_number(x), value_size = get_number(x);
                const char *bytes = get(x, key_size + value_size);
                struct row *row = row_new(bytes, key_size, bytes + key_size, value_size);

                row->seq = figures.seq;
                row->rev = figures.rev;
                row->create = figures.create;
                row->version = figures.version;
                row->lease = figures.lease;
                need((void **)&d->rows, &d->rows_allocated, d->row_count + 1, sizeof(d->rows[0]));
                assert(bug(BUG_APPLY_TWICE) || d->row_count == 0 ||
                                d->rows[d->row_count - 1]->seq < row->seq);
                d->rows[d->row_count++] = row;
        }
        dead = get_number(x);
        for (uint64_t i = 0; i < dead; i++) {
                int64_t seq = (int64_t)get_number(x);
                size_t at = row_find(d, seq);

                if (at == d->row_count || d->rows[at]->seq != seq)
                        continue;
                row_unref(d->rows[at]);
                d->row_count--;
                memmove(d->rows + at, d->rows + at + 1, (d->row_count - at) * sizeof(d->rows[0]));
        }
}

static void set_op(struct disk *d, const struct disk_op *op) {
        for (size_t i = 0; i < d->op_count; i++) {
                if (d->ops[i].table != op->table || d->ops[i].id != op->id)
                        continue;
                bytes_unref(d->ops[i].blob);
                if (op->remove)
                        d->ops[i] = d->ops[--d->op_count];
                else
                        d->ops[i] = *op;
                return;
        }
        if (op->remove)
                return;
        need((void **)&d->ops, &d->ops_allocated, d->op_count + 1, sizeof(d->ops[0]));
        d->ops[d->op_count++] = *op;
}

static void get_ops(struct disk *d, struct reading *x) {
        uint64_t n = get_number(x);

        for (uint64_t i = 0; i < n; i++) {
                struct disk_op op = {.table = (enum disk_table)get_number(x),
                                .remove = get_number(x),
                                .id = get_number(x),
                                .value = (int64_t)get_number(x)};
                uint64_t size = get_number(x);

                if (size > 0)
                        op.blob = bytes_new(get(x, size), size);
                set_op(d, &op);
        }
}

static void tables_clear(struct disk *d) {
        for (size_t i = 0; i < d->row_count; i++)
                row_unref(d->rows[i]);
        for (size_t i = 0; i < d->op_count; i++)
                bytes_unref(d->ops[i].blob);
        d->row_count = d->op_count = 0;
        memset(d->numbers, 0, sizeof(d->numbers));
}

static void tables_take(struct disk *d, const char *bytes) {
        struct reading x = {.at = bytes};
        uint64_t numbers;

        if (get_number(&x))
                tables_clear(d);
        numbers = get_number(&x);
        for (unsigned i = 0; i < DISK_NUMBERS; i++)
                if (numbers & (1u << i))
                        d->numbers[i] = get_number(&x);
        get_rows(d, &x);
        get_ops(d, &x);
}

/* ---- the device */

static void device_append(struct device *dev, const struct buf *payload) {
        struct frame f = {.size = payload->size,
                        .checksum = checksum_of(payload->data, payload->size, dev->bytes.size)};

        put(&dev->bytes, &f, sizeof(f));
        put(&dev->bytes, payload->data, payload->size);
        assert(!dev->bytes.failed);
}

/* The frame at this place, NULL when there is no whole one. */
static const char *device_frame(const struct device *dev, size_t at, size_t *ret_next) {
        struct frame f;

        if (dev->bytes.size - at < sizeof(f))
                return NULL;
        memcpy(&f, dev->bytes.data + at, sizeof(f));
        if (f.size == 0 || f.size > dev->bytes.size - at - sizeof(f) ||
                        checksum_of(dev->bytes.data + at + sizeof(f), f.size, at) != f.checksum)
                return NULL;
        *ret_next = at + sizeof(f) + f.size;
        return dev->bytes.data + at + sizeof(f);
}

void device_crash(struct world *w, struct device *dev, enum crash how) {
        size_t from = how == CRASH_POWER ? dev->settled : dev->writing_at;
        unsigned kept_percent = (unsigned)below(w, 4) * 33;
        size_t size = dev->bytes.size;

        if (from < size) {
                /* The last write of a process ends somewhere. When the power fails, each sector
                 * that was not synced may or may not be there. */
                if (!one_in(w, 3))
                        dev->bytes.size = from + below(w, size - from + 1);
                if (how == CRASH_POWER)
                        for (size_t at = from; at < dev->bytes.size;) {
                                size_t end = MIN((at / SECTOR + 1) * SECTOR, dev->bytes.size);

                                if (below(w, 100) >= kept_percent)
                                        memset(dev->bytes.data + at, 0, end - at);
                                at = end;
                        }
                w->count.torn++;
        }
        dev->writing_at = SIZE_MAX;
        buf_done(&dev->incoming);
        dev->incoming = (struct buf){0};
        sim_folder_crash(w, &dev->log, how);
}

bool device_rot(struct world *w, struct device *dev) {
        if (!one_in(w, 3))
                return sim_folder_rot(w, &dev->log);
        if (dev->bytes.size == 0)
                return false;
        dev->bytes.data[below(w, dev->bytes.size)] ^= (char)(1 << below(w, 8));
        return true;
}

void device_copy(struct device *to, const struct device *from) {
        buf_reset(&to->bytes);
        put(&to->bytes, from->bytes.data, from->bytes.size);
        to->settled = to->bytes.size;
        sim_folder_copy(&to->log, &from->log);
}

void device_done(struct device *dev) {
        buf_done(&dev->bytes);
        buf_done(&dev->incoming);
        sim_folder_done(&dev->log);
}

/* ---- the store's side */

int sim_disk_open(struct disk **ret, struct device *dev) {
        struct disk *d = calloc(1, sizeof(*d));
        const char *payload;
        size_t at = 0, next;

        assert(d);
        d->device = dev;
        dev->writing_at = SIZE_MAX;
        snprintf(d->path, sizeof(d->path), "disk %llu", (unsigned long long)dev->number);
        while ((payload = device_frame(dev, at, &next))) {
                tables_take(d, payload);
                at = next;
        }
        if (at < dev->settled) {
                disk_free(d);
                return -EUCLEAN;
        }
        dev->bytes.size = dev->settled = at; /* opening begins with a checkpoint */
        d->is_new = d->numbers[DISK_MEMBER_ID] == 0;
        *ret = d;
        return 0;
}

void sim_disk_begin(struct disk *d, const struct disk_batch *b) {
        _cleanup_buf_ struct buf payload = {0};

        assert(d->device->writing_at == SIZE_MAX);
        encode(&payload, b, false);
        d->device->writing_at = d->device->bytes.size;
        device_append(d->device, &payload);
}

int sim_disk_end(struct disk *d, const struct disk_batch *b, int result) {
        struct device *dev = d->device;
        size_t next;

        if (result == -ENOSPC)
                dev->bytes.size = dev->writing_at;
        else if (result >= 0)
                tables_take(d, device_frame(dev, dev->writing_at, &next));
        dev->writing_at = SIZE_MAX;
        return result;
}

int disk_write(struct disk *d, const struct disk_batch *b) {
        sim_disk_begin(d, b);
        return sim_disk_end(d, b, 0);
}

int disk_checkpoint(struct disk *d) {
        d->device->settled = d->device->bytes.size;
        return 1;
}

int sim_disk_image(struct disk *d, struct buf *ret) {
        struct disk_batch all = {.numbers_set = (1u << DISK_NUMBERS) - 1,
                        .rows = {.items = d->rows, .count = d->row_count},
                        .ops = {.items = d->ops, .count = d->op_count}};

        memcpy(all.numbers, d->numbers, sizeof(all.numbers));
        encode(ret, &all, true);
        return 0;
}

void sim_image_numbers(const struct buf *image, uint64_t numbers[static DISK_NUMBERS]) {
        memcpy(numbers, image->data + 2 * sizeof(uint64_t), DISK_NUMBERS * sizeof(uint64_t));
}

int disk_adopt(struct disk *d, const char *path, uint64_t member_id) {
        struct device *dev = d->device;

        assert(dev->incoming.size > 0);
        tables_take(d, dev->incoming.data);
        d->numbers[DISK_MEMBER_ID] = member_id;
        d->numbers[DISK_LOG_BASE] = d->numbers[DISK_APPLIED];
        d->numbers[DISK_LOG_BASE_TERM] = d->numbers[DISK_APPLIED_TERM];
        buf_reset(&dev->incoming);
        (void)sim_disk_image(d, &dev->incoming);
        buf_reset(&dev->bytes);
        device_append(dev, &dev->incoming);
        dev->settled = dev->bytes.size;
        buf_reset(&dev->incoming);
        return 0;
}

struct disk *disk_free(struct disk *d) {
        if (!d)
                return NULL;
        tables_clear(d);
        free(d->rows);
        free(d->ops);
        free(d);
        return NULL;
}

bool disk_is_new(const struct disk *d) {
        return d->is_new;
}
const char *disk_path(const struct disk *d) {
        return d->path;
}
const char *disk_error_text(const struct disk *d) {
        return "a simulated failure";
}
uint64_t disk_number(const struct disk *d, enum disk_number n) {
        return d->numbers[n];
}

int disk_read_row(struct disk *d, int64_t seq, struct row **ret) {
        size_t at = row_find(d, seq);

        if (at == d->row_count || d->rows[at]->seq != seq)
                return 0;
        *ret = row_ref(d->rows[at]);
        return 1;
}

int disk_read_head(struct disk *d, int64_t seq, struct row **ret) {
        return disk_read_row(d, seq, ret);
}

int disk_find_rev(struct disk *d, int64_t rev, int64_t *ret_seq) {
        *ret_seq = INT64_MAX;
        for (size_t i = 0; i < d->row_count; i++)
                if (d->rows[i]->rev >= rev) {
                        *ret_seq = d->rows[i]->seq;
                        break;
                }
        return 0;
}

int disk_scan_rows(struct disk *d, int64_t from_seq, size_t n, struct row **ret_rows) {
        size_t count = 0;

        for (size_t i = row_find(d, from_seq); i < d->row_count && count < n; i++)
                ret_rows[count++] = row_ref(d->rows[i]);
        return (int)count;
}

void disk_read_begin(struct disk *d) {
}
void disk_read_end(struct disk *d) {
}

int disk_load_keys(struct disk *d, int (*func)(const struct row *row, void *userdata),
                void *userdata) {
        int r = 0;

        for (size_t i = 0; i < d->row_count && r >= 0; i++)
                r = func(d->rows[i], userdata);
        return r;
}

int disk_load_ops(struct disk *d, int (*func)(const struct disk_op *op, void *userdata),
                void *userdata) {
        int r = 0;

        for (size_t i = 0; i < d->op_count && r >= 0; i++)
                r = func(&d->ops[i], userdata);
        return r;
}

/* The frames' checksums stand for those of the rows. */
int disk_check_loaded(const struct disk *d) {
        return 0;
}

int disk_old_log(struct disk *d, struct wal_contents *ret) {
        return 0;
}

int disk_drop_old_log(struct disk *d) {
        return 0;
}
