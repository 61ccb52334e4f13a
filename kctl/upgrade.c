/* kctl upgrade, kctl rollback: batch after batch, each verified before the next, stopped at the
 * first fault. Every machine is worked on in a process of its own (crew.h). What was done is noted
 * in the API (upgrade-record.c), so that the next call continues. */
#include "kctl/upgrade.h"

#include <signal.h>

#include "kctl/configs.h"
#include "kctl/crew.h"
#include "kctl/progress.h"
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"

#define BACKUP_FOLDER "/var/lib/keelson/upgrade-backups"

enum { BACKUP_TIMEOUT_S = 1800, BACKUPS_KEPT = 3, BATCH_MAX = 256 };

struct lead {
        struct kctl *k;
        struct upgrade_bundles bundles;
        struct controls controls;
        json_t *facts, *record;
        struct upgrade_plan plan;
        struct upgrade_run run;
        struct progress_table progress;
        size_t first; /* of the batch that runs */
        bool table, back;
        struct buf errors; /* what goes below the table */
        char *fault;       /* the first error */
};

static void lead_done(struct lead *g) {
        upgrade_bundles_done(&g->bundles);
        controls_done(&g->controls);
        json_decref(g->facts);
        json_decref(g->record);
        upgrade_plan_done(&g->plan);
        progress_done(&g->progress);
        buf_done(&g->errors);
        free(g->fault);
}
#define _cleanup_lead_ _cleanup_(lead_done)

static bool wants_json(const struct lead *g) {
        return !isempty(g->k->flags.output);
}

/* Text for people: with -o json standard output has the document alone. */
static void say(const struct lead *g, const char *format, ...) _printf_(2, 3);
static void say(const struct lead *g, const char *format, ...) {
        va_list args;

        va_start(args, format);
        vfprintf(wants_json(g) ? stderr : stdout, format, args);
        va_end(args);
        fflush(stdout);
}

/* --- a batch --- */

static const json_t *node_named(const struct lead *g, const char *name) {
        const json_t *n;
        size_t i;

        json_array_foreach (json_object_get(g->facts, "nodeObjects"), i, n)
                if (streq(object_name(n), name))
                        return n;
        return NULL;
}

static int on_job(size_t i, void *userdata) {
        struct lead *g = userdata;
        const struct upgrade_step *s = &g->plan.items[g->first + i];
        const struct control *c = controls_find(&g->controls, s->name);
        const json_t *node = node_named(g, s->name);
        _cleanup_problem_ struct problem p = {0};
        int r = -ENOENT;

        g->k->client = NULL; /* the parent's connection is not ours */
        if (!kctl_client(g->k))
                return EXIT_ERROR;
        if (s->part == UPGRADE_CONTROL && c)
                r = upgrade_control(&g->run, c, &p);
        else if (s->part == UPGRADE_AGENT && node)
                r = upgrade_agent(&g->run, node, &p);
        if (r < 0)
                fprintf(stderr, "%s\n", p.message ? p.message : strerror(-r));
        return r < 0 ? EXIT_ERROR : EXIT_OK;
}

static void on_start(size_t i, void *userdata) {
        struct progress_row *row = &((struct lead *)userdata)->progress.rows[i];

        row += ((struct lead *)userdata)->first;
        row->state = PROGRESS_RUNNING;
        row->since_us = now_mono_us();
}

static void on_line(size_t i, bool is_stderr, const char *line, void *userdata) {
        struct lead *g = userdata;

        if (is_stderr) {
                buf_printf(&g->errors, "%s\n", line);
                if (!g->fault)
                        g->fault = strdup(line);
        } else if (!g->table)
                say(g, "%s\n", line);
        else
                progress_line(&g->progress.rows[g->first + i], line);
}

static void on_end(size_t i, int code, void *userdata) {
        struct lead *g = userdata;
        struct progress_row *row = &g->progress.rows[g->first + i];

        row->state = code == 0 ? PROGRESS_DONE : PROGRESS_FAILED;
        row->until_us = now_mono_us();
        g->plan.items[g->first + i].state = code == 0 ? UPGRADE_DONE : UPGRADE_FAILED;
}

static void on_tick(void *userdata) {
        struct lead *g = userdata;

        if (g->table)
                progress_draw(g->k, &g->progress);
}

static size_t batch_size(const struct lead *g) {
        size_t n = 0;

        while (g->first + n < g->plan.count &&
                        g->plan.items[g->first + n].batch == g->plan.items[g->first].batch)
                n++;
        return n;
}

/* 0, or 1 when one of them failed. */
static int run_batch(struct lead *g, struct problem *p) {
        const struct crew crew = {.count = batch_size(g),
                        .parallel_max = BATCH_MAX,
                        .job = on_job,
                        .on_start = on_start,
                        .on_line = on_line,
                        .on_end = on_end,
                        .on_tick = on_tick,
                        .userdata = g};
        int r = crew_run(&crew, p);

        if (r < 0)
                return r;
        for (size_t i = 0; i < crew.count; i++)
                if (g->plan.items[g->first + i].state == UPGRADE_FAILED)
                        r = 1;
        g->first += crew.count;
        return r;
}

static int make_rows(struct lead *g) {
        _cleanup_strv_free_ char **names = NULL;

        for (size_t i = 0; i < g->plan.count; i++) {
                const struct upgrade_step *s = &g->plan.items[i];
                _cleanup_free_ char *name = strformat(
                                "%s %s", s->part == UPGRADE_CONTROL ? "control" : "agent", s->name);

                if (!name || strv_extend(&names, name) < 0)
                        return -ENOMEM;
        }
        g->table = progress_possible() && !wants_json(g);
        return progress_init(&g->progress, names);
}

/* All batches. 0, or 1 when it stopped. */
static int run_all(struct lead *g, struct problem *p) {
        int r = make_rows(g);

        g->run = (struct upgrade_run){.k = g->k,
                        .bundles = g->back ? NULL : &g->bundles,
                        .id = json_str_or(g->record, "id", ""),
                        .controls = &g->controls,
                        .record = g->record};
        while (r == 0 && g->first < g->plan.count)
                r = run_batch(g, p);
        return r;
}

/* --- one at a time --- */

/* "HOST PID": a kctl of this machine that runs is seen; one elsewhere cannot be. */
static int note_holder(json_t *record) {
        char host[256] = "";

        (void)gethostname(host, sizeof(host) - 1);
        return json_object_set_new(record, "holder", json_sprintf("%s %d", host, (int)getpid())) < 0
                               ? -ENOMEM
                               : 0;
}

static int check_alone(const struct lead *g) {
        const char *holder = json_str_or(g->record, "holder", ""),
                   *phase = json_str_or(g->record, "phase", "");
        char host[256] = "", there[256];
        int pid;

        (void)gethostname(host, sizeof(host) - 1);
        if ((!streq(phase, "running") && !streq(phase, "rolling back")) ||
                        sscanf(holder, "%255s %9d", there, &pid) != 2 || !streq(host, there) ||
                        pid <= 0 || pid == getpid() || kill(pid, 0) < 0)
                return EXIT_OK;
        return kctl_error("another kctl of this machine is at it (process %d); wait for it, or end "
                          "it and run the same command again",
                        pid);
}

/* --- before and after --- */

/* Copies that one before an upgrade needs no more are removed, all but the last few. */
static int make_backup(struct lead *g, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_free_ char *path = strformat(BACKUP_FOLDER "/before-%s-%s.db", g->plan.to,
                                            json_str_or(g->record, "id", "")),
                            *command = NULL, *text = NULL;
        int r = path ? control_open_any(g->k, &g->controls, /* not= */ NULL, &m, p) : -ENOMEM;

        if (r < 0)
                return r;
        say(g, "%s: a backup of the store goes to %s\n", machine_name(m), path);
        command = strformat("set -e; umask 077; mkdir -p " BACKUP_FOLDER "; "
                            "/opt/keelson/bin/kctl backup %s >&2; cd " BACKUP_FOLDER
                            "; ls -t before-*.db | tail -n +%d | xargs -r rm -f",
                        path, BACKUPS_KEPT + 1);
        r = command ? machine_run(m, command, /* input= */ NULL, 0, BACKUP_TIMEOUT_S,
                                      /* ret_stdout= */ NULL, p)
                    : -ENOMEM;
        if (r < 0) {
                problem_prefix(p, "no backup was made, and nothing was changed (--backup=false "
                                  "upgrades without one)");
                return r;
        }
        text = strformat("%s:%s", machine_name(m), path);
        return text ? json_set_str(g->record, "backup", text) : -ENOMEM;
}

static int new_record(struct lead *g) {
        char id[UUID_SIZE], now[TIMEFMT_SIZE];

        random_uuid(id);
        json_decref(g->record);
        g->record = json_pack("{s:s%, s:s, s:s, s:s}", "id", id, (size_t)8, "from", g->plan.from,
                        "to", g->plan.to, "began", time_format(now_wall_us(), now));
        return g->record ? 0 : -ENOMEM;
}

static int begin(struct lead *g, struct problem *p) {
        int r = 0;

        if (!g->plan.continues)
                r = new_record(g);
        else if (json_set_str(g->record, "to", g->plan.to) < 0)
                r = -ENOMEM;
        if (r < 0)
                return r;
        if (g->k->flags.backup_first && !json_str(g->record, "backup"))
                r = make_backup(g, p);
        if (r < 0)
                return r;
        r = note_holder(g->record);
        return r < 0 ? r : upgrade_record_write(g->k, g->record, "running", "", p);
}

static int print_json(const struct lead *g, const char *phase) {
        static const char *const states[] = {[UPGRADE_WAITS] = "waiting",
                        [UPGRADE_DONE] = "done",
                        [UPGRADE_FAILED] = "failed"};
        _cleanup_json_ json_t *machines = json_array(), *findings = json_array(), *o = NULL;
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < g->plan.count; i++) {
                const struct upgrade_step *s = &g->plan.items[i];

                json_array_append_new(machines,
                                json_pack("{s:s, s:s, s:s, s:i, s:s}", "name", s->name, "part",
                                                s->part == UPGRADE_CONTROL ? "control" : "agent",
                                                "version", s->version, "batch", (int)s->batch,
                                                "state", states[s->state]));
        }
        for (size_t i = 0; i < g->plan.trouble.count; i++) {
                const struct fleet_finding *x = &g->plan.trouble.items[i];

                json_array_append_new(findings,
                                json_pack("{s:s, s:s, s:s, s:s, s:s}", "severity",
                                                x->severity == FINDING_ERROR ? "error" : "warning",
                                                "check", x->check, "object", x->object, "message",
                                                x->text, "remedy", x->remedy));
        }
        o = json_pack("{s:s, s:s, s:s, s:s, s:s*, s:O, s:O}", "phase", phase, "from", g->plan.from,
                        "to", g->plan.to, "message", strempty(g->fault), "backup",
                        json_str(g->record, "backup"), "machines", machines, "findings", findings);
        text = o ? json_text_pretty(o) : NULL;
        if (!text)
                return kctl_error("out of memory");
        puts(text);
        return EXIT_OK;
}

/* The API may be what the fault took away; then the way back begins without it. */
static int stopped(struct lead *g) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;
        bool noted = upgrade_record_write(g->k, g->record, g->back ? "rolling back" : "stopped",
                                     g->fault, &p) >= 0;

        text = upgrade_stop_text(&g->plan, g->back,
                        noted ? "kctl rollback"
                              : "kctl rollback --control USER@HOST of the machine that failed (the "
                                "API does not answer)");
        fprintf(stderr, "error: %s%s", strempty(g->errors.data), strempty(text));
        if (wants_json(g))
                (void)print_json(g, g->back ? "rolling back" : "stopped");
        return EXIT_ERROR;
}

static int ended(struct lead *g) {
        const char *phase = g->back ? "rolled back" : "done";
        _cleanup_problem_ struct problem p = {0};

        if (upgrade_record_write(g->k, g->record, phase, "", &p) < 0)
                return kctl_fail(&p);
        if (wants_json(g))
                return print_json(g, phase);
        printf(g->back ? "The fleet is back at %s.\n"
                       : "The fleet runs %s. To go back: kctl rollback\n",
                        g->plan.to);
        return EXIT_OK;
}

static int carry_out(struct lead *g) {
        _cleanup_problem_ struct problem p = {0};
        int r = run_all(g, &p);

        if (r < 0) {
                g->fault = g->fault ? g->fault : strdup(p.message ? p.message : strerror(-r));
                buf_printf(&g->errors, "%s\n", strempty(g->fault));
        }
        return r != 0 ? stopped(g) : ended(g);
}

/* --- what will be done --- */

static void print_trouble(const struct lead *g) {
        for (size_t i = 0; i < g->plan.trouble.count; i++) {
                const struct fleet_finding *x = &g->plan.trouble.items[i];

                say(g, "%s  %s: %s. %s: %s\n", x->severity == FINDING_ERROR ? "ERROR  " : "WARNING",
                                x->object, x->text,
                                x->severity == FINDING_ERROR ? "Remedy" : "Note", x->remedy);
        }
}

static void print_plan(const struct lead *g) {
        const struct upgrade_plan *plan = &g->plan;

        say(g, "%s from %s to %s%s:\n", g->back ? "The rollback" : "The upgrade", plan->from,
                        plan->to, plan->continues ? ", continued" : "");
        for (size_t i = 0; i < plan->count; i++) {
                const struct upgrade_step *s = &plan->items[i];
                bool same = i > 0 && plan->items[i - 1].batch == s->batch;

                say(g, "%s%s", same ? ", " : i > 0 ? "\n" : "", same ? "" : "  ");
                if (!same)
                        say(g, "%u. %s ", s->batch + 1,
                                        s->part == UPGRADE_CONTROL ? "control plane of"
                                                                   : "agent of");
                say(g, "%s", s->name);
        }
        say(g, "\n");
}

/* EXIT_OK: it may begin; else what kctl returns. */
static int may_begin(struct lead *g) {
        print_trouble(g);
        if (upgrade_plan_errors(&g->plan) == 0)
                return EXIT_OK;
        if (wants_json(g))
                (void)print_json(g, "refused");
        return kctl_error("%zu findings must be resolved first; nothing was changed",
                        upgrade_plan_errors(&g->plan));
}

static int check_words(struct kctl *k) {
        const char *form = strempty(k->flags.output);

        if (strv_length(k->words) > 0)
                return kctl_usage(k,
                                "it takes no name (\"%s\"): every machine of the fleet is "
                                "meant; --except leaves some out",
                                k->words[0]);
        if (*form && !streq(form, "json"))
                return kctl_usage(k, "--output %s: only json is possible here", form);
        if (k->flags.batch == 0 || k->flags.batch > BATCH_MAX)
                return kctl_usage(k, "--batch takes 1 to %d", BATCH_MAX);
        return EXIT_OK;
}

/* --- the verbs --- */

static int see(struct lead *g, struct problem *p) {
        _cleanup_json_ json_t *bundles = NULL;
        int r = 0;

        if (!g->back)
                r = upgrade_bundles_read(g->k->flags.bundle_folder, &g->bundles, &bundles, p);
        if (r < 0)
                return r;
        r = upgrade_facts_gather(g->k, &g->controls, &g->facts, p);
        if (r < 0)
                return r;
        if (bundles && json_object_set(g->facts, "bundles", bundles) < 0)
                return -ENOMEM;
        g->record = json_incref(json_object_get(g->facts, "record"));
        return g->back ? upgrade_plan_back(g->facts, g->k->flags.batch, &g->plan)
                       : upgrade_plan_make(g->facts, g->k->flags.batch, &g->plan);
}

int kctl_upgrade(struct kctl *k) {
        _cleanup_lead_ struct lead g = {.k = k};
        _cleanup_problem_ struct problem p = {0};
        int r = check_words(k);

        if (r != EXIT_OK)
                return r;
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (see(&g, &p) < 0)
                return kctl_fail(&p);
        r = check_alone(&g);
        if (r != EXIT_OK)
                return r;
        if (g.plan.count > 0 || k->flags.plan_only)
                print_plan(&g);
        r = may_begin(&g);
        if (r != EXIT_OK)
                return r;
        if (k->flags.plan_only)
                return wants_json(&g) ? print_json(&g, "planned") : EXIT_OK;
        if (g.plan.count == 0) {
                say(&g, "Every machine has version %s already\n", g.plan.to);
                return g.plan.continues ? ended(&g)
                       : wants_json(&g) ? print_json(&g, "done")
                                        : EXIT_OK;
        }
        if (begin(&g, &p) < 0)
                return kctl_fail(&p);
        return carry_out(&g);
}

/* The control plane of the machines given, without the API: that is what may be broken. */
static int put_back_blind(struct kctl *k, const char *where, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_facts_ struct facts f = {0};
        _cleanup_controls_ struct controls one = {.count = 1};
        _cleanup_buf_ struct buf id = {0};
        struct upgrade_run run = {.k = k, .controls = &one};
        uint16_t port = 0;
        int r = machine_open(&m, k, where, /* host_key= */ NULL, p);

        if (r < 0)
                return r;
        r = machine_inspect(m, /* for_node= */ false, &f, p);
        if (r < 0)
                return r;
        r = configs_address(m, &one.items[0].address, &port, p);
        if (r < 0)
                return r;
        r = machine_run(m,
                        "cat /opt/keelson/.previous-control/ID /opt/keelson/.back-control "
                        "2>/dev/null | head -n 1",
                        /* input= */ NULL, 0, 30, &id, p);
        if (r < 0)
                return r;
        if (id.size == 0)
                return problem_set(p, ENOENT, 0, NULL,
                                "%s: no upgrade has kept earlier programs of a control plane there",
                                where);
        id.data[strcspn(id.data, "\n")] = 0;
        one.port = port ? port : CONFIGS_PORT_DEFAULT;
        one.items[0].name = strdup(f.hostname);
        one.items[0].ssh = strdup(where);
        if (!one.items[0].address)
                one.items[0].address = strdup(f.address);
        if (!one.items[0].name || !one.items[0].ssh || !one.items[0].address)
                return -ENOMEM;
        run.id = id.data;
        return upgrade_control(&run, &one.items[0], p);
}

static int check_record(struct lead *g) {
        const char *phase = json_str_or(g->record, "phase", "");

        if (!*phase)
                return kctl_error("there is no upgrade to go back from: the API has no record of "
                                  "one (ConfigMap kube-system/keelson-upgrade)");
        if (streq(phase, "rolled back"))
                return kctl_error("the upgrade to %s was rolled back already; each machine keeps "
                                  "one earlier version",
                                json_str_or(g->record, "to", "?"));
        if (g->plan.count == 0)
                return kctl_error("no machine has kept what the upgrade to %s replaced: `kctl up` "
                                  "or `kctl node join` has installed another build since",
                                json_str_or(g->record, "to", "?"));
        return EXIT_OK;
}

int kctl_rollback(struct kctl *k) {
        _cleanup_lead_ struct lead g = {.k = k, .back = true};
        _cleanup_problem_ struct problem p = {0};
        int r = check_words(k);

        if (r != EXIT_OK)
                return r;
        if (!kctl_client(k))
                return EXIT_ERROR;
        for (char **where = k->flags.control; where && *where && !k->flags.plan_only; where++)
                if (put_back_blind(k, *where, &p) < 0)
                        return kctl_fail(&p);
        k->flags.control = strv_free(k->flags.control);
        if (see(&g, &p) < 0)
                return kctl_fail(&p);
        r = check_alone(&g);
        if (r != EXIT_OK)
                return r;
        r = check_record(&g);
        if (r != EXIT_OK)
                return r;
        print_plan(&g);
        r = may_begin(&g);
        if (r != EXIT_OK)
                return r;
        if (k->flags.plan_only)
                return wants_json(&g) ? print_json(&g, "planned") : EXIT_OK;
        if (note_holder(g.record) < 0 ||
                        upgrade_record_write(k, g.record, "rolling back", "", &p) < 0)
                return kctl_fail(&p);
        return carry_out(&g);
}
