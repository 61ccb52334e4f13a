/* The arithmetic of measure.c. */
#include <inttypes.h>

#include "nodeagent/measure.h"

/* What kapid/kinds/keelson.yaml allows for a NodeUsage. */
#define CPU_MAX INT64_C(100000000000000)

int measure_parse_stat(const char *text, uint64_t *ret_busy, uint64_t *ret_all) {
        uint64_t v[8], all = 0; /* user nice system idle iowait irq softirq steal */

        if (sscanf(text,
                            "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                            " %" SCNu64 " %" SCNu64 " %" SCNu64,
                            &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) != 8)
                return -EINVAL;
        for (size_t i = 0; i < ELEMENTS(v); i++)
                all += v[i];
        *ret_all = all;
        *ret_busy = all - v[3] - v[4];
        return 0;
}

static int find_kib(const char *text, const char *name, int64_t *ret) {
        const char *line = strstr(text, name);

        if (!line || sscanf(line + strlen(name), " %" SCNd64, ret) != 1 || *ret < 0)
                return -EINVAL;
        return 0;
}

int measure_parse_meminfo(const char *text, int64_t *ret_used) {
        int64_t total, available;
        int r = find_kib(text, "MemTotal:", &total);

        if (r < 0)
                return r;
        r = find_kib(text, "MemAvailable:", &available);
        if (r < 0)
                return r;
        *ret_used = MAX(total - available, INT64_C(0)) * 1024;
        return 0;
}

int64_t measure_rate(uint64_t time_ns, uint64_t wall_us) {
        unsigned __int128 rate = wall_us > 0 ? (unsigned __int128)time_ns * 1000000 / wall_us : 0;

        return rate > (unsigned __int128)CPU_MAX ? CPU_MAX : (int64_t)rate;
}

int measure_parse_process(const char *text, long ticks_per_s, uint64_t *ret_ns) {
        /* The name is in parentheses and may hold any character. */
        const char *rest = strrchr(text, ')');
        uint64_t v[4]; /* utime stime cutime cstime */

        if (!rest || ticks_per_s <= 0 ||
                        sscanf(rest,
                                        ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64
                                        " %" SCNu64 " %" SCNu64 " %" SCNu64,
                                        &v[0], &v[1], &v[2], &v[3]) != 4)
                return -EINVAL;
        *ret_ns = (v[0] + v[1] + v[2] + v[3]) * (1000000000 / (uint64_t)ticks_per_s);
        return 0;
}
