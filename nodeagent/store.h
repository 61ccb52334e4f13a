/* What the agent keeps on disk, so that pods and services come back after a reboot without the
 * control plane. Pods and what they use are sealed (AES-256-GCM), because they may hold secrets. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

struct store;

/* Makes the folder (0700) and the key file when missing. p names the path and the remedy. */
int store_new(struct store **ret, const char *dir, struct problem *p);
struct store *store_free(struct store *s);
DEFINE_CLEANUP(struct store *, store_free);

/* This pod's folder; caller frees. */
char *store_pod_dir(const struct store *s, const char *uid) _warn_unused_;
/* {"pod": object, "resources": {...}} */
int store_save_pod(struct store *s, const char *uid, const json_t *desired);
int store_load_pod(struct store *s, const char *uid, json_t **ret);
/* The running record: address, restart counts, last states. */
int store_save_run(struct store *s, const char *uid, const json_t *run);
int store_load_run(struct store *s, const char *uid, json_t **ret);
int store_remove_pod(struct store *s, const char *uid);
int store_each_pod(struct store *s, void (*func)(const char *uid, void *userdata), void *userdata);
/* Small unsealed documents: "node", "services". -ENOENT. */
int store_save(struct store *s, const char *name, const json_t *v);
int store_load(struct store *s, const char *name, json_t **ret);
