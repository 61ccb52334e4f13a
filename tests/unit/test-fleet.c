/* kctl's verbs for many machines: the checks of the fleet, the live table, processes side by side.
 */
#include "kctl/crew.h"
#include "kctl/fleet.h"
#include "kctl/node-run.h"
#include "kctl/progress.h"
#include "lib/buf.h"
#include "lib/pki.h"
#include "tests/unit/unit.h"

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

#define NODE(name, more) \
        "{'metadata':{'name':'" name "'},'status':{'nodeInfo':{'machineID':'id-" name \
        "'},'conditions':[{'type':'Ready','status':'True'}]}" more "}"
#define MACHINE(name, more) \
        "{'name':'" name "','node':true,'clock':1700000000000,'asked':1700000000000," \
        "'version':'0.1.0','control':false,'agent':true" more "}"
#define FACTS(nodes, machines, more) \
        "{'now':1700000000,'kctl':'0.1.0','api':{},'nodeObjects':[" nodes \
        "],'machines':[" machines "]" more "}"
#define TWO_NODES NODE("n1", "") "," NODE("n2", "")
#define OTHER MACHINE("n2", "")

/* One fault each, and the line that says so: severity, check, object, and a part of the text or the
 * remedy. */
static const struct {
        const char *facts, *finding;
} faults[] = {
                {FACTS(TWO_NODES, MACHINE("n1", "") "," OTHER,
                                 ",'syncObjects':[],'driftEvents':[]"),
                                ""},
                {"{'now':1700000000,'kctl':'0.1.0','api':{'error':'it does not answer: x'}}",
                                "error api API: it does not answer: x"},
                {FACTS(TWO_NODES, "{'name':'n1','node':true,'error':'n1: no route'}," OTHER, ""),
                                "error reach n1: cannot be asked: n1: no route"},
                {FACTS("{'metadata':{'name':'n1'},'status':{'conditions':[{'type':'Ready',"
                       "'status':'Unknown','message':'silent'}]}}",
                                 OTHER, ""),
                                "error ready n1: is not Ready: silent"},
                {FACTS(NODE("n1", ",'spec':{'unschedulable':true}"), OTHER, ""),
                                "warning ready n1: is cordoned: it takes no new pods"},
                {FACTS("{'metadata':{'name':'n1'},'status':{'conditions':[{'type':'Ready','status'"
                       ":'True'},{'type':'DiskPressure','status':'True','message':'full'}]}}",
                                 OTHER, ""),
                                "warning ready n1: DiskPressure: full"},
                {FACTS(NODE("n1", "") ",{'metadata':{'name':'n9'},'status':{'nodeInfo':{"
                                      "'machineID':'id-n1'},'conditions':[{'type':'Ready','status'"
                                      ":'True'}]}}",
                                 OTHER, ""),
                                "error machines n9: has the machine id of n1: the same machine, "
                                "or a copy"},
                /* the clock of one is an hour ahead: the others outvote it */
                {FACTS(TWO_NODES,
                                 "{'name':'n1','clock':1700003600000,'asked':1700000000000}," OTHER,
                                 ""),
                                "error clocks n1: its clock is 3600.0 s ahead of the others"},
                {FACTS(TWO_NODES,
                                 "{'name':'n1','clock':1699999990000,'asked':1700000000000}," OTHER,
                                 ""),
                                "warning clocks n1: its clock is 10.0 s behind the others"},
                {FACTS(TWO_NODES,
                                 "{'name':'n1','clock':1700000100000,'asked':1700000000000},"
                                 "{'name':'n2','clock':1700000100000,'asked':1700000000000}",
                                 ""),
                                "warning clocks this machine: its clock is 100.0 s behind those "
                                "of the fleet"},
                {FACTS(TWO_NODES, MACHINE("n1", ",'synchronized':'no'") "," OTHER, ""),
                                "warning clocks n1: its clock is right, but nothing keeps it so"},
                {FACTS(TWO_NODES,
                                 MACHINE("n1", ",'disks':[{'path':'/','size':1000000,'free':"
                                               "40960,'inodes':100,'inodesFree':50}]") "," OTHER,
                                 ""),
                                "error disks n1: the file system of / is nearly full: 4% free, 40 "
                                "MiB"},
                {FACTS(TWO_NODES,
                                 MACHINE("n1", ",'disks':[{'path':'/','size':100,'free':50,"
                                               "'inodes':100,'inodesFree':9}]") "," OTHER,
                                 ""),
                                "warning disks n1: the file system of / has few inodes left: 9%"},
                /* some file systems have no fixed number of inodes */
                {FACTS(TWO_NODES,
                                 MACHINE("n1", ",'disks':[{'path':'/','size':100,'free':50,"
                                               "'inodes':0,'inodesFree':0}]") "," OTHER,
                                 ""),
                                ""},
                {FACTS(TWO_NODES,
                                 "{'name':'n1','control':true,'version':'0.1.0'},"
                                 "{'name':'n2','version':'0.3.0'}",
                                 ""),
                                "error versions n2: runs version 0.3.0, the control plane 0.1.0"},
                {FACTS(TWO_NODES,
                                 "{'name':'n1','control':true,'version':'0.1.0'},"
                                 "{'name':'n2','version':'0.0.9'}",
                                 ""),
                                "warning versions n2: runs version 0.0.9, the control plane 0.1.0"},
                {FACTS(TWO_NODES,
                                 MACHINE("n1", ",'certificates':[{'path':'/c','notBefore':1,"
                                               "'notAfter':1699900000}]") "," OTHER,
                                 ""),
                                "error certificates n1: the certificate /c has expired 1 days "
                                "ago"},
                {FACTS(TWO_NODES,
                                 MACHINE("n1", ",'certificates':[{'path':'/c','notBefore':1,"
                                               "'notAfter':1700200000}]") "," OTHER,
                                 ""),
                                "warning certificates n1: the certificate /c expires in 2 days "
                                "and was not renewed"},
                {FACTS(TWO_NODES,
                                 MACHINE("n1", ",'certificates':[{'path':'/c','notBefore':"
                                               "1700000600,'notAfter':1800000000}]") "," OTHER,
                                 ""),
                                "error certificates n1: the certificate /c is not valid yet: its "
                                "begin is 10 min ahead; is a clock wrong?"},
                {FACTS(TWO_NODES, MACHINE("n1", ",'inactive':['keelson-kapid.service']") "," OTHER,
                                 ""),
                                "error units n1: keelson-kapid.service does not run"},
                {FACTS(TWO_NODES,
                                 "{'name':'n1','control':true,'metrics':{"
                                 "'etcd_server_has_leader':0.0}}," OTHER,
                                 ""),
                                "error members n1: its store has no leader"},
                {FACTS(TWO_NODES,
                                 "{'name':'n1','control':true,'metrics':{"
                                 "'etcd_mvcc_db_total_size_in_bytes':90,"
                                 "'etcd_server_quota_backend_bytes':100}}," OTHER,
                                 ""),
                                "warning members n1: its store uses 90% of its quota"},
                {FACTS(TWO_NODES, OTHER,
                                 ",'syncObjects':[{'metadata':{'name':'f','namespace':'d'},'spec':{"
                                 "'suspend':true}}]"),
                                "warning syncs d/f: this GitSync is suspended: the fleet does not "
                                "follow the repository"},
                {FACTS(TWO_NODES, OTHER,
                                 ",'syncObjects':[{'metadata':{'name':'f','namespace':'d'},'status':{"
                                 "'conditions':[{'type':'Ready','status':'False','message':'no'}]}}]"),
                                "error syncs d/f: this GitSync is not Ready: no"},
                {FACTS(TWO_NODES, OTHER,
                                 ",'driftEvents':[{'involvedObject':{'name':'n1'},'message':'link gone',"
                                 "'lastTimestamp':'2023-11-14T22:10:00Z'}]"),
                                "warning drift n1: link gone"},
                /* an old one */
                {FACTS(TWO_NODES, OTHER,
                                 ",'driftEvents':[{'involvedObject':{'name':'n1'},'message':'link gone',"
                                 "'lastTimestamp':'2023-11-13T22:10:00Z'}]"),
                                ""},
};

static void test_checks(void **state) {
        static const char *const words[] = {"warning", "error"};

        for (size_t i = 0; i < ELEMENTS(faults); i++) {
                _cleanup_json_ json_t *facts = NULL;
                _cleanup_fleet_findings_ struct fleet_findings f = {0};
                _cleanup_buf_ struct buf said = {0};

                facts = parse(faults[i].facts);
                assert_int_equal(fleet_check_run(facts, &f), 0);
                for (size_t n = 0; n < f.count; n++) {
                        buf_printf(&said, "%s%s %s %s: %s", n > 0 ? "\n" : "",
                                        words[f.items[n].severity], f.items[n].check,
                                        f.items[n].object, f.items[n].text);
                        assert_true(strlen(f.items[n].remedy) > 8);
                }
                assert_string_equal(strempty(said.data), faults[i].finding);
        }
}

static void test_peers_and_order(void **state) {
        _cleanup_json_ json_t *facts =
                        parse(FACTS(TWO_NODES, "{'name':'n1','control':true}," OTHER, ""));
        _cleanup_fleet_findings_ struct fleet_findings f = {0};
        json_t *machine = json_array_get(json_object_get(facts, "machines"), 0);

        json_object_set_new(machine, "metrics",
                        json_pack("{s:i}", "etcd_network_active_peers{Local=\"a\",Remote=\"b\"}",
                                        0));
        json_object_set_new(machine, "synchronized", json_string("no"));
        json_object_set_new(machine, "clock", json_integer(1));
        json_object_set_new(machine, "asked", json_integer(1));
        assert_int_equal(fleet_check_run(facts, &f), 0);
        assert_int_equal(f.count, 2);
        assert_string_equal(f.items[0].check, "members"); /* errors first */
        assert_non_null(strstr(f.items[0].text, "does not reach a member"));
        assert_string_equal(f.items[1].check, "clocks");
}

static void test_machine_parse(void **state) {
        _cleanup_json_ json_t *machine = json_object(), *want = NULL;
        _cleanup_free_ char *cert = NULL, *key = NULL, *encoded = NULL, *text = NULL;
        const json_t *c;

        assert_int_equal(pki_ca_new("me", 1, &cert, &key), 0);
        encoded = base64_encode(cert, strlen(cert));
        text = strformat("clock=1700000000123\nsynchronized=yes\nversion=0.1.0\ncontrol=yes\n"
                         "agent=\ninactive=keelson-kapid.service\nfailed=a\nfailed=b\n"
                         "disk=/ 100 50 10 5\ndisk=nonsense\ncertificate=/c %s\ncertificate=/d x\n"
                         "certificate=/e\nmetric=etcd_server_has_leader 1\nmetric=bad\nother=1\n"
                         "no line\nversion=\xff\n",
                        encoded);
        assert_int_equal(fleet_machine_parse(text, machine), 0);
        c = json_array_get(json_object_get(machine, "certificates"), 0);
        assert_int_equal(json_array_size(json_object_get(machine, "certificates")), 1);
        assert_string_equal(json_string_value(json_object_get(c, "cn")), "me");
        assert_true(json_integer_value(json_object_get(c, "notAfter")) >
                        json_integer_value(json_object_get(c, "notBefore")));
        json_object_del(machine, "certificates");
        want = parse("{'clock':1700000000123,'synchronized':'yes','version':'0.1.0','control':true,"
                     "'agent':false,'inactive':['keelson-kapid.service'],'failed':['a','b'],"
                     "'disks':[{'path':'/','size':100,'free':50,'inodes':10,'inodesFree':5}],"
                     "'metrics':{'etcd_server_has_leader':1.0}}");
        assert_true(json_equal(machine, want));
}

static void test_progress(void **state) {
        _cleanup_progress_ struct progress_table t = {0};
        _cleanup_buf_ struct buf b = {0};
        char *machines[] = {(char *)"root@n1", (char *)"root@n2", (char *)"root@n3",
                        (char *)"root@n4", NULL};

        assert_int_equal(progress_init(&t, machines), 0);
        t.rows[0].state = PROGRESS_DONE;
        t.rows[0].since_us = 1000000;
        t.rows[0].until_us = 3000000;
        progress_line(&t.rows[0], "n1: Ready");
        t.rows[1].state = PROGRESS_RUNNING;
        t.rows[1].since_us = 2000000;
        progress_line(&t.rows[1], "n2: the agent was copied\033[2J");
        t.rows[2].state = PROGRESS_FAILED;
        progress_line(&t.rows[2], "a sentence: with a colon");
        assert_int_equal(progress_text(&t, 12000000, 60, 24, &b), 6);
        assert_string_equal(b.data, "MACHINE  NODE  TIME   STEP\n"
                                    "root@n1  n1    2s     Ready\n"
                                    "root@n2  n2    10s    the agent was copied^[[2J\n"
                                    "root@n3        0s     FAILED after: a sentence: with a colon\n"
                                    "root@n4               waits\n"
                                    "1 of 4 done, 1 under way, 1 waiting, 1 FAILED\n");
        /* A small terminal: what is done and what waits is left out, and lines are cut. */
        buf_reset(&b);
        assert_int_equal(progress_text(&t, 12000000, 30, 6, &b), 4);
        assert_string_equal(b.data, "MACHINE  NODE  TIME   STEP\n"
                                    "root@n2  n2    10s    the agen\n"
                                    "root@n3        0s     FAILED a\n"
                                    "1 of 4 done, 1 under way, 1 waiting, 1 FAILED\n");
}

static void test_node_run(void **state) {
        char *one[] = {(char *)"df -h | tail", NULL};
        char *more[] = {(char *)"ls", (char *)"a b", (char *)"it's", NULL};
        _cleanup_free_ char *line = node_run_command(one), *words = node_run_command(more);

        assert_string_equal(line, "df -h | tail");
        assert_string_equal(words, "'ls' 'a b' 'it'\\''s'");
        assert_int_equal(node_run_code((const int[]){0, 0}, 2), 0);
        assert_int_equal(node_run_code((const int[]){0, 255, 3}, 3), 255);
}

struct crew_log {
        struct buf lines[3];
        int codes[3];
        size_t starts, ticks;
};

static int crew_job(size_t i, void *userdata) {
        char c;

        if (read(STDIN_FILENO, &c, 1) != 0)
                return 99;
        if (i == 2)
                abort();
        for (size_t n = 0; i == 1 && n < CREW_LINE_MAX + 1; n++)
                dprintf(STDOUT_FILENO, "x");
        dprintf(STDOUT_FILENO, "out %zu\nrest", i);
        dprintf(STDERR_FILENO, "err %zu\n", i);
        return (int)i * 7;
}

static void crew_start(size_t i, void *userdata) {
        ((struct crew_log *)userdata)->starts++;
}

static void crew_line(size_t i, bool is_stderr, const char *line, void *userdata) {
        struct buf *b = &((struct crew_log *)userdata)->lines[i];

        if (strlen(line) == CREW_LINE_MAX)
                line = "(long)";
        if (!is_stderr) /* the order of the two is not fixed */
                buf_printf(b, "%s;", line);
}

static void crew_end(size_t i, int code, void *userdata) {
        ((struct crew_log *)userdata)->codes[i] = code;
}

static void crew_tick(void *userdata) {
        ((struct crew_log *)userdata)->ticks++;
}

static void test_crew(void **state) {
        _cleanup_problem_ struct problem p = {0};
        struct crew_log log = {0};
        const struct crew crew = {.count = 3,
                        .parallel_max = 2,
                        .job = crew_job,
                        .on_start = crew_start,
                        .on_line = crew_line,
                        .on_end = crew_end,
                        .on_tick = crew_tick,
                        .userdata = &log};

        assert_int_equal(crew_run(&crew, &p), 0);
        assert_int_equal(log.starts, 3);
        assert_true(log.ticks > 0);
        assert_string_equal(log.lines[0].data, "out 0;rest;");
        assert_string_equal(log.lines[1].data, "(long);xout 1;rest;");
        assert_int_equal(log.codes[0], 0);
        assert_int_equal(log.codes[1], 7);
        assert_int_equal(log.codes[2], 128 + 6);
        for (size_t i = 0; i < 3; i++)
                buf_done(&log.lines[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_checks),
                        cmocka_unit_test(test_peers_and_order),
                        cmocka_unit_test(test_machine_parse),
                        cmocka_unit_test(test_progress),
                        cmocka_unit_test(test_node_run),
                        cmocka_unit_test(test_crew),
        };

        return cmocka_run_group_tests_name("fleet", tests, NULL, NULL);
}
