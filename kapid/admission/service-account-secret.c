/* ServiceAccountToken: a Secret of type kubernetes.io/service-account-token gets a token of the
 * account that it names, which is valid as long as the Secret is there, and the cluster's CA
 * certificate. The account owns it: the Secret goes with the account. (The reference server's token
 * controller; only this server has the key that signs.) */
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "kapid/auth/account-token.h"
#include "kapid/auth/jwt.h"
#include "kapid/cache/item.h"
#include "lib/crypto.h"
#include "lib/object.h"

#define TYPE "kubernetes.io/service-account-token"
#define NAME_ANNOTATION "kubernetes.io/service-account.name"
#define UID_ANNOTATION "kubernetes.io/service-account.uid"
#define CA_CONFIGMAP "kube-root-ca.crt"

#define VALID_S (100 * 365 * UINT64_C(86400))

static int set_data(struct admission *a, const char *key, const char *value) {
        _cleanup_free_ char *encoded = base64_encode(value, strlen(value));
        json_t *data = json_object_get(a->draft, "data");

        if (!data) {
                data = json_object();
                if (!data || json_object_set_new(a->draft, "data", data) < 0)
                        return -ENOMEM;
        }
        if (!encoded || json_object_set_new(data, key, json_string(encoded)) < 0)
                return -ENOMEM;
        return 0;
}

static int set_token(struct admission *a, const json_t *account, struct problem *p) {
        const struct account_token t = {
                        .issuer = a->api->options.issuer,
                        .namespace = a->namespace,
                        .account = account,
                        .bound_claim = "secret",
                        .bound_name = object_name(a->draft),
                        .bound_uid = object_uid(a->draft),
                        .now_s = a->now_us / 1000000,
                        .end_s = a->now_us / 1000000 + VALID_S,
        };
        _cleanup_json_ json_t *claims = NULL;
        _cleanup_free_ char *token = NULL;
        int r;

        if (!a->api->jwt || !sign_key_is_private(a->api->jwt))
                return admission_forbidden(a, p,
                                "this server has no key to sign tokens with "
                                "(--service-account-key-file)");
        claims = account_token_claims(&t);
        if (!claims)
                return -ENOMEM;
        r = jwt_sign(a->api->jwt, claims, &token);
        return r < 0 ? r : set_data(a, "token", token);
}

/* The CA certificate, from where every namespace has it. In a new namespace it may come a moment
 * later; the next write of the Secret brings it then. */
static int set_ca(struct admission *a) {
        struct item *it = admission_find(a, "", "configmaps", a->namespace, CA_CONFIGMAP);
        _cleanup_json_ json_t *map = it ? item_object(it) : NULL;
        const char *pem = map ? json_string_value(json_get(map, "data", "ca.crt", NULL)) : NULL;

        return pem ? set_data(a, "ca.crt", pem) : 0;
}

/* The Secret may come with this owner (one that was copied), and a PUT may leave it out. */
static int set_owner(struct admission *a, const json_t *account) {
        json_t *metadata = json_object_get(a->draft, "metadata"), *owner, *v,
               *owners = json_object_get(metadata, "ownerReferences");
        size_t i;

        json_array_foreach (owners, i, v)
                if (streq(json_str_or(v, "uid", ""), object_uid(account)))
                        return 0;
        owner = json_pack("{ss, ss, ss, ss}", "apiVersion", "v1", "kind", "ServiceAccount", "name",
                        object_name(account), "uid", object_uid(account));
        if (!owner)
                return -ENOMEM;
        if (!owners) {
                owners = json_array();
                if (!owners || json_object_set_new(metadata, "ownerReferences", owners) < 0) {
                        json_decref(owner);
                        return -ENOMEM;
                }
        }
        return json_array_append_new(owners, owner) < 0 ? -ENOMEM : 0;
}

/* Whether the stored token is of another account, or of one of the same name that is gone: it is
 * worth nothing then. */
static bool is_of_other(const struct admission *a, const json_t *account) {
        const char *uid = a->live ? object_annotation(a->live, UID_ANNOTATION) : NULL;

        return !isempty(uid) && !streq(uid, object_uid(account));
}

static int fill(struct admission *a, const json_t *account, struct problem *p) {
        json_t *annotations = json_object_get(json_object_get(a->draft, "metadata"), "annotations");
        int r;

        /* Its data may not change: any write, also one of its labels, would be refused. */
        if (json_bool_or(a->live, "immutable", false))
                return 0;
        r = set_owner(a, account);
        if (r < 0)
                return r;
        if (is_of_other(a, account))
                json_object_del(json_object_get(a->draft, "data"), "token");
        if (json_object_set_new(annotations, UID_ANNOTATION, json_string(object_uid(account))) < 0)
                return -ENOMEM;
        if (!json_get(a->draft, "data", "namespace", NULL)) {
                r = set_data(a, "namespace", a->namespace);
                if (r < 0)
                        return r;
        }
        if (!json_get(a->draft, "data", "ca.crt", NULL)) {
                r = set_ca(a);
                if (r < 0)
                        return r;
        }
        /* One that is not stored is valid for nobody. */
        return a->dry_run || json_get(a->draft, "data", "token", NULL) ? 0
                                                                       : set_token(a, account, p);
}

static int set_contents(struct admission *a, struct problem *p) {
        const char *name = object_annotation(a->draft, NAME_ANNOTATION);
        _cleanup_json_ json_t *account = NULL;
        struct item *it;

        /* Without the annotation validation refuses it. */
        if (!streq(json_str_or(a->draft, "type", ""), TYPE) || isempty(name))
                return 0;
        it = admission_find(a, "", "serviceaccounts", a->namespace, name);
        account = it ? item_object(it) : NULL;
        if (it && !account)
                return -ENOMEM;
        /* The account may have gone since: the Secret follows it. */
        if (!account && a->operation == ADMIT_UPDATE)
                return 0;
        if (!account)
                return admission_forbidden(a, p,
                                "the annotation " NAME_ANNOTATION " names the service account "
                                "\"%s\", which is not in this namespace; create it first",
                                name);
        return fill(a, account, p);
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "secrets",
                                .operations = ADMIT_WRITE,
                                .mutate = set_contents},
                {0},
};

const struct admission_plugin admission_service_account_secret = {.rules = rules};
