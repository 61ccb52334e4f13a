/* The TLS files of both sides. */
#pragma once

#include "kstored/server/parts.h"
#include "lib/tls.h"

extern const struct server_part auto_tls_part;

/* Fills in server->client_tls and peer_tls, and makes the files that --auto-tls and --peer-auto-tls
 * ask for. */
int server_tls(struct server *s, struct problem *p);
/* For calls to members: NULL when there are no files. */
const struct tls_files *server_peer_tls(const struct server *s);
