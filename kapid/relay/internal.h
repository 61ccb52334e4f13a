/* Shared by the files of this folder. */
#pragma once

#include <sys/queue.h>

#include "kapid/relay/relay.h"
#include "kapid/wait-shares.h"

enum {
        RELAY_TIME_US = 60 * 1000 * 1000, /* as long as any request takes, streams aside */
        RELAY_ERROR_TEXT_MAX = 512,
};

struct tunnel;

/* of call.c, until the answer is over */
struct relay_call {
        struct http_call *call;
        struct http_stream *stream;
        size_t lines, bytes; /* of the answer's head */
        bool streams;        /* the head has been passed on */
        bool too_much;       /* of headers */
};

struct relay {
        LIST_ENTRY(relay) entry;
        struct relays *all;
        const struct relay_ops *ops;
        void *owner;
        struct request *request; /* NULL: the tunnel has taken the client */
        char *user;              /* who asked */
        struct wait_share *share;
        size_t held;            /* bytes of the body, for the share */
        sd_event_source *timer; /* until the head has come; a tunnel's ticks later, too */
        struct forward_headers answer;
        struct relay_call call;
        struct tunnel *tunnel; /* NULL: it stays HTTP */
};

struct relays {
        struct api *api;
        struct relay_options options;
        struct metric *answered, *failed;
        struct wait_shares *shares;
        LIST_HEAD(, relay) list;
};

void relay_end(struct relay *y);
const char *relay_answer_header(const struct relay *y, const char *name);
/* Those that may go to the client. -E2BIG: more than an answer may have. */
int relay_add_headers(struct relay *y);
/* The headers of the request that go on, and those of the owner. */
int relay_request_headers(struct relay *y, struct forward_headers *h, struct problem *p);
/* A failure: the owner's reason if there is one, else why. The relay is gone. */
void relay_unreachable(struct relay *y, int code, const char *why);

/* call.c */
int call_start(struct relay *y, const struct relay_place *place, struct problem *p);
void call_end(struct relay *y);
/* No head in time, or too much of one. */
void call_on_timer(struct relay *y);

/* tunnel.c */
int tunnel_new(struct relay *y);
struct tunnel *tunnel_free(struct tunnel *t);
int tunnel_start(struct relay *y, const struct relay_place *place, struct problem *p);
void tunnel_on_timer(struct relay *y);
