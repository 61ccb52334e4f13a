/* A table of things that are under way, redrawn in place on a terminal. The text is pure. */
#pragma once

#include "kctl/kctl.h"
#include "lib/buf.h"

enum progress_state { PROGRESS_WAITING, PROGRESS_RUNNING, PROGRESS_DONE, PROGRESS_FAILED };

struct progress_row {
        char *machine, *name, *step; /* owned; may be NULL */
        enum progress_state state;
        uint64_t since_us, until_us; /* monotonic; until: its end */
};

struct progress_table {
        struct progress_row *rows;
        size_t count;
        size_t drawn; /* lines on the terminal, which the next drawing replaces */
};

int progress_init(struct progress_table *t, char *const *machines);
void progress_done(struct progress_table *t);
#define _cleanup_progress_ _cleanup_(progress_done)
/* Sets name and step of a row from a line "NAME: STEP"; a line of another form is a step. */
void progress_line(struct progress_row *row, const char *line);
/* The table for a terminal of this size, without what moves the cursor: a line for each row and one
 * with the sums. Where there are more rows than lines, those that are done and those that wait are
 * left out. Returns its number of lines. */
size_t progress_text(const struct progress_table *t, uint64_t now_us, unsigned columns,
                unsigned lines, struct buf *b);
/* Whether standard output is a terminal on which lines can be replaced. */
bool progress_possible(void);
void progress_draw(struct kctl *k, struct progress_table *t);
