/* Streams into pods (exec, attach, port-forward) over WebSocket, for the command line: connecting
 * blocks, then bytes flow in an event loop. The protocol is v5.channel.k8s.io, or v4 where the
 * server has only that (docs/wire.md section 13). */
#pragma once

#include <systemd/sd-event.h>

#include "lib/client/kubeconfig.h"

enum {
        API_STREAM_STDIN = 0,
        API_STREAM_STDOUT = 1,
        API_STREAM_STDERR = 2,
        API_STREAM_STATUS = 3,
        API_STREAM_RESIZE = 4,
        API_STREAM_CHANNELS = 255,
};

struct api_stream;

struct api_stream_events {
        /* A part of a channel's bytes. Messages may be cut anywhere. Negative ends the stream. */
        int (*on_data)(unsigned channel, const void *data, size_t n, void *userdata);
        /* The server closes a channel (v5). NULL: not wanted. */
        int (*on_channel_end)(unsigned channel, void *userdata);
        /* Everything queued has been sent. */
        void (*on_drained)(void *userdata);
        /* The stream has ended: 0 when the server closed it properly. */
        void (*on_end)(int error, void *userdata);
};

/* Connects, with the credentials of the context, and asks for the path ("/api/v1/...?command=a").
 * p: why the server cannot be reached, or its refusal. events is borrowed. */
int api_stream_new(struct api_stream **ret, sd_event *event, const struct kubeconfig_context *k,
                const char *path, const struct api_stream_events *events, void *userdata,
                struct problem *p);
struct api_stream *api_stream_free(struct api_stream *s);
DEFINE_CLEANUP(struct api_stream *, api_stream_free);
int api_stream_send(struct api_stream *s, unsigned channel, const void *data, size_t n);
/* Says that a channel has ended. -EOPNOTSUPP: the server has v4 only. */
int api_stream_end_channel(struct api_stream *s, unsigned channel);
/* Closes the stream; on_end follows when the server has agreed. */
int api_stream_close(struct api_stream *s);
/* Bytes that wait to be sent. */
size_t api_stream_queued(const struct api_stream *s);
/* While paused nothing is received. */
void api_stream_pause(struct api_stream *s, bool paused);
