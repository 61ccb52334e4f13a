/* Bounds on what an image may cost a machine. Zero means the default. */
#pragma once

#include "lib/json.h"

struct image_limits {
        uint64_t layer_bytes_max; /* of a layer's blob as fetched; 20 GiB */
        uint64_t image_bytes_max; /* of all files of an image, unpacked; 64 GiB */
        uint64_t entries_max;     /* of an image: files, folders, links; 2,000,000 */
        uint64_t ratio_max;       /* unpacked bytes per fetched byte beyond the first 64 MiB; 200 */
        uint64_t free_bytes_min;  /* that stay free on the store's file system; 256 MiB */
        uint64_t silent_us;       /* no byte for so long ends a request; 30 s */
        uint64_t total_us;        /* a whole pull; 1 h */
        uint32_t path_max;        /* bytes of a path in a layer; 4,000 */
        uint32_t depth_max;       /* folders within folders; 256 */
};
/* From {"layerBytesMax": ..., "imageBytesMax", "entriesMax", "ratioMax", "freeBytesMin",
 * "silentSeconds", "totalSeconds", "pathMax", "depthMax"} or NULL; members that are missing or not
 * positive get their defaults; a path and a depth above the default get the default. */
struct image_limits image_limits_from_json(const json_t *v);
