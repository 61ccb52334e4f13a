/* A whole state for a member that fell behind the log: changes that are only in memory are
 * written, the database is copied on a thread, and the copy is streamed over its own connection,
 * a piece at a time as the other takes them. One at a time; another member waits its turn. After an
 * error the copy starts again from its beginning. */
#include "kstored/snapshot/send.h"

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

struct snapshot_send {
        uint64_t wanted_by;      /* a member, as of the core; 0: none */
        struct sending *sending; /* NULL: none under way */
};

static void sending_free(struct sending *x) {
        grpc_client_call_cancel(x->call);
        grpc_channel_free(x->channel);
        state_file_done(&x->file);
        free(x);
}

static void report_to_core(struct server *s, uint64_t to, uint64_t index, bool failed) {
        struct raft_message m = {.type = RAFT_MSG_SNAPSHOT_STATUS,
                        .from = to,
                        .to = s->member_id,
                        .log_index = index,
                        .reject = failed};

        replica_step(s->replica, &m);
}

static void finish(struct sending *x, const char *why) {
        struct server *s = x->server;
        struct snapshot_send *send = server_part(s, SERVER_PART_SNAPSHOT_SEND);

        if (why)
                log_warning("The state for member %llx did not arrive: %s",
                                (unsigned long long)x->to, why);
        else
                log_info("Member %llx has the state of log index %llu (%llu bytes)",
                                (unsigned long long)x->to, (unsigned long long)x->index,
                                (unsigned long long)x->size);
        send->sending = NULL;
        s->replica->keep_after = 0;
        report_to_core(s, x->to, x->index, why);
        sending_free(x);
}

static void send_last(struct sending *x) {
        uint8_t digest[SHA256_SIZE];
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

static int start_call(struct sending *x) {
        struct grpc_client_call_options o = {.path = "/keelsonpeer.Peer/InstallSnapshot",
                        .timeout_us = UINT64_MAX,
                        .on_message = on_answer,
                        .on_done = on_done,
                        .on_drained = on_drained,
                        .userdata = x};
        int r = open_copy(x);

        if (r < 0)
                return r;
        r = peers_dial(x->server->peers, x->to, &x->channel);
        if (r < 0)
                return r;
        r = grpc_client_call_start(x->channel, &o, &x->call);
        if (r < 0)
                return r;
        return send_first(x);
}

static void on_copied(int result, void *userdata) {
        struct sending *x = userdata;
        int r = result < 0 ? result : start_call(x);

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

void snapshot_send_wanted(struct server *s, uint64_t to) {
        struct snapshot_send *send = server_part(s, SERVER_PART_SNAPSHOT_SEND);

        send->wanted_by = to;
}

static struct sending *begin(struct server *s, uint64_t to) {
        struct sending *x = calloc(1, sizeof(*x));

        if (!x)
                return NULL;
        x->file.fd = -EBADF;
        x->server = s;
        x->to = to;
        x->file.path = strformat("%s.send", disk_path(s->disk));
        x->end_ms = server_now_ms() + STALL_MS;
        if (!x->file.path)
                return mfree(x);
        log_info("Member %llx is behind the log: sending it the whole state",
                        (unsigned long long)to);
        return x;
}

/* When it is reported as failed at once, the core asks again with a later heartbeat. */
static void begin_wanted(struct server *s, struct snapshot_send *send) {
        uint64_t to = send->wanted_by;

        send->wanted_by = 0;
        if (send->sending) {
                if (send->sending->to != to)
                        report_to_core(s, to, 0, true);
                return;
        }
        send->sending = begin(s, to);
        if (!send->sending)
                report_to_core(s, to, 0, true);
}

static void turn(struct server *s, void *state, uint64_t now_ms) {
        struct snapshot_send *send = state;
        struct sending *x;

        if (send->wanted_by)
                begin_wanted(s, send);
        x = send->sending;
        if (!x)
                return;
        if (x->phase == PHASE_FLUSH && replica_flush(s->replica)) {
                (void)unlink(x->file.path); /* of a run that was cut off */
                if (worker_submit(s->keeper, run_copy, on_copied, x) < 0) {
                        finish(x, "too much other work");
                        return;
                }
                x->phase = PHASE_COPY;
                /* From here on the log is kept, so that entries can follow the state. */
                s->replica->keep_after = s->state->applied;
        }
        if (x->phase != PHASE_COPY && now_ms >= x->end_ms)
                finish(x, "it has stalled");
        else if (x->phase != PHASE_COPY && !server_is_leader(s))
                finish(x, "this member no longer leads");
}

static void end(struct server *s, void *state) {
        struct snapshot_send *send = state;
        struct sending *x = TAKE_PTR(send->sending);

        if (x)
                sending_free(x);
}

const struct server_part snapshot_send_part = {.name = "snapshot-send",
                .size = sizeof(struct snapshot_send),
                .turn = turn,
                .end = end};
