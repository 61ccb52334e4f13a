/* Reference: clusterauthenticationtrust of kube-apiserver: bundles are united, expired certificates
 * left out. */
#include "kapid/aggregation/auth-config.h"

#include "lib/buf.h"
#include "lib/pki-renew.h"

enum { CERTIFICATES_MAX = 64 };

/* Adds those of the bundle that are in time and not there yet. */
static int add_bundle(char ***list, const char *pem, uint64_t now_s) {
        _cleanup_strv_free_ char **some = NULL;
        int r = isempty(pem) ? 0 : pki_bundle_split(pem, &some);

        if (r == -ENOMEM)
                return r;
        for (char **c = some; c && *c && strv_length(*list) < CERTIFICATES_MAX; c++) {
                _cleanup_pki_view_ struct pki_view v = {0};

                if (pki_cert_view(*c, &v) < 0 || v.ends_s <= now_s || strv_contains(*list, *c))
                        continue;
                r = strv_extend(list, *c);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int unite(json_t *data, const char *key, const char *ours, const json_t *live,
                uint64_t now_s) {
        _cleanup_strv_free_ char **list = NULL;
        _cleanup_free_ char *text = NULL;
        /* What is there comes first: otherwise two kapids would each write its own order. */
        int r = add_bundle(&list, json_string_value(json_object_get(live, key)), now_s);

        if (r < 0)
                return r;
        r = add_bundle(&list, ours, now_s);
        if (r < 0)
                return r;
        if (strv_length(list) == 0) {
                json_object_del(data, key);
                return 0;
        }
        text = strv_join(list, "");
        return text && json_object_set_new(data, key, json_string(text)) >= 0 ? 0 : -ENOMEM;
}

static bool has_word(const json_t *list, const char *word) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(strempty(json_string_value(v)), word))
                        return true;
        return false;
}

/* A list of words, as the ConfigMap has them: JSON text. Those that it has already stay. */
static int set_words(json_t *data, const char *key, char *const *words, const json_t *live) {
        const char *text = json_string_value(json_object_get(live, key));
        _cleanup_json_ json_t *list = NULL;
        _cleanup_free_ char *made = NULL;
        int r = text ? json_parse(text, strlen(text), 0, &list, NULL) : 0;

        if (r == -ENOMEM)
                return r;
        if (!json_is_array(list) || json_array_size(list) > CERTIFICATES_MAX) {
                json_decref(list);
                list = json_array();
        }
        for (; list && words && *words; words++)
                if (!has_word(list, *words) && json_array_append_new(list, json_string(*words)) < 0)
                        return -ENOMEM;
        made = list ? json_text(list) : NULL;
        return made && json_object_set_new(data, key, json_string(made)) >= 0 ? 0 : -ENOMEM;
}

int auth_config_data(
                const struct auth_config *c, const json_t *live, uint64_t now_s, json_t **ret) {
        static const char *const headers[][2] = {
                        {"requestheader-username-headers", "[\"X-Remote-User\"]"},
                        {"requestheader-uid-headers", "[\"X-Remote-Uid\"]"},
                        {"requestheader-group-headers", "[\"X-Remote-Group\"]"},
                        {"requestheader-extra-headers-prefix", "[\"X-Remote-Extra-\"]"},
        };
        _cleanup_json_ json_t *data = live ? json_shallow_copy(live) : json_object();
        int r = data ? unite(data, "client-ca-file", c->client_ca, live, now_s) : -ENOMEM;

        if (r < 0)
                return r;
        if (c->front_ca) {
                r = unite(data, "requestheader-client-ca-file", c->front_ca, live, now_s);
                if (r < 0)
                        return r;
                r = set_words(data, "requestheader-allowed-names", c->names, live);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTS(headers) && c->front_ca; i++)
                if (json_object_set_new(data, headers[i][0], json_string(headers[i][1])) < 0)
                        return -ENOMEM;
        *ret = live && json_same(data, live) ? NULL : TAKE_PTR(data);
        return 0;
}
