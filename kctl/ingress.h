/* The ingress: the pods of kingressd and their credentials. */
#pragma once

#include "kctl/kctl.h"
#include "kctl/machine.h"

/* Applies kctl/config/kingressd.yaml and the Secret with the kubeconfig of its service account. The
 * certificate in it is made with the cluster's CA on the control plane's machine m, and again when
 * the API's address has changed or it is due. ca: the CA's certificate. */
int kctl_install_ingress(struct kctl *k, struct machine *m, const char *server, const char *ca,
                struct problem *p);
/* The certificate and CA in the Secret. 1, 0 when there is none, or an error. */
int ingress_certificate(struct kctl *k, char **ret_cert, char **ret_ca, struct problem *p);
/* Makes them again, for the same server; ca may hold several authorities. 1, 0 when there is no
 * ingress, or an error. */
int ingress_renew(struct kctl *k, const char *ca, const char *ca_key, struct problem *p);
