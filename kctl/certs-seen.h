/* The certificates of a control plane: which there are, what they are like, and which of them are
 * to be renewed. */
#pragma once

#include "kctl/certs-place.h"
#include "lib/json.h"
#include "lib/pki-renew.h"

struct cert_row {
        const char *name;      /* NAME.crt and NAME.key; "admin" is in a kubeconfig */
        const char *authority; /* one of authority_names; NULL: it is one */
        const char *holder;    /* for people */
};

struct cert_seen {
        const struct cert_row *row; /* NULL: of a node or pod */
        char *name, *where;
        char *pem;
        struct pki_view view;
        bool is_signed;  /* by an authority that is trusted */
        bool is_current; /* by the authority that signs now */
};
struct certs_seen {
        struct cert_seen *items;
        size_t count, allocated;
};
void certs_seen_done(struct certs_seen *seen);
#define _cleanup_certs_seen_ _cleanup_(certs_seen_done)

/* An authority: those that are trusted, and the key that signs. */
struct authority {
        char *bundle, *key, *signer; /* key, signer: NULL where the place has no key */
};
void authority_done(struct authority *a);
#define _cleanup_authority_ _cleanup_(authority_done)
/* name: one of authority_names. -ENOENT without p: the place has none. */
int authority_read(const struct certs_place *place, const char *name, struct authority *ret,
                struct problem *p);

/* The cluster's, the store's, and that of the front proxy; a place may lack all but the first. */
enum { AUTHORITIES = 3 };
extern const char *const authority_names[AUTHORITIES];
struct authorities {
        struct authority items[AUTHORITIES];
};
void authorities_done(struct authorities *all);
#define _cleanup_authorities_ _cleanup_(authorities_done)
int authorities_read(const struct certs_place *place, struct authorities *ret, struct problem *p);
const struct authority *authority_of(const struct authorities *all, const char *name);

/* Reads all that there are at a place; those that it lacks are left out. */
int certs_see(const struct certs_place *place, struct certs_seen *ret, struct problem *p);
/* Adds one that was read elsewhere. cas: who may have signed it, or NULL. */
int certs_seen_add(struct certs_seen *seen, const struct cert_row *row, const char *name,
                const char *where, const char *pem, const struct authority *a, struct problem *p);

enum cert_action {
        CERT_KEEP,
        CERT_RENEW,
        CERT_ROTATE, /* an authority that is due: another verb does that */
        CERT_CLOCK,  /* not valid yet: a clock is wrong */
};
struct cert_wish {
        bool due;           /* only those that are due or expired */
        bool other_signer;  /* also those that the present authority has not signed */
        char *const *names; /* only these; NULL: all */
};
/* Pure. */
enum cert_action cert_decide(
                const struct cert_seen *seen, const struct cert_wish *wish, uint64_t now_s);
/* "fresh", "due", "expired", "not yet valid", "not ours". Pure. */
const char *cert_state(const struct cert_seen *seen, uint64_t now_s);
/* One object a certificate. NULL when out of memory. Pure. */
json_t *certs_json(const struct certs_seen *seen, uint64_t now_s);
void certs_print(const struct certs_seen *seen, uint64_t now_s, bool headers);
/* The row of that name, or NULL. */
const struct cert_row *cert_row_named(const char *name);

/* The front proxy's files where an installation of an earlier version has none. */
int certs_add_front_proxy(const struct certs_place *place, uint64_t life_s, struct problem *p);
/* The administrator's certificate in a kubeconfig, and the daemons' in files of their own: an
 * installation of an earlier version has them in kubeconfigs. Splits those. */
int certs_split(const struct certs_place *place, struct problem *p);
