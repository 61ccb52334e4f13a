/* SSH through libssh: connect with a pinned or a known host key, run commands, copy bytes. Blocking
 * calls; daemons use them from a thread of their own (kapid's streams). */
#pragma once

#include "lib/buf.h"
#include "lib/problem.h"

struct ssh_conn;

struct ssh_target {
        const char *host;          /* name or address */
        uint16_t port;             /* 0: 22 */
        const char *user;          /* NULL: root */
        const char *identity_file; /* private key path; NULL: agent and ~/.ssh defaults,
                                      ~/.ssh/config is honoured */
        const char *host_key;     /* "ssh-ed25519 AAAA...": the only key accepted; NULL: known_hosts
                                     rules */
        bool accept_new_host_key; /* with host_key NULL: an unknown host's key is accepted and
                                     reported (never a changed one) */
        const char *known_hosts_file; /* NULL: ~/.ssh/known_hosts */
        unsigned timeout_s;           /* connect and authenticate; 0: 10 */
};

/* p names host, step and remedy: unreachable, refused, wrong host key (both fingerprints), no key
 * accepted. */
int ssh_conn_open(struct ssh_conn **ret, const struct ssh_target *target, struct problem *p);
struct ssh_conn *ssh_conn_free(struct ssh_conn *c);
DEFINE_CLEANUP(struct ssh_conn *, ssh_conn_free);
/* The server's key in "type base64" form and its SHA256 fingerprint; borrowed. */
const char *ssh_conn_host_key(const struct ssh_conn *c);
const char *ssh_conn_fingerprint(const struct ssh_conn *c);
/* Runs a command with input; collects at most 16 MiB of each output. The exit status is in
 * ret_status (128+n on signal). Outputs may be NULL. -ETIMEDOUT after timeout_s (0: 120). */
int ssh_conn_run(struct ssh_conn *c, const char *command, const void *input, size_t input_size,
                unsigned timeout_s, struct buf *ret_stdout, struct buf *ret_stderr, int *ret_status,
                struct problem *p);
/* Runs a command feeding it a local file descriptor to its end (bundle copies). */
int ssh_conn_feed(struct ssh_conn *c, const char *command, int fd, unsigned timeout_s,
                struct buf *ret_stderr, int *ret_status, struct problem *p);
/* Runs a command and hands each piece of its output over as it comes, until it ends or the function
 * returns negative. The function is called at least once a second, also with n = 0, so that it can
 * stop. */
int ssh_conn_stream(struct ssh_conn *c, const char *command,
                int (*on_output)(bool is_stderr, const char *data, size_t n, void *userdata),
                void *userdata, int *ret_status, struct problem *p);
/* Both: the descriptor is fed to its end, also a pipe, and the output is handed over as it comes.
 */
int ssh_conn_pipe(struct ssh_conn *c, const char *command, int fd,
                int (*on_output)(bool is_stderr, const char *data, size_t n, void *userdata),
                void *userdata, int *ret_status, struct problem *p);
/* Runs a command and carries bytes between it and a connected, non-blocking socket, until the
 * command ends. When the other side of the socket ends, so does the command's input, and the
 * command has SSH_RELAY_LAST_MS to end too. At most a window of its output (about 2 MiB) waits in
 * libssh. At most 4 KiB of standard error are collected. */
enum { SSH_RELAY_LAST_MS = 5000 };
int ssh_conn_relay(struct ssh_conn *c, const char *command, int fd, struct buf *ret_stderr,
                int *ret_status, struct problem *p);
/* Makes an ed25519 key pair: the private key as an OpenSSH file's text, the public one as
 * "ssh-ed25519 AAAA... comment". Caller frees both. */
int ssh_key_pair_new(const char *comment, char **ret_private, char **ret_public);
/* Quotes one word for the remote shell; caller frees. */
char *shell_quote(const char *s) _warn_unused_;
