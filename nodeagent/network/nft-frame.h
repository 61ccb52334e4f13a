/* The frame of the table `inet keelson`: its maps and sets, the chains with hooks, and the texts
 * that turn one model of services-to-nft.h into another. Pure. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"
#include "nodeagent/network/service-view.h"

#define NFT_TABLE_NAME "keelson"
#define NFT_TABLE "inet " NFT_TABLE_NAME

/* How the names of the chains of host ports begin. */
#define HOST_CHAIN "host-"

/* Services with more endpoints have their own chain. */
enum { NFT_PICK_MAX = 32 };

/* The maps and sets, each once for a family. In the order in which elements are added: an element
 * of `services` needs those of `endpoints`. */
enum nft_collection_id {
        NFT_ENDPOINTS,
        NFT_PROTECTED,
        NFT_SERVICES,
        NFT_NODEPORTS,
        NFT_HOSTPORTS,
        NFT_REFUSED,
        NFT_REFUSED_NODEPORTS,
        NFT_BALANCED,
        NFT_HAIRPIN,
        NFT_COLLECTIONS,
};

/* The fields of an element's key, one letter each: a(ddress), p(rotocol), s(ervice's port), n(umber
 * of an endpoint); and its value. */
enum nft_value { NFT_VALUE_NONE, NFT_VALUE_VERDICT, NFT_VALUE_PLACE /* "address . port" */ };
struct nft_collection {
        const char *name;
        const char *fields;
        enum nft_value value;
};
extern const struct nft_collection nft_collections[NFT_COLLECTIONS];

/* "services", "services6". */
const char *nft_collection_name(enum nft_collection_id id, enum ip_family family);
/* The reverse. False: no name of ours. */
bool nft_collection_find(const char *name, enum nft_collection_id *ret, enum ip_family *ret_family);

struct nft_frame {
        const char *cluster_cidr[FAMILIES]; /* NULL or "": not known, or none */
        const char *service_cidr[FAMILIES];
};
/* Appends the commands that make the frame, in a table that may hold an older one: chains get their
 * rules again, maps and sets keep their elements. -ENOMEM. */
int nft_frame_text(const struct nft_frame *frame, struct buf *out);
/* The number of rules of a chain of the frame; -1: it is none. */
int nft_frame_rules(const struct nft_frame *frame, const char *chain);
/* The name of an empty chain, which says that this very frame is in the kernel. Caller frees. */
char *nft_frame_marker(const struct nft_frame *frame) _warn_unused_;
/* Whether a chain or set has a name of the models, or of another frame's marker: of those that no
 * model has, the table is cleaned. */
bool nft_name_is_of_models(const char *name);

/* Appends the commands that must come before a model's elements change: new sets and chains. old
 * NULL: the empty model. -ENOMEM. */
int model_before(const json_t *old, const json_t *model, struct buf *out);
/* Appends those that must come after it: chains and sets that only the old one has. model may be
 * NULL. -ENOMEM. */
int model_after(const json_t *old, const json_t *model, struct buf *out);
/* Appends the commands that make one set or chain of a model. */
void model_set_text(const char *name, const json_t *set, struct buf *out);
void model_chain_text(const char *name, const json_t *rules, struct buf *out);
/* Calls func for each element in which they differ, first what leaves, then what is new; stops at
 * its first error and returns it. Either model may be NULL. value: "" in a set. */
typedef int (*model_element_func)(bool add, const char *collection, const char *key,
                const char *value, void *userdata);
int model_each_change(
                const json_t *old, const json_t *model, model_element_func func, void *userdata);
