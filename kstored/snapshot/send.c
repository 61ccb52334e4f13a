/* A whole state for a member that fell behind what the log still holds: what is in memory is
 * written, the database is copied on a thread, and the copy is streamed on a connection of its own,
 * a piece at a time as the other takes them. One at a time; another member waits its turn. The copy
 * begins anew when something goes wrong. */
#include "kstored/server/server.h"
#include "kstored/snapshot/state-file.h"
#include "lib/log.h"

enum { STALL_MS = 30000, REPLY_MS = 600000 };

enum phase { PHASE_FLUSH, PHASE_COPY, PHASE_SEND, PHASE_REPLY };

struct sending {
        struct server *server;
        uint64_t to;
        enum phase phase;
        struct state_file file;
        uint64_t size, offset;
        uint64_t index; /* what the copy holds */
        uint64_t term;
        uint64_t end_ms;
        struct grpc_channel *channel;
        struct grpc_client_call *call;
};

static void sending_free(struct sending *x) {
        grpc_client_call_cancel(x->call);
        grpc_channel_free(x->channel);
        state_file_done(&x->file);
        free(x);
}

static void tell_core(struct server *s, uint64_t to, uint64_t index, bool failed) {
        struct raft_message m = {.type = RAFT_MSG_SNAPSHOT_STATUS,
                        .from = to,
                        .to = s->member_id,
                        .log_index = index,
                        .reject = failed};

        replica_step(s->replica, &m);
}

static void finish(struct sending *x, const char *why) {
        struct server *s = x->server;

        if (why)
                log_warning("The state for member %llx did not arrive: %s",
                                (unsigned long long)x->to, why);
        else
                log_info("Member %llx has the state of log index %llu (%llu bytes)",
                                (unsigned long long)x->to, (unsigned long long)x->index,
                                (unsigned long long)x->size);
        s->sending = NULL;
        s->replica->keep_after = 0;
        tell_core(s, x->to, x->index, why);
        sending_free(x);
}

static void send_last(struct sending *x) {
        uint8_t digest[STATE_FILE_DIGEST];
        _cleanup_buf_ struct buf b = {0};

        sha256_take(x->file.hash, digest);
        wire_bytes(&b, 4, digest, sizeof(digest));
        x->phase = PHASE_REPLY;
        x->end_ms = server_now_ms() + REPLY_MS; /* it loads the state before it answers */
        if (b.failed || grpc_client_call_send(x->call, b.data, b.size) < 0 ||
                        grpc_client_call_half_close(x->call) < 0)
                finish(x, "out of memory");
}

static void on_drained(struct grpc_client_call *call, void *userdata) {
        struct sending *x = userdata;
        _cleanup_free_ char *piece = NULL;
        _cleanup_buf_ struct buf b = {0};
        ssize_t n;

        if (x->phase != PHASE_SEND)
                return;
        if (x->offset == x->size) {
                send_last(x);
                return;
        }
        piece = malloc(PEER_SNAPSHOT_PIECE);
        n = piece ? pread(x->file.fd, piece, PEER_SNAPSHOT_PIECE, (off_t)x->offset) : -1;
        if (n <= 0) {
                finish(x, "its copy cannot be read");
                return;
        }
        sha256_add(x->file.hash, piece, (size_t)n);
        wire_uint(&b, 5, x->offset);
        wire_bytes(&b, 6, piece, (size_t)n);
        x->offset += (uint64_t)n;
        x->end_ms = server_now_ms() + STALL_MS;
        if (b.failed || grpc_client_call_send(call, b.data, b.size) < 0)
                finish(x, "out of memory");
}

static void on_answer(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct sending *x = userdata;
        Keelsonpeer__SnapshotInstalled *a = keelsonpeer__snapshot_installed__unpack(NULL, n, data);
        _cleanup_free_ char *why = NULL;

        if (!a)
                return;
        if (!a->accepted)
                why = strdup(isempty(a->reason) ? "refused" : a->reason);
        keelsonpeer__snapshot_installed__free_unpacked(a, NULL);
        x->call = grpc_client_call_cancel(call);
        finish(x, why);
}

static void on_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct sending *x = userdata;

        x->call = NULL;
        finish(x, isempty(message) ? "the other ended it" : message);
}

static int send_first(struct sending *x) {
        struct server *s = x->server;
        struct raft_status status;
        struct peer_hello hello = {.cluster_id = s->cluster_id,
                        .from = s->member_id,
                        .to = x->to,
                        .config_index = raft_get_config(s->raft)->index};
        struct raft_message m = {.type = RAFT_MSG_SNAPSHOT,
                        .from = s->member_id,
                        .to = x->to,
                        .log_index = x->index,
                        .log_term = x->term};
        _cleanup_buf_ struct buf b = {0};

        raft_get_status(s->raft, &status);
        m.term = status.term;
        peer_wire_hello(&b, 1, &hello);
        peer_wire_message(&b, 2, &m);
        wire_uint(&b, 3, x->size);
        peer_wire_terms(&b, 7, s->state->term_starts, s->state->term_start_count);
        return b.failed ? -ENOMEM : grpc_client_call_send(x->call, b.data, b.size);
}

static int open_copy(struct sending *x) {
        uint64_t numbers[DISK_NUMBERS];
        _cleanup_problem_ struct problem p = {0};
        int r = disk_peek(x->file.path, numbers, &p);

        if (r < 0)
                return r;
        x->index = numbers[DISK_APPLIED];
        x->term = numbers[DISK_APPLIED_TERM];
        return state_file_open(&x->file, &x->size);
}

static void on_copied(int result, void *userdata) {
        struct sending *x = userdata;
        struct grpc_client_call_options o = {.path = "/keelsonpeer.Peer/InstallSnapshot",
                        .timeout_us = UINT64_MAX,
                        .on_message = on_answer,
                        .on_done = on_done,
                        .on_drained = on_drained,
                        .userdata = x};
        int r = result;

        if (r >= 0)
                r = open_copy(x);
        if (r >= 0)
                r = peers_dial(x->server->peers, x->to, &x->channel);
        if (r >= 0)
                r = grpc_client_call_start(x->channel, &o, &x->call);
        if (r >= 0)
                r = send_first(x);
        if (r < 0) {
                finish(x, r == -ENOSPC ? "no space for a copy in the data directory"
                                       : strerror(-r));
                return;
        }
        x->phase = PHASE_SEND;
        x->end_ms = server_now_ms() + STALL_MS;
}

static int run_copy(void *userdata) {
        struct sending *x = userdata;

        return disk_copy(x->server->disk, x->file.path);
}

void snapshot_wanted(struct server *s, uint64_t to) {
        struct sending *x;

        if (s->sending) {
                /* Failed at once, the core asks again with a later heartbeat. */
                if (s->sending->to != to)
                        tell_core(s, to, 0, true);
                return;
        }
        x = calloc(1, sizeof(*x));
        if (x) {
                x->file.fd = -EBADF;
                x->server = s;
                x->to = to;
                x->file.path = strformat("%s.send", disk_path(s->disk));
                x->end_ms = server_now_ms() + STALL_MS;
        }
        if (!x || !x->file.path) {
                free(x);
                tell_core(s, to, 0, true);
                return;
        }
        s->sending = x;
        log_info("Member %llx is behind the log: sending it the whole state",
                        (unsigned long long)to);
}

void snapshot_send_turn(struct server *s, uint64_t now_ms) {
        struct sending *x = s->sending;

        if (!x)
                return;
        if (x->phase == PHASE_FLUSH && replica_flush(s->replica)) {
                (void)unlink(x->file.path); /* of a run that was cut off */
                if (worker_submit(s->keeper, run_copy, on_copied, x) < 0) {
                        finish(x, "too much else to do");
                        return;
                }
                x->phase = PHASE_COPY;
                /* From here on the log is kept, so that what follows need not be a state again. */
                s->replica->keep_after = s->state->applied;
        }
        if (x->phase != PHASE_COPY && now_ms >= x->end_ms)
                finish(x, "it does not go on");
        else if (x->phase != PHASE_COPY && !server_is_leader(s))
                finish(x, "this member does not lead any more");
}

void snapshot_send_end(struct server *s) {
        struct sending *x = s->sending;

        if (!x)
                return;
        s->sending = NULL;
        sending_free(x);
}
