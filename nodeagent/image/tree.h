/* Trees of files: the layers of an image become one tree, its root. Every file of the root is a
 * hard link to the layer's, so that a file is on the disk once, however many images have it, and
 * the root is complete: no whiteouts, no limit of layers, no special attributes, and it can be
 * mounted read-only as it is. Where a file system refuses a further link, the file is copied.
 *
 * Why not one overlay of the layers: whiteouts (character devices 0:0) and opaque folders cannot be
 * stored where the folder itself is on an overlay, and the options of a mount hold no more than
 * some 40 layers. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* Adds the layer at `layer` (its folder and the notes of unpack_layer()) on top of the root. Both
 * are open folders on one file system. -EINVAL and other errors with p by image_problem(). */
int tree_add_layer(int root, int layer, const json_t *notes, struct problem *p);

/* Copies a whole tree with owners, modes, times, extended attributes and hard links, for machines
 * where an overlay cannot be mounted; shares blocks where the file system can (FICLONE). The folder
 * `to` is open and empty. Blocks; errno. */
int tree_copy(int from, int to);
