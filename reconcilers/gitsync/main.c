/* kgitd: wiring. */
#include "lib/confine.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/object.h"
#include "reconcilers/gitsync/fetch.h"
#include "reconcilers/gitsync/identity.h"
#include "reconcilers/gitsync/mirrors.h"
#include "reconcilers/gitsync/gitsync.h"
#include "reconcilers/program.h"

/* Fetches at a time, and with those whose server is silent at the moment. */
enum { FETCHING_MAX = 4, CHILDREN_MAX = 64 };
#define QUIET_US UINT64_C(2000000)

struct kgitd_flags {
        struct program_flags common;
        char *data_dir;
};

static const struct option_row rows[] = {
                {"data-dir", 0, OPTION_STRING, offsetof(struct kgitd_flags, data_dir), "DIR",
                                "mirrors of the repositories", "/var/lib/keelson/kgitd"},
};

struct kgitd {
        struct gitsync_world world;
        struct map *syncs; /* "namespace/name" -> struct gitsync */
        bool leading, connected;
};

static void gitsync_free_void(void *p) {
        gitsync_free(p);
}

static void want_sync(struct kgitd *k, const json_t *object) {
        _cleanup_free_ char *key = object_key(object);
        struct gitsync *s = key ? map_get(k->syncs, key) : NULL;

        if (s) {
                gitsync_poke(s);
                return;
        }
        if (!key || gitsync_new(&s, &k->world, object_namespace(object), object_name(object)) < 0 ||
                        map_set(k->syncs, key, s) < 0)
                log_oom();
}

/* A change of one GitSync may unblock those that depend on it; there are few of them. */
static void poke_others(struct kgitd *k, const json_t *changed) {
        map_foreach (k->syncs, e) {
                const json_t *o = informer_get(k->world.gitsyncs, map_entry_key(e)), *d;
                size_t i;

                json_array_foreach (json_at(o, "spec.dependsOn"), i, d)
                        if (streq(json_str_or(d, "name", ""), object_name(changed)))
                                gitsync_poke(map_entry_value(e));
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

/* Once all GitSyncs are known. */
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
        struct gitsync *s = key ? map_get(k->syncs, key) : NULL;

        if (s)
                gitsync_object_changed(s, user, resource, object, gone);
}

static void on_watch_synced(const char *user, const struct api_resource *resource, void *userdata) {
        struct kgitd *k = userdata;

        map_foreach (k->syncs, e)
                gitsync_watch_synced(map_entry_value(e), user, resource);
}

static void on_leading(bool leading, void *userdata) {
        struct kgitd *k = userdata;

        k->leading = leading;
        if (!leading) {
                map_clear(k->syncs); /* cancels runs under way */
                return;
        }
        informer_foreach(k->world.gitsyncs, e) want_sync(k, informer_object(e));
        sweep(k);
}

static const char *not_ready(bool leading, void *userdata) {
        const struct kgitd *k = userdata;

        return informer_is_synced(k->world.gitsyncs) && k->connected ? NULL
                                                                     : "the API is not connected";
}

static int make_data_dir(const char *path) {
        _cleanup_free_ char *why = NULL;
        int r;

        r = mkdir_parents(path, 0700);
        if (r < 0) {
                why = file_error_text(path, "make the data directory", r);
                log_error("%s", strempty(why));
        }
        return r;
}

static int setup(struct kgitd *k, struct program *program) {
        struct gitsync_world *world = &k->world;
        int r;

        k->syncs = map_new(gitsync_free_void);
        world->identities = identities_new();
        if (!k->syncs || !world->identities)
                return -ENOMEM;
        world->event = daemon_event(program_daemon(program));
        world->client = program_client(program);
        world->program = "/proc/self/exe";
        r = figures_shared_init(&world->figures, daemon_metrics(program_daemon(program)));
        if (r < 0)
                return r;
        r = turns_init(&world->turns, world->event, FETCHING_MAX, CHILDREN_MAX, QUIET_US);
        if (r < 0)
                return r;
        r = asides_new(&world->asides, world->event);
        if (r < 0)
                return r;
        r = discovery_new(&world->discovery, world->client);
        if (r < 0)
                return r;
        r = drift_new(&world->drift, &(struct drift_events){on_drift, on_watch_synced, k});
        if (r < 0)
                return r;
        return informer_new(&world->gitsyncs, world->client,
                        &(struct informer_options){.resource = api_resource(KIND_GITSYNCS),
                                        .on_event = on_gitsync,
                                        .on_synced = on_synced,
                                        .on_connection = on_connection,
                                        .userdata = k});
}

static void teardown(struct kgitd *k) {
        map_free(k->syncs);
        asides_free(k->world.asides);
        turns_done(&k->world.turns);
        informer_free(k->world.gitsyncs);
        drift_free(k->world.drift);
        map_free(k->world.identities);
        discovery_free(k->world.discovery);
}

static int run(struct program_flags *common) {
        const struct kgitd_flags *flags = container_of(common, struct kgitd_flags, common);
        _cleanup_(program_freep) struct program *program = NULL;
        struct kgitd k = {.world.data_dir = flags->data_dir};
        struct program_options options = {.name = "kgitd",
                        .flags = common,
                        .on_leading = on_leading,
                        .not_ready = not_ready,
                        .userdata = &k};
        int r, code = 1;

        if (make_data_dir(flags->data_dir) < 0)
                return 1;
        if (program_new(&program, &options) < 0)
                return 1;
        if (!confine_is_there())
                log_warning("This kernel has no Landlock (Linux 5.13): fetches are confined by "
                            "kgitd's unit only");
        r = setup(&k, program);
        if (r < 0)
                log_error_errno(r, "Cannot start");
        else
                code = program_run(program);
        teardown(&k);
        return code;
}

int main(int argc, char **argv) {
        struct kgitd_flags flags = {0};
        const struct program_entry entry = {.name = "kgitd",
                        .summary = "Applies manifests from Git through the API and reverts drift.",
                        .rows = rows,
                        .row_count = ELEMENTS(rows),
                        .flags = &flags.common,
                        .run = run};

        if (argc == 2 && streq(argv[1], "fetch")) /* the child that fetches */
                return fetch_main();
        return program_main(argc, argv, &entry);
}
