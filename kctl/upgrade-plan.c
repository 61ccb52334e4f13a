/* Decides whether an upgrade may begin, and in which order it goes. Pure: a function of the
 * document that upgrade.h describes. */
#include "kctl/upgrade.h"
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/vector.h"

enum {
        KIB = 1024,
        UNPACKED_FACTOR = 4,          /* of a bundle's size */
        STORE_SPARE_BYTES = 64 << 20, /* beside the backup */
};

void upgrade_plan_done(struct upgrade_plan *plan) {
        for (size_t i = 0; i < plan->count; i++) {
                free(plan->items[i].name);
                free(plan->items[i].version);
        }
        free(plan->items);
        fleet_findings_done(&plan->trouble);
        *plan = (struct upgrade_plan){0};
}

size_t upgrade_plan_errors(const struct upgrade_plan *plan) {
        size_t n = 0;

        for (size_t i = 0; i < plan->trouble.count; i++)
                n += plan->trouble.items[i].severity == FINDING_ERROR;
        return n;
}

int upgrade_version_read(const char *text, struct upgrade_version *ret) {
        struct upgrade_version v;
        const char *s = strempty(text);
        int end = 0;

        s += *s == 'v';
        if (sscanf(s, "%5u.%5u.%5u%n", &v.major, &v.minor, &v.patch, &end) != 3 ||
                        (s[end] && !strchr("-+~", s[end])))
                return -EINVAL;
        *ret = v;
        return 0;
}

static int compare_versions(const struct upgrade_version *a, const struct upgrade_version *b) {
        if (a->major != b->major)
                return a->major < b->major ? -1 : 1;
        if (a->minor != b->minor)
                return a->minor < b->minor ? -1 : 1;
        return a->patch == b->patch ? 0 : a->patch < b->patch ? -1 : 1;
}

static bool is_far(const struct upgrade_version *a, const struct upgrade_version *b) {
        return a->major != b->major || a->minor > b->minor + 1 || b->minor > a->minor + 1;
}

/* --- finding things in the document --- */

static const json_t *machine_named(const json_t *facts, const char *name) {
        return json_named(json_object_get(facts, "machines"), name);
}

/* A machine of the control plane that is a node too was asked as that node, which may have another
 * name. */
static const json_t *machine_of_control(const json_t *facts, const json_t *control) {
        const json_t *m = machine_named(facts, json_str_or(control, "name", "")), *n, *a;
        size_t i, k;

        if (m)
                return m;
        json_array_foreach (json_object_get(facts, "nodeObjects"), i, n)
                json_array_foreach (json_at(n, "status.addresses"), k, a)
                        if (streq(json_str_or(a, "address", ""),
                                            json_str_or(control, "address", "-")))
                                return machine_named(facts, object_name(n));
        return NULL;
}

static bool is_excepted(const json_t *facts, const char *name) {
        const json_t *x;
        size_t i;

        json_array_foreach (json_object_get(facts, "except"), i, x)
                if (streq(strempty(json_string_value(x)), name))
                        return true;
        return false;
}

static const char *const part_names[] = {[UPGRADE_CONTROL] = "control", [UPGRADE_AGENT] = "agent"};

static const char *installed(const json_t *machine, enum upgrade_part part, const char *what) {
        char key[32];

        (void)snprintf(key, sizeof(key), "%s-%s", part_names[part], what);
        return json_str_or(machine, key, "");
}

static const char *bundled(const json_t *facts, enum upgrade_part part, const char *what) {
        const json_t *b = json_object_get(json_object_get(facts, "bundles"), part_names[part]);

        return json_str_or(b, what, "");
}

/* Whether the upgrade of the record has brought what is installed there. */
static bool is_touched(const json_t *facts, const json_t *machine, enum upgrade_part part) {
        const char *id = json_str_or(facts, "record.id", "");

        return *id && streq(installed(machine, part, "upgrade"), id);
}

/* --- may it begin? --- */

static void refuse(struct upgrade_plan *plan, const char *check, const char *object, char *text,
                char *remedy) {
        plan->trouble.check = check;
        fleet_finding_add(&plan->trouble, FINDING_ERROR, object, text, remedy);
}

static void warn(struct upgrade_plan *plan, const char *check, const char *object, char *text,
                char *remedy) {
        plan->trouble.check = check;
        fleet_finding_add(&plan->trouble, FINDING_WARNING, object, text, remedy);
}

static void check_bundles(const json_t *facts, struct upgrade_plan *plan) {
        const char *control = bundled(facts, UPGRADE_CONTROL, "version"),
                   *agent = bundled(facts, UPGRADE_AGENT, "version"),
                   *own = json_str_or(facts, "kctl", "");
        struct upgrade_version to, ours;

        if (!streq(control, agent))
                refuse(plan, "bundle", "the bundles",
                                strformat("control.tar.gz has version %s and agent.tar.gz %s",
                                                control, agent),
                                strdup("take both from one build"));
        if (upgrade_version_read(control, &to) < 0)
                refuse(plan, "bundle", "the bundles", strformat("\"%s\" is not a version", control),
                                strdup("build them again (make)"));
        else if (upgrade_version_read(own, &ours) == 0 &&
                        (to.major > ours.major ||
                                        (to.major == ours.major && to.minor > ours.minor)))
                refuse(plan, "bundle", "this kctl",
                                strformat("is version %s; only a kctl of %s knows the way to %s",
                                                own, control, control),
                                strdup("take kctl from the new build: bin/kctl in its "
                                       "control.tar.gz"));
}

static void check_version(const json_t *facts, const struct upgrade_step *s, const json_t *machine,
                struct upgrade_plan *plan) {
        const char *have = installed(machine, s->part, "version"), *want = plan->to;
        struct upgrade_version from, to;

        if (upgrade_version_read(want, &to) < 0)
                return;
        if (!*installed(machine, s->part, "hash"))
                refuse(plan, "versions", s->name,
                                strformat("its %s was not installed from a bundle",
                                                s->part == UPGRADE_AGENT ? "agent"
                                                                         : "control plane"),
                                strdup("from packages, let apt upgrade it (docs/upgrade.md)"));
        else if (upgrade_version_read(have, &from) < 0)
                refuse(plan, "versions", s->name,
                                strformat("it does not say which version it has (\"%s\")", have),
                                strdup("look at /opt/keelson/VERSION there"));
        else if (is_far(&from, &to))
                refuse(plan, "versions", s->name,
                                strformat("has version %s: one minor version at a time, not from "
                                          "there to %s",
                                                have, want),
                                strdup("upgrade to the versions between, one after another"));
        else if (compare_versions(&to, &from) < 0)
                refuse(plan, "versions", s->name,
                                strformat("has version %s, which is newer than %s", have, want),
                                strdup("to go back: kctl rollback"));
}

/* "store-database 2 store-log 1 ...": 1 where nothing is said but for the database, which had
 * format 2 before bundles said so. */
static unsigned format_in(const char *formats, const char *name) {
        const char *s = formats;
        size_t n = strlen(name);
        unsigned number;

        while ((s = strstr(s, name))) {
                if ((s == formats || strchr(" \n", s[-1])) && s[n] == ' ' &&
                                sscanf(s + n + 1, "%9u", &number) == 1)
                        return number;
                s += n;
        }
        return streq(name, "store-database") ? 2 : 1;
}

static const struct {
        const char *name, *what;
        enum upgrade_part part;
} formats[] = {
                {"store-database", "the store's database", UPGRADE_CONTROL},
                {"store-log", "the store's log", UPGRADE_CONTROL},
                {"objects", "what the API keeps in the store", UPGRADE_CONTROL},
                {"node-state", "the state that agents keep", UPGRADE_AGENT},
};

static void check_formats(const json_t *facts, const struct upgrade_step *s, const json_t *machine,
                struct upgrade_plan *plan) {
        const char *old = installed(machine, s->part, "formats"),
                   *new = bundled(facts, s->part, "formats");
        bool force = json_bool_or(facts, "force", false);

        for (size_t i = 0; i < ELEMENTS(formats); i++) {
                unsigned a = format_in(old, formats[i].name), b = format_in(new, formats[i].name);

                if (formats[i].part != s->part || a == b)
                        continue;
                if (b < a)
                        refuse(plan, "formats", s->name,
                                        strformat("%s has format %u there, and version %s knows "
                                                  "formats up to %u",
                                                        formats[i].what, a, plan->to, b),
                                        strdup("take a bundle that knows it"));
                else if (!force)
                        refuse(plan, "formats", s->name,
                                        strformat("%s changes from format %u to %u: then there is "
                                                  "no way back but the backup",
                                                        formats[i].what, a, b),
                                        strdup("with --force it is done all the same"));
                else
                        warn(plan, "formats", s->name,
                                        strformat("%s changes from format %u to %u: there is no "
                                                  "rollback then",
                                                        formats[i].what, a, b),
                                        strdup("kctl restore brings the backup back"));
        }
}

/* What an upgrade has changed past the format of the earlier version stays changed. */
static void check_formats_back(
                const struct upgrade_step *s, const json_t *machine, struct upgrade_plan *plan) {
        for (size_t i = 0; i < ELEMENTS(formats); i++) {
                unsigned now = format_in(installed(machine, s->part, "formats"), formats[i].name),
                         then = format_in(installed(machine, s->part, "kept"), formats[i].name);

                if (formats[i].part == s->part && then < now)
                        refuse(plan, "formats", s->name,
                                        strformat("%s has format %u, and version %s knows formats "
                                                  "up to %u: it would not start",
                                                        formats[i].what, now, plan->to, then),
                                        strdup("to go back all the same, restore the backup from "
                                               "before the upgrade (docs/upgrade.md)"));
        }
}

/* Free KiB of the file system that holds a path; -1: not known. */
static int64_t room_at(const json_t *machine, const char *path) {
        int64_t left = -1;
        size_t longest = 0, i;
        const json_t *d;

        json_array_foreach (json_object_get(machine, "disks"), i, d) {
                const char *mount = json_str_or(d, "path", "-");
                size_t n = streq(mount, "/") ? 0 : strlen(mount);

                if (strncmp(path, mount, n) != 0 || (n > 0 && path[n] && path[n] != '/') ||
                                (left >= 0 && n < longest))
                        continue;
                longest = n;
                left = json_int_or(d, "free", -1);
        }
        return left;
}

static void check_room(const json_t *facts, const struct upgrade_step *s, const json_t *machine,
                struct upgrade_plan *plan) {
        const json_t *b = json_object_get(json_object_get(facts, "bundles"), part_names[s->part]);
        int64_t need = json_int_or(b, "size", 0) * UNPACKED_FACTOR / KIB,
                left = room_at(machine, "/opt/keelson");

        if (left >= 0 && left < need)
                refuse(plan, "disks", s->name,
                                strformat("%lld MiB are free for /opt/keelson, %lld are needed: "
                                          "the programs that are replaced are kept",
                                                (long long)left / KIB, (long long)need / KIB),
                                strdup("make room on that file system (df -h /opt)"));
        if (s->part != UPGRADE_CONTROL)
                return;
        need = (json_int_or(json_object_get(machine, "metrics"), "etcd_mvcc_db_total_size_in_bytes",
                                0) * 2 +
                               STORE_SPARE_BYTES) /
               KIB;
        left = room_at(machine, "/var/lib/keelson");
        if (left >= 0 && left < need)
                refuse(plan, "disks", s->name,
                                strformat("%lld MiB are free for /var/lib/keelson, %lld are needed "
                                          "for the store and its backup",
                                                (long long)left / KIB, (long long)need / KIB),
                                strdup("make room on that file system (df -h /var/lib)"));
}

static bool answers(const json_t *machine) {
        return machine && !json_str(machine, "error");
}

/* A kctl of an earlier version there says nothing of its member: then its unit has to do. */
static bool member_works(const json_t *machine) {
        const json_t *metrics = json_object_get(machine, "metrics"), *unit;
        size_t i;

        if (!answers(machine))
                return false;
        if (metrics)
                return json_number_value(json_object_get(metrics, "etcd_server_has_leader")) > 0;
        json_array_foreach (json_object_get(machine, "inactive"), i, unit)
                if (streq(strempty(json_string_value(unit)), "keelson-kstored.service"))
                        return false;
        return true;
}

/* A restart takes one member away: the others must be a majority of all. */
static void check_quorum(const json_t *facts, struct upgrade_plan *plan) {
        const json_t *controls = json_object_get(facts, "controls"), *c;
        size_t all = json_array_size(controls), working = 0, repaired = 0, i;

        json_array_foreach (controls, i, c) {
                const json_t *m = machine_of_control(facts, c);

                if (member_works(m))
                        working++;
                else if (plan->continues && answers(m) && is_touched(facts, m, UPGRADE_CONTROL))
                        repaired++;
        }
        if (all == 0)
                refuse(plan, "members", "the control plane",
                                strdup("the API lists no machine of it (it is of an earlier "
                                       "version)"),
                                strdup("give them: --control USER@HOST"));
        else if (working + repaired < all && working + repaired < all / 2 + 2)
                refuse(plan, "members", "the store",
                                strformat("%zu of %zu members work: without one more it would "
                                          "have no majority",
                                                working, all),
                                strdup("repair or replace the others first (kctl control list)"));
        if (all == 1 || all == 2)
                warn(plan, "members", "the store",
                                strformat("with %s the API is away for some seconds while the "
                                          "store restarts; pods are not concerned",
                                                all == 1 ? "one machine" : "two machines"),
                                strdup("three machines have no such gap (kctl control add)"));
}

/* What `kctl fleet check` reports as an error stops an upgrade too, but for what has nothing to do
 * with it, and for the machines on which it stopped: those are being repaired. */
static int check_health(const json_t *facts, struct upgrade_plan *plan) {
        static const char *const others[] = {"syncs", "drift", "versions"};
        _cleanup_fleet_findings_ struct fleet_findings all = {0};
        int r = fleet_check_run(facts, &all);

        if (r < 0)
                return r;
        for (size_t i = 0; i < all.count; i++) {
                struct fleet_finding *x = &all.items[i];
                const json_t *m = machine_named(facts, x->object);
                bool skip = x->severity != FINDING_ERROR || is_excepted(facts, x->object);

                for (size_t k = 0; k < ELEMENTS(others); k++)
                        skip = skip || streq(x->check, others[k]);
                /* Those of the others follow from the one that is away; check_quorum() counts. */
                if (plan->continues && (streq(x->check, "members") ||
                                                       is_touched(facts, m, UPGRADE_CONTROL) ||
                                                       is_touched(facts, m, UPGRADE_AGENT)))
                        skip = true;
                if (!skip)
                        refuse(plan, x->check, x->object, strdup(x->text), strdup(x->remedy));
        }
        return 0;
}

/* --- in which order? --- */

static int add_step(struct upgrade_plan *plan, const json_t *facts, enum upgrade_part part,
                const char *name, const json_t *machine) {
        struct upgrade_step s = {.part = part,
                        .name = strdup(name),
                        .version = strdup(installed(machine, part, "version")),
                        .touched = is_touched(facts, machine, part)};

        if (!s.name || !s.version || vector_reserve(plan, 1) < 0) {
                free(s.name);
                free(s.version);
                return -ENOMEM;
        }
        plan->items[plan->count++] = s;
        return 0;
}

/* One that has the bundle already is looked at again in an upgrade that continues: it may have
 * stopped between the files and the restart. */
static bool is_wanted(const json_t *facts, const struct upgrade_plan *plan, const json_t *machine,
                enum upgrade_part part) {
        return !streq(installed(machine, part, "hash"), bundled(facts, part, "hash")) ||
               (plan->continues && is_touched(facts, machine, part));
}

/* Those that are being repaired come first, the leader of the store last. */
static int rank(const json_t *facts, const json_t *control) {
        const json_t *m = machine_of_control(facts, control);

        if (!member_works(m) && is_touched(facts, m, UPGRADE_CONTROL))
                return 0;
        return streq(json_str_or(control, "name", ""), json_str_or(facts, "leader", "-")) ? 2 : 1;
}

static int add_controls(const json_t *facts, struct upgrade_plan *plan, bool back) {
        const json_t *c;
        size_t i;

        for (int wanted = 0; wanted < 3; wanted++)
                json_array_foreach (json_object_get(facts, "controls"), i, c) {
                        const char *name = json_str_or(c, "name", "");
                        const json_t *m = machine_of_control(facts, c);
                        bool go = back ? is_touched(facts, m, UPGRADE_CONTROL)
                                       : is_wanted(facts, plan, m, UPGRADE_CONTROL);
                        int r;

                        if (rank(facts, c) != wanted || is_excepted(facts, name) || !go)
                                continue;
                        r = add_step(plan, facts, UPGRADE_CONTROL, name, m);
                        if (r < 0)
                                return r;
                        plan->items[plan->count - 1].batch = plan->batches++;
                }
        return 0;
}

/* The first is alone: a fault that all of them would have costs one. */
static void number_agents(struct upgrade_plan *plan, size_t first, unsigned batch) {
        for (size_t i = first; i < plan->count; i++)
                plan->items[i].batch = plan->batches +
                                       (i == first ? 0 : 1 + (unsigned)(i - first - 1) / batch);
        if (plan->count > first)
                plan->batches = plan->items[plan->count - 1].batch + 1;
}

static int add_agents(const json_t *facts, unsigned batch, struct upgrade_plan *plan, bool back) {
        size_t first = plan->count, i;
        const json_t *n;

        /* Where it stopped it continues. */
        for (int touched = 1; touched >= 0; touched--)
                json_array_foreach (json_object_get(facts, "nodeObjects"), i, n) {
                        const char *name = object_name(n);
                        const json_t *m = machine_named(facts, name);
                        bool is = is_touched(facts, m, UPGRADE_AGENT),
                             go = back ? is : is_wanted(facts, plan, m, UPGRADE_AGENT);
                        int r;

                        if (is != touched || is_excepted(facts, name) || !go)
                                continue;
                        r = add_step(plan, facts, UPGRADE_AGENT, name, m);
                        if (r < 0)
                                return r;
                }
        number_agents(plan, first, MAX(batch, 1u));
        return 0;
}

static const json_t *step_machine(const json_t *facts, const struct upgrade_step *s) {
        const json_t *c = json_named(json_object_get(facts, "controls"), s->name);

        return s->part == UPGRADE_CONTROL ? machine_of_control(facts, c)
                                          : machine_named(facts, s->name);
}

static void check_steps(const json_t *facts, struct upgrade_plan *plan) {
        for (size_t i = 0; i < plan->count; i++) {
                const struct upgrade_step *s = &plan->items[i];
                const json_t *m = step_machine(facts, s);

                if (!answers(m))
                        continue; /* refused already */
                check_version(facts, s, m, plan);
                check_formats(facts, s, m, plan);
                check_room(facts, s, m, plan);
        }
}

static void check_record(const json_t *facts, struct upgrade_plan *plan) {
        if (streq(json_str_or(facts, "record.phase", ""), "rolling back"))
                refuse(plan, "record", "the fleet",
                                strdup("a rollback was begun and has not ended"),
                                strdup("let it end first: kctl rollback"));
}

int upgrade_plan_make(const json_t *facts, unsigned batch, struct upgrade_plan *ret) {
        _cleanup_upgrade_plan_ struct upgrade_plan plan = {
                        .to = bundled(facts, UPGRADE_CONTROL, "version")};
        const char *phase = json_str_or(facts, "record.phase", "");
        int r;

        plan.continues = streq(phase, "running") || streq(phase, "stopped");
        r = add_controls(facts, &plan, /* back= */ false);
        if (r < 0)
                return r;
        r = add_agents(facts, batch, &plan, /* back= */ false);
        if (r < 0)
                return r;
        plan.from = plan.continues   ? json_str_or(facts, "record.from", "")
                    : plan.count > 0 ? plan.items[0].version
                                     : plan.to;
        check_bundles(facts, &plan);
        check_record(facts, &plan);
        r = check_health(facts, &plan);
        if (r < 0)
                return r;
        check_quorum(facts, &plan);
        check_steps(facts, &plan);
        if (plan.trouble.failed)
                return -ENOMEM;
        *ret = plan;
        plan = (struct upgrade_plan){0};
        return 0;
}

int upgrade_plan_back(const json_t *facts, unsigned batch, struct upgrade_plan *ret) {
        _cleanup_upgrade_plan_ struct upgrade_plan plan = {
                        .from = json_str_or(facts, "record.to", "?"),
                        .to = json_str_or(facts, "record.from", "?"),
                        .continues = streq(json_str_or(facts, "record.phase", ""), "rolling back")};
        int r = add_agents(facts, batch, &plan, /* back= */ true);

        if (r < 0)
                return r;
        r = add_controls(facts, &plan, /* back= */ true);
        if (r < 0)
                return r;
        for (size_t i = 0; i < plan.count; i++) {
                const struct upgrade_step *s = &plan.items[i];
                const json_t *m = step_machine(facts, s);

                check_formats_back(s, m, &plan);
        }
        if (plan.trouble.failed)
                return -ENOMEM;
        *ret = plan;
        plan = (struct upgrade_plan){0};
        return 0;
}

/* --- how it ended --- */

static void add_list(struct buf *b, const struct upgrade_plan *plan, enum upgrade_state state,
                const char *title) {
        bool any = false;

        for (int part = UPGRADE_CONTROL; part <= UPGRADE_AGENT; part++) {
                bool first = true;

                for (size_t i = 0; i < plan->count; i++) {
                        const struct upgrade_step *s = &plan->items[i];

                        if (s->state != state || s->part != (enum upgrade_part)part)
                                continue;
                        buf_printf(b, "%s%s%s", any ? "" : title,
                                        first ? (part == UPGRADE_CONTROL ? " control plane of "
                                                                : any    ? "; agent of "
                                                                         : " agent of ")
                                              : ", ",
                                        s->name);
                        any = true;
                        first = false;
                }
        }
        if (any)
                buf_append_char(b, '\n');
}

char *upgrade_stop_text(const struct upgrade_plan *plan, bool back, const char *remedy) {
        _cleanup_buf_ struct buf b = {0};

        buf_printf(&b, "%s from %s to %s has stopped.\n", back ? "The rollback" : "The upgrade",
                        plan->from, plan->to);
        add_list(&b, plan, UPGRADE_DONE, "Done:       ");
        add_list(&b, plan, UPGRADE_FAILED, "Failed:     ");
        add_list(&b, plan, UPGRADE_WAITS, "Not begun:  ");
        buf_printf(&b, "To continue: remove the cause, then run the same command again; it begins "
                       "where this one stopped.\n");
        if (!back)
                buf_printf(&b, "To go back:  %s\n", remedy);
        return buf_take(&b);
}
