/* CertificateSigningRequests of nodes (signer kubernetes.io/kube-apiserver-client-kubelet).
 * Approval is an administrator's (kctl node join does it), but for one rule: a node may renew its
 * own certificate. Signing takes only approved requests whose subject is a node's: CN
 * system:node:<name>, O system:nodes, nothing else. Old requests are swept away. */
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

#define SIGNER "kubernetes.io/kube-apiserver-client-kubelet"
#define NODE_PREFIX "system:node:"
#define NODES_GROUP "system:nodes"
#define VALIDITY_S (365 * UINT64_C(86400))
#define VALIDITY_MIN_S UINT64_C(600)
#define HOUR_US (3600 * UINT64_C(1000000))

static void csr_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_CSRS && !gone)
                wake_object(out, object);
}

static bool list_has(const json_t *list, const char *value) {
        json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq_ptr(json_string_value(v), value))
                        return true;
        return false;
}

static bool usages_are_a_clients(const json_t *csr) {
        json_t *v;
        size_t i;

        json_array_foreach (json_at(csr, "spec.usages"), i, v) {
                const char *usage = strempty(json_string_value(v));

                if (!streq(usage, "digital signature") && !streq(usage, "key encipherment") &&
                                !streq(usage, "client auth"))
                        return false;
        }
        return list_has(json_at(csr, "spec.usages"), "client auth");
}

/* The request in PEM when it is well-formed and for a node's identity; *ret_cn is that. */
static char *node_request(const json_t *csr, char **ret_cn, struct problem *p) {
        _cleanup_free_ char *pem = NULL, *cn = NULL;
        _cleanup_strv_free_ char **organizations = NULL;
        size_t n;

        if (base64_decode(json_str_or(csr, "spec.request", ""), (void **)&pem, &n) < 0) {
                problem_set(p, EINVAL, 400, "BadRequest", "spec.request is not base64");
                return NULL;
        }
        pem = realloc(pem, n + 1);
        assert(pem);
        pem[n] = 0;
        if (pki_csr_read(pem, &cn, &organizations, p) < 0)
                return NULL;
        if (!startswith(cn, NODE_PREFIX) || !cn[strlen(NODE_PREFIX)] ||
                        strv_length(organizations) != 1 || !streq(organizations[0], NODES_GROUP)) {
                problem_set(p, EACCES, 403, "Forbidden",
                                "the subject is not a node's (CN system:node:<name>, O "
                                "system:nodes)");
                return NULL;
        }
        if (!usages_are_a_clients(csr)) {
                problem_set(p, EACCES, 403, "Forbidden",
                                "usages must be client auth, digital signature and key "
                                "encipherment");
                return NULL;
        }
        *ret_cn = TAKE_PTR(cn);
        return TAKE_PTR(pem);
}

/* A node that asks for its own name is already trusted with it. */
static bool is_renewal(const json_t *csr, const char *cn) {
        return streq(json_str_or(csr, "spec.username", ""), cn) &&
               list_has(json_at(csr, "spec.groups"), NODES_GROUP);
}

static json_t *with_condition(const json_t *csr, const char *type, const char *reason,
                const char *message, uint64_t now_us) {
        json_t *copy = json_deep_copy(csr), *conditions, *c;
        char now[TIMEFMT_SIZE];

        time_format(now_us, now);
        conditions = json_deep_copy(json_at(csr, "status.conditions"));
        if (!conditions)
                conditions = json_array();
        c = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", type, "status", "True", "reason",
                        reason, "message", message, "lastUpdateTime", now, "lastTransitionTime",
                        now);
        json_array_append_new(conditions, c);
        assert(json_set_at(copy, "status.conditions", conditions) >= 0);
        return copy;
}

static void sign(const struct world *w, const json_t *csr, const char *pem, struct actions *a) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *cert = NULL, *encoded = NULL;
        uint64_t seconds = (uint64_t)json_int_or(csr, "spec.expirationSeconds", VALIDITY_S);
        json_t *copy;

        if (!w->config->signing_cert_pem || !w->config->signing_key_pem)
                return;
        seconds = seconds < VALIDITY_MIN_S ? VALIDITY_MIN_S
                  : seconds > VALIDITY_S   ? VALIDITY_S
                                           : seconds;
        if (pki_csr_sign(w->config->signing_cert_pem, w->config->signing_key_pem, pem,
                            PKI_USAGE_CLIENT, seconds, &cert, &p) < 0) {
                action_update(a, "certificatesigningrequests", csr, "status",
                                with_condition(csr, "Failed", "SignerValidationFailure",
                                                strempty(p.message), w->now_us));
                return;
        }
        encoded = base64_encode(cert, strlen(cert));
        assert(encoded);
        copy = json_deep_copy(csr);
        assert(json_set_str(copy, "status.certificate", encoded) >= 0);
        action_update(a, "certificatesigningrequests", csr, "status", copy);
}

/* Approved and issued: an hour; refused: an hour; undecided: a day. */
static bool sweep(const struct world *w, const json_t *csr, struct actions *a) {
        bool decided = json_str(csr, "status.certificate") ||
                       object_condition_true(csr, "Denied") || object_condition_true(csr, "Failed");
        uint64_t until = object_created_us(csr) + (decided ? HOUR_US : 24 * HOUR_US);

        if (until > w->now_us) {
                actions_requeue(a, until - w->now_us);
                return false;
        }
        action_delete(a, "certificatesigningrequests", csr, -1, NULL);
        return true;
}

static void csr_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *csr = world_get(w, WORLD_CSRS, NULL, name);
        _cleanup_free_ char *pem = NULL, *cn = NULL;
        _cleanup_problem_ struct problem p = {0};

        if (!csr || object_is_deleting(csr) || sweep(w, csr, a))
                return;
        if (!streq(json_str_or(csr, "spec.signerName", ""), SIGNER) ||
                        json_str(csr, "status.certificate") ||
                        object_condition_true(csr, "Denied") ||
                        object_condition_true(csr, "Failed"))
                return;
        pem = node_request(csr, &cn, &p);
        if (object_condition_true(csr, "Approved")) {
                if (pem)
                        sign(w, csr, pem, a);
                else
                        action_update(a, "certificatesigningrequests", csr, "status",
                                        with_condition(csr, "Failed", "SignerValidationFailure",
                                                        strempty(p.message), w->now_us));
        } else if (pem && is_renewal(csr, cn))
                action_update(a, "certificatesigningrequests", csr, "approval",
                                with_condition(csr, "Approved", "AutoApproved",
                                                "A node may renew its own certificate.",
                                                w->now_us));
}

const struct controller csr_controller = {
                .name = "csr",
                .primary = WORLD_CSRS,
                .kinds = WORLD_BIT(WORLD_CSRS),
                .wake = csr_wake,
                .plan = csr_plan,
};
