/* Keeps a client at a living API server: asks the current one every second whether it is ready,
 * when it is not asks all of them and moves to the first that is; learns from the API which servers
 * there are, and keeps that in a file for the next start. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/client/servers.h"
#include "lib/http-client.h"

struct failover;

/* Borrows http, whose server it sets; takes the servers' contents. event NULL: only the blocking
 * call. file: where the learned list is kept, or NULL. */
int failover_new(struct failover **ret, sd_event *event, struct http_client *http,
                struct servers *servers, const char *file);
struct failover *failover_free(struct failover *f);
DEFINE_CLEANUP(struct failover *, failover_free);
const char *failover_server(const struct failover *f);
bool failover_is_redundant(const struct failover *f);
/* A request ended: with an answer, or (error) without one; then the current server is asked now,
 * and the trouble is logged, once a minute. */
void failover_note(struct failover *f, int error, const char *text);
/* For programs without a loop: makes sure that the current server is one that is ready, if any is.
 * Asks at most every few seconds; suspect: now. */
void failover_check(struct failover *f, bool suspect);
