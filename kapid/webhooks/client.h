/* Calls of webhooks over HTTPS: connections kept for each authority and name, calls bounded in
 * number, each bounded in time and size. */
#pragma once

#include "kapid/webhooks/config.h"
#include "lib/http-client.h"

enum {
        WEBHOOK_CALLS_MAX = 256,     /* at a time; further ones wait for their turn */
        WEBHOOK_CALLS_EACH_MAX = 64, /* of one webhook */
        WEBHOOK_ANSWER_MAX = 3 << 20,
};

/* Where a call goes. */
struct webhook_place {
        char *base_url;    /* "https://10.0.0.1:8443" */
        char *path;        /* "/validate?timeout=10s" */
        char *server_name; /* that the certificate must have; NULL: the host of base_url */
        char *shown;       /* the address for messages */
};
void webhook_place_done(struct webhook_place *p);
#define _cleanup_webhook_place_ _cleanup_(webhook_place_done)

struct webhook_clients;
int webhook_clients_new(struct webhook_clients **ret, sd_event *event);
/* Calls in flight are forgotten without their callbacks. */
struct webhook_clients *webhook_clients_free(struct webhook_clients *c);
DEFINE_CLEANUP(struct webhook_clients *, webhook_clients_free);
/* Calls in flight or waiting. */
size_t webhook_clients_calls(const struct webhook_clients *c);

/* Once, never before the start has returned. error_text is set with an error. */
typedef void (*webhook_call_done)(const struct http_result *result, void *userdata);
/* POSTs text. The time counts from now on, also while the call waits for its turn. Keeps a
 * reference on the webhook's configuration. */
int webhook_call_start(struct webhook_clients *c, struct webhook *w,
                const struct webhook_place *place, const char *text, uint64_t timeout_us,
                webhook_call_done done, void *userdata);
/* Ends the call with this userdata, whose done will not be called; nothing where there is none. */
void webhook_call_end(struct webhook_clients *c, const void *userdata);
