/* What a person meant by two options that do not go together is not guessed: the start is refused.
 * Values of single options are checked where they are read. */
#include "kstored/options-check.h"

#include "kstored/server.h"

static bool has_https(char *const *urls) {
        for (; urls && *urls; urls++)
                if (startswith(*urls, "https://"))
                        return true;
        return false;
}

/* Files that would not be used look like a door that is locked and is not. */
static int check_tls(const char *urls_option, char *const *urls, const char *prefix,
                const char *cert, const char *key, const char *ca, struct problem *p) {
        if (has_https(urls) && isempty(cert) && isempty(key))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s has an https:// address, which needs --%scert-file and "
                                "--%skey-file",
                                urls_option, prefix, prefix);
        if (!isempty(cert) != !isempty(key))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%scert-file and --%skey-file belong "
                                "together: --%s%s-file is missing",
                                prefix, prefix, prefix, isempty(cert) ? "cert" : "key");
        if ((!isempty(cert) || !isempty(ca)) && urls && *urls && !has_https(urls))
                return problem_set(p, EINVAL, 0, NULL,
                                "--%s%s-file is given, but %s has no https:// address: it would "
                                "not be used",
                                prefix, isempty(cert) ? "trusted-ca" : "cert", urls_option);
        return 0;
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
        r = check_tls("--listen-client-urls", o->listen_client_urls, "", o->cert_file, o->key_file,
                        o->trusted_ca_file, p);
        if (r >= 0)
                r = check_tls("--listen-peer-urls", o->listen_peer_urls, "peer-", o->peer_cert_file,
                                o->peer_key_file, o->peer_trusted_ca_file, p);
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
