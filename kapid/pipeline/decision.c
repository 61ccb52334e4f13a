/* Life cycle of decisions. */
#include "kapid/pipeline/decision.h"

#include "lib/vector.h"

void decision_drop_keys(struct decision *d, size_t count) {
        while (d->key_count > count) {
                struct decision_key *k = &d->keys[--d->key_count];

                free(k->key);
                free(k->value);
        }
}

void decision_done(struct decision *d) {
        decision_drop_keys(d, 0);
        free(d->keys);
        json_decref(d->object);
        free(d->name);
        strv_free(d->warnings);
        *d = (struct decision){0};
}

int decision_add_key(struct decision *d, const char *key, const char *value, bool claim) {
        struct decision_key *k;

        assert(!claim || value);
        if (d->key_count == DECISION_KEYS_MAX)
                return -E2BIG;
        k = vector_grown(d->keys, &d->keys_allocated, d->key_count + 1, sizeof(*k));
        if (!k)
                return -ENOMEM;
        d->keys = k;
        k += d->key_count;
        *k = (struct decision_key){.claim = claim};
        k->key = strdup(key);
        k->value = value ? strdup(value) : NULL;
        d->key_count++; /* decision_done() frees a half-made one, too */
        return k->key && (k->value || !value) ? 0 : -ENOMEM;
}

int decision_replace_key(
                struct decision *d, const char *key, const char *value, uint64_t revision) {
        int r;

        assert(revision > 0);
        r = decision_add_key(d, key, value, false);
        if (r < 0)
                return r;
        d->keys[d->key_count - 1].revision = revision;
        return 0;
}

int decision_warn(struct decision *d, char *const *texts) {
        for (size_t i = 0; texts && texts[i]; i++)
                if (strv_extend(&d->warnings, texts[i]) < 0)
                        return -ENOMEM;
        return 0;
}
