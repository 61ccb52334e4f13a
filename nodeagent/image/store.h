/* The images of this machine: /var/lib/keelson/nodeagent/images. A digest "sha256:<hex>" is
 * "sha256-<hex>" in a path.
 *
 *      layers/<diff id>/tree/      a layer as unpacked
 *      layers/<diff id>/notes      of unpack_layer(), JSON
 *      images/<id>/root/           the root of containers: hard links into layers/
 *      images/<id>/record          JSON
 *      images/<id>/used            its time of modification: the last use
 *      names/<sha256 of the name>  {"name", "image": id}
 *      ingest/<random>/            a pull or import in progress, locked by it
 *      trash/<random>/             removed, not yet deleted
 *      lock
 *
 * Everything under layers/, images/ and names/ is whole: it was written elsewhere, synced, and
 * renamed. A crash leaves folders in ingest/ and trash/, or a layer that no image has; sweep
 * removes them.
 *
 * A record:
 *
 *      {"id": "sha256:..." (of the configuration), "digest": "sha256:..." (of the manifest; "" when
 *       there was none), "names": ["docker.io/library/nginx:1.25",
 *       "docker.io/library/nginx@sha256:..."], "size": bytes of all layers, "layers": [diff id],
 *       "pulled": time, "pinned": bool, "os", "architecture", "variant", "created", "config": of
 *       image_config_parse()}
 *
 * and, as image_store_list() and image_store_find() return it, also {"lastUsed": time, "root": path
 * of the root}. A name belongs to the image that its file in names/ says, so that a tag moves from
 * one image to another in one step; of a record's names those that moved are left out.
 *
 * A pinned image (imported, not pulled) is never removed by the garbage collection: no registry
 * could bring it back.
 *
 * Any process of root may read at any time. Names, images and layers are added and removed only
 * under the lock, which is held for moments: files are deleted after it was released. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"
#include "nodeagent/image/reference.h"

#define IMAGE_STORE_DIR "/var/lib/keelson/nodeagent/images"

struct image_store;

/* Opens the store; makes its folders (0700) when they are missing. p names the path and remedy. */
int image_store_open(struct image_store **ret, const char *dir, struct problem *p);
struct image_store *image_store_free(struct image_store *s);
DEFINE_CLEANUP(struct image_store *, image_store_free);

/* An array of all records, by id. A record that cannot be read is left out. -ENOMEM, errno. */
int image_store_list(struct image_store *s, json_t **ret);
/* The record of what a pod's `image` names: a reference (by tag or digest), or an id
 * ("sha256:<hex>"). *ret: a new reference. -ENOENT: it is not here; -EINVAL: not a reference. */
int image_store_find(struct image_store *s, const char *image, json_t **ret);
/* Notes that the image is used now (its containers start, run or end). -ENOENT, errno. */
int image_store_mark_used(struct image_store *s, const char *id, uint64_t wall_us);
/* Bytes of the file system that holds the store. */
int image_store_disk(struct image_store *s, uint64_t *ret_size, uint64_t *ret_free);

/* Removes a name; the image goes with its last one. 1 when the image went, 0 when other names keep
 * it, -ENOENT. */
int image_store_remove_name(struct image_store *s, const char *name);
/* Removes an image with all its names, and the layers that no other image and no pull in progress
 * has. Moves them to trash/; -ENOENT. */
int image_store_remove(struct image_store *s, const char *id);
/* Deletes what is in trash/ and in ingest/ folders whose process is gone, and layers without an
 * image. May take long: not for an event loop; `keelson-image` does it. */
int image_store_sweep(struct image_store *s);

/* An image on its way into the store, in ingest/. */
struct image_ingest;
int image_ingest_begin(struct image_store *s, struct image_ingest **ret, struct problem *p);
/* Removes what was not committed. */
struct image_ingest *image_ingest_end(struct image_ingest *i);
DEFINE_CLEANUP(struct image_ingest *, image_ingest_end);
/* Its folder, for blobs and for layers that are being unpacked. Borrowed. */
const char *image_ingest_dir(const struct image_ingest *i);
/* Keeps these layers (diff ids) from being removed while the ingest lasts. */
int image_ingest_claim(struct image_ingest *i, const json_t *diff_ids);
/* Whether the store has the layer; its notes then. *ret_notes: a new reference. 1, 0. */
int image_ingest_has_layer(struct image_ingest *i, const char *diff_id, json_t **ret_notes);
/* A new empty folder for a layer's tree; open, in the ingest's folder. The caller closes it. */
int image_ingest_layer_folder(
                struct image_ingest *i, const char *diff_id, int *ret_fd, struct problem *p);
/* The layer's folder is complete. */
int image_ingest_layer_done(struct image_ingest *i, const char *diff_id, const json_t *notes,
                struct problem *p);
/* Makes the image's root of its layers, syncs everything and commits layers, image and names (full
 * references; another image loses the name). record: as above, without "names", "size", "pulled",
 * "lastUsed" and "root". *ret: the record as image_store_find() returns it. */
int image_ingest_commit(struct image_ingest *i, const json_t *record, const json_t *names,
                json_t **ret, struct problem *p);
/* Gives an image that is there further names. *ret as image_store_find() returns it. -ENOENT: it is
 * not there; other errors with p. */
int image_store_add_names(struct image_store *s, const char *id, bool pinned, const json_t *names,
                json_t **ret, struct problem *p);
