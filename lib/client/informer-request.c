/* Watches end after a while, each after another one. */
#include "lib/client/informer-request.h"

#include "lib/buf.h"
#include "lib/random.h"
#include "lib/url.h"

enum {
        PAGE_SIZE = 150,       /* a page is read and indexed in one turn of the loop */
        PAGE_SMALL = 5,        /* not too large for an answer, whatever is in the objects */
        PAGES_MAX = 10000,
        WATCH_TIMEOUT_S = 270, /* and up to a quarter more */
};

static void append_query(struct buf *b, const char *name, const char *value) {
        _cleanup_free_ char *escaped = NULL;

        if (isempty(value))
                return;
        escaped = url_escape(value);
        if (escaped)
                buf_printf(b, "&%s=%s", name, escaped);
        else
                b->failed = true;
}

char *informer_request_path(const struct informer_request *r) {
        _cleanup_buf_ struct buf b = {0};
        _cleanup_free_ char *query = NULL;

        if (r->resource_version) {
                buf_printf(&b, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%u",
                                (unsigned)(WATCH_TIMEOUT_S + random_below(WATCH_TIMEOUT_S / 4)));
                append_query(&b, "resourceVersion", r->resource_version);
        } else {
                buf_printf(&b, "limit=%d", r->small ? PAGE_SMALL : PAGE_SIZE);
                append_query(&b, "continue", r->continue_token);
        }
        append_query(&b, "labelSelector", r->label_selector);
        append_query(&b, "fieldSelector", r->field_selector);
        query = buf_take(&b);
        return query ? api_path(r->resource, r->ns, /* name= */ NULL, /* subresource= */ NULL,
                                       query)
                     : NULL;
}

unsigned informer_pages_max(bool small) {
        return small ? PAGES_MAX * (PAGE_SIZE / PAGE_SMALL) : PAGES_MAX;
}

const char *informer_request_accept(const struct informer_request *r) {
        if (!r->metadata_only)
                return NULL;
        return r->resource_version
                               ? "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,"
                                 "application/json"
                               : "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
                                 "application/json";
}
