/* Moving between API servers.
 *
 *      content --every second--> asking the current one --ready--> content
 *                                    | anything else
 *                                    v
 *                                  racing: all are asked, the first that is ready becomes current
 *
 * A server that hangs is as bad as one that is dead, and a watch that is silent says nothing: hence
 * a question of our own, small and answered from memory. The current server takes part in the race:
 * where everything is slow (this machine, say), nothing is won by moving. Calls in flight at the
 * server that is left end with -ECONNRESET; their owners repeat them as after any broken
 * connection, and watches resume where they were. Without another server nobody is asked. */
#include "lib/client/failover.h"

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/random.h"
#include "lib/timefmt.h"

#define SLICES_PATH \
        "/apis/discovery.k8s.io/v1/namespaces/default/" \
        "endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes"

/* Together with a reconnection less than 2 s after a server fell silent. */
#define ASK_EVERY_US UINT64_C(900000)
#define ANSWER_WITHIN_US UINT64_C(600000)
#define RACE_WITHIN_US UINT64_C(1000000)
#define LEARN_FIRST_US UINT64_C(1000000)
#define LEARN_EVERY_US UINT64_C(30000000)
#define LEARN_WITHIN_US UINT64_C(10000000)
#define CHECK_VALID_US UINT64_C(3000000)
#define COMPLAIN_EVERY_US UINT64_C(60000000)
enum { FILE_SIZE_MAX = 64 * 1024 };

struct runner {
        struct failover *failover;
        struct http_call *call;
        char *url;
};

struct failover {
        sd_event *event;
        struct http_client *http; /* borrowed */
        struct servers servers;
        char *file;
        sd_event_source *ask_timer, *learn_timer;
        struct http_call *question, *lesson;
        struct runner runners[SERVERS_MAX];
        size_t running;
        uint64_t checked_us, complained_us;
        bool in_trouble; /* nobody answers, and that was logged */
        char **learned;  /* as in the file */
};

static void arm(struct failover *f, sd_event_source *source, uint64_t delay_us) {
        (void)sd_event_source_set_time_relative(source, delay_us);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void arm_question(struct failover *f) {
        if (servers_are_redundant(&f->servers))
                arm(f, f->ask_timer, ASK_EVERY_US - random_below(ASK_EVERY_US / 5));
}

static void complain(struct failover *f, const char *text) {
        if (f->in_trouble && now_mono_us() - f->complained_us < COMPLAIN_EVERY_US)
                return;
        f->in_trouble = true;
        f->complained_us = now_mono_us();
        if (f->servers.count > 1)
                log_warning("None of the %zu API servers that are known is ready, trying again: %s",
                                f->servers.count, text);
        else
                log_warning("The API does not answer, trying again: %s", text);
}

static void rejoice(struct failover *f) {
        if (f->in_trouble)
                log_notice("The API server %s answers again", servers_current(&f->servers));
        f->in_trouble = false;
}

static int ask(struct failover *f, const char *url, uint64_t timeout_us, void *userdata,
                void (*on_done)(struct http_call *, const struct http_result *, void *),
                struct http_call **ret) {
        return http_call_start(f->http,
                        &(struct http_call_options){.method = "GET",
                                        .path = "/readyz",
                                        .accept = "*/*",
                                        .base_url = url,
                                        .timeout_us = timeout_us,
                                        .on_done = on_done,
                                        .userdata = userdata},
                        ret);
}

static bool is_ready(const struct http_result *result) {
        return result->error == 0 && result->code == 200;
}

/* --- the race --- */

static void end_race(struct failover *f) {
        for (size_t i = 0; i < SERVERS_MAX; i++) {
                f->runners[i].call = http_call_cancel(f->runners[i].call);
                f->runners[i].url = mfree(f->runners[i].url);
        }
        f->running = 0;
        arm_question(f);
}

static void on_runner(struct http_call *call, const struct http_result *result, void *userdata) {
        struct runner *runner = userdata;
        struct failover *f = runner->failover;

        runner->call = NULL;
        f->running--;
        if (is_ready(result)) {
                rejoice(f);
                if (servers_use(&f->servers, runner->url) &&
                                http_client_set_server(f->http, runner->url) >= 0) {
                        log_notice("Using the API server %s: the one before does not answer",
                                        runner->url);
                        http_client_abandon(f->http);
                }
                end_race(f);
        } else if (f->running == 0) {
                complain(f, result->error < 0 ? strempty(result->error_text) : result->body);
                end_race(f);
        }
}

static void race(struct failover *f) {
        size_t start = random_below(f->servers.count);

        if (f->running > 0)
                return;
        for (size_t k = 0; k < f->servers.count; k++) {
                struct runner *runner = &f->runners[k];
                const char *url = f->servers.items[(start + k) % f->servers.count];

                runner->failover = f;
                runner->url = strdup(url);
                if (runner->url &&
                                ask(f, url, RACE_WITHIN_US, runner, on_runner, &runner->call) >= 0)
                        f->running++;
        }
        if (f->running == 0)
                end_race(f);
}

/* --- the question --- */

static void on_answer(struct http_call *call, const struct http_result *result, void *userdata) {
        struct failover *f = userdata;

        f->question = NULL;
        if (is_ready(result))
                arm_question(f);
        else
                race(f);
}

static int on_ask(sd_event_source *source, uint64_t usec, void *userdata) {
        struct failover *f = userdata;

        if (f->running > 0 || f->question)
                return 0;
        if (ask(f, servers_current(&f->servers), ANSWER_WITHIN_US, f, on_answer, &f->question) < 0)
                arm_question(f);
        return 0;
}

static void suspect(struct failover *f) {
        if (f->servers.count > 1 && f->running == 0 && !f->question)
                arm(f, f->ask_timer, 0);
}

void failover_note(struct failover *f, int error, const char *text) {
        if (!f->event) {
                if (error < 0)
                        failover_check(f, /* suspect= */ true);
                return;
        }
        if (error < 0)
                suspect(f);
        if (error < 0 && f->servers.count < 2)
                complain(f, strempty(text));
        else if (error >= 0)
                rejoice(f);
}

/* --- the list --- */

static void keep(struct failover *f, char **urls) {
        _cleanup_free_ char *text = servers_text(urls);
        int r;

        if (!f->file || !text)
                return;
        r = file_write_atomic(f->file, text, strlen(text), 0644);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(f->file, "write", r);

                log_warning("%s; the next start knows only the API servers of the configuration",
                                strempty(why));
        }
}

static bool is_same(char *const *a, char *const *b) {
        if (strv_length(a) != strv_length(b))
                return false;
        for (; a && *a; a++, b++)
                if (!streq(*a, *b))
                        return false;
        return true;
}

static int learn(struct failover *f, const struct http_result *result) {
        _cleanup_strv_free_ char **urls = NULL;
        _cleanup_json_ json_t *list = NULL;
        int r;

        if (result->error < 0 || result->code != 200)
                return 0; /* not everyone may ask */
        r = json_parse(result->body, result->body_size, 0, &list, NULL);
        if (r < 0)
                return r;
        r = servers_of_slices(list, &urls);
        if (r < 0 || !urls)
                return r;
        r = servers_learn(&f->servers, urls);
        if (r < 0)
                return r;
        if (!is_same(urls, f->learned)) {
                keep(f, urls);
                strv_free(f->learned);
                f->learned = TAKE_PTR(urls);
        }
        return r;
}

static void on_lesson(struct http_call *call, const struct http_result *result, void *userdata) {
        struct failover *f = userdata;
        int enabled = SD_EVENT_OFF, r;

        f->lesson = NULL;
        r = learn(f, result);
        if (r < 0)
                log_debug_errno(r, "Cannot read the list of API servers");
        (void)sd_event_source_get_enabled(f->ask_timer, &enabled);
        if (enabled == SD_EVENT_OFF && !f->question && f->running == 0)
                arm_question(f);
        if (result->error < 0)
                suspect(f);
        arm(f, f->learn_timer, LEARN_EVERY_US - random_below(LEARN_EVERY_US / 5));
}

static int on_learn(sd_event_source *source, uint64_t usec, void *userdata) {
        struct failover *f = userdata;
        const struct http_call_options options = {.method = "GET",
                        .path = SLICES_PATH,
                        .timeout_us = LEARN_WITHIN_US,
                        .on_done = on_lesson,
                        .userdata = f};

        if (http_call_start(f->http, &options, &f->lesson) < 0)
                arm(f, f->learn_timer, LEARN_EVERY_US);
        return 0;
}

static void read_file(struct failover *f) {
        _cleanup_free_ char *text = NULL;

        if (!f->file || file_read(f->file, FILE_SIZE_MAX, &text, /* ret_size= */ NULL) < 0 ||
                        servers_parse(text, &f->learned) < 0)
                return;
        (void)servers_learn(&f->servers, f->learned);
}

/* --- without a loop --- */

static bool answers(struct failover *f, const char *url) {
        struct http_result result;
        bool ready;

        (void)http_client_do(f->http,
                        &(struct http_call_options){.method = "GET",
                                        .path = "/readyz",
                                        .accept = "*/*",
                                        .base_url = url,
                                        .timeout_us = RACE_WITHIN_US},
                        &result);
        ready = is_ready(&result);
        http_result_done(&result);
        return ready;
}

void failover_check(struct failover *f, bool suspect) {
        const struct servers *s = &f->servers;
        size_t first = s->current;

        if (f->event || s->count < 2 ||
                        (!suspect && f->checked_us &&
                                        now_mono_us() - f->checked_us < CHECK_VALID_US))
                return;
        for (size_t k = 0; k < s->count; k++) {
                const char *url = s->items[(first + k) % s->count];

                if (!answers(f, url))
                        continue;
                if (servers_use(&f->servers, url))
                        (void)http_client_set_server(f->http, url);
                f->checked_us = now_mono_us();
                return;
        }
}

/* --- life --- */

const char *failover_server(const struct failover *f) {
        return servers_current(&f->servers);
}

bool failover_is_redundant(const struct failover *f) {
        return servers_are_redundant(&f->servers);
}

static int start(struct failover *f) {
        int r;

        r = sd_event_add_time_relative(
                        f->event, &f->ask_timer, CLOCK_MONOTONIC, 0, 1000, on_ask, f);
        if (r < 0)
                return r;
        if (!servers_are_redundant(&f->servers))
                (void)sd_event_source_set_enabled(f->ask_timer, SD_EVENT_OFF);
        return sd_event_add_time_relative(f->event, &f->learn_timer, CLOCK_MONOTONIC,
                        LEARN_FIRST_US, 100000, on_learn, f);
}

int failover_new(struct failover **ret, sd_event *event, struct http_client *http,
                struct servers *servers, const char *file) {
        _cleanup_(failover_freep) struct failover *f = calloc(1, sizeof(*f));
        int r;

        if (!f)
                return -ENOMEM;
        f->event = event ? sd_event_ref(event) : NULL;
        f->http = http;
        f->servers = *servers;
        *servers = (struct servers){0};
        if (file) {
                f->file = strdup(file);
                if (!f->file)
                        return -ENOMEM;
        }
        read_file(f);
        if (event) {
                r = start(f);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(f);
        return 0;
}

struct failover *failover_free(struct failover *f) {
        if (!f)
                return NULL;
        for (size_t i = 0; i < SERVERS_MAX; i++) {
                http_call_cancel(f->runners[i].call);
                free(f->runners[i].url);
        }
        http_call_cancel(f->question);
        http_call_cancel(f->lesson);
        sd_event_source_disable_unref(f->ask_timer);
        sd_event_source_disable_unref(f->learn_timer);
        sd_event_unref(f->event);
        servers_done(&f->servers);
        strv_free(f->learned);
        free(f->file);
        free(f);
        return NULL;
}
