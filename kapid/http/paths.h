/* Plain paths: health, version, metrics, discovery, OpenAPI. */
#pragma once

#include "kapid/http/request.h"

/* Answers a request for a plain path. */
void path_run(struct request *request);

/* Documents that are made from the kinds and kept until the kinds change. */
struct documents *documents_new(void) _warn_unused_;
struct documents *documents_free(struct documents *d);
