/* Who the other side of a session is: what its certificate says, and who signed it. The signature
 * under a client's certificate is verified once for many connections (a third of a handshake is
 * that): remembered is the digest of a certificate that a trusted CA itself has signed, with the
 * times between which both count, and only in the context that trusts this CA. What was withdrawn
 * is for the program to judge, by the fingerprint. */
#include "lib/timefmt.h"
#include "lib/tls-internal.h"

enum { DN_SIZE_MAX = 1024, ORGANIZATIONS_MAX = 64, CHAIN_MAX = 8 };

void tls_peer_done(struct tls_peer *peer) {
        free(peer->problem);
        free(peer->cn);
        strv_free(peer->organizations);
        free(peer->fingerprint);
        *peer = (struct tls_peer){0};
}

/* ---- certificates that were verified ---- */

static struct tls_known *slot_of(
                const struct tls_context *c, const uint8_t digest[static TLS_DIGEST_SIZE]) {
        size_t i;

        memcpy(&i, digest, sizeof(i));
        return &c->known[i % TLS_KNOWN_MAX];
}

bool tls_known_find(const struct tls_context *c, const uint8_t digest[static TLS_DIGEST_SIZE],
                uint64_t now_s) {
        const struct tls_known *k = c->known ? slot_of(c, digest) : NULL;

        return k && k->ends_s > 0 && memcmp(k->digest, digest, TLS_DIGEST_SIZE) == 0 &&
               k->begins_s <= now_s && now_s < k->ends_s;
}

void tls_known_add(struct tls_context *c, const uint8_t digest[static TLS_DIGEST_SIZE],
                uint64_t begins_s, uint64_t ends_s) {
        struct tls_known *k;

        if (!c->known)
                c->known = calloc(TLS_KNOWN_MAX, sizeof(*c->known));
        if (!c->known)
                return; /* it is verified again */
        k = slot_of(c, digest);
        *k = (struct tls_known){.begins_s = begins_s, .ends_s = ends_s};
        memcpy(k->digest, digest, TLS_DIGEST_SIZE);
}

/* Both times of a certificate; false when they cannot be read. */
static bool times_of(gnutls_x509_crt_t crt, uint64_t *ret_begins_s, uint64_t *ret_ends_s) {
        time_t begin = gnutls_x509_crt_get_activation_time(crt),
               end = gnutls_x509_crt_get_expiration_time(crt);

        if (begin < 0 || end <= 0)
                return false;
        *ret_begins_s = (uint64_t)begin;
        *ret_ends_s = (uint64_t)end;
        return true;
}

/* A certificate that was just found good. */
static void remember(struct tls_context *c, gnutls_x509_crt_t crt,
                const uint8_t digest[static TLS_DIGEST_SIZE]) {
        uint64_t begins_s, ends_s, ca_begins_s, ca_ends_s;
        gnutls_x509_crt_t ca;

        if (gnutls_certificate_get_issuer(c->credentials, crt, &ca, GNUTLS_TL_GET_COPY) < 0)
                return;
        if (times_of(crt, &begins_s, &ends_s) && times_of(ca, &ca_begins_s, &ca_ends_s))
                tls_known_add(c, digest, MAX(begins_s, ca_begins_s), MIN(ends_s, ca_ends_s));
        gnutls_x509_crt_deinit(ca);
}

/* ---- the peer ---- */

/* One value of the subject; NULL when there is none at this index or it is not clean UTF-8. */
static char *subject_value(gnutls_x509_crt_t crt, const char *oid, unsigned index) {
        char text[DN_SIZE_MAX];
        size_t n = sizeof(text);

        if (gnutls_x509_crt_get_dn_by_oid(crt, oid, index, 0, text, &n) < 0 ||
                        !utf8_is_valid(text, n))
                return NULL;
        return strndup(text, n);
}

static int read_subject(struct tls_peer *peer, gnutls_x509_crt_t crt,
                const uint8_t digest[static TLS_DIGEST_SIZE]) {
        static const char digits[] = "0123456789abcdef";
        time_t end = gnutls_x509_crt_get_expiration_time(crt);
        int r;

        peer->cn = subject_value(crt, GNUTLS_OID_X520_COMMON_NAME, 0);
        for (unsigned i = 0; i < ORGANIZATIONS_MAX; i++) {
                _cleanup_free_ char *o = subject_value(crt, GNUTLS_OID_X520_ORGANIZATION_NAME, i);

                if (!o)
                        break;
                r = strv_extend(&peer->organizations, o);
                if (r < 0)
                        return r;
        }
        peer->fingerprint = malloc(2 * TLS_DIGEST_SIZE + 1);
        if (!peer->fingerprint)
                return -ENOMEM;
        for (size_t i = 0; i < TLS_DIGEST_SIZE; i++) {
                peer->fingerprint[2 * i] = digits[digest[i] >> 4];
                peer->fingerprint[2 * i + 1] = digits[digest[i] & 15];
        }
        peer->fingerprint[2 * TLS_DIGEST_SIZE] = 0;
        peer->not_after_s = end > 0 ? (uint64_t)end : 0;
        return 0;
}

/* 1: verified; 0: not, with the reason in peer. alone: no other certificate came with
 * it. */
static int verify(struct tls_peer *peer, struct tls_context *c, gnutls_session_t session,
                gnutls_x509_crt_t crt, const uint8_t digest[static TLS_DIGEST_SIZE], bool alone) {
        gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                        .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
        unsigned status = 0;
        int r;

        if (alone && tls_known_find(c, digest, now_wall_us() / 1000000))
                return 1;
        r = gnutls_certificate_verify_peers(session, &purpose, 1, &status);
        if (r < 0)
                peer->problem = strdup(gnutls_strerror(r));
        else if (status != 0)
                peer->problem = tls_status_text(session, status);
        if (r < 0 || status != 0)
                return 0;
        if (alone)
                remember(c, crt, digest);
        return 1;
}

static int read_peer(struct tls_peer *peer, struct tls_context *c, gnutls_session_t session,
                gnutls_x509_crt_t crt, const gnutls_datum_t *der, bool alone) {
        uint8_t digest[TLS_DIGEST_SIZE];
        size_t n = sizeof(digest);
        int r;

        if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) < 0 ||
                        gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, digest, &n) < 0) {
                peer->problem = strdup("the certificate cannot be read");
                return 0;
        }
        r = verify(peer, c, session, crt, digest, alone);
        if (r <= 0)
                return r;
        r = read_subject(peer, crt, digest);
        peer->verified = r >= 0;
        return r;
}

int tls_peer_read(struct tls_peer *ret, struct tls_context *c, void *gnutls_session) {
        unsigned count = 0;
        struct tls_peer peer = {0};
        gnutls_x509_crt_t crt;
        int r;

        const gnutls_datum_t *certs = gnutls_certificate_get_peers(gnutls_session, &count);
        if (!certs || count == 0) {
                *ret = peer;
                return 0;
        }
        if (gnutls_x509_crt_init(&crt) < 0)
                return -ENOMEM;
        r = read_peer(&peer, c, gnutls_session, crt, &certs[0], count == 1);
        gnutls_x509_crt_deinit(crt);
        if (r < 0) {
                tls_peer_done(&peer);
                return r;
        }
        *ret = peer;
        return 0;
}

/* ---- another authority ---- */

/* The presented chain; how many of it are in ret. */
static unsigned import_chain(const gnutls_datum_t *certs, unsigned n, gnutls_x509_crt_t *ret) {
        unsigned count = 0;

        for (; count < n && count < CHAIN_MAX; count++) {
                if (gnutls_x509_crt_init(&ret[count]) < 0)
                        break;
                if (gnutls_x509_crt_import(ret[count], &certs[count], GNUTLS_X509_FMT_DER) < 0) {
                        gnutls_x509_crt_deinit(ret[count]);
                        break;
                }
        }
        return count;
}

static bool chain_is_valid(
                gnutls_x509_trust_list_t trusted, gnutls_x509_crt_t *chain, unsigned count) {
        gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                        .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
        unsigned status = 0;

        return gnutls_x509_trust_list_verify_crt2(
                               trusted, chain, count, &purpose, 1, 0, &status, NULL) >= 0 &&
               status == 0;
}

/* 1, or an error. */
static int read_identity(struct tls_peer *peer, gnutls_x509_crt_t crt) {
        uint8_t digest[TLS_DIGEST_SIZE];
        size_t n = sizeof(digest);
        int r;

        if (gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA256, digest, &n) < 0)
                return -EINVAL;
        r = read_subject(peer, crt, digest);
        return r < 0 ? r : 1;
}

int tls_peer_signed_by(struct tls_peer *ret, void *gnutls_session, const char *ca_pem) {
        gnutls_x509_crt_t chain[CHAIN_MAX];
        gnutls_x509_trust_list_t trusted;
        gnutls_datum_t ca = {.data = (unsigned char *)ca_pem, .size = (unsigned)strlen(ca_pem)};
        unsigned n = 0, count;
        const gnutls_datum_t *certs = gnutls_certificate_get_peers(gnutls_session, &n);
        struct tls_peer peer = {0};
        int r = 0;

        if (!certs || n == 0)
                return 0;
        if (gnutls_x509_trust_list_init(&trusted, 0) < 0)
                return -ENOMEM;
        count = import_chain(certs, n, chain);
        if (count > 0 &&
                        gnutls_x509_trust_list_add_trust_mem(
                                        trusted, &ca, NULL, GNUTLS_X509_FMT_PEM, 0, 0) > 0 &&
                        chain_is_valid(trusted, chain, count))
                r = 1;
        if (r > 0)
                r = read_identity(&peer, chain[0]);
        for (unsigned i = 0; i < count; i++)
                gnutls_x509_crt_deinit(chain[i]);
        gnutls_x509_trust_list_deinit(trusted, 1);
        if (r <= 0) {
                tls_peer_done(&peer);
                return r == -ENOMEM ? r : 0;
        }
        peer.verified = true;
        *ret = peer;
        return 1;
}
