/* CertificateApproval: approving or denying a certificate request needs the verb `approve` on its
 * signer. */
#include "kapid/admission/certificate-request.h"
#include "kapid/admission/plugins.h"

static int check_approval(struct admission *a, struct problem *p) {
        return certificate_check_signer(a, "approve", p);
}

const struct admission_plugin admission_certificate_approval = {
                .safeguard = true,
                .rules =
                                (const struct admission_rule[]){
                                                {.group = "certificates.k8s.io",
                                                                .plural = "certificatesigningreques"
                                                                          "ts",
                                                                .subresource = "approval",
                                                                .operations = ADMIT_UPDATE,
                                                                .validate = check_approval},
                                                {0},
                                },
};
