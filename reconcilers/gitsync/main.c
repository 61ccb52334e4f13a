/* kgitd: wiring. */
#include <sys/stat.h>

#include "lib/client/leader.h"
#include "lib/confine.h"
#include "lib/daemon.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/options.h"
#include "lib/random.h"
#include "reconcilers/gitsync/fetch.h"
#include "reconcilers/gitsync/identity.h"
#include "reconcilers/gitsync/mirrors.h"
#include "reconcilers/gitsync/sync.h"

#include "config.h"

/* At work at a time, and with those whose server says nothing at the moment. */
enum { FETCHING_MAX = 4, CHILDREN_MAX = 64 };
#define QUIET_US UINT64_C(2000000)

struct settings {
        char *kubeconfig, *data_dir, *health_address, *log_level;
        bool leader_elect;
};

static const struct option_row rows[] = {
                {"kubeconfig", 0, OPTION_STRING, offsetof(struct settings, kubeconfig), "FILE",
                                "How to reach the API", NULL},
                {"data-dir", 0, OPTION_STRING, offsetof(struct settings, data_dir), "DIR",
                                "Mirrors of the repositories", "/var/lib/keelson/kgitd"},
                {"health-address", 0, OPTION_STRING, offsetof(struct settings, health_address),
                                "ADDR", "where /healthz and /metrics are served; empty: nowhere",
                                NULL},
                {"leader-elect", 0, OPTION_BOOL, offsetof(struct settings, leader_elect), "BOOL",
                                "Act only while holding the lease kube-system/kgitd", "true"},
                {"log-level", 0, OPTION_STRING, offsetof(struct settings, log_level), "LEVEL",
                                "debug, info, notice, warning or error", "info"},
};

static const struct option_program program = {"kgitd",
                "Applies what Git says through the API and keeps it so.", "[OPTION...]", rows,
                ELEMENTS(rows)};

struct kgitd {
        struct sync_world world;
        struct daemon *daemon;
        struct leader *leader;
        struct map *syncs; /* "namespace/name" -> struct sync */
        bool leading, connected;
};

static void sync_free_void(void *p) {
        sync_free(p);
}

static void want_sync(struct kgitd *k, const json_t *object) {
        _cleanup_free_ char *key = object_key(object);
        struct sync *s = key ? map_get(k->syncs, key) : NULL;

        if (s) {
                sync_poke(s);
                return;
        }
        if (!key || sync_new(&s, &k->world, object_namespace(object), object_name(object)) < 0 ||
                        map_set(k->syncs, key, s) < 0)
                log_oom();
}

/* Any change of one GitSync may free those that depend on it; there are few of them. */
static void poke_others(struct kgitd *k, const json_t *changed) {
        map_foreach (k->syncs, e) {
                const json_t *o = informer_get(k->world.gitsyncs, map_entry_key(e)), *d;
                size_t i;

                json_array_foreach (json_at(o, "spec.dependsOn"), i, d)
                        if (streq(json_str_or(d, "name", ""), object_name(changed)))
                                sync_poke(map_entry_value(e));
        }
}

static void on_gitsync(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct kgitd *k = userdata;
        _cleanup_free_ char *key = object_key(object);

        if (!k->leading)
                return;
        if (event == INFORMER_DELETED) {
                if (key)
                        map_remove(k->syncs, key);
                mirrors_remove(k->world.data_dir, object_uid(object));
        } else
                want_sync(k, object);
        poke_others(k, object);
}

static bool is_known(const char *uid, void *userdata) {
        struct kgitd *k = userdata;

        informer_foreach(k->world.gitsyncs,
                        e) if (streq(object_uid(informer_object(e)), uid)) return true;
        return false;
}

/* Once it is known which there are. */
static void sweep(struct kgitd *k) {
        if (k->leading && informer_is_synced(k->world.gitsyncs))
                mirrors_sweep(k->world.data_dir, is_known, k);
}

static void on_synced(struct informer *i, void *userdata) {
        sweep(userdata);
}

static void on_connection(struct informer *i, bool connected, void *userdata) {
        struct kgitd *k = userdata;

        k->connected = connected;
}

static void on_drift(const char *user, const struct api_resource *resource, const char *ns,
                const char *name, const json_t *object, bool gone, void *userdata) {
        struct kgitd *k = userdata;
        _cleanup_free_ char *key = strformat("%s/%s", ns, name);
        struct sync *s = key ? map_get(k->syncs, key) : NULL;

        if (s)
                sync_object_changed(s, user, resource, object, gone);
}

static void on_watch_synced(const char *user, const struct api_resource *resource, void *userdata) {
        struct kgitd *k = userdata;

        map_foreach (k->syncs, e)
                sync_watch_synced(map_entry_value(e), user, resource);
}

static void on_leading(void *userdata) {
        struct kgitd *k = userdata;

        k->leading = true;
        log_info("Leading: syncing from Git");
        informer_foreach(k->world.gitsyncs, e) want_sync(k, informer_object(e));
        sweep(k);
}

static void on_lost(void *userdata) {
        struct kgitd *k = userdata;

        k->leading = false;
        map_clear(k->syncs); /* cancels what is under way */
        log_warning("Lost the lease: standing by");
}

static void on_stop(void *userdata) {
        struct kgitd *k = userdata;

        map_clear(k->syncs);
        k->leader = leader_free(k->leader);
        sd_event_exit(k->world.event, 0);
}

static bool is_ready(void *userdata, const char **ret_why) {
        struct kgitd *k = userdata;

        if (informer_is_synced(k->world.gitsyncs) && k->connected)
                return true;
        *ret_why = "the API is not connected";
        return false;
}

static int setup(struct kgitd *k, const struct settings *settings, struct problem *p) {
        char identity[256], uuid[UUID_SIZE], host[128] = "";
        int r;

        r = mkdir_parents(settings->data_dir, 0700);
        if (r < 0) {
                _cleanup_free_ char *why =
                                file_error_text(settings->data_dir, "make the data directory", r);

                return problem_set(p, r, 0, NULL, "%s", strempty(why));
        }
        r = daemon_new(&k->daemon, "kgitd");
        if (r < 0)
                return r;
        k->world.event = daemon_event(k->daemon);
        k->world.data_dir = settings->data_dir;
        k->world.program = "/proc/self/exe";
        r = slots_init(&k->world.slots, k->world.event, FETCHING_MAX, CHILDREN_MAX, QUIET_US);
        if (r < 0)
                return r;
        r = api_client_new(&k->world.client, k->world.event,
                        &(struct api_client_options){.kubeconfig = settings->kubeconfig,
                                        .user_agent = "kgitd/" PACKAGE_VERSION},
                        p);
        if (r < 0)
                return r;
        r = discovery_new(&k->world.discovery, k->world.client);
        if (r == 0)
                r = drift_new(&k->world.drift,
                                &(struct drift_events){on_drift, on_watch_synced, k});
        if (r == 0)
                r = informer_new(&k->world.gitsyncs, k->world.client,
                                &(struct informer_options){
                                                .resource = api_resource_find("gitsyncs"),
                                                .on_event = on_gitsync,
                                                .on_synced = on_synced,
                                                .on_connection = on_connection,
                                                .userdata = k});
        if (r < 0)
                return r;
        daemon_on_stop(k->daemon, on_stop, k);
        daemon_on_ready_check(k->daemon, is_ready, k);
        r = daemon_listen_health(k->daemon, settings->health_address, p);
        if (r < 0)
                return r;
        if (!settings->leader_elect) {
                on_leading(k);
                return 0;
        }
        (void)gethostname(host, sizeof(host) - 1);
        snprintf(identity, sizeof(identity), "%s_%s", host, random_uuid(uuid));
        return leader_new(&k->leader, k->world.event, k->world.client,
                        &(struct leader_options){.ns = "kube-system",
                                        .name = "kgitd",
                                        .identity = identity,
                                        .on_started = on_leading,
                                        .on_stopped = on_lost,
                                        .userdata = k});
}

int main(int argc, char **argv) {
        struct settings settings = {0};
        struct kgitd k = {.syncs = map_new(sync_free_void), .world.identities = identities_new()};
        _cleanup_problem_ struct problem p = {0};
        int r, code = 1;

        if (argc == 2 && streq(argv[1], "fetch"))
                return fetch_main();
        r = options_parse(&program, &settings, argc, argv, NULL, &p);
        if (r > 0)
                return 0;
        if (r == 0 && settings.log_level && log_level_from_string(settings.log_level) < 0)
                r = problem_set(&p, EINVAL, 0, NULL,
                                "log-level \"%s\" is none of debug, info, notice, warning, error",
                                settings.log_level);
        if (r == 0) {
                log_setup("kgitd", log_level_from_string(settings.log_level));
                r = k.syncs && k.world.identities ? setup(&k, &settings, &p) : -ENOMEM;
        }
        if (r < 0)
                fprintf(stderr, "kgitd: %s\n", p.message ? p.message : strerror(-r));
        else {
                if (!confine_is_there())
                        log_warning("This kernel has no Landlock (Linux 5.13): what is fetched is "
                                    "read within the bounds of kgitd's unit only");
                daemon_notify_ready(k.daemon, "Syncing from Git");
                code = daemon_run(k.daemon);
        }
        map_free(k.syncs);
        slots_done(&k.world.slots);
        leader_free(k.leader);
        informer_free(k.world.gitsyncs);
        drift_free(k.world.drift);
        map_free(k.world.identities);
        discovery_free(k.world.discovery);
        api_client_free(k.world.client);
        daemon_free(k.daemon);
        options_done(&program, &settings);
        return code;
}
