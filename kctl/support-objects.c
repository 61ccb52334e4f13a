/* The API's part of a support bundle: versions, health, metrics, and all objects without what is
 * secret in them. A kind that cannot be read is noted, and the rest is collected. */
#include "kctl/support.h"
#include "lib/object.h"

/* Text of a path, whatever its code; a refusal is noted. */
static int add_path(struct support *s, const char *path, const char *name, struct problem *p) {
        struct http_result result;
        int r = http_client_do(api_client_http(s->k->client),
                        &(struct http_call_options){.method = "GET", .path = path, .accept = "*/*"},
                        &result);

        if (r < 0)
                support_missing(s, name, strempty(result.error_text));
        else
                r = support_add(s, name, result.body, result.body_size, p);
        http_result_done(&result);
        return r < 0 && !p->message ? 0 : r;
}

int support_read_secrets(struct support *s, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_SECRETS), /* ns= */ NULL,
                        /* name= */ NULL, /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_json_ json_t *list = NULL;
        const json_t *secret;
        size_t i;
        int r = path ? api_get(s->k->client, path, &list, p) : -ENOMEM;

        if (r == -ENOMEM)
                return r;
        if (r < 0) { /* the rules for what looks like a secret remain */
                support_missing(s,
                                "the values of Secrets, which are then removed only where they "
                                "look like secrets",
                                strempty(p->message));
                problem_done(p);
        }
        json_array_foreach (json_object_get(list, "items"), i, secret) {
                r = redactor_add_secret(s->redactor, secret);
                if (r < 0)
                        return r;
        }
        redactor_seal(s->redactor);
        return 0;
}

/* Items of a list come without their kind. */
static int redact_list(struct support *s, json_t *list, const char *api_version, const char *kind) {
        json_t *o;
        size_t i;

        json_array_foreach (json_object_get(list, "items"), i, o) {
                if (json_set_str(o, "kind", kind) < 0 ||
                                json_set_str(o, "apiVersion", api_version) < 0)
                        return -ENOMEM;
                int r = redact_object(s->redactor, o);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_kind(struct support *s, const char *api_version, const json_t *resource,
                struct problem *p) {
        const char *plural = json_str_or(resource, "name", ""), *slash = strchr(api_version, '/');
        _cleanup_free_ char *path = strformat("%s/%s/%s", slash ? "/apis" : "/api", api_version,
                                            plural),
                            *name = NULL, *text = NULL;
        _cleanup_problem_ struct problem why = {0};
        _cleanup_json_ json_t *list = NULL;
        int r = path ? api_get(s->k->client, path, &list, &why) : -ENOMEM;

        if (r < 0 && r != -ENOMEM) {
                support_missing(s, plural, strempty(why.message));
                return 0;
        }
        if (r < 0)
                return r;
        r = redact_list(s, list, api_version, json_str_or(resource, "kind", ""));
        if (r < 0)
                return r;
        name = slash ? strformat("objects/%s.%.*s.json", plural, (int)(slash - api_version),
                                       api_version)
                     : strformat("objects/%s.json", plural);
        text = json_text_pretty(list);
        if (!name || !text)
                return -ENOMEM;
        s->files++;
        return tar_writer_add(s->tar, name, text, strlen(text), p);
}

static bool can_list(const json_t *resource) {
        const json_t *verb;
        size_t i;

        json_array_foreach (json_object_get(resource, "verbs"), i, verb)
                if (streq(strempty(json_string_value(verb)), "list"))
                        return !strchr(json_str_or(resource, "name", "/"), '/');
        return false;
}

static int add_group(struct support *s, const char *api_version, struct problem *p) {
        _cleanup_free_ char *path = strformat(
                        "%s/%s", strchr(api_version, '/') ? "/apis" : "/api", api_version);
        _cleanup_problem_ struct problem why = {0};
        _cleanup_json_ json_t *list = NULL;
        const json_t *resource;
        size_t i;
        int r = path ? api_get(s->k->client, path, &list, &why) : -ENOMEM;

        if (r < 0) {
                support_missing(s, api_version, strempty(why.message));
                return 0;
        }
        json_array_foreach (json_object_get(list, "resources"), i, resource) {
                r = can_list(resource) ? add_kind(s, api_version, resource, p) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_objects(struct support *s, struct problem *p) {
        _cleanup_problem_ struct problem why = {0};
        _cleanup_json_ json_t *groups = NULL;
        const json_t *g;
        size_t i;
        int r = add_group(s, "v1", p);

        if (r < 0)
                return r;
        r = api_get(s->k->client, "/apis", &groups, &why);
        if (r < 0)
                support_missing(s, "the list of kinds", strempty(why.message));
        json_array_foreach (json_object_get(groups, "groups"), i, g) {
                r = add_group(s, json_str_or(g, "preferredVersion.groupVersion", ""), p);
                if (r < 0)
                        return r;
        }
        return 0;
}

int support_add_api(struct support *s, struct problem *p) {
        static const struct {
                const char *path, *name;
        } paths[] = {{"/version", "api/version.json"}, {"/readyz?verbose", "api/readyz.txt"},
                        {"/livez?verbose", "api/livez.txt"}, {"/metrics", "api/metrics.txt"}};

        for (size_t i = 0; i < ELEMENTS(paths); i++) {
                int r = add_path(s, paths[i].path, paths[i].name, p);

                if (r < 0)
                        return r;
        }
        return add_objects(s, p);
}
