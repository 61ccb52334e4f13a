/* kctl create secret docker-registry: credentials of a registry of images, in the form of Docker's
 * configuration file. */
#include "kctl/create/create.h"
#include "lib/crypto.h"

/* "USER:PASSWORD" in Base64. */
static char *basic(const char *user, const char *password) {
        _cleanup_free_ char *plain = strformat("%s:%s", user, password);

        return plain ? base64_encode(plain, strlen(plain)) : NULL;
}

/* The configuration of the flags. */
static char *configuration(const struct kctl_flags *f, struct problem *p) {
        _cleanup_free_ char *auth = NULL;
        _cleanup_json_ json_t *v = NULL;

        if (isempty(f->docker_username) || isempty(f->docker_password)) {
                problem_set(p, EINVAL, 0, NULL,
                                "--docker-username and --docker-password are needed, or "
                                "--from-file with a configuration of Docker");
                return NULL;
        }
        auth = basic(f->docker_username, f->docker_password);
        v = auth ? json_pack("{s:{s:{s:s, s:s, s:s*, s:s}}}", "auths", f->docker_server, "username",
                                   f->docker_username, "password", f->docker_password, "email",
                                   isempty(f->docker_email) ? NULL : f->docker_email, "auth", auth)
                 : NULL;
        return v ? json_text(v) : NULL;
}

static int from_flags(struct kctl *k, json_t *data, struct problem *p) {
        _cleanup_free_ char *text = configuration(&k->flags, p),
                            *encoded = text ? base64_encode(text, strlen(text)) : NULL;

        if (!text && p->message)
                return -EINVAL;
        return encoded ? json_object_set_new(data, ".dockerconfigjson", json_string(encoded)) < 0
                                         ? -ENOMEM
                                         : 0
                       : -ENOMEM;
}

static int build(struct kctl *k, json_t *object, struct problem *p) {
        _cleanup_json_ json_t *data = json_object();
        int r;

        if (!data)
                return -ENOMEM;
        r = k->flags.from_file ? sources_read(k, data, /* binary= */ NULL, p)
                               : from_flags(k, data, p);
        if (r < 0)
                return r;
        if (!json_object_get(data, ".dockerconfigjson"))
                return problem_set(p, EINVAL, 0, NULL,
                                "--from-file needs the key .dockerconfigjson: --from-file "
                                ".dockerconfigjson=PATH");
        json_set_str(object, "type", "kubernetes.io/dockerconfigjson");
        json_object_set(object, "data", data);
        return k->flags.append_hash ? append_hash(object, p) : 0;
}

int kctl_create_secret_docker(struct kctl *k) {
        return create_run(k, KIND_SECRETS, build);
}
