/* How this server reaches the node of a pod, over SSH (docs/names.md), and which container of the
 * pod is meant. */
#pragma once

#include "kapid/api.h"
#include "lib/ssh.h"

/* Everything a thread needs for the connection; owned texts. */
struct node_target {
        char *host, *user, *host_key, *key_file;
        uint16_t port;
};
void node_target_done(struct node_target *t);
/* The node that the pod is bound to. p: it does not exist, did not join, or there is no key. */
int node_target_of_pod(
                struct api *api, const json_t *pod, struct node_target *ret, struct problem *p);
int node_target_of_node(
                struct api *api, const json_t *node, struct node_target *ret, struct problem *p);
/* Connects; blocks for up to ten seconds. p says what was wrong. */
int node_target_open(const struct node_target *t, struct ssh_conn **ret, struct problem *p);

/* The container named `wanted`, or the only one, or with `first` the first one. The name is
 * borrowed from the pod. 400 with p. */
enum container_default { CONTAINER_ONLY, CONTAINER_FIRST };
int pod_choose_container(const json_t *pod, const char *wanted, enum container_default otherwise,
                const char **ret, struct problem *p);
