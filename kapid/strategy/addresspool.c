/* AddressPool: the texts of its addresses are addresses that a service can have, and a pool is not
 * so large that it must be a mistake. Overlaps with other objects are admission's. */
#include "kapid/admission/addresses.h"
#include "kapid/strategy/strategy.h"

/* A pool is a part of a network of machines: an IPv4 /16, an IPv6 /64. */
enum { IPV4_ADDRESSES_MAX = 65536 };

static const char *why_range_is_wrong(const char *text) {
        char first[ADDRESS_TEXT_SIZE], last[ADDRESS_TEXT_SIZE];
        struct address_range r;
        const char *why;

        if (address_range_parse(text, &r) < 0)
                return "must be an address, a range (10.0.0.10-10.0.0.20) or a network "
                       "(10.0.0.0/28)";
        why = address_special(address_text(&r.first, first));
        if (!why)
                why = address_special(address_text(&r.last, last));
        if (why)
                return why;
        if (r.first.size == 4 && address_range_count(&r) > IPV4_ADDRESSES_MAX)
                return "may have at most 65536 addresses";
        if (r.first.size == 16 && address_range_count(&r) == UINT64_MAX &&
                        memcmp(r.first.octets, r.last.octets, 8) != 0)
                return "may be at most a /64";
        return NULL;
}

static void validate_addresses(struct findings *f, const json_t *addresses) {
        const json_t *v, *other;
        size_t i, k;

        json_array_foreach (addresses, i, v) {
                size_t at = findings_push(f, "addresses");
                const char *why = why_range_is_wrong(strempty(json_string_value(v)));
                struct address_range a, b;

                findings_push_index(f, i);
                if (why)
                        finding_add(f, FINDING_INVALID, NULL, v, "%s", why);
                json_array_foreach (addresses, k, other) {
                        if (k >= i || why)
                                break;
                        if (address_range_parse(json_string_value(v), &a) >= 0 &&
                                        address_range_parse(strempty(json_string_value(other)),
                                                        &b) >= 0 &&
                                        address_ranges_overlap(&a, &b))
                                finding_add(f, FINDING_INVALID, NULL, v,
                                                "overlaps with %s of the same pool",
                                                json_string_value(other));
                }
                findings_pop(f, at);
        }
}

static void addresspool_validate(struct findings *f, const json_t *object) {
        static const char *const selectors[] = {
                        "namespaceSelector", "serviceSelector", "nodeSelector"};
        const json_t *spec = json_object_get(object, "spec");
        size_t at = findings_push(f, "spec");

        validate_addresses(f, json_object_get(spec, "addresses"));
        for (size_t i = 0; i < ELEMENTS(selectors); i++) {
                size_t inner = findings_push(f, selectors[i]);

                strategy_validate_label_selector(f, json_object_get(spec, selectors[i]));
                findings_pop(f, inner);
        }
        findings_pop(f, at);
}

const struct kind_strategy strategies_addresspool[] = {
                {.group = "keelson.dev", .kind = "AddressPool", .validate = addresspool_validate},
                {0},
};
