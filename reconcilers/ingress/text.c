/* The text of haproxy.cfg. Debian 12 has haproxy 2.6, Debian 13 has 3.0: both know everything here.
 * Users' words get here only after ingress_is_host() and its like: no blank, quote or newline. */
#include "reconcilers/ingress/text.h"

#include "reconcilers/ingress/internal.h"

enum { SLOTS_MIN = 4 };

static const char globals[] =
                "global\n"
                "        maxconn %u\n"
                "        nbthread %u\n"
                "        stats socket %s/admin.sock mode 600 level admin expose-fd listeners\n"
                "        setenv KEELSON_GENERATION @GENERATION@\n"
                /* Old workers serve their last connections, but not for ever. */
                "        hard-stop-after 10m\n"
                "        mworker-max-reloads 10\n"
                "        ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets\n"
                "\n"
                "defaults\n"
                "        mode http\n"
                "        option idle-close-on-response\n"
                "        option redispatch 1\n"
                "        retries 3\n"
                "        retry-on conn-failure empty-response\n"
                "        timeout connect 5s\n"
                "        timeout client 60s\n"
                "        timeout server 60s\n"
                "        timeout queue 10s\n"
                "        timeout http-request 10s\n"
                "        timeout http-keep-alive 60s\n"
                "        timeout tunnel 1h\n"
                "\n";

/* Map keys begin with a host or, for rules without one, with the path's slash. */
static const char lookups[] =
                "        http-request set-var(txn.host) req.hdr(host),host_only,lower,rtrim(.)\n"
                "        http-request set-var(txn.wild) var(txn.host),regsub(^[^.]*\\.,*.)\n"
                "        http-request set-var(txn.path) path\n"
                "        http-request set-var(txn.to) "
                "var(txn.host),concat(,txn.path),map_str(@DIR@/exact.map)\n"
                "        http-request set-var(txn.to) "
                "var(txn.host),concat(,txn.path,/),map_beg(@DIR@/prefix.map) "
                "unless { var(txn.to) -m found }\n"
                "        http-request set-var(txn.to) "
                "var(txn.wild),concat(,txn.path),map_str(@DIR@/exact.map) "
                "unless { var(txn.to) -m found }\n"
                "        http-request set-var(txn.to) "
                "var(txn.wild),concat(,txn.path,/),map_beg(@DIR@/prefix.map) "
                "unless { var(txn.to) -m found }\n"
                "        http-request set-var(txn.to) var(txn.path),map_str(@DIR@/exact.map) "
                "unless { var(txn.to) -m found }\n"
                "        http-request set-var(txn.to) "
                "var(txn.path),concat(/),map_beg(@DIR@/prefix.map) "
                "unless { var(txn.to) -m found }\n"
                "        http-request set-var(txn.to) var(txn.host),map_str(@DIR@/default.map) "
                "unless { var(txn.to) -m found }\n"
                "        http-request set-var(txn.to) var(txn.wild),map_str(@DIR@/default.map) "
                "unless { var(txn.to) -m found }\n"
                "        http-request set-var(txn.to) str(*),map_str(@DIR@/default.map) "
                "unless { var(txn.to) -m found }\n";

/* What the client says about itself is replaced: backends believe these headers. */
static const char headers[] =
                "        http-request set-header X-Forwarded-For %[src]\n"
                "        http-request set-header X-Real-IP %[src]\n"
                "        http-request set-header X-Forwarded-Host %[req.hdr(host)]\n"
                "        http-request set-header X-Forwarded-Port %[dst_port]\n"
                "        http-request set-header X-Forwarded-Proto https if { ssl_fc }\n"
                "        http-request set-header X-Forwarded-Proto http if !{ ssl_fc }\n"
                "        http-request del-header Forwarded\n"
                "        http-request del-header Proxy\n";

static const char ends[] =
                "        use_backend %[var(txn.to),field(1,/)] if { var(txn.to) -m found }\n"
                "        default_backend none\n"
                "\n"
                "backend none\n"
                "        http-request return status 404 content-type text/plain string "
                "\"no Ingress has a rule for this host and path\"\n"
                "\n"
                "backend " INGRESS_UNAVAILABLE "\n"
                "        http-request return status 503 content-type text/plain string "
                "\"the backend of this rule cannot be used: see the events of the Ingress\"\n"
                "\n";

char *ingress_main_text(const struct ingress_options *o) {
        _cleanup_buf_ struct buf b = {0};
        const char *both = streq(o->bind_address, "[::]") ? " v4v6" : "";
        char *text;

        buf_printf(&b, globals, o->connections_max, o->threads, o->run_dir);
        buf_printf(&b, "frontend web\n        bind %s:%u%s\n", o->bind_address, o->http_port, both);
        buf_printf(&b,
                        "        bind %s:%u%s ssl crt-list @DIR@/certificates.list alpn "
                        "h2,http/1.1\n",
                        o->bind_address, o->https_port, both);
        buf_append_str(&b, lookups);
        buf_append_str(&b, "        http-request redirect location https://%[var(txn.host)]");
        if (o->https_port != 443)
                buf_printf(&b, ":%u", o->https_port);
        buf_append_str(&b,
                        "%[pathq] code 308 if !{ ssl_fc } { var(txn.to),field(2,/) redirect }\n");
        buf_append_str(&b, headers);
        buf_append_str(&b, ends);
        text = buf_take(&b);
        assert(text);
        return text;
}

char *ingress_map_text(const json_t *map) {
        _cleanup_buf_ struct buf b = {0};
        const json_t *value;
        const char *key;
        char *text;

        json_object_each (map, key, value)
                buf_printf(&b, "%s %s\n", key, json_string_value(value));
        text = buf_take(&b);
        assert(text);
        return text;
}

char *ingress_text_in(const char *text, const char *dir) {
        static const char mark[] = "@DIR@";
        _cleanup_buf_ struct buf b = {0};
        char *ret;

        for (const char *at; (at = strstr(text, mark)); text = at + strlen(mark)) {
                buf_append(&b, text, (size_t)(at - text));
                buf_append_str(&b, dir);
        }
        buf_append_str(&b, text);
        ret = buf_take(&b);
        assert(ret);
        return ret;
}

/* --- slots --- */

static size_t slots_for(size_t endpoints) {
        size_t n = SLOTS_MIN;

        while (n < endpoints + endpoints / 2 + 1)
                n *= 2;
        return n;
}

static json_t *empty_slots(size_t n) {
        json_t *slots = json_array();

        assert(slots);
        for (size_t i = 0; i < n; i++)
                assert(json_array_append_new(slots, json_null()) >= 0);
        return slots;
}

/* Endpoints in the slots that they had, the others in free ones. */
static json_t *fill_slots(const json_t *endpoints, const json_t *previous, size_t n) {
        _cleanup_json_ json_t *wanted = json_object();
        json_t *slots = empty_slots(n);
        const json_t *v;
        const char *key;
        size_t i, at = 0;

        assert(wanted);
        json_array_foreach (endpoints, i, v)
                assert(json_object_set_new(wanted, json_string_value(v), json_true()) >= 0);
        json_array_foreach (previous, i, v)
                if (i < n && json_is_string(v) && json_object_get(wanted, json_string_value(v))) {
                        assert(json_array_set(slots, i, json_unconst(v)) >= 0);
                        json_object_del(wanted, json_string_value(v));
                }
        json_object_each (wanted, key, v) {
                /* One that was free before is better: nothing is in flight there. */
                for (at = 0; at < n; at++)
                        if (json_is_null(json_array_get(slots, at)) &&
                                        !json_is_string(json_array_get(previous, at)))
                                break;
                for (i = 0; at == n && i < n; i++)
                        if (json_is_null(json_array_get(slots, i)))
                                at = i;
                assert(at < n && json_array_set_new(slots, at, json_string(key)) >= 0);
        }
        return slots;
}

json_t *ingress_slots(const json_t *decision, const json_t *previous, bool *ret_grown) {
        json_t *ret = json_object();
        const json_t *backend;
        const char *name;

        assert(ret);
        *ret_grown = false;
        json_object_each (json_object_get(decision, "backends"), name, backend) {
                const json_t *endpoints = json_object_get(backend, "endpoints"),
                             *old = json_object_get(previous, name);
                size_t n = json_array_size(old);

                if (n < json_array_size(endpoints)) {
                        *ret_grown |= old != NULL;
                        n = slots_for(json_array_size(endpoints));
                }
                if (n == 0)
                        n = slots_for(0);
                assert(json_object_set_new(ret, name, fill_slots(endpoints, old, n)) >= 0);
        }
        return ret;
}

/* At most n of the list. */
static json_t *first_of(const json_t *list, size_t n) {
        json_t *ret = json_array();
        const json_t *v;
        size_t i;

        assert(ret);
        json_array_foreach (list, i, v)
                if (i < n)
                        assert(json_array_append(ret, json_unconst(v)) >= 0);
        return ret;
}

json_t *ingress_with_endpoints(const json_t *running, const json_t *newer, const json_t *slots) {
        json_t *ret = json_shallow_copy(running), *backends = json_object();
        const json_t *backend, *old = json_object_get(running, "backends"),
                               *fresh = json_object_get(newer, "backends");
        const char *name;

        assert(ret && backends);
        json_object_each (old, name, backend) {
                const json_t *now = json_object_get(fresh, name);
                json_t *changed = json_shallow_copy(backend);
                size_t n = json_array_size(json_object_get(slots, name));

                assert(changed);
                if (now)
                        assert(json_object_set_new(changed, "endpoints",
                                               first_of(json_object_get(now, "endpoints"), n)) >=
                                        0);
                assert(json_object_set_new(backends, name, changed) >= 0);
        }
        assert(json_object_set_new(ret, "backends", backends) >= 0);
        return ret;
}

char *ingress_text(
                const json_t *decision, const json_t *slots, const char *dir, uint64_t generation) {
        static const char mark[] = "@GENERATION@";
        _cleanup_free_ char *head = ingress_text_in(json_str_or(decision, "main", ""), dir);
        const char *at = strstr(head, mark);
        _cleanup_buf_ struct buf b = {0};
        const json_t *backend, *endpoint;
        const char *name;
        char *text;
        size_t i;

        assert(at);
        buf_append(&b, head, (size_t)(at - head));
        buf_printf(&b, "%llu%s", (unsigned long long)generation, at + strlen(mark));
        json_object_each (json_object_get(decision, "backends"), name, backend) {
                buf_append_str(&b, json_str_or(backend, "section", ""));
                json_array_foreach (json_object_get(slots, name), i, endpoint)
                        buf_printf(&b, "        server s%zu %s\n", i + 1,
                                        json_is_string(endpoint) ? json_string_value(endpoint)
                                                                 : "192.0.2.1:1 disabled");
                buf_append_char(&b, '\n');
        }
        text = buf_take(&b);
        assert(text);
        return text;
}

static void command(json_t *ret, char *text) {
        assert(text && json_array_append_new(ret, json_string(text)) >= 0);
        free(text);
}

/* endpoint: "10.244.1.7:8080" or "[2001:db8::7]:8080". */
static void use_slot(json_t *ret, const char *backend, size_t slot, const char *endpoint) {
        const char *colon = strrchr(endpoint, ':'), *from = endpoint + (*endpoint == '[');
        int n = (int)(colon - from) - (*endpoint == '[');

        command(ret, strformat("set server %s/s%zu addr %.*s port %s", backend, slot, n, from,
                                     colon + 1));
        command(ret, strformat("set server %s/s%zu state ready", backend, slot));
}

void ingress_commands(const json_t *from, const json_t *to, json_t *ret) {
        const json_t *slots, *now;
        const char *name;
        size_t i;

        json_object_each (to, name, slots) {
                const json_t *before = json_object_get(from, name);

                json_array_foreach (slots, i, now) {
                        if (json_same(now, json_array_get(before, i)))
                                continue;
                        if (json_is_string(now))
                                use_slot(ret, name, i + 1, json_string_value(now));
                        else
                                command(ret, strformat("set server %s/s%zu state maint", name,
                                                             i + 1));
                }
        }
}
