/* The unit properties we know: their names in unit files and on D-Bus, and their types. The one
 * table behind annotations (text -> JSON) and the bus driver (JSON -> message). */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

enum prop_type {
        PROP_STRING,      /* s */
        PROP_OWN,         /* s: never by an annotation */
        PROP_BOOL,        /* b */
        PROP_U64,         /* t */
        PROP_BYTES,       /* t; text takes K, M, G, T and infinity */
        PROP_USEC,        /* t; text takes "5s", "2min", infinity */
        PROP_PERCENT,     /* t; microseconds a second; text is "50%" */
        PROP_U32,         /* u */
        PROP_I32,         /* i */
        PROP_MODE,        /* u; text is octal */
        PROP_STRV,        /* as */
        PROP_EXEC,        /* a(sasb): JSON array of arrays of words */
        PROP_FIELDS,      /* aay: JSON array of "NAME=value" */
        PROP_ENVFILES,    /* a(sb): JSON array of paths */
        PROP_BINDS,       /* a(ssbt): JSON array of [source, destination] or [source, destination,
                             "optional"]: left out when the source is not there */
        PROP_TMPFS,       /* a(ss): JSON array of [path, options] */
        PROP_FILTER,      /* (bas): JSON {"allow": bool, "names": [...]} */
        PROP_CAPS,        /* t: JSON array of capability names */
        PROP_CREDENTIALS, /* a(ss): JSON array of [id, path] */
        PROP_NAMESPACES,  /* t: JSON array of the allowed ones; text is yes, no, names or ~names */
};

struct prop_row {
        const char *name;      /* on D-Bus: "TimeoutStopUSec" */
        const char *file_name; /* in unit files when different: "TimeoutStopSec" */
        enum prop_type type;
        bool service; /* lives on the Service interface, else on Unit */
        bool live;    /* systemd can change it while the unit runs */
};

/* By either name; NULL when unknown. */
const struct prop_row *prop_find(const char *name);
/* The i-th row; NULL past the end. */
const struct prop_row *prop_at(size_t i);
/* The type as D-Bus writes it. */
const char *prop_signature(enum prop_type type);
/* Text as in a unit file -> JSON value of the property. -EINVAL with p. */
int prop_from_text(const struct prop_row *row, const char *text, json_t **ret, struct problem *p);
/* Bit numbers of "CAP_NET_ADMIN" or "NET_ADMIN"; -EINVAL when unknown. */
int capability_number(const char *name);
/* "CAP_CHOWN" for 0, and so on; NULL past the last. */
const char *capability_name(int number);
/* The mask of a JSON array of names. */
uint64_t capability_mask(const json_t *names);
/* The CLONE_NEW* mask of a JSON array of names ("net", "user", ...). */
uint64_t namespaces_mask(const json_t *names);
