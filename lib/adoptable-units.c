/* The annotations about adoption, and the table of units that the machine cannot do without. The
 * first row whose pattern matches a name counts; a name without a row may be managed. */
#include "lib/adoptable-units.h"

#include <fnmatch.h>

#define PREFIX "unit.keelson.dev/"
#define ADOPT "adopt"
#define MODE "adopt-mode"
#define PORTABLE "portable"
#define PROFILE "portable-profile"
enum { UNIT_NAME_MAX = 255 };

/* The most that a pod may do with a unit whose name matches; the first row counts. */
static const struct {
        const char *pattern;
        enum adoption most;
        const char *why;
} kept[] = {
                {"keelson*", ADOPTION_NONE, "it is keelson's own"},
                {"kpod*", ADOPTION_NONE, "it belongs to a pod"},
                {"run-keelson-*", ADOPTION_NONE, "it is keelson's own"},
                {"systemd-*", ADOPTION_READ_ONLY, "the machine needs it"},
                {"dbus*", ADOPTION_READ_ONLY, "the machine needs it"},
                {"ssh.service", ADOPTION_READ_ONLY, "the machine is reached by it"},
                {"ssh@*", ADOPTION_READ_ONLY, "the machine is reached by it"},
                {"sshd*", ADOPTION_READ_ONLY, "the machine is reached by it"},
                {"NetworkManager*", ADOPTION_READ_ONLY, "the machine is reached by it"},
                {"networking.service", ADOPTION_READ_ONLY, "the machine is reached by it"},
                {"ifup@*", ADOPTION_READ_ONLY, "the machine is reached by it"},
                {"wpa_supplicant*", ADOPTION_READ_ONLY, "the machine is reached by it"},
                {"nftables.service", ADOPTION_READ_ONLY, "it has the machine's packet filter"},
                {"firewalld.service", ADOPTION_READ_ONLY, "it has the machine's packet filter"},
                {"ufw.service", ADOPTION_READ_ONLY, "it has the machine's packet filter"},
                {"user@*", ADOPTION_READ_ONLY, "it holds a user's session"},
                {"user-runtime-dir@*", ADOPTION_READ_ONLY, "it holds a user's session"},
                {"getty@*", ADOPTION_READ_ONLY, "it is a console of the machine"},
                {"serial-getty@*", ADOPTION_READ_ONLY, "it is a console of the machine"},
                {"console-getty.service", ADOPTION_READ_ONLY, "it is a console of the machine"},
                {"rescue.service", ADOPTION_READ_ONLY, "the machine needs it"},
                {"emergency.service", ADOPTION_READ_ONLY, "the machine needs it"},
                {"initrd-*", ADOPTION_READ_ONLY, "the machine needs it"},
                {"modprobe@*", ADOPTION_READ_ONLY, "the machine needs it"},
                {"lvm2-*", ADOPTION_READ_ONLY, "the machine's disks need it"},
                {"dm-event.service", ADOPTION_READ_ONLY, "the machine's disks need it"},
                {"mdmonitor.service", ADOPTION_READ_ONLY, "the machine's disks need it"},
                {"multipathd.service", ADOPTION_READ_ONLY, "the machine's disks need it"},
                {"polkit*", ADOPTION_READ_ONLY, "the machine needs it"},
                {"auditd.service", ADOPTION_READ_ONLY, "the machine's records need it"},
};

bool adoption_is_word(const char *name) {
        static const char *const words[] = {ADOPT, MODE, PORTABLE, PROFILE};

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (streq(name, words[i]))
                        return true;
        return false;
}

static const char *annotation(const json_t *metadata, const char *container, const char *word) {
        _cleanup_free_ char *own = strformat("%s." PREFIX "%s", container, word),
                            *all = strformat(PREFIX "%s", word);
        const json_t *annotations = json_object_get(metadata, "annotations");
        const char *v = own ? json_string_value(json_object_get(annotations, own)) : NULL;

        return v ? v : all ? json_string_value(json_object_get(annotations, all)) : NULL;
}

static bool has_own(const json_t *metadata, const char *container, const char *word) {
        _cleanup_free_ char *own = strformat("%s." PREFIX "%s", container, word);

        return own && json_object_get(json_object_get(metadata, "annotations"), own);
}

const char *adoption_unit(const json_t *metadata, const json_t *spec, const char *container) {
        const char *unit = annotation(metadata, container, ADOPT);

        if (json_array_size(json_object_get(spec, "containers")) > 1 &&
                        !has_own(metadata, container, ADOPT))
                return NULL;
        return isempty(unit) ? NULL : unit;
}

const char *adoption_portable(const json_t *metadata) {
        const char *image = json_string_value(
                        json_object_get(json_object_get(metadata, "annotations"), PREFIX PORTABLE));

        return isempty(image) ? NULL : image;
}

const char *adoption_profile(const json_t *metadata) {
        const char *profile = json_string_value(
                        json_object_get(json_object_get(metadata, "annotations"), PREFIX PROFILE));

        return isempty(profile) ? "default" : profile;
}

enum adoption adoption_mode(const json_t *metadata, const char *container) {
        const char *mode = annotation(metadata, container, MODE);

        if (!mode && adoption_portable(metadata))
                return ADOPTION_MANAGED;
        if (!mode || streq(mode, "read-only"))
                return ADOPTION_READ_ONLY;
        return streq(mode, "managed") ? ADOPTION_MANAGED : ADOPTION_NONE;
}

static bool is_service_name(const char *unit) {
        size_t n = strlen(unit);

        return n <= UNIT_NAME_MAX && n > strlen(".service") && endswith(unit, ".service") &&
               strspn(unit, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.\\@-") ==
                               n &&
               !endswith(unit, "@.service") && *unit != '.' && *unit != '@';
}

int adoption_check_name(const char *unit, enum adoption mode, struct problem *p) {
        if (!is_service_name(unit))
                return problem_set(p, EINVAL, 0, NULL,
                                "'%.128s' is not the name of a service: write it as systemctl "
                                "shows it, nginx.service",
                                unit);
        for (size_t i = 0; i < ELEMENTS(kept); i++) {
                if (fnmatch(kept[i].pattern, unit, 0) != 0)
                        continue;
                if (mode <= kept[i].most)
                        return 0;
                return problem_set(p, EINVAL, 0, NULL, "%s cannot be adopted%s: %s", unit,
                                kept[i].most == ADOPTION_READ_ONLY ? " as managed" : "",
                                kept[i].why);
        }
        return 0;
}

static int check_container(
                const json_t *metadata, const json_t *spec, const char *name, struct problem *p) {
        const char *unit = adoption_unit(metadata, spec, name);
        enum adoption mode = adoption_mode(metadata, name);

        if (has_own(metadata, name, PORTABLE) || has_own(metadata, name, PROFILE))
                return problem_set(p, EINVAL, 0, NULL,
                                "annotations " PREFIX PORTABLE " and " PROFILE
                                " are for the whole pod: remove the container's name before them");
        if (!unit && adoption_portable(metadata))
                return problem_set(p, EINVAL, 0, NULL,
                                "container %s: name the unit of the image that it is, "
                                "%s." PREFIX ADOPT,
                                name, name);
        if (!unit)
                return 0;
        if (mode == ADOPTION_READ_ONLY && adoption_portable(metadata))
                return problem_set(p, EINVAL, 0, NULL,
                                "the units of a portable service are managed: remove " PREFIX MODE);
        if (mode == ADOPTION_NONE)
                return problem_set(p, EINVAL, 0, NULL,
                                "annotation " PREFIX MODE ": write read-only or managed");
        return adoption_check_name(unit, mode, p);
}

static int check_portable(const json_t *metadata, struct problem *p) {
        const char *image = adoption_portable(metadata), *profile = adoption_profile(metadata);
        size_t n = strlen(profile);

        if (image && *image != '/')
                return problem_set(p, EINVAL, 0, NULL,
                                "annotation " PREFIX PORTABLE ": write the absolute path of a "
                                "folder or a disk image");
        if (n > 64 || strspn(profile, "abcdefghijklmnopqrstuvwxyz0123456789-") != n)
                return problem_set(p, EINVAL, 0, NULL,
                                "annotation " PREFIX PROFILE ": '%.64s' is not the name of a "
                                "profile",
                                profile);
        return 0;
}

int adoption_check(const json_t *metadata, const json_t *spec, struct problem *p) {
        const json_t *containers = json_object_get(spec, "containers"), *c;
        const json_t *all = json_object_get(json_object_get(metadata, "annotations"), PREFIX ADOPT);
        size_t i;
        int r;

        if (all && json_array_size(containers) > 1)
                return problem_set(p, EINVAL, 0, NULL,
                                "annotation " PREFIX ADOPT " is for a pod with one container: with "
                                "several write <container>." PREFIX ADOPT);
        r = check_portable(metadata, p);
        if (r < 0)
                return r;
        json_array_foreach (containers, i, c) {
                r = check_container(metadata, spec, json_str_or(c, "name", ""), p);
                if (r < 0)
                        return r;
        }
        return 0;
}
