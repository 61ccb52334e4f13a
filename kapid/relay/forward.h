/* Which parts of a request are forwarded to another server, and of its answer to the client: the
 * path that was authorized and no other, no credentials, the user in headers that nobody else can
 * have written. Pure. */
#pragma once

#include "kapid/auth/user.h"
#include "lib/http-client.h"
#include "lib/vector.h"

enum {
        FORWARD_HEADERS_MAX = 48, /* of an answer: the server adds some */
        FORWARD_BYTES_MAX = 64 << 10,
};

/* Ended by a NULL name once there is any. Texts are owned. */
struct forward_headers {
        VECTOR(struct http_header);
        size_t bytes;
};
void forward_headers_done(struct forward_headers *h);
#define _cleanup_forward_headers_ _cleanup_(forward_headers_done)
/* Copies. -E2BIG: too much; -EINVAL: no header could say it. */
int forward_add(struct forward_headers *h, const char *name, const char *value);

/* The same for a header of the client's: without the tokens that some clients put among the
 * protocols of a WebSocket. */
int forward_add_client(struct forward_headers *h, const char *name, const char *value);

/* The target: each segment of the path decoded, looked at and encoded again, and the query. 400 in
 * p for what servers understand differently (a slash in a segment, "..", an empty name). */
int forward_target(const char *path, const char *query, char **ret, struct problem *p);
/* "?" and the query as it came, but for what no request line can hold; nothing for "" and NULL. */
void forward_put_query(struct buf *out, const char *query);

/* Whether a header is forwarded to the server, or returned to the client. connection: the value of
 * the message's own Connection header, whose names are neither; NULL: there is none. */
bool forward_takes(const char *name, const char *value, const char *connection);
bool forward_returns(const char *name, const char *value, const char *connection);

/* How many API servers have passed a request on so far: an APIService may lead back to one of them.
 * header: the value of FORWARD_HOPS, or NULL. */
#define FORWARD_HOPS "X-Keelson-Hops"
enum { FORWARD_HOPS_MAX = 3 };
unsigned forward_hops(const char *header);

/* Whether a list such as "close, Upgrade" has the word, whatever its case. list may be NULL. */
bool forward_lists(const char *list, const char *word);
/* X-Remote-User and the like. 400 in p for a name that a header cannot hold as it is: whoever reads
 * it would take it for another one. */
int forward_identity(const struct user *u, struct forward_headers *h, struct problem *p);
