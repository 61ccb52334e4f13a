/* Inside of admission: the plugins of one kapid in its order, and their figures. */
#pragma once

#include "kapid/admission/admission.h"

enum { ADMISSION_OPERATIONS = 4, ADMISSION_TYPES = 2 };

struct chained {
        const char *name;
        const struct admission_plugin *plugin;
        /* by operation, type (admit, validate), and whether it refused; NULL: not counted */
        struct metric *seconds[ADMISSION_OPERATIONS][ADMISSION_TYPES][2];
};

struct admission_chain {
        struct chained *plugins;
        size_t count;
};

void chained_count(const struct chained *c, enum admission_operation operation,
                enum admission_stage stage, bool refused, uint64_t took_us);
