/* Tables of texts for people: columns as wide as their widest cell, three blanks between them. */
#pragma once

#include "lib/base.h"

enum { GRID_COLUMNS_MAX = 64 };

struct grid {
        char ***rows; /* strvs */
        size_t count;
};
void grid_done(struct grid *g);
#define _cleanup_grid_ _cleanup_(grid_done)
/* Takes the row, also on failure. */
int grid_add(struct grid *g, char **row);
/* The same with copies of n texts; NULL is "". */
int grid_add_texts(struct grid *g, const char *const *texts, size_t n);
/* Prints the rows; widths (NULL: of these rows alone) are kept between calls. Cells are shown as
 * one line, without what steers a terminal. */
void grid_print(const struct grid *g, size_t *widths);
/* A cell as one line, without what steers a terminal, appended. Takes the text. */
int grid_push(char ***row, char *text);
