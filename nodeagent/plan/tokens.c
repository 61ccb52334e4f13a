/* Tokens of the pod's service account in projected volumes (KEP-1205). One of each audience and
 * life is asked for; the agent renews it after 80 % of its life, at the latest after a day. */
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/plan/plan.h"

enum { LIFE_DEFAULT_S = 3600 };
#define AGE_MAX_US (UINT64_C(24) * 3600 * 1000000)

/* "3600 audience" */
static char *key_of(const json_t *source) {
        return strformat("%lld %s",
                        (long long)json_int_or(source, "expirationSeconds", LIFE_DEFAULT_S),
                        json_str_or(source, "audience", ""));
}

static json_t *request_of(const json_t *pod, const json_t *source) {
        const char *audience = json_str_or(source, "audience", "");
        json_t *audiences = *audience ? json_pack("[s]", audience) : json_array();

        return json_pack("{s:s, s:{s:s, s:s, s:{s:o, s:I, s:{s:s, s:s, s:s, s:s}}}}", "account",
                        json_str_or(pod, "spec.serviceAccountName", "default"), "body",
                        "apiVersion", "authentication.k8s.io/v1", "kind", "TokenRequest", "spec",
                        "audiences", audiences, "expirationSeconds",
                        (json_int_t)json_int_or(source, "expirationSeconds", LIFE_DEFAULT_S),
                        "boundObjectRef", "apiVersion", "v1", "kind", "Pod", "name",
                        object_name(pod), "uid", object_uid(pod));
}

static int add_reference(json_t *out, const json_t *pod, const json_t *source) {
        _cleanup_free_ char *key = key_of(source);
        json_t *tokens = json_object_get(out, "tokens");

        if (!key)
                return -ENOMEM;
        if (!tokens) {
                tokens = json_object();
                if (json_object_set_new(out, "tokens", tokens) < 0)
                        return -ENOMEM;
        }
        return json_object_set_new(tokens, key, request_of(pod, source)) < 0 ? -ENOMEM : 0;
}

int pod_token_references(const json_t *pod, json_t *out) {
        const json_t *v, *s;
        size_t i, j;

        json_array_foreach (json_at(pod, "spec.volumes"), i, v)
                json_array_foreach (json_at(v, "projected.sources"), j, s) {
                        const json_t *source = json_at(s, "serviceAccountToken");
                        int r = source ? add_reference(out, pod, source) : 0;

                        if (r < 0)
                                return r;
                }
        return 0;
}

json_t *pod_token_entry(const json_t *answer, uint64_t now_us) {
        const char *token = json_str(answer, "status.token");
        uint64_t end_us;

        if (isempty(token) || time_parse(json_str_or(answer, "status.expirationTimestamp", ""),
                                              &end_us) < 0)
                return NULL;
        return json_pack("{s:s, s:I, s:I}", "token", token, "sinceUs", (json_int_t)now_us, "endUs",
                        (json_int_t)end_us);
}

bool pod_token_is_due(const json_t *entry, uint64_t now_us) {
        uint64_t since = (uint64_t)json_int_or(entry, "sinceUs", 0),
                 end = (uint64_t)json_int_or(entry, "endUs", 0),
                 life = end > since ? end - since : 0;

        /* The clock went back behind the token's beginning: nothing is known of its age. */
        if (!entry || now_us < since)
                return true;
        return now_us - since >= MIN(life / 5 * 4, AGE_MAX_US);
}

const char *pod_token_text(const json_t *resources, const json_t *source) {
        _cleanup_free_ char *key = key_of(source);

        return key ? json_str(json_get(resources, "tokens", key, NULL), "token") : NULL;
}
