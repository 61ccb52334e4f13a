/* Automatic compaction, with etcd's two modes: by age ("periodic", retention "1h"; a bare number is
 * hours) and by count ("revision", retention "1000"). Runs on the leader. */
#include "kstored/server/autocompact.h"

#include "kstored/server/server.h"
#include "kstored/service/requests.h"
#include "kstored/state/wire.h"

enum { SAMPLES = 10, REVISION_PERIOD_MS = 5 * 60 * 1000 };

struct autocompact {
        uint64_t retention_ms; /* periodic */
        int64_t keep;          /* by revision */
        struct {
                uint64_t ms;
                int64_t rev;
        } samples[SAMPLES + 1];
        size_t count;
        uint64_t next_ms;
};

static int configure(struct server *s, void *state, struct problem *p) {
        const char *mode = s->options->auto_compaction_mode;
        const char *retention = s->options->auto_compaction_retention;
        bool by_revision = streq(mode, "revision");
        struct autocompact *a = state;
        uint64_t value = 0, us = 0;

        if (!by_revision && !streq(mode, "periodic"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--auto-compaction-mode is \"%s\"; it can be \"periodic\" or "
                                "\"revision\"",
                                mode);
        if (parse_u64(retention, &value) >= 0) {
                if (value > INT64_MAX / 3600000)
                        value = INT64_MAX / 3600000;
                us = value * 3600 * 1000000;
        } else if (by_revision || parse_duration_us(retention, &us) < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "--auto-compaction-retention \"%s\" is not a %s", retention,
                                by_revision ? "number of revisions"
                                            : "duration, such as 1h or 30m");
        if (by_revision)
                a->keep = (int64_t)value;
        else
                a->retention_ms = us / 1000;
        return 0;
}

/* The revision to compact at now, or 0. */
static int64_t due_rev(struct autocompact *a, uint64_t now_ms, int64_t rev) {
        int64_t due = 0;

        if ((a->keep == 0 && a->retention_ms == 0) || now_ms < a->next_ms)
                return 0;
        if (a->keep > 0) {
                a->next_ms = now_ms + REVISION_PERIOD_MS;
                return rev > a->keep ? rev - a->keep : 0;
        }
        a->next_ms = now_ms + MAX(a->retention_ms / SAMPLES, (uint64_t)1000);
        if (a->count == ELEMENTS(a->samples)) {
                memmove(&a->samples[0], &a->samples[1], SAMPLES * sizeof(a->samples[0]));
                a->count--;
        }
        a->samples[a->count].ms = now_ms;
        a->samples[a->count++].rev = rev;
        for (size_t i = 0; i < a->count; i++)
                if (a->samples[i].ms + a->retention_ms <= now_ms)
                        due = a->samples[i].rev;
        return due;
}

static void second(struct server *s, void *state, uint64_t now_ms) {
        const struct mvcc *mvcc = s->state->kv.mvcc;
        _cleanup_buf_ struct buf b = {0};
        int64_t rev;

        if (!server_is_leader(s))
                return;
        rev = due_rev(state, now_ms, mvcc_rev(mvcc));
        if (rev <= mvcc_compact_rev(mvcc))
                return;
        wire_uint(&b, 1, (uint64_t)rev);
        if (!b.failed)
                server_propose(s, NULL, COMMAND_COMPACT, b.data, b.size, NULL);
}

const struct server_part autocompact_part = {.name = "autocompact",
                .size = sizeof(struct autocompact),
                .configure = configure,
                .second = second};
