/* The configuration that `kctl up` gives the daemons, and what it changes in that of an earlier
 * version. */
#include "kctl/configs.h"

#include "kctl/cluster.h"
#include "lib/json.h"
#include "lib/random.h"

#define PKI "/etc/keelson/pki/"
#define STORE_SOCKET "unix:///run/keelson/kstored/kstored.sock"
/* Of kapid's and nobody else's names in certificates, and members. */
#define STORE_NAMES \
        "client-cert-allowed-cn: [\"" STORE_CLIENT_NAME "\"]\n" \
        "peer-cert-allowed-cn: [\"" STORE_MEMBER_NAME "\"]\n"
#define STORE_METRICS "listen-metrics-urls: [\"unix:///run/keelson/kstored/metrics.sock\"]"
#define HEALTH(daemon) "health-address: unix:///run/keelson/" daemon "/health.sock\n"

static char *kstored_config(const struct config_spec *spec) {
        char token[UUID_SIZE]; /* distinguishes clusters */

        return strformat("# kstored: see kstored --help for every option\n"
                         "name: %s\n"
                         "data-dir: /var/lib/keelson/kstored\n"
                         "listen-client-urls: [\"" STORE_SOCKET "\", \"https://127.0.0.1:2379\"]\n"
                         "unix-socket-group-access: true\n"
                         "advertise-client-urls: [\"https://127.0.0.1:2379\"]\n"
                         "listen-peer-urls: [\"https://127.0.0.1:2380\"]\n"
                         "initial-advertise-peer-urls: [\"https://127.0.0.1:2380\"]\n"
                         "initial-cluster: \"%s=https://127.0.0.1:2380\"\n"
                         "initial-cluster-token: %s\n"
                         "cert-file: " PKI "peer.crt\n"
                         "key-file: " PKI "peer.key\n"
                         "trusted-ca-file: " PKI "store-ca.crt\n"
                         "client-cert-auth: true\n"
                         "peer-cert-file: " PKI "peer.crt\n"
                         "peer-key-file: " PKI "peer.key\n"
                         "peer-trusted-ca-file: " PKI "store-ca.crt\n"
                         "peer-client-cert-auth: true\n" STORE_NAMES STORE_METRICS "\n",
                        spec->hostname, spec->hostname, random_uuid(token));
}

static char *kapid_config(const struct config_spec *spec) {
        return strformat("# kapid: see kapid --help for every option\n"
                         "store: [\"" STORE_SOCKET "\"]\n"
                         "store-cafile: " PKI "store-ca.crt\n"
                         "store-certfile: " PKI "store.crt\n"
                         "store-keyfile: " PKI "store.key\n"
                         "bind-address: 0.0.0.0\n"
                         "secure-port: %u\n"
                         "advertise-address: %s\n"
                         "unix-socket: /run/keelson/kapid/kapid.sock\n"
                         "tls-cert-file: " PKI "kapid.crt\n"
                         "tls-private-key-file: " PKI "kapid.key\n"
                         "client-ca-file: " PKI "ca.crt\n"
                         "service-account-key-file: " PKI "sa.key\n"
                         "service-cluster-ip-range: %s\n"
                         "ssh-key-file: " PKI "ssh_kapid\n",
                        spec->port, spec->address, spec->service_range);
}

static char *kreconciled_config(const struct config_spec *spec) {
        return strformat("# kreconciled: see kreconciled --help for every option\n"
                         "kubeconfig: " PKI "kreconciled.kubeconfig\n"
                         "cluster-cidr: %s\n"
                         "cluster-signing-cert-file: " PKI "ca.crt\n"
                         "cluster-signing-key-file: " PKI "ca.key\n" HEALTH("kreconciled"),
                        spec->cluster_range);
}

static char *kschedd_config(const struct config_spec *spec) {
        return strdup("# kschedd: see kschedd --help for every option\n"
                      "kubeconfig: " PKI "kschedd.kubeconfig\n" HEALTH("kschedd"));
}

static char *kgitd_config(const struct config_spec *spec) {
        return strdup("# kgitd: see kgitd --help for every option\n"
                      "kubeconfig: " PKI "kgitd.kubeconfig\n"
                      "data-dir: /var/lib/keelson/kgitd\n" HEALTH("kgitd"));
}

int configs_write(struct machine *m, const struct config_spec *spec, struct problem *p) {
        static const struct {
                const char *name;
                char *(*make)(const struct config_spec *spec);
        } configs[] = {
                        {"kstored", kstored_config},
                        {"kapid", kapid_config},
                        {"kreconciled", kreconciled_config},
                        {"kschedd", kschedd_config},
                        {"kgitd", kgitd_config},
        };
        int r = 0;

        for (size_t i = 0; r == 0 && i < ELEMENTS(configs); i++) {
                _cleanup_free_ char *text = configs[i].make(spec),
                                    *path = strformat("/etc/keelson/%s.yaml", configs[i].name);

                r = text && path ? machine_put(m, path, "0644", text, p) : -ENOMEM;
        }
        return r;
}

/* Only what an earlier kctl wrote is changed, line by line: what a person changed stays. */
static const char refresh_script[] =
                "set -e; cd /etc/keelson\n"
                "edit() { f=$1; shift; test -e $f || return 0; cp -p $f $f.new; sed -i \"$@\" "
                "$f.new; cmp -s $f $f.new && rm $f.new || mv $f.new $f; }\n"
                "edit kstored.yaml -e "
                "'s|^listen-metrics-urls: \\[\"http://127.0.0.1:2381\"\\]$|" STORE_METRICS "|'\n"
                "grep -q '^unix-socket-group-access:' kstored.yaml 2>/dev/null || "
                "edit kstored.yaml -e '$a unix-socket-group-access: true'\n"
                "for d in kreconciled kschedd kgitd; do\n"
                "        grep -q ^health-address: $d.yaml 2>/dev/null ||\n"
                "                edit $d.yaml -e \"\\$a health-address: "
                "unix:///run/keelson/$d/health.sock\"\n"
                "done\n";

int configs_refresh(struct machine *m, struct problem *p) {
        return machine_run(m, refresh_script, NULL, 0, 30, NULL, p);
}

/* "done": it has an authority of its own; "own": one member that an earlier kctl made, on
 * loopback, used by the kapid here; "else": a person has changed who the members or the clients
 * are, or the store is an etcd. */
static const char look_script[] =
                "cd /etc/keelson || exit 1\n"
                "if test -e pki/store-ca.crt && ! cmp -s pki/ca.crt pki/store-ca.crt; then echo "
                "done\n"
                "elif grep -q '^initial-advertise-peer-urls: \\[\"https://127.0.0.1:2380\"\\]$' "
                "kstored.yaml && grep -q '^listen-peer-urls: \\[\"https://127.0.0.1:2380\"\\]$' "
                "kstored.yaml && grep -q '^peer-trusted-ca-file: " PKI "ca.crt$' kstored.yaml && "
                "grep -q '^store: \\[\"" STORE_SOCKET "\"\\]$' kapid.yaml; then echo own\n"
                "else echo else; fi\n";

int configs_store_state(struct machine *m, enum store_state *ret, struct problem *p) {
        _cleanup_buf_ struct buf out = {0};
        int r = machine_run(m, look_script, NULL, 0, 30, &out, p);

        if (r < 0)
                return r;
        *ret = startswith(strempty(out.data), "done")  ? STORE_HAS_AUTHORITY
               : startswith(strempty(out.data), "own") ? STORE_SHARES_AUTHORITY
                                                       : STORE_IS_ELSEWHERE;
        return 0;
}

int configs_name_store_authority(struct machine *m, struct problem *p) {
        return machine_run(m,
                        "set -e; cd /etc/keelson; cp -p kstored.yaml kstored.yaml.new\n"
                        "sed -i -e 's|^\\(peer-\\)\\?trusted-ca-file: " PKI "ca.crt$|"
                        "\\1trusted-ca-file: " PKI "store-ca.crt|' kstored.yaml.new\n"
                        "grep -q '^client-cert-allowed-' kstored.yaml.new || echo "
                        "'client-cert-allowed-cn: [\"" STORE_CLIENT_NAME "\"]' >>kstored.yaml.new\n"
                        "grep -q '^peer-cert-allowed-' kstored.yaml.new || echo "
                        "'peer-cert-allowed-cn: [\"" STORE_MEMBER_NAME "\"]' >>kstored.yaml.new\n"
                        "mv kstored.yaml.new kstored.yaml\n"
                        "cp -p kapid.yaml kapid.yaml.new; sed -i -e 's|^store-cafile: " PKI
                        "ca.crt$|store-cafile: " PKI "store-ca.crt|' kapid.yaml.new; mv "
                        "kapid.yaml.new kapid.yaml\n",
                        NULL, 0, 30, NULL, p);
}
