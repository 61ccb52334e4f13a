/* Container logs out of the journal, found by the pod's uid and the container's name, also for pods
 * that are long gone. Entries come from keelson-logs.service, which writes them byte by byte, and
 * for units with another StandardOutput from journald's own stream. One run (systemd's invocation)
 * is shown: the current or the last one; "previous" is the one before it. A followed log ends when
 * that run has ended and all its output was shown. */
#include "nodeagent/logs/logs.h"

#include <fcntl.h>
#include <poll.h>

#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/timefmt.h"
#include "nodeagent/logs/log-collect.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/runtime/unit-ask.h"

enum {
        WAIT_MS = 500,
        QUIET_ROUNDS = 2, /* waits without a new line after the run has ended */
        OUTPUT_SIZE = 65536,
        INVOCATION_LENGTH = 32,
        UNIT_NAME_SIZE_MAX = 512,
};

struct reader {
        const struct logs_request *request;
        char *unit;
        char invocation[INVOCATION_LENGTH + 1]; /* "": no run was found */
        sd_journal *journal;
        struct buf out;
        uint64_t written;
        bool adopted; /* the unit is one of the machine */
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

        for (size_t i = 0; i < ELEMENTS(origins); i++) {
                const struct {
                        const char *name, *value;
                } fields[] = {{"KEELSON_POD_UID", uid}, {"KEELSON_CONTAINER", container},
                                {origins[i].name, origins[i].value},
                                {origins[i].invocation, invocation}};
                int r;

                for (size_t k = 0; k < ELEMENTS(fields); k++) {
                        r = fields[k].value ? match(j, fields[k].name, fields[k].value) : 0;
                        if (r < 0)
                                return r;
                }
                r = sd_journal_add_disjunction(j);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* All that the unit and systemd say about it. */
static int match_adopted(sd_journal *j, const char *unit, const char *invocation) {
        int r = match(j, "_SYSTEMD_UNIT", unit);

        if (r < 0 || !invocation)
                return r;
        return match(j, "_SYSTEMD_INVOCATION_ID", invocation);
}

static int add_matches(struct reader *reader, const char *invocation) {
        if (reader->adopted)
                return match_adopted(reader->journal, reader->unit, invocation);
        return logs_match(reader->journal, reader->request->uid, reader->request->container,
                        invocation);
}

static int flush(struct reader *reader) {
        size_t done = 0;

        while (done < reader->out.size) {
                ssize_t n = write(STDOUT_FILENO, reader->out.data + done, reader->out.size - done);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        reader->ended = true;
                        return -errno;
                }
                done += (size_t)n;
        }
        buf_reset(&reader->out);
        return 0;
}

static bool has_field(sd_journal *j, const char *name) {
        const void *data;
        size_t n;
        return sd_journal_get_data(j, name, &data, &n) >= 0;
}

static void show(struct reader *reader) {
        const struct logs_request *q = reader->request;
        const void *data;
        size_t n;
        uint64_t us;
        char stamp[TIMEFMT_SIZE];

        if (sd_journal_get_data(reader->journal, "MESSAGE", &data, &n) < 0 || n < 8)
                return;
        if (q->timestamps && !reader->in_line &&
                        sd_journal_get_realtime_usec(reader->journal, &us) >= 0) {
                time_format_micro(us, stamp);
                stamp[strcspn(stamp, "Z")] = 0;
                buf_printf(&reader->out, "%s000Z ", stamp);
        }
        buf_append(&reader->out, (const char *)data + 8, n - 8);
        reader->in_line = has_field(reader->journal, "KEELSON_PARTIAL");
        if (!reader->in_line)
                buf_append_char(&reader->out, '\n');
        if (q->limit_bytes > 0 && reader->written + reader->out.size >= q->limit_bytes) {
                reader->out.size = (size_t)(q->limit_bytes - reader->written);
                reader->ended = true;
        }
        if (reader->out.size >= OUTPUT_SIZE || reader->ended) {
                reader->written += reader->out.size;
                (void)flush(reader);
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
static int newest_but(
                struct reader *reader, const char *but, char ret[static INVOCATION_LENGTH + 1]) {
        char id[INVOCATION_LENGTH + 1];
        int r = sd_journal_seek_tail(reader->journal);

        if (r < 0)
                return r;
        while ((r = sd_journal_previous(reader->journal)) > 0)
                if (entry_invocation(reader->journal, id) > 0 && !streq(id, but)) {
                        memcpy(ret, id, sizeof(id));
                        return 1;
                }
        return r;
}

/* The current run, or one that systemd still knows; else the newest with an entry. */
static int current_invocation(struct reader *reader, char ret[static INVOCATION_LENGTH + 1]) {
        _cleanup_free_ char *path = strformat("/run/systemd/units/invocation:%s", reader->unit);
        char target[64];
        ssize_t n = path ? readlink(path, target, sizeof(target)) : -1;

        if (n != INVOCATION_LENGTH)
                return newest_but(reader, "", ret);
        memcpy(ret, target, INVOCATION_LENGTH);
        ret[INVOCATION_LENGTH] = 0;
        return 1;
}

/* Which run is requested: 1, or 0 when there is none. */
static int choose(struct reader *reader) {
        char current[INVOCATION_LENGTH + 1] = "";
        int r = current_invocation(reader, current);

        if (r > 0 && reader->request->previous)
                return newest_but(reader, current, reader->invocation);
        memcpy(reader->invocation, current, sizeof(current));
        return r;
}

/* Puts the cursor before the first line to show. */
static int seek(struct reader *reader) {
        const struct logs_request *q = reader->request;
        uint64_t us;
        int r;

        if (q->tail < 0)
                return q->since_us > 0 ? sd_journal_seek_realtime_usec(reader->journal, q->since_us)
                                       : sd_journal_seek_head(reader->journal);
        r = sd_journal_seek_tail(reader->journal);
        if (r < 0)
                return r;
        /* Skips the lines that are to be shown, and one more. */
        for (int64_t i = 0; i <= q->tail; i++) {
                r = sd_journal_previous(reader->journal);
                if (r < 0)
                        return r;
                if (r == 0)
                        return sd_journal_seek_head(reader->journal);
                if (q->since_us > 0 && sd_journal_get_realtime_usec(reader->journal, &us) >= 0 &&
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

static int follow(struct reader *reader) {
        unsigned quiet = 0;

        while (!reader->ended && quiet < QUIET_ROUNDS) {
                struct pollfd p[] = {{.fd = sd_journal_get_fd(reader->journal), .events = POLLIN},
                                {.fd = STDOUT_FILENO}};
                bool any = false;
                int r;

                if (p[0].fd < 0)
                        return p[0].fd;
                r = sd_journal_next(reader->journal);
                while (r > 0 && !reader->ended) {
                        show(reader);
                        any = true;
                        r = sd_journal_next(reader->journal);
                }
                reader->written += reader->out.size;
                if (r < 0)
                        return r;
                if (flush(reader) < 0)
                        return 0;
                quiet = any || unit_run_goes_on(reader->unit, reader->invocation) > 0 ? 0
                                                                                      : quiet + 1;
                (void)poll(p, 2, WAIT_MS);
                if (reader_left())
                        return 0;
                r = sd_journal_process(reader->journal);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int find_unit(struct reader *reader) {
        const struct logs_request *q = reader->request;
        _cleanup_free_ char *path = logs_adopted_path(q->uid, q->container);
        size_t n;

        if (!path)
                return -ENOMEM;
        reader->adopted = file_read(path, UNIT_NAME_SIZE_MAX, &reader->unit, &n) >= 0;
        if (reader->adopted)
                return 0;
        reader->unit = pod_unit_name_of(q->ns, q->pod, q->container);
        return reader->unit ? 0 : -ENOMEM;
}

/* Matches the entries of the requested run: 1. 0 when there is none: all runs are matched. */
static int match_run(struct reader *reader) {
        int r = find_unit(reader);

        if (r < 0)
                return r;
        r = add_matches(reader, /* invocation= */ NULL);
        if (r < 0)
                return r;
        r = choose(reader);
        if (r <= 0)
                return r;
        sd_journal_flush_matches(reader->journal);
        r = add_matches(reader, reader->invocation);
        return r < 0 ? r : 1;
}

static int print(struct reader *reader) {
        int r = seek(reader);

        if (r < 0)
                return r;
        while (!reader->ended && (r = sd_journal_next(reader->journal)) > 0)
                show(reader);
        if (r < 0)
                return r;
        reader->written += reader->out.size;
        if (reader->ended)
                return 0;
        r = flush(reader);
        if (r < 0)
                return r;
        return reader->request->follow && !reader->request->previous ? follow(reader) : 0;
}

static int cannot_read(struct problem *p, int r) {
        return problem_set(p, -r, 0, NULL, "cannot read the journal: %s", strerror(-r));
}

static int run(struct reader *reader, struct problem *p) {
        /* All of the machine's files: journald keeps the entries of users from 1000 on in separate
         * ones. */
        int r = sd_journal_open(&reader->journal, SD_JOURNAL_LOCAL_ONLY);

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot open the journal: %s", strerror(-r));
        (void)sd_journal_set_data_threshold(reader->journal, 0);
        r = match_run(reader);
        if (r < 0)
                return cannot_read(p, r);
        if (r == 0 && reader->request->previous)
                return problem_set(p, ENOENT, 400, "BadRequest",
                                "previous terminated container \"%s\" in pod \"%s\" not found",
                                reader->request->container, reader->request->pod);
        r = print(reader);
        /* A reader that closed the stream is not an error. */
        if (r < 0 && r != -EPIPE)
                return cannot_read(p, r);
        return 0;
}

static void reader_done(struct reader *reader) {
        if (reader->journal)
                sd_journal_close(reader->journal);
        buf_done(&reader->out);
        free(reader->unit);
}

static int exit_failed(int r, const struct problem *p) {
        fprintf(stderr, "%s\n", p->message ? p->message : strerror(-r));
        return 1;
}

int logs_ssh_main(const char *command) {
        _cleanup_(logs_request_done) struct logs_request request = {0};
        _cleanup_(reader_done) struct reader reader = {.request = &request};
        _cleanup_problem_ struct problem p = {0};
        int r = logs_request_parse(strempty(command), &request, &p);

        if (r < 0)
                return exit_failed(r, &p);
        r = run(&reader, &p);
        if (r < 0)
                return exit_failed(r, &p);
        return 0;
}
