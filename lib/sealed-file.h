/* Files sealed for a passphrase or for public keys, of any size, in pieces: who lacks the secret
 * learns nothing but the size, and nothing can be changed, left out, exchanged or cut off
 * unnoticed.
 *
 *      "keelson sealed file 1\n"
 *      one line of JSON: {"locks": [{"type": "passphrase", "salt", "iterations", "key"} or
 *                                   {"type": "x25519", "ephemeral", "key"}...]}
 *      pieces: 4 octets of size (big-endian), then sealed bytes (lib/crypto.h)
 *
 * Each lock holds the file's random key, sealed: with a key from the passphrase (PBKDF2-SHA256), or
 * with one from the secret that an ephemeral key shares with the recipient's (X25519, HKDF). The
 * key of the pieces is derived from the file's key and a hash of all that is before them. A piece
 * begins with its number (8 octets) and whether it is the last (1 octet). */
#pragma once

#include "lib/base.h"
#include "lib/problem.h"

/* Who can open it; one or more. */
struct sealed_for {
        const char *passphrase;  /* or NULL */
        char *const *recipients; /* texts "keelson-recipient-...", or NULL */
};
/* One of them. */
struct sealed_with {
        const char *passphrase;
        const char *identity; /* "keelson-identity-..." */
};

/* A new identity (secret) and its recipient (public), as texts of one line without its end. */
int sealed_identity_new(char **ret_identity, char **ret_recipient);
/* The recipient of an identity. -EINVAL. */
int sealed_recipient_of(const char *identity, char **ret_recipient);

/* Reads `in` from where it is to its end. p says why not. */
int sealed_write(int in, int out, const struct sealed_for *locks, struct problem *p);
/* -EKEYREJECTED: another passphrase or key; -EBADMSG: it was changed or is not whole. What was
 * written until then is not to be used. */
int sealed_read(int in, int out, const struct sealed_with *with, struct problem *p);
/* Whether the file begins as one; its offset stays. */
bool sealed_is(int fd);
