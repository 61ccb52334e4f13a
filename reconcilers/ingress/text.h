/* The text of a configuration, and what a running haproxy is sent instead of a new one. A backend's
 * servers are slots: a few more than it has endpoints, the others disabled. An endpoint keeps its
 * slot while it exists, so that endpoints come and go through haproxy's socket without a reload. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"

/* The slots of all backends of a decision: {backend: [endpoint or null, ...]}. previous: those of
 * the configuration that runs, or NULL. *ret_grown: a backend of previous has too few slots for its
 * endpoints now, which needs a reload. A new object. */
json_t *ingress_slots(
                const json_t *decision, const json_t *previous, bool *ret_grown) _warn_unused_;
/* The decision that runs, with the endpoints of a newer one for the backends that both have, as far
 * as their slots suffice. A new object. */
json_t *ingress_with_endpoints(
                const json_t *running, const json_t *newer, const json_t *slots) _warn_unused_;
/* haproxy.cfg. dir: the folder of its files; generation: what `show env KEELSON_GENERATION` returns
 * when it runs. Caller frees; never NULL. */
char *ingress_text(const json_t *decision, const json_t *slots, const char *dir,
                uint64_t generation) _warn_unused_;
/* Replaces @DIR@. Caller frees; never NULL. */
char *ingress_text_in(const char *text, const char *dir) _warn_unused_;
/* Appends to the array the commands of the runtime socket that lead from one set of slots to the
 * other, each a string without a newline. Both have the same backends. */
void ingress_commands(const json_t *from, const json_t *to, json_t *ret);
