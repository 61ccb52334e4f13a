/* Manual pages from the rows that --help shows (lib/options.h). Pure. */
#pragma once

#include "lib/buf.h"
#include "lib/options.h"

/* Sections: 1 and 8 are pages of a program, MAN_SECTION_FILE is that of its configuration file. */
enum { MAN_SECTION_USER = 1, MAN_SECTION_FILE = 5, MAN_SECTION_DAEMON = 8 };

/* A page, with the package's version in its foot and no date: the same rows give the same bytes.
 * Caller frees; NULL when out of memory. */
char *options_man(const struct option_program *program, unsigned section) _warn_unused_;
/* The section that "man1" names, 0 when it names none. */
unsigned options_man_section(const char *word);

/* For pages with other parts: the head with the sections NAME and SYNOPSIS, and the list of
 * options. A space in a program's name becomes "-" in the page's. */
void man_head(struct buf *b, const struct option_program *program, unsigned section);
void man_options(struct buf *b, const struct option_program *program);
/* Text as roff shows it: hyphens stay hyphens, and nothing is a command. */
void man_text(struct buf *b, const char *text);
