/* Connections that are begun at one tick and looked at at the next: nothing is sent. */
#include "kapid/neighbours.h"

#include <poll.h>
#include <sys/socket.h>

#include "lib/map.h"
#include "lib/net.h"

struct asked {
        struct neighbour state;
        int fd; /* negative: none could be begun */
        uint64_t asked_us;
        bool silent;
};

struct neighbours {
        struct map *by_name;
};

static struct asked *asked_free(struct asked *x) {
        if (x)
                safe_close(x->fd);
        return mfree(x);
}

static void free_asked(void *x) {
        asked_free(x);
}

int neighbours_new(struct neighbours **ret) {
        _cleanup_(neighbours_freep) struct neighbours *n = calloc(1, sizeof(*n));

        if (!n)
                return -ENOMEM;
        n->by_name = map_new(free_asked);
        if (!n->by_name)
                return -ENOMEM;
        *ret = TAKE_PTR(n);
        return 0;
}

struct neighbours *neighbours_free(struct neighbours *n) {
        if (n)
                map_free(n->by_name);
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
        int error = 0;

        return fd >= 0 && poll(&events, 1, 0) == 1 &&
               getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

static void begin(struct asked *x, const char *address, uint16_t port, uint64_t now_us) {
        int fd = -EBADF;

        (void)net_connect_tcp_start(&fd, address, port);
        safe_close(x->fd);
        x->fd = fd;
        x->asked_us = now_us;
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
                begin(x, address, port, now_us);
                return false;
        }
        if (now_us - x->asked_us < NEIGHBOUR_ASK_US)
                return x->silent;
        x->silent = neighbour_judge(&x->state, is_connected(x->fd));
        begin(x, address, port, now_us);
        return x->silent;
}

void neighbours_forget(struct neighbours *n, const char *name) {
        map_remove(n->by_name, name);
}
