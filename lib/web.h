/* Plain HTTP requests on the port of a gRPC server (health, metrics): the same to the program,
 * whether they came by HTTP/1.1 or HTTP/2. They have no body. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"
#include "lib/tls.h"

struct web_request {
        char *method, *path, *query; /* the query is raw, "" when there is none */
        /* How the server answers; client is NULL once it has gone. */
        void *client;
        void (*answer)(void *client, int code, const char *type, const void *body, size_t n);
};

/* The request is the program's until web_answer(). */
typedef void (*web_handler)(struct web_request *w, void *userdata);

/* Copies the texts. For servers. */
struct web_request *web_request_new(const char *method, const char *path, const char *query);
/* Answers, if the client is still there, and frees. code 405: only GET is allowed. */
void web_answer(struct web_request *w, int code, const char *type, const void *body, size_t n);
/* Plain text. */
void web_answer_text(struct web_request *w, int code, const char *text);
/* The first value of a query parameter, decoded and the caller's; NULL when it is absent. */
char *web_query(const struct web_request *w, const char *name);
/* Whether a parameter, which may come several times, has this value. */
bool web_query_has(const struct web_request *w, const char *name, const char *value);
/* Decodes a part of a query: '+' is a blank; a NUL byte or a broken escape stays as it is written.
 * NULL when out of memory. */
char *web_query_decode(const char *s, size_t n);

/* HTTP/1.1 connections that another server accepted. At most WEB_CONNECTIONS_MAX at a time: the one
 * that was served longest ago makes room for a new one. Each request, the pause before it included,
 * has WEB_REQUEST_US until its answer is taken. */
enum { WEB_CONNECTIONS_MAX = 64, WEB_REQUEST_US = 30000000 };

struct web_gate;
int web_gate_new(struct web_gate **ret, sd_event *event, web_handler handler, void *userdata);
struct web_gate *web_gate_free(struct web_gate *g);
DEFINE_CLEANUP(struct web_gate *, web_gate_free);
/* Takes the socket, its TLS (NULL: none) and what was read from it already, at most WEB_FIRST_MAX
 * bytes. */
enum { WEB_FIRST_MAX = 64 << 10 };
void web_gate_take(struct web_gate *g, int fd, struct tls_stream *tls, const void *first, size_t n);
size_t web_gate_connections(const struct web_gate *g);
