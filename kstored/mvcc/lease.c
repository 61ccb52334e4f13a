/* Leases in a hash by id, each with a hash of its keys. On the leader a heap has each lease once,
 * at a time not later than its end (but see lease_renew()): renewing only moves the end, and a
 * lease that comes up too early goes back into the heap. */
#include "kstored/mvcc/lease.h"

#include <uthash.h>

#include "kstored/mvcc/index.h"
#include "kstored/raft/bugs.h"
#include "lib/vector.h"

struct attached {
        UT_hash_handle hh;
        size_t size;
        char key[];
};

struct lease {
        int64_t id;
        int64_t ttl_s;
        uint64_t end_ms; /* UINT64_MAX while this member does not lead */
        bool ending;
        uint64_t due_ms; /* its place in the heap; not later than its end */
        size_t heap_at;  /* its index there, plus 1 */
        struct attached *keys;
        UT_hash_handle hh;
};

struct lessor {
        struct lease *leases;
        bool leading;
        uint64_t now_ms; /* as of the last call that gave the time */
        VECTOR(struct lease *) heap;
        bool short_of_memory; /* the heap does not have all */
};

int lessor_new(struct lessor **ret) {
        struct lessor *l = calloc(1, sizeof(*l));

        if (!l)
                return -ENOMEM;
        *ret = l;
        return 0;
}

/* ---- the heap ---- */

static void place(struct lessor *l, size_t i, struct lease *x) {
        l->heap.items[i] = x;
        x->heap_at = i + 1;
}

static void sift_up(struct lessor *l, size_t i, struct lease *x) {
        assert(i < l->heap.count);
        for (; i > 0 && l->heap.items[(i - 1) / 2]->due_ms > x->due_ms; i = (i - 1) / 2)
                place(l, i, l->heap.items[(i - 1) / 2]);
        place(l, i, x);
}

static void sift_down(struct lessor *l, size_t i, struct lease *x) {
        assert(i < l->heap.count);
        for (size_t child; (child = 2 * i + 1) < l->heap.count; i = child) {
                if (child + 1 < l->heap.count &&
                                l->heap.items[child + 1]->due_ms < l->heap.items[child]->due_ms)
                        child++;
                if (l->heap.items[child]->due_ms >= x->due_ms)
                        break;
                place(l, i, l->heap.items[child]);
        }
        place(l, i, x);
}

static void heap_push(struct lessor *l, struct lease *x) {
        assert(l->leading);
        assert(x->heap_at == 0); /* once at most */
        if (vector_reserve(&l->heap, 1) < 0) {
                l->short_of_memory = true;
                return;
        }
        x->due_ms = x->end_ms;
        sift_up(l, l->heap.count++, x);
}

static void heap_remove(struct lessor *l, struct lease *x) {
        size_t i = x->heap_at;
        struct lease *last;

        if (i-- == 0)
                return;
        assert(i < l->heap.count && l->heap.items[i] == x);
        x->heap_at = 0;
        last = l->heap.items[--l->heap.count];
        if (last == x)
                return;
        if (i > 0 && l->heap.items[(i - 1) / 2]->due_ms > last->due_ms)
                sift_up(l, i, last);
        else
                sift_down(l, i, last);
}

static void heap_clear(struct lessor *l) {
        for (struct lease *x = l->leases; x; x = x->hh.next)
                x->heap_at = 0;
        vector_done(&l->heap);
        l->short_of_memory = false;
}

static void heap_fill(struct lessor *l) {
        heap_clear(l);
        for (struct lease *x = l->leases; x; x = x->hh.next)
                heap_push(l, x);
}

/* ---- leases ---- */

static void lease_free(struct lease *x) {
        struct attached *a, *next;

        HASH_ITER(hh, x->keys, a, next) {
                HASH_DEL(x->keys, a);
                free(a);
        }
        free(x);
}

struct lessor *lessor_free(struct lessor *l) {
        struct lease *x, *next;

        if (!l)
                return NULL;
        HASH_ITER(hh, l->leases, x, next) {
                HASH_DEL(l->leases, x);
                lease_free(x);
        }
        vector_done(&l->heap);
        free(l);
        return NULL;
}

struct lease *lessor_find(struct lessor *l, int64_t id) {
        struct lease *x;

        HASH_FIND(hh, l->leases, &id, sizeof(id), x);
        return x;
}

enum store_error lessor_grant(struct lessor *l, int64_t id, int64_t ttl_s) {
        struct lease *x;

        if (id == 0)
                return STORE_LEASE_NOT_FOUND;
        if (lessor_find(l, id))
                return STORE_LEASE_EXISTS;
        x = calloc(1, sizeof(*x));
        if (!x)
                return STORE_NO_MEMORY;
        x->id = id;
        x->ttl_s = ttl_s;
        x->end_ms = UINT64_MAX;
        HASH_ADD(hh, l->leases, id, sizeof(x->id), x);
        if (l->leading) {
                x->end_ms = l->now_ms + (uint64_t)ttl_s * 1000;
                heap_push(l, x);
        }
        return STORE_OK;
}

void lessor_remove(struct lessor *l, int64_t id) {
        struct lease *x = lessor_find(l, id);

        if (!x)
                return;
        heap_remove(l, x);
        assert(x->heap_at == 0);
        HASH_DEL(l->leases, x);
        lease_free(x);
}

int64_t lease_id(const struct lease *x) {
        return x->id;
}

int64_t lease_ttl_s(const struct lease *x) {
        return x->ttl_s;
}

int lessor_move_key(struct lessor *l, int64_t from, int64_t to, const void *key, size_t n) {
        struct attached *a = NULL;
        struct lease *x;

        if (from == to)
                return 0;
        x = from != 0 ? lessor_find(l, from) : NULL;
        if (x)
                HASH_FIND(hh, x->keys, key, n, a);
        if (a) {
                HASH_DEL(x->keys, a);
                a = mfree(a);
        }
        x = to != 0 ? lessor_find(l, to) : NULL;
        if (!x)
                return 0;
        a = calloc(1, sizeof(*a) + n);
        if (!a)
                return -ENOMEM;
        a->size = n;
        memcpy(a->key, key, n);
        HASH_ADD_KEYPTR(hh, x->keys, a->key, n, a);
        return 0;
}

static int compare_keys(const void *a, const void *b) {
        const struct lease_key *x = a, *y = b;

        return key_compare(x->key, x->size, y->key, y->size);
}

size_t lease_key_count(const struct lease *x) {
        return HASH_COUNT(x->keys);
}

int lease_keys_unsorted(const struct lease *x, struct lease_key **ret, size_t *ret_count) {
        size_t n = HASH_COUNT(x->keys), i = 0;
        struct lease_key *v = malloc(MAX(n, (size_t)1) * sizeof(*v));
        struct attached *a, *next;

        if (!v)
                return -ENOMEM;
        HASH_ITER(hh, x->keys, a, next)
        v[i++] = (struct lease_key){.key = a->key, .size = a->size};
        assert(i == n);
        *ret = v;
        *ret_count = n;
        return 0;
}

int lease_keys(const struct lease *x, struct lease_key **ret, size_t *ret_count) {
        int r = lease_keys_unsorted(x, ret, ret_count);

        if (r < 0)
                return r;
        qsort(*ret, *ret_count, sizeof(**ret), compare_keys);
        return 0;
}

size_t lessor_count(const struct lessor *l) {
        return HASH_COUNT(l->leases);
}

static int compare_ids(const void *a, const void *b) {
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

        return x < y ? -1 : x > y;
}

int lessor_ids(const struct lessor *l, int64_t **ret, size_t *ret_count) {
        size_t n = HASH_COUNT(l->leases), i = 0;
        int64_t *v = malloc(MAX(n, (size_t)1) * sizeof(*v));
        struct lease *x, *next;

        if (!v)
                return -ENOMEM;
        HASH_ITER(hh, l->leases, x, next)
        v[i++] = x->id;
        assert(i == n);
        qsort(v, n, sizeof(*v), compare_ids);
        *ret = v;
        *ret_count = n;
        return 0;
}

void lessor_set_now(struct lessor *l, uint64_t now_ms) {
        l->now_ms = now_ms;
}

void lessor_promote(struct lessor *l, uint64_t now_ms, uint64_t extend_ms) {
        struct lease *x, *next;

        l->leading = true;
        l->now_ms = now_ms;
        HASH_ITER(hh, l->leases, x, next) {
                x->end_ms = now_ms + (uint64_t)x->ttl_s * (bug(BUG_LEASE_SHORT) ? 300 : 1000) +
                            extend_ms;
                x->ending = false;
        }
        heap_fill(l);
}

void lessor_demote(struct lessor *l) {
        struct lease *x, *next;

        l->leading = false;
        HASH_ITER(hh, l->leases, x, next)
        x->end_ms = UINT64_MAX;
        heap_clear(l);
}

void lease_renew(struct lease *x, uint64_t now_ms) {
        /* Its place in the heap stays: it is later than before. Only after a promotion it may be
         * earlier, by what that added, and the lease ends that much late at most. */
        x->end_ms = now_ms + (uint64_t)x->ttl_s * 1000;
        x->ending = false;
}

bool lease_is_ending(const struct lease *x) {
        return x->ending;
}

int64_t lease_remaining_s(const struct lease *x, uint64_t now_ms) {
        if (x->end_ms == UINT64_MAX)
                return x->ttl_s;
        return x->end_ms > now_ms ? (int64_t)((x->end_ms - now_ms) / 1000) : 0;
}

size_t lessor_expired(
                struct lessor *l, uint64_t now_ms, uint64_t retry_ms, int64_t *ret_ids, size_t n) {
        size_t count = 0;

        l->now_ms = now_ms;
        if (!l->leading)
                return 0;
        if (l->short_of_memory)
                heap_fill(l);
        while (count < n && l->heap.count > 0 && l->heap.items[0]->due_ms <= now_ms) {
                struct lease *x = l->heap.items[0];

                assert(x->heap_at == 1);
                heap_remove(l, x);
                if (x->end_ms <= now_ms) {
                        ret_ids[count++] = x->id;
                        x->end_ms = now_ms + retry_ms;
                        x->ending = true;
                }
                heap_push(l, x);
        }
        return count;
}
