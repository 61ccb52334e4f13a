/* The forms of -o, and those that have a template behind their name. */
#pragma once

#include "kctl/kctl.h"

enum format {
        FORMAT_TABLE, /* none, or wide */
        FORMAT_NAME,
        FORMAT_JSON,
        FORMAT_YAML,
        FORMAT_JSONPATH,
        FORMAT_JSONPATH_FILE,
        FORMAT_JSONPATH_AS_JSON,
        FORMAT_COLUMNS,
        FORMAT_COLUMNS_FILE,
        FORMAT_UNKNOWN,
};
#define FORMATS_TEXT \
        "wide, name, json, yaml, jsonpath=TEMPLATE, jsonpath-file=FILE, jsonpath-as-json=PATH, " \
        "custom-columns=HEADING:PATH,..., custom-columns-file=FILE"

/* The form of a value of -o (NULL: none was given), and what stands behind its '='. */
enum format format_parse(const char *text, const char **ret_template);
/* The file of a template. Caller frees. */
int format_file(const char *path, char **ret, struct problem *p);

/* An object, or the items of a list, as a table of "HEADING:PATH,...": */
int print_custom_columns(struct kctl *k, const json_t *object, const char *spec,
                struct problem *p);
/* and of a file's text: a line of headings and one of paths. */
int print_custom_columns_file(struct kctl *k, const json_t *object, const char *text,
                struct problem *p);

/* sort-by.c: the array in the order of what a path reaches in each; those that have it not come
 * first. under NULL: in the element itself, otherwise in its member of that name. */
int sort_by_path(json_t *array, const char *under, const char *path, struct problem *p);
