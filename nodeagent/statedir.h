/* The agent's folder on disk: the desired state that brings pods and services back after a reboot
 * without the control plane. Pods and the objects that they use are sealed (AES-256-GCM), because
 * they may contain secrets. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

struct statedir;

/* Creates the folder (0700), the key file and the file with its format (lib/formats.h) when they
 * are missing. A format that is newer than this program's is refused. p names the path and the
 * remedy. */
int statedir_new(struct statedir **ret, const char *dir, struct problem *p);
struct statedir *statedir_free(struct statedir *s);
DEFINE_CLEANUP(struct statedir *, statedir_free);

/* This pod's folder; caller frees. */
char *statedir_pod_dir(const struct statedir *s, const char *uid) _warn_unused_;
/* The desired state: {"pod": object, "resources": {...}}. -ENOENT; -EBADMSG when the file was
 * changed or another machine wrote it. */
int statedir_save_pod(struct statedir *s, const char *uid, const json_t *desired);
int statedir_load_pod(struct statedir *s, const char *uid, json_t **ret);
/* The record of a running pod: address, restart counts, last states. Not sealed. -ENOENT. */
int statedir_save_run(struct statedir *s, const char *uid, const json_t *run);
int statedir_load_run(struct statedir *s, const char *uid, json_t **ret);
/* Deletes the pod's folder with its volumes. 0 also when there is none. */
int statedir_remove_pod(struct statedir *s, const char *uid);
/* Calls func for every pod that has a folder. */
int statedir_each_pod(
                struct statedir *s, void (*func)(const char *uid, void *userdata), void *userdata);
/* Small unsealed documents: "node", "routes". -ENOENT. */
int statedir_save(struct statedir *s, const char *name, const json_t *v);
int statedir_load(struct statedir *s, const char *name, json_t **ret);
