/* At most one transaction runs at a time, on a thread. A change counts a mark; turns of the
 * loop bring the table's contents up to date, at most STEPS_PER_TURN steps each, and pass the text
 * to the thread. A pod's rules are in the kernel once a transaction is done that holds its mark. */
#include "nodeagent/network/policy.h"

#include "lib/log.h"
#include "lib/loop-turn.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/worker.h"
#include "nodeagent/network/nft-monitor.h"
#include "nodeagent/network/nft-text.h"
#include "nodeagent/network/node-address.h"

enum {
        RESTORE_DELAY_US = 200000,
        RESTORE_PAUSE_US = 2 * 1000000,
        RETRY_US = 5 * 1000000,
        STEPS_PER_TURN = 5000,
};

/* A transaction: made on the loop, run on the thread, evaluated on the loop again. */
struct policy_change {
        struct policies *policies;
        struct buf text;
        uint64_t marks; /* every mark up to this one is in it */
        uint64_t began_us;
        uint32_t generation_before, generation_after;
        char *refused; /* why; or NULL */
};

struct policies {
        sd_event *event;
        struct policies_options options;
        void (*on_settled)(void *userdata);
        void *settled_userdata;
        struct worker *worker;
        struct nft_monitor *monitor;
        struct policy_table *table;
        struct map *nodes;   /* addresses of the other nodes; values are not used */
        struct map *waiting; /* uid -> mark (uint64_t) that its rules have */
        uint64_t marks, settled, committed;
        struct loop_turn *turn;
        sd_event_source *restore;
        struct policy_change *running;
        uint64_t restored_us;
        bool inherited, loaded, reload_due;
};

static void again(struct policies *p) {
        loop_turn_ask(p->turn);
}

static void mark(struct policies *p) {
        p->marks++;
        again(p);
}

/* ---- transactions ---- */

static struct policy_change *change_free(struct policy_change *c) {
        if (!c)
                return NULL;
        buf_done(&c->text);
        free(c->refused);
        return mfree(c);
}

static int change_run(void *userdata) {
        struct policy_change *c = userdata;
        int r;

        c->generation_before = nft_generation();
        r = nft_text_run(c->text.data, &c->refused);
        if (r < 0)
                return r;
        c->generation_after = nft_generation();
        return 0;
}

static int on_restore(sd_event_source *s, uint64_t usec, void *userdata) {
        struct policies *p = userdata;

        policies_load(p);
        return 0;
}

static void restore_after(struct policies *p, uint64_t delay_us) {
        if (!p->restore)
                (void)sd_event_add_time_relative(
                                p->event, &p->restore, CLOCK_MONOTONIC, delay_us, 0, on_restore, p);
}

/* Everything up to that mark is in the kernel. */
static void committed(struct policies *p, uint64_t marks) {
        p->committed = marks;
        map_foreach (p->waiting, e) {
                _cleanup_free_ char *uid = NULL;

                if (*(uint64_t *)map_entry_value(e) > marks)
                        continue;
                uid = strdup(map_entry_key(e));
                (void)map_remove(p->waiting, map_entry_key(e));
                if (uid)
                        p->options.on_ready(uid, p->options.userdata);
        }
}

static void change_done(int result, void *userdata) {
        struct policy_change *c = userdata;
        struct policies *p = c->policies;

        p->running = NULL;
        nft_figures_ended(&p->options.figures, c->began_us, result);
        nft_monitor_end(p->monitor, result >= 0, c->generation_before, c->generation_after);
        if (result < 0) {
                log_error("nftables refused a change of the network policies' table: %.*s", 400,
                                strempty(c->refused));
                restore_after(p, RETRY_US);
        } else
                committed(p, c->marks);
        change_free(c);
        again(p);
}

/* Takes c. */
static void submit(struct policies *p, struct policy_change *c) {
        int r = c->text.failed ? -ENOMEM : worker_submit(p->worker, change_run, change_done, c);

        if (r < 0) {
                log_warning_errno(r, "Cannot change the network policies' table");
                change_free(c);
                restore_after(p, RETRY_US);
                return;
        }
        p->running = c;
        c->began_us = now_mono_us();
        nft_monitor_begin(p->monitor);
}

/* Brings the table up to date and the kernel's after it, or a part of the way. */
static void turn(struct policies *p) {
        struct policy_change *c;

        /* After a refusal, or another program's change, the kernel's table is not what it seems. */
        if (p->running || p->restore)
                return;
        if (policy_table_settle(p->table, STEPS_PER_TURN)) {
                again(p);
                return;
        }
        p->settled = p->marks;
        if (p->on_settled)
                p->on_settled(p->settled_userdata);
        if (!p->loaded)
                return;
        c = calloc(1, sizeof(*c));
        assert(c);
        c->policies = p;
        c->marks = p->marks;
        if (p->reload_due)
                policy_nft_whole(policy_table_nft(p->table), &c->text);
        else
                policy_nft_changes(policy_table_nft(p->table), &c->text);
        p->reload_due = false;
        if (c->text.size > 0 || c->text.failed) {
                submit(p, c);
                return;
        }
        committed(p, c->marks);
        change_free(c);
}

static void on_turn(void *userdata) {
        turn(userdata);
}

void policies_load(struct policies *p) {
        p->restore = sd_event_source_disable_unref(p->restore);
        p->restored_us = now_mono_us();
        p->loaded = true;
        p->reload_due = true;
        again(p);
}

static void on_foreign(void *userdata) {
        struct policies *p = userdata;
        uint64_t since = now_mono_us() - p->restored_us;

        if (!p->loaded)
                return;
        if (since >= RESTORE_PAUSE_US && !p->restore &&
                        !p->options.on_foreign("inet " POLICY_TABLE, p->options.userdata))
                return;
        restore_after(p, since < RESTORE_PAUSE_US ? RESTORE_PAUSE_US - since : RESTORE_DELAY_US);
}

/* ---- changes ---- */

static int note(struct policies *p, int changed) {
        if (changed > 0)
                mark(p);
        return changed;
}

int policies_policy(struct policies *p, const json_t *policy, bool gone) {
        _cleanup_free_ char *key = object_key(policy);

        if (!key)
                return -ENOMEM;
        return note(p, gone ? policy_table_drop_policy(p->table, key)
                            : policy_table_set_policy(p->table, policy));
}

int policies_slice(struct policies *p, const json_t *slice, bool gone) {
        _cleanup_free_ char *key = object_key(slice);

        if (!key)
                return -ENOMEM;
        return note(p, gone ? policy_table_drop_slice(p->table, key)
                            : policy_table_set_slice(p->table, slice));
}

static void wait_for_mark(struct policies *p, const char *uid, uint64_t marks) {
        uint64_t *v = malloc(sizeof(*v));

        assert(v);
        *v = marks;
        assert(map_set(p->waiting, uid, v) >= 0);
}

static json_t *address_list(const char *const addresses[FAMILIES]) {
        json_t *list = json_array();

        for (int f = 0; f < FAMILIES; f++)
                if (*addresses[f])
                        assert(json_array_append_new(list, json_string(addresses[f])) >= 0);
        assert(list);
        return list;
}

bool policies_pod(struct policies *p, const json_t *pod, const char *const addresses[FAMILIES],
                bool running) {
        _cleanup_json_ json_t *list = address_list(addresses);
        const char *uid = object_uid(pod);
        uint64_t mine;

        if (policy_table_set_pod(p->table, pod, list) > 0) {
                mark(p);
                mine = p->marks;
                /* Most pods are selected by no policy, and need not wait for the next turn. */
                if (p->loaded && !p->reload_due)
                        turn(p);
                if (p->committed < mine)
                        wait_for_mark(p, uid, mine);
        }
        return !map_get(p->waiting, uid) || (running && p->inherited && !p->loaded);
}

static int add_nodes(struct map *nodes, const struct map *routes) {
        int r;

        for (struct map_entry *e = routes ? map_first(routes) : NULL; e; e = map_next(e)) {
                const struct node_addresses a = node_addresses_read(map_entry_value(e));

                for (int f = 0; f < FAMILIES; f++) {
                        r = *a.text[f] ? map_set(nodes, a.text[f], nodes) : 0;
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static const char *set_of_node(const char *address) {
        return strchr(address, ':') ? "nodes6" : "nodes4";
}

void policies_nodes(struct policies *p, const struct map *routes) {
        struct policy_nft *nft = policy_table_nft(p->table);
        struct map *nodes = map_new(NULL);

        assert(nodes && add_nodes(nodes, routes) >= 0);
        map_foreach (nodes, n)
                if (!map_get(p->nodes, map_entry_key(n)))
                        policy_nft_add(nft, set_of_node(map_entry_key(n)), map_entry_key(n), NULL);
        map_foreach (p->nodes, o)
                if (!map_get(nodes, map_entry_key(o)))
                        policy_nft_remove(nft, set_of_node(map_entry_key(o)), map_entry_key(o));
        map_free(p->nodes);
        p->nodes = nodes;
        mark(p);
}

void policies_pod_changed(struct policies *p, const json_t *pod) {
        (void)note(p, policy_table_set_pod(p->table, pod, NULL));
}

void policies_pod_gone(struct policies *p, const char *uid) {
        (void)map_remove(p->waiting, uid);
        (void)note(p, policy_table_drop_pod(p->table, uid));
}

void policies_on_settled(struct policies *p, void (*func)(void *userdata), void *userdata) {
        p->on_settled = func;
        p->settled_userdata = userdata;
        again(p);
}

bool policies_is_settled(const struct policies *p) {
        return p->settled == p->marks;
}

bool policies_inherited(const struct policies *p) {
        return p->inherited;
}

bool policies_is_loaded(const struct policies *p) {
        return p->loaded;
}

const struct policy_table *policies_table(const struct policies *p) {
        return p->table;
}

/* ---- the whole ---- */

static int open_nft(struct policies *p) {
        int r;

        p->inherited = nft_text_finds_table(POLICY_TABLE);
        r = nft_monitor_new(&p->monitor, p->event, POLICY_TABLE, on_foreign, p);
        if (r < 0)
                return r;
        return worker_new(&p->worker, p->event);
}

int policies_new(struct policies **ret, sd_event *event, const struct policies_options *options) {
        _cleanup_(policies_freep) struct policies *p = calloc(1, sizeof(*p));
        const struct policy_facts facts = {
                        .cluster_cidr = {cidrs_text(options->cluster, FAMILY_IPV4),
                                        cidrs_text(options->cluster, FAMILY_IPV6)}};
        int r;

        if (!p)
                return -ENOMEM;
        p->event = sd_event_ref(event);
        p->options = *options;
        p->table = policy_table_new(&facts);
        p->waiting = map_new(free);
        p->nodes = map_new(NULL);
        if (!p->waiting || !p->nodes)
                return -ENOMEM;
        r = open_nft(p);
        if (r < 0)
                return r;
        /* What came in one turn of the loop is one transaction. */
        r = loop_turn_new(&p->turn, event, SD_EVENT_PRIORITY_NORMAL + 5, on_turn, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

struct policies *policies_free(struct policies *p) {
        if (!p)
                return NULL;
        /* Waits for the running transaction, so that no half-written table stays behind. */
        worker_free(p->worker);
        change_free(p->running);
        nft_monitor_free(p->monitor);
        loop_turn_free(p->turn);
        sd_event_source_disable_unref(p->restore);
        policy_table_free(p->table);
        map_free(p->waiting);
        map_free(p->nodes);
        sd_event_unref(p->event);
        free(p);
        return NULL;
}
