/* Certificate requests: approving and signing need the verbs `approve` and `sign` on the signer, as
 * in Kubernetes; nobody asks for system:masters; and an agent asks for its own node only. */
#include "kapid/admission/plugins.h"
#include "lib/object.h"
#include "lib/pki.h"

#define SIGNER(name) "kubernetes.io/" name

/* Kubernetes asks for the signer and for all signers of its domain ("example.com/" and an
 * asterisk). */
static bool may_use_signer(const struct write *w, const char *verb, const char *signer) {
        const char *slash = strchr(signer, '/');
        _cleanup_free_ char *all =
                        slash ? strformat("%.*s/*", (int)(slash - signer), signer) : NULL;

        return admission_may(w, verb, "certificates.k8s.io", "signers", "", signer) ||
               (all && admission_may(w, verb, "certificates.k8s.io", "signers", "", all));
}

static int refuse_signer(struct write *w, const char *verb, const char *signer, struct problem *p) {
        _cleanup_free_ char *why = strformat("user not permitted to %s requests with signerName "
                                             "\"%s\"",
                        verb, signer);

        return why ? admission_forbidden(w, p, why) : -ENOMEM;
}

static int read_request(const json_t *object, struct pki_request *ret, struct problem *p) {
        _cleanup_free_ char *pem = NULL;
        void *data = NULL;
        size_t n;

        if (base64_decode(json_str_or(object, "spec.request", ""), &data, &n) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest", "spec.request is no base64 text");
        pem = strndup(data, n);
        free(data);
        return pem ? pki_csr_details(pem, ret, p) : -ENOMEM;
}

static int check_agent(struct write *w, const char *node, const char *signer,
                const struct pki_request *request, struct problem *p) {
        const char *cn = startswith(request->cn, "system:node:");

        if (!streq(signer, SIGNER("kube-apiserver-client-kubelet")) &&
                        !streq(signer, SIGNER("kubelet-serving")))
                return admission_forbidden(w, p,
                                "an agent may ask only the signers "
                                "kubernetes.io/kube-apiserver-client-kubelet and "
                                "kubernetes.io/kubelet-serving");
        return cn && streq(cn, node)
                               ? 0
                               : admission_forbidden(w, p,
                                                 "an agent may ask for a certificate of its own "
                                                 "node only (CN=system:node:<its name>)");
}

static int check_new(struct write *w, const json_t *object, const char *signer, struct problem *p) {
        _cleanup_pki_request_ struct pki_request request = {0};
        const char *node = user_is_master(&w->request->user) ? NULL : user_node(&w->request->user);
        bool client = streq(signer, SIGNER("kube-apiserver-client"));
        int r;

        if (!client && !node)
                return 0;
        r = read_request(object, &request, p);
        if (r < 0)
                return p->code ? -EINVAL
                               : problem_set(p, EINVAL, 400, "BadRequest", "spec.request: %s",
                                                 p->message ? p->message : "unreadable");
        if (client && strv_contains(request.organizations, "system:masters"))
                return admission_forbidden(w, p,
                                "use of kubernetes.io/kube-apiserver-client signer with "
                                "system:masters group is not allowed");
        return node ? check_agent(w, node, signer, &request, p) : 0;
}

int validate_csr(struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        const char *signer = json_str_or(object, "spec.signerName", "");
        const char *sub = w->request->sub ? w->request->sub->name : "";

        if (!admission_is_kind(w, "certificates.k8s.io", "certificatesigningrequests"))
                return 0;
        if (!live)
                return check_new(w, object, signer, p);
        if (streq(sub, "approval"))
                return may_use_signer(w, "approve", signer)
                                       ? 0
                                       : refuse_signer(w, "approve", signer, p);
        /* Any change of what the signer says, as its conditions end a request too. */
        if (streq(sub, "status") &&
                        !json_equal(json_object_get(live, "status"),
                                        json_object_get(object, "status")) &&
                        !may_use_signer(w, "sign", signer))
                return refuse_signer(w, "sign", signer, p);
        return 0;
}
