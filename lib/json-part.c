/* One walk over the text beside the tree of what is wanted. Wanted values go to the parser, all
 * else is skipped by lib/json-text.h. The text is the server's own in nearly all cases, so that
 * what is not understood (an escape in a name, two values without a comma) is only refused. */
#include "lib/json-part.h"

#include "lib/json-text.h"
#include "lib/vector.h"

struct json_part {
        char *name;
        size_t size; /* of the name */
        bool whole;
        bool names; /* all members, with null */
        VECTOR(struct json_part *) members;
};

struct json_part *json_part_new(void) {
        return calloc(1, sizeof(struct json_part));
}

struct json_part *json_part_free(struct json_part *p) {
        if (!p)
                return NULL;
        for (size_t i = 0; i < p->members.count; i++)
                json_part_free(p->members.items[i]);
        vector_done(&p->members);
        free(p->name);
        return mfree(p);
}

static struct json_part *find(const struct json_part *p, const char *name, size_t n) {
        for (size_t i = 0; i < p->members.count; i++) {
                struct json_part *m = p->members.items[i];

                if (m->size == n && memcmp(m->name, name, n) == 0)
                        return m;
        }
        return NULL;
}

struct json_part *json_part_member(struct json_part *p, const char *name, size_t n) {
        _cleanup_(json_part_freep) struct json_part *m = NULL;
        struct json_part *known = find(p, name, n);

        if (known)
                return known;
        m = json_part_new();
        if (!m)
                return NULL;
        m->name = strndup(name, n);
        m->size = n;
        if (!m->name || vector_append(&p->members, m) < 0)
                return NULL;
        return TAKE_PTR(m);
}

void json_part_want(struct json_part *p) {
        p->whole = true;
}

bool json_part_is_whole(const struct json_part *p) {
        return p->whole;
}

int json_part_add(struct json_part *p, const char *paths) {
        while (*paths) {
                size_t path = strcspn(paths, " ");
                struct json_part *m = p;

                for (const char *at = paths, *end = paths + path; at < end;) {
                        size_t n = MIN(strcspn(at, "."), (size_t)(end - at));

                        if (n == 1 && *at == '*')
                                m->names = true;
                        else
                                m = json_part_member(m, at, n);
                        if (!m)
                                return -ENOMEM;
                        at += n + (at + n < end);
                }
                if (path > 0 && paths[path - 1] != '*')
                        m->whole = true;
                paths += path + (paths[path] == ' ');
        }
        return 0;
}

/* --- reading --- */

struct reader {
        const char *at, *end;
};

static char next(struct reader *r) {
        while (r->at < r->end &&
                        (*r->at == ' ' || *r->at == '\t' || *r->at == '\r' || *r->at == '\n'))
                r->at++;
        return r->at < r->end ? *r->at : 0;
}

/* The name at the reader's place, and past its colon. */
static int read_name(struct reader *r, const char **ret, size_t *ret_n) {
        const char *name = r->at + 1, *quote;

        if (next(r) != '"')
                return -EINVAL;
        name = r->at + 1;
        quote = memchr(name, '"', (size_t)(r->end - name));
        if (!quote || memchr(name, '\\', (size_t)(quote - name)))
                return -EINVAL;
        r->at = quote + 1;
        if (next(r) != ':')
                return -EINVAL;
        r->at++;
        if (!next(r))
                return -EINVAL;
        *ret = name;
        *ret_n = (size_t)(quote - name);
        return 0;
}

/* Past the comma: 1; past the closing bracket: 0. */
static int read_more(struct reader *r, char close) {
        char c = next(r);

        if (c != ',' && c != close)
                return -EINVAL;
        r->at++;
        return c == ',';
}

static int skip_value(struct reader *r) {
        r->at = json_text_value_end(r->at, r->end);
        if (!r->at)
                r->at = r->end;
        return r->at < r->end ? 0 : -EINVAL;
}

static int read_whole(struct reader *r, json_t **ret) {
        const char *from = r->at, *past = json_text_value_end(from, r->end);
        json_t *v;

        if (!past)
                return -EINVAL;
        r->at = past;
        if (*from != '"' || memchr(from, '\\', (size_t)(past - from)))
                return json_parse(from, (size_t)(past - from), /* flags= */ 0, ret, NULL);
        v = json_stringn(from + 1, (size_t)(past - from) - 2);
        if (!v) /* not UTF-8 */
                return -EINVAL;
        *ret = v;
        return 0;
}

static int read_value(struct reader *r, const struct json_part *p, bool in_array, json_t **ret);

/* One member, behind its name. */
static int read_member(struct reader *r, const struct json_part *p, json_t *object) {
        const struct json_part *m;
        json_t *v = NULL;
        const char *name;
        size_t n;
        int k = read_name(r, &name, &n);

        if (k < 0)
                return k;
        m = find(p, name, n);
        if (m)
                k = read_value(r, m, /* in_array= */ false, &v);
        else
                k = skip_value(r);
        if (k < 0 || (!m && !p->names))
                return k;
        return json_object_setn_new(object, name, n, m ? v : json_null()) < 0 ? -EINVAL : 0;
}

static int read_object(struct reader *r, const struct json_part *p, json_t **ret) {
        _cleanup_json_ json_t *object = json_object();
        int k = 1;

        if (!object)
                return -ENOMEM;
        r->at++;
        if (next(r) == '}') {
                r->at++;
                k = 0;
        }
        while (k > 0) {
                k = read_member(r, p, object);
                if (k < 0)
                        return k;
                k = read_more(r, '}');
        }
        if (k < 0)
                return k;
        *ret = TAKE_PTR(object);
        return 0;
}

static int read_array(struct reader *r, const struct json_part *p, json_t **ret) {
        _cleanup_json_ json_t *array = json_array();
        int k = 1;

        if (!array)
                return -ENOMEM;
        r->at++;
        if (next(r) == ']') {
                r->at++;
                k = 0;
        }
        while (k > 0) {
                json_t *v = NULL;

                if (!next(r))
                        return -EINVAL;
                k = read_value(r, p, /* in_array= */ true, &v);
                if (k < 0)
                        return k;
                if (json_array_append_new(array, v) < 0)
                        return -ENOMEM;
                k = read_more(r, ']');
        }
        if (k < 0)
                return k;
        *ret = TAKE_PTR(array);
        return 0;
}

/* Arrays in arrays are read whole: the depth is that of the paths, not of the text. */
static int read_value(struct reader *r, const struct json_part *p, bool in_array, json_t **ret) {
        if (p->whole)
                return read_whole(r, ret);
        if (*r->at == '{')
                return read_object(r, p, ret);
        if (*r->at == '[' && !in_array)
                return read_array(r, p, ret);
        return read_whole(r, ret);
}

int json_part_parse(const struct json_part *p, const char *text, size_t n, json_t **ret) {
        struct reader r = {.at = text, .end = text + n};
        json_t *v = NULL;
        int k;

        if (p->whole)
                return json_parse(text, n, /* flags= */ 0, ret, NULL);
        if (next(&r) != '{')
                return -EINVAL;
        k = read_object(&r, p, &v);
        if (k < 0)
                return k;
        *ret = v;
        return 0;
}
