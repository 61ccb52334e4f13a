/* Between the HTTP/2 files. */
#pragma once

#include "lib/h2.h"

/* h2-stream.c */
/* Removes a stream from its connection's list. */
void h2_stream_unlink(struct h2_stream *s);
/* Moves up to n queued bytes to out. Returns how many. */
size_t h2_stream_fill(struct h2_stream *s, uint8_t *out, size_t n);
/* on_drained is to be called for it, outside of nghttp2. */
void h2_stream_note_drained(struct h2_stream *s);

/* h2-session.c, the only file that includes nghttp2. Functions that may call the handler are
 * entered with c->busy > 0; the connection may be doomed after them. */
/* Makes c->session, whose callbacks find streams in what comes. -ENOMEM. */
int h2_session_new(struct h2_connection *c);
void h2_session_free(struct h2_connection *c);
/* Bytes that came. 0, or -EPROTO with a text that needs no freeing. */
int h2_session_take(struct h2_connection *c, const void *data, size_t n, const char **ret_why);
/* The next frames to write, borrowed until the next call; 0: none. -ENOMEM, -EPROTO. */
ssize_t h2_session_give(struct h2_connection *c, const uint8_t **ret);
bool h2_session_wants_write(const struct h2_connection *c);
/* Whether there is anything left to read or to write. */
bool h2_session_is_over(const struct h2_connection *c);
/* No stream after the last one that was taken. */
void h2_session_goaway(struct h2_connection *c);
/* The first of two: it names no request. */
void h2_session_notice(struct h2_connection *c);
/* What the server of a connection granted; never NULL. */
const struct h2_terms *h2_terms_of(const struct h2_connection *c);
/* There is something to send on a stream again. */
void h2_session_resume(struct h2_stream *s);
