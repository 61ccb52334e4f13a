/* Public keys of JSON Web Key Sets (RFC 7517, RFC 7518 section 6) and signatures by them: RSA with
 * PKCS #1 1.5 and PSS, ECDSA on P-256, P-384 and P-521. Keys of our own are lib/crypto's sign_key.
 */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum {
        JWK_COUNT_MAX = 64,
        JWK_RSA_BITS_MIN = 2048, /* RFC 7518 section 3.3 */
        JWK_RSA_BITS_MAX = 8192, /* time of one verification */
};

/* Whether the word is one of the algorithms: RS256, RS384, RS512, PS256, PS384, PS512, ES256,
 * ES384, ES512. Nothing else is: not "none", and no HMAC. */
bool jwk_algorithm_is_known(const char *name);

struct jwk_set;
/* Reads {"keys": [...]}. Keys of other types, for encryption, or that cannot be used are left out,
 * as RFC 7517 section 5 says. -EINVAL with p: it is no set, it has too many keys, or none is left.
 */
int jwk_set_new(struct jwk_set **ret, const json_t *document, struct problem *p);
struct jwk_set *jwk_set_free(struct jwk_set *s);
DEFINE_CLEANUP(struct jwk_set *, jwk_set_free);
size_t jwk_set_count(const struct jwk_set *s);

/* Whether one of the keys with this id (NULL: any key) made the signature of these bytes with that
 * algorithm, which the key's type and its "alg" must fit. 0; -ENOKEY when no key has the id and
 * fits; -EINVAL when it is not the signature. */
struct jws {
        const char *algorithm, *key_id;
        const void *data, *signature;
        size_t size, signature_size;
};
int jwk_set_verify(const struct jwk_set *s, const struct jws *w);
