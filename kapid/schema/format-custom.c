/* The string formats that schemas of CustomResourceDefinitions may name (the API's list; others
 * mean nothing to it). A row a format; the checks read the text once, from left to right. */
#include "kapid/schema/format.h"

#include <arpa/inet.h>
#include <ctype.h>

static bool is_hex(char c) {
        return isxdigit((unsigned char)c) != 0;
}

/* Letters and digits; everything beyond ASCII counts as a letter. */
static bool is_word(char c) {
        return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static size_t skip_hex(const char *s, size_t max) {
        size_t n = 0;

        while (n < max && is_hex(s[n]))
                n++;
        return n;
}

static bool any_text(const char *s) {
        return true;
}

/* --- addresses --- */

/* Four decimal numbers. The API takes zeros before them, and reads them as decimal. */
static bool is_dotted(const char *s) {
        for (unsigned i = 0; i < 4; i++) {
                unsigned v = 0;
                size_t n = 0;

                for (; isdigit((unsigned char)s[n]) && v <= 255; n++)
                        v = v * 10 + (unsigned)(s[n] - '0');
                s += n;
                if (n == 0 || v > 255 || *s++ != (i < 3 ? '.' : 0))
                        return false;
        }
        return true;
}

static bool is_ip(const char *s) {
        const char *colon = strrchr(s, ':');
        unsigned char address[sizeof(struct in6_addr)];
        char text[INET6_ADDRSTRLEN];

        if (!colon)
                return is_dotted(s);
        if (!strchr(colon, '.'))
                return inet_pton(AF_INET6, s, address) == 1;
        if (!is_dotted(colon + 1) || (size_t)(colon - s) >= sizeof(text) - sizeof(":0.0.0.0"))
                return false;
        snprintf(text, sizeof(text), "%.*s:0.0.0.0", (int)(colon - s), s);
        return inet_pton(AF_INET6, text, address) == 1;
}

static bool is_ipv4(const char *s) {
        return strchr(s, '.') && is_ip(s);
}

static bool is_ipv6(const char *s) {
        return strchr(s, ':') && is_ip(s);
}

static bool is_cidr(const char *s) {
        const char *slash = strchr(s, '/');
        char address[INET6_ADDRSTRLEN];
        uint64_t bits;

        if (!slash || (size_t)(slash - s) >= sizeof(address))
                return false;
        snprintf(address, sizeof(address), "%.*s", (int)(slash - s), s);
        return is_ip(address) && isdigit((unsigned char)slash[1]) && strlen(slash + 1) <= 3 &&
               parse_u64(slash + 1, &bits) >= 0 && bits <= (strchr(address, ':') ? 128 : 32);
}

/* 6, 8 or 20 bytes: pairs with ':' or '-', or groups of four digits with '.'. */
static bool is_mac(const char *s) {
        size_t n = strlen(s), group = n > 4 && s[4] == '.' ? 4 : 2, bytes = 0;
        char separator = n > group ? s[group] : 0;

        if (separator != '.' && separator != ':' && separator != '-')
                return false;
        if ((separator == '.') != (group == 4))
                return false;
        for (;; s++) {
                if (skip_hex(s, group) != group)
                        return false;
                s += group;
                bytes += group / 2;
                if (!*s)
                        return bytes == 6 || bytes == 8 || bytes == 20;
                if (*s != separator)
                        return false;
        }
}

/* --- names --- */

static bool is_host_label(const char *s, size_t n) {
        if (n == 0 || n > 63 || s[0] == '-' || s[n - 1] == '-')
                return false;
        for (size_t i = 0; i < n; i++)
                if (!is_word(s[i]) && s[i] != '-')
                        return false;
        return true;
}

/* The last part of a name with dots has two characters at least. */
static bool is_hostname(const char *s) {
        const char *dot;
        bool dotted = false;

        if (strlen(s) > 255)
                return false;
        for (; (dot = strchr(s, '.')); s = dot + 1, dotted = true)
                if (!is_host_label(s, (size_t)(dot - s)))
                        return false;
        return is_host_label(s, strlen(s)) && (!dotted || s[1]);
}

static bool is_short_name(const char *s) {
        return !format_check(FORMAT_DNS1123_LABEL, s);
}

static bool is_long_name(const char *s) {
        return !format_check(FORMAT_DNS1123_SUBDOMAIN, s);
}

/* Whether every '%' is followed by two hexadecimal digits. */
static bool escapes_fit(const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (s[i] == '%' && (i + 2 >= n || !is_hex(s[i + 1]) || !is_hex(s[i + 2])))
                        return false;
        return true;
}

/* RFC 3986 section 3.2: [userinfo@]host[:port]. */
static bool is_authority(const char *s, size_t n) {
        const char *at = memrchr(s, '@', n), *host = at ? at + 1 : s, *end = s + n, *port;

        if (at && !escapes_fit(s, (size_t)(at - s)))
                return false;
        for (const char *c = s; at && c < at; c++)
                if (!is_word(*c) && !strchr("-._:~!$&'()*+,;=%@", *c))
                        return false;
        if (host < end && *host == '[') {
                port = memrchr(host, ']', (size_t)(end - host));
                if (!port++ || (port < end && *port != ':'))
                        return false;
        } else {
                port = memrchr(host, ':', (size_t)(end - host));
                if (!port)
                        port = end;
        }
        for (const char *c = host; c < port; c++)
                if (!is_word(*c) && !strchr("-_.~!$&'()*+,;=:[]<>\"%", *c))
                        return false;
        for (const char *c = port + 1; c < end; c++)
                if (!isdigit((unsigned char)*c))
                        return false;
        return true;
}

/* A URI with its scheme, or an absolute path, as a request line has it. */
static bool is_uri(const char *s) {
        const char *rest = s, *query;
        size_t n;

        for (const char *c = s; *c; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f)
                        return false;
        if (*s == ':' || !*s)
                return false;
        if (isalpha((unsigned char)*s)) {
                while (isalnum((unsigned char)*rest) || (*rest && strchr("+-.", *rest)))
                        rest++;
                if (*rest++ != ':')
                        return false;
        }
        query = strchr(rest, '?');
        n = query ? (size_t)(query - rest) : strlen(rest);
        if (*rest != '/')
                return rest > s || streq(s, "*");
        if (rest > s && startswith(rest, "//")) {
                const char *path;

                rest += 2;
                n -= 2;
                path = memchr(rest, '/', n);
                if (!is_authority(rest, path ? (size_t)(path - rest) : n))
                        return false;
                n = path ? n - (size_t)(path - rest) : 0;
                rest = path ? path : rest;
        }
        return escapes_fit(rest, n);
}

static bool is_atom_char(char c) {
        return is_word(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* RFC 5322 section 3.2.3: atoms with dots between them. */
static size_t skip_dot_atom(const char *s) {
        size_t n = 0;

        for (;;) {
                size_t start = n;

                while (is_atom_char(s[n]))
                        n++;
                if (n == start)
                        return 0;
                if (s[n] != '.')
                        return n;
                n++;
        }
}

static size_t skip_quoted(const char *s) {
        size_t n = 1;

        for (; s[n] && s[n] != '"'; n++)
                if ((s[n] == '\\' && !s[++n]) || (unsigned char)s[n] < 0x20)
                        return 0;
        return s[n] ? n + 1 : 0;
}

/* local@domain from here to the end; with a name before it `<local@domain>`. */
static bool is_address(const char *s, const char *end) {
        size_t n = *s == '"' ? skip_quoted(s) : skip_dot_atom(s);

        if (n == 0 || s[n] != '@')
                return false;
        s += n + 1;
        if (*s == '[') {
                const char *close = strchr(s, ']');

                return close && close > s + 1 && close + 1 == end;
        }
        n = skip_dot_atom(s);
        return n > 0 && s + n == end;
}

static bool is_email(const char *s) {
        const char *end;

        while (*s == ' ' || *s == '\t')
                s++;
        for (end = s + strlen(s); end > s && (end[-1] == ' ' || end[-1] == '\t');)
                end--;
        if (is_address(s, end))
                return true;
        if (end == s || end[-1] != '>')
                return false;
        while (*s && *s != '<') {
                size_t n = *s == '"' ? skip_quoted(s) : is_atom_char(*s) || strchr(" \t.", *s);

                if (n == 0)
                        return false;
                s += n;
        }
        return *s && is_address(s + 1, end - 1);
}

/* --- numbers in groups --- */

/* Eight, three times four and twelve digits, dashes between them optional. */
static bool is_uuid_of(const char *s, char version, bool variant) {
        static const size_t sizes[] = {8, 4, 4, 4, 12};

        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                if (skip_hex(s, sizes[i]) != sizes[i] || (i == 2 && version && *s != version) ||
                                (i == 3 && variant && !strchr("89abAB", *s)))
                        return false;
                s += sizes[i];
                if (i + 1 < ELEMENTS(sizes) && *s == '-')
                        s++;
        }
        return !*s;
}

static bool is_uuid(const char *s) {
        return is_uuid_of(s, 0, false);
}

static bool is_uuid3(const char *s) {
        return is_uuid_of(s, '3', false);
}

static bool is_uuid4(const char *s) {
        return is_uuid_of(s, '4', true);
}

static bool is_uuid5(const char *s) {
        return is_uuid_of(s, '5', true);
}

static bool is_object_id(const char *s) {
        return skip_hex(s, 24) == 24 && !s[24];
}

/* The digits without blanks and dashes; how many, or 0 when there is anything else. */
static size_t digits_of(const char *s, char *ret, size_t max) {
        size_t n = 0;

        for (; *s; s++) {
                if (*s == ' ' || *s == '-')
                        continue;
                if (n == max || !(isdigit((unsigned char)*s) || (*s == 'X' && !s[1])))
                        return 0;
                ret[n++] = *s;
        }
        return n;
}

static bool is_isbn10(const char *s) {
        char d[10];
        unsigned sum = 0;

        if (digits_of(s, d, sizeof(d)) != sizeof(d))
                return false;
        for (unsigned i = 0; i < sizeof(d); i++)
                sum += (i + 1) * (d[i] == 'X' ? 10U : (unsigned)(d[i] - '0'));
        return sum % 11 == 0;
}

static bool is_isbn13(const char *s) {
        char d[13];
        unsigned sum = 0;

        if (digits_of(s, d, sizeof(d)) != sizeof(d) || d[12] == 'X')
                return false;
        for (unsigned i = 0; i < sizeof(d); i++)
                sum += (i % 2 ? 3U : 1U) * (unsigned)(d[i] - '0');
        return sum % 10 == 0;
}

static bool is_isbn(const char *s) {
        return is_isbn10(s) || is_isbn13(s);
}

/* Thirteen to sixteen digits with Luhn's check digit. */
static bool is_credit_card(const char *s) {
        char d[16];
        size_t n = digits_of(s, d, sizeof(d));
        unsigned sum = 0;

        if (n < 13 || d[n - 1] == 'X')
                return false;
        for (size_t i = 0; i < n; i++) {
                unsigned v = (unsigned)(d[n - 1 - i] - '0') * (i % 2 ? 2U : 1U);

                sum += v > 9 ? v - 9 : v;
        }
        return sum % 10 == 0;
}

static bool is_ssn(const char *s) {
        static const size_t sizes[] = {3, 2, 4};

        for (size_t i = 0; i < ELEMENTS(sizes); i++) {
                for (size_t j = 0; j < sizes[i]; j++)
                        if (!isdigit((unsigned char)*s++))
                                return false;
                if (i + 1 < ELEMENTS(sizes) && (*s == '-' || *s == ' '))
                        s++;
        }
        return !*s;
}

static bool is_hex_color(const char *s) {
        size_t n;

        s += *s == '#';
        n = skip_hex(s, 7);
        return (n == 3 || n == 6) && !s[n];
}

static bool is_rgb_color(const char *s) {
        s = startswith(s, "rgb(");
        for (unsigned i = 0; s && i < 3; i++) {
                unsigned v = 0, n = 0;

                while (isspace((unsigned char)*s))
                        s++;
                for (; n < 3 && isdigit((unsigned char)*s); n++)
                        v = v * 10 + (unsigned)(*s++ - '0');
                while (isspace((unsigned char)*s))
                        s++;
                if (n == 0 || v > 255 || *s++ != (i < 2 ? ',' : ')'))
                        return false;
        }
        return s && !*s;
}

static bool is_bytes(const char *s) {
        return *s && base64_is_valid(s, strlen(s), NULL);
}

/* --- times --- */

/* A number with a given number of digits, in a range, and what follows it. */
static const char *skip_number(const char *s, unsigned digits, unsigned max, unsigned *ret) {
        *ret = 0;
        for (; digits > 0; digits--, s++) {
                if (!isdigit((unsigned char)*s))
                        return NULL;
                *ret = *ret * 10 + (unsigned)(*s - '0');
        }
        return *ret <= max ? s : NULL;
}

/* The text behind a calendar date, or NULL. */
static const char *skip_date(const char *s) {
        static const unsigned char days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        unsigned year, month, day;

        s = skip_number(s, 4, 9999, &year);
        if (!s || *s++ != '-')
                return NULL;
        s = skip_number(s, 2, 12, &month);
        if (!s || month == 0 || *s++ != '-')
                return NULL;
        s = skip_number(s, 2, days[month - 1], &day);
        if (!s || day == 0)
                return NULL;
        return month == 2 && day == 29 && (year % 4 || (year % 100 == 0 && year % 400)) ? NULL : s;
}

static bool is_date(const char *s) {
        s = skip_date(s);
        return s && !*s;
}

/* RFC 3339 section 5.6. */
static bool is_date_time(const char *s) {
        static const unsigned char bounds[] = {23, 59, 59};
        unsigned unused;

        s = skip_date(s);
        if (!s || (*s != 'T' && *s != 't'))
                return false;
        for (size_t i = 0; i < ELEMENTS(bounds); i++) {
                s = skip_number(s + 1, 2, bounds[i], &unused);
                if (!s || (i < 2 && *s != ':'))
                        return false;
        }
        if (*s == '.' && isdigit((unsigned char)s[1]))
                for (s++; isdigit((unsigned char)*s);)
                        s++;
        if ((*s == 'Z' || *s == 'z') && !s[1])
                return true;
        if (*s != '+' && *s != '-')
                return false;
        s = skip_number(s + 1, 2, 99, &unused);
        s = s && *s == ':' ? skip_number(s + 1, 2, 99, &unused) : NULL;
        return s && !*s;
}

/* The unit of a duration: exact short names, or the start of a long one ("weeks"). */
static bool is_unit(const char *s, size_t n, bool with_words) {
        static const char *const exact[] = {"ns", "us", "\u00b5s", "\u03bcs", "ms", "s", "m", "h"};
        static const char *const more[] = {"d", "w", "hr"};
        static const char *const starts[] = {
                        "nano", "micro", "milli", "sec", "min", "hour", "day", "week", "wk"};

        for (size_t i = 0; i < ELEMENTS(exact); i++)
                if (strlen(exact[i]) == n && strncasecmp(s, exact[i], n) == 0)
                        return with_words || strncmp(s, exact[i], n) == 0;
        for (size_t i = 0; with_words && i < ELEMENTS(more); i++)
                if (strlen(more[i]) == n && strncasecmp(s, more[i], n) == 0)
                        return true;
        for (size_t i = 0; with_words && i < ELEMENTS(starts); i++)
                if (n >= strlen(starts[i]) && strncasecmp(s, starts[i], strlen(starts[i])) == 0)
                        return true;
        return false;
}

/* 1h30m, -1.5s, 0. */
static bool is_plain_duration(const char *s) {
        bool some = false;

        s += *s == '-' || *s == '+';
        if (streq(s, "0"))
                return true;
        for (; *s; some = true) {
                size_t digits = 0, n = 0;

                for (; isdigit((unsigned char)*s); s++)
                        digits++;
                if (*s == '.')
                        for (s++; isdigit((unsigned char)*s); s++)
                                digits++;
                while (is_word(s[n]) && !isdigit((unsigned char)s[n]))
                        n++;
                if (digits == 0 || !is_unit(s, n, false))
                        return false;
                s += n;
        }
        return some;
}

/* Also words: "3 weeks", where any number with a unit is enough. */
static bool is_duration(const char *s) {
        if (is_plain_duration(s))
                return true;
        while (*s) {
                size_t n = 0;

                if (!isdigit((unsigned char)*s++) || isdigit((unsigned char)*s))
                        continue;
                while (isspace((unsigned char)*s))
                        s++;
                while (is_word(s[n]) && !isdigit((unsigned char)s[n]))
                        n++;
                if (n > 0 && is_unit(s, n, true))
                        return true;
        }
        return false;
}

static const struct {
        const char *name; /* without the dashes that a document may write */
        bool (*fits)(const char *text);
        const char *shown;
} formats[] = {
                {"bsonobjectid", is_object_id, "bsonobjectid"},
                {"byte", is_bytes, "byte"},
                {"cidr", is_cidr, "cidr"},
                {"creditcard", is_credit_card, "creditcard"},
                {"date", is_date, "date"},
                {"datetime", is_date_time, "date-time"},
                {"duration", is_duration, "duration"},
                {"email", is_email, "email"},
                {"hexcolor", is_hex_color, "hexcolor"},
                {"hostname", is_hostname, "hostname"},
                {"ipv4", is_ipv4, "ipv4"},
                {"ipv6", is_ipv6, "ipv6"},
                {"isbn", is_isbn, "isbn"},
                {"isbn10", is_isbn10, "isbn10"},
                {"isbn13", is_isbn13, "isbn13"},
                {"k8slongname", is_long_name, "k8s-long-name"},
                {"k8sshortname", is_short_name, "k8s-short-name"},
                {"mac", is_mac, "mac"},
                {"password", any_text, "password"},
                {"rgbcolor", is_rgb_color, "rgbcolor"},
                {"ssn", is_ssn, "ssn"},
                {"uri", is_uri, "uri"},
                {"uuid", is_uuid, "uuid"},
                {"uuid3", is_uuid3, "uuid3"},
                {"uuid4", is_uuid4, "uuid4"},
                {"uuid5", is_uuid5, "uuid5"},
};

static bool same_without_dashes(const char *given, const char *name) {
        for (;; given++) {
                while (*given == '-')
                        given++;
                if (*given != *name)
                        return false;
                if (!*name++)
                        return true;
        }
}

uint8_t format_custom_find(const char *name) {
        for (size_t i = 0; i < ELEMENTS(formats); i++)
                if (same_without_dashes(name, formats[i].name))
                        return (uint8_t)(FORMAT_CUSTOM + i);
        return FORMAT_OTHER;
}

const char *format_custom_name(uint8_t format) {
        size_t i = (size_t)(format - FORMAT_CUSTOM);

        return format >= FORMAT_CUSTOM && i < ELEMENTS(formats) ? formats[i].shown : NULL;
}

bool format_custom_fits(uint8_t format, const char *text) {
        size_t i = (size_t)(format - FORMAT_CUSTOM);

        return format < FORMAT_CUSTOM || i >= ELEMENTS(formats) || formats[i].fits(text);
}
