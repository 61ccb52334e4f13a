/* Tables of texts. The whole table is there before its first line is printed, so that widths are
 * known. */
#include "kctl/grid.h"

#include "lib/plain.h"

enum { GAP = 3 };

/* Width on a terminal: code points; good enough for names of machines and objects. */
static size_t text_width(const char *s) {
        size_t n = 0;

        for (; *s; s++)
                n += ((unsigned char)*s & 0xc0) != 0x80;
        return n;
}

void grid_done(struct grid *g) {
        for (size_t i = 0; i < g->count; i++)
                strv_free(g->rows[i]);
        free(g->rows);
}

int grid_add(struct grid *g, char **row) {
        char ***rows = reallocarray(g->rows, g->count + 1, sizeof(*rows));

        if (!rows) {
                strv_free(row);
                return -ENOMEM;
        }
        g->rows = rows;
        rows[g->count++] = row;
        return 0;
}

int grid_push(char ***row, char *text_taken) {
        _cleanup_free_ char *text = text_taken,
                            *shown = text ? plain_copy(text, strlen(text), PLAIN_LINE) : NULL;

        return shown ? strv_extend(row, shown) : -ENOMEM;
}

int grid_add_texts(struct grid *g, const char *const *texts, size_t n) {
        _cleanup_strv_free_ char **row = NULL;

        for (size_t i = 0; i < n; i++) {
                int r = grid_push(&row, strdup(strempty(texts[i])));

                if (r < 0)
                        return r;
        }
        return grid_add(g, TAKE_PTR(row));
}

static void print_row(char *const *row, const size_t *widths) {
        for (size_t i = 0; row && row[i] && i < GRID_COLUMNS_MAX; i++) {
                fputs(row[i], stdout);
                if (row[i + 1])
                        for (size_t n = text_width(row[i]); n < widths[i] + GAP; n++)
                                putchar(' ');
        }
        putchar('\n');
}

void grid_print(const struct grid *g, size_t *widths) {
        size_t own[GRID_COLUMNS_MAX] = {0};

        if (!widths)
                widths = own;
        for (size_t i = 0; i < g->count; i++)
                for (size_t j = 0; g->rows[i] && g->rows[i][j] && j < GRID_COLUMNS_MAX; j++)
                        widths[j] = MAX(widths[j], text_width(g->rows[i][j]));
        for (size_t i = 0; i < g->count; i++)
                print_row(g->rows[i], widths);
}
