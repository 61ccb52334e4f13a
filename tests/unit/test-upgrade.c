/* kctl upgrade's decisions: versions and formats that are refused, quorum, order and batches, what
 * is said when it stops; pods that were restarted. */
#include "kctl/upgrade.h"
#include "lib/buf.h"
#include "tests/unit/unit.h"

#define FORMATS_NOW "store-database 2 store-log 1 objects 1 node-state 1"

/* JSON with ' for ". */
static json_t *parse(const char *text) {
        _cleanup_free_ char *copy = strdup(text);
        json_error_t e;
        json_t *v;

        for (char *c = copy; *c; c++)
                *c = *c == '\'' ? '"' : *c;
        v = json_loads(copy, 0, &e);
        if (!v)
                fail_msg("%s: %s", e.text, copy);
        return v;
}

#define NODE(name) \
        "{'metadata':{'name':'" name "'},'status':{'nodeInfo':{'machineID':'id-" name \
        "'},'conditions':[{'type':'Ready','status':'True'}]}}"
#define LED ",'metrics':{'etcd_server_has_leader':1.0}"
#define MACHINE(name, more) \
        "{'name':'" name "','clock':1700000000000,'asked':1700000000000,'version':'0.1.0'," \
        "'agent':true,'agent-hash':'old','agent-version':'0.1.0'" more "}"
#define CONTROL(name, more) \
        MACHINE(name, ",'control':true,'control-hash':'old','control-version':'0.1.0'" more)
#define BUNDLE(version, formats) \
        "{'version':'" version "','hash':'new','size':1048576,'formats':'" formats "'}"
#define BUNDLES(version, formats) \
        ",'bundles':{'control':" BUNDLE(version, formats) ",'agent':" BUNDLE(version, formats) "}"
#define FACTS(machines, more) \
        "{'now':1700000000,'kctl':'0.2.0','api':{},'leader':'n1','nodeObjects':[" NODE("n1") "," NODE( \
                        "n2") "," NODE("n3") "," NODE("n4") "],'machines':[" machines \
                                                            "],'controls':[{'name':'n1','address':'10.0.0.1'},{'name':'n2','address':'10.0.0.2'}," \
                                                            "{'name':'n3','address':'10.0.0.3'}]" more \
                                                            "}"
#define WORKERS MACHINE("n4", "")
#define ALL CONTROL("n1", LED) "," CONTROL("n2", LED) "," CONTROL("n3", LED) "," WORKERS
#define STOPPED ",'record':{'id':'u1','phase':'stopped','from':'0.1.0','to':'0.2.0'}"
#define REACHED ",'control-upgrade':'u1','agent-upgrade':'u1'"

/* What is refused or warned of: "error CHECK OBJECT: TEXT" lines. */
static const struct {
        const char *facts, *trouble;
} cases[] = {
                {FACTS(ALL, BUNDLES("0.2.0", FORMATS_NOW)), ""},
                /* formats were not said by earlier bundles */
                {FACTS(ALL, BUNDLES("0.2.0", "")), ""},
                {FACTS(ALL, BUNDLES("0.3.0", FORMATS_NOW)),
                                "error bundle this kctl: is version 0.2.0; only a kctl of 0.3.0 "
                                "knows the way to 0.3.0\n"
                                "error versions n2: has version 0.1.0: one minor version at a "
                                "time, not from there to 0.3.0\n"},
                {FACTS(ALL, BUNDLES("0.0.9", FORMATS_NOW)),
                                "error versions n2: has version 0.1.0, which is newer than "
                                "0.0.9\n"},
                {FACTS(ALL, BUNDLES("1.1.0", FORMATS_NOW)),
                                "error bundle this kctl: is version 0.2.0; only a kctl of 1.1.0 "
                                "knows the way to 1.1.0\n"
                                "error versions n2: has version 0.1.0: one minor version at a "
                                "time, not from there to 1.1.0\n"},
                {FACTS(ALL, ",'bundles':{'control':" BUNDLE("0.2.0", "") ",'agent':" BUNDLE(
                                            "0.1.9", "") "}"),
                                "error bundle the bundles: control.tar.gz has version 0.2.0 and "
                                "agent.tar.gz 0.1.9\n"},
                {FACTS(ALL, BUNDLES("0.2.0", "store-database 3 store-log 1")),
                                "error formats n2: the store's database changes from format 2 to "
                                "3: then there is no way back but the backup\n"},
                {FACTS(ALL, BUNDLES("0.2.0", "store-database 3 store-log 1") ",'force':true"),
                                "warning formats n2: the store's database changes from format 2 "
                                "to 3: there is no rollback then\n"},
                {FACTS(ALL, BUNDLES("0.2.0", "store-database 1")),
                                "error formats n2: the store's database has format 2 there, and "
                                "version 0.2.0 knows formats up to 1\n"},
                {FACTS(ALL, BUNDLES("0.2.0", "node-state 2")),
                                "error formats n1: the state that agents keep changes from format "
                                "1 to 2: then there is no way back but the backup\n"},
                /* one member is away: another must not be */
                {FACTS(CONTROL("n1", LED) "," CONTROL("n2", LED) "," CONTROL("n3",
                                       ",'metrics':{'etcd_server_has_leader':0.0}") "," WORKERS,
                                 BUNDLES("0.2.0", "")),
                                "error members n3: its store has no leader\n"
                                "error members the store: 2 of 3 members work: without one more it "
                                "would have no majority\n"},
                /* ... but the one at which the upgrade stopped is repaired by it */
                {FACTS(CONTROL("n1", LED) "," CONTROL("n2", LED) "," CONTROL("n3",
                                       ",'metrics':{'etcd_server_has_leader':0.0}"
                                       ",'inactive':['keelson-kstored.service']" REACHED) "," WORKERS,
                                 BUNDLES("0.2.0", "") STOPPED),
                                ""},
                {FACTS("{'name':'n1','error':'n1: no route'}," CONTROL("n2", LED) "," CONTROL(
                                       "n3", LED) "," WORKERS,
                                 BUNDLES("0.2.0", "") ",'except':['n1']"),
                                "error members the store: 2 of 3 members work: without one more it "
                                "would have no majority\n"},
                /* an earlier kctl says nothing of its member */
                {FACTS(CONTROL("n1", "") "," CONTROL("n2", "") "," CONTROL("n3", "") "," WORKERS,
                                 BUNDLES("0.2.0", "")),
                                ""},
                {FACTS(CONTROL("n1", "") "," CONTROL("n2", "") "," CONTROL(
                                       "n3", ",'inactive':['keelson-kstored.service']") "," WORKERS,
                                 BUNDLES("0.2.0", "")),
                                "error units n3: keelson-kstored.service does not run\n"
                                "error members the store: 2 of 3 members work: without one more it "
                                "would have no majority\n"},
                /* the programs of packages */
                {FACTS(ALL ",{'name':'n5'}", BUNDLES("0.2.0", "")), ""},
                {FACTS(CONTROL("n1", LED) "," CONTROL("n2", LED) "," CONTROL(
                                       "n3", LED) ",{'name':'n4','agent':true,'version':'0.1.0'}",
                                 BUNDLES("0.2.0", "")),
                                "error versions n4: its agent was not installed from a bundle\n"},
                {FACTS(CONTROL("n1", LED) "," CONTROL("n2", LED) "," CONTROL("n3", LED) "," MACHINE(
                                       "n4", ",'disks':[{'path':'/','size':10000,'free':2000,"
                                             "'inodes':0,'inodesFree':0}]"),
                                 BUNDLES("0.2.0", "")),
                                "error disks n4: 1 MiB are free for /opt/keelson, 4 are needed: the "
                                "programs that are replaced are kept\n"},
                /* the nearer mount counts */
                {FACTS(CONTROL("n1", LED) "," CONTROL("n2", LED) "," CONTROL("n3", LED) "," MACHINE(
                                       "n4", ",'disks':[{'path':'/','size':10000,'free':2000,"
                                             "'inodes':0,'inodesFree':0},{'path':'/opt','size':"
                                             "10000,'free':9000,'inodes':0,'inodesFree':0}]"),
                                 BUNDLES("0.2.0", "")),
                                ""},
                {FACTS(ALL, BUNDLES("0.2.0", "") ",'record':{'id':'u1','phase':'rolling back'}"),
                                "error record the fleet: a rollback was begun and has not "
                                "ended\n"},
};

/* One line of a kind is enough: others are of other machines. */
static char *trouble_of(const struct upgrade_plan *plan) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < plan->trouble.count; i++) {
                const struct fleet_finding *x = &plan->trouble.items[i];

                if (i > 0 && streq(x->check, plan->trouble.items[i - 1].check) &&
                                !streq(x->check, "members"))
                        continue;
                buf_printf(&b, "%s %s %s: %s\n", x->severity == FINDING_ERROR ? "error" : "warning",
                                x->check, x->object, x->text);
                assert_true(strlen(x->remedy) > 8);
        }
        return b.size ? buf_take(&b) : strdup("");
}

static void test_refusals(void **state) {
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *facts = parse(cases[i].facts);
                _cleanup_upgrade_plan_ struct upgrade_plan plan = {0};
                _cleanup_free_ char *said = NULL;

                assert_int_equal(upgrade_plan_make(facts, 8, &plan), 0);
                said = trouble_of(&plan);
                assert_string_equal(said, cases[i].trouble);
        }
}

/* "0:n1 1:n2,n3 ..."; a node's name has a small "a" before it. */
static char *order_of(const struct upgrade_plan *plan) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < plan->count; i++) {
                const struct upgrade_step *s = &plan->items[i];
                bool same = i > 0 && plan->items[i - 1].batch == s->batch;

                if (same)
                        buf_printf(&b, ",");
                else
                        buf_printf(&b, "%s%u:", i > 0 ? " " : "", s->batch);
                buf_printf(&b, "%s%s", s->part == UPGRADE_AGENT ? "a-" : "", s->name);
        }
        return b.size ? buf_take(&b) : strdup("");
}

static void order_is(const char *text, unsigned batch, bool back, const char *want) {
        _cleanup_json_ json_t *facts = parse(text);
        _cleanup_upgrade_plan_ struct upgrade_plan plan = {0};
        _cleanup_free_ char *order = NULL;

        assert_int_equal(back ? upgrade_plan_back(facts, batch, &plan)
                              : upgrade_plan_make(facts, batch, &plan),
                        0);
        order = order_of(&plan);
        assert_string_equal(order, want);
}

#define AWAY ",'metrics':{'etcd_server_has_leader':0.0}"

static void test_order(void **state) {
        /* the leader of the store last, the first agent alone */
        order_is(FACTS(ALL, BUNDLES("0.2.0", "")), 2, false,
                        "0:n2 1:n3 2:n1 3:a-n1 4:a-n2,a-n3 5:a-n4");
        order_is(FACTS(ALL, BUNDLES("0.2.0", "")), 8, false,
                        "0:n2 1:n3 2:n1 3:a-n1 4:a-n2,a-n3,a-n4");
        order_is(FACTS(ALL, BUNDLES("0.2.0", "") ",'except':['n4']"), 8, false,
                        "0:n2 1:n3 2:n1 3:a-n1 4:a-n2,a-n3");
        /* all of it is there */
        order_is(FACTS("{'name':'n1','control-hash':'new','agent-hash':'new'}",
                                 BUNDLES("0.2.0", "")),
                        8, false, "0:n2 1:n3 2:a-n2 3:a-n3,a-n4");
        /* where it stopped: again, first; those that are done are looked at */
        order_is(FACTS(CONTROL("n1", LED) "," CONTROL("n2", LED) "," CONTROL(
                                       "n3", AWAY REACHED) "," WORKERS,
                                 BUNDLES("0.2.0", "") STOPPED),
                        8, false, "0:n3 1:n2 2:n1 3:a-n3 4:a-n1,a-n2,a-n4");
        /* back: only what was reached */
        order_is(FACTS(CONTROL("n1", LED) "," CONTROL("n2", LED) "," CONTROL(
                                       "n3", LED REACHED) "," WORKERS,
                                 STOPPED),
                        8, true, "0:a-n3 1:n3");
}

/* A rollback to a version that does not know what the newer one wrote. */
static void test_no_way_back(void **state) {
        _cleanup_json_ json_t *facts = parse(FACTS(
                        CONTROL("n1", LED REACHED
                                        ",'control-formats':'store-database 3','control-kept':''") "," WORKERS,
                        STOPPED));
        _cleanup_upgrade_plan_ struct upgrade_plan plan = {0};

        assert_int_equal(upgrade_plan_back(facts, 8, &plan), 0);
        assert_int_equal(upgrade_plan_errors(&plan), 1);
        assert_string_equal(plan.trouble.items[0].text,
                        "the store's database has format 3, and version 0.1.0 knows formats up to "
                        "2: it would not start");
}

static void test_stop_text(void **state) {
        _cleanup_json_ json_t *facts = parse(FACTS(ALL, BUNDLES("0.2.0", "")));
        _cleanup_upgrade_plan_ struct upgrade_plan plan = {0};
        _cleanup_free_ char *text = NULL;

        assert_int_equal(upgrade_plan_make(facts, 8, &plan), 0);
        for (size_t i = 0; i < 4; i++)
                plan.items[i].state = UPGRADE_DONE;
        plan.items[4].state = UPGRADE_FAILED;
        text = upgrade_stop_text(&plan, false, "kctl rollback");
        assert_string_equal(text,
                        "The upgrade from 0.1.0 to 0.2.0 has stopped.\n"
                        "Done:        control plane of n2, n3, n1; agent of n1\n"
                        "Failed:      agent of n2\n"
                        "Not begun:   agent of n3, n4\n"
                        "To continue: remove the cause, then run the same command again; it "
                        "begins where this one stopped.\n"
                        "To go back:  kctl rollback\n");
}

static void test_versions(void **state) {
        struct upgrade_version v;

        assert_int_equal(upgrade_version_read("v1.20.3+keelson", &v), 0);
        assert_int_equal(v.major * 10000 + v.minor * 100 + v.patch, 12003);
        assert_int_equal(upgrade_version_read("0.1.0", &v), 0);
        assert_int_equal(upgrade_version_read("0.1", &v), -EINVAL);
        assert_int_equal(upgrade_version_read("0.1.0x", &v), -EINVAL);
        assert_int_equal(upgrade_version_read("", &v), -EINVAL);
}

#define POD(name, uid, ready, count, more) \
        "{'metadata':{'name':'" name "','namespace':'d','uid':'" uid "'" more "},'status':{" \
        "'conditions':[{'type':'Ready','status':'" ready "'}]," \
        "'containerStatuses':[{'restartCount':" count "}]}}"

static void restarted_is(const char *pods_before, const char *units_before, const char *pods_after,
                const char *units_after, const char *want) {
        _cleanup_json_ json_t *a = parse(pods_before), *b = parse(pods_after);
        const struct upgrade_pods before = {a, (char *)units_before},
                                  after = {b, (char *)units_after};
        _cleanup_free_ char *text = NULL;

        assert_int_equal(upgrade_pods_restarted(&before, &after, &text), 0);
        assert_string_equal(strempty(text), want);
}

static void test_pods(void **state) {
        static const char units[] = "kpod-d_a_c.service r1\nkpod-d_b_c.service r2\n";
        static const char pods[] =
                        "[" POD("a", "1", "True", "0", "") "," POD("b", "2", "True", "3", "") "]";

        restarted_is(pods, units, pods, units, "");
        restarted_is(pods, units,
                        "[" POD("a", "1", "True", "0", "") "," POD("b", "2", "True", "4", "") "]",
                        units, "d/b");
        /* the same count, another run */
        restarted_is(pods, units, pods, "kpod-d_a_c.service r1\nkpod-d_b_c.service r9\n",
                        "kpod-d_b_c.service");
        /* deleted meanwhile, by a rollout for instance: another uid, or gone, or going */
        restarted_is(pods, units, "[" POD("a", "9", "True", "0", "") "]", "kpod-d_a_c.service r9\n",
                        "");
        restarted_is(pods, units, "[" POD("a", "1", "True", "1", ",'deletionTimestamp':'x'") "]",
                        "", "");
        /* one that fails again and again */
        restarted_is("[" POD("a", "1", "False", "7", "") "]", units,
                        "[" POD("a", "1", "False", "8", "") "]", "kpod-d_a_c.service r5\n", "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_refusals),
                        cmocka_unit_test(test_order),
                        cmocka_unit_test(test_no_way_back),
                        cmocka_unit_test(test_stop_text),
                        cmocka_unit_test(test_versions),
                        cmocka_unit_test(test_pods),
        };

        return cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);
}
