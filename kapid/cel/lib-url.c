/* URLs: Kubernetes' url(), isURL() and their parts. */
#include "kapid/cel/lib-url-text.h"

static bool same(struct cel_value a, struct cel_value b) {
        return a.text.size == b.text.size && memcmp(a.text.data, b.text.data, a.text.size) == 0;
}

static bool equal(const void *a, const void *b) {
        const struct cel_url *x = a, *y = b;

        return same(x->scheme, y->scheme) && same(x->opaque, y->opaque) &&
               x->has_user == y->has_user && same(x->user, y->user) &&
               x->has_password == y->has_password && same(x->password, y->password) &&
               same(x->host, y->host) && same(x->path, y->path) && x->has_query == y->has_query &&
               same(x->query, y->query) && same(x->fragment, y->fragment);
}

static const struct cel_opaque_class url_class = {
                .type = {.kind = CEL_TYPE_OPAQUE, .name = "kubernetes.URL", .size_max = UINT64_MAX},
                .equal = equal};

static const struct cel_url *url_of(struct cel_value v) {
        return v.opaque.data;
}

static struct cel_value url(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value error;
        struct cel_url parsed;

        if (!cel_url_parse(run, args[0], &parsed, &error))
                return cel_error(run, "URL parse error during conversion from string: %.*s",
                                (int)error.text.size, error.text.data);
        return cel_opaque_copy(run, &url_class, &parsed, sizeof(parsed));
}

static struct cel_value is_url(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value error;
        struct cel_url parsed;

        return cel_bool(cel_url_parse(run, args[0], &parsed, &error));
}

static struct cel_value scheme(struct cel_run *run, const struct cel_value *args, size_t n) {
        return url_of(args[0])->scheme;
}

static struct cel_value host(struct cel_run *run, const struct cel_value *args, size_t n) {
        return url_of(args[0])->host;
}

/* Where ":port" begins; the end when there is none. */
static size_t port_from(struct cel_value host) {
        const char *colon = memrchr(host.text.data, ':', host.text.size);
        size_t at = colon ? (size_t)(colon - host.text.data) : host.text.size;

        return cel_url_is_port(cel_text_from(host, at)) ? at : host.text.size;
}

static struct cel_value hostname(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value host = url_of(args[0])->host;
        size_t size = port_from(host);

        if (size > 1 && host.text.data[0] == '[' && host.text.data[size - 1] == ']')
                return cel_string_at(host.text.data + 1, size - 2);
        return cel_string_at(host.text.data, size);
}

static struct cel_value port(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value host = url_of(args[0])->host;
        size_t from = port_from(host);

        return cel_text_from(host, MIN(from + 1, host.text.size));
}

static struct cel_value path(struct cel_run *run, const struct cel_value *args, size_t n) {
        return url_of(args[0])->path;
}

/* --- the query: names -> lists of values; what is no pair is left out --- */

static struct cel_value take_piece(struct cel_value *rest) {
        const char *end = memchr(rest->text.data, '&', rest->text.size);
        size_t n = end ? (size_t)(end - rest->text.data) : rest->text.size;
        struct cel_value piece = cel_string_at(rest->text.data, n);

        *rest = cel_text_from(*rest, MIN(n + 1, rest->text.size));
        return piece;
}

static bool read_pair(struct cel_run *run, struct cel_value piece, struct cel_value *ret_key,
                struct cel_value *ret_value) {
        const char *equals = memchr(piece.text.data, '=', piece.text.size);
        size_t n = equals ? (size_t)(equals - piece.text.data) : piece.text.size;

        if (piece.text.size == 0 || memchr(piece.text.data, ';', piece.text.size))
                return false;
        return cel_url_unescape_query(run, cel_string_at(piece.text.data, n), ret_key) &&
               cel_url_unescape_query(
                               run, cel_text_from(piece, MIN(n + 1, piece.text.size)), ret_value);
}

struct pair {
        struct cel_value key, value;
        size_t position;
};

static int pair_compare(const void *a, const void *b) {
        const struct pair *x = a, *y = b;
        int order = 0;

        if (cel_compare(x->key, y->key, &order) && order != 0)
                return order;
        return (x->position > y->position) - (x->position < y->position);
}

static struct cel_value map_of_pairs(struct cel_run *run, const struct pair *pairs, size_t count) {
        struct cel_value map = cel_map_empty(run);

        for (size_t i = 0; i < count && !cel_is_error(map);) {
                struct cel_value list = cel_list_of(run, NULL, 0), key = pairs[i].key;

                for (; i < count && same(pairs[i].key, key) && !cel_is_error(list); i++)
                        list = cel_list_append(run, list, pairs[i].value);
                if (cel_is_error(list))
                        return list;
                map = cel_map_insert(run, map, key, list);
        }
        return map;
}

static struct cel_value query(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value rest = url_of(args[0])->query;
        size_t most = 1, count = 0;
        struct pair *pairs;

        for (size_t i = 0; i < rest.text.size; i++)
                most += rest.text.data[i] == '&';
        pairs = cel_alloc(run, most * sizeof(*pairs));
        if (!pairs)
                return cel_no_memory(run);
        while (rest.text.size > 0) {
                struct pair *p = &pairs[count];

                if (!cel_spend(run, 0))
                        return cel_spent(run);
                p->position = count;
                count += read_pair(run, take_piece(&rest), &p->key, &p->value);
        }
        qsort(pairs, count, sizeof(*pairs), pair_compare);
        return map_of_pairs(run, pairs, count);
}

static const struct cel_row rows[] = {
                {"url", 0, "(string) -> kubernetes.URL", url, cel_cost_of_first, cel_estimate_first,
                                "string_to_url"},
                {"isURL", 0, "(string) -> bool", is_url, NULL, NULL, "is_url_string"},
                {"getScheme", CEL_MEMBER, "(kubernetes.URL) -> string", scheme, NULL, NULL,
                                "url_get_scheme"},
                {"getHost", CEL_MEMBER, "(kubernetes.URL) -> string", host, NULL, NULL,
                                "url_get_host"},
                {"getHostname", CEL_MEMBER, "(kubernetes.URL) -> string", hostname, NULL, NULL,
                                "url_get_hostname"},
                {"getPort", CEL_MEMBER, "(kubernetes.URL) -> string", port, NULL, NULL,
                                "url_get_port"},
                {"getEscapedPath", CEL_MEMBER, "(kubernetes.URL) -> string", path, NULL, NULL,
                                "url_get_escaped_path"},
                {"getQuery", CEL_MEMBER, "(kubernetes.URL) -> map(string, list(string))", query,
                                NULL, NULL, "url_get_query"},
};

static const struct cel_opaque_class *const classes[] = {&url_class};

const struct cel_library cel_library_url = {.name = "url",
                .rows = rows,
                .row_count = ELEMENTS(rows),
                .classes = classes,
                .class_count = ELEMENTS(classes)};
