/* The table `inet keelson-policy`: what is wanted of it and what the kernel has, and the text of
 * the transaction that makes the one the other. Sets, chains and elements are counted: several may
 * ask for the same. Pure. Nothing here fails: without memory the program ends, and the next one
 * starts from the kernel's table. */
#pragma once

#include "lib/buf.h"

#define POLICY_TABLE "keelson-policy"

struct policy_nft;

struct policy_nft *policy_nft_new(void) _warn_unused_;
struct policy_nft *policy_nft_free(struct policy_nft *n);
DEFINE_CLEANUP(struct policy_nft *, policy_nft_free);

/* A set of that name, with what stands between its braces ("type ipv4_addr;"). Once for each user.
 */
void policy_nft_set(struct policy_nft *n, const char *name, const char *declaration);
void policy_nft_set_done(struct policy_nft *n, const char *name);
/* An element of a set, or of one of the frame's: the maps ingress4, ingress6, egress4, egress6 and
 * the sets self4, self6, nodes4 and nodes6 (whose VXLAN packets are accepted). value: of a map's
 * element; the last one given counts. */
void policy_nft_add(struct policy_nft *n, const char *set, const char *element, const char *value);
void policy_nft_remove(struct policy_nft *n, const char *set, const char *element);
/* A chain of that name and its rules, a line each; given again, the new rules replace the old ones.
 */
void policy_nft_chain(struct policy_nft *n, const char *name, const char *rules);
void policy_nft_chain_done(struct policy_nft *n, const char *name);

/* Appends what has changed since the last text, nothing when nothing has. */
void policy_nft_changes(struct policy_nft *n, struct buf *out);
/* Appends the text that replaces the whole table in one transaction. */
void policy_nft_whole(struct policy_nft *n, struct buf *out);
