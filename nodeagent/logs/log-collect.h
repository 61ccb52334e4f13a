/* `knodeagent logs-collect`: the one process of a node that reads the output of containers and
 * writes it to the journal, byte by byte: keelson-logs.service, which the agent starts. */
#pragma once

#include "lib/json.h"

#define LOG_COLLECT_UNIT "keelson-logs.service"
#define LOG_COLLECT_DIR "/run/keelson/logs"
#define LOG_COLLECT_CONTROL LOG_COLLECT_DIR "/control"

/* The agent sends, with a listening socket: {"name": file in LOG_COLLECT_DIR, "unit": the
 * container's unit, "fields": ["KEELSON_POD=..."], "stdin", "stdinOnce", "version"}; with the
 * master of a terminal the same and "tty": true; with a connected socket: {"attach": name}; without
 * a file:
 * {"remove": name}. */
enum { LOG_COLLECT_MESSAGE_MAX = 16384 };

/* After the last line of a run, an entry without a message has its id in this field: whoever finds
 * it has all of the run's output in the journal. */
#define LOG_COLLECT_END "KEELSON_STREAM_ENDED"

/* Runs until SIGTERM or an upgrade of the agent; returns the exit code. */
int log_collect_main(void);

/* The terminal of a container that wants one: a link beside its socket. */
#define LOG_TTY_SUFFIX ".tty"

/* The socket that is a container's standard output; caller frees. */
char *log_socket_path(const char *pod_uid, const char *container) _warn_unused_;

/* Splits the output of a program into entries for the journal. Pure. */
enum { LOG_LINE_MAX = 256 * 1024 };
struct log_line {
        const char *data;
        size_t size;
        bool ended; /* a newline followed; else the line continues in the next entry, or its end
                       never came */
};
/* Takes the next entry from the front of data[0..n): 1 with *ret and the number of bytes used; 0:
 * more bytes are needed. last: no more bytes will follow. */
int log_line_next(const char *data, size_t n, bool last, struct log_line *ret, size_t *ret_used);

/* The limit of one stream per interval, like journald's default per service (RateLimitIntervalSec=,
 * RateLimitBurst= in journald.conf(5)). A stream over it has to wait. */
enum { LOG_BUDGET_LINES = 10000, LOG_BUDGET_BYTES = 8 * 1024 * 1024 };
#define LOG_BUDGET_US (UINT64_C(30) * 1000000)
struct log_budget {
        uint64_t since_us; /* when the interval began */
        uint64_t lines, bytes;
};
/* Counts lines and bytes that were read at this time (of a monotonic clock, in microseconds). 0:
 * reading continues; else the end of the interval: nothing may be read before. Pure. */
uint64_t log_budget_take(struct log_budget *b, uint64_t now_us, uint64_t lines, uint64_t bytes);
