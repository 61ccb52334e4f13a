/* knodeagent image list: {"images": [record of the store, and "usedBy": containers of pods that
 * have it]}. knodeagent image remove: refuses what pods have. It runs beside the agent; the store's
 * lock keeps them apart, and the agent sees the change when it looks at the store again. */
#include "nodeagent/image-command.h"

#include <stdio.h>

#include "lib/buf.h"
#include "nodeagent/image/reference.h"
#include "nodeagent/image/store.h"
#include "nodeagent/statedir.h"

struct use {
        struct statedir *state;
        json_t *counts; /* {id: number of containers} */
};

static void count(const char *uid, void *userdata) {
        struct use *u = userdata;
        _cleanup_json_ json_t *run = NULL;
        const json_t *v;
        size_t i;

        if (statedir_load_run(u->state, uid, &run) < 0)
                return;
        json_array_foreach (json_at(run, "containers"), i, v) {
                const char *id = json_str(v, "image.id");

                if (id)
                        json_object_set_new(u->counts, id,
                                        json_integer(json_integer_value(json_object_get(
                                                                     u->counts, id)) +
                                                        1));
        }
}

static int count_uses(const char *data_dir, json_t **ret, struct problem *p) {
        _cleanup_(statedir_freep) struct statedir *state = NULL;
        _cleanup_json_ json_t *counts = json_object();
        struct use u = {.counts = counts};
        int r;

        if (!counts)
                return -ENOMEM;
        r = statedir_new(&state, data_dir, p);
        if (r < 0)
                return r;
        u.state = state;
        r = statedir_each_pod(state, count, &u);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(counts);
        return 0;
}

static int64_t uses_of(const json_t *counts, const json_t *record) {
        return json_integer_value(json_object_get(counts, json_str_or(record, "id", "")));
}

static int list(struct image_store *store, const json_t *counts) {
        _cleanup_json_ json_t *records = NULL, *answer = NULL;
        _cleanup_free_ char *text = NULL;
        json_t *v;
        size_t i;
        int r = image_store_list(store, &records);

        if (r < 0)
                return r;
        json_array_foreach (records, i, v)
                if (json_object_set_new(v, "usedBy", json_integer(uses_of(counts, v))) < 0)
                        return -ENOMEM;
        answer = json_pack("{s:O}", "images", records);
        text = answer ? json_text(answer) : NULL;
        if (!text)
                return -ENOMEM;
        puts(text);
        return 0;
}

/* The full form of a name, and whether the image goes with it: its last tag, a digest, an id. The
 * caller frees *ret. */
static int read_name(const char *name, const json_t *record, char **ret, bool *ret_whole,
                struct problem *p) {
        _cleanup_image_reference_ struct image_reference reference = {0};
        size_t i, tags = 0;
        const json_t *v;
        int r;

        if (startswith(name, "sha256:")) {
                *ret_whole = true;
                *ret = strdup(name);
                return *ret ? 0 : -ENOMEM;
        }
        r = image_reference_parse(name, &reference, p);
        if (r < 0)
                return r;
        json_array_foreach (json_at(record, "names"), i, v)
                tags += !strchr(strempty(json_string_value(v)), '@');
        *ret_whole = reference.digest || tags <= 1;
        *ret = image_reference_text(&reference);
        return *ret ? 0 : -ENOMEM;
}

/* Takes one name from the image, or the image with all its names. */
static int remove_one(struct image_store *store, const json_t *counts, const char *name,
                struct problem *p) {
        _cleanup_json_ json_t *record = NULL;
        _cleanup_free_ char *full = NULL;
        bool whole;
        int r = image_store_find(store, name, &record);

        if (r == -ENOENT)
                return problem_set(p, ENOENT, 0, NULL, "there is no image %s", name);
        if (r == -EINVAL)
                return problem_set(p, EINVAL, 0, NULL, "%s is not the name of an image", name);
        if (r < 0)
                return r;
        r = read_name(name, record, &full, &whole, p);
        if (r < 0)
                return r;
        if (whole && uses_of(counts, record) > 0)
                return problem_set(p, EBUSY, 0, NULL,
                                "image %s: %lld containers of this node have it; delete their pods "
                                "first",
                                name, (long long)uses_of(counts, record));
        if (whole)
                return image_store_remove(store, json_str_or(record, "id", ""));
        return image_store_remove_name(store, full);
}

static int run(const char *data_dir, char **words, struct problem *p) {
        _cleanup_(image_store_freep) struct image_store *store = NULL;
        _cleanup_json_ json_t *counts = NULL;
        int r = count_uses(data_dir, &counts, p);

        if (r < 0)
                return r;
        r = image_store_open(&store, IMAGE_STORE_DIR, p);
        if (r < 0)
                return r;
        if (streq(words[0], "list"))
                return list(store, counts);
        for (char **name = words + 1; *name; name++) {
                r = remove_one(store, counts, *name, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

int image_command_main(const char *data_dir, char **words) {
        _cleanup_problem_ struct problem p = {0};
        size_t n = strv_length(words);
        int r;

        if (n == 0 || (!streq(words[0], "list") && !streq(words[0], "remove")) ||
                        (streq(words[0], "list") ? n != 1 : n < 2)) {
                fprintf(stderr, "usage: knodeagent image list | remove NAME...\n");
                return 2;
        }
        r = run(data_dir, words, &p);
        if (r < 0)
                fprintf(stderr, "knodeagent: %s\n", p.message ? p.message : strerror(-r));
        return r < 0 ? 1 : 0;
}
