/* kctl fleet check: see (fleet-facts.c), decide (fleet-check.c, pure), show (fleet.c). What is seen
 * is one JSON document, so that a check is a function of it and a test is a text. */
#pragma once

#include "kctl/kctl.h"
#include "kctl/machine.h"

/* The document:
 *   {"now": seconds, "kctl": version,
 *    "api": {"version": text} or {"error": text},
 *    "nodeObjects": [Node...], "syncObjects": [GitSync...],
 *    "driftEvents": [Event of reason HostDrift...],
 *    "machines": [{"name", "node": bool, "error": text} or {"name", "node",
 *        "clock": ms, "asked": ms (our clock at the same moment), "synchronized": "yes"|"no"|"",
 *        "version", and of each installed bundle "control-hash", "control-version",
 *        "control-formats" (FORMATS of the bundle, one line), "control-upgrade" (the id of the
 *        upgrade that brought it, or whose rollback did), "control-kept" (FORMATS of what a rollback
 *        would put back), "agent-hash" and so on, "control": bool, "agent": bool, "damaged": bool,
 *        "inactive": [unit...], "failed": [unit...],
 *        "disks": [{"path", "size", "free" (KiB), "inodes", "inodesFree"}...],
 *        "certificates": [{"path", "cn", "notBefore", "notAfter" (seconds)}...],
 *        "metrics": {name: number}}...]} */

/* Adds the facts of one machine from the output of fleet-facts.sh. 0 or -ENOMEM. Pure. */
int fleet_machine_parse(const char *text, json_t *machine);
/* All of them, from the API and over SSH. */
int fleet_facts_gather(struct kctl *k, json_t **ret, struct problem *p);

enum fleet_severity { FINDING_WARNING, FINDING_ERROR };

struct fleet_finding {
        enum fleet_severity severity;
        const char *check;            /* borrowed: the name of a row */
        char *object, *text, *remedy; /* owned */
};

struct fleet_findings {
        struct fleet_finding *items;
        size_t count, allocated;
        const char *check; /* whose findings are added */
        bool failed;       /* out of memory */
};
void fleet_findings_done(struct fleet_findings *f);
#define _cleanup_fleet_findings_ _cleanup_(fleet_findings_done)
/* Takes text and remedy, which may be NULL (out of memory). */
void fleet_finding_add(struct fleet_findings *f, enum fleet_severity severity, const char *object,
                char *text, char *remedy);

/* A check is a row of the table in fleet-check.c. Pure. */
struct fleet_check {
        const char *name, *what;
        void (*run)(const json_t *facts, struct fleet_findings *f);
};
extern const struct fleet_check fleet_checks[];
extern const size_t fleet_check_count;
/* Runs all of them: errors first, then in the order of the rows. */
int fleet_check_run(const json_t *facts, struct fleet_findings *ret);
