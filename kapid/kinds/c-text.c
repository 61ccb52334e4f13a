/* Text as C source. */
#include "kapid/kinds/c-text.h"

void c_string(struct buf *b, const char *s) {
        if (!s) {
                buf_append_str(b, "NULL");
                return;
        }
        buf_append_char(b, '"');
        for (; *s; s++)
                buf_printf(b, *s == '"' || *s == '\\' ? "\\%c" : "%c", *s);
        buf_append_char(b, '"');
}
