/* Every flag once, as options (lib/options.h): for the command line, --help, completion and the man
 * page. Verbs name those they take. */
#include "kctl/kctl.h"

#define FLAG(type, field, name, letter, argument, help, initial) \
        {name, letter, type, offsetof(struct kctl_flags, field), argument, help, initial},
#define FLAG_BOOL(...) FLAG(OPTION_BOOL, __VA_ARGS__)
#define FLAG_DURATION(...) FLAG(OPTION_DURATION, __VA_ARGS__)
#define FLAG_PORT(...) FLAG(OPTION_PORT, __VA_ARGS__)
#define FLAG_STRING(...) FLAG(OPTION_STRING, __VA_ARGS__)
#define FLAG_STRINGS(...) FLAG(OPTION_STRINGS, __VA_ARGS__)
#define FLAG_U32(...) FLAG(OPTION_U32, __VA_ARGS__)

const struct option_row flag_rows[] = {
#include "kctl/flag-rows.h"
};

const size_t flag_row_count = ELEMENTS(flag_rows);
