/* Escapes of URLs (RFC 3986 section 2.1). */
#include "lib/hex.h"

#include "lib/base.h"

int hex_unescape(char *s, int least) {
        char *out = s;

        for (; *s; s++) {
                if (*s == '%') {
                        int high = hex_digit(s[1]), low = high < 0 ? -1 : hex_digit(s[2]);

                        if (low < 0 || high * 16 + low < least)
                                return -EINVAL;
                        *out++ = (char)(high * 16 + low);
                        s += 2;
                } else
                        *out++ = *s;
        }
        *out = 0;
        return 0;
}
