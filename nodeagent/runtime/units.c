/* One connection to the system bus, one match per signal, no polling. systemd puts every property
 * that emits changes into each PropertiesChanged, so signals alone keep the state whole; only units
 * that were there before us are asked for theirs. Calls that start units are queued so that at most
 * CALLS_MAX are under way. */
#include "nodeagent/runtime/units.h"

#include <systemd/sd-bus.h>

#include "lib/log.h"
#include "lib/map.h"
#include "nodeagent/dns/unbound-config.h"
#include "nodeagent/logs/log-collect.h"
#include "nodeagent/network/netns-keeper.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/runtime/manager-connect.h"
#include "nodeagent/runtime/units-message.h"

#define MANAGER "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define UNIT_PATH "/org/freedesktop/systemd1/unit"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"

enum {
        CALLS_MAX = 64,
        CALL_TIMEOUT_US = 60 * 1000000,
};

struct queued_call {
        sd_bus_message *message;
        char *name;
        bool quiet; /* an existing unit is not an error */
        struct units *units;
        struct queued_call *next;
};

struct units_exec {
        struct units *units;
        char *name;
        units_exec_func done;
        void *userdata;
};

/* systemd signals a change in two messages, the first with the properties of the unit's own type:
 * only after the second do they belong together. */
struct unit {
        struct unit_state seen, incoming;
};

struct units {
        sd_bus *bus, *system; /* system: the system bus, where bus is another one; or NULL */
        sd_event *event;
        struct units_callbacks callbacks;
        struct map *states; /* name -> struct unit */
        struct map *execs;  /* name -> struct units_exec */
        struct queued_call *queue, **queue_tail;
        char version[64];
        unsigned calls;            /* under way */
        unsigned listing;          /* GetAll calls of the first listing under way */
        units_mount_func on_mount; /* NULL: nobody wants it */
        void *on_mount_userdata;
        const char *followed; /* the unit of units_follow(), or NULL */
        units_mount_func on_followed;
        void *on_followed_userdata;
        bool direct, listed; /* direct: the bus is a connection to systemd itself */
        bool reloading; /* systemd forgets its units for a moment and emits UnitRemoved for each */
};

static bool name_is_ours(const char *name) {
        return startswith(name, "kpod-") || startswith(name, "kpodx-") ||
               startswith(name, "kpodi-") || startswith(name, "keelson-pod_") ||
               startswith(name, SHARE_UNIT_PREFIX) ||
               streq(name, LOG_COLLECT_UNIT) || streq(name, NETNS_KEEPER_UNIT) ||
               streq(name, DNS_UNIT);
}

static struct unit *unit_make(struct units *u, const char *name) {
        struct unit *s = map_get(u->states, name);

        if (s)
                return s;
        s = calloc(1, sizeof(*s));
        if (s && map_set(u->states, name, s) < 0)
                s = mfree(s);
        return s;
}

static void changed(struct units *u, const char *name, const struct unit_state *s) {
        if (startswith(name, "kpod-"))
                u->callbacks.on_change(name, s, u->callbacks.userdata);
        else if (startswith(name, SHARE_UNIT_PREFIX) && u->on_mount)
                u->on_mount(name, s, /* error= */ NULL, u->on_mount_userdata);
        else if (u->followed && streq(name, u->followed))
                u->on_followed(name, s, /* error= */ NULL, u->on_followed_userdata);
}

static void complete(struct units *u, const char *name, struct unit *unit) {
        unit->seen = unit->incoming;
        unit->seen.known = true;
        changed(u, name, &unit->seen);
}

void units_follow(struct units *u, const char *name, units_mount_func func, void *userdata) {
        u->followed = name;
        u->on_followed = func;
        u->on_followed_userdata = userdata;
}

void units_on_mount(struct units *u, units_mount_func func, void *userdata) {
        u->on_mount = func;
        u->on_mount_userdata = userdata;
}

static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct units *u = userdata;
        const char *path = sd_bus_message_get_path(m), *interface;
        _cleanup_free_ char *name = NULL;
        struct unit *unit;

        /* Cheap refusal first: every unit of the machine signals here. */
        if (!path || (!startswith(path, UNIT_PATH "/kpod_2d") &&
                                     !startswith(path, UNIT_PATH "/keelson_2dpod") &&
                                     !startswith(path, UNIT_PATH "/keelson_2ddns") &&
                                     !startswith(path, UNIT_PATH "/run_2dkeelson_2dnodeagent")))
                return 0;
        if (sd_bus_path_decode(path, UNIT_PATH, &name) <= 0 || !name_is_ours(name))
                return 0;
        if (sd_bus_message_read(m, "s", &interface) < 0)
                return 0;
        unit = unit_make(u, name);
        if (!unit || units_read_properties(m, &unit->incoming) < 0)
                return 0;
        if (streq(interface, MANAGER ".Unit"))
                complete(u, name, unit);
        return 0;
}

static int on_unit_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct units *u = userdata;
        const char *name, *path;

        if (sd_bus_message_read(m, "so", &name, &path) < 0 || !name_is_ours(name))
                return 0;
        if (u->reloading) /* daemon-reload: the listing after it shows what is really gone */
                return 0;
        if (map_remove(u->states, name) > 0)
                changed(u, name, NULL);
        return 0;
}

static void exec_free(struct units_exec *x) {
        (void)map_steal(x->units->execs, x->name);
        free(x->name);
        free(x);
}

static void exec_finish(struct units_exec *x, const char *result) {
        units_exec_func done = x->done;
        void *userdata = x->userdata;

        exec_free(x);
        done(result, userdata);
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct units *u = userdata;
        const char *path, *name, *result;
        struct units_exec *x;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &path, &name, &result) < 0)
                return 0;
        x = startswith(name, "kpodx-") ? map_get(u->execs, name) : NULL;
        if (x)
                exec_finish(x, result);
        return 0;
}

static int on_get_all(sd_bus_message *m, void *userdata, sd_bus_error *error);

struct get_all {
        struct units *units;
        char *name;
        bool last;
};

static int get_all_failed(struct get_all *g, int error) {
        free(g->name);
        free(g);
        return error;
}

static int get_all(struct units *u, const char *name, const char *interface, bool last) {
        _cleanup_free_ char *path = NULL;
        struct get_all *g = calloc(1, sizeof(*g));
        int r;

        if (!g)
                return -ENOMEM;
        *g = (struct get_all){.units = u, .name = strdup(name), .last = last};
        r = g->name ? sd_bus_path_encode(UNIT_PATH, name, &path) : -ENOMEM;
        if (r < 0)
                return get_all_failed(g, r);
        r = sd_bus_call_method_async(u->bus, NULL, MANAGER, path, "org.freedesktop.DBus.Properties",
                        "GetAll", on_get_all, g, "s", interface);
        if (r < 0)
                return get_all_failed(g, r);
        u->listing++;
        return 0;
}

static void listed_maybe(struct units *u) {
        if (u->listing > 0 || u->listed)
                return;
        u->listed = true;
        u->callbacks.on_listed(u->callbacks.userdata);
}

static int on_get_all(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct get_all *g = userdata;
        struct units *u = g->units;
        struct unit *unit = map_get(u->states, g->name);

        u->listing--;
        if (unit && !sd_bus_message_is_method_error(m, NULL) &&
                        units_read_properties(m, &unit->incoming) >= 0 && g->last)
                complete(u, g->name, unit);
        free(g->name);
        free(g);
        listed_maybe(u);
        return 0;
}

/* Units that a listing does not have went away unseen (while systemd reloaded). */
static void drop_unlisted(struct units *u, const struct map *listed) {
        map_foreach (u->states, e) {
                _cleanup_free_ char *name = NULL;

                if (map_get(listed, map_entry_key(e)))
                        continue;
                name = strdup(map_entry_key(e));
                if (name && map_remove(u->states, name) > 0)
                        changed(u, name, NULL);
        }
}

/* One unit of the listing: its properties are asked for. */
static int read_listed(struct units *u, sd_bus_message *m, struct map *listed) {
        const char *name;
        int r = sd_bus_message_read(m, "s", &name);

        if (r < 0)
                return r;
        if (name_is_ours(name) && unit_make(u, name)) {
                r = map_set(listed, name, u);
                if (r < 0)
                        return r;
                if (endswith(name, ".service"))
                        (void)get_all(u, name, MANAGER ".Service", /* last= */ false);
                else if (endswith(name, ".socket"))
                        (void)get_all(u, name, MANAGER ".Socket", /* last= */ false);
                (void)get_all(u, name, MANAGER ".Unit", /* last= */ true);
        }
        r = sd_bus_message_skip(m, "sssssouso");
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_listing(struct units *u, sd_bus_message *m, struct map *listed) {
        int r = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");

        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'r', "ssssssouso")) > 0) {
                r = read_listed(u, m, listed);
                if (r < 0)
                        return r;
        }
        return r;
}

static int on_list(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(map_freep) struct map *listed = map_new(NULL);
        struct units *u = userdata;

        if (!listed || sd_bus_message_is_method_error(m, NULL)) {
                u->callbacks.on_lost(listed ? -sd_bus_message_get_errno(m) : -ENOMEM,
                                u->callbacks.userdata);
                return 0;
        }
        if (read_listing(u, m, listed) >= 0)
                drop_unlisted(u, listed);
        listed_maybe(u);
        return 0;
}

static int list_units(struct units *u) {
        return sd_bus_call_method_async(u->bus, NULL, MANAGER, MANAGER_PATH, MANAGER_INTERFACE,
                        "ListUnitsByPatterns", on_list, u, "asas", 0, 5, "kpod-*.service",
                        "kpod-*.socket", "keelson-pod_*.slice", SHARE_UNIT_PREFIX "*.mount",
                        DNS_UNIT);
}

static int on_version(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct units *u = userdata;
        const char *s;

        if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_read(m, "v", "s", &s) >= 0)
                snprintf(u->version, sizeof(u->version), "%s", s);
        return 0;
}

const char *units_version(const struct units *u) {
        return u->version;
}

static int on_reloading(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct units *u = userdata;
        int active;

        if (sd_bus_message_read(m, "b", &active) < 0)
                return 0;
        u->reloading = active;
        if (!active) {
                (void)list_units(u);
                u->callbacks.on_reloaded(u->callbacks.userdata);
        }
        return 0;
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct units *u = userdata;

        u->callbacks.on_lost(-ECONNRESET, u->callbacks.userdata);
        return 0;
}

static int subscribe(struct units *u) {
        static const struct {
                const char *member;
                sd_bus_message_handler_t handler;
        } signals[] = {{"UnitRemoved", on_unit_removed}, {"JobRemoved", on_job_removed},
                        {"Reloading", on_reloading}};
        int r;

        for (size_t i = 0; i < ELEMENTS(signals); i++) {
                r = sd_bus_match_signal_async(u->bus, NULL, units_sender(u), MANAGER_PATH,
                                MANAGER_INTERFACE, signals[i].member, signals[i].handler, NULL, u);
                if (r < 0)
                        return r;
        }
        r = sd_bus_match_signal_async(u->bus, NULL, units_sender(u), NULL,
                        "org.freedesktop.DBus.Properties", "PropertiesChanged", on_properties, NULL,
                        u);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(u->bus, NULL, "org.freedesktop.DBus.Local", NULL,
                        "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, NULL, u);
        if (r < 0)
                return r;
        return sd_bus_call_method_async(u->bus, NULL, MANAGER, MANAGER_PATH, MANAGER_INTERFACE,
                        "Subscribe", NULL, NULL, NULL);
}

const char *units_sender(const struct units *u) {
        return u->direct ? NULL : MANAGER;
}

int units_new(struct units **ret, sd_event *event, const struct units_callbacks *callbacks) {
        _cleanup_(units_freep) struct units *u = calloc(1, sizeof(*u));
        int r;

        if (!u)
                return -ENOMEM;
        u->event = sd_event_ref(event);
        u->callbacks = *callbacks;
        u->queue_tail = &u->queue;
        u->states = map_new(free);
        u->execs = map_new(NULL);
        if (!u->states || !u->execs)
                return -ENOMEM;
        r = manager_connect(&u->bus, &u->direct);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(u->bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        r = subscribe(u);
        if (r < 0)
                return r;
        r = sd_bus_call_method_async(u->bus, NULL, MANAGER, MANAGER_PATH,
                        "org.freedesktop.DBus.Properties", "Get", on_version, u, "ss",
                        MANAGER_INTERFACE, "Version");
        if (r < 0)
                return r;
        r = list_units(u);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(u);
        return 0;
}

static struct queued_call *call_free(struct queued_call *c) {
        sd_bus_message_unref(c->message);
        free(c->name);
        free(c);
        return NULL;
}

struct units *units_free(struct units *u) {
        if (!u)
                return NULL;
        while (u->queue) {
                struct queued_call *next = u->queue->next;
                call_free(u->queue);
                u->queue = next;
        }
        if (u->execs)
                map_foreach (u->execs, e)
                        exec_free(map_entry_value(e));
        if (u->bus) {
                sd_bus_detach_event(u->bus);
                sd_bus_flush_close_unref(u->bus);
        }
        sd_bus_close_unref(u->system);
        sd_event_unref(u->event);
        map_free(u->states);
        map_free(u->execs);
        free(u);
        return NULL;
}

const struct unit_state *units_get(struct units *u, const char *name) {
        const struct unit *unit = map_get(u->states, name);
        return unit && unit->seen.known ? &unit->seen : NULL;
}

bool units_is_awaited(struct units *u, const char *name) {
        const struct unit *unit = map_get(u->states, name);
        return unit && !unit->seen.known;
}

void units_each(struct units *u,
                void (*func)(const char *name, const struct unit_state *state, void *userdata),
                void *userdata) {
        map_foreach (u->states, e) {
                const struct unit *unit = map_entry_value(e);

                if (!streq(map_entry_key(e), DNS_UNIT)) /* no pod's, and not left over */
                        func(map_entry_key(e), &unit->seen, userdata);
        }
}

static void queue_run(struct units *u);

static void start_refused(struct units *u, const char *name, const char *message) {
        struct units_exec *x = map_get(u->execs, name);

        if (x)
                exec_finish(x, message);
        else if (u->followed && streq(name, u->followed))
                u->on_followed(name, /* state= */ NULL, message, u->on_followed_userdata);
        else if (!startswith(name, SHARE_UNIT_PREFIX))
                u->callbacks.on_start_error(name, message, u->callbacks.userdata);
        else if (u->on_mount)
                u->on_mount(name, /* state= */ NULL, message, u->on_mount_userdata);
}

static int on_call_done(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct queued_call *c = userdata;
        struct units *u = c->units;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        u->calls--;
        if (e && !c->quiet)
                start_refused(u, c->name, strempty(e->message));
        call_free(c);
        queue_run(u);
        return 0;
}

static void queue_run(struct units *u) {
        while (u->queue && u->calls < CALLS_MAX) {
                struct queued_call *c = u->queue;
                int r;

                u->queue = c->next;
                if (!u->queue)
                        u->queue_tail = &u->queue;
                r = sd_bus_call_async(u->bus, NULL, c->message, on_call_done, c, CALL_TIMEOUT_US);
                if (r < 0) {
                        log_warning_errno(r, "Cannot ask systemd to start %s", c->name);
                        call_free(c);
                        continue;
                }
                u->calls++;
        }
}

static int append_unit(sd_bus_message *m, const json_t *unit) {
        int r;

        if (!unit)
                return 0;
        r = sd_bus_message_open_container(m, 'r', "sa(sv)");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", json_str_or(unit, "name", ""));
        if (r < 0)
                return r;
        r = units_append_properties(m, json_at(unit, "properties"));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The units that come with the one that is started: the service of a socket, and the one that holds
 * the mounts of a service. */
static int append_auxiliary(sd_bus_message *m, const json_t *service, const json_t *hold) {
        int r = sd_bus_message_open_container(m, 'a', "(sa(sv))");

        if (r < 0)
                return r;
        r = append_unit(m, hold);
        if (r < 0)
                return r;
        r = append_unit(m, service);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int start_message(struct units *u, const json_t *unit, sd_bus_message **ret) {
        const json_t *socket = json_at(unit, "socket"), *first = socket ? socket : unit;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = sd_bus_message_new_method_call(
                        u->bus, &m, MANAGER, MANAGER_PATH, MANAGER_INTERFACE, "StartTransientUnit");

        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "ss", json_str_or(first, "name", ""), "replace");
        if (r < 0)
                return r;
        r = units_append_properties(m, json_at(first, "properties"));
        if (r < 0)
                return r;
        r = append_auxiliary(m, socket ? unit : NULL, json_at(unit, "hold"));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

/* Takes the message. quiet: being there already is not an error. */
static int queue_call(struct units *u, sd_bus_message *m, const char *name, bool quiet) {
        struct queued_call *c = calloc(1, sizeof(*c));

        if (!c) {
                sd_bus_message_unref(m);
                return -ENOMEM;
        }
        *c = (struct queued_call){.message = m, .name = strdup(name), .quiet = quiet, .units = u};
        if (!c->name) {
                call_free(c);
                return -ENOMEM;
        }
        *u->queue_tail = c;
        u->queue_tail = &c->next;
        queue_run(u);
        return 0;
}

static int start(struct units *u, const json_t *unit, bool quiet) {
        const char *name = json_str_or(unit, "name", "");
        sd_bus_message *m = NULL;
        int r;

        assert(name_is_ours(name));
        r = start_message(u, unit, &m);
        return r < 0 ? r : queue_call(u, m, name, quiet);
}

static int mount_message(struct units *u, const struct units_share *s, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = sd_bus_message_new_method_call(
                        u->bus, &m, MANAGER, MANAGER_PATH, MANAGER_INTERFACE, "StartTransientUnit");

        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "ssa(sv)a(sa(sv))", s->name, "replace", 8, "Description", "s",
                        "keelson: an NFS share of pods", "What", "s", s->what, "Type", "s", "nfs",
                        "Options", "s", s->options, "TimeoutUSec", "t", s->timeout_us,
                        "LazyUnmount", "b", 1, "ForceUnmount", "b", 1, "CollectMode", "s",
                        "inactive-or-failed", 0);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

int units_mount(struct units *u, const struct units_share *share) {
        sd_bus_message *m = NULL;
        int r;

        assert(startswith(share->name, SHARE_UNIT_PREFIX));
        r = mount_message(u, share, &m);
        return r < 0 ? r : queue_call(u, m, share->name, /* quiet= */ false);
}

int units_start(struct units *u, const json_t *unit) {
        return start(u, unit, /* quiet= */ false);
}

int units_start_slice(struct units *u, const json_t *unit) {
        return start(u, unit, /* quiet= */ true);
}

int units_set_properties(struct units *u, const char *name, const json_t *properties) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = sd_bus_message_new_method_call(
                        u->bus, &m, MANAGER, MANAGER_PATH, MANAGER_INTERFACE, "SetUnitProperties");

        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "sb", name, /* runtime= */ 1);
        if (r < 0)
                return r;
        r = units_append_properties(m, properties);
        if (r < 0)
                return r;
        return sd_bus_call_async(u->bus, NULL, m, NULL, NULL, CALL_TIMEOUT_US);
}

int units_stop(struct units *u, const char *name) {
        assert(name_is_ours(name));
        return sd_bus_call_method_async(u->bus, NULL, MANAGER, MANAGER_PATH, MANAGER_INTERFACE,
                        "StopUnit", NULL, NULL, "ss", name, "replace");
}

int units_restart(struct units *u, const char *name) {
        assert(name_is_ours(name));
        return sd_bus_call_method_async(u->bus, NULL, MANAGER, MANAGER_PATH, MANAGER_INTERFACE,
                        "RestartUnit", NULL, NULL, "ss", name, "replace");
}

int units_kill(struct units *u, const char *name, int signal) {
        assert(name_is_ours(name));
        return sd_bus_call_method_async(u->bus, NULL, MANAGER, MANAGER_PATH, MANAGER_INTERFACE,
                        "KillUnit", NULL, NULL, "ssi", name, "all", (int32_t)signal);
}

int units_reset_failed(struct units *u, const char *name) {
        assert(name_is_ours(name));
        return sd_bus_call_method_async(u->bus, NULL, MANAGER, MANAGER_PATH, MANAGER_INTERFACE,
                        "ResetFailedUnit", NULL, NULL, "s", name);
}

int units_exec_start(struct units *u, const json_t *unit, units_exec_func done, void *userdata,
                struct units_exec **ret) {
        struct units_exec *x = calloc(1, sizeof(*x));
        int r;

        if (!x)
                return -ENOMEM;
        *x = (struct units_exec){.units = u,
                        .name = strdup(json_str_or(unit, "name", "")),
                        .done = done,
                        .userdata = userdata};
        r = x->name ? map_set(u->execs, x->name, x) : -ENOMEM;
        if (r < 0) {
                free(x->name);
                free(x);
                return r;
        }
        r = start(u, unit, /* quiet= */ false);
        if (r < 0) {
                exec_free(x);
                return r;
        }
        *ret = x;
        return 0;
}

struct units_exec *units_exec_cancel(struct units_exec *x) {
        if (!x)
                return NULL;
        (void)units_stop(x->units, x->name);
        exec_free(x);
        return NULL;
}

sd_bus *units_bus(struct units *u) {
        return u->bus;
}

int units_system_bus(struct units *u, sd_bus **ret) {
        int r = u->direct ? system_bus_ensure(&u->system, u->event, on_disconnected, u) : 0;

        *ret = u->direct ? u->system : u->bus;
        return r;
}
