/* Pod -> systemd units, as pure functions: JSON and facts in, JSON out, nothing touched. The
 * mapping is documented in docs/pod-to-units.md. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/problem.h"

/* What the mapping must know beyond the pod. All borrowed. */
struct pod_facts {
        const char *node_name;
        const char *node_ip;      /* "" when not known */
        const char *pod_ip;       /* "" when not known yet; the node's for hostNetwork */
        const char *netns_path;   /* NULL: the host's network */
        const char *disk_dir;     /* this pod's folder on disk */
        const char *run_dir;      /* this pod's folder in /run (tmpfs) */
        const char *secret_dir;   /* this pod's folder on the ramfs for secrets */
        const char *exec_program; /* path of kpod-exec, which every command is started through */
        const char *resolv_conf;  /* shown as /etc/resolv.conf; NULL: leave the root's own */
        int64_t cpu_milli;        /* of the node, for resourceFieldRef without a limit */
        int64_t memory_bytes;
};

/* "kpod-<namespace>_<pod>_<container>.service"; where that is longer than a unit's name may be, the
 * pod's name is cut and a hash follows it: "kpod-<namespace>_<begin>_<hash>_<container>.service".
 * Caller frees. */
char *pod_unit_name_of(const char *ns, const char *pod, const char *container) _warn_unused_;
char *pod_unit_name(const json_t *pod, const char *container) _warn_unused_;
/* Like it, for a command that runs once beside the container (probes, hooks). */
char *pod_exec_unit_name(const json_t *pod, const char *container, unsigned serial) _warn_unused_;
/* "keelson-pod_<uid with _>.slice"; caller frees. */
char *pod_slice_name(const char *uid) _warn_unused_;
/* The Description ends in it: "[1a2b3c4d]". Changes when the container must be made again. */
uint32_t pod_container_hash(const json_t *pod, const json_t *container);

/* The ConfigMaps and Secrets a pod needs: {"configmaps": {name: optional}, "secrets": {name:
 * optional}}. */
json_t *pod_references(const json_t *pod) _warn_unused_;

/* resources: {"configmaps": {name: object}, "secrets": {name: object}}; a missing optional one is
 * left out. Returns {"slice": unit, "volumes": [volume], "initContainers": [unit], "containers":
 * [unit]}, where unit is
 * {"container", "name", "properties": {...}, "start": {...}}; "start" is what is not in the unit,
 * because systemd would not keep it as it is, or because others could read it there:
 * {"dir", "report", "message": paths, "messagePath", "workingDir", "environment": ["A=b"],
 * "commands": {file in dir: [words]}}. -EINVAL with p: what the user must change; p->reason is the
 * container's waiting reason. */
int pod_to_units(const json_t *pod, const json_t *resources, const struct pod_facts *facts,
                json_t **ret, struct problem *p);

/* The text of a file for kpod-exec; caller frees. NULL without such a command, or without memory.
 */
char *pod_command_file(const json_t *start, const char *file, size_t *ret_size) _warn_unused_;

/* The unit that runs `command` once in a container's surroundings: from the container's unit. */
json_t *pod_exec_unit(const json_t *unit, const char *name, const json_t *command,
                uint64_t timeout_us) _warn_unused_;

/* Parts, used by pod_to_units() and tested through it. */
struct pod_env {
        json_t *names;  /* every name -> value, for $(VAR) */
        json_t *plain;  /* array of "NAME=value" */
        json_t *secret; /* array of "NAME=value" that must not be readable by others */
};
void pod_env_done(struct pod_env *e);
int pod_env_build(const json_t *pod, const json_t *container, const json_t *resources,
                const struct pod_facts *facts, struct pod_env *ret, struct problem *p);
/* $(VAR) -> value, $$ -> $; unknown ones stay. Caller frees. */
char *pod_env_expand(const json_t *names, const char *text) _warn_unused_;
/* The value of a fieldRef path; NULL when unsupported. Caller frees. */
char *pod_field_value(
                const json_t *pod, const struct pod_facts *facts, const char *path) _warn_unused_;
/* The value of a resourceFieldRef; caller frees. */
int pod_resource_value(const json_t *pod, const json_t *container, const json_t *ref,
                const struct pod_facts *facts, char **ret, struct problem *p);

/* volumes: array of {"name", "type": "empty"|"memory"|"files"|"host", "path", ...}. */
int pod_volumes(const json_t *pod, const json_t *resources, const struct pod_facts *facts,
                json_t **ret, struct problem *p);
/* Adds BindPaths, BindReadOnlyPaths and so on to a unit's properties. */
int pod_mounts(const json_t *pod, const json_t *container, const json_t *volumes,
                json_t *properties, struct problem *p);
int pod_security(const json_t *pod, const json_t *container, json_t *properties, struct problem *p);
/* The annotations unit.keelson.dev/<Property> and <container>.unit.keelson.dev/<Property>. */
int pod_passthrough(
                const json_t *pod, const char *container, json_t *properties, struct problem *p);

/* Whether the pod asks for readiness by sd_notify for this container (annotation
 * keelson.dev/readiness: notify, or "<container>.keelson.dev/readiness"). */
bool pod_readiness_is_notify(const json_t *pod, const char *container);
