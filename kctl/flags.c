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
#define FLAG_TEXTS(...) FLAG(OPTION_TEXTS, __VA_ARGS__)
#define FLAG_U32(...) FLAG(OPTION_U32, __VA_ARGS__)

const struct option_row flag_rows[] = {
#include "kctl/flag-rows.h"
};
const size_t flag_row_count = ELEMENTS(flag_rows);

#undef FLAG
#define FLAG(type, field, ...) #field,
/* The member of each row, in the same order. */
static const char *const members[] = {
#include "kctl/flag-rows.h"
};

const struct option_row *flag_find(const char *name) {
        const char *member = startswith(name, "@");

        for (size_t i = 0; i < flag_row_count; i++)
                if (streq(member ? members[i] : flag_rows[i].name, member ? member : name))
                        return &flag_rows[i];
        return NULL;
}

const char *const common_flags[] = {"kubeconfig", "context", "namespace", "server", "token", "as",
                "as-group", "request-timeout", "v", NULL};
