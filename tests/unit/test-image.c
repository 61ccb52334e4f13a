/* The pure parts of images: references, documents, credentials, settings, headers, users, garbage
 * collection. Tables of cases. */
#include "tests/unit/unit.h"

#include "lib/timefmt.h"
#include "lib/yaml.h"
#include "nodeagent/image/beneath.h"
#include "nodeagent/image/cause.h"
#include "nodeagent/image/challenge.h"
#include "nodeagent/image/credentials.h"
#include "nodeagent/image/digest.h"
#include "nodeagent/image/gc.h"
#include "nodeagent/image/job.h"
#include "nodeagent/image/limits.h"
#include "nodeagent/image/manifest.h"
#include "nodeagent/image/reference.h"
#include "nodeagent/image/settings.h"
#include "nodeagent/image/user.h"
#include "nodeagent/plan/unit-props.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define D "sha256:" HEX64
#define D2 "sha256:ff23456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A value written as YAML. */
static json_t *value(const char *text) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        int r = yaml_parse(text, strlen(text), &docs, &p);

        if (r < 0)
                print_message("%s: %s\n", text, p.message);
        assert_int_equal(r, 0);
        assert_int_equal(docs.count, 1);
        return json_ref(docs.items[0].value);
}

/* --- references --- */

static void test_references(void **state) {
        static const struct {
                const char *text, *whole;
        } good[] = {
                        {"nginx", "docker.io/library/nginx:latest"},
                        {"nginx:1.25", "docker.io/library/nginx:1.25"},
                        {"team/app", "docker.io/team/app:latest"},
                        {"docker.io/nginx", "docker.io/library/nginx:latest"},
                        {"index.docker.io/library/nginx:1", "docker.io/library/nginx:1"},
                        {"localhost/app", "localhost/app:latest"},
                        {"localhost:5000/app:v1", "localhost:5000/app:v1"},
                        {"registry.lan/a/b/c", "registry.lan/a/b/c:latest"},
                        {"Registry/app", "Registry/app:latest"},
                        {"10.0.0.5:5000/x:y", "10.0.0.5:5000/x:y"},
                        {"[fd00::1]:5000/x", "[fd00::1]:5000/x:latest"},
                        {"a.b/c__d/e-f---g.h:T_1.x-y", "a.b/c__d/e-f---g.h:T_1.x-y"},
                        {"nginx@" D, "docker.io/library/nginx@" D},
                        {"nginx:1@" D, "docker.io/library/nginx@" D},
                        {"x.lan/n@sha512:" HEX64 HEX64, "x.lan/n@sha512:" HEX64 HEX64},
        };

        for (size_t i = 0; i < ELEMENTS(good); i++) {
                _cleanup_image_reference_ struct image_reference r = {0};
                _cleanup_problem_ struct problem p = {0};
                _cleanup_free_ char *whole = NULL;

                assert_int_equal(image_reference_parse(good[i].text, &r, &p), 0);
                whole = image_reference_text(&r);
                assert_string_equal(whole, good[i].whole);
        }
}

static void test_bad_references(void **state) {
        static const struct {
                const char *text, *why;
        } bad[] = {
                        {"", "lower-case letters"},
                        {"Nginx", "must be in lower case"},
                        {"a b", "lower-case letters"},
                        {"nginx:", "a tag has"},
                        {"nginx:-x", "a tag has"},
                        {"nginx@sha256:12", "after '@'"},
                        {"nginx@md5:" HEX64, "after '@'"},
                        {"nginx@sha256:" HEX64 "0", "after '@'"},
                        {"nginx@", "after '@'"},
                        {HEX64, "are an id"},
                        {"a..b/c", "not a host"},
                        {"reg.lan:port/x", "not a host"},
                        {"reg.lan:123456/x", "not a host"},
                        {"-a.lan/x", "not a host"},
                        {"team//app", "lower-case letters"},
                        {"team/app_", "lower-case letters"},
                        {"team/a___b", "lower-case letters"},
                        {"team/a..b", "lower-case letters"},
                        {"team/", "lower-case letters"},
                        {"../../etc", "not a host"},
        };
        _cleanup_free_ char *longest = strformat("a.lan/%0*d", 249, 1),
                            *too_long = strformat("a.lan/%0*d", 250, 1);
        _cleanup_image_reference_ struct image_reference r = {0};
        _cleanup_problem_ struct problem long_problem = {0};

        for (size_t i = 0; i < ELEMENTS(bad); i++) {
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(image_reference_parse(bad[i].text, &r, &p), -EINVAL);
                assert_string_equal(p.reason, "InvalidImageName");
                if (!strstr(p.message, bad[i].why))
                        fail_msg("%s: %s", bad[i].text, p.message);
        }
        assert_int_equal(image_reference_parse(too_long, &r, &long_problem), -EINVAL);
        assert_int_equal(image_reference_parse(longest, &r, &long_problem), 0);
}

static void test_reference_kinds(void **state) {
        static const struct {
                const char *text;
                bool is, latest;
        } cases[] = {{"nginx", true, true}, {"nginx:latest", true, true}, {"nginx:1", true, false},
                        {"nginx@" D, true, false}, {"nginx:latest@" D, true, false},
                        {"host", false, false}, {"", false, false}, {"/srv/x", false, false}};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_image_reference_ struct image_reference r = {0};
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(image_reference_is(cases[i].text), cases[i].is);
                if (!cases[i].is)
                        continue;
                assert_int_equal(image_reference_parse(cases[i].text, &r, &p), 0);
                assert_int_equal(image_reference_is_latest(&r), cases[i].latest);
        }
}

/* --- digests --- */

static void test_digests(void **state) {
        assert_true(image_digest_matches("sha256:"
                                         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f"
                                         "20015ad",
                        "abc", 3));
        assert_true(image_digest_matches(
                        "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
                        "abc", 3));
        assert_false(image_digest_matches(D, "abc", 3));
        assert_false(image_digest_matches("sha256:12", "abc", 3));
        assert_null(image_hash_new("sha256:xy"));
}

/* --- documents --- */

static const struct image_platform amd64 = {"linux", "amd64", ""}, armv7 = {"linux", "arm", "v7"},
                                   arm64 = {"linux", "arm64", "v8"};

#define ENTRY(os, arch, variant, digest) \
        "- {mediaType: application/vnd.oci.image.manifest.v1+json, size: 3, digest: '" digest \
        "', platform: {os: " os ", architecture: " arch ", variant: '" variant "'}}\n"

static void test_indexes(void **state) {
        static const char first[] = D, second[] = D2;
        static const struct {
                const char *entries;
                const struct image_platform *platform;
                const char *digest; /* NULL: none */
        } cases[] = {
                        {ENTRY("linux", "arm64", "v8", D) ENTRY("linux", "amd64", "", D2), &amd64,
                                        second},
                        {ENTRY("windows", "amd64", "", D) ENTRY("linux", "amd64", "", D2), &amd64,
                                        second},
                        {ENTRY("linux", "arm64", "", D), &arm64, first},
                        {ENTRY("linux", "arm", "v6", D) ENTRY("linux", "arm", "v7", D2), &armv7,
                                        second},
                        {ENTRY("linux", "arm", "v6", D), &armv7, first},
                        {ENTRY("linux", "arm", "v8", D), &armv7, NULL},
                        {ENTRY("linux", "amd64", "v3", D) ENTRY("linux", "amd64", "v1", D2), &amd64,
                                        second},
                        {ENTRY("unknown", "unknown", "", D), &amd64, NULL},
                        {ENTRY("linux", "s390x", "", D), &amd64, NULL},
                        {"- {size: 3, digest: '" D "'}\n", &amd64, first},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = strformat("manifests:\n%s", cases[i].entries);
                _cleanup_json_ json_t *index = value(text);
                _cleanup_problem_ struct problem p = {0};
                struct image_blob blob = {0};
                int r = image_index_choose(index, cases[i].platform, &blob, &p);

                assert_true(image_document_is_index(index));
                if (cases[i].digest) {
                        assert_int_equal(r, 0);
                        assert_string_equal(blob.digest, cases[i].digest);
                } else {
                        assert_int_equal(r, -ENOENT);
                        assert_int_equal(image_problem_cause(&p), IMAGE_CAUSE_PLATFORM);
                }
                free(blob.digest);
        }
}

#define OCI "application/vnd.oci.image."
#define CONFIG "config: {mediaType: " OCI "config.v1+json, size: 2, digest: '" D "'}\n"

static void test_manifests(void **state) {
        static const struct {
                const char *text;
                int layers;      /* -1: refused */
                const char *why; /* NULL: not refused */
        } cases[] = {
                        {"schemaVersion: 2\n" CONFIG "layers: []", 0, NULL},
                        {"schemaVersion: 2\n" CONFIG "layers: [{mediaType: " OCI
                         "layer.v1.tar+zstd, size: 1, digest: '" D2 "'}]",
                                        1, NULL},
                        {"schemaVersion: 2\nmediaType: application/vnd.docker.distribution.manifest"
                         ".v2+json\nconfig: {mediaType: application/vnd.docker.container.image.v1"
                         "+json, size: 2, digest: '" D
                         "'}\nlayers: [{mediaType: application/vnd.docker.image.rootfs.diff.tar.gzi"
                         "p, size: 9, digest: '" D "'}]",
                                        1, NULL},
                        {"schemaVersion: 1\nfsLayers: []", -1, "schema 1"},
                        {"{}", -1, "is not the manifest"},
                        {"[]", -1, "is not the manifest"},
                        {"schemaVersion: 2\nconfig: {mediaType: application/vnd.cncf.helm.config.v1"
                         "+json}\nlayers: []",
                                        -1, "helm"},
                        {"schemaVersion: 2\n" CONFIG "layers: [{mediaType: " OCI
                         "layer.v1.tar+encrypted, size: 1, digest: '" D2 "'}]",
                                        -1, "encrypted"},
                        {"schemaVersion: 2\n" CONFIG "layers: [{mediaType: " OCI
                         "layer.v1.tar, size: -1, digest: '" D2 "'}]",
                                        -1, "without a size"},
                        {"schemaVersion: 2\n" CONFIG "layers: [{mediaType: " OCI
                         "layer.v1.tar, size: 1, digest: '../../x'}]",
                                        -1, "without a sha256"},
                        {"schemaVersion: 2\nconfig: {mediaType: " OCI
                         "config.v1+json, size: 5000000, digest: '" D "'}\nlayers: []",
                                        -1, "4 MiB"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *document = value(cases[i].text);
                _cleanup_image_manifest_ struct image_manifest m = {0};
                _cleanup_problem_ struct problem p = {0};
                int r = image_manifest_parse(document, &m, &p);

                assert_false(image_document_is_index(document));
                assert_int_equal(r, cases[i].why ? -EINVAL : 0);
                if (cases[i].why && !strstr(p.message, cases[i].why))
                        fail_msg("%s: %s", cases[i].why, p.message);
                if (!cases[i].why)
                        assert_int_equal(m.layer_count, cases[i].layers);
        }
}

static void test_config(void **state) {
        _cleanup_json_ json_t *document = value(
                        "{os: linux, architecture: amd64, created: '2024-01-02T03:04:05Z', "
                        "config: {Entrypoint: [/a, b], Cmd: null, Env: [A=b, X, '=y', B=], User: "
                        "'1:2', WorkingDir: srv, StopSignal: SIGQUIT, Volumes: {/v/b: {}, /v/a: "
                        "{}}, ExposedPorts: {80/tcp: {}}, Labels: {a: b}}, rootfs: {diff_ids: ['" D
                        "']}, history: []}");
        _cleanup_json_ json_t *got = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;

        assert_int_equal(image_config_parse(document, 1, &amd64, &got, &p), 0);
        text = json_text_sorted(got);
        assert_string_equal(text,
                        "{\"architecture\":\"amd64\",\"config\":{\"Entrypoint\":[\"/a\",\"b\"],"
                        "\"Env\":[\"A=b\",\"B=\"],\"ExposedPorts\":[\"80/tcp\"],"
                        "\"StopSignal\":\"SIGQUIT\",\"User\":\"1:2\",\"Volumes\":[\"/v/a\",\"/v/"
                        "b\"],\"WorkingDir\":\"/srv\"},\"created\":\"2024-01-02T03:04:05Z\","
                        "\"layers\":[\"" D "\"],\"os\":\"linux\"}");
}

static void test_bad_configs(void **state) {
        static const struct {
                const char *text;
                enum image_cause cause;
        } cases[] = {
                        {"[]", IMAGE_CAUSE_INVALID},
                        {"{}", IMAGE_CAUSE_INVALID},
                        {"{os: windows, rootfs: {diff_ids: ['" D "']}}", IMAGE_CAUSE_PLATFORM},
                        {"{architecture: arm64, rootfs: {diff_ids: ['" D "']}}",
                                        IMAGE_CAUSE_PLATFORM},
                        {"{rootfs: {diff_ids: [x]}}", IMAGE_CAUSE_INVALID},
                        {"{rootfs: {diff_ids: ['" D "', '" D "']}}", IMAGE_CAUSE_INVALID},
                        {"{config: {Cmd: ls}, rootfs: {diff_ids: ['" D "']}}", IMAGE_CAUSE_INVALID},
                        {"{config: {Env: [1]}, rootfs: {diff_ids: ['" D "']}}",
                                        IMAGE_CAUSE_INVALID},
                        {"{config: {Volumes: {/a/../../b: {}}}, rootfs: {diff_ids: ['" D "']}}",
                                        IMAGE_CAUSE_INVALID},
                        {"{config: {Volumes: {a: {}}}, rootfs: {diff_ids: ['" D "']}}",
                                        IMAGE_CAUSE_INVALID},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *document = value(cases[i].text), *got = NULL;
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(image_config_parse(document, 1, &amd64, &got, &p), -EINVAL);
                assert_int_equal(image_problem_cause(&p), cases[i].cause);
        }
}

/* --- credentials --- */

/* The names of the credentials, joined by blanks. */
static char *users(const char *sources, const char *registry, const char *repository) {
        _cleanup_json_ json_t *list = value(sources);
        _cleanup_image_credentials_ struct image_credentials found = {0};
        char *text = strdup("");

        assert_int_equal(image_credentials_find(list, registry, repository, &found), 0);
        for (size_t i = 0; i < found.count; i++) {
                char *longer = strformat("%s%s%s", text, i ? " " : "",
                                found.items[i].username ? found.items[i].username : "-");

                free(text);
                text = longer;
        }
        return text;
}

static void test_credentials(void **state) {
        static const char sources[] =
                        "- auths:\n"
                        "    'https://index.docker.io/v1/': {username: hub, password: p}\n"
                        "    registry.lan: {username: host, password: p}\n"
                        "    registry.lan/team: {username: team, password: p}\n"
                        "    '*.example.com': {username: star, password: p}\n"
                        "    a.example.com: {username: exact, password: p}\n"
                        "    'registry.lan:5000': {auth: cG9ydDphOmI=}\n"
                        "    'https://secure.lan/v2/': {username: v2, password: p}\n"
                        "    token.lan: {identitytoken: t}\n"
                        "    empty.lan: {}\n"
                        "    bad.lan: {auth: '%%%'}\n"
                        "- {auths: {registry.lan: {username: second, password: p}}}\n"
                        "- {old.lan: {username: old, password: p}}\n"
                        "- 5\n";
        static const struct {
                const char *registry, *repository, *users;
        } cases[] = {
                        {"docker.io", "library/nginx", "hub"},
                        {"registry.lan", "x", "host second"},
                        {"registry.lan", "team/x", "team host second"},
                        {"registry.lan", "team2/x", "host second"},
                        {"registry.lan:5000", "x", "port"},
                        {"registry.lan:5001", "x", ""},
                        {"a.example.com", "x", "exact star"},
                        {"b.example.com", "x", "star"},
                        {"a.b.example.com", "x", ""},
                        {"example.com", "x", ""},
                        {"secure.lan", "x", "v2"},
                        {"token.lan", "x", "-"},
                        {"empty.lan", "x", ""},
                        {"bad.lan", "x", ""},
                        {"old.lan", "x", "old"},
                        {"other.lan", "x", ""},
        };
        _cleanup_json_ json_t *list = value(sources);
        _cleanup_image_credentials_ struct image_credentials found = {0};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *got = users(sources, cases[i].registry, cases[i].repository);

                assert_string_equal(got, cases[i].users);
        }
        assert_int_equal(image_credentials_find(list, "registry.lan:5000", "x", &found), 0);
        assert_string_equal(found.items[0].password, "a:b");
        image_credentials_done(&found);
        assert_int_equal(image_credentials_find(NULL, "x.lan", "x", &found), 0);
}

/* --- settings --- */

static void test_settings(void **state) {
        static const char text[] =
                        "registries:\n"
                        "- match: docker.io\n"
                        "  mirrors: ['https://mirror.lan:5000/hub/', 'http://10.0.0.5']\n"
                        "- {match: docker.io/secret, mirrors: ['https://only.lan'], onlyMirrors: "
                        "true}\n"
                        "- {match: plain.lan, http: true}\n"
                        "- {match: 'localhost:5001', http: false}\n"
                        "- {match: any.lan, skipVerify: true}\n";
        static const struct {
                const char *registry, *repository, *urls;
        } cases[] = {
                        {"docker.io", "library/nginx",
                                        "https://mirror.lan:5000 hub/library/nginx|http://10.0.0.5 "
                                        "library/nginx|https://registry-1.docker.io library/nginx"},
                        {"docker.io", "secret/x", "https://only.lan secret/x"},
                        {"plain.lan", "x", "http://plain.lan x"},
                        {"localhost:5000", "x", "http://localhost:5000 x"},
                        {"localhost:5001", "x", "https://localhost:5001 x"},
                        {"127.0.0.1:5000", "x", "http://127.0.0.1:5000 x"},
                        {"[::1]:5000", "x", "http://[::1]:5000 x"},
                        {"127.example.com", "x", "https://127.example.com x"},
                        {"other.lan", "a/b", "https://other.lan a/b"},
        };
        _cleanup_json_ json_t *settings = NULL;
        _cleanup_problem_ struct problem p = {0};
        bool skip;

        assert_int_equal(image_settings_parse(text, strlen(text), &settings, &p), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_image_endpoints_ struct image_endpoints e = {0};
                char got[512] = "";

                assert_int_equal(image_endpoints_of(settings, cases[i].registry,
                                                 cases[i].repository, &e),
                                0);
                for (size_t k = 0; k < e.count; k++)
                        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s %s",
                                        k ? "|" : "", e.items[k].url, e.items[k].repository);
                assert_string_equal(got, cases[i].urls);
        }
        assert_null(image_settings_ca(settings, "any.lan", &skip));
        assert_true(skip);
        assert_null(image_settings_ca(settings, "other.lan", &skip));
        assert_false(skip);
}

static void test_bad_settings(void **state) {
        static const struct {
                const char *text, *why;
        } cases[] = {
                        {"[]", "one member, registries"},
                        {"registries: 5", "one member, registries"},
                        {"registries: []\nmore: 1", "one member, registries"},
                        {"registries:\n- {}", "line 2, registries[0]: each entry"},
                        {"registries:\n- {match: a.lan, mirror: x}", "unknown member"},
                        {"registries:\n- {match: 'https://a.lan'}", "match must be"},
                        {"registries:\n- {match: a.lan, mirrors: [b.lan]}", "a mirror must be"},
                        {"registries:\n- {match: a.lan, mirrors: ['https://u:p@b.lan']}",
                                        "a mirror must be"},
                        {"registries:\n- {match: a.lan, http: 'yes please'}", "true or false"},
                        {"registries:\n- {match: a.lan, ca: x.pem}", "absolute path"},
                        {"registries:\n- {match: a.lan, onlyMirrors: true}", "needs at least one"},
                        {"a: [", "line"},
        };
        _cleanup_json_ json_t *empty = NULL;
        _cleanup_problem_ struct problem none = {0};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_json_ json_t *settings = NULL;
                _cleanup_problem_ struct problem p = {0};

                assert_int_equal(image_settings_parse(cases[i].text, strlen(cases[i].text),
                                                 &settings, &p),
                                -EINVAL);
                if (!strstr(p.message, cases[i].why))
                        fail_msg("%s: %s", cases[i].text, p.message);
        }
        assert_int_equal(image_settings_parse("# nothing\n", 10, &empty, &none), 0);
}

/* --- headers and URLs --- */

static void test_challenges(void **state) {
        static const struct {
                const char *header;
                int found;
                bool basic;
                const char *realm, *service, *scope;
        } cases[] = {
                        {"Bearer realm=\"https://auth.lan/token\",service=\"registry.lan\",scope="
                         "\"repository:a/b:pull\"",
                                        1, false, "https://auth.lan/token", "registry.lan",
                                        "repository:a/b:pull"},
                        {"bearer realm=https://a/t , service=x", 1, false, "https://a/t", "x",
                                        NULL},
                        {"Basic realm=\"a, \\\"b\\\"\"", 1, true, "a, \"b\"", NULL, NULL},
                        {"Basic", 1, true, NULL, NULL, NULL},
                        {"Negotiate, Basic realm=x, Bearer realm=\"https://t\"", 1, false,
                                        "https://t", NULL, NULL},
                        {"Negotiate abc==", 0, false, NULL, NULL, NULL},
                        {"Bearer", 0, false, NULL, NULL, NULL},
                        {"", 0, false, NULL, NULL, NULL},
                        {"\"\"\"", 0, false, NULL, NULL, NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_challenge_ struct challenge c = {0};

                assert_int_equal(challenge_parse(cases[i].header, &c), cases[i].found);
                assert_int_equal(c.basic, cases[i].basic);
                assert_true(streq_ptr(c.realm, cases[i].realm));
                assert_true(streq_ptr(c.service, cases[i].service));
                assert_true(streq_ptr(c.scope, cases[i].scope));
        }
}

static void test_redirects(void **state) {
        static const struct {
                const char *base, *location;
                int result;
                const char *to_base, *to_path;
        } cases[] = {
                        {"https://r.lan", "https://cdn.lan:8443/a?b=c#d", 0, "https://cdn.lan:8443",
                                        "/a?b=c"},
                        {"https://r.lan:1", "/x/y", 0, "https://r.lan:1", "/x/y"},
                        {"https://r.lan", "//cdn.lan/x", 0, "https://cdn.lan", "/x"},
                        {"http://r.lan", "https://cdn.lan?q", 0, "https://cdn.lan", "/?q"},
                        {"http://r.lan", "http://cdn.lan", 0, "http://cdn.lan", "/"},
                        {"https://r.lan", "http://cdn.lan/x", -EPERM, NULL, NULL},
                        {"https://r.lan", "https://user:pw@cdn.lan/x", -EINVAL, NULL, NULL},
                        {"https://r.lan", "ftp://cdn.lan/x", -EINVAL, NULL, NULL},
                        {"https://r.lan", "file:///etc/passwd", -EINVAL, NULL, NULL},
                        {"https://r.lan", "https:///x", -EINVAL, NULL, NULL},
                        {"https://r.lan", "https://a\r\nX: y/", -EINVAL, NULL, NULL},
                        {"https://r.lan", "blob", -EINVAL, NULL, NULL},
        };
        _cleanup_free_ char *path = strdup("/token");

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *base = NULL, *at = NULL;

                assert_int_equal(challenge_redirect(cases[i].base, cases[i].location, &base, &at),
                                cases[i].result);
                assert_true(streq_ptr(base, cases[i].to_base));
                assert_true(streq_ptr(at, cases[i].to_path));
        }
        assert_int_equal(challenge_add_query(&path, "service", "a b"), 0);
        assert_int_equal(challenge_add_query(&path, "scope", "r:x/y:pull"), 0);
        assert_string_equal(path, "/token?service=a%20b&scope=r%3Ax%2Fy%3Apull");
}

/* --- paths --- */

static void test_paths(void **state) {
        static const struct {
                const char *path, *clean;
                int result;
        } cases[] = {
                        {"a/b", "a/b", 0},
                        {"./a//b/./c/", "a/b/c", 0},
                        {"/etc/passwd", "etc/passwd", 0},
                        {"./", "", 0},
                        {"", "", 0},
                        {"a..b/..c", "a..b/..c", 0},
                        {"..", NULL, -EPERM},
                        {"a/../b", NULL, -EPERM},
                        {"/..", NULL, -EPERM},
                        {"a/b/..", NULL, -EPERM},
                        {"1/2/3/4/5", NULL, -ENAMETOOLONG},
                        {"aaaaaaaaaaaaaaaaaaaaa", NULL, -ENAMETOOLONG},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *clean = NULL;

                assert_int_equal(beneath_path(cases[i].path, 20, 4, &clean), cases[i].result);
                assert_true(streq_ptr(clean, cases[i].clean));
        }
}

/* --- users --- */

static void test_users(void **state) {
        static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                                     "broken\n"
                                     "bad:x:huge:0::/:\n"
                                     "nginx:x:101:102:nginx:/var/cache/nginx:/sbin/nologin\n"
                                     "nohome:x:103:103:::\n",
                          group[] = "root:x:0:\nwww:x:33:nginx,other\nadm:x:4:other,nginx\n"
                                    "nginx:x:102:nginx\nothers:x:9:nginx2";
        static const struct {
                const char *user;
                int result;
                uint32_t uid, gid;
                const char *groups, *name, *home;
        } cases[] = {
                        {"", 0, 0, 0, "", "root", "/root"},
                        {"0", 0, 0, 0, "", "root", "/root"},
                        {"nginx", 0, 101, 102, "33 4", "nginx", "/var/cache/nginx"},
                        {"101", 0, 101, 102, "33 4", "nginx", "/var/cache/nginx"},
                        {"nginx:www", 0, 101, 33, "", "nginx", "/var/cache/nginx"},
                        {"101:7", 0, 101, 7, "", "nginx", "/var/cache/nginx"},
                        {"nginx:", 0, 101, 102, "33 4", "nginx", "/var/cache/nginx"},
                        {"5000", 0, 5000, 0, "", "", "/"},
                        {"5000:adm", 0, 5000, 4, "", "", "/"},
                        {"nohome", 0, 103, 103, "", "nohome", "/"},
                        {"nobody", -ENOENT, 0, 0, NULL, NULL, NULL},
                        {"nginx:none", -ENOENT, 0, 0, NULL, NULL, NULL},
                        {"4294967295", -ENOENT, 0, 0, NULL, NULL, NULL},
                        {"-1", -ENOENT, 0, 0, NULL, NULL, NULL},
                        {"broken", -ENOENT, 0, 0, NULL, NULL, NULL},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                struct image_user u = {0};
                char groups[64] = "";
                int r = image_user_of(cases[i].user, passwd, group, &u, &p);

                assert_int_equal(r, cases[i].result);
                if (r < 0)
                        continue;
                for (size_t k = 0; k < u.group_count; k++)
                        snprintf(groups + strlen(groups), sizeof(groups) - strlen(groups), "%s%u",
                                        k ? " " : "", u.groups[k]);
                assert_int_equal(u.uid, cases[i].uid);
                assert_int_equal(u.gid, cases[i].gid);
                assert_string_equal(groups, cases[i].groups);
                assert_string_equal(u.name, cases[i].name);
                assert_string_equal(u.home, cases[i].home);
        }
}

/* --- garbage collection --- */

/* Images a (oldest use) to e, of 100 bytes; pulled at 10:00, now it is 12:00. */
static const char gc_images[] =
                "- {id: 'sha256:c', size: 100, pulled: '2024-01-01T10:00:00Z', lastUsed: "
                "'2024-01-01T11:00:00Z', names: [c.lan/c:1]}\n"
                "- {id: 'sha256:a', size: 100, pulled: '2024-01-01T10:00:00Z', lastUsed: "
                "'2024-01-01T10:10:00Z', names: []}\n"
                "- {id: 'sha256:b', size: 100, pulled: '2024-01-01T10:00:00Z', lastUsed: "
                "'2024-01-01T10:20:00Z', names: []}\n"
                "- {id: 'sha256:d', size: 100, pulled: '2024-01-01T11:59:00Z', lastUsed: "
                "'2024-01-01T10:00:00Z', names: []}\n"
                "- {id: 'sha256:e', size: 100, pulled: '2024-01-01T09:00:00Z', lastUsed: "
                "'2024-01-01T09:00:00Z', names: [], pinned: true}\n";

static void test_gc(void **state) {
        static const struct {
                uint64_t used; /* of 1000 bytes */
                const char *in_use;
                uint64_t age_us_max;
                const char *removed;
                uint64_t wanted, freed;
        } cases[] = {
                        {840, "{}", 0, "", 0, 0},
                        {850, "{}", 0, "a", 50, 100},
                        {900, "{}", 0, "a", 100, 100},
                        {950, "{}", 0, "ab", 150, 200},
                        {950, "{'sha256:a': true}", 0, "bc", 150, 200},
                        {950, "{'c.lan/c:1': true}", 0, "ab", 150, 200},
                        {1000, "{'c.lan/c:1': true, 'sha256:b': true}", 0, "a", 200, 100},
                        {100, "{}", UINT64_C(5999) * 1000000, "ab", 0, 200},
        };
        _cleanup_json_ json_t *images = value(gc_images);
        uint64_t now;

        assert_int_equal(time_parse("2024-01-01T12:00:00Z", &now), 0);
        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_image_gc_plan_ struct image_gc_plan plan = {0};
                _cleanup_json_ json_t *in_use = value(cases[i].in_use);
                struct image_gc_policy policy = image_gc_policy_default;
                struct image_gc_disk disk = {1000, 1000 - cases[i].used};
                char removed[16] = "";
                const json_t *v;
                size_t k;

                policy.age_us_max = cases[i].age_us_max;
                assert_int_equal(image_gc_decide(images, in_use, &disk, &policy, now, &plan), 0);
                json_array_foreach (plan.remove, k, v)
                        removed[k] = json_string_value(v)[7];
                assert_string_equal(removed, cases[i].removed);
                assert_int_equal(plan.wanted_bytes, cases[i].wanted);
                assert_int_equal(plan.freed_bytes, cases[i].freed);
        }
}

/* --- jobs --- */

static void test_answers(void **state) {
        static const struct {
                const char *line, *text;
        } progress[] = {
                        {"{\"type\":\"progress\",\"phase\":\"fetching\",\"layer\":2,\"layers\":5,"
                         "\"done\":10400000,\"total\":31000000}",
                                        "Pulling layer 2 of 5: 10.4 of 31.0 MB"},
                        {"{\"type\":\"progress\",\"phase\":\"storing\"}", "Storing the image"},
                        {"{\"type\":\"progress\"}", "Resolving the name"},
        };
        static const char failed[] = "{\"type\":\"failed\",\"cause\":\"rateLimited\",\"reason\":"
                                     "\"ErrImagePull\",\"message\":\"no\",\"retryAfter\":7}";
        _cleanup_json_ json_t *answer = NULL, *none = NULL;
        _cleanup_problem_ struct problem p = {0};

        for (size_t i = 0; i < ELEMENTS(progress); i++) {
                _cleanup_json_ json_t *v = NULL;
                _cleanup_free_ char *text = NULL;

                assert_int_equal(image_answer_parse(progress[i].line, strlen(progress[i].line), &v),
                                0);
                text = image_progress_text(v);
                assert_string_equal(text, progress[i].text);
        }
        assert_int_equal(image_answer_parse(failed, strlen(failed), &answer), 0);
        image_answer_problem(answer, &p);
        assert_string_equal(p.reason, "ErrImagePull");
        assert_string_equal(p.message, "no");
        assert_int_equal(p.retry_after_s, 7);
        assert_int_equal(image_problem_cause(&p), IMAGE_CAUSE_RATE_LIMITED);
        assert_int_equal(image_answer_parse("{}", 2, &none), -EBADMSG);
        assert_int_equal(image_answer_parse("x", 1, &none), -EBADMSG);
}

static void test_unit(void **state) {
        const char *name;
        const json_t *v;
        _cleanup_json_ json_t *unit =
                        image_unit(&(struct image_unit_options){.name = "kpodx-image_1.service",
                                        .program = "/opt/keelson/bin/keelson-image",
                                        .request = "/run/r",
                                        .answers = "/run/a",
                                        .store = "/var/lib/s"});

        assert_non_null(unit);
        assert_string_equal(json_str(unit, "name"), "kpodx-image_1.service");
        assert_string_equal(json_str(unit, "properties.StandardInputFile"), "/run/r");
        assert_string_equal(json_str(unit, "properties.StandardOutputFile"), "/run/a");
        assert_int_equal(json_int_or(unit, "properties.MemoryMax", 0), 512 << 20);
        /* Each is known to the driver, and has the shape of its type. */
        json_object_each (json_at(unit, "properties"), name, v) {
                const struct prop_row *row = prop_find(name);

                if (!row)
                        fail_msg("%s", name);
                if (row->type == PROP_FILTER)
                        assert_true(json_is_array(json_at(v, "names")));
                if (row->type == PROP_STRV || row->type == PROP_CAPS || row->type == PROP_EXEC)
                        assert_true(json_is_array(v));
        }
}

static void test_limits(void **state) {
        _cleanup_json_ json_t *v = value("{layerBytesMax: 5, silentSeconds: 2, pathMax: 9999}");
        struct image_limits l = image_limits_from_json(v);

        assert_int_equal(l.layer_bytes_max, 5);
        assert_int_equal(l.silent_us, 2000000);
        assert_int_equal(l.path_max, 4000);
        assert_int_equal(l.entries_max, 2000000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_references),
                        cmocka_unit_test(test_bad_references),
                        cmocka_unit_test(test_reference_kinds),
                        cmocka_unit_test(test_digests),
                        cmocka_unit_test(test_indexes),
                        cmocka_unit_test(test_manifests),
                        cmocka_unit_test(test_config),
                        cmocka_unit_test(test_bad_configs),
                        cmocka_unit_test(test_credentials),
                        cmocka_unit_test(test_settings),
                        cmocka_unit_test(test_bad_settings),
                        cmocka_unit_test(test_challenges),
                        cmocka_unit_test(test_redirects),
                        cmocka_unit_test(test_paths),
                        cmocka_unit_test(test_users),
                        cmocka_unit_test(test_gc),
                        cmocka_unit_test(test_answers),
                        cmocka_unit_test(test_unit),
                        cmocka_unit_test(test_limits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
