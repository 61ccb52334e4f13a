/* One entry a line; a line longer than LOG_LINE_MAX is several, and only the last is terminated. */
#include "nodeagent/logs/log-collect.h"

int log_line_next(const char *data, size_t n, bool last, struct log_line *ret, size_t *ret_used) {
        const char *end = memchr(data, '\n', n);

        if (end && (size_t)(end - data) <= LOG_LINE_MAX) {
                *ret = (struct log_line){data, (size_t)(end - data), true};
                *ret_used = ret->size + 1;
                return 1;
        }
        if (n > LOG_LINE_MAX || (last && n > 0)) {
                *ret = (struct log_line){data, MIN(n, (size_t)LOG_LINE_MAX), false};
                *ret_used = ret->size;
                return 1;
        }
        return 0;
}

uint64_t log_budget_take(struct log_budget *b, uint64_t now_us, uint64_t lines, uint64_t bytes) {
        if (b->since_us == 0 || now_us >= b->since_us + LOG_BUDGET_US)
                *b = (struct log_budget){.since_us = now_us};
        b->lines += lines;
        b->bytes += bytes;
        return b->lines > LOG_BUDGET_LINES || b->bytes > LOG_BUDGET_BYTES
                               ? b->since_us + LOG_BUDGET_US
                               : 0;
}

char *log_socket_path(const char *pod_uid, const char *container) {
        uint64_t hash = UINT64_C(14695981039346656037);

        /* A socket's path has at most 107 bytes; a container's name alone may have 63. */
        for (const char *s = container; *s; s++)
                hash = (hash ^ (unsigned char)*s) * UINT64_C(1099511628211);
        return strformat(LOG_COLLECT_DIR "/%s.%016llx", pod_uid, (unsigned long long)hash);
}
