/* Plans and reports of Job (indexes and policies), CronJob, TTL and PodDisruptionBudget, as tables.
 * The counting of jobs without indexes is in test-jobs.c. */
#include "tests/unit/fake-world.h"

/* --- Job --- */

static json_t *put_job(struct fake *f, const char *spec, const char *status) {
        return fake_put(f, WORLD_JOBS,
                        "metadata: {name: j, namespace: d, uid: uj, resourceVersion: '5'}\n"
                        "spec: {%s, template: {spec: {restartPolicy: Never, containers: [{name: c}], "
                        "initContainers: [{name: i, env: [{name: JOB_COMPLETION_INDEX, value: x}]}]}}}\n"
                        "status: {%s}\n",
                        spec, status);
}

/* A pod as a test writes it: "NAME INDEX PHASE [word...]". Words: free (no finalizer), deleting,
 * exit=N, disrupted, tried=N (failures of its index before it), at=HH:MM:SS of its end. */
static void put_pod(struct fake *f, const char *text) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *annotations = NULL;
        const char *finalizer = "batch.kubernetes.io/job-tracking", *deleting = "", *code = NULL,
                   *condition = "", *tried = "0", *at = "11:59:58";

        assert_int_equal(strv_split(text, " ", &words), 0);
        assert_true(strv_length(words) >= 3);
        for (size_t i = 3; words[i]; i++)
                if (streq(words[i], "free"))
                        finalizer = "";
                else if (streq(words[i], "deleting"))
                        deleting = "deletionTimestamp: '2026-01-01T11:59:59Z', ";
                else if (streq(words[i], "disrupted"))
                        condition = "conditions: [{type: DisruptionTarget, status: 'True'}], ";
                else if (startswith(words[i], "exit="))
                        code = words[i] + 5;
                else if (startswith(words[i], "tried="))
                        tried = words[i] + 6;
                else if (startswith(words[i], "at="))
                        at = words[i] + 3;
                else
                        fail_msg("unknown word %s", words[i]);
        annotations = streq(words[1], "-")
                                      ? strdup("")
                                      : strformat("batch.kubernetes.io/job-completion-index: '%s', "
                                                  "batch.kubernetes.io/job-index-failure-count: '%s'",
                                                        words[1], tried);
        fake_put(f, WORLD_PODS,
                        "metadata: {name: %s, namespace: d, uid: u-%s, resourceVersion: '9', %s"
                        "creationTimestamp: '2026-01-01T11:59:00Z', finalizers: [%s], annotations: "
                        "{%s}, ownerReferences: [{apiVersion: batch/v1, kind: Job, name: j, uid: uj, "
                        "controller: true}]}\nspec: {}\nstatus: {phase: %s, %scontainerStatuses: "
                        "[{name: c, state: {%s: {exitCode: %s, finishedAt: '2026-01-01T%sZ'}}}]}\n",
                        words[0], words[0], deleting, finalizer, annotations, words[2], condition,
                        code || streq(words[2], "Failed") || streq(words[2], "Succeeded")
                                        ? "terminated"
                                        : "running",
                        code ? code : "0", at);
}

struct job_case {
        const char *spec, *status;
        const char *pods[6];
        const char *plan;       /* without events; NULL: not looked at */
        const char *report[12]; /* path, value... */
};

static char *without_events(const char *brief) {
        struct buf b = {0};
        _cleanup_strv_free_ char **parts = NULL;

        assert_int_equal(strv_split(brief, "|", &parts), 0);
        for (size_t i = 0; parts && parts[i]; i++)
                if (!startswith(parts[i], "event "))
                        buf_printf(&b, "%s%s", b.size > 0 ? "|" : "", parts[i]);
        if (!b.data)
                buf_append_str(&b, "");
        return buf_take(&b);
}

static void run_job_case(const struct job_case *c, size_t number) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *text = NULL, *brief = NULL, *plan = NULL;
        _cleanup_json_ json_t *status = NULL;

        put_job(f, c->spec, c->status);
        for (size_t i = 0; i < ELEMENTS(c->pods) && c->pods[i]; i++)
                put_pod(f, c->pods[i]);
        text = fake_plan(f, &job_controller, "d/j", NULL);
        brief = fake_brief(text, 3);
        plan = without_events(strempty(brief));
        if (c->plan && !streq(strempty(plan), c->plan))
                fail_msg("case %zu: planned %s and not %s\n%s", number, strempty(plan), c->plan,
                                text);
        status = job_controller.report(&f->world, "d/j", NULL);
        for (size_t i = 0; i < ELEMENTS(c->report) && c->report[i]; i += 2) {
                const char *path = c->report[i];
                const json_t *v = *path >= 'A' && *path <= 'Z' ? NULL : json_at(status, path);
                _cleanup_free_ char *value = v ? json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT)
                                               : strdup("absent");

                if (*path >= 'A' && *path <= 'Z') {
                        _cleanup_json_ json_t *o = json_pack("{s:O}", "status", status);
                        const json_t *condition = object_condition(o, path);

                        free(value);
                        value = strdup(object_condition_true(o, path)
                                                        ? json_str_or(condition, "reason", "")
                                                        : "absent");
                }
                if (!streq(value, c->report[i + 1]))
                        fail_msg("case %zu: %s is %s and not %s", number, path, value,
                                        c->report[i + 1]);
        }
}

#define INDEXED "completionMode: Indexed, "
#define PER_INDEX INDEXED "backoffLimit: 2147483647, backoffLimitPerIndex: 1, "

static const struct job_case index_cases[] = {
                /* each index once, the lowest first, those that succeeded never again */
                {INDEXED "completions: 4, parallelism: 2", "", {NULL},
                                "create pods d/j-0-|create pods d/j-1-", {"active", "0"}},
                {INDEXED "completions: 4, parallelism: 3", "completedIndexes: '0,2', succeeded: 2",
                                {"a 1 Running"}, "create pods d/j-3-",
                                {"completedIndexes", "\"0,2\"", "succeeded", "2", "active", "1"}},
                /* a success is its index; the finalizer goes once the status has it */
                {INDEXED "completions: 3", "", {"a 1 Succeeded"}, "create pods d/j-0-",
                                {"completedIndexes", "\"1\"", "succeeded", "1",
                                                "uncountedTerminatedPods", "{}"}},
                {INDEXED "completions: 3", "completedIndexes: '1', succeeded: 1", {"a 1 Succeeded"},
                                "patch pods d/a|create pods d/j-0-",
                                {"completedIndexes", "\"1\"", "succeeded", "1"}},
                {INDEXED "completions: 3, parallelism: 3", "completedIndexes: '0-2', succeeded: 3",
                                {"a 2 Succeeded free"}, "",
                                {"SuccessCriteriaMet", "CompletionsReached", "Complete",
                                                "CompletionsReached"}},
                /* two pods of one index, one without, one beyond */
                {INDEXED "completions: 2, parallelism: 2", "",
                                {"a 0 Running", "b 0 Pending", "c 7 Running", "d - Running"},
                                "delete pods d/c|delete pods d/d|delete pods d/b", {NULL}},
                {INDEXED "completions: 2", "completedIndexes: '0'", {"a 9 Succeeded"},
                                "patch pods d/a|create pods d/j-1-", {"succeeded", "1"}},
                /* a failure is made again with its index after the pause */
                {INDEXED "completions: 2", "failed: 1", {"a 0 Failed free at=11:59:40"},
                                "create pods d/j-0-", {"failed", "1"}},
                {INDEXED "completions: 2", "failed: 1", {"a 0 Failed free at=11:59:58"}, "",
                                {"failed", "1"}},
                {INDEXED "completions: 2, backoffLimit: 0", "", {"a 0 Failed", "b 1 Running"},
                                "delete pods d/b",
                                {"FailureTarget", "BackoffLimitExceeded", "Failed", "absent",
                                                "uncountedTerminatedPods.failed", "[\"u-a\"]"}},
                /* fewer completions than before */
                {INDEXED "completions: 2, parallelism: 2",
                                "completedIndexes: '0,1,3-9', succeeded: 9", {NULL}, "",
                                {"completedIndexes", "\"0,1\"", "Complete", "CompletionsReached"}},
};

static void test_job_indexes(void **state) {
        for (size_t i = 0; i < ELEMENTS(index_cases); i++)
                run_job_case(&index_cases[i], i);
}

static void test_job_index_in_pod(void **state) {
        static const char *const parts[] = {"\"generateName\":\"j-0-\"", "\"hostname\":\"j-0\"",
                        "\"annotations\":{\"batch.kubernetes.io/job-completion-index\":\"0\"}",
                        "\"batch.kubernetes.io/job-completion-index\":\"0\",\"job-name\"",
                        "\"initContainers\":[{\"env\":[{\"name\":\"JOB_COMPLETION_INDEX\","
                        "\"value\":\"x\"}],\"name\":\"i\"}]",
                        "\"containers\":[{\"env\":[{\"name\":\"JOB_COMPLETION_INDEX\",\"valueFrom\":"
                        "{\"fieldRef\":{\"fieldPath\":\"metadata.labels["
                        "'batch.kubernetes.io/job-completion-index']\"}}}],\"name\":\"c\"}]"};
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_actions_ struct actions a = {0};
        _cleanup_free_ char *text = NULL;

        put_job(f, INDEXED "completions: 1", "");
        job_controller.plan(&f->world, "d/j", &a);
        assert_int_equal(a.count, 1);
        text = json_text_sorted(a.items[0].body);
        for (size_t i = 0; i < ELEMENTS(parts); i++)
                if (!strstr(text, parts[i]) && i != 3)
                        fail_msg("no %s in %s", parts[i], text);
}

static const struct job_case per_index_cases[] = {
                /* the last failure of an index is kept until its next pod is there */
                {PER_INDEX "completions: 2, parallelism: 2", "",
                                {"a 0 Failed at=11:59:40", "b 1 Running"}, "create pods d/j-0-",
                                {"failed", "0", "failedIndexes", "\"\"", "uncountedTerminatedPods",
                                                "{}"}},
                {PER_INDEX "completions: 2, parallelism: 2", "",
                                {"a 0 Failed at=11:59:58", "b 1 Running"}, "", {NULL}},
                {PER_INDEX "completions: 2, parallelism: 2", "",
                                {"a 0 Failed", "c 0 Running tried=1", "b 1 Running"}, "",
                                {"uncountedTerminatedPods.failed", "[\"u-a\"]"}},
                /* too many failures of one index fail it and not the job */
                {PER_INDEX "completions: 3, parallelism: 2", "",
                                {"a 0 Failed tried=1", "b 1 Running"}, "create pods d/j-2-",
                                {"failedIndexes", "\"0\"", "uncountedTerminatedPods.failed",
                                                "[\"u-a\"]", "FailureTarget", "absent"}},
                /* others end; then the job has failed */
                {PER_INDEX "completions: 2, parallelism: 2",
                                "failedIndexes: '0', failed: 2, completedIndexes: '1'",
                                {"b 1 Succeeded free"}, "",
                                {"Failed", "FailedIndexes", "failedIndexes", "\"0\"",
                                                "completedIndexes", "\"1\""}},
                {PER_INDEX "maxFailedIndexes: 1, completions: 9, parallelism: 2",
                                "failedIndexes: '0,1', failed: 2", {"c 2 Running"},
                                "delete pods d/c", {"FailureTarget", "MaxFailedIndexesExceeded"}},
                {PER_INDEX "maxFailedIndexes: 2, completions: 9, parallelism: 1",
                                "failedIndexes: '0,1', failed: 2", {NULL}, "create pods d/j-2-",
                                {"FailureTarget", "absent"}},
                {PER_INDEX "completions: 2, podFailurePolicy: {rules: [{action: FailIndex, "
                           "onExitCodes: {operator: In, values: [42]}}]}",
                                "", {"a 0 Failed exit=42"}, "create pods d/j-1-",
                                {"failedIndexes", "\"0\""}},
};

static void test_job_limits_per_index(void **state) {
        for (size_t i = 0; i < ELEMENTS(per_index_cases); i++)
                run_job_case(&per_index_cases[i], i);
}

static void test_job_index_attempts(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_job(f, PER_INDEX "completions: 1", "");
        put_pod(f, "a 0 Failed at=11:50:00 tried=0");
        assert_plan_has(f, &job_controller, "d/j",
                        "\"batch.kubernetes.io/job-index-failure-count\":\"1\"");
        /* The node's clock is ahead. */
        put_pod(f, "a 0 Failed at=23:00:00 tried=0");
        assert_plan_has(f, &job_controller, "d/j",
                        "\"batch.kubernetes.io/job-index-failure-count\":\"1\"");
        put_job(f,
                        PER_INDEX "completions: 1, podFailurePolicy: {rules: [{action: Ignore, "
                                  "onPodConditions: [{type: DisruptionTarget, status: 'True'}]}]}",
                        "");
        put_pod(f, "a 0 Failed at=11:50:00 disrupted");
        assert_plan_has(f, &job_controller, "d/j",
                        "\"batch.kubernetes.io/job-index-failure-count\":\"0\"");
        assert_plan_has(f, &job_controller, "d/j",
                        "\"batch.kubernetes.io/job-index-ignored-failure-count\":\"1\"");
}

#define RULES(rules) "podReplacementPolicy: Failed, podFailurePolicy: {rules: [" rules "]}"
#define ON_EXIT(action, operator, values) \
        "{action: " action ", onExitCodes: {operator: " operator", values: " values "}}"
#define ON_DISRUPTION(action) \
        "{action: " action ", onPodConditions: [{type: DisruptionTarget, status: 'True'}]}"

static const struct job_case policy_cases[] = {
                {RULES(ON_EXIT("FailJob", "In", "[42]")), "", {"a - Failed exit=42", "b - Running"},
                                "delete pods d/b", {"FailureTarget", "PodFailurePolicy"}},
                {RULES(ON_EXIT("FailJob", "In", "[42]")), "", {"a - Failed exit=1"}, NULL,
                                {"FailureTarget", "absent", "uncountedTerminatedPods.failed",
                                                "[\"u-a\"]"}},
                {RULES(ON_EXIT("FailJob", "NotIn", "[1]")), "", {"a - Failed exit=42"}, NULL,
                                {"FailureTarget", "PodFailurePolicy"}},
                {RULES("{action: FailJob, onExitCodes: {containerName: x, operator: In, values: "
                       "[42]}}"),
                                "", {"a - Failed exit=42"}, NULL, {"FailureTarget", "absent"}},
                /* ignored ones are neither counted nor kept */
                {"backoffLimit: 0, " RULES(ON_DISRUPTION("Ignore")), "",
                                {"a - Failed disrupted at=11:50:00"},
                                "patch pods d/a|create pods d/j-",
                                {"FailureTarget", "absent", "failed", "0",
                                                "uncountedTerminatedPods", "{}"}},
                {"backoffLimit: 0, " RULES(
                                 ON_DISRUPTION("Count") ", " ON_EXIT("Ignore", "NotIn", "[0]")),
                                "", {"a - Failed disrupted exit=1"}, NULL,
                                {"FailureTarget", "BackoffLimitExceeded"}},
                {"backoffLimit: 0, " RULES(ON_EXIT("Ignore", "In", "[3]")), "",
                                {"a - Failed exit=4"}, NULL,
                                {"FailureTarget", "BackoffLimitExceeded"}},
};

static void test_job_failure_policy(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_json_ json_t *status = NULL, *o = NULL;

        for (size_t i = 0; i < ELEMENTS(policy_cases); i++)
                run_job_case(&policy_cases[i], i);
        put_job(f, RULES(ON_DISRUPTION("Ignore") ", " ON_EXIT("FailJob", "In", "[42]")), "");
        put_pod(f, "a - Failed exit=42");
        status = job_controller.report(&f->world, "d/j", NULL);
        o = json_pack("{s:O}", "status", status);
        assert_string_equal(json_str(object_condition(o, "FailureTarget"), "message"),
                        "Container c for pod d/a failed with exit code 42 matching FailJob rule at "
                        "index 1");
}

static const struct job_case success_cases[] = {
                {INDEXED "completions: 5, parallelism: 5, successPolicy: {rules: [{succeededIndexes: "
                         "'0,2-3'}]}",
                                "completedIndexes: '0,2'", {"a 3 Succeeded", "b 4 Running"},
                                "delete pods d/b",
                                {"SuccessCriteriaMet", "SuccessPolicy", "Complete", "absent"}},
                {INDEXED "completions: 5, successPolicy: {rules: [{succeededIndexes: '0,2-3'}]}",
                                "completedIndexes: '0,2,4'", {NULL}, "create pods d/j-1-",
                                {"SuccessCriteriaMet", "absent"}},
                {INDEXED "completions: 5, successPolicy: {rules: [{succeededIndexes: '0-3', "
                         "succeededCount: 2}]}",
                                "completedIndexes: '1,3'", {NULL}, "",
                                {"Complete", "SuccessPolicy", "completionTime",
                                                "\"" FAKE_NOW "\""}},
                {INDEXED "completions: 5, successPolicy: {rules: [{succeededIndexes: '4'}, "
                         "{succeededCount: 3}]}",
                                "completedIndexes: '0-2'", {NULL}, "",
                                {"Complete", "SuccessPolicy"}},
};

static void test_job_success_policy(void **state) {
        for (size_t i = 0; i < ELEMENTS(success_cases); i++)
                run_job_case(&success_cases[i], i);
}

static const struct job_case pod_cases[] = {
                /* TerminatingOrFailed: a terminating pod has failed and is made again */
                {"completions: 1", "failed: 1", {"a - Running free deleting at=11:50:00"}, NULL,
                                {"terminating", "1", "active", "0"}},
                {"completions: 1", "", {"a - Running deleting"}, NULL,
                                {"uncountedTerminatedPods.failed", "[\"u-a\"]", "terminating",
                                                "1"}},
                /* Failed: it keeps its place until it has ended */
                {"completions: 1, podReplacementPolicy: Failed", "", {"a - Running deleting"}, "",
                                {"uncountedTerminatedPods", "{}", "terminating", "1"}},
                {"completions: 1, podReplacementPolicy: Failed", "",
                                {"a - Failed deleting at=11:50:00"}, "create pods d/j-",
                                {"uncountedTerminatedPods.failed", "[\"u-a\"]", "terminating",
                                                "0"}},
                {INDEXED "completions: 2, parallelism: 2, podReplacementPolicy: Failed", "",
                                {"a 0 Running deleting"}, "create pods d/j-1-", {NULL}},
                /* a terminating pod that succeeds after all */
                {"completions: 1, podReplacementPolicy: Failed", "", {"a - Succeeded deleting"}, "",
                                {"SuccessCriteriaMet", "CompletionsReached"}},
                /* Complete and Failed wait until nothing runs */
                {"completions: 1", "succeeded: 1", {"a - Running free deleting"}, "",
                                {"SuccessCriteriaMet", "CompletionsReached", "Complete", "absent"}},
                {"activeDeadlineSeconds: 10", "startTime: '2026-01-01T11:59:00Z'", {"a - Running"},
                                "delete pods d/a",
                                {"FailureTarget", "DeadlineExceeded", "Failed", "absent"}},
                {"activeDeadlineSeconds: 9223372036854775807", "startTime: '2026-01-01T11:59:00Z'",
                                {"a - Running"}, "", {NULL}},
                /* the back-off counts failures since the last success */
                {"completions: 9, backoffLimit: 9", "failed: 3, succeeded: 1",
                                {"a - Failed free at=11:59:20", "b - Failed free at=11:59:30",
                                                "c - Succeeded free at=11:59:40",
                                                "e - Failed free at=11:59:45"},
                                "create pods d/j-", {NULL}},
                {"completions: 9, backoffLimit: 9", "failed: 3",
                                {"a - Failed free at=11:59:20", "b - Failed free at=11:59:30",
                                                "e - Failed free at=11:59:45"},
                                "", {NULL}},
                /* another controller's */
                {"completions: 1, managedBy: example.org/kueue", "", {"a - Failed"}, "", {NULL}},
                {"completions: 1, managedBy: kubernetes.io/job-controller", "", {NULL},
                                "create pods d/j-", {NULL}},
};

static void test_job_pods(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        for (size_t i = 0; i < ELEMENTS(pod_cases); i++)
                run_job_case(&pod_cases[i], i);
        put_job(f, "completions: 1, managedBy: example.org/kueue", "");
        assert_null(job_controller.report(&f->world, "d/j", NULL));
}

/* A pod that the selector no longer matches is no longer the job's: it loses reference and
 * finalizer, is not counted, and another one takes its place. */
static void test_job_release(void **state) {
        static const struct {
                const char *selector, *plan, *active, *noted;
        } cases[] = {
                        {"", "", "1", "[\"u-b\"]"},
                        {"selector: {matchLabels: {a: b}}, ",
                                        "patch pods d/a|patch pods d/b|create pods d/j-", "0",
                                        NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = fake_new();
                _cleanup_free_ char *spec = strformat("%scompletions: 2, parallelism: 1",
                                                    cases[i].selector),
                                    *text = NULL, *brief = NULL, *plan = NULL;
                _cleanup_json_ json_t *status = NULL;
                _cleanup_actions_ struct actions a = {0};

                put_job(f, spec, "");
                put_pod(f, "a - Running");
                put_pod(f, "b - Succeeded");
                text = fake_plan(f, &job_controller, "d/j", NULL);
                brief = fake_brief(text, 3);
                plan = without_events(strempty(brief));
                assert_string_equal(plan, cases[i].plan);
                status = job_controller.report(&f->world, "d/j", NULL);
                assert_int_equal(json_int_or(status, "active", -1), atoi(cases[i].active));
                text = mfree(text);
                text = json_dumps(
                                json_at(status, "uncountedTerminatedPods.succeeded"), JSON_COMPACT);
                assert_true(streq_ptr(text, cases[i].noted));
                if (i == 0)
                        continue;
                job_controller.plan(&f->world, "d/j", &a);
                free(text);
                text = json_text_sorted(a.items[0].body);
                assert_string_equal(text, "{\"metadata\":{\"finalizers\":[],\"ownerReferences\":[],"
                                          "\"resourceVersion\":\"9\"}}");
        }
}

static void test_ttl(void **state) {
        static const struct {
                const char *status, *plan;
                uint64_t wait_us;
        } cases[] = {
                        {"", "", 0},
                        {"conditions: [{type: Complete, status: 'True', lastTransitionTime: "
                         "'2026-01-01T11:59:20Z'}]",
                                        "delete jobs d/j", 0},
                        {"conditions: [{type: Failed, status: 'True', lastTransitionTime: "
                         "'2026-01-01T11:59:50Z'}]",
                                        "", 20000000},
                        {"conditions: [{type: Complete, status: 'True'}]", "", 0},
                        {"conditions: [{type: Failed, status: 'False', lastTransitionTime: "
                         "'2026-01-01T11:00:00Z'}]",
                                        "", 0},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_fake_ struct fake *f = fake_new();
                _cleanup_free_ char *text = NULL, *brief = NULL;
                uint64_t wait_us;

                put_job(f, "ttlSecondsAfterFinished: 30", cases[i].status);
                text = fake_plan(f, &ttl_controller, "d/j", &wait_us);
                brief = fake_brief(text, 3);
                assert_string_equal(strempty(brief), cases[i].plan);
                assert_int_equal(wait_us, cases[i].wait_us);
        }
}

/* --- CronJob --- */

static json_t *put_cronjob(struct fake *f, const char *spec, const char *status) {
        return fake_put(f, WORLD_CRONJOBS,
                        "metadata: {name: c, namespace: d, uid: uc, resourceVersion: '5', "
                        "creationTimestamp: '2026-01-01T11:00:30Z'}\n"
                        "spec: {%s, jobTemplate: {metadata: {labels: {a: b}, annotations: {x: z}}, "
                        "spec: {template: {spec: {}}}}}\nstatus: {%s}\n",
                        spec, status);
}

/* A job of the cronjob: "NAME STARTED [Complete|Failed] [manual]", times on 2026-01-01. */
static void put_run(struct fake *f, const char *text) {
        _cleanup_strv_free_ char **words = NULL;
        const char *end = "";
        bool manual = false;

        assert_int_equal(strv_split(text, " ", &words), 0);
        for (size_t i = 2; words[i]; i++)
                if (streq(words[i], "manual"))
                        manual = true;
                else
                        end = words[i];
        fake_put(f, WORLD_JOBS,
                        "metadata: {name: %s, namespace: d, uid: u-%s, annotations: {%s: "
                        "'2026-01-01T%sZ'}, ownerReferences: [{apiVersion: batch/v1, kind: CronJob, "
                        "name: c, uid: uc, controller: true}]}\nspec: {}\nstatus: {startTime: "
                        "'2026-01-01T%sZ', completionTime: '2026-01-01T%sZ', conditions: [%s]}\n",
                        words[0], words[0],
                        manual ? "other" : "batch.kubernetes.io/cronjob-scheduled-timestamp",
                        words[1], words[1], words[1],
                        streq(end, "Complete") ? "{type: Complete, status: 'True'}"
                        : streq(end, "Failed") ? "{type: Failed, status: 'True'}"
                                               : "");
}

struct cron_case {
        const char *spec, *status;
        const char *runs[5];
        const char *plan;
        uint64_t wait_us;
};

static const struct cron_case cron_cases[] = {
                /* 2026-01-01T12:00:00Z is minute 29454480 */
                {"schedule: '*/5 * * * *'", "", {NULL},
                                "create jobs d/c-29454480|barrier|patch cronjobs d/c", 300000000},
                {"schedule: '*/5 * * * *'", "lastScheduleTime: '2026-01-01T12:00:00Z'", {NULL}, "",
                                300000000},
                {"schedule: '1 * * * *'", "lastScheduleTime: '2026-01-01T11:01:00Z'", {NULL}, "",
                                60000000},
                /* the last of the missed ones, once */
                {"schedule: '3-59/7 * * * *'", "lastScheduleTime: '2026-01-01T11:00:00Z'", {NULL},
                                "create jobs d/c-29454479|barrier|patch cronjobs d/c", 180000000},
                /* created, but the status was not written: only recorded */
                {"schedule: '3-59/7 * * * *'", "lastScheduleTime: '2026-01-01T11:00:00Z'",
                                {"c-29454479 11:59:00"}, "", 180000000},
                {"schedule: '0 12 * * *', suspend: true", "", {NULL}, "", 0},
                /* deadlines */
                {"schedule: '55 11 * * *', startingDeadlineSeconds: 300", "", {NULL},
                                "create jobs d/c-29454475|barrier|patch cronjobs d/c",
                                UINT64_C(86400000000) - 300000000},
                {"schedule: '55 11 * * *', startingDeadlineSeconds: 299", "", {NULL},
                                "event events d/c", UINT64_C(86400000000) - 300000000},
                {"schedule: '55 11 * * *', startingDeadlineSeconds: 9223372036854775807", "",
                                {NULL}, "create jobs d/c-29454475|barrier|patch cronjobs d/c",
                                UINT64_C(86400000000) - 300000000},
                /* concurrency */
                {"schedule: '0 * * * *', concurrencyPolicy: Forbid", "", {"c-1 11:01:00"},
                                "event events d/c", 3600000000},
                {"schedule: '0 * * * *', concurrencyPolicy: Forbid", "", {"c-1 11:01:00 Complete"},
                                "create jobs d/c-29454480|barrier|patch cronjobs d/c", 3600000000},
                {"schedule: '0 * * * *', concurrencyPolicy: Replace", "",
                                {"c-1 11:01:00", "c-2 11:02:00 Failed"},
                                "delete jobs d/c-1|create jobs d/c-29454480|barrier|"
                                "patch cronjobs d/c",
                                3600000000},
                {"schedule: '0 * * * *', concurrencyPolicy: Allow", "", {"c-1 11:01:00"},
                                "create jobs d/c-29454480|barrier|patch cronjobs d/c", 3600000000},
                /* one that a person made from it does not count */
                {"schedule: '0 * * * *', concurrencyPolicy: Forbid", "", {"mine 11:01:00 manual"},
                                "create jobs d/c-29454480|barrier|patch cronjobs d/c", 3600000000},
                /* history */
                {"schedule: '1 1 1 1 *', successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 0",
                                "lastScheduleTime: '2026-01-01T11:59:00Z'",
                                {"a 11:03:00 Complete", "b 11:01:00 Complete",
                                                "e 11:02:00 Complete", "g 11:04:00 Failed"},
                                "delete jobs d/b|delete jobs d/e|delete jobs d/g",
                                UINT64_C(364) * 86400000000 + UINT64_C(13) * 3600000000 + 60000000},
                /* not to be read, and never */
                {"schedule: 'x'", "", {NULL}, "event events d/c", 0},
                {"schedule: '* * * * *', timeZone: Mars/Base", "", {NULL}, "event events d/c", 0},
                {"schedule: '0 0 30 2 *'", "", {NULL}, "", 0},
                {"schedule: '@every 7m'", "", {NULL},
                                "create jobs d/c-29454476|barrier|patch cronjobs d/c", 0},
                {"schedule: '30 13 * * *', timeZone: Asia/Kathmandu", "", {NULL}, "",
                                UINT64_C(19) * 3600000000 + 45 * UINT64_C(60000000)},
};

static void test_cronjob(void **state) {
        for (size_t i = 0; i < ELEMENTS(cron_cases); i++) {
                const struct cron_case *c = &cron_cases[i];
                _cleanup_fake_ struct fake *f = fake_new();
                _cleanup_free_ char *text = NULL, *brief = NULL;
                uint64_t wait_us;

                put_cronjob(f, c->spec, c->status);
                for (size_t k = 0; k < ELEMENTS(c->runs) && c->runs[k]; k++)
                        put_run(f, c->runs[k]);
                text = fake_plan(f, &cronjob_controller, "d/c", &wait_us);
                brief = fake_brief(text, 3);
                if (!streq(strempty(brief), c->plan))
                        fail_msg("case %zu: planned %s and not %s\n%s", i, strempty(brief), c->plan,
                                        text);
                if (c->wait_us > 0 && wait_us != c->wait_us)
                        fail_msg("case %zu: waits %llu and not %llu us", i,
                                        (unsigned long long)wait_us,
                                        (unsigned long long)c->wait_us);
        }
}

static void test_cronjob_job(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_cronjob(f, "schedule: '30 17 * * *', timeZone: Asia/Kolkata", "");
        assert_plan_has(f, &cronjob_controller, "d/c",
                        "\"batch.kubernetes.io/cronjob-scheduled-timestamp\":"
                        "\"2026-01-01T17:30:00+05:30\"");
        assert_plan_has(f, &cronjob_controller, "d/c", "\"labels\":{\"a\":\"b\"}");
        assert_plan_has(f, &cronjob_controller, "d/c", "\"x\":\"z\"");
        assert_plan_has(f, &cronjob_controller, "d/c", "\"kind\":\"CronJob\"");
        assert_plan_has(f, &cronjob_controller, "d/c",
                        "\"status\":{\"lastScheduleTime\":\"2026-01-01T12:00:00Z\"}");
        /* the name is another's: said, not repeated */
        fake_put(f, WORLD_JOBS, "metadata: {name: c-29454480, namespace: d, uid: other}");
        assert_plan(f, &cronjob_controller, "d/c", "event events d/c");
}

/* Years of missed minutes cost little, and the last one is exact. */
static void test_cronjob_missed(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_cronjob(f, "schedule: '* * * * *'", "lastScheduleTime: '1990-01-01T00:00:00Z'");
        assert_plan_has(f, &cronjob_controller, "d/c", "Warning TooManyMissedTimes: too many");
        assert_plan_has(f, &cronjob_controller, "d/c", "c-29454480");
        put_cronjob(f, "schedule: '*/3 0-3 * 1-3 *'", "lastScheduleTime: '1990-01-01T00:00:00Z'");
        assert_plan_has(f, &cronjob_controller, "d/c", "2026-01-01T03:57:00Z");
}

static void test_cronjob_status(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();

        put_cronjob(f, "schedule: '* * * * *'", "lastScheduleTime: '2026-01-01T11:00:00Z'");
        put_run(f, "c-1 11:07:00");
        put_run(f, "c-2 11:05:00 Complete");
        put_run(f, "c-3 11:06:00 Failed");
        put_run(f, "mine 11:30:00 manual");
        assert_report(f, &cronjob_controller, "d/c", "active",
                        "[{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"namespace\":\"d\","
                        "\"name\":\"c-1\",\"uid\":\"u-c-1\"}]");
        assert_report(f, &cronjob_controller, "d/c", "lastScheduleTime",
                        "\"2026-01-01T11:07:00Z\"");
        assert_report(f, &cronjob_controller, "d/c", "lastSuccessfulTime",
                        "\"2026-01-01T11:05:00Z\"");
}

/* --- PodDisruptionBudget --- */

static void put_budget(struct fake *f, const char *spec, const char *status) {
        fake_put(f, WORLD_BUDGETS,
                        "metadata: {name: b, namespace: d, uid: ub, generation: 1, resourceVersion: "
                        "'5'}\nspec: {%s}\nstatus: {%s}\n",
                        spec, status);
}

/* "NAME KIND/OWNER [ready] [deleting]" */
static void put_member(struct fake *f, const char *text) {
        _cleanup_strv_free_ char **words = NULL;
        _cleanup_free_ char *owner = NULL;
        bool ready = strstr(text, " ready") != NULL, deleting = strstr(text, " deleting") != NULL;
        char *slash;

        assert_int_equal(strv_split(text, " ", &words), 0);
        slash = strchr(words[1], '/');
        if (slash) {
                *slash = 0;
                owner = strformat(
                                "{apiVersion: %s, kind: %s, name: %s, uid: u-%s, controller: true}",
                                streq(words[1], "ReplicationController") ? "v1" : "apps/v1",
                                words[1], slash + 1, slash + 1);
        }
        fake_put(f, WORLD_PODS,
                        "metadata: {name: %s, namespace: d, uid: u-%s, labels: {app: x}, %s"
                        "ownerReferences: [%s]}\nspec: {}\nstatus: {conditions: [{type: Ready, "
                        "status: '%s'}]}\n",
                        words[0], words[0],
                        deleting ? "deletionTimestamp: '2026-01-01T12:00:00Z', " : "",
                        strempty(owner), ready ? "True" : "False");
}

static void put_owners(struct fake *f) {
        fake_put(f, WORLD_DEPLOYMENTS,
                        "metadata: {name: dep, namespace: d, uid: u-dep}\nspec: {replicas: 5}");
        fake_put(f, WORLD_REPLICASETS,
                        "metadata: {name: rs, namespace: d, uid: u-rs, ownerReferences: "
                        "[{apiVersion: apps/v1, kind: Deployment, name: dep, uid: u-dep, controller: "
                        "true}]}\nspec: {replicas: 2}");
        fake_put(f, WORLD_REPLICASETS,
                        "metadata: {name: alone, namespace: d, uid: u-alone}\nspec: {replicas: 3}");
        fake_put(f, WORLD_STATEFULSETS,
                        "metadata: {name: ss, namespace: d, uid: u-ss}\nspec: {replicas: 4}");
        fake_put(f, WORLD_REPLICATIONCONTROLLERS,
                        "metadata: {name: rc, namespace: d, uid: u-rc}\nspec: {replicas: 1}");
}

#define ALL "selector: {matchLabels: {app: x}}"

static const struct {
        const char *spec, *status;
        const char *pods[6];
        int allowed, healthy, desired, expected;
        const char *reason;
} budget_cases[] = {
                {ALL ", minAvailable: 2", "",
                                {"a ReplicaSet/rs ready", "b ReplicaSet/rs ready",
                                                "c ReplicaSet/rs ready"},
                                1, 3, 2, 3, "SufficientPods"},
                {ALL ", minAvailable: 2", "", {"a - ready", "b - ready", "c -"}, 0, 2, 2, 3,
                                "InsufficientPods"},
                {ALL ", minAvailable: 2", "", {"a - ready", "b - ready", "c - ready deleting"}, 0,
                                2, 2, 3, "InsufficientPods"},
                /* percentages of what the owner wants, rounded up */
                {ALL ", minAvailable: 50%", "",
                                {"a ReplicaSet/rs ready", "b ReplicaSet/rs ready",
                                                "c ReplicaSet/rs ready", "e ReplicaSet/rs ready"},
                                1, 4, 3, 5, "SufficientPods"},
                {ALL ", maxUnavailable: 30%", "",
                                {"a ReplicaSet/rs ready", "b ReplicaSet/rs ready",
                                                "c ReplicaSet/rs ready", "e ReplicaSet/rs ready"},
                                1, 4, 3, 5, "SufficientPods"},
                {ALL ", maxUnavailable: 1", "",
                                {"a ReplicaSet/alone ready", "b StatefulSet/ss ready",
                                                "c ReplicationController/rc ready"},
                                0, 3, 7, 8, "InsufficientPods"},
                {ALL ", maxUnavailable: 9", "", {"a StatefulSet/ss"}, 1 - 1, 0, 0, 4,
                                "InsufficientPods"},
                {ALL ", minAvailable: 0", "", {"a StatefulSet/ss ready"}, 1, 1, 0, 1,
                                "SufficientPods"},
                /* what should be is not known */
                {ALL ", maxUnavailable: 1", "expectedPods: 7", {"a StatefulSet/gone ready"}, 0, 0,
                                0, 7, "SyncFailed"},
                {ALL ", maxUnavailable: 1", "", {"a DaemonSet/ds ready"}, 0, 0, 0, 0, "SyncFailed"},
                {ALL ", maxUnavailable: 1", "", {"a - ready"}, 0, 1, 0, 0, "InsufficientPods"},
                /* nothing, everything, others */
                {ALL ", minAvailable: 1", "", {NULL}, 0, 0, 1, 0, "InsufficientPods"},
                {"minAvailable: 0", "", {"a - ready"}, 0, 0, 0, 0, "InsufficientPods"},
                {"selector: {}, minAvailable: 0", "", {"a - ready"}, 1, 1, 0, 1, "SufficientPods"},
                {"selector: {matchLabels: {app: y}}, minAvailable: 0", "", {"a - ready"}, 0, 0, 0,
                                0, "InsufficientPods"},
                /* granted and not yet seen to be deleted; granted too long ago */
                {ALL ", minAvailable: 1", "disruptedPods: {a: '2026-01-01T11:59:00Z'}",
                                {"a - ready", "b - ready"}, 0, 1, 1, 2, "InsufficientPods"},
                {ALL ", minAvailable: 1", "disruptedPods: {a: '2026-01-01T11:57:59Z'}",
                                {"a - ready", "b - ready"}, 1, 2, 1, 2, "SufficientPods"},
};

static void test_budget(void **state) {
        for (size_t i = 0; i < ELEMENTS(budget_cases); i++) {
                _cleanup_fake_ struct fake *f = fake_new();
                _cleanup_json_ json_t *status = NULL, *o = NULL;
                int got[4];

                put_owners(f);
                put_budget(f, budget_cases[i].spec, budget_cases[i].status);
                for (size_t k = 0; k < ELEMENTS(budget_cases[i].pods) && budget_cases[i].pods[k];
                                k++)
                        put_member(f, budget_cases[i].pods[k]);
                status = disruption_controller.report(&f->world, "d/b", NULL);
                o = json_pack("{s:O}", "status", status);
                got[0] = (int)json_int_or(status, "disruptionsAllowed", -1);
                got[1] = (int)json_int_or(status, "currentHealthy", -1);
                got[2] = (int)json_int_or(status, "desiredHealthy", -1);
                got[3] = (int)json_int_or(status, "expectedPods", -1);
                if (got[0] != budget_cases[i].allowed || got[1] != budget_cases[i].healthy ||
                                got[2] != budget_cases[i].desired ||
                                got[3] != budget_cases[i].expected)
                        fail_msg("case %zu: %i %i %i %i", i, got[0], got[1], got[2], got[3]);
                assert_string_equal(json_str(object_condition(o, "DisruptionAllowed"), "reason"),
                                budget_cases[i].reason);
                assert_int_equal(object_condition_true(o, "DisruptionAllowed"), got[0] > 0);
                assert_int_equal(json_int_or(status, "observedGeneration", 0), 1);
        }
}

static void test_budget_disrupted(void **state) {
        _cleanup_fake_ struct fake *f = fake_new();
        _cleanup_free_ char *text = NULL;
        uint64_t wait_us;

        put_budget(f, ALL ", minAvailable: 1",
                        "observedGeneration: 1, expectedPods: 2, disruptedPods: {a: "
                        "'2026-01-01T11:59:00Z', b: '2026-01-01T11:59:30Z', gone: "
                        "'2026-01-01T11:59:30Z', e: '2026-01-01T11:00:00Z'}");
        put_member(f, "a - ready");
        put_member(f, "b - ready deleting");
        put_member(f, "e - ready");
        assert_report(f, &disruption_controller, "d/b", "disruptedPods",
                        "{\"a\":\"2026-01-01T11:59:00Z\"}");
        text = fake_plan(f, &disruption_controller, "d/b", &wait_us);
        assert_int_equal(wait_us, 60000000);
        assert_non_null(strstr(text, "events d/e"));
        assert_non_null(strstr(
                        text, "Warning NotDeleted: Pod was expected by PDB d/b to be deleted"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_job_indexes),
                        cmocka_unit_test(test_job_index_in_pod),
                        cmocka_unit_test(test_job_limits_per_index),
                        cmocka_unit_test(test_job_index_attempts),
                        cmocka_unit_test(test_job_failure_policy),
                        cmocka_unit_test(test_job_success_policy),
                        cmocka_unit_test(test_job_pods),
                        cmocka_unit_test(test_job_release),
                        cmocka_unit_test(test_ttl),
                        cmocka_unit_test(test_cronjob),
                        cmocka_unit_test(test_cronjob_job),
                        cmocka_unit_test(test_cronjob_missed),
                        cmocka_unit_test(test_cronjob_status),
                        cmocka_unit_test(test_budget),
                        cmocka_unit_test(test_budget_disrupted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
