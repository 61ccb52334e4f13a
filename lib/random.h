/* Randomness from the kernel, in the few forms we need. The only place that draws it. */
#pragma once

#include "lib/base.h"

enum { UUID_SIZE = 37 };
void random_bytes(void *p, size_t n);
uint64_t random_u64(void);
/* Uniform in [0, bound). */
uint64_t random_below(uint64_t bound);
/* RFC 4122 version 4 UUID in text. */
const char *random_uuid(char buffer[static UUID_SIZE]);
/* The same without a call of the kernel for each: derived from a secret that the first one draws.
 * Nobody foresees them, but they are names and no secrets. Zero-initialise. */
struct uuid_source {
        uint64_t key[2], count;
};
const char *uuid_next(struct uuid_source *s, char buffer[static UUID_SIZE]);
/* n characters of the API's name alphabet "bcdfghjklmnpqrstvwxz2456789" and a NUL. */
void random_name_suffix(char *buffer, size_t n);
