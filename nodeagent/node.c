/* The driver: reads the machine, writes the Node's status when it changed or after five minutes,
 * renews the Lease every ten seconds (by default). */
#include "config.h"

#include "nodeagent/node.h"

#include <sched.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <systemd/sd-id128.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/volumes.h"
#include "nodeagent/image-care.h"
#include "nodeagent/eviction.h"
#include "nodeagent/pod/folder-size.h"
#include "nodeagent/pod/pods.h"

#define LEASE_NAMESPACE "kube-node-lease"
enum {
        LEASE_SECONDS = 40,
        STATUS_FULL_US = 300 * 1000000,
        /* While the node carries addresses. The controller moves them after two seconds. */
        CARRYING_LEASE_SECONDS = 2,
        CARRYING_RENEW_US = 1000000,
        CARRYING_CALL_US = 2000000, /* a call that takes longer is given up */
};

struct node {
        struct agent *agent;
        sd_event_source *timer;
        json_t *object; /* last observed, or NULL */
        bool observed;
        json_t *reported;
        uint64_t reported_us;
        uint64_t renewed_us;
        bool carrying, shutting_down;
        sd_event_source *carrying_timer;
        uint64_t lease_call_us; /* when it began */
        struct api_call *lease_call, *status_call, *object_call;
        char *os_image;
        const char *volume_size; /* static: how sizes of local volumes are limited */
        char machine_id[33], boot_id[33], runtime[80];
        struct utsname uname;
};

static char *read_os_image(void) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        const char *line;
        char *out;

        if (file_read("/etc/os-release", 65536, &text, &n) < 0 ||
                        !(line = strstr(text, "PRETTY_NAME=")))
                return strdup("Linux");
        line += strlen("PRETTY_NAME=");
        line += *line == '"';
        out = strndup(line, strcspn(line, "\"\n"));
        return out;
}

static int64_t read_number(const char *path) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        return file_read(path, 256, &text, &n) < 0 ? 0 : strtoll(text, NULL, 10);
}

static const char *architecture(const char *machine) {
        return streq(machine, "x86_64") ? "amd64" : streq(machine, "aarch64") ? "arm64" : machine;
}

/* The configured number, else by the size of the range of pods. */
static int64_t pods_max(const struct agent *a) {
        if (a->config.pods_max > 0)
                return a->config.pods_max;
        /* A part of IPv6 is always large, and does not mean many pods. */
        if (a->ipam && agent_is_ipv6_only(a))
                return MIN(node_pods_max(0), (int64_t)ipam_size(a->ipam));
        return node_pods_max(a->ipam ? ipam_size(a->ipam) : 0);
}

static void gather(struct node *n, struct node_facts *f) {
        struct agent *a = n->agent;
        struct statvfs fs = {0};

        snprintf(n->runtime, sizeof(n->runtime), "systemd://%s", units_version(a->units));
        *f = (struct node_facts){.name = a->config.node_name,
                        .address = a->node_ip,
                        .address6 = a->node_ip6,
                        .pods_max = pods_max(a),
                        .cpu_milli = a->machine.cpu_milli,
                        .memory_bytes = a->machine.memory_bytes,
                        .machine_id = n->machine_id,
                        .boot_id = n->boot_id,
                        .kernel = n->uname.release,
                        .os_image = n->os_image,
                        .architecture = architecture(n->uname.machine),
                        .runtime = n->runtime,
                        .version = "v" PACKAGE_VERSION "+keelson",
                        .images = image_care_status(a->image_care),
                        .shutting_down = n->shutting_down,
                        .now_us = now_wall_us()};
        if (statvfs(a->config.data_dir, &fs) == 0)
                f->disk_bytes = (int64_t)(fs.f_blocks * fs.f_frsize);
        for (size_t i = 0; i < NODE_PRESSURES; i++)
                f->pressure[i] = eviction_has_pressure(a->eviction, (enum node_pressure)i);
}

static void on_status(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct node *n = userdata;

        n->status_call = NULL;
        if (error == 0)
                n->reported_us = now_mono_us();
        else {
                log_debug("The node's status was not written: %s", strempty(p ? p->message : NULL));
                json_decref(TAKE_PTR(n->reported));
        }
}

void node_report(struct node *n) {
        struct node_facts f;
        _cleanup_json_ json_t *status = NULL, *patch = NULL;
        _cleanup_free_ char *path = NULL;

        if (!n->object || n->status_call)
                return;
        gather(n, &f);
        status = node_status(n->object, &f);
        if (n->reported && now_mono_us() < n->reported_us + STATUS_FULL_US &&
                        !node_status_differs(status, n->reported) &&
                        object_condition_true(n->object, "Ready") != n->shutting_down)
                return;
        patch = json_pack("{s:O}", "status", status);
        path = api_path(api_resource(KIND_NODES), NULL, n->agent->config.node_name, "status", NULL);
        if (!patch || !path ||
                        api_patch_async(n->agent->api, path, API_PATCH_MERGE, patch, on_status, n,
                                        &n->status_call) < 0)
                return;
        json_decref(n->reported);
        n->reported = TAKE_PTR(status);
}

static void on_object(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct node *n = userdata;

        n->object_call = NULL;
        if (error < 0 && error != -EEXIST)
                log_warning("Cannot register node %s: %s", n->agent->config.node_name,
                                strempty(p ? p->message : NULL));
}

static json_t *labels(struct node *n) {
        return json_pack("{s:s, s:s, s:s, s:s}", "kubernetes.io/hostname",
                        n->agent->config.node_name, "kubernetes.io/os", "linux",
                        "kubernetes.io/arch", architecture(n->uname.machine), VOLUME_SIZE_LABEL,
                        n->volume_size);
}

/* Creates the object, or adds its missing labels. */
static void ensure_object(struct node *n) {
        const char *name = n->agent->config.node_name, *key;
        _cleanup_json_ json_t *body = NULL, *want = labels(n);
        _cleanup_free_ char *path = NULL;
        bool complete = n->object != NULL;
        json_t *v;

        if (n->object_call || !n->observed)
                return;
        json_object_foreach (want, key, v)
                complete &= streq_ptr(n->object ? object_label(n->object, key) : NULL,
                                json_string_value(v));
        if (complete)
                return;
        if (n->object) {
                body = json_pack("{s:{s:O}}", "metadata", "labels", want);
                path = api_path(api_resource(KIND_NODES), NULL, name, NULL, NULL);
                if (body && path)
                        (void)api_patch_async(n->agent->api, path, API_PATCH_MERGE, body, on_object,
                                        n, &n->object_call);
                return;
        }
        body = json_pack("{s:s, s:s, s:{s:s, s:O}}", "apiVersion", "v1", "kind", "Node", "metadata",
                        "name", name, "labels", want);
        path = api_path(api_resource(KIND_NODES), NULL, NULL, NULL, NULL);
        if (body && path)
                (void)api_create_async(n->agent->api, path, body, on_object, n, &n->object_call);
}

static void on_lease(int error, const json_t *object, const struct problem *p, void *userdata);

static json_t *lease_spec(struct node *n) {
        char now[TIMEFMT_SIZE];

        return json_pack("{s:s, s:i, s:s}", "holderIdentity", n->agent->config.node_name,
                        "leaseDurationSeconds",
                        n->carrying ? CARRYING_LEASE_SECONDS : LEASE_SECONDS, "renewTime",
                        time_format_micro(now_wall_us(), now));
}

static void make_lease(struct node *n) {
        const char *name = n->agent->config.node_name;
        _cleanup_free_ char *path =
                        api_path(api_resource(KIND_LEASES), LEASE_NAMESPACE, NULL, NULL, NULL);
        _cleanup_json_ json_t *body = json_pack("{s:s, s:s, s:{s:s, s:s}, s:o}", "apiVersion",
                        "coordination.k8s.io/v1", "kind", "Lease", "metadata", "name", name,
                        "namespace", LEASE_NAMESPACE, "spec", lease_spec(n));

        if (body && n->object)
                json_object_set_new(json_object_get(body, "metadata"), "ownerReferences",
                                json_pack("[{s:s, s:s, s:s, s:s}]", "apiVersion", "v1", "kind",
                                                "Node", "name", name, "uid",
                                                object_uid(n->object)));
        if (path && body)
                (void)api_create_async(n->agent->api, path, body, on_lease, n, &n->lease_call);
}

static void on_lease(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct node *n = userdata;

        n->lease_call = NULL;
        if (error == 0)
                n->renewed_us = now_mono_us();
        else if (error == -ENOENT)
                make_lease(n);
        else
                log_debug("The node's lease was not renewed: %s", strempty(p ? p->message : NULL));
}

static void renew(struct node *n) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_LEASES), LEASE_NAMESPACE,
                        n->agent->config.node_name, NULL, NULL);
        _cleanup_json_ json_t *body = json_pack("{s:o}", "spec", lease_spec(n));

        /* A hanging call must not delay the next one. */
        n->lease_call = api_call_cancel(n->lease_call);
        n->lease_call_us = now_mono_us();
        if (path && body)
                (void)api_patch_async(n->agent->api, path, API_PATCH_MERGE, body, on_lease, n,
                                &n->lease_call);
}

static int on_carrying(sd_event_source *s, uint64_t usec, void *userdata) {
        struct node *n = userdata;

        if (!n->lease_call || now_mono_us() > n->lease_call_us + CARRYING_CALL_US)
                renew(n);
        (void)sd_event_source_set_time_relative(s, CARRYING_RENEW_US);
        (void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

void node_set_carrying(struct node *n, bool carrying) {
        if (carrying == n->carrying)
                return;
        n->carrying = carrying;
        renew(n);
        n->carrying_timer = sd_event_source_disable_unref(n->carrying_timer);
        if (carrying)
                (void)sd_event_add_time_relative(n->agent->event, &n->carrying_timer,
                                CLOCK_MONOTONIC, CARRYING_RENEW_US, CARRYING_RENEW_US / 20,
                                on_carrying, n);
}

void node_set_shutdown(struct node *n, bool shutting_down) {
        n->shutting_down = shutting_down;
        node_report(n);
        renew(n);
}

uint64_t node_renewed_us(const struct node *n) {
        return n->renewed_us;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct node *n = userdata;

        ensure_object(n);
        renew(n);
        agent_find_second_ip(n->agent);
        node_report(n);
        (void)sd_event_source_set_time_relative(s, n->agent->config.status_frequency_us);
        (void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

int64_t node_tasks_max(void) {
        int64_t pids = read_number("/proc/sys/kernel/pid_max"),
                threads = read_number("/proc/sys/kernel/threads-max");

        return pids <= 0 ? threads : threads <= 0 ? pids : MIN(pids, threads);
}

/* "10.244.3.0/24", with a second range after a comma; NULL: it has none yet. Caller frees. */
static char *ranges_of(const json_t *object) {
        const char *first = json_str(object, "spec.podCIDR"),
                   *second = json_string_value(json_array_get(json_at(object, "spec.podCIDRs"), 1));

        return first ? strformat("%s%s%s", first, second ? "," : "", strempty(second)) : NULL;
}

void node_observed(struct node *n, const json_t *object) {
        _cleanup_free_ char *cidr = ranges_of(object);

        n->observed = true;
        json_decref(n->object);
        n->object = json_incref((json_t *)object);
        if (cidr)
                agent_set_pod_cidr(n->agent, cidr);
        if (object)
                pods_set_taints(n->agent->pods, json_at(object, "spec.taints"));
        ensure_object(n);
        node_report(n);
}

const json_t *node_object(const struct node *n) {
        return n->object;
}

bool node_is_in_touch(const struct node *n) {
        return n->renewed_us > 0 &&
               now_mono_us() < n->renewed_us + (uint64_t)LEASE_SECONDS * 1000000;
}

int node_new(struct node **ret, struct agent *agent) {
        _cleanup_(node_freep) struct node *n = calloc(1, sizeof(*n));
        sd_id128_t id;
        int r;

        if (!n)
                return -ENOMEM;
        n->agent = agent;
        n->os_image = read_os_image();
        if (!n->os_image)
                return -ENOMEM;
        if (sd_id128_get_machine(&id) >= 0)
                sd_id128_to_string(id, n->machine_id);
        if (sd_id128_get_boot(&id) >= 0)
                sd_id128_to_string(id, n->boot_id);
        (void)uname(&n->uname);
        n->volume_size = folder_limits_name(folder_limits_at(LOCAL_VOLUMES_DIR));
        r = sd_event_add_time_relative(agent->event, &n->timer, CLOCK_MONOTONIC, 0, 0, on_timer, n);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

struct node *node_free(struct node *n) {
        if (!n)
                return NULL;
        sd_event_source_disable_unref(n->timer);
        sd_event_source_disable_unref(n->carrying_timer);
        api_call_cancel(n->lease_call);
        api_call_cancel(n->status_call);
        api_call_cancel(n->object_call);
        json_decref(n->object);
        json_decref(n->reported);
        free(n->os_image);
        free(n);
        return NULL;
}
