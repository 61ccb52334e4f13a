/* The request is made with the same key, so that an interrupted renewal leaves a working pair. The
 * new certificate replaces the file atomically; then the agent ends and systemd starts it again,
 * which touches no pod and takes every connection along. */
#include "nodeagent/renew.h"

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/pki.h"
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
        char *name; /* of our request; NULL: none is under way */
        unsigned attempts;
        sd_event_source *timer;
        struct api_call *call;
};

bool renew_is_due(uint64_t not_before_s, uint64_t not_after_s, uint64_t now_s) {
        return not_after_s > not_before_s &&
               now_s >= not_before_s + (not_after_s - not_before_s) / 3 * 2;
}

static void look_again(struct renew *r, uint64_t delay_us) {
        (void)sd_event_source_set_time_relative(r->timer, delay_us);
        (void)sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
}

static void give_up(struct renew *r, const char *why) {
        log_warning("The node's certificate was not renewed: %s; the next try is in an hour", why);
        r->name = mfree(r->name);
        look_again(r, LOOK_US);
}

static void take(struct renew *r, const char *base64) {
        _cleanup_free_ void *pem = NULL;
        _cleanup_free_ char *key = NULL, *text = NULL;
        size_t n;
        int e = base64_decode(base64, &pem, &n);

        if (e >= 0)
                text = strndup(pem, n);
        if (e >= 0)
                e = text ? file_read(r->key_path, FILE_MAX, &key, NULL) : -ENOMEM;
        if (e < 0 || pki_cert_matches_key(text, key) <= 0) {
                give_up(r, "what the API signed does not fit the node's key");
                return;
        }
        e = file_write_atomic(r->cert_path, text, n, 0600);
        if (e < 0) {
                give_up(r, strerror(-e));
                return;
        }
        log_info("The node's certificate was renewed; the agent starts again to use it");
        (void)sd_event_exit(r->agent->event, 0);
}

static void on_polled(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct renew *r = userdata;
        const char *certificate = json_str(object, "status.certificate");

        r->call = NULL;
        if (error == 0 && certificate)
                take(r, certificate);
        else if (error == -ENOENT || object_condition_true(object, "Denied") ||
                        object_condition_true(object, "Failed") || ++r->attempts > ATTEMPTS_MAX)
                give_up(r, error == 0 ? "the request was refused or not answered"
                                      : strempty(p ? p->message : NULL));
        else
                look_again(r, POLL_US);
}

static void on_created(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct renew *r = userdata;

        r->call = NULL;
        if (error < 0)
                give_up(r, strempty(p ? p->message : NULL));
        else
                look_again(r, POLL_US);
}

static int request(struct renew *r) {
        _cleanup_free_ char *key = NULL, *csr = NULL, *base64 = NULL, *path = NULL;
        _cleanup_free_ char *cn = strformat("system:node:%s", r->agent->config.node_name);
        const struct pki_subject subject = {
                        .cn = cn, .organizations = (const char *const[]){"system:nodes", NULL}};
        _cleanup_json_ json_t *body = NULL;
        char suffix[6];
        int e = cn ? file_read(r->key_path, FILE_MAX, &key, NULL) : -ENOMEM;

        if (e >= 0)
                e = pki_csr_new(key, &subject, &csr);
        if (e < 0)
                return e;
        random_name_suffix(suffix, 5);
        r->name = strformat("node-%s-%s", r->agent->config.node_name, suffix);
        base64 = base64_encode(csr, strlen(csr));
        path = api_path(api_resource_find("certificatesigningrequests"), NULL, NULL, NULL, NULL);
        if (!r->name || !base64 || !path)
                return -ENOMEM;
        body = json_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:s, s:[s, s]}}", "apiVersion",
                        "certificates.k8s.io/v1", "kind", "CertificateSigningRequest", "metadata",
                        "name", r->name, "spec", "signerName", SIGNER, "request", base64, "usages",
                        "digital signature", "client auth");
        r->attempts = 0;
        return body ? api_create_async(r->agent->api, path, body, on_created, r, &r->call)
                    : -ENOMEM;
}

static int poll_request(struct renew *r) {
        _cleanup_free_ char *path = api_path(
                        api_resource_find("certificatesigningrequests"), NULL, r->name, NULL, NULL);
        return path ? api_get_async(r->agent->api, path, on_polled, r, &r->call) : -ENOMEM;
}

static bool is_due(struct renew *r) {
        _cleanup_free_ char *cert = NULL;
        uint64_t begin, end;

        return file_read(r->cert_path, FILE_MAX, &cert, NULL) >= 0 &&
               pki_cert_begins(cert, &begin) >= 0 && pki_cert_read(cert, NULL, NULL, &end) >= 0 &&
               renew_is_due(begin, end, now_wall_us() / 1000000);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct renew *r = userdata;
        int e;

        if (!r->name && !is_due(r)) {
                look_again(r, LOOK_US);
                return 0;
        }
        e = r->name ? poll_request(r) : request(r);
        if (e < 0)
                give_up(r, strerror(-e));
        return 0;
}

int renew_new(struct renew **ret, struct agent *agent) {
        _cleanup_(renew_freep) struct renew *r = calloc(1, sizeof(*r));
        const char *slash = strrchr(agent->config.kubeconfig, '/');
        int n = slash ? (int)(slash - agent->config.kubeconfig) : 1, e;
        const char *dir = slash ? agent->config.kubeconfig : ".";

        if (!r)
                return -ENOMEM;
        r->agent = agent;
        r->cert_path = strformat("%.*s/cert.pem", n, dir);
        r->key_path = strformat("%.*s/key.pem", n, dir);
        if (!r->cert_path || !r->key_path)
                return -ENOMEM;
        e = sd_event_add_time_relative(agent->event, &r->timer, CLOCK_MONOTONIC, FIRST_LOOK_US,
                        60000000, on_timer, r);
        if (e < 0)
                return e;
        *ret = TAKE_PTR(r);
        return 0;
}

struct renew *renew_free(struct renew *r) {
        if (!r)
                return NULL;
        sd_event_source_disable_unref(r->timer);
        api_call_cancel(r->call);
        free(r->cert_path);
        free(r->key_path);
        free(r->name);
        free(r);
        return NULL;
}
