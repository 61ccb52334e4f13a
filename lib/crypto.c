/* Thin wrappers with our types. Calls that can fail only by a bug here are asserted. ECDSA
 * signatures are DER in GnuTLS and r and s side by side outside (RFC 7518 section 3.4). */
#include "lib/crypto.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "lib/random.h"

enum { NONCE_SIZE = 12, TAG_SIZE = 16, MAGIC_SIZE = 8, COORDINATE_SIZE = 32, KEY_ID_SIZE = 20 };
static const char magic[MAGIC_SIZE] = "KLSNSEA1";

static void datum_donep(gnutls_datum_t *d) {
        gnutls_free(d->data);
}
#define _cleanup_datum_ _cleanup_(datum_donep)

static gnutls_datum_t datum_of(const void *data, size_t n) {
        assert(n <= UINT32_MAX);
        return (gnutls_datum_t){.data = (unsigned char *)data, .size = (unsigned)n};
}

/* A copy on our heap with a NUL behind it. */
static int copy_out(const gnutls_datum_t *d, void **ret, size_t *ret_size) {
        char *copy = malloc((size_t)d->size + 1);

        if (!copy)
                return -ENOMEM;
        if (d->size > 0)
                memcpy(copy, d->data, d->size);
        copy[d->size] = 0;
        *ret = copy;
        *ret_size = d->size;
        return 0;
}

static void to_hex(const uint8_t *bytes, size_t n, char *ret) {
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < n; i++) {
                *ret++ = digits[bytes[i] >> 4];
                *ret++ = digits[bytes[i] & 15];
        }
        *ret = 0;
}

/* --- hashes --- */

struct sha256 {
        gnutls_hash_hd_t handle;
};

struct sha256 *sha256_new(void) {
        struct sha256 *h = malloc(sizeof(*h));

        if (!h || gnutls_hash_init(&h->handle, GNUTLS_DIG_SHA256) < 0)
                return mfree(h);
        return h;
}

struct sha256 *sha256_free(struct sha256 *h) {
        if (h)
                gnutls_hash_deinit(h->handle, NULL);
        return mfree(h);
}

void sha256_add(struct sha256 *h, const void *data, size_t n) {
        int r = gnutls_hash(h->handle, data, n);

        assert(r >= 0);
}

void sha256_take(struct sha256 *h, uint8_t ret[static SHA256_SIZE]) {
        gnutls_hash_output(h->handle, ret);
}

void sha256_hex(const void *data, size_t n, char ret[static SHA256_HEX_SIZE]) {
        uint8_t digest[SHA256_SIZE];
        int r = gnutls_hash_fast(GNUTLS_DIG_SHA256, data, n, digest);

        assert(r >= 0);
        to_hex(digest, sizeof(digest), ret);
}

void sha1_bytes(const void *data, size_t n, uint8_t ret[static SHA1_SIZE]) {
        int r = gnutls_hash_fast(GNUTLS_DIG_SHA1, data, n, ret);

        assert(r >= 0);
}

int sha256_file(int fd, uint64_t size, uint8_t ret[static SHA256_SIZE]) {
        enum { PIECE = 1 << 18 };
        _cleanup_(sha256_freep) struct sha256 *h = sha256_new();
        _cleanup_free_ char *piece = malloc(PIECE);

        if (!piece || !h)
                return -ENOMEM;
        for (uint64_t at = 0; at < size;) {
                ssize_t n = pread(fd, piece, (size_t)MIN(size - at, (uint64_t)PIECE), (off_t)at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -ENODATA;
                sha256_add(h, piece, (size_t)n);
                at += (uint64_t)n;
        }
        sha256_take(h, ret);
        return 0;
}

struct hash {
        gnutls_hash_hd_t handle;
        size_t size;
};

struct hash *hash_new(enum hash_kind kind) {
        gnutls_digest_algorithm_t algorithm =
                        kind == HASH_SHA512 ? GNUTLS_DIG_SHA512 : GNUTLS_DIG_SHA256;
        struct hash *h = malloc(sizeof(*h));

        if (!h || gnutls_hash_init(&h->handle, algorithm) < 0)
                return mfree(h);
        h->size = gnutls_hash_get_len(algorithm);
        return h;
}

struct hash *hash_free(struct hash *h) {
        if (h)
                gnutls_hash_deinit(h->handle, NULL);
        return mfree(h);
}

void hash_add(struct hash *h, const void *data, size_t n) {
        int r = gnutls_hash(h->handle, data, n);

        assert(r >= 0);
}

void hash_take(struct hash *h, char ret[static HASH_HEX_SIZE_MAX]) {
        uint8_t digest[HASH_HEX_SIZE_MAX / 2];

        gnutls_hash_output(h->handle, digest);
        to_hex(digest, h->size, ret);
}

bool secret_equal(const void *a, const void *b, size_t n) {
        return gnutls_memcmp(a, b, n) == 0;
}

/* --- keys and sealing --- */

int key_derive(const struct key_source *source, void *ret, size_t size) {
        uint8_t extracted[SHA256_SIZE];
        gnutls_datum_t material = datum_of(source->material, source->material_size),
                       salt = datum_of(source->salt, source->salt_size),
                       info = datum_of(source->purpose, strlen(source->purpose)),
                       pseudorandom = datum_of(extracted, sizeof(extracted));
        bool failed = gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &material, &salt, extracted) < 0 ||
                      gnutls_hkdf_expand(GNUTLS_MAC_SHA256, &pseudorandom, &info, ret, size) < 0;

        explicit_bzero(extracted, sizeof(extracted));
        return failed ? -EIO : 0;
}

int key_id(const void *key, size_t size, char ret[static KEY_ID_TEXT_SIZE]) {
        const struct key_source source = {
                        .material = key, .material_size = size, .purpose = "keelson key id"};
        uint8_t id[KEY_ID_TEXT_SIZE / 2];
        int r = key_derive(&source, id, sizeof(id));

        if (r >= 0)
                to_hex(id, sizeof(id), ret);
        return r;
}

int key_of_passphrase(const char *passphrase, const void *salt, size_t salt_size,
                unsigned iterations, uint8_t ret[static 32]) {
        gnutls_datum_t key = datum_of(passphrase, strlen(passphrase)),
                       s = datum_of(salt, salt_size);

        return gnutls_pbkdf2(GNUTLS_MAC_SHA256, &key, &s, iterations, ret, 32) < 0 ? -EIO : 0;
}

static int cipher_new(gnutls_aead_cipher_hd_t *ret, const uint8_t key[static SEAL_KEY_SIZE]) {
        gnutls_datum_t k = datum_of(key, SEAL_KEY_SIZE);

        return gnutls_aead_cipher_init(ret, GNUTLS_CIPHER_AES_256_GCM, &k) < 0 ? -EIO : 0;
}

int seal(const uint8_t key[static SEAL_KEY_SIZE], const void *data, size_t n, void **ret,
                size_t *ret_size) {
        size_t size = n + TAG_SIZE;
        _cleanup_free_ uint8_t *out = malloc(MAGIC_SIZE + NONCE_SIZE + size);
        gnutls_aead_cipher_hd_t cipher;
        int r;

        if (!out)
                return -ENOMEM;
        r = cipher_new(&cipher, key);
        if (r < 0)
                return r;
        memcpy(out, magic, MAGIC_SIZE);
        random_bytes(out + MAGIC_SIZE, NONCE_SIZE);
        r = gnutls_aead_cipher_encrypt(cipher, out + MAGIC_SIZE, NONCE_SIZE, magic, MAGIC_SIZE,
                        TAG_SIZE, data, n, out + MAGIC_SIZE + NONCE_SIZE, &size);
        gnutls_aead_cipher_deinit(cipher);
        if (r < 0)
                return -EIO;
        *ret = TAKE_PTR(out);
        *ret_size = MAGIC_SIZE + NONCE_SIZE + size;
        return 0;
}

int unseal(const uint8_t key[static SEAL_KEY_SIZE], const void *data, size_t n, void **ret,
                size_t *ret_size) {
        _cleanup_free_ uint8_t *out = NULL;
        gnutls_aead_cipher_hd_t cipher;
        const uint8_t *in = data;
        size_t size = n;
        int r;

        if (n < MAGIC_SIZE + NONCE_SIZE + TAG_SIZE || memcmp(in, magic, MAGIC_SIZE) != 0)
                return -EBADMSG;
        out = malloc(n + 1);
        if (!out)
                return -ENOMEM;
        r = cipher_new(&cipher, key);
        if (r < 0)
                return r;
        r = gnutls_aead_cipher_decrypt(cipher, in + MAGIC_SIZE, NONCE_SIZE, magic, MAGIC_SIZE,
                        TAG_SIZE, in + MAGIC_SIZE + NONCE_SIZE, n - MAGIC_SIZE - NONCE_SIZE, out,
                        &size);
        gnutls_aead_cipher_deinit(cipher);
        if (r < 0)
                return -EBADMSG;
        out[size] = 0;
        *ret = TAKE_PTR(out);
        *ret_size = size;
        return 0;
}

struct aes_gcm {
        gnutls_aead_cipher_hd_t handle;
};

int aes_gcm_new(struct aes_gcm **ret, const void *key, size_t size) {
        gnutls_cipher_algorithm_t algorithm = size == 16   ? GNUTLS_CIPHER_AES_128_GCM
                                              : size == 24 ? GNUTLS_CIPHER_AES_192_GCM
                                              : size == 32 ? GNUTLS_CIPHER_AES_256_GCM
                                                           : GNUTLS_CIPHER_UNKNOWN;
        gnutls_datum_t k = datum_of(key, size);
        struct aes_gcm *c;

        if (algorithm == GNUTLS_CIPHER_UNKNOWN)
                return -EINVAL;
        c = malloc(sizeof(*c));
        if (!c)
                return -ENOMEM;
        if (gnutls_aead_cipher_init(&c->handle, algorithm, &k) < 0) {
                free(c);
                return -ENOMEM;
        }
        *ret = c;
        return 0;
}

struct aes_gcm *aes_gcm_free(struct aes_gcm *c) {
        if (c)
                gnutls_aead_cipher_deinit(c->handle);
        return mfree(c);
}

int aes_gcm_seal(const struct aes_gcm *c, const char *beside, const void *data, size_t n,
                void *ret) {
        uint8_t *out = ret;
        size_t size = n + AES_GCM_TAG_SIZE;

        random_bytes(out, AES_GCM_NONCE_SIZE);
        return gnutls_aead_cipher_encrypt(c->handle, out, AES_GCM_NONCE_SIZE, beside,
                               strlen(beside), AES_GCM_TAG_SIZE, data, n, out + AES_GCM_NONCE_SIZE,
                               &size) < 0
                               ? -EIO
                               : 0;
}

int aes_gcm_open(const struct aes_gcm *c, const char *beside, const void *sealed, size_t n,
                void *ret) {
        const uint8_t *in = sealed;
        size_t size;

        if (n < AES_GCM_NONCE_SIZE + AES_GCM_TAG_SIZE)
                return -EBADMSG;
        size = n - AES_GCM_NONCE_SIZE - AES_GCM_TAG_SIZE;
        return gnutls_aead_cipher_decrypt(c->handle, in, AES_GCM_NONCE_SIZE, beside, strlen(beside),
                               AES_GCM_TAG_SIZE, in + AES_GCM_NONCE_SIZE, n - AES_GCM_NONCE_SIZE,
                               ret, &size) < 0
                               ? -EBADMSG
                               : 0;
}

/* --- signatures --- */

struct sign_key {
        gnutls_privkey_t private; /* NULL: verifies only */
        gnutls_pubkey_t public;
        gnutls_sign_algorithm_t algorithm;
        char id[2 * KEY_ID_SIZE + 1];
};

static int sign_key_load(struct sign_key *k, const char *pem) {
        gnutls_datum_t text = datum_of(pem, strlen(pem));

        if (gnutls_pubkey_init(&k->public) < 0 || gnutls_privkey_init(&k->private) < 0)
                return -ENOMEM;
        if (gnutls_privkey_import_x509_raw(k->private, &text, GNUTLS_X509_FMT_PEM, NULL, 0) >= 0)
                return gnutls_pubkey_import_privkey(k->public, k->private, 0, 0) < 0 ? -EINVAL : 0;
        gnutls_privkey_deinit(k->private);
        k->private = NULL;
        return gnutls_pubkey_import(k->public, &text, GNUTLS_X509_FMT_PEM) < 0 ? -EINVAL : 0;
}

static int sign_key_choose(struct sign_key *k) {
        unsigned bits;

        switch (gnutls_pubkey_get_pk_algorithm(k->public, &bits)) {
        case GNUTLS_PK_ECDSA:
                k->algorithm = GNUTLS_SIGN_ECDSA_SHA256;
                return bits == 256 ? 0 : -EINVAL;
        case GNUTLS_PK_RSA:
                k->algorithm = GNUTLS_SIGN_RSA_SHA256;
                return 0;
        default:
                return -EINVAL;
        }
}

int sign_key_new(struct sign_key **ret, const char *pem) {
        _cleanup_(sign_key_freep) struct sign_key *k = calloc(1, sizeof(*k));
        uint8_t id[KEY_ID_SIZE];
        size_t n = sizeof(id);
        int r;

        if (!k)
                return -ENOMEM;
        r = sign_key_load(k, pem);
        if (r < 0)
                return r;
        r = sign_key_choose(k);
        if (r < 0)
                return r;
        if (gnutls_pubkey_get_key_id(k->public, GNUTLS_KEYID_USE_SHA1, id, &n) >= 0)
                to_hex(id, n, k->id);
        *ret = TAKE_PTR(k);
        return 0;
}

struct sign_key *sign_key_free(struct sign_key *k) {
        if (!k)
                return NULL;
        if (k->private)
                gnutls_privkey_deinit(k->private);
        if (k->public)
                gnutls_pubkey_deinit(k->public);
        return mfree(k);
}

bool sign_key_is_private(const struct sign_key *k) {
        return k->private;
}

const char *sign_key_algorithm(const struct sign_key *k) {
        return k->algorithm == GNUTLS_SIGN_ECDSA_SHA256 ? "ES256" : "RS256";
}

const char *sign_key_id(const struct sign_key *k) {
        return k->id;
}

/* A coordinate, padded to its size; DER may begin with a zero. */
static int put_coordinate(const gnutls_datum_t *part, uint8_t ret[static COORDINATE_SIZE]) {
        const unsigned char *d = part->data;
        size_t n = part->size;

        for (; n > COORDINATE_SIZE && *d == 0; n--)
                d++;
        if (n > COORDINATE_SIZE)
                return -EINVAL;
        memset(ret, 0, COORDINATE_SIZE - n);
        memcpy(ret + COORDINATE_SIZE - n, d, n);
        return 0;
}

int sign_key_public(const struct sign_key *k, struct sign_key_part ret[static 2]) {
        _cleanup_datum_ gnutls_datum_t first = {0}, second = {0};
        uint8_t raw[2][COORDINATE_SIZE];
        gnutls_datum_t parts[2];
        int r;

        if (k->algorithm == GNUTLS_SIGN_ECDSA_SHA256) {
                if (gnutls_pubkey_export_ecc_raw2(k->public, NULL, &first, &second, 0) < 0 ||
                                put_coordinate(&first, raw[0]) < 0 ||
                                put_coordinate(&second, raw[1]) < 0)
                        return -EIO;
                parts[0] = datum_of(raw[0], sizeof(raw[0]));
                parts[1] = datum_of(raw[1], sizeof(raw[1]));
        } else {
                if (gnutls_pubkey_export_rsa_raw2(
                                    k->public, &first, &second, GNUTLS_EXPORT_FLAG_NO_LZ) < 0)
                        return -EIO;
                parts[0] = first;
                parts[1] = second;
        }
        r = copy_out(&parts[0], &ret[0].data, &ret[0].size);
        return r < 0 ? r : copy_out(&parts[1], &ret[1].data, &ret[1].size);
}

static int raw_from_der(const gnutls_datum_t *der, void **ret, size_t *ret_size) {
        _cleanup_datum_ gnutls_datum_t first = {0}, second = {0};
        uint8_t raw[2 * COORDINATE_SIZE];
        gnutls_datum_t out = datum_of(raw, sizeof(raw));

        if (gnutls_decode_rs_value(der, &first, &second) < 0 || put_coordinate(&first, raw) < 0 ||
                        put_coordinate(&second, raw + COORDINATE_SIZE) < 0)
                return -EIO;
        return copy_out(&out, ret, ret_size);
}

int sign_key_sign(const struct sign_key *k, const void *data, size_t n, void **ret,
                size_t *ret_size) {
        _cleanup_datum_ gnutls_datum_t signature = {0};
        gnutls_datum_t in;

        if (!k->private)
                return -EOPNOTSUPP;
        in = datum_of(data, n);
        if (gnutls_privkey_sign_data2(k->private, k->algorithm, 0, &in, &signature) < 0)
                return -EIO;
        if (k->algorithm == GNUTLS_SIGN_ECDSA_SHA256)
                return raw_from_der(&signature, ret, ret_size);
        return copy_out(&signature, ret, ret_size);
}

int sign_key_verify(const struct sign_key *k, const void *data, size_t n, const void *signature,
                size_t signature_size) {
        gnutls_datum_t in = datum_of(data, n), given = datum_of(signature, signature_size);
        _cleanup_datum_ gnutls_datum_t der = {0};

        if (k->algorithm == GNUTLS_SIGN_ECDSA_SHA256) {
                const uint8_t *raw = signature;
                gnutls_datum_t first, second;

                if (signature_size != 2 * COORDINATE_SIZE)
                        return -EINVAL;
                first = datum_of(raw, COORDINATE_SIZE);
                second = datum_of(raw + COORDINATE_SIZE, COORDINATE_SIZE);
                if (gnutls_encode_rs_value(&der, &first, &second) < 0)
                        return -EINVAL;
                given = der;
        }
        return gnutls_pubkey_verify_data2(k->public, k->algorithm, 0, &in, &given) < 0 ? -EINVAL
                                                                                       : 0;
}

/* --- Base64 --- */

char *base64_encode(const void *data, size_t n) {
        _cleanup_datum_ gnutls_datum_t out = {0};
        gnutls_datum_t in;

        if (n == 0)
                return strdup("");
        if (n > UINT32_MAX / 2)
                return NULL;
        in = datum_of(data, n);
        if (gnutls_base64_encode2(&in, &out) < 0)
                return NULL;
        return strndup((const char *)out.data, out.size);
}

int base64_decode(const char *s, void **ret, size_t *ret_size) {
        _cleanup_datum_ gnutls_datum_t out = {0};
        size_t n = strlen(s);

        /* GnuTLS skips what it does not know; the API's bytes are strict (RFC 4648 section 4). */
        size_t body = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
        if (n % 4 != 0 || n > UINT32_MAX / 2 || n - body > 2 || strspn(s + body, "=") != n - body)
                return -EINVAL;
        if (n > 0) {
                gnutls_datum_t in = datum_of(s, n);
                int r = gnutls_base64_decode2(&in, &out);

                if (r < 0)
                        return r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EINVAL;
        }
        return copy_out(&out, ret, ret_size);
}

char *base64url_encode(const void *data, size_t n) {
        char *text = base64_encode(data, n);

        if (!text)
                return NULL;
        text[strcspn(text, "=")] = 0;
        for (char *c = text; *c; c++)
                *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
        return text;
}

int base64url_decode(const char *s, size_t n, void **ret, size_t *ret_size) {
        _cleanup_free_ char *text = NULL;
        size_t padded = (n + 3) / 4 * 4;

        if (memchr(s, '+', n) || memchr(s, '/', n) || memchr(s, '=', n) || memchr(s, 0, n))
                return -EINVAL;
        text = malloc(padded + 1);
        if (!text)
                return -ENOMEM;
        for (size_t i = 0; i < padded; i++)
                text[i] = (char)(i >= n ? '=' : s[i] == '-' ? '+' : s[i] == '_' ? '/' : s[i]);
        text[padded] = 0;
        return base64_decode(text, ret, ret_size);
}
