/* A connection is begun at one tick and judged at the next. Nothing is sent, and it is closed as
 * soon as it is made: the other side's server is not kept waiting for a handshake. */
#include "kapid/neighbours.h"

#include <poll.h>
#include <sys/socket.h>

#include "lib/map.h"
#include "lib/net.h"

struct asked {
        struct neighbour state;
        int fd; /* negative: it has ended, or none could be begun */
        sd_event_source *io;
        uint64_t asked_us;
        bool answered, silent;
};

struct neighbours {
        sd_event *event;
        struct map *by_name;
};

static void end(struct asked *x) {
        x->io = sd_event_source_disable_unref(x->io);
        x->fd = safe_close(x->fd);
}

static struct asked *asked_free(struct asked *x) {
        if (x)
                end(x);
        return mfree(x);
}

static void free_asked(void *x) {
        asked_free(x);
}

int neighbours_new(struct neighbours **ret, sd_event *event) {
        _cleanup_(neighbours_freep) struct neighbours *n = calloc(1, sizeof(*n));

        if (!n)
                return -ENOMEM;
        n->event = sd_event_ref(event);
        n->by_name = map_new(free_asked);
        if (!n->by_name)
                return -ENOMEM;
        *ret = TAKE_PTR(n);
        return 0;
}

struct neighbours *neighbours_free(struct neighbours *n) {
        if (!n)
                return NULL;
        map_free(n->by_name);
        sd_event_unref(n->event);
        return mfree(n);
}

bool neighbour_judge(struct neighbour *x, bool answered) {
        if (answered)
                *x = (struct neighbour){.reached = true};
        else if (x->failures < NEIGHBOUR_FAILURES_MAX)
                x->failures++;
        return x->reached && x->failures >= NEIGHBOUR_FAILURES_MAX;
}

static bool is_connected(int fd) {
        struct pollfd events = {.fd = fd, .events = POLLOUT};
        socklen_t size = sizeof(int);
        int refused = 0;

        return fd >= 0 && poll(&events, 1, 0) == 1 &&
               getsockopt(fd, SOL_SOCKET, SO_ERROR, &refused, &size) == 0 && refused == 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct asked *x = userdata;

        x->answered = is_connected(x->fd);
        end(x);
        return 0;
}

static void begin(struct neighbours *n, struct asked *x, const char *address, uint16_t port,
                uint64_t now_us) {
        end(x);
        x->answered = false;
        x->asked_us = now_us;
        if (net_connect_tcp_start(&x->fd, address, port) >= 0)
                (void)sd_event_add_io(n->event, &x->io, x->fd, EPOLLOUT, on_io, x);
}

bool neighbours_ask(struct neighbours *n, const char *name, const char *address, uint16_t port,
                uint64_t now_us) {
        struct asked *x = map_get(n->by_name, name);

        if (!x) {
                x = calloc(1, sizeof(*x));
                if (!x)
                        return false;
                x->fd = -EBADF;
                if (map_set(n->by_name, name, x) < 0) {
                        asked_free(x);
                        return false;
                }
                begin(n, x, address, port, now_us);
                return false;
        }
        if (now_us - x->asked_us < NEIGHBOUR_ASK_US)
                return x->silent;
        /* Where this loop was held up, the answer waits there. */
        x->silent = neighbour_judge(&x->state, x->answered || is_connected(x->fd));
        begin(n, x, address, port, now_us);
        return x->silent;
}

void neighbours_forget(struct neighbours *n, const char *name) {
        map_remove(n->by_name, name);
}
