/* The common parts of kreconciled, kschedd and kgitd: the flags, the daemon's loop, the API client,
 * leader election. Their main.c is a table of further flags, and wiring. */
#pragma once

#include "lib/client/api.h"
#include "lib/daemon.h"
#include "lib/options.h"

struct program;

/* The flags that all of them have. The struct of a program's flags begins with it. */
struct program_flags {
        char *kubeconfig, *health_address, *log_level;
        bool leader_elect;
};

struct program_entry {
        const char *name;              /* also that of the lease in kube-system */
        const char *summary;           /* one sentence, for --help */
        const struct option_row *rows; /* the flags beside the common ones */
        size_t row_count;
        struct program_flags *flags; /* zeroed */
        /* Runs it; returns the exit code. */
        int (*run)(struct program_flags *flags);
};
/* Reads flags and configuration, sets up logging, runs. The exit code: 2 for wrong flags. */
int program_main(int argc, char **argv, const struct program_entry *entry);

struct program_options {
        const char *name;
        const char *lease; /* in kube-system; NULL: name */
        const struct program_flags *flags; /* borrowed */
        /* Called when leadership comes and goes; at once with true when election is off. */
        void (*on_leading)(bool leading, void *userdata);
        /* Why it is not ready, as leader or standing by, or NULL. */
        const char *(*not_ready)(bool leading, void *userdata);
        void *userdata;
};

/* The loop, the client, the health listener. Logs failures. */
int program_new(struct program **ret, const struct program_options *options);
/* Gives the lease up. */
struct program *program_free(struct program *p);
DEFINE_CLEANUP(struct program *, program_free);
struct api_client *program_client(struct program *p);
struct daemon *program_daemon(struct program *p);
/* Starts the election, reports ready to systemd, runs until the end. The exit code. */
int program_run(struct program *p);
