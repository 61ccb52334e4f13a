/* The issuer's configuration (OpenID Connect Discovery 1.0 section 4) names the address of its
 * keys; both are fetched at the start and every few minutes, so that a key that the issuer has
 * withdrawn is refused soon. A token with an unknown key causes a fetch too, at most every ten
 * seconds, however many such tokens come. Meanwhile it gets 503 with Retry-After, which clients
 * repeat; others are not concerned. While the issuer does not answer, the keys stay as they were.
 */
#include "kapid/auth/oidc.h"

#include "lib/http-client.h"
#include "lib/log.h"
#include "lib/metrics.h"
#include "lib/timefmt.h"

#define SECOND_US UINT64_C(1000000)
#define REFRESH_US (300 * SECOND_US)
#define RETRY_MAX_US (60 * SECOND_US)
#define UNKNOWN_KEY_US (10 * SECOND_US)

enum {
        CALL_TIMEOUT_US = 10 * 1000 * 1000,
        CONNECT_TIMEOUT_US = 5 * 1000 * 1000,
        CONFIGURATION_SIZE_MAX = 64 << 10,
        KEYS_SIZE_MAX = 512 << 10,
        URL_SIZE_MAX = 2048,
};

struct oidc {
        sd_event *event;
        const struct oidc_options *options;
        struct verified *tokens; /* borrowed */
        struct jwk_set *keys; /* NULL: never fetched */
        struct http_client *client;
        bool fetching;
        unsigned failures;
        uint64_t begun_us; /* monotonic; of the last fetch */
        sd_event_source *timer;
        char *last_error; /* that was logged; NULL: none since the last success */
        struct metric *fetched, *failed, *fetched_at;
};

uint64_t oidc_pause_us(unsigned failures) {
        if (failures == 0)
                return REFRESH_US;
        return failures > 6 ? RETRY_MAX_US : MIN(SECOND_US << (failures - 1), RETRY_MAX_US);
}

bool oidc_may_fetch(uint64_t last_us, uint64_t now_us) {
        return now_us - last_us >= UNKNOWN_KEY_US;
}

/* --- fetching --- */

static void schedule(struct oidc *o) {
        o->fetching = false;
        o->client = http_client_free(o->client);
        (void)sd_event_source_set_time_relative(o->timer, oidc_pause_us(o->failures));
        (void)sd_event_source_set_enabled(o->timer, SD_EVENT_ONESHOT);
}

/* The same error is logged once. */
static void fetch_failed(struct oidc *o, const char *what, const char *why) {
        _cleanup_free_ char *text = strformat("%s: %s", what, why);

        if (text && !streq_ptr(text, o->last_error)) {
                log_warning("The keys of --oidc-issuer-url %s cannot be fetched: %s. Its users "
                            "get 401 or 503 until they can, but for tokens with keys fetched "
                            "before",
                                o->options->issuer_url, text);
                free(o->last_error);
                o->last_error = TAKE_PTR(text);
        }
        metric_add(o->failed, 1);
        o->failures++;
        schedule(o);
}

static bool result_is_good(struct oidc *o, const char *what, const struct http_result *r) {
        _cleanup_free_ char *why = NULL;

        if (!r->error && r->code == 200)
                return true;
        why = r->error == -EFBIG ? strdup("the answer is too large")
              : r->error         ? strdup(strempty(r->error_text))
                                 : strformat("the issuer answered %d", r->code);
        fetch_failed(o, what, strempty(why));
        return false;
}

/* base_url: all of the address, or its part before `path`. */
static int call(struct oidc *o, const char *base_url, const char *path, size_t size_max,
                void (*done)(struct http_call *, const struct http_result *, void *)) {
        int r;

        o->client = http_client_free(o->client);
        r = http_client_new(&o->client, o->event,
                        &(struct http_client_options){.base_url = base_url,
                                        .ca_pem = o->options->ca_pem,
                                        .user_agent = "kapid",
                                        .connect_timeout_us = CONNECT_TIMEOUT_US,
                                        .flags = HTTP_CLIENT_TLS_1_2 | HTTP_CLIENT_USE_PROXIES});
        if (r < 0)
                return r;
        return http_call_start(o->client,
                        &(struct http_call_options){.method = "GET",
                                        .path = path,
                                        .timeout_us = CALL_TIMEOUT_US,
                                        .body_size_max = size_max,
                                        .on_done = done,
                                        .userdata = o},
                        NULL);
}

static void on_keys(struct http_call *c, const struct http_result *result, void *userdata) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *document = NULL;
        struct jwk_set *keys = NULL;
        struct oidc *o = userdata;

        if (!result_is_good(o, "its keys", result))
                return;
        if (json_parse(result->body, result->body_size, 0, &document, NULL) < 0 ||
                        jwk_set_new(&keys, document, &p) < 0) {
                fetch_failed(o, "its keys", p.message ? p.message : "they are no JSON");
                return;
        }
        if (!o->keys || o->last_error)
                log_info("%zu keys of --oidc-issuer-url %s were fetched", jwk_set_count(keys),
                                o->options->issuer_url);
        jwk_set_free(o->keys);
        o->keys = keys;
        verified_forget(o->tokens, VERIFIED_BY_ISSUER); /* a key may have been withdrawn */
        o->last_error = mfree(o->last_error);
        o->failures = 0;
        metric_add(o->fetched, 1);
        metric_set(o->fetched_at, (double)now_wall_us() / 1e6);
        schedule(o);
}

static void on_configuration(
                struct http_call *c, const struct http_result *result, void *userdata) {
        static const char what[] = "its configuration";
        _cleanup_json_ json_t *document = NULL;
        const char *url, *issuer;
        struct oidc *o = userdata;

        if (!result_is_good(o, what, result))
                return;
        if (json_parse(result->body, result->body_size, 0, &document, NULL) < 0) {
                fetch_failed(o, what, "it is no JSON");
                return;
        }
        issuer = strempty(json_string_value(json_object_get(document, "issuer")));
        url = strempty(json_string_value(json_object_get(document, "jwks_uri")));
        if (!streq(issuer, o->options->issuer_url))
                fetch_failed(o, what, "it names another issuer; write the flag as it does");
        else if (!startswith(url, "https://") || strlen(url) > URL_SIZE_MAX ||
                        strpbrk(url, " \t\r\n#"))
                fetch_failed(o, what, "its jwks_uri is not an https address");
        else if (call(o, url, "", KEYS_SIZE_MAX, on_keys) < 0)
                fetch_failed(o, "its keys", "out of memory");
}

static void fetch(struct oidc *o) {
        _cleanup_free_ char *base = strdup(o->options->issuer_url);

        if (o->fetching)
                return;
        o->fetching = true;
        o->begun_us = now_mono_us();
        if (base && endswith(base, "/"))
                base[strlen(base) - 1] = 0;
        if (!base || call(o, base, "/.well-known/openid-configuration", CONFIGURATION_SIZE_MAX,
                                     on_configuration) < 0)
                fetch_failed(o, "its configuration", "out of memory");
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        fetch(userdata);
        return 0;
}

/* --- tokens --- */

bool oidc_knows(const struct oidc *o, const char *token, const struct token_digest *digest) {
        return verified_has(o->tokens, digest, VERIFIED_BY_ISSUER) ||
               oidc_token_is_from(token, o->options->issuer_url);
}

/* The claims of a token that the issuer signed. */
static int issuer_claims(struct oidc *o, const char *token, const struct token_digest *digest,
                json_t **ret, struct problem *p) {
        int r;

        *ret = verified_find(o->tokens, digest, VERIFIED_BY_ISSUER);
        if (*ret)
                return 0;
        r = oidc_token_verify(o->options, o->keys, token, ret, p);
        if (r >= 0)
                verified_add(o->tokens, digest, VERIFIED_BY_ISSUER, *ret, strlen(token));
        return r;
}

int oidc_authenticate(struct oidc *o, const char *token, const struct token_digest *digest,
                struct user *ret, struct problem *p) {
        _cleanup_json_ json_t *claims = NULL;
        int r = issuer_claims(o, token, digest, &claims, p);

        if (r >= 0)
                return oidc_token_judge(o->options, claims, now_wall_us() / SECOND_US, ret, p);
        if (r != -ENOKEY)
                return r;
        if (!o->fetching && oidc_may_fetch(o->begun_us, now_mono_us()))
                fetch(o);
        if (o->keys && !o->fetching)
                return problem_set(p, EACCES, 401, "Unauthorized",
                                "Unauthorized: the token is signed with a key that the issuer "
                                "does not publish");
        problem_set(p, EAGAIN, 503, "ServiceUnavailable",
                        "the keys of the token's issuer are being fetched");
        p->retry_after_s = 1;
        return -EAGAIN;
}

static int add_metrics(struct oidc *o, struct metrics *m) {
        static const char name[] = "kapid_oidc_fetches_total",
                          help[] = "Fetches of the OpenID Connect issuer's keys.";

        o->fetched = metrics_counter(m, name, "result=\"success\"", help);
        o->failed = metrics_counter(m, name, "result=\"failure\"", help);
        o->fetched_at = metrics_gauge(m, "kapid_oidc_keys_fetched_timestamp_seconds", "",
                        "When the issuer's keys were last fetched; 0: never.");
        return o->fetched && o->failed && o->fetched_at ? 0 : -ENOMEM;
}

int oidc_new(struct oidc **ret, sd_event *event, const struct oidc_options *options,
                struct verified *tokens, struct metrics *m) {
        _cleanup_(oidc_freep) struct oidc *o = calloc(1, sizeof(*o));
        int r;

        if (!o)
                return -ENOMEM;
        o->event = sd_event_ref(event);
        o->options = options;
        o->tokens = tokens;
        r = add_metrics(o, m);
        if (r < 0)
                return r;
        /* Its first turn is the loop's first. */
        r = sd_event_add_time_relative(
                        event, &o->timer, CLOCK_MONOTONIC, 0, SECOND_US / 10, on_timer, o);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

struct oidc *oidc_free(struct oidc *o) {
        if (!o)
                return NULL;
        http_client_free(o->client);
        sd_event_source_disable_unref(o->timer);
        sd_event_unref(o->event);
        jwk_set_free(o->keys);
        free(o->last_error);
        return mfree(o);
}
