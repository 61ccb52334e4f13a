/* The decision of kingressd: each tests/golden/ingress/NAME.yaml holds objects, NAME.out the maps,
 * backends and findings (of `whole` the file of haproxy). haproxy itself checks every
 * configuration, where it is installed ($HAPROXY is another one, or a command for it). Then the
 * slots: which commands a change of endpoints makes, and when a reload is needed. */
#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/crypto.h"
#include "lib/fileio.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/yaml.h"
#include "reconcilers/ingress/decide.h"
#include "reconcilers/ingress/folder.h"
#include "reconcilers/ingress/text.h"
#include "tests/unit/golden.h"

static const char *const cases[] = {"annotations", "classes", "conflict", "default-backend",
                "default-backend-of-hosts", "default-class", "endpoints-of-machine",
                "external-name", "hostile-annotations", "hostile-host", "hostile-names",
                "hostile-path", "hosts", "ipv6", "many-endpoints", "missing-port",
                "missing-service", "named-port", "no-endpoints", "nothing", "other-namespace",
                "path-types", "resource-backend", "shared-service", "terminating", "tls",
                "tls-broken", "tls-conflict", "tls-no-host", "tls-no-redirect",
                "tls-other-namespace", "tls-wildcard", "tls-without-secret", "whole"};

struct objects_of_case {
        struct yaml_docs docs;
        json_t *ingresses, *classes;
        struct ingress_options options;
        struct ingress_view view;
};

static const json_t *find(
                struct objects_of_case *c, const char *kind, const char *ns, const char *name) {
        for (size_t i = 0; i < c->docs.count; i++) {
                const json_t *o = c->docs.items[i].value;

                if (streq(object_kind(o), kind) && streq(object_namespace(o), ns) &&
                                streq(object_name(o), name))
                        return o;
        }
        return NULL;
}

static const json_t *find_service(void *data, const char *ns, const char *name) {
        return find(data, "Service", ns, name);
}

static const json_t *find_secret(void *data, const char *ns, const char *name) {
        return find(data, "Secret", ns, name);
}

static void find_slices(void *data, const char *ns, const char *service, json_t *ret) {
        struct objects_of_case *c = data;

        for (size_t i = 0; i < c->docs.count; i++) {
                json_t *o = c->docs.items[i].value;

                if (streq(object_kind(o), "EndpointSlice") && streq(object_namespace(o), ns) &&
                                streq_ptr(object_label(o, "kubernetes.io/service-name"), service))
                        json_array_append(ret, o);
        }
}

static void case_init(struct objects_of_case *c, const char *yaml) {
        _cleanup_problem_ struct problem p = {0};

        *c = (struct objects_of_case){.ingresses = json_array(), .classes = json_array()};
        assert_int_equal(yaml_parse(yaml, strlen(yaml), &c->docs, &p), 0);
        for (size_t i = 0; i < c->docs.count; i++) {
                json_t *o = c->docs.items[i].value;

                if (streq(object_kind(o), "Ingress"))
                        json_array_append(c->ingresses, o);
                if (streq(object_kind(o), "IngressClass"))
                        json_array_append(c->classes, o);
        }
        c->options = (struct ingress_options){.bind_address = "127.0.0.1",
                        .http_port = 8080,
                        .https_port = 8443,
                        .threads = 2,
                        .connections_max = 1000,
                        .run_dir = "/run/kingressd",
                        .fallback_pem = "(the fallback)\n"};
        c->view = (struct ingress_view){.options = &c->options,
                        .ingresses = c->ingresses,
                        .classes = c->classes,
                        .service = find_service,
                        .secret = find_secret,
                        .slices = find_slices,
                        .data = c};
}

static void case_done(struct objects_of_case *c) {
        yaml_docs_done(&c->docs);
        json_decref(c->ingresses);
        json_decref(c->classes);
}

static char *decision_text(const json_t *d, const json_t *slots, bool whole) {
        _cleanup_free_ char *config = ingress_text(d, slots, "/run/kingressd/1", 1);
        const char *main_end = strstr(config, "see the events of the Ingress\"\n\n"), *name;
        const json_t *v;
        struct buf b = {0};
        size_t i;

        assert_non_null(main_end);
        buf_printf(&b, "# haproxy.cfg\n%s", whole ? config : strchr(main_end, '\n') + 2);
        json_object_each (json_at(d, "files"), name, v)
                buf_printf(&b, "# %s\n%s", name, json_string_value(v));
        buf_append_str(&b, "# certificates\n");
        json_object_each (json_at(d, "certificates"), name, v)
                buf_printf(&b, "%s\n", name);
        buf_append_str(&b, "# served\n");
        json_array_foreach (json_at(d, "served"), i, v)
                buf_printf(&b, "%s\n", json_string_value(v));
        buf_append_str(&b, "# findings\n");
        json_array_foreach (json_at(d, "findings"), i, v)
                buf_printf(&b, "%s %s: %s\n", json_str_or(v, "ingress", ""),
                                json_str_or(v, "reason", ""), json_str_or(v, "message", ""));
        return buf_take(&b);
}

static char *convert_as(const char *yaml, bool whole) {
        struct objects_of_case c;
        _cleanup_json_ json_t *d = NULL, *slots = NULL;
        bool grown;
        char *text;

        case_init(&c, yaml);
        d = ingress_decide(&c.view);
        slots = ingress_slots(d, /* previous= */ NULL, &grown);
        assert_false(grown);
        text = decision_text(d, slots, whole);
        case_done(&c);
        return text;
}

static char *convert(const char *yaml) {
        return convert_as(yaml, /* whole= */ false);
}

static char *convert_whole(const char *yaml) {
        return convert_as(yaml, /* whole= */ true);
}

static void test_goldens(void **state) {
        for (size_t i = 0; i < ELEMENTS(cases); i++)
                golden_check("ingress", cases[i],
                                streq(cases[i], "whole") ? convert_whole : convert);
}

/* --- haproxy reads them --- */

static void put(const char *dir, const char *name, const char *text) {
        _cleanup_free_ char *path = strformat("%s/%s", dir, name), *whole = NULL;

        assert_non_null(path);
        whole = ingress_text_in(text, dir);
        assert_int_equal(file_write_atomic(path, whole, strlen(whole), 0600), 0);
}

static char *read_case(const char *name) {
        _cleanup_free_ char *path = strformat(
                        "%s/tests/golden/ingress/%s.yaml", getenv("KEELSON_SRCDIR"), name);
        char *yaml = NULL;

        assert_int_equal(file_read(path, 1 << 20, &yaml, NULL), 0);
        return yaml;
}

static void write_case(const char *name, const char *dir, const char *fallback) {
        _cleanup_free_ char *yaml = read_case(name), *config = NULL,
                            *certs = strformat("%s/certs", dir);
        _cleanup_json_ json_t *d = NULL, *slots = NULL;
        struct objects_of_case c;
        const json_t *v;
        const char *file;
        bool grown;

        case_init(&c, yaml);
        c.options.fallback_pem = fallback;
        c.options.run_dir = dir;
        d = ingress_decide(&c.view);
        slots = ingress_slots(d, /* previous= */ NULL, &grown);
        config = ingress_text(d, slots, dir, 1);
        assert_int_equal(mkdir_parents(certs, 0700), 0);
        json_object_each (json_at(d, "certificates"), file, v)
                put(certs, file, json_string_value(v));
        json_object_each (json_at(d, "files"), file, v)
                put(dir, file, json_string_value(v));
        put(dir, "haproxy.cfg", config);
        case_done(&c);
}

static void test_haproxy_accepts_them(void **state) {
        const char *names[] = {"keelson ingress", NULL};
        const struct pki_subject subject = {.cn = names[0]};
        const char *haproxy = getenv("HAPROXY");
        _cleanup_free_ char *cert = NULL, *key = NULL, *pem = NULL;
        char dir[] = "/tmp/test-ingress-XXXXXX";

        if (!haproxy && access("/usr/sbin/haproxy", X_OK) < 0)
                skip();
        assert_non_null(mkdtemp(dir));
        assert_int_equal(pki_self_signed(&subject, PKI_USAGE_SERVER, 30, &cert, &key), 0);
        pem = strformat("%s%s", cert, key);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *at = strformat("%s/%s", dir, cases[i]), *command = NULL;

                write_case(cases[i], at, pem);
                command = strformat("%s -c -q -f %s/haproxy.cfg",
                                haproxy ? haproxy : "/usr/sbin/haproxy", at);
                if (system(command) != 0)
                        fail_msg("%s: haproxy does not accept it: %s", cases[i], at);
        }
        assert_int_equal(remove_tree(dir), 0);
}

/* --- slots --- */

static json_t *with_endpoints(const char *list) {
        _cleanup_strv_free_ char **words = NULL;
        json_t *endpoints = json_array();

        assert_int_equal(strv_split(list, " ", &words), 0);
        for (char **w = words; w && *w; w++)
                json_array_append_new(endpoints, json_string(*w));
        return json_pack("{s:s, s:{}, s:{}, s:{s:{s:s, s:o}}}", "main", "@GENERATION@", "files",
                        "certificates", "backends", "d:i:s:80", "section", "backend x\n",
                        "endpoints", endpoints);
}

static void test_slots(void **state) {
        static const struct {
                const char *before, *after, *commands;
                bool grown;
        } rows[] = {
                        {"10.0.0.1:80", "10.0.0.1:80", "", false},
                        {"10.0.0.1:80", "", "set server d:i:s:80/s1 state maint;", false},
                        {"", "10.0.0.1:80",
                                        "set server d:i:s:80/s1 addr 10.0.0.1 port 80;"
                                        "set server d:i:s:80/s1 state ready;",
                                        false},
                        /* The new one goes where nothing was; the old one keeps its place. */
                        {"10.0.0.1:80 10.0.0.2:80", "10.0.0.2:80 10.0.0.3:80",
                                        "set server d:i:s:80/s1 state maint;"
                                        "set server d:i:s:80/s3 addr 10.0.0.3 port 80;"
                                        "set server d:i:s:80/s3 state ready;",
                                        false},
                        {"10.0.0.1:80", "[2001:db8::1]:8080",
                                        "set server d:i:s:80/s1 state maint;"
                                        "set server d:i:s:80/s2 addr 2001:db8::1 port 8080;"
                                        "set server d:i:s:80/s2 state ready;",
                                        false},
                        /* No free one is left: a slot is used again. */
                        {"1.0.0.1:1 1.0.0.2:1 1.0.0.3:1",
                                        "1.0.0.4:1 1.0.0.5:1 1.0.0.6:1 1.0.0.7:1 "
                                        "1.0.0.8:1 1.0.0.9:1 1.1.0.1:1 1.1.0.2:1",
                                        NULL, false},
                        {"1.0.0.1:1", "1.0.0.1:1 1.0.0.2:1 1.0.0.3:1 1.0.0.4:1 1.0.0.5:1", NULL,
                                        true},
        };

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_json_ json_t *a = with_endpoints(rows[i].before),
                                      *b = with_endpoints(rows[i].after), *commands = json_array(),
                                      *from = NULL, *to = NULL;
                _cleanup_buf_ struct buf text = {0};
                const json_t *v;
                bool grown;
                size_t j;

                assert_true(ingress_same_structure(a, b));
                from = ingress_slots(a, /* previous= */ NULL, &grown);
                assert_false(grown);
                to = ingress_slots(b, from, &grown);
                assert_int_equal(grown, rows[i].grown);
                ingress_commands(from, to, commands);
                json_array_foreach (commands, j, v)
                        buf_printf(&text, "%s;", json_string_value(v));
                if (rows[i].commands)
                        assert_string_equal(strempty(text.data), rows[i].commands);
        }
}

/* Each endpoint has exactly one slot, through many changes. */
static void test_slots_hold(void **state) {
        _cleanup_json_ json_t *slots = NULL;

        for (unsigned step = 0; step < 200; step++) {
                _cleanup_buf_ struct buf list = {0};
                _cleanup_json_ json_t *d = NULL, *next = NULL, *seen = json_object();
                const json_t *v;
                unsigned n = (step * 7919u) % 9;
                bool grown;
                size_t i;

                for (unsigned k = 0; k < n; k++)
                        buf_printf(&list, "10.0.%u.1:80 ", (step * 31u + k * 17u) % 13 + k * 16);
                d = with_endpoints(strempty(list.data));
                next = ingress_slots(d, slots, &grown);
                json_array_foreach (json_object_get(next, "d:i:s:80"), i, v)
                        if (json_is_string(v)) {
                                assert_null(json_object_get(seen, json_string_value(v)));
                                json_object_set_new(seen, json_string_value(v), json_true());
                        }
                assert_int_equal(json_object_size(seen), n);
                json_decref(slots);
                slots = TAKE_PTR(next);
        }
}

static void test_structure(void **state) {
        static const struct {
                const char *path, *value;
                bool same;
        } rows[] = {{"main", "other", false}, {"findings", "x", true}, {"files.exact", "x", false},
                        {"certificates.a", "x", false}, {"backends.d:i:s:80.section", "x", false}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_json_ json_t *a = with_endpoints("1.1.1.1:1"),
                                      *b = with_endpoints("1.1.1.2:2");

                assert_int_equal(json_set_str(b, rows[i].path, rows[i].value), 0);
                assert_int_equal(ingress_same_structure(a, b), rows[i].same);
        }
}

/* A certificate that haproxy refused is left out until the Secret changes. */
static void test_refused(void **state) {
        _cleanup_free_ char *yaml = read_case("tls-wildcard");
        _cleanup_json_ json_t *refused = json_pack("{s:s}", "shop/shop-tls@5", "key too small"),
                              *other = json_pack("{s:s}", "shop/shop-tls@4", "key too small"),
                              *d = NULL, *e = NULL;
        struct objects_of_case c;

        case_init(&c, yaml);
        c.view.refused = refused;
        d = ingress_decide(&c.view);
        assert_null(json_object_get(json_at(d, "certificates"), "shop_shop-tls.pem"));
        assert_int_equal(json_array_size(json_at(d, "findings")), 1);
        c.view.refused = other;
        e = ingress_decide(&c.view);
        assert_non_null(json_object_get(json_at(e, "certificates"), "shop_shop-tls.pem"));
        case_done(&c);
}

/* Only what is about Secrets as they are now is worth its place, and that must stay. */
static void test_forget_refused(void **state) {
        _cleanup_free_ char *yaml = read_case("tls-wildcard");
        _cleanup_json_ json_t *refused = json_pack("{s:s, s:s, s:s, s:s}", "shop/shop-tls@5", "x",
                        "shop/shop-tls@4", "x", "shop/gone@5", "x", "bad", "x");
        struct objects_of_case c;

        case_init(&c, yaml);
        ingress_forget_refused(&c.view, refused);
        assert_int_equal(json_object_size(refused), 1);
        assert_non_null(json_object_get(refused, "shop/shop-tls@5"));
        case_done(&c);
}

static json_t *find_kind(struct objects_of_case *c, const char *kind) {
        for (size_t i = 0; i < c->docs.count; i++)
                if (streq(object_kind(c->docs.items[i].value), kind))
                        return c->docs.items[i].value;
        return NULL;
}

/* haproxy refuses lines of more than 64 KiB or 2,048 words. */
static void test_many_names(void **state) {
        static const char label[] =
                        "a-label-of-63-characters-that-makes-the-line-as-long-as-it-gets";
        _cleanup_free_ char *yaml = read_case("tls-wildcard");
        _cleanup_json_ json_t *hosts = json_array(), *d = NULL;
        _cleanup_strv_free_ char **lines = NULL;
        struct objects_of_case c;
        size_t words = 0;

        case_init(&c, yaml);
        for (size_t i = 0; i < 3000; i++)
                json_array_append_new(hosts,
                                json_sprintf("h%zu.%s.%s.%s.example.org", i, label, label, label));
        json_object_set(json_array_get(json_at_mut(find_kind(&c, "Ingress"), "spec.tls"), 0),
                        "hosts", hosts);
        d = ingress_decide(&c.view);
        assert_int_equal(strv_split(json_string_value(json_object_get(
                                                    json_at(d, "files"), "certificates.list")),
                                         "\n", &lines),
                        0);
        for (char **line = lines; *line; line++) {
                _cleanup_strv_free_ char **list = NULL;

                assert_true(strlen(*line) < 60000);
                assert_int_equal(strv_split(*line, " ", &list), 0);
                assert_true(strv_length(list) < 2000);
                words += strv_length(list) - 3;
        }
        assert_int_equal(words, 3000);
        case_done(&c);
}

/* Names of files have an end: such a Secret must not keep all the others from being written. */
static void test_long_name(void **state) {
        _cleanup_free_ char *yaml = read_case("tls-wildcard");
        _cleanup_json_ json_t *d = NULL;
        struct objects_of_case c;
        char name[254] = {0};

        memset(name, 'a', 253);
        case_init(&c, yaml);
        json_set_str(find_kind(&c, "Secret"), "metadata.name", name);
        json_object_set_new(json_array_get(json_at_mut(find_kind(&c, "Ingress"), "spec.tls"), 0),
                        "secretName", json_string(name));
        d = ingress_decide(&c.view);
        assert_int_equal(json_object_size(json_at(d, "certificates")), 1);
        assert_string_equal(json_str_or(json_array_get(json_at(d, "findings"), 0), "reason", ""),
                        "InvalidCertificate");
        case_done(&c);
}

static const json_t *any_secret(void *data, const char *ns, const char *name) {
        return find_kind(data, "Secret");
}

/* A namespace gets a share of the folder, and no more. */
static void test_many_certificates(void **state) {
        enum { SECRETS = 40 };
        _cleanup_free_ char *yaml = read_case("tls-wildcard"), *chain = NULL, *encoded = NULL;
        _cleanup_json_ json_t *tls = json_array(), *d = NULL;
        _cleanup_buf_ struct buf long_chain = {0};
        struct objects_of_case c;
        const json_t *v;
        const char *file;
        size_t i, sum = 0, n;
        json_t *secret;

        case_init(&c, yaml);
        secret = find_kind(&c, "Secret");
        assert_int_equal(base64_decode(json_string_value(json_object_get(
                                                       json_object_get(secret, "data"), "tls.crt")),
                                         (void **)&chain, &n),
                        0);
        while (long_chain.size < 150 << 10)
                buf_append_str(&long_chain, chain);
        encoded = base64_encode(long_chain.data, long_chain.size);
        json_object_set_new(json_object_get(secret, "data"), "tls.crt", json_string(encoded));
        for (i = 0; i < SECRETS; i++)
                json_array_append_new(tls, json_pack("{s:[o], s:o}", "hosts",
                                                           json_sprintf("h%zu.example.org", i),
                                                           "secretName", json_sprintf("s%zu", i)));
        json_set_at(find_kind(&c, "Ingress"), "spec.tls", json_incref(tls));
        c.view.secret = any_secret;
        c.view.data = &c;
        d = ingress_decide(&c.view);
        json_object_each (json_at(d, "certificates"), file, v)
                sum += strlen(json_string_value(v));
        assert_true(sum > 3 << 20 && sum < 4 << 20);
        json_array_foreach (json_at(d, "findings"), i, v)
                assert_non_null(strstr(json_str_or(v, "message", ""), "more than 4 MiB"));
        assert_true(i > 5 && i < SECRETS / 2);
        case_done(&c);
}

static void note_file(const char *file, const char *why, void *userdata) {
        json_object_set_new(userdata, file, json_string(why));
}

/* The certificate that haproxy names is the one that is left out, whatever its Secret's name. */
static void test_check_output(void **state) {
        static const char head[] = "[ALERT]    (7) : config : parsing [/r/config-1/haproxy.cfg:9] "
                                   ": 'bind 127.0.0.1:1' in section 'frontend' : 'crt-list' : "
                                   "error processing line 2 in file '/r/config-1/certificates.list'"
                                   " : unable to load the certificate ";
        static const struct {
                const char *end, *file;
        } rows[] = {{"'/r/config-1/certs/shop_a.pem'.\n", "shop_a.pem"},
                        {"from /r/config-1/certs/shop_a.pem.\n", "shop_a.pem"},
                        {"'/r/config-1/certs/shop_x.pem.y.pem'.\n", "shop_x.pem.y.pem"},
                        {"'/r/config-1/certs/'.\n", NULL},
                        {"'/r/config-1/certs/../x.pem'.\n", NULL}, {"somewhere\n", NULL}};
        char dir[] = "/tmp/test-ingress-XXXXXX";

        assert_non_null(mkdtemp(dir));
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                _cleanup_free_ char *path = strformat("%s/check.log", dir), *text = NULL,
                                    *output = strformat("%s%s", head, rows[i].end);
                _cleanup_json_ json_t *files = json_object();

                assert_int_equal(file_write_atomic(path, output, strlen(output), 0600), 0);
                assert_int_equal(folder_read_check(dir, note_file, files, &text), !!rows[i].file);
                if (rows[i].file)
                        assert_non_null(startswith(strempty(json_string_value(json_object_get(
                                                                   files, rows[i].file))),
                                        "unable to load the certificate "));
        }
        assert_int_equal(remove_tree(dir), 0);
}

/* The administrator's choices: a default certificate, and hosts that several namespaces share. */
static void test_options(void **state) {
        _cleanup_free_ char *yaml = read_case("tls-other-namespace");
        _cleanup_json_ json_t *d = NULL;
        struct objects_of_case c;

        case_init(&c, yaml);
        c.options.default_certificate = "evil/two";
        c.options.share_hosts = true;
        d = ingress_decide(&c.view);
        assert_non_null(startswith(json_string_value(json_object_get(
                                                   json_at(d, "files"), "certificates.list")),
                        "@DIR@/certs/evil_two.pem "));
        assert_null(json_object_get(json_at(d, "certificates"), "default.pem"));
        assert_string_equal(json_str_or(json_array_get(json_at(d, "findings"), 0), "reason", ""),
                        "CertificateConflict");
        case_done(&c);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens),
                        cmocka_unit_test(test_haproxy_accepts_them), cmocka_unit_test(test_slots),
                        cmocka_unit_test(test_slots_hold), cmocka_unit_test(test_structure),
                        cmocka_unit_test(test_refused), cmocka_unit_test(test_forget_refused),
                        cmocka_unit_test(test_many_names), cmocka_unit_test(test_long_name),
                        cmocka_unit_test(test_many_certificates),
                        cmocka_unit_test(test_check_output), cmocka_unit_test(test_options)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
