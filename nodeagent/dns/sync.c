/* After a failure, and when unbound was started, what it has is not known. unbound holds every
 * query while it reads a command, so a command carries the changes of few names. */
#include "nodeagent/dns/sync.h"

#include "lib/log.h"
#include "lib/loop-turn.h"
#include "nodeagent/dns/feed.h"
#include "nodeagent/dns/unbound-config.h"

enum {
        NAMES_PER_FEED = 100,
        RETRY_US = 300000,
        RETRY_REFUSED_US = 30 * 1000000,
        LIST_VIEW = 1, /* index of the second command of compare() */
};

struct dns_sync {
        struct dns_sync_options options;
        struct dns_feed *feed;
        struct loop_turn *turn;
        sd_event_source *retry;
        char **left_over; /* names that the view must not have */
        bool started;     /* there is an unbound */
        bool compared;    /* it has what the table says, but for pending changes */
};

static void again(struct dns_sync *s) {
        loop_turn_ask(s->turn);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        struct dns_sync *s = userdata;

        s->retry = sd_event_source_disable_unref(s->retry);
        again(s);
        return 0;
}

static void retry_later(struct dns_sync *s, uint64_t delay_us) {
        s->compared = false;
        if (!s->retry)
                (void)sd_event_add_time_relative(s->options.event, &s->retry, CLOCK_MONOTONIC,
                                delay_us, 0, on_retry, s);
}

static void on_fed(int result, const char *message, void *userdata) {
        struct dns_sync *s = userdata;

        if (result < 0) {
                log_warning("unbound did not take the changes of names: %s; it is asked for all "
                            "that it has",
                                message);
                retry_later(s, result == -EPROTO ? RETRY_REFUSED_US : RETRY_US);
                return;
        }
        if (s->options.on_changed)
                s->options.on_changed(s->options.userdata);
        again(s);
}

/* name has a final dot, zone none. */
static bool is_in_zone(const char *name, const char *zone) {
        size_t n = strlen(name), z = strlen(zone);

        return n > z && strncmp(name + n - 1 - z, zone, z) == 0 &&
               (n - 1 == z || name[n - 2 - z] == '.');
}

/* Whether a name is in one of the zones that are the cluster's alone. */
static bool is_ours(const struct dns_sync *s, const char *name) {
        for (char *const *z = s->options.zones; z && *z; z++)
                if (is_in_zone(name, *z))
                        return true;
        return is_in_zone(name, s->options.domain);
}

/* A view has records for the moment of a change (one that an earlier agent did not end), and the
 * CNAMEs. */
static int found(struct dns_sync *s, bool in_view, const char *name, const char *type,
                const char *data) {
        _cleanup_free_ char *rr = NULL;

        if (in_view && !streq(type, "CNAME"))
                return strv_contains(s->left_over, name) ? 0 : strv_extend(&s->left_over, name);
        rr = strformat("%s %s", type, data);
        return rr ? dns_table_found(s->options.table, name, rr) : -ENOMEM;
}

/* "web.shop.svc.cluster.local.\t5\tIN\tA\t10.96.3.4" */
static void on_listed_line(size_t command, const char *line, void *userdata) {
        _cleanup_free_ char *copy = strdup(line);
        struct dns_sync *s = userdata;
        char *rest = copy, *fields[5];

        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                fields[i] = i < 4 ? strsep(&rest, "\t") : rest;
                if (!fields[i])
                        return;
        }
        if (is_ours(s, fields[0]) &&
                        found(s, command == LIST_VIEW, fields[0], fields[3], fields[4]) < 0)
                log_oom();
}

static void on_compared(int result, const char *message, void *userdata) {
        struct dns_sync *s = userdata;

        if (result < 0) {
                log_warning("Cannot ask unbound for the names that it has: %s; trying again",
                                message);
                retry_later(s, RETRY_US);
                return;
        }
        s->compared = true;
        again(s);
}

static int compare(struct dns_sync *s) {
        const struct dns_feed_callbacks callbacks = {on_listed_line, on_compared, s};
        _cleanup_dns_commands_ struct dns_commands commands = {0};
        int r = dns_commands_add(&commands, "list_local_data", /* body= */ NULL);

        if (r < 0)
                return r;
        r = dns_commands_add(&commands, "view_list_local_data " DNS_VIEW, /* body= */ NULL);
        if (r < 0)
                return r;
        dns_table_compare_all(s->options.table);
        return dns_feed_run(s->feed, &commands, &callbacks);
}

static int send_changes(struct dns_sync *s) {
        const struct dns_feed_callbacks callbacks = {/* on_line= */ NULL, on_fed, s};
        _cleanup_dns_commands_ struct dns_commands commands = {0};
        _cleanup_dns_changes_ struct dns_changes changes = {0};
        int r = dns_table_take(s->options.table, NAMES_PER_FEED, &changes);

        if (r < 0)
                return r;
        if (r == 0) {
                again(s);
                return 0;
        }
        r = dns_changes_commands(&changes, DNS_VIEW, &commands);
        return r < 0 ? r : dns_feed_run(s->feed, &commands, &callbacks);
}

/* The records that they hid are right by now. */
static int remove_left_over(struct dns_sync *s) {
        const struct dns_feed_callbacks callbacks = {/* on_line= */ NULL, on_fed, s};
        _cleanup_dns_commands_ struct dns_commands commands = {0};
        _cleanup_dns_changes_ struct dns_changes changes = {.unshown = TAKE_PTR(s->left_over)};
        int r = dns_changes_commands(&changes, DNS_VIEW, &commands);

        return r < 0 ? r : dns_feed_run(s->feed, &commands, &callbacks);
}

static void on_turn(void *userdata) {
        struct dns_sync *s = userdata;
        int r = 0;

        if (!s->started || s->retry || dns_feed_is_busy(s->feed))
                return;
        if (!s->compared)
                r = compare(s);
        else if (dns_table_pending(s->options.table) > 0)
                r = send_changes(s);
        else if (s->left_over)
                r = remove_left_over(s);
        if (r < 0) {
                log_warning_errno(r, "Cannot send changes of names to unbound");
                retry_later(s, RETRY_US);
        }
}

void dns_sync_start(struct dns_sync *s) {
        dns_sync_stop(s);
        s->started = true;
        again(s);
}

void dns_sync_stop(struct dns_sync *s) {
        dns_feed_stop(s->feed);
        s->retry = sd_event_source_disable_unref(s->retry);
        s->left_over = strv_free(s->left_over);
        s->started = s->compared = false;
}

void dns_sync_wake(struct dns_sync *s) {
        again(s);
}

bool dns_sync_is_settled(const struct dns_sync *s) {
        return s->compared && !s->left_over && !dns_feed_is_busy(s->feed) &&
               dns_table_pending(s->options.table) == 0;
}

int dns_sync_new(struct dns_sync **ret, const struct dns_sync_options *options) {
        _cleanup_(dns_sync_freep) struct dns_sync *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->options = *options;
        r = dns_feed_new(&s->feed, options->event, options->socket_path);
        if (r < 0)
                return r;
        /* Pods, and service rules, come first. */
        r = loop_turn_new(&s->turn, options->event, SD_EVENT_PRIORITY_NORMAL + 10, on_turn, s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct dns_sync *dns_sync_free(struct dns_sync *s) {
        if (!s)
                return NULL;
        dns_feed_free(s->feed);
        loop_turn_free(s->turn);
        sd_event_source_disable_unref(s->retry);
        strv_free(s->left_over);
        free(s);
        return NULL;
}
