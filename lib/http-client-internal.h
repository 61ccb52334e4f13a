/* Shared by http-client.c and http-client-setup.c. */
#pragma once

#include <curl/curl.h>

#include "lib/http-client.h"
#include "lib/http-identity.h"

struct http_client {
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer, *deferred;
        char *base_url, *unix_path, *user_agent, *authorization;
        char *server_name; /* the certificate's, instead of the host of the URL; or NULL */
        struct http_identity identity, previous; /* calls in flight may still need the latter */
        void (*before_call)(void *userdata);
        void (*on_session)(void *gnutls_session);
        void *userdata;
        uint64_t connect_timeout_us, timeout_us;
        const struct http_header *standing; /* headers of every call; borrowed, or NULL */
        void (*trace)(const char *method, const char *url, int code, uint64_t began_us);
        unsigned user_timeout_ms, flags, calls_max;
        unsigned fresh;          /* added since curl was last asked to begin with them */
        unsigned depth;          /* > 0: curl or collect() is on the stack */
        bool dying;              /* freed by a callback: the outermost frame does it */
        struct http_call *calls; /* every call in flight */
};

struct http_call {
        struct http_client *client;
        struct http_call *next, **link;
        CURL *easy;
        struct curl_slist *headers, *connect_to;
        char *base_url, *url, *body, error_buffer[CURL_ERROR_SIZE];
        struct http_call_options options;
        sd_event_source *idle;
        struct buf received;
        char *content_type, **warnings;
        int retry_after_s, error;
        unsigned interim; /* heads of answers that are not the last (1xx) */
        uint64_t began_us;
        bool added, cancelled, headers_reported, abandoned;
        bool paused, held; /* asked for; curl holds data back because of it */
        bool is_apart;     /* it has a server of its own */
};

/* Gives curl what the options and the client say about the request: server, headers, body, limits,
 * credentials. What comes back is http-client.c's. */
int http_call_setup(struct http_call *c, const struct http_call_options *o);
