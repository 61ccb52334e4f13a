/* Records of the store -> Node.status.images. The bounds are the kubelet's (nodeStatusMaxImages,
 * MaxNamesPerImageInNodeStatus). */
#include "nodeagent/image-care.h"

#include <stdlib.h>

enum { IMAGES_MAX = 50, NAMES_MAX = 5 };

static int64_t size_of(const json_t *record) {
        return json_int_or(record, "size", 0);
}

static int larger_first(const void *a, const void *b) {
        const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
        int64_t m = size_of(x), n = size_of(y);

        return m != n ? (m < n) - (m > n)
                      : strcmp(json_str_or(x, "id", ""), json_str_or(y, "id", ""));
}

/* Those with a digest first, as the kubelet does. */
static json_t *names_of(const json_t *record) {
        _cleanup_json_ json_t *out = json_array();
        const json_t *v;
        size_t i;

        for (int with_digest = 1; out && with_digest >= 0; with_digest--)
                json_array_foreach (json_at(record, "names"), i, v) {
                        bool has = strchr(strempty(json_string_value(v)), '@') != NULL;

                        if (has == with_digest && json_array_size(out) < NAMES_MAX &&
                                        json_array_append(out, json_unconst(v)) < 0)
                                return NULL;
                }
        return TAKE_PTR(out);
}

json_t *node_images(const json_t *records) {
        size_t n = json_array_size(records), i;
        _cleanup_free_ json_t **sorted = calloc(MAX(n, (size_t)1), sizeof(*sorted));
        _cleanup_json_ json_t *out = json_array();

        if (!sorted || !out)
                return NULL;
        for (i = 0; i < n; i++)
                sorted[i] = json_array_get(records, i);
        qsort(sorted, n, sizeof(*sorted), larger_first);
        for (i = 0; i < MIN(n, (size_t)IMAGES_MAX); i++) {
                json_t *v = json_pack("{s:o, s:I}", "names", names_of(sorted[i]), "sizeBytes",
                                (json_int_t)size_of(sorted[i]));

                if (!v || json_array_append_new(out, v) < 0)
                        return NULL;
        }
        return TAKE_PTR(out);
}
