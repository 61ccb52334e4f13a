/* Text from outside, made safe to show: characters that steer a terminal or reorder the text are
 * replaced by visible ones. These are: control characters (C0 but newline and tab
 * where they are meant, DEL, C1), marks that change the direction of text (Unicode's
 * Bidi_Control), line and paragraph separators, invisible tag characters, and bytes that are not
 * UTF-8. A control character becomes ^[ as terminals show it, another character <U+202E>, a byte
 * \xff. Everything else stays as it is. (CVE-2021-42574 says why direction counts.) */
#pragma once

#include "lib/buf.h"

enum plain_form {
        PLAIN_TEXT, /* newline and tab stay */
        PLAIN_LINE, /* nothing stays: one line, one cell of a table */
        PLAIN_JSON, /* as \u202e: for the text of a JSON document, which means the same after it */
        PLAIN_YAML, /* the same for a YAML document whose scalars with such characters are in double
                       quotes (lib/yaml.h writes them so) */
};

/* Bytes that come in pieces. Zero-initialise; form may be set before the first piece. */
struct plain {
        enum plain_form form;
        char held[4]; /* the beginning of a character whose end has not come */
        size_t held_size;
};

/* Appends what may be shown of the next piece to out. 0 or -ENOMEM. */
int plain_feed(struct plain *p, const char *data, size_t n, struct buf *out);
/* Nothing more follows: the bytes held back are not a character. */
int plain_end(struct plain *p, struct buf *out);

/* All of a text at once. Caller frees; NULL when out of memory. */
char *plain_copy(const char *s, size_t n, enum plain_form form) _warn_unused_;
/* Whether the text (valid UTF-8) holds a character that PLAIN_TEXT would not leave as it is. */
bool plain_is_needed(const char *s);
