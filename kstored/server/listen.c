/* The addresses that are listened on: for clients, for members, for requests for metrics. */
#include "kstored/server/listen.h"

#include <sys/resource.h>

#include "kstored/server/server.h"
#include "kstored/service/require-leader.h"
#include "kstored/service/services.h"
#include "kstored/service/web.h"
#include "lib/log.h"

enum {
        REFUSED_LOG_MS = 1000,
        CONNECTIONS_MAX = 20000,
        FILES_RESERVE = 256, /* descriptors that clients do not get: members, disk, metrics */
};

struct listening {
        uint64_t refused_log_ms; /* when a refused client may be logged again */
        uint32_t refused_unlogged;
};

/* At most one line a second: anybody can connect. */
static void log_refused(struct server *s, const char *whom, const char *address, const char *why) {
        struct listening *x = server_part(s, SERVER_PART_LISTEN);
        uint64_t now_ms = server_now_ms();

        if (now_ms < x->refused_log_ms) {
                x->refused_unlogged++;
                return;
        }
        log_warning("Refused the %s at %s: %s%s", whom, address, why,
                        x->refused_unlogged > 0 ? " (others since the last line like this, too)"
                                                : "");
        x->refused_log_ms = now_ms + REFUSED_LOG_MS;
        x->refused_unlogged = 0;
}

static void on_client_refused(const char *address, const char *why, void *userdata) {
        log_refused(userdata, "client", address, why);
}

static void on_member_refused(const char *address, const char *why, void *userdata) {
        log_refused(userdata, "member", address, why);
}

/* A member alone on loopback needs no such address, but others may be added later. */
static int listen_for_peers(struct server *s, struct problem *p) {
        const struct server_options *o = s->options;
        struct grpc_server_options g = {.methods = server_peer_methods,
                        .method_count = server_peer_method_count,
                        .message_size_max = PEER_MESSAGE_SIZE_MAX,
                        .priority = PEERS_PRIORITY,
                        .on_refused = on_member_refused,
                        .userdata = s};
        int r;

        if (!o->listen_peer_urls && s->state->member_count > 1)
                return problem_set(p, EINVAL, 0, NULL,
                                "the cluster has %zu members: --listen-peer-urls must say where "
                                "this one serves the others",
                                s->state->member_count);
        r = grpc_server_new(&s->peer_grpc, s->event, &g);
        for (char **u = o->listen_peer_urls; r >= 0 && u && *u; u++) {
                r = grpc_server_listen(s->peer_grpc, *u, &s->peer_tls, p);
                if (r >= 0)
                        log_info("Serving members on %s", *u);
        }
        return r;
}

static int listen_for_metrics_on(struct server *s, const char *address, struct problem *p) {
        struct grpc_server_options g = {
                        .web = service_web, .on_refused = on_client_refused, .userdata = s};
        _cleanup_free_ char *url =
                        strstr(address, "://") ? strdup(address) : strformat("http://%s", address);
        int r;

        if (!url)
                return -ENOMEM;
        if (!s->web) {
                r = grpc_server_new(&s->web, s->event, &g);
                if (r < 0)
                        return r;
        }
        r = grpc_server_listen(s->web, url, &s->client_tls, p);
        if (r < 0)
                return r;
        log_info("Serving metrics and health on %s", url);
        return 0;
}

/* As etcd: with the clients' certificates where it is https. */
static int listen_for_metrics(struct server *s, struct problem *p) {
        for (char **u = s->options->listen_metrics_urls; u && *u; u++) {
                int r = isempty(*u) ? 0 : listen_for_metrics_on(s, *u, p);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* How many clients may be connected, so that descriptors are left for everything else. */
static unsigned connections_max(void) {
        struct rlimit files;
        rlim_t n = CONNECTIONS_MAX;

        if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < n + FILES_RESERVE)
                n = files.rlim_cur > 2 * FILES_RESERVE ? files.rlim_cur - FILES_RESERVE
                                                       : files.rlim_cur / 2;
        return MAX((unsigned)n, 1u);
}

int server_listen(struct server *s, struct problem *p) {
        const struct server_options *o = s->options;
        struct grpc_server_options g = {.methods = server_methods,
                        .method_count = server_method_count,
                        .message_size_max = (size_t)o->max_request_bytes + SERVER_REQUEST_OVERHEAD,
                        .admit = server_admit,
                        .connections_max = connections_max(),
                        .unix_mode = o->unix_socket_group_access ? 0660 : 0600,
                        .web = service_web,
                        .on_refused = on_client_refused,
                        .userdata = s};
        int r = grpc_server_new(&s->grpc, s->event, &g);

        if (r < 0)
                return r;
        for (char **u = o->listen_client_urls; u && *u; u++) {
                r = grpc_server_listen(s->grpc, *u, &s->client_tls, p);
                if (r < 0)
                        return r;
                log_info("Serving clients on %s", *u);
        }
        r = listen_for_peers(s, p);
        if (r < 0)
                return r;
        return listen_for_metrics(s, p);
}

const struct server_part listen_part = {.name = "listen", .size = sizeof(struct listening)};
