/* Pod -> units by golden files: each tests/golden/pod-to-units/NAME.yaml (a Pod, with the
 * ConfigMaps and Secrets it uses) becomes NAME.out; and the small functions beside it. */
#include "tests/unit/unit.h"

#include <limits.h>

#include "lib/buf.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/yaml.h"
#include "nodeagent/plan/ephemeral.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/runtime/images.h"
#include "nodeagent/plan/unit-props.h"
#include "tests/unit/golden.h"

static const struct pod_facts facts = {.node_name = "n1",
                .node_ip = "192.0.2.1",
                .pod_ip = "10.244.1.7",
                .netns_path = "/run/netns/kpod-x",
                .disk_dir = "/disk",
                .run_dir = "/run/pod",
                .secret_dir = "/secret",
                .etc_dir = "/run/etc",
                .proc_dir = "/run/proc",
                .exec_program = "/opt/keelson/bin/kpod-exec",
                .cpu_milli = 4000,
                .memory_bytes = INT64_C(1) << 33};

/* Where pod_to_units() looks for objects of the kind. */
static const char *key_of(const char *kind) {
        return streq(kind, "Secret")                  ? "secrets"
               : streq(kind, "PersistentVolumeClaim") ? "claims"
               : streq(kind, "PersistentVolume")      ? "volumes"
                                                      : "configmaps";
}

static char *convert(const char *yaml) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *resources = json_pack("{s:{}, s:{}, s:{}, s:{}, s:{s:{s:s}}}",
                                              "configmaps", "secrets", "claims", "volumes",
                                              "tokens", "600 vault", "token", "a.b.c"),
                              *plan = NULL, *images = NULL;
        struct pod_facts f = facts;
        const json_t *stored = NULL; /* what the store has, for every container with an OCI image */
        const json_t *pod = NULL;
        json_t *image;
        const char *container;
        char *text;

        assert_int_equal(yaml_parse(yaml, strlen(yaml), &docs, &p), 0);
        for (size_t i = 0; i < docs.count; i++) {
                json_t *o = docs.items[i].value;
                if (streq(object_kind(o), "Pod"))
                        pod = o;
                else if (streq(object_kind(o), "Node"))
                        f.node = o;
                else if (streq(object_kind(o), "Image"))
                        stored = o;
                else
                        json_object_set(json_object_get(resources, key_of(object_kind(o))),
                                        object_name(o), o);
        }
        if (json_bool_or(pod, "spec.hostNetwork", false))
                f.netns_path = NULL;
        if (images_resolve(pod, &images, &p) < 0)
                return strformat("refused: %s: %s\n", strempty(p.reason), strempty(p.message));
        json_object_foreach (images, container, image)
                if (streq(json_str_or(image, "root", ""), "oci"))
                        json_object_update(image, json_object_get(stored, "image"));
        f.images = images;
        if (pod_to_units(pod, resources, &f, &plan, &p) < 0)
                return strformat("refused: %s: %s\n", strempty(p.reason), strempty(p.message));
        text = json_dumps(plan, JSON_INDENT(2) | JSON_SORT_KEYS);
        char *line = strformat("%s\n", text);
        free(text);
        return line;
}

static void test_goldens(void **state) {
        static const char *const names[] = {"minimal", "streams", "environment", "volumes", "security",
                        "resources", "job", "images", "hooks", "passthrough", "refused-image",
                        "refused-command", "refused-key", "refused-property", "refused-path",
                        "sidecars", "whole", "token", "sandbox", "claims", "local-root",
                        "refused-claim", "refused-owner", "refused-node", "refused-affinity",
                        "refused-volume", "shares", "refused-share", "oci", "oci-pod",
                        "refused-non-root", "refused-named-user", "refused-no-command", "socket",
                        "refused-socket", "adopt", "refused-adopt", "refused-adopt-level",
                        "refused-adopt-limits", "refused-adopt-unit", "ephemeral"};

        for (size_t i = 0; i < ELEMENTS(names); i++)
                golden_check("pod-to-units", names[i], convert);
}

static json_t *parse(const char *yaml) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(yaml_parse(yaml, strlen(yaml), &docs, &p), 0);
        assert_int_equal(docs.count, 1);
        return json_ref(docs.items[0].value);
}

/* NFS shares: what is mounted, with which options, and what is refused. */
static void test_shares(void **state) {
        static const struct {
                const char *server, *path, *options;
                const char *expected; /* "WHAT OPTIONS", or the message */
        } cases[] = {
                        {"s", "/a", NULL, "s:/a nosuid,nodev"},
                        {"10.0.0.1", "//a/./b/", "[soft, 'timeo=50,retrans=2']",
                                        "10.0.0.1:/a/b soft,timeo=50,retrans=2,nosuid,nodev"},
                        {"fe80::1%eth0", "/", "[]", "[fe80::1%eth0]:/ nosuid,nodev"},
                        {"[2001:db8::1]", "/a", "[suid]", "[2001:db8::1]:/a suid,nosuid,nodev"},
                        {"", "/a", NULL, "nfs.server '' is not a host name or address"},
                        {"-o", "/a", NULL, "nfs.server '-o' is not a host name or address"},
                        {"a b", "/a", NULL, "nfs.server 'a b' is not a host name or address"},
                        {"a/b", "/a", NULL, "nfs.server 'a/b' is not a host name or address"},
                        {"s", "a", NULL,
                                        "nfs.path 'a' must be absolute, without '..', blanks, "
                                        "quotes and backslashes"},
                        {"s", "/a/../b", NULL,
                                        "nfs.path '/a/../b' must be absolute, without '..', "
                                        "blanks, quotes and backslashes"},
                        {"s", "/a", "['a b']", "the mount option 'a b' is not valid"},
                        {"s", "/a", "['']", "the mount option '' is not valid"},
                        {"s", "/a", "['ro,bind']",
                                        "the mount option 'bind' is not one of an NFS volume; "
                                        "remove it from mountOptions"},
                        {"s", "/a", "[x-systemd.automount]",
                                        "the mount option 'x-systemd.automount' is not one of an "
                                        "NFS volume; remove it from mountOptions"},
                        {"s", "/a", "['ro,X-mount.subdir=../..']",
                                        "the mount option 'X-mount.subdir=../..' is not one of an "
                                        "NFS volume; remove it from mountOptions"},
                        {"s", "/a", "[helper=x]",
                                        "the mount option 'helper=x' is not one of an NFS volume; "
                                        "remove it from mountOptions"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *options = cases[i].options ? parse(cases[i].options) : NULL,
                                      *share = NULL;
                _cleanup_problem_ struct problem p = {0};
                _cleanup_free_ char *text = NULL;
                int r = pod_share(cases[i].server, cases[i].path, options, &share, &p);

                text = r < 0 ? strdup(strempty(p.message))
                             : strformat("%s %s", json_str_or(share, "what", ""),
                                               json_str_or(share, "options", ""));
                assert_string_equal(text, cases[i].expected);
        }
}

/* One mount for the same share with the same options, whoever has it. */
static void test_same_share(void **state) {
        _cleanup_json_ json_t *a = NULL, *b = NULL, *c = NULL, *options = parse("[soft]"),
                              *pod = parse("{spec: {volumes: [{name: v, nfs: {server: s, path: "
                                           "/a/}}]}}"),
                              *resources = parse("{volumes: {v: {spec: {mountOptions: [soft], nfs: "
                                                 "{server: s, path: /a}}}}}"),
                              *none = parse("{}");

        assert_int_equal(pod_share("s", "/a", NULL, &a, NULL), 0);
        assert_int_equal(pod_share("s", "/a/", NULL, &b, NULL), 0);
        assert_int_equal(pod_share("s", "/a", options, &c, NULL), 0);
        assert_true(json_equal(a, b));
        assert_string_not_equal(json_str(a, "where"), json_str(c, "where"));
        assert_true(pod_uses_share(pod, none, json_str(a, "where")));
        assert_false(pod_uses_share(pod, none, json_str(c, "where")));
        assert_true(pod_uses_share(none, resources, json_str(c, "where")));
        assert_false(pod_uses_share(none, resources, json_str(a, "where")));
}

/* The folder of a volume of keelson.dev/nfs is below its share, or the pod does not start. */
static void test_share_folders(void **state) {
        static const struct {
                const char *share, *path, *folder; /* NULL: refused */
        } cases[] = {
                        {"/export", "/export/a", "a"},
                        {"/", "/a/b", "a/b"},
                        {"/export", "/export", NULL},
                        {"/export", "/exporta", NULL},
                        {"/export", "/export/../etc", NULL},
                        {"/export", "/export/a//b", NULL},
                        {"/export", "/export/.a", NULL},
                        {"/export", "/other/a", NULL},
                        {"", "/a", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *volume = json_pack("{s:{s:s, s:{s:s, s:s}}, s:{s:{s:s, "
                                                          "s:s}}}",
                                                      "metadata", "name", "v", "annotations",
                                                      "pv.kubernetes.io/provisioned-by",
                                                      "keelson.dev/nfs", "keelson.dev/share-path",
                                                      cases[i].share, "spec", "nfs", "server", "s",
                                                      "path", cases[i].path),
                                      *use = json_pack("{s:s}", "name", "x"), *out = NULL;
                _cleanup_problem_ struct problem p = {0};
                int r = pod_share_volume(use, volume, &facts, &out, &p);

                assert_int_equal(r, cases[i].folder ? 0 : -EINVAL);
                if (cases[i].folder)
                        assert_string_equal(json_str(out, "folder"), cases[i].folder);
        }
}

/* A pod that has started keeps its claims. */
static void test_keep_claims(void **state) {
        static const struct {
                const char *fresh, *claims, *volumes; /* the keys that result */
        } cases[] = {
                        {"{}", "{a: {spec: {volumeName: v1}}}", "{v1: {metadata: {name: v1}}}"},
                        /* another claim of that name */
                        {"{claims: {a: {spec: {volumeName: v2}}}, volumes: {v2: {}}}",
                                        "{a: {spec: {volumeName: v1}}}",
                                        "{v1: {metadata: {name: v1}}, v2: {}}"},
                        /* only the volume is gone */
                        {"{claims: {a: {spec: {volumeName: v1}}}}", "{a: {spec: {volumeName: v1}}}",
                                        "{v1: {metadata: {name: v1}}}"},
                        /* both are newer */
                        {"{claims: {a: {new: 1, spec: {volumeName: v1}}}, volumes: {v1: {new: 1}}}",
                                        "{a: {new: 1, spec: {volumeName: v1}}}", "{v1: {new: 1}}"},
        };
        _cleanup_json_ json_t *before = parse("{claims: {a: {spec: {volumeName: v1}}, b: {}}, "
                                              "volumes: {v1: {metadata: {name: v1}}}}");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *fresh = parse(cases[i].fresh), *same = parse(cases[i].fresh),
                                      *claims = parse(cases[i].claims),
                                      *volumes = parse(cases[i].volumes), *out = NULL;

                assert_int_equal(pod_keep_claims(before, fresh, &out), 0);
                assert_true(json_equal(json_object_get(out, "claims"), claims));
                assert_true(json_equal(json_object_get(out, "volumes"), volumes));
                assert_true(json_equal(fresh, same));
        }
}

static void test_refusals(void **state) {
        static const struct {
                const char *spec, *annotation, *want;
        } cases[] = {
                        {"{}", "unit.keelson.dev/Conflicts: sshd.service", "other units"},
                        {"{}", "unit.keelson.dev/PartOf: sshd.service", "other units"},
                        {"{}", "c.unit.keelson.dev/Before: sshd.service", "other units"},
                        {"{}", "unit.keelson.dev/Wants: poweroff.target", "other units"},
                        {"{}", "unit.keelson.dev/OnFailure: x.service", "other units"},
                        {"{}", "unit.keelson.dev/Slice: system.slice", "its own slice"},
                        {"{}", "unit.keelson.dev/User: root", "runAsUser"},
                        {"{}", "unit.keelson.dev/DynamicUser: 'no'", "runAsUser"},
                        {"{}", "unit.keelson.dev/CapabilityBoundingSet: CAP_SYS_ADMIN",
                                        "capabilities"},
                        {"{}", "unit.keelson.dev/StandardOutput: 'append:/etc/passwd'", "as root"},
                        {"{}", "unit.keelson.dev/StandardInput: 'file:/etc/shadow'", "as root"},
                        {"{}", "unit.keelson.dev/StateDirectory: keelson", "folder of the machine"},
                        {"{}", "unit.keelson.dev/RootDirectory: /", "image"},
                        {"{}", "unit.keelson.dev/LogExtraFields: KEELSON_POD=other",
                                        "of a log line"},
                        {"{}", "unit.keelson.dev/KillMode: none", "outlive"},
                        {"{}", "unit.keelson.dev/NetworkNamespacePath: /proc/1/ns/net",
                                        "hostNetwork"},
                        {"{}", "unit.keelson.dev/ExecStartPre: +/bin/sh", "annotation"},
                        {"image: /", "a: b", "the machine's own"},
                        {"image: /usr/../", "a: b", "must be absolute"},
                        {"image: /proc/1/root", "a: b", "folder of the system"},
                        {"image: /var/lib/keelson/x", "a: b", "keelson"},
                        {"volumeMounts: [{name: v, mountPath: /x, subPath: a/../..}]", "a: b",
                                        "subPath"},
                        {"volumeMounts: [{name: v, mountPath: /x, subPath: /etc}]", "a: b",
                                        "subPath"},
                        {"volumeMounts: [{name: v, mountPath: /x, subPathExpr: $(NO)}]", "a: b",
                                        "no variable NO"},
                        {"env: [{name: UP, value: ../..}], volumeMounts: [{name: v, mountPath: /x, "
                         "subPathExpr: $(UP)}]",
                                        "a: b", "without '..'"},
                        {"volumeMounts: [{name: v, mountPath: /x/../etc}]", "a: b", "mountPath"},
                        {"volumeMounts: [{name: v, mountPath: /}]", "a: b", "mountPath"},
                        {"volumeMounts: [{name: h, mountPath: /x}]", "a: b", "hostPath"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const char *spec = streq(cases[i].spec, "{}") ? "env: []" : cases[i].spec;
                _cleanup_free_ char *yaml = strformat(
                                "kind: Pod\nmetadata: {name: p, namespace: n, uid: u, annotations: "
                                "{%s}}\n"
                                "spec:\n  volumes: [{name: v, emptyDir: {}}%s]\n"
                                "  containers: [{name: c, command: [/bin/a], %s}]\n",
                                cases[i].annotation,
                                strstr(spec, "name: h,")
                                                ? ", {name: h, hostPath: {path: /a/../etc}}"
                                                : "",
                                spec);
                _cleanup_free_ char *got = convert(yaml);

                if (!startswith(got, "refused: ") || !strstr(got, cases[i].want))
                        fail_msg("%s, %s: %s", spec, cases[i].annotation, got);
        }
}

static void test_expansion(void **state) {
        _cleanup_json_ json_t *names = json_pack("{s:s}", "A", "x");
        static const struct {
                const char *in, *out;
        } cases[] = {{"$(A)$(A)", "xx"}, {"$$(A)", "$(A)"}, {"$(B)", "$(B)"}, {"$(A", "$(A"},
                        {"a$b", "a$b"}, {"", ""}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *got = pod_env_expand(names, cases[i].in);
                assert_string_equal(got, cases[i].out);
        }
}

static void test_names(void **state) {
        _cleanup_json_ json_t *pod = json_pack("{s:{s:s, s:s, s:s}}", "metadata", "namespace",
                                              "demo", "name", "web-1", "uid", "1-2-3"),
                              *long_pod = json_object();
        _cleanup_free_ char *name = pod_unit_name(pod, "c"), *run = pod_exec_unit_name(pod, "c", 7),
                            *slice = pod_slice_name("1-2-3");
        char text[254];

        assert_string_equal(name, "kpod-demo_web-1_c.service");
        assert_string_equal(run, "kpodx-demo_web-1_c_7.service");
        assert_string_equal(slice, "keelson-pod_1_2_3.slice");
        memset(text, 'a', sizeof(text) - 1);
        text[sizeof(text) - 1] = 0;
        json_set_str(long_pod, "metadata.name", text);
        json_set_str(long_pod, "metadata.namespace", "demo");
        _cleanup_free_ char *one = pod_unit_name(long_pod, "one"),
                            *two = pod_unit_name(long_pod, "two");
        assert_true(strlen(one) < 255);
        assert_string_not_equal(one, two);
        /* The end of the name counts too, though it is cut. */
        text[sizeof(text) - 2] = 'b';
        json_set_str(long_pod, "metadata.name", text);
        _cleanup_free_ char *other = pod_unit_name(long_pod, "one");
        assert_string_not_equal(one, other);
}

/* Every length of names makes a valid unit name, with room for ".d" after it. */
static void test_long_names(void **state) {
        static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    ":-_.\\";
        char pod[254] = "", part[64] = "";

        for (size_t n = 1; n < sizeof(pod); n++)
                for (size_t k = 1; k < sizeof(part); k += 31) {
                        _cleanup_json_ json_t *o = json_object();

                        memset(pod, 'p', n);
                        pod[n] = 0;
                        memset(part, 'c', k);
                        part[k] = 0;
                        json_set_str(o, "metadata.name", pod);
                        json_set_str(o, "metadata.namespace", part);
                        _cleanup_free_ char *name = pod_unit_name(o, part),
                                            *run = pod_exec_unit_name(o, part, UINT_MAX);
                        /* A private /tmp is systemd-private-<boot>-<unit>-XXXXXX. */
                        assert_true(strlen(name) + 56 <= 255 && strlen(run) + 56 <= 255);
                        assert_int_equal(strspn(name, valid), strlen(name));
                        assert_int_equal(strspn(run, valid), strlen(run));
                        assert_non_null(strstr(name, part));
                }
}

/* What the unit runs, read back as kpod-exec does: any word, and any name of a variable. */
static void test_command_file(void **state) {
        static const char want[] = "kpod-exec 1\nD/work dir\0T/dev/log\0Ea.b-c=1\0EX=$Y %n\0"
                                   "A/bin/sh\0A\0A;\0A$HOME \"\\%n\n";
        _cleanup_json_ json_t *start = json_pack("{s:s, s:s, s:[s,s], s:{s:[s,s,s,s], s:[s]}}",
                        "workingDir", "/work dir", "messagePath", "/dev/log", "environment",
                        "a.b-c=1", "X=$Y %n", "commands", "main", "/bin/sh", "", ";",
                        "$HOME \"\\%n\n", "hook", "x");
        size_t n;
        _cleanup_free_ char *text = pod_command_file(start, "main", &n);

        assert_int_equal(n, sizeof(want));
        assert_memory_equal(text, want, sizeof(want));
        assert_null(pod_command_file(start, "other", &n));
}

static void test_exec_unit(void **state) {
        _cleanup_json_ json_t *unit = json_pack("{s:s, s:{s:s}, s:{s:s, s:{s:[s]}}}", "name", "u",
                                              "properties", "Restart", "always", "start", "dir",
                                              "/d", "commands", "main", "a"),
                              *words = json_pack("[s,s]", "$x", "");
        _cleanup_json_ json_t *run = pod_exec_unit(unit, "kpodx-a_b_c_7.service", words, 1000000);
        _cleanup_json_ json_t *exec = json_pack("[[s,s]]", "/run/kpod/exec",
                                              "/run/kpod/command/run_7"),
                              *commands = json_pack("{s:O}", "run_7", words);

        assert_true(json_equal(json_at(run, "properties.ExecStartEx"), exec));
        assert_true(json_equal(json_at(run, "start.commands"), commands));
        assert_null(json_at(run, "properties.Restart"));
}

/* A container that has a terminal and a standard input of its own, and a command beside it. */
static void test_stream_unit(void **state) {
        _cleanup_json_ json_t *unit = json_pack(
                "{s:s, s:{s:s, s:s, s:s, s:s}, s:{s:s, s:{s:[s]}, s:[s]}}", "name", "u",
                "properties", "StandardInput", "tty", "StandardOutput", "tty", "TTYPath", "/t",
                "StandardInputFile", "/s", "start", "dir", "/d", "commands", "main", "a",
                "environment", "A=b"),
                              *words = json_pack("[s]", "sh");
        static const char *const gone[] = {"StandardInput", "StandardOutput", "TTYPath",
                        "StandardInputFile", "TimeoutStartUSec"};
        static const struct {
                unsigned flags;
                const char *own, *want; /* TERM of the container, and the last variable */
        } cases[] = {{0, NULL, "A=b"}, {POD_STREAM_TTY, NULL, "TERM=xterm"},
                        {POD_STREAM_TTY, "TERM=vt100", "TERM=vt100"}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *from = json_deep_copy(unit), *run = NULL;
                json_t *list = json_object_get(json_object_get(from, "start"), "environment");
                const json_t *variables;

                if (cases[i].own)
                        json_array_append_new(list, json_string(cases[i].own));
                run = pod_stream_unit(from, "kpode-a_b_c_7.service", words, cases[i].flags);
                variables = json_at(run, "start.environment");
                for (size_t g = 0; g < ELEMENTS(gone); g++)
                        assert_null(json_get(run, "properties", gone[g], NULL));
                assert_string_equal(json_str_or(run, "properties.Type", ""), "exec");
                assert_string_equal(json_str_or(run, "partOf", ""), "u");
                assert_string_equal(json_string_value(json_array_get(
                                                    variables, json_array_size(variables) - 1)),
                                cases[i].want);
        }
}

static void test_references(void **state) {
        static const char text[] = "{\"spec\":{\"containers\":[{\"envFrom\":[{\"configMapRef\":{"
                                   "\"name\":\"a\",\"optional\":true}}],"
                                   "\"env\":[{\"name\":\"X\",\"valueFrom\":{\"secretKeyRef\":{"
                                   "\"name\":\"s\",\"key\":\"k\"}}},"
                                   "{\"name\":\"Y\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":"
                                   "\"a\",\"key\":\"k\"}}}]}],"
                                   "\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"t\","
                                   "\"optional\":true}}]}}";
        json_t *pod;
        _cleanup_json_ json_t *got = NULL;

        assert_int_equal(json_parse(text, strlen(text), 0, &pod, NULL), 0);
        got = pod_references(pod);
        json_decref(pod);
        _cleanup_free_ char *line = json_dumps(got, JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(line,
                        "{\"configmaps\":{\"a\":false},\"secrets\":{\"s\":false,\"t\":true}}");
}

static void test_properties(void **state) {
        static const struct {
                const char *name, *text, *json;
        } cases[] = {{"MemoryHigh", "64M", "67108864"}, {"MemoryHigh", "infinity", "-1"},
                        {"MemoryHigh", "64X", NULL}, {"TimeoutStartSec", "5s", "5000000"},
                        {"CPUQuota", "150%", "1500000"}, {"CPUQuota", "150", NULL},
                        {"ProtectHome", "read-only", "\"read-only\""},
                        {"PrivateTmp", "yes", "true"}, {"PrivateTmp", "maybe", NULL},
                        {"UMask", "0077", "63"}, {"UMask", "0088", NULL},
                        {"SystemCallFilter", "~@mount ptrace",
                                        "{\"allow\":false,\"names\":[\"@mount\",\"ptrace\"]}"},
                        {"Nice", "-5", "-5"}, {"Nice", "x", NULL},
                        {"CapabilityBoundingSet", "CAP_CHOWN", "[\"CAP_CHOWN\"]"},
                        {"CapabilityBoundingSet", "CAP_NONE", NULL},
                        {"RestrictNamespaces", "yes", "[]"},
                        {"RestrictNamespaces", "user ipc", "[\"ipc\",\"user\"]"},
                        {"RestrictNamespaces", "~user ipc cgroup net uts", "[\"mnt\",\"pid\"]"},
                        {"RestrictNamespaces", "usr", NULL}, {"ExecStartPre", "/bin/true", NULL}};

        assert_null(prop_find("NoSuchThing"));
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *v = NULL;
                int r = prop_from_text(prop_find(cases[i].name), cases[i].text, &v, &p);

                if (!cases[i].json) {
                        assert_int_equal(r, -EINVAL);
                        assert_non_null(p.message);
                        continue;
                }
                assert_int_equal(r, 0);
                _cleanup_free_ char *got =
                                json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
                assert_string_equal(got, cases[i].json);
        }
}

#define POD_BEGIN \
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: d, uid: u}\nspec:\n" \
        "  volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}]\n"

static void test_mounts_in_volumes(void **state) {
        static const struct {
                const char *container, *want;
        } cases[] = {{"{name: c, image: host, command: [/x], terminationMessagePath: /d/l/nologin, "
                      "volumeMounts: [{name: v, mountPath: /d}]}",
                                     "terminationMessagePath '/d/l/nologin' is in volume v"},
                        /* the same folder by another name */
                        {"{name: c, image: host, command: [/x], terminationMessagePath: /lib/d/m, "
                         "volumeMounts: [{name: v, mountPath: /usr/lib/d}]}",
                                        "terminationMessagePath '/lib/d/m' is in volume v"},
                        {"{name: c, image: host, command: [/x], volumeMounts: [{name: v, "
                         "mountPath: "
                         "/d}, {name: w, mountPath: /d/l/nologin}]}",
                                        "\"below\": \"l/nologin\""},
                        {"{name: c, image: host, command: [/x], volumeMounts: [{name: v, "
                         "mountPath: "
                         "/usr/lib/d}, {name: w, mountPath: /lib/d/l}]}",
                                        "\"below\": \"l\""},
                        {"{name: c, image: /srv/i, command: [/x], volumeMounts: [{name: v, "
                         "mountPath: /dev}]}",
                                        "\"below\": \"shm\""},
                        {"{name: c, image: host, command: [/x], volumeMounts: [{name: v, "
                         "mountPath: "
                         "/lib/x}]}",
                                        "/run/pod/points/c/usr"},
                        {"{name: c, image: host, command: [/x], volumeMounts: [{name: v, "
                         "mountPath: "
                         "/sbin/x}]}",
                                        "\"/usr/sbin/x\""}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *yaml = strformat(POD_BEGIN "  containers: [%s]\n",
                                                    cases[i].container),
                                    *got = convert(yaml);

                if (!strstr(got, cases[i].want))
                        fail_msg("'%s' is not in %s", cases[i].want, got);
        }
        {
                /* Beside a volume, not below it. */
                _cleanup_free_ char *got = convert(POD_BEGIN
                                "  containers: [{name: c, image: host, command: [/x], "
                                "terminationMessagePath: /data/m, volumeMounts: [{name: v, "
                                "mountPath: /dat}, {name: w, mountPath: /d}]}]\n");

                assert_null(strstr(got, "below"));
                assert_non_null(strstr(got, "/data/m"));
        }
}

static void test_many_groups(void **state) {
        for (int count = 64; count <= 65; count++) {
                _cleanup_buf_ struct buf yaml = {0};
                _cleanup_free_ char *got = NULL, *text = NULL;

                buf_append_str(&yaml,
                                POD_BEGIN "  containers: [{name: c, image: host, command: [/x]}]\n"
                                          "  securityContext: {fsGroup: 7, supplementalGroups: [");
                for (int i = 0; i < count; i++)
                        buf_printf(&yaml, "%s%d", i > 0 ? ", " : "", 3000 + i);
                buf_append_str(&yaml, "]}\n");
                text = buf_take(&yaml);
                assert_non_null(text);
                got = convert(text);
                assert_true((strstr(got, "refused: CreateContainerConfigError: securityContext."
                                         "supplementalGroups has 65 groups") != NULL) ==
                                (count == 65));
        }
}

/* Comparing each name with all earlier ones would take minutes. */
static void test_many_variables(void **state) {
        enum { COUNT = 100000 };
        _cleanup_json_ json_t *env = json_array(), *container = NULL,
                              *pod = json_pack("{s:{s:s}, s:{s:b}}", "metadata", "name", "p",
                                              "spec", "enableServiceLinks", 0);
        _cleanup_(pod_env_done) struct pod_env e = {0};
        _cleanup_problem_ struct problem p = {0};

        for (int i = 0; i < COUNT; i++)
                json_array_append_new(env, json_pack("{s:o, s:s}", "name", json_sprintf("V%d", i),
                                                           "value", "1"));
        json_array_append_new(env, json_pack("{s:s, s:s}", "name", "V5", "value", "$(V6)2"));
        container = json_pack("{s:O}", "env", env);
        assert_int_equal(pod_env_build(pod, container, NULL, &facts, &e, &p), 0);
        assert_int_equal(json_array_size(e.plain), COUNT + 1);
        assert_string_equal(json_string_value(json_array_get(e.plain, COUNT)), "V5=12");
}

static void test_variables_of_variables(void **state) {
        _cleanup_json_ json_t *env = json_array(), *container = json_pack("{s:O}", "env", env),
                              *pod = json_pack("{s:{s:s}, s:{s:b}}", "metadata", "name", "p",
                                              "spec", "enableServiceLinks", 0);
        _cleanup_(pod_env_done) struct pod_env e = {0};
        _cleanup_problem_ struct problem p = {0};

        json_array_append_new(env, json_pack("{s:s, s:s}", "name", "V0", "value", "0123456789"));
        for (int i = 1; i < 60; i++)
                json_array_append_new(env,
                                json_pack("{s:o, s:o}", "name", json_sprintf("V%d", i), "value",
                                                json_sprintf("$(V%d)$(V%d)", i - 1, i - 1)));
        assert_true(pod_env_build(pod, container, NULL, &facts, &e, &p) < 0);
        assert_non_null(strstr(p.message, "environment variable V18: its value has more than"));
}

static json_t *unit_with(const char *properties) {
        return json_pack("{s:o}", "properties", parse(properties));
}

/* Which processes of another container one sees in /proc: ptrace(2). */
static void test_ephemeral_sees(void **state) {
        static const struct {
                const char *unit, *target;
                bool sees;
        } cases[] = {
                        {"{ProtectProc: ptraceable, User: kp-1}", "{User: kp-1}", true},
                        {"{ProtectProc: ptraceable, User: kp-1}", "{User: '5000'}", false},
                        {"{ProtectProc: ptraceable, User: kp-1}",
                                        "{User: '5000', PrivateUsers: true}", false},
                        {"{ProtectProc: ptraceable, User: '5000', PrivateUsers: true}",
                                        "{User: '5000', PrivateUsers: true}", false},
                        {"{ProtectProc: ptraceable}", "{User: '5000', PrivateUsers: true}", true},
                        {"{User: kp-1}", "{User: '5000', PrivateUsers: true}", true},
                        {"{ProtectProc: ptraceable, CapabilityBoundingSet: [CAP_KILL]}",
                                        "{CapabilityBoundingSet: [CAP_KILL]}", true},
                        {"{ProtectProc: ptraceable, CapabilityBoundingSet: [CAP_KILL]}",
                                        "{CapabilityBoundingSet: [CAP_KILL, CAP_CHOWN]}", false},
                        {"{ProtectProc: ptraceable, CapabilityBoundingSet: [CAP_KILL]}", "{}",
                                        false}, /* a privileged one */
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *unit = unit_with(cases[i].unit),
                                      *target = unit_with(cases[i].target);

                if (ephemeral_sees(unit, target) != cases[i].sees)
                        fail_msg("case %zu", i);
        }
}

/* The terminals of pods are mounted once, and not over something that the pod mounts there. */
static void test_terminals(void **state) {
        static const struct {
                const char *properties;
                bool own_devices;
                const char *source; /* of what is mounted at /dev/pts */
        } cases[] = {{"{PrivateDevices: true}", false, "/terminals"},
                        {"{PrivateDevices: true}", true, "/terminals"},
                        {"{BindPaths: [[/mine, /dev/pts]]}", false, "/mine"},
                        {"{BindPaths: [[/mine, /dev]]}", false, NULL}};
        const struct pod_facts f = {.terminal_dir = "/terminals"};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *properties = parse(cases[i].properties);
                const json_t *bind;
                const char *source = NULL;
                size_t k, count = 0;

                assert_int_equal(pod_terminals(&f, properties), 0);
                if (cases[i].own_devices)
                        assert_int_equal(pod_own_devices(properties, "/devices"), 1);
                json_array_foreach (json_object_get(properties, "BindPaths"), k, bind) {
                        if (!streq(json_string_value(json_array_get(bind, 1)), "/dev/pts"))
                                continue;
                        source = json_string_value(json_array_get(bind, 0));
                        count++;
                }
                assert_true(count <= 1);
                assert_string_equal(strempty(source), strempty(cases[i].source));
        }
}

static void test_hash_follows_the_container(void **state) {
        _cleanup_json_ json_t *pod = json_pack("{s:{s:s}}", "metadata", "uid", "u");
        _cleanup_json_ json_t *a = json_pack("{s:s, s:s}", "name", "c", "image", "host"),
                              *b = json_pack("{s:s, s:s}", "name", "c", "image", "/x");
        _cleanup_json_ json_t *same =
                        json_pack("{s:s, s:s, s:i}", "image", "host", "name", "c", "ignored", 1);

        assert_int_not_equal(pod_container_hash(pod, a), pod_container_hash(pod, b));
        assert_int_equal(pod_container_hash(pod, a), pod_container_hash(pod, same));
}

/* What an older server kept and a newer one dropped makes no other container. */
static void test_hash_without_empty_parts(void **state) {
        static const struct {
                const char *was, *is;
                bool same;
        } rows[] = {
                        {"{name: c, image: a}", "{name: c, image: a}", true},
                        {"{name: c, image: a, args: []}", "{name: c, image: a}", true},
                        {"{name: c, image: a, command: [], workingDir: ''}", "{name: c, image: a}",
                                        true},
                        {"{name: c, image: a, command: [x], args: []}",
                                        "{name: c, image: a, command: [x]}", true},
                        {"{name: c, image: a, args: [x]}", "{name: c, image: a}", false},
                        {"{name: c, image: a, args: []}", "{name: c, image: b}", false},
                        {"{name: c, image: a, args: []}", "{name: c, image: a, args: [x]}", false},
        };
        _cleanup_json_ json_t *pod = json_pack("{s:{s:s}}", "metadata", "uid", "u");

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_json_ json_t *was = parse(rows[i].was), *is = parse(rows[i].is);
                char description[64];

                snprintf(description, sizeof(description), "Pod n/p container c [%08x]",
                                pod_container_hash(pod, was));
                if (pod_container_made(pod, is, description) != rows[i].same)
                        fail_msg("row %zu", i);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens),
                        cmocka_unit_test(test_keep_claims), cmocka_unit_test(test_shares),
                        cmocka_unit_test(test_same_share), cmocka_unit_test(test_share_folders),
                        cmocka_unit_test(test_refusals), cmocka_unit_test(test_expansion),
                        cmocka_unit_test(test_names), cmocka_unit_test(test_long_names),
                        cmocka_unit_test(test_command_file), cmocka_unit_test(test_exec_unit),
                        cmocka_unit_test(test_stream_unit),
                        cmocka_unit_test(test_references), cmocka_unit_test(test_properties),
                        cmocka_unit_test(test_hash_follows_the_container),
                        cmocka_unit_test(test_hash_without_empty_parts),
                        cmocka_unit_test(test_ephemeral_sees), cmocka_unit_test(test_terminals),
                        cmocka_unit_test(test_mounts_in_volumes),
                        cmocka_unit_test(test_many_groups), cmocka_unit_test(test_many_variables),
                        cmocka_unit_test(test_variables_of_variables)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
