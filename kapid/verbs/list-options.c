/* The reference server's validation of ListOptions. */
#include "kapid/verbs/list-options.h"

#include "kapid/pipeline/options.h"

int list_options_refused(
                struct problem *p, const char *reason, const char *field, const char *text) {
        return options_refused(p, "ListOptions", reason, field, text);
}

int list_options_check_match(const char *match, struct problem *p) {
        char text[128];

        if (isempty(match) || streq(match, "Exact") || streq(match, "NotOlderThan"))
                return 0;
        (void)snprintf(text, sizeof(text),
                        "Unsupported value: \"%.32s\": supported values: \"Exact\", "
                        "\"NotOlderThan\", \"\"",
                        match);
        return list_options_refused(p, "FieldValueNotSupported", "resourceVersionMatch", text);
}
