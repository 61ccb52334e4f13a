/* The live properties of a unit, compared with its description. */
#include <systemd/sd-bus.h>

#include "nodeagent/plan/unit-props.h"
#include "nodeagent/runtime/units.h"

#define MANAGER "org.freedesktop.systemd1"

struct check {
        struct units *units;
        json_t *unit;
        units_drift_func on_drift;
        void *userdata;
};

static bool value_differs(sd_bus_message *m, const struct prop_row *row, const json_t *want) {
        const char *s;
        uint64_t t;
        int b;

        switch (row->type) {
        case PROP_STRING:
                return sd_bus_message_read(m, "v", "s", &s) >= 0 &&
                       !streq(s, strempty(json_string_value(want)));
        case PROP_BOOL:
                return sd_bus_message_read(m, "v", "b", &b) >= 0 && (b != 0) != json_is_true(want);
        default:
                return sd_bus_message_read(m, "v", "t", &t) >= 0 &&
                       t != (json_integer_value(want) < 0 ? UINT64_MAX
                                                          : (uint64_t)json_integer_value(want));
        }
}

static int put_back(struct check *c, const char *property, const json_t *value) {
        const char *name = json_str_or(c->unit, "name", "");
        _cleanup_json_ json_t *one = NULL;

        if (!c->on_drift(name, property, c->userdata))
                return 0;
        one = json_pack("{s:O}", property, value);
        return one ? units_set_properties(c->units, name, one) : -ENOMEM;
}

/* A property that a description leaves out has systemd's own default, and may have been changed
 * manually as well. */
static json_t *live_default(const struct prop_row *row) {
        static const char *const unlimited[] = {
                        "MemoryMax", "MemoryHigh", "CPUQuotaPerSecUSec", "CPUWeight", "IOWeight"};

        for (size_t i = 0; i < ELEMENTS(unlimited); i++)
                if (streq(row->name, unlimited[i]))
                        return json_integer(-1);
        return NULL;
}

/* One {sv} of the answer: the property's live value. */
static int check_one(struct check *c, sd_bus_message *m) {
        const struct prop_row *row;
        const char *key = NULL;
        _cleanup_json_ json_t *want = NULL;
        int r = sd_bus_message_read(m, "s", &key);

        if (r < 0)
                return r;
        row = prop_find(key);
        if (row && row->live && streq(row->name, key)) {
                want = json_ref(json_get(c->unit, "properties", key, NULL));
                if (!want)
                        want = live_default(row);
        }
        if (!want) {
                r = sd_bus_message_skip(m, "v");
                if (r < 0)
                        return r;
        } else if (value_differs(m, row, want))
                (void)put_back(c, key, want);
        return sd_bus_message_exit_container(m);
}

static int check_all(struct check *c, sd_bus_message *m) {
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");

        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = check_one(c, m);
                if (r < 0)
                        return r;
        }
        return r;
}

static void check_free(struct check *c) {
        json_decref(c->unit);
        free(c);
}

static int on_check(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct check *c = userdata;

        if (!sd_bus_message_is_method_error(m, NULL))
                (void)check_all(c, m);
        check_free(c);
        return 0;
}

int units_check(struct units *u, const json_t *unit, units_drift_func on_drift, void *userdata) {
        _cleanup_free_ char *path = NULL;
        struct check *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        *c = (struct check){.units = u,
                        .unit = json_ref(unit),
                        .on_drift = on_drift,
                        .userdata = userdata};
        r = sd_bus_path_encode(
                        "/org/freedesktop/systemd1/unit", json_str_or(unit, "name", ""), &path);
        if (r < 0) {
                check_free(c);
                return r;
        }
        r = sd_bus_call_method_async(units_bus(u), NULL, MANAGER, path,
                        "org.freedesktop.DBus.Properties", "GetAll", on_check, c, "s",
                        MANAGER ".Service");
        if (r < 0)
                check_free(c);
        return r;
}
