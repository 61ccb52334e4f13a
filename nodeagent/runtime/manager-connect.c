/* The socket is the one that systemctl uses as root, in systemd 252 as in 257. */
#include "nodeagent/runtime/manager-connect.h"

#include "lib/base.h"
#include "lib/log.h"

#define MANAGER_SOCKET "/run/systemd/private"

static int connect_direct(sd_bus **ret) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
        int r = sd_bus_new(&bus);

        if (r < 0)
                return r;
        r = sd_bus_set_address(bus, "unix:path=" MANAGER_SOCKET);
        if (r < 0)
                return r;
        r = sd_bus_start(bus);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

int manager_connect(sd_bus **ret, bool *ret_direct) {
        int r = connect_direct(ret);

        *ret_direct = r >= 0;
        if (r >= 0)
                return 0;
        log_notice("Using the system bus: %s does not answer: %s", MANAGER_SOCKET, strerror(-r));
        return sd_bus_open_system(ret);
}

int system_bus_ensure(sd_bus **bus, sd_event *event, sd_bus_message_handler_t on_lost,
                void *userdata) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *new = NULL;
        int r;

        if (*bus && sd_bus_is_open(*bus) > 0)
                return 0;
        r = sd_bus_open_system(&new);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(new, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(new, NULL, "org.freedesktop.DBus.Local", NULL,
                        "org.freedesktop.DBus.Local", "Disconnected", on_lost, NULL, userdata);
        if (r < 0)
                return r;
        sd_bus_close_unref(*bus);
        *bus = TAKE_PTR(new);
        return 0;
}
