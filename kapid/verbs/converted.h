/* Items in the form of the request's kind, where a webhook has to make it. */
#pragma once

#include "kapid/http/request.h"

/* Runs next once each of the n items has its form. 0: they have, and next is not called; 1: it will
 * be, unless the conversion fails, which is answered. keep: the items, whose references are the
 * caller's and which live as long as the request, are replaced by their forms. Refuses with p. */
int request_convert(struct request *request, struct item **items, size_t n, bool keep,
                void (*next)(struct request *request), struct problem *p);
/* Runs next once everything that the request's selectors ask about has its form. */
void request_convert_selected(struct request *request, void (*next)(struct request *request));
