/* kctl exec and attach. */
#include "kctl/remote.h"
#include "lib/buf.h"
#include "lib/object.h"

static void add_parameter(struct buf *b, const char *name, const char *value) {
        _cleanup_free_ char *escaped = url_escape(value);

        if (escaped)
                buf_printf(b, "%s%s=%s", b->size > 0 ? "&" : "", name, escaped);
        else
                b->failed = true;
}

/* Our terminal is used when it is asked for and there is one, as kubectl does. */
bool remote_wants_terminal(struct kctl *k) {
        if (!k->flags.tty)
                return false;
        if (k->flags.stdin_on && isatty(STDIN_FILENO))
                return true;
        fprintf(stderr, "Unable to use a TTY - input is not a terminal or the right kind of file\n");
        return false;
}

static char *stream_query(struct kctl *k, const char *container, char *const *command, bool tty) {
        _cleanup_buf_ struct buf b = {0};

        for (char *const *w = command; w && *w; w++)
                add_parameter(&b, "command", *w);
        if (container)
                add_parameter(&b, "container", container);
        if (k->flags.stdin_on)
                add_parameter(&b, "stdin", "true");
        add_parameter(&b, "stdout", "true");
        add_parameter(&b, tty ? "tty" : "stderr", "true");
        return buf_take(&b);
}

int remote_pod(struct kctl *k, const struct remote_target *t, int *ret_code, struct problem *p) {
        _cleanup_free_ char *query = stream_query(k, t->container, t->command, t->tty),
                            *path = NULL;
        struct remote_options o = {.input = k->flags.stdin_on,
                        .tty = t->tty,
                        .in_fd = STDIN_FILENO,
                        .out_fd = -EBADF};

        path = query ? stream_path(t->ns, t->pod, t->subresource, query) : NULL;
        if (!path)
                return -ENOMEM;
        o.path = path;
        return remote_run(k, &o, ret_code, p);
}

static int run(struct kctl *k, const char *subresource, char *const *command, int *ret_code,
                struct problem *p) {
        struct remote_target t = {.subresource = subresource,
                        .container = k->flags.container,
                        .command = command,
                        .tty = remote_wants_terminal(k)};
        _cleanup_free_ char *ns = NULL, *pod = NULL;
        int r = pod_of_word(k, k->words[0], &ns, &pod, p);

        if (r < 0)
                return r;
        t.ns = ns;
        t.pod = pod;
        return remote_pod(k, &t, ret_code, p);
}

int kctl_exec(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_ERROR;

        if (strv_length(k->words) < 2)
                return kctl_usage(k, "which pod, and which command? kctl exec POD -- COMMAND...");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (run(k, "exec", k->words + 1, &code, &p) < 0)
                return kctl_fail(&p);
        if (code != 0)
                fprintf(stderr, "command terminated with exit code %d\n", code);
        return code;
}

int kctl_attach(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_ERROR;

        if (strv_length(k->words) != 1)
                return kctl_usage(k, "which pod? Give POD or KIND/NAME");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (run(k, "attach", NULL, &code, &p) < 0)
                return kctl_fail(&p);
        return code;
}
