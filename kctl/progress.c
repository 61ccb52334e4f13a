/* The live table of `kctl node join`. */
#include "kctl/progress.h"

#include <sys/ioctl.h>

#include "lib/plain.h"
#include "lib/timefmt.h"

int progress_init(struct progress_table *t, char *const *machines) {
        t->rows = calloc(strv_length(machines) + 1, sizeof(*t->rows));
        if (!t->rows)
                return -ENOMEM;
        for (; machines && *machines; machines++) {
                t->rows[t->count].machine = strdup(*machines);
                if (!t->rows[t->count++].machine)
                        return -ENOMEM;
        }
        return 0;
}

void progress_done(struct progress_table *t) {
        for (size_t i = 0; i < t->count; i++) {
                free(t->rows[i].machine);
                free(t->rows[i].name);
                free(t->rows[i].step);
        }
        free(t->rows);
        *t = (struct progress_table){0};
}

void progress_line(struct progress_row *row, const char *line) {
        const char *colon = strstr(line, ": "), *step = line;

        if (colon && colon > line && !memchr(line, ' ', (size_t)(colon - line))) {
                free(row->name);
                row->name = strndup(line, (size_t)(colon - line));
                step = colon + 2;
        }
        free(row->step);
        row->step = plain_copy(step, strlen(step), PLAIN_LINE);
}

static const char *const state_words[] = {[PROGRESS_WAITING] = "waits",
                [PROGRESS_RUNNING] = "connecting",
                [PROGRESS_DONE] = "done",
                [PROGRESS_FAILED] = "FAILED"};

/* The part of a text that n columns have room for; characters count, not bytes. */
static void cell(struct buf *b, const char *text, size_t columns, bool pad) {
        size_t used = 0;

        for (const char *s = text; *s && used < columns; used++) {
                do
                        buf_append_char(b, *s++);
                while ((*s & 0xc0) == 0x80);
        }
        while (pad && used++ < columns)
                buf_append_char(b, ' ');
}

static void row_text(const struct progress_row *r, uint64_t now_us, const size_t widths[2],
                unsigned columns, struct buf *b) {
        uint64_t until = r->state == PROGRESS_RUNNING ? now_us : r->until_us;
        _cleanup_buf_ struct buf line = {0};
        char age[TIMEFMT_SIZE] = "";

        if (r->state != PROGRESS_WAITING)
                age_format(until > r->since_us ? until - r->since_us : 0, age);
        cell(&line, strempty(r->machine), widths[0], true);
        buf_append_str(&line, "  ");
        cell(&line, strempty(r->name), widths[1], true);
        buf_append_str(&line, "  ");
        cell(&line, age, 5, true);
        buf_append_str(&line, "  ");
        if (r->state == PROGRESS_FAILED && r->step)
                buf_append_str(&line, "FAILED after: ");
        buf_append_str(&line,
                        r->state == PROGRESS_WAITING || !r->step ? state_words[r->state] : r->step);
        cell(b, strempty(line.data), columns, false);
        buf_append_char(b, '\n');
}

/* Failures and what is under way are worth a line more than what is done or waits. */
static bool shown(const struct progress_row *r, bool all) {
        return all || r->state == PROGRESS_RUNNING || r->state == PROGRESS_FAILED;
}

size_t progress_text(const struct progress_table *t, uint64_t now_us, unsigned columns,
                unsigned lines, struct buf *b) {
        size_t widths[2] = {strlen("MACHINE"), strlen("NODE")}, counts[4] = {0}, n = 0,
               room = lines > 3 ? lines - 3 : 1;
        bool all = t->count <= room;

        for (size_t i = 0; i < t->count; i++) {
                widths[0] = MAX(widths[0], strlen(strempty(t->rows[i].machine)));
                widths[1] = MAX(widths[1], strlen(strempty(t->rows[i].name)));
                counts[t->rows[i].state]++;
        }
        widths[0] = MIN(widths[0], (size_t)40);
        widths[1] = MIN(widths[1], (size_t)40);
        cell(b, "MACHINE", widths[0], true);
        buf_append_str(b, "  ");
        cell(b, "NODE", widths[1], true);
        buf_append_str(b, "  TIME   STEP\n");
        for (size_t i = 0; i < t->count && n < room; i++)
                if (shown(&t->rows[i], all)) {
                        row_text(&t->rows[i], now_us, widths, columns, b);
                        n++;
                }
        buf_printf(b, "%zu of %zu done", counts[PROGRESS_DONE], t->count);
        if (counts[PROGRESS_RUNNING] > 0)
                buf_printf(b, ", %zu under way", counts[PROGRESS_RUNNING]);
        if (counts[PROGRESS_WAITING] > 0)
                buf_printf(b, ", %zu waiting", counts[PROGRESS_WAITING]);
        if (counts[PROGRESS_FAILED] > 0)
                buf_printf(b, ", %zu FAILED", counts[PROGRESS_FAILED]);
        buf_append_char(b, '\n');
        return n + 2;
}

bool progress_possible(void) {
        const char *terminal = getenv("TERM");

        return isatty(STDOUT_FILENO) && !isempty(terminal) && !streq(terminal, "dumb");
}

void progress_draw(struct kctl *k, struct progress_table *t) {
        _cleanup_buf_ struct buf text = {0};
        struct winsize size = {.ws_row = 24, .ws_col = 80};
        size_t lines;

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
                size = (struct winsize){.ws_row = 24, .ws_col = 80};
        lines = progress_text(t, now_mono_us(), size.ws_col, size.ws_row, &text);
        if (text.failed)
                return;
        /* Up to where the last table began, and everything below it away. */
        output_exact(k, true);
        if (t->drawn > 0)
                printf("\r\033[%zuA\033[J", t->drawn);
        fputs(text.data, stdout);
        output_exact(k, false);
        t->drawn = lines;
}
