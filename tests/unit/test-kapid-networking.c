/* Network policies, ingresses and their classes: defaults, refusals, columns, the default class. */
#include "tests/unit/kapid-admission.h"

#include "kapid/table/table.h"
#include "tests/unit/kapid-create.h"

#define META "'metadata':{'name':'web','namespace':'d'}"
#define POLICY(spec) "{" META ",'spec':{" spec "}}"
#define FROM(peer) POLICY("'podSelector':{},'ingress':[{'from':[" peer "]}]")
#define PORTS(port) POLICY("'podSelector':{},'egress':[{'ports':[" port "]}]")
#define INGRESS(spec) "{" META ",'spec':{" spec "}}"
#define SERVICE "'backend':{'service':{'name':'web','port':{'number':80}}}"
#define RULE(host, path) INGRESS("'rules':[{" host "'http':{'paths':[{" path "}]}}]")
#define BACKEND(backend) INGRESS("'defaultBackend':{" backend "}")
#define CLASS(spec) "{'metadata':{'name':'c'},'spec':{" spec "}}"

static const struct kind *net_kind(const char *plural) {
        return kind("networking.k8s.io", plural);
}

static void test_defaults(void **state) {
        static const struct {
                const char *plural, *object, *path, *expected;
        } cases[] = {
                        {"networkpolicies", POLICY("'podSelector':{}"), "spec.policyTypes",
                                        "['Ingress']"},
                        {"networkpolicies", POLICY("'podSelector':{},'egress':[{}]"),
                                        "spec.policyTypes", "['Ingress','Egress']"},
                        {"networkpolicies", POLICY("'podSelector':{},'policyTypes':['Egress']"),
                                        "spec.policyTypes", "['Egress']"},
                        {"networkpolicies", PORTS("{'port':53}"), "spec.egress",
                                        "[{'ports':[{'port':53,'protocol':'TCP'}]}]"},
                        {"networkpolicies", PORTS("{'port':80,'endPort':90}"),
                                        "metadata.generation", "1"},
                        {"networkpolicies",
                                        FROM("{'ipBlock':{'cidr':'10.0.0.0/8','except':['10.1.0.0/"
                                             "16']}}"),
                                        "spec.policyTypes", "['Ingress']"},
                        {"ingresses",
                                        RULE("'host':'*.example.com',",
                                                        "'pathType':'Prefix','path':'/'," SERVICE),
                                        "metadata.generation", "1"},
                        {"ingresses", RULE("", "'pathType':'ImplementationSpecific'," SERVICE),
                                        "metadata.generation", "1"},
                        {"ingressclasses",
                                        CLASS("'controller':'example.com/c','parameters':{'kind':"
                                              "'K','name':'n'}"),
                                        "spec.parameters.scope", "'Cluster'"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *o = create(net_kind(cases[i].plural), cases[i].object, NULL);

                assert_json(json_at(o, cases[i].path), cases[i].expected);
        }
}

static void test_policy_refusals(void **state) {
        static const struct {
                const char *object, *expected;
        } cases[] = {
                        {FROM("{}"), "spec.ingress[0].from[0]: Required value: must specify a peer"},
                        {FROM("{'podSelector':{},'ipBlock':{'cidr':'10.0.0.0/8'}}"),
                                        "may not specify both ipBlock and another peer"},
                        {FROM("{'ipBlock':{'cidr':'10.0.0.0'}}"),
                                        "from[0].ipBlock.cidr: Invalid value: '10.0.0.0': must be a "
                                        "valid CIDR value"},
                        {FROM("{'ipBlock':{'cidr':'10.0.0.0/33'}}"), "must be a valid CIDR value"},
                        {FROM("{'ipBlock':{'cidr':'10.0.0.0/8','except':['11.0.0.0/16']}}"),
                                        "ipBlock.except[0]: Invalid value: '11.0.0.0/16': must be a "
                                        "strict subset of `cidr`"},
                        {FROM("{'ipBlock':{'cidr':'10.0.0.0/8','except':['10.0.0.0/8']}}"),
                                        "must be a strict subset of `cidr`"},
                        {FROM("{'ipBlock':{'cidr':'10.0.0.0/8','except':['2001:db8::/64']}}"),
                                        "must be a strict subset of `cidr`"},
                        {FROM("{'podSelector':{'matchExpressions':[{'key':'a','operator':'In'}]}}"),
                                        "podSelector.matchExpressions[0].values: Required value"},
                        {PORTS("{'port':0}"), "ports[0].port: Invalid value: 0: must be between 1"},
                        {PORTS("{'port':'Web!'}"), "ports[0].port: Invalid value: 'Web!'"},
                        {PORTS("{'port':80,'protocol':'ICMP'}"),
                                        "protocol: Unsupported value: 'ICMP'"},
                        {PORTS("{'port':80,'endPort':79}"),
                                        "endPort: Invalid value: 79: must be greater than or equal "
                                        "to `port`"},
                        {PORTS("{'port':'web','endPort':90}"),
                                        "may not be specified when `port` is non-numeric"},
                        {PORTS("{'endPort':90}"),
                                        "port: Required value: must be specified when `endPort`"},
                        {POLICY("'podSelector':{},'policyTypes':['Both']"),
                                        "policyTypes[0]: Unsupported value: 'Both'"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                create_fails(net_kind("networkpolicies"), cases[i].object, cases[i].expected);
}

static void test_ingress_refusals(void **state) {
        static const struct {
                const char *object, *expected;
        } cases[] = {
                        {INGRESS(""), "either `defaultBackend` or `rules` must be specified"},
                        {BACKEND(""), "spec.defaultBackend: Required value: resource or service "
                                      "backend is required"},
                        {BACKEND("'service':{'name':'web','port':{'number':80}},'resource':{'kind':"
                                 "'K','name':'n'}"),
                                        "cannot set both resource and service backends"},
                        {BACKEND("'service':{'name':'web'}"),
                                        "defaultBackend.service: Required value: port name or "
                                        "number is required"},
                        {BACKEND("'service':{'name':'web','port':{'number':80,'name':'http'}}"),
                                        "cannot set both port name & port number"},
                        {BACKEND("'service':{'name':'web','port':{'number':70000}}"),
                                        "port.number: Invalid value: 70000"},
                        {BACKEND("'service':{'name':'Web','port':{'number':80}}"),
                                        "service.name: Invalid value: 'Web'"},
                        {RULE("'host':'192.0.2.1',", "'pathType':'Exact','path':'/'," SERVICE),
                                        "rules[0].host: Invalid value: '192.0.2.1': must be a DNS "
                                        "name, not an IP address"},
                        {RULE("'host':'a.*.com',", "'pathType':'Exact','path':'/'," SERVICE),
                                        "a wildcard DNS-1123 subdomain must start with"},
                        {RULE("", "'pathType':'Exact','path':'web'," SERVICE),
                                        "paths[0].path: Invalid value: 'web': must be an absolute "
                                        "path"},
                        {RULE("", "'pathType':'Prefix'," SERVICE), "must be an absolute path"},
                        {RULE("", "'pathType':'Prefix','path':'/a//b'," SERVICE),
                                        "must not contain"},
                        {RULE("", "'pathType':'Prefix','path':'/a/..'," SERVICE),
                                        "cannot end with"},
                        {RULE("", "'path':'/'," SERVICE), "paths[0].pathType: Required value"},
                        {RULE("", "'pathType':'Regex','path':'/'," SERVICE),
                                        "pathType: Unsupported value: 'Regex'"},
                        {INGRESS("'rules':[{'http':{'paths':[]}}]"),
                                        "rules[0].http.paths: Required value"},
                        {INGRESS("'defaultBackend':{'service':{'name':'w','port':{'number':1}}},"
                                 "'tls':[{'hosts':['*']}]"),
                                        "tls[0].hosts[0]: Invalid value: '*'"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                create_fails(net_kind("ingresses"), cases[i].object, cases[i].expected);
}

static void test_class_refusals(void **state) {
        static const struct {
                const char *object, *expected;
        } cases[] = {
                        {CLASS("'controller':'haproxy'"), "must be a domain-prefixed path"},
                        {CLASS("'controller':'Example.com/c'"), "spec.controller: Invalid value"},
                        {CLASS("'controller':'example.com/c','parameters':{'kind':'K','name':'n',"
                               "'scope':'Namespace'}"),
                                        "parameters.namespace: Required value"},
                        {CLASS("'controller':'example.com/c','parameters':{'kind':'K','name':'n',"
                               "'namespace':'d'}"),
                                        "parameters.namespace: Forbidden"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++)
                create_fails(net_kind("ingressclasses"), cases[i].object, cases[i].expected);
}

static void test_controller_stays(void **state) {
        const struct kind *k = net_kind("ingressclasses");
        _cleanup_json_ json_t *old = create(k, CLASS("'controller':'example.com/c'"), NULL),
                              *new = create(k, CLASS("'controller':'example.com/d'"), NULL);
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(pipeline_validate_update(k, NULL, old, old, NULL, &p), 0);
        assert_true(pipeline_validate_update(k, NULL, old, new, NULL, &p) < 0);
        assert_non_null(strstr(p.message,
                        "spec.controller: Invalid value: \"example.com/d\": field "
                        "is immutable"));
}

/* Rules may be newer than what is stored. */
static void test_old_metadata(void **state) {
        const struct kind *k = net_kind("ingressclasses");
        _cleanup_json_ json_t *old = create(k, CLASS("'controller':'example.com/c'"), NULL),
                              *other = NULL;
        _cleanup_problem_ struct problem p = {0}, q = {0};

        assert_int_equal(json_set_str(old, "metadata.generateName", "No_"), 0);
        other = json_tree_copy(old);
        assert_int_equal(json_set_str(other, "metadata.annotations.a", "b"), 0);
        assert_int_equal(pipeline_validate_update(k, NULL, old, other, NULL, &p), 0);
        assert_int_equal(json_set_str(other, "metadata.generateName", "Nor_"), 0);
        assert_true(pipeline_validate_update(k, NULL, old, other, NULL, &q) < 0);
        assert_non_null(strstr(q.message, "metadata.generateName: Invalid value"));
}

static void test_columns(void **state) {
        static const struct {
                const char *plural, *object, *cells;
        } cases[] = {
                        {"networkpolicies", POLICY("'podSelector':{'matchLabels':{'app':'web'}}"),
                                        "web|app=web|"},
                        {"networkpolicies", POLICY("'podSelector':{}"), "web|<none>|"},
                        {"ingresses", RULE("", SERVICE), "web|<none>|*||80|"},
                        {"ingresses",
                                        INGRESS("'ingressClassName':'c','tls':[{}],'rules':[{'host':"
                                                "'a.b'},{'host':'c.d'},{'host':'e.f'},{'host':'g.h'"
                                                "}]"),
                                        "web|c|a.b,c.d,e.f + 1 more...||80, 443|"},
                        {"ingresses",
                                        "{" META ",'spec':{},'status':{'loadBalancer':{'ingress':[{"
                                        "'ip':'192.0.2.1'},{'hostname':'x.y'}]}}}",
                                        "web|<none>|*|192.0.2.1,x.y|80|"},
                        {"ingressclasses",
                                        CLASS("'controller':'e.com/c','parameters':{'apiGroup':'e."
                                              "com','kind':'K','name':'n'}"),
                                        "c|e.com/c|K.e.com/n|"},
                        {"ingressclasses", CLASS("'controller':'e.com/c'"), "c|e.com/c|<none>|"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                const struct kind *k = net_kind(cases[i].plural);
                _cleanup_json_ json_t *o = parse(cases[i].object),
                                      *table = table_new(k, "v1", NULL, true);
                _cleanup_buf_ struct buf b = {0};
                const json_t *row;

                assert_int_equal(table_add_row(table, k, o, TABLE_INCLUDE_METADATA, 0), 0);
                row = json_object_get(json_array_get(json_object_get(table, "rows"), 0), "cells");
                /* the last is the age */
                for (size_t c = 0; c + 1 < json_array_size(row); c++)
                        buf_printf(&b, "%s|", strempty(json_string_value(json_array_get(row, c))));
                assert_string_equal(b.data, cases[i].cells);
        }
}

static void give_class(const char *object, const char *expected) {
        _cleanup_(admission_chain_freep) struct admission_chain *all =
                        chain_new(&(struct admission_options){0}, NULL);
        const struct question q = {.group = "networking.k8s.io",
                        .plural = "ingresses",
                        .namespace = "shop",
                        .name = "i"};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *o = parse(object);

        assert_int_equal(run(all, &q, ADMISSION_MUTATE, NULL, o, &p), 0);
        assert_string_equal(json_str_or(o, "spec.ingressClassName", ""), expected);
}

#define MARK(value) "'annotations':{'ingressclass.kubernetes.io/is-default-class':'" value "'}"

static void test_default_class(void **state) {
        static const char plain[] = "{'metadata':{'name':'i'},'spec':{}}";

        give_class(plain, "");
        put("networking.k8s.io", "ingressclasses", "a",
                        "{'metadata':{'name':'a'," MARK("false") "}}");
        give_class(plain, "");
        put("networking.k8s.io", "ingressclasses", "b",
                        "{'metadata':{'name':'b','creationTimestamp':'2024-01-01T00:00:00Z'," MARK(
                                        "true") "}}");
        put("networking.k8s.io", "ingressclasses", "c",
                        "{'metadata':{'name':'c','creationTimestamp':'2025-01-01T00:00:00Z'," MARK(
                                        "true") "}}");
        give_class(plain, "c");
        give_class("{'metadata':{'name':'i'},'spec':{'ingressClassName':'own'}}", "own");
        give_class("{'metadata':{'name':'i','annotations':{'kubernetes.io/ingress.class':'nginx'}},"
                   "'spec':{}}",
                        "");
}

static void test_warning(void **state) {
        _cleanup_(admission_chain_freep) struct admission_chain *all =
                        chain_new(&(struct admission_options){0}, NULL);
        const struct question q = {
                        .group = "networking.k8s.io", .plural = "ingressclasses", .name = "n"};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *o =
                        parse("{'spec':{'controller':'keelson.dev/ingress','parameters':{"
                              "'kind':'Settings','name':'a'}}}");

        assert_int_equal(run(all, &q, ADMISSION_VALIDATE, NULL, o, &p), 0);
        assert_int_equal(strv_length(warnings), 1);
        assert_non_null(strstr(warnings[0], "spec.parameters has no effect"));
        assert_non_null(strstr(warnings[0], "keelson's controller has no parameters"));
        forget();
}

static int start(void **state) {
        int r = set_up(state);

        registry = api.kinds;
        return r;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_defaults),
                        cmocka_unit_test(test_policy_refusals),
                        cmocka_unit_test(test_ingress_refusals),
                        cmocka_unit_test(test_class_refusals),
                        cmocka_unit_test(test_controller_stays),
                        cmocka_unit_test(test_old_metadata),
                        cmocka_unit_test(test_columns),
                        cmocka_unit_test(test_default_class),
                        cmocka_unit_test(test_warning),
        };

        return cmocka_run_group_tests(tests, start, tear_down);
}
