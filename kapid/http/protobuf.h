/* Answers of requests whose client takes protobuf. */
#pragma once

#include "kapid/http/request.h"
#include "kapid/pipeline/encode.h"

/* Whether the answer to a request can be protobuf in that form: there are no such Tables, and no
 * such objects of definitions. */
bool request_has_protobuf(const struct request *request, enum form form);
/* What the objects of the request's kind are as messages, in its form. */
struct message_type request_message(const struct request *request);
/* The kind of its lists: "PodList", "PartialObjectMetadataList". */
const char *request_list_kind(const struct request *request);
/* A complete JSON answer of the request as protobuf. -EOPNOTSUPP: it has no such form, -EINVAL,
 * -ENOMEM. */
int request_encode(const struct request *request, const char *text, size_t n, struct buf *ret);
