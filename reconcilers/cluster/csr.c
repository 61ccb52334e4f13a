/* CertificateSigningRequests of Kubernetes' own signers. A table has the rules of each: the
 * subject, the names and the usages, exactly; a request that asks for more is neither approved nor
 * signed. Approval is an administrator's (kctl node join does it), with one exception: a node may
 * renew its own client certificate. Old requests are deleted. */
#include <stdarg.h>

#include "lib/object.h"
#include "lib/pki.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

#define SIGNER(name) "kubernetes.io/" name
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

static _printf_(2, 3) int refuse(struct problem *p, const char *fmt, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&text, fmt, ap);
        va_end(ap);
        assert(n >= 0);
        return problem_set(p, EACCES, 403, "Forbidden", "%s", text);
}

/* --- the rules of each signer --- */

static int check_node_subject(const struct pki_request *request, struct problem *p) {
        const char *node = startswith(request->cn, NODE_PREFIX);

        if (isempty(node) || strv_length(request->organizations) != 1 ||
                        !streq(request->organizations[0], NODES_GROUP))
                return refuse(p, "the subject is not a node's (CN system:node:<name>, O "
                                 "system:nodes)");
        return 0;
}

static int check_no_names(const struct pki_request *request, struct problem *p) {
        const char *name = request->dns_names      ? request->dns_names[0]
                           : request->ip_addresses ? request->ip_addresses[0]
                                                   : NULL;

        return name ? refuse(p,
                                      "a client's certificate has no alternative names, and this "
                                      "asks "
                                      "for %s",
                                      name)
                    : 0;
}

static int check_node_client(const struct world *w, const json_t *csr,
                const struct pki_request *request, struct problem *p) {
        int r = check_node_subject(request, p);

        if (r < 0)
                return r;
        return check_no_names(request, p);
}

/* Clients: any name except those with all rights. */
static int check_client(const struct world *w, const json_t *csr, const struct pki_request *request,
                struct problem *p) {
        if (isempty(request->cn))
                return refuse(p, "the subject has no common name");
        if (strv_contains(request->organizations, "system:masters"))
                return refuse(p, "the group %s cannot be granted by signing", "system:masters");
        return check_no_names(request, p);
}

/* Whether a Node's status lists the address. */
static bool node_has_address(const json_t *node, const char *address) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(node, "status.addresses"), i, v)
                if (streq(json_str_or(v, "address", ""), address))
                        return true;
        return false;
}

/* Addresses that belong to others too: another node's, the API's, a Service's. A node writes its
 * own status, so an address in it proves nothing. */
static bool is_anybody_elses(const struct world *w, const char *node, const char *address) {
        _cleanup_objects_ struct objects nodes = {0}, services = {0}, slices = {0};
        const json_t *endpoint;
        size_t k;

        world_all(w, WORLD_NODES, &nodes);
        for (size_t i = 0; i < nodes.count; i++)
                if (!streq(object_name(nodes.items[i]), node) &&
                                node_has_address(nodes.items[i], address))
                        return true;
        world_all(w, WORLD_SERVICES, &services);
        for (size_t i = 0; i < services.count; i++)
                if (list_has(json_at(services.items[i], "spec.clusterIPs"), address) ||
                                list_has(json_at(services.items[i], "spec.externalIPs"), address) ||
                                streq(json_str_or(services.items[i], "spec.clusterIP", ""),
                                                address))
                        return true;
        world_list(w, WORLD_SLICES_BY_SERVICE, "default/kubernetes", &slices);
        for (size_t i = 0; i < slices.count; i++)
                json_array_foreach (json_object_get(slices.items[i], "endpoints"), k, endpoint)
                        if (list_has(json_object_get(endpoint, "addresses"), address))
                                return true;
        return false;
}

/* A serving certificate of a node: requested by the node itself, for its own name and addresses. */
static int check_node_serving(const struct world *w, const json_t *csr,
                const struct pki_request *request, struct problem *p) {
        const char *name;
        const json_t *node;
        int r = check_node_subject(request, p);

        if (r < 0)
                return r;
        name = request->cn + strlen(NODE_PREFIX);
        node = world_get(w, WORLD_NODES, NULL, name);
        if (!streq(json_str_or(csr, "spec.username", ""), request->cn))
                return refuse(p, "only the node itself asks for the certificate of its server");
        if (!request->dns_names && !request->ip_addresses)
                return refuse(p, "the request names no DNS name or address");
        for (char **n = request->dns_names; n && *n; n++)
                if (!streq(*n, name))
                        return refuse(p, "the DNS name %s is not the node's", *n);
        for (char **n = request->ip_addresses; n && *n; n++)
                if (!node_has_address(node, *n) || is_anybody_elses(w, name, *n))
                        return refuse(p, "the address %s is not the node's alone", *n);
        return 0;
}

static const struct signer {
        const char *name;
        unsigned usage;     /* enum pki_usage */
        const char *needed; /* the usage it requires */
        int (*check)(const struct world *w, const json_t *csr, const struct pki_request *request,
                        struct problem *p);
} signers[] = {
                {SIGNER("kube-apiserver-client"), PKI_USAGE_CLIENT, "client auth", check_client},
                {SIGNER("kube-apiserver-client-kubelet"), PKI_USAGE_CLIENT, "client auth",
                                check_node_client},
                {SIGNER("kubelet-serving"), PKI_USAGE_SERVER, "server auth", check_node_serving},
};

static const struct signer *signer_find(const char *name) {
        for (size_t i = 0; i < ELEMENTS(signers); i++)
                if (streq(signers[i].name, name))
                        return &signers[i];
        return NULL;
}

static int check_usages(const struct signer *s, const json_t *usages, struct problem *p) {
        json_t *v;
        size_t i;

        json_array_foreach (usages, i, v) {
                const char *usage = strempty(json_string_value(v));

                if (!streq(usage, "digital signature") && !streq(usage, "key encipherment") &&
                                !streq(usage, s->needed))
                        return refuse(p, "the usage \"%s\" is not one of this signer's", usage);
        }
        if (!list_has(usages, s->needed) || !list_has(usages, "digital signature"))
                return refuse(p,
                                "usages must be digital signature and %s (key encipherment is "
                                "allowed)",
                                s->needed);
        return 0;
}

/* The request in PEM if the signer would sign it, else NULL; *ret_cn is its common name. */
static char *accepted_request(const struct world *w, const struct signer *s, const json_t *csr,
                char **ret_cn, struct problem *p) {
        _cleanup_pki_request_ struct pki_request request = {0};
        _cleanup_free_ char *data = NULL, *pem = NULL;
        size_t n;

        if (base64_decode(json_str_or(csr, "spec.request", ""), (void **)&data, &n) < 0) {
                problem_set(p, EINVAL, 400, "BadRequest", "spec.request is not base64");
                return NULL;
        }
        pem = strndup(data, n);
        assert(pem);
        if (pki_csr_details(pem, &request, p) < 0)
                return NULL;
        if (request.odd) {
                refuse(p, "%s", request.odd);
                return NULL;
        }
        if (s->check(w, csr, &request, p) < 0 ||
                        check_usages(s, json_at(csr, "spec.usages"), p) < 0)
                return NULL;
        *ret_cn = TAKE_PTR(request.cn);
        return TAKE_PTR(pem);
}

/* A node that requests its own name is already trusted with it. */
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

static void sign(const struct world *w, const struct signer *s, const json_t *csr, const char *pem,
                struct actions *a) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *cert = NULL, *encoded = NULL;
        int64_t wanted = json_int_or(csr, "spec.expirationSeconds", VALIDITY_S);
        uint64_t seconds = wanted < 0 ? 0 : (uint64_t)wanted;
        json_t *copy;

        if (!w->config->signing_cert_pem || !w->config->signing_key_pem)
                return;
        seconds = seconds < VALIDITY_MIN_S ? VALIDITY_MIN_S
                  : seconds > VALIDITY_S   ? VALIDITY_S
                                           : seconds;
        if (pki_csr_sign(w->config->signing_cert_pem, w->config->signing_key_pem, pem, s->usage,
                            seconds, &cert, &p) < 0) {
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

/* Kept after approval and issue: an hour; after refusal: an hour; undecided: a day. */
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
        const struct signer *signer;
        _cleanup_free_ char *pem = NULL, *cn = NULL;
        _cleanup_problem_ struct problem p = {0};

        if (!csr || object_is_deleting(csr) || sweep(w, csr, a))
                return;
        signer = signer_find(json_str_or(csr, "spec.signerName", ""));
        if (!signer || json_str(csr, "status.certificate") ||
                        object_condition_true(csr, "Denied") ||
                        object_condition_true(csr, "Failed"))
                return;
        pem = accepted_request(w, signer, csr, &cn, &p);
        if (object_condition_true(csr, "Approved")) {
                if (pem)
                        sign(w, signer, csr, pem, a);
                else
                        action_update(a, "certificatesigningrequests", csr, "status",
                                        with_condition(csr, "Failed", "SignerValidationFailure",
                                                        strempty(p.message), w->now_us));
        } else if (pem && signer->check == check_node_client && is_renewal(csr, cn))
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
