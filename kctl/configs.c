/* The configuration that `kctl up` writes for the daemons (kctl/config/ *.yaml), and its changes to
 * that of an earlier version (kctl/config/ *.sh). */
#include "kctl/configs.h"

#include "kctl/cluster.h"
#include "kctl/template.h"
#include "kctl/texts.h"
#include "lib/json.h"
#include "lib/random.h"

int configs_write(struct machine *m, const struct config_spec *spec, struct problem *p) {
        static const struct {
                const char *name, *template;
        } configs[] = {
                        {"kstored", text_kstored_yaml},
                        {"kapid", text_kapid_yaml},
                        {"kreconciled", text_kreconciled_yaml},
                        {"kschedd", text_kschedd_yaml},
                        {"kgitd", text_kgitd_yaml},
        };
        char token[UUID_SIZE], port[8], bits[8], bits6[8];
        const char *peer = spec->has_others ? spec->address : "127.0.0.1";
        _cleanup_free_ char *peer_url =
                        strformat(strchr(peer, ':') ? "https://[%s]:2380" : "https://%s:2380", peer);
        const struct template_value values[] = {
                        {"hostname", spec->hostname},
                        {"address", spec->address},
                        /* "::" accepts IPv4, too. */
                        {"bind-address", strchr(spec->address, ':') ? "::" : "0.0.0.0"},
                        {"peer-url", strempty(peer_url)},
                        {"port", port},
                        {"service-range", spec->ranges->services_text},
                        {"cluster-range", spec->ranges->pods_text},
                        {"mask-size", bits},
                        {"mask-size-ipv6", bits6},
                        {"cluster-token", random_uuid(token)}, /* distinguishes clusters */
                        {"store-client", STORE_CLIENT_NAME},
                        {"store-member", STORE_MEMBER_NAME},
                        {NULL, NULL},
        };

        if (!peer_url)
                return -ENOMEM;
        snprintf(port, sizeof(port), "%u", spec->port);
        snprintf(bits, sizeof(bits), "%u", spec->ranges->bits[FAMILY_IPV4]);
        snprintf(bits6, sizeof(bits6), "%u", spec->ranges->bits[FAMILY_IPV6]);
        for (size_t i = 0; i < ELEMENTS(configs); i++) {
                _cleanup_free_ char *text = template_fill(configs[i].template, values),
                                    *path = strformat("/etc/keelson/%s.yaml", configs[i].name);
                int r;

                if (!text || !path)
                        return -ENOMEM;
                r = machine_put(m, path, "0644", text, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The value of a line "KEY=VALUE"; NULL: it has none. Caller frees. */
static char *line_value(const char *text, const char *key) {
        for (const char *s = text; s && *s; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL) {
                const char *value = startswith(s, key);
                size_t n = value ? strcspn(value, "\n") : 0;

                if (n > 0)
                        return strndup(value, n);
        }
        return NULL;
}

static uint32_t line_number(const char *text, const char *key) {
        _cleanup_free_ char *value = line_value(text, key);
        uint32_t n;

        return value && parse_u32(value, &n) >= 0 ? n : 0;
}

static int read_installed(struct machine *m, struct cluster_ranges *ret, struct problem *p) {
        _cleanup_buf_ struct buf out = {0};
        _cleanup_free_ char *pods = NULL, *services = NULL;
        uint32_t bits[FAMILIES];
        int r = machine_run(m, text_installed_ranges_sh, NULL, 0, 30, &out, p);

        if (r < 0)
                return r;
        pods = line_value(strempty(out.data), "pods=");
        services = line_value(strempty(out.data), "services=");
        bits[FAMILY_IPV4] = line_number(strempty(out.data), "bits=");
        bits[FAMILY_IPV6] = line_number(strempty(out.data), "bits6=");
        return ranges_read(pods, services, bits, ret, p);
}

int configs_address(
                struct machine *m, char **ret_address, uint16_t *ret_port, struct problem *p) {
        _cleanup_buf_ struct buf out = {0};
        _cleanup_free_ char *port = NULL;
        int r = machine_run(m, text_installed_address_sh, NULL, 0, 30, &out, p);

        if (r < 0)
                return r;
        port = line_value(strempty(out.data), "port=");
        if (!port || parse_port(port, ret_port) < 0)
                *ret_port = CONFIGS_PORT_DEFAULT;
        *ret_address = line_value(strempty(out.data), "address=");
        return 0;
}

int configs_set_address(struct machine *m, const char *address, struct problem *p) {
        _cleanup_free_ char *command = strformat(
                        "cd /etc/keelson && { grep -q ^advertise-address: kapid.yaml || "
                        "echo advertise-address: >>kapid.yaml; } && "
                        "sed -i 's|^advertise-address:.*|advertise-address: %s|' kapid.yaml",
                        address);

        return command ? machine_run(m, command, NULL, 0, 30, NULL, p) : -ENOMEM;
}

/* Whether a text that was given (NULL: none) has the networks of the installed one. */
static bool is_same(const char *given, const char *installed) {
        _cleanup_problem_ struct problem p = {0};
        struct cidrs a, b;

        return !given ||
               (cidrs_parse(given, "", &a, &p) >= 0 && cidrs_parse(installed, "", &b, &p) >= 0 &&
                               streq(cidrs_text(&a, FAMILY_IPV4), cidrs_text(&b, FAMILY_IPV4)) &&
                               streq(cidrs_text(&a, FAMILY_IPV6), cidrs_text(&b, FAMILY_IPV6)));
}

int configs_ranges(struct machine *m, const char *pods, const char *services,
                const uint32_t bits[FAMILIES], struct cluster_ranges *ret, struct problem *p) {
        struct cluster_ranges installed;
        int r = read_installed(m, &installed, p);
        bool same;

        if (r < 0)
                return r;
        same = is_same(pods, installed.pods_text) && is_same(services, installed.services_text);
        for (int f = 0; f < FAMILIES; f++)
                same &= bits[f] == 0 || bits[f] == installed.bits[f];
        if (!same)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: the cluster has pods in %s (a node's part: IPv4 /%u, IPv6 "
                                "/%u) and services in %s, which stay as long as it does; leave out "
                                "--cluster-cidr, --service-cluster-ip-range and "
                                "--node-cidr-mask-size-*",
                                machine_name(m), installed.pods_text, installed.bits[FAMILY_IPV4],
                                installed.bits[FAMILY_IPV6], installed.services_text);
        *ret = installed;
        return 0;
}

int configs_refresh(struct machine *m, struct problem *p) {
        return machine_run(m, text_refresh_sh, /* input= */ NULL, 0, 30, /* ret_stdout= */ NULL, p);
}

int configs_start(struct machine *m, const char *daemons, char **ret, struct problem *p) {
        const struct template_value values[] = {
                        {"daemons", daemons ? daemons : "kstored kapid kreconciled kschedd kgitd"},
                        {NULL, NULL},
        };
        _cleanup_free_ char *script = template_fill(text_restart_changed_sh, values);
        _cleanup_buf_ struct buf out = {0};
        int r;

        if (!script)
                return -ENOMEM;
        if (!daemons) {
                r = machine_run(m, text_start_units_sh, /* input= */ NULL, 0, 90,
                                /* ret_stdout= */ NULL, p);
                if (r < 0)
                        return r;
        }
        r = machine_run(m, script, /* input= */ NULL, 0, 90, &out, p);
        if (r < 0 || !ret)
                return r;
        *ret = strndup(strempty(out.data), strcspn(strempty(out.data), "\n"));
        return *ret ? 0 : -ENOMEM;
}

int configs_store_state(struct machine *m, enum store_state *ret, struct problem *p) {
        _cleanup_buf_ struct buf out = {0};
        int r;

        r = machine_run(m, text_store_state_sh, NULL, 0, 30, &out, p);
        if (r < 0)
                return r;
        *ret = startswith(strempty(out.data), "done")  ? STORE_HAS_AUTHORITY
               : startswith(strempty(out.data), "own") ? STORE_SHARES_AUTHORITY
                                                       : STORE_IS_ELSEWHERE;
        return 0;
}

int configs_name_store_authority(struct machine *m, struct problem *p) {
        const struct template_value values[] = {
                        {"store-client", STORE_CLIENT_NAME},
                        {"store-member", STORE_MEMBER_NAME},
                        {NULL, NULL},
        };
        _cleanup_free_ char *script = template_fill(text_store_authority_sh, values);

        if (!script)
                return -ENOMEM;
        return machine_run(m, script, /* input= */ NULL, 0, 30, /* ret_stdout= */ NULL, p);
}
