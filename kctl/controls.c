/* The list of a control plane's machines: read, searched, written. */
#include <stdlib.h>

#include "kctl/control.h"
#include "lib/json.h"

enum { PORT_DEFAULT = 6443 };

static void control_free(struct control *c) {
        free(c->name);
        free(c->address);
        free(c->ssh);
}

void controls_done(struct controls *c) {
        for (size_t i = 0; i < c->count; i++)
                control_free(&c->items[i]);
        *c = (struct controls){0};
}

char *control_url(const char *address, unsigned port) {
        return strformat(strchr(address, ':') ? "https://[%s]:%u" : "https://%s:%u", address, port);
}

char *control_slice(const char *address) {
        char *name = strformat("kubernetes-%s", address);

        for (char *s = name; s && *s; s++)
                if (*s == '.' || *s == ':')
                        *s = '-';
        return name;
}

static int compare(const void *a, const void *b) {
        return strcmp(((const struct control *)a)->name, ((const struct control *)b)->name);
}

static int parse_one(const char *name, const json_t *value, struct controls *c, struct problem *p) {
        const char *text = strempty(json_string_value(value));
        _cleanup_json_ json_t *o = NULL;
        struct control *x = &c->items[c->count];
        int64_t port;

        if (c->count >= CONTROLS_MAX || json_parse(text, strlen(text), 0, &o, NULL) < 0 ||
                        isempty(json_str(o, "address")))
                return problem_set(p, EINVAL, 0, NULL,
                                "ConfigMap kube-system/" CONTROLS_CONFIGMAP
                                ", key %s: this is not a machine "
                                "as kctl writes it; correct or delete the key",
                                name);
        port = json_int_or(o, "port", PORT_DEFAULT);
        *x = (struct control){strdup(name), strdup(json_str(o, "address")),
                        strdup(json_str_or(o, "ssh", ""))};
        c->count++;
        c->port = port > 0 && port <= UINT16_MAX ? (uint16_t)port : PORT_DEFAULT;
        return x->name && x->address && x->ssh ? 0 : -ENOMEM;
}

int controls_parse(const json_t *data, struct controls *ret, struct problem *p) {
        _cleanup_controls_ struct controls c = {.port = PORT_DEFAULT};
        const char *name;
        json_t *value;

        json_object_foreach ((json_t *)data, name, value) {
                int r = parse_one(name, value, &c, p);

                if (r < 0)
                        return r;
        }
        qsort(c.items, c.count, sizeof(c.items[0]), compare);
        *ret = c;
        c = (struct controls){0};
        return 0;
}

/* The host of "user@host:port". */
static bool has_host(const char *ssh, const char *word) {
        const char *at = strrchr(ssh, '@'), *host = at ? at + 1 : ssh;
        size_t n = strlen(word);

        return strncmp(host, word, n) == 0 && (host[n] == 0 || host[n] == ':');
}

const struct control *controls_find(const struct controls *c, const char *word) {
        const char *at = strrchr(word, '@');

        for (size_t i = 0; i < c->count; i++) {
                const struct control *x = &c->items[i];

                if (streq(x->name, word) || streq(x->address, word) || streq(x->ssh, word) ||
                                (at && streq(x->address, at + 1)) ||
                                (*x->ssh && has_host(x->ssh, at ? at + 1 : word)))
                        return x;
        }
        return NULL;
}

int controls_servers(const struct controls *c, char ***ret) {
        _cleanup_strv_free_ char **urls = NULL;

        for (size_t i = 0; i < c->count; i++) {
                _cleanup_free_ char *url = control_url(c->items[i].address, c->port);

                if (!url || strv_extend(&urls, url) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(urls);
        return 0;
}

static char *configmap_path(const char *name, const char *query) {
        return api_path(api_resource(KIND_CONFIGMAPS), "kube-system", name,
                        /* subresource= */ NULL, query);
}

int controls_read(struct kctl *k, struct controls *ret, struct problem *p) {
        _cleanup_free_ char *path = configmap_path(CONTROLS_CONFIGMAP, NULL);
        _cleanup_json_ json_t *o = NULL;
        int r = path ? api_get(k->client, path, &o, p) : -ENOMEM;

        if (r < 0 && r != -ENOENT)
                return r;
        return controls_parse(r < 0 ? NULL : json_object_get(o, "data"), ret, p);
}

/* text NULL: the machine's key is removed. */
static int write_key(struct kctl *k, const char *name, const char *text, struct problem *p) {
        _cleanup_free_ char *path = configmap_path(CONTROLS_CONFIGMAP, "fieldManager=kctl"),
                            *list = configmap_path(NULL, "fieldManager=kctl");
        _cleanup_json_ json_t *data = text ? json_pack("{s:s}", name, text)
                                           : json_pack("{s:n}", name),
                              *patch = data ? json_pack("{s:O}", "data", data) : NULL, *made = NULL;
        int r;

        if (!path || !list || !patch)
                return -ENOMEM;
        r = api_patch_request(k->client, path, API_PATCH_MERGE, patch, NULL, p);
        if (r != -ENOENT || !text)
                return r;
        made = json_pack("{s:s, s:s, s:{s:s, s:s}, s:O}", "apiVersion", "v1", "kind", "ConfigMap",
                        "metadata", "name", CONTROLS_CONFIGMAP, "namespace", "kube-system", "data",
                        data);
        return made ? api_request(k->client, "POST", list, NULL, made, NULL, p) : -ENOMEM;
}

int controls_write(struct kctl *k, const struct control *c, uint16_t port, struct problem *p) {
        _cleanup_json_ json_t *o = json_pack(
                        "{s:s, s:s, s:i}", "address", c->address, "ssh", c->ssh, "port", (int)port);
        _cleanup_free_ char *text = o ? json_text(o) : NULL;

        return text ? write_key(k, c->name, text, p) : -ENOMEM;
}

int controls_remove(struct kctl *k, const char *name, struct problem *p) {
        return write_key(k, name, NULL, p);
}
