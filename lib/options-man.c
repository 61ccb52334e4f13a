/* Rows of options as roff, with the macros of man(7). A page holds no date and no path of the
 * machine that made it. */
#include "lib/options-man.h"

#include <ctype.h>

#include "config.h"

void man_text(struct buf *b, const char *text) {
        bool begins = true; /* a line of roff */

        for (const char *s = text; *s; s++) {
                if (begins && strchr(".'", *s))
                        buf_append_str(b, "\\&");
                if (*s == '\\')
                        buf_append_str(b, "\\e");
                else if (*s == '-')
                        buf_append_str(b, "\\-");
                else
                        buf_append_char(b, *s);
                begins = *s == '\n';
        }
}

static void text_line(struct buf *b, const char *text) {
        man_text(b, text);
        buf_append_char(b, '\n');
}

/* "kctl node join" -> "kctl-node-join" */
static void page_name(struct buf *b, const char *name, bool upper) {
        for (const char *s = name; *s; s++)
                buf_append_char(b,
                                *s == ' ' ? '-' : (char)(upper ? toupper((unsigned char)*s) : *s));
}

/* "knodeagent" reads nodeagent.yaml. */
static const char *file_base(const struct option_program *program) {
        return streq(program->name, "knodeagent") ? "nodeagent" : program->name;
}

/* The summary as NAME wants it: one sentence without its full stop. */
static void summary_line(struct buf *b, const char *summary) {
        size_t n = strlen(summary);
        _cleanup_free_ char *text = strndup(summary, n > 0 && summary[n - 1] == '.' ? n - 1 : n);

        if (text)
                text_line(b, text);
        else
                b->failed = true;
}

void man_head(struct buf *b, const struct option_program *program, unsigned section) {
        buf_append_str(b, ".TH ");
        page_name(b, program->name, true);
        buf_printf(b, " %u \"\" \"keelson %s\" \"keelson\"\n.SH NAME\n", section, PACKAGE_VERSION);
        page_name(b, program->name, false);
        buf_append_str(b, " \\- ");
        summary_line(b, program->summary);
        buf_append_str(b, ".SH SYNOPSIS\n.B ");
        text_line(b, program->name);
        if (!isempty(program->usage))
                text_line(b, program->usage);
}

static void option_help(struct buf *b, const struct option_row *row) {
        man_text(b, row->help);
        if (!isempty(row->fallback)) {
                buf_append_str(b, " (default: ");
                man_text(b, row->fallback);
                buf_append_char(b, ')');
        }
        buf_append_char(b, '\n');
}

static void option_entry(struct buf *b, const struct option_row *row) {
        buf_append_str(b, ".TP\n");
        if (row->letter)
                buf_printf(b, "\\fB\\-%c\\fR, ", row->letter);
        buf_append_str(b, "\\fB\\-\\-");
        man_text(b, row->name);
        buf_append_str(b, "\\fR");
        if (row->argument) {
                buf_append_str(b, row->type == OPTION_BOOL ? "[=\\fI" : " \\fI");
                man_text(b, row->argument);
                buf_append_str(b, row->type == OPTION_BOOL ? "\\fR]" : "\\fR");
        }
        buf_append_char(b, '\n');
        option_help(b, row);
}

void man_options(struct buf *b, const struct option_program *program) {
        buf_append_str(b, ".SH OPTIONS\n");
        for (size_t i = 0; i < program->count; i++)
                option_entry(b, &program->rows[i]);
        buf_append_str(b, ".TP\n\\fB\\-\\-config\\fR \\fIFILE\\fR\nRead options of the same names "
                          "from a YAML file; the command line wins\n"
                          ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nShow a summary and exit\n"
                          ".TP\n\\fB\\-\\-version\\fR\nShow the version and exit\n");
}

static void program_page(struct buf *b, const struct option_program *program, unsigned section) {
        man_head(b, program, section);
        buf_append_str(b, ".SH DESCRIPTION\n");
        text_line(b, program->summary);
        man_options(b, program);
        buf_append_str(b, ".SH EXIT STATUS\n0 on success, 1 on an error, 2 when the command line "
                          "is wrong.\n");
        if (section != MAN_SECTION_DAEMON)
                return;
        buf_printf(b,
                        ".SH FILES\n.TP\n.I /etc/keelson/%s.yaml\nIts configuration, as its unit "
                        "gives it with \\-\\-config\n.SH SEE ALSO\n"
                        ".BR %s.yaml (5),\n.BR kctl (1),\n.BR keelson (7)\n",
                        file_base(program), file_base(program));
}

static const char *type_words(enum option_type type) {
        static const char *const words[] = {[OPTION_STRING] = "a text",
                        [OPTION_STRINGS] = "a text, or a list of texts",
                        [OPTION_BOOL] = "true or false",
                        [OPTION_U32] = "a whole number",
                        [OPTION_U64] = "a whole number",
                        [OPTION_PORT] = "a port number",
                        [OPTION_DURATION] = "a duration such as 500ms, 30s or 5m"};

        return words[type];
}

/* Flags that are a request instead of a setting have no place in a file; but the parser takes them
 * there too, so they are listed like the others. */
static void file_page(struct buf *b, const struct option_program *program) {
        const char *base = file_base(program);

        buf_append_str(b, ".TH ");
        page_name(b, base, true);
        buf_printf(b,
                        ".YAML 5 \"\" \"keelson %s\" \"keelson\"\n.SH NAME\n%s.yaml \\- "
                        "configuration of ",
                        PACKAGE_VERSION, base);
        man_text(b, program->name);
        buf_printf(b,
                        "\n.SH SYNOPSIS\n.I /etc/keelson/%s.yaml\n.SH DESCRIPTION\n"
                        "One YAML mapping of names to values. A name is that of an option of\n"
                        ".BR %s (8)\n"
                        "without its dashes; an option of the command line wins over the file. An "
                        "unknown name, and a value of a wrong form, is an error that names the "
                        "line.\n.SH NAMES\n",
                        base, program->name);
        for (size_t i = 0; i < program->count; i++) {
                const struct option_row *row = &program->rows[i];

                buf_append_str(b, ".TP\n\\fB");
                man_text(b, row->name);
                buf_printf(b, ":\\fR %s\n", type_words(row->type));
                option_help(b, row);
        }
        buf_printf(b, ".SH SEE ALSO\n.BR %s (8)\n", program->name);
}

char *options_man(const struct option_program *program, unsigned section) {
        _cleanup_buf_ struct buf b = {0};

        if (section == MAN_SECTION_FILE)
                file_page(&b, program);
        else
                program_page(&b, program, section);
        return buf_take(&b);
}

unsigned options_man_section(const char *word) {
        const char *digit = startswith(word, "man");

        if (!digit || strlen(digit) != 1 || !strchr("158", *digit))
                return 0;
        return (unsigned)(*digit - '0');
}
