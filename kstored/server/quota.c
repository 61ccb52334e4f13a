/* The quota of the database (--quota-backend-bytes) and its NOSPACE alarm. */
#include "kstored/server/quota.h"

#include "kstored/server/server.h"
#include "kstored/service/requests.h"
#include "lib/log.h"

struct quota {
        bool asked; /* for the alarm */
};

enum store_error server_check_space(struct server *s, size_t bytes) {
        struct quota *x = server_part(s, SERVER_PART_QUOTA);

        if (s->replica->disk_full)
                return STORE_NO_SPACE;
        if (s->options->quota_bytes == 0 ||
                        (uint64_t)disk_size(s->disk).in_use + s->state->batch.row_bytes + bytes <=
                                        s->options->quota_bytes)
                return STORE_OK;
        if (!state_alarm(s->state, ALARM_NOSPACE) && !x->asked) {
                _cleanup_buf_ struct buf b = {0};

                wire_uint(&b, 1, ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE);
                wire_uint(&b, 2, s->member_id);
                wire_uint(&b, 3, ALARM_NOSPACE);
                if (!b.failed)
                        server_propose(s, NULL, COMMAND_ALARM, b.data, b.size, NULL);
                x->asked = true; /* until the next second: the proposal may get lost */
                log_warning("The database is larger than --quota-backend-bytes: raising the "
                            "NOSPACE alarm");
        }
        return STORE_NO_SPACE;
}

static void second(struct server *s, void *state, uint64_t now_ms) {
        struct quota *x = state;

        x->asked = false;
}

const struct server_part quota_part = {
                .name = "quota", .size = sizeof(struct quota), .second = second};
