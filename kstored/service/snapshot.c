/* Maintenance.Snapshot: all applied changes are written to the database, a consistent copy of
 * it is made beside it on a thread, then streamed as fast as the client takes it, and its SHA-256
 * after it. */
#include "kstored/service/snapshot.h"

#include <sys/queue.h>

#include "kstored/server/server.h"
#include "kstored/service/reply.h"
#include "kstored/snapshot/state-file.h"
#include "lib/random.h"

enum { PIECE_SIZE = 128 * 1024, FLUSH_LIMIT_MS = 30000 };

struct snapshot {
        LIST_ENTRY(snapshot) link; /* while it waits for the flush */
        struct server *server;
        uint64_t ticket, end_ms;
        struct grpc_call *call; /* NULL: gone */
        struct state_file file;
        uint64_t left;
};

struct snapshots {
        LIST_HEAD(, snapshot) waiting; /* for a flush */
};

static struct snapshot *snapshot_free(struct snapshot *x) {
        if (!x)
                return NULL;
        state_file_done(&x->file);
        free(x);
        return NULL;
}

static void end_snapshot(struct snapshot *x, enum grpc_code code, const char *why) {
        struct grpc_call *call = x->call;

        grpc_call_on_gone(call, NULL, NULL);
        grpc_call_on_drained(call, NULL, NULL);
        snapshot_free(x);
        grpc_call_finish(call, code, why);
}

static int send_piece(struct snapshot *x, const void *data, size_t n) {
        _cleanup_buf_ struct buf b = {0};

        /* As etcd: no header. */
        wire_uint(&b, 2, x->left);
        wire_bytes(&b, 3, data, n);
        return b.failed ? -ENOMEM : grpc_call_send(x->call, b.data, b.size);
}

/* Sends one piece; the next follows when this one has left. */
static void on_drained(struct grpc_call *call, void *userdata) {
        struct snapshot *x = userdata;
        _cleanup_free_ char *piece = malloc(PIECE_SIZE);
        uint8_t digest[SHA256_SIZE];
        ssize_t n;

        if (!piece) {
                end_snapshot(x, GRPC_RESOURCE_EXHAUSTED, store_error_text(STORE_NO_MEMORY));
                return;
        }
        n = read(x->file.fd, piece, (size_t)MIN(x->left, (uint64_t)PIECE_SIZE));
        if (n < 0 || (n == 0 && x->left > 0)) {
                end_snapshot(x, GRPC_INTERNAL, "cannot read the copy of the database");
                return;
        }
        if (n > 0) {
                x->left -= (uint64_t)n;
                sha256_add(x->file.hash, piece, (size_t)n);
                if (send_piece(x, piece, (size_t)n) < 0)
                        end_snapshot(x, GRPC_RESOURCE_EXHAUSTED, "the client does not read");
                return;
        }
        sha256_take(x->file.hash, digest);
        if (send_piece(x, digest, sizeof(digest)) < 0)
                end_snapshot(x, GRPC_RESOURCE_EXHAUSTED, "the client does not read");
        else
                end_snapshot(x, GRPC_OK, NULL);
}

static void on_snapshot_gone(struct grpc_call *call, void *userdata) {
        struct snapshot *x = userdata;

        if (x->file.fd < 0)
                x->call = NULL; /* the thread still has it */
        else
                snapshot_free(x);
}

static int run_copy(void *userdata) {
        struct snapshot *x = userdata;

        return disk_copy(x->server->disk, x->file.path);
}

static void on_copied(int result, void *userdata) {
        struct snapshot *x = userdata;

        if (!x->call) {
                snapshot_free(x);
                return;
        }
        if (result >= 0)
                result = state_file_open(&x->file, &x->left);
        if (result < 0) {
                end_snapshot(x, result == -ENOSPC ? GRPC_RESOURCE_EXHAUSTED : GRPC_INTERNAL,
                                result == -ENOSPC ? "no space for a copy of the database in the "
                                                    "data directory"
                                                  : "cannot copy the database");
                return;
        }
        grpc_call_on_drained(x->call, on_drained, x);
        on_drained(x->call, x);
}

static void refuse_waiting(struct snapshot *x, const char *why) {
        if (x->call) {
                grpc_call_on_gone(x->call, NULL, NULL);
                grpc_call_finish(x->call, GRPC_UNAVAILABLE, why);
        }
        snapshot_free(x);
}

static void turn(struct server *s, void *state, uint64_t now_ms) {
        struct snapshots *all = state;
        struct snapshot *next;

        for (struct snapshot *x = LIST_FIRST(&all->waiting); x; x = next) {
                bool flushed = replica_flush_done(s->replica, x->ticket);

                next = LIST_NEXT(x, link);
                if (x->call && !flushed && now_ms < x->end_ms)
                        continue;
                LIST_REMOVE(x, link);
                if (!x->call)
                        snapshot_free(x);
                else if (!flushed)
                        refuse_waiting(x, "the database cannot be written; is its disk full?");
                else if (worker_submit(s->keeper, run_copy, on_copied, x) < 0)
                        refuse_waiting(x, "too many copies are being made; try again later");
        }
}

static void stop(struct server *s, void *state) {
        struct snapshots *all = state;
        struct snapshot *x;

        while ((x = LIST_FIRST(&all->waiting))) {
                LIST_REMOVE(x, link);
                refuse_waiting(x, store_error_text(STORE_STOPPED));
        }
}

void service_snapshot(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        struct snapshots *all = server_part(s, SERVER_PART_SNAPSHOT);
        struct snapshot *x = calloc(1, sizeof(*x));

        if (x) {
                x->file.fd = -EBADF;
                x->server = s;
                x->call = call;
                x->file.path = strformat("%s.copy-%llu", disk_path(s->disk),
                                (unsigned long long)random_u64());
        }
        if (!x || !x->file.path) {
                snapshot_free(x);
                server_refuse(call, STORE_NO_MEMORY);
                return;
        }
        x->ticket = replica_flush_ask(s->replica);
        x->end_ms = server_now_ms() + FLUSH_LIMIT_MS;
        LIST_INSERT_HEAD(&all->waiting, x, link);
        grpc_call_on_gone(call, on_snapshot_gone, x);
}

const struct server_part snapshot_part = {
                .name = "snapshot", .size = sizeof(struct snapshots), .turn = turn, .stop = stop};
