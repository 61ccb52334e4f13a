/* CustomResourceDefinitions: defaults against their schemas, formats, names that two want,
 * deprecated versions, objects inside of objects, and what a new default means for what is stored.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kapid/kinds/crd-delete.h"
#include "kapid/kinds/crd-names.h"
#include "kapid/pipeline/forms.h"
#include "lib/object.h"
#include "tests/unit/kapid-cases.h"

enum { NOW_S = 1700000000 };

/* A definition whose objects' spec has the given properties. */
static json_t *definition(const char *plural, const char *kind_name, const char *extra_names,
                const char *version_extra, const char *properties) {
        _cleanup_free_ char *text = strformat(
                        "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition',"
                        "'metadata':{'name':'%s.crds.example.com'},'spec':{'group':"
                        "'crds.example.com','scope':'Namespaced','names':{'plural':'%s','kind':"
                        "'%s'%s},'versions':[{'name':'v1','served':true,'storage':true%s,'schema':"
                        "{'openAPIV3Schema':{'type':'object','properties':{'spec':{'type':'object',"
                        "'properties':{%s}}}}}}]}}",
                        plural, plural, kind_name, extra_names, version_extra, properties);

        return parse(text);
}

/* As a create does it, up to validation. */
static int create(json_t *crd, struct problem *p) {
        const struct kind *k = kind("apiextensions.k8s.io", "customresourcedefinitions");
        struct pipeline_context c = {.now_us = NOW_S * 1000000ULL};

        assert_int_equal(pipeline_default(k, crd), 0);
        assert_int_equal(pipeline_prepare_create(k, crd, &c), 0);
        assert_true(crd_settle_names(registry, NULL, crd, c.now_us) >= 0);
        return pipeline_validate_create(k, crd, p);
}

static json_t *accepted(const char *plural, const char *kind_name, const char *names) {
        _cleanup_problem_ struct problem p = {0};
        json_t *crd = definition(plural, kind_name, names, "", "");

        assert_int_equal(create(crd, &p), 0);
        return crd;
}

static void serve(const json_t *crd) {
        _cleanup_problem_ struct problem p = {0};

        if (kind_registry_add_crd(registry, crd, &p) < 0)
                fail_msg("%s", strempty(p.message));
}

/* The server's own finalizer has no slash: a definition that is being deleted can be changed. */
static void test_finalizer(void **state) {
        const struct kind *k = kind("apiextensions.k8s.io", "customresourcedefinitions");
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *old = accepted("ends", "End", ""), *new = json_deep_copy(old);

        json_set_at(new, "metadata.finalizers", json_pack("[s]", CRD_FINALIZER));
        if (pipeline_validate_update(k, NULL, old, new, NULL, &p) < 0)
                fail_msg("%s", p.message);
}

static void test_defaults(void **state) {
        static const struct {
                const char *properties, *field, *message; /* field NULL: accepted */
        } cases[] = {
                        {"'a':{'type':'string','default':'x'}", NULL, NULL},
                        {"'a':{'type':'string','default':true}", "properties[a].default",
                                        "must be of type string"},
                        {"'a':{'type':'string','maxLength':2,'default':'a b'}",
                                        "properties[a].default", "may not be more than 2 bytes"},
                        {"'a':{'type':'integer','minimum':3,'default':1}", "properties[a].default",
                                        "should be greater than or equal to 3"},
                        {"'a':{'type':'string','pattern':'^b','default':'a'}",
                                        "properties[a].default", "should match '^b'"},
                        {"'a':{'type':'string','enum':['x','y'],'default':'z'}",
                                        "properties[a].default", "supported values: \"x\", \"y\""},
                        {"'a':{'type':'string','format':'date','default':'z'}",
                                        "properties[a].default", "must be of type date"},
                        {"'o':{'type':'object','properties':{'a':{'type':'integer','default':"
                         "'1'}}}",
                                        "properties[o].properties[a].default",
                                        "must be of type integer"},
                        {"'l':{'type':'array','items':{'type':'object','required':['a'],"
                         "'properties':{'a':{'type':'integer'}},'default':{}}}",
                                        "properties[l].items.default.a", "Required value"},
                        {"'l':{'type':'array','default':[{'d':'A'}],'items':{'type':'object',"
                         "'required':['a'],'properties':{'a':{'type':'integer'},'d':{'type':"
                         "'string'}}}}",
                                        "properties[l].default[0].a", "Required value"},
                        {"'m':{'type':'object','additionalProperties':{'type':'object',"
                         "'properties':{'a':{'type':'boolean','default':0}}}}",
                                        "properties[m].additionalProperties.properties[a].default",
                                        "must be of type boolean"},
                        {"'o':{'type':'object','default':{'z':1},'properties':{'a':{'type':"
                         "'integer'}}}",
                                        "properties[o].default", "must be pruned"},
                        {"'o':{'type':'object','default':{},'properties':{'a':{'type':'integer',"
                         "'default':4}}}",
                                        NULL, NULL},
                        {"'o':{'type':'object','default':{'z':1},"
                         "'x-kubernetes-preserve-unknown-fields':true}",
                                        NULL, NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *crd = definition("as", "A", "", "", cases[i].properties);
                _cleanup_problem_ struct problem p = {0};
                _cleanup_free_ char *field = strformat("spec.versions[0].schema.openAPIV3Schema."
                                                       "properties[spec].%s",
                                strempty(cases[i].field));
                int r = create(crd, &p);

                if (!cases[i].field) {
                        if (r < 0)
                                fail_msg("%s: %s", cases[i].properties, strempty(p.message));
                        continue;
                }
                if (r != -EINVAL || !streq(strempty(p.field), field) ||
                                !strstr(p.message, cases[i].message))
                        fail_msg("%s: %s", cases[i].properties, strempty(p.message));
        }
}

static const struct {
        const char *format, *good[8], *bad[8];
} format_cases[] = {
                {"mac", {"01:23:45:67:89:ab", "01-23-45-67-89-AB", "0123.4567.89ab"},
                                {"", "x", "01:23:45:67:89", "01:23-45:67:89:ab",
                                                "012:3:45:67:89:ab", "01:23:45:67:89:ab:"}},
                {"date", {"2024-02-29", "2023-12-31"},
                                {"", "x", "2023-02-29", "2024-13-01", "2024-1-01",
                                                "2024-01-01T00:00:00Z"}},
                {"cidr", {"10.0.0.0/8", "fd00::/64", "1.2.3.4/32"},
                                {"", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "fd00::/129",
                                                "10.0.0.0/", "10.0.0.0/ 8"}},
                {"hostname", {"a", "example.com", "my-host", "1a.example", "h\u00f6st.de"},
                                {"", "a b", "-a", "a-", "a..b", "x.y", "a_b.com"}},
                {"uri",
                                {"https://example.com/a?b=c", "/path", "mailto:a@b",
                                                "http://[::1]:80/", "http://u:p@h"},
                                {"", "example.com", "http://a b/", "http://h:x/", ":a",
                                                "http://h/%zz", "//h\x01"}},
                {"ipv4", {"10.0.0.1", "010.0.0.1", "::ffff:1.2.3.4"},
                                {"", "::1", "10.0.0", "10.0.0.256", "10.0.0.1.",
                                                "1.2.3.4294967297"}},
                {"ipv6", {"::1", "fe80::1", "::ffff:1.2.3.04"},
                                {"", "10.0.0.1", "::1%eth0", ":::", "::1.2.3", "1.2.3.4::"}},
                {"byte", {"YQ==", "YWJj"}, {"", "YQ", "YQ=", "Y Q="}},
                {"uuid",
                                {"123e4567-e89b-12d3-a456-426614174000",
                                                "123E4567E89B12D3A456426614174000"},
                                {"", "123e4567", "123e4567-e89b-12d3-a456-42661417400g"}},
                {"uuid4", {"123e4567-e89b-42d3-a456-426614174000"},
                                {"123e4567-e89b-12d3-a456-426614174000"}},
                {"email", {"a@b", "a.b@c.org", "Some One <a@b.c>", "\"x y\"@d"},
                                {"", "a", "a@", "@b", "a b@c", "a@b c", "<a@b"}},
                {"date-time", {"2024-01-02T03:04:05Z", "2024-01-02t03:04:05.5+01:00"},
                                {"", "2024-01-02", "2024-01-02T25:00:00Z", "2024-01-02T03:04:05"}},
                {"datetime", {"2024-01-02T03:04:05Z"}, {"x"}},
                {"duration", {"1h30m", "0", "-1.5s", "3 weeks", "2d"},
                                {"", "1", "h", "1x", "soon"}},
                {"hexcolor", {"#fff", "a0b1c2"}, {"", "#ff", "#ggg"}},
                {"rgbcolor", {"rgb(0, 1,255)"}, {"", "rgb(0,1)", "rgb(0,1,256)"}},
                {"ssn", {"123-45-6789"}, {"", "12-345-6789"}},
                {"isbn", {"0-306-40615-2", "978-0-306-40615-7"}, {"", "0-306-40615-3"}},
                {"creditcard", {"4111 1111 1111 1111"}, {"", "4111 1111 1111 1112"}},
                {"bsonobjectid", {"507f1f77bcf86cd799439011"}, {"507f1f77bcf86cd79943901"}},
                {"k8s-short-name", {"a-b"}, {"", "a.b", "A"}},
                {"k8s-long-name", {"a.b"}, {"", "a..b"}},
                /* known to everyone or to nobody: takes everything */
                {"password", {"", "x"}, {NULL}},
                {"quantity", {"x"}, {NULL}},
                {"dns1123-label", {"X Y"}, {NULL}},
};

static void test_formats(void **state) {
        for (size_t i = 0; i < ELEMENTS(format_cases); i++) {
                _cleanup_free_ char *properties = strformat(
                                "'v':{'type':'string','format':'%s'}", format_cases[i].format);
                _cleanup_json_ json_t *crd = definition("forms", "Form", "", "", properties);
                const struct kind *k;

                serve(crd);
                k = kind("crds.example.com", "forms");
                for (size_t j = 0; j < 2 * ELEMENTS(format_cases[i].good); j++) {
                        bool good = j < ELEMENTS(format_cases[i].good);
                        const char *text =
                                        good ? format_cases[i].good[j]
                                             : format_cases[i].bad[j -
                                                                   ELEMENTS(format_cases[i].good)];
                        _cleanup_problem_ struct problem p = {0};
                        _cleanup_json_ json_t *object = NULL;

                        if (!text)
                                continue;
                        object = json_pack("{ss, ss, s{ss, ss}, s{ss}}", "apiVersion",
                                        "crds.example.com/v1", "kind", "Form", "metadata", "name",
                                        "x", "namespace", "d", "spec", "v", text);
                        if ((pipeline_normalise(k, object, NULL, &p) == 0 &&
                                            pipeline_validate_create(k, object, &p) == 0) != good)
                                fail_msg("%s \"%s\": %s", format_cases[i].format, text,
                                                strempty(p.message));
                        if (!good && !strstr(p.message, "spec.v in body must be of type "))
                                fail_msg("%s", p.message);
                }
                kind_registry_remove_crd(registry, "forms.crds.example.com");
        }
}

static const char *state_of(const json_t *crd, const char *type, const char *field) {
        const json_t *c;
        size_t i;

        json_array_foreach (json_at(crd, "status.conditions"), i, c)
                if (streq(json_str_or(c, "type", ""), type))
                        return json_str_or(c, field, "");
        return "";
}

static void test_names(void **state) {
        static const struct {
                const char *plural, *kind, *names, *reason, *message;
        } cases[] = {
                        /* the last of several is shown */
                        {"bs", "A", "", "ListKindConflict", "\"AList\" is already in use"},
                        {"bs", "A", ",'listKind':'L'", "KindConflict", "\"A\" is already in use"},
                        {"bs", "AList", "", "KindConflict", "\"AList\" is already in use"},
                        {"bs", "B", ",'listKind':'A'", "ListKindConflict",
                                        "\"A\" is already in use"},
                        {"bs", "B", ",'shortNames':['q','aa']", "ShortNamesConflict",
                                        "\"aa\" is already in use"},
                        {"bs", "B", ",'singular':'as'", "SingularConflict",
                                        "\"as\" is already in use"},
                        {"aa", "B", "", "PluralConflict", "\"aa\" is already in use"},
        };
        _cleanup_json_ json_t *first = accepted("as", "A", ",'shortNames':['aa']");

        assert_string_equal(state_of(first, "NamesAccepted", "status"), "True");
        assert_string_equal(state_of(first, "Established", "status"), "True");
        serve(first);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *crd =
                                accepted(cases[i].plural, cases[i].kind, cases[i].names);
                _cleanup_json_ json_t *later = NULL;

                assert_string_equal(state_of(crd, "NamesAccepted", "status"), "False");
                assert_string_equal(state_of(crd, "NamesAccepted", "reason"), cases[i].reason);
                assert_string_equal(state_of(crd, "NamesAccepted", "message"), cases[i].message);
                assert_string_equal(state_of(crd, "Established", "status"), "False");
                assert_string_equal(state_of(crd, "Established", "reason"), "NotAccepted");
                assert_false(crd_is_established(crd));
                assert_true(crd_is_waiting(crd));
                /* Nothing changes while the first is there; then the names are free. */
                later = json_deep_copy(crd);
                assert_int_equal(crd_settle_names(registry, crd, later, NOW_S * 2000000ULL), 0);
                kind_registry_remove_crd(registry, "as.crds.example.com");
                assert_int_equal(crd_settle_names(registry, crd, later, NOW_S * 2000000ULL), 1);
                assert_true(crd_is_established(later));
                assert_false(crd_is_waiting(later));
                assert_string_equal(
                                json_str_or(later, "status.acceptedNames.kind", ""), cases[i].kind);
                serve(first);
        }
        kind_registry_remove_crd(registry, "as.crds.example.com");
}

/* One that is served keeps being served, with the names it had. */
static void test_names_of_served(void **state) {
        _cleanup_json_ json_t *first = accepted("as", "A", ",'shortNames':['aa']"),
                              *second = accepted("bs", "B", ",'shortNames':['bb']"),
                              *changed = json_deep_copy(second);
        const struct kind *k;

        serve(first);
        serve(second);
        json_set_at(changed, "spec.names.shortNames", json_pack("[s, s]", "cc", "aa"));
        assert_int_equal(crd_settle_names(registry, second, changed, (NOW_S + 5) * 1000000ULL), 1);
        assert_string_equal(state_of(changed, "NamesAccepted", "reason"), "ShortNamesConflict");
        assert_string_equal(state_of(changed, "Established", "status"), "True");
        serve(changed);
        k = kind("crds.example.com", "bs");
        assert_string_equal(k->short_names[0], "bb");
        assert_null(k->short_names[1]);
        kind_registry_remove_crd(registry, "as.crds.example.com");
        kind_registry_remove_crd(registry, "bs.crds.example.com");
}

static void test_deprecated(void **state) {
        static const struct {
                const char *extra, *warning; /* warning NULL: refused; "": none */
        } cases[] = {
                        {"", ""},
                        {",'deprecated':true", "crds.example.com/v1 A is deprecated"},
                        {",'deprecated':true,'deprecationWarning':'use B'", "use B"},
                        {",'deprecationWarning':'use B'", NULL},
                        {",'deprecated':true,'deprecationWarning':''", NULL},
                        {",'deprecated':true,'deprecationWarning':'a\\nb'", NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *crd = definition("as", "A", "", cases[i].extra, "");
                _cleanup_problem_ struct problem p = {0};
                int r = create(crd, &p);

                if (!cases[i].warning) {
                        assert_int_equal(r, -EINVAL);
                        assert_string_equal(p.field, "spec.versions[0].deprecationWarning");
                        continue;
                }
                assert_int_equal(r, 0);
                serve(crd);
                assert_string_equal(strempty(kind("crds.example.com", "as")->deprecation),
                                cases[i].warning);
                kind_registry_remove_crd(registry, "as.crds.example.com");
        }
}

#define TWO(group, versions) \
        "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition','metadata':{" \
        "'name':'as." group "'},'spec':{'group':'" group "','scope':'Namespaced','names':{" \
        "'plural':'as','kind':'A'},'versions':[" versions "]}}"
#define VERSION(name, more, properties) \
        "{'name':'" name "'" more ",'schema':{'openAPIV3Schema':{'type':'object','properties':{" \
        "'spec':{'type':'object','properties':{" properties "}}}}}}"

/* Without a warning of its own, a version names the one to be used instead. */
static void test_deprecated_for(void **state) {
        static const struct {
                const char *text, *warning;
        } cases[] = {
                        {TWO("crds.example.com",
                                         VERSION("v1beta1", ",'served':true,'deprecated':true",
                                                         "") "," VERSION("v1",
                                                         ",'served':true,'storage':true", "")),
                                        "crds.example.com/v1beta1 A is deprecated; use "
                                        "crds.example.com/v1 A"},
                        {TWO("crds.example.com",
                                         VERSION("v1beta1", ",'served':true,'deprecated':true",
                                                         "") "," VERSION("v1beta2",
                                                         ",'served':true",
                                                         "") "," VERSION("v1",
                                                         ",'served':true,'storage':true", "")),
                                        "crds.example.com/v1beta1 A is deprecated; use "
                                        "crds.example.com/v1 A"},
                        {TWO("crds.example.com",
                                         VERSION("v1beta1", ",'served':true,'deprecated':true",
                                                         "") "," VERSION("v1alpha1",
                                                         ",'served':true,'storage':true", "")),
                                        "crds.example.com/v1beta1 A is deprecated"},
                        {TWO("crds.example.com",
                                         VERSION("v1beta1", ",'served':true,'deprecated':true",
                                                         "") "," VERSION("v1", ",'storage':true",
                                                         "")),
                                        "crds.example.com/v1beta1 A is deprecated"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *crd = parse(cases[i].text);
                _cleanup_problem_ struct problem p = {0};
                const struct kind *k;

                assert_int_equal(create(crd, &p), 0);
                serve(crd);
                k = kind_registry_find(registry, "crds.example.com", "v1beta1", "as");
                assert_non_null(k);
                assert_string_equal(k->deprecation, cases[i].warning);
                kind_registry_remove_crd(registry, "as.crds.example.com");
        }
}

/* Groups of the Kubernetes community want an approval. */
static void test_approval(void **state) {
        static const struct {
                const char *annotation, *reason; /* reason NULL: refused */
        } cases[] = {
                        {"", NULL},
                        {"maybe", NULL},
                        {"https:///path", NULL},
                        {"https://example com/1", NULL},
                        {"unapproved, for a test", "UnapprovedAnnotation"},
                        {"https://example.com/decision/1", "ApprovedAnnotation"},
                        {"https://example.com/1, and words", "ApprovedAnnotation"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *crd = parse(TWO(
                                "sigs.k8s.io", VERSION("v1", ",'served':true,'storage':true", "")));
                _cleanup_problem_ struct problem p = {0};
                const json_t *condition;
                int r;

                if (*cases[i].annotation)
                        json_set_at(crd, "metadata.annotations",
                                        json_pack("{s:s}", "api-approved.kubernetes.io",
                                                        cases[i].annotation));
                r = create(crd, &p);
                if (!cases[i].reason) {
                        assert_int_equal(r, -EINVAL);
                        assert_string_equal(p.field,
                                        "metadata.annotations[api-approved.kubernetes.io]");
                        continue;
                }
                assert_int_equal(r, 0);
                condition = json_array_get(json_at(crd, "status.conditions"), 2);
                assert_string_equal(json_str_or(condition, "type", ""),
                                "KubernetesAPIApprovalPolicyConformant");
                assert_string_equal(json_str_or(condition, "reason", ""), cases[i].reason);
        }
}

/* What people forget, and what the API leaves out when it is empty. */
static void test_incomplete(void **state) {
        _cleanup_json_ json_t *nameless = parse(TWO(
                        "crds.example.com", VERSION("v1", ",'served':true,'storage':true", "")));
        _cleanup_json_ json_t *sparse = parse(TWO("crds.example.com",
                        VERSION("v1", ",'served':true,'storage':true,'additionalPrinterColumns':[]",
                                        "'a':{'type':'object','properties':{},'nullable':false}") "," VERSION("v2",
                                        "", "")));
        _cleanup_problem_ struct problem p = {0}, none = {0};

        json_del_at(nameless, "spec.names");
        assert_int_equal(create(nameless, &p), -EINVAL);
        assert_non_null(strstr(strempty(p.message), "spec.names"));
        assert_int_equal(create(sparse, &none), 0);
        assert_json(json_array_get(json_at(sparse, "spec.versions"), 0),
                        "{'name':'v1','served':true,'storage':true,'schema':{'openAPIV3Schema':{"
                        "'type':'object','properties':{'spec':{'type':'object','properties':{'a':{"
                        "'type':'object'}}}}}}}");
        assert_false(json_bool_or(
                        json_array_get(json_at(sparse, "spec.versions"), 1), "storage", true));
}

/* A definition may say which names its objects have. */
static void test_own_names(void **state) {
        _cleanup_json_ json_t *crd = definition("as", "A", "", "", "");
        json_t *properties = json_at_mut(json_array_get(json_at_mut(crd, "spec.versions"), 0),
                        "schema.openAPIV3Schema.properties");

        json_object_set_new(properties, "metadata",
                        parse("{'type':'object','properties':{'name':{'type':'string','enum':["
                              "'cluster']}}}"));
        serve(crd);
        for (int fine = 0; fine <= 1; fine++) {
                const struct kind *k = kind("crds.example.com", "as");
                _cleanup_free_ char *text = strformat(
                                "{'apiVersion':'crds.example.com/v1','kind':'A','metadata':{'name':"
                                "'%s','namespace':'d','labels':{'a':'b'}}}",
                                fine ? "cluster" : "other");
                _cleanup_json_ json_t *object = parse(text);
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(pipeline_normalise(k, object, NULL, &p), 0);
                assert_string_equal(json_str_or(object, "metadata.labels.a", ""), "b");
                assert_int_equal(pipeline_validate_create(k, object, &p), fine ? 0 : -EINVAL);
                assert_string_equal(strempty(p.field), fine ? "" : "metadata.name");
        }
        kind_registry_remove_crd(registry, "as.crds.example.com");
}

/* What an expression makes of a text is as long as that at most, as Kubernetes estimates it. */
static void test_cost_of_parts(void **state) {
        static const char rule[] = "'x-kubernetes-validations':[{'rule':'self.split(\\\"@\\\")[1]"
                                   ".matches(\\\"^sha256:[a-f0-9]{64}$\\\") && self.split("
                                   "\\\".\\\").all(x, x.matches(\\\"^[a-z@:0-9]+$\\\"))'}]";

        for (int bounded = 0; bounded <= 1; bounded++) {
                _cleanup_free_ char *property = strformat("'a':{'type':'string',%s%s}",
                                bounded ? "'maxLength':447," : "", rule);
                _cleanup_json_ json_t *crd = definition("as", "A", "", "", property);
                _cleanup_problem_ struct problem p = {0};

                if (create(crd, &p) != (bounded ? 0 : -EINVAL))
                        fail_msg("%s: %s", bounded ? "bounded" : "unbounded", strempty(p.message));
        }
}

static void test_embedded(void **state) {
        static const struct {
                const char *object, *field; /* field NULL: accepted */
        } cases[] = {
                        {"{'apiVersion':'v1','kind':'Pod','metadata':{'labels':{'a':'b'}}}", NULL},
                        {"{'apiVersion':'v1','kind':'Pod'}", NULL},
                        {"{'kind':'Pod'}", "spec.o.apiVersion"},
                        {"{'apiVersion':'','kind':'Pod'}", "spec.o.apiVersion"},
                        {"{'apiVersion':'a/b/c','kind':'Pod'}", "spec.o.apiVersion"},
                        {"{'apiVersion':'v1'}", "spec.o.kind"},
                        {"{'apiVersion':'v1','kind':'a b'}", "spec.o.kind"},
                        {"{'apiVersion':'v1','kind':'Pod','metadata':{'labels':{'a':'-'}}}",
                                        "spec.o.metadata.labels"},
                        {"{'apiVersion':'v1','kind':'Pod','metadata':{'labels':{'a':1}}}",
                                        "spec.o.metadata.labels.a"},
                        {"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a/b'}}",
                                        "spec.o.metadata.name"},
                        {"{'apiVersion':'v1','kind':'Pod','metadata':'x'}", "spec.o.metadata"},
        };
        _cleanup_json_ json_t *crd = definition("es", "E", "", "",
                        "'o':{'type':'object','x-kubernetes-embedded-resource':true,"
                        "'x-kubernetes-preserve-unknown-fields':true}");
        _cleanup_json_ json_t *pruned = NULL;
        _cleanup_problem_ struct problem none = {0};
        const struct kind *k;

        serve(crd);
        k = kind("crds.example.com", "es");
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = strformat(
                                "{'apiVersion':'crds.example.com/v1','kind':'E','metadata':{'name':"
                                "'x','namespace':'d'},'spec':{'o':%s}}",
                                cases[i].object);
                _cleanup_json_ json_t *object = parse(text);
                _cleanup_problem_ struct problem p = {0};
                int r = pipeline_normalise(k, object, NULL, &p);

                if (r == 0)
                        r = pipeline_validate_create(k, object, &p);
                if ((r == 0) != !cases[i].field ||
                                (cases[i].field && !streq(strempty(p.field), cases[i].field)))
                        fail_msg("%s: %s", cases[i].object, strempty(p.message));
        }
        pruned = parse("{'apiVersion':'crds.example.com/v1','kind':'E','metadata':{'name':'x'},"
                       "'spec':{'o':{'apiVersion':'v1','kind':'Pod','metadata':{'name':'y','no':1},"
                       "'any':{'z':1}}}}");
        assert_int_equal(pipeline_normalise(k, pruned, NULL, &none), 0);
        assert_json(json_at(pruned, "spec.o"),
                        "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'y'},'any':{'z':1}}");
        kind_registry_remove_crd(registry, "es.crds.example.com");
}

static struct item *form_of(struct item *it, const struct kind *k) {
        _cleanup_problem_ struct problem p = {0};
        struct item *form;

        assert_int_equal(item_as(it, k, &form, &p), 0);
        return form;
}

/* What is stored stays as it is; what is shown follows the definition. */
static void test_filled(void **state) {
        static const char stored[] =
                        "{\"apiVersion\":\"crds.example.com/v1\",\"kind\":\"A\",\"metadata\":"
                        "{\"name\":\"x\",\"namespace\":\"d\"},\"spec\":{\"own\":\"o\"}}";
        static const char prefix[] = "/registry/crds.example.com/as/";
        _cleanup_json_ json_t *before = definition("as", "A", "", "", "'own':{'type':'string'}"),
                              *after = definition("as", "A", "", "",
                                              "'own':{'type':'string','default':'n'},"
                                              "'new':{'type':'string','default':'n'}"),
                              *shown = NULL;
        _cleanup_(item_pool_freep) struct item_pool *pool = item_pool_new(1 << 20);
        _cleanup_item_ struct item *it = NULL;
        struct item *filled;

        assert_int_equal(item_new(pool, "/registry/crds.example.com/as/d/x", strlen(prefix), stored,
                                         strlen(stored), 7, &it),
                        0);
        serve(before);
        assert_ptr_equal(form_of(it, kind("crds.example.com", "as")), it);
        serve(after);
        filled = form_of(it, kind("crds.example.com", "as"));
        assert_non_null(filled);
        assert_ptr_not_equal(filled, it);
        assert_ptr_equal(form_of(it, kind("crds.example.com", "as")), filled);
        assert_int_equal(item_revision(filled), 7);
        assert_string_equal(item_path(filled), "d/x");
        shown = item_object(filled);
        assert_json(shown, "{'apiVersion':'crds.example.com/v1','kind':'A','metadata':{'name':'x',"
                           "'namespace':'d','resourceVersion':'7'},'spec':{'own':'o','new':'n'}}");
        assert_non_null(strstr(item_text(filled)->data, "\"new\":\"n\""));
        assert_null(strstr(item_text(it)->data, "\"new\""));
        /* The default goes again with its definition. */
        serve(before);
        assert_ptr_equal(form_of(it, kind("crds.example.com", "as")), it);
        kind_registry_remove_crd(registry, "as.crds.example.com");
        it = item_unref(it);
}

/* What is stored in another version gets the defaults of that one, and shows what the version that
 * is read has fields for: nothing is lost that was written through it. */
static void test_filled_as_stored(void **state) {
        static const char stored[] =
                        "{\"apiVersion\":\"crds.example.com/v1\",\"kind\":\"A\",\"metadata\":"
                        "{\"name\":\"x\",\"namespace\":\"d\"},\"spec\":{\"both\":\"b\",\"kept\":1,"
                        "\"first\":\"f\"}}";
        static const char prefix[] = "/registry/crds.example.com/as/";
        _cleanup_json_ json_t *
                        shown = NULL,
                       *crd = parse(TWO("crds.example.com",
                                       VERSION("v1", ",'served':false,'storage':true",
                                                       "'both':{'type':'string'},'first':{'type':'string'},"
                                                       "'filled':{'type':'string','default':'one'}") "," VERSION("v2",
                                                       ",'served':true,'storage':false",
                                                       "'both':{'type':'string'},'filled':{'type':'string',"
                                                       "'default':'two'},'new':{'type':'string','default':'n'},"
                                                       "'kept':{'type':'integer'}")));
        _cleanup_(item_pool_freep) struct item_pool *pool = item_pool_new(1 << 20);
        _cleanup_item_ struct item *it = NULL;

        assert_int_equal(item_new(pool, "/registry/crds.example.com/as/d/x", strlen(prefix), stored,
                                         strlen(stored), 7, &it),
                        0);
        serve(crd);
        shown = item_object(
                        form_of(it, kind_registry_find(registry, "crds.example.com", "v2", "as")));
        assert_string_equal(object_api_version(shown), "crds.example.com/v2");
        assert_json(json_object_get(shown, "spec"), "{'both':'b','filled':'one','kept':1}");
        kind_registry_remove_crd(registry, "as.crds.example.com");
        it = item_unref(it);
}

static void test_hidden(void **state) {
        static const struct {
                const char *spec, *warning; /* NULL: none */
        } cases[] = {
                        {"{'containers':[{'name':'c','image':'i','env':[{'name':'A','value':'1'},"
                         "{'name':'A','value':'2'}]}]}",
                                        "spec.containers[0].env[1]: hides previous definition of "
                                        "\"A\", which may be dropped when using apply"},
                        {"{'containers':[{'name':'c','image':'i','env':[{'name':'A','value':'1'},"
                         "{'name':'A','value':'$(A)2'}]}]}",
                                        NULL},
                        {"{'containers':[{'name':'c','image':'i','ports':[{'containerPort':80,"
                         "'protocol':'TCP'},{'containerPort':81,'protocol':'TCP'},{'containerPort':"
                         "80,'protocol':'TCP','name':'x'}]}]}",
                                        "spec.containers[0].ports[2]: duplicate port definition "
                                        "with spec.containers[0].ports[0]"},
                        {"{'containers':[{'name':'c','image':'i','env':[{'name':'A','value':'1'},"
                         "{'name':'B','value':'2'}]}]}",
                                        NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text =
                                strformat("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p',"
                                          "'namespace':'d'},'spec':%s}",
                                                cases[i].spec);
                _cleanup_json_ json_t *pod = parse(text);
                _cleanup_strv_free_ char **warnings = NULL;

                assert_int_equal(pipeline_warnings(kind("", "pods"), NULL, pod, &warnings), 0);
                assert_int_equal(strv_length(warnings), cases[i].warning ? 1 : 0);
                if (cases[i].warning)
                        assert_string_equal(warnings[0], cases[i].warning);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_finalizer),
                        cmocka_unit_test(test_defaults),
                        cmocka_unit_test(test_formats),
                        cmocka_unit_test(test_names),
                        cmocka_unit_test(test_names_of_served),
                        cmocka_unit_test(test_deprecated),
                        cmocka_unit_test(test_deprecated_for),
                        cmocka_unit_test(test_approval),
                        cmocka_unit_test(test_incomplete),
                        cmocka_unit_test(test_own_names),
                        cmocka_unit_test(test_cost_of_parts),
                        cmocka_unit_test(test_embedded),
                        cmocka_unit_test(test_filled),
                        cmocka_unit_test(test_filled_as_stored),
                        cmocka_unit_test(test_hidden),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
