/* See bandwidth.h. The limits are those of Kubernetes' pkg/util/bandwidth. */
#include "nodeagent/network/bandwidth.h"

#include <limits.h>

#include "lib/object.h"
#include "lib/quantity.h"

#define BITS_MIN INT64_C(1000)
#define BITS_MAX INT64_C(1000000000000000)

enum { BURST_MIN = 65536, BURST_PARTS = 100, QUEUE_PARTS = 40 };

static int read_one(const json_t *pod, const char *name, uint64_t *ret, struct problem *p) {
        const char *text = object_annotation(pod, name);
        _cleanup_json_ json_t *v = NULL;
        int64_t bits;

        if (!text)
                return 0;
        v = json_string(text);
        if (!v)
                return -ENOMEM;
        if (quantity_parse_units(v, &bits) < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "annotation %s: '%.100s' is not a quantity of bits a second, as "
                                "10M",
                                name, text);
        if (bits < BITS_MIN || bits > BITS_MAX)
                return problem_set(p, EINVAL, 0, NULL,
                                "annotation %s: '%.100s' is not between 1k and 1P bits a second",
                                name, text);
        *ret = (uint64_t)bits;
        return 0;
}

int bandwidth_read(const json_t *pod, struct bandwidth *ret, struct problem *p) {
        struct bandwidth b = {0};
        int r = read_one(pod, BANDWIDTH_INGRESS, &b.ingress, p);

        if (r < 0)
                return r;
        r = read_one(pod, BANDWIDTH_EGRESS, &b.egress, p);
        if (r < 0)
                return r;
        *ret = b;
        return 0;
}

struct token_bucket bandwidth_bucket(uint64_t bits_per_s) {
        uint64_t rate = bits_per_s / 8;
        struct token_bucket b = {0};

        if (rate > INT_MAX)
                return b;
        b.rate = (int)rate;
        b.bytes = MAX(b.rate / BURST_PARTS, (int)BURST_MIN);
        b.queue_bytes = b.rate / QUEUE_PARTS + b.bytes;
        return b;
}
