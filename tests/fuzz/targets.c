/* The targets. Those that need a lot of setting up do it once. */
#include "tests/fuzz/fuzz.h"

#include "kapid/audit/policy.h"
#include "kapid/auth/jwt.h"
#include "kapid/auth/oidc-token.h"
#include "kapid/cel/cel.h"
#include "kapid/conversion/review.h"
#include "kapid/http/route.h"
#include "kapid/kinds/kind.h"
#include "kapid/pipeline/delete-options.h"
#include "kapid/pipeline/pipeline.h"
#include "kapid/patch/managed.h"
#include "kapid/patch/patch.h"
#include "kapid/proxy/name.h"
#include "kapid/schema/internal.h"
#include "kapid/schema/pattern.h"
#include "kapid/schema/protobuf.h"
#include "kapid/streams/client.h"
#include "kapid/verbs/continue.h"
#include "kapid/verbs/list-options.h"
#include "kapid/webhooks/patched.h"
#include "kapid/webhooks/review.h"
#include "kstored/replica/peer-wire.h"
#include "kstored/wal/block.h"
#include "lib/crypto.h"
#include "lib/json-read.h"
#include "lib/json.h"
#include "lib/jsonpath.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/quantity.h"
#include "lib/selector.h"
#include "lib/stream-frame.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"
#include "nodeagent/image/challenge.h"
#include "nodeagent/image/credentials.h"
#include "nodeagent/image/manifest.h"
#include "nodeagent/image/reference.h"
#include "nodeagent/logs/logs.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/runtime/images.h"
#include "reconcilers/gitsync/kustomization.h"
#include "reconcilers/gitsync/manifest.h"

/* --- text --- */

/* What was taken can be written and read again as the same; the fast reader takes nothing else than
 * jansson. */
static void fuzz_json(const char *text, size_t n) {
        _cleanup_json_ json_t *v = NULL, *again = NULL, *theirs = NULL;
        _cleanup_free_ char *written = NULL, *why = NULL;

        if (json_parse(text, n, JSON_PARSE_REJECT_DUPLICATES_FLAG, &v, &why) < 0)
                return;
        theirs = json_loadb(text, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        assert(theirs ? json_equal(v, theirs)
                      : json_read(text, n, 100, JSON_PARSE_REJECT_DUPLICATES_FLAG, &again) < 0);
        written = json_text(v);
        assert(written && json_parse(written, strlen(written), 0, &again, NULL) == 0);
}

static void fuzz_yaml(const char *text, size_t n) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0}, again = {0};
        _cleanup_(audit_policy_freep) struct audit_policy *policy = NULL;
        _cleanup_problem_ struct problem p = {0}, q = {0};

        if (yaml_parse(text, n, &docs, &p) < 0)
                return;
        if (audit_policy_new(&policy, text, n, &q) >= 0)
                assert(audit_policy_decide(policy,
                                       &(struct audit_attributes){
                                                       .user = "", .verb = "", .path = "/"})
                                                .level <= AUDIT_REQUEST_RESPONSE);
        for (size_t i = 0; i < docs.count; i++) {
                _cleanup_free_ char *written = yaml_text(docs.items[i].value);

                (void)yaml_line_of(&docs.items[i], "spec.containers[0].image");
                yaml_docs_done(&again);
                assert(written && yaml_parse(written, strlen(written), &again, &q) == 0);
                assert(again.count == 1 && json_equal(again.items[0].value, docs.items[i].value));
        }
}

static void fuzz_json_stream(const char *text, size_t n) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};

        (void)yaml_parse_json(text, n, &docs, &p);
}

static void fuzz_words(const char *text, size_t n) {
        _cleanup_free_ char *canonical = NULL, *twice = NULL;
        _cleanup_free_ void *data = NULL;
        uint64_t when;
        int64_t milli;
        size_t size;

        (void)quantity_parse_str_milli(text, &milli);
        if (quantity_canonical(text, &canonical) >= 0)
                assert(quantity_canonical(canonical, &twice) >= 0 && streq(canonical, twice));
        (void)time_parse(text, &when);
        (void)parse_duration_us(text, &when);
        (void)base64_decode(text, &data, &size);
}

/* A selector's own text selects the same. */
static void fuzz_selector(const char *text, size_t n) {
        _cleanup_(label_selector_freep) struct label_selector *s = NULL, *again = NULL;
        _cleanup_(field_selector_freep) struct field_selector *f = NULL;
        _cleanup_json_ json_t *labels = json_pack("{s:s, s:s}", "app", "web", "a.b/c", "");
        _cleanup_problem_ struct problem p = {0}, q = {0}, o = {0};
        _cleanup_free_ char *written = NULL;

        (void)field_selector_parse(text, &f, &o);
        if (f)
                (void)field_selector_matches(f, labels);
        if (label_selector_parse(text, &s, &p) < 0)
                return;
        written = label_selector_text(s);
        assert(written && label_selector_parse(written, &again, &q) == 0);
        assert(label_selector_matches(s, labels) == label_selector_matches(again, labels));
}

static bool ignore_value(const json_t *v, void *userdata) {
        return true;
}

static void fuzz_jsonpath(const char *text, size_t n) {
        _cleanup_problem_ struct problem p = {0}, q = {0};
        _cleanup_(jsonpath_freep) struct jsonpath *path = NULL;
        _cleanup_free_ char *printed = NULL;
        static json_t *object;

        if (!object)
                object = json_loads("{\"a\":{\"b\":[{\"c\":1,\"type\":\"Ready\"},2]},\"d.e\":null}",
                                0, NULL);
        if (jsonpath_parse(text, &path, &p) >= 0)
                jsonpath_each(path, object, ignore_value, NULL);
        (void)jsonpath_print(text, object, &printed, &q);
}

/* --- kapid --- */

static struct kind_registry *registry(void) {
        static struct kind_registry *r;
        _cleanup_problem_ struct problem p = {0};

        if (!r)
                assert(kind_registry_new(&r, &p) == 0);
        return r;
}

static const struct kind *pods(void) {
        return kind_registry_find(registry(), "", "v1", "pods");
}

static void write_through(
                const struct kind *k, const char *content_type, const char *text, size_t n) {
        _cleanup_decoded_ struct decoded d = {0};
        _cleanup_problem_ struct problem p = {0};

        if (pipeline_decode(k, NULL, content_type, text, n, FIELD_VALIDATION_WARN, &d, &p) < 0)
                return;
        if (pipeline_default(k, d.object) == 0)
                (void)pipeline_validate_create(k, d.object, &p);
}

static void fuzz_object(const char *text, size_t n) {
        static const char *const plurals[][2] = {{"", "pods"}, {"", "services"},
                        {"apps", "deployments"}, {"batch", "jobs"}, {"", "nodes"},
                        {"certificates.k8s.io", "certificatesigningrequests"}};

        for (size_t i = 0; i < ELEMENTS(plurals); i++) {
                const struct kind *k =
                                kind_registry_find(registry(), plurals[i][0], "v1", plurals[i][1]);

                write_through(k, "application/json", text, n);
        }
}

static void fuzz_protobuf(const char *text, size_t n) {
        _cleanup_json_ json_t *options = NULL;
        _cleanup_problem_ struct problem p = {0};

        write_through(pods(), "application/vnd.kubernetes.protobuf", text, n);
        (void)delete_options_decode("application/vnd.kubernetes.protobuf", text, n, &options, &p);
}

/* What is taken is a message that can be read. */
static void fuzz_protobuf_answer(const char *text, size_t n) {
        _cleanup_json_ json_t *v = NULL, *back = NULL;
        _cleanup_free_ char *why = NULL;
        _cleanup_buf_ struct buf b = {0};

        if (protobuf_encode(&b, pods()->schema, text, n) < 0 ||
                        json_parse(text, n, 0, &v, NULL) < 0)
                return;
        if (protobuf_decode(pods()->schema, b.data, b.size, &back, &why) < 0 && why &&
                        strstr(why, "malformed"))
                abort();
}

static void fuzz_patch(const char *text, size_t n) {
        static json_t *target;
        static const enum patch_type types[] = {PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC};

        if (!target)
                target = json_loads(
                                "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":"
                                "\"a\",\"namespace\":\"b\",\"labels\":{\"x\":\"y\"},"
                                "\"finalizers\":[\"f/a\"]},\"spec\":{\"containers\":[{\"name\":"
                                "\"c\",\"ports\":[{\"containerPort\":80}],\"env\":[{\"name\":"
                                "\"E\",\"value\":\"1\"}]}]}}",
                                0, NULL);
        for (size_t i = 0; i < ELEMENTS(types); i++) {
                _cleanup_decoded_ struct decoded d = {0};
                _cleanup_problem_ struct problem p = {0};

                (void)patch_run(pods(), NULL, types[i], text, n, FIELD_VALIDATION_STRICT, target,
                                &d, &p);
        }
}

/* An intent that is taken is kept: applied again it changes nothing. */
static void fuzz_apply(const char *text, size_t n) {
        struct apply_options one = {.manager = "one", .now_us = 1700000000000000},
                             two = {.manager = "two", .now_us = 1700000001000000, .force = true};
        _cleanup_decoded_ struct decoded made = {0}, again = {0}, taken = {0};
        _cleanup_problem_ struct problem p = {0}, q = {0};

        if (apply_run(pods(), text, n, NULL, &one, &made, &p) < 0)
                return;
        assert(apply_run(pods(), text, n, made.object, &one, &again, &p) == 0);
        if (json_at(made.object, "metadata.managedFields"))
                assert(json_equal(made.object, again.object));
        (void)apply_run(pods(), text, n, made.object, &two, &taken, &q);
}

/* Whatever an expression is, it ends within its budget. */
static void fuzz_cel(const char *text, size_t n) {
        static const struct cel_limits limits = {.cost_max = 2000, .memory_max = 1 << 20};
        static const struct cel_variable variables[] = {
                        {"self", &cel_dyn_type}, {"i", &cel_int_type}, {"s", &cel_string_type}};
        static struct cel_functions *functions;
        static json_t *self;
        _cleanup_cel_findings_ struct cel_findings f = {0};
        _cleanup_(cel_program_freep) struct cel_program *program = NULL;
        _cleanup_(cel_run_freep) struct cel_run *run = NULL;
        struct cel_value values[ELEMENTS(variables)];

        if (!functions) {
                self = json_loads("{\"a\":[1,\"x\",null],\"b\":{\"c\":1.5}}", 0, NULL);
                assert(cel_functions_new(cel_libraries, pattern_cache_new(), &functions, NULL) ==
                                0);
        }
        if (cel_compile(&(struct cel_env){functions, variables, ELEMENTS(variables)}, text, n,
                            &program, &f) < 0) {
                assert(f.count > 0 && utf8_is_valid(f.text, strlen(f.text)));
                return;
        }
        assert(cel_run_new(functions, &limits, &run) == 0);
        values[0] = cel_from_json(run, self, &cel_dyn_type);
        values[1] = cel_int(-7);
        values[2] = cel_string_at("\xc3\xa4 text", 7);
        (void)cel_eval(run, program, values);
}

/* Paths with the query's watch behind a question mark, continue tokens, options. */
static void fuzz_request(const char *text, size_t n) {
        static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"};
        _cleanup_free_ char *copy = strdup(text), *path = NULL, *token = NULL, *name = NULL,
                            *manager = NULL;
        _cleanup_problem_ struct problem q = {0}, o = {0}, m = {0}, r = {0};
        char *watch = copy ? strchr(copy, '?') : NULL;
        uint64_t revision;

        if (watch)
                *watch++ = 0;
        for (size_t i = 0; copy && i < ELEMENTS(methods); i++) {
                _cleanup_route_ struct route route = {0};
                _cleanup_problem_ struct problem refusal = {0};

                if (route_parse(methods[i], copy, watch, &route, &refusal) < 0)
                        continue;
                assert(route.verb && route.path && (!route.resource || *route.plural));
                assert(strlen(route.path) <= ROUTE_PATH_MAX);
        }
        if (continue_parse(text, &revision, &path, &q) == 0) {
                _cleanup_free_ char *same = NULL;
                uint64_t again;

                token = continue_token(revision, path);
                assert(token && continue_parse(token, &again, &same, &q) == 0);
                assert(again == revision && streq(same, path));
        }
        (void)list_options_check_match(text, &o);
        (void)field_manager_name(text, text, "PatchOptions", n % 2, &name, &m);
        (void)field_manager_name(NULL, text, "UpdateOptions", false, &manager, &r);
}

/* Names, paths and Locations of proxies: whatever they are, the path that is passed on has no steps
 * up, and a Location that is rewritten stays below the proxy. */
static void fuzz_proxy(const char *text, size_t n) {
        static const char prefix[] = "/api/v1/nodes/n/proxy";
        static const char *const hosts[] = {"10.0.0.1:80", "h", NULL};
        _cleanup_problem_ struct problem p = {0}, q = {0};
        _cleanup_proxy_name_ struct proxy_name name = {0};
        _cleanup_free_ char *path = NULL, *target = NULL, *location = NULL;

        if (proxy_name_parse(text, "pod", &name, &p) == 0)
                assert(*name.name && !strchr(name.name, ':') && !strchr(name.port, ':'));
        if (proxy_path(text, &path, &q) == 0) {
                assert(*path == '/' && !strstr(path, "//") && !strstr(path, "/../") &&
                                !strstr(path, "/./"));
                assert(strlen(path) <= strlen(text) + 2);
                assert(proxy_target(path, text, &target) == 0 && *target == '/');
                for (const char *s = target; *s; s++)
                        assert((unsigned char)*s > 0x20 && (unsigned char)*s < 0x7f && *s != '#');
        }
        assert(proxy_location(text, prefix, hosts, &location) == 0);
        assert(!location || startswith(location, prefix));
}

static const struct webhook *webhook(void) {
        static struct webhook_config *config;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *object = NULL;

        if (config)
                return &config->webhooks[0];
        object = json_loads("{\"metadata\":{\"name\":\"c\"},\"webhooks\":[{\"name\":"
                            "\"w.example.com\",\"sideEffects\":\"None\","
                            "\"admissionReviewVersions\":[\"v1\"],\"clientConfig\":{\"url\":"
                            "\"https://h/x\"},\"rules\":[]}]}",
                        0, NULL);
        assert(webhook_config_new(&config, WEBHOOK_MUTATING, object, &p) == 0);
        return &config->webhooks[0];
}

/* What a webhook answers, to an admission and to a conversion; its patch on a pod. */
static void fuzz_webhook(const char *text, size_t n) {
        const struct patched_facts facts = {
                        .kind = pods(), .as = pods(), .who = "admission webhook"};
        _cleanup_webhook_answer_ struct webhook_answer answer = {0};
        _cleanup_free_ char *why = NULL, *no = NULL;
        _cleanup_json_ json_t *pod = NULL, *patched = NULL, *object = NULL;
        _cleanup_problem_ struct problem p = {0};
        json_t *converted = NULL;

        object = json_loads("{\"apiVersion\":\"e.com/v1\",\"kind\":\"A\",\"metadata\":{\"name\":"
                            "\"a\",\"uid\":\"1\"},\"spec\":{}}",
                        0, NULL);
        const struct conversion_question question = {
                        "v1", "u", "e.com/v2", (json_t *const *)&object, 1};
        if (conversion_answer(&question, text, n, &converted, &no) == 0) {
                assert(streq(object_name(converted), "a"));
                json_decref(converted);
        }
        if (webhook_answer_parse(webhook(), "u", text, n, &answer, &why) < 0 || !answer.patch)
                return;
        pod = json_loads("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\","
                         "\"namespace\":\"b\",\"labels\":{\"x\":\"y\"}},\"spec\":{\"containers\":"
                         "[{\"name\":\"c\",\"image\":\"i\"}]}}",
                        0, NULL);
        if (patched_object(&facts, pod, answer.patch, &patched, &p) == 0)
                assert(streq(object_name(patched), "a"));
}

/* A definition that is taken can be served, and taken away again. */
static void fuzz_crd(const char *text, size_t n) {
        static const struct kind *crds;
        _cleanup_decoded_ struct decoded d = {0};
        _cleanup_problem_ struct problem p = {0};

        if (!crds)
                crds = kind_registry_find(registry(), "apiextensions.k8s.io", "v1",
                                "customresourcedefinitions");
        if (pipeline_decode(crds, NULL, "application/json", text, n, FIELD_VALIDATION_IGNORE, &d,
                            &p) < 0 ||
                        pipeline_default(crds, d.object) < 0 ||
                        pipeline_validate_create(crds, d.object, &p) < 0 ||
                        kind_registry_add_crd(registry(), d.object, &p) < 0)
                return;
        (void)kind_registry_remove_crd(registry(), object_name(d.object));
}

/* The same bytes as an ID token, and what it claims as an issuer's keys. */
static void fuzz_id_token(const char *text) {
        static char *algorithms[] = {(char *)"RS256", (char *)"ES256", NULL};
        static const struct oidc_options options = {.issuer_url = (char *)"https://a",
                        .client_id = (char *)"a",
                        .username_claim = (char *)"sub",
                        .groups_claim = (char *)"groups",
                        .algorithms = algorithms};
        _cleanup_(jwk_set_freep) struct jwk_set *keys = NULL;
        _cleanup_problem_ struct problem p = {0}, q = {0};
        _cleanup_user_ struct user u = {0};
        _cleanup_jwt_ struct jwt jwt = {0};

        if (jwt_parse(text, &jwt) >= 0)
                (void)jwk_set_new(&keys, jwt.claims, &p);
        assert(oidc_token_check(&options, keys, text, 1, &u, &q) < 0);
}

static void fuzz_token(const char *text, size_t n) {
        static struct sign_key *key;
        _cleanup_json_ json_t *claims = NULL;
        _cleanup_free_ char *pem = NULL;

        if (!key)
                assert(pki_key_new(&pem) == 0 && sign_key_new(&key, pem) == 0);
        assert(jwt_verify(key, text, 1, &claims) < 0); /* nobody signed it */
        fuzz_id_token(text);
}

static void fuzz_certificate(const char *text, size_t n) {
        _cleanup_strv_free_ char **organizations = NULL, **more = NULL;
        _cleanup_free_ char *cn = NULL, *other = NULL;
        _cleanup_problem_ struct problem p = {0};
        uint64_t when;

        (void)pki_csr_read(text, &cn, &organizations, &p);
        (void)pki_cert_read(text, &other, &more, &when);
}

/* --- the others --- */

static void fuzz_manifests(const char *text, size_t n) {
        _cleanup_json_ json_t *files = NULL, *refs = json_object();
        _cleanup_manifests_ struct manifest_set s = {0};
        _cleanup_problem_ struct problem p = {0};

        (void)kustomization_read("apps/web", text, n, refs);
        if (!utf8_is_valid(text, n) || memchr(text, 0, n))
                return; /* the reader of the tree refuses it */
        files = json_pack("[{s:s, s:s}]", "name", "a.yaml", "text", text);
        if (files)
                (void)manifest_set_read(files, &(struct manifest_owner){"s", "n"}, &s, &p);
}

static void fuzz_logs_request(const char *text, size_t n) {
        struct logs_request r = {0};
        _cleanup_problem_ struct problem p = {0};

        if (logs_request_parse(text, &r, &p) == 0)
                logs_request_done(&r);
}

/* An agent takes what kapid let pass, and what kapid did not. */
static void fuzz_pod_units(const char *text, size_t n) {
        struct pod_facts facts = {.node_name = "n",
                        .node_ip = "10.0.0.1",
                        .pod_ip = "10.244.0.2",
                        .netns_path = "/run/netns/x",
                        .disk_dir = "/var/lib/x",
                        .run_dir = "/run/x",
                        .secret_dir = "/run/s",
                        .cpu_milli = 4000,
                        .memory_bytes = 1 << 30};
        _cleanup_json_ json_t *pod = NULL, *units = NULL, *images = NULL,
                              *resources = json_object();
        _cleanup_problem_ struct problem p = {0};

        if (json_parse(text, n, 0, &pod, NULL) < 0 || !json_is_object(pod))
                return;
        if (images_resolve(pod, &images, &p) < 0)
                return;
        facts.images = images;
        (void)pod_to_units(pod, resources, &facts, &units, &p);
}

static void fuzz_image(const char *text, size_t n) {
        const struct image_platform platform = {"linux", "amd64", ""};
        _cleanup_image_reference_ struct image_reference reference = {0};
        _cleanup_image_credentials_ struct image_credentials credentials = {0};
        _cleanup_image_manifest_ struct image_manifest manifest = {0};
        _cleanup_challenge_ struct challenge challenge = {0};
        _cleanup_json_ json_t *document = NULL, *config = NULL;
        _cleanup_problem_ struct problem p = {0};
        struct image_blob blob = {0};

        if (image_reference_parse(text, &reference, &p) == 0) {
                _cleanup_image_reference_ struct image_reference again = {0};
                _cleanup_free_ char *whole = image_reference_text(&reference);

                assert(image_reference_parse(whole, &again, &p) == 0);
        }
        (void)challenge_parse(text, &challenge);
        if (json_parse(text, n, 0, &document, NULL) < 0)
                return;
        (void)image_credentials_find(document, "registry.lan:5000", "team/app", &credentials);
        if (image_document_is_index(document) &&
                        image_index_choose(document, &platform, &blob, &p) == 0)
                free(blob.digest);
        (void)image_manifest_parse(document, &manifest, &p);
        (void)image_config_parse(document, 1, &platform, &config, &p);
}

static void fuzz_peer(const char *text, size_t n) {
        Keelsonpeer__Message *wire = keelsonpeer__message__unpack(NULL, n, (const uint8_t *)text);
        struct raft_message m;

        if (wire && peer_message_read(wire, &m) == 0)
                peer_message_done(&m);
        if (wire)
                keelsonpeer__message__free_unpacked(wire, NULL);
}

static void fuzz_log(const char *text, size_t n) {
        uint8_t page[WAL_PAGE] = {0};
        struct wal_block block;
        struct wal_head head;
        struct wal_mark mark;

        memcpy(page, text, MIN(n, sizeof(page)));
        (void)wal_head_decode(page, &head);
        (void)wal_mark_decode(page, &mark);
        (void)wal_block_read((const uint8_t *)text, n, 1, &block);
}

static int take_bytes(const void *data, size_t n, void *userdata) {
        return 0;
}

static int take_end(void *userdata) {
        return 0;
}

static int take_two(uint16_t a, uint16_t b, void *userdata) {
        return 0;
}

static int take_open(uint32_t id, uint16_t port, void *userdata) {
        assert(id > 0 && id <= STREAM_ID_MAX && port > 0);
        return 0;
}

static int take_data(uint32_t id, const void *data, size_t n, void *userdata) {
        assert(id > 0);
        return 0;
}

static int take_id(uint32_t id, void *userdata) {
        assert(id > 0);
        return 0;
}

/* The first byte is the protocol. Answers are taken, or the buffer would grow. */
static void fuzz_stream(const char *text, size_t n) {
        static const struct client_events events = {
                        take_bytes, take_end, take_two, take_open, take_data, take_id, take_id};
        static const uint16_t ports[] = {80, 443};
        struct client_setup setup = {.streams = CLIENT_STDIN | CLIENT_STDOUT | CLIENT_TTY,
                        .ports = ports,
                        .port_count = ELEMENTS(ports)};
        struct stream_client *c;
        struct stream_frame f;
        size_t used;

        if (n == 0)
                return;
        (void)stream_frame_next(text, n, &f, &used);
        setup.protocol = (unsigned char)text[0] % (PROTOCOL_FORWARD_TUNNEL + 1);
        if (stream_client_new(&c, &setup, &events, NULL) < 0)
                return;
        if (stream_client_begin(c) >= 0)
                for (size_t at = 1, piece = 1; at < n; at += piece, piece = piece * 2 % 61 + 1) {
                        if (stream_client_feed(c, text + at, MIN(piece, n - at)) < 0)
                                break;
                        buf_reset(stream_client_output(c));
                }
        if (stream_client_is_ready(c))
                (void)stream_client_finish(c, "{}");
        stream_client_free(c);
}

const struct fuzz_target fuzz_targets[] = {
                {"apply", fuzz_apply, "intents of server-side apply"},
                {"cel", fuzz_cel, "expressions"},
                {"certificate", fuzz_certificate, "certificates and signing requests"},
                {"crd", fuzz_crd, "CustomResourceDefinitions, their schemas and patterns"},
                {"image", fuzz_image, "documents of images, references, challenges, credentials"},
                {"json", fuzz_json, "JSON"},
                {"json-stream", fuzz_json_stream, "JSON manifests, one after another"},
                {"jsonpath", fuzz_jsonpath, "paths of printer columns, templates"},
                {"log", fuzz_log, "blocks of the store's log"},
                {"logs-request", fuzz_logs_request, "what kapid asks an agent for"},
                {"manifests", fuzz_manifests, "files of a repository"},
                {"object", fuzz_object, "objects in JSON, through decoding and validation"},
                {"patch", fuzz_patch, "JSON, merge and strategic patches"},
                {"peer", fuzz_peer, "messages between members of the store"},
                {"pod-units", fuzz_pod_units, "pods to units"},
                {"protobuf", fuzz_protobuf, "objects in protobuf"},
                {"protobuf-answer", fuzz_protobuf_answer, "objects to protobuf"},
                {"proxy", fuzz_proxy, "names, paths and Locations of proxies"},
                {"request", fuzz_request, "paths, continue tokens, options of requests"},
                {"selector", fuzz_selector, "label and field selectors"},
                {"stream", fuzz_stream, "clients of exec, attach and port-forward"},
                {"token", fuzz_token, "service account tokens"},
                {"webhook", fuzz_webhook, "answers of webhooks to admissions and conversions"},
                {"words", fuzz_words, "quantities, times, durations, base64"},
                {"yaml", fuzz_yaml, "YAML"},
};
const size_t fuzz_target_count = ELEMENTS(fuzz_targets);
