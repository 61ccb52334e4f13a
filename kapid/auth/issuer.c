/* The two documents of an issuer. They hold what is public only: sign_key_public() gives no more.
 */
#include "kapid/auth/issuer.h"

#include "lib/crypto.h"

json_t *issuer_configuration(const char *issuer, const struct sign_key *key) {
        _cleanup_free_ char *keys =
                        strformat("%s%sopenid/v1/jwks", issuer, endswith(issuer, "/") ? "" : "/");

        if (!keys)
                return NULL;
        return json_pack("{ss, ss, s[s], s[s], s[s]}", "issuer", issuer, "jwks_uri", keys,
                        "response_types_supported", "id_token", "subject_types_supported", "public",
                        "id_token_signing_alg_values_supported", sign_key_algorithm(key));
}

json_t *issuer_keys(const struct sign_key *key) {
        const bool curve = streq(sign_key_algorithm(key), "ES256");
        struct sign_key_part parts[2] = {0};
        char *texts[2] = {NULL};
        json_t *v = NULL;

        if (sign_key_public(key, parts) >= 0)
                for (size_t i = 0; i < ELEMENTS(parts); i++)
                        texts[i] = base64url_encode(parts[i].data, parts[i].size);
        if (texts[0] && texts[1])
                v = json_pack("{s[{ss, ss, ss, ss, ss*, ss, ss}]}", "keys", "use", "sig", "kty",
                                curve ? "EC" : "RSA", "kid", sign_key_id(key), "alg",
                                sign_key_algorithm(key), "crv", curve ? "P-256" : NULL,
                                curve ? "x" : "n", texts[0], curve ? "y" : "e", texts[1]);
        for (size_t i = 0; i < ELEMENTS(parts); i++) {
                free(parts[i].data);
                free(texts[i]);
        }
        return v;
}
