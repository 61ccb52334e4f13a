/* The verbs: each answers its request, now or after the store has. One file each. */
#pragma once

#include "kapid/http/request.h"
#include "lib/selector.h"

void verb_get(struct request *r);
void verb_list(struct request *r);
void verb_watch(struct request *r);
void verb_create(struct request *r);
void verb_update(struct request *r);
void verb_patch(struct request *r);
void verb_delete(struct request *r);
void verb_delete_collection(struct request *r);

/* Subresources that are more than a part of the object. */
/* Reads a subresource's own body into r->state and returns it (borrowed); NULL: it was answered. */
json_t *subresource_body(struct request *r);
void verb_binding(struct request *r);
void verb_eviction(struct request *r);
void verb_token(struct request *r);
void verb_log(struct request *r);
/* Kinds that are answered and not stored: reviews. */
void verb_review(struct request *r);

/* What list, watch and deletecollection select. */
struct selection {
        struct label_selector *labels;
        struct field_selector *fields;
        const char *namespace; /* borrowed from the route; "" all */
        char *name;            /* the one name the field selector asks for, or NULL */
};
void selection_done(struct selection *s);
int selection_parse(struct request *r, struct selection *ret, struct problem *p);
/* Whether it takes everything in its namespace. */
bool selection_is_everything(const struct selection *s);
bool selection_matches(const struct kind *k, const struct selection *s, struct item *it);
/* "ns/": where the selection's items begin in the cache; caller frees. */
char *selection_prefix(const struct kind *k, const struct selection *s) _warn_unused_;

/* Continue tokens (list.c): the snapshot's revision and the last path that was shown. */
char *continue_token(uint64_t revision, const char *path) _warn_unused_;
int continue_parse(const char *token, uint64_t *ret_revision, char **ret_path, struct problem *p);
