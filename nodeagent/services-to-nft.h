/* Services and endpoint slices -> nftables, as pure text. A model is what one service (or one local
 * pod) puts into the table; the whole table is the frame plus all models, a change is the
 * difference of two models of the same thing. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"

/* A model: {"sets": {name: timeout_s}, "chains": {name: [rule]}, "elements": {map: {key: verdict or
 * ""}}}. */

/* slices: array of this service's EndpointSlices. node_name tells local endpoints. */
json_t *service_to_model(
                const json_t *service, const json_t *slices, const char *node_name) _warn_unused_;
/* A pod of this node: its address may come back to itself through a service, and its host ports. */
json_t *local_pod_to_model(const char *uid, const char *pod_ip, const json_t *ports) _warn_unused_;

struct nft_frame {
        const char *cluster_cidr;
};
/* The text that replaces the whole table by the frame and these models (borrowed). */
int models_to_ruleset(
                const struct nft_frame *frame, json_t *const *models, size_t n, struct buf *out);
/* The text that turns old into new; nothing when they are equal. NULL is the empty model. */
int model_diff(const json_t *old, const json_t *new_model, struct buf *out);
