/* Shared by the plugins that check CertificateSigningRequests. */
#pragma once

#include "kapid/admission/admission.h"
#include "lib/pki.h"

#define SIGNER_CLIENT "kubernetes.io/kube-apiserver-client"
#define SIGNER_KUBELET_CLIENT "kubernetes.io/kube-apiserver-client-kubelet"
#define SIGNER_KUBELET_SERVING "kubernetes.io/kubelet-serving"

/* The subject that spec.request asks for; 400 when it is unreadable. */
int certificate_request_read(const json_t *object, struct pki_request *ret, struct problem *p);
/* 403 unless the user has the verb (`approve`, `sign`) on the signer that the request names, or on
 * all signers of its domain ("example.com/" and an asterisk), as in Kubernetes. */
int certificate_check_signer(struct admission *a, const char *verb, struct problem *p);
