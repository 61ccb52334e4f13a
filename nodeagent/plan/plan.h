/* Pod -> systemd units, as pure functions: JSON and facts in, JSON out, nothing touched. The
 * mapping is documented in docs/pod-to-units.md. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/problem.h"

/* The facts that the mapping needs beyond the pod. All borrowed. */
struct pod_facts {
        const char *node_name;
        const char *node_ip;        /* "" when not known */
        const char *pod_ip;         /* "" when not known yet; the node's for hostNetwork */
        const char *node_ip6;       /* NULL or "": none; likewise: */
        const char *pod_ip6;
        const char *netns_path;     /* NULL: the host's network */
        const char *disk_dir;       /* this pod's folder on disk */
        const char *run_dir;        /* this pod's folder in /run (tmpfs) */
        const char *secret_dir;     /* this pod's folder on the ramfs for secrets */
        const char *terminal_dir;   /* shown as /dev/pts; NULL: the machine's own */
        const char *etc_dir;        /* /etc without hidden files (etc-view.h); NULL: none */
        const char *proc_dir;       /* /proc of plain users (proc-view.h); NULL: none */
        const char *exec_program;   /* path of kpod-exec, which every command is started through */
        const char *resolv_conf;    /* shown as /etc/resolv.conf; NULL: leave the root's own */
        const char *host_hosts;     /* text of the machine's /etc/hosts; NULL: not known */
        const char *host_resolv;    /* text of the resolv.conf that pods may use; NULL: not known */
        const char *cluster_dns;    /* address of the cluster's name server; NULL or "": none */
        const char *cluster_domain; /* NULL: "cluster.local" */
        const json_t *images;       /* {container: its image} (plan/image.h) */
        const json_t *services;     /* {name: service} of the pod's namespace, or NULL */
        const json_t *api_service;  /* default/kubernetes, or NULL */
        int64_t cpu_milli;          /* of the node, for resourceFieldRef without a limit */
        int64_t memory_bytes;
        bool no_user_namespaces; /* the kernel has none, or they are switched off */
        bool no_process_namespaces; /* containers with a root of their own get none (plan/pids.c) */
        const json_t *node;      /* the Node object; NULL: not known yet */
        unsigned user_try;       /* of dynamic_user_choose() */
        /* Set by pod_to_units() for its parts: the folder of the first claim that the pod may write
         * to, or NULL. Pods that have it one after another get the same dynamic user. */
        const char *claimed;
};

/* The lists of containers in a pod's spec, in the order of their starts. */
enum container_list { CONTAINERS_INIT, CONTAINERS_MAIN, CONTAINERS_EPHEMERAL, CONTAINER_LISTS };
/* "initContainers", "containers", "ephemeralContainers": in the spec and in a plan. */
const char *container_list_name(enum container_list list);

/* "kpod-<namespace>_<pod>_<container>.service". Where that is too long for a unit's name, the pod's
 * name is cut and a hash follows it: "kpod-<namespace>_<begin>_<hash>_<container>.service". Caller
 * frees. */
char *pod_unit_name_of(const char *ns, const char *pod, const char *container) _warn_unused_;
char *pod_unit_name(const json_t *pod, const char *container) _warn_unused_;
/* The same for a command that runs once beside the container (probes, hooks). */
char *pod_exec_unit_name(const json_t *pod, const char *container, unsigned serial) _warn_unused_;
/* The same for a command of `kctl exec`: POD_STREAM_PREFIX, and a number that no other has. */
#define POD_STREAM_PREFIX "kpode-"
char *pod_stream_unit_name(const json_t *pod, const char *container, uint32_t number) _warn_unused_;
/* The same for the process namespace of a pod with shareProcessNamespace. */
char *pod_share_unit_name(const json_t *pod) _warn_unused_;
/* "keelson-pod_<uid with _>.slice"; caller frees. */
char *pod_slice_name(const char *uid) _warn_unused_;
/* A hash of the parts of the container that cannot change while it runs; its unit's Description
 * ends in it: "[1a2b3c4d]". */
uint32_t pod_container_hash(const json_t *pod, const json_t *container);
/* Whether the unit of that description was made from this container. An empty command, empty
 * arguments or an empty directory may have gone since: a server that keeps no zero values drops
 * them from objects that an older one has stored. */
bool pod_container_made(const json_t *pod, const json_t *container, const char *description);

/* plan/resources.c: the properties of the pod's slice: CPUWeight, MemoryLow of what the pod
 * requests as a whole, CPUQuotaPerSecUSec and MemoryMax of its limits, where every container has
 * one or spec.resources does (KEP-2837). The caller unrefs. -ENOMEM. */
int pod_slice_resources(const json_t *pod, json_t **ret);
/* The OOM score adjustment of a container, by the pod's quality class and what the container
 * requests of the machine's memory, as a kubelet has it: -997 for Guaranteed pods and critical
 * ones, 1000 for BestEffort, in between for others. */
int pod_oom_score(const json_t *pod, const json_t *container, int64_t memory_bytes);
/* The properties of a unit or slice that an in-place resize sets, from its part of a plan. NULL
 * when out of memory; the caller unrefs. */
json_t *pod_resource_properties(const json_t *unit) _warn_unused_;

/* The objects a pod needs: {"configmaps": {name: optional}, "secrets": {name: optional}, "claims":
 * {name: false}, "tokens": {key: {"account", "body": the TokenRequest}}}; "claims" and "tokens"
 * only when there are some. */
json_t *pod_references(const json_t *pod) _warn_unused_;
/* Those in its volumes that can change: {"configmaps/namespace/name": true, ...}; resources: what
 * is known of them. NULL when out of memory; the caller unrefs. */
json_t *pod_watched(const json_t *pod, const json_t *resources) _warn_unused_;
/* plan/tokens.c: adds "tokens" to the references. -ENOMEM. */
int pod_token_references(const json_t *pod, json_t *out);
/* What is kept of the answer to a TokenRequest, in resources.tokens: {"token", "sinceUs", "endUs"}
 * (wall clock). NULL: no token is in it, or out of memory. */
json_t *pod_token_entry(const json_t *answer, uint64_t now_us) _warn_unused_;
/* Whether a token is to be asked for: none is there (NULL), or 80 % of its life or a day are over.
 */
bool pod_token_is_due(const json_t *entry, uint64_t now_us);
/* The token of a volume's source; NULL: it is not there yet. */
const char *pod_token_text(const json_t *resources, const json_t *source);

/* resources: {"configmaps": {name: object}, "secrets": {name: object}, "claims": {name: object},
 * "tokens": {key: entry},
 * "volumes": {name: the volume that a claim is bound to}}; missing optional ones are left out.
 *
 * Returns {"slice": unit, "volumes": [volume], "initContainers": [unit], "containers": [unit],
 * "warnings": [text], "share": unit}; "share" only with shareProcessNamespace (plan/pids.h);
 * "warnings" only when there are some: fields that do not have their effect, each text
 * beginning with "spec.", and texts of pod_dns_warnings(). "ephemeralContainers", where the
 * pod has some, are as in plan/ephemeral.h. A unit is {"container", "name", "properties": {...},
 * "start": {...}, "stage": [...], "privileged", "root": of image_root_plan(), with an OCI image
 * only, "socket": of pod_socket_unit(), where there is one; or that of
 * pod_adopted_plan()}. "start" is the part that is not in the unit, because systemd would
 * change it, or because other users could read it there: {"dir", "report", "message", "devices":
 * paths, "folders": [paths of empty ones], "messagePath", "workingDir", "environment": ["A=b"], "commands": {file in dir: [words]},
 * "pids": of pod_pids()}.
 *
 * -EINVAL with p: what the user must change; p->reason is the container's waiting reason. */
int pod_to_units(const json_t *pod, const json_t *resources, const struct pod_facts *facts,
                json_t **ret, struct problem *p);

/* The text of a file for kpod-exec; caller frees. NULL without such a command, or when out of
 * memory. */
char *pod_command_file(const json_t *start, const char *file, size_t *ret_size) _warn_unused_;

/* The unit that runs `command` once in a container's environment, made from the container's unit.
 */
json_t *pod_exec_unit(const json_t *unit, const char *name, const json_t *command,
                uint64_t timeout_us) _warn_unused_;

/* The same for a command of `kctl exec`: its files come with the start, it has no time limit, and
 * it ends when the unit "partOf", the container's, is stopped. With a terminal it gets TERM, unless
 * the container has one. */
enum { POD_STREAM_TTY = 1 << 0 };
json_t *pod_stream_unit(const json_t *unit, const char *name, const json_t *command, unsigned flags)
                _warn_unused_;

/* Parts of pod_to_units(), tested through it. */
struct pod_env {
        json_t *names;  /* every name -> value, for $(VAR) */
        json_t *plain;  /* array of "NAME=value" */
        json_t *secret; /* array of "NAME=value" that must not be readable by others */
        size_t size;    /* bytes of all, including replaced ones */
};
/* Frees what it holds; it is empty then. */
void pod_env_done(struct pod_env *e);
/* Fills ret; the caller ends it with pod_env_done(). -EINVAL and -E2BIG with p, -ENOMEM. */
int pod_env_build(const json_t *pod, const json_t *container, const json_t *resources,
                const struct pod_facts *facts, struct pod_env *ret, struct problem *p);
/* $(VAR) -> value, $$ -> $; unknown names stay. NULL when out of memory, or when the result has
 * more than POD_ENV_TEXT_MAX bytes (a few variables that contain each other could fill the memory).
 * Caller frees. */
enum { POD_ENV_TEXT_MAX = 1 << 20 };
char *pod_env_expand(const json_t *names, const char *text) _warn_unused_;
/* The value of a fieldRef path; NULL when unsupported. Caller frees. */
char *pod_field_value(
                const json_t *pod, const struct pod_facts *facts, const char *path) _warn_unused_;
/* The value of a resourceFieldRef; caller frees. -EINVAL with p, -ENOMEM. */
int pod_resource_value(const json_t *pod, const json_t *container, const json_t *ref,
                const struct pod_facts *facts, char **ret, struct problem *p);

/* The host name that the pod sees; the node's for hostNetwork. Caller frees. */
char *pod_host_name(const json_t *pod, const struct pod_facts *facts) _warn_unused_;
/* Whether the pod asks for the cluster's names (dnsPolicy, hostNetwork). */
bool pod_wants_cluster_dns(const json_t *pod);
/* Appends a text, in Kubernetes' words, for each limit of resolv.conf that the pod exceeds. */
void pod_dns_warnings(const json_t *pod, const struct pod_facts *facts, json_t *list);
/* The volume with the pod's hosts, hostname and resolv.conf. 1; 0 when it needs none. */
int pod_etc_volume(
                const json_t *pod, const struct pod_facts *facts, json_t **ret, struct problem *p);
/* Binds them over a container's /etc. volume: of pod_etc_volume() or NULL; resolv_conf_path: what
 * to show when the pod does not have its own, or NULL. */
void pod_etc_mounts(const json_t *pod, const json_t *container, const json_t *volume,
                const char *resolv_conf_path, json_t *properties);
/* {variable: value} of the services that the container may use. -E2BIG: too many. */
int pod_service_env(const json_t *pod, const struct pod_facts *facts, json_t **ret);

/* volumes: array of {"name", "type": "empty"|"memory"|"files"|"host"|"claim"|"local"|"share",
 * "path", ...}. A "claim" is a folder in LOCAL_VOLUMES_DIR, a "local" one a folder elsewhere; both
 * stay when the pod ends. "make": it is created where it is missing; "readOnly": no container may
 * write to it. A "share" is an NFS share: "share" is pod_share()'s, "folder" a folder below it. */
int pod_volumes(const json_t *pod, const json_t *resources, const struct pod_facts *facts,
                json_t **ret, struct problem *p);
/* The volume of a claim (plan/claims.c). -EAGAIN with p: the claim is not bound yet. */
int pod_claim_volume(const json_t *pod, const json_t *volume, const json_t *resources,
                const struct pod_facts *facts, json_t **ret, struct problem *p);
/* The fresh resources of a pod that has started, with the ConfigMaps and Secrets that it has had
 * `before`, where they are gone and not optional. references: of pod_references(). The caller
 * unrefs. -ENOMEM. */
int pod_keep_objects(
                const json_t *before, const json_t *fresh, const json_t *references, json_t **ret);
/* The fresh resources of a pod that has started, with the claims and volumes that it has had
 * `before` where these are gone or a claim of that name is bound elsewhere: its processes still use
 * them. The caller unrefs. -ENOMEM. */
int pod_keep_claims(const json_t *before, const json_t *fresh, json_t **ret);
/* plan/shares.c: NFS shares. On a node a share with the same options is mounted once, in a folder
 * of SHARES_DIR that is named by a hash of both. */
#define SHARES_DIR "/run/keelson/nodeagent/shares"
#define SHARE_UNIT_PREFIX "run-keelson-nodeagent-shares-"
/* {"what": "server:path", "where": the folder, "unit": the mount unit's name, "options"}. options:
 * array of mount options, or NULL; nosuid and nodev come last. The caller unrefs. -EINVAL with p: a
 * part of it is not valid. */
int pod_share(const char *server, const char *path, const json_t *options, json_t **ret,
                struct problem *p);
/* The share of a PersistentVolume with nfs: of a volume of keelson.dev/nfs the share's root. */
int pod_share_of_volume(const json_t *volume, json_t **ret, struct problem *p);
/* A volume of a pod's spec with nfs; or the claimed one that is bound (a PersistentVolume). */
int pod_share_volume(const json_t *volume, const json_t *bound, const struct pod_facts *facts,
                json_t **ret, struct problem *p);
/* Whether the pod has the share that is mounted at `where`. */
bool pod_uses_share(const json_t *pod, const json_t *resources, const char *where);
/* -EINVAL with p when something is mounted below an NFS volume of the container: its mount point
 * could only be made through the share, and a server that hangs would hold up the node. */
int pod_shares_check(const json_t *container, const json_t *volumes, const json_t *properties,
                struct problem *p);
/* What `knodeagent share-bind` must bind before the pod starts: [[words after the program]]. */
json_t *pod_share_binds(const json_t *plan) _warn_unused_;
/* Adds BindPaths and BindReadOnlyPaths to a unit's properties, and to stage what must be resolved
 * when the container starts: {"path": the source of the bind, "volume", "type", "root", "sub",
 * "make": whether a missing folder is created}. names: the container's environment. */
int pod_mounts(const json_t *container, const json_t *volumes, const json_t *names,
                const struct pod_facts *facts, json_t *properties, json_t *stage,
                struct problem *p);
/* An absolute path without "//", "/./" and a slash at its end; NULL when it is not absolute or has
 * "..", or out of memory. Caller frees. */
char *pod_path_tidy(const char *path) _warn_unused_;
/* The real path of a tidy path on a machine whose /bin, /lib and so on are links to /usr. Pure;
 * caller frees. */
char *pod_host_path(const char *path) _warn_unused_;
/* The mount point of a mountPath in a unit with these properties: tidy, and without an image
 * pod_host_path(). NULL like pod_path_tidy(). Caller frees. */
char *pod_mount_target(const json_t *properties, const char *given) _warn_unused_;
/* The name of the volume that the container mounts above this path, when a pod can write to it;
 * NULL: none. */
const char *pod_volume_above(const json_t *container, const json_t *volumes,
                const json_t *properties, const char *path);
/* Adds to stage each mount point of the unit that is below such a volume: {"root": the source of
 * the mount above, "below": the path in it, "target", "volume", "source": what is mounted, "" for
 * an empty folder}. Must come after everything else that mounts. Does nothing for privileged
 * containers. */
int pod_nested(const json_t *container, const json_t *volumes, const json_t *properties,
                json_t *stage);
/* securityContext.privileged. */
bool container_is_privileged(const json_t *container);
/* The member `key` of the container's securityContext, or else of the pod's; NULL: in neither. */
const json_t *pod_security_setting(const json_t *pod, const json_t *container, const char *key);
/* Mounts dir as the unit's /dev instead of systemd's private one, so that more can be mounted in
 * it; volumes_write_commands() makes it. 1; 0 when something else is mounted there. */
int pod_own_devices(json_t *properties, const char *dir);
/* Shows the terminals of pods as /dev/pts, unless something else is mounted there; before
 * pod_own_devices(). -ENOMEM. */
int pod_terminals(const struct pod_facts *facts, json_t *properties);
/* The third word of a bind: a copy of /etc without hidden files, with mount points (stage.c). */
#define POD_BIND_MASKED "masked"
/* The sandbox; after pod_fields_apply(), image() and pod_mounts(). docs/pod-security.md describes
 * it. */
int pod_security(const json_t *pod, const json_t *container, const struct pod_facts *facts,
                json_t *properties, struct problem *p);
/* The annotations unit.keelson.dev/<Property> and <container>.unit.keelson.dev/<Property>. */
int pod_passthrough(
                const json_t *pod, const json_t *container, json_t *properties, struct problem *p);
/* Hides keelson's own keys, state and sockets; after everything else. */
int pod_protect(const json_t *container, const json_t *volumes, const struct pod_facts *facts,
                json_t *properties);
/* Leaves out mounts of a unit of a plan that cost its start more than they protect
 * (plan/lighten.c). After all else has looked at the unit. -ENOMEM. */
int pod_lighten(const struct pod_facts *facts, json_t *unit);
/* The paths that pods never see, the first is 0; NULL: no more. */
const char *pod_hidden_path(size_t i);
/* Whether this absolute path is, or is inside, a path that pods never see; or contains one. */
bool pod_path_is_hidden(const char *path);
bool pod_path_holds_hidden(const char *path);
/* Whether a planned volume is a folder of the machine, which may hold hidden paths. */
bool pod_volume_is_of_machine(const json_t *volume);

/* plan/sockets.c: whether the container starts at its first connection (annotation
 * keelson.dev/socket-activation). */
bool pod_is_socket_activated(const json_t *pod, const json_t *container);
/* The socket unit {"name", "properties"} of such a container, beside its service of this name and
 * with these properties. 1; 0 when it is none; -EINVAL with p. The caller unrefs. */
int pod_socket_unit(const json_t *pod, const json_t *container, const char *service,
                const json_t *properties, json_t **ret, struct problem *p);
/* plan/adopt.c: the unit of the machine that the container is (annotation unit.keelson.dev/adopt);
 * borrowed from the pod. NULL: none. */
const char *pod_adopted_unit(const json_t *pod, const char *container);
/* The part of a plan for such a container: {"container", "name": as of any other container,
 * "properties": what a managed unit gets, "adopt": {"unit", "managed"}}. 1; 0 when it adopts
 * nothing; -EINVAL with p. The caller unrefs. */
int pod_adopted_plan(const json_t *pod, const json_t *container, json_t **ret, struct problem *p);
/* The drop-in file with these properties; NULL: a value cannot be written into one, or no memory.
 * Caller frees. */
char *pod_adopted_drop_in(const json_t *properties) _warn_unused_;
/* Whether the pod asks for readiness by sd_notify for this container (annotation
 * keelson.dev/readiness: notify, or "<container>.keelson.dev/readiness"). */
bool pod_readiness_is_notify(const json_t *pod, const char *container);
