/* A machine that kctl works on as root: this one, or one over SSH. Commands run through the shell
 * there. */
#pragma once

#include "kctl/kctl.h"
#include "lib/address.h"
#include "lib/buf.h"

struct machine;

/* where: "user@host[:port]", or NULL for this machine (which needs root). host_key: the only one to
 * accept, or NULL: known_hosts decides. p says what to do about a failure. */
int machine_open(struct machine **ret, struct kctl *k, const char *where, const char *host_key,
                struct problem *p);
struct machine *machine_free(struct machine *m);
DEFINE_CLEANUP(struct machine *, machine_free);
const char *machine_name(const struct machine *m);     /* as it was given; "this machine" */
const char *machine_host_key(const struct machine *m); /* NULL for this machine */
const char *machine_user(const struct machine *m);
uint16_t machine_port(const struct machine *m);

/* Runs a command (through sudo where the user is not root); an exit status other than 0 is an error
 * with the tail of its output. ret_stdout may be NULL. */
int machine_run(struct machine *m, const char *command, const void *input, size_t input_size,
                unsigned timeout_s, struct buf *ret_stdout, struct problem *p);
/* The same, but any exit status is a success. */
int machine_try(struct machine *m, const char *command, const void *input, size_t input_size,
                unsigned timeout_s, struct buf *ret_stdout, struct buf *ret_stderr, int *ret_status,
                struct problem *p);
/* The same on a machine over SSH: the output is passed on as it arrives (lib/ssh.h), or the input
 * is a file. */
int machine_stream(struct machine *m, const char *command,
                int (*on_output)(bool is_stderr, const char *data, size_t n, void *userdata),
                void *userdata, int *ret_status, struct problem *p);
int machine_feed(struct machine *m, const char *command, int fd, unsigned timeout_s,
                struct buf *ret_stderr, int *ret_status, struct problem *p);
int machine_pipe(struct machine *m, const char *command, int fd,
                int (*on_output)(bool is_stderr, const char *data, size_t n, void *userdata),
                void *userdata, int *ret_status, struct problem *p);
/* The machine of a Node, reached as kapid does: by its address and annotations. */
int machine_open_node(struct machine **ret, struct kctl *k, const json_t *node, struct problem *p);
/* A command of this machine's shell; needs no machine. */
int local_run(const char *command, const void *input, size_t input_size, unsigned timeout_s,
                struct buf *out, struct buf *err, int *ret_status, struct problem *p);
/* Waits until the API of a control plane answers that it is ready. Ends before --timeout when a
 * daemon cannot start, and prints the state of the units at its end. k gets the client. (up.c) */
int machine_wait_ready(
                struct kctl *k, struct machine *m, const char *config_path, struct problem *p);
/* Whether a daemon of the control plane there ends again and again: -EIO, p has its own words; 0.
 * (units-failing.c) */
int machine_units_failing(struct machine *m, struct problem *p);
/* Writes a file there, atomically, with this mode (octal text). */
int machine_put(struct machine *m, const char *path, const char *mode, const char *text,
                struct problem *p);
/* A bundle's file, read whole. */
struct bundle {
        const char *name; /* "control", "agent"; borrowed */
        char *path, *data;
        size_t size;
        char hash[65];
};
void bundle_done(struct bundle *b);
/* folder NULL: $KEELSON_BUNDLE_DIR, beside the kctl of the build or of a package, or where the
 * build installs it. */
int bundle_read(struct bundle *ret, const char *folder, const char *name, struct problem *p);
/* Unpacks a bundle into /opt/keelson unless it is installed already. 1 when it was copied.
 * Programs that do not run on the machine (its C library or libsystemd is older than this build's)
 * are refused with -ENOTSUP before anything is replaced. With --packages apt does it. */
int machine_install_bundle(struct machine *m, const char *name, struct problem *p);
/* The same with a bundle that was read. upgrade: the id of the upgrade that it is part of; the
 * files that it replaces are kept for a rollback of that one. NULL: they are not. */
int machine_unpack_bundle(struct machine *m, const struct bundle *b, const char *upgrade,
                struct problem *p);

/* Facts of the machine as inspected; strings owned. */
struct facts {
        char *hostname, *arch, *machine_id;
        char *address;  /* at which it was reached; "": not known */
        char *address6; /* one of IPv6; "": it has none */
        unsigned systemd;
        bool has_nft, has_control, has_agent;
        int64_t clock_skew_s;
};
/* The address at which others reach it, in a cluster whose first family is this one. Borrowed. */
const char *facts_address(const struct facts *f, enum ip_family family);
void facts_done(struct facts *f);
#define _cleanup_facts_ _cleanup_(facts_done)
/* Refuses machines that can't serve: no root, systemd too old or not PID 1, another architecture,
 * tar missing; for nodes also nft missing. */
int machine_inspect(struct machine *m, bool for_node, struct facts *ret, struct problem *p);
