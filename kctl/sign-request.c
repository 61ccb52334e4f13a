/* The administrator approves the request in the same breath; the controller csr signs it. */
#include "kctl/sign-request.h"

#include "lib/crypto.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"

enum { SIGN_TIMEOUT_S = 60, SIGN_POLL_US = 100000 };

static json_t *request_object(const struct certificate_wish *w, const char *name) {
        _cleanup_free_ char *encoded = base64_encode(w->csr_pem, strlen(w->csr_pem));

        return encoded ? json_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:s, s:[s, s], s:I}}", "apiVersion",
                                         "certificates.k8s.io/v1", "kind",
                                         "CertificateSigningRequest", "metadata", "name", name,
                                         "spec", "request", encoded, "signerName", w->signer,
                                         "usages", "digital signature", "client auth",
                                         "expirationSeconds", (json_int_t)w->seconds)
                       : NULL;
}

static int approve(struct kctl *k, const struct certificate_wish *w, const json_t *request,
                struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_CERTIFICATESIGNINGREQUESTS), NULL,
                                            object_name(request), "approval", NULL),
                            *message = strformat("approved by %s", w->verb);
        _cleanup_json_ json_t *approved = json_deep_copy(request);
        char now[TIMEFMT_SIZE];

        if (!path || !message || !approved ||
                        json_set_at(approved, "status.conditions",
                                        json_pack("[{s:s, s:s, s:s, s:s, s:s}]", "type", "Approved",
                                                        "status", "True", "reason", w->reason,
                                                        "message", message, "lastUpdateTime",
                                                        time_format(now_wall_us(), now))) < 0)
                return -ENOMEM;
        return api_request(k->client, "PUT", path, "application/json", approved, NULL, p);
}

/* The certificate of a signed request: 1, or 0 when it is not signed yet. */
static int read_certificate(struct kctl *k, const struct certificate_wish *w, const char *path,
                char **ret_cert, struct problem *p) {
        _cleanup_json_ json_t *o = NULL;
        const char *encoded;
        void *data;
        size_t n;
        int r = api_get(k->client, path, &o, p);

        if (r < 0)
                return r;
        encoded = json_str(o, "status.certificate");
        if (isempty(encoded)) {
                if (!object_condition_true(o, "Failed"))
                        return 0;
                return problem_set(p, EIO, 0, NULL, "%s: the certificate was not signed: %s",
                                w->about,
                                json_str_or(object_condition(o, "Failed"), "message",
                                                "no reason given"));
        }
        r = base64_decode(encoded, &data, &n);
        if (r < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: the API returned an unreadable certificate", w->about);
        *ret_cert = data;
        return 1;
}

int sign_request(struct kctl *k, const struct certificate_wish *w, char **ret_cert,
                struct problem *p) {
        const struct api_resource *csrs = api_resource(KIND_CERTIFICATESIGNINGREQUESTS);
        _cleanup_free_ char *name = NULL,
                            *list_path = api_path(csrs, /* ns= */ NULL, /* name= */ NULL,
                                            /* subresource= */ NULL, /* query= */ NULL),
                            *path = NULL;
        _cleanup_json_ json_t *body = NULL, *made = NULL;
        uint64_t deadline = now_mono_us() + SIGN_TIMEOUT_S * 1000000ull;
        char suffix[9];
        int r;

        random_name_suffix(suffix, 8);
        name = strformat("%s-%s", w->name_prefix, suffix);
        path = name ? api_path(csrs, /* ns= */ NULL, name, /* subresource= */ NULL,
                                      /* query= */ NULL)
                    : NULL;
        body = name ? request_object(w, name) : NULL;
        if (!body || !list_path || !path)
                return -ENOMEM;
        r = api_request(k->client, "POST", list_path, "application/json", body, &made, p);
        if (r < 0)
                return r;
        r = approve(k, w, made, p);
        if (r < 0)
                return r;
        for (;;) {
                r = read_certificate(k, w, path, ret_cert, p);
                if (r != 0)
                        return r < 0 ? r : 0;
                if (now_mono_us() > deadline)
                        return problem_set(p, ETIMEDOUT, 0, NULL,
                                        "%s: the certificate was not signed within %i s; does "
                                        "kreconciled run on the control plane?",
                                        w->about, SIGN_TIMEOUT_S);
                usleep(SIGN_POLL_US);
        }
}
