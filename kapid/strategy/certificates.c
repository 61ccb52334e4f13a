/* CertificateSigningRequests: the server records the user who made the request; approval and the
 * certificate are written through different subresources. */
#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/crypto.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/timefmt.h"

static int set_groups(json_t *spec, char *const *groups) {
        json_t *list = json_array();

        for (; list && groups && *groups; groups++)
                json_array_append_new(list, json_string(*groups));
        return json_object_set_new(spec, "groups", list) < 0 ? -ENOMEM : 0;
}

static int csr_prepare_create(json_t *object, const struct pipeline_context *c) {
        json_t *spec = json_object_get(object, "spec");
        int r;

        if (!json_is_object(spec))
                return 0;
        json_object_del(spec, "uid");
        json_object_del(spec, "extra");
        r = json_set_str(spec, "username", strempty(c->user));
        if (r < 0)
                return r;
        if (!isempty(c->user_uid))
                r = json_set_str(spec, "uid", c->user_uid);
        if (r < 0)
                return r;
        return set_groups(spec, c->groups);
}

static bool is_decision(const json_t *condition) {
        const char *type = json_str_or(condition, "type", "");

        return streq(type, "Approved") || streq(type, "Denied");
}

static size_t count_conditions(const json_t *object, const char *type) {
        const json_t *item;
        size_t i, n = 0;

        json_array_foreach (json_at(object, "status.conditions"), i, item)
                n += streq(json_str_or(item, "type", ""), type);
        return n;
}

static const json_t *first_condition(const json_t *object, const char *type) {
        const json_t *item;
        size_t i;

        json_array_foreach (json_at(object, "status.conditions"), i, item)
                if (streq(json_str_or(item, "type", ""), type))
                        return item;
        return NULL;
}

/* A write of the status leaves decisions as they were, word for word; one that adds or drops any is
 * refused later, and not filled with copies of a long one before. */
static int keep_decisions(const json_t *old, json_t *object) {
        static const char *const types[] = {"Approved", "Denied"};
        json_t *list = (json_t *)json_at(object, "status.conditions"), *item;
        size_t i;

        for (size_t t = 0; t < ELEMENTS(types); t++) {
                const json_t *was = first_condition(old, types[t]);

                if (count_conditions(old, types[t]) != 1 || count_conditions(object, types[t]) != 1)
                        continue;
                json_array_foreach (list, i, item)
                        if (streq(json_str_or(item, "type", ""), types[t]) &&
                                        json_array_set_new(list, i, json_tree_copy(was)) < 0)
                                return -ENOMEM;
        }
        return 0;
}

static int stamp_conditions(json_t *object, const struct pipeline_context *c) {
        json_t *list = json_at_mut(object, "status.conditions"), *item;
        char now[TIMEFMT_SIZE];
        size_t i;

        time_format(c->now_us, now);
        json_array_foreach (list, i, item) {
                if (!json_object_get(item, "lastUpdateTime") &&
                                json_object_set_new(item, "lastUpdateTime", json_string(now)) < 0)
                        return -ENOMEM;
                if (!json_object_get(item, "lastTransitionTime") &&
                                json_object_set_new(item, "lastTransitionTime", json_string(now)) <
                                                0)
                        return -ENOMEM;
        }
        return 0;
}

static int csr_prepare_update(const char *subresource, const json_t *old, json_t *object,
                const struct pipeline_context *c) {
        json_t *spec = json_object_get(old, "spec"),
               *certificate = (json_t *)json_at(old, "status.certificate");
        int r;

        if (spec && json_object_set(object, "spec", spec) < 0) /* never changes */
                return -ENOMEM;
        if (!*subresource)
                return 0;
        r = streq(subresource, "status") ? keep_decisions(old, object) : 0;
        if (r < 0)
                return r;
        if (streq(subresource, "approval")) {
                if (certificate)
                        r = json_set_at(object, "status.certificate", json_incref(certificate));
                else
                        json_del_at(object, "status.certificate");
        }
        if (r < 0)
                return r;
        if (json_object_size(json_object_get(object, "status")) == 0)
                json_object_del(object, "status");
        return r < 0 ? r : stamp_conditions(object, c);
}

static void validate_usages(struct findings *f, const json_t *usages) {
        static const char *const known[] = {"any", "cert sign", "client auth", "code signing",
                        "content commitment", "crl sign", "data encipherment", "decipher only",
                        "digital signature", "email protection", "encipher only",
                        "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement",
                        "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing",
                        "s/mime", "server auth", "signing", "timestamping"};
        bool seen[ELEMENTS(known)] = {0};
        const json_t *v;
        size_t i;

        if (json_array_size(usages) == 0)
                finding_add(f, FINDING_REQUIRED, "spec.usages", NULL, "usages must be provided");
        json_array_foreach (usages, i, v) {
                _cleanup_free_ char *path = strformat("spec.usages[%zu]", i);
                const char *word = strempty(json_string_value(v));
                size_t k = 0;

                f->failed |= !path;
                while (k < ELEMENTS(known) && !streq(known[k], word))
                        k++;
                if (k == ELEMENTS(known))
                        finding_add(f, FINDING_NOT_SUPPORTED, path, v,
                                        "supported values: \"client auth\", \"server auth\", "
                                        "\"digital signature\", \"key encipherment\" and the "
                                        "other usages of certificates.k8s.io/v1");
                else if (seen[k])
                        finding_add(f, FINDING_DUPLICATE, path, v, NULL);
                else
                        seen[k] = true;
        }
}

/* A domain of two parts, and a path in it. */
static bool is_signer(const char *name) {
        const char *slash = strchr(name, '/');
        _cleanup_free_ char *domain = slash ? strndup(name, (size_t)(slash - name)) : NULL;

        return domain && slash[1] && strchr(domain, '.') &&
               !format_check(FORMAT_DNS1123_SUBDOMAIN, domain);
}

/* Decisions and failures hold or are not there: none can be False. */
static void validate_conditions(struct findings *f, const json_t *list) {
        const json_t *item;
        const char *first = NULL;
        size_t i;

        json_array_foreach (list, i, item) {
                const json_t *status = json_object_get(item, "status");
                _cleanup_free_ char *path = strformat("status.conditions[%zu].", i),
                                    *type_path = path ? strformat("%stype", path) : NULL,
                                    *status_path = path ? strformat("%sstatus", path) : NULL;
                const char *type = json_str_or(item, "type", "");

                f->failed |= !type_path || !status_path;
                if ((is_decision(item) || streq(type, "Failed")) && json_is_string(status) &&
                                *json_string_value(status) &&
                                !streq(json_string_value(status), "True"))
                        finding_add(f, FINDING_NOT_SUPPORTED, status_path, status,
                                        "supported values: \"True\"");
                if (!is_decision(item))
                        continue;
                if (first && !streq(first, type))
                        finding_add(f, FINDING_INVALID, type_path, json_object_get(item, "type"),
                                        "Approved and Denied conditions are mutually exclusive");
                first = type;
        }
}

static void csr_validate(struct findings *f, const json_t *object) {
        const json_t *signer = json_at(object, "spec.signerName");

        validate_usages(f, json_at(object, "spec.usages"));
        if (!is_signer(strempty(json_string_value(signer))))
                finding_add(f, FINDING_INVALID, "spec.signerName", signer,
                                "must be a fully qualified domain and path of the form "
                                "\"example.com/signer-name\"");
        validate_conditions(f, json_at(object, "status.conditions"));
}

/* What signers put there is read by whoever waits for it. */
static void validate_certificate(struct findings *f, const char *encoded) {
        _cleanup_json_ json_t *shown = json_string("<certificate data>");
        _cleanup_free_ char *pem = NULL;
        _cleanup_free_ void *data = NULL;
        size_t n = 0;

        if (base64_decode(encoded, &data, &n) >= 0)
                pem = strndup(data, n);
        if (!pem)
                f->failed = true;
        else if (!strstr(pem, "-----BEGIN CERTIFICATE-----"))
                finding_add(f, FINDING_INVALID, "status.certificate", shown,
                                "must contain at least one CERTIFICATE PEM block");
        else if (pki_cert_read(pem, NULL, NULL, NULL) == -EINVAL)
                finding_add(f, FINDING_INVALID, "status.certificate", shown,
                                "the first certificate cannot be read");
}

/* Decisions are the approvers', and stay. */
static void csr_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        static const char *const types[] = {"Approved", "Denied", "Failed"};
        const char *was = json_str_or(old, "status.certificate", ""),
                   *is = json_str_or(object, "status.certificate", "");

        for (size_t i = 0; i < ELEMENTS(types); i++) {
                size_t before = count_conditions(old, types[i]),
                       after = count_conditions(object, types[i]);

                if (after < before)
                        finding_add(f, FINDING_FORBIDDEN, "status.conditions", NULL,
                                        "updates may not remove a condition of type \"%s\"",
                                        types[i]);
                else if (after > before && !streq(types[i], "Failed") &&
                                !streq(subresource, "approval"))
                        finding_add(f, FINDING_FORBIDDEN, "status.conditions", NULL,
                                        "updates may not add a condition of type \"%s\"", types[i]);
        }
        if (streq(was, is))
                return;
        if (*was)
                finding_add(f, FINDING_FORBIDDEN, "status.certificate", NULL,
                                "updates may not modify existing certificate content");
        else
                validate_certificate(f, is);
}

/* Signers read it; a request that nobody can read is refused at once. */
static void csr_validate_create(struct findings *f, const json_t *object) {
        const json_t *request = json_at(object, "spec.request");
        _cleanup_pki_request_ struct pki_request details = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *pem = NULL;
        _cleanup_free_ void *data = NULL;
        size_t n = 0;

        if (base64_decode(strempty(json_string_value(request)), &data, &n) >= 0)
                pem = strndup(data, n);
        if (!pem)
                f->failed = true;
        else if (pki_csr_details(pem, &details, &p) == -EINVAL)
                finding_add(f, FINDING_INVALID, "spec.request", NULL, "%s", strempty(p.message));
}

const struct kind_strategy strategies_certificates[] = {
                {.group = "certificates.k8s.io",
                                .kind = "CertificateSigningRequest",
                                .name = NAME_PATH_SEGMENT,
                                .flags = STRATEGY_NO_GENERATION,
                                .prepare_create = csr_prepare_create,
                                .prepare_update = csr_prepare_update,
                                .validate = csr_validate,
                                .validate_create = csr_validate_create,
                                .validate_update = csr_validate_update},
                {0},
};
