/* The files of a configuration: a new folder for each, `current` links to the one in use. */
#pragma once

#include "lib/json.h"

/* "<run_dir>/config-<generation>". Caller frees. */
char *folder_path(const char *run_dir, uint64_t generation) _warn_unused_;
/* Writes it, with private files. */
int folder_write(const char *run_dir, uint64_t generation, const json_t *decision,
                const json_t *slots);
/* Makes it `current`. */
int folder_link(const char *run_dir, uint64_t generation);
/* Removes all but this one; 0: all. */
int folder_clean(const char *run_dir, uint64_t generation);
/* Calls found for each certificate that the check's output in the folder complains of; the number
 * of them. *ret_text: the beginning of the output, for the log; the caller frees. */
int folder_read_check(const char *dir,
                void (*found)(const char *file, const char *why, void *userdata), void *userdata,
                char **ret_text);
