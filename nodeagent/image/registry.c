/* Requests to the endpoints of a repository. One request is tried at a place until it answers or no
 * credential is left; then at the next place. Redirects are followed here and not by curl, so that
 * it is certain which host gets the Authorization header. */
#include "nodeagent/image/registry.h"

#include <sys/stat.h>

#include "lib/fileio.h"
#include "lib/plain.h"
#include "nodeagent/image/digest.h"
#include "nodeagent/image/manifest.h"
#include "nodeagent/image/registry-internal.h"

enum {
        REDIRECTS_MAX = 5,
        TRIES_MAX = 80, /* of one request at one place: credentials and fresh tokens */
        ERROR_SHOWN_MAX = 300,
};
#define CONNECT_TIMEOUT_US (UINT64_C(15) * 1000000)

void reply_done(struct reply *r) {
        http_result_done(&r->result);
        free(r->location);
        challenge_done(&r->challenge);
        *r = (struct reply){0};
}

/* --- making --- */

static void client_free(void *client) {
        http_client_free(client);
}

struct registry *registry_free(struct registry *reg) {
        if (!reg)
                return NULL;
        for (size_t i = 0; reg->places && i < reg->endpoints.count; i++) {
                struct registry_place *place = &reg->places[i];

                image_credentials_done(&place->credentials);
                challenge_done(&place->asked);
                free(place->authorization);
        }
        free(reg->places);
        image_endpoints_done(&reg->endpoints);
        map_free(reg->clients);
        free(reg->image);
        return mfree(reg);
}

static int make_places(struct registry *reg) {
        int r;

        reg->places = calloc(reg->endpoints.count + 1, sizeof(*reg->places));
        if (!reg->places)
                return -ENOMEM;
        for (size_t i = 0; i < reg->endpoints.count; i++) {
                const struct image_endpoint *e = &reg->endpoints.items[i];

                reg->places[i].endpoint = e;
                r = image_credentials_find(reg->options.credentials, e->host, e->repository,
                                &reg->places[i].credentials);
                if (r < 0)
                        return r;
        }
        return 0;
}

int registry_new(struct registry **ret, const struct registry_options *options, struct problem *p) {
        _cleanup_(registry_freep) struct registry *reg = calloc(1, sizeof(*reg));
        int r;

        if (!reg)
                return -ENOMEM;
        reg->options = *options;
        reg->image = image_reference_text(options->reference);
        reg->clients = map_new(client_free);
        if (!reg->image || !reg->clients)
                return -ENOMEM;
        r = image_endpoints_of(options->settings, options->reference->registry,
                        options->reference->repository, &reg->endpoints);
        if (r < 0)
                return r;
        r = make_places(reg);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(reg);
        return 0;
}

/* --- one request --- */

static int client_for(struct registry *reg, const char *base, struct http_client **ret,
                struct problem *p) {
        struct http_client *c = map_get(reg->clients, base);
        bool skip_verify;
        const char *host = strstr(base, "://") + 3,
                   *ca = image_settings_ca(reg->options.settings,
                                   streq(host, "registry-1.docker.io") ? "docker.io" : host,
                                   &skip_verify);
        int r;

        if (c) {
                *ret = c;
                return 0;
        }
        r = http_client_new(&c, NULL,
                        &(struct http_client_options){.base_url = base,
                                        .ca_pem = ca,
                                        .user_agent = reg->options.user_agent,
                                        .connect_timeout_us = CONNECT_TIMEOUT_US,
                                        .flags = HTTP_CLIENT_TLS_1_2 | HTTP_CLIENT_USE_PROXIES |
                                                 (skip_verify ? HTTP_CLIENT_ANY_SERVER : 0)});
        if (r < 0)
                return image_problem(p, -r, IMAGE_CAUSE_INTERNAL,
                                "image \"%s\": a client for %s cannot be made: %s", reg->image,
                                base, strerror(-r));
        r = map_set(reg->clients, base, c);
        if (r < 0) {
                http_client_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

/* The callbacks of a call share its userdata. */
struct call {
        const struct registry_request *request;
        struct reply *reply;
        bool failed; /* out of memory */
};

static void on_header(const char *name, const char *value, void *userdata) {
        struct call *call = userdata;
        struct reply *reply = call->reply;

        if (strcaseeq(name, "Location")) {
                free(reply->location);
                reply->location = strdup(value);
                call->failed = call->failed || !reply->location;
        } else if (strcaseeq(name, "WWW-Authenticate") &&
                        (!reply->challenged || reply->challenge.basic)) {
                struct challenge c = {0};
                int r = challenge_parse(value, &c);

                call->failed = call->failed || r < 0;
                if (r > 0) {
                        challenge_done(&reply->challenge);
                        reply->challenge = c;
                        reply->challenged = true;
                }
        }
}

static int on_data(struct http_call *c, const char *data, size_t n, void *userdata) {
        struct call *call = userdata;

        return call->request->on_data(c, data, n, call->request->userdata);
}

static int no_answer(struct registry *reg, const struct http_result *result, struct problem *p) {
        enum image_cause cause = result->error == -ETIMEDOUT ? IMAGE_CAUSE_SLOW
                                 : result->error == -EFBIG   ? IMAGE_CAUSE_TOO_LARGE
                                                             : IMAGE_CAUSE_UNAVAILABLE;

        return image_problem(p, -result->error, cause, "image \"%s\": %s", reg->image,
                        strempty(result->error_text));
}

int registry_ask(struct registry *reg, const struct registry_request *request, struct reply *ret,
                struct problem *p) {
        struct http_client *client = NULL;
        struct call call = {.request = request, .reply = ret};
        const struct http_header headers[] = {
                        {"Authorization", request->authorization}, {NULL, NULL}};
        int r;

        reply_done(ret);
        r = client_for(reg, request->base, &client, p);
        if (r < 0)
                return r;
        r = http_client_do(client,
                        &(struct http_call_options){.method = request->form ? "POST" : "GET",
                                        .path = request->path,
                                        .headers = request->authorization ? headers : NULL,
                                        .accept = request->accept ? request->accept : "*/*",
                                        .body = request->form,
                                        .body_size = request->form ? strlen(request->form) : 0,
                                        .content_type = request->form ? "application/x-www-form-urlencoded"
                                                                      : NULL,
                                        .timeout_us = reg->options.limits.total_us,
                                        .idle_timeout_us = reg->options.limits.silent_us,
                                        .body_size_max = request->body_size_max,
                                        .on_header = on_header,
                                        .on_data = request->on_data ? on_data : NULL,
                                        .userdata = &call},
                        &ret->result);
        if (call.failed)
                return -ENOMEM;
        return r < 0 ? no_answer(reg, &ret->result, p) : 0;
}

/* --- answers that are refusals --- */

/* The registry's own words, made harmless; "" where it has none. */
static char *own_words(const struct http_result *result) {
        _cleanup_json_ json_t *answer = NULL;
        const char *code, *message;
        _cleanup_free_ char *text = NULL;

        if (json_parse(result->body, result->body_size, 0, &answer, NULL) < 0)
                return strdup("");
        const json_t *first = json_array_get(json_at(answer, "errors"), 0);
        code = json_str_or(first, "code", "");
        message = json_str_or(first, "message", json_str_or(answer, "details", ""));
        if (!*code && !*message)
                return strdup("");
        text = strformat(": %s%s%s", code, *code && *message ? ": " : "", message);
        return text ? plain_copy(text, MIN(strlen(text), (size_t)ERROR_SHOWN_MAX), PLAIN_LINE)
                    : NULL;
}

static int unauthorized(struct registry *reg, const char *base, int code, const char *words,
                struct problem *p) {
        return image_problem(p, EACCES, IMAGE_CAUSE_UNAUTHORIZED,
                        "image \"%s\": %s denies access (%d%s); check the name, and that an "
                        "imagePullSecret of the pod or its service account has a user who may "
                        "pull it",
                        reg->image, base, code, words);
}

int registry_refused(struct registry *reg, const char *base, const char *what,
                const struct http_result *result, struct problem *p) {
        _cleanup_free_ char *words = own_words(result);
        int code = result->code, r;

        if (!words)
                return -ENOMEM;
        switch (code) {
        case 401:
        case 403:
                return unauthorized(reg, base, code, words, p);
        case 404:
        case 410:
                return image_problem(p, ENOENT, IMAGE_CAUSE_NOT_FOUND,
                                "image \"%s\": %s does not have %s (%d%s); check the name and the "
                                "tag",
                                reg->image, base, what, code, words);
        case 429:
                r = image_problem(p, EBUSY, IMAGE_CAUSE_RATE_LIMITED,
                                "image \"%s\": %s refuses further requests for now (429%s); wait, "
                                "use an account, or a mirror (/etc/keelson/registries.yaml)",
                                reg->image, base, words);
                p->retry_after_s = result->retry_after_s;
                return r;
        }
        if (code >= 500)
                r = image_problem(p, EHOSTDOWN, IMAGE_CAUSE_UNAVAILABLE,
                                "image \"%s\": %s has a fault (%d%s); look at the registry's log",
                                reg->image, base, code, words);
        else
                r = image_problem(p, EPROTO, IMAGE_CAUSE_UNAVAILABLE,
                                "image \"%s\": %s answers %d%s to the request for %s; is it a "
                                "registry?",
                                reg->image, base, code, words, what);
        p->retry_after_s = result->retry_after_s;
        return r;
}

/* --- a request at one place --- */

/* Where the body goes. */
struct sink {
        struct registry *registry;
        int fd; /* -EBADF: the body is kept in the reply */
        uint64_t size, done;
        struct image_hash *hash;
        int write_error; /* errno of the file */
        bool too_long;
};

static int on_blob_data(struct http_call *call, const char *data, size_t n, void *userdata) {
        struct sink *sink = userdata;
        const struct registry_options *o = &sink->registry->options;
        int r;

        if (n > sink->size - sink->done) {
                sink->too_long = true;
                return -EFBIG;
        }
        r = file_write_all(sink->fd, data, n);
        if (r < 0) {
                sink->write_error = -r;
                return r;
        }
        image_hash_add(sink->hash, data, n);
        sink->done += n;
        if (o->on_progress)
                o->on_progress(sink->done, sink->size, o->userdata);
        return 0;
}

struct ask {
        const char *what; /* "its manifest" */
        const char *accept;
        struct sink *sink; /* NULL: the body is kept */
        size_t body_size_max;
};

static bool is_redirect(int code) {
        return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

/* One request with its redirects. The last reply is in *ret. */
static int ask_and_follow(struct registry *reg, struct registry_place *place, const char *path,
                const struct ask *ask, struct reply *ret, struct problem *p) {
        _cleanup_free_ char *base = strdup(place->endpoint->url), *at = strdup(path);
        int r;

        for (int hops = 0; base && at; hops++) {
                _cleanup_free_ char *next_base = NULL, *next_path = NULL;
                bool same = streq(base, place->endpoint->url);

                r = registry_ask(reg,
                                &(struct registry_request){.base = base,
                                                .path = at,
                                                .accept = ask->accept,
                                                .authorization = same ? place->authorization : NULL,
                                                .on_data = ask->sink ? on_blob_data : NULL,
                                                .userdata = ask->sink,
                                                .body_size_max = ask->body_size_max},
                                ret, p);
                if (r < 0 || !is_redirect(ret->result.code))
                        return r;
                if (hops == REDIRECTS_MAX || !ret->location)
                        return image_problem(p, ELOOP, IMAGE_CAUSE_UNAVAILABLE,
                                        "image \"%s\": %s redirects the request for %s without end "
                                        "or to nowhere",
                                        reg->image, base, ask->what);
                r = challenge_redirect(base, ret->location, &next_base, &next_path);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return image_problem(p, EPERM, IMAGE_CAUSE_UNAVAILABLE,
                                        "image \"%s\": %s redirects the request for %s to an "
                                        "address that is not an https URL",
                                        reg->image, base, ask->what);
                free(base);
                free(at);
                base = TAKE_PTR(next_base);
                at = TAKE_PTR(next_path);
        }
        return -ENOMEM;
}

static void keep_challenge(struct registry_place *place, struct reply *reply) {
        if (!reply->challenged)
                return;
        challenge_done(&place->asked);
        place->asked = reply->challenge;
        place->challenged = true;
        reply->challenge = (struct challenge){0};
        reply->challenged = false;
}

static int start_over(struct sink *sink) {
        char digest[IMAGE_DIGEST_SIZE];

        if (!sink)
                return 0;
        image_hash_take(sink->hash, digest); /* what was added before is forgotten */
        sink->done = 0;
        if (ftruncate(sink->fd, 0) < 0 || lseek(sink->fd, 0, SEEK_SET) < 0) {
                sink->write_error = errno;
                return -errno;
        }
        return 0;
}

/* A request at a place, with every credential that there is. 0: an answer 200 is in *ret. */
static int ask_place(struct registry *reg, struct registry_place *place, const char *path,
                const struct ask *ask, struct reply *ret, struct problem *p) {
        bool used = false; /* the current credential, for this request */
        int r;

        for (int tries = 0; tries < TRIES_MAX; tries++) {
                r = start_over(ask->sink);
                if (r < 0)
                        return r;
                r = ask_and_follow(reg, place, path, ask, ret, p);
                if (r < 0)
                        return r;
                if (ret->result.code == 200)
                        return 0;
                if (ret->result.code != 401 && ret->result.code != 403 && ret->result.code != 404)
                        break;
                keep_challenge(place, ret);
                /* 404 may mean that this user may not see it. */
                if (ret->result.code == 404 && !used)
                        break;
                r = registry_login(reg, place, used, p);
                if (r < 0)
                        return r;
                if (r == 0)
                        break;
                used = true;
        }
        return registry_refused(reg, place->endpoint->url, ask->what, &ret->result, p);
}

/* --- manifests and blobs --- */

/* /v2/NAME/KIND/WHICH; a mirror of several registries is asked for the one that is meant. */
static int path_of(struct registry *reg, const struct registry_place *place, const char *kind,
                const char *which, char **ret) {
        _cleanup_free_ char *path =
                        strformat("/v2/%s/%s/%s", place->endpoint->repository, kind, which);
        int r;

        if (!path)
                return -ENOMEM;
        if (place->endpoint->is_mirror) {
                r = challenge_add_query(&path, "ns", reg->options.reference->registry);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(path);
        return 0;
}

static int wrong_digest(struct registry *reg, const struct registry_place *place, const char *what,
                const char *wanted, struct problem *p) {
        return image_problem(p, EBADMSG, IMAGE_CAUSE_DIGEST,
                        "image \"%s\": %s that %s sent does not have the digest %s; the registry "
                        "or a proxy before it is damaged",
                        reg->image, what, place->endpoint->url, wanted);
}

static int manifest_at(struct registry *reg, struct registry_place *place, const char *which,
                const char *digest, struct reply *reply, char ret_digest[static IMAGE_DIGEST_SIZE],
                struct problem *p) {
        _cleanup_(image_hash_freep) struct image_hash *hash = image_hash_new(digest);
        _cleanup_free_ char *path = NULL;
        int r = hash ? path_of(reg, place, "manifests", which, &path) : -ENOMEM;

        if (r < 0)
                return r;
        r = ask_place(reg, place, path,
                        &(struct ask){.what = digest ? "the manifest" : "it",
                                        .accept = IMAGE_MANIFEST_TYPES,
                                        .body_size_max = IMAGE_MANIFEST_SIZE_MAX},
                        reply, p);
        if (r < 0)
                return r;
        image_hash_add(hash, reply->result.body, reply->result.body_size);
        image_hash_take(hash, ret_digest);
        if (digest && !streq(digest, ret_digest))
                return wrong_digest(reg, place, "the manifest", digest, p);
        return 0;
}

/* The last problem is kept; that of the registry itself counts, as it is the last place. */
static void forget(struct problem *p) {
        problem_done(p);
        *p = (struct problem){0};
}

static bool is_final(const struct problem *p, int error) {
        return error == -ENOMEM || image_problem_cause(p) == IMAGE_CAUSE_DISK;
}

int registry_manifest(struct registry *reg, const char *digest, char **ret, size_t *ret_size,
                char ret_digest[static IMAGE_DIGEST_SIZE], struct problem *p) {
        const struct image_reference *reference = reg->options.reference;
        int r = -EINVAL;

        digest = digest ? digest : reference->digest;
        for (size_t i = digest == reference->digest ? 0 : reg->current; i < reg->endpoints.count;
                        i++) {
                _cleanup_(reply_done) struct reply reply = {0};

                forget(p);
                r = manifest_at(reg, &reg->places[i], digest ? digest : reference->tag, digest,
                                &reply, ret_digest, p);
                if (r == 0) {
                        *ret = (char *)TAKE_PTR(reply.result.body);
                        *ret_size = reply.result.body_size;
                        reg->current = i;
                        return 0;
                }
                if (is_final(p, r))
                        break;
        }
        return r;
}

static int write_failed(struct registry *reg, int error, struct problem *p) {
        _cleanup_free_ char *what =
                        strformat("image \"%s\": a layer cannot be written", reg->image);

        return what ? image_disk_problem(p, error, what) : -ENOMEM;
}

static int blob_at(struct registry *reg, struct registry_place *place, const char *digest,
                struct sink *sink, struct problem *p) {
        _cleanup_(reply_done) struct reply reply = {0};
        _cleanup_free_ char *path = NULL;
        char got[IMAGE_DIGEST_SIZE];
        int r = path_of(reg, place, "blobs", digest, &path);

        if (r < 0)
                return r;
        r = ask_place(reg, place, path, &(struct ask){.what = "a layer of it", .sink = sink},
                        &reply, p);
        if (sink->write_error)
                return write_failed(reg, sink->write_error, p);
        if (sink->too_long)
                return image_problem(p, EFBIG, IMAGE_CAUSE_DIGEST,
                                "image \"%s\": %s sent more than the %llu bytes of the blob %s; "
                                "the registry or a proxy before it is damaged",
                                reg->image, place->endpoint->url, (unsigned long long)sink->size,
                                digest);
        if (r < 0)
                return r;
        if (sink->done < sink->size)
                return image_problem(p, EBADMSG, IMAGE_CAUSE_DIGEST,
                                "image \"%s\": %s sent %llu of the %llu bytes of the blob %s; the "
                                "registry or a proxy before it is damaged",
                                reg->image, place->endpoint->url, (unsigned long long)sink->done,
                                (unsigned long long)sink->size, digest);
        image_hash_take(sink->hash, got);
        return streq(got, digest) ? 0 : wrong_digest(reg, place, "a blob", digest, p);
}

int registry_blob(struct registry *reg, const char *digest, uint64_t size, int fd,
                struct problem *p) {
        _cleanup_(image_hash_freep) struct image_hash *hash = image_hash_new(digest);
        int r = -EINVAL;

        if (!hash)
                return -ENOMEM;
        for (size_t i = reg->current; i < reg->endpoints.count; i++) {
                struct sink sink = {.registry = reg, .fd = fd, .size = size, .hash = hash};

                forget(p);
                r = blob_at(reg, &reg->places[i], digest, &sink, p);
                if (r == 0) {
                        reg->current = i;
                        return 0;
                }
                if (is_final(p, r))
                        break;
        }
        return r;
}
