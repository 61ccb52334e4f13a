/* Plans and reports of StatefulSets. */
#include "tests/unit/fake-world.h"

#include "reconcilers/workloads/statefulset-internal.h"

#define KEY "d/web"
#define ROLLING "{type: RollingUpdate, rollingUpdate: {partition: 0}}"
#define OWNER \
        "ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: s, " \
        "controller: true}]"

static void put_revision(struct fake *f, const char *name, int number, const char *image) {
        fake_put(f, WORLD_REVISIONS,
                        "metadata: {name: %s, namespace: d, uid: u-%s, labels: {app: web}, " OWNER
                        "}\n"
                        "revision: %i\n"
                        "data: {spec: {template: {$patch: replace, metadata: {labels: {app: web}}, "
                        "spec: {containers: [{name: c, image: %s}]}}}}\n",
                        name, name, number, image);
}

/* A set of the image "new"; revisions "old" and "new". more: further fields of its spec. */
static struct fake *world(
                int replicas, const char *management, const char *strategy, const char *more) {
        struct fake *f = fake_new();

        fake_put(f, WORLD_STATEFULSETS,
                        "metadata: {name: web, namespace: d, uid: s, generation: 2, "
                        "resourceVersion: '5'}\n"
                        "spec: {replicas: %i, podManagementPolicy: %s, updateStrategy: %s, "
                        "serviceName: svc, selector: {matchLabels: {app: web}}, template: "
                        "{metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: "
                        "new}]}}%s}\n"
                        "status: {currentRevision: old, updateRevision: new}\n",
                        replicas, management, strategy, more);
        put_revision(f, "old", 1, "old");
        put_revision(f, "new", 2, "new");
        return f;
}

/* state: r ready, u running but not ready, f failed, s succeeded, t terminating. */
static json_t *put_pod(struct fake *f, int ordinal, const char *revision, char state) {
        json_t *pod = fake_put(f, WORLD_PODS,
                        "metadata: {name: web-%i, namespace: d, uid: p%i, resourceVersion: '9', "
                        "labels: {app: web, controller-revision-hash: %s, "
                        "statefulset.kubernetes.io/pod-name: web-%i, apps.kubernetes.io/pod-index: "
                        "'%i'}, " OWNER "}\n"
                        "status: {phase: %s, conditions: [{type: Ready, status: '%s', "
                        "lastTransitionTime: '2026-01-01T11:59:50Z'}]}\n",
                        ordinal, ordinal, revision, ordinal, ordinal,
                        state == 'f'   ? "Failed"
                        : state == 's' ? "Succeeded"
                                       : "Running",
                        state == 'r' || state == 't' ? "True" : "False");

        if (state == 't')
                json_set_str(pod, "metadata.deletionTimestamp", FAKE_NOW);
        return pod;
}

/* "r:new u:old - f:new": the pods from ordinal 0 on; "-" is none. */
static void put_pods(struct fake *f, const char *text) {
        _cleanup_free_ char *copy = strdup(text);
        char *save = NULL;
        int ordinal = 0;

        fake_clear(f, WORLD_PODS);
        for (char *word = strtok_r(copy, " ", &save); word;
                        word = strtok_r(NULL, " ", &save), ordinal++)
                if (!streq(word, "-"))
                        put_pod(f, ordinal, word + 2, *word);
}

static void test_pod(void **state) {
        _cleanup_fake_ struct fake *f = world(2, "OrderedReady", ROLLING, "");
        _cleanup_(set_done) struct set s = {0};
        _cleanup_json_ json_t *pod = NULL;
        const json_t *labels;

        set_read(&s, &f->world, f->objects[WORLD_STATEFULSETS][0]);
        pod = set_pod(&s, 1, s.history.update);
        labels = json_at(pod, "metadata.labels");
        assert_string_equal(object_name(pod), "web-1");
        assert_null(json_at(pod, "metadata.generateName"));
        assert_string_equal(json_str(pod, "spec.hostname"), "web-1");
        assert_string_equal(json_str(pod, "spec.subdomain"), "svc");
        assert_string_equal(object_label(pod, POD_NAME_LABEL), "web-1");
        assert_string_equal(object_label(pod, POD_INDEX_LABEL), "1");
        assert_string_equal(object_label(pod, REVISION_LABEL), "new");
        assert_int_equal(json_object_size(labels), 4);
        assert_string_equal(json_str(json_array_get(json_at(pod, "metadata.ownerReferences"), 0),
                                            "kind"),
                        "StatefulSet");
        assert_null(json_at(f->objects[WORLD_STATEFULSETS][0], "spec.template.spec.hostname"));
}

static void test_ordinals(void **state) {
        static const struct {
                const char *name;
                int64_t ordinal;
        } cases[] = {{"web-0", 0}, {"web-12", 12}, {"web-01", -1}, {"web-", -1}, {"web", -1},
                        {"web-x", -1}, {"web-1x", -1}, {"webx-1", -1}, {"web--1", -1},
                        {"web-99999999999", -1}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *set = json_pack("{s:{s:s}}", "metadata", "name", "web"),
                                      *pod = json_pack("{s:{s:s}}", "metadata", "name",
                                                      cases[i].name);

                assert_int_equal(set_ordinal_of(set, pod), cases[i].ordinal);
        }
}

/* Pods that there are, and the plan; a word of it is c(reate) or d(elete) with the ordinal. */
struct step {
        const char *pods, *plan;
};

static void check_steps(struct fake *f, const struct step *steps, size_t count) {
        for (size_t i = 0; i < count; i++) {
                _cleanup_actions_ struct actions a = {0};
                _cleanup_buf_ struct buf b = {0};

                put_pods(f, steps[i].pods);
                statefulset_controller.plan(&f->world, KEY, &a);
                for (size_t k = 0; k < a.count; k++) {
                        const struct action *x = &a.items[k];
                        const char *name = x->name ? x->name : object_name(x->body);

                        if (x->resource && streq(x->resource->plural, "pods"))
                                buf_printf(&b, "%s%c%s", b.size > 0 ? " " : "", *x->type->name,
                                                name + strlen("web-"));
                }
                if (!streq(strempty(b.data), steps[i].plan))
                        fail_msg("with \"%s\" planned: %s\nexpected: %s", steps[i].pods,
                                        strempty(b.data), steps[i].plan);
        }
}

static void test_ordered(void **state) {
        static const struct step steps[] = {
                        {"", "c0"},
                        {"u:new", ""},
                        {"r:new", "c1"},
                        {"r:new u:new", ""},
                        {"r:new r:new", "c2"},
                        {"r:new r:new r:new", ""},
                        /* a gap is filled first, and only when the pods before it are ready */
                        {"r:new - r:new", "c1"},
                        {"u:new - r:new", ""},
                        {"t:new - -", ""},
                        /* finished ones are replaced */
                        {"f:new r:new r:new", "d0"},
                        {"r:new s:new r:new", "d1"},
                        /* scaling down, from the end, one after the other */
                        {"r:new r:new r:new r:new r:new", "d4"},
                        {"r:new r:new r:new r:new t:new", ""},
                        {"r:new r:new r:new u:new", "d3"},
                        {"r:new r:new r:new u:new u:new", "d4"},
                        {"r:new r:new u:new r:new", ""},
                        {"r:new r:new - r:new", "c2"},
        };
        _cleanup_fake_ struct fake *f = world(3, "OrderedReady", ROLLING, "");

        check_steps(f, steps, ELEMENTS(steps));
}

static void test_parallel(void **state) {
        static const struct step steps[] = {
                        {"", "c0 c1 c2"},
                        {"u:new", "c1 c2"},
                        {"f:new u:new", "d0 c2"},
                        {"u:new u:new u:new r:new u:new t:new", "d4 d3"},
        };
        _cleanup_fake_ struct fake *f = world(3, "Parallel", ROLLING, "");

        check_steps(f, steps, ELEMENTS(steps));
}

static void test_start_ordinal(void **state) {
        static const struct step steps[] = {
                        {"", "c2"},
                        {"- - r:new", "c3"},
                        {"r:new r:new r:new r:new", "d1"},
        };
        _cleanup_fake_ struct fake *f = world(2, "OrderedReady", ROLLING, ", ordinals: {start: 2}");

        check_steps(f, steps, ELEMENTS(steps));
}

static void test_rolls(void **state) {
        static const struct step steps[] = {
                        {"r:old r:old r:old", "d2"},
                        {"r:old r:old t:old", ""},
                        {"r:old r:old", "c2"},
                        {"r:old r:old u:new", ""},
                        {"r:old r:old r:new", "d1"},
                        {"r:new r:new r:new", ""},
                        /* a pod that is not ready does not wait when it is next */
                        {"r:old r:old u:old", "d2"},
                        {"r:old u:old r:new", "d1"},
                        /* a pod of the new revision that is not ready stops the update */
                        {"r:old u:old u:new", ""},
                        /* back from a broken revision: only the broken pod goes */
                        {"r:new r:new u:old", "d2"},
                        {"u:old", "d0"},
                        {"u:old - -", "d0"},
        };
        static const char *const managements[] = {"OrderedReady", "Parallel"};

        for (size_t i = 0; i < ELEMENTS(managements); i++) {
                _cleanup_fake_ struct fake *f = world(3, managements[i], ROLLING, "");

                /* in parallel, missing pods are made meanwhile */
                check_steps(f, steps, ELEMENTS(steps) - (i == 1 ? 2 : 0));
        }
}

static void test_partition(void **state) {
        static const struct step steps[] = {
                        {"r:old r:old r:old", "d2"}, {"r:old r:old r:new", ""},
                        {"r:old r:new r:new", ""},   /* the partition was raised */
                        {"r:old u:new r:new", "d1"}, /* nothing is lost by it */
        };
        _cleanup_fake_ struct fake *f = world(3, "OrderedReady",
                        "{type: RollingUpdate, rollingUpdate: {partition: 2}}", "");

        check_steps(f, steps, ELEMENTS(steps));
        /* below it, pods come back as they were */
        put_pods(f, "r:old - r:new");
        assert_plan_has(f, &statefulset_controller, KEY, "\"image\":\"old\"");
        put_pods(f, "r:old r:old -");
        assert_plan_has(f, &statefulset_controller, KEY, "\"image\":\"new\"");
}

static void test_max_unavailable(void **state) {
        static const struct step steps[] = {
                        {"r:old r:old r:old r:old r:old", "d4 d3"},
                        {"r:old r:old r:old r:old u:new", "d3"},
                        {"r:old r:old r:old u:new u:new", ""},
                        {"r:old r:old r:old r:new t:old", "d2"},
        };
        _cleanup_fake_ struct fake *f = world(5, "Parallel",
                        "{type: RollingUpdate, rollingUpdate: {maxUnavailable: 40%}}", "");

        check_steps(f, steps, ELEMENTS(steps));
}

static void test_on_delete(void **state) {
        static const struct step steps[] = {
                        {"r:old r:old u:old", ""},
                        {"r:old r:old -", "c2"},
        };
        _cleanup_fake_ struct fake *f = world(3, "OrderedReady", "{type: OnDelete}", "");

        check_steps(f, steps, ELEMENTS(steps));
        assert_plan_has(f, &statefulset_controller, KEY, "\"image\":\"new\"");
}

static void test_min_ready(void **state) {
        _cleanup_fake_ struct fake *f = world(2, "OrderedReady", ROLLING, ", minReadySeconds: 15");
        uint64_t requeue = 0;

        put_pods(f, "r:new"); /* ready for ten seconds */
        assert_plan(f, &statefulset_controller, KEY, "");
        free(fake_plan(f, &statefulset_controller, KEY, &requeue));
        assert_int_equal(requeue, 5000000);
        assert_report(f, &statefulset_controller, KEY, "readyReplicas", "1");
        assert_report(f, &statefulset_controller, KEY, "availableReplicas", "0");
}

static void test_events(void **state) {
        _cleanup_fake_ struct fake *f = world(1, "OrderedReady", ROLLING, "");

        assert_plan_has(f, &statefulset_controller, KEY,
                        "SuccessfulCreate: create Pod {} in StatefulSet web successful");
        put_pods(f, "f:new");
        assert_plan_has(f, &statefulset_controller, KEY,
                        "Warning RecreatingFailedPod: StatefulSet d/web is recreating failed Pod "
                        "web-0");
        assert_plan_has(f, &statefulset_controller, KEY,
                        "SuccessfulDelete: delete Pod {} in StatefulSet web successful");
        put_pods(f, "s:new");
        assert_plan_has(f, &statefulset_controller, KEY,
                        "Normal RecreatingTerminatedPod: StatefulSet d/web is recreating "
                        "terminated Pod web-0");
}

static void test_adopts(void **state) {
        _cleanup_fake_ struct fake *f = world(1, "OrderedReady", ROLLING, "");

        fake_put(f, WORLD_PODS, "metadata: {name: web-0, namespace: d, labels: {app: web}}\n");
        fake_put(f, WORLD_PODS, "metadata: {name: other, namespace: d, labels: {app: web}}\n");
        assert_plan(f, &statefulset_controller, KEY, "patch pods d/web-0");
        fake_clear(f, WORLD_PODS);
        json_object_del(json_at_mut(put_pod(f, 0, "new", 'r'), "metadata.labels"), POD_INDEX_LABEL);
        assert_plan_has(f, &statefulset_controller, KEY, "\"apps.kubernetes.io/pod-index\":\"0\"");
}

/* --- claims --- */

#define CLAIMS \
        ", volumeClaimTemplates: [{metadata: {name: data, labels: {a: b}}, spec: {accessModes: " \
        "[ReadWriteOnce]}}]"
#define POLICY(deleted, scaled) \
        CLAIMS ", persistentVolumeClaimRetentionPolicy: {whenDeleted: " deleted \
               ", whenScaled: " scaled "}"

static json_t *put_claim(struct fake *f, int ordinal, const char *owners) {
        return fake_put(f, WORLD_CLAIMS,
                        "metadata: {name: data-web-%i, namespace: d, uid: c%i, resourceVersion: "
                        "'7', labels: {app: web}, ownerReferences: [%s]}\n",
                        ordinal, ordinal, owners);
}

static void test_claims(void **state) {
        _cleanup_fake_ struct fake *f = world(2, "OrderedReady", ROLLING, CLAIMS);
        json_t *claim;

        /* the claim comes first, then what uses it */
        assert_plan(f, &statefulset_controller, KEY,
                        "create persistentvolumeclaims d/data-web-0|barrier|create pods d/web-0");
        assert_plan_has(f, &statefulset_controller, KEY,
                        "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{"
                        "\"labels\":{\"a\":\"b\",\"app\":\"web\"},\"name\":\"data-web-0\","
                        "\"namespace\":\"d\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"]}} "
                        "SuccessfulCreate: create Claim {} Pod web-0 in StatefulSet web success");
        assert_plan_has(f, &statefulset_controller, KEY,
                        "\"volumes\":[{\"name\":\"data\",\"persistentVolumeClaim\":{\"claimName\":"
                        "\"data-web-0\"}}]");
        claim = put_claim(f, 0, "");
        assert_plan(f, &statefulset_controller, KEY, "create pods d/web-0");
        /* one that is being deleted is waited for */
        json_set_str(claim, "metadata.deletionTimestamp", FAKE_NOW);
        assert_plan(f, &statefulset_controller, KEY, "");
        /* as is one that goes with an earlier pod of that name */
        put_claim(f, 0, "{apiVersion: v1, kind: Pod, name: web-0, uid: earlier}");
        assert_plan(f, &statefulset_controller, KEY, "");
        /* a pod that lost its claim gets a new one */
        fake_clear(f, WORLD_CLAIMS);
        put_pods(f, "u:new");
        assert_plan(f, &statefulset_controller, KEY, "create persistentvolumeclaims d/data-web-0");
}

static void count_wake(void *userdata, const char *key) {
        assert_string_equal(key, KEY);
        (*(int *)userdata)++;
}

/* The end of a claim wakes the set by the claim's name: people's claims have other labels. */
static void test_claim_wakes(void **state) {
        static const struct {
                const char *name;
                int wakes;
        } cases[] = {{"data-web-0", 1}, {"data-web-12", 1}, {"data-web-", 0}, {"data-web-x", 0},
                        {"data-webs-0", 0}, {"other-web-0", 0}};
        _cleanup_fake_ struct fake *f = world(2, "OrderedReady", ROLLING, CLAIMS);

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *claim = json_pack("{s:{s:s, s:s}}", "metadata", "name",
                                cases[i].name, "namespace", "d");
                int n = 0;
                const struct wake out = {count_wake, &n};

                statefulset_controller.wake(
                                &f->world, &out, WORLD_CLAIMS, NULL, claim, /* gone= */ true);
                assert_int_equal(n, cases[i].wakes);
        }
}

/* A revision in the place of the current one that holds no pod is not used. */
static void test_odd_revision(void **state) {
        _cleanup_fake_ struct fake *f = world(1, "OrderedReady",
                        "{type: RollingUpdate, rollingUpdate: "
                        "{partition: 1}}",
                        "");

        fake_clear(f, WORLD_REVISIONS);
        put_revision(f, "new", 2, "new");
        fake_put(f, WORLD_REVISIONS,
                        "metadata: {name: old, namespace: d, uid: u-old, labels: {app: web}, " OWNER
                        "}\nrevision: 1\ndata: {}\n");
        assert_plan_has(f, &statefulset_controller, KEY, "\"image\":\"new\"");
}

/* The policy; the claim's owner before; of pod 0, which stays, and of pod 1, which is scaled away:
 * the owner after ("-": no change). */
static void test_retention(void **state) {
#define SET \
        "{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: s, controller: true, " \
        "blockOwnerDeletion: true}"
#define OTHER "{apiVersion: v1, kind: ConfigMap, name: x, uid: x, controller: true}"
        static const struct {
                const char *policy, *before, *kept, *condemned;
        } cases[] = {
                        {POLICY("Retain", "Retain"), "", "-", "-"},
                        {POLICY("Retain", "Retain"), SET, "", ""},
                        {POLICY("Delete", "Retain"), "", "StatefulSet", "StatefulSet"},
                        {POLICY("Retain", "Delete"), "", "-", "Pod"},
                        {POLICY("Delete", "Delete"), SET, "-", "Pod"},
                        {POLICY("Delete", "Delete"), OTHER, "-", "-"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = world(1, "OrderedReady", ROLLING, cases[i].policy);
                _cleanup_actions_ struct actions a = {0};
                const char *got[2] = {"-", "-"};

                put_pods(f, "r:new r:new");
                put_claim(f, 0, cases[i].before);
                put_claim(f, 1, cases[i].before);
                statefulset_controller.plan(&f->world, KEY, &a);
                for (size_t k = 0; k < a.count; k++) {
                        const json_t *refs = json_at(a.items[k].body, "metadata.ownerReferences");

                        if (a.items[k].type == &action_type_patch)
                                got[streq(a.items[k].name, "data-web-1")] =
                                                json_str_or(json_array_get(refs, 0), "kind", "");
                }
                assert_string_equal(got[0], cases[i].kept);
                assert_string_equal(got[1], cases[i].condemned);
                /* the pod goes after its claim has got its owner */
                assert_string_equal(a.items[a.count - 1].name, "web-1");
                assert_true(a.count == 1 || a.items[a.count - 2].type->barrier);
        }
}

/* --- status --- */

static void test_status(void **state) {
        _cleanup_fake_ struct fake *f = world(3, "OrderedReady", ROLLING, "");

        put_pods(f, "r:old r:old u:new r:old");
        assert_report(f, &statefulset_controller, KEY, "replicas", "4");
        assert_report(f, &statefulset_controller, KEY, "readyReplicas", "3");
        assert_report(f, &statefulset_controller, KEY, "currentReplicas", "3");
        assert_report(f, &statefulset_controller, KEY, "updatedReplicas", "1");
        assert_report(f, &statefulset_controller, KEY, "currentRevision", "\"old\"");
        assert_report(f, &statefulset_controller, KEY, "updateRevision", "\"new\"");
        assert_report(f, &statefulset_controller, KEY, "observedGeneration", "2");
        put_pods(f, "r:new r:new u:new");
        assert_report(f, &statefulset_controller, KEY, "currentRevision", "\"old\"");
        put_pods(f, "r:new r:new r:new");
        assert_report(f, &statefulset_controller, KEY, "currentRevision", "\"new\"");
        assert_report(f, &statefulset_controller, KEY, "currentReplicas", "3");
        assert_report(f, &statefulset_controller, KEY, "availableReplicas", "3");
}

static void test_history(void **state) {
        _cleanup_fake_ struct fake *f =
                        world(1, "OrderedReady", ROLLING, ", revisionHistoryLimit: 0");

        put_revision(f, "ancient", 0, "ancient");
        put_pods(f, "r:new");
        /* "old" is the current revision still */
        assert_plan(f, &statefulset_controller, KEY, "delete controllerrevisions d/ancient");
}

static void count_key(void *userdata, const char *key) {
        assert_string_equal(key, KEY);
        ++*(int *)userdata;
}

static void test_wakes(void **state) {
        _cleanup_fake_ struct fake *f = world(1, "OrderedReady", ROLLING, CLAIMS);
        int count = 0;
        const struct wake out = {count_key, &count};
        json_t *claim = put_claim(f, 0, ""), *pod = put_pod(f, 0, "new", 'r');

        /* A claim that is gone may be what a pod waits for; a new one is the set's own doing. */
        statefulset_controller.wake(&f->world, &out, WORLD_CLAIMS, NULL, claim, false);
        assert_int_equal(count, 0);
        statefulset_controller.wake(&f->world, &out, WORLD_CLAIMS, claim, claim, true);
        assert_int_equal(count, 1);
        statefulset_controller.wake(&f->world, &out, WORLD_PODS, NULL, pod, false);
        assert_int_equal(count, 2);
        statefulset_controller.wake(&f->world, &out, WORLD_REVISIONS, NULL,
                        f->objects[WORLD_REVISIONS][0], false);
        assert_int_equal(count, 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_pod),
                        cmocka_unit_test(test_ordinals),
                        cmocka_unit_test(test_ordered),
                        cmocka_unit_test(test_parallel),
                        cmocka_unit_test(test_start_ordinal),
                        cmocka_unit_test(test_rolls),
                        cmocka_unit_test(test_partition),
                        cmocka_unit_test(test_max_unavailable),
                        cmocka_unit_test(test_on_delete),
                        cmocka_unit_test(test_min_ready),
                        cmocka_unit_test(test_events),
                        cmocka_unit_test(test_adopts),
                        cmocka_unit_test(test_claims),
                        cmocka_unit_test(test_claim_wakes),
                        cmocka_unit_test(test_odd_revision),
                        cmocka_unit_test(test_retention),
                        cmocka_unit_test(test_status),
                        cmocka_unit_test(test_history),
                        cmocka_unit_test(test_wakes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
