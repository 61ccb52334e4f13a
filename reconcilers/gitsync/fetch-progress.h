/* Reports progress of a fetch, and ends one whose server is silent. */
#pragma once

#include <git2.h>
#if __has_include(<git2/sys/errors.h>) /* 1.8 moved a function there */
#include <git2/sys/errors.h>
#endif

/* From here on, no sign of life for FETCH_SILENCE_S ends the process with {"error": ...} on
 * standard output. url is for the message; it is copied. */
void fetch_watch(const char *url);
/* The server is no longer waited for. */
void fetch_watch_end(void);
/* Sets the callbacks that notice signs of life and print progress. */
void fetch_watch_callbacks(git_remote_callbacks *callbacks);
