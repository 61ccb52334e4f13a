/* Between session.c (the loop, frames, the agent), run.c (a command's files) and forward.c (the
 * connections of a port-forward). */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "lib/json.h"
#include "lib/problem.h"
#include "lib/stream-frame.h"

enum {
        SESSION_QUEUE_HIGH = 256 << 10, /* the pod is not read beyond this */
        SESSION_CREDIT_MIN = 64 << 10,  /* fewer bytes are credited when nothing waits */
        FORWARDS_MAX = 256,
};

/* A file that is read or written in the loop. */
struct stream_file {
        int fd;
        sd_event_source *io;
};

/* A connection of a port-forward. */
struct forward {
        struct stream_session *session;
        LIST_ENTRY(forward) entry;
        uint32_t id;
        uint16_t port;
        int fd;
        sd_event_source *io;
        bool connecting, second; /* second: the other address is tried */
        bool kapid_ended, pod_ended;
        struct buf out; /* to the pod */
};

struct stream_session {
        sd_event *event;
        json_t *request;
        int agent_fd;
        sd_event_source *agent_io, *in_io, *out_io, *timer;
        struct buf in, out, agent_in; /* from kapid, to kapid, from the agent */
        uint64_t credit;              /* bytes of output that kapid takes */
        uint64_t received,
                        credited; /* bytes of data from kapid, and those of them it was credited */
        bool ready, over, alone; /* alone: the agent is not needed any longer; over: nothing is left
                                    but to write `out` */
        /* run.c */
        struct stream_file input, output, error; /* fd negative: none, or it has ended */
        struct buf to_input;
        bool tty, input_ends, exited;
        bool attached;    /* one socket for input and output, to a program that goes on */
        int attached_tty; /* its terminal, for sizes; negative: none */
        int exit_code;
        /* forward.c */
        json_t *addresses; /* of the pod; NULL: connections are to its loopback addresses ... */
        char *socket;      /* ... or to this Unix socket of the agent; NULL: not */
        LIST_HEAD(, forward) forwards;
        size_t forward_count;
};

/* Bytes that may be read from the pod now; 0: not now. */
size_t session_room(const struct stream_session *s);
/* Queues a frame of output, which takes credit. */
int session_output(struct stream_session *s, enum stream_frame_type type, uint32_t id,
                const void *data, size_t n);
/* Which files are read and written now. */
void session_update(struct stream_session *s);
/* The last frame, after which the session ends. */
void session_end(struct stream_session *s, enum stream_frame_type type, const void *data, size_t n);
void session_fail(struct stream_session *s, const char *why);
/* Reading is on or off, writing on or off; a file with neither is not watched. */
void watch_file(sd_event_source *io, bool reads, bool writes);

/* run.c. Makes the pipes or the terminal; names and fds are for the agent, and closed by the
 * caller.
 */
struct run_files {
        const char *names[3];
        int fds[3];
        size_t count;
};
int run_open(struct stream_session *s, struct run_files *ret);
/* The agent has started it, or attached us; tty: the path of its terminal, or "". */
int run_begin(struct stream_session *s, const char *tty);
/* A frame of kapid. -EBADMSG. */
int run_take(struct stream_session *s, const struct stream_frame *f);
/* The command has ended: what it wrote is still read. */
void run_exited(struct stream_session *s, int exit_code);
void run_update(struct stream_session *s);
/* Bytes from kapid that wait. */
size_t run_waiting(const struct stream_session *s);
void run_done(struct stream_session *s);

/* forward.c */
int forward_take(struct stream_session *s, const struct stream_frame *f);
void forward_update(struct stream_session *s);
size_t forward_waiting(const struct stream_session *s);
void forward_done(struct stream_session *s);
