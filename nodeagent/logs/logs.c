/* Container logs out of the journal, found by the pod's uid and the container's name, also for pods
 * that are long gone. Entries come from keelson-logs.service, which writes them byte by byte, and
 * for units with another StandardOutput from journald's own stream. One run (systemd's invocation)
 * is shown: the current or the last one; "previous" is the one before it. A followed log ends when
 * that run has ended and all its output was shown. */
#include "nodeagent/logs/logs.h"

#include <fcntl.h>
#include <poll.h>

#include "lib/buf.h"
#include "lib/timefmt.h"
#include "nodeagent/logs/log-collect.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/runtime/unit-ask.h"

enum {
        WAIT_MS = 500,
        QUIET_ROUNDS = 2, /* waits without a new line after the run has ended */
        OUTPUT_SIZE = 65536,
        INVOCATION_LENGTH = 32,
};

struct reader {
        const struct logs_request *request;
        char *unit;
        char invocation[INVOCATION_LENGTH + 1]; /* "": no run was found */
        sd_journal *journal;
        struct buf out;
        uint64_t written;
        bool in_line; /* the last entry's line continues in the next one */
        bool ended;   /* limit reached, or the reader is gone */
};

static int match(sd_journal *j, const char *name, const char *value) {
        _cleanup_free_ char *text = strformat("%s=%s", name, value);
        return text ? sd_journal_add_match(j, text, 0) : -ENOMEM;
}

/* Only trusted fields of journald decide where an entry comes from. */
int logs_match(sd_journal *j, const char *uid, const char *container, const char *invocation) {
        static const struct {
                const char *name, *value, *invocation;
        } origins[] = {{"_SYSTEMD_UNIT", LOG_COLLECT_UNIT, "KEELSON_INVOCATION"},
                        {"_TRANSPORT", "stdout", "_SYSTEMD_INVOCATION_ID"}};
        int r = 0;

        for (size_t i = 0; i < ELEMENTS(origins) && r >= 0; i++) {
                r = match(j, "KEELSON_POD_UID", uid);
                if (r >= 0)
                        r = match(j, "KEELSON_CONTAINER", container);
                if (r >= 0)
                        r = match(j, origins[i].name, origins[i].value);
                if (r >= 0 && invocation)
                        r = match(j, origins[i].invocation, invocation);
                if (r >= 0)
                        r = sd_journal_add_disjunction(j);
        }
        return r;
}

static int add_matches(struct reader *r, const char *invocation) {
        return logs_match(r->journal, r->request->uid, r->request->container, invocation);
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

static bool has_field(sd_journal *j, const char *name) {
        const void *data;
        size_t n;
        return sd_journal_get_data(j, name, &data, &n) >= 0;
}

static void show(struct reader *r) {
        const struct logs_request *q = r->request;
        const void *data;
        size_t n;
        uint64_t us;
        char stamp[TIMEFMT_SIZE];

        if (sd_journal_get_data(r->journal, "MESSAGE", &data, &n) < 0 || n < 8)
                return;
        if (q->timestamps && !r->in_line && sd_journal_get_realtime_usec(r->journal, &us) >= 0) {
                time_format_micro(us, stamp);
                stamp[strcspn(stamp, "Z")] = 0;
                buf_printf(&r->out, "%s000Z ", stamp);
        }
        buf_append(&r->out, (const char *)data + 8, n - 8);
        r->in_line = has_field(r->journal, "KEELSON_PARTIAL");
        if (!r->in_line)
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

/* The run of the current entry; 1 when it has one. */
static int entry_invocation(sd_journal *j, char ret[static INVOCATION_LENGTH + 1]) {
        static const char *const names[] = {"KEELSON_INVOCATION", "_SYSTEMD_INVOCATION_ID"};
        /* For keelson-logs.service the second field is the collector's own. */
        const void *data;
        size_t n;

        for (size_t i = 0; i < ELEMENTS(names); i++) {
                size_t k = strlen(names[i]) + 1;

                if (sd_journal_get_data(j, names[i], &data, &n) < 0)
                        continue;
                if (n != k + INVOCATION_LENGTH)
                        return 0;
                memcpy(ret, (const char *)data + k, INVOCATION_LENGTH);
                ret[INVOCATION_LENGTH] = 0;
                return 1;
        }
        return 0;
}

/* The newest run in the journal that is not this one ("": any). 0 when there is none. */
static int newest_but(struct reader *r, const char *but, char ret[static INVOCATION_LENGTH + 1]) {
        char id[INVOCATION_LENGTH + 1];
        int e = sd_journal_seek_tail(r->journal);

        while (e >= 0 && (e = sd_journal_previous(r->journal)) > 0)
                if (entry_invocation(r->journal, id) > 0 && !streq(id, but)) {
                        memcpy(ret, id, sizeof(id));
                        return 1;
                }
        return e;
}

/* The current run, or one that systemd still knows; else the newest with an entry. */
static int current_invocation(struct reader *r, char ret[static INVOCATION_LENGTH + 1]) {
        _cleanup_free_ char *path = strformat("/run/systemd/units/invocation:%s", r->unit);
        char target[64];
        ssize_t n = path ? readlink(path, target, sizeof(target)) : -1;

        if (n != INVOCATION_LENGTH)
                return newest_but(r, "", ret);
        memcpy(ret, target, INVOCATION_LENGTH);
        ret[INVOCATION_LENGTH] = 0;
        return 1;
}

/* Which run is requested: 1, or 0 when there is none. */
static int choose(struct reader *r) {
        char current[INVOCATION_LENGTH + 1] = "";
        int e = current_invocation(r, current);

        if (e > 0 && r->request->previous)
                return newest_but(r, current, r->invocation);
        memcpy(r->invocation, current, sizeof(current));
        return e;
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
        /* Skips the lines that are to be shown, and one more. */
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

/* 1 when the reader of our output is gone. */
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
                quiet = any || unit_run_goes_on(r->unit, r->invocation) > 0 ? 0 : quiet + 1;
                (void)poll(p, 2, WAIT_MS);
                if (reader_left())
                        return 0;
                e = sd_journal_process(r->journal);
                if (e < 0)
                        return e;
        }
        return 0;
}

static int find_unit(struct reader *r) {
        const struct logs_request *q = r->request;

        r->unit = pod_unit_name_of(q->ns, q->pod, q->container);
        return r->unit ? 0 : -ENOMEM;
}

static int run(struct reader *r, struct problem *p) {
        /* All of the machine's files: journald keeps the entries of users from 1000 on in separate
         * ones. */
        int e = sd_journal_open(&r->journal, SD_JOURNAL_LOCAL_ONLY);

        if (e < 0)
                return problem_set(p, -e, 0, NULL, "cannot open the journal: %s", strerror(-e));
        (void)sd_journal_set_data_threshold(r->journal, 0);
        e = find_unit(r);
        if (e >= 0)
                e = add_matches(r, NULL);
        if (e >= 0)
                e = choose(r);
        if (e == 0 && r->request->previous)
                return problem_set(p, ENOENT, 400, "BadRequest",
                                "previous terminated container \"%s\" in pod \"%s\" not found",
                                r->request->container, r->request->pod);
        if (e > 0) {
                sd_journal_flush_matches(r->journal);
                e = add_matches(r, r->invocation);
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
        /* A reader that closed the stream is not an error. */
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
        free(r.unit);
        if (e < 0) {
                fprintf(stderr, "%s\n", p.message ? p.message : strerror(-e));
                return 1;
        }
        return 0;
}
