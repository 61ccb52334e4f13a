/* Certificates that are renewed and authorities that are replaced: what is due, what a renewed one
 * says, the stages of a replacement with every interruption, clocks, contexts that take replaced
 * files or know a certificate, and the names of backups. */
#include "tests/unit/unit.h"

#include <sys/socket.h>

#include "kctl/certs-seen.h"
#include "kctl/certs-stage.h"
#include "kctl/clock.h"
#include "kctl/cluster.h"
#include "kctl/kubeconfig-parts.h"
#include "kctl/sealing.h"
#include "lib/fileio.h"
#include "lib/timefmt.h"
#include "lib/tls-internal.h"

enum { DAY = 86400 };

struct authority_pair {
        char *cert, *key;
};

static void pair_done(struct authority_pair *a) {
        free(a->cert);
        free(a->key);
}

static struct authority_pair make_ca(const char *cn) {
        struct authority_pair a = {0};

        assert_int_equal(pki_ca_new(cn, 10, &a.cert, &a.key), 0);
        return a;
}

static const struct pki_subject subject = {.cn = "kapid",
                .organizations = (const char *const[]){"one", "two", NULL},
                .dns_names = (const char *const[]){"localhost", "kubernetes", NULL},
                .ip_addresses = (const char *const[]){"127.0.0.1", "fd00::1", NULL}};

static void test_life(void **state) {
        _cleanup_free_ char *late = NULL, *early = NULL, *none = NULL;

        assert_int_equal(pki_life(100, 400, 99), PKI_LIFE_NOT_YET);
        assert_int_equal(pki_life(100, 400, 100), PKI_LIFE_FRESH);
        assert_int_equal(pki_life(100, 400, 299), PKI_LIFE_FRESH);
        assert_int_equal(pki_life(100, 400, 300), PKI_LIFE_DUE);
        assert_int_equal(pki_life(100, 400, 399), PKI_LIFE_DUE);
        assert_int_equal(pki_life(100, 400, 400), PKI_LIFE_EXPIRED);
        assert_int_equal(pki_time_problem(0, 1704164645, 1704251045, &late), 0);
        assert_string_equal(late, "expired at 2024-01-02T03:04:05Z, and this machine's clock says "
                                  "2024-01-03T03:04:05Z");
        assert_int_equal(pki_time_problem(1704164645, 1804164645, 1704161045, &early), 0);
        assert_non_null(strstr(early, "it begins at 2024-01-02T03:04:05Z, and this machine's "
                                      "clock says 2024-01-02T02:04:05Z"));
        assert_int_equal(pki_time_problem(0, 10, 5, &none), 0);
        assert_null(none);
}

static void test_renew(void **state) {
        _cleanup_(pair_done) struct authority_pair old = make_ca("a"), fresh = make_ca("b");
        _cleanup_free_ char *cert = NULL, *key = NULL, *renewed = NULL, *bundle = NULL,
                            *signer = NULL, *refused = NULL;
        _cleanup_pki_view_ struct pki_view before = {0}, after = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_strv_free_ char **parts = NULL;

        assert_int_equal(pki_issue(old.cert, old.key, &subject, PKI_USAGE_SERVER, 5 * DAY, &cert,
                                         &key),
                        0);
        bundle = strformat("%s%s", old.cert, fresh.cert);
        assert_int_equal(pki_renew(bundle, fresh.key, cert, 7 * DAY, &renewed, &p), 0);
        assert_int_equal(pki_cert_view(cert, &before), 0);
        assert_int_equal(pki_cert_view(renewed, &after), 0);
        assert_string_equal(after.cn, "kapid");
        assert_string_equal(after.issuer, "b");
        assert_int_equal(strv_length(after.organizations), 2);
        assert_string_equal(after.organizations[1], "two");
        assert_int_equal(strv_length(after.dns_names), 2);
        assert_string_equal(after.dns_names[1], "kubernetes");
        assert_int_equal(strv_length(after.ip_addresses), 2);
        assert_string_equal(after.ip_addresses[1], "fd00::1");
        assert_int_equal(after.usage, PKI_USAGE_SERVER);
        assert_false(after.is_authority);
        assert_true(after.ends_s > before.ends_s + DAY);
        assert_string_not_equal(after.fingerprint, before.fingerprint);
        assert_int_equal(pki_cert_matches_key(renewed, key), 1);
        assert_int_equal(pki_signed_by(renewed, fresh.cert), 1);
        assert_int_equal(pki_signed_by(renewed, old.cert), 0);
        assert_int_equal(pki_signed_by(cert, bundle), 1);
        assert_int_equal(pki_signer(bundle, old.key, &signer), 0);
        assert_int_equal(pki_signed_by(cert, signer), 1);
        assert_int_equal(pki_bundle_split(bundle, &parts), 0);
        assert_int_equal(strv_length(parts), 2);
        /* an authority is not renewed, and a key of no authority of the bundle does not sign */
        assert_true(pki_renew(bundle, fresh.key, old.cert, DAY, &refused, &p) < 0);
        assert_true(pki_renew(old.cert, fresh.key, cert, DAY, &refused, &p) < 0);
        assert_non_null(strstr(p.message, "belongs to its key"));
        assert_null(refused);
}

static void test_decide(void **state) {
        static char *const only_kapid[] = {(char *)"kapid", NULL}, *const other[] = {(char *)"peer",
                        NULL};
        const struct cert_row row = {"kapid", "ca", "API server"};
        const struct cert_wish due = {.due = true}, all = {0}, named = {.names = only_kapid},
                               others = {.names = other},
                               sign = {.due = true, .other_signer = true};
        struct cert_seen s = {.row = &row,
                        .name = (char *)"kapid",
                        .is_signed = true,
                        .is_current = true,
                        .view = {.begins_s = 100, .ends_s = 400}};

        assert_int_equal(cert_decide(&s, &due, 200), CERT_KEEP);
        assert_int_equal(cert_decide(&s, &due, 300), CERT_RENEW);
        assert_int_equal(cert_decide(&s, &due, 500), CERT_RENEW);
        assert_int_equal(cert_decide(&s, &due, 50), CERT_CLOCK);
        assert_int_equal(cert_decide(&s, &all, 200), CERT_RENEW);
        assert_int_equal(cert_decide(&s, &all, 50), CERT_RENEW);
        assert_int_equal(cert_decide(&s, &named, 200), CERT_RENEW);
        assert_int_equal(cert_decide(&s, &others, 500), CERT_KEEP);
        assert_int_equal(cert_decide(&s, &sign, 200), CERT_KEEP);
        assert_string_equal(cert_state(&s, 200), "fresh");
        assert_string_equal(cert_state(&s, 300), "due");
        assert_string_equal(cert_state(&s, 400), "expired");
        assert_string_equal(cert_state(&s, 99), "not yet valid");
        s.is_current = false;
        assert_int_equal(cert_decide(&s, &due, 200), CERT_KEEP);
        assert_int_equal(cert_decide(&s, &sign, 200), CERT_RENEW);
        /* one that an administrator got elsewhere is replaced only by its name */
        s.is_signed = false;
        assert_int_equal(cert_decide(&s, &due, 500), CERT_KEEP);
        assert_int_equal(cert_decide(&s, &all, 200), CERT_KEEP);
        assert_int_equal(cert_decide(&s, &sign, 200), CERT_KEEP);
        assert_int_equal(cert_decide(&s, &named, 200), CERT_RENEW);
        assert_string_equal(cert_state(&s, 200), "not ours");
        s.view.is_authority = true;
        assert_int_equal(cert_decide(&s, &due, 200), CERT_KEEP);
        assert_int_equal(cert_decide(&s, &due, 300), CERT_ROTATE);
}

static enum rotation see(const char *bundle, const char *key, const char *next,
                const char *next_key) {
        struct rotation_view v;

        assert_int_equal(rotation_see(bundle, key, next, next_key, &v), 0);
        return rotation_where(&v);
}

/* Every step is one file; after each one the stage that comes next is the one that was begun. */
static void test_stages(void **state) {
        _cleanup_(pair_done) struct authority_pair old = make_ca("a"), fresh = make_ca("b");
        _cleanup_free_ char *both = NULL, *again = NULL, *same = NULL, *alone = NULL;

        assert_int_equal(see(old.cert, old.key, NULL, NULL), ROTATION_NONE);
        assert_int_equal(rotation_next(ROTATION_NONE), STAGE_TRUST);
        assert_int_equal(see(old.cert, old.key, NULL, fresh.key), ROTATION_NONE);
        assert_int_equal(see(old.cert, old.key, fresh.cert, fresh.key), ROTATION_BEGUN);
        assert_int_equal(rotation_next(ROTATION_BEGUN), STAGE_TRUST);
        assert_int_equal(rotation_bundle(STAGE_TRUST, old.cert, old.key, fresh.cert, &both), 0);
        assert_int_equal(rotation_bundle(STAGE_TRUST, both, old.key, fresh.cert, &again), 0);
        assert_string_equal(both, again);
        assert_int_equal(see(both, old.key, fresh.cert, fresh.key), ROTATION_TRUSTED);
        assert_int_equal(rotation_next(ROTATION_TRUSTED), STAGE_SIGN);
        assert_int_equal(rotation_bundle(STAGE_SIGN, both, old.key, fresh.cert, &same), 0);
        assert_string_equal(both, same);
        assert_int_equal(see(both, fresh.key, fresh.cert, fresh.key), ROTATION_SIGNED);
        assert_int_equal(rotation_next(ROTATION_SIGNED), STAGE_REMOVE);
        assert_int_equal(rotation_bundle(STAGE_REMOVE, both, fresh.key, fresh.cert, &alone), 0);
        assert_string_equal(alone, fresh.cert);
        assert_int_equal(see(alone, fresh.key, fresh.cert, fresh.key), ROTATION_ENDING);
        assert_int_equal(rotation_next(ROTATION_ENDING), STAGE_REMOVE);
        assert_int_equal(see(alone, fresh.key, NULL, fresh.key), ROTATION_NONE);
}

static void test_clocks(void **state) {
        static const struct {
                int64_t machine, api;
                const char *text; /* NULL: they agree */
        } cases[] = {
                        {0, CLOCK_UNKNOWN, NULL},
                        {299, CLOCK_UNKNOWN, NULL},
                        {-250, -20, NULL},
                        {3600, CLOCK_UNKNOWN,
                                        "root@n1: its clock is 60m ahead of this machine's: it "
                                        "says 2024-01-02T04:04:05Z, and here it is "
                                        "2024-01-02T03:04:05Z"},
                        {-3600, 5, "root@n1: its clock is 60m behind those of the API server"},
                        {3600, 3598, "the clock of this machine, where kctl runs, is 60m behind"},
                        {-7200, -7100, "the clock of this machine, where kctl runs, is 120m ahead"},
                        {0, 3600, "the clocks differ"},
        };
        int64_t s;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;

                assert_int_equal(clock_problem("root@n1", cases[i].machine, cases[i].api,
                                                 1704164645, &text),
                                0);
                if (!cases[i].text) {
                        assert_null(text);
                        continue;
                }
                if (!text || !strstr(text, cases[i].text))
                        fail_msg("case %zu: \"%s\"", i, strempty(text));
                assert_non_null(strstr(text, "timedatectl set-ntp true"));
        }
        assert_int_equal(clock_parse_http("Tue, 02 Jan 2024 03:04:05 GMT", &s), 0);
        assert_int_equal(s, 1704164645);
        assert_int_equal(clock_parse_http("Tue, 02 Jan 2024 03:04:05 CET", &s), -EINVAL);
        assert_int_equal(clock_parse_http("", &s), -EINVAL);
}

static void test_kubeconfig_parts(void **state) {
        _cleanup_free_ char *text = kubeconfig_text("keelson", "https://a:6443", "CA", "CERT",
                                            "KEY"),
                            *other = NULL, *reference = NULL;
        _cleanup_(kubeconfig_parts_done) struct kubeconfig_parts parts = {0}, again = {0},
                                                                 none = {0};
        _cleanup_problem_ struct problem p = {0};

        assert_int_equal(kubeconfig_take_apart(text, &parts, &p), 0);
        assert_string_equal(parts.context, "keelson");
        assert_string_equal(parts.server, "https://a:6443");
        assert_string_equal(parts.cert, "CERT");
        assert_int_equal(kubeconfig_put(text, "CA2", "CERT2", NULL, &other, &p), 0);
        assert_int_equal(kubeconfig_take_apart(other, &again, &p), 0);
        assert_string_equal(again.ca, "CA2");
        assert_string_equal(again.cert, "CERT2");
        assert_string_equal(again.key, "KEY");
        assert_int_equal(kubeconfig_refer(text, "kgitd", &reference, &p), 0);
        assert_non_null(strstr(reference, "kgitd.key"));
        assert_null(strstr(reference, "client-key-data"));
        assert_null(strstr(reference, "certificate-authority-data"));
        assert_int_equal(kubeconfig_take_apart("a: 1", &none, &p), -EINVAL);
}

/* Only what a schedule has written is ever removed, the oldest first. */
static void test_backup_names(void **state) {
        static char *const names[] = {(char *)"keelson-20240103T000000Z.sealed",
                        (char *)"keelson-20240101T000000Z.backup", (char *)"keelson-notes.txt",
                        (char *)"keelson-20240102T000000Z.sealed", (char *)"fleet.sealed",
                        (char *)"keelson-20230101T000000Z.sealed.part", NULL};
        _cleanup_free_ char *name = backup_file_name(1704164645000000, true);
        _cleanup_strv_free_ char **surplus = NULL, **none = NULL, **all = NULL;

        assert_string_equal(name, "keelson-20240102T030405Z.sealed");
        assert_int_equal(backup_surplus(names, 2, &surplus), 0);
        assert_int_equal(strv_length(surplus), 1);
        assert_string_equal(surplus[0], "keelson-20240101T000000Z.backup");
        assert_int_equal(backup_surplus(names, 3, &none), 0);
        assert_int_equal(strv_length(none), 0);
        assert_int_equal(backup_surplus(names, 0, &all), 0);
        assert_int_equal(strv_length(all), 3);
}

static void write_text(const char *dir, const char *name, const char *text) {
        _cleanup_free_ char *path = strformat("%s/%s", dir, name);

        assert_int_equal(file_write_atomic(path, text, strlen(text), 0600), 0);
}

/* A context follows its files; while half of a pair is there it stays as it was. */
static void test_refresh(void **state) {
        char dir[] = "/tmp/test-certs-XXXXXX";
        _cleanup_(pair_done) struct authority_pair ca = make_ca("a");
        _cleanup_free_ char *cert = NULL, *key = NULL, *cert2 = NULL, *key2 = NULL,
                            *cert_path = NULL, *key_path = NULL;
        _cleanup_problem_ struct problem p = {0};
        struct tls_context *c, *first;

        assert_non_null(mkdtemp(dir));
        cert_path = strformat("%s/a.crt", dir);
        key_path = strformat("%s/a.key", dir);
        assert_int_equal(pki_issue(ca.cert, ca.key, &subject, PKI_USAGE_SERVER, DAY, &cert, &key),
                        0);
        assert_int_equal(pki_issue(ca.cert, ca.key, &subject, PKI_USAGE_SERVER, DAY, &cert2, &key2),
                        0);
        write_text(dir, "a.crt", cert);
        write_text(dir, "a.key", key);
        assert_int_equal(tls_context_new(&c,
                                         &(struct tls_files){.cert = cert_path, .key = key_path},
                                         true, &p),
                        0);
        first = tls_context_ref(c);
        assert_int_equal(tls_context_refresh(&c), 0);
        write_text(dir, "a.crt", cert2);
        assert_true(tls_context_refresh(&c) < 0);
        assert_ptr_equal(c, first);
        assert_int_equal(tls_context_refresh(&c), 0); /* not read again */
        write_text(dir, "a.key", key2);
        assert_int_equal(tls_context_refresh(&c), 1);
        assert_ptr_not_equal(c, first);
        assert_int_equal(tls_context_refresh(&c), 0);
        tls_context_free(first);
        tls_context_free(c);
        assert_int_equal(remove_tree(dir), 0);
}

static struct tls_context *context_of(
                const char *cert, const char *key, const char *ca, bool server) {
        const struct tls_files pem = {.cert = cert, .key = key, .ca = ca};
        _cleanup_problem_ struct problem p = {0};
        struct tls_context *c = NULL;

        assert_int_equal(tls_context_new_pem(&c, &pem, server, &p), 0);
        return c;
}

/* Who a server with this context takes the client for, in a connection of its own. */
static struct tls_peer meet(struct tls_context *server, struct tls_context *client) {
        struct tls_stream *s = NULL, *c = NULL;
        struct tls_peer peer = {0};
        int pair[2], r = -EAGAIN, q = -EAGAIN;
        bool want_write;

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        assert_int_equal(tls_stream_new(&s, server, pair[0], NULL, NULL), 0);
        assert_int_equal(tls_stream_new(&c, client, pair[1], NULL, NULL), 0);
        tls_stream_take_any_peer(s);
        while (r == -EAGAIN || q == -EAGAIN) {
                q = q == -EAGAIN ? tls_stream_handshake(c, &want_write) : q;
                r = r == -EAGAIN ? tls_stream_handshake(s, &want_write) : r;
        }
        assert_int_equal(r, 0);
        assert_int_equal(tls_stream_peer(s, &peer), 0);
        tls_stream_free(s);
        tls_stream_free(c);
        close(pair[0]);
        close(pair[1]);
        return peer;
}

static void digest_of(const struct tls_peer *peer, uint8_t digest[static TLS_DIGEST_SIZE]) {
        assert_int_equal(strlen(peer->fingerprint), 2 * TLS_DIGEST_SIZE);
        for (size_t i = 0; i < TLS_DIGEST_SIZE; i++) {
                unsigned byte;

                assert_int_equal(sscanf(peer->fingerprint + 2 * i, "%2x", &byte), 1);
                digest[i] = (uint8_t)byte;
        }
}

/* A certificate that was verified is known to the context that trusts its CA, and to no other. */
static void test_known(void **state) {
        _cleanup_(pair_done) struct authority_pair a = make_ca("a"), b = make_ca("a");
        _cleanup_free_ char *cert = NULL, *key = NULL, *own = NULL, *own_key = NULL;
        const uint64_t now_s = now_wall_us() / 1000000;
        uint8_t digest[TLS_DIGEST_SIZE], other[TLS_DIGEST_SIZE];
        struct tls_context *trusts_a, *trusts_b, *client;
        struct tls_peer peer;

        assert_int_equal(
                        pki_issue(a.cert, a.key, &subject, PKI_USAGE_CLIENT, DAY, &cert, &key), 0);
        assert_int_equal(
                        pki_issue(a.cert, a.key, &subject, PKI_USAGE_SERVER, DAY, &own, &own_key),
                        0);
        trusts_a = context_of(own, own_key, a.cert, true);
        trusts_b = context_of(own, own_key, b.cert, true);
        client = context_of(cert, key, a.cert, false);
        for (int i = 0; i < 3; i++) {
                peer = meet(trusts_a, client);
                assert_true(peer.verified);
                assert_string_equal(peer.cn, "kapid");
                assert_int_equal(strv_length(peer.organizations), 2);
                digest_of(&peer, digest);
                tls_peer_done(&peer);
                assert_true(tls_known_find(trusts_a, digest, now_s));
        }
        /* it ends with the certificate, and no clock makes it begin sooner */
        assert_true(tls_known_find(trusts_a, digest, now_s + DAY - 60));
        assert_false(tls_known_find(trusts_a, digest, now_s + DAY + 60));
        assert_false(tls_known_find(trusts_a, digest, now_s - 10 * DAY));
        /* another certificate in the same place */
        memcpy(other, digest, sizeof(other));
        other[TLS_DIGEST_SIZE - 1] ^= 1;
        assert_false(tls_known_find(trusts_a, other, now_s));
        tls_known_add(trusts_a, other, now_s - 1, now_s + 1);
        assert_true(tls_known_find(trusts_a, other, now_s));
        assert_false(tls_known_find(trusts_a, digest, now_s));
        /* another authority of that name */
        peer = meet(trusts_b, client);
        assert_false(peer.verified);
        assert_non_null(peer.problem);
        tls_peer_done(&peer);
        assert_false(tls_known_find(trusts_b, digest, now_s));
        /* what is known is not verified again */
        tls_known_add(trusts_b, digest, now_s - 1, now_s + DAY);
        peer = meet(trusts_b, client);
        assert_true(peer.verified);
        tls_peer_done(&peer);
        tls_context_free(trusts_a);
        tls_context_free(trusts_b);
        tls_context_free(client);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_life), cmocka_unit_test(test_renew),
                        cmocka_unit_test(test_decide), cmocka_unit_test(test_stages),
                        cmocka_unit_test(test_clocks), cmocka_unit_test(test_kubeconfig_parts),
                        cmocka_unit_test(test_backup_names),
                        cmocka_unit_test(test_refresh), cmocka_unit_test(test_known)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
