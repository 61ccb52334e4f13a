/* How a command in a pod has ended, as the Status that clients read from the error channel
 * (docs/wire.md section 13). Pure. */
#pragma once

#include "lib/base.h"

/* JSON text of a Status: success for 0, else the reason NonZeroExitCode with the code as its cause.
 * Caller frees; NULL when out of memory. */
char *exit_status_text(uint32_t code) _warn_unused_;
/* The same for a command that could not be run, or whose end is not known. */
char *exit_failure_text(const char *why) _warn_unused_;
