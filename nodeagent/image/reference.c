/* The grammar of references, scanned by character classes. The digest is split off first, then the
 * tag (after the last colon that is behind the last slash), then the registry. */
#include "nodeagent/image/reference.h"

#include "nodeagent/image/cause.h"

enum { TEXT_MAX = 1024, PORT_DIGITS_MAX = 5, SHOWN_MAX = 128 };

#define DEFAULT_REGISTRY "docker.io"

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_lower(char c) {
        return c >= 'a' && c <= 'z';
}

static bool is_upper(char c) {
        return c >= 'A' && c <= 'Z';
}

static bool is_alphanumeric(char c) {
        return is_digit(c) || is_lower(c) || is_upper(c);
}

void image_reference_done(struct image_reference *r) {
        free(r->registry);
        free(r->repository);
        free(r->tag);
        free(r->digest);
        *r = (struct image_reference){0};
}

bool image_reference_is(const char *text) {
        return *text && *text != '/' && !streq(text, "host");
}

bool image_digest_is_valid(const char *text) {
        const char *hex = startswith(text, "sha256:");
        size_t digits = 64;

        if (!hex) {
                hex = startswith(text, "sha512:");
                digits = 128;
        }
        if (!hex || strlen(hex) != digits)
                return false;
        return strspn(hex, "0123456789abcdef") == digits;
}

/* A host name's label, or a label of a registry's name: no '-' at its ends. */
static bool label_is_valid(const char *s, size_t n) {
        if (n == 0 || !is_alphanumeric(s[0]) || !is_alphanumeric(s[n - 1]))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!is_alphanumeric(s[i]) && s[i] != '-')
                        return false;
        return true;
}

static bool host_is_valid(const char *s, size_t n) {
        if (n > 2 && s[0] == '[' && s[n - 1] == ']')
                return strspn(s + 1, "0123456789abcdefABCDEF:") == n - 2;
        for (size_t at = 0;;) {
                size_t end = at;

                while (end < n && s[end] != '.')
                        end++;
                if (!label_is_valid(s + at, end - at))
                        return false;
                if (end == n)
                        return true;
                at = end + 1;
        }
}

static bool registry_is_valid(const char *s) {
        const char *closing = strrchr(s, ']'), *colon = strrchr(closing ? closing : s, ':');
        size_t host = colon ? (size_t)(colon - s) : strlen(s);

        if (colon) {
                size_t digits = strspn(colon + 1, "0123456789");

                if (digits == 0 || digits > PORT_DIGITS_MAX || colon[1 + digits])
                        return false;
        }
        return host_is_valid(s, host);
}

/* Lower-case letters and digits, joined by one dot, one or two underscores, or any number of
 * dashes. */
static bool component_is_valid(const char *s, size_t n) {
        size_t i = 0;

        while (i < n) {
                size_t word = i, separators;

                while (i < n && (is_lower(s[i]) || is_digit(s[i])))
                        i++;
                if (i == word)
                        return false;
                if (i == n)
                        return true;
                for (separators = i; i < n && s[i] == s[separators] && strchr("._-", s[i]); i++)
                        ;
                separators = i - separators;
                if (separators == 0 || i == n || (s[i - 1] == '.' && separators > 1) ||
                                (s[i - 1] == '_' && separators > 2))
                        return false;
        }
        return false;
}

static bool repository_is_valid(const char *s) {
        for (;;) {
                size_t n = strcspn(s, "/");

                if (!component_is_valid(s, n))
                        return false;
                if (!s[n])
                        return true;
                s += n + 1;
        }
}

static bool tag_is_valid(const char *s) {
        size_t n = strlen(s);

        if (n == 0 || n > IMAGE_TAG_MAX || *s == '.' || *s == '-')
                return false;
        for (; *s; s++)
                if (!is_alphanumeric(*s) && !strchr("_.-", *s))
                        return false;
        return true;
}

/* The text is cut where it is shown: it may be long, and is not known to be harmless. */
static int refuse(struct problem *p, const char *text, const char *why) {
        return image_problem(p, EINVAL, IMAGE_CAUSE_NAME,
                        "image \"%.*s%s\" is not a valid reference: %s", SHOWN_MAX, text,
                        strlen(text) > SHOWN_MAX ? "..." : "", why);
}

/* Whether the part before the first slash is a registry: as Docker decides it. */
static bool begins_with_registry(const char *name) {
        size_t n = strcspn(name, "/");

        if (!name[n])
                return false;
        if (n == strlen("localhost") && strncmp(name, "localhost", n) == 0)
                return true;
        for (size_t i = 0; i < n; i++)
                if (name[i] == '.' || name[i] == ':' || is_upper(name[i]))
                        return true;
        return false;
}

static int split_name(const char *name, struct image_reference *r) {
        const char *path = name;

        if (begins_with_registry(name)) {
                size_t n = strcspn(name, "/");

                path = name + n + 1;
                r->registry = strndup(name, n);
        } else
                r->registry = strdup(DEFAULT_REGISTRY);
        if (r->registry && streq(r->registry, "index.docker.io")) {
                free(r->registry);
                r->registry = strdup(DEFAULT_REGISTRY);
        }
        if (!r->registry)
                return -ENOMEM;
        r->repository = strformat("%s%s",
                        streq(r->registry, DEFAULT_REGISTRY) && !strchr(path, '/') ? "library/"
                                                                                   : "",
                        path);
        return r->repository ? 0 : -ENOMEM;
}

static int check(const char *text, const struct image_reference *r, struct problem *p) {
        if (r->digest && !image_digest_is_valid(r->digest))
                return refuse(p, text,
                                "after '@' must come sha256: and 64, or sha512: and 128, "
                                "lower-case hexadecimal digits");
        if (r->tag && !tag_is_valid(r->tag))
                return refuse(p, text,
                                "a tag has at most 128 letters, digits, '_', '.' and '-', and "
                                "does not begin with '.' or '-'");
        if (!registry_is_valid(r->registry))
                return refuse(p, text, "its first part is not a host with an optional port");
        for (const char *s = r->repository; *s; s++)
                if (is_upper(*s))
                        return refuse(p, text, "the name of a repository must be in lower case");
        if (!repository_is_valid(r->repository))
                return refuse(p, text,
                                "the parts of a repository's name have lower-case letters and "
                                "digits, with single '.', '_', '__' or '-' between them");
        if (strlen(r->registry) + 1 + strlen(r->repository) > IMAGE_REPOSITORY_MAX)
                return refuse(p, text, "its name has more than 255 characters");
        return 0;
}

int image_reference_parse(const char *text, struct image_reference *ret, struct problem *p) {
        _cleanup_image_reference_ struct image_reference parsed = {0};
        _cleanup_free_ char *name = NULL;
        char *at, *slash, *colon;
        int r;

        if (strlen(text) > TEXT_MAX)
                return refuse(p, text, "it is too long");
        name = strdup(text);
        if (!name)
                return -ENOMEM;
        at = strchr(name, '@');
        if (at) {
                *at = 0;
                parsed.digest = strdup(at + 1);
                if (!parsed.digest)
                        return -ENOMEM;
        }
        slash = strrchr(name, '/');
        colon = strrchr(slash ? slash : name, ':');
        if (colon) {
                *colon = 0;
                parsed.tag = strdup(colon + 1);
        } else if (!at)
                parsed.tag = strdup("latest");
        if (!parsed.tag && (colon || !at))
                return -ENOMEM;
        if (strlen(name) == 64 && strspn(name, "0123456789abcdef") == 64)
                return refuse(p, text, "64 hexadecimal digits are an id; write sha256: before it");
        r = split_name(name, &parsed);
        if (r < 0)
                return r;
        r = check(text, &parsed, p);
        if (r < 0)
                return r;
        *ret = parsed;
        parsed = (struct image_reference){0};
        return 0;
}

char *image_reference_name(const struct image_reference *r) {
        return strformat("%s/%s", r->registry, r->repository);
}

char *image_reference_text(const struct image_reference *r) {
        return strformat("%s/%s%s%s", r->registry, r->repository, r->digest ? "@" : ":",
                        r->digest ? r->digest : r->tag);
}

bool image_reference_is_latest(const struct image_reference *r) {
        return !r->digest && streq_ptr(r->tag, "latest");
}
