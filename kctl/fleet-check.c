/* The checks of `kctl fleet check`: pure functions of the gathered facts (fleet.h), a row each. A
 * machine that could not be asked has one finding, of the row "reach"; the others pass it over. */
#include "kctl/fleet.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/vector.h"

enum {
        CLOCK_WARNING_MS = 2000,
        CLOCK_ERROR_MS = 60000,
        DISK_WARNING_PERCENT = 10,
        DISK_ERROR_PERCENT = 5,
        STORE_WARNING_PERCENT = 80,
        DRIFT_RECENT_S = 3600,
        DAY_S = 86400
};

void fleet_findings_done(struct fleet_findings *f) {
        for (size_t i = 0; i < f->count; i++) {
                free(f->items[i].object);
                free(f->items[i].text);
                free(f->items[i].remedy);
        }
        free(f->items);
        *f = (struct fleet_findings){0};
}

void fleet_finding_add(struct fleet_findings *f, enum fleet_severity severity, const char *object,
                char *text, char *remedy) {
        struct fleet_finding x = {severity, f->check, strdup(object), text, remedy};

        if (!x.object || !text || !remedy || vector_reserve(f, 1) < 0) {
                f->failed = true;
                free(x.object);
                free(text);
                free(remedy);
                return;
        }
        f->items[f->count++] = x;
}

#define each_machine(facts, i, m) json_array_foreach (json_object_get(facts, "machines"), i, m)

static const char *machine_of(const json_t *m) {
        return json_str_or(m, "name", "?");
}

static void check_api(const json_t *facts, struct fleet_findings *f) {
        const char *error = json_str(facts, "api.error");

        if (error)
                fleet_finding_add(f, FINDING_ERROR, "API", strdup(error),
                                strdup("on a machine of the control plane: systemctl status "
                                       "'keelson-*'; journalctl -u keelson-kapid"));
}

static void check_reach(const json_t *facts, struct fleet_findings *f) {
        const json_t *m;
        size_t i;

        each_machine(facts, i, m) if (json_str(m, "error")) fleet_finding_add(f, FINDING_ERROR,
                        machine_of(m), strformat("cannot be asked: %s", json_str(m, "error")),
                        strformat("see that it runs and that ssh reaches it; if "
                                  "it is gone for good: kctl %s %s",
                                        json_bool_or(m, "node", true) ? "node remove --force"
                                                                      : "control replace",
                                        machine_of(m)));
}

static void check_pressure(const json_t *node, struct fleet_findings *f) {
        static const char *const types[] = {
                        "MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"};
        const char *name = object_name(node);

        for (size_t i = 0; i < ELEMENTS(types); i++) {
                const json_t *c = object_condition(node, types[i]);

                if (!object_condition_true(node, types[i]))
                        continue;
                fleet_finding_add(f, FINDING_WARNING, name,
                                strformat("%s: %s", types[i], json_str_or(c, "message", "")),
                                strformat("kctl top node %s; kctl get pods -A --field-selector "
                                          "spec.nodeName=%s",
                                                name, name));
        }
}

static void check_ready(const json_t *facts, struct fleet_findings *f) {
        const json_t *n;
        size_t i;

        json_array_foreach (json_object_get(facts, "nodeObjects"), i, n) {
                const char *name = object_name(n);

                if (!object_condition_true(n, "Ready"))
                        fleet_finding_add(f, FINDING_ERROR, name,
                                        strformat("is not Ready: %s",
                                                        json_str_or(object_condition(n, "Ready"),
                                                                        "message",
                                                                        "its agent has not "
                                                                        "reported")),
                                        strformat("kctl node run %s -- journalctl -n 30 -u "
                                                  "keelson-nodeagent",
                                                        name));
                else if (json_bool_or(n, "spec.unschedulable", false))
                        fleet_finding_add(f, FINDING_WARNING, name,
                                        strdup("is cordoned: it takes no new pods"),
                                        strformat("when its maintenance is over: kctl uncordon %s",
                                                        name));
                check_pressure(n, f);
        }
}

static int by_value(const void *a, const void *b) {
        const int64_t *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* How far a machine's clock is from ours, which may itself be wrong. */
static int64_t offset_ms(const json_t *m) {
        return json_int_or(m, "clock", 0) - json_int_or(m, "asked", 0);
}

/* The middle of all clocks, ours with them, is taken as right. */
static int64_t middle_offset(const json_t *facts) {
        size_t count = json_array_size(json_object_get(facts, "machines")), n = 1, i;
        _cleanup_free_ int64_t *offsets = calloc(count + 1, sizeof(*offsets));
        const json_t *m;

        if (!offsets)
                return 0;
        each_machine(facts, i, m) if (json_int_or(m, "clock", 0) > 0) offsets[n++] = offset_ms(m);
        qsort(offsets, n, sizeof(*offsets), by_value);
        return offsets[(n - 1) / 2];
}

static void check_clock(const json_t *facts, struct fleet_findings *f) {
        int64_t middle = middle_offset(facts);
        const json_t *m;
        size_t i;

        if (llabs(middle) > CLOCK_WARNING_MS)
                fleet_finding_add(f, FINDING_WARNING, "this machine",
                                strformat("its clock is %.1f s %s those of the fleet",
                                                (double)llabs(middle) / 1000,
                                                middle > 0 ? "behind" : "ahead of"),
                                strdup("timedatectl set-ntp true"));
        each_machine(facts, i, m) {
                int64_t off = offset_ms(m) - middle;

                if (json_int_or(m, "clock", 0) <= 0)
                        continue;
                if (llabs(off) > CLOCK_WARNING_MS)
                        fleet_finding_add(f,
                                        llabs(off) > CLOCK_ERROR_MS ? FINDING_ERROR
                                                                    : FINDING_WARNING,
                                        machine_of(m),
                                        strformat("its clock is %.1f s %s the others",
                                                        (double)llabs(off) / 1000,
                                                        off > 0 ? "ahead of" : "behind"),
                                        strformat("kctl node run %s -- timedatectl set-ntp true "
                                                  "(certificates and leases depend on it)",
                                                        machine_of(m)));
                else if (streq(json_str_or(m, "synchronized", ""), "no"))
                        fleet_finding_add(f, FINDING_WARNING, machine_of(m),
                                        strdup("its clock is right, but nothing keeps it so"),
                                        strformat("kctl node run %s -- timedatectl set-ntp true",
                                                        machine_of(m)));
        }
}

static int64_t percent(int64_t part, int64_t whole) {
        return whole > 0 ? part * 100 / whole : 100;
}

static void check_disk(const char *machine, const json_t *d, struct fleet_findings *f) {
        const char *path = json_str_or(d, "path", "?");
        int64_t size = json_int_or(d, "size", 0), left = json_int_or(d, "free", 0),
                space = percent(left, size),
                inodes = percent(json_int_or(d, "inodesFree", 0), json_int_or(d, "inodes", 0));

        if (space < DISK_WARNING_PERCENT)
                fleet_finding_add(f, space < DISK_ERROR_PERCENT ? FINDING_ERROR : FINDING_WARNING,
                                machine,
                                strformat("the file system of %s is nearly full: %lld%% free, "
                                          "%lld MiB",
                                                path, (long long)space, (long long)(left / 1024)),
                                strformat("kctl image list %s shows images that can go; journalctl "
                                          "--vacuum-size=200M; or make the disk larger",
                                                machine));
        if (inodes < DISK_WARNING_PERCENT)
                fleet_finding_add(f, inodes < DISK_ERROR_PERCENT ? FINDING_ERROR : FINDING_WARNING,
                                machine,
                                strformat("the file system of %s has few inodes left: %lld%%", path,
                                                (long long)inodes),
                                strdup("remove small files, or make a file system with more "
                                       "inodes (mkfs -N)"));
}

static void check_disks(const json_t *facts, struct fleet_findings *f) {
        const json_t *m, *d;
        size_t i, n;

        each_machine(facts, i, m) json_array_foreach (json_object_get(m, "disks"), n, d)
                        check_disk(machine_of(m), d, f);
}

/* "0.1.0" -> major 0, minor 1. */
static bool read_version(const char *text, unsigned *ret_major, unsigned *ret_minor) {
        const char *start = strempty(text);

        start += *start == 'v';
        return sscanf(start, "%u.%u", ret_major, ret_minor) == 2;
}

static void check_version(const char *machine, const char *theirs, const char *api,
                struct fleet_findings *f) {
        unsigned a_major, a_minor, b_major, b_minor;

        if (isempty(theirs) || isempty(api) || streq(theirs, api) ||
                        !read_version(theirs, &a_major, &a_minor) ||
                        !read_version(api, &b_major, &b_minor))
                return;
        fleet_finding_add(f,
                        a_major != b_major || a_minor > b_minor || b_minor - a_minor > 1
                                        ? FINDING_ERROR
                                        : FINDING_WARNING,
                        machine, strformat("runs version %s, the control plane %s", theirs, api),
                        strformat("run `kctl node join` for it again with a kctl of version %s",
                                        api));
}

/* That of the control plane: of its machines, because the API's own has Kubernetes' form. */
static const char *control_version(const json_t *facts) {
        const json_t *m;
        size_t i;

        each_machine(facts, i, m) if (json_bool_or(m, "control", false) &&
                                      !isempty(json_str(m, "version"))) return json_str(m,
                        "version");
        return json_str(facts, "kctl");
}

static void check_versions(const json_t *facts, struct fleet_findings *f) {
        const char *control = control_version(facts), *own = json_str_or(facts, "kctl", "");
        const json_t *m;
        size_t i;

        each_machine(facts, i, m) check_version(machine_of(m), json_str(m, "version"), control, f);
        if (!streq(own, strempty(control)))
                fleet_finding_add(f, FINDING_WARNING, "this machine",
                                strformat("this kctl is %s, the control plane %s", own, control),
                                strformat("use a kctl of version %s", control));
}

static void check_certificate(
                const char *machine, const json_t *c, int64_t now, struct fleet_findings *f) {
        int64_t begin = json_int_or(c, "notBefore", 0), end = json_int_or(c, "notAfter", 0),
                days = (end - now) / DAY_S;
        const char *path = json_str_or(c, "path", "?");
        char *remedy;

        if (end == 0 || (now >= begin && now < begin + (end - begin) / 6 * 5))
                return;
        /* All renew themselves after two thirds of their life, except the authorities. */
        if (startswith(path, "/etc/keelson/node/"))
                remedy = strformat("kctl node run %s -- systemctl restart keelson-nodeagent, and "
                                   "if that does not renew it: kctl node join",
                                machine);
        else if (endswith(path, "ca.crt"))
                remedy = strdup("kctl certs rotate-ca (docs/certificates.md)");
        else
                remedy = strformat("on %s, as root: kctl certs renew --due; why the timer did "
                                   "not: journalctl -u keelson-certs",
                                machine);
        if (now < begin)
                fleet_finding_add(f, FINDING_ERROR, machine,
                                strformat("the certificate %s is not valid yet: its begin is "
                                          "%lld min ahead; is a clock wrong?",
                                                path, (long long)(begin - now) / 60),
                                remedy);
        else if (now >= end)
                fleet_finding_add(f, FINDING_ERROR, machine,
                                strformat("the certificate %s has expired %lld days ago", path,
                                                (long long)-days),
                                remedy);
        else
                fleet_finding_add(f, FINDING_WARNING, machine,
                                strformat("the certificate %s expires in %lld days and was not "
                                          "renewed",
                                                path, (long long)days),
                                remedy);
}

static void check_certificates(const json_t *facts, struct fleet_findings *f) {
        int64_t now = json_int_or(facts, "now", 0);
        const json_t *m, *c;
        size_t i, n;

        each_machine(facts, i, m) json_array_foreach (json_object_get(m, "certificates"), n, c)
                        check_certificate(machine_of(m), c, now, f);
}

static void check_units(const json_t *facts, struct fleet_findings *f) {
        static const char *const lists[] = {"failed", "inactive"};
        const json_t *m, *u;
        size_t i, n;

        each_machine(facts, i, m) for (size_t l = 0; l < ELEMENTS(lists); l++)
                        json_array_foreach (json_object_get(m, lists[l]), n, u) {
                const char *unit = strempty(json_string_value(u));

                fleet_finding_add(f, FINDING_ERROR, machine_of(m),
                                strformat("%s %s", unit, l == 0 ? "has failed" : "does not run"),
                                strformat("ssh to %s: journalctl -n 30 -u %s; "
                                          "then systemctl restart %s",
                                                machine_of(m), unit, unit));
        }
}

static int64_t metric(const json_t *m, const char *name, int64_t fallback) {
        const json_t *v = json_get(m, "metrics", name, NULL);

        return json_is_number(v) ? (int64_t)json_number_value(v) : fallback;
}

static void check_member(const json_t *m, struct fleet_findings *f) {
        const char *name = machine_of(m);
        int64_t used = metric(m, "etcd_mvcc_db_total_size_in_bytes", 0),
                quota = metric(m, "etcd_server_quota_backend_bytes", 0);
        const json_t *v;
        const char *key;

        if (json_bool_or(m, "damaged", false))
                fleet_finding_add(f, FINDING_ERROR, name,
                                strdup("its store has found damage in its files and serves "
                                       "nothing"),
                                strdup("docs/operate-store.md, replacing a member"));
        if (metric(m, "etcd_server_has_leader", 1) == 0)
                fleet_finding_add(f, FINDING_ERROR, name, strdup("its store has no leader"),
                                strdup("start the members that do not run; a majority is needed"));
        if (metric(m, "etcd_server_is_learner", 0) == 1)
                fleet_finding_add(f, FINDING_WARNING, name,
                                strdup("its store is a learner, which has no vote"),
                                strdup("it is promoted when it has caught up; if it stays one: "
                                       "docs/operate-store.md"));
        if (quota > 0 && percent(used, quota) >= STORE_WARNING_PERCENT)
                fleet_finding_add(f, FINDING_WARNING, name,
                                strformat("its store uses %lld%% of its quota",
                                                (long long)percent(used, quota)),
                                strdup("delete what is not needed, compact and defragment, or "
                                       "raise quota-backend-bytes (docs/operate-store.md)"));
        json_object_each (json_object_get(m, "metrics"), key, v)
                if (startswith(key, "etcd_network_active_peers") && json_number_value(v) == 0)
                        fleet_finding_add(f, FINDING_ERROR, name,
                                        strformat("its store does not reach a member: %s", key),
                                        strdup("see that the machine of that member runs, and "
                                               "that port 2380 is open between them"));
}

static void check_members(const json_t *facts, struct fleet_findings *f) {
        const json_t *m;
        size_t i;

        each_machine(facts, i, m) if (json_bool_or(m, "control", false)) check_member(m, f);
}

static void check_names(const json_t *facts, struct fleet_findings *f) {
        const json_t *nodes = json_object_get(facts, "nodeObjects"), *a, *b;
        size_t i;

        json_array_foreach (nodes, i, a)
                for (size_t k = i + 1; k < json_array_size(nodes); k++) {
                        const char *id = json_str_or(a, "status.nodeInfo.machineID", "");

                        b = json_array_get(nodes, k);
                        if (*id && streq(id, json_str_or(b, "status.nodeInfo.machineID", "")))
                                fleet_finding_add(f, FINDING_ERROR, object_name(b),
                                                strformat("has the machine id of %s: the same "
                                                          "machine, or a copy",
                                                                object_name(a)),
                                                strformat("kctl node remove %s; on a copy: rm "
                                                          "/etc/machine-id && "
                                                          "systemd-machine-id-setup; join again",
                                                                object_name(b)));
                }
}

static void check_gitsyncs(const json_t *facts, struct fleet_findings *f) {
        const json_t *g;
        size_t i;

        json_array_foreach (json_object_get(facts, "syncObjects"), i, g) {
                _cleanup_free_ char *key = object_key(g);
                const json_t *ready = object_condition(g, "Ready");

                if (json_bool_or(g, "spec.suspend", false))
                        fleet_finding_add(f, FINDING_WARNING, strempty(key),
                                        strdup("this GitSync is suspended: the fleet does not "
                                               "follow the repository"),
                                        strformat("kctl sync resume %s -n %s", object_name(g),
                                                        object_namespace(g)));
                else if (ready && streq(json_str_or(ready, "status", ""), "False"))
                        fleet_finding_add(f, FINDING_ERROR, strempty(key),
                                        strformat("this GitSync is not Ready: %s",
                                                        json_str_or(ready, "message", "")),
                                        strformat("kctl describe gitsync %s -n %s", object_name(g),
                                                        object_namespace(g)));
        }
}

static void check_drift(const json_t *facts, struct fleet_findings *f) {
        int64_t now = json_int_or(facts, "now", 0);
        const json_t *e;
        size_t i;

        json_array_foreach (json_object_get(facts, "driftEvents"), i, e) {
                const char *when = json_str(e, "lastTimestamp");
                const char *name = json_str_or(e, "involvedObject.name", "?");
                uint64_t then = 0;

                if (!when || time_parse(when, &then) < 0 ||
                                now - (int64_t)(then / 1000000) > DRIFT_RECENT_S)
                        continue;
                fleet_finding_add(f, FINDING_WARNING, name,
                                strdup(json_str_or(e, "message", "drift")),
                                strformat("find the program that changes it: kctl events "
                                          "--field-selector involvedObject.name=%s; "
                                          "docs/own-units.md",
                                                name));
        }
}

const struct fleet_check fleet_checks[] = {
                {"api", "the API answers", check_api},
                {"reach", "every machine can be asked", check_reach},
                {"ready", "every node is Ready, and nothing is short", check_ready},
                {"machines", "no two nodes are one machine", check_names},
                {"clocks", "the clocks agree and are kept right", check_clock},
                {"disks", "file systems have room", check_disks},
                {"versions", "the same version runs everywhere", check_versions},
                {"certificates", "certificates are valid and renewed in time", check_certificates},
                {"units", "the units of keelson run", check_units},
                {"members", "the store has a leader, reaches its members and has room",
                                check_members},
                {"syncs", "GitSyncs are Ready", check_gitsyncs},
                {"drift", "nothing else changes what keelson has made", check_drift},
};
const size_t fleet_check_count = ELEMENTS(fleet_checks);

int fleet_check_run(const json_t *facts, struct fleet_findings *ret) {
        _cleanup_fleet_findings_ struct fleet_findings all = {0};

        for (size_t i = 0; i < fleet_check_count; i++) {
                all.check = fleet_checks[i].name;
                fleet_checks[i].run(facts, &all);
        }
        /* Errors first; the order is kept otherwise. */
        for (int severity = FINDING_ERROR; !all.failed && severity >= FINDING_WARNING; severity--)
                for (size_t i = 0; i < all.count; i++) {
                        struct fleet_finding *x = &all.items[i];

                        if ((int)x->severity != severity)
                                continue;
                        ret->check = x->check;
                        fleet_finding_add(ret, x->severity, x->object, TAKE_PTR(x->text),
                                        TAKE_PTR(x->remedy));
                }
        return all.failed || ret->failed ? -ENOMEM : 0;
}
