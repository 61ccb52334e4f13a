/* One layer, unpacked into a folder: tar in the forms that libarchive reads, plain, gzip or zstd;
 * owners, modes, times, extended attributes (user.*, security.capability), hard and symbolic links,
 * FIFOs; devices and sockets are left out, because a container's /dev comes from the runtime.
 *
 * Nothing can leave the folder: paths with ".." are refused, and every path is resolved by
 * beneath.h, so that the layer's own links lead to other places of the folder at most. The process
 * that does it sees nothing but the folder (sandbox.h).
 *
 * A layer's changes to lower layers are not in the folder. They come out as notes:
 *
 *      {"whiteouts": [path], "opaque": [path of a folder], "links": [[path, target]],
 *       "implied": [path of a folder], "bytes": of all files, "entries": number}
 *
 * whiteouts: removed from the layers below (.wh.NAME, OCI layer.md); opaque: everything below is
 * hidden (.wh..wh..opq); links: hard links to files that are in a lower layer; implied: folders
 * that were made only because something is in them, so that a lower layer's owner and mode, or
 * link, stay. Paths are those of beneath_path(). tree.h applies the notes. */
#pragma once

#include "lib/json.h"
#include "nodeagent/image/cause.h"
#include "nodeagent/image/limits.h"

struct unpack_options {
        struct image_limits limits;
        uint64_t bytes_before, entries_before; /* of the image's lower layers, for the limits */
        const char *diff_id;                   /* of the layer's tar; NULL: not checked */
        /* Without: everything is the process's own, and security.capability is left out. */
        bool keep_owner;
        /* An archive of images, not a layer: .wh. names are ordinary, modes and attributes are left
         * out. */
        bool is_archive;
        /* Called with the bytes of the blob that were read; may be NULL. */
        void (*on_progress)(uint64_t done, void *userdata);
        void *userdata;
};

/* Reads the blob from the descriptor until its end and unpacks it into the folder (an open, empty
 * one). *ret_notes: a new reference. Errors fill p by image_problem(); the folder's contents are
 * then to be removed by the caller. */
int unpack_layer(int blob, int folder, const struct unpack_options *options, json_t **ret_notes,
                struct problem *p);
