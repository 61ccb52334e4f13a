/* What kreconciled and kschedd start with: the daemon's loop, the API client, leader election. */
#pragma once

#include "lib/client/api.h"
#include "lib/daemon.h"

struct frame;

struct frame_options {
        const char *program;
        const char *kubeconfig;
        const char *health_address;
        const char *log_level;
        bool leader_elect;
        /* Called when leadership comes and goes; at once with true when election is off. */
        void (*on_leading)(bool leading, void *userdata);
        /* Why a leader is not ready, or NULL. Whoever stands by is ready. */
        const char *(*not_ready)(void *userdata);
        void *userdata;
};

/* Logs what fails. */
int frame_new(struct frame **ret, const struct frame_options *options);
/* Gives the lease up. */
struct frame *frame_free(struct frame *f);
DEFINE_CLEANUP(struct frame *, frame_free);
struct api_client *frame_client(struct frame *f);
struct daemon *frame_daemon(struct frame *f);
/* Starts the election, tells systemd, runs until the end. The exit code. */
int frame_run(struct frame *f);
