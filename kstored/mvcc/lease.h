/* Leases: which keys end with which lease (replicated, deterministic) and when a lease ends (the
 * leader's clock only, given as an argument). An ended lease is revoked through the log like any
 * change. */
#pragma once

#include "kstored/errors.h"
#include "kstored/mvcc/row.h"

#define LEASE_TTL_MAX_S 9000000000LL

struct lessor;
struct lease;

int lessor_new(struct lessor **ret);
struct lessor *lessor_free(struct lessor *l);
DEFINE_CLEANUP(struct lessor *, lessor_free);

/* ttl is what the lease gets; STORE_LEASE_EXISTS, STORE_NO_MEMORY. */
enum store_error lessor_grant(struct lessor *l, int64_t id, int64_t ttl_s);
/* The lease and its attachments are gone; the caller deletes the keys first. */
void lessor_remove(struct lessor *l, int64_t id);
struct lease *lessor_find(struct lessor *l, int64_t id);
int64_t lease_id(const struct lease *x);
int64_t lease_ttl_s(const struct lease *x);

/* A key moves from one lease to another; 0: none. -ENOMEM. */
int lessor_move_key(struct lessor *l, int64_t from, int64_t to, const void *key, size_t n);
struct lease_key {
        const char *key;
        size_t size;
};
/* The keys of a lease in order; the array is the caller's, the keys live until the next change. */
int lease_keys(const struct lease *x, struct lease_key **ret, size_t *ret_count);
/* The same in no particular order, which is cheaper. */
int lease_keys_unsorted(const struct lease *x, struct lease_key **ret, size_t *ret_count);
size_t lease_key_count(const struct lease *x);

size_t lessor_count(const struct lessor *l);
/* The ids in ascending order, in an array of the caller's. */
int lessor_ids(const struct lessor *l, int64_t **ret, size_t *ret_count);

/* The clock side, on the leader: a lease that is granted starts at the last lessor_set_now().
 * Becoming leader gives every lease its whole TTL again, because only the previous leader knew the
 * time that was left. */
void lessor_set_now(struct lessor *l, uint64_t now_ms);
void lessor_promote(struct lessor *l, uint64_t now_ms, uint64_t extend_ms);
void lessor_demote(struct lessor *l);
void lease_renew(struct lease *x, uint64_t now_ms);
/* lessor_expired() has returned it: its revocation is under way, and renewing it may be too late.
 */
bool lease_is_ending(const struct lease *x);
int64_t lease_remaining_s(const struct lease *x, uint64_t now_ms);
/* Up to n ids of leases that are over; each is given again only after retry_ms, in case its
 * revocation got lost. */
size_t lessor_expired(
                struct lessor *l, uint64_t now_ms, uint64_t retry_ms, int64_t *ret_ids, size_t n);
