/* Where the lines of the audit log go: a file that is rotated, standard output, or the journal. A
 * line costs the loop one buffered write. What cannot be written is dropped and counted, and the
 * log says so: requests are served all the same. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/problem.h"

struct metrics;
struct sink;

enum {
        SINK_SIZE_MB_DEFAULT = 100,
        SINK_QUEUE_BYTES_MAX = 4 << 20, /* of a slow reader of standard output */
};

struct sink_options {
        const char *path;     /* a file, "-" for standard output, or "journald" */
        uint32_t age_days;    /* of old files; 0: any */
        uint32_t backups;     /* old files that are kept; 0: all */
        uint32_t size_mb_max; /* of a file; 0: the default */
};

/* Opens it; m is borrowed. p names the file and the remedy. */
int sink_new(struct sink **ret, sd_event *event, const struct sink_options *o, struct metrics *m,
                struct problem *p);
struct sink *sink_free(struct sink *s);
DEFINE_CLEANUP(struct sink *, sink_free);

/* Writes one line (no newline in it). fields: for the journal, as log_full() takes them. */
void sink_write(struct sink *s, const char *line, size_t n, const char *const *fields);

/* "audit-2024-01-02T03-04-05.006.log" for "audit.log" at that time (UTC); the caller frees. Pure.
 */
char *sink_backup_name(const char *name, uint64_t wall_us);
/* Of names in the folder, those of old files that must go, newest kept: more than `backups`, or
 * older than `age_days`. *ret is a vector of names. Pure. */
int sink_expired(const char *name, char *const *names, const struct sink_options *o,
                uint64_t now_us, char ***ret);
