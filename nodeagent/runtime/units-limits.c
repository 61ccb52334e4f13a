/* New limits of a unit that runs: SetUnitProperties, with its answer. */
#include <systemd/sd-bus.h>

#include "nodeagent/runtime/units-message.h"
#include "nodeagent/runtime/units.h"

#define MANAGER "org.freedesktop.systemd1"

struct units_limit {
        units_limit_func done;
        void *userdata;
        sd_bus_slot *slot;
};

static void limit_free(struct units_limit *l) {
        sd_bus_slot_unref(l->slot);
        free(l);
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        struct units_limit *l = userdata;

        l->done(e ? strempty(e->message) : NULL, l->userdata);
        limit_free(l);
        return 0;
}

static int message(
                struct units *u, const char *name, const json_t *properties, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = sd_bus_message_new_method_call(units_bus(u), &m, MANAGER,
                        "/org/freedesktop/systemd1", MANAGER ".Manager", "SetUnitProperties");

        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "sb", name, /* runtime= */ 1);
        if (r < 0)
                return r;
        r = units_append_properties(m, properties);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

int units_limit(struct units *u, const char *name, const json_t *properties, units_limit_func done,
                void *userdata, struct units_limit **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        struct units_limit *l;
        int r = message(u, name, properties, &m);

        if (r < 0)
                return r;
        if (!done)
                return sd_bus_call_async(units_bus(u), NULL, m, NULL, NULL, /* timeout */ 0);
        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        *l = (struct units_limit){.done = done, .userdata = userdata};
        r = sd_bus_call_async(units_bus(u), &l->slot, m, on_answer, l, /* default timeout */ 0);
        if (r < 0) {
                limit_free(l);
                return r;
        }
        *ret = l;
        return 0;
}

struct units_limit *units_limit_cancel(struct units_limit *l) {
        if (l)
                limit_free(l);
        return NULL;
}
