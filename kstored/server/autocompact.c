/* Automatic compaction, with etcd's two modes: by age ("periodic", retention "1h"; a bare number is
 * hours) and by count ("revision", retention "1000"). Runs on the leader. */
#include "kstored/server/server.h"

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

int autocompact_new(struct autocompact **ret, const char *mode, const char *retention,
                struct problem *p) {
        struct autocompact *a;
        uint64_t value = 0, us = 0;

        if (!streq(mode, "periodic") && !streq(mode, "revision"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--auto-compaction-mode is \"%s\"; it can be \"periodic\" or "
                                "\"revision\"",
                                mode);
        if (parse_u64(retention, &value) >= 0) {
                if (value > INT64_MAX / 3600000)
                        value = INT64_MAX / 3600000;
                us = value * 3600 * 1000000;
        } else if (streq(mode, "revision") || parse_duration_us(retention, &us) < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "--auto-compaction-retention \"%s\" is no %s", retention,
                                streq(mode, "revision") ? "number of revisions"
                                                        : "duration, such as 1h or 30m");
        a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;
        if (streq(mode, "revision"))
                a->keep = (int64_t)value;
        else
                a->retention_ms = us / 1000;
        *ret = a;
        return 0;
}

struct autocompact *autocompact_free(struct autocompact *a) {
        free(a);
        return NULL;
}

int64_t autocompact_due(struct autocompact *a, uint64_t now_ms, int64_t rev) {
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
