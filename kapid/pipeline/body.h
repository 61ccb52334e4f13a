/* Reads a write's request: the body, the names in it, the field manager. */
#pragma once

#include "kapid/http/request.h"
#include "kapid/patch/managed.h"

/* Decodes the body into request->body, as the kind, or as the subresource's own one. Refusals as
 * pipeline_decode. */
int request_decode(struct request *request, struct problem *p);
/* Checks name and namespace of a body against the path and fills them in. */
int request_check_names(struct request *request, json_t *object, struct problem *p);
/* {manager, subresource, time} of the request, for field ownership; *ret_manager is to be freed and
 * lives longer than ret. */
int request_apply_options(struct request *request, bool is_apply, struct apply_options *ret,
                char **ret_manager, struct problem *p);
