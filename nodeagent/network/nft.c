/* At most one transaction runs at a time. A change marks the keys of its models; turns of the
 * loop rebuild their models, at most WORK_PER_TURN steps each, and pass the differences to the
 * thread. A load of the whole table builds the marked models the same way, piece by piece, and then
 * compares all of them with the kernel's table: only differences are written, so a restart of the
 * agent leaves the rules alone. After a transaction UDP flows to endpoints that it removed are
 * deleted. */
#include "nodeagent/network/nft.h"

#include "lib/log.h"
#include "lib/loop-turn.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/worker.h"
#include "nodeagent/network/conntrack.h"
#include "nodeagent/network/nft-apply.h"
#include "nodeagent/network/nft-claims.h"
#include "nodeagent/network/nft-monitor.h"
#include "nodeagent/network/nft-text.h"
#include "nodeagent/network/services-to-nft.h"

#define API_SERVICE "default/kubernetes"
#define PROTECTED_KEY "api:"

enum {
        RESTORE_DELAY_US = 200000,
        RESTORE_PAUSE_US = 2 * 1000000,
        RETRY_US = 5 * 1000000,
        SETTLE_US = 60 * 1000000, /* after the start every pod of the node was looked at */
        WORK_PER_TURN = 400,      /* services and endpoints visited */
};

/* A transaction: built on the loop, run on the thread, evaluated on the loop again. */
struct transaction {
        struct nft *nft;
        struct nft_change change;
        json_t *flows;  /* of UDP services that changed, or of all */
        bool whole;     /* the whole table */
        bool rewrite;   /* ... also chains that seem complete */
        bool settle;    /* ... also what pods have that this agent does not know */
        uint64_t marks; /* every mark up to this one is in it; 0: not all */
        uint64_t began_us;
        unsigned commits;
        uint32_t generation_before, generation_after;
        int flows_ended;
};

struct nft {
        sd_event *event;
        struct nft_options options;
        char *node_name, *node_ip[FAMILIES], *api, *zone;
        struct cidrs cluster, services;
        char *dns_address;           /* NULL: none */
        struct nft_applier *applier; /* the thread's while a transaction runs */
        struct worker *worker;
        struct nft_monitor *monitor;
        struct service_table *table;
        struct nft_claims *claims;
        struct map *reserved; /* addresses of nodes */
        struct map *guarded;  /* and of the API's endpoints */
        struct map *pods;     /* uid -> wanted model of a local pod */
        /* "svc:ns/name" or "pod:uid" -> model in the kernel. It and the claims change only while no
         * transaction runs: the thread reads them. */
        struct map *models;
        struct map *dirty;   /* keys of models to rebuild; values are not used */
        struct map *leaving; /* uid -> mark with which it stopped being an endpoint */
        struct map *warned;  /* warnings that were logged already */
        uint64_t marks;
        struct loop_turn *turn;
        sd_event_source *restore;
        bool loaded;     /* the table was loaded once, or is being loaded */
        bool reload_due; /* the whole table is to be compared, when no model is dirty */
        bool rewrite;    /* ... and its chains are to be written again */
        bool settled;    /* the pods of the node are known */
        sd_event_source *settle;
        struct transaction *running;
        uint64_t restored_us;
};

static void json_free(void *v) {
        json_decref(v);
}

static void again(struct nft *n) {
        loop_turn_ask(n->turn);
}

static void mark(struct nft *n, const char *prefix, const char *name) {
        _cleanup_free_ char *key = strformat("%s%s", prefix, name);

        n->marks++;
        if (key)
                (void)map_set(n->dirty, key, n);
        again(n);
}

/* ---- the wanted elements of a key ---- */

/* The API's own addresses: those of the kubeconfig, and the endpoints of its service. */
static json_t *api_addresses(struct nft *n) {
        const struct slice_list *slices = service_table_slices(n->table, API_SERVICE);
        json_t *list = json_object();

        if (n->api) {
                const char *colon = strrchr(n->api, ':');
                uint64_t number;
                if (colon && parse_u64(colon + 1, &number) >= 0)
                        json_object_set_new(list, n->api, json_integer((json_int_t)number));
        }
        for (size_t i = 0; slices && i < slices->count; i++) {
                const struct slice_view *s = slices->items[i];

                for (size_t k = 0; k < s->endpoints.count * s->ports.count; k++) {
                        unsigned port = s->ports.items[k % s->ports.count].port;
                        const char *address = s->endpoints.items[k / s->ports.count].address;
                        _cleanup_free_ char *key = strformat(
                                        strchr(address, ':') ? "[%s]:%u" : "%s:%u", address, port);

                        if (key)
                                json_object_set_new(list, key, json_integer(port));
                }
        }
        return list;
}

static void say_once(struct nft *n, const char *key, const char *what, const char *why) {
        _cleanup_free_ char *id = strformat("%s %s %s", key, what, why);

        if (!id || map_get(n->warned, id) || map_size(n->warned) > 10000)
                return;
        (void)map_set(n->warned, id, n);
        log_warning("%s: %s is left out of this node's rules: %s", key, what, why);
}

static void on_refused(const char *key, const char *element, const char *holder, void *userdata) {
        _cleanup_free_ char *why = strformat("%s has it already", holder);

        if (startswith(element, "balanced"))
                return; /* services share a load balancer's address: one of them is enough */
        say_once(userdata, key, element, strempty(why));
}

static void on_free(const char *key, void *userdata) {
        mark(userdata, "", key);
}

/* A member that is an object, made where it is missing; NULL when out of memory. */
static json_t *member(json_t *object, const char *key) {
        json_t *v = json_object_get(object, key);

        if (v)
                return v;
        v = json_object();
        return json_object_set_new(object, key, v) < 0 ? NULL : v;
}

/* The machine itself answers there, so no rule may lead its packets elsewhere or refuse them. */
static void protect_name_server(const struct nft *n, json_t *model) {
        _cleanup_free_ char *udp = NULL, *tcp = NULL;
        json_t *set;

        if (!n->dns_address || !model)
                return;
        set = member(member(model, "elements"),
                        nft_collection_name(NFT_PROTECTED,
                                        strchr(n->dns_address, ':') ? FAMILY_IPV6 : FAMILY_IPV4));
        udp = strformat("%s . udp . 53", n->dns_address);
        tcp = strformat("%s . tcp . 53", n->dns_address);
        if (!udp || !tcp || json_object_set_new(set, udp, json_string("")) < 0 ||
                        json_object_set_new(set, tcp, json_string("")) < 0)
                log_oom();
}

static json_t *service_model(struct nft *n, const char *key, const char *name, size_t *cost) {
        const struct service_facts facts = {.node = {n->node_name, strempty(n->zone)},
                        .cluster_cidr = {cidrs_text(&n->cluster, FAMILY_IPV4),
                                        cidrs_text(&n->cluster, FAMILY_IPV6)},
                        .service_cidr = {cidrs_text(&n->services, FAMILY_IPV4),
                                        cidrs_text(&n->services, FAMILY_IPV6)},
                        .node_ip = {n->node_ip[FAMILY_IPV4], n->node_ip[FAMILY_IPV6]},
                        .reserved = n->guarded};
        const struct service_view *service = service_table_service(n->table, name);
        const struct slice_list *slices = service_table_slices(n->table, name);
        const char *address;
        json_t *model, *v;

        if (!service)
                return NULL;
        for (size_t i = 0; slices && i < slices->count; i++)
                *cost += slices->items[i]->endpoints.count;
        model = service_to_model(service, slices, &facts);
        if (!model)
                log_oom();
        json_object_foreach (json_object_get(model, "leftOut"), address, v)
                say_once(n, key, address,
                                "it is an address of a node, of the API or of the service range; "
                                "take it out of spec.externalIPs");
        return model;
}

/* A model that is not shared, or NULL: nothing. *cost grows by the number of objects visited. */
static json_t *wanted(struct nft *n, const char *key, size_t *cost) {
        struct nft_claims_callbacks callbacks = {on_refused, on_free, n};
        const char *service = startswith(key, "svc:"), *pod = startswith(key, "pod:");
        json_t *model = NULL;

        *cost += 1;
        if (service)
                model = service_model(n, key, service, cost);
        else if (pod && map_get(n->pods, pod))
                model = json_deep_copy(map_get(n->pods, pod));
        else if (!pod) {
                const char *const ranges[FAMILIES] = {cidrs_text(&n->services, FAMILY_IPV4),
                                cidrs_text(&n->services, FAMILY_IPV6)};
                _cleanup_json_ json_t *addresses = api_addresses(n);

                model = protected_to_model(addresses, ranges);
                protect_name_server(n, model);
        }
        if (nft_claims_take(n->claims, key, map_get(n->models, key), model, &callbacks) < 0)
                log_oom();
        return model;
}

/* Adds the destinations of a model's flows; before: of its previous model, which may no longer be
 * valid. */
static void add_flows(json_t *flows, const json_t *model, bool before) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)json_at(model, "flows"), key, v) {
                if (!before)
                        json_object_set(flows, key, v);
                else if (!json_object_get(flows, key))
                        json_object_set_new(flows, key, json_array());
        }
}

/* ---- transactions ---- */

static struct transaction *transaction_free(struct transaction *t) {
        if (!t)
                return NULL;
        nft_change_done(&t->change);
        json_decref(t->flows);
        free(t);
        return NULL;
}

/* On the thread. */
static int run_whole(struct transaction *t) {
        struct nft *n = t->nft;
        const struct nft_frame frame = {.cluster_cidr = {cidrs_text(&n->cluster, FAMILY_IPV4),
                                                        cidrs_text(&n->cluster, FAMILY_IPV6)},
                        .service_cidr = {cidrs_text(&n->services, FAMILY_IPV4),
                                        cidrs_text(&n->services, FAMILY_IPV6)}};
        const struct nft_whole whole = {.frame = &frame,
                        .models = n->models,
                        .claims = n->claims,
                        .rewrite = t->rewrite,
                        .keep_pods = !t->settle};

        map_foreach (n->models, e)
                add_flows(t->flows, map_entry_value(e), /* before= */ false);
        return nft_whole_apply(&whole, n->applier, &t->commits);
}

/* On the thread. */
static int transaction_run(void *userdata) {
        struct transaction *t = userdata;
        struct nft *n = t->nft;
        const char *const ranges[FAMILIES] = {cidrs_text(&n->services, FAMILY_IPV4),
                        cidrs_text(&n->services, FAMILY_IPV6)};
        int r;

        t->generation_before = nft_generation();
        r = t->whole ? run_whole(t) : nft_change_apply(&t->change, n->applier, &t->commits);
        t->generation_after = nft_generation();
        if (r >= 0)
                t->flows_ended = conntrack_sweep(t->flows, t->whole ? ranges : NULL);
        return r;
}

static void restore_after(struct nft *n, uint64_t delay_us);

static void log_result(const struct transaction *t, int result) {
        const char *why = nft_applier_reason(t->nft->applier);

        if (result < 0)
                log_error_errno(result,
                                "The services' table could not be changed; it is compared with the "
                                "kernel's and written again in five seconds%s%.*s",
                                *why ? ": " : "", 400, why);
        else if (t->flows_ended < 0)
                log_warning_errno(t->flows_ended,
                                "Cannot look for UDP flows to removed endpoints; they stay until "
                                "their senders pause");
        else if (t->flows_ended > 0)
                log_debug("Ended %d UDP flows to removed endpoints", t->flows_ended);
}

static void transaction_done(int result, void *userdata) {
        struct transaction *t = userdata;
        struct nft *n = t->nft;

        n->running = NULL;
        nft_figures_ended(&n->options.figures, t->began_us, result);
        nft_monitor_end(n->monitor, t->commits, t->generation_before, t->generation_after);
        log_result(t, result);
        if (result < 0)
                restore_after(n, RETRY_US);
        map_foreach (n->leaving, e) {
                if (result >= 0 && *(uint64_t *)map_entry_value(e) <= t->marks)
                        (void)map_remove(n->leaving, map_entry_key(e));
        }
        transaction_free(t);
        again(n);
        n->options.on_changed(n->options.userdata);
}

/* Takes t. */
static void submit(struct nft *n, struct transaction *t) {
        int r = t->change.failed ? -ENOMEM
                                 : worker_submit(n->worker, transaction_run, transaction_done, t);

        if (r < 0) {
                log_warning_errno(r, "Cannot change the services' table");
                transaction_free(t);
                restore_after(n, RETRY_US);
                return;
        }
        n->running = t;
        t->began_us = now_mono_us();
        nft_monitor_begin(n->monitor);
        if (t->whole)
                nft_monitor_pause(n->monitor);
}

static struct transaction *transaction_new(struct nft *n) {
        struct transaction *t = calloc(1, sizeof(*t));

        if (t && !(t->flows = json_object()))
                return transaction_free(t);
        if (t)
                t->nft = n;
        return t;
}

/* ---- from marks to transactions ---- */

static void note_change(struct transaction *t, const json_t *old, const json_t *model) {
        nft_change_add(&t->change, old, model);
        if (old && json_same(json_at(old, "flows"), json_at(model, "flows")))
                return;
        add_flows(t->flows, old, /* before= */ true);
        add_flows(t->flows, model, /* before= */ false);
}

/* Rebuilds marked models, at most WORK_PER_TURN; their differences are added to t unless it is
 * NULL. */
static int rebuild(struct nft *n, struct transaction *t) {
        size_t cost = 0;

        map_foreach (n->dirty, e) {
                _cleanup_free_ char *key = strdup(map_entry_key(e));
                json_t *model;

                if (!key)
                        return -ENOMEM;
                if (cost >= WORK_PER_TURN)
                        break;
                (void)map_remove(n->dirty, key);
                model = wanted(n, key, &cost);
                if (t)
                        note_change(t, map_get(n->models, key), model);
                if (!model)
                        (void)map_remove(n->models, key);
                else if (map_set(n->models, key, model) < 0) {
                        json_decref(model);
                        return -ENOMEM;
                }
        }
        return 0;
}

static int apply_dirty(struct nft *n) {
        struct transaction *t = transaction_new(n);
        int r = t ? rebuild(n, t) : -ENOMEM;

        if (r < 0) {
                transaction_free(t);
                return r;
        }
        t->marks = map_size(n->dirty) == 0 ? n->marks : 0;
        if (nft_change_is_empty(&t->change) && json_object_size(t->flows) == 0 && t->marks == 0) {
                transaction_free(t);
                again(n);
                return 0;
        }
        submit(n, t);
        return 0;
}

static int load(struct nft *n) {
        struct transaction *t;
        int r = rebuild(n, NULL);

        if (r < 0)
                return r;
        if (map_size(n->dirty) > 0) {
                again(n);
                return 0;
        }
        t = transaction_new(n);
        if (!t)
                return -ENOMEM;
        t->whole = true;
        t->rewrite = n->rewrite;
        t->settle = n->settled;
        t->marks = n->marks;
        n->reload_due = n->rewrite = false;
        submit(n, t);
        return 0;
}

static void on_turn(void *userdata) {
        struct nft *n = userdata;
        int r = 0;

        if (n->running)
                return;
        if (n->reload_due)
                r = load(n);
        else if (n->loaded && map_size(n->dirty) > 0)
                r = apply_dirty(n);
        if (r < 0) {
                log_oom();
                restore_after(n, RETRY_US);
        }
}

static int on_restore(sd_event_source *s, uint64_t usec, void *userdata) {
        struct nft *n = userdata;

        n->restore = sd_event_source_disable_unref(n->restore);
        nft_reload(n);
        return 0;
}

static int on_settle(sd_event_source *s, uint64_t usec, void *userdata) {
        struct nft *n = userdata;

        n->settle = sd_event_source_disable_unref(n->settle);
        n->settled = true;
        nft_reload(n);
        return 0;
}

static void restore_after(struct nft *n, uint64_t delay_us) {
        if (!n->restore)
                (void)sd_event_add_time_relative(
                                n->event, &n->restore, CLOCK_MONOTONIC, delay_us, 0, on_restore, n);
}

void nft_reload(struct nft *n) {
        n->restored_us = now_mono_us();
        if (!n->loaded)
                (void)sd_event_add_time_relative(
                                n->event, &n->settle, CLOCK_MONOTONIC, SETTLE_US, 0, on_settle, n);
        n->loaded = true;
        n->reload_due = true;
        again(n);
}

static void on_foreign(void *userdata) {
        struct nft *n = userdata;
        uint64_t since = now_mono_us() - n->restored_us;

        if (!n->loaded)
                return;
        /* Right after our own it may be the kernel's news about that. */
        if (since >= RESTORE_PAUSE_US && !n->restore && n->options.on_foreign &&
                        !n->options.on_foreign(NFT_TABLE, n->options.userdata))
                return;
        n->rewrite = true;
        restore_after(n, since < RESTORE_PAUSE_US ? RESTORE_PAUSE_US - since : RESTORE_DELAY_US);
}

bool nft_table_is_there(struct nft *n) {
        assert(!n->running);
        return nft_text_finds_table(NFT_TABLE_NAME);
}

bool nft_is_loaded(const struct nft *n) {
        return n->loaded;
}

/* ---- changes ---- */

/* The reserved addresses have changed: the affected services are rebuilt. */
static void guard(struct nft *n) {
        struct map *guarded = map_new(NULL);
        _cleanup_json_ json_t *api = api_addresses(n);
        const char *address;
        json_t *v;
        bool same;

        if (!guarded)
                return;
        map_foreach (n->reserved, e)
                (void)map_set(guarded, map_entry_key(e), n);
        json_object_foreach (api, address, v) {
                _cleanup_free_ char *ip = place_address(address);
                if (ip)
                        (void)map_set(guarded, ip, n);
        }
        same = map_size(guarded) == map_size(n->guarded);
        map_foreach (guarded, g)
                same = same && map_get(n->guarded, map_entry_key(g));
        map_free(n->guarded);
        n->guarded = guarded;
        mark(n, PROTECTED_KEY, "");
        if (same)
                return;
        map_foreach (service_table_services(n->table), s) {
                const struct service_view *view = map_entry_value(s);

                if (view->outside.count > 0)
                        mark(n, "svc:", map_entry_key(s));
        }
}

void nft_reserve(struct nft *n, const struct map *addresses, const char *api) {
        map_clear(n->reserved);
        map_foreach (addresses, e)
                (void)map_set(n->reserved, map_entry_key(e), n);
        if (api && !streq_ptr(api, n->api)) {
                free(n->api);
                n->api = strdup(api);
        }
        guard(n);
}

static void on_touched(const char *service, void *userdata) {
        struct nft *n = userdata;

        mark(n, "svc:", service);
        if (streq(service, API_SERVICE))
                guard(n);
}

int nft_service(struct nft *n, const json_t *service, bool gone) {
        _cleanup_free_ char *key = object_key(service);

        if (!key)
                return -ENOMEM;
        return gone ? service_table_drop_service(n->table, key)
                    : service_table_set_service(n->table, service);
}

/* A pod that stopped being a ready endpoint: the kernel's table still serves it until the marked
 * changes are in it. */
static void note_leaving(struct nft *n, const char *uid) {
        uint64_t *v;

        if (service_table_is_ready(n->table, uid))
                return;
        v = malloc(sizeof(*v));
        if (v)
                *v = n->marks;
        if (!v || map_set(n->leaving, uid, v) < 0)
                free(v);
}

/* The pods that are ready endpoints of a slice; the texts are copies. */
struct uids { /* a vector */
        char **items;
        size_t count, allocated;
};

static void uids_done(struct uids *u) {
        for (size_t i = 0; i < u->count; i++)
                free(u->items[i]);
        vector_done(u);
}

static int ready_pods(const struct slice_view *slice, struct uids *ret) {
        for (size_t i = 0; slice && i < slice->endpoints.count; i++) {
                const struct slice_endpoint *e = &slice->endpoints.items[i];
                char *uid = e->ready && *e->pod_uid ? strdup(e->pod_uid) : NULL;

                if (!e->ready || !*e->pod_uid)
                        continue;
                if (!uid || vector_append(ret, uid) < 0) {
                        free(uid);
                        return -ENOMEM;
                }
        }
        return 0;
}

int nft_slice(struct nft *n, const json_t *slice, bool gone) {
        _cleanup_free_ char *key = object_key(slice);
        _cleanup_(uids_done) struct uids before = {0};
        int r = key ? ready_pods(service_table_slice(n->table, key), &before) : -ENOMEM;

        if (r < 0)
                return r;
        r = gone ? service_table_drop_slice(n->table, key)
                 : service_table_set_slice(n->table, slice);
        for (size_t i = 0; r > 0 && i < before.count; i++)
                note_leaving(n, before.items[i]);
        return r;
}

void nft_set_zone(struct nft *n, const char *zone) {
        char *copy;

        if (streq(zone, strempty(n->zone)))
                return;
        copy = strdup(zone);
        if (!copy)
                return;
        free(n->zone);
        n->zone = copy;
        /* Rare: a label of this very node has changed. */
        map_foreach (service_table_services(n->table), s)
                mark(n, "svc:", map_entry_key(s));
}

void nft_local_pod(struct nft *n, const char *uid, const char *const addresses[FAMILIES],
                const json_t *ports) {
        bool has = *addresses[FAMILY_IPV4] || *addresses[FAMILY_IPV6];
        _cleanup_json_ json_t *model = has ? local_pod_to_model(uid, addresses, ports) : NULL;
        const json_t *old = map_get(n->pods, uid);

        if (model ? old && json_equal(old, model) : !old)
                return;
        if (model)
                (void)map_set(n->pods, uid, TAKE_PTR(model));
        else
                (void)map_remove(n->pods, uid);
        mark(n, "pod:", uid);
}

bool nft_serves_pod(struct nft *n, const char *uid) {
        return service_table_is_ready(n->table, uid) || (n->loaded && map_get(n->leaving, uid));
}

const json_t *nft_services_in(const struct nft *n, const char *ns) {
        return service_table_namespace(n->table, ns);
}

struct service_table *nft_table(struct nft *n) {
        return n->table;
}

json_t *nft_objects(const struct nft *n) {
        json_t *list = json_array();

        map_foreach (service_table_services(n->table), e)
                json_array_append(list, ((struct service_view *)map_entry_value(e))->object);
        map_foreach (service_table_all_slices(n->table), f)
                json_array_append(list, ((struct slice_view *)map_entry_value(f))->object);
        return list;
}

void nft_keep_only(struct nft *n,
                bool (*is_known)(enum kind_id kind, const char *key, void *userdata),
                void *userdata) {
        map_foreach (service_table_services(n->table), e) {
                _cleanup_json_ json_t *gone =
                                json_ref(((struct service_view *)map_entry_value(e))->object);
                if (!is_known(KIND_SERVICES, map_entry_key(e), userdata))
                        (void)nft_service(n, gone, true);
        }
        map_foreach (service_table_all_slices(n->table), f) {
                _cleanup_json_ json_t *gone =
                                json_ref(((struct slice_view *)map_entry_value(f))->object);
                if (!is_known(KIND_ENDPOINTSLICES, map_entry_key(f), userdata))
                        (void)nft_slice(n, gone, true);
        }
}

int nft_new(struct nft **ret, sd_event *event, const struct nft_options *options) {
        _cleanup_(nft_freep) struct nft *n = calloc(1, sizeof(*n));
        int r;

        if (!n)
                return -ENOMEM;
        n->event = sd_event_ref(event);
        n->options = *options;
        n->node_name = strdup(options->node_name);
        for (int f = 0; f < FAMILIES; f++)
                n->node_ip[f] = strdup(strempty(options->node_ip[f]));
        n->cluster = *options->cluster;
        n->services = *options->services;
        n->dns_address = options->dns_address ? strdup(options->dns_address) : NULL;
        n->table = service_table_new();
        n->claims = nft_claims_new();
        n->reserved = map_new(NULL);
        n->guarded = map_new(NULL);
        n->pods = map_new(json_free);
        n->models = map_new(json_free);
        n->dirty = map_new(NULL);
        n->leaving = map_new(free);
        n->warned = map_new(NULL);
        n->applier = nft_applier_new();
        if (!n->node_name || !n->node_ip[FAMILY_IPV4] || !n->node_ip[FAMILY_IPV6] || !n->table ||
                        !n->claims || !n->reserved || !n->guarded || !n->pods || !n->models ||
                        !n->dirty || !n->leaving || !n->warned || !n->applier ||
                        (options->dns_address && !n->dns_address))
                return -ENOMEM;
        r = service_table_observe(n->table, on_touched, n);
        if (r < 0)
                return r;
        r = nft_monitor_new(&n->monitor, event, NFT_TABLE_NAME, on_foreign, n);
        if (r < 0)
                return r;
        r = worker_new(&n->worker, event);
        if (r < 0)
                return r;
        /* Everything else runs before the next piece of a load. */
        r = loop_turn_new(&n->turn, event, SD_EVENT_PRIORITY_NORMAL + 10, on_turn, n);
        if (r < 0)
                return r;
        for (int f = 0; f < FAMILIES; f++)
                if (*n->node_ip[f])
                        (void)map_set(n->reserved, n->node_ip[f], n);
        guard(n);
        *ret = TAKE_PTR(n);
        return 0;
}

struct nft *nft_free(struct nft *n) {
        if (!n)
                return NULL;
        /* Waits for the running transaction, so that no half-written table stays behind. */
        worker_free(n->worker);
        transaction_free(n->running);
        nft_monitor_free(n->monitor);
        loop_turn_free(n->turn);
        sd_event_source_disable_unref(n->restore);
        sd_event_source_disable_unref(n->settle);
        nft_applier_free(n->applier);
        nft_claims_free(n->claims);
        service_table_free(n->table);
        map_free(n->reserved);
        map_free(n->guarded);
        map_free(n->pods);
        map_free(n->models);
        map_free(n->dirty);
        map_free(n->leaving);
        map_free(n->warned);
        free(n->node_name);
        for (int f = 0; f < FAMILIES; f++)
                free(n->node_ip[f]);
        free(n->api);
        free(n->dns_address);
        free(n->zone);
        sd_event_unref(n->event);
        free(n);
        return NULL;
}
