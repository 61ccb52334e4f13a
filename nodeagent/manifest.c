/* Reads manifests. A static pod has no uid from the API: its uid is a hash of its contents, so that
 * a changed file is a new pod. */
#include "nodeagent/manifest.h"

#include <dirent.h>

#include "lib/client/kinds.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/yaml.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/runtime/images.h"

enum { MANIFEST_SIZE_MAX = 4 * 1024 * 1024 };

/* The pod of an object: itself, or the template of a workload. Returns a new reference or NULL. */
static json_t *pod_of(const json_t *object, const char *node_name, const char *salt) {
        char group[OBJECT_GROUP_SIZE] = "", version[OBJECT_VERSION_SIZE];
        const struct kind_facts *facts;
        const json_t *source;
        _cleanup_json_ json_t *pod = NULL;
        _cleanup_free_ char *text = NULL;
        char hash[65];

        (void)object_split_api_version(object_api_version(object), group, version);
        facts = kind_facts_by_kind(group, object_kind(object));
        if (!facts || !facts->pod_template)
                return NULL;
        source = *facts->pod_template ? json_at(object, facts->pod_template) : object;
        if (!source)
                return NULL;
        pod = json_deep_copy(source);
        json_object_set_new(pod, "apiVersion", json_string("v1"));
        json_object_set_new(pod, "kind", json_string("Pod"));
        if (source != object || !*object_name(pod))
                json_set_str(pod, "metadata.name", object_name(object));
        if (!*object_namespace(pod))
                json_set_str(pod, "metadata.namespace",
                                *object_namespace(object) ? object_namespace(object) : "default");
        text = json_text(pod);
        if (!text)
                return NULL;
        if (!*object_uid(pod)) {
                _cleanup_free_ char *salted = strformat("%s|%s", salt, text);
                if (!salted)
                        return NULL;
                sha256_hex(salted, strlen(salted), hash);
                hash[32] = 0;
                json_set_str(pod, "metadata.uid", hash);
        }
        json_set_str(pod, "spec.nodeName", node_name);
        return TAKE_PTR(pod);
}

static int parse_file(const char *path, struct yaml_docs *docs, struct problem *p) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = file_read(streq(path, "-") ? "/dev/stdin" : path, MANIFEST_SIZE_MAX, &text, &n);

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "%s: %s", path, strerror(-r));
        r = yaml_parse(text, n, docs, p);
        if (r < 0)
                problem_prefix(p, "%s: ", path);
        return r;
}

int manifest_each(const char *dir, const char *node_name,
                void (*func)(const json_t *pod, void *userdata), void *userdata) {
        DIR *d = opendir(dir);
        int skipped = 0;

        if (!d)
                return -errno;
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
                _cleanup_free_ char *path = strformat("%s/%s", dir, e->d_name);
                _cleanup_yaml_docs_ struct yaml_docs docs = {0};
                _cleanup_problem_ struct problem p = {0};

                if (!path || e->d_name[0] == '.' ||
                                (!endswith(path, ".yaml") && !endswith(path, ".yml") &&
                                                !endswith(path, ".json")))
                        continue;
                if (parse_file(path, &docs, &p) < 0) {
                        log_warning("Skipping a file of static pods: %s", strempty(p.message));
                        skipped++;
                        continue;
                }
                for (size_t i = 0; i < docs.count; i++) {
                        _cleanup_json_ json_t *pod =
                                        pod_of(docs.items[i].value, node_name, node_name);
                        if (pod)
                                func(pod, userdata);
                }
        }
        closedir(d);
        return skipped;
}

static json_t *resources_of(const struct yaml_docs *docs) {
        json_t *out = json_pack("{s:{}, s:{}}", "configmaps", "secrets");

        for (size_t i = 0; i < docs->count; i++) {
                json_t *o = docs->items[i].value;
                const char *kind = streq(object_kind(o), "ConfigMap") ? "configmaps"
                                   : streq(object_kind(o), "Secret")  ? "secrets"
                                                                      : NULL;
                const char *key;
                json_t *v;

                if (!kind)
                        continue;
                /* The API folds stringData into data; a file has not passed the API. */
                json_object_foreach (json_object_get(o, "stringData"), key, v) {
                        const char *text = strempty(json_string_value(v));
                        _cleanup_free_ char *base64 = base64_encode(text, strlen(text));
                        json_t *data = json_object_get(o, "data");
                        if (!data) {
                                data = json_object();
                                json_object_set_new(o, "data", data);
                        }
                        if (base64)
                                json_object_set_new(data, key, json_string(base64));
                }
                json_object_set(json_object_get(out, kind), object_name(o), o);
        }
        return out;
}

static int plan_pod(const json_t *pod, const json_t *resources, const char *node_name, json_t **ret,
                struct problem *p) {
        _cleanup_json_ json_t *images = NULL;
        _cleanup_free_ char *disk = strformat(
                                            "/var/lib/keelson/nodeagent/pods/%s", object_uid(pod)),
                            *run = strformat(AGENT_RUN_DIR "/pods/%s", object_uid(pod)),
                            *secret = strformat(AGENT_SECRET_DIR "/%s", object_uid(pod)),
                            *netns = strformat("/run/netns/kpod-%s", object_uid(pod));
        struct pod_facts f = {.node_name = node_name,
                        .node_ip = "192.0.2.1",
                        .pod_ip = "10.244.0.2",
                        .exec_program = "/opt/keelson/bin/kpod-exec",
                        .terminal_dir = AGENT_TERMINAL_DIR,
                        .etc_dir = AGENT_ETC_DIR,
                        .proc_dir = AGENT_PROC_DIR,
                        .cpu_milli = 1000,
                        .memory_bytes = INT64_C(1) << 30,
                        .disk_dir = disk,
                        .run_dir = run,
                        .secret_dir = secret,
                        .netns_path = json_bool_or(pod, "spec.hostNetwork", false) ? NULL : netns};
        int r = images_resolve(pod, &images, p);

        if (r < 0)
                return r;
        f.images = images;
        return pod_to_units(pod, resources, &f, ret, p);
}

int manifest_print_units(const char *path, const char *node_name) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *resources = NULL;
        bool failed = false;

        if (parse_file(path, &docs, &p) < 0) {
                fprintf(stderr, "knodeagent: %s\n", strempty(p.message));
                return 1;
        }
        resources = resources_of(&docs);
        for (size_t i = 0; i < docs.count; i++) {
                _cleanup_json_ json_t *pod = pod_of(docs.items[i].value, node_name, ""),
                                      *plan = NULL;
                _cleanup_problem_ struct problem refusal = {0};
                _cleanup_free_ char *text = NULL;

                if (!pod)
                        continue;
                if (plan_pod(pod, resources, node_name, &plan, &refusal) < 0) {
                        fprintf(stderr, "knodeagent: %s: pod %s: %s\n", path, object_name(pod),
                                        strempty(refusal.message));
                        failed = true;
                        continue;
                }
                text = json_text_pretty(plan);
                printf("%s\n", strempty(text));
        }
        return failed ? 1 : 0;
}
