/* What pull and import share: a request, its answers, and layers on their way into the store. */
#pragma once

#include "nodeagent/image/limits.h"
#include "nodeagent/image/manifest.h"
#include "nodeagent/image/store.h"

struct image_request {
        const json_t *json; /* as in job.h */
        struct image_store *store;
        struct image_limits limits;
        struct image_platform platform;
        uint64_t deadline_us; /* of the monotonic clock */
        int out;              /* of the answers */
        /* The current step, for progress. */
        const char *phase;
        size_t layer, layers;
        uint64_t total;
};

/* Begins a step: progress of child processes is answered with these words. */
void request_step(struct image_request *q, const char *phase, size_t layer, uint64_t total);
/* For struct image_child_options.on_progress, with a struct image_request. */
void request_progress(const json_t *answer, void *userdata);
/* {"type": "image"} with the record. */
int request_answer_image(struct image_request *q, const json_t *record, bool already);

/* Unpacks an archive of images (not a layer) from the descriptor into the folder, in a sandbox. */
int add_extract(struct image_request *q, int blob, int folder, struct problem *p);

/* Brings every layer of the record into the ingest, unless the store has it: open_blob returns a
 * descriptor at the layer's beginning, which is the caller's own (-errno with p). */
typedef int (*add_open_blob)(size_t index, void *userdata, struct problem *p);
int add_layers(struct image_request *q, struct image_ingest *ingest, const json_t *record,
                add_open_blob open_blob, void *userdata, struct problem *p);
/* The record: the configuration's members with id, digest and pinned. *ret: a new reference. */
int add_record(const json_t *config, const char *id, const char *digest, bool pinned, json_t **ret);

/* The actions; each answers everything but the last line. 0, -errno with p. */
int pull_image(struct image_request *q, struct problem *p);
int import_images(struct image_request *q, struct problem *p);
