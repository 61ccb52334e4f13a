/* AddressPoolOverlap: two pools would give the same address twice, and the addresses of services
 * and of pods lead elsewhere. An address of a node is no fault: it is left out when addresses are
 * given. Safeguard: a service that has an address of another network takes its traffic. */
#include "kapid/admission/addresses.h"
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "kapid/store/alloc.h"
#include "lib/object.h"

/* A field's value and what else has the range. */
struct checked {
        struct admission *a;
        size_t index;
        const char *text;
        struct address_range range;
};

static int refuse(const struct checked *c, struct problem *p, const char *fmt, ...) _printf_(3, 4);
static int refuse(const struct checked *c, struct problem *p, const char *fmt, ...) {
        _cleanup_free_ char *quoted = strformat("\"%.128s\"", c->text), *why = NULL;
        char field[64];
        va_list ap;

        snprintf(field, sizeof(field), "spec.addresses[%zu]", c->index);
        va_start(ap, fmt);
        if (vasprintf(&why, fmt, ap) < 0)
                why = NULL;
        va_end(ap);
        return quoted && why ? admission_invalid(c->a, field, quoted, why, p) : -ENOMEM;
}

static bool overlaps(const struct checked *c, const char *text) {
        struct address_range r;

        return !isempty(text) && address_range_parse(text, &r) >= 0 &&
               address_ranges_overlap(&c->range, &r);
}

static int check_pools(const struct checked *c, struct problem *p) {
        struct cache *pools = api_cache(c->a->api, "keelson.dev", "addresspools");

        for (struct item *it = pools ? cache_first(pools, "") : NULL; it;
                        it = cache_next(pools, it)) {
                _cleanup_json_ json_t *pool = item_object(it);
                const json_t *v;
                size_t i;

                if (!pool || streq(object_name(pool), c->a->name))
                        continue;
                json_array_foreach (json_at(pool, "spec.addresses"), i, v)
                        if (overlaps(c, json_string_value(v)))
                                return refuse(c, p, "overlaps with %s of the AddressPool \"%s\"",
                                                json_string_value(v), object_name(pool));
        }
        return 0;
}

static int check_pods(const struct checked *c, struct problem *p) {
        struct cache *nodes = api_cache(c->a->api, "", "nodes");

        for (struct item *it = nodes ? cache_first(nodes, "") : NULL; it;
                        it = cache_next(nodes, it)) {
                _cleanup_json_ json_t *node = item_object(it);
                const json_t *v;
                size_t i;

                json_array_foreach (json_at(node, "spec.podCIDRs"), i, v)
                        if (overlaps(c, json_string_value(v)))
                                return refuse(c, p,
                                                "overlaps with %s, the range of the pods on node "
                                                "\"%s\"",
                                                json_string_value(v), object_name(node));
        }
        return 0;
}

static int check_pool(struct admission *a, struct problem *p) {
        const struct cidrs *services = alloc_ranges(a->api->alloc);
        const json_t *v;
        size_t i;

        if (a->live && json_equal(json_at(a->live, "spec.addresses"),
                                       json_at(a->object, "spec.addresses")))
                return 0;
        json_array_foreach (json_at(a->object, "spec.addresses"), i, v) {
                struct checked c = {.a = a, .index = i, .text = strempty(json_string_value(v))};
                int r;

                if (address_range_parse(c.text, &c.range) < 0)
                        continue; /* validation refuses it */
                for (size_t k = 0; k < services->count; k++)
                        if (overlaps(&c, services->items[k].text))
                                return refuse(&c, p,
                                                "overlaps with %s, the range of service addresses",
                                                services->items[k].text);
                r = check_pools(&c, p);
                if (r < 0)
                        return r;
                r = check_pods(&c, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

static const struct admission_rule rules[] = {
                {.group = "keelson.dev",
                                .plural = "addresspools",
                                .operations = ADMIT_WRITE,
                                .validate = check_pool},
                {0},
};

const struct admission_plugin admission_address_pool = {.safeguard = true, .rules = rules};
