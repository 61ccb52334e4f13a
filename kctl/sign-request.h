/* A certificate request that the API signs: made, approved and waited for. */
#pragma once

#include "kctl/kctl.h"

struct certificate_wish {
        const char *about;       /* whom messages name: "n1", "user alice" */
        const char *name_prefix; /* of the CertificateSigningRequest: "node-n1" */
        const char *signer;      /* "kubernetes.io/kube-apiserver-client" */
        const char *csr_pem;
        uint64_t seconds;   /* of life */
        const char *reason; /* of the approval: "KctlNodeJoin" */
        const char *verb;   /* that approves it: "kctl node join" */
};

/* The certificate's PEM, the caller's. k->client is there. */
int sign_request(struct kctl *k, const struct certificate_wish *w, char **ret_cert,
                struct problem *p);
