/* How much of an HTTP server each client may hold: connections and bodies.
 *
 * A connection is a stranger's until the program says whose it is (http_request_trust), or, where
 * the program does not say (no `admit`), until its first request's head has come. Strangers, the
 * silent and the half-shaken among them, have a fourth of all connections together and a bounded
 * number per address (IPv6: per /64); beyond either the one that waits longest gives way. Each has
 * a short time to its next request. So a client that can prove a name always finds room. A
 * connection is ended by shutting its socket down: libmicrohttpd then sees its end.
 *
 * Bodies are counted per account (a user of the program) and in total. An account gets at most half
 * of the free ones, so that several greedy ones leave something to each next one. */
#include "lib/http-server-internal.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum {
        STRANGERS_PART = 4, /* of all connections */
        STRANGERS_PER_HOST_MAX = 256,
        STRANGER_US = 15 * 1000 * 1000, /* to the next request's head */
        RECEIVE_US = 60 * 1000 * 1000,  /* for a body */
        RECEIVE_BYTES_PER_S = 64 << 10, /* beyond that time */
        TICK_US = 500 * 1000,
        BODIES_SIZE_MAX = 256 << 20,
        BODIES_PER_ACCOUNT_MAX = 64 << 20,
};

struct http_account {
        size_t refs, bytes;
        char name[];
};

struct host {
        size_t strangers, http2;
};

static size_t strangers_max(const struct http_server *s) {
        return MAX(s->options.connections_max / STRANGERS_PART, 4u);
}

/* The address without its port; IPv6 by network, because a host has as many as it likes. */
static bool host_of(int fd, char name[static NET_ADDRESS_SIZE]) {
        union {
                struct sockaddr sa;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
        } a = {0};
        socklen_t n = sizeof(a);

        if (getpeername(fd, &a.sa, &n) < 0)
                return false;
        if (a.sa.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&a.in6.sin6_addr))
                memset(&a.in6.sin6_addr.s6_addr[8], 0, 8);
        if (a.sa.sa_family == AF_INET6)
                return inet_ntop(AF_INET6, &a.in6.sin6_addr, name, NET_ADDRESS_SIZE) != NULL;
        return a.sa.sa_family == AF_INET &&
               inet_ntop(AF_INET, &a.in.sin_addr, name, NET_ADDRESS_SIZE) != NULL;
}

static struct host *host_get(struct http_server *s, const char *name) {
        struct host *h = map_get(s->hosts, name);

        if (h)
                return h;
        h = calloc(1, sizeof(*h));
        if (!h || map_set(s->hosts, name, h) < 0)
                return mfree(h);
        return h;
}

static void host_add(struct http_server *s, const char *name) {
        struct host *h = host_get(s, name);

        if (h)
                h->strangers++;
}

static void host_forget(struct http_server *s, const char *name, const struct host *h) {
        if (h->strangers == 0 && h->http2 == 0)
                (void)map_remove(s->hosts, name);
}

static void host_remove(struct http_server *s, const char *name) {
        struct host *h = map_get(s->hosts, name);

        if (!h)
                return;
        h->strangers--;
        host_forget(s, name, h);
}

static void tick_soon(struct http_server *s) {
        if (s->ticking || !s->tick)
                return;
        s->ticking = sd_event_source_set_time_relative(s->tick, TICK_US) >= 0 &&
                     sd_event_source_set_enabled(s->tick, SD_EVENT_ONESHOT) >= 0;
}

static void stranger_unlink(struct http_connection *c) {
        if (!c->stranger)
                return;
        TAILQ_REMOVE(&c->server->strangers, c, entry);
        c->stranger = false;
        c->server->stranger_count--;
        host_remove(c->server, c->host);
}

/* Ends it; libmicrohttpd closes the socket in its next run. */
static void connection_end(struct http_connection *c) {
        stranger_unlink(c);
        (void)shutdown(c->fd, SHUT_RDWR);
        c->server->ended++;
        http_server_run_soon(c->server);
}

/* Its answer is being made, or it is a stream: then others' clocks run, not this one. */
static bool is_served(const struct http_connection *c) {
        if (c->h2)
                return c->served > 0;
        return c->request && (c->request->stream || c->request->state == REQUEST_WAITING);
}

/* The one that waits longest goes; of this host, or of any. */
static void make_room(struct http_server *s, const char *host) {
        struct http_connection *c;

        TAILQ_FOREACH(c, &s->strangers, entry) {
                if ((host && !streq(c->host, host)) || is_served(c))
                        continue;
                connection_end(c);
                return;
        }
}

void http_limits_begin(struct http_connection *c) {
        struct http_server *s = c->server;
        struct host *h;

        if (!host_of(c->fd, c->host))
                return; /* Unix sockets have their permissions */
        h = map_get(s->hosts, c->host);
        if (h && h->strangers >= MIN(strangers_max(s), (size_t)STRANGERS_PER_HOST_MAX))
                make_room(s, c->host);
        else if (s->stranger_count >= strangers_max(s))
                make_room(s, NULL);
        c->stranger = true;
        c->deadline_us = now_mono_us() + STRANGER_US;
        TAILQ_INSERT_TAIL(&s->strangers, c, entry);
        s->stranger_count++;
        host_add(s, c->host);
        tick_soon(s);
}

int http_limits_join(struct http_connection *c) {
        struct http_server *s = c->server;
        struct host *h = host_get(s, c->host);

        if (!h)
                return -ENOMEM;
        if (h->http2 >= (s->options.connections_max + 1) / 2)
                return -ENOBUFS;
        h->http2++;
        c->joined = true;
        return 0;
}

void http_limits_end(struct http_connection *c) {
        struct host *h = c->joined ? map_get(c->server->hosts, c->host) : NULL;

        stranger_unlink(c);
        if (h) {
                h->http2--;
                host_forget(c->server, c->host, h);
        }
        c->joined = false;
}

void http_limits_trust(struct http_connection *c) {
        stranger_unlink(c);
}

/* A stranger's request was answered: time for the next one. */
void http_limits_answered(struct http_connection *c) {
        if (!c->stranger)
                return;
        TAILQ_REMOVE(&c->server->strangers, c, entry);
        TAILQ_INSERT_TAIL(&c->server->strangers, c, entry);
        c->deadline_us = now_mono_us() + STRANGER_US;
}

/* ---- bodies ---- */

static struct http_account *account_get(struct http_server *s, const char *name) {
        struct http_account *a = map_get(s->accounts, name);
        size_t n = strlen(name);

        if (!a) {
                a = calloc(1, sizeof(*a) + n + 1);
                if (!a)
                        return NULL;
                memcpy(a->name, name, n);
                if (map_set(s->accounts, name, a) < 0)
                        return mfree(a);
        }
        a->refs++;
        return a;
}

int http_limits_account(struct http_request *r, const char *name) {
        if (r->account)
                return 0;
        r->account = account_get(r->server, name);
        return r->account ? 0 : -ENOMEM;
}

int http_limits_reserve(struct http_request *r, size_t n) {
        struct http_server *s = r->server;
        int k = http_limits_account(r, "");

        if (k < 0)
                return k;
        if (n > BODIES_SIZE_MAX - MIN(s->bodies, (size_t)BODIES_SIZE_MAX) ||
                        r->account->bytes + n > MIN((size_t)BODIES_PER_ACCOUNT_MAX,
                                                                (BODIES_SIZE_MAX - s->bodies) / 2))
                return -ENOBUFS;
        if (r->reserved == 0) {
                r->receive_until_us = now_mono_us() + RECEIVE_US;
                s->receiving++;
                tick_soon(s);
        }
        s->bodies += n;
        r->account->bytes += n;
        r->reserved += n;
        r->receive_until_us += (uint64_t)n * 1000000 / RECEIVE_BYTES_PER_S;
        return 0;
}

void http_limits_received(struct http_request *r) {
        if (r->receive_until_us) {
                r->receive_until_us = 0;
                r->server->receiving--;
        }
}

void http_limits_release(struct http_request *r) {
        struct http_account *a = r->account;

        http_limits_received(r);
        r->server->bodies -= r->reserved;
        if (!a)
                return;
        a->bytes -= r->reserved;
        r->reserved = 0;
        r->account = NULL;
        if (--a->refs == 0)
                (void)map_remove(r->server->accounts, a->name);
}

/* ---- time ---- */

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        struct http_server *s = userdata;
        uint64_t now_us = now_mono_us();
        struct http_connection *c;

        s->ticking = false;
        while ((c = TAILQ_FIRST(&s->strangers)) && c->deadline_us <= now_us) {
                if (is_served(c))
                        http_limits_answered(c);
                else
                        connection_end(c);
        }
        for (struct http_request *r = s->receiving ? s->requests : NULL; r; r = r->next)
                if (r->receive_until_us && r->receive_until_us <= now_us && r->connection)
                        (void)shutdown(r->connection->fd, SHUT_RDWR);
        if (s->receiving > 0 || !TAILQ_EMPTY(&s->strangers))
                tick_soon(s);
        return 0;
}

int http_limits_init(struct http_server *s) {
        int r;

        TAILQ_INIT(&s->strangers);
        s->hosts = map_new(free);
        s->accounts = map_new(free);
        if (!s->hosts || !s->accounts)
                return -ENOMEM;
        r = sd_event_add_time_relative(
                        s->event, &s->tick, CLOCK_MONOTONIC, 0, TICK_US / 2, on_tick, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->tick, SD_EVENT_OFF);
}

void http_limits_done(struct http_server *s) {
        sd_event_source_disable_unref(s->tick);
        map_free(s->hosts);
        map_free(s->accounts);
}
