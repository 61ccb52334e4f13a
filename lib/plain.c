/* Makes text from outside safe to show: the reader sees the characters that it has. */
#include "lib/plain.h"

/* The characters that are never shown, beside C0, DEL and bytes that are not UTF-8. */
static const struct {
        uint32_t first, last;
} hidden[] = {
                {0x80, 0x9f},       /* C1 */
                {0x61c, 0x61c},     /* Arabic letter mark */
                {0x200e, 0x200f},   /* left-to-right mark, right-to-left mark */
                {0x2028, 0x2029},   /* line and paragraph separator */
                {0x202a, 0x202e},   /* embeddings and overrides of direction */
                {0x2066, 0x2069},   /* isolates */
                {0xe0000, 0xe007f}, /* tags: letters that nobody sees */
};

static bool is_hidden(uint32_t c) {
        for (size_t i = 0; i < ELEMENTS(hidden); i++)
                if (c >= hidden[i].first && c <= hidden[i].last)
                        return true;
        return false;
}

/* The character at s: its length, 0 when n bytes may be its beginning only, -1 when it is none
 * (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
static int decode(const unsigned char *s, size_t n, uint32_t *ret) {
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        int size = s[0] < 0x80             ? 1
                   : (s[0] & 0xe0) == 0xc0 ? 2
                   : (s[0] & 0xf0) == 0xe0 ? 3
                   : (s[0] & 0xf8) == 0xf0 ? 4
                                           : -1;
        uint32_t c = size == 1   ? s[0]
                     : size == 2 ? s[0] & 0x1fu
                     : size == 3 ? s[0] & 0xfu
                                 : s[0] & 7u;

        if (size < 0)
                return -1;
        for (int i = 1; i < size; i++) {
                if ((size_t)i >= n)
                        return 0;
                if ((s[i] & 0xc0) != 0x80)
                        return -1;
                c = c << 6 | (s[i] & 0x3fu);
        }
        if (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return -1;
        *ret = c;
        return size;
}

static bool stays(enum plain_form form, uint32_t c) {
        if (c >= 0x20 && c < 0x7f)
                return true;
        if (c == '\n' || c == '\t')
                return form != PLAIN_LINE;
        return c > 0x7f && !is_hidden(c);
}

static int add_character(enum plain_form form, uint32_t c, struct buf *out) {
        switch (form) {
        case PLAIN_JSON:
                if (c > 0xffff)
                        return buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                                        0xdc00 + ((c - 0x10000) & 0x3ff));
                return buf_printf(out, "\\u%04x", c);
        case PLAIN_YAML:
                return c > 0xffff ? buf_printf(out, "\\U%08x", c) : buf_printf(out, "\\u%04x", c);
        default:
                if (c < 0x20 || c == 0x7f)
                        return buf_printf(out, "^%c", (int)(c ^ 0x40));
                return buf_printf(out, "<U+%04X>", c);
        }
}

/* A byte that is not a character: documents cannot hold it, so the usual mark stands for it. */
static int add_byte(enum plain_form form, unsigned char byte, struct buf *out) {
        if (form == PLAIN_JSON || form == PLAIN_YAML)
                return buf_append_str(out, "\xef\xbf\xbd");
        return buf_printf(out, "\\x%02x", byte);
}

/* Takes whole characters from s and says how many bytes that were; the rest is a beginning. */
static size_t take(enum plain_form form, const char *s, size_t n, struct buf *out) {
        size_t at = 0, kept = 0; /* s[kept..at) goes out as it is */

        while (at < n) {
                uint32_t c = 0;
                int size = decode((const unsigned char *)s + at, n - at, &c);

                if (size == 0)
                        break;
                if (size > 0 && stays(form, c)) {
                        at += (size_t)size;
                        continue;
                }
                (void)buf_append(out, s + kept, at - kept);
                if (size > 0)
                        (void)add_character(form, c, out);
                else
                        (void)add_byte(form, (unsigned char)s[at], out);
                at += size > 0 ? (size_t)size : 1;
                kept = at;
        }
        (void)buf_append(out, s + kept, at - kept);
        return at;
}

int plain_feed(struct plain *p, const char *data, size_t n, struct buf *out) {
        while (p->held_size > 0 && n > 0) {
                size_t used;

                p->held[p->held_size++] = *data++;
                n--;
                used = take(p->form, p->held, p->held_size, out);
                memmove(p->held, p->held + used, p->held_size - used);
                p->held_size -= used;
        }
        if (n > 0) {
                size_t used = take(p->form, data, n, out);

                assert(n - used < sizeof(p->held));
                memcpy(p->held, data + used, n - used);
                p->held_size = n - used;
        }
        return out->failed ? -ENOMEM : 0;
}

int plain_end(struct plain *p, struct buf *out) {
        for (size_t i = 0; i < p->held_size; i++)
                (void)add_byte(p->form, (unsigned char)p->held[i], out);
        p->held_size = 0;
        return out->failed ? -ENOMEM : 0;
}

char *plain_copy(const char *s, size_t n, enum plain_form form) {
        _cleanup_buf_ struct buf out = {0};
        struct plain p = {.form = form};

        if (plain_feed(&p, s, n, &out) < 0 || plain_end(&p, &out) < 0)
                return NULL;
        return buf_take(&out);
}

bool plain_is_needed(const char *s) {
        size_t n = strlen(s);

        for (size_t at = 0; at < n;) {
                uint32_t c = 0;
                int size = decode((const unsigned char *)s + at, n - at, &c);

                if (size <= 0 || !stays(PLAIN_TEXT, c))
                        return true;
                at += (size_t)size;
        }
        return false;
}
