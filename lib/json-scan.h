/* A run of plain characters in a JSON string, eight at a time. */
#pragma once

#include <endian.h>

#include "lib/base.h"

/* The top bit of the first of eight characters that is a quote, a backslash or a control character,
 * in the order of their addresses from the lowest bit on; bits above it mean nothing. 0: all are
 * plain. Each term has a top bit where a byte below the top half is what is looked for; it may be
 * set wrongly only above such a byte. */
static inline uint64_t json_scan_word(uint64_t v) {
        const uint64_t ones = UINT64_MAX / 255, tops = ones * 0x80;
        uint64_t quote = v ^ ones * '"', slash = v ^ ones * '\\';

        return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) |
                               ((v - ones * 0x20) & ~v)) &
               tops;
}

/* The last one to seven characters as a word, with plain ones above them. */
static inline uint64_t json_scan_rest(const char *s, size_t n) {
        uint64_t v;

        if (n >= sizeof(uint32_t)) {
                uint32_t first, last;

                memcpy(&first, s, sizeof(first));
                memcpy(&last, s + n - sizeof(last), sizeof(last));
                v = le32toh(first) | (uint64_t)le32toh(last) << 8 * (n - sizeof(last));
        } else
                v = (unsigned char)s[0] | (uint64_t)(unsigned char)s[n / 2] << 8 * (n / 2) |
                    (uint64_t)(unsigned char)s[n - 1] << 8 * (n - 1);
        return v | UINT64_MAX / 255 * 'a' << 8 * n;
}

/* How many of the n characters at s, from the first on, are neither a quote nor a backslash nor a
 * control character. *high becomes true when one of them is not ASCII. */
static inline size_t json_scan_plain(const char *s, size_t n, bool *high) {
        const uint64_t tops = UINT64_MAX / 255 * 0x80;
        uint64_t v, found;
        size_t i = 0;

        for (; i + sizeof(v) <= n; i += sizeof(v)) {
                memcpy(&v, s + i, sizeof(v));
                v = le64toh(v);
                found = json_scan_word(v);
                if (found)
                        goto met;
                *high |= (v & tops) != 0;
        }
        if (i == n)
                return n;
        v = json_scan_rest(s + i, n - i);
        found = json_scan_word(v);
        if (found)
                goto met;
        *high |= (v & tops) != 0;
        return n;
met:
        *high |= (v & tops & ((found & -found) - 1)) != 0;
        return i + (size_t)__builtin_ctzll(found) / 8;
}
