/* Runs requests in the order that fairness gives them: at once while no other waits, else one after
 * another in turns of the event loop of some milliseconds, so that what others send is read in
 * between. */
#pragma once

#include "kapid/http/request.h"

struct dispatch;
int dispatch_new(struct dispatch **ret, struct api *a);
struct dispatch *dispatch_free(struct dispatch *d);
DEFINE_CLEANUP(struct dispatch *, dispatch_free);

/* Runs func(r) now or later; refuses the request with 429 when too many wait. */
void dispatch_submit(struct request *r, void (*func)(struct request *r));
/* For long work: whether func should stop here and be continued by dispatch_continue(). */
bool dispatch_is_long(const struct request *r);
/* Calls func(r) again when it is this request's turn. In a function that dispatch or the store
 * called. */
void dispatch_continue(struct request *r, void (*func)(struct request *r));
/* The request has become a stream. false: it was refused with 429, this user has too many. */
bool dispatch_stream(struct request *r);
/* The answer has been taken or the client has gone. */
void dispatch_leave(struct request *r);
/* Its answer is made; so many bytes wait for its reader, with those of its connection's other
 * answers. Few may wait without a seat: not all the streams of a client that never reads. */
void dispatch_answered(struct request *r, size_t size);
/* Work for it continues in turns of the loop (lib/fiber.h), whatever becomes of its client: until
 * the last hold is released it keeps the seats that it would give back when its client is gone or
 * has its answer. So there is no more of that work than there are seats. */
void dispatch_hold(struct request *r);
void dispatch_release(struct request *r);
/* The request's client is gone. */
void dispatch_end(struct request *r);
/* One that has left has more to do: as dispatch_submit(). */
void dispatch_return(struct request *r, void (*func)(struct request *r));
/* Brings the metrics up to date. */
void dispatch_render(struct dispatch *d);
