/* Sealed backups: the store and the folder of configuration, authorities and keys in one file,
 * which opens only with a passphrase or a key. The identity of a node that the machine is too is
 * left out: a restored control plane is not that node.
 *
 * In the sealed file: the store's backup, a tar of the folder, one line of JSON with the sizes of
 * both ({"store": N, "keys": N, ...}), and the size of that line as 16 hexadecimal digits. */
#pragma once

#include "kctl/machine.h"
#include "lib/sealed-file.h"

/* Whether the flags ask for a sealed backup. */
bool sealing_is_wanted(const struct kctl *k);
/* Adds the folder of the control plane (--control, --dir, or this machine's) and the sizes to the
 * store's backup in fd. */
int sealing_add_keys(struct kctl *k, int fd, struct problem *p);
/* Seals what fd holds into a new file. */
int sealing_seal(struct kctl *k, int fd, const char *path, struct problem *p);

struct opened {
        char *path; /* the store's backup, alone: a file that is removed by opened_done() */
        char *keys; /* the tar */
        size_t keys_size;
        char *time; /* when it was made: RFC 3339; may be NULL */
};
void opened_done(struct opened *o);
/* Opens a sealed backup with what the flags give. 0 with everything empty: it is not sealed. */
int sealing_open(struct kctl *k, const char *file, struct opened *ret, struct problem *p);
/* Writes the folder of the backup to the machine (--control, --dir, or this one). One that is there
 * is kept aside with --force, and otherwise refused. */
int sealing_put_keys(struct kctl *k, const struct opened *o, struct problem *p);
/* The same to a machine whose folder holds no keys. */
int sealing_put_keys_on(struct machine *m, const struct opened *o, struct problem *p);

/* "keelson-20240102T030405Z.sealed" (or ".backup"). Caller frees. Pure. */
char *backup_file_name(uint64_t wall_us, bool sealed);
/* Of the names in a folder those of scheduled backups that are not among the `keep` newest. Pure.
 */
int backup_surplus(char *const *names, size_t keep, char ***ret);
