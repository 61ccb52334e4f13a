/* A whole state from the leader: the pieces go to a file, which is checked (size, SHA-256, format,
 * cluster) and takes the database's place when no write is under way. */
#include "kstored/snapshot/receive.h"

#include <fcntl.h>

#include "kstored/server/server.h"
#include "kstored/service/peer.h"
#include "kstored/service/reply.h"
#include "kstored/snapshot/state-file.h"
#include "lib/fileio.h"
#include "lib/log.h"

enum { STALL_MS = 60000 };

struct receiving {
        struct server *server;
        struct grpc_call *call; /* NULL: gone */
        struct raft_message message;
        struct raft_term_start term_starts[TERM_STARTS_MAX]; /* of the leader's log */
        size_t term_start_count;
        struct state_file file;
        uint64_t size, offset, end_ms;
        bool checking; /* the thread has it */
        bool ready;    /* waits to be installed */
};

struct snapshot_receive {
        struct receiving *receiving; /* NULL: none comes */
};

static struct snapshot_receive *receive_of(const struct server *s) {
        return server_part(s, SERVER_PART_SNAPSHOT_RECEIVE);
}

bool snapshot_is_received(const struct server *s) {
        return receive_of(s)->receiving;
}

static void receiving_free(struct receiving *x) {
        struct snapshot_receive *receive = receive_of(x->server);

        if (receive->receiving == x)
                receive->receiving = NULL;
        state_file_done(&x->file);
        free(x);
}

/* Answers and ends; NULL: accepted. */
static void finish(struct receiving *x, const char *why) {
        struct grpc_call *call = x->call;
        _cleanup_buf_ struct buf b = {0};

        if (why)
                log_warning("The state from member %llx is not taken: %s",
                                (unsigned long long)x->message.from, why);
        if (call) {
                grpc_call_on_gone(call, NULL, NULL);
                grpc_call_set_userdata(call, NULL);
        }
        receiving_free(x);
        if (!call)
                return;
        wire_bool(&b, 1, !why);
        wire_string(&b, 2, strempty(why));
        grpc_call_reply(call, b.data, b.size);
}

static void on_gone(struct grpc_call *call, void *userdata) {
        struct receiving *x = userdata;

        x->call = NULL;
        if (!x->checking && !x->ready)
                receiving_free(x);
}

static int run_check(void *userdata) {
        struct receiving *x = userdata;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_(disk_freep) struct disk *d = NULL;
        int r;

        if (fsync(x->file.fd) < 0)
                return -errno;
        r = disk_open_copy(&d, x->file.path, &p);
        if (r < 0) {
                log_warning("The state from member %llx: %s", (unsigned long long)x->message.from,
                                strempty(p.message));
                return r;
        }
        if (disk_number(d, DISK_CLUSTER_ID) != x->server->cluster_id ||
                        disk_number(d, DISK_APPLIED) != x->message.log_index ||
                        disk_number(d, DISK_APPLIED_TERM) != x->message.log_term)
                return -EUCLEAN;
        return 0;
}

static void on_checked(int result, void *userdata) {
        struct receiving *x = userdata;

        x->checking = false;
        /* The file is to be the database: closing it then would take SQLite's locks from it, which
         * are the process's (fcntl(2)). */
        x->file.fd = safe_close(x->file.fd);
        if (result < 0)
                finish(x, result == -EUCLEAN ? "it is not what was announced" : strerror(-result));
        else if (!x->call)
                receiving_free(x);
        else
                x->ready = true;
}

/* Only one comes at a time. One that has stalled gives way; the leader asks again. */
static bool make_way(struct server *s, struct grpc_call *call) {
        struct receiving *other = receive_of(s)->receiving;

        if (!other)
                return true;
        if (server_now_ms() < other->end_ms || other->checking) {
                peer_refuse(call, "another state is on its way", false);
                return false;
        }
        finish(other, "it has stalled");
        return true;
}

static int open_file(struct receiving *x) {
        x->file.path = strformat("%s.receive", disk_path(x->server->disk));
        if (!x->file.path)
                return -ENOMEM;
        (void)unlink(x->file.path); /* of a run that was cut off */
        x->file.fd = open(x->file.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (x->file.fd < 0)
                return -errno;
        x->file.hash = sha256_new();
        return x->file.hash ? 0 : -ENOMEM;
}

/* The first piece; later ones find x. */
static bool read_header(struct receiving *x, const Keelsonpeer__SnapshotPiece *p) {
        const struct server *s = x->server;
        int r = peer_message_read(p->message, &x->message);

        if (r < 0 || x->message.type != RAFT_MSG_SNAPSHOT || x->message.entry_count > 0 ||
                        x->message.from != p->hello->from || x->message.to != s->member_id) {
                peer_message_done(&x->message);
                return false;
        }
        for (size_t i = 0; i < p->n_term_starts && i < TERM_STARTS_MAX; i++)
                x->term_starts[x->term_start_count++] = (struct raft_term_start){
                                .term = p->term_starts[i]->term, .index = p->term_starts[i]->index};
        return true;
}

static void begin(struct server *s, struct grpc_call *call, const Keelsonpeer__SnapshotPiece *p) {
        struct receiving *x;
        int r;

        if (!p->hello || !p->message || p->size == 0) {
                peer_refuse(call, "a state must begin with its header", false);
                return;
        }
        if (!peer_hello_ok(s, call, p->hello) || !make_way(s, call))
                return;
        x = calloc(1, sizeof(*x));
        if (!x) {
                server_refuse(call, STORE_NO_MEMORY);
                return;
        }
        x->file.fd = -EBADF;
        x->server = s;
        x->call = call;
        x->size = p->size;
        x->end_ms = server_now_ms() + STALL_MS;
        receive_of(s)->receiving = x;
        grpc_call_set_userdata(call, x);
        grpc_call_on_gone(call, on_gone, x);
        if (!read_header(x, p)) {
                finish(x, "its header is invalid");
                return;
        }
        r = open_file(x);
        if (r < 0) {
                finish(x, r == -ENOMEM ? "out of memory" : strerror(-r));
                return;
        }
        log_info("Member %llx sends the whole state of log index %llu (%llu bytes)",
                        (unsigned long long)x->message.from,
                        (unsigned long long)x->message.log_index, (unsigned long long)x->size);
}

static void end_of_pieces(struct receiving *x, const ProtobufCBinaryData *sha256) {
        uint8_t digest[SHA256_SIZE];

        sha256_take(x->file.hash, digest);
        if (x->offset != x->size || sha256->len != SHA256_SIZE ||
                        memcmp(sha256->data, digest, SHA256_SIZE) != 0) {
                finish(x, "its checksum is wrong");
                return;
        }
        x->checking = true;
        if (worker_submit(x->server->keeper, run_check, on_checked, x) < 0) {
                x->checking = false;
                finish(x, "too much other work");
        }
}

void service_install_snapshot(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        struct receiving *x = grpc_call_userdata(call);
        Keelsonpeer__SnapshotPiece *p =
                        keelsonpeer__snapshot_piece__unpack(&s->arena.allocator, n, data);
        int r;

        if (!x) {
                if (p)
                        begin(s, call, p);
                else
                        server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        x->end_ms = server_now_ms() + STALL_MS;
        if (!p || x->checking || x->ready) {
                if (!x->checking)
                        finish(x, "a piece is invalid");
                return;
        }
        if (p->sha256.len > 0) {
                end_of_pieces(x, &p->sha256);
                return;
        }
        if (p->offset != x->offset || p->data.len == 0 || p->data.len > x->size - x->offset) {
                finish(x, "its pieces do not fit together");
                return;
        }
        r = file_write_all(x->file.fd, p->data.data, p->data.len);
        if (r < 0) {
                finish(x, r == -ENOSPC ? "the disk is full" : strerror(-r));
                return;
        }
        sha256_add(x->file.hash, p->data.data, p->data.len);
        x->offset += p->data.len;
}

/* Puts a state in place that is complete and checked. */
static void turn(struct server *s, void *state, uint64_t now_ms) {
        struct receiving *x = ((struct snapshot_receive *)state)->receiving;
        int r;

        if (!x || !x->ready || !replica_idle(s->replica) || worker_pending(s->writer) > 0 ||
                        worker_pending(s->flusher) > 0 || worker_pending(s->keeper) > 0)
                return;
        if (!x->call) {
                receiving_free(x);
                return;
        }
        if (!replica_check_terms(s->replica, &x->message, x->term_starts, x->term_start_count)) {
                finish(x, "it lacks what was committed here");
                return;
        }
        r = replica_install(s->replica, x->file.path, &x->message);
        if (r == -EAGAIN)
                return;
        finish(x, r < 0 ? "it cannot be put in place" : NULL);
}

static void end(struct server *s, void *state) {
        struct snapshot_receive *receive = state;

        if (receive->receiving)
                receiving_free(receive->receiving);
}

const struct server_part snapshot_receive_part = {.name = "snapshot-receive",
                .size = sizeof(struct snapshot_receive),
                .turn = turn,
                .end = end};
