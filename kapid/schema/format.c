/* Checks of string formats, in the words of the API. */
#include "kapid/schema/format.h"

#include <arpa/inet.h>

#include "lib/quantity.h"
#include "lib/timefmt.h"

static const char label_1123[] = "a lowercase RFC 1123 label must consist of lower case "
                                 "alphanumeric characters or '-', and must start "
                                 "and end with an alphanumeric character (e.g. 'my-name',  or "
                                 "'123-abc', regex used for validation is "
                                 "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
static const char subdomain_1123[] =
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric "
                "characters, '-' or '.', and must "
                "start and end with an alphanumeric character (e.g. 'example.com', regex used for "
                "validation is "
                "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
static const char label_1035[] = "a DNS-1035 label must consist of lower case alphanumeric "
                                 "characters or '-', start with an alphabetic "
                                 "character, and end with an alphanumeric character (e.g. "
                                 "'my-name',  or 'abc-123', regex used for "
                                 "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
static const char qualified[] = "name part must consist of alphanumeric characters, '-', '_' or "
                                "'.', and must start and end with an "
                                "alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
                                "'123-abc', regex used for validation is "
                                "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
static const char label_value[] =
                "a valid label must be an empty string or consist of alphanumeric characters, '-', "
                "'_' or '.', and must "
                "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
                "'12345', regex used "
                "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

static bool is_lower_alnum(char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c) {
        return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

static bool is_label(const char *s, size_t n) {
        if (n == 0 || !is_lower_alnum(s[0]) || !is_lower_alnum(s[n - 1]))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!is_lower_alnum(s[i]) && s[i] != '-')
                        return false;
        return true;
}

static bool is_subdomain(const char *s, size_t n) {
        for (const char *end = s + n;;) {
                const char *dot = memchr(s, '.', (size_t)(end - s));

                if (!is_label(s, (size_t)((dot ? dot : end) - s)))
                        return false;
                if (!dot)
                        return true;
                s = dot + 1;
        }
}

static bool is_name_part(const char *s) {
        size_t n = strlen(s);

        if (n == 0 || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
                return false;
        for (; *s; s++)
                if (!is_alnum(*s) && *s != '-' && *s != '_' && *s != '.')
                        return false;
        return true;
}

static const char *check_qualified(const char *s) {
        const char *slash = strchr(s, '/'), *name = slash ? slash + 1 : s;

        if (slash && slash == s)
                return "prefix part must be non-empty";
        if (slash && (slash - s > 253 || !is_subdomain(s, (size_t)(slash - s))))
                return "prefix part must be a lowercase RFC 1123 subdomain of at most 253 "
                       "characters";
        if (!*name)
                return "name part must be non-empty";
        if (strlen(name) > 63)
                return "name part must be no more than 63 bytes";
        return is_name_part(name) ? NULL : qualified;
}

static const char *check_port_name(const char *s) {
        bool letter = false;
        size_t n = strlen(s);

        if (n > 15)
                return "must be no more than 15 characters";
        for (size_t i = 0; i < n; i++) {
                if (!is_lower_alnum(s[i]) && s[i] != '-')
                        return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens "
                               "(-)";
                if (s[i] == '-' && (i == 0 || i + 1 == n || s[i + 1] == '-'))
                        return "must not begin or end with a hyphen, nor hold two in a row";
                letter |= s[i] >= 'a' && s[i] <= 'z';
        }
        return letter ? NULL : "must contain at least one letter (a-z)";
}

static const char *check_ip(const char *s) {
        unsigned char address[sizeof(struct in6_addr)];

        return inet_pton(AF_INET, s, address) == 1 || inet_pton(AF_INET6, s, address) == 1
                               ? NULL
                               : "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
}

static const char *check_config_key(const char *s) {
        if (strlen(s) > 253)
                return "must be no more than 253 bytes";
        if (streq(s, "."))
                return "must not be '.'";
        if (s[0] == '.' && s[1] == '.')
                return s[2] ? "must not start with '..'" : "must not be '..'";
        if (*s && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") ==
                                        strlen(s))
                return NULL;
        return "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
               "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
               "'[-._a-zA-Z0-9]+')";
}

static const char *check_uuid(const char *s) {
        for (size_t i = 0; i < 36; i++)
                if (i == 8 || i == 13 || i == 18 || i == 23
                                                ? s[i] != '-'
                                                : !s[i] || !strchr("0123456789abcdefABCDEF", s[i]))
                        return "must be a UUID";
        return s[36] ? "must be a UUID" : NULL;
}

bool base64_is_valid(const char *text, size_t n, size_t *ret_size) {
        size_t padding = 0;

        if (n % 4 != 0)
                return false;
        if (n > 0 && text[n - 1] == '=')
                padding = 1 + (text[n - 2] == '=');
        for (size_t i = 0; i < n - padding; i++)
                if (!is_alnum(text[i]) && text[i] != '+' && text[i] != '/')
                        return false;
        if (ret_size)
                *ret_size = n / 4 * 3 - padding;
        return true;
}

char base64_last(const char *text, size_t n, size_t *ret_at) {
        static const char letters[] =
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        size_t padding = n > 3 && text[n - 1] == '=' ? 1 + (text[n - 2] == '=') : 0;
        const char *at;

        if (padding == 0)
                return 0;
        *ret_at = n - padding - 1;
        at = strchr(letters, text[*ret_at]);
        return at && *at ? letters[(at - letters) & (padding == 1 ? 0x3c : 0x30)] : 0;
}

bool number_is_whole(double d) {
        return d >= -9.2e18 && d <= 9.2e18 && (double)(int64_t)d == d;
}

const char *format_check(enum schema_format format, const char *text) {
        size_t n = strlen(text);
        uint64_t unused;
        int64_t number;

        switch (format) {
        case FORMAT_DNS1123_LABEL:
                return n > 63              ? "must be no more than 63 bytes"
                       : is_label(text, n) ? NULL
                                           : label_1123;
        case FORMAT_DNS1123_SUBDOMAIN:
                return n > 253                 ? "must be no more than 253 bytes"
                       : is_subdomain(text, n) ? NULL
                                               : subdomain_1123;
        case FORMAT_DNS1035_LABEL:
                if (n > 63)
                        return "must be no more than 63 bytes";
                return is_label(text, n) && *text > '9' ? NULL : label_1035;
        case FORMAT_QUALIFIED_NAME:
                return check_qualified(text);
        case FORMAT_LABEL_VALUE:
                if (n > 63)
                        return "must be no more than 63 bytes";
                return n == 0 || is_name_part(text) ? NULL : label_value;
        case FORMAT_PORT_NAME:
                return check_port_name(text);
        case FORMAT_IP:
                return check_ip(text);
        case FORMAT_UUID:
                return check_uuid(text);
        case FORMAT_CONFIG_KEY:
                return check_config_key(text);
        case FORMAT_BYTE:
                return base64_is_valid(text, n, NULL) ? NULL : "must be base64 with padding";
        case FORMAT_DATE_TIME:
        case FORMAT_MICRO_TIME:
                return time_parse(text, &unused) < 0
                                       ? "must be an RFC 3339 time such as 2024-01-02T03:04:05Z"
                                       : NULL;
        case FORMAT_DURATION:
                return parse_duration_us(text, &unused) < 0
                                       ? "must be a duration such as 30s, 5m or 1h30m"
                                       : NULL;
        case FORMAT_QUANTITY:
                return quantity_parse_str_milli(text, &number) == -EINVAL
                                       ? "quantities must match the regular expression "
                                         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                                       : NULL;
        default:
                return NULL;
        }
}
