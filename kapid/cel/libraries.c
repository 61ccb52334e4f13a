/* The libraries that every expression may use: a line for each. */
#include "kapid/cel/internal.h"
#include "kapid/cel/lib.h"

const struct cel_library *const cel_libraries[] = {&cel_library_standard, &cel_library_convert,
                &cel_library_time, &cel_library_optional, &cel_library_strings,
                &cel_library_string_format, &cel_library_lists, &cel_library_lists_more,
                &cel_library_sets, &cel_library_regex, &cel_library_url, &cel_library_ip,
                &cel_library_cidr, &cel_library_quantity, &cel_library_format, &cel_library_semver,
                NULL};
