/* A run of plain characters in a JSON string, eight at a time. */
#pragma once

#include "lib/base.h"

/* How many of the n characters at s, from the first on, are neither a quote nor a backslash nor a
 * control character. *high becomes true when one of them is not ASCII. */
static inline size_t json_scan_plain(const char *s, size_t n, bool *high) {
        const uint64_t ones = UINT64_MAX / 255, tops = ones * 0x80;
        size_t i = 0;

        for (; i + sizeof(uint64_t) <= n; i += sizeof(uint64_t)) {
                uint64_t v, quote, slash;

                memcpy(&v, s + i, sizeof(v));
                quote = v ^ ones * '"';
                slash = v ^ ones * '\\';
                /* Each term has a top bit where a byte below the top half is what is looked for;
                 * it may be set wrongly only above such a byte. */
                if (((quote - ones) & ~quote & tops) | ((slash - ones) & ~slash & tops) |
                                ((v - ones * 0x20) & ~v & tops))
                        break;
                *high |= (v & tops) != 0;
        }
        for (; i < n; i++) {
                unsigned char c = (unsigned char)s[i];

                if (c == '"' || c == '\\' || c < 0x20)
                        break;
                *high |= c >= 0x80;
        }
        return i;
}
