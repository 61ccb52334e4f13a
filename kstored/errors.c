/* The table of refusals. */
#include "kstored/errors.h"

static const struct {
        enum grpc_code code;
        const char *text;
} rows[] = {
#define STORE_ROW(name, grpc, words) [name] = {grpc, words},
                STORE_ERRORS(STORE_ROW)
#undef STORE_ROW
};

enum grpc_code store_error_code(enum store_error e) {
        return rows[e].code;
}

const char *store_error_text(enum store_error e) {
        return rows[e].text;
}

enum store_error store_error_from_errno(int r) {
        if (r >= 0)
                return STORE_OK;
        switch (r) {
        case -ENOMEM:
                return STORE_NO_MEMORY;
        case -ERANGE:
                return STORE_COMPACTED;
        case -EOVERFLOW:
                return STORE_FUTURE_REV;
        case -E2BIG:
                return STORE_TOO_LARGE;
        default:
                return STORE_DISK;
        }
}
