/* Pod subnets: each node gets one block of each of the cluster's ranges (one for a family) and
 * never shares it. The ConfigMap kube-system/keelson-pod-cidrs (node name -> block, or two with a
 * comma between them) decides: a block is first written there, against the ConfigMap's
 * resourceVersion, and a node gets only what is recorded there. So two writers, a crash in between
 * or a stale cache lead to a conflict and a retry, never to a block assigned twice. A block becomes
 * free when its node is gone, which is checked with the API. */
#include "reconcilers/cluster/podcidr.h"

#include "lib/buf.h"
#include "lib/cidr.h"
#include "lib/object.h"
#include "reconcilers/controller.h"

enum { BLOCK_BITS_MAX = 16, RELEASES_MAX = 16, GIVEN_MAX = 250 /* in one round: a turn */ };
#define RECORD_NS "kube-system"
#define RECORD_NAME "keelson-pod-cidrs"
#define ONLY_NAME "cidrs"

/* The cluster's range of a family, divided into blocks. */
struct range {
        struct cidr cluster;
        unsigned bits;  /* prefix length of a block */
        uint32_t count; /* of blocks */
        bool *used;     /* one a block */
        uint32_t first_free; /* all blocks before it are used */
};

/* In the order of the cluster's ranges. */
struct ranges {
        struct range items[FAMILIES];
        size_t count;
};

static void ranges_done(struct ranges *all) {
        for (size_t i = 0; i < all->count; i++)
                free(all->items[i].used);
}

static unsigned block_bits(const struct world_config *config, enum ip_family family) {
        return family == FAMILY_IPV6 ? config->node_cidr_mask_size_ipv6
                                     : config->node_cidr_mask_size;
}

/* A host needs the network's, the gateway's, its own and the last address. */
static unsigned bits_max(const struct cidr *cluster) {
        return MIN(cluster->bits + BLOCK_BITS_MAX, cluster->range.first.size * 8 - 2);
}

static bool range_read(
                const struct world_config *config, const struct cidr *cluster, struct range *r) {
        *r = (struct range){.cluster = *cluster,
                        .bits = block_bits(config, address_family(&cluster->range.first))};
        if (r->bits < cluster->bits || r->bits > bits_max(cluster))
                return false;
        r->count = UINT32_C(1) << (r->bits - cluster->bits);
        return true;
}

static bool ranges_read(const struct world *w, struct ranges *ret) {
        _cleanup_problem_ struct problem p = {0};
        struct cidrs all;

        if (cidrs_parse(strempty(w->config->cluster_cidr), "--cluster-cidr", &all, &p) < 0)
                return false;
        for (size_t i = 0; i < all.count; i++)
                if (!range_read(w->config, &all.items[i], &ret->items[i]))
                        return false;
        for (ret->count = 0; ret->count < all.count; ret->count++) {
                struct range *r = &ret->items[ret->count];

                r->used = calloc(r->count, sizeof(*r->used));
                assert(r->used);
        }
        return true;
}

static int check_sizes(
                const struct world_config *config, const struct cidrs *all, struct problem *p) {
        struct range r[FAMILIES];

        for (size_t i = 0; i < all->count; i++) {
                const struct cidr *c = &all->items[i];
                bool six = address_family(&c->range.first) == FAMILY_IPV6;

                if (!range_read(config, c, &r[i]))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "--node-cidr-mask-size-%s %u does not fit --cluster-cidr "
                                        "%s: it must be between %u and %u",
                                        six ? "ipv6" : "ipv4", r[i].bits, c->text, c->bits,
                                        bits_max(c));
        }
        /* A pod has the same place in both. */
        if (all->count == FAMILIES &&
                        cidrs_of(all, FAMILY_IPV6)->range.first.size * 8 -
                                                        config->node_cidr_mask_size_ipv6 <
                                        32 - config->node_cidr_mask_size)
                return problem_set(p, EINVAL, 0, NULL,
                                "--node-cidr-mask-size-ipv6 %u leaves a node fewer addresses than "
                                "--node-cidr-mask-size-ipv4 %u: use at most %u",
                                config->node_cidr_mask_size_ipv6, config->node_cidr_mask_size,
                                128 - (32 - config->node_cidr_mask_size));
        return 0;
}

int podcidr_check(const struct world_config *config, struct problem *p) {
        struct cidrs all;
        int r = cidrs_parse(strempty(config->cluster_cidr), "--cluster-cidr", &all, p);

        return r < 0 ? r : check_sizes(config, &all, p);
}

/* The number that the bits from..to-1 of an address are. */
static uint32_t bits_of(const struct address *a, unsigned from, unsigned to) {
        uint32_t n = 0;

        for (unsigned b = from; b < to; b++)
                n = n << 1 | (a->octets[b / 8] >> (7 - b % 8) & 1U);
        return n;
}

static void set_bits(struct address *a, unsigned from, unsigned to, uint32_t n) {
        for (unsigned b = to; b-- > from; n >>= 1)
                if (n & 1)
                        a->octets[b / 8] |= (unsigned char)(0x80 >> b % 8);
}

/* Marks every block that the network overlaps. */
static void mark_one(struct range *r, const struct cidr *c) {
        const struct address_range *all = &r->cluster.range;
        uint32_t first, last;

        if (!address_ranges_overlap(all, &c->range))
                return;
        first = address_compare(&c->range.first, &all->first) < 0
                                ? 0
                                : bits_of(&c->range.first, r->cluster.bits, r->bits);
        last = address_compare(&c->range.last, &all->last) > 0
                               ? r->count - 1
                               : bits_of(&c->range.last, r->cluster.bits, r->bits);
        for (uint32_t i = first; i <= last; i++)
                r->used[i] = true;
}

static void mark(struct ranges *all, const char *blocks) {
        _cleanup_problem_ struct problem p = {0};
        struct cidrs list;

        if (isempty(blocks) || cidrs_parse(blocks, "", &list, &p) < 0)
                return;
        for (size_t i = 0; i < list.count; i++)
                for (size_t k = 0; k < all->count; k++)
                        mark_one(&all->items[k], &list.items[i]);
}

static bool take_block(struct range *r, struct buf *out) {
        for (uint32_t i = r->first_free; i < r->count; i++)
                if (!r->used[i]) {
                        struct address a = r->cluster.range.first;
                        char text[ADDRESS_TEXT_SIZE];

                        r->used[i] = true;
                        r->first_free = i + 1;
                        set_bits(&a, r->cluster.bits, r->bits, i);
                        assert(buf_printf(out, "%s%s/%u", out->size > 0 ? "," : "",
                                               address_text(&a, text), r->bits) >= 0);
                        return true;
                }
        r->first_free = r->count;
        return false;
}

/* `has` (what the node has already, perhaps nothing) and a block of each other range:
 * "10.244.1.0/24,fd00:10:244:1::/64". NULL: one of them is full, which is *ret_full then. */
static json_t *take_blocks(struct ranges *all, const char *has, const struct range **ret_full) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf out = {0};
        struct cidrs own = {0};

        if (*has)
                (void)cidrs_parse(has, "", &own, &p);
        assert(buf_append_str(&out, has) >= 0);
        for (size_t i = 0; i < all->count; i++) {
                struct range *r = &all->items[i];

                if (cidrs_of(&own, address_family(&r->cluster.range.first)) || take_block(r, &out))
                        continue;
                *ret_full = r;
                return NULL;
        }
        return json_string(strempty(out.data));
}

/* What a node has, in the form of the record. Caller frees. */
static char *blocks_of(const json_t *node) {
        const json_t *list = json_at(node, "spec.podCIDRs");
        const char *second = json_string_value(json_array_get(list, 1)),
                   *first = json_str_or(node, "spec.podCIDR", "");
        char *text = strformat("%s%s%s", first, second ? "," : "", strempty(second));

        assert(text);
        return text;
}

/* Whether it has a block of each range; a text of an address shows its family. */
static bool has_all(const struct ranges *all, const char *has) {
        for (size_t i = 0; i < all->count; i++) {
                const struct address *first = &all->items[i].cluster.range.first;

                if (!strchr(has, address_family(first) == FAMILY_IPV6 ? ':' : '.'))
                        return false;
        }
        return true;
}

static void podcidr_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_NODES && old && !gone &&
                        streq_ptr(json_str(old, "spec.podCIDR"), json_str(object, "spec.podCIDR")))
                return;
        wake_key(out, NULL, ONLY_NAME);
}

/* Whether the record has all that the node has, and perhaps a second block. */
static bool covers(const char *recorded, const char *has) {
        const char *rest = startswith(recorded, has);

        return rest && (!*rest || !*has || *rest == ',');
}

/* Marks what is recorded and what nodes have, and adds to the record what it lacks. */
static void mark_all(struct ranges *all, json_t *want, const struct objects *nodes) {
        const char *key;
        json_t *v;

        json_object_foreach (want, key, v)
                mark(all, json_string_value(v));
        for (size_t i = 0; i < nodes->count; i++) {
                const char *name = object_name(nodes->items[i]);
                const char *recorded = strempty(json_string_value(json_object_get(want, name)));
                _cleanup_free_ char *has = blocks_of(nodes->items[i]);

                if (streq(recorded, has)) /* marked already */
                        continue;
                mark(all, has);
                if (!covers(recorded, has))
                        json_object_set_new(want, name, json_string(has));
        }
}

/* The wanted record for the present nodes; entries of deleted nodes are kept. A node of a cluster
 * that has got a second range since gets a block of that, too. */
static json_t *allocate(struct ranges *all, const json_t *data, const struct objects *nodes,
                struct actions *a) {
        json_t *want = data ? json_copy((json_t *)data) : json_object();

        assert(want);
        mark_all(all, want, nodes);
        for (size_t i = 0; i < nodes->count; i++) {
                const char *name = object_name(nodes->items[i]);
                const char *has = strempty(json_string_value(json_object_get(want, name)));
                const struct range *full = NULL;
                json_t *blocks;

                if (has_all(all, has) || object_is_deleting(nodes->items[i]))
                        continue;
                blocks = take_blocks(all, has, &full);
                if (blocks)
                        json_object_set_new(want, name, blocks);
                else
                        action_event(a, nodes->items[i], "Warning", "CIDRNotAvailable",
                                        "Node %s gets no pod subnet: %s has no free /%u left", name,
                                        full->cluster.text, full->bits);
        }
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

/* Gives the node what the record says. */
static void give(struct actions *a, const json_t *node, const char *blocks) {
        _cleanup_strv_free_ char **list = NULL;
        json_t *ranges = json_array();

        assert(ranges && strv_split(blocks, ",", &list) >= 0 && list && *list);
        for (char **s = list; *s; s++)
                json_array_append_new(ranges, json_string(*s));
        action_patch(a, "nodes", node, NULL,
                        json_pack("{s:{s:s, s:o}}", "spec", "podCIDR", list[0], "podCIDRs",
                                        ranges));
}

static void podcidr_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *record = world_get(w, WORLD_CIDR_RECORDS, RECORD_NS, RECORD_NAME);
        const json_t *data = json_object_get(record, "data");
        _cleanup_objects_ struct objects nodes = {0};
        _cleanup_(ranges_done) struct ranges ranges = {0};
        _cleanup_json_ json_t *want = NULL;
        size_t given;

        if (!ranges_read(w, &ranges))
                return;
        world_all(w, WORLD_NODES, &nodes);
        want = allocate(&ranges, data, &nodes, a);
        if (json_object_size(want) > 0 && (!data || !json_equal(data, want))) {
                write_record(record, a, TAKE_PTR(want));
                return;
        }
        given = a->count + GIVEN_MAX;
        for (size_t i = 0; i < nodes.count && a->count < given; i++) {
                const json_t *node = nodes.items[i];
                const char *blocks = json_string_value(json_object_get(data, object_name(node)));
                _cleanup_free_ char *has = blocks_of(node);

                if (!isempty(blocks) && !streq(blocks, has) && !object_is_deleting(node))
                        give(a, node, blocks);
        }
        if (a->count == 0)
                release(w, record, a);
        else if (a->count >= given)
                actions_requeue(a, 0);
}

const struct controller podcidr_controller = {
                .name = "podcidr",
                .primary = WORLD_KINDS_MAX,
                .kinds = WORLD_BIT(WORLD_NODES) | WORLD_BIT(WORLD_CIDR_RECORDS),
                .wake = podcidr_wake,
                .plan = podcidr_plan,
};
