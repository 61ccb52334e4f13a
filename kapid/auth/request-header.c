/* The reference server's rules: the first of the names that has a value is the user, all values of
 * all group headers are groups, extra keys are in lower case and percent-decoded. */
#include "kapid/auth/request-header.h"

#include "kapid/auth/front-proxy.h"

enum { GROUPS_MAX = 512, EXTRAS_MAX = 512 };

static bool is_spelling_of(const char *name, const char *header, size_t n) {
        for (size_t i = 0; i < n; i++) {
                char a = name[i] == '_' || name[i] == '.' ? '-' : name[i];
                char b = header[i] == '_' || header[i] == '.' ? '-' : header[i];

                if (a == 0 || strncasecmp(&a, &b, 1) != 0)
                        return false;
        }
        return true;
}

static bool list_has(char *const *list, const char *name, bool prefixes) {
        for (; list && *list; list++)
                if (is_spelling_of(name, *list, strlen(*list)) &&
                                (prefixes || strlen(name) == strlen(*list)))
                        return true;
        return false;
}

bool identity_headers_have(const struct identity_headers *h, const char *name) {
        return list_has(h->user_names, name, false) || list_has(h->uid_names, name, false) ||
               list_has(h->group_names, name, false) || list_has(h->extra_prefixes, name, true);
}

/* The first of the headers that has a value; NULL: none has. */
static const char *first_value(struct request *request, char *const *names) {
        for (; names && *names; names++) {
                const char *value = request_header(request, *names);

                if (!isempty(value))
                        return value;
        }
        return NULL;
}

static int refuse(struct problem *p, const char *why) {
        return problem_set(p, EACCES, 401, "Unauthorized",
                        "Unauthorized: the proxy's headers have %s", why);
}

static bool is_text(const char *value) {
        return utf8_is_valid(value, strlen(value));
}

static int take_groups(struct request *request, char *const *names, struct user *u,
                struct problem *p) {
        size_t count = 0;

        for (; names && *names; names++) {
                const char *group;

                for (size_t i = 0; (group = http_request_header_at(request->http, *names, i));
                                i++) {
                        int r;

                        if (!is_text(group) || ++count > GROUPS_MAX)
                                return refuse(p, "too many groups, or one that is not UTF-8");
                        r = isempty(group) ? 0 : user_add_group(u, group);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int take_extras(struct request *request, char *const *prefixes, struct user *u,
                struct problem *p) {
        size_t count = 0;

        for (; prefixes && *prefixes; prefixes++) {
                char key[USER_EXTRA_KEY_SIZE];
                const char *name, *value;

                for (size_t i = 0; (name = http_request_header_prefixed(
                                                    request->http, *prefixes, i, &value));
                                i++) {
                        int r;

                        if (!is_text(value) || user_extra_key(name, key) < 0 ||
                                        ++count > EXTRAS_MAX)
                                return refuse(p, "too many extra fields, or one that is not "
                                                 "valid");
                        r = user_add_extra(u, key, value);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int take_user(struct request *request, const struct identity_headers *h, const char *name,
                struct user *u, struct problem *p) {
        const char *uid = first_value(request, h->uid_names);
        int r;

        if (!is_text(name) || (uid && !is_text(uid)))
                return refuse(p, "a name that is not UTF-8");
        r = user_set(u, name, uid);
        if (r < 0)
                return r;
        r = take_groups(request, h->group_names, u, p);
        if (r < 0)
                return r;
        r = take_extras(request, h->extra_prefixes, u, p);
        if (r < 0 || streq(name, "system:anonymous") || user_in_group(u, "system:unauthenticated"))
                return r;
        return user_add_group(u, "system:authenticated");
}

int authenticate_by_header(struct request *request, struct problem *p) {
        struct front_proxy *f = request->api->front_proxy;
        const struct identity_headers *h = f ? front_proxy_headers(f) : NULL;
        const char *name = h ? first_value(request, h->user_names) : NULL, *cn = NULL;
        char *const *allowed;
        int r;

        if (!name)
                return 0;
        (void)front_proxy_refresh(f);
        if (!front_proxy_ca(f))
                return 0;
        r = http_request_signed_by(request->http, front_proxy_ca(f), front_proxy_ca_generation(f),
                        &cn);
        if (r <= 0)
                return r;
        allowed = front_proxy_names(f);
        if (allowed && !strv_contains(allowed, strempty(cn)))
                return 0;
        r = take_user(request, h, name, &request->user, p);
        return r < 0 ? r : 1;
}
