/* Discovery and OpenAPI documents, made from the kinds. All return new references or owned bytes
 * and are worth caching by kind_registry_generation. */
#pragma once

#include "lib/buf.h"
#include "kapid/kinds/kind.h"

/* APIGroupDiscoveryList: of /api (core) or /apis; version is "v2" or "v2beta1". */
json_t *discovery_aggregated(const struct kind_registry *r, bool core, const char *version);
/* The old documents. address: "host:port" for serverAddressByClientCIDRs. */
json_t *discovery_api_versions(const char *address);         /* /api */
json_t *discovery_group_list(const struct kind_registry *r); /* /apis */
json_t *discovery_group(const struct kind_registry *r,
                const char *group); /* /apis/GROUP; NULL when unknown */
json_t *discovery_resource_list(const struct kind_registry *r, const char *group,
                const char *version); /* NULL when unknown */

/* /openapi/v3: {"paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=..."}}}. The
 * hash is another one when the document is; it is the same in every kapid. */
json_t *openapi_v3_index(const struct kind_registry *r);
/* The document of one group version; text, because it is large and made once. NULL when unknown. */
char *openapi_v3_document(const struct kind_registry *r, const char *group, const char *version);
/* /openapi/v2 as JSON (paths and definitions) and as protobuf (the PATCH operations). */
char *openapi_v2_json(const struct kind_registry *r);
int openapi_v2_protobuf(const struct kind_registry *r, struct buf *ret);
