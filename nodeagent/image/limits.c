/* The defaults: generous for images that people run, small beside a machine's disk and time. */
#include "nodeagent/image/limits.h"

static uint64_t number(const json_t *v, const char *name, uint64_t scale, uint64_t fallback) {
        int64_t n = json_int_or(v, name, 0);

        if (n <= 0)
                return fallback;
        return (uint64_t)n > UINT64_MAX / scale ? UINT64_MAX : (uint64_t)n * scale;
}

struct image_limits image_limits_from_json(const json_t *v) {
        const uint64_t gib = UINT64_C(1) << 30, second = 1000000;

        return (struct image_limits){
                        .layer_bytes_max = number(v, "layerBytesMax", 1, 20 * gib),
                        .image_bytes_max = number(v, "imageBytesMax", 1, 64 * gib),
                        .entries_max = number(v, "entriesMax", 1, 2000000),
                        .ratio_max = number(v, "ratioMax", 1, 200),
                        .free_bytes_min = number(v, "freeBytesMin", 1, gib / 4),
                        .silent_us = number(v, "silentSeconds", second, 30 * second),
                        .total_us = number(v, "totalSeconds", second, 3600 * second),
                        .path_max = (uint32_t)MIN(number(v, "pathMax", 1, 4000), UINT64_C(4000)),
                        .depth_max = (uint32_t)MIN(number(v, "depthMax", 1, 256), UINT64_C(256)),
        };
}
