/* The API servers that a client knows, and which of them it uses: pure. The list is what the
 * configuration names, then what the API reported; where two texts are equal, once. */
#pragma once

#include "lib/json.h"

enum {
        SERVERS_MAX = 16,
        SERVER_SIZE_MAX = 300, /* of a URL */
};

struct servers {
        char *items[SERVERS_MAX];
        size_t count, configured, learned;
        size_t current;
};

/* "https://HOST[:PORT]" or http; nothing behind it, no space or control character. */
bool server_is_valid(const char *url);

/* The configured ones: first, then those of more (NULL-terminated, or NULL). -EINVAL when one is
 * not valid; too many are left out. */
int servers_init(struct servers *s, const char *first, char *const *more);
void servers_done(struct servers *s);
const char *servers_current(const struct servers *s);
/* Makes it the current one. 1 when it was another; 0 also when it is not in the list. */
int servers_use(struct servers *s, const char *url);
/* Replaces what the API reported. The current one stays, even where the API does not name it. 1
 * when the list has changed. An empty list is ignored: it is no fleet's. */
int servers_learn(struct servers *s, char *const *urls);
/* Whether there is another one to move to: one server may have two addresses (the loopback one and
 * its own), so two of the same kind are needed, configured or reported. */
bool servers_are_redundant(const struct servers *s);

/* The URLs in the EndpointSlices of Service default/kubernetes, sorted; of those that are not ready
 * too: a server that is away comes back. */
int servers_of_slices(const json_t *list, char ***ret);

/* The list on disk: a URL a line. Reading leaves out what is not valid. */
char *servers_text(char *const *urls);
int servers_parse(const char *text, char ***ret);
