/* Plans of the controllers of volumes and claims: binding, provisioning, phases, reclaiming,
 * protection, ephemeral claims. */
#include "lib/volumes.h"
#include "tests/unit/fake-world.h"

static void put_claim(struct fake *f, const char *name, const char *metadata, const char *spec,
                const char *status) {
        fake_put(f, WORLD_CLAIMS,
                        "metadata: {name: %s, namespace: d, uid: u-%s, resourceVersion: '5' %s}\n"
                        "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}"
                        " %s}\nstatus: {phase: Pending %s}\n",
                        name, name, metadata, spec, status);
}

static void put_volume(struct fake *f, const char *name, const char *size, const char *metadata,
                const char *spec, const char *phase) {
        fake_put(f, WORLD_VOLUMES,
                        "metadata: {name: %s, uid: u-%s, resourceVersion: '7' %s}\n"
                        "spec: {capacity: {storage: %s}, accessModes: [ReadWriteOnce], hostPath: "
                        "{path: /a} %s}\nstatus: {phase: %s}\n",
                        name, name, metadata, size, spec, phase);
}

static void put_class(struct fake *f, const char *name, const char *provisioner, const char *more) {
        fake_put(f, WORLD_CLASSES,
                        "metadata: {name: %s}\nprovisioner: %s\nreclaimPolicy: Delete\n%s", name,
                        provisioner, more);
}

static void put_node(struct fake *f, const char *name, const char *labels, const char *spec) {
        fake_put(f, WORLD_NODES,
                        "metadata: {name: %s, labels: {kubernetes.io/hostname: %s %s}}\nspec: {%s}\n"
                        "status: {conditions: [{type: Ready, status: 'True'}]}\n",
                        name, name, labels, spec);
}

#define BOUND ", annotations: {pv.kubernetes.io/bind-completed: 'yes'}"
#define DELETING ", deletionTimestamp: '2026-01-01T11:00:00Z', finalizers: [a/b, "
#define REF(claim, uid) ", claimRef: {namespace: d, name: " claim ", uid: " uid "}"

/* The smallest that is large enough and of the class, mode and labels. */
static void test_best_volume(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_claim(f, "c", "", ", selector: {matchLabels: {a: b}}", "");
        put_volume(f, "small", "1Gi", ", labels: {a: b}", "", "Available");
        put_volume(f, "large", "9Gi", ", labels: {a: b}", "", "Available");
        put_volume(f, "other", "2Gi", "", "", "Available");
        put_volume(f, "classy", "2Gi", ", labels: {a: b}", ", storageClassName: s", "Available");
        put_volume(f, "block", "2Gi", ", labels: {a: b}", ", volumeMode: Block", "Available");
        put_volume(f, "new", "2Gi", ", labels: {a: b}", "", "Pending");
        put_volume(f, "taken", "2Gi", ", labels: {a: b}", REF("x", "u-x"), "Bound");
        assert_plan(f, &volumeclaim_controller, "d/c", "patch persistentvolumes large");
        put_volume(f, "fits", "2Gi", ", labels: {a: b}", "", "Available");
        assert_plan(f, &volumeclaim_controller, "d/c", "patch persistentvolumes fits");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"annotations\":{\"pv.kubernetes.io/bound-by-controller\":\"yes\"}");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "\"uid\":\"u-c\"");
        /* One that is kept for the claim goes before all others. */
        put_volume(f, "kept", "1Ti", "", ", claimRef: {namespace: d, name: c}", "Available");
        assert_plan(f, &volumeclaim_controller, "d/c", "patch persistentvolumes kept");
}

static const struct {
        const char *volume, *size, *claim; /* further metadata; requested; further spec */
        const char *expected;              /* NULL: it can serve */
} mismatches[] = {
                {"", "2Gi", "", NULL},
                {"deletionTimestamp: '2026-01-01T00:00:00Z'", "1Gi", "",
                                "the volume is being deleted"},
                {"", "3Gi", "", "requested PV is too small"},
                {"", "1Gi", ", storageClassName: s", "storageClassName does not match"},
                {"annotations: {volume.beta.kubernetes.io/storage-class: s}", "1Gi",
                                ", storageClassName: s", NULL},
                {"annotations: {volume.beta.kubernetes.io/storage-class: t}", "1Gi",
                                ", storageClassName: s", "storageClassName does not match"},
                {"", "1Gi", ", volumeMode: Block", "incompatible volumeMode"},
                {"", "1Gi", ", accessModes: [ReadWriteOnce, ReadWriteMany]",
                                "incompatible accessMode"},
};

/* The scheduler asks the same as the binder (lib/volumes.h). */
static void test_mismatch(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        for (size_t i = 0; i < ELEMENTS(mismatches); i++) {
                const json_t *volume = fake_put(f, WORLD_VOLUMES,
                                "metadata: {name: v, %s}\nspec: {capacity: {storage: 2Gi}, "
                                "accessModes: [ReadWriteOnce, ReadOnlyMany]}\n",
                                mismatches[i].volume);
                const json_t *claim = fake_put(f, WORLD_CLAIMS,
                                "metadata: {name: c, namespace: d}\nspec: {resources: {requests: "
                                "{storage: %s}}%s}\n",
                                mismatches[i].size, mismatches[i].claim);
                const char *why = volume_mismatch(volume, claim);

                if (!streq_ptr(why, mismatches[i].expected))
                        fail_msg("case %zu: %s", i, strempty(why));
        }
}

/* The volume has the claim; now the claim gets the volume. */
static void test_second_write(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_claim(f, "c", "", "", "");
        put_volume(f, "v", "2Gi", "", REF("c", "u-c"), "Available");
        assert_plan(f, &volumeclaim_controller, "d/c", "patch persistentvolumeclaims d/c");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "\"volumeName\":\"v\"");
        put_claim(f, "c", BOUND, ", volumeName: v", "");
        assert_plan(f, &volumeclaim_controller, "d/c", "");
        assert_report(f, &volumeclaim_controller, "d/c", "phase", "\"Bound\"");
        assert_report(f, &volumeclaim_controller, "d/c", "capacity.storage", "\"2Gi\"");
        assert_report(f, &volumeclaim_controller, "d/c", "accessModes", "[\"ReadWriteOnce\"]");
        assert_report(f, &volume_controller, "v", "phase", "\"Bound\"");
}

static void test_named_volume(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_claim(f, "c", "", ", volumeName: v", "");
        assert_plan(f, &volumeclaim_controller, "d/c", "");
        put_volume(f, "v", "1Gi", "", "", "Available");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "VolumeMismatch: Cannot bind to requested volume \"v\": requested PV is too "
                        "small");
        put_volume(f, "v", "2Gi", "", REF("x", "u-x"), "Bound");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "FailedBinding: volume \"v\" already bound to a different claim.");
        put_volume(f, "v", "2Gi", "", "", "Available");
        assert_plan(f, &volumeclaim_controller, "d/c", "patch persistentvolumes v");
}

static void test_lost(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_claim(f, "c", BOUND, ", volumeName: v", ", capacity: {storage: 2Gi}");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "ClaimLost: Bound claim has lost its");
        assert_report(f, &volumeclaim_controller, "d/c", "phase", "\"Lost\"");
        assert_report(f, &volumeclaim_controller, "d/c", "capacity", "absent");
        put_volume(f, "v", "2Gi", "", REF("x", "u-x"), "Bound");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "ClaimMisbound: Two claims are bound");
}

static void test_events(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_claim(f, "c", "", "", "");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "FailedBinding: no persistent volumes available for this claim and no "
                        "storage class is set");
        put_claim(f, "c", "", ", storageClassName: s", "");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "ProvisioningFailed: storageclass.storage.k8s.io \"s\" not found");
        put_class(f, "s", "example.com/x", "");
        assert_plan(f, &volumeclaim_controller, "d/c",
                        "patch persistentvolumeclaims d/c|event events d/c");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "ExternalProvisioning: Waiting for a volume to be created either by the "
                        "external provisioner 'example.com/x'");
        put_class(f, "s", "example.com/x", "volumeBindingMode: WaitForFirstConsumer\n");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "WaitForFirstConsumer: waiting for first consumer to be created before "
                        "binding");
        /* The default class came later. */
        put_claim(f, "c", "", "", "");
        put_class(f, "s", "keelson.dev/local", "allowVolumeExpansion: true\n");
        fake_put(f, WORLD_CLASSES,
                        "metadata: {name: s, annotations: {storageclass.kubernetes.io/"
                        "is-default-class: 'true'}}\nprovisioner: keelson.dev/local\n");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "{\"storageClassName\":\"s\"}");
}

static void test_local(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_class(f, "s", "keelson.dev/local", "volumeBindingMode: WaitForFirstConsumer\n");
        put_claim(f, "c", ", annotations: {volume.kubernetes.io/selected-node: n2}",
                        ", storageClassName: s", "");
        assert_plan(f, &volumeclaim_controller, "d/c",
                        "event events d/c|guard-absent nodes n2|patch persistentvolumeclaims d/c");
        put_node(f, "n1", "", "");
        put_node(f, "n2", "", "");
        assert_plan(f, &volumeclaim_controller, "d/c", "create persistentvolumes pvc-u-c");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"local\":{\"path\":\"/var/lib/keelson/volumes/pvc-u-c\"}");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"labels\":{\"keelson.dev/node\":\"n2\"}");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"matchExpressions\":[{\"key\":\"kubernetes.io/hostname\",\"operator\":"
                        "\"In\",\"values\":[\"n2\"]}]");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"finalizers\":[\"keelson.dev/volume-data\"]");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"persistentVolumeReclaimPolicy\":\"Delete\"");
        /* The volume says whether its node limits the size. */
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"keelson.dev/volume-size\":\"unlimited\"");
        put_node(f, "n2", ", keelson.dev/volume-size: btrfs-quota", "");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"keelson.dev/volume-size\":\"btrfs-quota\"");
}

/* Without a scheduler's choice: only nodes that take work, and that the class allows. */
static void test_local_immediate(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_class(f, "s", "keelson.dev/local",
                        "allowedTopologies: [{matchLabelExpressions: [{key: zone, values: [a]}]}]\n");
        put_claim(f, "c", "", ", storageClassName: s", "");
        put_node(f, "n1", ", zone: b", "");
        put_node(f, "n2", ", zone: a", "unschedulable: true");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "ProvisioningFailed: failed to provision volume with StorageClass \"s\": no "
                        "ready node takes volumes of the class");
        put_node(f, "n3", ", zone: a", "");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "\"keelson.dev/node\":\"n3\"");
}

/* A user may write the annotation of the scheduler, too. */
static void test_selected_node(void **state) {
        static const char *const provisioners[] = {"keelson.dev/local", "keelson.dev/nfs"};

        for (size_t i = 0; i < ELEMENTS(provisioners); i++) {
                _cleanup_fake_ struct fake *f = fake_new();

                put_class(f, "s", provisioners[i],
                                "volumeBindingMode: WaitForFirstConsumer\nallowedTopologies: "
                                "[{matchLabelExpressions: [{key: zone, values: [a]}]}]\n");
                put_claim(f, "c", ", annotations: {volume.kubernetes.io/selected-node: n1}",
                                ", storageClassName: s", "");
                put_node(f, "n1", ", zone: b", "");
                put_node(f, "n2", ", zone: a", "");
                assert_plan(f, &volumeclaim_controller, "d/c",
                                "event events d/c|patch persistentvolumeclaims d/c");
                assert_plan_has(f, &volumeclaim_controller, "d/c",
                                "ProvisioningFailed: failed to provision volume with StorageClass "
                                "\"s\": the node that was selected is not one of allowedTopologies");
                assert_plan_has(f, &volumeclaim_controller, "d/c",
                                "\"volume.kubernetes.io/selected-node\":null");
        }
}

#define NFS "parameters: {server: files, path: /export/}\n"

/* A folder below a share, of the claim's and the volume's names. */
static void test_nfs(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_class(f, "s", "keelson.dev/nfs",
                        NFS "mountOptions: [soft]\nallowedTopologies: [{matchLabelExpressions: "
                            "[{key: zone, values: [a]}]}]\n");
        fake_put(f, WORLD_CLAIMS,
                        "metadata: {name: c, namespace: d, uid: u-c}\nspec: {storageClassName: s, "
                        "accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}\n");
        assert_plan(f, &volumeclaim_controller, "d/c", "create persistentvolumes pvc-u-c");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "\"accessModes\":[\"ReadWriteMany\"]");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"nfs\":{\"path\":\"/export/d-c-pvc-u-c\",\"server\":\"files\"}");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "\"mountOptions\":[\"soft\"]");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"In\",\"values\":"
                        "[\"a\"]}]");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"keelson.dev/share-path\":\"/export\"");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"finalizers\":[\"keelson.dev/volume-data\"]");
}

/* A folder that is not the volume's own by its name gives the volume its name: there is only one of
 * it, and a second claim waits. */
static void test_nfs_pattern(void **state) {
        static const char *const pattern =
                        "parameters: {server: files, path: /, onDelete: archive, pathPattern: "
                        "'${.PVC.namespace}/${.PVC.labels.app}'}\n";
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *first = NULL, *second = NULL, *name = NULL;
        const char *found;

        put_class(f, "s", "keelson.dev/nfs", pattern);
        put_claim(f, "c", ", labels: {app: web}", ", storageClassName: s", "");
        put_claim(f, "e", ", labels: {app: web}", ", storageClassName: s", "");
        first = fake_plan(f, &volumeclaim_controller, "d/c", NULL);
        second = fake_plan(f, &volumeclaim_controller, "d/e", NULL);
        assert_non_null(strstr(first, "\"path\":\"/d/web\""));
        assert_non_null(strstr(first, "\"keelson.dev/on-delete\":\"archive\""));
        found = strstr(first, "nfs-");
        assert_non_null(found);
        name = strndup(found, 36);
        assert_non_null(strstr(second, name));
        put_volume(f, name, "1Gi", DELETING "keelson.dev/volume-data]", REF("x", "u-x"),
                        "Released");
        assert_plan(f, &volumeclaim_controller, "d/c", "event events d/c");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "the folder d/web is that of volume nfs-");
}

static void test_nfs_refusals(void **state) {
        static const struct {
                const char *parameters, *claim, *why;
        } cases[] = {
                        {"{path: /a}", "", "needs the parameter server"},
                        {"{server: s}", "", "must be the absolute path of a share"},
                        {"{server: s, path: a}", "", "must be the absolute path of a share"},
                        {"{server: s, path: /a/../b}", "", "must be the absolute path of a share"},
                        {"{server: s, path: /a, share: /b}", "", "has the parameter share"},
                        {"{server: s, path: /a, onDelete: keep}", "", "use delete, retain or"},
                        {"{server: s, path: /a, pathPattern: '${.PVC.labels.x}'}", "",
                                        "the claim has no value for ${.PVC.labels.x}"},
                        {"{server: s, path: /a, pathPattern: '../${.PVC.name}'}", "",
                                        "it must be a relative path"},
                        {"{server: s, path: /a, pathPattern: '/${.PVC.name}'}", "",
                                        "it must be a relative path"},
                        {"{server: s, path: /a, pathPattern: ''}", "", "it must be a relative"},
                        {"{server: s, path: /a, pathPattern: '${.PVC.annotations.up}'}",
                                        ", annotations: {up: a/../../b}", "it must be a relative"},
                        {"{server: s, path: /a}", ", volumeMode: Block", "block devices"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *parameters = strformat(
                                                    "parameters: %s\n", cases[i].parameters),
                                    *text = NULL;
                _cleanup_fake_ struct fake *f = fake_new();
                bool spec = strstr(cases[i].claim, "volumeMode") != NULL;

                put_class(f, "s", "keelson.dev/nfs", parameters);
                fake_put(f, WORLD_CLAIMS,
                                "metadata: {name: c, namespace: d, uid: u-c %s}\nspec: {"
                                "storageClassName: s, resources: {requests: {storage: 1Gi}} %s}\n",
                                spec ? "" : cases[i].claim, spec ? cases[i].claim : "");
                text = fake_plan(f, &volumeclaim_controller, "d/c", NULL);
                if (!strstr(text, "ProvisioningFailed") || !strstr(text, cases[i].why) ||
                                strstr(text, "create persistent"))
                        fail_msg("%s: %s", cases[i].why, text);
        }
}

/* The folder of a deleted volume is removed by a ready node that can reach the share. */
static void test_nfs_deletion(void **state) {
#define SHARED \
        DELETING "keelson.dev/volume-data], annotations: {pv.kubernetes.io/provisioned-by: " \
                 "keelson.dev/nfs, keelson.dev/share-path: /e}"
        static const char *const spec =
                        ", persistentVolumeReclaimPolicy: Delete, nfs: {server: s, path: /e/f}, "
                        "nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: "
                        "zone, operator: In, values: [a]}]}]}}";
        _cleanup_fake_ struct fake *f = fake_new();

        put_volume(f, "v", "1Gi", SHARED, spec, "Released");
        put_node(f, "n1", ", zone: b", "");
        assert_plan(f, &volume_controller, "v", "event events v");
        put_node(f, "n2", ", zone: a", "unschedulable: true");
        assert_plan(f, &volume_controller, "v", "patch persistentvolumes v");
        assert_plan_has(f, &volume_controller, "v", "{\"keelson.dev/node\":\"n2\"}");
        /* It is that node's task until the node is gone, or does not answer. */
        put_volume(f, "v", "1Gi", SHARED ", labels: {keelson.dev/node: n2}", spec, "Released");
        assert_plan(f, &volume_controller, "v", "");
        put_node(f, "n3", ", zone: a", "");
        fake_put(f, WORLD_NODES, "metadata: {name: n2, labels: {zone: a}}\n");
        assert_plan_has(f, &volume_controller, "v", "{\"keelson.dev/node\":\"n3\"}");
        /* Kept: nobody has to do anything. */
        put_volume(f, "v", "1Gi", SHARED,
                        ", persistentVolumeReclaimPolicy: Retain, nfs: {server: "
                        "s, path: /e/f}",
                        "Released");
        assert_plan_has(f, &volume_controller, "v", "\"finalizers\":[\"a/b\"]");
}

static void test_not_provisioned(void **state) {
        static const struct {
                const char *class, *provisioner, *claim, *why;
        } cases[] = {
                        {"", "keelson.dev/local", ", selector: {}", "Selector is not supported"},
                        {"", "keelson.dev/local", ", volumeMode: Block", "block devices"},
                        {"", "keelson.dev/local", ", dataSource: {kind: x, name: y}",
                                        "the claim has a data source"},
                        {"", "keelson.dev/local", ", accessModes: [ReadWriteMany]",
                                        "a local volume is on one node"},
                        {"mountOptions: [ro]\n", "keelson.dev/local", "",
                                        "Mount options are not supported by the provisioner"},
                        {"parameters: {a: b}\n", "keelson.dev/local", "", "has none"},
                        {"", "kubernetes.io/no-provisioner", "", "created by an administrator"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = fake_new();
                _cleanup_free_ char *text = NULL;

                put_node(f, "n1", "", "");
                put_class(f, "s", cases[i].provisioner, cases[i].class);
                fake_put(f, WORLD_CLAIMS,
                                "metadata: {name: c, namespace: d, uid: u-c}\nspec: {"
                                "storageClassName: s, resources: {requests: {storage: 1Gi}} %s}\n",
                                cases[i].claim);
                text = fake_plan(f, &volumeclaim_controller, "d/c", NULL);
                if (!strstr(text, "ProvisioningFailed") || !strstr(text, cases[i].why) ||
                                strstr(text, "create persistent"))
                        fail_msg("%s: %s", cases[i].why, text);
        }
}

/* Volumes of administrators, of a class that waits for the node: bound when kschedd has chosen it.
 */
static void test_local_static(void **state) {
        static const char *const on = ", storageClassName: s, nodeAffinity: {required: "
                                      "{nodeSelectorTerms: [{matchExpressions: [{key: "
                                      "kubernetes.io/hostname, operator: In, values: [%s]}]}]}}";
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *on_n1 = strformat(on, "n1"), *on_n2 = strformat(on, "n2");

        put_class(f, "s", "kubernetes.io/no-provisioner",
                        "volumeBindingMode: WaitForFirstConsumer\n");
        put_node(f, "n1", "", "");
        put_node(f, "n2", "", "");
        put_volume(f, "v1", "2Gi", "", on_n1, "Available");
        put_volume(f, "v2", "9Gi", "", on_n2, "Available");
        put_claim(f, "c", "", ", storageClassName: s", "");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "WaitForFirstConsumer");
        put_claim(f, "c", ", annotations: {volume.kubernetes.io/selected-node: n2}",
                        ", storageClassName: s", "");
        assert_plan(f, &volumeclaim_controller, "d/c", "patch persistentvolumes v2");
        /* Another claim has got it: another node is chosen. */
        put_volume(f, "v2", "9Gi", "", REF("x", "u-x"), "Bound");
        assert_plan(f, &volumeclaim_controller, "d/c",
                        "event events d/c|patch persistentvolumeclaims d/c");
        assert_plan_has(f, &volumeclaim_controller, "d/c",
                        "\"volume.kubernetes.io/selected-node\":null");
}

#define OURS ", annotations: {pv.kubernetes.io/provisioned-by: keelson.dev/local}"

static void test_expansion(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_claim(f, "c", BOUND, ", volumeName: v", "");
        put_volume(f, "v", "1Gi", OURS, REF("c", "u-c"), "Bound");
        assert_plan(f, &volumeclaim_controller, "d/c",
                        "patch persistentvolumes v|event events d/c");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "{\"storage\":\"2Gi\"}");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "the size of its folder is not limited");
        put_volume(f, "v", "1Gi",
                        ", annotations: {pv.kubernetes.io/provisioned-by: keelson.dev/local, "
                        "keelson.dev/volume-size: project-quota}",
                        REF("c", "u-c"), "Bound");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "raises the limit of its folder");
        put_volume(f, "v", "1Gi", "", REF("c", "u-c"), "Bound");
        assert_plan_has(f, &volumeclaim_controller, "d/c", "ExternalExpanding");
}

static void test_reclaim(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        const char *delete = REF("c", "u-c") ", persistentVolumeReclaimPolicy: Delete";

        put_volume(f, "v", "1Gi", "", "", "Pending");
        assert_report(f, &volume_controller, "v", "phase", "\"Available\"");
        put_volume(f, "v", "1Gi", "", REF("c", "u-c"), "Bound");
        assert_plan(f, &volume_controller, "v", "");
        assert_report(f, &volume_controller, "v", "phase", "\"Released\"");
        /* Another claim of that name is not the one. */
        put_claim(f, "c", "", "", "");
        put_volume(f, "v", "1Gi", "", REF("c", "old"), "Bound");
        assert_report(f, &volume_controller, "v", "phase", "\"Released\"");
        fake_clear(f, WORLD_CLAIMS);
        put_volume(f, "v", "1Gi", "", delete, "Released");
        assert_plan_has(f, &volume_controller, "v", "VolumeFailedDelete");
        assert_report(f, &volume_controller, "v", "phase", "\"Failed\"");
        put_volume(f, "v", "1Gi", OURS, delete, "Bound");
        assert_plan(f, &volume_controller, "v", "");
        put_volume(f, "v", "1Gi", OURS, delete, "Released");
        assert_plan(f, &volume_controller, "v",
                        "guard-absent persistentvolumeclaims d/c|delete persistentvolumes v");
}

/* A claim that has taken another volume. */
static void test_misbound(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_claim(f, "c", BOUND, ", volumeName: w", "");
        put_volume(f, "v", "1Gi", ", annotations: {pv.kubernetes.io/bound-by-controller: 'yes'}",
                        REF("c", "u-c"), "Available");
        assert_plan_has(f, &volume_controller, "v", "\"spec\":{\"claimRef\":null}");
        put_volume(f, "v", "1Gi", "", REF("c", "u-c"), "Available");
        assert_plan_has(f, &volume_controller, "v", "\"spec\":{\"claimRef\":{\"uid\":null}}");
}

static void test_data(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        const char *labels = DELETING "keelson.dev/volume-data], labels: {keelson.dev/node: n1}";

        put_node(f, "n1", "", "");
        put_volume(f, "v", "1Gi", labels, "", "Released");
        assert_plan(f, &volume_controller, "v", "");
        fake_clear(f, WORLD_NODES);
        assert_plan(f, &volume_controller, "v",
                        "guard-absent nodes n1|event events v|patch persistentvolumes v");
        assert_plan_has(f, &volume_controller, "v", "\"finalizers\":[\"a/b\"]");
        /* It is bound still. */
        put_volume(f, "v", "1Gi", DELETING "keelson.dev/volume-data, kubernetes.io/pv-protection]",
                        "", "Bound");
        assert_plan(f, &volume_controller, "v", "");
}

static void test_protection(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_claim(f, "c", DELETING "kubernetes.io/pvc-protection]", "", "");
        fake_put(f, WORLD_PODS,
                        "metadata: {name: p, namespace: d}\nspec: {nodeName: n1, volumes: [{name: "
                        "x, persistentVolumeClaim: {claimName: c}}]}\nstatus: {phase: Running}\n");
        assert_plan(f, &claimprotection_controller, "d/c", "");
        /* A pod without a node waits for a claim that is not being deleted. */
        fake_put(f, WORLD_PODS,
                        "metadata: {name: p, namespace: d}\nspec: {volumes: [{name: x, "
                        "persistentVolumeClaim: {claimName: c}}]}\nstatus: {phase: Pending}\n");
        assert_plan_has(f, &claimprotection_controller, "d/c", "\"finalizers\":[\"a/b\"]");
        fake_put(f, WORLD_PODS,
                        "metadata: {name: p, namespace: d}\nspec: {volumes: [{name: x, "
                        "persistentVolumeClaim: {claimName: c}}]}\nstatus: {phase: Failed}\n");
        assert_plan_has(f, &claimprotection_controller, "d/c", "\"finalizers\":[\"a/b\"]");
        put_claim(f, "c", "", "", "");
        assert_plan(f, &claimprotection_controller, "d/c", "");
        put_volume(f, "v", "1Gi", DELETING "kubernetes.io/pv-protection]", REF("c", "u-c"),
                        "Bound");
        assert_plan(f, &volumeprotection_controller, "v", "");
        fake_clear(f, WORLD_CLAIMS);
        assert_plan(f, &volumeprotection_controller, "v",
                        "guard-absent persistentvolumeclaims d/c|patch persistentvolumes v");
}

static void test_ephemeral(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        fake_put(f, WORLD_PODS,
                        "metadata: {name: p, namespace: d, uid: u-p}\nspec: {volumes: [{name: x, "
                        "ephemeral: {volumeClaimTemplate: {metadata: {labels: {a: b}}, spec: "
                        "{accessModes: [ReadWriteOnce]}}}}]}\nstatus: {phase: Pending}\n");
        assert_plan(f, &ephemeralclaim_controller, "d/p", "create persistentvolumeclaims d/p-x");
        assert_plan_has(f, &ephemeralclaim_controller, "d/p", "\"labels\":{\"a\":\"b\"}");
        assert_plan_has(f, &ephemeralclaim_controller, "d/p", "\"uid\":\"u-p\"");
        put_claim(f, "p-x", "", "", "");
        assert_plan_has(f, &ephemeralclaim_controller, "d/p",
                        "EphemeralVolumeCreationFailed: ephemeral volume x: PVC d/p-x was not "
                        "created for the pod");
        put_claim(f, "p-x", ", ownerReferences: [{kind: Pod, name: p, uid: u-p, controller: true}]",
                        "", "");
        assert_plan(f, &ephemeralclaim_controller, "d/p", "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_best_volume),
                        cmocka_unit_test(test_mismatch),
                        cmocka_unit_test(test_second_write),
                        cmocka_unit_test(test_named_volume),
                        cmocka_unit_test(test_lost),
                        cmocka_unit_test(test_events),
                        cmocka_unit_test(test_local),
                        cmocka_unit_test(test_local_immediate),
                        cmocka_unit_test(test_selected_node),
                        cmocka_unit_test(test_nfs),
                        cmocka_unit_test(test_nfs_pattern),
                        cmocka_unit_test(test_nfs_refusals),
                        cmocka_unit_test(test_nfs_deletion),
                        cmocka_unit_test(test_not_provisioned),
                        cmocka_unit_test(test_local_static),
                        cmocka_unit_test(test_expansion),
                        cmocka_unit_test(test_reclaim),
                        cmocka_unit_test(test_misbound),
                        cmocka_unit_test(test_data),
                        cmocka_unit_test(test_protection),
                        cmocka_unit_test(test_ephemeral),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
