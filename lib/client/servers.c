/* Which API servers there are: the list, and what the API and a file say about it. */
#include "lib/client/servers.h"

#include "lib/buf.h"

#define SLICE_PORT "https"

bool server_is_valid(const char *url) {
        const char *host = startswith(url, "https://");

        if (!host)
                host = startswith(url, "http://");
        if (!host || !*host || strlen(url) > SERVER_SIZE_MAX)
                return false;
        for (const char *c = host; *c; c++)
                if (*c <= ' ' || *c >= 0x7f || strchr("/?#@\\\"'", *c))
                        return false;
        return true;
}

static bool has(const struct servers *s, const char *url) {
        for (size_t i = 0; i < s->count; i++)
                if (streq(s->items[i], url))
                        return true;
        return false;
}

static int add(struct servers *s, const char *url) {
        if (has(s, url) || s->count >= SERVERS_MAX)
                return 0;
        s->items[s->count] = strdup(url);
        if (!s->items[s->count])
                return -ENOMEM;
        s->count++;
        return 1;
}

int servers_init(struct servers *s, const char *first, char *const *more) {
        int r;

        *s = (struct servers){0};
        if (!server_is_valid(first))
                return -EINVAL;
        r = add(s, first);
        for (; r >= 0 && more && *more; more++)
                r = server_is_valid(*more) ? add(s, *more) : -EINVAL;
        s->configured = s->count;
        if (r < 0)
                servers_done(s);
        return r < 0 ? r : 0;
}

void servers_done(struct servers *s) {
        for (size_t i = 0; i < s->count; i++)
                free(s->items[i]);
        *s = (struct servers){0};
}

const char *servers_current(const struct servers *s) {
        assert(s->current < s->count);
        return s->items[s->current];
}

int servers_use(struct servers *s, const char *url) {
        for (size_t i = 0; i < s->count; i++)
                if (streq(s->items[i], url)) {
                        bool moved = i != s->current;

                        s->current = i;
                        return moved;
                }
        return 0;
}

/* Whether the list behind the configured ones is already what would be made of the URLs. */
static bool is_same(const struct servers *a, const struct servers *b) {
        if (a->count != b->count)
                return false;
        for (size_t i = 0; i < a->count; i++)
                if (!streq(a->items[i], b->items[i]))
                        return false;
        return true;
}

int servers_learn(struct servers *s, char *const *urls) {
        struct servers next = {0};
        bool changed;
        int r = 0;

        if (strv_length(urls) == 0)
                return 0;
        for (size_t i = 0; r >= 0 && i < s->configured; i++)
                r = add(&next, s->items[i]);
        next.configured = next.count;
        for (; r >= 0 && *urls; urls++)
                if (server_is_valid(*urls)) {
                        r = add(&next, *urls);
                        next.learned++;
                }
        if (r >= 0) /* it answers: where it is not named yet, it will be */
                r = add(&next, servers_current(s));
        if (r < 0) {
                servers_done(&next);
                return r;
        }
        (void)servers_use(&next, servers_current(s));
        changed = !is_same(s, &next);
        servers_done(s);
        *s = next;
        return changed;
}

bool servers_are_redundant(const struct servers *s) {
        return s->count > 1 && (s->configured > 1 || s->learned > 1);
}

static int add_slice(const json_t *slice, char ***urls) {
        const json_t *endpoint, *ports = json_object_get(slice, "ports"), *port;
        int64_t number = 0;
        size_t i;
        int r;

        json_array_foreach (ports, i, port)
                if (streq(json_str_or(port, "name", ""), SLICE_PORT))
                        number = json_int_or(port, "port", 0);
        if (number <= 0 || number > UINT16_MAX)
                return 0;
        json_array_foreach (json_object_get(slice, "endpoints"), i, endpoint) {
                const char *address = json_string_value(
                                json_array_get(json_object_get(endpoint, "addresses"), 0));
                _cleanup_free_ char *url = NULL;

                if (isempty(address))
                        continue;
                url = strformat(strchr(address, ':') ? "https://[%s]:%u" : "https://%s:%u", address,
                                (unsigned)number);
                if (!url)
                        return -ENOMEM;
                if (!server_is_valid(url) || strv_contains(*urls, url))
                        continue;
                r = strv_extend(urls, url);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int servers_of_slices(const json_t *list, char ***ret) {
        _cleanup_strv_free_ char **urls = NULL;
        const json_t *slice;
        size_t i;
        int r;

        json_array_foreach (json_object_get(list, "items"), i, slice) {
                r = add_slice(slice, &urls);
                if (r < 0)
                        return r;
        }
        if (urls)
                qsort(urls, strv_length(urls), sizeof(*urls), compare);
        *ret = TAKE_PTR(urls);
        return 0;
}

char *servers_text(char *const *urls) {
        _cleanup_buf_ struct buf b = {0};

        for (; urls && *urls; urls++)
                buf_printf(&b, "%s\n", *urls);
        return buf_take(&b);
}

int servers_parse(const char *text, char ***ret) {
        _cleanup_strv_free_ char **lines = NULL, **urls = NULL;
        int r = strv_split(text, "\n", &lines);

        if (r < 0)
                return r;
        for (char **line = lines; line && *line && strv_length(urls) < SERVERS_MAX; line++) {
                if (!server_is_valid(*line) || strv_contains(urls, *line))
                        continue;
                r = strv_extend(&urls, *line);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(urls);
        return 0;
}
