/* For each adopted unit one match for its signals, and one question when it is added and after each
 * daemon-reload; its names are compared with the table of lib/adoptable-units.c, because a unit may
 * have more than the one that the pod uses. Limits are a drop-in file of our own in /run: removing
 * it leaves the unit as it was found. */
#include "nodeagent/runtime/adopted.h"

#include <glob.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "lib/adoptable-units.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/map.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/runtime/units-message.h"

#define MANAGER "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"
#define UNIT_PATH "/org/freedesktop/systemd1/unit"
#define PROPERTIES "org.freedesktop.DBus.Properties"
#define DROP_IN_DIR "/run/systemd/system"
#define DROP_IN_PREFIX "90-kpod-"
enum { FILE_SIZE_MAX = 64 * 1024, QUESTIONS = 4 };

/* One container and its unit. */
struct entry {
        struct adopted *all;
        struct adopted_unit view;
        char *name, *unit, *path, **names;
        char load_state[24];
        char trouble[300];
        sd_bus_slot *match, *start, *questions[QUESTIONS];
        bool known;
};

struct adopted {
        struct units *units;
        struct adopted_callbacks callbacks;
        struct map *by_name; /* container's name -> struct entry */
};

static void entry_free(void *value) {
        struct entry *e = value;

        sd_bus_slot_unref(e->match);
        sd_bus_slot_unref(e->start);
        for (size_t i = 0; i < QUESTIONS; i++)
                sd_bus_slot_unref(e->questions[i]);
        free(e->name);
        free(e->unit);
        free(e->path);
        strv_free(e->names);
        free(e);
}

int adopted_new(struct adopted **ret, struct units *units,
                const struct adopted_callbacks *callbacks) {
        struct adopted *a = calloc(1, sizeof(*a));

        if (!a)
                return -ENOMEM;
        *a = (struct adopted){.units = units, .callbacks = *callbacks};
        a->by_name = map_new(entry_free);
        if (!a->by_name) {
                free(a);
                return -ENOMEM;
        }
        *ret = a;
        return 0;
}

struct adopted *adopted_free(struct adopted *a) {
        if (!a)
                return NULL;
        map_free(a->by_name);
        free(a);
        return NULL;
}

/* ---- whether it may be adopted ---- */

/* The container that manages the unit before this one; NULL: none. */
static const struct entry *manager_before(const struct entry *e) {
        map_foreach (e->all->by_name, i) {
                const struct entry *other = map_entry_value(i);

                if (other == e)
                        return NULL;
                if (other->view.managed && strv_contains(e->names, other->unit))
                        return other;
        }
        return NULL;
}

static bool is_loaded(const struct entry *e) {
        return streq(e->load_state, "loaded");
}

static void judge(struct entry *e) {
        enum adoption mode = e->view.managed ? ADOPTION_MANAGED : ADOPTION_READ_ONLY;
        const struct entry *before = e->view.managed ? manager_before(e) : NULL;

        e->trouble[0] = 0;
        if (!is_loaded(e))
                snprintf(e->trouble, sizeof(e->trouble), "unit %.200s: %s", e->unit,
                                streq(e->load_state, "not-found") ? "this machine does not have it"
                                                                  : e->load_state);
        else if (before)
                snprintf(e->trouble, sizeof(e->trouble), "unit %.128s is managed by %.128s already",
                                e->unit, before->name);
        for (char **n = e->names; n && *n && !*e->trouble; n++) {
                _cleanup_problem_ struct problem p = {0};

                if (adoption_check_name(*n, mode, &p) < 0)
                        snprintf(e->trouble, sizeof(e->trouble), "%s", strempty(p.message));
        }
        e->view.trouble = *e->trouble ? e->trouble : NULL;
}

/* ---- its state ---- */

static void notify(struct entry *e) {
        if (e->known)
                e->all->callbacks.on_change(e->name, e->all->callbacks.userdata);
}

static int ask(struct entry *e);

static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct entry *e = userdata;
        const char *interface;

        if (sd_bus_message_read(m, "s", &interface) < 0 ||
                        units_read_properties(m, &e->view.state) < 0 ||
                        !streq(interface, MANAGER ".Unit"))
                return 0;
        if (e->known && !is_loaded(e) && !streq(e->view.state.active, "inactive"))
                (void)ask(e); /* it was made just now */
        else
                notify(e);
        return 0;
}

static int on_service(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct entry *e = userdata;

        if (!sd_bus_message_is_method_error(m, NULL))
                (void)units_read_properties(m, &e->view.state);
        return 0;
}

static int on_load_state(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct entry *e = userdata;
        const char *s = "error";

        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "v", "s", &s) < 0)
                s = "not-found";
        snprintf(e->load_state, sizeof(e->load_state), "%s", s);
        return 0;
}

static int read_names(sd_bus_message *m, char ***ret) {
        int r = sd_bus_message_enter_container(m, 'v', "as");

        return r < 0 ? r : sd_bus_message_read_strv(m, ret);
}

static int on_names(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct entry *e = userdata;
        char **names = NULL;

        /* Without them nothing is known of it: the unit's own name is not enough. */
        if (sd_bus_message_is_method_error(m, NULL) || read_names(m, &names) < 0)
                snprintf(e->load_state, sizeof(e->load_state), "not-found");
        strv_free(e->names);
        e->names = names;
        return 0;
}

/* The last answer. */
static int on_unit(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct entry *e = userdata;

        if (sd_bus_message_is_method_error(m, NULL) || units_read_properties(m, &e->view.state) < 0)
                snprintf(e->view.state.active, sizeof(e->view.state.active), "inactive");
        e->view.state.known = e->known = true;
        judge(e);
        notify(e);
        return 0;
}

/* The manager answers in this order, and loads a unit that it does not know yet. */
static int ask(struct entry *e) {
        static const struct {
                const char *interface, *property; /* NULL: all of them */
                sd_bus_message_handler_t handler;
        } rows[QUESTIONS] = {{MANAGER ".Unit", "LoadState", on_load_state},
                        {MANAGER ".Unit", "Names", on_names},
                        {MANAGER ".Service", NULL, on_service}, {MANAGER ".Unit", NULL, on_unit}};
        sd_bus *bus = units_bus(e->all->units);

        for (size_t i = 0; i < QUESTIONS; i++) {
                sd_bus_slot **slot = &e->questions[i];
                int r;

                *slot = sd_bus_slot_unref(*slot);
                if (rows[i].property)
                        r = sd_bus_call_method_async(bus, slot, MANAGER, e->path, PROPERTIES, "Get",
                                        rows[i].handler, e, "ss", rows[i].interface,
                                        rows[i].property);
                else
                        r = sd_bus_call_method_async(bus, slot, MANAGER, e->path, PROPERTIES,
                                        "GetAll", rows[i].handler, e, "s", rows[i].interface);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int begin(struct entry *e) {
        int r;

        if (!e->name || !e->unit)
                return -ENOMEM;
        r = sd_bus_path_encode(UNIT_PATH, e->unit, &e->path);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(units_bus(e->all->units), &e->match,
                        units_sender(e->all->units), e->path,
                        PROPERTIES, "PropertiesChanged", on_properties, NULL, e);
        if (r < 0)
                return r;
        r = map_set(e->all->by_name, e->name, e);
        return r < 0 ? r : ask(e);
}

int adopted_add(struct adopted *a, const char *name, const char *unit, bool managed) {
        struct entry *e = map_get(a->by_name, name);
        int r;

        /* One that the machine did not have may be there now. */
        if (e && streq(e->unit, unit) && e->view.managed == managed)
                return is_loaded(e) || !e->known ? 0 : ask(e);
        if (e)
                adopted_remove(a, name);
        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        e->all = a;
        e->name = strdup(name);
        e->unit = strdup(unit);
        e->view = (struct adopted_unit){.name = e->name, .unit = e->unit, .managed = managed};
        r = begin(e);
        if (r < 0) {
                (void)map_steal(a->by_name, name);
                entry_free(e);
        }
        return r;
}

bool adopted_has(const struct adopted *a, const char *name) {
        return map_get(a->by_name, name) != NULL;
}

const struct adopted_unit *adopted_get(const struct adopted *a, const char *name) {
        const struct entry *e = map_get(a->by_name, name);

        return e && e->known ? &e->view : NULL;
}

const char *adopted_name(const struct adopted *a, const char *name) {
        const struct entry *e = map_get(a->by_name, name);

        return e ? e->unit : name;
}

void adopted_refresh(struct adopted *a) {
        map_foreach (a->by_name, i)
                (void)ask(map_entry_value(i));
}

/* ---- what a managed one is asked to do ---- */

/* Only of a unit that is known to be one that may be managed. */
static struct entry *managed(const struct adopted *a, const char *name) {
        struct entry *e = map_get(a->by_name, name);

        return e && e->view.managed && e->known && !e->view.trouble ? e : NULL;
}

static int on_started(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct entry *e = userdata;
        const sd_bus_error *refused = sd_bus_message_get_error(m);

        e->start = sd_bus_slot_unref(e->start);
        if (refused)
                e->all->callbacks.on_refused(
                                e->name, strempty(refused->message), e->all->callbacks.userdata);
        return 0;
}

int adopted_call(struct adopted *a, const char *name, const char *method) {
        struct entry *e = managed(a, name);
        bool start = streq(method, "StartUnit");

        if (!e)
                return 0;
        if (streq(method, "ResetFailedUnit"))
                return sd_bus_call_method_async(units_bus(a->units), NULL, MANAGER, MANAGER_PATH,
                                MANAGER_INTERFACE, method, NULL, NULL, "s", e->unit);
        if (start)
                e->start = sd_bus_slot_unref(e->start);
        return sd_bus_call_method_async(units_bus(a->units), start ? &e->start : NULL, MANAGER,
                        MANAGER_PATH, MANAGER_INTERFACE, method, start ? on_started : NULL, e, "ss",
                        e->unit, "replace");
}

int adopted_kill(struct adopted *a, const char *name, int signal) {
        const struct entry *e = managed(a, name);

        return e ? sd_bus_call_method_async(units_bus(a->units), NULL, MANAGER, MANAGER_PATH,
                                   MANAGER_INTERFACE, "KillUnit", NULL, NULL, "ssi", e->unit, "all",
                                   (int32_t)signal)
                 : 0;
}

/* ---- the drop-in file ---- */

static char *drop_in_folder(const struct entry *e) {
        return strformat(DROP_IN_DIR "/%s.d", e->unit);
}

static char *drop_in_path(const struct entry *e) {
        return strformat(DROP_IN_DIR "/%s.d/" DROP_IN_PREFIX "%.*s.conf", e->unit,
                        (int)(strlen(e->name) - strlen("kpod-") - strlen(".service")),
                        e->name + strlen("kpod-"));
}

static int reload(struct adopted *a) {
        return sd_bus_call_method_async(units_bus(a->units), NULL, MANAGER, MANAGER_PATH,
                        MANAGER_INTERFACE, "Reload", NULL, NULL, NULL);
}

bool adopted_is_limited(const struct adopted *a, const char *name, const json_t *properties) {
        const struct entry *e = managed(a, name);
        _cleanup_free_ char *path = e ? drop_in_path(e) : NULL, *text = NULL,
                            *want = pod_adopted_drop_in(properties);
        size_t n;

        if (!e || json_object_size(properties) == 0)
                return true;
        return path && want && file_read(path, FILE_SIZE_MAX, &text, &n) >= 0 && streq(text, want);
}

int adopted_limit(struct adopted *a, const char *name, const json_t *properties) {
        const struct entry *e = managed(a, name);
        _cleanup_free_ char *folder = e ? drop_in_folder(e) : NULL,
                            *path = e ? drop_in_path(e) : NULL, *text = NULL;
        int r;

        if (!e || adopted_is_limited(a, name, properties))
                return 0;
        text = pod_adopted_drop_in(properties);
        if (!text || !folder || !path)
                return !text ? -EINVAL : -ENOMEM;
        r = mkdir_parents(folder, 0755);
        if (r < 0)
                return r;
        r = file_write_atomic(path, text, strlen(text), 0644);
        return r < 0 ? r : reload(a);
}

/* 1 when there was one. */
static int remove_drop_in(const char *path) {
        _cleanup_free_ char *folder = strdup(path);
        char *slash = folder ? strrchr(folder, '/') : NULL;

        if (!slash)
                return -ENOMEM;
        if (unlink(path) < 0)
                return errno == ENOENT ? 0 : -errno;
        *slash = 0;
        (void)rmdir(folder); /* others may have files there */
        return 1;
}

void adopted_remove(struct adopted *a, const char *name) {
        struct entry *e = map_get(a->by_name, name);
        _cleanup_free_ char *path = e ? drop_in_path(e) : NULL;

        if (!e)
                return;
        if (path && remove_drop_in(path) > 0)
                (void)reload(a);
        (void)map_remove(a->by_name, name);
        /* Another one may have waited for it. */
        map_foreach (a->by_name, i) {
                struct entry *other = map_entry_value(i);

                if (!other->known || !other->view.trouble)
                        continue;
                judge(other);
                notify(other);
        }
}

static bool is_claimed(const struct adopted *a, const char *path) {
        map_foreach (a->by_name, i) {
                _cleanup_free_ char *own = drop_in_path(map_entry_value(i));

                if (streq_ptr(own, path))
                        return true;
        }
        return false;
}

void adopted_sweep(struct adopted *a) {
        glob_t found = {0};
        bool any = false;

        if (glob(DROP_IN_DIR "/*.service.d/" DROP_IN_PREFIX "*.conf", 0, NULL, &found) == 0)
                for (size_t i = 0; i < found.gl_pathc; i++)
                        if (!is_claimed(a, found.gl_pathv[i]))
                                any |= remove_drop_in(found.gl_pathv[i]) > 0;
        globfree(&found);
        if (any)
                (void)reload(a);
}
