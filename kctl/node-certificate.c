/* The agent makes the key, the API has its controllers sign; here the request is checked and
 * approved. */
#include "kctl/node-certificate.h"

#include "kctl/cluster.h"
#include "kctl/sign-request.h"
#include "lib/pki.h"

enum { SECONDS_MIN = 600 /* the API's */ };

static int check_request(
                const char *machine, const char *node, const char *csr, struct problem *p) {
        _cleanup_strv_free_ char **organizations = NULL;
        _cleanup_free_ char *cn = NULL, *want = strformat("system:node:%s", node);
        int r = pki_csr_read(csr, &cn, &organizations, p);

        if (r < 0)
                return r;
        if (!want || !streq(cn, want) || strv_length(organizations) != 1 ||
                        !streq(organizations[0], "system:nodes"))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: the machine asks for a certificate of \"%s\", not of a node; "
                                "is its agent from this build?",
                                machine, cn);
        return 0;
}

int node_certificate_request(
                struct machine *m, const char *node, char **ret_csr, struct problem *p) {
        _cleanup_free_ char *command = strformat(
                        "mkdir -p /etc/keelson/node && chmod 0755 /etc/keelson && chmod 0700 "
                        "/etc/keelson/node && "
                        "/opt/keelson/bin/knodeagent csr --name %s --dir /etc/keelson/node",
                        node);
        _cleanup_buf_ struct buf out = {0};
        int r = command ? machine_run(m, command, NULL, 0, 60, &out, p) : -ENOMEM;

        if (r < 0)
                return r;
        *ret_csr = buf_take(&out);
        return *ret_csr ? 0 : -ENOMEM;
}

int node_certificate_sign(struct kctl *k, const char *machine, const char *node, const char *csr,
                char **ret_cert, struct problem *p) {
        uint64_t at_least =
                        MAX(cluster_life_s(k->flags.certificate_life_us), (uint64_t)SECONDS_MIN);
        _cleanup_free_ char *prefix = NULL;
        int r = check_request(machine, node, csr, p);

        if (r < 0)
                return r;
        prefix = strformat("node-%s", node);
        if (!prefix)
                return -ENOMEM;
        return sign_request(k,
                        &(struct certificate_wish){.about = node,
                                        .name_prefix = prefix,
                                        .signer = "kubernetes.io/kube-apiserver-client-kubelet",
                                        .csr_pem = csr,
                                        .seconds = MIN(at_least, (uint64_t)INT32_MAX),
                                        .reason = "KctlNodeJoin",
                                        .verb = "kctl"},
                        ret_cert, p);
}
