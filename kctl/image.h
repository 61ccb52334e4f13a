/* Shared by the verbs of kctl image: work on many nodes at once, a process for each. */
#pragma once

#include "kctl/machine.h"

/* The program on a node that reads images (nodeagent/image/job.h: requests and answers). */
#define IMAGE_PROGRAM_PATH "/opt/keelson/bin/keelson-image"
#define IMAGE_AGENT_PATH "/opt/keelson/bin/knodeagent"

/* One node's share of a verb, in its own process. */
struct image_node {
        struct kctl *k;
        struct machine *machine;
        const char *name; /* of the node */
        int file;         /* for what the parent reads afterwards */
};
/* 0, or an error with p. userdata: the verb's. */
typedef int (*image_node_func)(struct image_node *n, const void *userdata, struct problem *p);

/* The nodes of the words from `from` on, of --selector, or all with --all; an array, the caller
 * unrefs. -EINVAL with p: none is named. */
int image_nodes(struct kctl *k, size_t from, bool default_all, json_t **ret, struct problem *p);
/* Runs it on each node, a few at once. on_result: gets what a node's process has written to its
 * file; may be NULL. Errors are printed. Returns an exit code. */
int image_on_nodes(struct kctl *k, const json_t *nodes, image_node_func run, const void *userdata,
                void (*on_result)(const char *node, const char *text, size_t n, void *result),
                void *result);
/* Runs keelson-image on the node with a descriptor that holds the request and what follows it, and
 * prints its progress. 0, or an error with p. */
int image_request(struct image_node *n, int fd, struct problem *p);
