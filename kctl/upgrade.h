/* kctl upgrade, kctl rollback: see (upgrade-facts.c), decide (upgrade-plan.c, pure), carry out
 * (upgrade-control.c, upgrade-agent.c, led by upgrade.c). What is seen is the document of
 * `kctl fleet check` with more in it:
 *   "bundles": {"control": {"version", "hash", "size", "formats"}, "agent": {...}},
 *   "controls": [{"name", "address"}...], "leader": the name of the store's,
 *   "record": what an earlier upgrade has noted (upgrade-record.c), "except": [name...],
 *   "force": whether there need not be a way back. */
#pragma once

#include "kctl/control.h"
#include "kctl/fleet.h"

enum upgrade_part { UPGRADE_CONTROL, UPGRADE_AGENT };
enum upgrade_state { UPGRADE_WAITS, UPGRADE_DONE, UPGRADE_FAILED };

/* A machine of the control plane, or a node. */
struct upgrade_step {
        enum upgrade_part part;
        enum upgrade_state state;
        char *name;     /* of the control, of the node */
        char *version;  /* that it has before */
        unsigned batch; /* those of one run at the same time */
        bool touched;   /* the upgrade that continues was here before */
};

struct upgrade_plan {
        struct upgrade_step *items;
        size_t count, allocated;
        unsigned batches;
        const char *from, *to;         /* versions; borrowed from the facts */
        bool continues;                /* an upgrade that stopped */
        struct fleet_findings trouble; /* errors: it must not begin; warnings: good to know */
};
void upgrade_plan_done(struct upgrade_plan *plan);
#define _cleanup_upgrade_plan_ _cleanup_(upgrade_plan_done)
/* Pure. batch: how many agents at a time, after the first. -ENOMEM. */
int upgrade_plan_make(const json_t *facts, unsigned batch, struct upgrade_plan *ret);
/* Those that the upgrade of the record has reached, to be put back: agents first, then the control
 * plane. Pure. */
int upgrade_plan_back(const json_t *facts, unsigned batch, struct upgrade_plan *ret);
size_t upgrade_plan_errors(const struct upgrade_plan *plan);
/* What is done, what not, and how to continue. back: it was a rollback. Caller frees. Pure. */
char *upgrade_stop_text(const struct upgrade_plan *plan, bool back, const char *remedy);

/* "0.1.0", "v0.1.0": -EINVAL for others. Pure. */
struct upgrade_version {
        unsigned major, minor, patch;
};
int upgrade_version_read(const char *text, struct upgrade_version *ret);

/* --- seen --- */

struct upgrade_bundles {
        struct bundle control, agent;
        char *version;
};
void upgrade_bundles_done(struct upgrade_bundles *b);
#define _cleanup_upgrade_bundles_ _cleanup_(upgrade_bundles_done)
/* folder NULL: those of this kctl. ret_facts: "bundles" of the document. */
int upgrade_bundles_read(const char *folder, struct upgrade_bundles *ret, json_t **ret_facts,
                struct problem *p);
/* All but "bundles". */
int upgrade_facts_gather(
                struct kctl *k, struct controls *controls, json_t **ret, struct problem *p);

/* --- the record: ConfigMap kube-system/keelson-upgrade --- */

/* {"id", "phase" ("running", "stopped", "done", "rolling back", "rolled back"), "from", "to",
 * "message", "backup", "began", "changed"}; *ret is NULL when there is none. */
int upgrade_record_read(struct kctl *k, json_t **ret, struct problem *p);
int upgrade_record_write(struct kctl *k, json_t *record, const char *phase, const char *message,
                struct problem *p);

/* --- carried out --- */

struct upgrade_run {
        struct kctl *k;
        const struct upgrade_bundles *bundles; /* NULL: what was kept is put back */
        const char *id;                        /* of the upgrade */
        const struct controls *controls;
        json_t *record;
};
/* One machine, up to its verification; prints its steps as "NAME: STEP". */
int upgrade_control(const struct upgrade_run *run, const struct control *c, struct problem *p);
int upgrade_agent(const struct upgrade_run *run, const json_t *node, struct problem *p);
/* The bundle, or what was kept: 1 when something was changed. */
int upgrade_install(const struct upgrade_run *run, struct machine *m, const char *name,
                struct problem *p);
/* The version of the installed bundle. Caller frees. */
int upgrade_installed_version(struct machine *m, const char *name, char **ret, struct problem *p);
/* Whether the daemon runs its installed program. -EIO with p when it does not run. */
int upgrade_is_running(struct machine *m, const char *daemon, struct problem *p);
/* upgrade-pods.c: the pods of a node and their restarts, before and after. */
struct upgrade_pods {
        json_t *pods; /* items of the API */
        char *units;  /* the runs of units: pod-units.sh */
};
void upgrade_pods_done(struct upgrade_pods *s);
int upgrade_pods_see(struct kctl *k, struct machine *m, const char *node, struct upgrade_pods *ret,
                struct problem *p);
/* The pods that were restarted between the two, as "ns/name, ns/name"; NULL: none. Caller frees.
 * Pure. -ENOMEM. */
int upgrade_pods_restarted(
                const struct upgrade_pods *before, const struct upgrade_pods *after, char **ret);
