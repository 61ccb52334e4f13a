/* Percent-encoding, RFC 3986 section 2: all but the unreserved characters. */
#include "lib/url.h"

#include "lib/buf.h"

char *url_escape(const char *s) {
        _cleanup_buf_ struct buf b = {0};

        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;

                if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                                strchr("-._~", c))
                        buf_append_char(&b, (char)c);
                else
                        buf_printf(&b, "%%%02X", c);
        }
        return buf_take(&b);
}
