/* One request to a daemon's Unix socket, for programs that print what it answers. */
#pragma once

#include "lib/problem.h"

/* GET of a path ("/metrics"); prints the body. 0; -EIO with p for an answer of 400 or more, whose
 * body is printed, too. */
int ask_socket(const char *socket_path, const char *path, struct problem *p);
