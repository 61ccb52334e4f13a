/* kctl restore: the store of a control plane goes back to a backup. kstored does it to the data
 * directory; here the daemons are stopped before and started after it, and the old directory comes
 * back when they do not get well. On another machine the same verb runs there. */
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <sys/stat.h>

#include "kctl/store.h"
#include "lib/json.h"
#include "lib/random.h"
#include "lib/ssh.h"

#define STORE_CONFIG "/etc/keelson/kstored.yaml"
#define ADMIN_CONFIG "/etc/keelson/admin.kubeconfig"

enum { COPY_TIMEOUT_S = 3600, SYSTEMCTL_TIMEOUT_S = 200 };

static void step(struct kctl *k, const char *what) {
        if (k->flags.output)
                return;
        puts(what);
        fflush(stdout);
}

/* The words of kstored: --restore and what belongs to it. */
static int restore_words(
                struct kctl *k, char *const *place, const char *file, bool dry_run, char ***ret) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *restore = strformat("--restore=%s", file);
        int r = restore ? strv_extend(&words, restore) : -ENOMEM;

        for (char *const *w = place; r >= 0 && *w; w++)
                r = strv_extend(&words, *w);
        if (r < 0)
                return r;
        if (k->flags.force)
                r = strv_extend(&words, "--force");
        if (r < 0)
                return r;
        if (k->flags.other_cluster)
                r = strv_extend(&words, "--other-cluster");
        if (r < 0)
                return r;
        if (dry_run)
                r = strv_extend(&words, "--dry-run");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(words);
        return 0;
}

static int run_restore(struct kctl *k, char *const *place, const char *file, bool dry_run,
                json_t **ret, struct problem *p) {
        _cleanup_strv_free_ char **words = NULL;
        int r = restore_words(k, place, file, dry_run, &words);

        return r < 0 ? r : store_program_run(words, ret, p);
}

/* The folder of `kctl dev`: nothing runs, so there is nothing to stop. */
static int restore_dev(struct kctl *k, const char *file, json_t **ret, struct problem *p) {
        _cleanup_free_ char *dir = strformat("--data-dir=%s/kstored", k->flags.dir);
        char *place[] = {dir, (char *)"--name=dev", NULL};

        return dir ? run_restore(k, place, file, false, ret, p) : -ENOMEM;
}

static int stop_daemons(struct machine *m, struct problem *p) {
        return machine_run(m,
                        "systemctl stop keelson-kgitd keelson-kschedd keelson-kreconciled "
                        "keelson-kapid && systemctl stop keelson-kstored",
                        NULL, 0, SYSTEMCTL_TIMEOUT_S, NULL, p);
}

/* The first two tell when they are ready, and systemctl waits for that. */
static int start_daemons(struct machine *m, struct problem *p) {
        return machine_run(m,
                        "systemctl start keelson-kstored && systemctl start keelson-kapid; r=$?; "
                        "systemctl start --no-block keelson-kreconciled keelson-kschedd "
                        "keelson-kgitd; exit $r",
                        NULL, 0, SYSTEMCTL_TIMEOUT_S, NULL, p);
}

/* Restores the previous state; what became of it is added to the reason in p. */
static int put_back(struct machine *m, const json_t *done, struct problem *p) {
        const char *dir = json_str(done, "dataDir"), *aside = json_str(done, "aside");
        _cleanup_free_ char *why = strdup(strempty(p->message)),
                            *failed = strformat("%s.failed-%08llx", strempty(dir),
                                            (unsigned long long)random_below(1ull << 32));
        _cleanup_problem_ struct problem second = {0};
        int r = dir && why && failed ? stop_daemons(m, &second) : -ENOMEM;

        if (r >= 0 && rename(dir, failed) < 0)
                r = problem_set(&second, errno, 0, NULL, "cannot rename %s: %s", dir,
                                strerror(errno));
        if (r >= 0 && aside && rename(aside, dir) < 0)
                r = problem_set(&second, errno, 0, NULL, "cannot rename %s: %s", aside,
                                strerror(errno));
        if (r >= 0)
                r = start_daemons(m, &second);
        if (r < 0)
                return problem_set(p, EIO, 0, NULL,
                                "%s; and the old store could not be moved back either: %s (it "
                                "is in %s)",
                                strempty(why), strempty(second.message), strempty(aside));
        return problem_set(p, EIO, 0, NULL,
                        "%s; the old store is back in place, the restored data is in %s", why,
                        failed);
}

static int restore_here(struct kctl *k, const char *file, json_t **ret, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_problem_ struct problem ignored = {0};
        _cleanup_json_ json_t *before = NULL;
        char *place[] = {(char *)"--config=" STORE_CONFIG, NULL};
        int r;

        if (access(STORE_CONFIG, F_OK) < 0 && errno == ENOENT)
                return problem_set(p, ENOENT, 0, NULL,
                                "this machine is not a control plane (it has no " STORE_CONFIG
                                "); give --control USER@HOST, or --dir for that of kctl dev");
        r = machine_open(&m, k, NULL, NULL, p);
        if (r >= 0) {
                step(k, "Reading the backup");
                r = run_restore(k, place, file, true, &before, p);
        }
        if (r < 0)
                return r;
        step(k, "Stopping the control plane");
        r = stop_daemons(m, p);
        if (r >= 0) {
                step(k, "Restoring");
                r = run_restore(k, place, file, false, ret, p);
        }
        if (r < 0) {
                (void)start_daemons(m, &ignored);
                return r;
        }
        step(k, "Starting the control plane");
        r = start_daemons(m, p);
        if (r >= 0)
                r = machine_wait_ready(k, m, ADMIN_CONFIG, p);
        return r < 0 ? put_back(m, *ret, p) : 0;
}

static int on_far_output(bool is_stderr, const char *data, size_t n, void *userdata) {
        if (n > 0)
                fwrite(data, 1, n, is_stderr ? stderr : stdout);
        fflush(is_stderr ? stderr : stdout);
        return 0;
}

static int add_flag(struct buf *command, const char *flag, const char *value) {
        _cleanup_free_ char *quoted = value ? shell_quote(value) : NULL;

        if (value && !quoted)
                return -ENOMEM;
        return buf_printf(command, " %s%s", flag, strempty(quoted));
}

/* The file goes there and its kctl does the rest; its words are passed on, and its exit status. */
static int restore_there(struct kctl *k, const char *where, const char *file, int *ret_code,
                struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_close_ int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        _cleanup_free_ char *copy = strdup(file), *path = NULL, *quoted = NULL, *put = NULL;
        _cleanup_buf_ struct buf run = {0}, err = {0};
        int status, r;

        if (fd < 0)
                return problem_set(p, errno, 0, NULL, "cannot open %s: %s", file, strerror(errno));
        path = copy ? strformat("/var/lib/keelson/restore.%016llx/%s",
                                      (unsigned long long)random_u64(), basename(copy))
                    : NULL;
        quoted = path ? shell_quote(path) : NULL;
        put = quoted ? strformat("umask 077; mkdir -p \"$(dirname %s)\" && cat >%s", quoted, quoted)
                     : NULL;
        if (!put)
                return -ENOMEM;
        r = machine_open(&m, k, where, NULL, p);
        if (r < 0)
                return r;
        r = machine_feed(m, put, fd, COPY_TIMEOUT_S, &err, &status, p);
        if (r < 0)
                return r;
        if (status != 0)
                return problem_set(p, EIO, 0, NULL, "%s: cannot copy the backup there: %s", where,
                                err.size ? err.data : "no reason was given");
        /* It continues when the connection breaks: half a restore would be worse. */
        buf_printf(&run, "trap '' HUP PIPE; /opt/keelson/bin/kctl restore %s", quoted);
        if (k->flags.force)
                r = add_flag(&run, "--force", NULL);
        if (r >= 0 && k->flags.other_cluster)
                r = add_flag(&run, "--other-cluster", NULL);
        if (r >= 0 && k->flags.output)
                r = add_flag(&run, "--output=", k->flags.output);
        if (r >= 0 && k->flags.timeout_us)
                r = buf_printf(&run, " --timeout=%llus",
                                (unsigned long long)(k->flags.timeout_us / 1000000));
        if (r >= 0)
                r = buf_printf(&run, "; r=$?; rm -rf \"$(dirname %s)\"; exit $r", quoted);
        if (r < 0)
                return r;
        return machine_stream(m, run.data, on_far_output, NULL, ret_code, p);
}

static int print_done(struct kctl *k, const char *file, json_t *done) {
        _cleanup_free_ char *text = k->flags.output ? json_text(done) : store_info_text(done);
        const char *aside = json_str(done, "aside");

        if (!text)
                return kctl_error("out of memory");
        if (k->flags.output) {
                puts(text);
                return EXIT_OK;
        }
        printf("Restored from %s: %s\n", file, text);
        if (aside)
                printf("The previous store is in %s; remove it when you no longer need it.\n",
                                aside);
        return EXIT_OK;
}

int kctl_restore(struct kctl *k) {
        _cleanup_json_ json_t *done = NULL;
        _cleanup_problem_ struct problem p = {0};
        const char *file, *where;
        int r, code = EXIT_OK;

        if (strv_length(k->words) != 1)
                return kctl_usage(k, "name the file that kctl backup wrote");
        if (k->flags.control && k->flags.dir)
                return kctl_usage(k, "--control and --dir: give one of them");
        if (k->flags.output && !streq(k->flags.output, "json"))
                return kctl_usage(k, "-o %s: only json is supported", k->flags.output);
        signal(SIGPIPE, SIG_IGN);
        file = k->words[0];
        r = store_control_machine(k, &where, &p);
        if (r >= 0 && where)
                r = restore_there(k, where, file, &code, &p);
        else if (r >= 0)
                r = k->flags.dir ? restore_dev(k, file, &done, &p)
                                 : restore_here(k, file, &done, &p);
        if (r < 0)
                return p.message ? kctl_fail(&p) : kctl_error("%s", strerror(-r));
        return where ? code : print_done(k, file, done);
}
