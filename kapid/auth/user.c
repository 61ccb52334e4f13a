/* Users as values. */
#include "kapid/auth/user.h"

#include <ctype.h>

#include "lib/hex.h"

void user_done(struct user *u) {
        free(u->name);
        free(u->uid);
        strv_free(u->groups);
        json_decref(u->extra);
        *u = (struct user){0};
}

int user_set(struct user *u, const char *name, const char *uid) {
        _cleanup_free_ char *n = strdup(name);
        _cleanup_free_ char *id = strdup(strempty(uid));

        if (!n || !id)
                return -ENOMEM;
        free(u->name);
        free(u->uid);
        u->name = TAKE_PTR(n);
        u->uid = TAKE_PTR(id);
        return 0;
}

int user_add_group(struct user *u, const char *group) {
        return user_in_group(u, group) ? 0 : strv_extend(&u->groups, group);
}

bool user_in_group(const struct user *u, const char *group) {
        return strv_contains(u->groups, group);
}

int user_extra_key(const char *text, char ret[static USER_EXTRA_KEY_SIZE]) {
        size_t n = 0;

        for (; *text && n < USER_EXTRA_KEY_SIZE - 1; n++) {
                bool escaped = text[0] == '%' && hex_digit(text[1]) >= 0 && hex_digit(text[2]) >= 0;
                int c = escaped ? hex_digit(text[1]) * 16 + hex_digit(text[2])
                                : tolower((unsigned char)*text);

                ret[n] = (char)c;
                text += escaped ? 3 : 1;
        }
        ret[n] = 0;
        return *text || n == 0 || strlen(ret) != n || !utf8_is_valid(ret, n) ? -EINVAL : 0;
}

int user_add_extra(struct user *u, const char *key, const char *value) {
        json_t *list;

        if (!u->extra)
                u->extra = json_object();
        list = json_object_get(u->extra, key);
        if (!list) {
                list = json_array();
                if (json_object_set_new(u->extra, key, list) < 0)
                        return -ENOMEM;
        }
        return json_array_append_new(list, json_string(value)) < 0 ? -ENOMEM : 0;
}

bool user_is_master(const struct user *u) {
        return user_in_group(u, "system:masters");
}

const char *user_node(const struct user *u) {
        const char *node = u->name ? startswith(u->name, "system:node:") : NULL;

        return !isempty(node) && user_in_group(u, "system:nodes") ? node : NULL;
}

json_t *user_to_json(const struct user *u) {
        json_t *groups = json_array();
        json_t *v;

        for (char **g = u->groups; groups && g && *g; g++)
                json_array_append_new(groups, json_string(*g));
        v = json_pack("{ss, so}", "username", strempty(u->name), "groups", groups);
        if (v && !isempty(u->uid))
                json_object_set_new(v, "uid", json_string(u->uid));
        if (v && u->extra && json_object_size(u->extra) > 0)
                json_object_set(v, "extra", u->extra);
        return v;
}

int user_from_json(const json_t *v, struct user *ret) {
        _cleanup_user_ struct user u = {0};
        const char *name = json_str_or(v, "username", json_str_or(v, "user", ""));
        const json_t *g;
        size_t i;
        int r;

        r = user_set(&u, name, json_str_or(v, "uid", ""));
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(v, "groups"), i, g) {
                r = json_is_string(g) ? user_add_group(&u, json_string_value(g)) : 0;
                if (r < 0)
                        return r;
        }
        if (json_is_object(json_object_get(v, "extra")))
                u.extra = json_incref(json_object_get(v, "extra"));
        *ret = u;
        u = (struct user){0};
        return 0;
}
