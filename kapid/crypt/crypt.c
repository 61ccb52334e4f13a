/* Seals and opens values. The place of a key is found by comparing prefixes, of which a usual
 * configuration has one: other objects cost one comparison each way. A value is opened into one
 * allocation, and sealed into one. */
#include "kapid/crypt/internal.h"

enum { SHOWN_NAME_MAX = 64 };

const char *crypt_method_name(enum crypt_method method) {
        static const char *const names[] = {[CRYPT_IDENTITY] = "identity",
                        [CRYPT_AESGCM] = "aesgcm",
                        [CRYPT_SECRETBOX] = "secretbox"};

        return names[method];
}

struct crypt_key *crypt_key_free(struct crypt_key *k) {
        if (!k)
                return NULL;
        aes_gcm_free(k->gcm);
        free(k->name);
        free(k->with);
        free(k->prefix);
        explicit_bzero(k->box, sizeof(k->box));
        return mfree(k);
}

struct crypt *crypt_free(struct crypt *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->entries.count; i++) {
                struct crypt_entry *e = &c->entries.items[i];

                for (size_t k = 0; k < e->keys.count; k++)
                        crypt_key_free(e->keys.items[k]);
                vector_done(&e->keys);
                strv_free(e->resources);
        }
        vector_done(&c->entries);
        for (size_t i = 0; i < c->places.count; i++)
                free(c->places.items[i].prefix);
        vector_done(&c->places);
        return mfree(c);
}

/* --- where --- */

/* kapid's own notes are not objects (kapid/cache/caches.c). */
static bool is_note(const char *key) {
        return startswith(key, "/registry/ranges/") || startswith(key, "/registry/kapids/");
}

static const struct crypt_place *place_of(const struct crypt *c, const char *key) {
        for (size_t i = 0; c && i < c->places.count; i++)
                if (strncmp(key, c->places.items[i].prefix, c->places.items[i].size) == 0)
                        return is_note(key) ? NULL : &c->places.items[i];
        return NULL;
}

static const struct crypt_entry *entry_of(const struct crypt *c, const char *key) {
        const struct crypt_place *place = place_of(c, key);

        return place ? &c->entries.items[place->entry] : NULL;
}

const char *crypt_prefix_at(const struct crypt *c, size_t i) {
        return c && i < c->places.count ? c->places.items[i].prefix : NULL;
}

bool crypt_is_in(const struct crypt *c, const char *key, const char *prefix) {
        const struct crypt_place *place = place_of(c, key);

        return place && streq(place->prefix, prefix);
}

/* --- sealing --- */

static size_t overhead(const struct crypt_key *k) {
        return k->method == CRYPT_AESGCM ? AES_GCM_NONCE_SIZE + AES_GCM_TAG_SIZE
                                         : SECRETBOX_NONCE_SIZE + SECRETBOX_TAG_SIZE;
}

static int key_seal(const struct crypt_key *k, const char *key, const char *value, size_t n,
                char *ret) {
        if (k->method == CRYPT_AESGCM)
                return aes_gcm_seal(k->gcm, key, value, n, ret);
        secretbox_seal(k->box, value, n, ret);
        return 0;
}

int crypt_seal(struct crypt *c, const char *key, const char *value, size_t n, char **ret,
                size_t *ret_size) {
        const struct crypt_entry *e = entry_of(c, key);
        const struct crypt_key *k = e ? e->keys.items[0] : NULL;
        _cleanup_free_ char *out = NULL;
        size_t size;
        int r;

        if (!k || k->method == CRYPT_IDENTITY)
                return 0;
        size = k->prefix_size + overhead(k) + n;
        out = malloc(size);
        if (!out)
                return -ENOMEM;
        memcpy(out, k->prefix, k->prefix_size);
        r = key_seal(k, key, value, n, out + k->prefix_size);
        if (r < 0)
                return r;
        if (k->sealed)
                metric_add(k->sealed, 1);
        *ret = TAKE_PTR(out);
        *ret_size = size;
        return 1;
}

/* --- opening --- */

void crypt_opened_done(struct crypt_opened *o) {
        free(o->value);
        free(o->why);
        *o = (struct crypt_opened){0};
}

static bool has_prefix(const char *stored, size_t n, const char *prefix, size_t size) {
        return n >= size && memcmp(stored, prefix, size) == 0;
}

/* The next word of the stored text, up to its colon, in characters that may be shown. */
static const char *word(const char **at, const char *end, char ret[static SHOWN_NAME_MAX + 1]) {
        size_t n = 0;
        const char *s = *at;

        for (; s < end && *s != ':'; s++)
                if (n < SHOWN_NAME_MAX)
                        ret[n++] = *s > 0x20 && *s < 0x7f && *s != '"' ? *s : '?';
        ret[n] = 0;
        *at = s < end ? s + 1 : end;
        return ret;
}

static int refused(struct crypt *c, struct crypt_opened *ret, const char *key, const char *text) {
        if (c && c->failed)
                metric_add(c->failed, 1);
        ret->why = strformat("the value at %s %s", key, text);
        return ret->why ? -EBADMSG : -ENOMEM;
}

/* No key of the configuration has the name that the value has. */
static int no_key(struct crypt *c, const struct crypt_entry *e, const char *key, const char *stored,
                size_t n, struct crypt_opened *ret) {
        const char *at = stored + strlen(CRYPT_MARK), *end = stored + n;
        char provider[SHOWN_NAME_MAX + 1], version[SHOWN_NAME_MAX + 1], name[SHOWN_NAME_MAX + 1];
        _cleanup_free_ char *text = NULL;

        word(&at, end, provider);
        word(&at, end, version);
        word(&at, end, name);
        text = strformat("is encrypted with the key \"%s\" (%s, %s), which %s; add the key to "
                         "--encryption-provider-config of this API server",
                        name, provider, version,
                        e   ? "the providers of this resource do not have"
                        : c ? "no providers of this resource have, because the configuration "
                              "names none"
                            : "this API server, which has no configuration of encryption, lacks");
        return text ? refused(c, ret, key, text) : -ENOMEM;
}

static int key_open(const struct crypt_key *k, const char *key, const char *sealed, size_t n,
                struct crypt_opened *ret) {
        size_t size = n >= overhead(k) ? n - overhead(k) : 0;
        _cleanup_free_ char *value = NULL;
        int r;

        if (n < overhead(k))
                return -EBADMSG;
        value = malloc(size + 1);
        if (!value)
                return -ENOMEM;
        r = k->method == CRYPT_AESGCM ? aes_gcm_open(k->gcm, key, sealed, n, value)
                                      : secretbox_open(k->box, sealed, n, value);
        if (r < 0)
                return r;
        value[size] = 0;
        ret->value = TAKE_PTR(value);
        ret->size = size;
        return 0;
}

/* Several keys of different providers may have one name. */
static int open_sealed(struct crypt *c, const struct crypt_entry *e, const char *key,
                const char *stored, size_t n, struct crypt_opened *ret) {
        const struct crypt_key *tried = NULL;
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; e && i < e->keys.count; i++) {
                const struct crypt_key *k = e->keys.items[i];
                int r;

                if (k->method == CRYPT_IDENTITY ||
                                !has_prefix(stored, n, k->prefix, k->prefix_size))
                        continue;
                tried = k;
                r = key_open(k, key, stored + k->prefix_size, n - k->prefix_size, ret);
                if (r == -EBADMSG)
                        continue;
                if (r < 0)
                        return r;
                ret->stale = i > 0;
                ret->with = k->with;
                if (k->opened)
                        metric_add(k->opened, 1);
                return 0;
        }
        if (!tried)
                return no_key(c, e, key, stored, n, ret);
        text = strformat("is not opened by the key \"%s\" (%s): it was encrypted with another key "
                         "of that name, was changed, or was moved from another object",
                        tried->name, crypt_method_name(tried->method));
        return text ? refused(c, ret, key, text) : -ENOMEM;
}

int crypt_open(struct crypt *c, const char *key, const char *stored, size_t n,
                struct crypt_opened *ret) {
        const struct crypt_entry *e = entry_of(c, key);

        *ret = (struct crypt_opened){.with = "identity"};
        if (has_prefix(stored, n, CRYPT_MARK, strlen(CRYPT_MARK)))
                return open_sealed(c, e, key, stored, n, ret);
        for (size_t i = 0; e && i < e->keys.count; i++)
                if (e->keys.items[i]->method == CRYPT_IDENTITY) {
                        ret->stale = i > 0;
                        return 0;
                }
        return e ? refused(c, ret, key,
                                   "is not encrypted, and the providers of this resource in "
                                   "--encryption-provider-config do not include identity, which "
                                   "reads such values")
                 : 0;
}

/* --- for administrators --- */

static json_t *report_key(const struct crypt_key *k) {
        const char *provider = crypt_method_name(k->method);

        return k->method == CRYPT_IDENTITY ? json_pack("{s:s}", "provider", provider)
                                           : json_pack("{s:s, s:s, s:s}", "provider", provider,
                                                             "name", k->name, "id", k->id);
}

static json_t *report_entry(const struct crypt_entry *e) {
        _cleanup_json_ json_t *resources = json_array(), *keys = json_array();

        for (char **s = e->resources; s && *s; s++)
                if (json_array_append_new(resources, json_string(*s)) < 0)
                        return NULL;
        for (size_t i = 0; i < e->keys.count; i++)
                if (json_array_append_new(keys, report_key(e->keys.items[i])) < 0)
                        return NULL;
        return json_pack("{s:O, s:O}", "resources", resources, "keys", keys);
}

json_t *crypt_report(const struct crypt *c) {
        _cleanup_json_ json_t *list = json_array();

        for (size_t i = 0; c && i < c->entries.count; i++)
                if (json_array_append_new(list, report_entry(&c->entries.items[i])) < 0)
                        return NULL;
        return TAKE_PTR(list);
}

static int key_metrics(struct crypt_key *k, struct metrics *m) {
        _cleanup_free_ char *labels = strformat("provider=\"%s\",key=\"%s\"",
                        crypt_method_name(k->method), strempty(k->name));

        if (k->method == CRYPT_IDENTITY)
                return 0;
        if (!labels)
                return -ENOMEM;
        k->sealed = metrics_counter(m, "keelson_encryption_sealed_total", labels,
                        "Values encrypted with the key.");
        k->opened = metrics_counter(m, "keelson_encryption_opened_total", labels,
                        "Values decrypted with the key.");
        return k->sealed && k->opened ? 0 : -ENOMEM;
}

int crypt_add_metrics(struct crypt *c, struct metrics *m) {
        c->failed = metrics_counter(m, "keelson_encryption_failures_total", "",
                        "Values read that no key of the configuration opened.");
        if (!c->failed)
                return -ENOMEM;
        for (size_t i = 0; i < c->entries.count; i++)
                for (size_t k = 0; k < c->entries.items[i].keys.count; k++) {
                        int r = key_metrics(c->entries.items[i].keys.items[k], m);

                        if (r < 0)
                                return r;
                }
        return 0;
}
