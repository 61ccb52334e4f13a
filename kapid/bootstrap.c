/* First objects. Each is created by a separate txn that succeeds only if none of that name exists,
 * so that several kapids may start at once and what an administrator changed stays. Default roles
 * follow the program (rules are put back at start) unless their annotation
 * rbac.authorization.kubernetes.io/autoupdate says "false". */
#include "kapid/bootstrap.h"

#include "kapid/store/alloc.h"
#include "kapid/bootstrap-objects.h"
#include "kapid/pipeline/pipeline.h"
#include "kapid/presence.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"

#define DNS_SERVICE "kube-dns"

enum { RETRY_US = 1000 * 1000, CURRENT_US = 20 * 1000 };

struct bootstrap {
        struct api *api;
        json_t *objects; /* array */
        size_t next;
        char *key;
        sd_event_source *timer;
        struct bootstrap_txn {
                struct store_guard guards[2];
                struct store_op ops[2];
                char *text;
                char *range_key, *owner;
        } txn;
        bool pending;
};

static void step(struct bootstrap *b);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        struct bootstrap *b = userdata;

        b->timer = sd_event_source_disable_unref(b->timer);
        step(b);
        return 0;
}

static void step_after(struct bootstrap *b, uint64_t delay_us) {
        if (!b->timer && sd_event_add_time_relative(b->api->event, &b->timer, CLOCK_MONOTONIC,
                                         delay_us, 0, on_retry, b) < 0)
                log_warning("Cannot set a timer to create the bootstrap objects");
}

static void retry_later(struct bootstrap *b) {
        step_after(b, RETRY_US);
}

static void clear_txn(struct bootstrap *b) {
        b->txn.text = mfree(b->txn.text);
        b->txn.range_key = mfree(b->txn.range_key);
        b->txn.owner = mfree(b->txn.owner);
        b->key = mfree(b->key);
}

static void on_stored(const struct store_result *res, void *userdata) {
        struct bootstrap *b = userdata;

        b->pending = false;
        clear_txn(b);
        if (res->error) {
                log_debug_errno(res->error, "Cannot create a bootstrap object: %s", res->message);
                retry_later(b);
                return;
        }
        b->next++; /* a failed guard: someone else made it */
        step(b);
}

static bool has_labels(const json_t *live, const json_t *wanted) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)json_at(wanted, "metadata.labels"), key, v)
                if (!streq_ptr(object_label(live, key), json_string_value(v)))
                        return false;
        return true;
}

/* Whether the stored object is as it should be. */
static bool is_good(const json_t *live, const json_t *wanted) {
        const char *update = object_annotation(live, "rbac.authorization.kubernetes.io/autoupdate");

        if (update && streq(update, "false"))
                return true;
        /* The rules of an aggregated role are the controller's. */
        if (json_object_get(wanted, "aggregationRule"))
                return json_equal(json_object_get(live, "aggregationRule"),
                                       json_object_get(wanted, "aggregationRule")) &&
                       has_labels(live, wanted);
        if (streq(object_kind(wanted), "ClusterRole"))
                return has_labels(live, wanted) &&
                       json_equal(json_object_get(live, "rules"), json_object_get(wanted, "rules"));
        if (streq(object_kind(wanted), "EndpointSlice"))
                return json_equal(json_object_get(live, "endpoints"),
                                       json_object_get(wanted, "endpoints")) &&
                       json_equal(json_object_get(live, "ports"), json_object_get(wanted, "ports"));
        /* These describe what is compiled in, or an option. */
        if (json_object_get(wanted, "status") ||
                        streq(object_kind(wanted), "PriorityLevelConfiguration"))
                return json_equal(json_object_get(live, "spec"), json_object_get(wanted, "spec"));
        return true;
}

/* What the server says itself of an object; it is no client's status. */
static int put_status(json_t *object, json_t *status) {
        return status && json_object_set(object, "status", status) < 0 ? -ENOMEM : 0;
}

static int complete(struct bootstrap *b, const struct kind *k, const json_t *live, json_t *object) {
        const struct pipeline_context c = {.now_us = now_wall_us()};
        _cleanup_json_ json_t *status = json_incref(json_object_get(object, "status"));
        char uuid[UUID_SIZE], now[TIMEFMT_SIZE];
        int r;

        r = json_set_str(object, "metadata.uid", live ? object_uid(live) : random_uuid(uuid));
        if (r < 0)
                return r;
        r = json_set_str(object, "metadata.creationTimestamp",
                        live ? json_str_or(live, "metadata.creationTimestamp", "")
                             : time_format(c.now_us, now));
        if (r < 0)
                return r;
        r = pipeline_default(k, object);
        if (r < 0)
                return r;
        r = pipeline_prepare_create(k, object, &c);
        return r < 0 ? r : put_status(object, status);
}

/* The first Service takes the first address of the range. */
static int add_claim(struct bootstrap *b, const json_t *object, struct store_txn *t) {
        if (!streq(object_kind(object), "Service"))
                return 0;
        b->txn.range_key = alloc_address_key(json_str_or(object, "spec.clusterIP", ""));
        b->txn.owner = object_key(object);
        if (!b->txn.range_key || !b->txn.owner)
                return -ENOMEM;
        b->txn.ops[1] = (struct store_op){.key = b->txn.range_key,
                        .value = b->txn.owner,
                        .size = strlen(b->txn.owner)};
        t->op_count = 2;
        return 0;
}

/* A cluster of an earlier version may have given the name server's address to another service. */
static bool is_in_the_way(struct bootstrap *b, const json_t *object) {
        const char *address = json_str_or(object, "spec.clusterIP", "");

        if (!streq(object_name(object), DNS_SERVICE) ||
                        !alloc_address_is_taken(b->api->alloc, address))
                return false;
        log_warning("Service kube-system/" DNS_SERVICE " is not made: another service has its "
                    "address %s; delete that service and restart kapid, or give the agents "
                    "another --cluster-dns",
                        address);
        return true;
}

/* 1: a txn is under way. 0: nothing to do for this one. */
static int make(struct bootstrap *b, json_t *object) {
        struct api *a = b->api;
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];
        const struct kind *k = NULL;
        struct cache *c;
        struct item *it;
        _cleanup_json_ json_t *live = NULL;
        struct store_txn t = {.guards = b->txn.guards,
                        .guard_count = 1,
                        .ops = b->txn.ops,
                        .op_count = 1};
        int r;

        if (object_split_api_version(object_api_version(object), group, version) >= 0)
                k = kind_registry_find_kind(a->kinds, group, version, object_kind(object));
        if (!k)
                return -EINVAL;
        b->key = k->namespaced ? strformat("%s%s/%s", k->storage_prefix, object_namespace(object),
                                                 object_name(object))
                               : strformat("%s%s", k->storage_prefix, object_name(object));
        c = caches_get(a->caches, k->storage_prefix);
        if (!b->key || !c)
                return -ENOMEM;
        it = cache_find(c, b->key + strlen(k->storage_prefix));
        live = it ? item_object(it) : NULL;
        if (live && is_good(live, object))
                return 0;
        if (!live && is_in_the_way(b, object))
                return 0;
        r = complete(b, k, live, object);
        if (r < 0)
                return r;
        b->txn.text = json_text(object);
        if (!b->txn.text)
                return -ENOMEM;
        b->txn.guards[0] =
                        (struct store_guard){.key = b->key, .revision = it ? item_revision(it) : 0};
        b->txn.ops[0] = (struct store_op){
                        .key = b->key, .value = b->txn.text, .size = strlen(b->txn.text)};
        if (!live) {
                r = add_claim(b, object, &t);
                if (r < 0)
                        return r;
        }
        r = store_txn(a->store, &t, on_stored, b);
        if (r < 0)
                return r;
        b->pending = true;
        return 1;
}

static void step(struct bootstrap *b) {
        if (b->pending)
                return;
        /* What the caches show of some time ago must not be taken for what is there. */
        if (!caches_are_current(b->api->caches)) {
                step_after(b, CURRENT_US);
                return;
        }
        while (b->next < json_array_size(b->objects)) {
                json_t *object = json_array_get(b->objects, b->next);
                int r = make(b, object);

                if (r > 0)
                        return;
                clear_txn(b);
                if (r < 0) {
                        log_debug_errno(r, "Could not make %s %s", object_kind(object),
                                        object_name(object));
                        retry_later(b);
                        return;
                }
                b->next++;
        }
        if (!b->api->bootstrapped)
                daemon_notify_ready(b->api->daemon, "Serving the API");
        b->api->bootstrapped = true;
}

static const json_t *first_role(const struct bootstrap *b, const char *name) {
        const json_t *o;
        size_t i;

        json_array_foreach (b->objects, i, o)
                if (streq(object_kind(o), "ClusterRole") && streq(object_name(o), name))
                        return o;
        return NULL;
}

/* `rulesOf: [view]` puts the rules of earlier roles before the role's own. */
static int inherit_rules(const struct bootstrap *b, json_t *role) {
        const json_t *from = json_object_get(role, "rulesOf"), *name;
        _cleanup_json_ json_t *rules = json_array();
        size_t i;

        if (!from)
                return 0;
        json_array_foreach (from, i, name) {
                const json_t *o = first_role(b, strempty(json_string_value(name)));

                assert(o); /* the table names earlier ones only */
                if (json_array_extend(rules, json_object_get(o, "rules")) < 0)
                        return -ENOMEM;
        }
        if (!rules || json_array_extend(rules, json_object_get(role, "rules")) < 0 ||
                        json_object_set(role, "rules", rules) < 0)
                return -ENOMEM;
        json_object_del(role, "rulesOf");
        return 0;
}

static int add_yaml(struct bootstrap *b) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        int r = yaml_parse(bootstrap_objects, strlen(bootstrap_objects), &docs, &p);

        if (r < 0)
                return log_error_errno(
                                r, "Cannot parse the bootstrap objects: %s", strempty(p.message));
        for (size_t i = 0; i < docs.count; i++) {
                json_t *copy = json_tree_copy(docs.items[i].value);

                if (!copy || inherit_rules(b, copy) < 0 ||
                                json_array_append_new(b->objects, copy) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Service default/kubernetes, and the slice that says where this kapid is. */
static int add_service(struct bootstrap *b) {
        const struct api_options *o = &b->api->options;
        const char *family = family_name(alloc_primary_family(b->api->alloc));
        char ip[ADDRESS_TEXT_SIZE];
        const char *first = alloc_first_address(b->api->alloc, ip);
        _cleanup_free_ char *name = NULL;
        json_t *service, *slice;

        service = json_pack("{ss, ss, s{ss, ss, s{ss, ss}}, s{ss, ss, s[s], ss, s[s], "
                            "s[{ss, si, si, ss}]}}",
                        "apiVersion", "v1", "kind", "Service", "metadata", "name", "kubernetes",
                        "namespace", "default", "labels", "component", "apiserver", "provider",
                        "kubernetes", "spec", "type", "ClusterIP", "clusterIP", first, "clusterIPs",
                        first, "ipFamilyPolicy", "SingleStack", "ipFamilies", family, "ports",
                        "name", "https", "port", 443, "targetPort", (int)o->port, "protocol",
                        "TCP");
        if (!service || json_array_append_new(b->objects, service) < 0)
                return -ENOMEM;
        if (!o->advertise_address)
                return 0;
        name = presence_name(o->advertise_address);
        if (!name)
                return -ENOMEM;
        slice = json_pack("{ss, ss, s{ss, ss, s{ss, ss}}, ss, s[{s[s], s{sb}}], s[{ss, si, ss}]}",
                        "apiVersion", "discovery.k8s.io/v1", "kind", "EndpointSlice", "metadata",
                        "name", name, "namespace", "default", "labels",
                        "kubernetes.io/service-name", "kubernetes",
                        "endpointslice.kubernetes.io/managed-by", "kapid", "addressType",
                        strchr(o->advertise_address, ':') ? "IPv6" : "IPv4", "endpoints",
                        "addresses", o->advertise_address, "conditions", "ready", 1, "ports",
                        "name", "https", "port", (int)o->port, "protocol", "TCP");
        return slice && json_array_append_new(b->objects, slice) >= 0 ? 0 : -ENOMEM;
}

/* Charts look the name server up under this name. unbound answers on the address on each node
 * itself, so the service has no selector and no endpoints. */
static int add_dns_service(struct bootstrap *b) {
        const char *family = family_name(alloc_primary_family(b->api->alloc));
        char ip[ADDRESS_TEXT_SIZE];
        const char *address = alloc_dns_address(b->api->alloc, ip);
        json_t *service;

        if (!address)
                return 0;
        service = json_pack("{ss, ss, s{ss, ss, s{ss, ss, ss}}, s{ss, ss, s[s], ss, s[s], "
                            "s[{ss, si, si, ss}, "
                            "{ss, si, si, ss}]}}",
                        "apiVersion", "v1", "kind", "Service", "metadata", "name", DNS_SERVICE,
                        "namespace", "kube-system", "labels", "k8s-app", DNS_SERVICE,
                        "kubernetes.io/cluster-service", "true", "kubernetes.io/name", "CoreDNS",
                        "spec", "type", "ClusterIP", "clusterIP", address, "clusterIPs", address,
                        "ipFamilyPolicy", "SingleStack", "ipFamilies", family, "ports", "name",
                        "dns", "port", 53, "targetPort", 53, "protocol", "UDP", "name", "dns-tcp",
                        "port", 53, "targetPort", 53, "protocol", "TCP");
        return service && json_array_append_new(b->objects, service) >= 0 ? 0 : -ENOMEM;
}

/* ServiceCIDR kubernetes: the option --service-cluster-ip-range. */
static int add_service_ranges(struct bootstrap *b) {
        const struct cidrs *ranges = alloc_ranges(b->api->alloc);
        json_t *cidrs = json_array(), *object;
        char now[TIMEFMT_SIZE];

        for (size_t i = 0; i < ranges->count; i++)
                if (json_array_append_new(cidrs, json_string(ranges->items[i].text)) < 0) {
                        json_decref(cidrs);
                        return -ENOMEM;
                }
        object = json_pack("{ss, ss, s{ss}, s{so}, s{s[{ss, ss, ss, ss, ss}]}}", "apiVersion",
                        "networking.k8s.io/v1", "kind", "ServiceCIDR", "metadata", "name",
                        "kubernetes", "spec", "cidrs", cidrs, "status", "conditions", "type",
                        "Ready", "status", "True", "reason", "", "message",
                        "Kubernetes Service CIDR is ready", "lastTransitionTime",
                        time_format(now_wall_us(), now));
        return object && json_array_append_new(b->objects, object) >= 0 ? 0 : -ENOMEM;
}

int bootstrap_start(struct bootstrap **ret, struct api *a) {
        _cleanup_(bootstrap_freep) struct bootstrap *b = calloc(1, sizeof(*b));
        int r;

        if (!b)
                return -ENOMEM;
        b->api = a;
        b->objects = json_array();
        if (!b->objects)
                return -ENOMEM;
        r = add_yaml(b);
        if (r < 0)
                return r;
        r = add_service(b);
        if (r < 0)
                return r;
        r = add_dns_service(b);
        if (r < 0)
                return r;
        r = add_service_ranges(b);
        if (r < 0)
                return r;
        *ret = b;
        step(TAKE_PTR(b));
        return 0;
}

struct bootstrap *bootstrap_free(struct bootstrap *b) {
        if (!b)
                return NULL;
        sd_event_source_disable_unref(b->timer);
        json_decref(b->objects);
        clear_txn(b);
        return mfree(b);
}
