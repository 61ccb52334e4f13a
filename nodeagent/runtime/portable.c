/* One call at a time for each image; portabled is started by its name on the bus. */
#include "nodeagent/runtime/portable.h"

#include <systemd/sd-bus.h>

#define SERVICE "org.freedesktop.portable1"
#define PATH "/org/freedesktop/portable1"
#define INTERFACE SERVICE ".Manager"
enum { TIMEOUT_US = 120 * 1000000 }; /* a large image on a slow disk */

struct portable_call {
        enum portable_verb verb;
        portable_func done;
        void *userdata;
        sd_bus_slot *slot;
};

static void call_free(struct portable_call *c) {
        sd_bus_slot_unref(c->slot);
        free(c);
}

static const char *error_text(const sd_bus_error *e) {
        if (streq_ptr(e->name, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
                        streq_ptr(e->name, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
                return "this machine has no systemd-portabled, which attaches portable services: "
                       "install systemd-container (Debian) or systemd-portable";
        return isempty(e->message) ? e->name : e->message;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const sd_bus_error *e = sd_bus_message_get_error(m);
        struct portable_call *c = userdata;
        const char *state = "";

        if (!e && c->verb == PORTABLE_STATE && sd_bus_message_read(m, "s", &state) < 0)
                state = "";
        c->done(e ? error_text(e) : NULL, state, c->userdata);
        call_free(c);
        return 0;
}

static int append(sd_bus_message *m, const struct portable_request *q) {
        switch (q->verb) {
        case PORTABLE_STATE:
                return sd_bus_message_append(m, "s", q->image);
        case PORTABLE_ATTACH:
                /* No further matches, until the machine's next start, copied or linked as portabled
                 * decides. */
                return sd_bus_message_append(m, "sassbs", q->image, 0, q->profile, 1, "");
        case PORTABLE_DETACH:
                return sd_bus_message_append(m, "sb", q->image, 1);
        }
        assert_not_reached();
}

static int send(struct units *u, const struct portable_request *q, struct portable_call *c) {
        static const char *const members[] = {[PORTABLE_STATE] = "GetImageState",
                        [PORTABLE_ATTACH] = "AttachImage",
                        [PORTABLE_DETACH] = "DetachImage"};
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        sd_bus *bus;
        int r = units_system_bus(u, &bus);

        if (r < 0)
                return r;
        r = sd_bus_message_new_method_call(
                        bus, &m, SERVICE, PATH, INTERFACE, members[q->verb]);
        if (r < 0)
                return r;
        r = append(m, q);
        if (r < 0)
                return r;
        return sd_bus_call_async(bus, &c->slot, m, on_answer, c, TIMEOUT_US);
}

int portable_call(struct units *u, const struct portable_request *q, portable_func done,
                void *userdata, struct portable_call **ret) {
        struct portable_call *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        *c = (struct portable_call){.verb = q->verb, .done = done, .userdata = userdata};
        r = send(u, q, c);
        if (r < 0) {
                call_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

struct portable_call *portable_cancel(struct portable_call *c) {
        if (c)
                call_free(c);
        return NULL;
}
