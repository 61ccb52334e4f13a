/* Users are known while a request of theirs waits. */
#include "kapid/wait-shares.h"

#include "lib/map.h"

struct amount {
        size_t requests, bytes;
};

struct wait_share {
        struct amount own;
        char user[];
};

struct wait_shares {
        struct amount max, all;
        struct map *users; /* name -> struct wait_share */
};

int wait_shares_new(struct wait_shares **ret, size_t requests_max, size_t bytes_max) {
        struct wait_shares *s = calloc(1, sizeof(*s));

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

struct wait_shares *wait_shares_free(struct wait_shares *s) {
        if (!s)
                return NULL;
        map_free(s->users);
        return mfree(s);
}

static int get(struct wait_shares *s, const char *user, struct wait_share **ret) {
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

int wait_shares_enter(struct wait_shares *s, const char *user, struct wait_share **ret) {
        const struct wait_share *known = map_get(s->users, user);
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

struct wait_share *wait_shares_leave(struct wait_shares *s, struct wait_share *share) {
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

void wait_shares_hold(struct wait_shares *s, struct wait_share *share, size_t bytes) {
        share->own.bytes += bytes;
        s->all.bytes += bytes;
}

void wait_shares_drop(struct wait_shares *s, struct wait_share *share, size_t bytes) {
        assert(share->own.bytes >= bytes);
        share->own.bytes -= bytes;
        s->all.bytes -= bytes;
}

size_t wait_shares_waiting(const struct wait_shares *s) {
        return s->all.requests;
}
