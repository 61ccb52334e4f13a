/* CertificateSigning: the signer's part of a certificate request (its certificate, and the
 * conditions, which end a request too) needs the verb `sign` on the signer. */
#include "kapid/admission/certificate-request.h"
#include "kapid/admission/plugins.h"

static int check_status(struct admission *a, struct problem *p) {
        if (json_equal(json_object_get(a->live, "status"), json_object_get(a->object, "status")))
                return 0;
        return certificate_check_signer(a, "sign", p);
}

static const struct admission_rule rules[] = {
                {.group = "certificates.k8s.io",
                                .plural = "certificatesigningrequests",
                                .subresource = "status",
                                .operations = ADMIT_UPDATE,
                                .validate = check_status},
                {0},
};

const struct admission_plugin admission_certificate_signing = {.safeguard = true, .rules = rules};
