/* One range of keys as of one moment, read in small steps: first its size is determined (and its
 * order, where the client wants one), then it is written. Between steps the store may change in any
 * way, but not the answer, as long as rows of its revision are not deleted. It holds no
 * row but the one it is writing. No clock: a step ends when its budget of work is spent. */
#pragma once

#include "kstored/mvcc/mvcc.h"
#include "kstored/state/wire.h"
#include "proto/rpc.pb-c.h"

/* Work is counted in about a tenth of a microsecond: a key looked at, a row read, bytes copied. */
typedef int64_t work_left;
enum {
        WORK_KEY = 1,
        WORK_ROW = 40,
        WORK_BYTES = 100, /* this many bytes of a row cost 1 */
        WORK_STEP = 5000, /* what may be done between two looks at the clock */
};

struct range_read;

enum range_read_flags {
        RANGE_READ_ROWS_ONLY = 1, /* no "more" and "count" behind the rows */
};

/* All of a RangeRequest but its revision counts: the range is read as of rev, with changes below
 * the seq only (a change of the same revision that comes later is not seen). Rows are field
 * `field`. The request is copied. NULL when out of memory. */
struct range_read *range_read_new(const Etcdserverpb__RangeRequest *r, int64_t rev,
                int64_t below_seq, unsigned field, unsigned flags);
struct range_read *range_read_free(struct range_read *x);
DEFINE_CLEANUP(struct range_read *, range_read_free);

/* Continues to determine its size: 1 when there is more to do, 0 when it is known, or a negative
 * errno (-ENODATA: a row is gone). */
int range_read_plan(struct range_read *x, struct mvcc *m, work_left *work);
/* The total size. Valid only once it is known. */
uint64_t range_read_size(const struct range_read *x);
/* Appends to out until it holds `size_max` bytes or the work is spent: 1, 0 at the end, or a
 * negative errno; -ESTALE when it is not what was planned. */
int range_read_write(struct range_read *x, struct mvcc *m, struct buf *out, size_t size_max,
                work_left *work);
/* Releases the current row; it is read again when it is needed. */
void range_read_let_go(struct range_read *x);
/* Bytes it holds, but for that row. */
size_t range_read_bytes(const struct range_read *x);
