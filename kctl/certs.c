/* kctl certs list, kctl certs renew: the certificates of a control plane are looked at and renewed
 * with the authorities' keys, which are on its machine; no API is needed for it, so that one whose
 * certificates have all expired comes back. The daemons read a replaced file when the next
 * connection begins (lib/tls.h), so that nothing is restarted. keelson-certs.timer runs
 * `kctl certs renew --due` on each machine of the control plane. */
#include "kctl/certs.h"

#include <sys/mman.h>

#include "kctl/certs-nodes.h"
#include "kctl/cluster.h"
#include "kctl/ingress.h"
#include "kctl/kubeconfig-parts.h"
#include "lib/fileio.h"
#include "lib/timefmt.h"

enum { LIFE_MIN_S = 10, READY_TIMEOUT_S = 60 };

static uint64_t now_s(void) {
        return now_wall_us() / 1000000;
}

/* ---- renew ---- */

/* No certificate outlives its authority. */
static uint64_t life_of(const struct authority *a, uint64_t life_s) {
        _cleanup_pki_view_ struct pki_view v = {0};

        if (pki_cert_view(a->signer, &v) < 0 || v.ends_s <= now_s())
                return life_s;
        return MIN(life_s, v.ends_s - now_s());
}

static int put_admin(const struct certs_place *place, const char *pem, const char *bundle,
                struct problem *p) {
        _cleanup_free_ char *text = NULL, *fresh = NULL;
        int r = certs_place_read(place, certs_place_admin(place), &text, p);

        if (r < 0)
                return r;
        r = kubeconfig_put(text, bundle, pem, /* key= */ NULL, &fresh, p);
        if (r < 0)
                return r;
        return certs_place_write(place, certs_place_admin(place), fresh, /* secret= */ true, p);
}

static int renew_one(const struct certs_place *place, const struct cert_seen *seen,
                const struct authority *a, uint64_t life_s, struct problem *p) {
        _cleanup_free_ char *pem = NULL, *file = strformat("%s.crt", seen->name);
        _cleanup_pki_view_ struct pki_view v = {0};
        char ends[TIMEFMT_SIZE];
        int r;

        if (!file)
                return -ENOMEM;
        if (!a->signer)
                return problem_set(p, ENOKEY, 0, NULL,
                                "%s has no key %s/%s.key, which signs; run this on the machine "
                                "of the control plane that has it",
                                place->name, place->dir, seen->row->authority);
        r = pki_renew(a->bundle, a->key, seen->pem, life_of(a, life_s), &pem, p);
        if (r < 0)
                return r;
        r = streq(seen->name, "admin")
                            ? put_admin(place, pem, a->bundle, p)
                            : certs_place_write(place, file, pem, /* secret= */ false, p);
        if (r < 0)
                return r;
        r = pki_cert_view(pem, &v);
        if (r < 0)
                return r;
        printf("%s: renewed, expires %s\n", seen->name, time_format(v.ends_s * 1000000, ends));
        return 0;
}

static void report(const struct cert_seen *seen, enum cert_action action) {
        const struct pki_view *v = &seen->view;
        _cleanup_free_ char *why = NULL;
        char ends[TIMEFMT_SIZE];

        if (action == CERT_ROTATE)
                fprintf(stderr, "warning: the %s (%s) ends at %s: replace it with "
                                "kctl certs rotate-ca\n",
                                seen->row->holder, seen->where,
                                time_format(v->ends_s * 1000000, ends));
        if (action == CERT_CLOCK && pki_time_problem(v->begins_s, v->ends_s, now_s(), &why) >= 0)
                fprintf(stderr, "warning: the certificate of the %s (%s) %s; it is kept: set the "
                                "clock, or renew it by its name\n",
                                seen->row->holder, seen->where, strempty(why));
}

static int renew_seen(const struct certs_place *place, const struct certs_seen *seen,
                const struct cert_wish *wish, uint64_t life_s, struct problem *p) {
        _cleanup_authorities_ struct authorities all = {0};
        int r = authorities_read(place, &all, p), count = 0;

        if (r < 0)
                return r;
        for (size_t i = 0; i < seen->count; i++) {
                const struct cert_seen *s = &seen->items[i];
                enum cert_action action = cert_decide(s, wish, now_s());
                const struct authority *a = authority_of(
                                &all, s->row->authority ? s->row->authority : authority_names[0]);

                if (action != CERT_RENEW)
                        report(s, action);
                else if (!a->signer && !wish->names)
                        fprintf(stderr, "warning: %s is not renewed here: %s/%s.key is elsewhere\n",
                                        s->where, place->dir, s->row->authority);
                else {
                        r = renew_one(place, s, a, life_s, p);
                        if (r < 0)
                                return r;
                        count++;
                }
        }
        return count;
}

int certs_renew_at(const struct certs_place *place, const struct cert_wish *wish, uint64_t life_s,
                struct problem *p) {
        _cleanup_certs_seen_ struct certs_seen seen = {0};
        int r = certs_split(place, p);

        if (r < 0)
                return r;
        r = certs_see(place, &seen, p);
        return r < 0 ? r : renew_seen(place, &seen, wish, life_s, p);
}

/* ---- the API ---- */

/* Into memory: processes that are forked from this one read it too. */
static int keep_in_memory(const char *text, char **ret_path) {
        _cleanup_close_ int fd = memfd_create("kubeconfig", MFD_CLOEXEC);
        int r = fd < 0 ? -errno : file_write_all(fd, text, strlen(text));

        if (r < 0)
                return r;
        *ret_path = strformat("/proc/self/fd/%i", fd);
        if (!*ret_path)
                return -ENOMEM;
        TAKE_FD(fd);
        return 0;
}

static int take_credentials(struct kctl *k, struct certs_place *place, struct problem *p) {
        _cleanup_free_ char *text = NULL, *path = NULL;
        int r = certs_place_read(place, certs_place_admin(place), &text, p);

        if (r == -ENOENT)
                return problem_set(p, ENOENT, 0, NULL, "%s: %s/%s is missing", place->name,
                                place->dir, certs_place_admin(place));
        if (r < 0)
                return r;
        r = keep_in_memory(text, &path);
        explicit_bzero(text, strlen(text));
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot make a file in memory: %s",
                                strerror(-r));
        if (place->is_connected)
                free(k->flags.kubeconfig);
        else
                place->own_kubeconfig = k->flags.kubeconfig;
        place->is_connected = true;
        k->flags.kubeconfig = TAKE_PTR(path);
        k->client = api_client_free(k->client);
        return api_client_new(&k->client, NULL,
                        &(struct api_client_options){
                                        .kubeconfig = k->flags.kubeconfig, .user_agent = "kctl"},
                        p);
}

static bool is_ready(struct kctl *k) {
        struct http_result result;
        int r = http_client_do(api_client_http(k->client),
                        &(struct http_call_options){.method = "GET",
                                        .path = "/readyz",
                                        .accept = "*/*",
                                        .timeout_us = 3000000},
                        &result);
        bool ready = r == 0 && result.code == 200;

        http_result_done(&result);
        return ready;
}

int certs_connect(struct kctl *k, struct certs_place *place, struct problem *p) {
        uint64_t deadline = now_mono_us() + READY_TIMEOUT_S * UINT64_C(1000000);
        int r = take_credentials(k, place, p);

        if (r < 0)
                return r;
        while (!is_ready(k)) {
                if (now_mono_us() > deadline)
                        return problem_set(p, ETIMEDOUT, 0, NULL,
                                        "%s: the API at %s does not answer; are its units active?",
                                        place->name, api_client_server(k->client));
                usleep(200000);
        }
        return 0;
}

int certs_renew_own_kubeconfig(
                struct kctl *k, const struct certs_place *place, struct problem *p) {
        const char *given = place->is_connected ? place->own_kubeconfig : k->flags.kubeconfig;
        _cleanup_free_ char *path = kubeconfig_default_path(given), *text = NULL;
        int r;

        if (place->is_dev || (!given && !getenv("HOME") && !getenv("KUBECONFIG")))
                return 0;
        r = path ? certs_place_read(place, certs_place_admin(place), &text, p) : -ENOMEM;
        if (r < 0 || access(path, F_OK) < 0)
                return r == -ENOENT ? 0 : MIN(r, 0);
        r = kubeconfig_renew(path, text, p);
        if (r > 0)
                printf("%s: has the administrator's new credentials\n", path);
        return MIN(r, 0);
}

/* ---- what needs the API ---- */

/* The ingress' certificate, when it is due or `all`. */
static int renew_ingress(struct kctl *k, const struct certs_place *place, bool all,
                struct problem *p) {
        _cleanup_authority_ struct authority ca = {0};
        _cleanup_pki_view_ struct pki_view v = {0};
        _cleanup_free_ char *pem = NULL;
        int r = ingress_certificate(k, &pem, /* ret_ca= */ NULL, p);

        if (r <= 0)
                return r;
        r = authority_read(place, "ca", &ca, p);
        if (r < 0)
                return r;
        if (!ca.signer || (!all && pki_cert_view(pem, &v) >= 0 &&
                                          pki_life(v.begins_s, v.ends_s, now_s()) ==
                                                          PKI_LIFE_FRESH))
                return 0;
        r = ingress_renew(k, ca.bundle, ca.key, p);
        if (r > 0)
                printf("kingressd: renewed\n");
        return r;
}

static int renew_nodes(struct kctl *k, struct problem *p) {
        const struct nodes_wish wish = {.renew = true};
        size_t failed;
        int r = nodes_converge(k, &wish, /* seen= */ NULL, &failed, p);

        if (r < 0 || failed == 0)
                return r;
        return problem_set(p, EIO, 0, NULL,
                        "%zu node%s could not be brought up to date (the reasons are above); run "
                        "the same command again when they answer",
                        failed, failed == 1 ? "" : "s");
}

static int renew_place(struct kctl *k, const char *where, struct problem *p) {
        _cleanup_(certs_place_done) struct certs_place place = {0};
        const bool named = k->words != NULL, nodes = k->flags.with_nodes || k->flags.expired;
        const struct cert_wish wish = {
                        .due = k->flags.due || k->flags.expired || k->flags.prepare,
                        .names = k->words};
        bool only_ingress = strv_length(k->words) == 1 && streq(k->words[0], "kingressd");
        int r = certs_place_open(&place, k, where, p);

        if (r < 0)
                return r;
        r = certs_renew_at(&place, &wish, cluster_life_s(k->flags.certificate_life_us), p);
        if (r < 0)
                return r;
        if (k->flags.prepare)
                return certs_add_front_proxy(
                                &place, cluster_life_s(k->flags.certificate_life_us), p);
        if (r == 0 && !only_ingress)
                printf("%s: nothing is due\n", place.name);
        r = certs_renew_own_kubeconfig(k, &place, p);
        if (r < 0 || (named && !strv_contains(k->words, "kingressd")))
                return r;
        r = certs_connect(k, &place, p);
        if (r < 0)
                return r;
        r = renew_ingress(k, &place, !wish.due, p);
        return r < 0 || !nodes ? MIN(r, 0) : renew_nodes(k, p);
}

static int check_words(struct kctl *k) {
        for (char **w = k->words; w && *w; w++) {
                const struct cert_row *row = cert_row_named(*w);

                if (row && !row->authority)
                        return kctl_usage(k, "%s is an authority: kctl certs rotate-ca replaces it",
                                        *w);
                if (!row && !streq(*w, "kingressd"))
                        return kctl_usage(k, "there is no certificate \"%s\"; kctl certs list "
                                             "shows them",
                                        *w);
        }
        if (k->words && (k->flags.due || k->flags.expired))
                return kctl_usage(k, "names and --due or --expired: give one of them");
        if (k->flags.certificate_life_us < LIFE_MIN_S * UINT64_C(1000000))
                return kctl_usage(k, "--certificate-life must be at least %i s", LIFE_MIN_S);
        return EXIT_OK;
}

int kctl_certs_renew(struct kctl *k) {
        int code = check_words(k);

        if (code != EXIT_OK)
                return code;
        for (size_t i = 0; i == 0 || i < strv_length(k->flags.control); i++) {
                _cleanup_problem_ struct problem p = {0};
                int r = renew_place(k, k->flags.control ? k->flags.control[i] : NULL, &p);

                if (r < 0)
                        code = p.message ? kctl_fail(&p) : kctl_error("%s", strerror(-r));
        }
        return code;
}

/* ---- list ---- */

static int see_ingress(struct kctl *k, struct certs_seen *seen, struct problem *p) {
        _cleanup_free_ char *pem = NULL;
        int r = ingress_certificate(k, &pem, /* ret_ca= */ NULL, p);

        return r <= 0 ? r
                      : certs_seen_add(seen, /* row= */ NULL, "kingressd",
                                        "secret kube-system/kingressd", pem, /* a= */ NULL, p);
}

static int list_place(struct kctl *k, const char *where, bool with_cluster,
                struct certs_seen *seen, struct problem *p) {
        _cleanup_(certs_place_done) struct certs_place place = {0};
        const struct nodes_wish nothing = {0};
        size_t failed;
        int r = certs_place_open(&place, k, where, p);

        if (r < 0)
                return r;
        r = certs_see(&place, seen, p);
        if (r < 0 || !with_cluster)
                return r;
        r = certs_connect(k, &place, p);
        if (r < 0)
                return r;
        r = see_ingress(k, seen, p);
        return r < 0 ? r : nodes_converge(k, &nothing, seen, &failed, p);
}

int kctl_certs_list(struct kctl *k) {
        _cleanup_json_ json_t *all = json_array();
        int code = EXIT_OK;

        if (k->words)
                return kctl_usage(k, "certs list takes no argument (\"%s\")", k->words[0]);
        if (k->flags.output && !streq(k->flags.output, "json"))
                return kctl_usage(k, "-o %s: only json is supported", k->flags.output);
        for (size_t i = 0; i == 0 || i < strv_length(k->flags.control); i++) {
                _cleanup_certs_seen_ struct certs_seen seen = {0};
                _cleanup_problem_ struct problem p = {0};
                _cleanup_json_ json_t *list = NULL;
                int r = list_place(k, k->flags.control ? k->flags.control[i] : NULL,
                                k->flags.with_nodes && i == 0, &seen, &p);

                if (r < 0)
                        code = p.message ? kctl_fail(&p) : kctl_error("%s", strerror(-r));
                list = certs_json(&seen, now_s());
                if (k->flags.output)
                        json_array_extend(all, list);
                else if (seen.count > 0)
                        certs_print(&seen, now_s(), !k->flags.no_headers);
        }
        if (k->flags.output) {
                _cleanup_free_ char *text = json_text_pretty(all);

                puts(strempty(text));
        }
        return code;
}
