/* At most one transaction runs at a time. A change marks the keys of its models; a deferred event
 * rebuilds their models, at most WORK_PER_TURN steps a turn, and passes the text to the thread. A
 * load of the whole table is built the same way, piece by piece, and replaces the old table in one
 * transaction: there is no moment without rules. After a transaction UDP flows to endpoints that it
 * removed are deleted. */
#include "nodeagent/network/nft.h"

#include <nftables/libnftables.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/worker.h"
#include "nodeagent/network/conntrack.h"
#include "nodeagent/network/nft-claims.h"
#include "nodeagent/network/nft-monitor.h"
#include "nodeagent/network/service-table.h"
#include "nodeagent/network/services-to-nft.h"

#define TABLE_NAME "keelson"
#define API_SERVICE "default/kubernetes"
#define PROTECTED_KEY "api:"

enum {
        RESTORE_DELAY_US = 200000,
        RESTORE_PAUSE_US = 2 * 1000000,
        RETRY_US = 5 * 1000000,
        WORK_PER_TURN = 400, /* services and endpoints visited */
};

/* A transaction: built on the loop, run on the thread, evaluated on the loop again. */
struct transaction {
        struct nft *nft;
        struct buf text;
        json_t *flows; /* of UDP services that changed */
        bool whole;
        uint64_t marks; /* every mark up to this one is in it; 0: not all */
        uint32_t generation_before, generation_after;
        int flows_ended;
};

struct nft {
        sd_event *event;
        struct nft_options options;
        char *node_name, *node_ip, *cluster_cidr, *service_cidr, *api;
        struct nft_ctx *context; /* the thread's while a transaction runs */
        struct worker *worker;
        struct nft_monitor *monitor;
        struct service_table *table;
        struct nft_claims *claims;
        struct map *reserved; /* addresses of nodes */
        struct map *guarded;  /* and of the API's endpoints */
        struct map *pods;     /* uid -> wanted model of a local pod */
        struct map *models;   /* "svc:ns/name" or "pod:uid" -> model in the kernel */
        struct map *dirty;    /* keys of models to rebuild; values are not used */
        struct map *leaving;  /* uid -> mark with which it stopped being an endpoint */
        struct map *warned;   /* warnings that were logged already */
        uint64_t marks;
        sd_event_source *defer;
        sd_event_source *restore;
        bool loaded; /* the table was loaded once, or is being loaded */
        struct transaction *running;
        uint64_t restored_us;
        /* the whole table while it is built */
        bool reload_due;
        struct map *todo; /* keys not yet built; NULL: no load is being built */
        struct ruleset ruleset;
        json_t *flows;
        uint64_t load_marks;
};

static void json_free(void *v) {
        json_decref(v);
}

static void again(struct nft *n) {
        (void)sd_event_source_set_enabled(n->defer, SD_EVENT_ONESHOT);
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
        const json_t *slice, *e, *port, *slices = service_table_slices(n->table, API_SERVICE);
        json_t *list = json_object();
        size_t i, j, k;

        if (n->api) {
                const char *colon = strchr(n->api, ':');
                uint64_t number;
                if (colon && parse_u64(colon + 1, &number) >= 0)
                        json_object_set_new(list, n->api, json_integer((json_int_t)number));
        }
        json_array_foreach (slices, i, slice)
                json_array_foreach (json_at(slice, "endpoints"), j, e)
                        json_array_foreach (json_at(slice, "ports"), k, port) {
                                const char *address = strempty(json_string_value(
                                                json_array_get(json_at(e, "addresses"), 0)));
                                int64_t number = json_int_or(port, "port", 0);
                                _cleanup_free_ char *key =
                                                strformat("%s:%lld", address, (long long)number);
                                if (key)
                                        json_object_set_new(list, key, json_integer(number));
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

/* A model that is not shared, or NULL: nothing. *cost grows by the number of objects visited. */
static json_t *wanted(struct nft *n, const char *key, size_t *cost) {
        struct nft_claims_callbacks callbacks = {on_refused, on_free, n};
        const char *name = startswith(key, "svc:"), *address;
        struct service_facts facts = {.node_name = n->node_name,
                        .service_cidr = n->service_cidr,
                        .node_ip = n->node_ip,
                        .reserved = n->guarded};
        json_t *model = NULL, *v;
        const json_t *service, *slices, *slice;
        size_t i;

        *cost += 1;
        if (streq(key, PROTECTED_KEY)) {
                _cleanup_json_ json_t *addresses = api_addresses(n);
                return protected_to_model(addresses, n->service_cidr);
        }
        if (name && (service = service_table_service(n->table, name))) {
                slices = service_table_slices(n->table, name);
                json_array_foreach (slices, i, slice)
                        *cost += json_array_size(json_at(slice, "endpoints"));
                model = service_to_model(service, slices, &facts);
                json_object_foreach (json_object_get(model, "leftOut"), address, v)
                        say_once(n, key, address,
                                        "it is an address of a node, of the API or of the service "
                                        "range; take it out of spec.externalIPs");
        } else if (!name && map_get(n->pods, key + 4))
                model = json_deep_copy(map_get(n->pods, key + 4));
        if (nft_claims_take(n->claims, key, model, &callbacks) < 0)
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
        buf_done(&t->text);
        json_decref(t->flows);
        free(t);
        return NULL;
}

/* On the thread. */
static int transaction_run(void *userdata) {
        struct transaction *t = userdata;
        struct nft *n = t->nft;

        if (t->text.size > 0) {
                t->generation_before = nft_generation();
                if (nft_run_cmd_from_buffer(n->context, t->text.data) != 0)
                        return -EIO;
                t->generation_after = nft_generation();
        }
        t->flows_ended = conntrack_sweep(t->flows, t->whole ? n->service_cidr : NULL);
        return 0;
}

static void restore_after(struct nft *n, uint64_t delay_us);

static void transaction_done(int result, void *userdata) {
        struct transaction *t = userdata;
        struct nft *n = t->nft;

        n->running = NULL;
        if (t->text.size > 0)
                nft_monitor_end(n->monitor, result >= 0, t->generation_before, t->generation_after);
        if (result < 0) {
                log_error("nftables refused a change of the services' table: %.*s", 400,
                                strempty(nft_ctx_get_error_buffer(n->context)));
                restore_after(n, RETRY_US);
        } else if (t->flows_ended < 0)
                log_warning_errno(t->flows_ended,
                                "Cannot look for UDP flows to removed endpoints; they stay until "
                                "their senders pause");
        else if (t->flows_ended > 0)
                log_debug("Ended %d UDP flows to removed endpoints", t->flows_ended);
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
        int r = t->text.failed ? -ENOMEM
                               : worker_submit(n->worker, transaction_run, transaction_done, t);

        if (r < 0) {
                log_warning_errno(r, "Cannot change the services' table");
                transaction_free(t);
                restore_after(n, RETRY_US);
                return;
        }
        n->running = t;
        if (t->text.size > 0)
                nft_monitor_begin(n->monitor);
}

static struct transaction *transaction_new(struct nft *n) {
        struct transaction *t = calloc(1, sizeof(*t));

        if (t && !(t->flows = json_object()))
                return transaction_free(t);
        if (t)
                t->nft = n;
        return t;
}

/* ---- the whole table, in pieces ---- */

static void load_drop(struct nft *n) {
        n->todo = map_free(n->todo);
        ruleset_done(&n->ruleset);
        json_decref(TAKE_PTR(n->flows));
}

static int load_begin(struct nft *n) {
        load_drop(n);
        n->reload_due = false;
        n->todo = map_new(NULL);
        n->flows = json_object();
        if (!n->todo || !n->flows)
                return -ENOMEM;
        map_clear(n->models);
        nft_claims_clear(n->claims);
        n->load_marks = n->marks;
        (void)map_set(n->todo, PROTECTED_KEY, n);
        map_foreach (service_table_services(n->table), e) {
                _cleanup_free_ char *key = strformat("svc:%s", map_entry_key(e));
                if (!key || map_set(n->todo, key, n) < 0)
                        return -ENOMEM;
        }
        map_foreach (n->pods, p) {
                _cleanup_free_ char *key = strformat("pod:%s", map_entry_key(p));
                if (!key || map_set(n->todo, key, n) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int load_piece(struct nft *n) {
        struct nft_frame frame = {n->cluster_cidr, n->service_cidr};
        struct transaction *t;
        size_t cost = 0;
        int r;

        map_foreach (n->todo, e) {
                json_t *model;

                if (cost >= WORK_PER_TURN)
                        break;
                model = wanted(n, map_entry_key(e), &cost);
                if (model) {
                        r = ruleset_add(&n->ruleset, model);
                        add_flows(n->flows, model, false);
                        if (r < 0 || map_set(n->models, map_entry_key(e), model) < 0) {
                                json_decref(model);
                                return -ENOMEM;
                        }
                }
                (void)map_remove(n->todo, map_entry_key(e));
        }
        if (map_size(n->todo) > 0)
                return 0;
        t = transaction_new(n);
        if (!t)
                return -ENOMEM;
        t->whole = true;
        t->marks = n->load_marks;
        json_decref(t->flows);
        t->flows = TAKE_PTR(n->flows);
        (void)ruleset_text(&n->ruleset, &frame, &t->text);
        load_drop(n);
        submit(n, t);
        return 0;
}

/* ---- one change after the other ---- */

static int apply_dirty(struct nft *n) {
        struct transaction *t = transaction_new(n);
        size_t cost = 0;

        if (!t)
                return -ENOMEM;
        map_foreach (n->dirty, e) {
                _cleanup_free_ char *key = strdup(map_entry_key(e));
                json_t *model, *old;

                if (!key || cost >= WORK_PER_TURN)
                        break;
                (void)map_remove(n->dirty, key);
                model = wanted(n, key, &cost);
                old = map_get(n->models, key);
                (void)model_diff(old, model, &t->text);
                if (!old || !json_equal(json_at(old, "flows"), json_at(model, "flows"))) {
                        add_flows(t->flows, old, true);
                        add_flows(t->flows, model, false);
                }
                if (!model)
                        (void)map_remove(n->models, key);
                else if (map_set(n->models, key, model) < 0)
                        json_decref(model);
        }
        t->marks = map_size(n->dirty) == 0 ? n->marks : 0;
        submit(n, t);
        return 0;
}

static int on_defer(sd_event_source *s, void *userdata) {
        struct nft *n = userdata;
        int r = 0;

        if (n->running)
                return 0;
        if (n->reload_due && !n->todo)
                r = load_begin(n);
        if (r >= 0 && n->todo) {
                r = load_piece(n);
                again(n);
        } else if (r >= 0 && n->loaded && map_size(n->dirty) > 0)
                r = apply_dirty(n);
        if (r < 0) {
                log_oom();
                load_drop(n);
                restore_after(n, RETRY_US);
        }
        return 0;
}

static int on_restore(sd_event_source *s, uint64_t usec, void *userdata) {
        struct nft *n = userdata;

        n->restore = sd_event_source_disable_unref(n->restore);
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
        n->loaded = true;
        n->reload_due = true;
        again(n);
}

static void on_foreign(void *userdata) {
        struct nft *n = userdata;
        uint64_t since = now_mono_us() - n->restored_us;

        if (!n->loaded)
                return;
        if (!n->restore)
                log_notice("The nftables table inet " TABLE_NAME
                           " was changed by another program; putting it back");
        restore_after(n, since < RESTORE_PAUSE_US ? RESTORE_PAUSE_US - since : RESTORE_DELAY_US);
}

bool nft_table_is_there(struct nft *n) {
        const char *out;

        assert(!n->running);
        if (nft_run_cmd_from_buffer(n->context, "list tables inet") != 0)
                return false;
        out = nft_ctx_get_output_buffer(n->context);
        return out && strstr(out, "table inet " TABLE_NAME "\n");
}

bool nft_is_loaded(const struct nft *n) {
        return n->loaded;
}

/* ---- changes ---- */

static bool takes_from_outside(const json_t *service) {
        return json_array_size(json_at(service, "spec.externalIPs")) > 0 ||
               json_array_size(json_at(service, "status.loadBalancer.ingress")) > 0;
}

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
                _cleanup_free_ char *ip = strndup(address, strcspn(address, ":"));
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
                if (takes_from_outside(map_entry_value(s)))
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

/* Pods that stopped being ready endpoints: the kernel's table still serves them until the marked
 * changes are in it. */
static void note_leaving(struct nft *n, const json_t *before) {
        const json_t *e;
        size_t i;

        json_array_foreach (json_at(before, "endpoints"), i, e) {
                const char *uid = json_str(e, "targetRef.uid");
                uint64_t *v;

                if (!uid || !json_bool_or(e, "conditions.ready", true) ||
                                service_table_is_ready(n->table, uid))
                        continue;
                v = malloc(sizeof(*v));
                if (v)
                        *v = n->marks;
                if (!v || map_set(n->leaving, uid, v) < 0)
                        free(v);
        }
}

int nft_slice(struct nft *n, const json_t *slice, bool gone) {
        _cleanup_free_ char *key = object_key(slice);
        _cleanup_json_ json_t *before = NULL;
        int r;

        if (!key)
                return -ENOMEM;
        before = json_incref(map_get(service_table_all_slices(n->table), key));
        r = gone ? service_table_drop_slice(n->table, key)
                 : service_table_set_slice(n->table, slice);
        if (r > 0)
                note_leaving(n, before);
        return r;
}

void nft_local_pod(struct nft *n, const char *uid, const char *pod_ip, const json_t *ports) {
        _cleanup_json_ json_t *model = *pod_ip ? local_pod_to_model(uid, pod_ip, ports) : NULL;
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

json_t *nft_objects(const struct nft *n) {
        json_t *list = json_array();

        map_foreach (service_table_services(n->table), e)
                json_array_append(list, map_entry_value(e));
        map_foreach (service_table_all_slices(n->table), f)
                json_array_append(list, map_entry_value(f));
        return list;
}

void nft_keep_only(struct nft *n,
                bool (*is_known)(enum kind_id kind, const char *key, void *userdata),
                void *userdata) {
        map_foreach (service_table_services(n->table), e) {
                _cleanup_json_ json_t *gone = json_incref(map_entry_value(e));
                if (!is_known(KIND_SERVICES, map_entry_key(e), userdata))
                        (void)nft_service(n, gone, true);
        }
        map_foreach (service_table_all_slices(n->table), f) {
                _cleanup_json_ json_t *gone = json_incref(map_entry_value(f));
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
        n->node_ip = strdup(options->node_ip);
        n->cluster_cidr = strdup(strempty(options->cluster_cidr));
        n->service_cidr = strdup(strempty(options->service_cidr));
        n->table = service_table_new(on_touched, n);
        n->claims = nft_claims_new();
        n->reserved = map_new(NULL);
        n->guarded = map_new(NULL);
        n->pods = map_new(json_free);
        n->models = map_new(json_free);
        n->dirty = map_new(NULL);
        n->leaving = map_new(free);
        n->warned = map_new(NULL);
        n->context = nft_ctx_new(NFT_CTX_DEFAULT);
        if (!n->node_name || !n->node_ip || !n->cluster_cidr || !n->service_cidr || !n->table ||
                        !n->claims || !n->reserved || !n->guarded || !n->pods || !n->models ||
                        !n->dirty || !n->leaving || !n->warned || !n->context)
                return -ENOMEM;
        if (nft_ctx_buffer_output(n->context) != 0 || nft_ctx_buffer_error(n->context) != 0)
                return -ENOMEM;
        r = nft_monitor_new(&n->monitor, event, TABLE_NAME, on_foreign, n);
        if (r < 0)
                return r;
        r = worker_new(&n->worker, event);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &n->defer, on_defer, n);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(n->defer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        /* Everything else runs before the next piece of a load. */
        r = sd_event_source_set_priority(n->defer, SD_EVENT_PRIORITY_NORMAL + 10);
        if (r < 0)
                return r;
        (void)map_set(n->reserved, options->node_ip, n);
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
        sd_event_source_disable_unref(n->defer);
        sd_event_source_disable_unref(n->restore);
        if (n->context)
                nft_ctx_free(n->context);
        load_drop(n);
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
        free(n->node_ip);
        free(n->cluster_cidr);
        free(n->service_cidr);
        free(n->api);
        sd_event_unref(n->event);
        free(n);
        return NULL;
}
