/* The selection of list, watch and deletecollection. */
#pragma once

#include "kapid/http/request.h"
#include "lib/selector.h"

struct json_part;
struct selection {
        struct label_selector *labels;
        struct field_selector *fields;
        const char *namespace;  /* borrowed from the route; "" all */
        char *name;             /* the one name that is asked for, or NULL */
        struct json_part *part; /* of an object that the fields need */
        uint64_t label_bits;    /* that matching items have (cache_walk_begin) */
};
void selection_done(struct selection *s);
/* From the request's query. 400. */
int selection_parse(struct request *request, struct selection *ret, struct problem *p);
/* Whether it takes everything in its namespace. */
bool selection_is_everything(const struct selection *s);
/* 1 or 0. Fields, and the labels where a webhook converts, are compared in the kind's version: its
 * conversion may refuse (p). -ENOMEM. */
int selection_matches(const struct kind *k, const struct selection *s, struct item *it,
                struct problem *p);
/* What matching items must have, as far as indexes and followers of the cache know it; borrowed.
 * Returns how many. */
enum { SELECTION_TERMS_MAX = 8 };
size_t selection_terms(const struct kind *k, const struct selection *s,
                struct cache_term ret[static SELECTION_TERMS_MAX]);
/* A walk over what may match, in key order. The prefix is selection_prefix()'s, borrowed until the
 * walk's end. -ENOMEM. */
int selection_walk(const struct kind *k, const struct selection *s, struct cache *c,
                const char *prefix, const char *after, struct cache_walk *ret);
/* "ns/": where the selection's items begin in the cache; caller frees. */
char *selection_prefix(const struct kind *k, const struct selection *s) _warn_unused_;
