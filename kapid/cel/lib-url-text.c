/* Parsing follows RFC 3986 as Go's net/url does, whose ParseRequestURI() decides what Kubernetes
 * takes for a URL: it has no notion of a fragment, Parse() then does. */
#include "kapid/cel/lib-url-text.h"

#include <ctype.h>

#include "lib/hex.h"

/* The parts differ in what must be escaped in them. */
enum part { PART_PATH, PART_USER, PART_HOST, PART_ZONE, PART_QUERY, PART_FRAGMENT };

struct reader {
        struct cel_run *run;
        struct cel_value text; /* the whole, for messages */
        struct cel_value error;
};

static bool refuse(struct reader *r, const char *why, struct cel_value what, const char *behind) {
        char whole[CEL_QUOTED_SIZE], quoted[CEL_QUOTED_SIZE];

        cel_quoted(r->text, whole);
        if (what.kind == CEL_STRING)
                r->error = cel_error(r->run, "parse %s: %s%s%s", whole, why,
                                cel_quoted(what, quoted), behind);
        else
                r->error = cel_error(r->run, "parse %s: %s", whole, why);
        return false;
}

static bool refuse_plain(struct reader *r, const char *why) {
        return refuse(r, why, cel_null(), "");
}

static bool is_one_of(char c, const char *set) {
        return c && strchr(set, c);
}

static bool must_escape(char c, enum part part) {
        if (isalnum((unsigned char)c) && (unsigned char)c < 0x80)
                return false;
        if (is_one_of(c, "-_.~"))
                return false;
        switch (part) {
        case PART_HOST:
        case PART_ZONE:
                return !is_one_of(c, "!$&'()*+,;=:[]<>\"");
        case PART_PATH:
                return !is_one_of(c, "$&+,/:;=@");
        case PART_USER:
                return !is_one_of(c, "$&+,;=");
        case PART_QUERY:
                return true;
        case PART_FRAGMENT:
                return !is_one_of(c, "$&+,/:;=?@!()*");
        }
        assert_not_reached();
}

static struct cel_value sub(struct cel_value text, size_t from, size_t to) {
        return cel_string_at(text.text.data + from, to - from);
}

static size_t find(struct cel_value text, char c) {
        const char *at = memchr(text.text.data, c, text.text.size);

        return at ? (size_t)(at - text.text.data) : SIZE_MAX;
}

static size_t find_last(struct cel_value text, char c) {
        const char *at = memrchr(text.text.data, c, text.text.size);

        return at ? (size_t)(at - text.text.data) : SIZE_MAX;
}

/* --- escapes --- */

static bool check_escape(struct reader *r, struct cel_value s, size_t i, enum part part) {
        const char *p = s.text.data + i;
        size_t left = MIN(s.text.size - i, (size_t)3);
        char c;

        if (left < 3 || hex_digit(p[1]) < 0 || hex_digit(p[2]) < 0)
                return refuse(r, "invalid URL escape ", cel_string_at(p, left), "");
        if (memcmp(p, "%25", 3) == 0)
                return true;
        if (part == PART_HOST && hex_digit(p[1]) < 8)
                return refuse(r, "invalid URL escape ", cel_string_at(p, 3), "");
        c = (char)(hex_digit(p[1]) << 4 | hex_digit(p[2]));
        if (part == PART_ZONE && c != ' ' && must_escape(c, PART_HOST))
                return refuse(r, "invalid URL escape ", cel_string_at(p, 3), "");
        return true;
}

static bool check_escapes(struct reader *r, struct cel_value s, enum part part) {
        for (size_t i = 0; i < s.text.size; i++) {
                char c = s.text.data[i];

                if (c == '%') {
                        if (!check_escape(r, s, i, part))
                                return false;
                        i += 2;
                } else if ((part == PART_HOST || part == PART_ZONE) && (unsigned char)c < 0x80 &&
                                must_escape(c, part))
                        return refuse(r, "invalid character ", sub(s, i, i + 1), " in host name");
        }
        return true;
}

/* Escapes that are right -> bytes; they may be no text. */
static char *unescaped(struct cel_run *run, struct cel_value s, enum part part, size_t *ret_size) {
        char *copy = cel_alloc(run, s.text.size), *to = copy;

        for (size_t i = 0; copy && i < s.text.size; i++) {
                char c = s.text.data[i];

                if (c == '%') {
                        c = (char)(hex_digit(s.text.data[i + 1]) << 4 |
                                        hex_digit(s.text.data[i + 2]));
                        i += 2;
                } else if (c == '+' && part == PART_QUERY)
                        c = ' ';
                *to++ = c;
        }
        *ret_size = copy ? (size_t)(to - copy) : 0;
        return copy;
}

/* The bytes of the code point at the beginning; 0: none. NUL is a code point here. */
static size_t well_formed(const char *s, size_t n) {
        size_t size = cel_code_point_size(cel_string_at(s, n));

        return !*s || utf8_is_valid(s, size) ? size : 0;
}

/* A text: each wrong byte becomes U+FFFD. */
static struct cel_value text_of_bytes(struct cel_run *run, const char *data, size_t n) {
        size_t wrong = 0;
        char *copy, *to;

        for (size_t i = 0, size; i < n; i += size) {
                size = well_formed(data + i, n - i);
                if (size == 0) {
                        wrong++;
                        size = 1;
                }
        }
        if (wrong == 0)
                return cel_string_at(data, n);
        to = copy = cel_alloc(run, n + 2 * wrong);
        if (!copy)
                return cel_no_memory(run);
        for (size_t i = 0; i < n;) {
                size_t size = well_formed(data + i, n - i);

                to = size > 0 ? mempcpy(to, data + i, size) : mempcpy(to, "\xef\xbf\xbd", 3);
                i += MAX(size, (size_t)1);
        }
        return cel_string_at(copy, (size_t)(to - copy));
}

static bool unescape(struct reader *r, struct cel_value s, enum part part, struct cel_value *ret) {
        size_t n;
        char *bytes;

        if (!check_escapes(r, s, part))
                return false;
        if (find(s, '%') == SIZE_MAX) {
                *ret = s;
                return true;
        }
        bytes = unescaped(r->run, s, part, &n);
        *ret = bytes ? text_of_bytes(r->run, bytes, n) : cel_no_memory(r->run);
        if (cel_is_error(*ret))
                r->error = *ret;
        return !cel_is_error(*ret);
}

bool cel_url_unescape_query(struct cel_run *run, struct cel_value part, struct cel_value *ret) {
        struct reader r = {.run = run, .text = part};
        size_t n;
        char *bytes;

        if (!check_escapes(&r, part, PART_QUERY))
                return false;
        bytes = unescaped(run, part, PART_QUERY, &n);
        *ret = bytes ? text_of_bytes(run, bytes, n) : cel_no_memory(run);
        return !cel_is_error(*ret);
}

/* Kept as written when that is valid, else escaped again. */
static bool escape(struct reader *r, struct cel_value s, enum part part, struct cel_value *ret) {
        const char *kept = part == PART_PATH ? "!'()*[]%" : "'[]%";
        bool right = true;
        size_t n, size = 0;
        char *bytes, *copy;

        if (!check_escapes(r, s, part))
                return false;
        for (size_t i = 0; i < s.text.size && right; i++)
                right = !must_escape(s.text.data[i], part) || is_one_of(s.text.data[i], kept);
        *ret = s;
        if (right)
                return true;
        bytes = unescaped(r->run, s, part, &n);
        copy = bytes ? cel_alloc(r->run, n * 3) : NULL;
        if (!copy) {
                r->error = cel_no_memory(r->run);
                return false;
        }
        for (size_t i = 0; i < n; i++)
                if (must_escape(bytes[i], part)) {
                        static const char digits[] = "0123456789ABCDEF";

                        copy[size++] = '%';
                        copy[size++] = digits[(unsigned char)bytes[i] >> 4];
                        copy[size++] = digits[bytes[i] & 15];
                } else
                        copy[size++] = bytes[i];
        *ret = cel_string_at(copy, size);
        return true;
}

/* --- user, host, port --- */

bool cel_url_is_port(struct cel_value text) {
        if (text.text.size == 0)
                return true;
        if (*text.text.data != ':')
                return false;
        for (size_t i = 1; i < text.text.size; i++)
                if (text.text.data[i] < '0' || text.text.data[i] > '9')
                        return false;
        return true;
}

static bool parse_literal(struct reader *r, struct cel_value host, struct cel_value *ret) {
        size_t end = find_last(host, ']');
        const char *zone;
        struct cel_value parts[3];

        if (end == SIZE_MAX)
                return refuse_plain(r, "missing ']' in host");
        if (!cel_url_is_port(cel_text_from(host, end + 1)))
                return refuse(r, "invalid port ", cel_text_from(host, end + 1), " after host");
        zone = memmem(host.text.data, end, "%25", 3);
        if (!zone)
                return unescape(r, host, PART_HOST, ret);

        size_t at = (size_t)(zone - host.text.data);
        char *copy;

        if (!unescape(r, sub(host, 0, at), PART_HOST, &parts[0]) ||
                        !unescape(r, sub(host, at, end), PART_ZONE, &parts[1]) ||
                        !unescape(r, cel_text_from(host, end), PART_HOST, &parts[2]))
                return false;
        copy = cel_alloc(r->run, parts[0].text.size + parts[1].text.size + parts[2].text.size);
        if (!copy) {
                r->error = cel_no_memory(r->run);
                return false;
        }
        *ret = cel_string_at(copy, 0);
        for (size_t i = 0; i < ELEMENTS(parts); i++) {
                memcpy(copy + ret->text.size, parts[i].text.data, parts[i].text.size);
                ret->text.size += parts[i].text.size;
        }
        return true;
}

static bool parse_host(struct reader *r, struct cel_value host, struct cel_value *ret) {
        size_t colon = find_last(host, ':');

        if (host.text.size > 0 && *host.text.data == '[')
                return parse_literal(r, host, ret);
        if (colon != SIZE_MAX && !cel_url_is_port(cel_text_from(host, colon)))
                return refuse(r, "invalid port ", cel_text_from(host, colon), " after host");
        return unescape(r, host, PART_HOST, ret);
}

static bool parse_authority(struct reader *r, struct cel_value authority, struct cel_url *ret) {
        size_t at = find_last(authority, '@'), colon;
        struct cel_value user;

        if (at == SIZE_MAX)
                return parse_host(r, authority, &ret->host);
        if (!parse_host(r, cel_text_from(authority, at + 1), &ret->host))
                return false;
        user = sub(authority, 0, at);
        for (size_t i = 0; i < at; i++)
                if (((unsigned char)user.text.data[i] >= 0x80 ||
                                    !isalnum((unsigned char)user.text.data[i])) &&
                                !is_one_of(user.text.data[i], "-._:~!$&'()*+,;=%@"))
                        return refuse_plain(r, "net/url: invalid userinfo");
        colon = find(user, ':');
        ret->has_user = true;
        ret->has_password = colon != SIZE_MAX;
        if (!unescape(r, sub(user, 0, MIN(colon, at)), PART_USER, &ret->user))
                return false;
        return !ret->has_password ||
               unescape(r, cel_text_from(user, colon + 1), PART_USER, &ret->password);
}

/* --- the whole --- */

/* "scheme:"; *rest is what is behind. Without one the rest is everything. */
static bool take_scheme(struct reader *r, struct cel_value *rest, struct cel_value *ret) {
        struct cel_value s = *rest;
        size_t n = 0;
        char *copy;

        while (n < s.text.size && (unsigned char)s.text.data[n] < 0x80 &&
                        (isalpha((unsigned char)s.text.data[n]) ||
                                        (n > 0 && (isdigit((unsigned char)s.text.data[n]) ||
                                                                  is_one_of(s.text.data[n],
                                                                                  "+-.")))))
                n++;
        if (n == s.text.size || s.text.data[n] != ':')
                return true;
        if (n == 0)
                return refuse_plain(r, "missing protocol scheme");
        copy = cel_alloc(r->run, n);
        if (!copy) {
                r->error = cel_no_memory(r->run);
                return false;
        }
        for (size_t i = 0; i < n; i++)
                copy[i] = (char)tolower((unsigned char)s.text.data[i]);
        *ret = cel_string_at(copy, n);
        *rest = cel_text_from(s, n + 1);
        return true;
}

static bool has_prefix(struct cel_value s, const char *prefix) {
        size_t n = strlen(prefix);

        return s.text.size >= n && memcmp(s.text.data, prefix, n) == 0;
}

static bool parse_rest(
                struct reader *r, struct cel_value rest, bool fragment, struct cel_url *ret) {
        size_t question = find(rest, '?'), slash;

        ret->has_query = question != SIZE_MAX;
        if (ret->has_query) {
                ret->query = cel_text_from(rest, question + 1);
                rest = sub(rest, 0, question);
        }
        if (!has_prefix(rest, "/")) {
                if (ret->scheme.text.size == 0)
                        return refuse_plain(r, "invalid URI for request");
                ret->opaque = rest;
                return true;
        }
        /* ParseRequestURI() takes "//host" for a path; Parse() does not, once a fragment is off. */
        if (has_prefix(rest, "//") &&
                        (ret->scheme.text.size > 0 || (fragment && !has_prefix(rest, "///")))) {
                rest = cel_text_from(rest, 2);
                slash = MIN(find(rest, '/'), rest.text.size);
                if (!parse_authority(r, sub(rest, 0, slash), ret))
                        return false;
                rest = cel_text_from(rest, slash);
        }
        return escape(r, rest, PART_PATH, &ret->path);
}

static bool parse_once(
                struct reader *r, struct cel_value text, bool fragment, struct cel_url *ret) {
        struct cel_value none = cel_string_at("", 0), rest = text;

        *ret = (struct cel_url){
                        none, none, none, none, false, false, none, none, none, false, none};
        if (text.text.size == 1 && *text.text.data == '*') {
                ret->path = text;
                return true;
        }
        return take_scheme(r, &rest, &ret->scheme) && parse_rest(r, rest, fragment, ret);
}

bool cel_url_parse(struct cel_run *run, struct cel_value text, struct cel_url *ret,
                struct cel_value *ret_error) {
        struct reader r = {.run = run, .text = text};
        size_t hash = find(text, '#');
        bool right = text.text.size > 0 || refuse_plain(&r, "empty url");

        for (size_t i = 0; i < text.text.size && right; i++)
                if ((unsigned char)text.text.data[i] < ' ' || text.text.data[i] == 0x7f)
                        right = refuse_plain(&r, "net/url: invalid control character in URL");
        right = right && parse_once(&r, text, false, ret);
        if (right) {
                right = parse_once(&r, sub(text, 0, MIN(hash, text.text.size)), true, ret);
                if (right && hash != SIZE_MAX)
                        right = escape(&r, cel_text_from(text, hash + 1), PART_FRAGMENT,
                                        &ret->fragment);
        }
        if (!right)
                *ret_error = r.error;
        return right;
}
