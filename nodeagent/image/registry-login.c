/* Logging in: Basic, or Bearer with a token of the token service that the challenge names
 * (distribution spec, "token authentication"). Credentials are tried in their order, as the kubelet
 * does; without any, an anonymous token is asked for. */
#include "lib/crypto.h"
#include "nodeagent/image/registry-internal.h"

enum { TOKEN_ANSWER_MAX = 1 << 20 };

static int basic_value(const struct image_credential *c, char **ret) {
        _cleanup_free_ char *plain = strformat("%s:%s", c->username, c->password), *coded = NULL;

        if (!plain)
                return -ENOMEM;
        coded = base64_encode(plain, strlen(plain));
        explicit_bzero(plain, strlen(plain));
        if (!coded)
                return -ENOMEM;
        *ret = strformat("Basic %s", coded);
        explicit_bzero(coded, strlen(coded));
        return *ret ? 0 : -ENOMEM;
}

/* The form of an OAuth2 request with a refresh token. */
static int token_form(struct registry *reg, const struct registry_place *place,
                const struct image_credential *c, const char *scope, char **ret) {
        _cleanup_free_ char *form = strdup("");
        const struct {
                const char *name, *value;
        } fields[] = {{"grant_type", "refresh_token"}, {"service", place->asked.service},
                        {"client_id", "keelson"}, {"scope", scope},
                        {"refresh_token", c->identity_token}};

        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                int r = form ? challenge_add_query(&form, fields[i].name, strempty(fields[i].value))
                             : -ENOMEM;

                if (r < 0)
                        return r;
        }
        *ret = strdup(form + 1); /* without the '?' */
        return *ret ? 0 : -ENOMEM;
}

static int token_path(const struct registry_place *place, const char *scope, char **path) {
        int reg = 0;

        if (place->asked.service)
                reg = challenge_add_query(path, "service", place->asked.service);
        return reg < 0 ? reg : challenge_add_query(path, "scope", scope);
}

/* The Authorization value of a token service's answer. */
static int read_token(struct registry *reg, const char *base, const struct http_result *result,
                char **ret, struct problem *p) {
        _cleanup_json_ json_t *answer = NULL;
        const char *token;
        int r = json_parse(result->body, result->body_size, 0, &answer, NULL);

        if (r == -ENOMEM)
                return r;
        token = json_str_or(answer, "token", json_str_or(answer, "access_token", ""));
        if (r < 0 || !*token)
                return image_problem(p, EBADMSG, IMAGE_CAUSE_UNAVAILABLE,
                                "image \"%s\": the token service %s did not answer with a token; "
                                "is the registry set up right?",
                                reg->image, base);
        *ret = strformat("Bearer %s", token);
        return *ret ? 0 : -ENOMEM;
}

/* Asks for a token. 1; 0: the service does not accept the credential (c NULL: anonymous). */
static int fetch_token(struct registry *reg, struct registry_place *place,
                const struct image_credential *c, struct problem *p) {
        _cleanup_(reply_done) struct reply reply = {0};
        _cleanup_free_ char *base = NULL, *path = NULL, *basic = NULL, *form = NULL,
                            *scope = place->asked.scope
                                                     ? strdup(place->asked.scope)
                                                     : strformat("repository:%s:pull",
                                                                       place->endpoint->repository);
        int r = challenge_split_url(place->asked.realm, &base, &path);

        if (!scope || r == -ENOMEM)
                return -ENOMEM;
        if (r < 0 || (startswith(place->endpoint->url, "https:") && startswith(base, "http:")))
                return image_problem(p, EPERM, IMAGE_CAUSE_UNAVAILABLE,
                                "image \"%s\": the registry %s names a token service that is not "
                                "an https URL; credentials are not sent there",
                                reg->image, place->endpoint->host);
        if (c && c->identity_token)
                r = token_form(reg, place, c, scope, &form);
        else
                r = token_path(place, scope, &path);
        if (r < 0)
                return r;
        if (c && !c->identity_token) {
                r = basic_value(c, &basic);
                if (r < 0)
                        return r;
        }
        r = registry_ask(reg,
                        &(struct registry_request){.base = base,
                                        .path = path,
                                        .form = form,
                                        .authorization = basic,
                                        .body_size_max = TOKEN_ANSWER_MAX},
                        &reply, p);
        if (r < 0)
                return r;
        if (reply.result.code == 401 || reply.result.code == 403 || reply.result.code == 400)
                return 0;
        if (reply.result.code != 200)
                return registry_refused(reg, base, "a token", &reply.result, p);
        r = read_token(reg, base, &reply.result, &place->authorization, p);
        return r < 0 ? r : 1;
}

/* 1: place->authorization is set; 0: this credential cannot be used. */
static int use_credential(struct registry *reg, struct registry_place *place,
                const struct image_credential *c, struct problem *p) {
        int r;

        if (c && c->registry_token) {
                place->authorization = strformat("Bearer %s", c->registry_token);
                return place->authorization ? 1 : -ENOMEM;
        }
        if (!place->asked.basic)
                return fetch_token(reg, place, c, p);
        if (!c || !c->username || !c->password)
                return 0;
        r = basic_value(c, &place->authorization);
        return r < 0 ? r : 1;
}

int registry_login(
                struct registry *reg, struct registry_place *place, bool used, struct problem *p) {
        size_t count = MAX(place->credentials.count, (size_t)1); /* none: anonymous */

        if (place->authorization)
                explicit_bzero(place->authorization, strlen(place->authorization));
        place->authorization = mfree(place->authorization);
        if (!place->challenged)
                return 0;
        if (used)
                place->credential++;
        for (; place->credential < count; place->credential++) {
                const struct image_credential *c =
                                place->credentials.count > 0
                                                ? &place->credentials.items[place->credential]
                                                : NULL;
                int r = use_credential(reg, place, c, p);

                if (r != 0)
                        return r;
        }
        return 0;
}
