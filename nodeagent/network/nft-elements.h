/* Elements of the table's maps and sets as the kernel speaks of them: netlink messages of the
 * subsystem nf_tables. nft's own library reads every element of a map before it changes one; these
 * messages cost what they change. Pure. */
#pragma once

#include <linux/netlink.h>

#include "lib/buf.h"
#include "nodeagent/network/nft-frame.h"

/* Additions and removals of elements that are one transaction. Zero-initialise;
 * nft_batch_done() frees. */
struct nft_batch {
        struct buf bytes;
        uint32_t messages; /* the number of messages so far, and their last sequence number */
        size_t elements;
        size_t message, list; /* where the open message and its list begin; message 0: none */
        size_t last;          /* where the last closed message begins; 0: none */
        enum nft_collection_id id;
        enum ip_family family;
        bool add;
};

/* Adds or removes one element; texts as in a model. -EINVAL: they are none of this collection;
 * -ENOMEM. */
int nft_batch_put(struct nft_batch *b, bool add, const char *collection, const char *key,
                const char *value);
/* Closes the last message and the batch; it asks the kernel for an answer to its last change.
 * -ENOMEM. */
int nft_batch_close(struct nft_batch *b);
void nft_batch_done(struct nft_batch *b);

/* The bytes of a field sequence, each field in a register of 4 bytes (16 of an IPv6 address). Their
 * number, or -EINVAL. */
enum { NFT_KEY_MAX = 64 };
int nft_key_encode(const char *fields, enum ip_family family, const char *text,
                unsigned char ret[static NFT_KEY_MAX]);
/* The reverse. Caller frees; NULL when the size is wrong or memory is out. */
char *nft_key_decode(const char *fields, enum ip_family family, const void *bytes, size_t n);

/* Calls func for each element of a message NFT_MSG_NEWSETELEM; stops at its first error and returns
 * it. -EBADMSG: not understood. */
int nft_elements_read(const struct nlmsghdr *h, model_element_func func, void *userdata);

/* Netlink attributes: the one of this type within `n` bytes (its contents and their size), or NULL.
 */
const void *nft_attribute(const void *attributes, size_t n, unsigned type, size_t *ret_size);
/* The attributes of an nf_tables message. */
const void *nft_message_attributes(const struct nlmsghdr *h, size_t *ret_size);
/* The text of an attribute of a message; NULL when it has none. Borrowed. */
const char *nft_message_text(const struct nlmsghdr *h, unsigned type);
