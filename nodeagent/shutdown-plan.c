/* The order of a shutdown. Pure. */
#include "nodeagent/shutdown.h"

enum {
        ASK_US = 2 * 1000000,    /* for the control plane to answer */
        REPORT_US = 2 * 1000000, /* for the last statuses */
        MARGIN_US = 3 * 1000000, /* of logind's delay: calls, signals, a busy machine */
};

static enum shutdown_stage step(
                enum shutdown_stage stage, const struct shutdown_view *v, uint64_t now_us) {
        uint64_t end = v->since_us + v->total_us;

        switch (stage) {
        case SHUTDOWN_ASKING:
                return v->in_touch || now_us >= v->since_us + ASK_US ? SHUTDOWN_ORDINARY : stage;
        case SHUTDOWN_ORDINARY:
                if (!v->ordinary_runs || now_us >= end - MIN(v->critical_us, v->total_us))
                        return SHUTDOWN_CRITICAL;
                return stage;
        case SHUTDOWN_CRITICAL:
                return !v->any_runs || now_us >= end ? SHUTDOWN_REPORTING : stage;
        case SHUTDOWN_REPORTING:
                return v->reported || now_us >= end + REPORT_US ? SHUTDOWN_DONE : stage;
        default:
                return stage;
        }
}

enum shutdown_stage shutdown_next(
                enum shutdown_stage stage, const struct shutdown_view *v, uint64_t now_us) {
        enum shutdown_stage next = step(stage, v, now_us);

        assert(next >= stage);
        return next;
}

uint64_t shutdown_delay_us(uint64_t total_us) {
        return total_us + REPORT_US + MARGIN_US;
}
