/* Where the replacement of a certificate authority is. Pure.
 *
 *      none --trust--> trusted --sign--> signed --remove--> none
 *
 * The files say it, so that it can be interrupted anywhere: NAME.crt holds all authorities that are
 * trusted, NAME.key is the one that signs, and NAME.next.crt and NAME.next.key are there while one
 * is replaced. */
#pragma once

#include "lib/base.h"

enum rotation {
        ROTATION_NONE,
        ROTATION_BEGUN,   /* the new authority is made, not yet trusted */
        ROTATION_TRUSTED, /* both are trusted, the old one signs */
        ROTATION_SIGNED,  /* both are trusted, the new one signs */
        ROTATION_ENDING,  /* only the new one is trusted; its files are left to remove */
};

struct rotation_view {
        size_t trusted; /* how many authorities */
        bool has_next, trusts_next, signs_next;
};
enum rotation rotation_where(const struct rotation_view *v);

enum rotation_stage { STAGE_TRUST, STAGE_SIGN, STAGE_REMOVE, STAGES };
/* What comes next for the one that is the least far. */
enum rotation_stage rotation_next(enum rotation where);
/* "1 of 3: trust: ..." for people. */
const char *rotation_text(enum rotation where);
const char *rotation_stage_text(enum rotation_stage stage);

/* The bundle of the stage, from the one that there is: the signer and the next one, or the next
 * one alone. */
int rotation_bundle(enum rotation_stage stage, const char *bundle, const char *key,
                const char *next, char **ret);
/* What the certificates and key of an authority and of the next one (NULL: none) say. */
int rotation_see(const char *bundle, const char *key, const char *next, const char *next_key,
                struct rotation_view *ret);
