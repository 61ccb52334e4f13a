/* Hashes, sealed bytes, derived keys, signatures and Base64: the one home of GnuTLS's crypto part.
 * Certificates and requests are lib/pki's, sessions are lib/tls's, randomness is lib/random's. */
#pragma once

#include "lib/base.h"

enum { SHA256_SIZE = 32, SHA256_HEX_SIZE = 65, SHA1_SIZE = 20 };

/* SHA-1 (FIPS 180-4), only where a protocol wants it and nothing is secret (RFC 6455). */
void sha1_bytes(const void *data, size_t n, uint8_t ret[static SHA1_SIZE]);

/* SHA-256 (FIPS 180-4) over data as lower-case hex with a NUL. */
void sha256_hex(const void *data, size_t n, char ret[static SHA256_HEX_SIZE]);
/* SHA-256 of the first size bytes of a file. -ENODATA when it has fewer, another errno of reading.
 */
int sha256_file(int fd, uint64_t size, uint8_t ret[static SHA256_SIZE]);

/* A hash of bytes that come in pieces. */
struct sha256;
/* NULL when out of memory. */
struct sha256 *sha256_new(void) _warn_unused_;
struct sha256 *sha256_free(struct sha256 *h);
DEFINE_CLEANUP(struct sha256 *, sha256_free);
void sha256_add(struct sha256 *h, const void *data, size_t n);
/* The hash of everything added; the next piece starts a new one. */
void sha256_take(struct sha256 *h, uint8_t ret[static SHA256_SIZE]);

/* The same for a hash that is chosen when it begins; the results are lower-case hex with a NUL. */
enum hash_kind { HASH_SHA256, HASH_SHA512 };
enum { HASH_HEX_SIZE_MAX = 129 };
struct hash;
/* NULL when out of memory. */
struct hash *hash_new(enum hash_kind kind) _warn_unused_;
struct hash *hash_free(struct hash *h);
DEFINE_CLEANUP(struct hash *, hash_free);
void hash_add(struct hash *h, const void *data, size_t n);
void hash_take(struct hash *h, char ret[static HASH_HEX_SIZE_MAX]);

/* Whether two secrets of n bytes are equal, in a time that does not depend on where they differ. */
bool secret_equal(const void *a, const void *b, size_t n);

/* HKDF-SHA256 (RFC 5869): a key of size bytes (at most 255 * 32) from secret material, an optional
 * salt, and what the key is for. 0 or -EIO. */
struct key_source {
        const void *material, *salt;
        size_t material_size, salt_size;
        const char *purpose;
};
int key_derive(const struct key_source *source, void *ret, size_t size);

/* Tells keys apart: hexadecimal, from which nothing about the key can be found. 0 or -EIO. */
enum { KEY_ID_TEXT_SIZE = 17 };
int key_id(const void *key, size_t size, char ret[static KEY_ID_TEXT_SIZE]);

/* PBKDF2-SHA256 (RFC 8018): a key of 32 bytes from what a person can remember. 0 or -EIO. */
int key_of_passphrase(const char *passphrase, const void *salt, size_t salt_size,
                unsigned iterations, uint8_t ret[static 32]);

/* Sealed bytes: AES-256-GCM (NIST SP 800-38D) with a random nonce: 8 bytes "KLSNSEA1", which are
 * authenticated too, 12 of nonce, the cipher text, 16 of tag. *ret is the caller's. */
enum { SEAL_KEY_SIZE = 32 };
/* 0, -ENOMEM, -EIO. */
int seal(const uint8_t key[static SEAL_KEY_SIZE], const void *data, size_t n, void **ret,
                size_t *ret_size);
/* -EBADMSG when it was changed or sealed with another key. The result is NUL-terminated beyond its
 * size. */
int unseal(const uint8_t key[static SEAL_KEY_SIZE], const void *data, size_t n, void **ret,
                size_t *ret_size);

/* AES-GCM (NIST SP 800-38D) with a key that is kept, and text that is authenticated beside the
 * data: for formats of others. Sealed bytes are 12 of a random nonce, the cipher text, 16 of tag.
 */
struct aes_gcm;
enum { AES_GCM_NONCE_SIZE = 12, AES_GCM_TAG_SIZE = 16 };
/* A key of 16, 24 or 32 bytes. -EINVAL, -ENOMEM. */
int aes_gcm_new(struct aes_gcm **ret, const void *key, size_t size);
struct aes_gcm *aes_gcm_free(struct aes_gcm *c);
DEFINE_CLEANUP(struct aes_gcm *, aes_gcm_free);
/* Writes n + AES_GCM_NONCE_SIZE + AES_GCM_TAG_SIZE bytes. 0 or -EIO. */
int aes_gcm_seal(
                const struct aes_gcm *c, const char *beside, const void *data, size_t n, void *ret);
/* Writes n bytes less those two. -EBADMSG when they, or the text beside them, are not what was
 * sealed with this key. */
int aes_gcm_open(const struct aes_gcm *c, const char *beside, const void *sealed, size_t n,
                void *ret);

/* A key that signs and verifies as JSON Web Signatures do (RFC 7518): ES256 (ECDSA P-256 and
 * SHA-256, the signature is r and s of 32 bytes each) or RS256 (RSA PKCS #1 1.5 and SHA-256). */
struct sign_key;
/* From a private key (signs and verifies) or a public one (verifies only), PEM. -EINVAL when it is
 * neither or of another algorithm, -ENOMEM. */
int sign_key_new(struct sign_key **ret, const char *pem);
struct sign_key *sign_key_free(struct sign_key *k);
DEFINE_CLEANUP(struct sign_key *, sign_key_free);
bool sign_key_is_private(const struct sign_key *k);
/* "ES256" or "RS256". */
const char *sign_key_algorithm(const struct sign_key *k);
/* SHA-1 of the public half as lower-case hex: the same for both halves. */
const char *sign_key_id(const struct sign_key *k);
/* The public half: RSA's modulus and exponent, or a point's x and y of 32 bytes each; the most
 * significant byte first. The caller frees both, also after an error: -ENOMEM, -EIO. */
struct sign_key_part {
        void *data;
        size_t size;
};
int sign_key_public(const struct sign_key *k, struct sign_key_part ret[static 2]);
/* *ret is the caller's. -EOPNOTSUPP for a public key, -ENOMEM, -EIO. */
int sign_key_sign(
                const struct sign_key *k, const void *data, size_t n, void **ret, size_t *ret_size);
/* 0, or -EINVAL when it is not a signature of these bytes by this key. */
int sign_key_verify(const struct sign_key *k, const void *data, size_t n, const void *signature,
                size_t signature_size);

/* Base64 with padding (RFC 4648 section 4), strict. The caller frees; encode: NULL when out of
 * memory; decode: -EINVAL, -ENOMEM; the result is NUL-terminated beyond its size. */
char *base64_encode(const void *data, size_t n) _warn_unused_;
int base64_decode(const char *s, void **ret, size_t *ret_size);
/* Base64 for URLs, without padding (RFC 4648 section 5). decode takes n characters. */
char *base64url_encode(const void *data, size_t n) _warn_unused_;
int base64url_decode(const char *s, size_t n, void **ret, size_t *ret_size);
