/* The reference server's rules and words: the first address and family stay as long as the Service
 * lives, a second one comes and goes with the policy. */
#include "kapid/strategy/service-families.h"

#include "kapid/schema/format.h"
#include "lib/address.h"

static const char *item(const json_t *list, size_t i) {
        return strempty(json_string_value(json_array_get(list, i)));
}

static bool is_none(const json_t *spec) {
        return streq(json_str_or(spec, "clusterIP", ""), "None");
}

static bool is_single(const json_t *spec) {
        return streq(json_str_or(spec, "ipFamilyPolicy", ""), "SingleStack");
}

/* Keeps the first of two items that are the old object's. */
static int trim_list(const json_t *before, json_t *spec, const char *key) {
        json_t *list = json_object_get(spec, key);

        if (json_array_size(list) != 2 || !json_equal(list, json_object_get(before, key)))
                return 0;
        return json_object_set_new(spec, key, json_pack("[O]", json_array_get(list, 0))) < 0
                               ? -ENOMEM
                               : 0;
}

int service_families_trim(const json_t *before, json_t *spec) {
        int r;

        if (is_single(before) || !*json_str_or(before, "ipFamilyPolicy", "") || !is_single(spec))
                return 0;
        r = trim_list(before, spec, "clusterIPs");
        if (r < 0)
                return r;
        return trim_list(before, spec, "ipFamilies");
}

static void validate_families(struct findings *f, const json_t *families) {
        const json_t *v;
        size_t i;

        json_array_foreach (families, i, v) {
                size_t at = findings_push(f, "ipFamilies");

                findings_push_index(f, i);
                if (i > 0 && streq(item(families, 0), item(families, i)))
                        finding_add(f, FINDING_DUPLICATE, NULL, v, NULL);
                findings_pop(f, at);
        }
        if (json_array_size(families) > 2)
                finding_add(f, FINDING_INVALID, "ipFamilies", families,
                                "may only hold up to 2 values");
}

/* Whether each is an address by itself. */
static bool validate_each(struct findings *f, const json_t *ips) {
        bool good = true;
        const json_t *v;
        size_t i;

        json_array_foreach (ips, i, v) {
                const char *text = item(ips, i), *why;
                size_t at;

                if (i == 0 && streq(text, "None")) {
                        if (json_array_size(ips) == 1)
                                continue;
                        finding_add(f, FINDING_INVALID, "clusterIPs", ips,
                                        "'None' must be the first and only value");
                        return false;
                }
                why = format_check(FORMAT_IP, text);
                if (!why)
                        continue;
                at = findings_push(f, "clusterIPs");
                findings_push_index(f, i);
                finding_add(f, FINDING_INVALID, NULL, v, "%s", why);
                findings_pop(f, at);
                good = false;
        }
        return good;
}

static void validate_match(struct findings *f, const json_t *ips, const json_t *families) {
        for (size_t i = 0; i < json_array_size(ips) && i < json_array_size(families); i++) {
                struct address a = address_parse(item(ips, i));
                size_t at;

                if (a.size == 0 || streq(family_name(address_family(&a)), item(families, i)))
                        continue;
                at = findings_push(f, "clusterIPs");
                findings_push_index(f, i);
                finding_add(f, FINDING_INVALID, NULL, json_array_get(ips, i),
                                "expected an %s value as indicated by `ipFamilies[%zu]`",
                                item(families, i), i);
                findings_pop(f, at);
        }
}

static bool are_of_two_families(const json_t *ips) {
        struct address a = address_parse(item(ips, 0)), b = address_parse(item(ips, 1));

        return a.size != b.size;
}

static void validate_ips(struct findings *f, const json_t *spec) {
        const json_t *ips = json_object_get(spec, "clusterIPs");
        const char *first = json_str_or(spec, "clusterIP", "");

        if (json_array_size(ips) > 0 && !*first)
                finding_add(f, FINDING_INVALID, "clusterIPs", ips,
                                "must be empty when `clusterIP` is not specified");
        else if (ips && !streq(item(ips, 0), first))
                finding_add(f, FINDING_INVALID, "clusterIPs", ips,
                                "first value must match `clusterIP`");
        if (json_array_size(ips) > 2)
                finding_add(f, FINDING_INVALID, "clusterIPs", ips, "may only hold up to 2 values");
        if (!validate_each(f, ips))
                return;
        if (json_array_size(ips) == 2 && !are_of_two_families(ips))
                finding_add(f, FINDING_INVALID, "clusterIPs", ips,
                                "may specify no more than one IP for each IP family, i.e. "
                                "[IPv4, IPv6] or [IPv6, IPv4]");
        else if (!is_none(spec))
                validate_match(f, ips, json_object_get(spec, "ipFamilies"));
}

void service_families_validate(struct findings *f, const json_t *spec) {
        static const char *const fields[] = {"clusterIPs", "ipFamilies", "ipFamilyPolicy"};

        if (!streq(json_str_or(spec, "type", "ClusterIP"), "ExternalName")) {
                validate_families(f, json_object_get(spec, "ipFamilies"));
                validate_ips(f, spec);
                return;
        }
        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                const json_t *v = json_object_get(spec, fields[i]);
                bool set = json_is_array(v) ? json_array_size(v) > 0
                                            : *strempty(json_string_value(v)) != 0;

                if (set || (i == 0 && *json_str_or(spec, "clusterIP", "")))
                        finding_add(f, FINDING_FORBIDDEN, fields[i], NULL,
                                        "may not be set for ExternalName services");
        }
}

/* A list whose first item stays, and whose second one leaves with the policy SingleStack. */
static void validate_list(struct findings *f, const json_t *before, const json_t *after,
                const char *key, const char *word) {
        const json_t *old = json_object_get(before, key), *new = json_object_get(after, key);
        size_t had = json_array_size(old), has = json_array_size(new), same = MIN(had, has);
        size_t at = findings_push(f, key);

        for (size_t i = 0; i < same; i++) {
                size_t inner;

                if (streq(item(old, i), item(new, i)))
                        continue;
                inner = findings_push_index(f, i);
                finding_add(f, FINDING_INVALID, NULL, new, "may not change once set");
                findings_pop(f, inner);
        }
        if (had > 0 && has == 0) {
                findings_push_index(f, 0);
                finding_add(f, FINDING_INVALID, NULL, new, "primary %s can not be unset", word);
        }
        findings_pop(f, at);
        if (had > 1 && has == 1 && !is_single(after))
                finding_add(f, FINDING_INVALID, "ipFamilyPolicy",
                                json_object_get(after, "ipFamilyPolicy"),
                                "must be set to 'SingleStack' when releasing the secondary %s",
                                word);
}

void service_families_validate_update(
                struct findings *f, const json_t *before, const json_t *after) {
        size_t at;

        if (is_none(before) && is_none(after))
                return;
        at = findings_push(f, "spec");
        validate_list(f, before, after, "clusterIPs", "clusterIP");
        if (is_none(before) == is_none(after))
                validate_list(f, before, after, "ipFamilies", "ipFamily");
        findings_pop(f, at);
}
