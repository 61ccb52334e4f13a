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
        char token[UUID_SIZE], port[8];
        const struct template_value values[] = {
                        {"hostname", spec->hostname},
                        {"address", spec->address},
                        {"port", port},
                        {"service-range", spec->service_range},
                        {"cluster-range", spec->cluster_range},
                        {"cluster-token", random_uuid(token)}, /* distinguishes clusters */
                        {"store-client", STORE_CLIENT_NAME},
                        {"store-member", STORE_MEMBER_NAME},
                        {NULL, NULL},
        };

        snprintf(port, sizeof(port), "%u", spec->port);
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

int configs_refresh(struct machine *m, struct problem *p) {
        return machine_run(m, text_refresh_sh, /* input= */ NULL, 0, 30, /* ret_stdout= */ NULL, p);
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
