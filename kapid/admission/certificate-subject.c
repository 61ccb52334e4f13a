/* CertificateSubjectRestriction: no request for a client certificate in the group system:masters.
 */
#include "kapid/admission/certificate-request.h"
#include "kapid/admission/plugins.h"

static int check_subject(struct admission *a, struct problem *p) {
        _cleanup_pki_request_ struct pki_request request = {0};
        int r;

        if (!streq(json_str_or(a->object, "spec.signerName", ""), SIGNER_CLIENT))
                return 0;
        r = certificate_request_read(a->object, &request, p);
        if (r < 0)
                return r;
        if (!strv_contains(request.organizations, "system:masters"))
                return 0;
        return admission_forbidden(a, p,
                        "use of " SIGNER_CLIENT " signer with system:masters group is not allowed");
}

static const struct admission_rule rules[] = {
                {.group = "certificates.k8s.io",
                                .plural = "certificatesigningrequests",
                                .operations = ADMIT_CREATE,
                                .validate = check_subject},
                {0},
};

const struct admission_plugin admission_certificate_subject = {.safeguard = true, .rules = rules};
