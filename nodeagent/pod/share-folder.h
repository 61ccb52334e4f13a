/* The folders of NFS shares, for `knodeagent share-bind` and `share-remove`: processes of their
 * own, started by the agent as units with a time limit, because every look into a share may hang.
 */
#pragma once

#include "lib/base.h"

/* Mounts what `sub` means below the folder of the share at `where` at target; does nothing where
 * something is mounted there. A missing folder is made (mode 0777), and what sub names too. folder
 * "": the share itself. No link leads out of the folder, and the folder itself is reached through
 * none. -ENOTCONN: no share is mounted at where. */
int share_bind(const char *where, const char *folder, const char *sub, const char *target);
/* Removes the folder with all that is in it; archive: gives it this new name (no path) instead. 0
 * also when there is none. -EXDEV, -ELOOP: a link or a mount is in the way; -EEXIST: the new name
 * is in use. */
int share_remove(const char *where, const char *folder, const char *archive);
/* The subcommands: `share-bind ERRORS WHERE FOLDER SUB TARGET` and `share-remove ERRORS WHERE
 * FOLDER ARCHIVE`, "" for what is not asked for. A message is written to the file ERRORS. Return
 * the exit code. */
int share_bind_main(char **arguments);
int share_remove_main(char **arguments);
