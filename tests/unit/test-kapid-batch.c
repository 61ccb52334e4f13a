/* Jobs, CronJobs and PodDisruptionBudgets: defaults, refusals, what an update may change. */
#include "tests/unit/unit.h"

#include "tests/unit/kapid-create.h"

#define META "'metadata':{'name':'j','namespace':'d'}"
#define POD "'template':{'spec':{'restartPolicy':'Never','containers':[{'name':'c'}]}}"
#define JOB(more) "{" META ",'spec':{" POD more "}}"
#define INDEXED ",'completionMode':'Indexed'"
#define CRON(more) \
        "{" META ",'spec':{'schedule':'0 * * * *','jobTemplate':{'spec':{" POD "}}" more "}}"
#define RULE(rule) ",'podFailurePolicy':{'rules':[" rule "]}"
#define CODES(more) "'onExitCodes':{" more "}"
#define BUDGET(spec) "{" META ",'spec':{" spec "}}"

static void test_defaults(void **state) {
        static const struct {
                const char *plural, *object, *path, *expected; /* NULL: absent */
        } cases[] = {
                        {"jobs", JOB(""), "spec.completions", "1"},
                        {"jobs", JOB(""), "spec.parallelism", "1"},
                        {"jobs", JOB(""), "spec.backoffLimit", "6"},
                        {"jobs", JOB(""), "spec.completionMode", "'NonIndexed'"},
                        {"jobs", JOB(""), "spec.suspend", "false"},
                        {"jobs", JOB(""), "spec.podReplacementPolicy", "'TerminatingOrFailed'"},
                        {"jobs", JOB(",'parallelism':2"), "spec.completions", NULL},
                        {"jobs", JOB(INDEXED ",'completions':2,'backoffLimitPerIndex':1"),
                                        "spec.backoffLimit", "2147483647"},
                        {"jobs",
                                        JOB(RULE("{'action':'Ignore','onPodConditions':[{'type':"
                                                 "'DisruptionTarget'}]}")),
                                        "spec.podReplacementPolicy", "'Failed'"},
                        {"jobs",
                                        JOB(RULE("{'action':'Ignore','onPodConditions':[{'type':"
                                                 "'DisruptionTarget'}]}")),
                                        "spec.podFailurePolicy.rules",
                                        "[{'action':'Ignore','onPodConditions':[{'type':"
                                        "'DisruptionTarget','status':'True'}]}]"},
                        {"cronjobs", CRON(""), "spec.concurrencyPolicy", "'Allow'"},
                        {"cronjobs", CRON(""), "spec.suspend", "false"},
                        {"cronjobs", CRON(""), "spec.successfulJobsHistoryLimit", "3"},
                        {"cronjobs", CRON(""), "spec.failedJobsHistoryLimit", "1"},
                        /* the template of a job is completed when the job is made */
                        {"cronjobs", CRON(""), "spec.jobTemplate.spec.completions", NULL},
                        {"cronjobs", CRON(""), "spec.jobTemplate.spec.suspend", NULL},
                        {"cronjobs", CRON(""), "spec.jobTemplate.spec.template.spec.dnsPolicy",
                                        "'ClusterFirst'"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *o =
                                create(kind("batch", cases[i].plural), cases[i].object, NULL);

                if (cases[i].expected)
                        assert_json(json_at(o, cases[i].path), cases[i].expected);
                else
                        assert_null(json_at(o, cases[i].path));
        }
}

static const struct {
        const char *object, *expected;
} job_refusals[] = {
                {JOB(INDEXED ",'parallelism':2"), "spec.completions: Required value: when"},
                {JOB(INDEXED ",'completions':200000,'parallelism':100001"),
                                "spec.parallelism: Invalid value: 100001: must be less than or"},
                {JOB(INDEXED ",'completions':100001,'backoffLimitPerIndex':1"),
                                "spec.maxFailedIndexes: Required value: must be specified when"},
                {JOB(INDEXED ",'completions':3,'backoffLimitPerIndex':1,'maxFailedIndexes':4"),
                                "spec.maxFailedIndexes: Invalid value: 4: must be less than"},
                {JOB(INDEXED ",'completions':3,'maxFailedIndexes':1"),
                                "spec.backoffLimitPerIndex: Required value: when maxFailed"},
                {JOB(",'backoffLimitPerIndex':1"),
                                "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed"},
                {JOB(",'completionMode':'Random'"), "spec.completionMode: Unsupported value"},
                {"{'metadata':{'name':'a.b','namespace':'d'},'spec':{" POD INDEXED
                 ",'completions':2}}",
                                "metadata.name: Invalid value: 'a.b': will not able to create pod "
                                "with invalid DNS label: a.b-1"},
                {JOB(",'managedBy':'kueue'"), "spec.managedBy: Invalid value: 'kueue'"},
                {JOB(",'parallelism':-1"), "spec.parallelism: Invalid value: -1"},
                {JOB(",'selector':{'matchLabels':{'a':'b'}}"), "`selector` not auto-generated"},
                {JOB(",'manualSelector':true"), "spec.selector: Required value"},
                {"{" META ",'spec':{'template':{'spec':{'containers':[{'name':'c'}]}}}}",
                                "spec.template.spec.restartPolicy: Required value: valid values"},
                /* failures */
                {JOB(RULE("{'action':'FailIndex'," CODES("'operator':'In','values':[1]") "}")),
                                "rules[0].action: Invalid value: 'FailIndex': requires the "
                                "backoffLimitPerIndex to be set"},
                {JOB(RULE("{'action':'Shrug'," CODES("'operator':'In','values':[1]") "}")),
                                "rules[0].action: Unsupported value: 'Shrug'"},
                {JOB(RULE("{'action':'Ignore'}")), "specifying one of OnExitCodes and OnPod"},
                {JOB(RULE("{'action':'Ignore','onPodConditions':[{'type':'x'}]," CODES(
                                 "'operator':'In','values':[1]") "}")),
                                "specifying both OnExitCodes and OnPodConditions"},
                {JOB(RULE("{'action':'Ignore'," CODES("'operator':'In','values':[0]") "}")),
                                "onExitCodes.values[0]: Invalid value: 0: must not be 0"},
                {JOB(RULE("{'action':'Ignore'," CODES("'operator':'In','values':[3,2]") "}")),
                                "onExitCodes.values: Invalid value: [3,2]: must be ordered"},
                {JOB(RULE("{'action':'Ignore'," CODES("'operator':'In','values':[]") "}")),
                                "at least one value is required"},
                {JOB(RULE("{'action':'Ignore'," CODES("'operator':'Is','values':[1]") "}")),
                                "operator: Unsupported value: 'Is'"},
                {JOB(RULE("{'action':'Ignore'," CODES(
                                 "'containerName':'x','operator':'In','values':[1]") "}")),
                                "containerName: Invalid value: 'x': must be one of"},
                {JOB(RULE("{'action':'Ignore','onPodConditions':[{'type':'x','status':'Yes'}]}")),
                                "onPodConditions[0].status: Unsupported value: 'Yes'"},
                {JOB(",'podReplacementPolicy':'TerminatingOrFailed'" RULE(
                                 "{'action':'Ignore','onPodConditions':[{'type':'x'}]}")),
                                "spec.podReplacementPolicy: Unsupported value"},
                /* success */
                {JOB(",'successPolicy':{'rules':[{'succeededCount':1}]}"),
                                "spec.successPolicy: Invalid value"},
                {JOB(INDEXED ",'completions':3,'successPolicy':{'rules':[]}"),
                                "spec.successPolicy.rules: Required value"},
                {JOB(INDEXED ",'completions':3,'successPolicy':{'rules':[{}]}"),
                                "rules[0]: Required value: at least one of succeededCount"},
                {JOB(INDEXED ",'completions':3,'successPolicy':{'rules':[{'succeededIndexes':'1-3'"
                             "}]}"),
                                "must be below the number of completions"},
                {JOB(INDEXED ",'completions':3,'successPolicy':{'rules':[{'succeededIndexes':'1-2'"
                             ",'succeededCount':3}]}"),
                                "rules[0].succeededCount: Invalid value: 3: must be less than or "
                                "equal to 2"},
};

static void test_job_refusals(void **state) {
        for (size_t i = 0; i < ELEMENTS(job_refusals); i++)
                create_fails(kind("batch", "jobs"), job_refusals[i].object,
                                job_refusals[i].expected);
}

static void test_cronjob_refusals(void **state) {
        static const struct {
                const char *object, *expected;
        } cases[] = {
                        {"{" META ",'spec':{'schedule':'','jobTemplate':{'spec':{" POD "}}}}",
                                        "spec.schedule: Required value"},
                        {"{" META ",'spec':{'schedule':'0 0 L * *','jobTemplate':{'spec':{" POD
                         "}}}}",
                                        "spec.schedule: Invalid value: '0 0 L * *': day of the"},
                        {"{" META
                         ",'spec':{'schedule':'TZ=UTC 0 0 * * *','jobTemplate':{'spec':{" POD
                         "}}}}",
                                        "cannot use TZ or CRON_TZ in schedule"},
                        {CRON(",'timeZone':''"), "timeZone must be nil or non-empty string"},
                        {CRON(",'timeZone':'local'"), "timeZone must be an explicit time zone"},
                        {CRON(",'timeZone':'Mars/Base'"), "unknown time zone Mars/Base"},
                        {CRON(",'timeZone':'../x'"), "unknown time zone ../x"},
                        {CRON(",'concurrencyPolicy':'Maybe'"), "spec.concurrencyPolicy: Unsupp"},
                        {CRON(",'startingDeadlineSeconds':-1"), "startingDeadlineSeconds: Inv"},
                        {CRON(",'failedJobsHistoryLimit':-1"), "failedJobsHistoryLimit: Inv"},
                        {"{'metadata':{'name':"
                         "'aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeefff','namespace':'d'},"
                         "'spec':{'schedule':'0 * * * *','jobTemplate':{'spec':{" POD "}}}}",
                                        "metadata.name: Invalid value"},
                        {"{" META
                         ",'spec':{'schedule':'0 * * * *','jobTemplate':{'spec':{'template'"
                         ":{'spec':{'containers':[{'name':'c'}]}}}}}}",
                                        "spec.jobTemplate.spec.template.spec.restartPolicy: Req"},
                        {"{" META ",'spec':{'schedule':'0 * * * *','jobTemplate':{'spec':{" POD
                         ",'manualSelector':true}}}}",
                                        "spec.jobTemplate.spec.manualSelector: Unsupported"},
                        {"{" META ",'spec':{'schedule':'0 * * * *','jobTemplate':{'spec':{" POD
                         ",'selector':{'matchLabels':{'a':'b'}}}}}}",
                                        "spec.jobTemplate.spec.selector: Invalid value"},
                        {"{" META
                         ",'spec':{'schedule':'0 * * * *','jobTemplate':{'spec':{" POD INDEXED
                         "}}}}",
                                        "spec.jobTemplate.spec.completions: Required value"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                create_fails(kind("batch", "cronjobs"), cases[i].object, cases[i].expected);
}

static void test_budgets(void **state) {
        static const struct {
                const char *object, *expected;
        } cases[] = {
                        {BUDGET("'minAvailable':1,'maxUnavailable':1"), "cannot be both set"},
                        {BUDGET("'minAvailable':'101%'"), "must not be greater than 100%"},
                        {BUDGET("'maxUnavailable':-1"), "spec.maxUnavailable: Invalid value: -1"},
                        {BUDGET("'maxUnavailable':'x'"), "a valid percent string"},
                        {BUDGET("'unhealthyPodEvictionPolicy':'Never'"), "Unsupported value"},
                        {BUDGET("'selector':{'matchExpressions':[{'key':'a','operator':'In'}]}"),
                                        "spec.selector.matchExpressions[0].values: Required"},
        };
        const struct kind *k = kind("policy", "poddisruptionbudgets");
        _cleanup_json_ json_t *o = create(k, BUDGET("'minAvailable':'50%','selector':{}"), NULL);

        /* nothing may be evicted before the controller has counted */
        assert_json(json_at(o, "status"),
                        "{'disruptionsAllowed':0,'currentHealthy':0,'desiredHealthy':0,"
                        "'expectedPods':0}");
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                create_fails(k, cases[i].object, cases[i].expected);
}

static void test_job_updates(void **state) {
        static const struct {
                const char *job, *path, *value, *expected; /* NULL: it is allowed */
        } cases[] = {
                        {JOB(""), "spec.completions", "2", "field is immutable"},
                        {JOB(""), "spec.parallelism", "2", NULL},
                        {JOB(""), "spec.backoffLimit", "2", NULL},
                        {JOB(""), "spec.managedBy", "'a.b/c'", "field is immutable"},
                        {JOB(""), "spec.template.spec.nodeSelector", "{'a':'b'}", "immutable"},
                        {JOB(",'suspend':true"), "spec.template.spec.nodeSelector", "{'a':'b'}",
                                        NULL},
                        {JOB(",'suspend':true"), "spec.template.spec.tolerations",
                                        "[{'operator':'Exists'}]", NULL},
                        {JOB(",'suspend':true"), "spec.template.spec.affinity.nodeAffinity", "{}",
                                        NULL},
                        {JOB(",'suspend':true"), "spec.template.spec.affinity.podAffinity", "{}",
                                        "immutable"},
                        {JOB(",'suspend':true"), "spec.template.spec.hostNetwork", "true",
                                        "immutable"},
                        {JOB(INDEXED ",'completions':2,'parallelism':2"), "spec.completions", "3",
                                        "can only be modified in tandem with parallelism"},
        };
        const struct kind *k = kind("batch", "jobs");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *old = create(k, cases[i].job, NULL),
                                      *new = json_deep_copy(old);
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(json_set_at(new, cases[i].path, parse(cases[i].value)), 0);
                if (!cases[i].expected) {
                        if (pipeline_validate_update(k, NULL, old, new, NULL, &p) < 0)
                                fail_msg("%s: %s", cases[i].path, p.message);
                } else if (pipeline_validate_update(k, NULL, old, new, NULL, &p) == 0 ||
                                !strstr(p.message, cases[i].expected))
                        fail_msg("%s: %s", cases[i].path, strempty(p.message));
        }
}

/* Both together; a job that has started keeps its template even when it is suspended. */
static void test_job_update_pairs(void **state) {
        const struct kind *k = kind("batch", "jobs");
        _cleanup_json_ json_t *old = create(k, JOB(INDEXED ",'completions':2,'parallelism':2"),
                                              NULL),
                              *new = json_deep_copy(old),
                              *suspended = create(k, JOB(",'suspend':true"), NULL), *changed = NULL;
        _cleanup_problem_ struct problem p = {0};

        json_set_int(new, "spec.completions", 4);
        json_set_int(new, "spec.parallelism", 4);
        assert_int_equal(pipeline_validate_update(k, NULL, old, new, NULL, &p), 0);
        json_set_str(suspended, "status.startTime", "2026-01-01T00:00:00Z");
        changed = json_deep_copy(suspended);
        json_set_str(changed, "spec.template.spec.nodeSelector.a", "b");
        assert_true(pipeline_validate_update(k, NULL, suspended, changed, NULL, &p) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_defaults),
                        cmocka_unit_test(test_job_refusals),
                        cmocka_unit_test(test_cronjob_refusals),
                        cmocka_unit_test(test_budgets),
                        cmocka_unit_test(test_job_updates),
                        cmocka_unit_test(test_job_update_pairs),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
