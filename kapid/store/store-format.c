/* One read, perhaps one write, then the caches. Several kapids may do it at once: the write is
 * guarded by what was read. */
#include "kapid/store/store-format.h"

#include "lib/formats.h"
#include "lib/log.h"

enum { RETRY_US = 1000 * 1000 };

struct store_format {
        struct api *api;
        sd_event_source *timer;
        bool pending, done;
};

enum store_format_verdict store_format_judge(const char *value, unsigned *ret_format) {
        uint32_t format = 0;

        if (!value)
                return STORE_FORMAT_OLDER;
        if (parse_u32(value, &format) < 0 || format == 0)
                return STORE_FORMAT_UNKNOWN;
        *ret_format = format;
        return format > FORMAT_OBJECTS   ? STORE_FORMAT_NEWER
               : format < FORMAT_OBJECTS ? STORE_FORMAT_OLDER
                                         : STORE_FORMAT_CURRENT;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        struct store_format *f = userdata;

        f->timer = sd_event_source_disable_unref(f->timer);
        store_format_on_store(f);
        return 0;
}

static void retry_later(struct store_format *f) {
        f->pending = false;
        if (!f->timer && sd_event_add_time_relative(f->api->event, &f->timer, CLOCK_MONOTONIC,
                                         RETRY_US, 0, on_retry, f) < 0)
                log_warning("Cannot set a timer to read the store's format");
}

static void begin(struct store_format *f) {
        f->pending = false;
        f->done = true;
        caches_follow(f->api->caches, f->api->store);
}

static void on_written(const struct store_result *res, void *userdata) {
        struct store_format *f = userdata;

        /* Another one may have written it meanwhile: it is read again. */
        if (res->error || !res->succeeded)
                retry_later(f);
        else
                begin(f);
}

static void write_format(struct store_format *f, uint64_t revision) {
        char text[16];
        const struct store_guard guard = {.key = STORE_FORMAT_KEY, .revision = revision};
        const struct store_op op = {.key = STORE_FORMAT_KEY,
                        .value = text,
                        .size = (size_t)snprintf(text, sizeof(text), "%d", FORMAT_OBJECTS)};
        const struct store_txn txn = {
                        .guards = &guard, .guard_count = 1, .ops = &op, .op_count = 1};

        if (store_txn(f->api->store, &txn, on_written, f) < 0)
                retry_later(f);
}

static void refuse(struct store_format *f, const char *value) {
        log_error("What is in the store has format %s, written by a newer kapid; this one knows "
                  "formats up to %d: start the newer program (or restore a backup from before the "
                  "upgrade)",
                        value, FORMAT_OBJECTS);
        (void)sd_event_exit(f->api->event, EXIT_FAILURE);
}

static void on_read(const struct store_result *res, void *userdata) {
        struct store_format *f = userdata;
        const struct store_kv *kv = res->count > 0 ? &res->kvs[0] : NULL;
        _cleanup_free_ char *value = kv ? strndup(strempty(kv->value), kv->size) : NULL;
        unsigned format;

        if (res->error || (kv && !value)) {
                retry_later(f);
                return;
        }
        switch (store_format_judge(value, &format)) {
        case STORE_FORMAT_CURRENT:
                begin(f);
                return;
        case STORE_FORMAT_OLDER:
                write_format(f, kv ? kv->revision : 0);
                return;
        case STORE_FORMAT_NEWER:
        case STORE_FORMAT_UNKNOWN:
                refuse(f, value);
                return;
        }
}

void store_format_on_store(struct store_format *f) {
        const struct store_range range = {.key = STORE_FORMAT_KEY};

        if (f->done || f->pending || !store_is_connected(f->api->store))
                return;
        if (store_range(f->api->store, &range, on_read, f) < 0)
                retry_later(f);
        else
                f->pending = true;
}

int store_format_start(struct store_format **ret, struct api *a) {
        struct store_format *f = calloc(1, sizeof(*f));

        if (!f)
                return -ENOMEM;
        f->api = a;
        *ret = f;
        store_format_on_store(f);
        return 0;
}

struct store_format *store_format_free(struct store_format *f) {
        if (!f)
                return NULL;
        sd_event_source_disable_unref(f->timer);
        return mfree(f);
}
