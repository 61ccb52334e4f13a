/* Hexadecimal digits, of escapes in URLs and texts. */
#pragma once

/* Its value; -1: it is none. */
static inline int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes each "%41" in place. -EINVAL for a broken escape, and for a byte below `least`, which is
 * 1 at the least. */
int hex_unescape(char *s, int least);
