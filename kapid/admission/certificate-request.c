/* Reading the request of a CertificateSigningRequest, and the rights on its signer. */
#include "kapid/admission/certificate-request.h"

int certificate_request_read(const json_t *object, struct pki_request *ret, struct problem *p) {
        _cleanup_free_ char *pem = NULL;
        _cleanup_free_ void *data = NULL;
        size_t n;
        int r;

        r = base64_decode(json_str_or(object, "spec.request", ""), &data, &n);
        if (r < 0)
                return problem_set(p, EINVAL, 400, "BadRequest", "spec.request is not base64 text");
        pem = strndup(data, n);
        if (!pem)
                return -ENOMEM;
        r = pki_csr_details(pem, ret, p);
        if (r < 0 && r != -ENOMEM && !p->code)
                return problem_set(p, EINVAL, 400, "BadRequest", "spec.request: %s",
                                p->message ? p->message : "unreadable");
        return r;
}

static bool may(const struct admission *a, const char *verb, const char *signer) {
        return admission_may(a, &(struct admission_right){.verb = verb,
                                                .group = "certificates.k8s.io",
                                                .resource = "signers",
                                                .name = signer});
}

int certificate_check_signer(struct admission *a, const char *verb, struct problem *p) {
        const char *signer = json_str_or(a->object, "spec.signerName", ""),
                   *slash = strchr(signer, '/');
        _cleanup_free_ char *all = NULL;

        if (may(a, verb, signer))
                return 0;
        all = slash ? strformat("%.*s/*", (int)(slash - signer), signer) : NULL;
        if (all && may(a, verb, all))
                return 0;
        return admission_forbidden(a, p, "user not permitted to %s requests with signerName \"%s\"",
                        verb, signer);
}
