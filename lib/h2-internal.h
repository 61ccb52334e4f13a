/* Between the HTTP/2 files. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "lib/pool.h"

/* The pool as nghttp2 wants its memory. */
nghttp2_mem h2_memory(struct pool *pool);
