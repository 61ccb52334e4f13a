/* Items. The resourceVersion is not stored with an object (it is the key's mod_revision), so it is
 * spliced into the text right after the brace that opens metadata, which lib/json-text.h finds:
 * loading a hundred thousand objects parses none of them. */
#include "kapid/cache/item.h"

#include <inttypes.h>
#include <sys/queue.h>

#include "lib/json-text.h"
#include "lib/object.h"

struct item {
        unsigned refs;
        uint64_t revision;
        struct bytes *text;
        size_t revision_at; /* where in text the revision's digits stand */
        size_t revision_size;
        size_t labels_at, labels_size; /* of metadata.labels in text; 0: none */
        json_t *object;                /* NULL: not asked for lately */
        size_t object_bytes;
        struct item *form; /* owned; NULL: the item itself */
        uint64_t form_for; /* kind.serial; 0: none was made */
        uint64_t applied;  /* 0: none */
        struct item_pool *pool;
        TAILQ_ENTRY(item) trees;
        size_t prefix_size;
        char key[];
};

struct item_pool {
        TAILQ_HEAD(item_tree_list, item) trees; /* most lately asked for first */
        size_t bytes, bytes_max;
};

struct item_pool *item_pool_new(size_t bytes_max) {
        struct item_pool *p = calloc(1, sizeof(*p));

        if (!p)
                return NULL;
        TAILQ_INIT(&p->trees);
        p->bytes_max = bytes_max;
        return p;
}

struct item_pool *item_pool_free(struct item_pool *p) {
        if (!p)
                return NULL;
        assert(TAILQ_EMPTY(&p->trees));
        return mfree(p);
}

size_t item_pool_bytes(const struct item_pool *p) {
        return p->bytes;
}

/* The place after the '{' of the top-level member "metadata", or NULL. */
static const char *find_metadata(const char *s, size_t n) {
        const char *at = json_text_member(s, s + n, "metadata");

        return at && *at == '{' ? at + 1 : NULL;
}

static struct item *item_alloc(
                struct item_pool *pool, const char *key, size_t prefix_size, uint64_t revision) {
        size_t n = strlen(key);
        struct item *it = calloc(1, sizeof(*it) + n + 1);

        if (!it)
                return NULL;
        it->refs = 1;
        it->revision = revision;
        it->pool = pool;
        it->prefix_size = prefix_size;
        memcpy(it->key, key, n);
        return it;
}

static const char revision_name[] = "\"resourceVersion\":\"";

/* Labels are read in walks over many items. */
static void find_labels(struct item *it) {
        const char *text = it->text->data, *end = text + it->text->size,
                   *metadata = text + it->revision_at - strlen(revision_name) - 1,
                   *at = json_text_member(metadata, end, "labels"),
                   *past = at && *at == '{' ? json_text_value_end(at, end) : NULL;

        if (!past)
                return;
        it->labels_at = (size_t)(at - text);
        it->labels_size = (size_t)(past - at);
}

/* head, name, digits, between, tail -> text */
static int splice(struct item *it, const char *head, size_t head_size, const char *name,
                const char *between, const char *tail, size_t tail_size) {
        char middle[sizeof(revision_name) + 32];
        int n = snprintf(middle, sizeof(middle), "%s%" PRIu64 "%s", name, it->revision, between);

        it->text = bytes_alloc(head_size + (size_t)n + tail_size);
        if (!it->text)
                return -ENOMEM;
        memcpy(it->text->data, head, head_size);
        memcpy(it->text->data + head_size, middle, (size_t)n);
        memcpy(it->text->data + head_size + n, tail, tail_size);
        it->revision_at = head_size + strlen(name);
        it->revision_size = (size_t)n - strlen(name) - strlen(between);
        find_labels(it);
        return 0;
}

int item_new(struct item_pool *pool, const char *key, size_t prefix_size, const char *value,
                size_t n, uint64_t revision, struct item **ret) {
        const char *at = n > 0 && value[0] == '{' ? find_metadata(value, n) : NULL;
        _cleanup_item_ struct item *it = NULL;
        const char *rest = at;
        int r;

        assert(prefix_size <= strlen(key));
        if (!at)
                return -EINVAL;
        it = item_alloc(pool, key, prefix_size, revision);
        if (!it)
                return -ENOMEM;
        while (rest < value + n && strchr(" \t\r\n", *rest))
                rest++;
        r = splice(it, value, (size_t)(at - value), revision_name,
                        rest < value + n && *rest == '}' ? "\"" : "\",", at,
                        n - (size_t)(at - value));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(it);
        return 0;
}

bool item_is(const struct item *it, const char *key, const char *value, size_t n,
                uint64_t revision) {
        const char *text = it->text->data;
        size_t at = it->revision_at - strlen(revision_name), added = it->text->size - n;

        return it->revision == revision && it->text->size > n && at <= n && streq(it->key, key) &&
               memcmp(text, value, at) == 0 && memcmp(text + at + added, value + at, n - at) == 0;
}

int item_at_revision(const struct item *it, uint64_t revision, struct item **ret) {
        struct item *copy = item_alloc(it->pool, it->key, it->prefix_size, revision);
        size_t tail = it->revision_at + it->revision_size;
        int r;

        if (!copy)
                return -ENOMEM;
        r = splice(copy, it->text->data, it->revision_at, "", "", it->text->data + tail,
                        it->text->size - tail);
        if (r < 0) {
                item_unref(copy);
                return r;
        }
        *ret = copy;
        return 0;
}

struct item *item_ref(struct item *it) {
        if (it)
                it->refs++;
        return it;
}

static void drop_tree(struct item *it) {
        if (!it->object)
                return;
        TAILQ_REMOVE(&it->pool->trees, it, trees);
        it->pool->bytes -= it->object_bytes;
        json_decref(it->object);
        it->object = NULL;
}

struct item *item_unref(struct item *it) {
        if (!it)
                return NULL;
        assert(it->refs > 0);
        if (--it->refs > 0)
                return NULL;
        drop_tree(it);
        bytes_unref(it->text);
        item_unref(it->form);
        return mfree(it);
}

bool item_has_api_version(const struct item *it, const char *api_version) {
        const char *end = it->text->data + it->text->size,
                   *at = json_text_member(it->text->data, end, "apiVersion");
        size_t n = strlen(api_version);

        return at && (size_t)(end - at) >= n + 2 && *at == '"' &&
               memcmp(at + 1, api_version, n) == 0 && at[n + 1] == '"';
}

struct item *item_form(struct item *it, uint64_t serial) {
        assert(serial > 0);
        if (it->form_for != serial)
                return NULL;
        return it->form ? it->form : it;
}

void item_set_form(struct item *it, uint64_t serial, struct item *form_taken) {
        assert(serial > 0);
        assert(form_taken != it);
        item_unref(it->form);
        if (form_taken)
                form_taken->form_for = serial; /* it is its own form */
        it->form = form_taken;
        it->form_for = serial;
}

uint64_t item_applied(const struct item *it) {
        return it->applied;
}

void item_set_applied(struct item *it, uint64_t mark) {
        it->applied = mark;
}

const char *item_key(const struct item *it) {
        return it->key;
}

const char *item_path(const struct item *it) {
        return it->key + it->prefix_size;
}

struct item_pool *item_pool(const struct item *it) {
        return it->pool;
}

uint64_t item_revision(const struct item *it) {
        return it->revision;
}

struct bytes *item_text(const struct item *it) {
        return it->text;
}

json_t *item_object_once(struct item *it) {
        json_t *object = NULL;

        if (it->object)
                return json_incref(it->object);
        return json_parse(it->text->data, it->text->size, 0, &object, NULL) < 0 ? NULL : object;
}

bool item_string(const struct item *it, const char *outer, const char *inner, char *ret, size_t n) {
        const char *end = it->text->data + it->text->size, *at, *quote;
        size_t size;

        at = json_text_member(it->text->data, end, outer);
        if (!at || *at != '{')
                return false;
        at = json_text_member(at, end, inner);
        if (!at || *at != '"')
                return false;
        at++;
        quote = memchr(at, '"', (size_t)(end - at));
        size = quote ? (size_t)(quote - at) : 0;
        if (size == 0 || size >= n || memchr(at, '\\', size))
                return false;
        memcpy(ret, at, size);
        ret[size] = 0;
        return true;
}

const char *item_labels_text(const struct item *it, size_t *ret_n) {
        *ret_n = it->labels_size;
        return it->labels_at ? it->text->data + it->labels_at : NULL;
}

bool item_same_labels(const struct item *a, const struct item *b) {
        size_t n, k;
        const char *labels = item_labels_text(a, &n), *others = item_labels_text(b, &k);

        return n == k && (n == 0 || memcmp(labels, others, n) == 0);
}

int item_labels(const struct item *it, json_t **ret) {
        json_t *labels;

        *ret = NULL;
        if (!it->labels_at)
                return 0;
        labels = json_loadb(it->text->data + it->labels_at, it->labels_size, 0, NULL);
        if (!labels)
                return -ENOMEM;
        *ret = labels;
        return 0;
}

void item_keep_object(struct item *it, json_t *object) {
        struct item_pool *pool = it->pool;

        if (it->object) {
                TAILQ_REMOVE(&pool->trees, it, trees);
                TAILQ_INSERT_HEAD(&pool->trees, it, trees);
                return;
        }
        it->object_bytes = json_size(object);
        if (it->object_bytes > pool->bytes_max / 2)
                return;
        it->object = json_incref(object);
        TAILQ_INSERT_HEAD(&pool->trees, it, trees);
        pool->bytes += it->object_bytes;
        while (pool->bytes > pool->bytes_max)
                drop_tree(TAILQ_LAST(&pool->trees, item_tree_list));
}

json_t *item_object(struct item *it) {
        json_t *object = item_object_once(it);

        if (object)
                item_keep_object(it, object);
        return object;
}
