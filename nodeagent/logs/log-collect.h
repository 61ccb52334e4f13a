/* `knodeagent logs-collect`: the one process of a node that takes what containers write and puts it
 * into the journal, byte by byte as it came: keelson-logs.service, which the agent starts. */
#pragma once

#include "lib/json.h"

#define LOG_COLLECT_UNIT "keelson-logs.service"
#define LOG_COLLECT_DIR "/run/keelson/logs"
#define LOG_COLLECT_CONTROL LOG_COLLECT_DIR "/control"

/* What the agent sends with a socket that listens: {"name": file in LOG_COLLECT_DIR, "unit": the
 * container's unit, "fields": ["KEELSON_POD=..."], "version"}; without a socket "remove": name. */
enum { LOG_COLLECT_MESSAGE_MAX = 16384 };

int log_collect_main(void);

/* The socket that is a container's standard output; caller frees. */
char *log_socket_path(const char *pod_uid, const char *container) _warn_unused_;

/* Splits what a program writes into entries for the journal. Pure. */
enum { LOG_LINE_MAX = 256 * 1024 };
struct log_line {
        const char *data;
        size_t size;
        bool ended; /* a newline came after it; else the rest is another entry or never came */
};
/* Takes the next entry from the front of data[0..n): 1 with *ret and the bytes used; 0: more bytes
 * are needed. last: nothing will follow. */
int log_line_next(const char *data, size_t n, bool last, struct log_line *ret, size_t *ret_used);

/* What one stream may write per interval before it has to wait, like journald's default per service
 * (RateLimitIntervalSec=, RateLimitBurst= in journald.conf(5)). */
enum { LOG_BUDGET_LINES = 10000, LOG_BUDGET_BYTES = 8 * 1024 * 1024 };
#define LOG_BUDGET_US (UINT64_C(30) * 1000000)
struct log_budget {
        uint64_t since_us; /* when the interval began */
        uint64_t lines, bytes;
};
/* Notes what was taken at this time (of a clock that only grows, in microseconds). 0: reading
 * continues; else the time when the interval ends: nothing may be read before. Pure. */
uint64_t log_budget_take(struct log_budget *b, uint64_t now_us, uint64_t lines, uint64_t bytes);
