/* The pod's /etc/hosts, /etc/hostname and /etc/resolv.conf: a volume of files that is made for it
 * and bind-mounted. The texts are those that Kubernetes' kubelet writes, because programs expect
 * them (pkg/kubelet/kubelet_pods.go, pkg/kubelet/network/dns). A pod in the machine's own network
 * sees the machine's files, unless it asks for more. */
#include "nodeagent/plan/plan.h"

#include "lib/object.h"
#include "lib/pki.h"

#define REASON "CreateContainerConfigError"
#define VOLUME_NAME "etc~" /* not a name that a user's volume can have */

enum { HOSTNAME_LENGTH_MAX = 63, NAMESERVERS_MAX = 3, SEARCHES_MAX = 32, SEARCH_LENGTH_MAX = 2048 };

static bool uses_host_network(const json_t *pod) {
        return json_bool_or(pod, "spec.hostNetwork", false);
}

/* At most 63 characters, without '-' or '.' at the end. Caller frees. */
static char *short_name(const char *name) {
        char *s = strndup(name, HOSTNAME_LENGTH_MAX);

        for (size_t n = s ? strlen(s) : 0; n > 0 && (s[n - 1] == '-' || s[n - 1] == '.'); n--)
                s[n - 1] = 0;
        return s;
}

/* "name.subdomain.namespace.svc.cluster.local"; "" without spec.subdomain. Caller frees. */
static char *full_name(const json_t *pod, const struct pod_facts *f, const char *name) {
        const char *sub = json_str_or(pod, "spec.subdomain", "");

        if (!*sub)
                return strdup("");
        return strformat("%s.%s.%s.svc.%s", name, sub, object_namespace(pod),
                        f->cluster_domain ? f->cluster_domain : "cluster.local");
}

/* The pod's own name and the full one, or "". spec.hostnameOverride is all of it (KEP-4762). */
static int pod_names(
                const json_t *pod, const struct pod_facts *f, char **ret_name, char **ret_full) {
        const char *given = json_str_or(pod, "spec.hostnameOverride", "");
        char *name = *given ? strdup(given)
                            : short_name(json_str_or(pod, "spec.hostname", object_name(pod)));
        char *full = !name ? NULL : *given ? strdup("") : full_name(pod, f, name);

        if (!full) {
                free(name);
                return -ENOMEM;
        }
        *ret_name = name;
        *ret_full = full;
        return 0;
}

char *pod_host_name(const json_t *pod, const struct pod_facts *f) {
        _cleanup_free_ char *name = NULL, *full = NULL;

        if (uses_host_network(pod))
                return strdup(strempty(f->node_name));
        if (pod_names(pod, f, &name, &full) < 0)
                return NULL;
        return json_bool_or(pod, "spec.setHostnameAsFQDN", false) && *full ? TAKE_PTR(full)
                                                                           : TAKE_PTR(name);
}

/* A field must not bring a blank or a newline into a file. */
static bool is_word(const char *s) {
        size_t n = strcspn(s, " \t\r\n#;");
        return n > 0 && n <= 253 && !s[n];
}

static bool is_address(const char *s) {
        size_t n = strspn(s, "0123456789abcdefABCDEF.:");
        return n >= 2 && n <= 45 && !s[n];
}

static int refuse(struct problem *p, const char *field, const char *value) {
        return problem_set(p, EINVAL, 0, REASON, "%s: '%.100s' is not valid", field, value);
}

static int host_aliases(const json_t *pod, struct buf *out, struct problem *p) {
        const json_t *alias, *name, *list = json_at(pod, "spec.hostAliases");
        size_t i, k;

        if (json_array_size(list) > 0)
                buf_append_str(out, "\n# Entries added by HostAliases.\n");
        json_array_foreach (list, i, alias) {
                const char *ip = json_str_or(alias, "ip", "");

                if (!is_address(ip))
                        return refuse(p, "spec.hostAliases: ip", ip);
                buf_append_str(out, ip);
                json_array_foreach (json_at(alias, "hostnames"), k, name) {
                        const char *s = strempty(json_string_value(name));
                        if (!is_word(s))
                                return refuse(p, "spec.hostAliases: hostnames", s);
                        buf_printf(out, "\t%s", s);
                }
                buf_append_char(out, '\n');
        }
        return 0;
}

static int hosts(const json_t *pod, const struct pod_facts *f, struct buf *out, struct problem *p) {
        const char *const own[] = {f->pod_ip, f->pod_ip6};
        _cleanup_free_ char *name = NULL, *full = NULL;

        if (uses_host_network(pod)) {
                buf_append_str(out, strempty(f->host_hosts));
                return host_aliases(pod, out, p);
        }
        if (pod_names(pod, f, &name, &full) < 0)
                return -ENOMEM;
        if (!is_word(name) || (*full && !is_word(full)))
                return refuse(p, "spec.hostname or spec.subdomain", *full ? full : name);
        buf_append_str(out, "# Kubernetes-managed hosts file.\n"
                            "127.0.0.1\tlocalhost\n"
                            "::1\tlocalhost ip6-localhost ip6-loopback\n"
                            "fe00::0\tip6-localnet\n"
                            "fe00::0\tip6-mcastprefix\n"
                            "fe00::1\tip6-allnodes\n"
                            "fe00::2\tip6-allrouters\n");
        for (size_t i = 0; i < ELEMENTS(own); i++)
                if (!isempty(own[i]))
                        buf_printf(out, "%s\t%s%s%s\n", own[i], full, *full ? "\t" : "", name);
        return host_aliases(pod, out, p);
}

/* ---- resolv.conf ---- */

struct resolver {
        json_t *nameservers, *searches; /* arrays of text, deduplicated */
        json_t *options;                /* {name: value or ""} */
};

static void resolver_done(struct resolver *r) {
        json_decref(r->nameservers);
        json_decref(r->searches);
        json_decref(r->options);
}

static void add_once(json_t *list, const char *text) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(json_string_value(v), text))
                        return;
        json_array_append_new(list, json_string(text));
}

static void add_option(json_t *options, const char *text) {
        size_t n = strcspn(text, ":");
        _cleanup_free_ char *name = strndup(text, n);

        if (name && *name)
                json_object_set_new(options, name, json_string(text[n] ? text + n + 1 : ""));
}

/* Parses the machine's own file. The last `search` or `domain` line counts. */
static void read_resolver(struct resolver *r, const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");
                _cleanup_free_ char *line = strndup(text, n);
                _cleanup_strv_free_ char **words = NULL;

                text += n + (text[n] == '\n');
                if (!line || strv_split(line, " \t\r", &words) < 0 || !words || !words[0])
                        continue;
                if (streq(words[0], "search") || streq(words[0], "domain"))
                        json_array_clear(r->searches);
                for (char **w = words + 1; *w; w++) {
                        if (**w == '#' || **w == ';')
                                break;
                        if (streq(words[0], "nameserver"))
                                add_once(r->nameservers, *w);
                        else if (streq(words[0], "search") || streq(words[0], "domain"))
                                add_once(r->searches, *w);
                        else if (streq(words[0], "options"))
                                add_option(r->options, *w);
                }
        }
}

/* The cluster's server with the cluster's search domains first, then the machine's; of the options
 * only that names with fewer than five dots are searched, as with Kubernetes' kubelet. */
static int use_cluster_dns(const json_t *pod, const struct pod_facts *f, struct resolver *r) {
        const char *domain = f->cluster_domain ? f->cluster_domain : "cluster.local";
        _cleanup_json_ json_t *own = r->searches;
        const json_t *v;
        size_t i;

        r->searches = json_array();
        if (!r->searches)
                return -ENOMEM;
        json_array_append_new(
                        r->searches, json_sprintf("%s.svc.%s", object_namespace(pod), domain));
        json_array_append_new(r->searches, json_sprintf("svc.%s", domain));
        json_array_append_new(r->searches, json_string(domain));
        json_array_foreach (own, i, v)
                add_once(r->searches, json_string_value(v));
        json_array_clear(r->nameservers);
        add_once(r->nameservers, f->cluster_dns);
        json_object_clear(r->options);
        json_object_set_new(r->options, "ndots", json_string("5"));
        return 0;
}

static int add_dns_config(const json_t *config, struct resolver *r, struct problem *p) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(config, "nameservers"), i, v) {
                const char *s = strempty(json_string_value(v));
                if (!is_address(s))
                        return refuse(p, "spec.dnsConfig.nameservers", s);
                add_once(r->nameservers, s);
        }
        json_array_foreach (json_at(config, "searches"), i, v) {
                const char *s = strempty(json_string_value(v));
                if (!is_word(s))
                        return refuse(p, "spec.dnsConfig.searches", s);
                add_once(r->searches, s);
        }
        json_array_foreach (json_at(config, "options"), i, v) {
                const char *name = json_str_or(v, "name", ""), *value = json_str_or(v, "value", "");
                if (!is_word(name) || (*value && !is_word(value)))
                        return refuse(p, "spec.dnsConfig.options", *value ? value : name);
                json_object_set_new(r->options, name, json_string(value));
        }
        return 0;
}

/* How many of the search domains fit. */
static size_t searches_that_fit(const struct resolver *r) {
        size_t i, total = 0;
        const json_t *v;

        json_array_foreach (r->searches, i, v) {
                total += json_string_length(v) + (i > 0);
                if (i >= SEARCHES_MAX || total > SEARCH_LENGTH_MAX)
                        return i;
        }
        return json_array_size(r->searches);
}

static void put_words(const json_t *list, size_t count, struct buf *out) {
        for (size_t i = 0; i < count; i++)
                buf_printf(out, "%s%s", i > 0 ? " " : "",
                                json_string_value(json_array_get(list, i)));
}

static void write_resolver(const struct resolver *r, struct buf *out) {
        size_t searches = searches_that_fit(r), i, start;
        const json_t *v;
        const char *name;
        json_t *value;

        json_array_foreach (r->nameservers, i, v) {
                if (i < NAMESERVERS_MAX)
                        buf_printf(out, "nameserver %s\n", json_string_value(v));
        }
        if (searches > 0) {
                buf_append_str(out, "search ");
                put_words(r->searches, searches, out);
                buf_append_char(out, '\n');
        }
        start = out->size;
        json_object_foreach (r->options, name, value) {
                const char *s = json_string_value(value);
                buf_printf(out, "%s %s%s%s", out->size == start ? "options" : "", name,
                                *s ? ":" : "", s);
        }
        if (out->size > start)
                buf_append_char(out, '\n');
}

/* 1: the pod gets its own file, from what is in the resolver; 0: it sees the machine's. */
static int fill_resolver(const json_t *pod, const struct pod_facts *f, struct resolver *resolver,
                struct problem *p) {
        const char *policy = json_str_or(pod, "spec.dnsPolicy", "ClusterFirst");
        const json_t *config = json_at(pod, "spec.dnsConfig");
        bool none = streq(policy, "None"),
             cluster = !isempty(f->cluster_dns) && pod_wants_cluster_dns(pod);
        int r;

        if (!resolver->nameservers || !resolver->searches || !resolver->options)
                return -ENOMEM;
        if (!none && !cluster && !config)
                return 0;
        if (!none)
                read_resolver(resolver, strempty(f->host_resolv));
        if (cluster) {
                r = use_cluster_dns(pod, f, resolver);
                if (r < 0)
                        return r;
        }
        r = add_dns_config(config, resolver, p);
        return r < 0 ? r : 1;
}

static void resolver_init(struct resolver *r) {
        *r = (struct resolver){json_array(), json_array(), json_object()};
}

static int resolv_conf(
                const json_t *pod, const struct pod_facts *f, struct buf *out, struct problem *p) {
        _cleanup_(resolver_done) struct resolver resolver;
        int r;

        resolver_init(&resolver);
        r = fill_resolver(pod, f, &resolver, p);
        if (r > 0)
                write_resolver(&resolver, out);
        return r;
}

bool pod_wants_cluster_dns(const json_t *pod) {
        const char *policy = json_str_or(pod, "spec.dnsPolicy", "ClusterFirst");

        return streq(policy, "ClusterFirstWithHostNet") ||
               (streq(policy, "ClusterFirst") && !uses_host_network(pod));
}

void pod_dns_warnings(const json_t *pod, const struct pod_facts *f, json_t *list) {
        _cleanup_(resolver_done) struct resolver resolver;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_buf_ struct buf servers = {0}, searches = {0};
        size_t fit;

        resolver_init(&resolver);
        if (fill_resolver(pod, f, &resolver, &p) <= 0)
                return;
        fit = searches_that_fit(&resolver);
        put_words(resolver.nameservers,
                        MIN(json_array_size(resolver.nameservers), (size_t)NAMESERVERS_MAX),
                        &servers);
        put_words(resolver.searches, fit, &searches);
        if (json_array_size(resolver.nameservers) > NAMESERVERS_MAX)
                json_array_append_new(list,
                                json_sprintf("Nameserver limits were exceeded, some nameservers "
                                             "have been omitted, the applied nameserver line is: "
                                             "%s",
                                                strempty(servers.data)));
        if (json_array_size(resolver.searches) > fit)
                json_array_append_new(list,
                                json_sprintf("Search Line limits were exceeded, some search paths "
                                             "have been omitted, the applied search line is: %s",
                                                strempty(searches.data)));
}

static int add_file(json_t *files, const char *name, const struct buf *text) {
        _cleanup_free_ char *data = base64_encode(text->size > 0 ? text->data : "", text->size);

        if (text->failed || !data)
                return -ENOMEM;
        return json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "path", name, "mode",
                                                            (json_int_t)0644, "data", data)) < 0
                               ? -ENOMEM
                               : 0;
}

int pod_etc_volume(const json_t *pod, const struct pod_facts *f, json_t **ret, struct problem *p) {
        _cleanup_buf_ struct buf hosts_text = {0}, name_text = {0}, resolv_text = {0};
        _cleanup_free_ char *name = pod_host_name(pod, f);
        _cleanup_json_ json_t *files = json_array();
        bool own_hosts = !uses_host_network(pod) ||
                         json_array_size(json_at(pod, "spec.hostAliases")) > 0;
        int r;

        if (!files || !name)
                return -ENOMEM;
        if (own_hosts) {
                r = hosts(pod, f, &hosts_text, p);
                if (r < 0)
                        return r;
                r = add_file(files, "hosts", &hosts_text);
                if (r < 0)
                        return r;
        }
        if (!uses_host_network(pod)) {
                buf_printf(&name_text, "%s\n", name);
                r = add_file(files, "hostname", &name_text);
                if (r < 0)
                        return r;
        }
        r = resolv_conf(pod, f, &resolv_text, p);
        if (r < 0)
                return r;
        if (r > 0) {
                r = add_file(files, "resolv.conf", &resolv_text);
                if (r < 0)
                        return r;
        }
        if (json_array_size(files) == 0)
                return 0;
        *ret = json_pack("{s:s, s:s, s:o, s:b, s:O}", "name", VOLUME_NAME, "type", "files", "path",
                        json_sprintf("%s/" VOLUME_NAME, f->run_dir), "secret", 0, "files", files);
        return *ret ? 1 : -ENOMEM;
}

/* A user's own mount at the file or above it is left alone. */
static bool is_mounted(const json_t *container, const char *target) {
        const json_t *m;
        size_t i;

        json_array_foreach (json_at(container, "volumeMounts"), i, m) {
                const char *path = json_str_or(m, "mountPath", "");
                if (streq(path, target) || streq(path, "/etc") || streq(path, "/etc/"))
                        return true;
        }
        return false;
}

static bool asks_for(const json_t *pod, const char *file) {
        if (streq(file, "resolv.conf"))
                return true;
        return streq(file, "hosts")
                               ? json_at(pod, "spec.hostAliases") || json_at(pod, "spec.subdomain")
                               : json_at(pod, "spec.hostname") ||
                                                 json_at(pod, "spec.hostnameOverride");
}

void pod_etc_mounts(const json_t *pod, const json_t *container, const json_t *volume,
                const char *resolv_conf_path, json_t *properties) {
        /* A disk image may lack the file to bind over, and we cannot create it there: only when
         * the pod asks for it. */
        bool read_only = json_object_get(properties, "RootImage") != NULL;
        json_t *binds = json_object_get(properties, "BindReadOnlyPaths");
        bool resolv = false;
        const json_t *file;
        size_t i;

        if (!binds && (volume || resolv_conf_path)) {
                binds = json_array();
                json_object_set_new(properties, "BindReadOnlyPaths", binds);
        }
        json_array_foreach (json_at(volume, "files"), i, file) {
                const char *name = json_str_or(file, "path", "");
                _cleanup_free_ char *target = strformat("/etc/%s", name);

                resolv |= streq(name, "resolv.conf");
                if (!target || is_mounted(container, target) || (read_only && !asks_for(pod, name)))
                        continue;
                json_array_append_new(binds,
                                json_pack("[o, s]",
                                                json_sprintf("%s/..data/%s",
                                                                json_str_or(volume, "path", ""),
                                                                name),
                                                target));
        }
        if (resolv_conf_path && !resolv && !is_mounted(container, "/etc/resolv.conf"))
                json_array_append_new(
                                binds, json_pack("[s, s]", resolv_conf_path, "/etc/resolv.conf"));
        if (binds && json_array_size(binds) == 0)
                json_object_del(properties, "BindReadOnlyPaths");
}
