/* Changes of a configuration are made on a copy and in every entry of it, so that resources and
 * keys that an administrator added stay as they are. Keys of kctl's have the time of their making
 * in their name: the newest is the last in the alphabet. */
#include "kctl/encryption-plan.h"

#include "lib/client/kinds.h"
#include "lib/crypto.h"
#include "lib/timefmt.h"

#define KEY_NAME "key-"

static const char *const sealing[] = {"aesgcm", "secretbox"};

/* --- reading a configuration --- */

static const json_t *entries_of(const json_t *config) {
        return json_object_get(config, "resources");
}

/* The list of keys of a provider; NULL for identity. ret_name may be NULL. */
static json_t *keys_of(const json_t *provider, const char **ret_name) {
        for (size_t i = 0; i < ELEMENTS(sealing); i++) {
                json_t *o = json_object_get(provider, sealing[i]);

                if (o && ret_name)
                        *ret_name = sealing[i];
                if (o)
                        return json_object_get(o, "keys");
        }
        return NULL;
}

static bool is_named(const json_t *key, const char *name) {
        return streq(json_str_or(key, "name", ""), name);
}

/* In the keys of the entry: where it is, or NULL. */
static const json_t *entry_key(const json_t *entry, const char *name) {
        const json_t *provider, *key;
        size_t i, j;

        json_array_foreach (json_object_get(entry, "providers"), i, provider)
                json_array_foreach (keys_of(provider, NULL), j, key)
                        if (is_named(key, name))
                                return key;
        return NULL;
}

static size_t entry_key_count(const json_t *entry) {
        const json_t *provider;
        size_t i, n = 0;

        json_array_foreach (json_object_get(entry, "providers"), i, provider)
                n += json_array_size(keys_of(provider, NULL));
        return n;
}

const char *encryption_secret(const json_t *config, const char *name) {
        const json_t *entry;
        size_t i;

        json_array_foreach (entries_of(config), i, entry) {
                const json_t *key = entry_key(entry, name);

                if (key)
                        return json_str(key, "secret");
        }
        return NULL;
}

/* Whether it is so in every entry of the configuration, of which there must be one. */
static bool everywhere(const json_t *config, bool (*is_so)(const json_t *entry, const char *name),
                const char *name) {
        const json_t *entry;
        size_t i;

        json_array_foreach (entries_of(config), i, entry)
                if (!is_so(entry, name))
                        return false;
        return json_array_size(entries_of(config)) > 0;
}

static bool reads(const json_t *entry, const char *name) {
        return entry_key(entry, name) != NULL;
}

static bool writes(const json_t *entry, const char *name) {
        const json_t *first = json_array_get(json_object_get(entry, "providers"), 0);

        return is_named(json_array_get(keys_of(first, NULL), 0), name);
}

static bool has_alone(const json_t *entry, const char *name) {
        return entry_key_count(entry) == 1 && entry_key(entry, name);
}

static bool writes_plain(const json_t *entry, const char *name) {
        const json_t *first = json_array_get(json_object_get(entry, "providers"), 0);

        return json_object_get(first, "identity") != NULL;
}

/* --- reports --- */

static int report_key(json_t *keys, const char *provider, const json_t *key) {
        _cleanup_free_ void *secret = NULL;
        char id[KEY_ID_TEXT_SIZE];
        size_t size;
        int r = base64_decode(json_str_or(key, "secret", ""), &secret, &size);

        if (r < 0)
                return r;
        r = key_id(secret, size, id);
        explicit_bzero(secret, size);
        if (r < 0)
                return r;
        return json_array_append_new(keys,
                               json_pack("{s:s, s:s, s:s}", "provider", provider, "name",
                                               json_str_or(key, "name", ""), "id", id)) < 0
                               ? -ENOMEM
                               : 0;
}

static int report_provider(json_t *keys, const json_t *provider) {
        const char *name = NULL;
        const json_t *list = keys_of(provider, &name), *key;
        size_t i;

        if (!list)
                return json_array_append_new(keys, json_pack("{s:s}", "provider", "identity")) < 0
                                       ? -ENOMEM
                                       : 0;
        json_array_foreach (list, i, key) {
                int r = report_key(keys, name, key);

                if (r < 0)
                        return r;
        }
        return 0;
}

json_t *encryption_report(const json_t *config) {
        _cleanup_json_ json_t *list = json_array();
        const json_t *entry, *provider;
        size_t i, j;

        json_array_foreach (entries_of(config), i, entry) {
                _cleanup_json_ json_t *keys = json_array();

                json_array_foreach (json_object_get(entry, "providers"), j, provider)
                        if (report_provider(keys, provider) < 0)
                                return NULL;
                if (json_array_append_new(list,
                                    json_pack("{s:O, s:O}", "resources",
                                                    json_object_get(entry, "resources"), "keys",
                                                    keys)) < 0)
                        return NULL;
        }
        return TAKE_PTR(list);
}

/* --- changing a configuration --- */

static json_t *provider_of(const char *name, const char *secret) {
        return json_pack("{s:{s:[{s:s, s:s}]}}", "aesgcm", "keys", "name", name, "secret", secret);
}

json_t *encryption_config_new(const char *name, const char *secret) {
        return json_pack("{s:s, s:s, s:[{s:[s], s:[o, {s:{}}]}]}", "apiVersion",
                        "apiserver.config.k8s.io/v1", "kind", "EncryptionConfiguration",
                        "resources", "resources", api_resource(KIND_SECRETS)->plural, "providers",
                        provider_of(name, secret), "identity");
}

/* Removes identity, which is put back at the front or the end. */
static void remove_plain(json_t *providers) {
        for (size_t i = json_array_size(providers); i-- > 0;)
                if (json_object_get(json_array_get(providers, i), "identity"))
                        json_array_remove(providers, i);
}

static int put_plain(json_t *entry, const struct encryption_wish *wish) {
        json_t *providers = json_object_get(entry, "providers");

        remove_plain(providers);
        return json_array_insert_new(providers, 0, json_pack("{s:{}}", "identity"));
}

/* As the last one that is read: what writes stays as it is. */
static int put_reader(json_t *entry, const struct encryption_wish *wish) {
        json_t *providers = json_object_get(entry, "providers"), *provider, *keys;
        size_t i;

        if (entry_key(entry, wish->name))
                return 0;
        json_array_foreach (providers, i, provider) {
                keys = json_object_get(json_object_get(provider, "aesgcm"), "keys");
                if (json_is_array(keys))
                        return json_array_append_new(keys,
                                        json_pack("{s:s, s:s}", "name", wish->name, "secret",
                                                        wish->secret));
        }
        return json_array_append_new(providers, provider_of(wish->name, wish->secret));
}

/* Takes the key out of the entry; NULL when it has none. *ret_at: its provider. */
static json_t *take_key(json_t *providers, const char *name, size_t *ret_at) {
        json_t *provider, *key;
        size_t i, j;

        json_array_foreach (providers, i, provider) {
                json_t *keys = keys_of(provider, NULL);

                json_array_foreach (keys, j, key)
                        if (is_named(key, name)) {
                                json_incref(key);
                                json_array_remove(keys, j);
                                *ret_at = i;
                                return key;
                        }
        }
        return NULL;
}

/* Its provider goes to the front, it to the front of that. */
static int put_writer(json_t *entry, const struct encryption_wish *wish) {
        json_t *providers = json_object_get(entry, "providers");
        _cleanup_json_ json_t *provider = NULL;
        size_t at = 0;
        _cleanup_json_ json_t *key = take_key(providers, wish->name, &at);

        if (!key)
                return -1;
        provider = json_incref(json_array_get(providers, at));
        json_array_remove(providers, at);
        if (json_array_insert(keys_of(provider, NULL), 0, key) < 0)
                return -1;
        return json_array_insert(providers, 0, provider);
}

/* Plain values are still read: a backup of earlier may have some. */
static int put_alone(json_t *entry, const struct encryption_wish *wish) {
        json_t *providers = json_object_get(entry, "providers");

        for (size_t i = json_array_size(providers); i-- > 0;) {
                json_t *keys = keys_of(json_array_get(providers, i), NULL);

                if (!keys)
                        continue;
                for (size_t j = json_array_size(keys); j-- > 0;)
                        if (!is_named(json_array_get(keys, j), wish->name))
                                json_array_remove(keys, j);
                if (json_array_size(keys) == 0)
                        json_array_remove(providers, i);
        }
        remove_plain(providers);
        return json_array_append_new(providers, json_pack("{s:{}}", "identity"));
}

/* --- the key --- */

char *encryption_key_name(uint64_t wall_us, const char *newest) {
        char text[TIMEFMT_SIZE], plain[TIMEFMT_SIZE];
        _cleanup_free_ char *name = NULL;
        size_t n = 0;

        time_format(wall_us, text);
        for (const char *c = text; *c; c++)
                if (*c != '-' && *c != ':')
                        plain[n++] = *c;
        plain[n] = 0;
        name = strformat(KEY_NAME "%s", plain);
        if (name && strcmp(name, newest) <= 0) /* the clock was set back */
                return strformat("%s+", newest);
        return TAKE_PTR(name);
}

/* "" when there is none of kctl's. Borrowed. */
static const char *newest_of(const json_t *config, const char *best) {
        const json_t *entry, *provider, *key;
        size_t i, j, k;

        json_array_foreach (entries_of(config), i, entry)
                json_array_foreach (json_object_get(entry, "providers"), j, provider)
                        json_array_foreach (keys_of(provider, NULL), k, key) {
                                const char *name = json_str_or(key, "name", "");

                                if (startswith(name, KEY_NAME) && strcmp(name, best) > 0)
                                        best = name;
                        }
        return best;
}

/* Nothing was interrupted: all have this key alone, and write with it. */
static bool is_at_rest(const struct encryption_view *views, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (!everywhere(views[i].config, has_alone, name) ||
                                !everywhere(views[i].config, writes, name))
                        return false;
        return true;
}

/* -EBADMSG: machines disagree. */
static int secret_in(const struct encryption_view *views, size_t n, const char *name, char **ret) {
        const char *secret = NULL;

        for (size_t i = 0; i < n; i++) {
                const char *here = encryption_secret(views[i].config, name);

                if (secret && here && !streq(secret, here))
                        return -EBADMSG;
                if (here)
                        secret = here;
        }
        *ret = strdup(strempty(secret));
        return *ret ? 0 : -ENOMEM;
}

int encryption_choose(enum encryption_goal goal, const struct encryption_view *views, size_t n,
                uint64_t wall_us, char **ret_name, char **ret_secret) {
        _cleanup_free_ char *name = NULL, *secret = NULL;
        const char *newest = "";
        bool is_new;
        int r;

        for (size_t i = 0; i < n; i++)
                newest = newest_of(views[i].config, newest);
        is_new = !*newest || (goal == ENCRYPTION_ROTATE && is_at_rest(views, n, newest));
        name = is_new ? encryption_key_name(wall_us, newest) : strdup(newest);
        if (!name)
                return -ENOMEM;
        r = is_new ? 0 : secret_in(views, n, name, &secret);
        if (r < 0)
                return r;
        *ret_name = TAKE_PTR(name);
        *ret_secret = TAKE_PTR(secret);
        return 0;
}

/* --- the next step --- */

void encryption_step_done(struct encryption_step *s) {
        json_decref(s->config);
        *s = (struct encryption_step){0};
}

/* A stage that every machine must reach before the next one begins. */
struct stage {
        bool (*is_so)(const json_t *entry, const char *name);
        int (*change)(json_t *entry, const struct encryption_wish *wish);
        const char *what;
};

static int change(const json_t *config, const struct stage *stage,
                const struct encryption_wish *wish, json_t **ret) {
        _cleanup_json_ json_t *copy = NULL;
        json_t *entry;
        size_t i;

        if (!config) { /* plain until now: so it stays for the moment */
                copy = encryption_config_new(wish->name, wish->secret);
                entry = json_array_get(json_object_get(copy, "resources"), 0);
                if (!entry || put_plain(entry, wish) < 0)
                        return -ENOMEM;
                *ret = TAKE_PTR(copy);
                return 0;
        }
        copy = json_deep_copy(config);
        json_array_foreach (json_object_get(copy, "resources"), i, entry)
                if (stage->change(entry, wish) < 0)
                        return -EINVAL;
        *ret = TAKE_PTR(copy);
        return *ret ? 0 : -ENOMEM;
}

/* 1: there is something to do for the stage; 0: every machine has reached it. */
static int run_stage(const struct stage *stage, const struct encryption_wish *wish,
                const struct encryption_view *views, size_t n, struct encryption_step *ret) {
        for (size_t i = 0; i < n; i++) {
                const json_t *config = views[i].config;
                _cleanup_json_ json_t *wanted = NULL, *report = NULL;
                int r;

                if (!config && wish->goal == ENCRYPTION_DISABLE)
                        continue; /* it has been through with it */
                if (!everywhere(config, stage->is_so, wish->name)) {
                        r = change(config, stage, wish, &wanted);
                        if (r < 0)
                                return r;
                        *ret = (struct encryption_step){.act = ENCRYPTION_WRITE,
                                        .machine = i,
                                        .config = TAKE_PTR(wanted),
                                        .what = stage->what};
                        return 1;
                }
                report = encryption_report(config);
                if (!report)
                        return -EINVAL;
                if (!json_same(report, views[i].running)) {
                        *ret = (struct encryption_step){.act = ENCRYPTION_RESTART,
                                        .machine = i,
                                        .what = stage->what};
                        return 1;
                }
        }
        return 0;
}

/* 1: the values are not yet what they should be. */
static int run_values(const struct encryption_wish *wish, const struct encryption_view *views,
                size_t n, const struct encryption_values *values, struct encryption_step *ret) {
        size_t at = 0;

        while (at < n && !views[at].config)
                at++;
        if (at == n)
                return 0;
        *ret = (struct encryption_step){.machine = at, .what = "rewriting the stored values"};
        if (!values->known)
                ret->act = ENCRYPTION_COUNT;
        else if (values->stale > 0)
                ret->act = ENCRYPTION_REWRITE;
        else if (values->unreadable > 0 && !wish->force)
                ret->act = ENCRYPTION_STOP;
        else
                return 0;
        return 1;
}

static int run_end(const struct encryption_view *views, size_t n, struct encryption_step *ret) {
        static const char what[] = "removing the keys";

        for (size_t i = 0; i < n; i++) {
                if (views[i].config) {
                        *ret = (struct encryption_step){
                                        .act = ENCRYPTION_WRITE, .machine = i, .what = what};
                        return 1;
                }
                if (json_array_size(views[i].running) > 0) {
                        *ret = (struct encryption_step){
                                        .act = ENCRYPTION_RESTART, .machine = i, .what = what};
                        return 1;
                }
        }
        return 0;
}

static const struct stage reading = {reads, put_reader, "reads the new key"},
                          writing = {writes, put_writer, "writes with it"},
                          alone = {has_alone, put_alone, "has no other key"},
                          plain = {writes_plain, put_plain, "writes plain values"};

static int next_disable(const struct encryption_wish *wish, const struct encryption_view *views,
                size_t n, const struct encryption_values *values, struct encryption_step *ret) {
        int r = run_stage(&plain, wish, views, n, ret);

        if (r != 0)
                return r;
        r = run_values(wish, views, n, values, ret);
        return r != 0 ? r : run_end(views, n, ret);
}

static int next_enable(const struct encryption_wish *wish, const struct encryption_view *views,
                size_t n, const struct encryption_values *values, struct encryption_step *ret) {
        int r = run_stage(&reading, wish, views, n, ret);

        if (r != 0)
                return r;
        r = run_stage(&writing, wish, views, n, ret);
        if (r != 0)
                return r;
        r = run_values(wish, views, n, values, ret);
        return r != 0 ? r : run_stage(&alone, wish, views, n, ret);
}

int encryption_next(const struct encryption_wish *wish, const struct encryption_view *views,
                size_t n, const struct encryption_values *values, struct encryption_step *ret) {
        int r = wish->goal == ENCRYPTION_DISABLE ? next_disable(wish, views, n, values, ret)
                                                 : next_enable(wish, views, n, values, ret);

        if (r == 0)
                *ret = (struct encryption_step){.act = ENCRYPTION_DONE};
        return MIN(r, 0);
}
