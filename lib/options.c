/* Flags and config files from one table. */
#include "lib/options.h"

#include "lib/fileio.h"
#include "lib/json.h"
#include "lib/options-man.h"
#include "lib/yaml.h"

#include "config.h"

enum { CONFIG_SIZE_MAX = 1 << 20 };

/* State of one parse: which rows the command line has set (they win over the file). */
struct parse {
        const struct option_program *program;
        char *target;
        struct problem *problem;
        bool *set;
        const char *config;
        char ***words;
};

static int value_set(
                struct parse *p, const struct option_row *row, const char *value, bool append) {
        void *at = p->target + row->offset;
        char *copy;
        int r = 0;

        switch (row->type) {
        case OPTION_STRING:
                copy = strdup(value);
                if (!copy)
                        return -ENOMEM;
                free(*(char **)at);
                *(char **)at = copy;
                break;
        case OPTION_STRINGS: {
                _cleanup_strv_free_ char **items = NULL;

                r = strv_split(value, ",", &items);
                if (!append)
                        *(char ***)at = strv_free(*(char ***)at);
                for (char **i = items; r == 0 && i && *i; i++)
                        r = strv_extend(at, *i);
                break;
        }
        case OPTION_TEXTS:
                if (!append)
                        *(char ***)at = strv_free(*(char ***)at);
                r = strv_extend(at, value);
                break;
        case OPTION_BOOL:
                if (streq(value, "true") || streq(value, "yes") || streq(value, "1"))
                        *(bool *)at = true;
                else if (streq(value, "false") || streq(value, "no") || streq(value, "0"))
                        *(bool *)at = false;
                else
                        r = -EINVAL;
                break;
        case OPTION_U32:
                r = parse_u32(value, at);
                break;
        case OPTION_U64:
                r = parse_u64(value, at);
                break;
        case OPTION_PORT:
                r = parse_port(value, at);
                break;
        case OPTION_DURATION:
                r = parse_duration_us(value, at);
                break;
        }
        return r;
}

static const char *type_words(enum option_type type) {
        static const char *const words[] = {[OPTION_STRING] = "a text",
                        [OPTION_STRINGS] = "a list of texts",
                        [OPTION_TEXTS] = "a list of texts",
                        [OPTION_BOOL] = "true or false",
                        [OPTION_U32] = "a whole number up to 4294967295",
                        [OPTION_U64] = "a whole number",
                        [OPTION_PORT] = "a port number from 0 to 65535",
                        [OPTION_DURATION] = "a duration such as 500ms, 30s or 5m"};

        return words[type];
}

static int value_set_checked(struct parse *p, const struct option_row *row, const char *value,
                bool append, const char *where) {
        int r = value_set(p, row, value, append);

        if (r == -EINVAL || r == -ERANGE)
                return problem_set(p->problem, EINVAL, 0, NULL,
                                "%s: \"%s\" is not a valid value for %s: expected %s", where, value,
                                row->name, type_words(row->type));
        return r;
}

/* Levenshtein distance, for "did you mean"; words are short. */
static size_t distance(const char *a, const char *b) {
        size_t n = strlen(a), m = strlen(b), row[65];

        if (n > 64 || m > 64)
                return SIZE_MAX;
        for (size_t j = 0; j <= m; j++)
                row[j] = j;
        for (size_t i = 1; i <= n; i++) {
                size_t diagonal = row[0];

                row[0] = i;
                for (size_t j = 1; j <= m; j++) {
                        size_t above = row[j], step = MIN(above, row[j - 1]) + 1,
                               change = diagonal + (a[i - 1] != b[j - 1]);

                        row[j] = MIN(step, change);
                        diagonal = above;
                }
        }
        return row[m];
}

static int unknown(struct parse *p, const char *where, const char *dashes, const char *name) {
        const char *nearest = NULL;
        size_t best = 4;

        for (size_t i = 0; i < p->program->count; i++) {
                size_t d = distance(name, p->program->rows[i].name);

                if (d < best) {
                        best = d;
                        nearest = p->program->rows[i].name;
                }
        }
        if (nearest)
                return problem_set(p->problem, EINVAL, 0, NULL,
                                "%s: unknown option %s%s; did you mean %s%s?", where, dashes, name,
                                dashes, nearest);
        return problem_set(p->problem, EINVAL, 0, NULL,
                        "%s: unknown option %s%s; %s --help lists them", where, dashes, name,
                        p->program->name);
}

static const struct option_row *row_find(
                struct parse *p, const char *name, size_t n, size_t *ret_index) {
        for (size_t i = 0; i < p->program->count; i++) {
                const struct option_row *row = &p->program->rows[i];

                if ((strlen(row->name) == n && strncmp(row->name, name, n) == 0) ||
                                (n == 1 && row->letter && row->letter == *name)) {
                        *ret_index = i;
                        return row;
                }
        }
        return NULL;
}

static int config_value(
                struct parse *p, const struct option_row *row, const json_t *v, const char *where) {
        _cleanup_free_ char *text = NULL;
        const json_t *item;
        size_t i;
        int r;

        if (json_is_array(v)) {
                if (row->type != OPTION_STRINGS && row->type != OPTION_TEXTS)
                        return problem_set(p->problem, EINVAL, 0, NULL,
                                        "%s: %s takes one value, not a list", where, row->name);
                json_array_foreach (v, i, item) {
                        if (!json_is_string(item))
                                return problem_set(p->problem, EINVAL, 0, NULL,
                                                "%s: %s takes a list of texts", where, row->name);
                        r = value_set_checked(p, row, json_string_value(item), i > 0, where);
                        if (r < 0)
                                return r;
                }
                return 0;
        }
        if (json_is_object(v) || json_is_null(v))
                return problem_set(p->problem, EINVAL, 0, NULL, "%s: %s has no plain value", where,
                                row->name);
        text = json_is_string(v) ? strdup(json_string_value(v)) : json_text(v);
        return text ? value_set_checked(p, row, text, false, where) : -ENOMEM;
}

static int config_read(struct parse *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_free_ char *text = NULL;
        const char *name;
        size_t size, index;
        json_t *v;
        int r = file_read(p->config, CONFIG_SIZE_MAX, &text, &size);

        if (r < 0) {
                _cleanup_free_ char *why =
                                file_error_text(p->config, "read the configuration file", r);

                return problem_set(p->problem, r, 0, NULL, "%s", strempty(why));
        }
        r = yaml_parse(text, size, &docs, p->problem);
        if (r < 0) {
                problem_prefix(p->problem, "%s", p->config);
                return r;
        }
        if (docs.count == 0)
                return 0;
        if (docs.count > 1 || !json_is_object(docs.items[0].value))
                return problem_set(p->problem, EINVAL, 0, NULL,
                                "%s: expected one mapping of option names to values", p->config);
        json_object_foreach (docs.items[0].value, name, v) {
                _cleanup_free_ char *where = strformat(
                                "%s line %u", p->config, yaml_line_of(&docs.items[0], name));
                const struct option_row *row = row_find(p, name, strlen(name), &index);

                if (!where)
                        return -ENOMEM;
                if (!row)
                        return unknown(p, where, "", name);
                if (p->set[index])
                        continue;
                r = config_value(p, row, v, where);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void print_help(const struct option_program *program) {
        printf("%s %s\n\n%s\n\nOptions:\n", program->name, program->usage, program->summary);
        for (size_t i = 0; i < program->count; i++) {
                const struct option_row *row = &program->rows[i];
                char letter[8] = "   ", left[80];

                if (row->letter)
                        snprintf(letter, sizeof(letter), "-%c,", row->letter);
                snprintf(left, sizeof(left), "%s --%s%s%s", letter, row->name,
                                row->argument ? " " : "", strempty(row->argument));
                printf("  %-40s %s", left, row->help);
                if (!isempty(row->fallback))
                        printf(" (%s)", row->fallback);
                putchar('\n');
        }
        printf("  %-40s %s\n  %-40s %s\n  %-40s %s\n", "    --config FILE",
                        "Read options of the same names from a YAML file", "-h, --help",
                        "Show this and exit", "    --version", "Show the version and exit");
}

/* "--help=man8" prints the manual page of that section: the build makes the pages with it. */
static int print_man(struct parse *p, const char *word) {
        unsigned section = options_man_section(word);
        _cleanup_free_ char *page = section > 0 ? options_man(p->program, section) : NULL;

        if (section == 0)
                return problem_set(p->problem, EINVAL, 0, NULL,
                                "command line: --help takes no value, or man1, man5 or man8 for a "
                                "manual page, not \"%s\"",
                                word);
        if (!page)
                return -ENOMEM;
        fputs(page, stdout);
        return 1;
}

/* "-it": letters of flags without values in one word. 1 when it was one, 0 when not. */
static int letters_parse(struct parse *p, const char *letters) {
        const struct option_row *row;
        size_t index;

        for (const char *s = letters; *s; s++) {
                row = row_find(p, s, 1, &index);
                if (!row || row->type != OPTION_BOOL)
                        return 0;
        }
        for (const char *s = letters; *s; s++) {
                int r;

                row = row_find(p, s, 1, &index);
                r = value_set_checked(p, row, "true", p->set[index], "command line");
                if (r < 0)
                        return r;
                p->set[index] = true;
        }
        return 1;
}

/* One flag at argv[*i]; *i moves over its value. 1: help or version was asked for. */
static int flag_parse(struct parse *p, int argc, char **argv, int *i) {
        const char *word = argv[*i], *name = word + (word[1] == '-' ? 2 : 1),
                   *value = strchr(name, '=');
        size_t n = value ? (size_t)(value - name) : strlen(name), index;
        const struct option_row *row;

        if (value)
                value++;
        if (streq(name, "help") || streq(word, "-h")) {
                print_help(p->program);
                return 1;
        }
        if (value && n == 4 && startswith(word, "--help="))
                return print_man(p, value);
        if (streq(name, "version")) {
                printf("%s %s\n", p->program->name, PACKAGE_VERSION);
                return 1;
        }
        bool config = n == 6 && strncmp(name, "config", 6) == 0;
        row = config ? NULL : row_find(p, name, n, &index);
        if (!row && word[1] != '-' && n > 1 && !value) {
                int r = letters_parse(p, name);

                if (r != 0)
                        return MIN(r, 0);
        }
        if (!row && !config && word[1] != '-' && n > 1) {
                /* -nNAME: a letter and its value in one word */
                row = row_find(p, name, 1, &index);
                if (row && row->type != OPTION_BOOL)
                        value = name + 1;
                else
                        row = NULL;
        }
        if (!row && !config) {
                _cleanup_free_ char *bare = strndup(name, n);

                return unknown(p, "command line", word[1] == '-' ? "--" : "-", strempty(bare));
        }
        if (!value && row && row->type == OPTION_BOOL)
                value = "true";
        if (!value) {
                if (*i + 1 >= argc)
                        return problem_set(p->problem, EINVAL, 0, NULL,
                                        "command line: option %s needs a value; %s --help explains "
                                        "it",
                                        word, p->program->name);
                value = argv[++*i];
        }
        if (config) {
                p->config = value;
                return 0;
        }
        int r = value_set_checked(p, row, value, p->set[index], "command line");
        p->set[index] = true;
        return r;
}

int options_parse(const struct option_program *program, void *target, int argc, char **argv,
                char ***ret_words, struct problem *problem) {
        _cleanup_free_ bool *set = calloc(program->count + 1, sizeof(bool));
        struct parse p = {program, target, problem, set, NULL, ret_words};
        bool only_words = false;
        int r;

        if (!set)
                return -ENOMEM;
        for (size_t i = 0; i < program->count; i++)
                if (program->rows[i].fallback) {
                        r = value_set(&p, &program->rows[i], program->rows[i].fallback, false);
                        assert(r != -EINVAL && r != -ERANGE);
                        if (r < 0)
                                return r;
                }
        for (int i = 1; i < argc; i++) {
                if (only_words || argv[i][0] != '-' || !argv[i][1]) {
                        if (!ret_words)
                                return problem_set(problem, EINVAL, 0, NULL,
                                                "command line: %s takes no word \"%s\"; options "
                                                "start with --",
                                                program->name, argv[i]);
                        r = strv_extend(ret_words, argv[i]);
                } else if (streq(argv[i], "--")) {
                        only_words = true;
                        r = 0;
                } else
                        r = flag_parse(&p, argc, argv, &i);
                if (r != 0)
                        return r;
        }
        return p.config ? config_read(&p) : 0;
}

void options_done(const struct option_program *program, void *target) {
        for (size_t i = 0; i < program->count; i++) {
                void *at = (char *)target + program->rows[i].offset;

                if (program->rows[i].type == OPTION_STRING)
                        *(char **)at = mfree(*(char **)at);
                else if (program->rows[i].type == OPTION_STRINGS ||
                                program->rows[i].type == OPTION_TEXTS)
                        *(char ***)at = strv_free(*(char ***)at);
        }
}
