/* kctl create secret tls: a certificate and its key. */
#include "kctl/create/create.h"
#include "lib/fileio.h"
#include "lib/pki.h"

enum { PEM_SIZE_MAX = 1 << 20 };

static int read_pem(const char *path, char **ret, struct problem *p) {
        int r = file_read(path, PEM_SIZE_MAX, ret, NULL);

        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "read", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        return 0;
}

static int add(json_t *data, const char *name, const char *text) {
        _cleanup_free_ char *encoded = base64_encode(text, strlen(text));

        return !encoded || json_object_set_new(data, name, json_string(encoded)) < 0 ? -ENOMEM : 0;
}

static int build(struct kctl *k, json_t *object, struct problem *p) {
        _cleanup_free_ char *cert = NULL, *key = NULL;
        _cleanup_json_ json_t *data = json_object();
        int r;

        if (isempty(k->flags.cert) || isempty(k->flags.key))
                return problem_set(p, EINVAL, 0, NULL,
                                "--cert FILE and --key FILE are needed: a certificate and its key, "
                                "in PEM");
        r = read_pem(k->flags.cert, &cert, p);
        if (r < 0)
                return r;
        r = read_pem(k->flags.key, &key, p);
        if (r < 0)
                return r;
        r = pki_cert_matches_key(cert, key);
        if (r <= 0)
                return problem_set(p, EINVAL, 0, NULL, "%s and %s are not a certificate and its key",
                                k->flags.cert, k->flags.key);
        if (!data || add(data, "tls.crt", cert) < 0 || add(data, "tls.key", key) < 0)
                return -ENOMEM;
        explicit_bzero(key, strlen(key));
        json_set_str(object, "type", "kubernetes.io/tls");
        json_object_set(object, "data", data);
        return k->flags.append_hash ? append_hash(object, p) : 0;
}

int kctl_create_secret_tls(struct kctl *k) {
        return create_run(k, KIND_SECRETS, build);
}
