/* Items in the form of the request's kind, where a webhook has to make it. */
#pragma once

#include "kapid/http/request.h"

/* Runs next once each of the n items has its form. 0: they have, and next is not called; 1: it will
 * be, unless the conversion fails, which is answered. The items, whose references are the caller's
 * and which live as long as the request, are replaced by their forms. Refuses with p. */
int request_convert(struct request *request, struct item **items, size_t n,
                void (*next)(struct request *request), struct problem *p);
/* Selects objects (selection.h) and answers, or refuses with p and -EAGAIN where an object has no
 * form yet: then nothing has been done, and it is run again when the forms are there. */
typedef int (*request_select)(struct request *request, struct problem *p);
/* Runs it, and answers what it refuses; 503 where objects change faster than they are converted. */
void request_convert_selected(struct request *request, request_select select);
