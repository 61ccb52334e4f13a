/* The steps that every new and changed object passes before it is stored. */
#pragma once

#include "kapid/pipeline/write.h"

enum object_origin {
        FROM_BODY,  /* the client's object or patch: field ownership is computed here */
        FROM_APPLY, /* apply_run() has computed it */
};

/* Takes the object through the steps (the table in write-object.c) and decides: a new one (live
 * NULL) is stored; a changed one is stored, deleted when nothing holds it any longer, or left when
 * it is equal to the live one. Takes object_taken, also on failure. Refuses with p. */
int write_object(struct write *w, const json_t *live, json_t *object_taken,
                enum object_origin origin, struct decision *ret, struct problem *p);
