/* SSH through libssh. Host keys come first: a pinned key must match exactly; without one the
 * known_hosts rules hold, and only the caller decides whether an unknown host is taken on trust.
 * Every wait is bounded: libssh's own timeouts for connecting, and poll with deadlines while a
 * command runs. */
#include "lib/ssh.h"

#include <fcntl.h>
#include <libssh/libssh.h>
#include <limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "lib/fileio.h"
#include "lib/timefmt.h"

enum {
        CONNECT_TIMEOUT_S = 10,
        RUN_TIMEOUT_S = 120,
        OUTPUT_SIZE_MAX = 16 << 20,
        TICK_MS = 500,
        WINDOW_TICK_MS = 5
};

struct ssh_conn {
        ssh_session session;
        char *where; /* "root@host" for messages */
        char *host_key, *fingerprint;
};

struct ssh_conn *ssh_conn_free(struct ssh_conn *c) {
        if (!c)
                return NULL;
        if (c->session) {
                ssh_disconnect(c->session);
                ssh_free(c->session);
        }
        free(c->where);
        free(c->host_key);
        free(c->fingerprint);
        free(c);
        return NULL;
}

const char *ssh_conn_host_key(const struct ssh_conn *c) {
        return c->host_key;
}

const char *ssh_conn_fingerprint(const struct ssh_conn *c) {
        return c->fingerprint;
}

static int set_options(struct ssh_conn *c, const struct ssh_target *t) {
        long timeout = t->timeout_s ? (long)t->timeout_s : CONNECT_TIMEOUT_S;
        unsigned port = t->port;
        int off = 0, on = 1;

        /* Keys that are typed into a remote terminal do not wait for each other. */
        (void)ssh_options_set(c->session, SSH_OPTIONS_NODELAY, &on);
        if (ssh_options_set(c->session, SSH_OPTIONS_HOST, t->host) < 0 ||
                        ssh_options_set(c->session, SSH_OPTIONS_TIMEOUT, &timeout) < 0 ||
                        ssh_options_set(c->session, SSH_OPTIONS_USER, t->user ? t->user : "root") <
                                        0)
                return -ENOMEM;
        /* Programs that bring their own identity and pinned key must not depend on a user's
         * ~/.ssh/config. */
        if (t->identity_file && t->host_key)
                (void)ssh_options_set(c->session, SSH_OPTIONS_PROCESS_CONFIG, &off);
        else if (ssh_options_parse_config(c->session, NULL) < 0)
                return -EINVAL;
        /* A LogLevel of that file is meant for ssh; libssh would write to our stderr. */
        ssh_set_log_level(SSH_LOG_NOLOG);
        if ((port && ssh_options_set(c->session, SSH_OPTIONS_PORT, &port) < 0) ||
                        (t->known_hosts_file && ssh_options_set(c->session, SSH_OPTIONS_KNOWNHOSTS,
                                                                t->known_hosts_file) < 0))
                return -ENOMEM;
        return 0;
}

static int read_host_key(struct ssh_conn *c) {
        unsigned char *hash = NULL;
        char *text = NULL, *print;
        ssh_key key = NULL;
        size_t n;
        int r = -ENOMEM;

        if (ssh_get_server_publickey(c->session, &key) != SSH_OK)
                return -EIO;
        if (ssh_pki_export_pubkey_base64(key, &text) == SSH_OK) {
                c->host_key = strformat("%s %s", ssh_key_type_to_char(ssh_key_type(key)), text);
                ssh_string_free_char(text);
        }
        /* ECDSA keys carry their curve in the name ("ecdsa-sha2-nistp256"), which
         * ssh_key_type_to_char leaves out. */
        if (c->host_key && startswith(c->host_key, "ecdsa-sha2 ")) {
                const char *name = ssh_pki_key_ecdsa_name(key);
                char *full = strformat("%s %s", name, c->host_key + strlen("ecdsa-sha2 "));

                free(c->host_key);
                c->host_key = full;
        }
        if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &n) == SSH_OK) {
                print = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, n);
                c->fingerprint = print ? strdup(print) : NULL;
                ssh_string_free_char(print);
                ssh_clean_pubkey_hash(&hash);
        }
        if (c->host_key && c->fingerprint)
                r = 0;
        ssh_key_free(key);
        return r;
}

/* "SHA256:..." of a "type base64" key text, for messages. Caller frees. */
static char *fingerprint_of(const char *host_key) {
        const char *base64 = strchr(host_key, ' ');
        _cleanup_free_ char *body = base64 ? strndup(base64 + 1, strcspn(base64 + 1, " \n")) : NULL;
        unsigned char *hash = NULL;
        ssh_key key = NULL;
        char *text = NULL;
        size_t n;
        _cleanup_free_ char *type = strndup(host_key, strcspn(host_key, " "));

        if (!body || !type ||
                        ssh_pki_import_pubkey_base64(body, ssh_key_type_from_name(type), &key) !=
                                        SSH_OK)
                return strdup("(not a key)");
        if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &n) == SSH_OK) {
                char *print = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, n);

                text = print ? strdup(print) : NULL;
                ssh_string_free_char(print);
                ssh_clean_pubkey_hash(&hash);
        }
        ssh_key_free(key);
        return text;
}

static int check_pinned(struct ssh_conn *c, const struct ssh_target *t, struct problem *p) {
        size_t n = strcspn(t->host_key, "\n");
        const char *comment = strchr(t->host_key, ' ');
        _cleanup_free_ char *want = NULL;

        if (comment && (comment = strchr(comment + 1, ' ')))
                n = (size_t)(comment - t->host_key);
        if (strlen(c->host_key) == n && memcmp(c->host_key, t->host_key, n) == 0)
                return 0;
        want = fingerprint_of(t->host_key);
        return problem_set(p, EKEYREJECTED, 0, NULL,
                        "%s: the host key is not the pinned one: it shows %s, pinned is %s; if the "
                        "machine was reinstalled on purpose, join it again, "
                        "otherwise the connection may be intercepted",
                        c->where, c->fingerprint, strempty(want));
}

static int check_known(struct ssh_conn *c, const struct ssh_target *t, struct problem *p) {
        switch (ssh_session_is_known_server(c->session)) {
        case SSH_KNOWN_HOSTS_OK:
                return 0;
        case SSH_KNOWN_HOSTS_CHANGED:
        case SSH_KNOWN_HOSTS_OTHER:
                return problem_set(p, EKEYREJECTED, 0, NULL,
                                "%s: the host key %s is not the one in known_hosts; if the machine "
                                "was reinstalled on purpose, remove the old line "
                                "with ssh-keygen -R, otherwise the connection may be "
                                "intercepted",
                                c->where, c->fingerprint);
        case SSH_KNOWN_HOSTS_NOT_FOUND:
        case SSH_KNOWN_HOSTS_UNKNOWN:
                if (!t->accept_new_host_key)
                        return problem_set(p, EKEYREJECTED, 0, NULL,
                                        "%s: the host key %s is unknown; connect once with ssh, or "
                                        "allow new host keys",
                                        c->where, c->fingerprint);
                if (ssh_session_update_known_hosts(c->session) != SSH_OK)
                        return problem_set(p, EIO, 0, NULL, "%s: cannot write known_hosts: %s",
                                        c->where, ssh_get_error(c->session));
                return 0;
        default:
                return problem_set(p, EIO, 0, NULL, "%s: cannot check the host key: %s", c->where,
                                ssh_get_error(c->session));
        }
}

static int authenticate(struct ssh_conn *c, const struct ssh_target *t, struct problem *p) {
        int r;

        if (t->identity_file) {
                ssh_key key = NULL;

                r = ssh_pki_import_privkey_file(t->identity_file, NULL, NULL, NULL, &key);
                if (r != SSH_OK)
                        return problem_set(p, EACCES, 0, NULL,
                                        "%s: cannot read the private key %s (missing, unreadable, "
                                        "or encrypted)",
                                        c->where, t->identity_file);
                r = ssh_userauth_publickey(c->session, NULL, key);
                ssh_key_free(key);
        } else
                r = ssh_userauth_publickey_auto(c->session, NULL, NULL);
        if (r == SSH_AUTH_SUCCESS)
                return 0;
        return problem_set(p, EACCES, 0, NULL,
                        "%s: the machine accepts none of the keys offered%s%s; put the public key "
                        "into its authorized_keys",
                        c->where, t->identity_file ? ": " : "", strempty(t->identity_file));
}

int ssh_conn_open(struct ssh_conn **ret, const struct ssh_target *t, struct problem *p) {
        _cleanup_(ssh_conn_freep) struct ssh_conn *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->session = ssh_new();
        c->where = strformat("%s@%s", t->user ? t->user : "root", t->host);
        if (!c->session || !c->where)
                return -ENOMEM;
        r = set_options(c, t);
        if (r < 0)
                return problem_set(p, r, 0, NULL, "%s: cannot set up SSH: %s", c->where,
                                ssh_get_error(c->session));
        if (ssh_connect(c->session) != SSH_OK)
                return problem_set(p, EHOSTUNREACH, 0, NULL,
                                "%s: cannot connect: %s; is the machine up, the address right, "
                                "sshd running?",
                                c->where, ssh_get_error(c->session));
        r = read_host_key(c);
        if (r < 0)
                return problem_set(p, r, 0, NULL, "%s: the server showed no host key", c->where);
        r = t->host_key ? check_pinned(c, t, p) : check_known(c, t, p);
        if (r < 0)
                return r;
        r = authenticate(c, t, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

/* A running command. */
struct run {
        struct ssh_conn *conn;
        ssh_channel channel;
        struct problem *problem;
        uint64_t deadline_us;
        const char *input;
        size_t input_size;
        int input_fd;
        int (*on_output)(bool is_stderr, const char *data, size_t n, void *userdata);
        void *userdata;
};

static int broken(struct run *x) {
        return problem_set(x->problem, ECONNRESET, 0, NULL, "%s: the connection broke: %s",
                        x->conn->where, ssh_get_error(x->conn->session));
}

/* A write failed. When the command has ended, it wants no more, and what it has written is still to
 * be read; libssh calls its channel open until then (ssh_channel_is_closed). 0, or the connection
 * broke. */
static int takes_no_input(struct run *x) {
        return ssh_is_connected(x->conn->session) ? 0 : broken(x);
}

static int open_channel(struct run *x, const char *command) {
        x->channel = ssh_channel_new(x->conn->session);
        if (!x->channel)
                return -ENOMEM;
        if (ssh_channel_open_session(x->channel) != SSH_OK ||
                        ssh_channel_request_exec(x->channel, command) != SSH_OK)
                return problem_set(x->problem, EIO, 0, NULL,
                                "%s: the machine refuses to run a command: %s", x->conn->where,
                                ssh_get_error(x->conn->session));
        return 0;
}

/* Passes the data of one of the two outputs to the caller. 1 when there was some. */
static int drain(struct run *x, bool is_stderr) {
        char piece[32768];
        int n = ssh_channel_read_nonblocking(x->channel, piece, sizeof(piece), is_stderr);

        if (n == SSH_ERROR)
                return broken(x);
        if (n <= 0)
                return 0;
        int r = x->on_output(is_stderr, piece, (size_t)n, x->userdata);
        return r < 0 ? r : 1;
}

/* Writes at most one window of input. 1 while there is more. */
static int feed(struct run *x, char *piece, size_t size, size_t *have, size_t *sent, bool *ended) {
        if (*sent == *have && !*ended) {
                ssize_t n;

                *sent = *have = 0;
                if (x->input_fd >= 0) {
                        n = read(x->input_fd, piece, size);
                        if (n < 0)
                                return -errno;
                } else {
                        n = (ssize_t)MIN(x->input_size, size);
                        if (n > 0) {
                                memcpy(piece, x->input, (size_t)n);
                                x->input += n;
                                x->input_size -= (size_t)n;
                        }
                }
                *have = (size_t)n;
                if (n == 0) {
                        *ended = true;
                        if (ssh_channel_send_eof(x->channel) != SSH_OK)
                                return takes_no_input(x);
                }
        }
        if (*ended)
                return 0;
        uint32_t window = ssh_channel_window_size(x->channel);
        if (window == 0)
                return 0;
        int n = ssh_channel_write(
                        x->channel, piece + *sent, (uint32_t)MIN(*have - *sent, (size_t)window));
        if (n == SSH_ERROR) {
                *ended = true;
                return takes_no_input(x);
        }
        *sent += (size_t)n;
        return 1;
}

static int loop(struct run *x) {
        size_t have = 0, sent = 0;
        bool ended = false;
        char piece[65536];

        for (;;) {
                int r = feed(x, piece, sizeof(piece), &have, &sent, &ended), a, b;

                if (r < 0)
                        return r;
                a = drain(x, false);
                if (a < 0)
                        return a;
                b = drain(x, true);
                if (b < 0)
                        return b;
                if (a > 0 || b > 0 || r > 0)
                        continue;
                if (ssh_channel_is_eof(x->channel) || ssh_channel_is_closed(x->channel))
                        return 0;
                if (now_mono_us() > x->deadline_us)
                        return problem_set(x->problem, ETIMEDOUT, 0, NULL,
                                        "%s: a command did not end in time", x->conn->where);
                r = x->on_output(false, NULL, 0, x->userdata); /* the caller's chance to stop */
                if (r < 0)
                        return r;
                /* libssh reports data only, not a window that opened: check again soon while
                 * input waits. */
                if (ssh_channel_poll_timeout(x->channel, ended ? TICK_MS : WINDOW_TICK_MS, 0) ==
                                SSH_ERROR)
                        return broken(x);
        }
}

/* -1: it was ended by a signal, or none came. libssh 0.11 has another call for it. */
static int exit_status(ssh_channel channel) {
#if LIBSSH_VERSION_INT >= SSH_VERSION_INT(0, 11, 0)
        char *signal = NULL;
        uint32_t code = 0;
        int r = ssh_channel_get_exit_state(channel, &code, &signal, NULL);
        bool ended = r == SSH_OK && !signal && code <= INT_MAX;

        ssh_string_free_char(signal);
        return ended ? (int)code : -1;
#else
        return ssh_channel_get_exit_status(channel);
#endif
}

/* -1 as a status: the command was killed by a signal, or the machine went down. */
static int run_to_end(struct run *x, const char *command, int *ret_status) {
        int r = open_channel(x, command);

        if (r < 0)
                return r;
        r = loop(x);
        if (r < 0)
                return r;
        /* The status may follow the end of the output. */
        for (unsigned i = 0; i < 10 && !ssh_channel_is_closed(x->channel); i++)
                (void)ssh_channel_poll_timeout(x->channel, TICK_MS, 0);
        *ret_status = exit_status(x->channel);
        return 0;
}

static int run(struct run *x, const char *command, int *ret_status) {
        int status = -1, r = run_to_end(x, command, &status);

        if (x->channel) {
                ssh_channel_close(x->channel);
                ssh_channel_free(x->channel);
        }
        if (r < 0)
                return r;
        *ret_status = status < 0 ? 128 : status;
        return 0;
}

struct collect {
        struct buf *out[2];
        size_t total[2];
};

static int on_collect(bool is_stderr, const char *data, size_t n, void *userdata) {
        struct collect *c = userdata;

        c->total[is_stderr] += n;
        if (n == 0 || !c->out[is_stderr])
                return 0;
        return c->total[is_stderr] > OUTPUT_SIZE_MAX ? -EFBIG
                                                     : buf_append(c->out[is_stderr], data, n);
}

static uint64_t deadline(unsigned timeout_s) {
        return now_mono_us() + (timeout_s ? timeout_s : RUN_TIMEOUT_S) * 1000000ull;
}

int ssh_conn_run(struct ssh_conn *c, const char *command, const void *input, size_t input_size,
                unsigned timeout_s, struct buf *ret_stdout, struct buf *ret_stderr, int *ret_status,
                struct problem *p) {
        struct collect collect = {{ret_stdout, ret_stderr}, {0}};
        struct run r = {.conn = c,
                        .problem = p,
                        .deadline_us = deadline(timeout_s),
                        .input = input,
                        .input_size = input_size,
                        .input_fd = -EBADF,
                        .on_output = on_collect,
                        .userdata = &collect};

        return run(&r, command, ret_status);
}

int ssh_conn_feed(struct ssh_conn *c, const char *command, int fd, unsigned timeout_s,
                struct buf *ret_stderr, int *ret_status, struct problem *p) {
        struct collect collect = {{NULL, ret_stderr}, {0}};
        struct run r = {.conn = c,
                        .problem = p,
                        .deadline_us = deadline(timeout_s),
                        .input_fd = fd,
                        .on_output = on_collect,
                        .userdata = &collect};

        return run(&r, command, ret_status);
}

int ssh_conn_pipe(struct ssh_conn *c, const char *command, int fd,
                int (*on_output)(bool is_stderr, const char *data, size_t n, void *userdata),
                void *userdata, int *ret_status, struct problem *p) {
        struct run r = {.conn = c,
                        .problem = p,
                        .deadline_us = UINT64_MAX,
                        .input_fd = fd,
                        .on_output = on_output,
                        .userdata = userdata};

        return run(&r, command, ret_status);
}

int ssh_conn_stream(struct ssh_conn *c, const char *command,
                int (*on_output)(bool is_stderr, const char *data, size_t n, void *userdata),
                void *userdata, int *ret_status, struct problem *p) {
        return ssh_conn_pipe(c, command, /* fd= */ -EBADF, on_output, userdata, ret_status, p);
}

/* ---- bytes both ways ---- */

enum { RELAY_PIECE = 32 << 10, RELAY_STDERR_MAX = 4096 };

struct relay {
        struct run run;
        int fd;
        struct buf *errors;
        char in[RELAY_PIECE], out[RELAY_PIECE]; /* to the command, from it */
        size_t in_at, in_size, out_at, out_size;
        bool in_ended, out_ended;
        uint64_t last_us; /* when the command must have ended; 0: not yet known */
};

/* The relay's steps return 1 when bytes moved, 0 when none could. */
static int relay_read_socket(struct relay *y) {
        ssize_t n;

        if (y->in_ended || y->in_size > 0)
                return 0;
        n = read(y->fd, y->in, sizeof(y->in));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0) {
                y->in_at = 0;
                y->in_size = (size_t)n;
                return 1;
        }
        y->in_ended = true;
        y->last_us = now_mono_us() + SSH_RELAY_LAST_MS * 1000;
        if (!ssh_channel_is_closed(y->run.channel) &&
                        ssh_channel_send_eof(y->run.channel) != SSH_OK)
                return takes_no_input(&y->run);
        return 1;
}

static int relay_write_channel(struct relay *y) {
        uint32_t window = ssh_channel_window_size(y->run.channel);
        int n;

        if (y->in_size == 0 || window == 0)
                return 0;
        n = ssh_channel_write(y->run.channel, y->in + y->in_at,
                        (uint32_t)MIN(y->in_size, (size_t)window));
        if (n == SSH_ERROR) {
                y->in_size = 0;
                return takes_no_input(&y->run);
        }
        y->in_at += (size_t)n;
        y->in_size -= (size_t)n;
        return n > 0;
}

static int relay_read_channel(struct relay *y) {
        char text[1024];
        int n;

        n = ssh_channel_read_nonblocking(y->run.channel, text, sizeof(text), /* is_stderr= */ 1);
        if (n > 0 && y->errors->size < RELAY_STDERR_MAX)
                (void)buf_append(y->errors, text,
                                MIN((size_t)n, RELAY_STDERR_MAX - y->errors->size));
        if (y->out_size > 0 || y->out_ended)
                return n > 0;
        n = ssh_channel_read_nonblocking(
                        y->run.channel, y->out, sizeof(y->out), /* is_stderr= */ 0);
        if (n == SSH_ERROR)
                return broken(&y->run);
        if (n > 0) {
                y->out_at = 0;
                y->out_size = (size_t)n;
                return 1;
        }
        if (ssh_channel_is_eof(y->run.channel) || ssh_channel_is_closed(y->run.channel))
                y->out_ended = true;
        return 0;
}

static int relay_write_socket(struct relay *y) {
        ssize_t n;

        if (y->out_size == 0)
                return 0;
        n = send(y->fd, y->out + y->out_at, y->out_size, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n < 0)
                return -errno;
        y->out_at += (size_t)n;
        y->out_size -= (size_t)n;
        return 1;
}

static void relay_wait(struct relay *y) {
        struct pollfd p[] = {{.fd = ssh_get_fd(y->run.conn->session), .events = POLLIN},
                        {.fd = y->in_ended && y->out_size == 0 ? -1 : y->fd}};

        if (!y->in_ended && y->in_size == 0)
                p[1].events |= POLLIN;
        if (y->out_size > 0)
                p[1].events |= POLLOUT;
        (void)poll(p, ELEMENTS(p), TICK_MS);
}

static int relay_loop(struct relay *y) {
        int (*const steps[])(struct relay * relay) = {relay_read_channel, relay_write_socket,
                        relay_read_socket, relay_write_channel};

        for (;;) {
                bool moved = false;

                for (size_t i = 0; i < ELEMENTS(steps); i++) {
                        int r = steps[i](y);

                        if (r < 0)
                                return r;
                        moved = moved || r > 0;
                }
                if (y->out_ended && y->out_size == 0)
                        return 0;
                if (y->last_us && now_mono_us() > y->last_us)
                        return -ETIMEDOUT;
                if (!moved)
                        relay_wait(y);
        }
}

static int relay_to_end(struct relay *y, const char *command, int *ret_status) {
        int r = open_channel(&y->run, command);

        if (r < 0)
                return r;
        r = relay_loop(y);
        if (r < 0)
                return r;
        /* The status may follow the end of the output. */
        for (unsigned i = 0; i < 10 && !ssh_channel_is_closed(y->run.channel); i++)
                (void)ssh_channel_poll_timeout(y->run.channel, TICK_MS, 0);
        *ret_status = exit_status(y->run.channel);
        return 0;
}

int ssh_conn_relay(struct ssh_conn *c, const char *command, int fd, struct buf *ret_stderr,
                int *ret_status, struct problem *p) {
        _cleanup_free_ struct relay *y = calloc(1, sizeof(*y));
        int r;

        if (!y)
                return -ENOMEM;
        y->run.conn = c;
        y->run.problem = p;
        y->fd = fd;
        y->errors = ret_stderr;
        r = relay_to_end(y, command, ret_status);
        if (y->run.channel) {
                ssh_channel_close(y->run.channel);
                ssh_channel_free(y->run.channel);
        }
        return r;
}

/* libssh 0.10 writes private keys to files only: through a memory file. */
static int private_text(ssh_key key, char **ret) {
        _cleanup_close_ int fd = memfd_create("ssh-key", MFD_CLOEXEC);
        char path[64];

        if (fd < 0)
                return -errno;
        snprintf(path, sizeof(path), "/proc/self/fd/%i", fd);
        if (ssh_pki_export_privkey_file(key, NULL, NULL, NULL, path) != SSH_OK)
                return -EIO;
        return file_read(path, 65536, ret, NULL);
}

int ssh_key_pair_new(const char *comment, char **ret_private, char **ret_public) {
        _cleanup_free_ char *private = NULL, *public = NULL;
        ssh_key key = NULL;
        char *text = NULL;
        int r = -EIO;

        if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) != SSH_OK)
                return -EIO;
        if (ssh_pki_export_pubkey_base64(key, &text) == SSH_OK) {
                public = strformat("ssh-ed25519 %s %s", text, comment);
                ssh_string_free_char(text);
                r = public ? private_text(key, &private) : -ENOMEM;
        }
        ssh_key_free(key);
        if (r < 0)
                return r;
        *ret_private = TAKE_PTR(private);
        *ret_public = TAKE_PTR(public);
        return 0;
}

char *shell_quote(const char *s) {
        _cleanup_buf_ struct buf b = {0};

        buf_append_char(&b, '\'');
        for (; *s; s++)
                if (*s == '\'')
                        buf_append_str(&b, "'\\''");
                else
                        buf_append_char(&b, *s);
        buf_append_char(&b, '\'');
        return buf_take(&b);
}
