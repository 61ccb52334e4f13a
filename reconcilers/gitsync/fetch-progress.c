/* libgit2 blocks in system calls and, before 1.7, has no timeouts: so an alarm ends
 * the process, which is one fetch and nothing else. Its handler only writes a text prepared before.
 */
#include "reconcilers/gitsync/fetch-progress.h"

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/timefmt.h"
#include "reconcilers/gitsync/fetch.h"

#define SAY_EVERY_US UINT64_C(1000000)
/* More than any repository of manifests; the disk is the machine's. */
#define RECEIVED_MAX (UINT64_C(4) << 30)

static char last_words[4096];
static uint64_t said_us;

static void on_alarm(int signal) {
        ssize_t n = write(STDOUT_FILENO, last_words, strlen(last_words));

        (void)n;
        _exit(1);
}

static void alive(void) {
        (void)alarm(FETCH_SILENCE_S);
}

void fetch_watch(const char *url) {
        _cleanup_free_ char *why =
                        strformat("cannot fetch from %.1024s: nothing came from the server "
                                  "for %i s; check that it can be reached",
                                        url, FETCH_SILENCE_S);
        _cleanup_json_ json_t *answer = json_pack("{s:s*}", "error", why);
        _cleanup_free_ char *text = answer ? json_text(answer) : NULL;

        if (!text || strlen(text) >= sizeof(last_words))
                return;
        memcpy(last_words, text, strlen(text) + 1);
        (void)signal(SIGALRM, on_alarm);
        alive();
}

void fetch_watch_end(void) {
        (void)alarm(0);
}

static void say(const char *text) {
        _cleanup_json_ json_t *line = json_pack("{s:s}", "progress", text);

        if (now_mono_us() < said_us + SAY_EVERY_US || !last_words[0] || !line)
                return;
        said_us = now_mono_us();
        if (json_dumpf(line, stdout, JSON_COMPACT) == 0)
                (void)putchar('\n');
        (void)fflush(stdout);
}

static int on_transfer(const git_indexer_progress *s, void *userdata) {
        char text[160];

        alive();
        if (s->received_bytes > RECEIVED_MAX) {
                git_error_set_str(GIT_ERROR_NET, "the repository is larger than 4 GiB");
                return -1;
        }
        (void)snprintf(text, sizeof(text), "fetching: %u of %u objects, %.1f MB",
                        s->received_objects, s->total_objects, (double)s->received_bytes / 1e6);
        say(text);
        return 0;
}

/* "Counting objects: 42 %" and the like. */
static int on_sideband(const char *text, int n, void *userdata) {
        char line[160];
        size_t length = 0;

        alive();
        while (length < (size_t)MAX(n, 0) && text[length] != '\r' && text[length] != '\n')
                length++; /* no NUL ends it */
        if (length == 0 || length >= sizeof(line) - 20 || !utf8_is_valid(text, length))
                return 0;
        (void)snprintf(line, sizeof(line), "the server: %.*s", (int)length, text);
        say(line);
        return 0;
}

static int on_certificate(git_cert *cert, int valid, const char *host, void *userdata) {
        alive();
        return GIT_PASSTHROUGH; /* as libgit2 decides */
}

void fetch_watch_callbacks(git_remote_callbacks *callbacks) {
        callbacks->transfer_progress = on_transfer;
        callbacks->sideband_progress = on_sideband;
        callbacks->certificate_check = on_certificate;
}
