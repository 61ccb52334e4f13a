/* The fields are those of admission.k8s.io/v1 and v1beta1, which differ in how strictly answers are
 * taken. */
#include "kapid/webhooks/review.h"

#include "lib/crypto.h"

static json_t *type_json(
                const char *group, const char *version, const char *key, const char *name) {
        return json_pack("{ss, ss, ss}", "group", group, "version", version, key, name);
}

/* The kind of the object in the message. */
static json_t *kind_json(const struct webhook_request *a, const struct kind *k) {
        const struct kind_subresource *sub = a->sub;

        if (webhook_has_own_form(a->kind, sub))
                return type_json(strempty(sub->group), isempty(sub->version) ? "v1" : sub->version,
                                "kind", sub->kind);
        return type_json(k->group, k->version, "kind", k->kind);
}

static int set_text(json_t *v, const char *key, const char *text) {
        return isempty(text) ? 0 : json_object_set_new(v, key, json_string(text));
}

static json_t *ref_or_null(const json_t *v) {
        return v ? json_ref(v) : json_null();
}

static json_t *request_json(
                const struct webhook_request *a, const struct kind *k, const char *uid) {
        _cleanup_json_ json_t *v = json_object();
        const char *sub = a->sub ? a->sub->name : "";
        int r = 0;

        if (!v)
                return NULL;
        r |= json_object_set_new(v, "uid", json_string(uid));
        r |= json_object_set_new(v, "kind", kind_json(a, k));
        r |= json_object_set_new(
                        v, "resource", type_json(k->group, k->version, "resource", k->plural));
        r |= set_text(v, "subResource", sub);
        r |= json_object_set_new(v, "requestKind", kind_json(a, a->kind));
        r |= json_object_set_new(v, "requestResource",
                        type_json(a->kind->group, a->kind->version, "resource", a->kind->plural));
        r |= set_text(v, "requestSubResource", sub);
        r |= set_text(v, "name", a->name);
        r |= set_text(v, "namespace", a->namespace);
        r |= json_object_set_new(v, "operation", json_string(webhook_operation_name(a->operation)));
        r |= json_object_set_new(v, "userInfo", ref_or_null(a->user));
        r |= json_object_set_new(v, "object", ref_or_null(a->object));
        r |= json_object_set_new(v, "oldObject", ref_or_null(a->old_object));
        r |= json_object_set_new(v, "dryRun", json_boolean(a->dry_run));
        r |= json_object_set_new(v, "options", ref_or_null(a->options));
        return r < 0 ? NULL : TAKE_PTR(v);
}

json_t *webhook_review(const struct webhook *w, const struct webhook_request *a,
                const struct kind *k, const char *uid) {
        _cleanup_json_ json_t *request = request_json(a, k, uid);
        _cleanup_free_ char *api_version = strformat("admission.k8s.io/%s", w->version);

        if (!request || !api_version)
                return NULL;
        return json_pack("{ss, ss, sO}", "kind", "AdmissionReview", "apiVersion", api_version,
                        "request", request);
}

/* --- answers --- */

void webhook_answer_done(struct webhook_answer *a) {
        json_decref(a->status);
        json_decref(a->patch);
        json_decref(a->annotations);
        strv_free(a->warnings);
        *a = (struct webhook_answer){0};
}

static int wrong(char **ret_why, const char *fmt, ...) _printf_(2, 3);
static int wrong(char **ret_why, const char *fmt, ...) {
        va_list list;
        int n;

        va_start(list, fmt);
        n = vasprintf(ret_why, fmt, list);
        va_end(list);
        if (n < 0) {
                *ret_why = NULL;
                return -ENOMEM;
        }
        return -EINVAL;
}

static int check_envelope(
                const struct webhook *w, const char *uid, const json_t *review, char **ret_why) {
        const json_t *response = json_object_get(review, "response");
        const char *kind = json_str_or(review, "kind", ""),
                   *api_version = json_str_or(review, "apiVersion", ""),
                   *its_uid = json_str_or(response, "uid", "");
        bool v1 = streq(w->version, "v1");
        _cleanup_free_ char *wanted = strformat("admission.k8s.io/%s", w->version);

        if (!wanted)
                return -ENOMEM;
        if ((v1 || *kind || *api_version) &&
                        (!streq(kind, "AdmissionReview") || !streq(api_version, wanted)))
                return wrong(ret_why,
                                "expected webhook response of %s, Kind=AdmissionReview, got %.64s, "
                                "Kind=%.64s",
                                wanted, api_version, kind);
        if (!json_is_object(response))
                return wrong(ret_why, "webhook response was absent");
        if (!json_is_boolean(json_object_get(response, "allowed")) &&
                        json_object_get(response, "allowed"))
                return wrong(ret_why, "response.allowed is not a boolean");
        if (v1 && !streq(uid, its_uid))
                return wrong(ret_why, "expected response.uid=\"%s\", got \"%.64s\"", uid, its_uid);
        return 0;
}

static int check_patch_type(
                const struct webhook *w, const json_t *response, bool has_patch, char **ret_why) {
        const json_t *type = json_object_get(response, "patchType");
        const char *word = strempty(json_string_value(type));

        if (json_is_null(type))
                type = NULL;
        if (w->config->type == WEBHOOK_VALIDATING) {
                if (streq(w->version, "v1") && (has_patch || type))
                        return wrong(ret_why, "validating webhook may not return response.%s",
                                        has_patch ? "patch" : "patchType");
                return 0;
        }
        if (type && !streq(word, "JSONPatch"))
                return wrong(ret_why, "webhook returned invalid response.patchType of \"%.64s\"",
                                word);
        if (!streq(w->version, "v1"))
                return 0;
        if (has_patch && !type)
                return wrong(ret_why, "webhook returned response.patch but not response.patchType");
        if (type && !has_patch)
                return wrong(ret_why, "webhook returned response.patchType but not response.patch");
        return 0;
}

/* base64 of JSON. */
static int read_patch(const struct webhook *w, const json_t *response, struct webhook_answer *a,
                char **ret_why) {
        const json_t *v = json_object_get(response, "patch");
        const char *text = json_string_value(v);
        _cleanup_free_ char *error = NULL;
        _cleanup_free_ void *data = NULL;
        size_t n;
        int r;

        if (v && !json_is_null(v) && !text)
                return wrong(ret_why, "response.patch is not a string");
        r = check_patch_type(w, response, !isempty(text), ret_why);
        if (r < 0 || isempty(text) || w->config->type == WEBHOOK_VALIDATING)
                return r;
        r = base64_decode(text, &data, &n);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return wrong(ret_why, "response.patch is not base64");
        r = json_parse(data, n, 0, &a->patch, &error);
        if (r < 0)
                return wrong(ret_why, "response.patch is not JSON: %.200s", strempty(error));
        if (!json_is_array(a->patch))
                return wrong(ret_why, "response.patch is not a list of operations");
        return 0;
}

/* At most n bytes, and no part of a character. */
static char *cut(const char *text, size_t n) {
        size_t size = strlen(text);

        if (size > n)
                for (size = n; size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80;)
                        size--;
        return strndup(text, size);
}

/* `admission webhook "x" denied the request: message`. */
static char *denial(const struct webhook *w, const json_t *status) {
        const char *message = json_str_or(status, "message", ""),
                   *reason = json_str_or(status, "reason", "");
        _cleanup_free_ char *why = cut(*message ? message : reason, WEBHOOK_MESSAGE_MAX);

        if (!why)
                return NULL;
        return *why ? strformat("admission webhook \"%s\" denied the request: %s", w->name, why)
                    : strformat("admission webhook \"%s\" denied the request without explanation",
                                      w->name);
}

/* The webhook's status with a code that is an error's. */
static int read_status(const struct webhook *w, const json_t *response, struct webhook_answer *a) {
        const json_t *given = json_object_get(response, "status"),
                     *details = json_object_get(given, "details");
        int64_t code = json_int_or(given, "code", 0);
        _cleanup_free_ char *message = denial(w, given), *reason = NULL;
        _cleanup_json_ json_t *v = NULL;

        code = code < 400 ? 400 : code > 599 ? 500 : code;
        reason = cut(json_str_or(given, "reason", ""), WEBHOOK_MESSAGE_MAX);
        if (!message || !reason)
                return -ENOMEM;
        v = json_pack("{ss, ss, s{}, ss, ss, sI}", "kind", "Status", "apiVersion", "v1", "metadata",
                        "status", "Failure", "message", message, "code", (json_int_t)code);
        if (!v || set_text(v, "reason", reason) < 0 ||
                        (json_is_object(details) &&
                                        json_object_set(v, "details", json_unconst(details)) < 0))
                return -ENOMEM;
        a->status = TAKE_PTR(v);
        return 0;
}

static int read_warnings(const json_t *response, struct webhook_answer *a) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(response, "warnings"), i, v)
                if (i < WEBHOOK_WARNINGS_MAX && json_is_string(v) &&
                                strv_extend(&a->warnings, json_string_value(v)) < 0)
                        return -ENOMEM;
        return 0;
}

/* Keys become "NAME/KEY". */
static int read_annotations(
                const struct webhook *w, const json_t *response, struct webhook_answer *a) {
        size_t n = 0;
        const char *key;
        json_t *v;

        a->annotations = json_object();
        if (!a->annotations)
                return -ENOMEM;
        json_object_each (json_object_get(response, "auditAnnotations"), key, v) {
                _cleanup_free_ char *name = strformat("%s/%s", w->name, key);

                if (!name)
                        return -ENOMEM;
                if (!json_is_string(v) || n++ >= WEBHOOK_ANNOTATIONS_MAX)
                        continue;
                if (json_object_set(a->annotations, name, v) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int webhook_answer_parse(const struct webhook *w, const char *uid, const char *body, size_t n,
                struct webhook_answer *ret, char **ret_why) {
        _cleanup_webhook_answer_ struct webhook_answer a = {0};
        _cleanup_json_ json_t *review = NULL;
        _cleanup_free_ char *error = NULL;
        const json_t *response;
        int r = json_parse(body, n, 0, &review, &error);

        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return wrong(ret_why, "the answer is not JSON: %.200s", strempty(error));
        r = check_envelope(w, uid, review, ret_why);
        if (r < 0)
                return r;
        response = json_object_get(review, "response");
        a.allowed = json_is_true(json_object_get(response, "allowed"));
        r = read_patch(w, response, &a, ret_why);
        if (r < 0)
                return r;
        r = read_warnings(response, &a);
        if (r < 0)
                return r;
        r = read_annotations(w, response, &a);
        if (r < 0)
                return r;
        r = a.allowed ? 0 : read_status(w, response, &a);
        if (r < 0)
                return r;
        *ret = a;
        a = (struct webhook_answer){0};
        return 0;
}
