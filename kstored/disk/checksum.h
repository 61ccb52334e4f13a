/* The checksum of what is on the disk: XXH3, 64 bits. Not for what an attacker may choose without a
 * secret seed. Only checksum.c knows the library. */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t checksum(const void *data, size_t n, uint64_t seed);
