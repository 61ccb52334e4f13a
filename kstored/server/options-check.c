/* What a person meant by two options that do not go together is not guessed: the start is refused.
 * Values of single options are checked where they are read. */
#include "kstored/server/options-check.h"

#include "kstored/server/server.h"

static bool has_https(char *const *urls) {
        for (; urls && *urls; urls++)
                if (startswith(*urls, "https://"))
                        return true;
        return false;
}

/* The options of one side. */
struct side {
        const char *urls_option, *prefix; /* "", "peer-" */
        const char *lists_prefix;         /* of lists of clients' or members' certificates */
        char *const *urls;
        const char *cert, *key, *ca, *crl;
        char *const *allowed_cns, *const *allowed_hostnames;
        bool made; /* --auto-tls */
};

static int check_made(const struct side *s, struct problem *p) {
        if (!s->made)
                return 0;
        if (!isempty(s->cert) || !isempty(s->key) || !isempty(s->ca))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%sauto-tls makes a certificate: it does not go together with "
                                "--%s%s-file",
                                s->prefix, s->prefix,
                                !isempty(s->cert)  ? "cert"
                                : !isempty(s->key) ? "key"
                                                   : "trusted-ca");
        if (s->urls && *s->urls && !has_https(s->urls))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%sauto-tls is given, but %s has no https:// address: it would "
                                "not be used",
                                s->prefix, s->urls_option);
        return 0;
}

/* What keeps certificates out needs the CA that lets them in. */
static int check_lists(const struct side *s, struct problem *p) {
        const char *list = !isempty(s->crl)       ? "crl-file"
                           : s->allowed_cns       ? "cert-allowed-cn"
                           : s->allowed_hostnames ? "cert-allowed-hostname"
                                                  : NULL;

        if (list && isempty(s->ca))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%s%s needs --%strusted-ca-file: without it no certificate is "
                                "asked for",
                                s->lists_prefix, list, s->prefix);
        if (s->allowed_cns && s->allowed_hostnames)
                return problem_set(p, EINVAL, 0, NULL,
                                "--%scert-allowed-cn and --%scert-allowed-hostname: give one of "
                                "them",
                                s->lists_prefix, s->lists_prefix);
        return 0;
}

/* Files that would not be used look like a door that is locked and is not. */
static int check_tls(const struct side *s, struct problem *p) {
        const char *prefix = s->prefix;
        int r = check_made(s, p);

        if (r < 0)
                return r;
        if (has_https(s->urls) && isempty(s->cert) && isempty(s->key) && !s->made)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s has an https:// address, which needs --%scert-file and "
                                "--%skey-file, or --%sauto-tls",
                                s->urls_option, prefix, prefix, prefix);
        if (!isempty(s->cert) != !isempty(s->key))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%scert-file and --%skey-file belong "
                                "together: --%s%s-file is missing",
                                prefix, prefix, prefix, isempty(s->cert) ? "cert" : "key");
        if ((!isempty(s->cert) || !isempty(s->ca)) && s->urls && *s->urls && !has_https(s->urls))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%s%s-file is given, but %s has no https:// address: it would "
                                "not be used",
                                prefix, isempty(s->cert) ? "trusted-ca" : "cert", s->urls_option);
        return check_lists(s, p);
}

static int check_both_sides(const struct server_options *o, struct problem *p) {
        const struct side client = {.urls_option = "--listen-client-urls",
                        .prefix = "",
                        .lists_prefix = "client-",
                        .urls = o->listen_client_urls,
                        .cert = o->cert_file,
                        .key = o->key_file,
                        .ca = o->trusted_ca_file,
                        .crl = o->client_crl_file,
                        .allowed_cns = o->client_cert_allowed_cn,
                        .allowed_hostnames = o->client_cert_allowed_hostname,
                        .made = o->auto_tls};
        const struct side peer = {.urls_option = "--listen-peer-urls",
                        .prefix = "peer-",
                        .lists_prefix = "peer-",
                        .urls = o->listen_peer_urls,
                        .cert = o->peer_cert_file,
                        .key = o->peer_key_file,
                        .ca = o->peer_trusted_ca_file,
                        .crl = o->peer_crl_file,
                        .allowed_cns = o->peer_cert_allowed_cn,
                        .allowed_hostnames = o->peer_cert_allowed_hostname,
                        .made = o->peer_auto_tls};
        int r = check_tls(&client, p);

        if (r >= 0 && (o->auto_tls || o->peer_auto_tls) &&
                        (o->self_signed_cert_validity < 1 || o->self_signed_cert_validity > 100))
                r = problem_set(p, EINVAL, 0, NULL,
                                "--self-signed-cert-validity %u is not between 1 and 100 years",
                                o->self_signed_cert_validity);
        if (r >= 0 && has_https(o->listen_metrics_urls) && isempty(o->cert_file) && !o->auto_tls)
                r = problem_set(p, EINVAL, 0, NULL,
                                "--listen-metrics-urls has an https:// address, which needs "
                                "--cert-file and --key-file, or --auto-tls");
        return r < 0 ? r : check_tls(&peer, p);
}

static int check_urls(const char *option, char *const *urls, struct problem *p) {
        for (; urls && *urls; urls++) {
                _cleanup_problem_ struct problem why = {0};
                int r = grpc_url_check(*urls, &why);

                if (r < 0)
                        return problem_set(p, EINVAL, 0, NULL, "%s: %s", option,
                                        strempty(why.message));
        }
        return 0;
}

/* A URL is one member's. */
static int check_cluster(char *const *items, struct problem *p) {
        for (char *const *a = items; a && *a; a++)
                for (char *const *b = a + 1; *b; b++) {
                        const char *url = strchr(*a, '='), *other = strchr(*b, '=');

                        if (url && other && streq(url, other))
                                return problem_set(p, EINVAL, 0, NULL,
                                                "--initial-cluster gives the address %s to two "
                                                "members, \"%s\" and \"%s\"",
                                                url + 1, *a, *b);
                }
        return 0;
}

int options_check(const struct server_options *o, struct problem *p) {
        int r;

        if (isempty(o->data_dir))
                return problem_set(p, EINVAL, 0, NULL, "--data-dir must not be empty");
        if (!o->listen_client_urls || !*o->listen_client_urls)
                return problem_set(p, EINVAL, 0, NULL,
                                "--listen-client-urls is empty: nobody could be served");
        r = check_urls("--listen-client-urls", o->listen_client_urls, p);
        if (r >= 0)
                r = check_urls("--listen-peer-urls", o->listen_peer_urls, p);
        if (r < 0)
                return r;
        r = check_both_sides(o, p);
        if (r >= 0)
                r = check_urls("--advertise-client-urls", o->advertise_client_urls, p);
        if (r >= 0)
                r = check_urls("--initial-advertise-peer-urls", o->initial_advertise_peer_urls, p);
        if (r >= 0 && o->client_cert_auth && isempty(o->trusted_ca_file))
                r = problem_set(p, EINVAL, 0, NULL, "--client-cert-auth needs --trusted-ca-file");
        if (r >= 0 && o->peer_client_cert_auth && isempty(o->peer_trusted_ca_file))
                r = problem_set(p, EINVAL, 0, NULL,
                                "--peer-client-cert-auth needs --peer-trusted-ca-file");
        return r < 0 ? r : check_cluster(o->initial_cluster, p);
}
