/* The event loop around the replica: what follows every event, the timer, and the end. */
#include "kstored/server/server.h"

#include <sysexits.h>

#include "kstored/disk/damage.h"
#include "kstored/server/drive.h"
#include "kstored/server/links.h"
#include "kstored/service/requests.h"
#include "lib/log.h"
#include "lib/timefmt.h"

enum { FATAL_LINGER_US = 500000, SLOW_APPLY_MS = 100 };

uint64_t server_now_ms(void) {
        return now_mono_us() / 1000;
}

uint64_t server_time_limit_ms(const struct server *s) {
        return 5000 + 2 * (uint64_t)s->options->election_ms;
}

bool server_is_leader(const struct server *s) {
        return replica_is_leader(s->replica);
}

bool server_is_learner(const struct server *s) {
        struct raft_status status;

        raft_get_status(s->raft, &status);
        return status.learner;
}

bool server_is_ready(void *server, const char **ret_why) {
        struct server *s = server;
        struct raft_status status;

        raft_get_status(s->raft, &status);
        if (s->fatal || s->stopping)
                *ret_why = "stopping";
        else if (status.leader == 0)
                *ret_why = "no leader";
        else if (s->replica->disk_full)
                *ret_why = "the disk is full";
        else
                return true;
        return false;
}

static int on_fatal_end(sd_event_source *source, uint64_t usec, void *userdata) {
        struct server *s = userdata;

        return sd_event_exit(s->event, EX_CONFIG); /* the unit does not start it again */
}

void server_fatal(struct server *s, int error, const char *what) {
        bool contradicted =
                        s->raft && raft_get_contradiction(s->raft)->kind != RAFT_CONTRADICTION_NONE;

        if (s->fatal)
                return;
        s->fatal = error ? error : -EIO;
        if (!contradicted)
                log_error_errno(s->fatal, "%s; stopping, so that nothing wrong is acknowledged",
                                what);
        else
                log_error("%s; stopping, so that nothing wrong is acknowledged", what);
        s->stopping = true;
        requests_fail_all(s, STORE_STOPPED);
        /* The messages to the others that say so leave first; clients are no longer served. */
        if (contradicted && sd_event_add_time_relative(s->event, &s->stopper, CLOCK_MONOTONIC,
                                            FATAL_LINGER_US, 1000, on_fatal_end, s) >= 0) {
                peers_flush(s->peers, server_now_ms());
                return;
        }
        /* A restart would find the same damage. */
        sd_event_exit(s->event, s->fatal == -EBADMSG ? EX_CONFIG : 1);
}

void server_damaged(struct server *s, const char *what) {
        _cleanup_problem_ struct problem p = {0};
        int r = damage_note(s->options->data_dir, what);

        if (r < 0)
                log_warning_errno(
                                r, "Cannot leave a note of the damage in %s", s->options->data_dir);
        (void)damage_problem(&p, "%s", what);
        server_fatal(s, -EBADMSG, strempty(p.message));
}

/* After every event of the loop. */
static int server_turn(sd_event_source *source, void *userdata) {
        struct server *s = userdata;
        uint64_t now_ms = server_now_ms();

        parts_prepare(s, now_ms);
        replica_turn(s->replica, now_ms);
        s->counts.slow_applies += server_now_ms() - now_ms > SLOW_APPLY_MS;
        while (drive_write_now(s))
                replica_turn(s->replica, server_now_ms());
        if (s->fatal)
                return 0;
        parts_turn(s, now_ms);
        if (replica_drops(s->replica))
                server_wake_at(s, 0);
        arena_reset(&s->arena);
        return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        struct server *s = userdata;
        uint64_t now_ms = server_now_ms();

        if (s->fatal)
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        parts_tick(s, now_ms);
        replica_tick(s->replica, now_ms);
        if (now_ms >= s->next_second_ms) {
                s->next_second_ms = now_ms + 1000;
                parts_second(s, now_ms);
        }
        if (s->replica->removed)
                server_removed(s);
        return sd_event_source_set_time(source, replica_next_ms(s->replica) * 1000);
}

void server_wake_at(struct server *s, uint64_t us) {
        uint64_t now;

        if (sd_event_source_get_time(s->ticker, &now) >= 0 && us < now)
                (void)sd_event_source_set_time(s->ticker, us);
}

int server_start_loop(struct server *s) {
        int r = sd_event_add_post(s->event, &s->post, server_turn, s);

        if (r < 0)
                return r;
        r = sd_event_add_time(s->event, &s->ticker, CLOCK_MONOTONIC,
                        replica_next_ms(s->replica) * 1000, 1000, on_tick, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->ticker, SD_EVENT_ON);
}

void server_removed(struct server *s) {
        if (s->stopping)
                return;
        log_error("This member (%llx) was removed from the cluster: stopping. Its data in %s is "
                  "no longer usable; a new member starts with an empty data directory",
                        (unsigned long long)s->member_id, s->options->data_dir);
        s->exit_status = EX_CONFIG; /* the unit does not start it again */
        server_stop(s);
}

/* Leadership first, if another member can take it; until then requests may still be answered. */
static int on_stop_turn(sd_event_source *source, uint64_t usec, void *userdata) {
        struct server *s = userdata;
        uint64_t now_ms = server_now_ms();

        if (now_ms < s->stop_by_ms && server_is_leader(s) && server_has_successor(s))
                return sd_event_source_set_time_relative(source, 10000) < 0
                                       ? 0
                                       : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        requests_fail_all(s, STORE_STOPPED);
        return sd_event_exit(s->event, s->exit_status);
}

void server_stop(struct server *s) {
        if (s->stopping)
                return;
        s->stopping = true;
        s->stop_by_ms = server_now_ms() + 2 * (uint64_t)s->options->election_ms;
        if (server_is_leader(s) && server_has_successor(s))
                (void)raft_transfer(s->raft, 0);
        if (sd_event_add_time_relative(s->event, &s->stopper, CLOCK_MONOTONIC, 100000, 1000,
                            on_stop_turn, s) < 0)
                sd_event_exit(s->event, s->exit_status);
}
