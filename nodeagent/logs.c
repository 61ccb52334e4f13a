/* Container logs out of the journal, found by the pod's uid and the container's name: also those of
 * pods that are long gone. "previous" is the invocation before the newest one that the journal
 * knows. A followed log ends when the unit is gone and everything it wrote was shown. */
#include "nodeagent/logs.h"

#include <fcntl.h>
#include <poll.h>
#include <systemd/sd-journal.h>

#include "lib/buf.h"
#include "lib/timefmt.h"
#include "nodeagent/pod-units.h"

enum {
        INVOCATIONS_MAX = 4096,
        WAIT_MS = 1000,
        QUIET_ROUNDS = 3, /* waits without a line after the unit is gone */
        OUTPUT_SIZE = 65536,
};

struct reader {
        const struct logs_request *request;
        sd_journal *journal;
        struct buf out;
        uint64_t written;
        bool ended; /* limit reached or nobody listens */
};

static int match(sd_journal *j, const char *name, const char *value) {
        _cleanup_free_ char *text = strformat("%s=%s", name, value);
        return text ? sd_journal_add_match(j, text, 0) : -ENOMEM;
}

static int add_matches(struct reader *r, const char *invocation) {
        int e = match(r->journal, "KEELSON_POD_UID", r->request->uid);

        if (e >= 0)
                e = match(r->journal, "KEELSON_CONTAINER", r->request->container);
        /* Lines of the program, not what systemd says about the unit. */
        if (e >= 0)
                e = match(r->journal, "_TRANSPORT", "stdout");
        if (e >= 0 && invocation)
                e = match(r->journal, "_SYSTEMD_INVOCATION_ID", invocation);
        return e;
}

static int flush(struct reader *r) {
        size_t done = 0;

        while (done < r->out.size) {
                ssize_t n = write(STDOUT_FILENO, r->out.data + done, r->out.size - done);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        r->ended = true;
                        return -errno;
                }
                done += (size_t)n;
        }
        buf_reset(&r->out);
        return 0;
}

static void show(struct reader *r) {
        const struct logs_request *q = r->request;
        const void *data;
        size_t n;
        uint64_t us;
        char stamp[TIMEFMT_SIZE];

        if (sd_journal_get_data(r->journal, "MESSAGE", &data, &n) < 0 || n < 8)
                return;
        data = (const char *)data + 8;
        n -= 8;
        if (q->timestamps && sd_journal_get_realtime_usec(r->journal, &us) >= 0) {
                time_format_micro(us, stamp);
                stamp[strcspn(stamp, "Z")] = 0;
                buf_printf(&r->out, "%s000Z ", stamp);
        }
        buf_append(&r->out, data, n);
        buf_append_char(&r->out, '\n');
        if (q->limit_bytes > 0 && r->written + r->out.size >= q->limit_bytes) {
                r->out.size = (size_t)(q->limit_bytes - r->written);
                r->ended = true;
        }
        if (r->out.size >= OUTPUT_SIZE || r->ended) {
                r->written += r->out.size;
                (void)flush(r);
        }
}

/* The invocation before the newest; 0 when there is none. */
static int previous_invocation(struct reader *r, char ret[static 33]) {
        char newest[33] = "";
        unsigned seen = 0;

        if (sd_journal_seek_tail(r->journal) < 0)
                return -EIO;
        while (sd_journal_previous(r->journal) > 0 && seen++ < 10000000) {
                const void *data;
                size_t n;
                const char *id;

                if (sd_journal_get_data(r->journal, "_SYSTEMD_INVOCATION_ID", &data, &n) < 0 ||
                                n != 23 + 32)
                        continue;
                id = (const char *)data + 23;
                if (!newest[0])
                        memcpy(newest, id, 32);
                else if (memcmp(newest, id, 32) != 0) {
                        memcpy(ret, id, 32);
                        ret[32] = 0;
                        return 1;
                }
        }
        return 0;
}

/* Puts the cursor before the first line to show. */
static int seek(struct reader *r) {
        const struct logs_request *q = r->request;
        uint64_t us;
        int e;

        if (q->tail < 0)
                return q->since_us > 0 ? sd_journal_seek_realtime_usec(r->journal, q->since_us)
                                       : sd_journal_seek_head(r->journal);
        e = sd_journal_seek_tail(r->journal);
        if (e < 0)
                return e;
        /* Steps over the lines that are to come, and one more. */
        for (int64_t i = 0; i <= q->tail; i++) {
                e = sd_journal_previous(r->journal);
                if (e < 0)
                        return e;
                if (e == 0)
                        return sd_journal_seek_head(r->journal);
                if (q->since_us > 0 && sd_journal_get_realtime_usec(r->journal, &us) >= 0 &&
                                us < q->since_us)
                        return 0;
        }
        return 0;
}

/* systemd keeps this link while a unit is loaded and has run. */
static bool unit_is_gone(const struct logs_request *q) {
        _cleanup_free_ char *path = NULL, *unit = pod_unit_name_of(q->ns, q->pod, q->container);
        char target[64];

        path = unit ? strformat("/run/systemd/units/invocation:%s", unit) : NULL;

        return !path || readlink(path, target, sizeof(target)) < 0;
}

/* 1 when nobody reads our output any more. */
static bool reader_left(void) {
        struct pollfd p = {.fd = STDOUT_FILENO};

        return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP | POLLNVAL));
}

static int follow(struct reader *r) {
        unsigned quiet = 0;

        while (!r->ended && quiet < QUIET_ROUNDS) {
                struct pollfd p[] = {{.fd = sd_journal_get_fd(r->journal), .events = POLLIN},
                                {.fd = STDOUT_FILENO}};
                bool any = false;
                int e;

                if (p[0].fd < 0)
                        return p[0].fd;
                e = sd_journal_next(r->journal);
                while (e > 0 && !r->ended) {
                        show(r);
                        any = true;
                        e = sd_journal_next(r->journal);
                }
                r->written += r->out.size;
                if (e < 0 || flush(r) < 0)
                        return e;
                quiet = any || !unit_is_gone(r->request) ? 0 : quiet + 1;
                (void)poll(p, 2, WAIT_MS);
                if (reader_left())
                        return 0;
                e = sd_journal_process(r->journal);
                if (e < 0)
                        return e;
        }
        return 0;
}

static int run(struct reader *r, struct problem *p) {
        char invocation[33];
        int e = sd_journal_open(&r->journal, SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM);

        if (e < 0)
                return problem_set(p, -e, 0, NULL, "cannot open the journal: %s", strerror(-e));
        e = add_matches(r, NULL);
        if (e >= 0 && r->request->previous) {
                e = previous_invocation(r, invocation);
                if (e == 0)
                        return problem_set(p, ENOENT, 400, "BadRequest",
                                        "previous terminated container \"%s\" in pod \"%s\" not "
                                        "found",
                                        r->request->container, r->request->pod);
                if (e > 0) {
                        sd_journal_flush_matches(r->journal);
                        e = add_matches(r, invocation);
                }
        }
        if (e >= 0)
                e = seek(r);
        while (e >= 0 && !r->ended && (e = sd_journal_next(r->journal)) > 0)
                show(r);
        r->written += r->out.size;
        if (e >= 0 && !r->ended)
                e = flush(r);
        if (e >= 0 && r->request->follow && !r->request->previous && !r->ended)
                e = follow(r);
        /* A reader that left is no error of ours. */
        if (e < 0 && e != -EPIPE)
                return problem_set(p, -e, 0, NULL, "cannot read the journal: %s", strerror(-e));
        return 0;
}

int logs_ssh_main(const char *command) {
        _cleanup_(logs_request_done) struct logs_request request = {0};
        _cleanup_problem_ struct problem p = {0};
        struct reader r = {.request = &request};
        int e = logs_request_parse(strempty(command), &request, &p);

        if (e >= 0)
                e = run(&r, &p);
        if (r.journal)
                sd_journal_close(r.journal);
        buf_done(&r.out);
        if (e < 0) {
                fprintf(stderr, "%s\n", p.message ? p.message : strerror(-e));
                return 1;
        }
        return 0;
}
