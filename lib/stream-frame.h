/* The frames between kapid and a node for exec, attach and port-forward. They are the input and the
 * output of `knodeagent ssh` with the command "stream" (docs/names.md). Pure.
 *
 *   kapid                                      node
 *     REQUEST {verb, namespace, pod, uid, ...} ->
 *                                             <- READY, or REFUSED {code, message} and the end
 *     STDIN* STDIN_END, RESIZE*               ->
 *                                             <- STDOUT*, STDERR*, then EXIT or FAILED and the end
 *     OPEN, DATA*, END or RESET (of an id)    ->
 *                                             <- DATA*, END or RESET (of an id)
 *
 * The end of kapid's side means that the client has gone: the node ends what it started. Each side
 * sends at most STREAM_WINDOW bytes of data that the other has not credited (CREDIT). So each can
 * always read: a client that does not read stops its command, a command that does not read its
 * client, and no credit waits behind data. */
#pragma once

#include "lib/buf.h"

enum stream_frame_type {
        STREAM_REQUEST = 'q',
        STREAM_READY = 'y',
        STREAM_REFUSED = 'n',
        STREAM_STDIN = 'i',
        STREAM_STDIN_END = 'e',
        STREAM_RESIZE = 'w', /* columns and rows, two bytes each */
        STREAM_STDOUT = 'o',
        STREAM_STDERR = 'r',
        STREAM_EXIT = 'x',   /* the exit code, four bytes */
        STREAM_FAILED = 'f', /* a sentence: it could not be run, or its end is not known */
        STREAM_CREDIT = 'c', /* four bytes: so many bytes of data have been taken; both ways */
        STREAM_OPEN = 'O',   /* a connection to a port, two bytes */
        STREAM_DATA = 'd',   /* of a connection, both ways */
        STREAM_END = 'D',    /* of one direction of a connection */
        STREAM_RESET = 'R',  /* a connection is over; from the node with a sentence */
};

enum {
        STREAM_FRAME_HEAD = 8,
        STREAM_FRAME_MAX = 64 << 10, /* payload */
        STREAM_PIECE = 16 << 10,     /* of data that is passed on */
        STREAM_WINDOW = 512 << 10,
        STREAM_ID_MAX = (1 << 24) - 1,
};

/* Borrows from the bytes it was read from. */
struct stream_frame {
        enum stream_frame_type type;
        uint32_t id; /* of a connection, else 0 */
        const uint8_t *data;
        size_t size;
};

/* Whether its bytes count against STREAM_WINDOW. */
bool stream_frame_is_data(const struct stream_frame *f);
/* 1: a frame, in the first *ret_used bytes. 0: more bytes are needed. -EBADMSG. */
int stream_frame_next(const void *data, size_t n, struct stream_frame *ret, size_t *ret_used);
/* n at most STREAM_FRAME_MAX. -ENOMEM. */
int stream_frame_append(struct buf *b, enum stream_frame_type type, uint32_t id, const void *data,
                size_t n);
int stream_frame_append_u32(struct buf *b, enum stream_frame_type type, uint32_t id, uint32_t v);
/* Of two and four bytes, big endian; 0 when the payload has another size. */
uint16_t stream_frame_u16(const struct stream_frame *f, size_t at);
uint32_t stream_frame_u32(const struct stream_frame *f);
