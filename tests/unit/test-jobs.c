/* Plans of Job, ServiceAccount, certificate signing, garbage collection and namespaces. */
#include "tests/unit/fake-world.h"

#include "lib/pki.h"
#include "reconcilers/graph.h"

/* --- Job --- */

static json_t *put_job(struct fake *f, const char *spec, const char *status) {
        return fake_put(f, WORLD_JOBS,
                        "metadata: {name: j, namespace: d, uid: uj, resourceVersion: '5'}\n"
                        "spec: {%s, template: {spec: {restartPolicy: Never}}}\nstatus: {%s}\n",
                        spec, status);
}

static json_t *put_pod(struct fake *f, const char *name, const char *phase, bool finalizer) {
        return fake_put(f, WORLD_PODS,
                        "metadata: {name: %s, namespace: d, uid: u-%s, resourceVersion: '9', "
                        "creationTimestamp: '2026-01-01T11:59:55Z', finalizers: [%s], "
                        "ownerReferences: "
                        "[{apiVersion: batch/v1, kind: Job, name: j, uid: uj, controller: true}]}\n"
                        "spec: {}\nstatus: {phase: %s}\n",
                        name, name, finalizer ? "batch.kubernetes.io/job-tracking" : "", phase);
}

static void test_job_starts(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_job(f, "parallelism: 2, completions: 5", "");
        assert_plan(f, &job_controller, "d/j", "create pods d/j-|create pods d/j-");
        assert_plan_has(f, &job_controller, "d/j",
                        "\"finalizers\":[\"batch.kubernetes.io/job-tracking\"]");
        assert_plan_has(f, &job_controller, "d/j", "\"batch.kubernetes.io/job-name\":\"j\"");
        assert_report(f, &job_controller, "d/j", "startTime", "\"" FAKE_NOW "\"");
        put_job(f, "parallelism: 3, completions: 5", "succeeded: 4");
        assert_plan(f, &job_controller, "d/j", "create pods d/j-"); /* only what is missing */
        put_job(f, "parallelism: 3, completions: 5, suspend: true", "");
        assert_plan(f, &job_controller, "d/j", "");
}

static void count_wake(void *userdata, const char *key) {
        assert_string_equal(key, "d/j");
        ++*(int *)userdata;
}

/* Adopted pods are counted before others are made; a pod that left the job wakes it, and so does
 * the end of its node. */
static void test_job_pods_of_others(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_json_ json_t *left = NULL;
        int n = 0;
        const struct wake out = {count_wake, &n};
        json_t *pod;

        put_job(f, "parallelism: 2, completions: 2, selector: {matchLabels: {a: b}}", "");
        pod = put_pod(f, "p", "Running", true);
        left = json_deep_copy(pod);
        json_object_del(json_object_get(left, "metadata"), "ownerReferences");
        job_controller.wake(&f->world, &out, WORLD_PODS, pod, left, /* gone= */ false);
        assert_int_equal(n, 1);
        json_set_str(pod, "spec.nodeName", "n1");
        fake_put(f, WORLD_NODES, "metadata: {name: n1}\n");
        job_controller.wake(&f->world, &out, WORLD_NODES, f->objects[WORLD_NODES][0],
                        f->objects[WORLD_NODES][0], /* gone= */ true);
        assert_int_equal(n, 2);
        json_object_del(json_object_get(pod, "metadata"), "ownerReferences");
        json_set_str(pod, "metadata.labels.a", "b");
        assert_plan(f, &job_controller, "d/j", "patch pods d/p");
}

/* The three steps of counting, and that none of them may be done twice or skipped. */
static void test_job_counts_exactly(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_job(f, "parallelism: 1, completions: 2", "");
        put_pod(f, "a", "Succeeded", true);
        /* 1: noted, not yet counted; the next pod starts meanwhile */
        assert_report(f, &job_controller, "d/j", "uncountedTerminatedPods.succeeded", "[\"u-a\"]");
        assert_report(f, &job_controller, "d/j", "succeeded", "0");
        assert_plan(f, &job_controller, "d/j", "create pods d/j-");
        /* 2: once it stands in the status, the finalizer goes */
        put_job(f, "parallelism: 1, completions: 2", "uncountedTerminatedPods: {succeeded: [u-a]}");
        assert_plan(f, &job_controller, "d/j", "patch pods d/a|create pods d/j-");
        assert_report(f, &job_controller, "d/j", "succeeded", "0");
        /* 3: it is counted when the finalizer is gone */
        put_pod(f, "a", "Succeeded", false);
        assert_report(f, &job_controller, "d/j", "succeeded", "1");
        assert_report(f, &job_controller, "d/j", "uncountedTerminatedPods", "{}");
        /* and never again */
        put_job(f, "parallelism: 1, completions: 2", "succeeded: 1");
        assert_report(f, &job_controller, "d/j", "succeeded", "1");
        /* a pod that was removed altogether after step 1 still counts */
        fake_clear(f, WORLD_PODS);
        put_job(f, "parallelism: 1, completions: 2",
                        "succeeded: 1, uncountedTerminatedPods: {succeeded: [u-b]}");
        assert_report(f, &job_controller, "d/j", "succeeded", "2");
}

static void test_job_completes(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_json_ json_t *status = NULL;
        json_t *job = put_job(f, "completions: 1", "");

        put_pod(f, "a", "Succeeded", true);
        status = job_controller.report(&f->world, "d/j", NULL);
        json_object_set(job, "status", status);
        assert_true(object_condition_true(job, "SuccessCriteriaMet"));
        assert_false(object_condition_true(job, "Complete")); /* not before all is counted */
        put_pod(f, "a", "Succeeded", false);
        json_decref(status);
        status = job_controller.report(&f->world, "d/j", NULL);
        json_object_set(job, "status", status);
        assert_true(object_condition_true(job, "Complete"));
        assert_string_equal(json_str(job, "status.completionTime"), FAKE_NOW);
        assert_int_equal(json_int_or(job, "status.succeeded", 0), 1);
        assert_null(job_controller.report(&f->world, "d/j", NULL));
        assert_plan(f, &job_controller, "d/j", "");
}

static void test_job_fails(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *text = NULL;
        uint64_t wait;

        put_job(f, "backoffLimit: 1, parallelism: 2, completions: 2", "failed: 0");
        put_pod(f, "a", "Failed", true); /* 5 s ago: the next one after 10 s */
        text = fake_plan(f, &job_controller, "d/j", &wait);
        assert_string_equal(text, "");
        assert_int_equal(wait, 5000000);
        put_pod(f, "b", "Failed", true);
        put_pod(f, "c", "Running", true);
        assert_report(f, &job_controller, "d/j", "uncountedTerminatedPods.failed",
                        "[\"u-a\",\"u-b\"]");
        assert_plan(f, &job_controller, "d/j", "delete pods d/c");
        put_job(f, "backoffLimit: 1",
                        "failed: 2, conditions: [{type: FailureTarget, status: 'True', "
                        "reason: BackoffLimitExceeded, message: m}]");
        fake_clear(f, WORLD_PODS);
        assert_report(f, &job_controller, "d/j", "failed", "2");
        _cleanup_json_ json_t *status = job_controller.report(&f->world, "d/j", NULL);
        json_object_set(f->objects[WORLD_JOBS][0], "status", status);
        assert_true(object_condition_true(f->objects[WORLD_JOBS][0], "Failed"));
}

/* What the report says for the first time when it is written; and nothing the next time. */
static void assert_tells(struct fake *f, const char *name, const char *event) {
        const json_t *before = world_get_key(&f->world, WORLD_JOBS, name);
        _cleanup_json_ json_t *after = json_deep_copy(before);
        _cleanup_actions_ struct actions a = {0}, again = {0};
        _cleanup_free_ char *said = NULL;

        json_object_set_new(after, "status", job_controller.report(&f->world, name, NULL));
        job_controller.reported(before, after, &a);
        assert_int_equal(a.count, 1);
        said = strformat("%s %s: %s", a.items[0].event_type, a.items[0].reason, a.items[0].message);
        assert_string_equal(said, event);
        job_controller.reported(after, after, &again);
        assert_int_equal(again.count, 0);
}

static void test_job_events(void **state) {
        static const struct {
                const char *spec, *status, *event;
        } cases[] = {
                        {"completions: 1", "succeeded: 1", "Normal Completed: Job completed"},
                        {"backoffLimit: 0", "failed: 1",
                                        "Warning BackoffLimitExceeded: Job has reached the "
                                        "specified backoff limit"},
                        {"suspend: true", "", "Normal Suspended: Job suspended"},
                        {"suspend: false", "conditions: [{type: Suspended, status: 'True'}]",
                                        "Normal Resumed: Job resumed"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = fake_new();

                put_job(f, cases[i].spec, cases[i].status);
                assert_tells(f, "d/j", cases[i].event);
        }
}

static void test_job_deadline(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *text = NULL;
        uint64_t wait;

        put_job(f, "activeDeadlineSeconds: 60", "startTime: '2026-01-01T11:59:30Z'");
        put_pod(f, "a", "Running", true);
        text = fake_plan(f, &job_controller, "d/j", &wait);
        assert_int_equal(wait, 30000000);
        put_job(f, "activeDeadlineSeconds: 30", "startTime: '2026-01-01T11:59:30Z'");
        assert_plan(f, &job_controller, "d/j", "delete pods d/a");
        assert_report(f, &job_controller, "d/j", "conditions",
                        "[{\"type\":\"FailureTarget\",\"status\":\"True\",\"reason\":"
                        "\"DeadlineExceeded\",\"message\":\"Job was active longer than specified "
                        "deadline\",\"lastTransitionTime\":\"" FAKE_NOW "\"}]");
}

static void test_job_suspends(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        json_t *pod;

        put_job(f, "suspend: true", "startTime: '2026-01-01T11:59:30Z'");
        pod = put_pod(f, "a", "Running", true);
        assert_plan(f, &job_controller, "d/j", "delete pods d/a");
        /* we end it ourselves: that is not a failure and is not counted */
        json_set_str(pod, "metadata.deletionTimestamp", FAKE_NOW);
        assert_plan(f, &job_controller, "d/j", "patch pods d/a");
        assert_report(f, &job_controller, "d/j", "uncountedTerminatedPods", "{}");
        assert_report(f, &job_controller, "d/j", "startTime", "absent");
}

static void test_job_gone(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_pod(f, "a", "Running", true);
        put_pod(f, "b", "Running", false);
        assert_plan(f, &job_controller, "d/j", "guard-absent jobs d/j|patch pods d/a");
}

/* --- ServiceAccount --- */

static void test_serviceaccount(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        fake_put(f, WORLD_NAMESPACES, "metadata: {name: d}");
        assert_plan(f, &serviceaccount_controller, "d", "create serviceaccounts d/default");
        fake_put(f, WORLD_SERVICEACCOUNTS, "metadata: {name: default, namespace: d}");
        assert_plan(f, &serviceaccount_controller, "d", "");
        fake_put(f, WORLD_NAMESPACES, "metadata: {name: e, deletionTimestamp: x}");
        assert_plan(f, &serviceaccount_controller, "e", "");
}

/* --- certificates --- */

static json_t *put_csr(struct fake *f, const char *cn, const char *organization, const char *user,
                const char *status) {
        const char *organizations[] = {organization, NULL};
        struct pki_subject subject = {.cn = cn, .organizations = organizations};
        _cleanup_free_ char *key = NULL, *pem = NULL, *encoded = NULL;

        assert_int_equal(pki_key_new(&key), 0);
        assert_int_equal(pki_csr_new(key, &subject, &pem), 0);
        encoded = base64_encode(pem, strlen(pem));
        return fake_put(f, WORLD_CSRS,
                        "metadata: {name: c, uid: uc, resourceVersion: '2', creationTimestamp: "
                        "'2026-01-01T11:59:00Z'}\nspec: {signerName: "
                        "kubernetes.io/kube-apiserver-client-kubelet, request: %s, username: '%s', "
                        "groups: [system:nodes, system:authenticated], usages: [client auth, "
                        "digital "
                        "signature]}\nstatus: {%s}\n",
                        encoded, user, status);
}

#define APPROVED "conditions: [{type: Approved, status: 'True'}]"

static void test_csr(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *cert = NULL, *key = NULL, *issued = NULL, *cn = NULL;
        _cleanup_actions_ struct actions a = {0};
        size_t n;

        assert_int_equal(pki_ca_new("ca", 10, &cert, &key), 0);
        f->config.signing_cert_pem = cert;
        f->config.signing_key_pem = key;
        /* a new node's request waits for approval */
        put_csr(f, "system:node:n1", "system:nodes", "system:bootstrap:x", "");
        assert_plan(f, &csr_controller, "c", "");
        put_csr(f, "system:node:n1", "system:nodes", "system:node:n2", "");
        assert_plan(f, &csr_controller, "c", "");
        /* its own renewal does not */
        put_csr(f, "system:node:n1", "system:nodes", "system:node:n1", "");
        assert_plan_has(f, &csr_controller, "c", "update certificatesigningrequests c approval");
        put_csr(f, "system:node:n1", "system:nodes", "system:bootstrap:x", APPROVED);
        csr_controller.plan(&f->world, "c", &a);
        assert_int_equal(a.count, 1);
        assert_string_equal(a.items[0].subresource, "status");
        assert_int_equal(base64_decode(json_str(a.items[0].body, "status.certificate"),
                                         (void **)&issued, &n),
                        0);
        issued = realloc(issued, n + 1);
        issued[n] = 0;
        assert_int_equal(pki_cert_read(issued, &cn, NULL, NULL), 0);
        assert_string_equal(cn, "system:node:n1");
}

static void test_csr_refuses_other_subjects(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        f->config.signing_cert_pem = f->config.signing_key_pem = "unused";
        put_csr(f, "kubernetes-admin", "system:masters", "x", APPROVED);
        assert_plan_has(f, &csr_controller, "c", "\"type\":\"Failed\"");
        put_csr(f, "system:node:n1", "system:masters", "x", APPROVED);
        assert_plan_has(f, &csr_controller, "c", "\"type\":\"Failed\"");
        put_csr(f, "system:node:", "system:nodes", "x", APPROVED);
        assert_plan_has(f, &csr_controller, "c", "\"type\":\"Failed\"");
}

struct asked {
        const char *signer, *cn, *user, *usages, *seconds;
        const char *const *organizations, *const *dns_names, *const *ip_addresses;
};

static void ask(struct fake *f, const struct asked *q) {
        struct pki_subject subject = {.cn = q->cn,
                        .organizations = q->organizations,
                        .dns_names = q->dns_names,
                        .ip_addresses = q->ip_addresses};
        _cleanup_free_ char *key = NULL, *pem = NULL, *encoded = NULL;

        assert_int_equal(pki_key_new(&key), 0);
        assert_int_equal(pki_csr_new(key, &subject, &pem), 0);
        encoded = base64_encode(pem, strlen(pem));
        fake_put(f, WORLD_CSRS,
                        "metadata: {name: c, uid: uc, resourceVersion: '2', creationTimestamp: "
                        "'2026-01-01T11:59:00Z'}\nspec: {signerName: kubernetes.io/%s, request: "
                        "%s, username: '%s', groups: [system:nodes], usages: [%s]%s}\nstatus: "
                        "{" APPROVED "}\n",
                        q->signer, encoded, q->user, q->usages, strempty(q->seconds));
}

#define SUBJECT(...) \
        (const char *const[]) { \
                __VA_ARGS__, NULL \
        }
#define NODES SUBJECT("system:nodes")
#define CLIENT "client auth, digital signature"
#define SERVER "server auth, digital signature, key encipherment"

static void test_signers(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *cert = NULL, *key = NULL;
        const struct asked good[] = {
                        {"kube-apiserver-client", "ann", "root", CLIENT, NULL, SUBJECT("devs"),
                                        NULL, NULL},
                        {"kube-apiserver-client-kubelet", "system:node:n1", "x", CLIENT, NULL,
                                        NODES, NULL, NULL},
                        {"kubelet-serving", "system:node:n1", "system:node:n1", SERVER, NULL, NODES,
                                        SUBJECT("n1"), SUBJECT("192.0.2.1")},
        };
        const struct asked bad[] = {
                        {"kube-apiserver-client", "ann", "root", CLIENT, NULL,
                                        SUBJECT("system:masters"), NULL, NULL},
                        {"kube-apiserver-client", "ann", "root", CLIENT, NULL, NULL,
                                        SUBJECT("kubernetes"), NULL},
                        {"kube-apiserver-client", "ann", "root", SERVER, NULL, NULL, NULL, NULL},
                        {"kube-apiserver-client-kubelet", "system:node:n1", "x", CLIENT, NULL,
                                        NODES, SUBJECT("kubernetes"), NULL},
                        {"kube-apiserver-client-kubelet", "system:node:n1", "x", CLIENT, NULL,
                                        NODES, NULL, SUBJECT("10.96.0.1")},
                        {"kube-apiserver-client-kubelet", "system:node:n1", "x",
                                        CLIENT ", server auth", NULL, NODES, NULL, NULL},
                        {"kube-apiserver-client-kubelet", "system:node:n1", "x", "client auth",
                                        NULL, NODES, NULL, NULL},
                        {"kube-apiserver-client-kubelet", "system:node:n1", "x", CLIENT, NULL,
                                        SUBJECT("system:nodes", "devs"), NULL, NULL},
                        {"kubelet-serving", "system:node:n1", "x", SERVER, NULL, NODES,
                                        SUBJECT("n1"), NULL}, /* another user's request */
                        {"kubelet-serving", "system:node:n1", "system:node:n1", SERVER, NULL, NODES,
                                        SUBJECT("kubernetes"), NULL},
                        {"kubelet-serving", "system:node:n1", "system:node:n1", SERVER, NULL, NODES,
                                        NULL, SUBJECT("10.96.0.1")},
                        {"kubelet-serving", "system:node:n1", "system:node:n1", SERVER, NULL, NODES,
                                        NULL, SUBJECT("192.0.2.2")}, /* n2 has it too */
                        {"kubelet-serving", "system:node:n1", "system:node:n1", SERVER, NULL, NODES,
                                        NULL, SUBJECT("192.0.2.9")},
                        {"kubelet-serving", "system:node:n1", "system:node:n1", SERVER, NULL, NODES,
                                        NULL, NULL},
        };

        assert_int_equal(pki_ca_new("ca", 10, &cert, &key), 0);
        f->config.signing_cert_pem = cert;
        f->config.signing_key_pem = key;
        /* n1 claims more than it has */
        fake_put(f, WORLD_NODES,
                        "metadata: {name: n1}\nstatus: {addresses: [{address: 192.0.2.1}, "
                        "{address: "
                        "192.0.2.2}, {address: 10.96.0.1}]}\n");
        fake_put(f, WORLD_NODES,
                        "metadata: {name: n2}\nstatus: {addresses: [{address: "
                        "192.0.2.2}]}\n");
        fake_put(f, WORLD_SERVICES,
                        "metadata: {name: kubernetes, namespace: default}\nspec: "
                        "{clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1]}\n");
        for (size_t i = 0; i < ELEMENTS(good); i++) {
                ask(f, &good[i]);
                assert_plan_has(f, &csr_controller, "c", "\"certificate\":");
        }
        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                ask(f, &bad[i]);
                assert_plan_has(f, &csr_controller, "c", "\"type\":\"Failed\"");
        }
}

static void test_signed_time(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *cert = NULL, *key = NULL;
        static const struct {
                const char *seconds;
                uint64_t min_s, max_s;
        } cases[] = {
                        {", expirationSeconds: 3600", 3000, 3600},
                        {", expirationSeconds: 1", 500, 600},
                        {", expirationSeconds: 2000000000", 364 * 86400, 365 * 86400},
                        {"", 364 * 86400, 365 * 86400},
        };

        assert_int_equal(pki_ca_new("ca", 4000, &cert, &key), 0);
        f->config.signing_cert_pem = cert;
        f->config.signing_key_pem = key;
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_actions_ struct actions a = {0};
                _cleanup_free_ char *data = NULL, *issued = NULL;
                uint64_t end, now = now_wall_us() / 1000000;
                size_t n;

                ask(f, &(struct asked){"kube-apiserver-client", "ann", "root", CLIENT,
                                       cases[i].seconds, NULL, NULL, NULL});
                csr_controller.plan(&f->world, "c", &a);
                assert_int_equal(a.count, 1);
                assert_int_equal(base64_decode(json_str(a.items[0].body, "status.certificate"),
                                                 (void **)&data, &n),
                                0);
                issued = strndup(data, n);
                assert_int_equal(pki_cert_read(issued, NULL, NULL, &end), 0);
                assert_in_range(end - now, cases[i].min_s, cases[i].max_s + 5);
        }
}

/* --- aggregated roles --- */

#define AGGREGATE "rbac.authorization.k8s.io/aggregate-to-x"

static void test_aggregation(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        fake_put(f, WORLD_CLUSTERROLES,
                        "metadata: {name: agg, uid: u, resourceVersion: '1'}\naggregationRule: "
                        "{clusterRoleSelectors: [{matchLabels: {" AGGREGATE ": 'true'}}, "
                        "{matchExpressions: [{key: more, operator: Exists}]}]}\nrules: []\n");
        assert_plan(f, &clusterrole_controller, "agg", "");
        fake_put(f, WORLD_CLUSTERROLES,
                        "metadata: {name: b, labels: {" AGGREGATE ": 'true'}}\nrules: [{verbs: "
                        "[get], apiGroups: [''], resources: [pods]}]\n");
        fake_put(f, WORLD_CLUSTERROLES,
                        "metadata: {name: a, labels: {more: ''}}\nrules: [{verbs: [list], "
                        "apiGroups: [''], resources: [pods]}, {verbs: [get], apiGroups: [''], "
                        "resources: [pods]}]\n");
        fake_put(f, WORLD_CLUSTERROLES,
                        "metadata: {name: c, labels: {" AGGREGATE ": 'false'}}\nrules: [{verbs: "
                        "['*'], apiGroups: ['*'], resources: ['*']}]\n");
        assert_plan_has(f, &clusterrole_controller, "agg",
                        "\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],"
                        "\"verbs\":[\"list\"]},{\"apiGroups\":[\"\"],\"resources\":["
                        "\"pods\"],\"verbs\":[\"get\"]}]");
        /* what it has is right; a role without an aggregation is left alone */
        fake_put(f, WORLD_CLUSTERROLES,
                        "metadata: {name: agg}\naggregationRule: {clusterRoleSelectors: "
                        "[{matchLabels: {" AGGREGATE ": 'true'}}]}\nrules: [{verbs: [get], "
                        "apiGroups: [''], resources: [pods]}]\n");
        assert_plan(f, &clusterrole_controller, "agg", "");
        assert_plan(f, &clusterrole_controller, "b", "");
        /* and taken away when the label goes */
        fake_put(f, WORLD_CLUSTERROLES, "metadata: {name: b}\nrules: []\n");
        assert_plan_has(f, &clusterrole_controller, "agg", "\"rules\":[]");
}

/* --- garbage --- */

struct garden {
        struct fake *fake;
        struct graph graph;
        struct catalogue catalogue;
};

static void garden_new(struct garden *g) {
        _cleanup_json_ json_t *list = json_pack(
                        "{s:[{s:{s:s}, s:[{s:s, s:[{s:s, s:s, s:{s:s}, s:[s,s,s,s]},"
                        "{s:s, s:s, s:{s:s}, s:[s,s,s,s]}, {s:s, s:s, s:{s:s}, s:[s,s,s]}]}]}]}",
                        "items", "metadata", "name", "", "versions", "version", "v1", "resources",
                        "resource", "pods", "scope", "Namespaced", "responseKind", "kind", "Pod",
                        "verbs", "list", "watch", "delete", "deletecollection", "resource", "nodes",
                        "scope", "Cluster", "responseKind", "kind", "Node", "verbs", "list",
                        "watch", "delete", "deletecollection", "resource", "events", "scope",
                        "Namespaced", "responseKind", "kind", "Event", "verbs", "list", "watch",
                        "delete");

        g->fake = fake_new();
        g->catalogue = (struct catalogue){0};
        assert_int_equal(graph_init(&g->graph), 0);
        assert_int_equal(catalogue_read(&g->catalogue, list), 0);
        assert_int_equal(g->catalogue.count, 3);
        assert_false(g->catalogue.items[2]->watched);
        g->fake->world.graph = &g->graph;
        g->fake->world.catalogue = &g->catalogue;
}

static void garden_done(struct garden *g) {
        graph_done(&g->graph);
        catalogue_done(&g->catalogue);
        fake_free(g->fake);
}

static void grow_in(struct garden *g, const char *ns, const char *name, const char *meta) {
        const json_t *o = fake_put(g->fake, WORLD_PODS,
                        "metadata: {name: %s, namespace: '%s', uid: u-%s, resourceVersion: '1', "
                        "%s}",
                        name, ns, name, meta);

        graph_put(&g->graph, api_resource_find("pods"), o);
}

static void grow(struct garden *g, const char *name, const char *meta) {
        grow_in(g, "d", name, meta);
}

#define OWNED_BY(owner) \
        "{apiVersion: v1, kind: Pod, name: " owner ", uid: u-" owner ", blockOwnerDeletion: true}"

static void test_gc_absent_owner(void **state) {
        _cleanup_(garden_done) struct garden g;

        garden_new(&g);
        grow(&g, "owner", "x: y");
        grow(&g, "a", "ownerReferences: [" OWNED_BY("owner") "]");
        grow(&g, "b", "ownerReferences: [" OWNED_BY("owner") ", " OWNED_BY("gone") "]");
        assert_plan(g.fake, &gc_controller, "u-a", "");
        /* one owner stands: only the reference to the other goes */
        assert_plan(g.fake, &gc_controller, "u-b", "guard-absent pods d/gone|patch pods d/b");
        graph_remove(&g.graph, "u-owner");
        assert_plan(g.fake, &gc_controller, "u-a", "guard-absent pods d/owner|delete pods d/a");
        assert_plan_has(g.fake, &gc_controller, "u-a",
                        "\"preconditions\":{\"resourceVersion\":\"1\",\"uid\":\"u-a\"}");
        assert_plan(g.fake, &gc_controller, "u-b",
                        "guard-absent pods d/owner|guard-absent pods d/gone|delete pods d/b");
        /* a uid alone is no owner: kind, name and namespace must be those of the reference */
        grow(&g, "owner", "x: y");
        grow(&g, "other-name",
                        "ownerReferences: [{apiVersion: v1, kind: Pod, name: notowner, "
                        "uid: u-owner}]");
        assert_plan(g.fake, &gc_controller, "u-other-name",
                        "guard-absent pods d/notowner|delete pods d/other-name");
        grow(&g, "other-kind",
                        "ownerReferences: [{apiVersion: v1, kind: Node, name: owner, uid: "
                        "u-owner}]");
        assert_plan(g.fake, &gc_controller, "u-other-kind",
                        "guard-absent nodes owner|delete pods d/other-kind");
        grow_in(&g, "e", "other-ns", "ownerReferences: [" OWNED_BY("owner") "]");
        assert_plan(g.fake, &gc_controller, "u-other-ns",
                        "guard-absent pods e/owner|event events e/other-ns|delete pods e/other-ns");
        assert_plan_has(g.fake, &gc_controller, "u-other-ns",
                        "Warning OwnerRefInvalidNamespace: ownerRef [v1/Pod, namespace: e, name: "
                        "owner, uid: u-owner] does not exist in namespace \"e\"");
        /* an object of no namespace can't be owned from within one: kept, as nobody can be asked */
        grow_in(&g, "", "node", "ownerReferences: [" OWNED_BY("owner") "]");
        assert_plan(g.fake, &gc_controller, "u-node", "event events node");
        /* an owner of a kind that nobody serves can't be asked for: no guess */
        grow(&g, "c", "ownerReferences: [{apiVersion: x/v1, kind: Y, name: z, uid: z}]");
        assert_plan(g.fake, &gc_controller, "u-c", "");
}

static void test_gc_foreground(void **state) {
        _cleanup_(garden_done) struct garden g;

        garden_new(&g);
        grow(&g, "owner", "deletionTimestamp: x, finalizers: [foregroundDeletion]");
        grow(&g, "a", "ownerReferences: [" OWNED_BY("owner") "]");
        assert_plan(g.fake, &gc_controller, "u-owner", "delete pods d/a");
        grow(&g, "a", "deletionTimestamp: x, ownerReferences: [" OWNED_BY("owner") "]");
        assert_plan(g.fake, &gc_controller, "u-owner", ""); /* waits */
        graph_remove(&g.graph, "u-a");
        assert_plan(g.fake, &gc_controller, "u-owner", "patch pods d/owner");
        assert_plan_has(g.fake, &gc_controller, "u-owner", "\"finalizers\":[]");
}

/* Who only names the uid is no dependent: it is neither waited for nor deleted with it. */
static void test_gc_foreground_of_strangers(void **state) {
        _cleanup_(garden_done) struct garden g;

        garden_new(&g);
        grow(&g, "owner", "deletionTimestamp: x, finalizers: [foregroundDeletion]");
        grow_in(&g, "e", "a", "ownerReferences: [" OWNED_BY("owner") "]");
        assert_plan(g.fake, &gc_controller, "u-owner", "patch pods d/owner");
}

static void test_gc_orphan(void **state) {
        _cleanup_(garden_done) struct garden g;

        garden_new(&g);
        grow(&g, "owner", "deletionTimestamp: x, finalizers: [orphan, mine]");
        grow(&g, "a", "ownerReferences: [" OWNED_BY("owner") "]");
        assert_plan(g.fake, &gc_controller, "u-owner", "patch pods d/a");
        assert_plan_has(g.fake, &gc_controller, "u-owner", "\"ownerReferences\":[]");
        grow(&g, "a", "ownerReferences: []");
        assert_plan(g.fake, &gc_controller, "u-owner", "patch pods d/owner");
        assert_plan_has(g.fake, &gc_controller, "u-owner", "\"finalizers\":[\"mine\"]");
}

/* An extension server's object with the uid of a pod that is not known yet. */
static void test_gc_orphan_forged(void **state) {
        static const struct api_resource flunders = {
                        "shop.example.com", "v1", "flunders", "Flunder", true};
        _cleanup_(garden_done) struct garden g;
        _cleanup_json_ json_t *forged = json_pack("{s:{s:s, s:s, s:s, s:s, s:s, s:[s]}}",
                        "metadata", "name", "f", "namespace", "d", "uid", "u-owner",
                        "resourceVersion", "1", "deletionTimestamp", "x", "finalizers", "orphan");

        garden_new(&g);
        graph_put(&g.graph, &flunders, forged);
        grow(&g, "a", "ownerReferences: [" OWNED_BY("owner") "]");
        assert_plan(g.fake, &gc_controller, "u-owner", "patch flunders d/f");
}

#define NS_CONDITION(type, reason, message) \
        "{\"type\":\"NamespaceDeletion" type "\",\"status\":\"False\",\"reason\":\"" reason \
        "\",\"message\":\"" message "\",\"lastTransitionTime\":\"" FAKE_NOW "\"},"
#define NS_CONDITIONS \
        "[" NS_CONDITION("DiscoveryFailure", "ResourcesDiscovered", \
                        "All resources successfully discovered") \
                        NS_CONDITION("GroupVersionParsingFailure", "ParsedGroupVersions", \
                                        "All legacy kube types successfully parsed") \
                                        NS_CONDITION("ContentFailure", "ContentDeleted", \
                                                        "All content successfully deleted, may " \
                                                        "be waiting on finalization")

/* A discovery in which an extension server has one kind; resources false: it never answered. */
static json_t *remote_discovery(const char *freshness, bool resources) {
        json_t *kinds = resources ? json_pack("[{s:s, s:s, s:{s:s}, s:[s,s]}]", "resource",
                                                    "flunders", "scope", "Namespaced",
                                                    "responseKind", "kind", "Flunder", "verbs",
                                                    "list", "delete")
                                  : json_array();

        return json_pack("{s:[{s:{s:s}, s:[{s:s, s:s, s:o}]}]}", "items", "metadata", "name",
                        "shop.example.com", "versions", "version", "v1", "freshness", freshness,
                        "resources", kinds);
}

static void read_remote(struct garden *g, const char *freshness, bool resources) {
        _cleanup_json_ json_t *list = remote_discovery(freshness, resources);

        catalogue_begin(&g->catalogue);
        assert_int_equal(catalogue_read(&g->catalogue, list), 0);
}

#define DISCOVERY_FAILED \
        "\"status\":\"True\",\"reason\":\"DiscoveryFailed\"," \
        "\"message\":\"Discovery failed for " \
        "some groups, 1 failing: unable to retrieve the complete list of server APIs: " \
        "shop.example.com/v1: stale GroupVersion discovery: shop.example.com/v1\""

static void test_namespace_of_extension_servers(void **state) {
        _cleanup_(garden_done) struct garden g;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *status = NULL;
        _cleanup_free_ char *text = NULL;
        const char *const deleted = "delete-each flunders d/|guard-empty flunders d/|"
                                    "update namespaces d";

        garden_new(&g);
        fake_put(g.fake, WORLD_NAMESPACES,
                        "metadata: {name: d, uid: un, deletionTimestamp: x}\n"
                        "spec: {finalizers: [kubernetes]}");
        read_remote(&g, "Current", true);
        assert_plan(g.fake, &namespace_controller, "d", deleted);
        /* it is not asked while it does not answer, and its kind stays known */
        read_remote(&g, "Stale", true);
        assert_plan(g.fake, &namespace_controller, "d", "");
        read_remote(&g, "Stale", false);
        assert_plan(g.fake, &namespace_controller, "d", "");
        assert_non_null(catalogue_find(&g.catalogue, "shop.example.com/v1", "Flunder"));
        p.causes = json_pack("[s,s]", "a failed", "b failed");
        status = namespace_controller.report(&g.fake->world, "d", &p);
        text = json_text(status);
        assert_non_null(strstr(text, DISCOVERY_FAILED));
        assert_non_null(strstr(text, "Failed to delete all resource types, 2 remaining: a failed, "
                                     "b failed"));
        read_remote(&g, "Current", true);
        assert_plan(g.fake, &namespace_controller, "d", deleted);
        g.catalogue.outdated = true; /* not before the kinds of a new definition are known */
        assert_plan(g.fake, &namespace_controller, "d", "delete-each flunders d/");
}

/* What only another version than the preferred one has is known, too; what both have, once. */
static void test_catalogue_of_versions(void **state) {
#define RESOURCE(plural, kind) \
        "{'resource':'" plural "','scope':'Namespaced','responseKind':{'kind':'" kind \
        "'},'verbs':['list','delete']}"
        _cleanup_free_ char *text = strdup(
                        "{'items':[{'metadata':{'name':'x.io'},'versions':["
                        "{'version':'v1','resources':[" RESOURCE("as", "A") "]},"
                        "{'version':'v1beta1','resources':[" RESOURCE("as", "A") "," RESOURCE(
                                        "bs", "B") "]}]}]}");
        _cleanup_json_ json_t *list = NULL;
        struct catalogue c = {0};

        for (char *s = text; s && *s; s++)
                if (*s == '\'')
                        *s = '"';
        assert_int_equal(json_parse(text, strlen(text), 0, &list, NULL), 0);
        for (int i = 0; i < 2; i++) { /* the second time as the first */
                catalogue_begin(&c);
                assert_int_equal(catalogue_read(&c, list), 0);
                assert_int_equal(c.count, 2);
                assert_string_equal(catalogue_find(&c, "x.io/v2", "A")->version, "v1");
                assert_string_equal(catalogue_find(&c, "x.io/v1", "B")->version, "v1beta1");
        }
        catalogue_done(&c);
}

/* A uid of another kind's object is not believed; a kind that goes takes its objects along. */
static void test_graph_of_extension_servers(void **state) {
        static const struct api_resource flunders = {
                        .group = "shop.example.com", .version = "v1", .plural = "flunders"};
        _cleanup_(garden_done) struct garden g;
        _cleanup_json_ json_t *forged = json_pack("{s:{s:s, s:s, s:s}}", "metadata", "name", "a",
                                              "namespace", "d", "uid", "u-a"),
                              *own = json_pack("{s:{s:s, s:s, s:s}}", "metadata", "name", "f",
                                              "namespace", "d", "uid", "u-f");

        garden_new(&g);
        grow(&g, "a", "ownerReferences: [" OWNED_BY("b") "]");
        graph_put(&g.graph, &flunders, forged);
        assert_string_equal(graph_get(&g.graph, "u-a")->resource->plural, "pods");
        graph_put(&g.graph, &flunders, own);
        assert_non_null(graph_get(&g.graph, "u-f"));
        graph_remove_kind(&g.graph, &flunders);
        assert_null(graph_get(&g.graph, "u-f"));
        assert_non_null(graph_get(&g.graph, "u-a"));
        graph_remove_kind(&g.graph, api_resource_find("pods"));
        assert_null(graph_namespace(&g.graph, "d"));
        assert_null(graph_get(&g.graph, "u-b"));
}

static void test_namespace(void **state) {
        _cleanup_(garden_done) struct garden g;

        garden_new(&g);
        grow(&g, "a", "x: y");
        fake_put(g.fake, WORLD_NAMESPACES,
                        "metadata: {name: d, uid: un}\nspec: {finalizers: [kubernetes]}");
        assert_plan(g.fake, &namespace_controller, "d", "");
        fake_put(g.fake, WORLD_NAMESPACES,
                        "metadata: {name: d, uid: un, deletionTimestamp: x}\n"
                        "spec: {finalizers: [kubernetes]}");
        assert_plan(g.fake, &namespace_controller, "d", "delete-all pods d/|delete-each events d/");
        grow(&g, "b", "finalizers: [example.org/x, y]");
        grow(&g, "b", "finalizers: [example.org/x]");
        assert_report(g.fake, &namespace_controller, "d", "conditions",
                        NS_CONDITIONS
                        "{\"type\":\"NamespaceContentRemaining\",\"status\":\"True\","
                        "\"reason\":\"SomeResourcesRemain\",\"message\":\"Some resources are "
                        "remaining: pods. has 2 resource "
                        "instances\",\"lastTransitionTime\":\"" FAKE_NOW
                        "\"},{\"type\":\"NamespaceFinalizersRemaining\",\"status\":"
                        "\"True\",\"reason\":\"SomeFinalizersRemain\",\"message\":\"Some content "
                        "in the namespace has finalizers remaining: example.org/x in 1 resource "
                        "instances\",\"lastTransitionTime\":\"" FAKE_NOW "\"}]");
        graph_remove(&g.graph, "u-b");
        graph_remove(&g.graph, "u-a");
        assert_plan(g.fake, &namespace_controller, "d",
                        "delete-all pods d/|delete-each events d/|guard-empty pods d/|"
                        "guard-empty events d/|"
                        "update namespaces d");
        assert_plan_has(g.fake, &namespace_controller, "d", "finalize {");
        g.fake->world.graph = NULL; /* not before all kinds are known */
        assert_plan(g.fake, &namespace_controller, "d", "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_job_starts),
                        cmocka_unit_test(test_job_pods_of_others),
                        cmocka_unit_test(test_job_counts_exactly),
                        cmocka_unit_test(test_job_completes),
                        cmocka_unit_test(test_job_fails),
                        cmocka_unit_test(test_job_events),
                        cmocka_unit_test(test_job_deadline),
                        cmocka_unit_test(test_job_suspends),
                        cmocka_unit_test(test_job_gone),
                        cmocka_unit_test(test_serviceaccount),
                        cmocka_unit_test(test_csr),
                        cmocka_unit_test(test_csr_refuses_other_subjects),
                        cmocka_unit_test(test_signers),
                        cmocka_unit_test(test_signed_time),
                        cmocka_unit_test(test_aggregation),
                        cmocka_unit_test(test_gc_absent_owner),
                        cmocka_unit_test(test_gc_foreground),
                        cmocka_unit_test(test_gc_foreground_of_strangers),
                        cmocka_unit_test(test_gc_orphan),
                        cmocka_unit_test(test_gc_orphan_forged),
                        cmocka_unit_test(test_namespace),
                        cmocka_unit_test(test_namespace_of_extension_servers),
                        cmocka_unit_test(test_catalogue_of_versions),
                        cmocka_unit_test(test_graph_of_extension_servers),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
