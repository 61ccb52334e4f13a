/* Kubeconfigs of our own making, of which single values are read and replaced. */
#include "kctl/kubeconfig-parts.h"

#include "lib/crypto.h"
#include "lib/json.h"
#include "lib/yaml.h"

#define AUTHORITY "certificate-authority"
#define CERTIFICATE "client-certificate"
#define KEY "client-key"

void kubeconfig_parts_done(struct kubeconfig_parts *parts) {
        free(parts->context);
        free(parts->server);
        free(parts->ca);
        free(parts->cert);
        if (parts->key)
                explicit_bzero(parts->key, strlen(parts->key));
        free(parts->key);
        *parts = (struct kubeconfig_parts){0};
}

static json_t *named(const json_t *config, const char *list, const char *key, const char *name) {
        const json_t *item;
        size_t i;

        json_array_foreach (json_object_get(config, list), i, item)
                if (streq(json_str_or(item, "name", ""), name))
                        return json_object_get(item, key);
        return NULL;
}

struct config {
        json_t *whole;
        const char *context;   /* of whole */
        json_t *cluster, *user; /* of whole */
};

static int config_read(const char *text, struct config *ret, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        struct config c = {0};
        const json_t *context;
        int r = yaml_parse(text, strlen(text), &docs, p);

        if (r < 0)
                return r;
        if (docs.count != 1 || !json_is_object(docs.items[0].value))
                return problem_set(p, EINVAL, 0, NULL, "it is not a kubeconfig");
        c.whole = docs.items[0].value;
        c.context = json_str_or(c.whole, "current-context", "");
        context = named(c.whole, "contexts", "context", c.context);
        c.cluster = named(c.whole, "clusters", "cluster", json_str_or(context, "cluster", ""));
        c.user = named(c.whole, "users", "user", json_str_or(context, "user", ""));
        if (!json_is_object(c.cluster) || !json_is_object(c.user))
                return problem_set(p, EINVAL, 0, NULL,
                                "the current context of the kubeconfig (\"%s\") has no cluster or no "
                                "user",
                                c.context);
        json_incref(c.whole);
        *ret = c;
        return 0;
}

static int embedded(const json_t *object, const char *field, char **ret) {
        _cleanup_free_ char *name = strformat("%s-data", field);
        const char *data;
        void *bytes;
        size_t n;

        if (!name)
                return -ENOMEM;
        data = json_string_value(json_object_get(object, name));
        if (isempty(data) || base64_decode(data, &bytes, &n) < 0)
                return 0;
        *ret = strndup(bytes, n);
        explicit_bzero(bytes, n);
        free(bytes);
        return *ret ? 0 : -ENOMEM;
}

int kubeconfig_take_apart(const char *text, struct kubeconfig_parts *ret, struct problem *p) {
        _cleanup_(kubeconfig_parts_done) struct kubeconfig_parts parts = {0};
        struct config c;
        int r = config_read(text, &c, p);

        if (r < 0)
                return r;
        parts.context = strdup(c.context);
        parts.server = strdup(json_str_or(c.cluster, "server", ""));
        if (!parts.context || !parts.server || embedded(c.cluster, AUTHORITY, &parts.ca) < 0 ||
                        embedded(c.user, CERTIFICATE, &parts.cert) < 0 ||
                        embedded(c.user, KEY, &parts.key) < 0)
                r = -ENOMEM;
        json_decref(c.whole);
        if (r < 0)
                return r;
        *ret = parts;
        parts = (struct kubeconfig_parts){0};
        return 0;
}

static int embed(json_t *object, const char *field, const char *pem) {
        _cleanup_free_ char *name = strformat("%s-data", field),
                            *data = pem ? base64_encode(pem, strlen(pem)) : NULL;

        if (!pem)
                return 0;
        if (!name || !data)
                return -ENOMEM;
        json_object_del(object, field);
        return json_object_set_new(object, name, json_string(data)) < 0 ? -ENOMEM : 0;
}

static int refer(json_t *object, const char *field, const char *file) {
        _cleanup_free_ char *name = strformat("%s-data", field);

        if (!name || !file)
                return -ENOMEM;
        json_object_del(object, name);
        return json_object_set_new(object, field, json_string(file)) < 0 ? -ENOMEM : 0;
}

static int as_text(struct config *c, int r, char **ret) {
        char *text = r >= 0 ? yaml_text(c->whole) : NULL;

        json_decref(c->whole);
        if (r < 0)
                return r;
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}

int kubeconfig_put(const char *text, const char *ca, const char *cert, const char *key, char **ret,
                struct problem *p) {
        struct config c;
        int r = config_read(text, &c, p);

        if (r < 0)
                return r;
        if (embed(c.cluster, AUTHORITY, ca) < 0 || embed(c.user, CERTIFICATE, cert) < 0 ||
                        embed(c.user, KEY, key) < 0)
                r = -ENOMEM;
        return as_text(&c, r, ret);
}

int kubeconfig_refer(const char *text, const char *name, char **ret, struct problem *p) {
        _cleanup_free_ char *crt = strformat("%s.crt", name), *key = strformat("%s.key", name);
        struct config c;
        int r = config_read(text, &c, p);

        if (r < 0)
                return r;
        if (refer(c.cluster, AUTHORITY, "ca.crt") < 0 || refer(c.user, CERTIFICATE, crt) < 0 ||
                        refer(c.user, KEY, key) < 0)
                r = -ENOMEM;
        return as_text(&c, r, ret);
}
