/* Users are known while a request of theirs waits. */
#include "kapid/shares.h"

#include "lib/map.h"

struct amount {
        size_t requests, bytes;
};

struct share {
        struct amount own;
        char user[];
};

struct shares {
        struct amount max, all;
        struct map *users; /* name -> struct share */
};

int shares_new(struct shares **ret, size_t requests_max, size_t bytes_max) {
        struct shares *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->max = (struct amount){.requests = requests_max, .bytes = bytes_max};
        s->users = map_new(free);
        if (!s->users) {
                free(s);
                return -ENOMEM;
        }
        *ret = s;
        return 0;
}

struct shares *shares_free(struct shares *s) {
        if (!s)
                return NULL;
        map_free(s->users);
        return mfree(s);
}

static int get(struct shares *s, const char *user, struct share **ret) {
        size_t n = strlen(user);

        *ret = map_get(s->users, user);
        if (*ret)
                return 0;
        *ret = calloc(1, sizeof(**ret) + n + 1);
        if (!*ret)
                return -ENOMEM;
        memcpy((*ret)->user, user, n);
        if (map_set(s->users, user, *ret) < 0) {
                *ret = mfree(*ret);
                return -ENOMEM;
        }
        return 0;
}

/* As streams are shared (kapid/http/fairness.c). */
static bool has_room(size_t own, size_t all, size_t max) {
        size_t left = max - MIN(all, max);

        return left > 0 && own < (own + left) / 2 + 1;
}

int shares_enter(struct shares *s, const char *user, struct share **ret) {
        const struct share *known = map_get(s->users, user);
        const struct amount own = known ? known->own : (struct amount){0};
        int r;

        if (!has_room(own.requests, s->all.requests, s->max.requests) ||
                        !has_room(own.bytes, s->all.bytes, s->max.bytes))
                return -EBUSY;
        r = get(s, user, ret);
        if (r < 0)
                return r;
        (*ret)->own.requests++;
        s->all.requests++;
        return 0;
}

struct share *shares_leave(struct shares *s, struct share *share) {
        if (!share)
                return NULL;
        assert(share->own.requests > 0);
        s->all.requests--;
        if (--share->own.requests > 0)
                return NULL;
        s->all.bytes -= share->own.bytes;
        map_remove(s->users, share->user);
        return NULL;
}

void shares_hold(struct shares *s, struct share *share, size_t bytes) {
        share->own.bytes += bytes;
        s->all.bytes += bytes;
}

void shares_drop(struct shares *s, struct share *share, size_t bytes) {
        assert(share->own.bytes >= bytes);
        share->own.bytes -= bytes;
        s->all.bytes -= bytes;
}

size_t shares_waiting(const struct shares *s) {
        return s->all.requests;
}
