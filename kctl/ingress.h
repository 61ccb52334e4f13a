/* The ingress: the pods of kingressd and their credentials. */
#pragma once

#include "kctl/kctl.h"
#include "kctl/machine.h"

/* Applies kctl/config/kingressd.yaml and the Secret with the kubeconfig of its service account. The
 * certificate in it is made with the cluster's CA on the control plane's machine m, and again when
 * the API's address has changed or its last year has begun. ca: the CA's certificate. */
int kctl_install_ingress(struct kctl *k, struct machine *m, const char *server, const char *ca,
                struct problem *p);
