/* What an upgrade notes in the API, so that another call of kctl, perhaps elsewhere, continues it
 * or goes back: one key of a ConfigMap. */
#include "kctl/upgrade.h"
#include "lib/object.h"
#include "lib/timefmt.h"

#define RECORD_CONFIGMAP "keelson-upgrade" /* in kube-system */
#define RECORD_KEY "record"

static char *record_path(const char *name, const char *query) {
        return api_path(api_resource(KIND_CONFIGMAPS), "kube-system", name,
                        /* subresource= */ NULL, query);
}

int upgrade_record_read(struct kctl *k, json_t **ret, struct problem *p) {
        _cleanup_free_ char *path = record_path(RECORD_CONFIGMAP, /* query= */ NULL);
        _cleanup_json_ json_t *o = NULL;
        const char *text;
        int r = path ? api_get(k->client, path, &o, p) : -ENOMEM;

        *ret = NULL;
        if (r == -ENOENT) {
                problem_done(p);
                return 0;
        }
        if (r < 0)
                return r;
        text = json_string_value(json_object_get(json_object_get(o, "data"), RECORD_KEY));
        if (!text)
                return 0;
        r = json_parse(text, strlen(text), 0, ret, /* ret_error= */ NULL);
        if (r < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "ConfigMap kube-system/" RECORD_CONFIGMAP ": the key " RECORD_KEY
                                " is not what kctl writes; delete the ConfigMap to forget the "
                                "last upgrade (it cannot be rolled back then)");
        return 0;
}

int upgrade_record_write(struct kctl *k, json_t *record, const char *phase, const char *message,
                struct problem *p) {
        _cleanup_free_ char *path = record_path(RECORD_CONFIGMAP, "fieldManager=kctl&force=true"),
                            *text = NULL;
        _cleanup_json_ json_t *o = NULL;
        char now[TIMEFMT_SIZE];

        if (json_set_str(record, "phase", phase) < 0 ||
                        json_set_str(record, "message", strempty(message)) < 0 ||
                        json_set_str(record, "changed", time_format(now_wall_us(), now)) < 0)
                return -ENOMEM;
        text = json_text(record);
        o = text ? json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s}}", "apiVersion", "v1", "kind",
                                   "ConfigMap", "metadata", "name", RECORD_CONFIGMAP, "namespace",
                                   "kube-system", "data", RECORD_KEY, text)
                 : NULL;
        if (!path || !o)
                return -ENOMEM;
        return api_patch_request(k->client, path, API_PATCH_APPLY, o, /* ret= */ NULL, p);
}
