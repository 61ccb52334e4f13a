/* Commands to unbound through its control socket (unbound-control(8), "UBCT1"), one connection
 * each, one after another. unbound reads a command to its end before it answers anybody, so a
 * command is complete before it is sent. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/vector.h"
#include "nodeagent/dns/table.h"

struct dns_feed;

struct dns_command {
        char *text; /* "local_datas" */
        char *body; /* its lines; NULL: the command has none */
};
/* Zero-initialise; dns_commands_done() frees. */
struct dns_commands {
        VECTOR(struct dns_command) list;
};
void dns_commands_done(struct dns_commands *c);
#define _cleanup_dns_commands_ _cleanup_(dns_commands_done)
/* Takes body. -ENOMEM; body is freed then, too. */
int dns_commands_add(struct dns_commands *c, const char *text, char *body);
/* The commands that carry out changes, in their order; view: the view that is asked first. Pure. */
int dns_changes_commands(struct dns_changes *changes, const char *view, struct dns_commands *ret);

/* Borrows event. -ENOMEM. */
int dns_feed_new(struct dns_feed **ret, sd_event *event, const char *socket_path);
struct dns_feed *dns_feed_free(struct dns_feed *f);
DEFINE_CLEANUP(struct dns_feed *, dns_feed_free);
bool dns_feed_is_busy(const struct dns_feed *f);

struct dns_feed_callbacks {
        /* A line that unbound answers to the command of this index; NULL: not wanted. */
        void (*on_line)(size_t command, const char *line, void *userdata);
        /* All were carried out (0), or one was not: -EPROTO with what unbound said, or a negative
         * errno. Never called from inside dns_feed_run(). */
        void (*on_done)(int result, const char *message, void *userdata);
        void *userdata;
};
/* Runs the commands, taken from c, which is empty then. None may be under way. -ENOMEM or an errno
 * of sd-event. */
int dns_feed_run(struct dns_feed *f, struct dns_commands *c,
                const struct dns_feed_callbacks *callbacks);
/* Ends what is under way; its on_done is not called. */
void dns_feed_stop(struct dns_feed *f);
