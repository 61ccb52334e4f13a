/* The addresses that are listened on. */
#pragma once

#include "kstored/server/parts.h"

extern const struct server_part listen_part;

/* Begins to serve; p says which address failed and why. */
int server_listen(struct server *s, struct problem *p);
