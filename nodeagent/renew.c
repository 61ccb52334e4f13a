/* The request is made with the same key, so that an interrupted renewal leaves a working pair. The
 * new certificate replaces the file atomically; the API client takes it for its next call. */
#include "nodeagent/renew.h"

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/crypto.h"
#include "lib/pki-renew.h"
#include "lib/random.h"
#include "lib/timefmt.h"

enum { FILE_MAX = 65536, ATTEMPTS_MAX = 60 };
#define LOOK_US (UINT64_C(3600) * 1000000)
#define FIRST_LOOK_US (UINT64_C(60) * 1000000)
#define POLL_US (UINT64_C(5) * 1000000)
#define SIGNER "kubernetes.io/kube-apiserver-client-kubelet"

struct renew {
        struct agent *agent;
        char *cert_path, *key_path;
        char *name; /* of our pending request; NULL: none */
        unsigned attempts;
        sd_event_source *timer;
        struct api_call *call;
};

static void look_again(struct renew *w, uint64_t delay_us) {
        (void)sd_event_source_set_time_relative(w->timer, delay_us);
        (void)sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static void give_up(struct renew *w, const char *why) {
        log_warning("The node's certificate was not renewed: %s; the next try is in an hour", why);
        w->name = mfree(w->name);
        look_again(w, LOOK_US);
}

/* Replaces the certificate with this one when it belongs to the node's key; p says why not. */
static int replace_certificate(struct renew *w, const char *base64, struct problem *p) {
        _cleanup_free_ void *pem = NULL;
        _cleanup_free_ char *key = NULL, *text = NULL;
        size_t n;
        int r;

        r = base64_decode(base64, &pem, &n);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "the API's certificate is not Base64");
        text = strndup(pem, n);
        if (!text)
                return -ENOMEM;
        r = file_read(w->key_path, FILE_MAX, &key, NULL);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "%s: %s", w->key_path, strerror(-r));
        if (pki_cert_matches_key(text, key) <= 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "the API's certificate does not match the node's key");
        r = file_write_atomic(w->cert_path, text, n, 0600);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "%s: %s", w->cert_path, strerror(-r));
        return 0;
}

static void take(struct renew *w, const char *base64) {
        _cleanup_problem_ struct problem p = {0};
        int r = replace_certificate(w, base64, &p);

        if (r < 0) {
                give_up(w, p.message ? p.message : strerror(-r));
                return;
        }
        log_info("The node's certificate was renewed");
        w->name = mfree(w->name);
        look_again(w, LOOK_US);
}

static void on_polled(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct renew *w = userdata;
        const char *certificate = json_str(object, "status.certificate");

        w->call = NULL;
        if (error == 0 && certificate)
                take(w, certificate);
        else if (error == -ENOENT || object_condition_true(object, "Denied") ||
                        object_condition_true(object, "Failed") || ++w->attempts > ATTEMPTS_MAX)
                give_up(w, error == 0 ? "the request was refused or not answered"
                                      : strempty(p ? p->message : NULL));
        else
                look_again(w, POLL_US);
}

static void on_created(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct renew *w = userdata;

        w->call = NULL;
        if (error < 0)
                give_up(w, strempty(p ? p->message : NULL));
        else
                look_again(w, POLL_US);
}

static int request(struct renew *w) {
        _cleanup_free_ char *key = NULL, *csr = NULL, *base64 = NULL, *path = NULL;
        _cleanup_free_ char *cn = strformat("system:node:%s", w->agent->config.node_name);
        const struct pki_subject subject = {
                        .cn = cn, .organizations = (const char *const[]){"system:nodes", NULL}};
        _cleanup_json_ json_t *body = NULL;
        char suffix[6];
        int r;

        if (!cn)
                return -ENOMEM;
        r = file_read(w->key_path, FILE_MAX, &key, NULL);
        if (r < 0)
                return r;
        r = pki_csr_new(key, &subject, &csr);
        if (r < 0)
                return r;
        random_name_suffix(suffix, 5);
        w->name = strformat("node-%s-%s", w->agent->config.node_name, suffix);
        base64 = base64_encode(csr, strlen(csr));
        path = api_path(api_resource(KIND_CERTIFICATESIGNINGREQUESTS), NULL, NULL, NULL, NULL);
        if (!w->name || !base64 || !path)
                return -ENOMEM;
        body = json_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:s, s:[s, s]}}", "apiVersion",
                        "certificates.k8s.io/v1", "kind", "CertificateSigningRequest", "metadata",
                        "name", w->name, "spec", "signerName", SIGNER, "request", base64, "usages",
                        "digital signature", "client auth");
        w->attempts = 0;
        return body ? api_create_async(w->agent->api, path, body, on_created, w, &w->call)
                    : -ENOMEM;
}

static int poll_request(struct renew *w) {
        _cleanup_free_ char *path = api_path(
                        api_resource(KIND_CERTIFICATESIGNINGREQUESTS), NULL, w->name, NULL, NULL);
        return path ? api_get_async(w->agent->api, path, on_polled, w, &w->call) : -ENOMEM;
}

/* An expired one is not: the API takes no request with it. */
static bool is_due(struct renew *w) {
        _cleanup_pki_view_ struct pki_view v = {0};
        _cleanup_free_ char *cert = NULL;
        enum pki_life life;

        if (file_read(w->cert_path, FILE_MAX, &cert, NULL) < 0 || pki_cert_view(cert, &v) < 0)
                return false;
        life = pki_life(v.begins_s, v.ends_s, now_wall_us() / 1000000);
        if (life == PKI_LIFE_EXPIRED)
                log_error("The node's certificate has expired: the API refuses this node. Run "
                          "kctl certs renew --expired where the cluster is administered (or set "
                          "this machine's clock, if it is wrong)");
        return life == PKI_LIFE_DUE;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct renew *w = userdata;
        int r;

        if (!w->name && !is_due(w)) {
                look_again(w, LOOK_US);
                return 0;
        }
        r = w->name ? poll_request(w) : request(w);
        if (r < 0)
                give_up(w, strerror(-r));
        return 0;
}

int renew_new(struct renew **ret, struct agent *agent) {
        _cleanup_(renew_freep) struct renew *w = calloc(1, sizeof(*w));
        const char *slash = strrchr(agent->config.kubeconfig, '/');
        int n = slash ? (int)(slash - agent->config.kubeconfig) : 1, r;
        const char *dir = slash ? agent->config.kubeconfig : ".";

        if (!w)
                return -ENOMEM;
        w->agent = agent;
        w->cert_path = strformat("%.*s/cert.pem", n, dir);
        w->key_path = strformat("%.*s/key.pem", n, dir);
        if (!w->cert_path || !w->key_path)
                return -ENOMEM;
        r = sd_event_add_time_relative(agent->event, &w->timer, CLOCK_MONOTONIC, FIRST_LOOK_US,
                        60000000, on_timer, w);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

struct renew *renew_free(struct renew *w) {
        if (!w)
                return NULL;
        sd_event_source_disable_unref(w->timer);
        api_call_cancel(w->call);
        free(w->cert_path);
        free(w->key_path);
        free(w->name);
        free(w);
        return NULL;
}
