/* One thread: unbound then carries out a bulk command between two queries, so that nobody sees the
 * half of it. The cluster's zones are static, so that a name that does not exist is answered here
 * and never asked elsewhere. The view has no names of its own: changes pass through it (table.h).
 */
#include "nodeagent/dns/unbound-config.h"

#include "lib/address.h"
#include "nodeagent/dns/records.h"

enum { UPSTREAMS_MAX = 8 };

static const char frame[] = "    do-daemonize: no\n"
                            "    username: \"\"\n"
                            "    chroot: \"\"\n"
                            "    pidfile: \"\"\n"
                            "    directory: \"/\"\n"
                            "    use-syslog: no\n"
                            "    logfile: \"\"\n"
                            "    log-time-ascii: no\n"
                            "    num-threads: 1\n"
                            "    module-config: \"iterator\"\n"
                            "    do-ip6: yes\n"
                            "    ip-freebind: yes\n"
                            "    do-not-query-localhost: no\n"
                            /* Answers */
                            "    rrset-roundrobin: yes\n"
                            "    minimal-responses: yes\n"
                            "    hide-identity: yes\n"
                            "    hide-version: yes\n"
                            "    deny-any: yes\n"
                            "    edns-buffer-size: 1232\n"
                            "    max-udp-size: 1232\n"
                            /* Bounds */
                            "    outgoing-range: 512\n"
                            "    num-queries-per-thread: 512\n"
                            "    incoming-num-tcp: 64\n"
                            "    outgoing-num-tcp: 32\n"
                            "    msg-cache-size: 8m\n"
                            "    rrset-cache-size: 16m\n"
                            "    infra-cache-numhosts: 1000\n"
                            "    cache-max-negative-ttl: 30\n"
                            /* The machine's servers answer for private addresses, too. */
                            "    unblock-lan-zones: yes\n"
                            "    insecure-lan-zones: yes\n"
                            "    private-address: 127.0.0.0/8\n"
                            "    private-address: 169.254.0.0/16\n"
                            "    private-address: ::1/128\n"
                            "    private-address: ::ffff:0:0/96\n"
                            "    private-address: fe80::/10\n"
                            "    access-control: 0.0.0.0/0 deny\n"
                            "    access-control: 127.0.0.0/8 deny\n"
                            "    access-control: ::/0 deny\n";

static int put_each(struct buf *out, const char *format_before, char *const *list,
                const char *format_after) {
        for (; list && *list; list++) {
                int r = buf_printf(out, "%s%s%s\n", format_before, *list, format_after);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int put_clients(const struct dns_config *c, struct buf *out) {
        int r = put_each(out, "    access-control: ", c->clients, " allow");

        if (r < 0)
                return r;
        return put_each(out, "    access-control-view: ", c->clients, " " DNS_VIEW);
}

static int put_server(const struct dns_config *c, struct buf *out) {
        int r = buf_printf(out, "server:\n    interface: %s\n%s", c->address, frame);

        if (r < 0)
                return r;
        r = put_clients(c, out);
        if (r < 0)
                return r;
        r = put_each(out, "    private-address: ", c->ranges, "");
        if (r < 0)
                return r;
        for (size_t i = 0; i < c->stub_count; i++) {
                r = buf_printf(out, "    private-domain: \"%s.\"\n", c->stubs[i].domain);
                if (r < 0)
                        return r;
        }
        /* Without a server to ask, nothing is asked: not the servers of the root, either. */
        if (!c->upstreams || !*c->upstreams) {
                r = buf_append_str(out, "    do-not-query-address: 0.0.0.0/0\n"
                                        "    do-not-query-address: ::/0\n");
                if (r < 0)
                        return r;
        }
        r = buf_printf(out, "    local-zone: \"%s.\" static\n", c->domain);
        if (r < 0)
                return r;
        r = put_each(out, "    local-zone: \"", c->zones, ".\" static");
        if (r < 0)
                return r;
        return buf_printf(out, "    include: \"%s\"\n", c->records_path);
}

static int put_forward(struct buf *out, const char *zone, char *const *servers) {
        int r = buf_printf(out, "forward-zone:\n    name: \"%s\"\n", zone);

        return r < 0 ? r : put_each(out, "    forward-addr: ", servers, "");
}

int dns_config_text(const struct dns_config *c, struct buf *out) {
        int r = put_server(c, out);

        if (r < 0)
                return r;
        r = buf_printf(out,
                        "remote-control:\n    control-enable: yes\n"
                        "    control-interface: \"%s\"\n    control-use-cert: no\n",
                        c->socket_path);
        if (r < 0)
                return r;
        for (size_t i = 0; i < c->stub_count; i++) {
                _cleanup_free_ char *zone = strformat("%s.", c->stubs[i].domain);

                r = zone ? put_forward(out, zone, c->stubs[i].servers) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return c->upstreams && *c->upstreams ? put_forward(out, ".", c->upstreams) : 0;
}

/* An address, and for IPv6 perhaps the link ("fe80::1%eth0"). */
static bool is_server(const char *text) {
        size_t n = strcspn(text, "%"), link = text[n] ? strlen(text + n + 1) : 1;
        _cleanup_free_ char *address = strndup(text, n);

        return address && address_parse(address).size > 0 && link > 0 && link <= 15 &&
               !text[n + strcspn(text + n, " \t\r\n#\"'@")];
}

char *dns_server_parse(const char *text) {
        const char *close = text[0] == '[' ? strchr(text, ']') : NULL,
                   *colon = close ? close + 1 : strchr(text, ':');
        _cleanup_free_ char *address = NULL;
        uint64_t port;

        /* More than one colon: an IPv6 address. */
        if (!close && colon && strchr(colon + 1, ':'))
                colon = NULL;
        if (close && *colon == 0)
                colon = NULL;
        address = close ? strndup(text + 1, (size_t)(close - text - 1))
                        : strndup(text, colon ? (size_t)(colon - text) : strlen(text));
        if (!address || !is_server(address))
                return NULL;
        if (!colon)
                return TAKE_PTR(address);
        if (*colon != ':' || parse_u64(colon + 1, &port) < 0 || port < 1 || port > 65535)
                return NULL;
        return strformat("%s@%u", address, (unsigned)port);
}

int dns_upstreams_of(const char *resolv_conf, const char *own, char ***ret) {
        _cleanup_strv_free_ char **list = NULL;

        while (*resolv_conf && strv_length(list) < UPSTREAMS_MAX) {
                size_t n = strcspn(resolv_conf, "\n");
                _cleanup_free_ char *line = strndup(resolv_conf, n);
                _cleanup_strv_free_ char **words = NULL;
                int r;

                resolv_conf += n + (resolv_conf[n] == '\n');
                r = line ? strv_split(line, " \t\r", &words) : -ENOMEM;
                if (r < 0)
                        return r;
                if (strv_length(words) < 2 || !streq(words[0], "nameserver") ||
                                !is_server(words[1]) || streq(words[1], own) ||
                                strv_contains(list, words[1]))
                        continue;
                r = strv_extend(&list, words[1]);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(list);
        return 0;
}

static int stub_refuse(struct problem *p, const char *text) {
        return problem_set(p, EINVAL, 0, NULL,
                        "dns-stub: '%.100s' is not a domain and a name server's address, as in "
                        "corp.example=192.0.2.53 (an optional port follows a colon)",
                        text);
}

int dns_stub_add(struct dns_stub **stubs, size_t *count, const char *text, struct problem *p) {
        const char *equals = strchr(text, '=');
        _cleanup_free_ char *domain = equals ? strndup(text, (size_t)(equals - text)) : NULL,
                            *server = equals ? dns_server_parse(equals + 1) : NULL;
        struct dns_stub *more;
        size_t n = domain ? strlen(domain) : 0;

        if (!domain || !server || !dns_name_is_valid(domain))
                return stub_refuse(p, text);
        if (domain[n - 1] == '.')
                domain[n - 1] = 0;
        for (size_t i = 0; i < *count; i++)
                if (streq((*stubs)[i].domain, domain))
                        return strv_extend(&(*stubs)[i].servers, server);
        more = reallocarray(*stubs, *count + 1, sizeof(*more));
        if (!more)
                return -ENOMEM;
        *stubs = more;
        more[*count] = (struct dns_stub){.domain = TAKE_PTR(domain)};
        *count += 1;
        return strv_extend(&more[*count - 1].servers, server);
}

void dns_stubs_free(struct dns_stub *stubs, size_t count) {
        for (size_t i = 0; i < count; i++) {
                free(stubs[i].domain);
                strv_free(stubs[i].servers);
        }
        free(stubs);
}

/* What it may do: answer on port 53, ask servers, read its files, write its socket. */
static json_t *unit_properties(const char *runtime_dir) {
        return json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:b, s:s, s:[s], s:i, s:s, s:s, s:b, "
                         "s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:[s], s:[s], s:[s], s:I, "
                         "s:i, s:i, s:i, s:i}",
                        "Description", "keelson: name server of this node (unbound)", "Type",
                        "notify", "Restart", "always", "RestartUSec", 200000,
                        "StartLimitIntervalUSec", 0, "CollectMode", "inactive-or-failed",
                        "SyslogIdentifier", "keelson-dns", "DynamicUser", 1, "User", "keelson-dns",
                        "RuntimeDirectory", runtime_dir, "UMask", 0077, "ProtectSystem", "strict",
                        "ProtectHome", "yes", "PrivateTmp", 1, "PrivateDevices", 1,
                        "NoNewPrivileges", 1, "ProtectKernelTunables", 1, "ProtectKernelModules", 1,
                        "ProtectControlGroups", 1, "LockPersonality", 1, "MemoryDenyWriteExecute",
                        1, "RestrictRealtime", 1, "RestrictSUIDSGID", 1, "SystemCallArchitectures",
                        "native", "CapabilityBoundingSet", "CAP_NET_BIND_SERVICE",
                        "AmbientCapabilities", "CAP_NET_BIND_SERVICE", "MemoryMax",
                        (json_int_t)512 * 1024 * 1024, "TasksMax", 16, "LimitNOFILE", 4096,
                        "LimitCORE", 0, "OOMScoreAdjust", -800);
}

json_t *dns_unit(const char *program, const char *library_dir, const char *config_path,
                const char *runtime_dir) {
        _cleanup_json_ json_t *properties = unit_properties(runtime_dir),
                              *filters = json_pack("{s:{s:b, s:[s, s, s, s]}, s:{s:b, s:[s]}}",
                                              "RestrictAddressFamilies", "allow", 1, "names",
                                              "AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK",
                                              "SystemCallFilter", "allow", 1, "names",
                                              "@system-service");

        if (!properties || !filters || json_object_update(properties, filters) < 0)
                return NULL;
        if (json_object_set_new(properties, "ExecStartEx",
                            json_pack("[[s, s, s, s, s]]", program, "-d", "-p", "-c",
                                            config_path)) < 0)
                return NULL;
        if (library_dir && json_object_set_new(properties, "Environment",
                                           json_pack("[o]", json_sprintf("LD_LIBRARY_PATH=%s",
                                                                            library_dir))) < 0)
                return NULL;
        return json_pack("{s:s, s:O}", "name", DNS_UNIT, "properties", properties);
}
