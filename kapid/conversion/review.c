/* In the words of Kubernetes' webhook converter. */
#include "kapid/conversion/review.h"

#include "lib/object.h"

static const char group[] = "apiextensions.k8s.io";

json_t *conversion_review(const char *version, const char *uid, const char *to_api_version,
                json_t *const *objects, size_t count) {
        _cleanup_free_ char *api_version = strformat("%s/%s", group, version);
        _cleanup_json_ json_t *list = json_array();

        if (!api_version || !list)
                return NULL;
        for (size_t i = 0; i < count; i++)
                if (json_array_append(list, objects[i]) < 0)
                        return NULL;
        return json_pack("{s:s, s:s, s:{s:s, s:s, s:O}}", "kind", "ConversionReview", "apiVersion",
                        api_version, "request", "uid", uid, "desiredAPIVersion", to_api_version,
                        "objects", list);
}

static int refuse(char **ret_why, char *text_taken) {
        *ret_why = text_taken;
        return text_taken ? -EINVAL : -ENOMEM;
}

static int check_review(const struct conversion_question *q, const json_t *review, char **ret_why) {
        _cleanup_free_ char *api_version = strformat("%s/%s", group, q->version);
        const json_t *response = json_object_get(review, "response");
        const char *uid = json_str_or(response, "uid", ""),
                   *status = json_str_or(response, "result.status", ""),
                   *message = json_str_or(response, "result.message", "");

        if (!api_version)
                return -ENOMEM;
        if (!streq(object_kind(review), "ConversionReview") ||
                        !streq(object_api_version(review), api_version))
                return refuse(ret_why, strformat("expected webhook response of %s, "
                                                 "Kind=ConversionReview, got %.100s, Kind=%.100s",
                                                       api_version, object_api_version(review),
                                                       object_kind(review)));
        if (!json_is_object(response))
                return refuse(ret_why, strdup("no response provided"));
        if (!streq(uid, q->uid))
                return refuse(ret_why, strformat("expected response.uid=\"%s\", got \"%.100s\"",
                                                       q->uid, uid));
        if (streq(status, "Success"))
                return 0;
        if (*message)
                return refuse(ret_why, strformat("%.2000s", message));
        return refuse(ret_why,
                        strformat("response.result.status was '%.100s', not 'Success'", status));
}

/* Neither may change: they say which object it is. */
static int check_object(const struct conversion_question *q, const json_t *before,
                const json_t *after, char **ret_why) {
        static const struct {
                const char *path, *word;
        } same[] = {{"kind", "kind"}, {"metadata.name", "name"},
                        {"metadata.namespace", "namespace"}, {"metadata.uid", "UID"}};

        if (!json_is_object(after) || !json_is_object(json_object_get(after, "metadata")))
                return refuse(ret_why, strdup("must be an object with metadata"));
        for (size_t i = 0; i < ELEMENTS(same); i++) {
                const char *was = json_str_or(before, same[i].path, ""),
                           *is = json_str_or(after, same[i].path, "");

                if (!streq(was, is))
                        return refuse(ret_why, strformat("must have the same %s: %.253s != %.253s",
                                                               same[i].word, was, is));
        }
        if (!streq(object_api_version(after), q->to_api_version))
                return refuse(ret_why,
                                strformat("expected version %s, got %.253s", q->to_api_version,
                                                object_api_version(after)));
        return 0;
}

static bool are_strings(const json_t *map) {
        const char *key;
        json_t *v;

        if (!map)
                return true;
        if (!json_is_object(map))
                return false;
        json_object_foreach ((json_t *)map, key, v)
                if (!json_is_string(v))
                        return false;
        return true;
}

/* A converter may change labels and annotations, nothing else of the metadata. */
static int take_object(const json_t *before, const json_t *after, json_t **ret, char **ret_why) {
        static const char *const taken[] = {"labels", "annotations"};
        _cleanup_json_ json_t *made = json_copy((json_t *)after),
                              *metadata = json_copy(json_object_get(before, "metadata"));
        const json_t *its = json_object_get(after, "metadata");

        if (!made || !metadata)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(taken); i++) {
                json_t *v = json_object_get(its, taken[i]);

                if (!are_strings(v))
                        return refuse(ret_why,
                                        strformat("its %s are not a map of strings", taken[i]));
                json_object_del(metadata, taken[i]);
                if (json_object_size(v) > 0 && json_object_set(metadata, taken[i], v) < 0)
                        return -ENOMEM;
        }
        if (json_object_set(made, "metadata", metadata) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(made);
        return 0;
}

static int take_checked(const struct conversion_question *q, const json_t *before,
                const json_t *after, json_t **ret, char **ret_why) {
        int r = check_object(q, before, after, ret_why);

        return r < 0 ? r : take_object(before, after, ret, ret_why);
}

static int take_objects(const struct conversion_question *q, const json_t *list,
                json_t **ret_objects, size_t *made, char **ret_why) {
        for (; *made < q->count; (*made)++) {
                const json_t *after = json_array_get(list, *made);
                _cleanup_free_ char *why = NULL;
                int r = take_checked(q, q->objects[*made], after, &ret_objects[*made], &why);

                if (r == -EINVAL)
                        return refuse(ret_why, strformat("returned invalid converted object at "
                                                         "index %zu: %s",
                                                               *made, strempty(why)));
                if (r < 0)
                        return r;
        }
        return 0;
}

int conversion_answer(const struct conversion_question *q, const char *body, size_t n,
                json_t **ret_objects, char **ret_why) {
        _cleanup_json_ json_t *review = NULL;
        const json_t *list;
        size_t made = 0;
        int r;

        if (json_parse(body, n, 0, &review, NULL) < 0)
                return refuse(ret_why, strdup("its answer is not JSON"));
        r = check_review(q, review, ret_why);
        if (r < 0)
                return r;
        list = json_at(review, "response.convertedObjects");
        if (json_array_size(list) != q->count)
                return refuse(ret_why, strformat("returned %zu objects, expected %zu",
                                                       json_array_size(list), q->count));
        r = take_objects(q, list, ret_objects, &made, ret_why);
        if (r < 0)
                while (made-- > 0) {
                        json_decref(ret_objects[made]);
                        ret_objects[made] = NULL;
                }
        return r;
}
