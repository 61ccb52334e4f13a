/* Between the HTTP/2 files. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "lib/pool.h"

/* The pool as nghttp2 wants its memory. */
nghttp2_mem h2_memory(struct pool *pool);

/* h2-session.c: makes c->session, whose callbacks fill streams with what comes. -ENOMEM. */
int h2_session_new(struct h2_connection *c);
/* Takes a stream out of its connection's list. */
void h2_stream_unlink(struct h2_stream *s);
