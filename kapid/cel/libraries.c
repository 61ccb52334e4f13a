/* The libraries that every expression may use: a line for each. */
#include "kapid/cel/internal.h"

const struct cel_library *const cel_libraries[] = {&cel_library_standard, &cel_library_convert,
                &cel_library_time, &cel_library_optional, NULL};
