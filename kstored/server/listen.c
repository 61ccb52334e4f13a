/* Where the server listens: for clients, for members, and for who asks for metrics. */
#include "kstored/server/server.h"
#include "lib/log.h"

enum { REFUSED_LOG_MS = 1000 };

/* Anybody can knock: one line a second. */
static void log_refused(struct server *s, const char *whom, const char *address, const char *why) {
        uint64_t now_ms = server_now_ms();

        if (now_ms < s->refused_log_ms) {
                s->refused_unlogged++;
                return;
        }
        log_warning("Refused the %s at %s: %s%s", whom, address, why,
                        s->refused_unlogged > 0 ? " (others since the last line like this, too)"
                                                : "");
        s->refused_log_ms = now_ms + REFUSED_LOG_MS;
        s->refused_unlogged = 0;
}

static void on_client_refused(const char *address, const char *why, void *userdata) {
        log_refused(userdata, "client", address, why);
}

static void on_member_refused(const char *address, const char *why, void *userdata) {
        log_refused(userdata, "member", address, why);
}

/* Members that are called; a member alone on loopback needs none, but may get company. */
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

/* As etcd: with the clients' certificates where it is https. */
static int listen_for_metrics(struct server *s, struct problem *p) {
        const struct server_options *o = s->options;
        struct grpc_server_options g = {
                        .web = service_web, .on_refused = on_client_refused, .userdata = s};
        int r = 0;

        for (char **u = o->listen_metrics_urls; r >= 0 && u && *u; u++) {
                _cleanup_free_ char *url = NULL;

                if (isempty(*u))
                        continue;
                url = strstr(*u, "://") ? strdup(*u) : strformat("http://%s", *u);
                if (!url)
                        return -ENOMEM;
                if (!s->web)
                        r = grpc_server_new(&s->web, s->event, &g);
                if (r >= 0)
                        r = grpc_server_listen(s->web, url, &s->client_tls, p);
                if (r >= 0)
                        log_info("Serving metrics and health on %s", url);
        }
        return r;
}

int server_listen(struct server *s, struct problem *p) {
        const struct server_options *o = s->options;
        struct grpc_server_options g = {.methods = server_methods,
                        .method_count = server_method_count,
                        .message_size_max = (size_t)o->max_request_bytes + SERVER_REQUEST_OVERHEAD,
                        .admit = server_admit,
                        .connections_max = server_connections_max(),
                        .unix_mode = o->unix_socket_group_access ? 0660 : 0600,
                        .web = service_web,
                        .on_refused = on_client_refused,
                        .userdata = s};
        int r = grpc_server_new(&s->grpc, s->event, &g);

        for (char **u = o->listen_client_urls; r >= 0 && u && *u; u++) {
                r = grpc_server_listen(s->grpc, *u, &s->client_tls, p);
                if (r >= 0)
                        log_info("Serving clients on %s", *u);
        }
        if (r >= 0)
                r = listen_for_peers(s, p);
        return r < 0 ? r : listen_for_metrics(s, p);
}
