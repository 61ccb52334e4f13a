/* Command-line flags and a config file with the same names, from one table; --help and --version
 * come from it too. Flags win over the file. A config file is lines of `name: value` (a flat YAML
 * mapping, lists for flags that repeat). Unknown names are refused with the nearest known one. */
#pragma once

#include "lib/base.h"
#include "lib/problem.h"

enum option_type {
        OPTION_STRING,   /* char * (owned) */
        OPTION_STRINGS,  /* char ** vector; the flag may repeat, and commas separate */
        OPTION_TEXTS,    /* the same, and a comma is a part of a text */
        OPTION_BOOL,     /* bool; --name or --name=true|false */
        OPTION_U32,      /* uint32_t */
        OPTION_U64,      /* uint64_t */
        OPTION_PORT,     /* uint16_t */
        OPTION_DURATION, /* uint64_t microseconds */
};

struct option_row {
        const char *name; /* "data-dir" */
        char letter;      /* short form or 0 */
        enum option_type type;
        size_t offset;        /* offsetof in the program's struct */
        const char *argument; /* word for the value in --help: "DIR" */
        const char *help;     /* one line */
        const char *fallback; /* default value as text, or NULL */
};

struct option_program {
        const char *name;    /* "kapid" */
        const char *summary; /* one sentence */
        const char *usage;   /* "[OPTION...]" */
        const struct option_row *rows;
        size_t count;
};

/* Sets defaults, reads --config FILE if given, then the flags. Positional words go to ret_words (a
 * strv; NULL pointer: words are refused). Returns 1 after printing --help or --version (the caller
 * exits 0), 0 when the program should run, -EINVAL with p filled. */
int options_parse(const struct option_program *program, void *target, int argc, char **argv,
                char ***ret_words, struct problem *p);
/* Frees what the strings and vectors hold. */
void options_done(const struct option_program *program, void *target);
