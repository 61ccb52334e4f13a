/* forge DATA-DIR KEY VALUE: changes the value of a key in the database of a kstored that is
 * stopped, with all checksums right: what no member can find out alone. */
#include "kstored/disk/disk.h"

enum { PIECE = 64 };

/* The newest change of the key. */
static int find(struct disk *d, const char *key, struct row **ret) {
        struct row *rows[PIECE];
        int64_t seq = 0;
        int n;

        do {
                n = disk_scan_rows(d, seq, PIECE, rows);
                for (int i = 0; i < n; i++) {
                        seq = rows[i]->seq + 1;
                        if (rows[i]->key_size == strlen(key) &&
                                        memcmp(rows[i]->data, key, strlen(key)) == 0) {
                                row_unref(*ret);
                                *ret = row_ref(rows[i]);
                        }
                        row_unref(rows[i]);
                }
        } while (n == PIECE);
        return n < 0 ? n : *ret ? 0 : -ENOENT;
}

int main(int argc, char **argv) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_(disk_freep) struct disk *d = NULL;
        _cleanup_row_ struct row *row = NULL, *forged = NULL;
        struct disk_batch out = {0}, in = {0};
        int r = argc == 4 ? disk_open(&d, argv[1], &p) : -EINVAL;

        if (r >= 0)
                r = find(d, argv[2], &row);
        if (r >= 0)
                forged = row_new(argv[2], strlen(argv[2]), argv[3], strlen(argv[3]));
        if (forged) {
                forged->seq = row->seq;
                forged->rev = row->rev;
                forged->create = row->create;
                forged->version = row->version;
                forged->lease = row->lease;
                r = disk_batch_dead(&out, row->seq);
                if (r >= 0)
                        r = disk_batch_row(&in, forged);
                if (r >= 0)
                        r = disk_write(d, &out);
                if (r >= 0)
                        r = disk_write(d, &in);
        }
        disk_batch_clear(&out);
        disk_batch_clear(&in);
        if (r < 0)
                fprintf(stderr, "forge: %s\n", p.message ? p.message : strerror(-r));
        return r < 0;
}
