/* Admission webhooks about requests that are not the write of one object: evictions, bindings,
 * tokens and streams. write.c asks about writes. */
#pragma once

#include "kapid/http/request.h"
#include "kapid/webhooks/match.h"

/* Asks the mutating webhooks, then the validating ones; next is called when none refuses, at once
 * when there are none. A refusal is answered. WEBHOOK_CREATE: about request->body.object, which may
 * be another one then: what was checked in it is to be checked again. WEBHOOK_CONNECT: about
 * options (borrowed), which nothing changes. */
void request_ask(struct request *request, unsigned operation, const json_t *options,
                void (*next)(struct request *request));
