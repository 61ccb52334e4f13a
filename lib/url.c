/* Percent-encoding, RFC 3986 section 2: all but the unreserved characters. The user information of
 * section 3.2.1 stands before the last @ of the authority. */
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

char *url_shown(const char *url) {
        const char *start = strstr(url, "://"), *end, *at = NULL;

        if (!start)
                return strdup(url);
        start += 3;
        end = start + strcspn(start, "/?#");
        for (const char *c = start; c < end; c++)
                if (*c == '@')
                        at = c;
        if (!at || (!startswith(url, "http") && !memchr(start, ':', (size_t)(at - start))))
                return strdup(url);
        return strformat("%.*s%s", (int)(start - url), url, at + 1);
}
