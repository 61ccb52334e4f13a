/* Private to the gRPC files: endpoints, and timeouts and messages in their header forms. */
#pragma once

#include "lib/grpc.h"
#include "lib/problem.h"

struct grpc_endpoint {
        char *unix_path; /* or host and port */
        char *host;
        uint16_t port;
        bool tls;
};

/* "unix:///path", "http://host:port", "https://host:port", "[v6]" in brackets. -EINVAL with p. */
int grpc_endpoint_parse(struct grpc_endpoint *ret, const char *url, struct problem *p);
void grpc_endpoint_done(struct grpc_endpoint *e);

enum { GRPC_TIMEOUT_SIZE = 12 };
/* At most eight digits and a unit. */
void grpc_timeout_format(char buffer[static GRPC_TIMEOUT_SIZE], uint64_t us);
int grpc_timeout_parse(const char *s, uint64_t *ret_us);

/* grpc-message: percent-encoding of bytes that are not printable ASCII. NULL when out of memory. */
char *grpc_message_encode(const char *s) _warn_unused_;
char *grpc_message_decode(const char *s) _warn_unused_;
/* The gRPC status for an HTTP status without one. */
enum grpc_code grpc_code_from_http(const char *status);
enum grpc_code grpc_code_from_h2(uint32_t error);
