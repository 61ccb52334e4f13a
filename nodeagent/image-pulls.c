/* One pull per image and set of credentials: a pod without credentials does not get an image
 * through the pull of another pod that has them. The request lies on the ramfs of secrets, because
 * it holds credentials; the answers are lines that the program adds to a file. */
#include "nodeagent/image-pulls.h"

#include <fcntl.h>
#include <sys/queue.h>
#include <unistd.h>

#include "lib/crypto.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "nodeagent/image/job.h"
#include "nodeagent/image/store.h"
#include "nodeagent/runtime/units.h"

/* A name with a dot: no pod's. */
#define REQUEST_DIR AGENT_SECRET_DIR "/.images"
#define ANSWER_DIR AGENT_RUN_DIR "/images"

enum {
        RUNNING_MAX = 3,
        LOOK_US = 1000000,         /* how often answers are looked for */
        PROGRESS_US = 5 * 1000000, /* how often waiting pods hear of them */
        ANSWERS_SIZE_MAX = 16 << 20,
};

/* A run of keelson-image. */
struct job {
        struct image_pulls *pulls;
        struct units_exec *run;
        char *request, *answers; /* files */
        void (*done)(struct job *j, const char *result);
};

struct image_wait {
        struct pull *pull;
        void (*done)(const struct image_pull_result *result, void *userdata);
        void (*progress)(void *userdata);
        void *userdata;
        LIST_ENTRY(image_wait) others;
};

struct pull {
        struct job job; /* when it runs */
        char *key, *image;
        json_t *credentials;
        LIST_HEAD(, image_wait) waits;
        TAILQ_ENTRY(pull) entry;
        uint64_t asked_us, started_us; /* monotonic; started 0: it waits for its turn */
        uint64_t told_us;
        off_t read; /* bytes of the answers that were looked at */
        char *text;
};

struct image_pulls {
        struct agent *agent;
        char *program;
        TAILQ_HEAD(, pull) list; /* in the order of asking */
        size_t running;
        sd_event_source *timer;
        struct job sweep;
        bool sweep_again;
        struct metric *good, *bad, *seconds;
};

/* ---- runs of the program ---- */

static void job_done(struct job *j) {
        units_exec_cancel(TAKE_PTR(j->run));
        if (j->request)
                (void)unlink(j->request);
        if (j->answers)
                (void)unlink(j->answers);
        j->request = mfree(j->request);
        j->answers = mfree(j->answers);
}

static void on_job_done(const char *result, void *userdata) {
        struct job *j = userdata;

        j->run = NULL;
        j->done(j, result);
}

static int write_request(struct job *j, const json_t *request) {
        _cleanup_free_ char *text = json_text(request);
        int r;

        if (!text)
                return -ENOMEM;
        r = file_write_atomic(j->request, text, strlen(text), 0600);
        if (r < 0)
                return r;
        return file_write_atomic(j->answers, "", 0, 0600);
}

static int job_unit(struct job *j, const json_t *request) {
        unsigned long long serial = random_u64();
        _cleanup_free_ char *name = strformat("kpodx-image_%016llx.service", serial);
        _cleanup_json_ json_t *unit = NULL;
        int r;

        j->request = strformat(REQUEST_DIR "/%016llx", serial);
        j->answers = strformat(ANSWER_DIR "/%016llx", serial);
        if (!name || !j->request || !j->answers)
                return -ENOMEM;
        r = write_request(j, request);
        if (r < 0)
                return r;
        unit = image_unit(&(struct image_unit_options){.name = name,
                        .program = j->pulls->program,
                        .request = j->request,
                        .answers = j->answers,
                        .store = IMAGE_STORE_DIR});
        if (!unit)
                return -ENOMEM;
        return units_exec_start(j->pulls->agent->units, unit, on_job_done, j, &j->run);
}

/* After an error nothing is left of it. */
static int job_start(struct job *j, const json_t *request) {
        int r = job_unit(j, request);

        if (r < 0)
                job_done(j);
        return r;
}

/* ---- answers ---- */

/* The value of the last line of these types in the text; NULL: none. The caller unrefs. */
static json_t *last_answer(const char *text, size_t n, const char *const *types) {
        for (size_t end = n; end > 0;) {
                const char *newline = text[end - 1] == '\n' ? text + end - 1 : NULL;
                size_t stop = newline ? end - 1 : end, start = stop;
                json_t *answer = NULL;

                while (start > 0 && text[start - 1] != '\n')
                        start--;
                end = start;
                if (!newline || image_answer_parse(text + start, stop - start, &answer) < 0)
                        continue;
                for (const char *const *t = types; *t; t++)
                        if (streq(json_str_or(answer, "type", ""), *t))
                                return answer;
                json_decref(answer);
        }
        return NULL;
}

/* Why a run without a last word has ended. */
static void no_answer(const char *result, struct problem *problem) {
        if (streq(result, "timeout"))
                problem_set(problem, ETIMEDOUT, 0, "ErrImagePull",
                                "it took longer than the time limit of a pull");
        else if (streq(result, "failed") || streq(result, "done"))
                problem_set(problem, EIO, 0, "ErrImagePull",
                                "keelson-image ended without an answer; the machine's journal has "
                                "the reason (out of memory?)");
        else
                problem_set(problem, EIO, 0, "ErrImagePull",
                                "systemd did not start keelson-image: %s", result);
}

/* What came of a pull: 1 with the store's record, 0 with the problem. */
static int read_outcome(
                struct pull *p, const char *result, json_t **ret_image, struct problem *problem) {
        static const char *const ends[] = {"done", "failed", NULL}, *const images[] = {
                                                                                    "image", NULL};
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *end = NULL, *image = NULL;
        size_t n = 0;

        if (file_read(p->job.answers, ANSWERS_SIZE_MAX, &text, &n) >= 0)
                end = last_answer(text, n, ends);
        if (!end)
                no_answer(result, problem);
        else if (streq(json_str_or(end, "type", ""), "failed"))
                image_answer_problem(end, problem);
        else {
                image = last_answer(text, n, images);
                *ret_image = json_ref(json_object_get(image, "image"));
                return 1;
        }
        return 0;
}

/* ---- pulls ---- */

static void pull_free(struct pull *p) {
        job_done(&p->job);
        free(p->key);
        free(p->image);
        free(p->text);
        json_decref(p->credentials);
        free(p);
}

static void pull_remove(struct image_pulls *s, struct pull *p) {
        TAILQ_REMOVE(&s->list, p, entry);
        s->running -= p->started_us > 0;
        pull_free(p);
}

static void start_next(struct image_pulls *s);

/* Tells all that wait, and forgets the pull. */
static void pull_end(struct pull *p, const struct image_pull_result *result) {
        struct image_pulls *s = p->job.pulls;
        struct image_wait *w;

        while ((w = LIST_FIRST(&p->waits))) {
                LIST_REMOVE(w, others);
                w->done(result, w->userdata);
                free(w);
        }
        pull_remove(s, p);
        start_next(s);
}

static void on_pull_done(struct job *j, const char *result) {
        struct pull *p = container_of(j, struct pull, job);
        struct image_pulls *s = j->pulls;
        _cleanup_problem_ struct problem problem = {0};
        _cleanup_json_ json_t *image = NULL;
        struct image_pull_result end = {.took_us = now_mono_us() - p->started_us,
                        .waited_us = p->started_us - p->asked_us};
        int r = read_outcome(p, result, &image, &problem);

        end.image = image;
        end.problem = r > 0 ? NULL : &problem;
        metric_add(r > 0 ? s->good : s->bad, 1);
        metric_observe(s->seconds, (double)end.took_us / 1e6);
        if (r > 0)
                log_info("Pulled image %s in %.1f s", p->image, (double)end.took_us / 1e6);
        else
                log_warning("Image %s was not pulled: %s", p->image, strempty(problem.message));
        pull_end(p, &end);
}

static int pull_start(struct pull *p) {
        _cleanup_json_ json_t *request = json_pack("{s:s, s:s, s:O}", "action", "pull", "image",
                        p->image, "credentials", p->credentials);

        if (!request)
                return -ENOMEM;
        p->job.done = on_pull_done;
        return job_start(&p->job, request);
}

static void set_timer(struct image_pulls *s) {
        if (s->running == 0)
                return;
        (void)sd_event_source_set_time_relative(s->timer, LOOK_US);
        (void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* Starts what may run now. A pull that cannot be started is ended from the timer, because nobody
 * is called back from inside image_pulls_want(). */
static void start_next(struct image_pulls *s) {
        struct pull *p;

        TAILQ_FOREACH(p, &s->list, entry) {
                int r;

                if (s->running >= RUNNING_MAX)
                        break;
                if (p->started_us > 0)
                        continue;
                p->started_us = now_mono_us();
                s->running++;
                r = pull_start(p);
                if (r < 0)
                        log_warning_errno(r, "Cannot start the pull of image %s", p->image);
        }
        set_timer(s);
}

/* The text of the newest progress; true when it is another one. */
static bool read_progress(struct pull *p) {
        static const char *const types[] = {"progress", NULL};
        _cleanup_json_ json_t *answer = NULL;
        _cleanup_free_ char *data = malloc(IMAGE_ANSWER_LINE_MAX), *text = NULL;
        _cleanup_close_ int fd = open(p->job.answers, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 && data ? pread(fd, data, IMAGE_ANSWER_LINE_MAX, p->read) : -1;

        while (n > 0 && data[n - 1] != '\n')
                n--;
        if (n <= 0)
                return false;
        p->read += n;
        answer = last_answer(data, (size_t)n, types);
        text = answer ? image_progress_text(answer) : NULL;
        if (!text || streq_ptr(text, p->text))
                return false;
        free(p->text);
        p->text = TAKE_PTR(text);
        return true;
}

static void look_at(struct pull *p) {
        uint64_t now = now_mono_us();
        struct image_wait *w;

        if (!p->job.run) {
                on_pull_done(&p->job, "systemd cannot be asked");
                return;
        }
        /* Each text becomes a status of every pod that waits. */
        if (now < p->told_us + PROGRESS_US || now < p->started_us + PROGRESS_US ||
                        !read_progress(p))
                return;
        p->told_us = now;
        LIST_FOREACH(w, &p->waits, others)
        w->progress(w->userdata);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct image_pulls *s = userdata;
        struct pull *p = TAILQ_FIRST(&s->list);

        while (p) {
                struct pull *next = TAILQ_NEXT(p, entry);

                if (p->started_us > 0)
                        look_at(p);
                p = next;
        }
        set_timer(s);
        return 0;
}

/* The same image with the same credentials. */
static char *key_of(const struct image_want *want) {
        _cleanup_free_ char *text = json_text_sorted(want->credentials);
        char hash[SHA256_HEX_SIZE];

        if (!text)
                return NULL;
        sha256_hex(text, strlen(text), hash);
        return strformat("%s %s", want->image, hash);
}

static struct pull *find(struct image_pulls *s, const char *key) {
        struct pull *p;

        TAILQ_FOREACH(p, &s->list, entry)
        if (streq(p->key, key))
                return p;
        return NULL;
}

static int pull_new(struct image_pulls *s, const struct image_want *want, const char *key,
                struct pull **ret) {
        struct pull *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        *p = (struct pull){.job.pulls = s,
                        .key = strdup(key),
                        .image = strdup(want->image),
                        .credentials = json_ref(want->credentials),
                        .asked_us = now_mono_us()};
        LIST_INIT(&p->waits);
        if (!p->key || !p->image) {
                pull_free(p);
                return -ENOMEM;
        }
        TAILQ_INSERT_TAIL(&s->list, p, entry);
        *ret = p;
        return 0;
}

/* The pull of that image which waits or runs, or a new one. */
static int find_or_make(struct image_pulls *s, const struct image_want *want, struct pull **ret) {
        _cleanup_free_ char *key = key_of(want);

        if (!key)
                return -ENOMEM;
        *ret = find(s, key);
        return *ret ? 0 : pull_new(s, want, key, ret);
}

int image_pulls_want(
                struct image_pulls *s, const struct image_want *want, struct image_wait **ret) {
        struct image_wait *w = calloc(1, sizeof(*w));
        struct pull *p = NULL;
        int r;

        if (!w)
                return -ENOMEM;
        r = find_or_make(s, want, &p);
        if (r < 0) {
                free(w);
                return r;
        }
        *w = (struct image_wait){.pull = p,
                        .done = want->done,
                        .progress = want->progress,
                        .userdata = want->userdata};
        LIST_INSERT_HEAD(&p->waits, w, others);
        start_next(s);
        *ret = w;
        return 0;
}

struct image_wait *image_wait_cancel(struct image_wait *w) {
        struct pull *p;
        struct image_pulls *s;

        if (!w)
                return NULL;
        p = w->pull;
        s = p->job.pulls;
        LIST_REMOVE(w, others);
        free(w);
        if (LIST_EMPTY(&p->waits)) {
                pull_remove(s, p);
                start_next(s);
        }
        return NULL;
}

const char *image_wait_text(const struct image_wait *w) {
        return w->pull->started_us == 0 ? "waiting for other pulls of this node" : w->pull->text;
}

/* ---- sweeping ---- */

static void on_sweep_done(struct job *j, const char *result) {
        struct image_pulls *s = j->pulls;

        if (!streq(result, "done"))
                log_warning("What removed images have left in " IMAGE_STORE_DIR
                            " was not deleted: keelson-image: %s",
                                result);
        job_done(j);
        if (s->sweep_again)
                image_pulls_sweep(s);
}

void image_pulls_sweep(struct image_pulls *s) {
        _cleanup_json_ json_t *request = json_pack("{s:s}", "action", "sweep");
        int r;

        s->sweep_again = s->sweep.run != NULL;
        if (s->sweep_again)
                return;
        s->sweep.pulls = s;
        s->sweep.done = on_sweep_done;
        r = request ? job_start(&s->sweep, request) : -ENOMEM;
        if (r < 0)
                log_warning_errno(r, "Cannot delete what removed images have left");
}

/* ---- all of it ---- */

static int make_metrics(struct image_pulls *s) {
        static const char help[] = "Pulls of images that have ended, by their result.",
                          total[] = "keelson_image_pulls_total";
        struct metrics *m = daemon_metrics(s->agent->daemon);

        s->good = metrics_counter(m, total, "result=\"success\"", help);
        s->bad = metrics_counter(m, total, "result=\"failure\"", help);
        s->seconds = metrics_histogram(
                        m, "keelson_image_pull_seconds", "", "Duration of pulls of images.");
        return s->good && s->bad && s->seconds ? 0 : -ENOMEM;
}

/* Empty: what pulls of the agent before this one have left goes. */
static int make_folders(void) {
        static const char *const folders[] = {REQUEST_DIR, ANSWER_DIR};

        for (size_t i = 0; i < ELEMENTS(folders); i++) {
                int r = remove_tree(folders[i]);

                if (r < 0)
                        return r;
                r = mkdir_parents(folders[i], 0700);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Beside kpod-exec. Caller frees. */
static char *program_path(const struct agent *a) {
        const char *beside = a->machine.exec_program, *slash = strrchr(beside, '/');

        return strformat("%.*s/" IMAGE_PROGRAM, (int)(slash - beside), beside);
}

int image_pulls_new(struct image_pulls **ret, struct agent *agent) {
        _cleanup_(image_pulls_freep) struct image_pulls *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->agent = agent;
        TAILQ_INIT(&s->list);
        s->program = program_path(agent);
        if (!s->program)
                return -ENOMEM;
        r = make_metrics(s);
        if (r < 0)
                return r;
        r = make_folders();
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(agent->event, &s->timer, CLOCK_MONOTONIC, LOOK_US,
                        LOOK_US / 10, on_timer, s);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct image_pulls *image_pulls_free(struct image_pulls *s) {
        if (!s)
                return NULL;
        assert(TAILQ_EMPTY(&s->list));
        job_done(&s->sweep);
        sd_event_source_disable_unref(s->timer);
        free(s->program);
        free(s);
        return NULL;
}
