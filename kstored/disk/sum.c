/* The checksums of rows, and what each adds to the sum over everything. Sums are added up, so the
 * order in which rows are read does not count, and a row that goes is subtracted. */
#include <endian.h>

#include "kstored/disk/checksum.h"
#include "kstored/disk/internal.h"

#define UPPER_HALF UINT64_C(0xffffffff00000000)

enum { WORDS_MAX = 8 };

/* The same on every machine. */
static uint64_t words_sum(const uint64_t *v, size_t n) {
        uint64_t words[WORDS_MAX];

        for (size_t i = 0; i < n; i++)
                words[i] = htole64(v[i]);
        return checksum(words, n * sizeof(words[0]), 0);
}

static uint64_t key_sum(const struct row *r, const void *key) {
        const uint64_t figures[] = {(uint64_t)r->seq, (uint64_t)r->rev, (uint64_t)r->create,
                        (uint64_t)r->version, (uint64_t)r->lease, r->value_size};

        return checksum(key, r->key_size, words_sum(figures, ELEMENTS(figures))) & UPPER_HALF;
}

uint64_t disk_row_sum(const struct row *figures, const void *key, const void *value) {
        return key_sum(figures, key) | checksum(value, figures->value_size, 0) >> 32;
}

bool disk_key_sum_ok(const struct row *figures, const void *key, uint64_t sum) {
        return key_sum(figures, key) == (sum & UPPER_HALF);
}

uint64_t disk_op_sum(
                enum disk_table table, uint64_t id, int64_t value, const void *blob, size_t n) {
        const uint64_t figures[] = {(uint64_t)table, id, (uint64_t)value};

        return checksum(blob, n, words_sum(figures, ELEMENTS(figures)));
}

uint64_t disk_sum_part(int table, uint64_t id, uint64_t sum) {
        const uint64_t figures[] = {(uint64_t)table, id, sum};

        return words_sum(figures, ELEMENTS(figures));
}

uint64_t disk_number_part(const char *name, uint64_t value) {
        const uint64_t figures[] = {value, checksum(name, strlen(name), 0)};

        return words_sum(figures, ELEMENTS(figures));
}

int disk_row_from(sqlite3_stmt *st, struct row **ret) {
        int key_size = sqlite3_column_bytes(st, 2), value_size = sqlite3_column_bytes(st, 7);
        struct row *row = row_new(sqlite3_column_blob(st, 2), (size_t)key_size,
                        sqlite3_column_blob(st, 7), (size_t)value_size);

        if (!row)
                return -ENOMEM;
        row->seq = sqlite3_column_int64(st, 0);
        row->rev = sqlite3_column_int64(st, 1);
        row->create = sqlite3_column_int64(st, 3);
        row->version = sqlite3_column_int64(st, 4);
        row->lease = sqlite3_column_int64(st, 5);
        if (disk_row_sum(row, row->data, row_value(row)) != (uint64_t)sqlite3_column_int64(st, 6)) {
                row_unref(row);
                return -EBADMSG;
        }
        *ret = row;
        return 0;
}
