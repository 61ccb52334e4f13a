/* Parts of URLs. */
#pragma once

#include "lib/base.h"

/* Percent-encodes one path segment or query value; caller frees. */
char *url_escape(const char *s) _warn_unused_;
/* The URL as it may be shown: without a password in it, and with http without the user, who may be
 * a token. Caller frees. */
char *url_shown(const char *url) _warn_unused_;
