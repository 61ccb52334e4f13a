/* One informer for all policies, one for the PeerSlices of each namespace that needs them: at 5,000
 * nodes a change of a peer goes to the nodes with pods of that namespace. (A node may read the
 * slices of these namespaces only.)
 *
 * The table of an earlier agent stays in the kernel until the lists are in, or LOAD_PATIENCE_US
 * have passed since the policies are: what slices are missing then allows less, never more. */
#include "nodeagent/network/policy-watch.h"

#include "lib/client/informer.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/worker.h"
#include "nodeagent/network/policy.h"
#include "nodeagent/network/services-disk.h"

enum { SAVE_DELAY_US = 1000000, LOAD_PATIENCE_US = 5 * 1000000 };

struct policy_watch {
        struct agent *agent;
        struct informer *policies;
        struct map *peers; /* ns -> its informer */
        sd_event_source *defer, *patience, *save;
        struct worker *worker; /* writes to disk */
        char *path;
        json_t *saving; /* NULL: no save runs */
        bool save_again, impatient;
};

/* ---- the disk ---- */

static char *disk_path(const struct agent *a) {
        return strformat("%s/policies.jsonl", a->config.data_dir);
}

static void on_kept(struct agent *a, const json_t *object) {
        if (json_at(object, "spec"))
                (void)policies_policy(a->policies, object, false);
        else
                (void)policies_slice(a->policies, object, false);
}

static int load(struct agent *a, const char *path) {
        _cleanup_(services_reader_freep) struct services_reader *reader = NULL;
        int r = services_reader_open(&reader, path);

        if (r < 0)
                return r;
        for (;;) {
                _cleanup_json_ json_t *object = NULL;

                r = services_reader_next(reader, &object);
                if (r <= 0)
                        return r;
                on_kept(a, object);
        }
}

bool policy_watch_load(struct agent *a) {
        _cleanup_free_ char *path = disk_path(a);
        int r = path ? load(a, path) : -ENOMEM;

        if (r < 0 && r != -ENOENT)
                log_warning_errno(r, "Cannot read the network policies kept in %s", strempty(path));
        return r >= 0;
}

static void save_later(struct policy_watch *w);

static int save_run(void *userdata) {
        const struct policy_watch *w = userdata;

        return services_disk_save(w->path, w->saving);
}

static void save_done(int result, void *userdata) {
        struct policy_watch *w = userdata;

        json_decref(TAKE_PTR(w->saving));
        if (result < 0)
                log_warning_errno(result, "Cannot keep the network policies on disk");
        if (w->save_again)
                save_later(w);
}

static void add_object(const json_t *object, void *userdata) {
        json_array_append_new(userdata, json_ref(object));
}

static int on_save(sd_event_source *source, uint64_t usec, void *userdata) {
        struct policy_watch *w = userdata;
        int r;

        w->save = sd_event_source_disable_unref(w->save);
        w->save_again = false;
        w->saving = json_array();
        if (w->saving)
                policy_table_each(policies_table(w->agent->policies), add_object, w->saving);
        r = w->saving ? worker_submit(w->worker, save_run, save_done, w) : -ENOMEM;
        if (r < 0) {
                json_decref(TAKE_PTR(w->saving));
                log_warning_errno(r, "Cannot keep the network policies on disk");
        }
        return 0;
}

static void save_later(struct policy_watch *w) {
        if (w->saving)
                w->save_again = true;
        else if (!w->save)
                (void)sd_event_add_time_relative(w->agent->event, &w->save, CLOCK_MONOTONIC,
                                SAVE_DELAY_US, 0, on_save, w);
}

/* ---- what no list holds goes ---- */

struct sweep {
        struct policy_watch *watch;
        json_t *gone;
        const char *ns; /* slices of it; NULL: policies */
};

static void find_unknown(const json_t *object, void *userdata) {
        struct sweep *s = userdata;
        const struct informer *i = s->ns ? map_get(s->watch->peers, s->ns) : s->watch->policies;

        if (!json_at(object, "spec") != (s->ns != NULL) ||
                        (s->ns && !streq(s->ns, object_namespace(object))))
                return;
        if (!i || !informer_get2(i, object_namespace(object), object_name(object)))
                add_object(object, s->gone);
}

/* Drops policies, or slices of the namespace, that the informer does not have. */
static void drop_unknown(struct policy_watch *w, const char *ns) {
        _cleanup_json_ json_t *gone = json_array();
        struct sweep s = {.watch = w, .gone = gone, .ns = ns};
        const json_t *v;
        size_t i;

        policy_table_each(policies_table(w->agent->policies), find_unknown, &s);
        json_array_foreach (gone, i, v) {
                if (ns)
                        (void)policies_slice(w->agent->policies, v, true);
                else
                        (void)policies_policy(w->agent->policies, v, true);
        }
        if (json_array_size(gone) > 0)
                save_later(w);
}

/* ---- events ---- */

static void look_later(struct policy_watch *w) {
        (void)sd_event_source_set_enabled(w->defer, SD_EVENT_ONESHOT);
}

static void on_policy(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct policy_watch *w = userdata;

        if (policies_policy(w->agent->policies, object, event == INFORMER_DELETED) != 0)
                save_later(w);
}

static void on_slice(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct policy_watch *w = userdata;

        if (policies_slice(w->agent->policies, object, event == INFORMER_DELETED) != 0)
                save_later(w);
}

static int on_patience(sd_event_source *s, uint64_t usec, void *userdata) {
        struct policy_watch *w = userdata;

        w->impatient = true;
        look_later(w);
        return 0;
}

static void on_policies_synced(struct informer *i, void *userdata) {
        struct policy_watch *w = userdata;

        drop_unknown(w, NULL);
        save_later(w);
        (void)sd_event_add_time_relative(w->agent->event, &w->patience, CLOCK_MONOTONIC,
                        LOAD_PATIENCE_US, 0, on_patience, w);
        look_later(w);
}

static void on_slices_synced(struct informer *i, void *userdata) {
        struct policy_watch *w = userdata;

        map_foreach (w->peers, e)
                if (map_entry_value(e) == i)
                        drop_unknown(w, map_entry_key(e));
        look_later(w);
}

/* ---- which slices are watched ---- */

static int start_peers(struct policy_watch *w, const char *ns) {
        const struct informer_options options = {.resource = api_resource(KIND_PEERSLICES),
                        .ns = ns,
                        .on_event = on_slice,
                        .on_synced = on_slices_synced,
                        .userdata = w};
        struct informer *i;
        int r = informer_new(&i, w->agent->api, &options);

        if (r < 0)
                return r;
        r = map_set(w->peers, ns, i);
        if (r < 0)
                informer_free(i);
        return r;
}

static void informer_free_value(void *v) {
        informer_free(v);
}

/* Starts and ends the informers of slices. Whether all of them have their first lists. */
static bool follow_peers(struct policy_watch *w) {
        const struct map *wanted = policy_table_peer_namespaces(policies_table(w->agent->policies));
        bool synced = true;
        int r;

        map_foreach (wanted, e) {
                if (map_get(w->peers, map_entry_key(e)))
                        continue;
                r = start_peers(w, map_entry_key(e));
                if (r < 0)
                        log_warning_errno(r,
                                        "Cannot watch the peers of the network policies of "
                                        "namespace %s",
                                        map_entry_key(e));
        }
        map_foreach (w->peers, f) {
                _cleanup_free_ char *ns = NULL;

                if (map_get(wanted, map_entry_key(f))) {
                        synced = synced && informer_is_synced(map_entry_value(f));
                        continue;
                }
                ns = strdup(map_entry_key(f));
                (void)map_remove(w->peers, map_entry_key(f));
                if (ns)
                        drop_unknown(w, ns);
        }
        return synced;
}

static int on_look(sd_event_source *s, void *userdata) {
        struct policy_watch *w = userdata;
        struct policies *p = w->agent->policies;
        bool synced;

        if (!policies_is_settled(p))
                return 0; /* on_settled() comes */
        synced = follow_peers(w);
        /* Where no table is in the kernel, an incomplete one is better. */
        if (!policies_is_loaded(p) && informer_is_synced(w->policies) &&
                        (synced || w->impatient || !policies_inherited(p)))
                policies_load(p);
        return 0;
}

static void on_settled(void *userdata) {
        look_later(userdata);
}

bool policy_watch_is_synced(const struct policy_watch *w) {
        return informer_is_synced(w->policies);
}

/* ---- the whole ---- */

int policy_watch_new(struct policy_watch **ret, struct agent *a) {
        _cleanup_(policy_watch_freep) struct policy_watch *w = calloc(1, sizeof(*w));
        struct informer_options options = {.resource = api_resource(KIND_NETWORKPOLICIES),
                        .on_event = on_policy,
                        .on_synced = on_policies_synced};
        int r;

        if (!w)
                return -ENOMEM;
        w->agent = a;
        w->path = disk_path(a);
        w->peers = map_new(informer_free_value);
        if (!w->path || !w->peers)
                return -ENOMEM;
        r = worker_new(&w->worker, a->event);
        if (r < 0)
                return r;
        r = sd_event_add_defer(a->event, &w->defer, on_look, w);
        if (r < 0)
                return r;
        options.userdata = w;
        r = informer_new(&w->policies, a->api, &options);
        if (r < 0)
                return r;
        policies_on_settled(a->policies, on_settled, w);
        *ret = TAKE_PTR(w);
        return 0;
}

struct policy_watch *policy_watch_free(struct policy_watch *w) {
        if (!w)
                return NULL;
        policies_on_settled(w->agent->policies, NULL, NULL);
        worker_free(w->worker);
        json_decref(w->saving);
        informer_free(w->policies);
        map_free(w->peers);
        sd_event_source_disable_unref(w->defer);
        sd_event_source_disable_unref(w->patience);
        sd_event_source_disable_unref(w->save);
        free(w->path);
        free(w);
        return NULL;
}
