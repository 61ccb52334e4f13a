/* kstored: wiring only. */
#include "config.h"

#include <malloc.h>
#include <sysexits.h>

#include "kstored/backup/offline.h"
#include "kstored/server/listen.h"
#include "kstored/server/options.h"
#include "kstored/server/server.h"
#include "lib/daemon.h"
#include "lib/log.h"

static void on_stop(void *userdata) {
        server_stop(userdata);
}

static int run(struct server_options *o, struct problem *p) {
        _cleanup_(daemon_freep) struct daemon *d = NULL;
        _cleanup_(server_freep) struct server *s = NULL;
        int r = options_complete(o, p);

        if (r >= 0) {
                r = offline_run(o, p);
                if (r > 0)
                        return 0;
        }
        /* Files that SQLite needs for a while lie beside the database: there is room for them. */
        if (r < 0)
                return r;
        if (setenv("SQLITE_TMPDIR", o->data_dir, 0) < 0)
                r = -errno;
        if (r < 0)
                return r;
        r = daemon_new(&d, "kstored");
        if (r < 0)
                return r;
        r = server_new(&s, daemon_event(d), daemon_metrics(d), o, p);
        if (r < 0)
                return r;
        r = server_listen(s, p);
        if (r < 0)
                return r;
        daemon_on_stop(d, on_stop, s);
        daemon_on_ready_check(d, server_is_ready, s);
        daemon_notify_ready(d, "Serving clients");
        r = daemon_run(d);
        s = server_free(s);
        return r;
}

/* Large blocks go back to the system when they are freed, instead of staying for the next; without
 * this the C library keeps up to 32 MB of each size it has seen. */
static void keep_little_memory(void) {
        (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
        (void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

int main(int argc, char **argv) {
        _cleanup_problem_ struct problem p = {0};
        struct server_options o = {0};
        int r, level;

        keep_little_memory();
        log_setup("kstored", LOG_INFO);
        r = options_parse(&kstored_program, &o, argc, argv, NULL, &p);
        if (r == 0) {
                level = log_level_from_string(strempty(o.log_level));
                if (level < 0)
                        r = problem_set(&p, EINVAL, 0, NULL,
                                        "--log-level \"%s\" is not debug, info, notice, warning or "
                                        "error",
                                        strempty(o.log_level));
                else {
                        log_setup("kstored", level);
                        r = run(&o, &p);
                }
        } else if (r > 0)
                r = 0;
        if (r < 0)
                log_error("%s", p.message ? p.message : strerror(-r));
        options_done(&kstored_program, &o);
        /* The unit does not start a damaged member again: it is to be replaced. */
        return r == -EUCLEAN ? EX_CONFIG : r < 0 ? 1 : r;
}
