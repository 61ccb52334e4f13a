/* Removes the folders of deleted volumes of this node (PersistentVolumes with the label
 * keelson.dev/node; those on NFS shares get it when they are deleted): watched from the API; when
 * the folder is gone, or is to be kept, the volume's finalizer keelson.dev/volume-data is removed.
 */
#pragma once

#include "nodeagent/agent.h"

struct local_volumes;
/* Borrows agent, whose api and pods must be there. */
int local_volumes_new(struct local_volumes **ret, struct agent *agent);
struct local_volumes *local_volumes_free(struct local_volumes *l);
DEFINE_CLEANUP(struct local_volumes *, local_volumes_free);
