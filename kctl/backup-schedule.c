/* kctl backup-schedule: a timer of systemd on the machine of the control plane, which runs
 * `kctl backup FOLDER --keep N`. kctl backup-key: the pair of keys for it; the secret half stays
 * with the administrator, so that the machine can seal its backups and not open them. */
#include "kctl/machine.h"
#include "kctl/sealing.h"
#include "kctl/store.h"
#include "kctl/template.h"
#include "kctl/texts.h"
#include "lib/buf.h"
#include "lib/fileio.h"

enum { TIMEOUT_S = 60, KEEP_DEFAULT = 14 };

#define UNITS "/etc/systemd/system/keelson-backup"

int kctl_backup_key(struct kctl *k) {
        _cleanup_free_ char *identity = NULL, *recipient = NULL, *text = NULL;
        const char *path;
        int r;

        if (strv_length(k->words) != 1)
                return kctl_usage(k, "name the file for the secret key");
        path = k->words[0];
        if (access(path, F_OK) == 0)
                return kctl_error("%s exists; a key that is overwritten opens no backup any longer",
                                path);
        r = sealed_identity_new(&identity, &recipient);
        if (r < 0)
                return kctl_error("%s", strerror(-r));
        text = strformat("%s\n# opens backups that are sealed for %s\n", identity, recipient);
        explicit_bzero(identity, strlen(identity));
        if (!text)
                return kctl_error("out of memory");
        r = file_write_atomic(path, text, strlen(text), 0600);
        explicit_bzero(text, strlen(text));
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "write", r);

                return kctl_error("%s", strempty(why));
        }
        printf("%s\n", recipient);
        fprintf(stderr, "The secret key is in %s: keep it away from the cluster, and twice.\n"
                        "Seal backups with: kctl backup FILE --recipient %s\n",
                        path, recipient);
        return EXIT_OK;
}

/* What goes into a unit: no word that systemd or a shell would read otherwise. */
static bool is_plain(const char *s, const char *more) {
        for (; *s; s++)
                if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') &&
                                !(*s >= '0' && *s <= '9') && !strchr(more, *s))
                        return false;
        return true;
}

static int check(struct kctl *k) {
        if (strv_length(k->words) != 1)
                return kctl_usage(k, "name the folder for the backups, on the machine of the "
                                     "control plane");
        if (*k->words[0] != '/' || !is_plain(k->words[0], "/._-"))
                return kctl_usage(k, "%s: a path from /, of letters, digits, and / . _ -",
                                k->words[0]);
        const char *file = k->flags.seal_passphrase_file;
        if (file && (*file != '/' || !is_plain(file, "/._-")))
                return kctl_usage(k, "--seal-passphrase-file is a path from / on the machine of "
                                     "the control plane, of letters, digits, and / . _ -");
        for (char **s = k->flags.recipients; s && *s; s++)
                if (!is_plain(*s, "-_"))
                        return kctl_usage(k, "\"%s\" is not a recipient", *s);
        if (!is_plain(k->flags.every, "*-:,./~ "))
                return kctl_usage(k, "--every \"%s\" is not an OnCalendar= of systemd.time(7)",
                                k->flags.every);
        return EXIT_OK;
}

static int locks_text(struct kctl *k, char **ret) {
        _cleanup_buf_ struct buf b = {0};

        if (k->flags.seal_passphrase_file)
                buf_printf(&b, " --seal-passphrase-file=%s", k->flags.seal_passphrase_file);
        for (char **s = k->flags.recipients; s && *s; s++)
                buf_printf(&b, " --recipient=%s", *s);
        if (b.failed)
                return -ENOMEM;
        *ret = b.data ? buf_take(&b) : strdup("");
        return *ret ? 0 : -ENOMEM;
}

static int write_units(struct kctl *k, struct machine *m, struct problem *p) {
        _cleanup_free_ char *locks = NULL, *service = NULL, *timer = NULL;
        char keep[16];
        int r = locks_text(k, &locks);

        if (r < 0)
                return r;
        snprintf(keep, sizeof(keep), "%u", k->flags.keep ? k->flags.keep : KEEP_DEFAULT);
        const struct template_value values[] = {{"folder", k->words[0]}, {"keep", keep},
                        {"locks", locks}, {"every", k->flags.every}, {NULL, NULL}};
        service = template_fill(text_backup_service, values);
        timer = template_fill(text_backup_timer, values);
        if (!service || !timer)
                return -ENOMEM;
        r = machine_put(m, UNITS ".service", "0644", service, p);
        return r < 0 ? r : machine_put(m, UNITS ".timer", "0644", timer, p);
}

static int schedule(struct kctl *k, struct machine *m, struct problem *p) {
        _cleanup_free_ char *command = NULL;
        int r;

        if (streq(k->flags.every, "off"))
                return machine_run(m,
                                "systemctl disable -q --now keelson-backup.timer; rm -f " UNITS
                                ".service " UNITS ".timer; systemctl daemon-reload",
                                NULL, 0, TIMEOUT_S, NULL, p);
        command = strformat("systemd-analyze calendar '%s' >/dev/null && test -e "
                            "/etc/keelson/pki/ca.crt && mkdir -p %s && chmod 0700 %s",
                        k->flags.every, k->words[0], k->words[0]);
        r = command ? machine_run(m, command, NULL, 0, TIMEOUT_S, NULL, p) : -ENOMEM;
        if (r < 0)
                return r;
        r = write_units(k, m, p);
        if (r < 0)
                return r;
        return machine_run(m,
                        "systemctl daemon-reload && systemctl enable -q --now "
                        "keelson-backup.timer && systemctl start keelson-backup.service",
                        NULL, 0, 3600, NULL, p);
}

static int schedule_there(struct kctl *k, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        const char *where;
        int r = store_control_machine(k, &where, p);

        if (r < 0)
                return r;
        r = machine_open(&m, k, where, /* host_key= */ NULL, p);
        return r < 0 ? r : schedule(k, m, p);
}

int kctl_backup_schedule(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        int code = check(k), r;

        if (code != EXIT_OK)
                return code;
        r = schedule_there(k, &p);
        if (r < 0)
                return store_fail(r, &p);
        if (streq(k->flags.every, "off"))
                puts("No backups are scheduled any longer; those that there are stay.");
        else
                printf("Backups go to %s (%s), the first is made%s\n", k->words[0], k->flags.every,
                                sealing_is_wanted(k) ? ", sealed with the authorities and keys"
                                                     : "; give --recipient to have the authorities "
                                                       "and keys in it");
        return EXIT_OK;
}
