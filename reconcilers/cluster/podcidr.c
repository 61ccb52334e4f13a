/* Pod subnets: each node gets one block of the cluster's range and never shares it. The ConfigMap
 * kube-system/keelson-pod-cidrs (node name -> block) decides: a block is first written there,
 * against the ConfigMap's resourceVersion, and a node gets only what is recorded there. So two
 * writers, a crash in between or a stale cache lead to a conflict and a retry, never to a block
 * assigned twice. A block becomes free when its node is gone, which is checked with the API. */
#include "reconcilers/cluster/podcidr.h"

#include <arpa/inet.h>

#include "lib/object.h"
#include "reconcilers/controller.h"

enum { BLOCKS_MAX = 65536, RELEASES_MAX = 16 };
#define RECORD_NS "kube-system"
#define RECORD_NAME "keelson-pod-cidrs"
#define ONLY_NAME "cidrs"

struct range {
        uint32_t base, count; /* first address; number of blocks */
        unsigned bits;        /* prefix length of a block */
};

static bool parse_cidr(const char *s, uint32_t *ret_base, unsigned *ret_bits) {
        const char *slash = s ? strchr(s, '/') : NULL;
        struct in_addr in;
        char address[32];
        uint32_t bits;

        if (!slash || (size_t)(slash - s) >= sizeof(address) || parse_u32(slash + 1, &bits) < 0 ||
                        bits > 32)
                return false;
        memcpy(address, s, (size_t)(slash - s));
        address[slash - s] = 0;
        if (inet_pton(AF_INET, address, &in) != 1)
                return false;
        *ret_bits = bits;
        *ret_base = ntohl(in.s_addr) & (bits == 0 ? 0 : ~UINT32_C(0) << (32 - bits));
        return true;
}

static bool range_read(const struct world *w, struct range *r) {
        unsigned cluster_bits;

        if (!parse_cidr(w->config->cluster_cidr, &r->base, &cluster_bits))
                return false;
        r->bits = w->config->node_cidr_mask_size;
        if (r->bits < cluster_bits || r->bits > 30 || r->bits - cluster_bits > 16)
                return false;
        r->count = UINT32_C(1) << (r->bits - cluster_bits);
        return true;
}

int podcidr_check(const struct world_config *config, struct problem *p) {
        struct world w = {.config = config};
        struct range r;
        uint32_t base;
        unsigned bits;

        if (!parse_cidr(config->cluster_cidr, &base, &bits))
                return problem_set(p, EINVAL, 0, NULL,
                                "--cluster-cidr \"%s\" is not an IPv4 range like 10.244.0.0/16",
                                strempty(config->cluster_cidr));
        if (!range_read(&w, &r))
                return problem_set(p, EINVAL, 0, NULL,
                                "--node-cidr-mask-size %u does not fit --cluster-cidr %s: it must "
                                "be "
                                "between %u and %u",
                                config->node_cidr_mask_size, config->cluster_cidr, bits,
                                bits + 16 < 30 ? bits + 16 : 30);
        return 0;
}

/* Marks every block that the range overlaps. */
static void mark(const struct range *r, bool *used, const char *cidr) {
        uint32_t base, size;
        unsigned bits;
        uint64_t end;

        if (!parse_cidr(cidr, &base, &bits))
                return;
        size = UINT32_C(1) << (32 - r->bits);
        end = (uint64_t)base + (UINT64_C(1) << (32 - bits));
        for (uint32_t i = 0; i < r->count; i++) {
                uint64_t start = (uint64_t)r->base + (uint64_t)i * size;

                if (start < end && start + size > base)
                        used[i] = true;
        }
}

static json_t *take_block(const struct range *r, bool *used) {
        for (uint32_t i = 0; i < r->count; i++)
                if (!used[i]) {
                        struct in_addr in = {htonl(r->base + i * (UINT32_C(1) << (32 - r->bits)))};
                        char text[INET_ADDRSTRLEN];

                        used[i] = true;
                        inet_ntop(AF_INET, &in, text, sizeof(text));
                        return json_sprintf("%s/%u", text, r->bits);
                }
        return NULL;
}

static void podcidr_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_NODES && old && !gone &&
                        streq_ptr(json_str(old, "spec.podCIDR"), json_str(object, "spec.podCIDR")))
                return;
        wake_key(out, NULL, ONLY_NAME);
}

/* The wanted record for the present nodes; entries of deleted nodes are kept. */
static json_t *allocate(const struct world *w, const struct range *r, const json_t *data,
                const struct objects *nodes, struct actions *a) {
        bool *used = calloc(r->count, sizeof(*used));
        json_t *want = data ? json_copy((json_t *)data) : json_object(), *v;
        const char *key;

        assert(used && want);
        json_object_foreach (want, key, v)
                mark(r, used, json_string_value(v));
        for (size_t i = 0; i < nodes->count; i++)
                mark(r, used, json_str(nodes->items[i], "spec.podCIDR"));
        for (size_t i = 0; i < nodes->count; i++) {
                const char *name = object_name(nodes->items[i]);
                const char *has = json_str(nodes->items[i], "spec.podCIDR");
                json_t *block;

                if (!isempty(has)) {
                        if (!streq_ptr(json_string_value(json_object_get(want, name)), has))
                                json_object_set_new(want, name, json_string(has));
                        continue;
                }
                if (json_object_get(want, name) || object_is_deleting(nodes->items[i]))
                        continue;
                block = take_block(r, used);
                if (block)
                        json_object_set_new(want, name, block);
                else
                        action_event(a, nodes->items[i], "Warning", "CIDRNotAvailable",
                                        "Node %s gets no pod subnet: %s has no free /%u left", name,
                                        w->config->cluster_cidr, r->bits);
        }
        free(used);
        return want;
}

static void write_record(const json_t *record, struct actions *a, json_t *data) {
        if (record)
                action_patch(a, "configmaps", record, NULL, json_pack("{s:o}", "data", data));
        else
                action_create(a, "configmaps", RECORD_NS,
                                json_pack("{s:s, s:s, s:{s:s, s:s}, s:o}", "apiVersion", "v1",
                                                "kind", "ConfigMap", "metadata", "name",
                                                RECORD_NAME, "namespace", RECORD_NS, "data", data));
}

/* Entries whose node is gone; checked with the API before they are removed. */
static void release(const struct world *w, const json_t *record, struct actions *a) {
        json_t *gone = json_object(), *v;
        const char *key;

        json_object_foreach ((json_t *)json_object_get(record, "data"), key, v) {
                if (world_get(w, WORLD_NODES, NULL, key) || json_object_size(gone) >= RELEASES_MAX)
                        continue;
                action_guard_absent(a, api_resource(KIND_NODES), NULL, key, NULL);
                json_object_set_new(gone, key, json_null());
        }
        if (json_object_size(gone) > 0)
                write_record(record, a, gone);
        else
                json_decref(gone);
}

static void podcidr_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *record = world_get(w, WORLD_CIDR_RECORDS, RECORD_NS, RECORD_NAME);
        const json_t *data = json_object_get(record, "data");
        _cleanup_objects_ struct objects nodes = {0};
        _cleanup_json_ json_t *want = NULL;
        struct range range;

        if (!range_read(w, &range))
                return;
        world_all(w, WORLD_NODES, &nodes);
        want = allocate(w, &range, data, &nodes, a);
        if (json_object_size(want) > 0 && (!data || !json_equal(data, want))) {
                write_record(record, a, TAKE_PTR(want));
                return;
        }
        for (size_t i = 0; i < nodes.count; i++) {
                const json_t *node = nodes.items[i];
                const char *block = json_string_value(json_object_get(data, object_name(node)));

                if (block && isempty(json_str(node, "spec.podCIDR")) && !object_is_deleting(node))
                        action_patch(a, "nodes", node, NULL,
                                        json_pack("{s:{s:s, s:[s]}}", "spec", "podCIDR", block,
                                                        "podCIDRs", block));
        }
        if (a->count == 0)
                release(w, record, a);
}

const struct controller podcidr_controller = {
                .name = "podcidr",
                .primary = WORLD_KINDS_MAX,
                .kinds = WORLD_BIT(WORLD_NODES) | WORLD_BIT(WORLD_CIDR_RECORDS),
                .wake = podcidr_wake,
                .plan = podcidr_plan,
};
