/* The URL space of the API (docs/wire.md section 3):
 *
 *      /api/VERSION/...  and  /apis/GROUP/VERSION/..., then
 *      RES[/NAME[/SUB]]  or  namespaces/NS/RES[/NAME[/SUB]]
 *
 * where namespaces/NAME itself, and its status and finalize, are the Namespace. `watch/` before
 * RES or namespaces/ is the old way to watch a collection, or the one object of NAME: older clients
 * (godaddy's kubernetes-client, kubeclient of Ruby) know no other. What follows a
 * subresource is an extension server's (kapid/aggregation/); what follows core's "proxy" is the
 * business of the server that gets it, and is not looked at. */
#include "kapid/http/route.h"

#include "lib/hex.h"

enum { SEGMENTS_MAX = 32, LEAST = 0x20 /* what a name may hold */ };

bool query_true(const char *value) {
        return value && !streq(value, "0") && !strcaseeq(value, "false");
}

void route_done(struct route *r) {
        free(r->text);
        free((char *)r->path);
        free((char *)r->rest);
        *r = (struct route){0};
}

static bool is_word(const char *s, size_t n, const char *word) {
        return strlen(word) == n && memcmp(s, word, n) == 0;
}

static const char *verb_of(const char *method, bool item, bool watch) {
        if (streq(method, "GET") || streq(method, "HEAD"))
                return item ? "get" : watch ? "watch" : "list";
        if (streq(method, "POST"))
                return "create";
        if (streq(method, "PUT"))
                return "update";
        if (streq(method, "PATCH"))
                return "patch";
        if (streq(method, "DELETE"))
                return item ? "delete" : "deletecollection";
        return NULL;
}

/* The segments after the version. */
static void fill_resource(struct route *r, char *const *s, size_t n) {
        bool namespaced = streq(s[0], "namespaces") && n > 2 && isempty(r->group) &&
                          !streq(s[2], "status") && !streq(s[2], "finalize");

        if (streq(s[0], "namespaces") && n > 2 && !isempty(r->group))
                namespaced = true;
        if (namespaced) {
                r->namespace = s[1];
                s += 2;
                n -= 2;
        }
        r->deep = n > 3;
        r->plural = s[0];
        if (n > 1)
                r->name = s[1];
        if (n > 2)
                r->subresource = s[2];
        r->resource = true;
}

static const char *lower_method(const char *method) {
        static const char *const words[] = {
                        "get", "head", "post", "put", "patch", "delete", "options"};

        for (size_t i = 0; i < ELEMENTS(words); i++)
                if (strcaseeq(words[i], method))
                        return words[i];
        return "other";
}

static int split(char *text, char **segments, size_t *ret_n) {
        size_t n = 0;

        for (char *s = text; s;) {
                char *slash = strchr(s, '/');

                if (slash)
                        *slash++ = 0;
                if (*s) {
                        if (n == SEGMENTS_MAX)
                                return -E2BIG;
                        if (hex_unescape(s, LEAST) < 0)
                                return -EINVAL;
                        segments[n++] = s;
                }
                s = slash;
        }
        *ret_n = n;
        return 0;
}

/* How many segments stand before the resource: 0 for a plain path. */
static size_t count_prefix(char *const *segments, size_t n) {
        if (n >= 3 && streq(segments[0], "api"))
                return 2;
        return n >= 4 && streq(segments[0], "apis") ? 3 : 0;
}

/* From the old way to watch to the resource; only GET has it. */
static bool skip_watch(const char *method, char *const *segments, size_t n, size_t *skip) {
        if (n < *skip + 2 || !streq(segments[*skip], "watch") || !streq(method, "GET"))
                return false;
        (*skip)++;
        return true;
}

/* The segment at *s, which moves behind it. */
static size_t next_segment(const char **s, const char **ret) {
        size_t n;

        *s += strspn(*s, "/");
        n = strcspn(*s, "/");
        *ret = *s;
        *s += n;
        return n;
}

/* Cuts off what follows /api/VERSION/[namespaces/NS/]RES/NAME/proxy, and keeps it as it came; other
 * paths stay. Only the plain spelling counts: what another one leads to is refused later, as a deep
 * path. */
static int cut_rest(struct route *route, const char *path) {
        const char *s = path, *word = "";
        size_t size = 0, count = 5;

        for (size_t i = 0; i < count; i++) {
                size = next_segment(&s, &word);
                if ((i == 0 && !is_word(word, size, "api")) ||
                                (i == 2 && is_word(word, size, "watch")))
                        return 0;
                if (i == 2 && is_word(word, size, "namespaces"))
                        count = 7;
        }
        if (!is_word(word, size, "proxy"))
                return 0;
        route->text[s - path] = 0;
        route->rest = strdup(s);
        return route->rest ? 0 : -ENOMEM;
}

static int route_segments(struct route *route, const char *method, const char *query_watch,
                struct problem *p) {
        char *segments[SEGMENTS_MAX];
        bool watch;
        size_t n, skip;
        int r = split(route->text, segments, &n);

        if (r == -E2BIG)
                return problem_set(p, ENOENT, 404, "NotFound",
                                "the server could not find the requested resource");
        if (r < 0)
                return problem_set(p, EINVAL, 400, "BadRequest", "the path is badly encoded");
        skip = count_prefix(segments, n);
        if (skip == 0)
                return 0;
        route->group = skip == 3 ? segments[1] : "";
        route->version = segments[skip - 1];
        watch = skip_watch(method, segments, n, &skip);
        fill_resource(route, segments + skip, n - skip);
        route->verb = watch ? "watch"
                            : verb_of(method, !isempty(route->name), query_true(query_watch));
        if (!route->verb && route->rest && streq(method, "OPTIONS"))
                route->verb = "options"; /* no rule names it but "*" */
        if (!route->verb)
                return problem_set(p, EOPNOTSUPP, 405, "MethodNotAllowed",
                                "the server does not allow this method on the requested resource");
        return 0;
}

int route_parse(const char *method, const char *path, const char *query_watch, struct route *ret,
                struct problem *p) {
        _cleanup_route_ struct route route = {.verb = lower_method(method),
                        .group = "",
                        .version = "",
                        .plural = "",
                        .namespace = "",
                        .name = "",
                        .subresource = ""};
        int r;

        if (strlen(path) > ROUTE_PATH_MAX)
                return problem_set(p, EINVAL, 414, "BadRequest", "the path is too long");
        route.text = strdup(path);
        route.path = strdup(path);
        if (!route.text || !route.path)
                return -ENOMEM;
        r = cut_rest(&route, path);
        if (r < 0)
                return r;
        for (size_t k = strlen(path); k > 1 && path[k - 1] == '/'; k--)
                ((char *)route.path)[k - 1] = 0;
        r = route_segments(&route, method, query_watch, p);
        if (r < 0)
                return r;
        *ret = route;
        route = (struct route){0};
        return 0;
}
