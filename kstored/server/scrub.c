/* Looking for damage in the database while it serves: all pages and all rows, in small pieces on
 * the keeper's thread, so that copies and hashes get their turns. */
#include "kstored/server/scrub.h"

#include <stdatomic.h>

#include "kstored/server/server.h"
#include "kstored/snapshot/receive.h"
#include "lib/log.h"

enum {
        PIECE_ROWS = 5000,
        PAUSE_MS = 20,
        TROUBLE_MS = 60 * 1000,
        AGAIN_MS = 24 * 3600 * 1000,
        MALFORMED_MAX = 3
};

struct scrub {
        struct server *server;
        bool pages_done;
        int64_t seq; /* the next row */
        bool under_way;
        unsigned malformed; /* how often in a row SQLite called it malformed */
        uint64_t next_ms;
        _Atomic bool stop;
};

static int configure(struct server *s, void *state, struct problem *p) {
        struct scrub *x = state;

        x->server = s;
        return 0;
}

static void begin_again(struct scrub *x, uint64_t wait_ms) {
        x->pages_done = false;
        x->seq = 0;
        x->next_ms = server_now_ms() + wait_ms;
}

static int run_piece(void *userdata) {
        struct scrub *x = userdata;

        if (atomic_load(&x->stop))
                return -ECANCELED;
        if (!x->pages_done)
                return disk_check_pages(x->server->disk, &x->stop);
        return disk_scrub(x->server->disk, &x->seq, PIECE_ROWS);
}

static void on_piece(int result, void *userdata) {
        struct scrub *x = userdata;
        struct server *s = x->server;

        x->under_way = false;
        x->next_ms = server_now_ms() + PAUSE_MS;
        if (result == -ECANCELED)
                return;
        /* SQLite also reports unreadable pages as malformed: that may be transient. */
        x->malformed = result == -EUCLEAN ? x->malformed + 1 : result < 0 ? x->malformed : 0;
        if (result == -EBADMSG || x->malformed >= MALFORMED_MAX) {
                server_damaged(s, "The database is damaged: a row or a page is not what was "
                                  "written");
                return;
        }
        if (result < 0) {
                log_warning_errno(result, "Cannot read all of %s; is its disk sound?",
                                disk_path(s->disk));
                begin_again(x, TROUBLE_MS);
        } else if (!x->pages_done)
                x->pages_done = true;
        else if (x->seq == INT64_MAX) {
                log_debug("Checked %s: no damage found", disk_path(s->disk));
                begin_again(x, AGAIN_MS);
        }
}

static void turn(struct server *s, void *state, uint64_t now_ms) {
        struct scrub *x = state;

        /* A state that is about to be put in place must not find a reader of the old one. */
        if (s->replica->in_doubt && !x->under_way) {
                s->replica->in_doubt = false;
                if (now_ms + TROUBLE_MS < x->next_ms)
                        begin_again(x, 0);
        }
        if (x->under_way || now_ms < x->next_ms || snapshot_is_received(s) || s->stopping)
                return;
        x->under_way = worker_submit(s->keeper, run_piece, on_piece, x) >= 0;
}

static void stop(struct server *s, void *state) {
        struct scrub *x = state;

        atomic_store(&x->stop, true);
}

const struct server_part scrub_part = {.name = "scrub",
                .size = sizeof(struct scrub),
                .configure = configure,
                .turn = turn,
                .stop = stop};
