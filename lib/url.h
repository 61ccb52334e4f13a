/* Parts of URLs. */
#pragma once

#include "lib/base.h"

/* Percent-encodes one path segment or query value; caller frees. */
char *url_escape(const char *s) _warn_unused_;
