/* Users are known while a request of theirs waits. */
#include "kapid/webhooks/shares.h"

#include "lib/map.h"

struct amount {
        size_t requests, bytes;
};

struct webhook_share {
        struct amount own;
        char user[];
};

struct webhook_shares {
        struct amount max, all;
        struct map *users; /* name -> struct webhook_share */
};

int webhook_shares_new(struct webhook_shares **ret, size_t requests_max, size_t bytes_max) {
        struct webhook_shares *s = calloc(1, sizeof(*s));

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

struct webhook_shares *webhook_shares_free(struct webhook_shares *s) {
        if (!s)
                return NULL;
        map_free(s->users);
        return mfree(s);
}

static int get(struct webhook_shares *s, const char *user, struct webhook_share **ret) {
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

int webhook_shares_enter(struct webhook_shares *s, const char *user, struct webhook_share **ret) {
        const struct webhook_share *known = map_get(s->users, user);
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

struct webhook_share *webhook_shares_leave(struct webhook_shares *s, struct webhook_share *share) {
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

void webhook_shares_hold(struct webhook_shares *s, struct webhook_share *share, size_t bytes) {
        share->own.bytes += bytes;
        s->all.bytes += bytes;
}

void webhook_shares_drop(struct webhook_shares *s, struct webhook_share *share, size_t bytes) {
        assert(share->own.bytes >= bytes);
        share->own.bytes -= bytes;
        s->all.bytes -= bytes;
}

size_t webhook_shares_waiting(const struct webhook_shares *s) {
        return s->all.requests;
}
