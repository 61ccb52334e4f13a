/* What services ask for, and the view of pools and addresses in use. The annotations are read with
 * keelson's prefix and with the two that MetalLB has used, so that manifests written for it work.
 */
#include "lib/object.h"
#include "reconcilers/network/loadbalancer-internal.h"
#include "reconcilers/pods.h"

/* --- what services ask for --- */

static const char *annotation(const json_t *service, const char *own, const char *other) {
        static const char *const prefixes[] = {"metallb.io/", "metallb.universe.tf/"};
        const char *value = object_annotation(service, own);

        for (size_t i = 0; !value && i < ELEMENTS(prefixes); i++) {
                _cleanup_free_ char *key = strformat("%s%s", prefixes[i], other);

                assert(key);
                value = object_annotation(service, key);
        }
        return strempty(value);
}

static const char *pool_asked(const json_t *service) {
        return annotation(service, "keelson.dev/address-pool", "address-pool");
}

static const char *sharing_key(const json_t *service) {
        return annotation(service, "keelson.dev/allow-shared-ip", "allow-shared-ip");
}

/* "10.0.0.5,2001:db8::5", or spec.loadBalancerIP; "" when any will do. */
static const char *addresses_asked(const json_t *service) {
        const char *list = annotation(service, "keelson.dev/load-balancer-ips", "loadBalancerIPs");

        return *list ? list : json_str_or(service, "spec.loadBalancerIP", "");
}

/* Takes the next text out of a list; false at its end. */
static bool next_asked(const char **list, char ret[static ADDRESS_TEXT_SIZE]) {
        size_t n;

        *list += strspn(*list, ", ");
        n = strcspn(*list, ", ");
        if (n == 0)
                return false;
        snprintf(ret, ADDRESS_TEXT_SIZE, "%.*s", (int)MIN(n, (size_t)ADDRESS_TEXT_SIZE), *list);
        *list += n;
        return true;
}

/* The address of that family that the service asks for; size 0: none in particular. */
static struct address asked_of_family(const json_t *service, unsigned size) {
        const char *list = addresses_asked(service);
        char text[ADDRESS_TEXT_SIZE];

        while (next_asked(&list, text)) {
                struct address a = address_parse(text);

                if (a.size == size)
                        return a;
        }
        return (struct address){0};
}

bool lb_is_ours(const json_t *service) {
        const char *class = json_str_or(service, "spec.loadBalancerClass", "");

        return !*class || streq(class, LB_CLASS);
}

bool lb_wants(const json_t *service) {
        return streq(json_str_or(service, "spec.type", ""), "LoadBalancer") &&
               lb_is_ours(service) && !object_is_deleting(service);
}

bool lb_wants_family(const json_t *service, unsigned size) {
        const json_t *families = json_at(service, "spec.ipFamilies"), *v;
        size_t i;

        /* Addresses that it asks for say what it wants: a balancer may have IPv6 where pods have
         * none. */
        if (*addresses_asked(service))
                return asked_of_family(service, size).size > 0;
        json_array_foreach (families, i, v)
                if (streq(strempty(json_string_value(v)), size == 4 ? "IPv4" : "IPv6"))
                        return true;
        return size == 4 && json_array_size(families) == 0;
}

bool lb_shows(const json_t *service, const char *address) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(service, "status.loadBalancer.ingress"), i, v)
                if (streq(json_str_or(v, "ip", ""), address))
                        return true;
        return false;
}

static bool ports_collide(const json_t *a, const json_t *b) {
        const json_t *x, *y;
        size_t i, k;

        json_array_foreach (json_at(a, "spec.ports"), i, x)
                json_array_foreach (json_at(b, "spec.ports"), k, y)
                        if (json_int_or(x, "port", 0) == json_int_or(y, "port", 0) &&
                                        streq(json_str_or(x, "protocol", "TCP"),
                                                        json_str_or(y, "protocol", "TCP")))
                                return true;
        return false;
}

/* Only in one namespace: a key is no secret, and must not open an address to other tenants. */
static bool share(const json_t *a, const json_t *b) {
        return *sharing_key(a) && streq(sharing_key(a), sharing_key(b)) &&
               streq(object_namespace(a), object_namespace(b)) && !ports_collide(a, b);
}

bool lb_lists(const struct lb_entry *e, const char *key) {
        const json_t *v;
        size_t i;

        json_array_foreach (e->services, i, v)
                if (streq(json_string_value(v), key))
                        return true;
        return false;
}

bool lb_accepts(const struct lb_view *v, const struct lb_entry *e, const json_t *service) {
        struct address asked = asked_of_family(service, e->address.size);
        const char *pool = pool_asked(service);
        const json_t *key;
        size_t i;

        if (!lb_wants_family(service, e->address.size) ||
                        (*pool && !streq(pool, object_name(e->pool->object))) ||
                        (asked.size > 0 && address_compare(&asked, &e->address) != 0) ||
                        (asked.size == 0 && *addresses_asked(service)))
                return false;
        json_array_foreach (e->services, i, key) {
                const json_t *other = world_get_key(v->w, WORLD_SERVICES, json_string_value(key));

                if (other && streq(object_uid(other), object_uid(service)))
                        return true;
                if (other && !share(other, service))
                        return false;
        }
        return true;
}

/* --- the view --- */

static void entry_free(void *p) {
        struct lb_entry *e = p;

        free(e->node);
        json_decref(e->services);
        free(e);
}

static struct lb_entry *entry_new(
                struct lb_view *v, struct lb_pool *pool, const struct address *address) {
        struct lb_entry *e = calloc(1, sizeof(*e));

        assert(e);
        e->address = *address;
        e->pool = pool;
        e->services = json_array();
        assert(e->services);
        address_text(address, e->text);
        assert(map_set(v->entries, e->text, e) >= 0);
        pool->in_use++;
        return e;
}

/* A selector that cannot be read selects nothing: validation refuses those. */
static struct label_selector *selector_of(const json_t *pool, const char *path) {
        _cleanup_problem_ struct problem p = {0};
        struct label_selector *s = NULL;
        const json_t *v = json_at(pool, path);

        if (v && label_selector_from_json(v, &s, &p) < 0)
                assert(label_selector_from_map(NULL, &s) >= 0);
        return s;
}

static void add_pool(struct lb_view *v, const json_t *object) {
        struct lb_pool pool = {.object = object,
                        .namespaces = selector_of(object, "spec.namespaceSelector"),
                        .services = selector_of(object, "spec.serviceSelector"),
                        .nodes = selector_of(object, "spec.nodeSelector"),
                        .priority = json_int_or(object, "spec.priority", 0),
                        .auto_assign = json_bool_or(object, "spec.autoAssign", true)};
        const json_t *text;
        size_t i;

        json_array_foreach (json_at(object, "spec.addresses"), i, text) {
                struct address_range r;

                if (address_range_parse(strempty(json_string_value(text)), &r) >= 0)
                        assert(vector_append(&pool.ranges, r) >= 0);
        }
        assert(vector_append(&v->pools, pool) >= 0);
}

static int compare_pools(const void *a, const void *b) {
        const struct lb_pool *x = a, *y = b;

        if (x->priority != y->priority)
                return x->priority > y->priority ? -1 : 1;
        return strcmp(object_name(x->object), object_name(y->object));
}

static bool pool_has(const struct lb_pool *pool, const struct address *a) {
        for (size_t i = 0; i < pool->ranges.count; i++)
                if (address_range_has(&pool->ranges.items[i], a))
                        return true;
        return false;
}

static struct lb_pool *pool_of(struct lb_view *v, const struct address *a) {
        for (size_t i = 0; i < v->pools.count; i++)
                if (pool_has(&v->pools.items[i], a))
                        return &v->pools.items[i];
        return NULL;
}

static void add_entries(struct lb_view *v, struct lb_pool *pool) {
        const json_t *row;
        size_t i;

        json_array_foreach (json_at(pool->object, "status.addresses"), i, row) {
                struct address a = address_parse(json_str_or(row, "address", ""));
                char text[ADDRESS_TEXT_SIZE];
                struct lb_entry *e;

                if (a.size == 0 || !pool_has(pool, &a) ||
                                map_get(v->entries, address_text(&a, text)))
                        continue;
                e = entry_new(v, pool, &a);
                if (*json_str_or(row, "node", ""))
                        e->node = strdup(json_str(row, "node"));
                assert(json_array_extend(e->services,
                                       json_unconst(json_object_get(row, "services"))) >= 0 ||
                                !json_object_get(row, "services"));
        }
}

void lb_view_init(struct lb_view *v, const struct world *w) {
        _cleanup_objects_ struct objects pools = {0};

        *v = (struct lb_view){.w = w, .entries = map_new(entry_free)};
        assert(v->entries);
        world_all(w, WORLD_ADDRESSPOOLS, &pools);
        for (size_t i = 0; i < pools.count; i++)
                if (!object_is_deleting(pools.items[i]))
                        add_pool(v, pools.items[i]);
        if (v->pools.count > 0)
                qsort(v->pools.items, v->pools.count, sizeof(*v->pools.items), compare_pools);
        for (size_t i = 0; i < v->pools.count; i++)
                add_entries(v, &v->pools.items[i]);
}

void lb_view_done(struct lb_view *v) {
        map_free(v->entries);
        map_free(v->reserved);
        for (size_t i = 0; i < v->pools.count; i++) {
                struct lb_pool *pool = &v->pools.items[i];

                vector_done(&pool->ranges);
                label_selector_free(pool->namespaces);
                label_selector_free(pool->services);
                label_selector_free(pool->nodes);
        }
        vector_done(&v->pools);
}

/* --- addresses that machines have --- */

static void reserve(struct lb_view *v, const char *text, const char *what, const char *whose) {
        struct address a = address_parse(text);
        char buffer[ADDRESS_TEXT_SIZE], *owner;

        if (a.size == 0)
                return;
        owner = strformat("%s%s", what, whose);
        assert(owner && map_set(v->reserved, address_text(&a, buffer), owner) >= 0);
}

/* Whose address it is; NULL: nobody's. */
static const char *reserved_by(struct lb_view *v, const char *text) {
        _cleanup_objects_ struct objects nodes = {0}, slices = {0};
        const json_t *a, *e;
        size_t i, k, n;

        if (v->reserved)
                return map_get(v->reserved, text);
        v->reserved = map_new(free);
        assert(v->reserved);
        world_all(v->w, WORLD_NODES, &nodes);
        for (n = 0; n < nodes.count; n++)
                json_array_foreach (json_at(nodes.items[n], "status.addresses"), i, a)
                        reserve(v, json_str_or(a, "address", ""), "node ",
                                        object_name(nodes.items[n]));
        world_list(v->w, WORLD_SLICES_BY_SERVICE, "default/kubernetes", &slices);
        for (n = 0; n < slices.count; n++)
                json_array_foreach (json_at(slices.items[n], "endpoints"), i, e)
                        json_array_foreach (json_object_get(e, "addresses"), k, a)
                                reserve(v, strempty(json_string_value(a)), "the API", "");
        return map_get(v->reserved, text);
}

/* --- placing --- */

static void refuse(struct lb_refusal *ret, const char *reason, const char *fmt, ...) _printf_(3, 4);
static void refuse(struct lb_refusal *ret, const char *reason, const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        free(ret->message);
        ret->reason = reason;
        assert(vasprintf(&ret->message, fmt, ap) >= 0);
        va_end(ap);
}

static bool pool_admits(
                const struct lb_view *v, const struct lb_pool *pool, const json_t *service) {
        const json_t *ns = world_get(v->w, WORLD_NAMESPACES, NULL, object_namespace(service));

        return (!pool->namespaces || label_selector_matches(pool->namespaces,
                                                     json_at(ns, "metadata.labels"))) &&
               (!pool->services || label_selector_matches(pool->services,
                                                   json_at(service, "metadata.labels")));
}

static struct lb_entry *place_asked(struct lb_view *v, const json_t *service,
                const struct address *asked, struct lb_refusal *ret) {
        struct lb_pool *pool = pool_of(v, asked);
        char text[ADDRESS_TEXT_SIZE];
        struct lb_entry *e = map_get(v->entries, address_text(asked, text));
        const char *owner;

        if (!pool)
                refuse(ret, "AddressOutside",
                                "the address %s is in no AddressPool; ask for another one, or add "
                                "it to a pool",
                                text);
        else if (*pool_asked(service) && !streq(pool_asked(service), object_name(pool->object)))
                refuse(ret, "AddressOutside",
                                "the address %s is in the AddressPool \"%s\", and not in \"%s\", "
                                "which an annotation asks for",
                                text, object_name(pool->object), pool_asked(service));
        else if (!pool_admits(v, pool, service))
                refuse(ret, "PoolNotAllowed",
                                "the address %s is in the AddressPool \"%s\", whose selectors do "
                                "not match the service or its namespace",
                                text, object_name(pool->object));
        else if ((owner = reserved_by(v, text)))
                refuse(ret, "AddressReserved", "the address %s belongs to %s", text, owner);
        else if (e && !lb_accepts(v, e, service))
                refuse(ret, "AddressTaken",
                                "the address %s is taken by the service %s; ask for another one, "
                                "or share it (docs/load-balancer.md)",
                                text, strempty(json_string_value(json_array_get(e->services, 0))));
        else if (e)
                return e;
        else if (pool->in_use >= LB_ADDRESSES_MAX)
                refuse(ret, "PoolEmpty",
                                "the AddressPool \"%s\" has %d addresses in use, which "
                                "is the most that one pool can have; make another pool",
                                object_name(pool->object), LB_ADDRESSES_MAX);
        else
                return entry_new(v, pool, asked);
        return NULL;
}

/* The lowest free address of the family; size 0 when there is none. */
static struct address free_address(struct lb_view *v, const struct lb_pool *pool, unsigned size) {
        for (size_t i = 0; i < pool->ranges.count; i++) {
                const struct address_range *r = &pool->ranges.items[i];
                struct address a = r->first;
                char text[ADDRESS_TEXT_SIZE];

                if (a.size != size)
                        continue;
                for (;; address_next(&a)) {
                        address_text(&a, text);
                        if (!map_get(v->entries, text) && !reserved_by(v, text))
                                return a;
                        if (address_compare(&a, &r->last) == 0)
                                break;
                }
        }
        return (struct address){0};
}

/* An address that services of the same key have already. */
static struct lb_entry *shared_entry(struct lb_view *v, const struct lb_pool *pool,
                const json_t *service, unsigned size) {
        if (!*sharing_key(service))
                return NULL;
        map_foreach (v->entries, i) {
                struct lb_entry *e = map_entry_value(i);

                if (e->pool == pool && e->address.size == size &&
                                json_array_size(e->services) > 0 && lb_accepts(v, e, service))
                        return e;
        }
        return NULL;
}

static struct lb_entry *place_any(
                struct lb_view *v, const json_t *service, unsigned size, struct lb_refusal *ret) {
        const char *asked = pool_asked(service);
        size_t fitting = 0;

        for (size_t i = 0; i < v->pools.count; i++) {
                struct lb_pool *pool = &v->pools.items[i];
                struct lb_entry *e;
                struct address a;

                if (*asked ? !streq(asked, object_name(pool->object)) : !pool->auto_assign)
                        continue;
                if (!pool_admits(v, pool, service))
                        continue;
                fitting++;
                e = shared_entry(v, pool, service, size);
                if (e)
                        return e;
                a = pool->in_use < LB_ADDRESSES_MAX ? free_address(v, pool, size)
                                                    : (struct address){0};
                if (a.size > 0)
                        return entry_new(v, pool, &a);
        }
        if (fitting > 0)
                refuse(ret, "PoolEmpty",
                                "no free %s address is left in %zu fitting AddressPool%s; add "
                                "addresses to a pool",
                                size == 4 ? "IPv4" : "IPv6", fitting, fitting > 1 ? "s" : "");
        else if (*asked)
                refuse(ret, "NoPool",
                                "there is no AddressPool \"%s\" whose selectors match the service "
                                "and its namespace",
                                asked);
        else
                refuse(ret, "NoPool",
                                "there is no AddressPool with autoAssign whose selectors match the "
                                "service and its namespace; make one (docs/load-balancer.md)");
        return NULL;
}

struct lb_entry *lb_place(
                struct lb_view *v, const json_t *service, unsigned size, struct lb_refusal *ret) {
        struct address asked = asked_of_family(service, size);

        if (asked.size > 0)
                return place_asked(v, service, &asked, ret);
        if (!*addresses_asked(service))
                return place_any(v, service, size, ret);
        refuse(ret, "AddressOutside", "\"%.100s\" has no %s address", addresses_asked(service),
                        size == 4 ? "IPv4" : "IPv6");
        return NULL;
}

/* --- all services --- */

static int compare_services(const void *a, const void *b) {
        const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
        uint64_t s = object_created_us(x), t = object_created_us(y);
        int by_ns = strcmp(object_namespace(x), object_namespace(y));

        if (s != t)
                return s < t ? -1 : 1;
        return by_ns != 0 ? by_ns : strcmp(object_name(x), object_name(y));
}

/* Services that are gone, or neither may have the address nor show it, leave the entry. */
static void prune(struct lb_view *v, struct lb_entry *e) {
        for (size_t i = json_array_size(e->services); i-- > 0;) {
                const json_t *s = world_get_key(v->w, WORLD_SERVICES,
                                json_string_value(json_array_get(e->services, i)));

                if (!s || !((lb_wants(s) && lb_accepts(v, e, s)) || lb_shows(s, e->text)))
                        json_array_remove(e->services, i);
        }
}

static void enter(struct lb_entry *e, const char *key) {
        if (!lb_lists(e, key))
                assert(json_array_append_new(e->services, json_string(key)) >= 0);
}

/* What a service shows it keeps, also when its pool was made again; and what it still shows while
 * it must give it up, nobody else gets. */
static void adopt(struct lb_view *v, const json_t *service, const char *key) {
        const json_t *row;
        size_t i;

        json_array_foreach (json_at(service, "status.loadBalancer.ingress"), i, row) {
                struct address a = address_parse(json_str_or(row, "ip", ""));
                struct lb_pool *pool = a.size > 0 ? pool_of(v, &a) : NULL;
                char text[ADDRESS_TEXT_SIZE];
                struct lb_entry *e;

                if (!pool || pool->in_use >= LB_ADDRESSES_MAX)
                        continue;
                e = map_get(v->entries, address_text(&a, text));
                if (!e)
                        enter(entry_new(v, pool, &a), key);
                else if (!lb_wants(service) || lb_accepts(v, e, service))
                        enter(e, key);
        }
}

static bool has_family(const struct lb_view *v, const struct objects *entries, const json_t *s,
                unsigned size) {
        for (size_t i = 0; i < entries->count; i++) {
                const struct lb_entry *e =
                                map_get(v->entries, json_string_value(entries->items[i]));

                if (e && e->address.size == size && lb_accepts(v, e, s))
                        return true;
        }
        return false;
}

/* service key -> array of the texts of its addresses */
static json_t *addresses_by_service(const struct lb_view *v) {
        json_t *by = json_object();

        assert(by);
        map_foreach (v->entries, i) {
                const struct lb_entry *e = map_entry_value(i);
                const json_t *key;
                size_t k;

                json_array_foreach (e->services, k, key) {
                        json_t *list = json_object_get(by, json_string_value(key));

                        if (!list) {
                                list = json_array();
                                assert(json_object_set_new(by, json_string_value(key), list) >= 0);
                        }
                        assert(json_array_append_new(list, json_string(e->text)) >= 0);
                }
        }
        return by;
}

static void place(struct lb_view *v, const json_t *service, const char *key, const json_t *have) {
        static const unsigned sizes[] = {4, 16};

        for (size_t f = 0; f < ELEMENTS(sizes); f++) {
                _cleanup_objects_ struct objects entries = {0};
                struct lb_refusal refusal = {0};
                struct lb_entry *e;
                const json_t *text;
                size_t i;

                json_array_foreach (have, i, text)
                        objects_add(&entries, text);
                if (!lb_wants_family(service, sizes[f]) ||
                                has_family(v, &entries, service, sizes[f]))
                        continue;
                e = lb_place(v, service, sizes[f], &refusal);
                free(refusal.message); /* the service's own round reports it */
                if (e)
                        enter(e, key);
        }
}

static void remove_unused(struct lb_view *v) {
        map_foreach (v->entries, i) {
                struct lb_entry *e = map_entry_value(i);

                if (json_array_size(e->services) > 0)
                        continue;
                e->pool->in_use--;
                map_remove(v->entries, map_entry_key(i));
        }
}

void lb_allocate(struct lb_view *v) {
        _cleanup_objects_ struct objects services = {0};
        _cleanup_json_ json_t *have = NULL;

        world_list(v->w, WORLD_SERVICES_BALANCED, "1", &services);
        if (services.count > 0)
                qsort(services.items, services.count, sizeof(*services.items), compare_services);
        map_foreach (v->entries, i)
                prune(v, map_entry_value(i));
        for (size_t i = 0; i < services.count; i++) {
                _cleanup_free_ char *key = object_key(services.items[i]);

                assert(key);
                if (lb_is_ours(services.items[i]))
                        adopt(v, services.items[i], key);
        }
        remove_unused(v);
        have = addresses_by_service(v);
        /* Those that ask for an address first: the others can have any. */
        for (size_t i = 0; i < 2 * services.count; i++) {
                const json_t *s = services.items[i % services.count];
                _cleanup_free_ char *key = object_key(s);

                assert(key);
                if (lb_wants(s) && !*addresses_asked(s) == (i >= services.count))
                        place(v, s, key, json_object_get(have, key));
        }
}
