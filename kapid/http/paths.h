/* Documents that are made from the kinds and kept until the kinds change. */
#pragma once

#include "kapid/http/request.h"

struct documents *documents_new(void) _warn_unused_;
struct documents *documents_free(struct documents *d);
