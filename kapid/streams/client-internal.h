/* Between the files of a stream's client. */
#pragma once

#include <sys/queue.h>

#include "kapid/streams/client.h"
#include "kapid/streams/spdy.h"

enum { REQUEST_ID_SIZE = 64, CHANNEL_TEXT_MAX = 256 };

/* A forwarded connection of a SPDY client: two of its streams. */
struct spdy_forward {
        LIST_ENTRY(spdy_forward) entry;
        char request_id[REQUEST_ID_SIZE];
        uint32_t id;                /* 0: not both streams are there */
        uint32_t error_id, data_id; /* of SPDY; 0: not there yet */
        uint16_t port;
        bool client_ended, node_ended;
};

struct stream_client {
        struct client_setup setup;
        uint16_t ports[CLIENT_PORTS_MAX];
        const struct client_events *events;
        void *userdata;
        const struct client_family *family;
        struct websocket *websocket; /* NULL: plain SPDY */
        struct spdy *spdy;           /* NULL: channels */
        bool closed, goaway;
        /* channels.c */
        int channel; /* of the message that is read; -1: its first byte has not come */
        uint8_t text[CHANNEL_TEXT_MAX];
        size_t text_size;
        uint64_t ended, finished; /* port-forward: bits of ports that the client, the node has ended
                                   */
        /* spdy-client.c */
        uint32_t error_id, stdin_id, stdout_id, stderr_id, resize_id;
        LIST_HEAD(, spdy_forward) forwards;
        size_t forward_count;
        uint32_t last_forward;
};

/* Members may be NULL where a comment says so. */
struct client_family {
        int (*begin)(struct stream_client *c);           /* or NULL */
        bool (*is_ready)(const struct stream_client *c); /* NULL: always */
        int (*output)(struct stream_client *c, bool is_stderr, const void *data, size_t n);
        int (*finish)(struct stream_client *c, const char *status);
        int (*data)(struct stream_client *c, uint32_t id, const void *data, size_t n);
        int (*end)(struct stream_client *c, uint32_t id);
        int (*refuse)(struct stream_client *c, uint32_t id, const char *why);
};
extern const struct client_family channel_family, spdy_family;
extern const struct spdy_events spdy_client_events;

/* Columns and rows of {"Width":80,"Height":24}. -EPROTO. */
int client_resize_parse(const void *data, size_t n, uint16_t *ret_columns, uint16_t *ret_rows);
int channels_on_piece(const void *data, size_t n, unsigned flags, void *userdata);
int spdy_client_on_piece(const void *data, size_t n, unsigned flags, void *userdata);
/* Puts the bytes of SPDY into WebSocket messages, where they travel in such. */
int spdy_client_flush(struct stream_client *c);
