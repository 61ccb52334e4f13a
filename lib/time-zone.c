/* Reading compiled time zones (RFC 8536):
 *
 *      header, table with 32-bit times          version 1, skipped where there is a second one
 *      header, table with 64-bit times          version 2 and later
 *      "\n" rule "\n"                           what holds after the table
 *
 * A header: "TZif", version, 15 bytes, six counts of 4 bytes. A table: the times, the type of each,
 * the types (offset 4 bytes, is summer, name), names, leap seconds, two kinds of flags. All numbers
 * are big-endian. Leap seconds are ignored: the system's files ("posix") have none. */
#include "lib/time-zone.h"

#include <endian.h>

#include "lib/fileio.h"
#include "lib/time-zone-rule.h"

#define ZONEINFO "/usr/share/zoneinfo"

enum {
        FILE_SIZE_MAX = 256 * 1024,
        NAME_SIZE_MAX = 128,
        HEADER_SIZE = 44,
        RULE_SIZE_MAX = 256,
        OFFSET_MAX_S = 26 * 3600
};

struct time_zone {
        int64_t *times; /* ascending: from times[i] on, offsets[i] holds */
        int32_t *offsets;
        size_t count;
        int32_t before_s; /* before the first */
        bool has_rule;
        struct time_zone_rule rule; /* after the last */
};

struct time_zone *time_zone_free(struct time_zone *z) {
        if (!z)
                return NULL;
        free(z->times);
        free(z->offsets);
        free(z);
        return NULL;
}

enum { IS_UT, IS_STANDARD, LEAPS, TIMES, TYPES, CHARS, COUNTS };

struct header {
        uint8_t version;
        size_t counts[COUNTS];
};

static uint32_t read_u32(const uint8_t *s) {
        uint32_t v;

        memcpy(&v, s, sizeof(v));
        return be32toh(v);
}

static int64_t read_i64(const uint8_t *s) {
        uint64_t v;

        memcpy(&v, s, sizeof(v));
        return (int64_t)be64toh(v);
}

static int read_header(const uint8_t *s, size_t n, struct header *ret) {
        if (n < HEADER_SIZE || memcmp(s, "TZif", 4) != 0)
                return -EBADMSG;
        ret->version = s[4];
        for (size_t i = 0; i < COUNTS; i++) {
                ret->counts[i] = read_u32(s + 20 + 4 * i);
                if (ret->counts[i] > FILE_SIZE_MAX)
                        return -EBADMSG;
        }
        return ret->counts[TYPES] == 0 ? -EBADMSG : 0;
}

static size_t table_size(const struct header *h, size_t time_size) {
        return h->counts[TIMES] * (time_size + 1) + h->counts[TYPES] * 6 + h->counts[CHARS] +
               h->counts[LEAPS] * (time_size + 4) + h->counts[IS_STANDARD] + h->counts[IS_UT];
}

static int read_table(
                struct time_zone *z, const uint8_t *s, const struct header *h, size_t time_size) {
        const uint8_t *types = s + h->counts[TIMES] * time_size,
                      *offsets = types + h->counts[TIMES];

        z->count = h->counts[TIMES];
        z->times = calloc(MAX(z->count, (size_t)1), sizeof(*z->times));
        z->offsets = calloc(MAX(z->count, (size_t)1), sizeof(*z->offsets));
        if (!z->times || !z->offsets)
                return -ENOMEM;
        z->before_s = (int32_t)read_u32(offsets);
        for (size_t i = 0; i < z->count; i++) {
                const uint8_t *at = s + i * time_size;

                z->times[i] = time_size == 8 ? read_i64(at) : (int32_t)read_u32(at);
                if (types[i] >= h->counts[TYPES] || (i > 0 && z->times[i] <= z->times[i - 1]))
                        return -EBADMSG;
                z->offsets[i] = (int32_t)read_u32(offsets + 6 * (size_t)types[i]);
                if (z->offsets[i] > OFFSET_MAX_S || z->offsets[i] < -OFFSET_MAX_S)
                        return -EBADMSG;
        }
        return z->before_s > OFFSET_MAX_S || z->before_s < -OFFSET_MAX_S ? -EBADMSG : 0;
}

static int read_rule(struct time_zone *z, const uint8_t *s, size_t n) {
        const uint8_t *end = n > 0 && *s == '\n' ? memchr(s + 1, '\n', n - 1) : NULL;
        char text[RULE_SIZE_MAX];
        size_t length;

        if (!end)
                return -EBADMSG;
        length = (size_t)(end - s) - 1;
        if (length >= sizeof(text))
                return -EBADMSG;
        if (length == 0)
                return 0;
        memcpy(text, s + 1, length);
        text[length] = 0;
        if (time_zone_rule_parse(text, &z->rule) < 0)
                return -EBADMSG;
        z->has_rule = true;
        return 0;
}

int time_zone_parse(const void *data, size_t n, struct time_zone **ret) {
        _cleanup_(time_zone_freep) struct time_zone *z = calloc(1, sizeof(*z));
        const uint8_t *s = data;
        struct header h = {0};
        size_t size, time_size = 4;
        int r = z ? read_header(s, n, &h) : -ENOMEM;

        if (r < 0)
                return r;
        size = table_size(&h, time_size);
        if (h.version >= '2') {
                if (n - HEADER_SIZE < size)
                        return -EBADMSG;
                s += HEADER_SIZE + size;
                n -= HEADER_SIZE + size;
                r = read_header(s, n, &h);
                if (r < 0)
                        return r;
                time_size = 8;
                size = table_size(&h, time_size);
        }
        if (n - HEADER_SIZE < size)
                return -EBADMSG;
        r = read_table(z, s + HEADER_SIZE, &h, time_size);
        if (r < 0)
                return r;
        if (time_size == 8)
                r = read_rule(z, s + HEADER_SIZE + size, n - HEADER_SIZE - size);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(z);
        return 0;
}

/* Letters, digits, "+", "-", "_" in parts separated by "/": no way out of the folder. */
static bool name_is_zone(const char *name) {
        if (strlen(name) > NAME_SIZE_MAX)
                return false;
        for (const char *s = name; *s; s++) {
                bool part = s == name || s[-1] == '/';
                bool letter = (*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z');

                if (!letter && (part || !((*s >= '0' && *s <= '9') || strchr("+-_/", *s))))
                        return false;
        }
        return *name && !endswith(name, "/");
}

int time_zone_load(const char *name, struct time_zone **ret) {
        _cleanup_free_ char *path = NULL, *data = NULL;
        size_t n;
        int r;

        if (!name_is_zone(name))
                return -EINVAL;
        path = strformat("%s/%s", ZONEINFO, name);
        if (!path)
                return -ENOMEM;
        r = file_read(path, FILE_SIZE_MAX, &data, &n);
        if (r < 0)
                return r == -EISDIR || r == -ENOTDIR ? -ENOENT : r;
        return time_zone_parse(data, n, ret);
}

int32_t time_zone_offset(const struct time_zone *z, int64_t at, int64_t *ret_until) {
        size_t low = 0, high = z ? z->count : 0;

        *ret_until = INT64_MAX;
        if (!z)
                return 0;
        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (z->times[middle] <= at)
                        low = middle + 1;
                else
                        high = middle;
        }
        if (low == z->count && z->has_rule)
                return time_zone_rule_offset(&z->rule, at, ret_until);
        if (low < z->count)
                *ret_until = z->times[low];
        return low == 0 ? z->before_s : z->offsets[low - 1];
}
