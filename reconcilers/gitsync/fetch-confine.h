/* The rights that `kgitd fetch` keeps while it speaks to a repository's server: write its own
 * mirror, read this machine's names and authorities (and a repository on this machine, where the
 * URL is one), connect to the ports that Git uses. Not: read kgitd's key, other mirrors or anything
 * else, trace kgitd or send it signals, listen, or connect to the API and the store beside it. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum { FETCH_PORTS_MAX = 4 };

/* The TCP ports that a URL needs: that of its scheme or the one it names, and the resolver's.
 * Returns how many; a path on this machine needs none. */
size_t fetch_ports(const char *url, uint16_t ports[static FETCH_PORTS_MAX]);
/* The path on this machine that a URL is ("file:///srv/x", "/srv/x"), or NULL. Points into it. */
const char *fetch_local_path(const char *url);

/* Confines this process. The mirror's folder must be there. p: the URL is a place among kgitd's own
 * mirrors, or the kernel refuses. A kernel without Landlock is not a failure: kgitd logs that when
 * it starts. */
int fetch_confine(const char *url, const char *mirror, struct problem *p);
