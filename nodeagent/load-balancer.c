/* The pools' status is the order, the addresses on the links are what is; each event and each
 * second brings the two together.
 *
 *      the pool names this node   the address is put on a link and announced, and the node renews
 *                                 its lease every second
 *      it no longer does          the address is removed at once
 *      no control plane           everything stays, until another machine says that it has the
 *                                 address: then it was moved, and is given up
 *      no agent                   the kernel removes the addresses after CARRIED_VALID_S */
#include "nodeagent/load-balancer.h"

#include "lib/client/informer.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/network/announce.h"
#include "nodeagent/network/carried.h"
#include "nodeagent/node.h"

enum {
        TICK_US = 1000000,
        CARRIED_VALID_S = 4,
        ANNOUNCEMENTS = 4,     /* one at once, the others every second: some may be lost */
        IN_TOUCH_US = 2000000, /* as long after a renewal nobody else can have been chosen */
};

/* An address that this node carries. */
struct item {
        struct address address;
        int link;
        unsigned announcements; /* still to send */
        bool warned;
        bool mute; /* the last announcement could not be sent */
};

struct load_balancer {
        struct agent *agent;
        struct informer *pools;
        struct carried *carried;
        struct announce *announce; /* NULL while nothing is carried */
        struct map *items;         /* text -> struct item */
        struct map *given_up;      /* text -> when (uint64_t *) */
        struct map *failed;        /* texts of which a failure was logged; values are not used */
        bool lapsed;               /* no contact with the control plane since the last tick */
        sd_event_source *timer;
};

static void drop(struct load_balancer *l, const char *text, const char *why) {
        struct item *item = map_get(l->items, text);
        int r = carried_remove(l->carried, &item->address, item->link);

        if (r < 0)
                log_warning_errno(r, "Cannot remove the load balancer address %s", text);
        else
                log_info("Gave up the load balancer address %s: %s", text, why);
        map_remove(l->items, text);
}

static bool in_touch(const struct load_balancer *l) {
        return now_mono_us() < node_renewed_us(l->agent->node) + IN_TOUCH_US;
}

/* Another machine answers for an address. Only the address's link counts: what comes over others
 * may be from a pod, or what this machine itself has sent. */
static void on_other(const struct address *a, int link, const char *mac, void *userdata) {
        struct load_balancer *l = userdata;
        char text[ADDRESS_TEXT_SIZE];
        struct item *item = map_get(l->items, address_text(a, text));
        uint64_t *at;

        if (!item || item->link != link)
                return;
        if (in_touch(l)) {
                if (!item->warned)
                        log_warning("The machine %s answers for the load balancer address %s, too; "
                                    "this node keeps it, because it is in touch with the control "
                                    "plane",
                                        mac, text);
                item->warned = true;
                item->announcements = ANNOUNCEMENTS;
                return;
        }
        at = malloc(sizeof(*at));
        if (!at)
                return;
        *at = now_mono_us();
        if (map_set(l->given_up, text, at) < 0)
                free(at);
        drop(l, text, "the control plane does not answer, and another machine has it");
}

static bool was_given_up(struct load_balancer *l, const char *text) {
        const uint64_t *at = map_get(l->given_up, text);

        if (!at)
                return false;
        if (!load_balancer_may_take_back(*at, now_mono_us(),
                            in_touch(l) && !l->lapsed && informer_is_synced(l->pools)))
                return true;
        map_remove(l->given_up, text);
        return false;
}

static int take(struct load_balancer *l, const char *text) {
        struct item *item = calloc(1, sizeof(*item));
        int r;

        if (!item || map_set(l->items, text, item) < 0) {
                free(item);
                return -ENOMEM;
        }
        item->address = address_parse(text);
        item->announcements = ANNOUNCEMENTS;
        item->link = carried_find_link(l->carried, &item->address, l->agent->node_ip);
        if (item->link < 0)
                return item->link;
        if (!l->announce) {
                r = announce_new(&l->announce, l->agent->event, on_other, l);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool wants(const json_t *want, const char *text) {
        return json_object_get(want, text) != NULL;
}

/* An announcement that cannot be sent is sent at the next tick: the address stays. */
static void announce(struct load_balancer *l, struct item *item) {
        char text[ADDRESS_TEXT_SIZE];
        int r;

        if (item->announcements == 0)
                return;
        r = announce_send(l->announce, &item->address, item->link);
        if (r >= 0)
                item->announcements--;
        else if (!item->mute)
                log_warning_errno(r,
                                "Cannot announce the load balancer address %s to its network; "
                                "this is tried every second",
                                address_text(&item->address, text));
        item->mute = r < 0;
}

/* Puts it there or renews it, and announces it. */
static int hold(struct load_balancer *l, struct item *item) {
        int r;

        if (carried_is_foreign(l->carried, &item->address))
                return -EADDRINUSE;
        r = carried_put(l->carried, &item->address, item->link, CARRIED_VALID_S);
        if (r < 0)
                return r;
        announce(l, item);
        return 0;
}

/* Once, until it succeeds: it is tried every second. */
static void log_failure(struct load_balancer *l, const char *text, const char *pool, int r) {
        if (map_get(l->failed, text))
                return;
        (void)map_set(l->failed, text, l);
        if (r == -EADDRINUSE)
                log_warning("The load balancer address %s is set on this machine by someone else; "
                            "remove it there, or from the AddressPool %s",
                                text, pool);
        else
                log_warning_errno(r, "Cannot answer for the load balancer address %s", text);
}

static int take_and_hold(struct load_balancer *l, const char *text) {
        if (!map_get(l->items, text)) {
                int r = take(l, text);

                if (r < 0)
                        return r;
        }
        return hold(l, map_get(l->items, text));
}

static void hold_all(struct load_balancer *l, const json_t *want) {
        const char *text;
        json_t *pool;

        json_object_foreach (json_unconst(want), text, pool) {
                bool is_new = !map_get(l->items, text);
                int r;

                if (was_given_up(l, text))
                        continue;
                r = take_and_hold(l, text);
                if (r < 0) {
                        log_failure(l, text, json_string_value(pool), r);
                        map_remove(l->items, text);
                        continue;
                }
                map_remove(l->failed, text);
                if (is_new)
                        log_info("Answering for the load balancer address %s of the AddressPool %s",
                                        text, json_string_value(pool));
        }
}

/* Addresses of an earlier agent that are not this node's any longer. */
static void remove_stray(const struct address *a, int link, void *userdata) {
        struct load_balancer *l = userdata;
        char text[ADDRESS_TEXT_SIZE];
        int r;

        if (map_get(l->items, address_text(a, text)))
                return;
        r = carried_remove(l->carried, a, link);
        if (r < 0)
                log_warning_errno(r, "Cannot remove the load balancer address %s", text);
        else
                log_info("Removed the load balancer address %s, which this node no longer carries",
                                text);
}

static json_t *wanted(struct load_balancer *l) {
        json_t *want = json_object();

        informer_foreach(l->pools, e) {
                if (want && load_balancer_addresses(informer_object(e), l->agent->config.node_name,
                                            want) < 0) {
                        json_decref(want);
                        return NULL;
                }
        }
        return want;
}

static void settle(struct load_balancer *l) {
        _cleanup_json_ json_t *want = wanted(l);
        int r;

        if (!want) {
                log_oom();
                return;
        }
        map_foreach (l->items, i)
                if (!wants(want, map_entry_key(i)))
                        drop(l, map_entry_key(i),
                                        "the control plane gave it to another node, or "
                                        "its services are gone");
        r = carried_refresh(l->carried);
        if (r < 0)
                log_warning_errno(r, "Cannot read the machine's addresses");
        else
                hold_all(l, want);
        carried_each(l->carried, remove_stray, l);
        if (map_size(l->items) == 0)
                l->announce = announce_free(l->announce);
        node_set_carrying(l->agent->node, json_object_size(want) > 0);
        (void)sd_event_source_set_time_relative(l->timer, TICK_US);
        (void)sd_event_source_set_enabled(
                        l->timer, json_object_size(want) > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static void on_pool(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        if (informer_is_synced(i))
                settle(userdata);
}

static void on_synced(struct informer *i, void *userdata) {
        settle(userdata);
}

/* Pools that were read before the contact was lost may name this node for what others have by now,
 * and their watch may take two minutes to notice that it is dead. */
static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct load_balancer *l = userdata;

        if (load_balancer_must_list(&l->lapsed, in_touch(l)))
                informer_relist(l->pools);
        settle(l);
        return 0;
}

int load_balancer_new(struct load_balancer **ret, struct agent *agent) {
        _cleanup_(load_balancer_freep) struct load_balancer *l = calloc(1, sizeof(*l));
        struct informer_options options = {.resource = api_resource(KIND_ADDRESSPOOLS),
                        .on_event = on_pool,
                        .on_synced = on_synced};
        int r;

        if (!l)
                return -ENOMEM;
        l->agent = agent;
        l->items = map_new(free);
        l->given_up = map_new(free);
        l->failed = map_new(NULL);
        if (!l->items || !l->given_up || !l->failed)
                return -ENOMEM;
        r = carried_new(&l->carried);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(
                        agent->event, &l->timer, CLOCK_MONOTONIC, TICK_US, 0, on_timer, l);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        options.userdata = l;
        r = informer_new(&l->pools, agent->api, &options);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

struct load_balancer *load_balancer_free(struct load_balancer *l) {
        if (!l)
                return NULL;
        informer_free(l->pools);
        sd_event_source_disable_unref(l->timer);
        announce_free(l->announce);
        carried_free(l->carried);
        map_free(l->items);
        map_free(l->given_up);
        map_free(l->failed);
        free(l);
        return NULL;
}
