/* The audit log: which rule of a policy decides, policies that are refused, and the log's files. */
#include "tests/unit/unit.h"

#include <sys/stat.h>

#include "kapid/audit/policy.h"
#include "kapid/audit/sink.h"
#include "lib/fileio.h"
#include "lib/metrics.h"

static struct audit_policy *policy_of(const char *text) {
        struct audit_policy *policy = NULL;
        _cleanup_problem_ struct problem p = {0};

        if (audit_policy_new(&policy, text, strlen(text), &p) < 0)
                fail_msg("%s", strempty(p.message));
        return policy;
}

#define HEAD "apiVersion: audit.k8s.io/v1\nkind: Policy\n"

/* The policy of Kubernetes' own documentation, with what it leaves out. */
static const char policy_text[] = HEAD
                "omitStages: [RequestReceived]\n"
                "rules:\n"
                "- {level: RequestResponse, omitManagedFields: true,\n"
                "   resources: [{group: '', resources: [pods]}]}\n"
                "- {level: Metadata, resources: [{group: '', resources: [pods/log, pods/status]}]}\n"
                "- {level: None, resources: [{group: '', resources: [configmaps],\n"
                "   resourceNames: [controller-leader]}]}\n"
                "- {level: None, users: ['system:kube-proxy'], verbs: [watch],\n"
                "   resources: [{group: '', resources: [endpoints, services]}]}\n"
                "- {level: None, userGroups: ['system:authenticated'],\n"
                "   nonResourceURLs: ['/api*', /version]}\n"
                "- {level: Request, resources: [{group: '', resources: [configmaps]}],\n"
                "   namespaces: [kube-system]}\n"
                "- {level: Metadata, resources: [{group: '', resources: [secrets, configmaps]}]}\n"
                "- {level: Request, namespaces: [''], resources: [{group: ''}]}\n"
                "- {level: Metadata, resources: [{group: apps, resources: ['*/scale', 'sets/*']}],\n"
                "   omitStages: [ResponseStarted]}\n"
                "- {level: Request, resources: [{group: extensions}]}\n"
                "- {level: Metadata, users: [ann]}\n";

static char *authenticated[] = {(char *)"x", (char *)"system:authenticated", NULL};
static const struct {
        struct audit_attributes a;
        enum audit_level level;
} rule_cases[] = {
#define R(g, r, s, ns, n) .group = g, .resource = r, .subresource = s, .namespace = ns, .name = n
                {{.user = "u", .verb = "get", R("", "pods", "", "d", "p")}, AUDIT_REQUEST_RESPONSE},
                {{.user = "u", .verb = "get", R("", "pods", "log", "d", "p")}, AUDIT_METADATA},
                {{.user = "u", .verb = "create", R("", "pods", "exec", "d", "p")}, AUDIT_NONE},
                {{.user = "u", .verb = "get", R("metrics.k8s.io", "pods", "", "d", "p")},
                                AUDIT_NONE},
                {{.user = "u", .verb = "get", R("", "configmaps", "", "d", "controller-leader")},
                                AUDIT_NONE},
                {{.user = "u", .verb = "get", R("", "configmaps", "", "d", "other")},
                                AUDIT_METADATA},
                {{.user = "u", .verb = "create", R("", "configmaps", "", "d", "")}, AUDIT_METADATA},
                {{.user = "u", .verb = "get", R("", "configmaps", "", "kube-system", "other")},
                                AUDIT_REQUEST},
                {{.user = "u", .verb = "get", R("", "secrets", "", "d", "s")}, AUDIT_METADATA},
                {{.user = "system:kube-proxy", .verb = "watch", R("", "services", "", "", "")},
                                AUDIT_NONE},
                {{.user = "u", .verb = "watch", R("", "services", "", "", "")}, AUDIT_REQUEST},
                {{.user = "u", .verb = "get", R("", "nodes", "", "", "n")}, AUDIT_REQUEST},
                {{.user = "u", .verb = "get", R("", "services", "", "d", "n")}, AUDIT_NONE},
                {{.user = "u", .verb = "get", R("apps", "deployments", "scale", "d", "n")},
                                AUDIT_METADATA},
                {{.user = "u", .verb = "get", R("apps", "deployments", "", "d", "n")}, AUDIT_NONE},
                {{.user = "u", .verb = "get", R("apps", "sets", "", "d", "n")}, AUDIT_METADATA},
                {{.user = "u", .verb = "get", R("apps", "sets", "status", "d", "n")},
                                AUDIT_METADATA},
                {{.user = "u", .verb = "list", R("extensions", "any", "thing", "", "")},
                                AUDIT_REQUEST},
                {{.user = "u", .groups = authenticated, .verb = "get", .path = "/apis/x"},
                                AUDIT_NONE},
                {{.user = "ann", .verb = "get", .path = "/apis/x"}, AUDIT_METADATA},
                {{.user = "ann", .groups = authenticated, .verb = "get", .path = "/version"},
                                AUDIT_NONE},
                {{.user = "ann", .groups = authenticated, .verb = "get", .path = "/version/x"},
                                AUDIT_METADATA},
#undef R
};

static void test_rules(void **state) {
        _cleanup_(audit_policy_freep) struct audit_policy *policy = policy_of(policy_text);

        for (size_t i = 0; i < ELEMENTS(rule_cases); i++) {
                struct audit_decision d = audit_policy_decide(policy, &rule_cases[i].a);

                if (d.level != rule_cases[i].level)
                        fail_msg("case %zu: %s", i, audit_level_name(d.level));
                if (d.level != AUDIT_NONE)
                        assert_true(d.omit_stages & AUDIT_RECEIVED);
                assert_int_equal(d.omit_managed_fields, d.level == AUDIT_REQUEST_RESPONSE);
        }
        assert_int_equal(audit_policy_decide(policy, &rule_cases[13].a).omit_stages,
                        AUDIT_RECEIVED | AUDIT_STARTED);
}

static void test_bad_policies(void **state) {
        static const struct {
                const char *text, *message;
        } cases[] = {
                        {"", "expected one document"},
                        {"a: [", "line"},
                        {"[]", "expected a mapping"},
                        {"apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]",
                                        "expected apiVersion: audit.k8s.io/v1"},
                        {HEAD "rules: []", "1 to"},
                        {HEAD, "1 to"},
                        {HEAD "rules: [{level: All}]", "rules[0].level: \"All\" is not one of"},
                        {HEAD "rules: [{levels: None}]", "unknown field \"levels\""},
                        {HEAD "rules: [{level: None}, {level: None, omitStages: [End]}]",
                                        "rules[1].omitStages: \"End\""},
                        {HEAD "rules: [{level: None, users: root}]",
                                        "rules[0].users: expected a list"},
                        {HEAD "rules: [{level: None, users: [7]}]", "rules[0].users[0]"},
                        {HEAD "rules: [{level: None, nonResourceURLs: [api]}]",
                                        "does not begin with /"},
                        {HEAD "rules: [{level: None, nonResourceURLs: ['/a*b']}]",
                                        "not at its end"},
                        {HEAD "rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]",
                                        "not about both"},
                        {HEAD "rules: [{level: None, resources: [{group: '', resourceNames: [a]}]}]",
                                        "rules[0].resources[0].resourceNames: needs resources"},
                        {HEAD "rules: [{level: None, resources: [{groups: ''}]}]",
                                        "unknown field \"groups\""},
                        {HEAD "omitManagedFields: 3\nrules: [{level: None}]",
                                        "expected true or false"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                struct audit_policy *policy = NULL;
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(
                                audit_policy_new(&policy, cases[i].text, strlen(cases[i].text), &p),
                                -EINVAL);
                if (!strstr(strempty(p.message), cases[i].message))
                        fail_msg("%s: %s", cases[i].text, strempty(p.message));
        }
}

static void test_old_names(void **state) {
        static const uint64_t now = UINT64_C(1704164645006000); /* 2024-01-02T03:04:05.006Z */
        static char *names[] = {(char *)"audit.log", (char *)"audit-2024-01-02T03-04-05.006.log",
                        (char *)"audit-2024-01-01T03-04-05.006.log",
                        (char *)"audit-2023-12-01T00-00-00.000.log",
                        (char *)"audit-2023-12-01T00-00-00.000.log.gz", (char *)"audit-notes.log",
                        (char *)"audit-2023-99-01T00-00-00.000.log",
                        (char *)"other-2023-12-01T00-00-00.000.log", NULL};
        static const struct {
                uint32_t days, backups;
                const char *expired;
        } cases[] = {
                        {0, 0, ""},
                        {0, 1,
                                        "audit-2024-01-01T03-04-05.006.log "
                                        "audit-2023-12-01T00-00-00.000.log"},
                        {0, 2, "audit-2023-12-01T00-00-00.000.log"},
                        {0, 3, ""},
                        {7, 0, "audit-2023-12-01T00-00-00.000.log"},
                        {60, 0, ""},
        };
        _cleanup_free_ char *name = sink_backup_name("audit.log", now),
                            *bare = sink_backup_name("audit", now);

        assert_string_equal(name, names[1]);
        assert_string_equal(bare, "audit-2024-01-02T03-04-05.006");
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct sink_options o = {
                                .age_days = cases[i].days, .backups = cases[i].backups};
                _cleanup_strv_free_ char **expired = NULL;
                _cleanup_free_ char *text = NULL;

                assert_int_equal(sink_expired("audit.log", names, &o, now, &expired), 0);
                text = strv_join(expired, " ");
                assert_string_equal(strempty(text), cases[i].expired);
        }
}

struct place {
        sd_event *event;
        struct metrics *metrics;
        char folder[64], path[96];
};

static void place_init(struct place *l) {
        snprintf(l->folder, sizeof(l->folder), "/tmp/keelson-audit-XXXXXX");
        assert_non_null(mkdtemp(l->folder));
        snprintf(l->path, sizeof(l->path), "%s/audit.log", l->folder);
        assert_true(sd_event_new(&l->event) >= 0);
        l->metrics = metrics_new();
        assert_non_null(l->metrics);
}

static void place_done(struct place *l) {
        metrics_free(l->metrics);
        sd_event_unref(l->event);
        (void)remove_tree(l->folder);
}

static struct sink *open_sink(struct place *l, const struct sink_options *o) {
        _cleanup_problem_ struct problem p = {0};
        struct sink *s = NULL;

        if (sink_new(&s, l->event, o, l->metrics, &p) < 0)
                fail_msg("%s", strempty(p.message));
        return s;
}

static bool has_metric(struct place *l, const char *line) {
        _cleanup_buf_ struct buf b = {0};

        assert_true(metrics_render(l->metrics, &b) >= 0);
        return strstr(b.data, line);
}

static void test_file(void **state) {
        _cleanup_(place_done) struct place l = {0};
        _cleanup_free_ char *text = NULL;
        struct stat st;
        struct sink *s;
        size_t n;

        place_init(&l);
        assert_int_equal(file_write_atomic(l.path, "half", 4, 0600), 0); /* of a crash */
        s = open_sink(&l, &(struct sink_options){.path = l.path});
        sink_write(s, "{\"a\":1}", 7, NULL);
        sink_write(s, "{\"b\":2}", 7, NULL);
        s = sink_free(s);
        assert_int_equal(file_read(l.path, 1 << 20, &text, &n), 0);
        assert_string_equal(text, "half\n{\"a\":1}\n{\"b\":2}\n");
        assert_int_equal(stat(l.path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_true(has_metric(&l, "apiserver_audit_event_total 2\n"));
        assert_true(has_metric(&l, "apiserver_audit_error_total{plugin=\"log\"} 0\n"));
}

static void test_rotation(void **state) {
        enum { LINE = 300 * 1024, LINES = 20 };
        _cleanup_(place_done) struct place l = {0};
        _cleanup_free_ char *line = malloc(LINE);
        _cleanup_strv_free_ char **names = NULL;
        struct sink *s;

        place_init(&l);
        memset(line, 'x', LINE);
        s = open_sink(&l, &(struct sink_options){.path = l.path, .size_mb_max = 1, .backups = 2});
        for (size_t i = 0; i < LINES; i++) {
                sink_write(s, line, LINE, NULL);
                usleep(2000); /* names have milliseconds */
        }
        s = sink_free(s);
        assert_int_equal(file_list(l.folder, &names), 0);
        assert_int_equal(strv_length(names), 3); /* the file and two old ones */
        for (char **n = names; *n; n++) {
                _cleanup_free_ char *path = strformat("%s/%s", l.folder, *n);
                struct stat st;

                assert_int_equal(stat(path, &st), 0);
                assert_true(st.st_size <= 1 << 20 && st.st_size % (LINE + 1) == 0);
        }
        assert_true(has_metric(&l, "apiserver_audit_event_total 20\n"));
}

/* Whatever the disk says, nobody waits and the losses are counted. */
static void test_full_disk(void **state) {
        _cleanup_(place_done) struct place l = {0};
        struct sink *s;

        place_init(&l);
        s = open_sink(&l, &(struct sink_options){.path = "/dev/full"});
        for (size_t i = 0; i < 3; i++)
                sink_write(s, "{}", 2, NULL);
        s = sink_free(s);
        assert_true(has_metric(&l, "apiserver_audit_error_total{plugin=\"log\"} 3\n"));
        assert_true(has_metric(&l, "apiserver_audit_event_total 0\n"));
}

static void test_bad_path(void **state) {
        _cleanup_(place_done) struct place l = {0};
        _cleanup_problem_ struct problem p = {0};
        struct sink *s = NULL;

        place_init(&l);
        assert_true(sink_new(&s, l.event, &(struct sink_options){.path = "/no/such/folder/a.log"},
                                    l.metrics, &p) < 0);
        assert_non_null(strstr(p.message, "--audit-log-path"));
        assert_non_null(strstr(p.message, "/no/such/folder/a.log"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_rules),
                        cmocka_unit_test(test_bad_policies),
                        cmocka_unit_test(test_old_names),
                        cmocka_unit_test(test_file),
                        cmocka_unit_test(test_rotation),
                        cmocka_unit_test(test_full_disk),
                        cmocka_unit_test(test_bad_path),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
