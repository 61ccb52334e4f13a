/* A stream to a node: the command "stream" of its forced command (docs/names.md), with frames of
 * lib/stream-frame.h both ways. libssh blocks, so each has a thread. */
#pragma once

#include "kapid/streams/node-target.h"
#include "lib/stream-frame.h"

struct node_stream;

struct node_stream_events {
        /* One frame, borrowed. Negative: the node sends nonsense; on_end follows. */
        int (*on_frame)(const struct stream_frame *f, void *userdata);
        /* The queue of node_stream_send() has become empty. */
        void (*on_drained)(void *userdata);
        /* The stream has ended, or could not be opened. why: a sentence, "" when there is none. The
         * handle is gone. */
        void (*on_end)(int error, const char *why, void *userdata);
};

/* Takes the contents of target. events is borrowed. p for what the user can change. */
int node_stream_new(struct node_stream **ret, struct api *api, struct node_target *target,
                const struct node_stream_events *events, void *userdata, struct problem *p);
/* The first frame: JSON of at most STREAM_FRAME_MAX bytes. */
int node_stream_send_request(struct node_stream *n, const char *text);
/* Queues a frame; also before the node has answered. data of any size. -ENOMEM. */
int node_stream_send(struct node_stream *n, enum stream_frame_type type, uint32_t id,
                const void *data, size_t size);
int node_stream_send_u32(
                struct node_stream *n, enum stream_frame_type type, uint32_t id, uint32_t v);
/* Bytes that wait to be sent. */
size_t node_stream_queued(const struct node_stream *n);
/* While paused no frame comes; at most what a socket holds is kept. */
void node_stream_pause(struct node_stream *n, bool paused);
/* Ends it: nothing is called any longer, and what runs on the node is ended. The handle is gone;
 * the thread ends by itself. NULL is fine. */
void node_stream_end(struct node_stream *n);
/* Threads that have not ended yet: the bound of streams counts them. */
enum { NODE_STREAMS_MAX = 256 };
