/* Which Ingresses are ours, in which order, and the routes that their rules make. A rule, path or
 * certificate that cannot be used is left out with a finding and does not affect the others:
 * nothing that a user writes reaches a file of haproxy before its characters were checked. */
#include "reconcilers/ingress/decide.h"

#include <stdarg.h>

#include "lib/object.h"
#include "lib/vector.h"
#include "reconcilers/ingress/class.h"
#include "reconcilers/ingress/internal.h"

void ingress_finding(struct ingress_draft *d, const json_t *ingress, const char *reason,
                const char *fmt, ...) {
        _cleanup_free_ char *key = object_key(ingress), *text = NULL;
        va_list ap;
        int r;

        va_start(ap, fmt);
        r = vasprintf(&text, fmt, ap);
        va_end(ap);
        assert(key && r >= 0);
        r = json_array_append_new(d->findings, json_pack("{s:s, s:s, s:s}", "ingress", key,
                                                               "reason", reason, "message", text));
        assert(r >= 0);
}

bool ingress_is_host(const char *s, bool wildcard) {
        size_t n = strlen(s), label = 0;

        if (wildcard && startswith(s, "*.")) {
                s += 2;
                n -= 2;
        }
        if (n == 0 || n > 253)
                return false;
        for (size_t i = 0; i <= n; i++) {
                bool edge = i == n || s[i] == '.';

                if (edge) {
                        if (label == 0 || label > 63 || s[i - 1] == '-')
                                return false;
                        label = 0;
                        continue;
                }
                if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", s[i]) ||
                                (label == 0 && s[i] == '-'))
                        return false;
                label++;
        }
        return true;
}

/* RFC 3986: the characters of a path. Blanks, quotes, control characters and # are not among them,
 * so a path is one word of a map. */
static bool path_is_plain(const char *s) {
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789-._~!$&'()*+,;=:@%/";
        size_t n = strlen(s);

        return n <= INGRESS_PATH_MAX && *s == '/' && strspn(s, allowed) == n;
}

static bool look_for(struct ingress_draft *d, const char *kind, const char *ns, const char *name) {
        _cleanup_free_ char *key = strformat("%s %s/%s", kind, ns, name);

        if (!ingress_is_host(name, /* wildcard= */ false))
                return false;
        assert(key && json_object_set_new(d->uses, key, json_true()) >= 0);
        return true;
}

const json_t *ingress_service(struct ingress_draft *d, const char *ns, const char *name) {
        return look_for(d, "service", ns, name) ? d->view->service(d->view->data, ns, name) : NULL;
}

const json_t *ingress_secret(struct ingress_draft *d, const char *ns, const char *name) {
        return look_for(d, "secret", ns, name) ? d->view->secret(d->view->data, ns, name) : NULL;
}

static bool is_ours(const struct ingress_draft *d, const json_t *ingress) {
        const json_t *class;
        size_t i;

        json_array_foreach (d->view->classes, i, class)
                if (ingress_class_has(class, ingress))
                        return true;
        return false;
}

/* --- order: the older one wins --- */

struct by_age {
        const json_t **items;
        size_t count, allocated;
};

static int compare_age(const void *a, const void *b) {
        const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
        int c = strcmp(json_str_or(x, "metadata.creationTimestamp", ""),
                        json_str_or(y, "metadata.creationTimestamp", ""));

        if (c == 0)
                c = strcmp(object_namespace(x), object_namespace(y));
        return c ? c : strcmp(object_name(x), object_name(y));
}

static void sort_ours(struct ingress_draft *d, struct by_age *ret) {
        const json_t *o;
        size_t i;

        json_array_foreach (d->view->ingresses, i, o)
                if (!object_is_deleting(o) && is_ours(d, o) &&
                                ingress_is_host(object_namespace(o), /* wildcard= */ false) &&
                                ingress_is_host(object_name(o), /* wildcard= */ false))
                        assert(vector_append(ret, o) >= 0);
        if (ret->count > 0)
                qsort(ret->items, ret->count, sizeof(*ret->items), compare_age);
}

/* --- routes --- */

bool ingress_claim_host(struct ingress_draft *d, const json_t *ingress, const char *host) {
        const char *ns = object_namespace(ingress),
                   *owner = json_string_value(json_object_get(d->hosts, host));

        if (!owner) {
                assert(json_object_set_new(d->hosts, host, json_string(ns)) >= 0);
                return true;
        }
        if (d->view->options->share_hosts || streq(owner, ns))
                return true;
        ingress_finding(d, ingress, "HostConflict",
                        "%s belongs to an older Ingress of another namespace: this is left out. "
                        "Use another host, or move the rule to that namespace",
                        *host ? host : "Traffic for all hosts");
        return false;
}

/* An Ingress whose rules are read. */
struct reading {
        struct ingress_draft *d;
        const json_t *ingress;
        struct ingress_settings settings;
        char *key; /* "ns/name" */
};

/* Adds key -> backend to one of the maps, unless an older Ingress (or rule) has the key. */
static void add_route(struct reading *x, json_t *map, const char *type, const char *host,
                const char *path, const json_t *backend) {
        _cleanup_free_ char *key = strformat("%s%s", host, path),
                            *place = strformat("%s %s%s", type, host, path), *value = NULL;
        const char *owner;
        bool redirect;

        assert(key && place);
        owner = json_string_value(json_object_get(x->d->owners, place));
        if (owner) {
                ingress_finding(x->d, x->ingress, "PathConflict",
                                "%s %s of host %s belongs to the Ingress %s, which is older or "
                                "names it first: this one is left out",
                                type, path, *host ? host : "*", owner);
                return;
        }
        redirect = x->settings.ssl_redirect && *host && ingress_has_tls(x->ingress, host);
        value = strformat("%s/%s", ingress_backend(x->d, x->ingress, &x->settings, backend),
                        redirect ? "redirect" : "");
        assert(value);
        assert(json_object_set_new(map, key, json_string(value)) >= 0);
        assert(json_object_set_new(x->d->owners, place, json_string(x->key)) >= 0);
}

static void read_path(struct reading *x, const char *host, const json_t *entry) {
        const char *path = json_str_or(entry, "path", "/"),
                   *type = json_str_or(entry, "pathType", "ImplementationSpecific");
        _cleanup_free_ char *prefix = NULL;
        size_t n;

        if (!*path)
                path = "/";
        if (!path_is_plain(path)) {
                ingress_finding(x->d, x->ingress, "InvalidPath",
                                "A path of host %s has characters that a path cannot have (or is "
                                "longer than %i bytes): it is left out. Write it percent-encoded; "
                                "patterns are not supported",
                                *host ? host : "*", INGRESS_PATH_MAX);
                return;
        }
        if (streq(type, "Exact")) {
                add_route(x, x->d->exact, type, host, path, json_object_get(entry, "backend"));
                return;
        }
        /* By elements: /foo/ matches /foo/ and /foo/bar, and requests get a / for the search. */
        for (n = strlen(path); n > 0 && path[n - 1] == '/';)
                n--;
        prefix = strformat("%.*s/", (int)n, path);
        assert(prefix);
        add_route(x, x->d->prefix, "Prefix", host, prefix, json_object_get(entry, "backend"));
}

static void read_rule(struct reading *x, const json_t *rule) {
        const char *host = json_str_or(rule, "host", "");
        const json_t *entry, *fallback = json_at(x->ingress, "spec.defaultBackend");
        size_t i;

        if (*host && !ingress_is_host(host, /* wildcard= */ true)) {
                ingress_finding(x->d, x->ingress, "InvalidHost",
                                "A rule's host is not a DNS name: the rule is left out");
                return;
        }
        if (!ingress_claim_host(x->d, x->ingress, host))
                return;
        json_array_foreach (json_at(rule, "http.paths"), i, entry) {
                if (i >= INGRESS_RULES_MAX) {
                        ingress_finding(x->d, x->ingress, "TooManyPaths",
                                        "Host %s has more than %i paths: the rest is left out",
                                        *host ? host : "*", INGRESS_RULES_MAX);
                        break;
                }
                read_path(x, host, entry);
        }
        if (fallback && *host) {
                _cleanup_free_ char *place = strformat("default %s", host);

                assert(place);
                if (!json_object_get(x->d->owners, place))
                        add_route(x, x->d->fallback, "default", host, "", fallback);
        }
}

/* The default backend of an Ingress without rules, or with a rule for all hosts, is everyone's. */
static bool is_for_all(const json_t *ingress) {
        const json_t *rules = json_at(ingress, "spec.rules"), *rule;
        size_t i;

        json_array_foreach (rules, i, rule)
                if (!*json_str_or(rule, "host", ""))
                        return true;
        return json_array_size(rules) == 0;
}

static void read_ingress(struct ingress_draft *d, const json_t *ingress) {
        const json_t *fallback = json_at(ingress, "spec.defaultBackend"), *rule;
        struct reading x = {.d = d, .ingress = ingress, .key = object_key(ingress)};
        size_t i;

        assert(x.key);
        ingress_read_settings(d, ingress, &x.settings);
        json_array_foreach (json_at(ingress, "spec.rules"), i, rule)
                read_rule(&x, rule);
        if (fallback && is_for_all(ingress) && ingress_claim_host(d, ingress, ""))
                add_route(&x, d->fallback, "default", "", "*", fallback);
        ingress_add_tls(d, ingress);
        assert(json_array_append_new(d->served, json_string(x.key)) >= 0);
        free(x.key);
}

/* --- the whole --- */

static void set_text(json_t *files, const char *name, char *text) {
        assert(text);
        assert(json_object_set_new(files, name, json_string(text)) >= 0);
        free(text);
}

static json_t *new_object(void) {
        json_t *o = json_object();

        assert(o);
        return o;
}

json_t *ingress_decide(const struct ingress_view *view) {
        struct ingress_draft d = {.view = view,
                        .backends = new_object(),
                        .files = new_object(),
                        .certificates = new_object(),
                        .exact = new_object(),
                        .prefix = new_object(),
                        .fallback = new_object(),
                        .owners = new_object(),
                        .hosts = new_object(),
                        .unusable = new_object(),
                        .sizes = new_object(),
                        .names = new_object(),
                        .uses = new_object(),
                        .findings = json_array(),
                        .served = json_array()};
        _cleanup_free_ char *main_text = ingress_main_text(view->options);
        struct by_age ours = {0};
        json_t *ret;

        assert(d.findings && d.served && main_text);
        sort_ours(&d, &ours);
        for (size_t i = 0; i < ours.count; i++)
                read_ingress(&d, ours.items[i]);
        vector_done(&ours);
        ingress_finish_tls(&d);
        set_text(d.files, "exact.map", ingress_map_text(d.exact));
        set_text(d.files, "prefix.map", ingress_map_text(d.prefix));
        set_text(d.files, "default.map", ingress_map_text(d.fallback));
        ret = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "main", main_text, "backends",
                        d.backends, "files", d.files, "certificates", d.certificates, "findings",
                        d.findings, "served", d.served, "uses", d.uses);
        assert(ret);
        json_decref(d.exact);
        json_decref(d.prefix);
        json_decref(d.fallback);
        json_decref(d.owners);
        json_decref(d.hosts);
        json_decref(d.unusable);
        json_decref(d.sizes);
        json_decref(d.names);
        return ret;
}

bool ingress_same_structure(const json_t *a, const json_t *b) {
        static const char *const parts[] = {"main", "files", "certificates"};
        const json_t *x = json_at(a, "backends"), *y = json_at(b, "backends"), *backend;
        const char *name;

        for (size_t i = 0; i < ELEMENTS(parts); i++)
                if (!json_same(json_object_get(a, parts[i]), json_object_get(b, parts[i])))
                        return false;
        if (json_object_size(x) != json_object_size(y))
                return false;
        json_object_each (x, name, backend) {
                const json_t *other = json_object_get(y, name);

                if (!other || !json_same(json_object_get(backend, "section"),
                                              json_object_get(other, "section")))
                        return false;
        }
        return true;
}
