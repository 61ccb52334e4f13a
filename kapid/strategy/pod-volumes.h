/* The volumes of a pod and the files that containers see of them. */
#pragma once

#include "kapid/strategy/strategy.h"

/* spec.volumes, at the path's end and "volumes". */
void pod_volumes_validate(struct findings *f, const json_t *spec);
/* volumeMounts and volumeDevices of a container, at the path's end. */
void pod_mounts_validate(struct findings *f, const json_t *volumes, const json_t *container);
/* A path below a folder: relative, without "..". field: after the path's end, or NULL. */
void pod_validate_path_below(struct findings *f, const char *field, const json_t *path);
