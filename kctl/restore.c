/* kctl restore: restores the store of a control plane from a backup. kstored replaces the data
 * directory; kctl stops the daemons before it and starts them after it, and restores the old
 * directory when they do not become ready. With --control the same verb runs on that machine. */
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <sys/stat.h>

#include "kctl/restore.h"
#include "kctl/sealing.h"
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

/* The arguments of kstored: --restore and those that belong to it. */
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
                        /* input= */ NULL, 0, SYSTEMCTL_TIMEOUT_S, /* ret_stdout= */ NULL, p);
}

/* The first two notify systemd when they are ready, and systemctl waits for that. */
static int start_daemons(struct machine *m, struct problem *p) {
        return machine_run(m,
                        "systemctl start keelson-kstored && systemctl start keelson-kapid; r=$?; "
                        "systemctl start --no-block keelson-kreconciled keelson-kschedd "
                        "keelson-kgitd; exit $r",
                        /* input= */ NULL, 0, SYSTEMCTL_TIMEOUT_S, /* ret_stdout= */ NULL, p);
}

/* The restored data goes aside under a name of its own, the previous data back to its place. */
static int move_back(struct machine *m, const char *dir, const char *aside, const char *failed,
                struct problem *p) {
        int r = stop_daemons(m, p);

        if (r < 0)
                return r;
        if (rename(dir, failed) < 0)
                return problem_set(p, errno, 0, NULL, "cannot rename %s: %s", dir, strerror(errno));
        if (aside && rename(aside, dir) < 0)
                return problem_set(
                                p, errno, 0, NULL, "cannot rename %s: %s", aside, strerror(errno));
        return start_daemons(m, p);
}

/* Restores the previous state; the outcome is added to the reason in p. */
static int put_back(struct machine *m, const json_t *done, struct problem *p) {
        const char *dir = json_str(done, "dataDir"), *aside = json_str(done, "aside");
        _cleanup_free_ char *why = strdup(strempty(p->message)),
                            *failed = strformat("%s.failed-%08llx", strempty(dir),
                                            (unsigned long long)random_below(1ull << 32));
        _cleanup_problem_ struct problem second = {0};
        int r = dir && why && failed ? move_back(m, dir, aside, failed, &second) : -ENOMEM;

        if (r < 0)
                return problem_set(p, EIO, 0, NULL,
                                "%s; and the old store could not be moved back either: %s (it "
                                "is in %s)",
                                strempty(why), strempty(second.message), strempty(aside));
        return problem_set(p, EIO, 0, NULL,
                        "%s; the old store is back in place, the restored data is in %s", why,
                        failed);
}

static int start_and_wait(struct kctl *k, struct machine *m, struct problem *p) {
        int r = start_daemons(m, p);

        return r < 0 ? r : machine_wait_ready(k, m, ADMIN_CONFIG, p);
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
        r = machine_open(&m, k, /* where= */ NULL, /* host_key= */ NULL, p);
        if (r < 0)
                return r;
        step(k, "Reading the backup");
        r = run_restore(k, place, file, true, &before, p);
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
        r = start_and_wait(k, m, p);
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

/* The command for the kctl of the other machine: our flags, and the removal of the copied file. It
 * continues when the connection breaks: half a restore would be worse. */
static int far_command(struct kctl *k, const char *quoted, struct buf *ret) {
        char timeout[32] = "";
        const struct {
                bool given;
                const char *flag, *value;
        } flags[] = {
                        {k->flags.force, "--force", NULL},
                        {k->flags.other_cluster, "--other-cluster", NULL},
                        {k->flags.output != NULL, "--output=", k->flags.output},
                        {k->flags.timeout_us > 0, "--timeout=", timeout},
        };
        int r = buf_printf(ret, "trap '' HUP PIPE; /opt/keelson/bin/kctl restore %s", quoted);

        if (r < 0)
                return r;
        snprintf(timeout, sizeof(timeout), "%llus",
                        (unsigned long long)(k->flags.timeout_us / 1000000));
        for (size_t i = 0; i < ELEMENTS(flags); i++) {
                if (!flags[i].given)
                        continue;
                r = add_flag(ret, flags[i].flag, flags[i].value);
                if (r < 0)
                        return r;
        }
        return buf_printf(ret, "; r=$?; rm -rf \"$(dirname %s)\"; exit $r", quoted);
}

/* Copies the file to the other machine and runs its kctl; passes its output and exit status on. */
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
        r = machine_open(&m, k, where, /* host_key= */ NULL, p);
        if (r < 0)
                return r;
        r = machine_feed(m, put, fd, COPY_TIMEOUT_S, &err, &status, p);
        if (r < 0)
                return r;
        if (status != 0)
                return problem_set(p, EIO, 0, NULL, "%s: cannot copy the backup there: %s", where,
                                err.size ? err.data : "no reason was given");
        r = far_command(k, quoted, &run);
        if (r < 0)
                return r;
        return machine_stream(m, run.data, on_far_output, NULL, ret_code, p);
}

/* code is the exit status of the other machine's kctl, where it did the work. */
static int restore(struct kctl *k, const char *where, const char *file, json_t **ret_done,
                int *ret_code, struct problem *p) {
        if (where)
                return restore_there(k, where, file, ret_code, p);
        if (k->flags.dir)
                return restore_dev(k, file, ret_done, p);
        return restore_here(k, file, ret_done, p);
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

/* From a sealed backup the keys alone, for a machine that has none; the store follows when the
 * control plane is up. */
static int restore_keys(struct kctl *k, const char *file, const struct opened *opened) {
        _cleanup_problem_ struct problem p = {0};
        const char *where = k->flags.control ? k->flags.control[0] : NULL;
        int r;

        if (!opened->keys)
                return kctl_error("%s is not sealed and holds no keys; only backups that were made "
                                  "with --seal-passphrase-file or --recipient do",
                                file);
        r = sealing_put_keys(k, opened, &p);
        if (r < 0)
                return store_fail(r, &p);
        printf("The authorities and keys of %s are in place.\n", file);
        if (!k->flags.dir)
                printf("Next: kctl up%s%s, then kctl restore %s%s%s --force %s FILE\n",
                                where ? " --control " : "", strempty(where), file,
                                where ? " --control " : "", strempty(where),
                                k->flags.identity_file ? "--identity-file"
                                                       : "--seal-passphrase-file");
        return EXIT_OK;
}

static int restore_store(struct kctl *k, const char *file, const char *shown) {
        _cleanup_json_ json_t *done = NULL;
        _cleanup_problem_ struct problem p = {0};
        const char *where;
        int r, code = EXIT_OK;

        r = store_control_machine(k, &where, &p);
        if (r < 0)
                return store_fail(r, &p);
        r = restore(k, where, file, &done, &code, &p);
        if (r < 0)
                return store_fail(r, &p);
        return where ? code : print_done(k, shown, done);
}

/* 1: the machine that was named is of no control plane. */
static int look_elsewhere(struct kctl *k, const struct opened *o, struct problem *p) {
        int r = k->flags.dir || (!o->keys && !k->flags.control) ? 0 : restore_is_elsewhere(k, o, p);

        if (r > 0 && !o->keys)
                return problem_set(p, ENOENT, 0, NULL,
                                "%s is not a control plane, and %s is not sealed: it holds no "
                                "authorities and keys; `kctl up` makes a new control plane there, "
                                "whose store --force --other-cluster replaces",
                                k->flags.control[0], k->words[0]);
        return r;
}

int kctl_restore(struct kctl *k) {
        _cleanup_(opened_done) struct opened opened = {0};
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (strv_length(k->words) != 1)
                return kctl_usage(k, "name the file that kctl backup wrote");
        if (k->flags.control && k->flags.dir)
                return kctl_usage(k, "--control and --dir: give one of them");
        if (k->flags.output && !streq(k->flags.output, "json"))
                return kctl_usage(k, "-o %s: only json is supported", k->flags.output);
        signal(SIGPIPE, SIG_IGN);
        r = sealing_open(k, k->words[0], &opened, &p);
        if (r < 0)
                return store_fail(r, &p);
        if (k->flags.keys)
                return restore_keys(k, k->words[0], &opened);
        r = look_elsewhere(k, &opened, &p);
        if (r < 0)
                return store_fail(r, &p);
        if (r > 0)
                return restore_elsewhere(k, &opened);
        return restore_store(k, opened.path ? opened.path : k->words[0], k->words[0]);
}
