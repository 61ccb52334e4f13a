/* A request as libcurl is told about it. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "lib/http-client-internal.h"

static int add_header(struct http_call *c, const char *line) {
        struct curl_slist *list = line ? curl_slist_append(c->headers, line) : NULL;

        if (!list)
                return -ENOMEM;
        c->headers = list;
        return 0;
}

static int add_named_header(struct http_call *c, const char *name, const char *value) {
        _cleanup_free_ char *line = strformat("%s: %s", name, value);

        if (line && strpbrk(line, "\r\n"))
                return -EINVAL;
        return add_header(c, line);
}

static int add_named_headers(struct http_call *c, const struct http_header *headers) {
        for (const struct http_header *h = headers; h && h->name; h++) {
                int r = add_named_header(c, h->name, h->value);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int set_headers(struct http_call *c, const struct http_call_options *o) {
        int r = add_named_header(c, "Accept", o->accept ? o->accept : "application/json");

        if (r < 0)
                return r;
        if (o->content_type) {
                r = add_named_header(c, "Content-Type", o->content_type);
                if (r < 0)
                        return r;
        }
        if (c->client->authorization) {
                r = add_header(c, c->client->authorization);
                if (r < 0)
                        return r;
        }
        r = add_named_headers(c, c->client->standing);
        if (r < 0)
                return r;
        r = add_named_headers(c, o->headers);
        if (r < 0)
                return r;
        return add_header(c, "Expect:"); /* no 100-continue round trip */
}

static void set_identity(struct http_call *c) {
        struct http_client *client = c->client;

        curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
        if (!(client->flags & HTTP_CLIENT_USE_PROXIES))
                curl_easy_setopt(c->easy, CURLOPT_NOPROXY, "*");
        if (client->unix_path)
                curl_easy_setopt(c->easy, CURLOPT_UNIX_SOCKET_PATH, client->unix_path);
        /* With 1.2 libcurl's own list would offer CBC; API servers speak 1.3. */
        curl_easy_setopt(c->easy, CURLOPT_SSLVERSION,
                        client->flags & HTTP_CLIENT_TLS_1_2 ? (long)CURL_SSLVERSION_TLSv1_2
                                                            : (long)CURL_SSLVERSION_TLSv1_3);
        if (client->flags & HTTP_CLIENT_ANY_SERVER) {
                curl_easy_setopt(c->easy, CURLOPT_SSL_VERIFYPEER, 0L);
                curl_easy_setopt(c->easy, CURLOPT_SSL_VERIFYHOST, 0L);
        }
        http_identity_apply(&client->identity, c->easy);
        if (client->user_agent)
                curl_easy_setopt(c->easy, CURLOPT_USERAGENT, client->user_agent);
}

static int set_body(struct http_call *c, const struct http_call_options *o) {
        bool has_body = o->body || streq(o->method, "POST") || streq(o->method, "PUT") ||
                        streq(o->method, "PATCH");

        if (streq(o->method, "HEAD"))
                curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
        if (!has_body) {
                if (!streq(o->method, "GET") && !streq(o->method, "HEAD"))
                        curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, o->method);
                return 0;
        }
        c->body = malloc(o->body_size + 1);
        if (!c->body)
                return -ENOMEM;
        if (o->body_size > 0)
                memcpy(c->body, o->body, o->body_size);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body_size);
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->body);
        curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, o->method);
        return 0;
}

/* CONNECT_TO sends connections for the name in the URL to the host of base_url, so that curl checks
 * the certificate for that name. */
static int use_server_name(struct http_call *c, const char *name, const char *path) {
        const char *host = strstr(c->base_url, "://"), *end, *port;

        if (!host)
                return -EINVAL;
        host += 3;
        end = host + strcspn(host, "/?#");
        port = end;
        while (port > host && *port != ':' && *port != ']')
                port--;
        int port_size = *port == ':' ? (int)(end - port) : 0;
        c->url = strformat("%.*s%s%.*s%s", (int)(host - c->base_url), c->base_url, name, port_size,
                        port, path);
        _cleanup_free_ char *to =
                        strformat("::%.*s%s", (int)(end - host), host, port_size ? "" : ":");
        c->connect_to = to ? curl_slist_append(NULL, to) : NULL;
        return c->url && c->connect_to ? 0 : -ENOMEM;
}

static int set_target(struct http_call *c, const struct http_call_options *o) {
        c->base_url = strdup(o->base_url ? o->base_url : c->client->base_url);
        if (!c->base_url)
                return -ENOMEM;
        if (c->client->server_name)
                return use_server_name(c, c->client->server_name, o->path);
        c->url = strformat("%s%s", c->base_url, o->path);
        return c->url ? 0 : -ENOMEM;
}

/* A peer that was cut off is noticed by what it does not acknowledge. */
static int on_socket(void *userdata, curl_socket_t fd, curlsocktype purpose) {
        const struct http_call *c = userdata;

        if (c->client->user_timeout_ms > 0 && !c->client->unix_path)
                (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &c->client->user_timeout_ms,
                                sizeof(c->client->user_timeout_ms));
        return CURL_SOCKOPT_OK;
}

/* Curl says what it does; between the making of a session and its handshake, which protocols it
 * offers. It shows the session inside of callbacks alone. */
static int on_text(CURL *easy, curl_infotype type, char *data, size_t n, void *userdata) {
        const struct http_client *client = userdata;
        const struct curl_tlssessioninfo *info = NULL;

        if (type == CURLINFO_TEXT &&
                        curl_easy_getinfo(easy, CURLINFO_TLS_SSL_PTR, &info) == CURLE_OK && info &&
                        info->backend == CURLSSLBACKEND_GNUTLS && info->internals)
                client->on_session(info->internals);
        return 0;
}

static void set_session(struct http_call *c) {
        if (!c->client->on_session)
                return;
        curl_easy_setopt(c->easy, CURLOPT_DEBUGFUNCTION, on_text);
        curl_easy_setopt(c->easy, CURLOPT_DEBUGDATA, c->client);
        curl_easy_setopt(c->easy, CURLOPT_VERBOSE, 1L);
}

int http_call_setup(struct http_call *c, const struct http_call_options *o) {
        struct http_client *client = c->client;
        int r;

        c->easy = curl_easy_init();
        if (!c->easy)
                return -ENOMEM;
        r = set_target(c, o);
        if (r < 0)
                return r;
        curl_easy_setopt(c->easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
        curl_easy_setopt(c->easy, CURLOPT_SOCKOPTDATA, c);
        curl_easy_setopt(c->easy, CURLOPT_URL, c->url);
        curl_easy_setopt(c->easy, CURLOPT_PATH_AS_IS, 1L);
        curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
        curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(c->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->error_buffer);
        curl_easy_setopt(c->easy, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS,
                        (long)(client->connect_timeout_us / 1000));
        uint64_t timeout = o->timeout_us ? o->timeout_us : client->timeout_us;
        if (timeout != UINT64_MAX)
                curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS,
                                (long)MIN(timeout / 1000 + 1, (uint64_t)LONG_MAX));
        if (c->connect_to)
                curl_easy_setopt(c->easy, CURLOPT_CONNECT_TO, c->connect_to);
        if (o->idle_timeout_us && !client->event) {
                curl_easy_setopt(c->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
                curl_easy_setopt(c->easy, CURLOPT_LOW_SPEED_TIME,
                                (long)((MIN(o->idle_timeout_us, UINT64_C(1) << 40) + 999999) /
                                                1000000));
        }
        if (o->socket_name) {
                curl_easy_setopt(c->easy, CURLOPT_ABSTRACT_UNIX_SOCKET, o->socket_name);
                curl_easy_setopt(c->easy, CURLOPT_FRESH_CONNECT, 1L);
                curl_easy_setopt(c->easy, CURLOPT_FORBID_REUSE, 1L);
        }
        set_identity(c);
        set_session(c);
        r = set_headers(c, o);
        if (r < 0)
                return r;
        curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
        return set_body(c, o);
}
