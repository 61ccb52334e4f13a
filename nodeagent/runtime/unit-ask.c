/* For `knodeagent ssh`, a process that asks only while it follows a log. */
#include "nodeagent/runtime/unit-ask.h"

#include <systemd/sd-bus.h>

#define MANAGER "org.freedesktop.systemd1"
#define UNIT_INTERFACE MANAGER ".Unit"

/* Main process ended; what systemd does next is another run or nothing. */
static bool has_ended(const char *active, const char *sub) {
        static const char *const subs[] = {"exited", "auto-restart", "dead", "failed"};

        for (size_t i = 0; i < ELEMENTS(subs); i++)
                if (streq(sub, subs[i]))
                        return true;
        return streq(active, "inactive") || streq(active, "failed");
}

static int ask(sd_bus *bus, const char *path, const char *invocation) {
        _cleanup_free_ char *active = NULL, *sub = NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        const void *id;
        char text[33] = "";
        size_t n = 0;
        int r;

        r = sd_bus_get_property(bus, MANAGER, path, UNIT_INTERFACE, "InvocationID", NULL, &m, "ay");
        if (r < 0)
                return r;
        r = sd_bus_message_read_array(m, 'y', &id, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n && n == 16; i++)
                snprintf(text + 2 * i, 3, "%02x", ((const uint8_t *)id)[i]);
        r = sd_bus_get_property_string(
                        bus, MANAGER, path, UNIT_INTERFACE, "ActiveState", NULL, &active);
        if (r < 0)
                return r;
        r = sd_bus_get_property_string(bus, MANAGER, path, UNIT_INTERFACE, "SubState", NULL, &sub);
        if (r < 0)
                return r;
        return streq(text, invocation) && !has_ended(active, sub);
}

int unit_run_goes_on(const char *unit, const char *invocation) {
        _cleanup_free_ char *path = NULL;
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r = sd_bus_open_system(&bus);

        if (r < 0)
                return r;
        r = sd_bus_path_encode("/org/freedesktop/systemd1/unit", unit, &path);
        return r < 0 ? r : ask(bus, path, invocation);
}
