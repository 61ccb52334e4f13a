/* The address of the API on a machine: certificates, configuration, keepalived. keepalived is
 * Debian's, with a unit and a configuration of our own, so that an administrator's stays as it is.
 * The machines find each other by VRRP's multicast: no list of them has to be kept. */
#include "kctl/api-address.h"

#include "kctl/cluster.h"
#include "kctl/configs.h"
#include "kctl/control.h"
#include "kctl/template.h"
#include "kctl/texts.h"
#include "lib/client/kubeconfig.h"

enum { TIMEOUT_S = 60, INSTALL_TIMEOUT_S = 600 };

#define CONFIG "/etc/keelson/keepalived.conf"
#define UNIT "/etc/systemd/system/keelson-address.service"
#define ADMIN "/etc/keelson/admin.kubeconfig"

/* --- whether it can be --- */

static int install_keepalived(struct machine *m, struct problem *p) {
        int r = machine_run(m,
                        "command -v keepalived >/dev/null || test -x /usr/sbin/keepalived || "
                        "DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o "
                        "DPkg::Lock::Timeout=120 install --no-install-recommends keepalived >&2",
                        NULL, 0, INSTALL_TIMEOUT_S, NULL, p);

        if (r < 0)
                problem_prefix(p, "the package keepalived could not be installed");
        return r;
}

static int look(struct machine *m, const char *api, struct buf *ret, struct problem *p) {
        const struct template_value values[] = {{"address", api}, {NULL, NULL}};
        _cleanup_free_ char *script = template_fill(text_address_look_sh, values);
        int r = script ? machine_run(m, script, NULL, 0, TIMEOUT_S, ret, p) : -ENOMEM;

        if (r >= 0 && ret->data)
                ret->data[strcspn(ret->data, "\n")] = 0;
        return r;
}

static int cannot_hold(const struct machine *m, const char *api, const char *why,
                struct problem *p) {
        if (streq(why, "missing"))
                return problem_set(p, ENOENT, 0, NULL,
                                "%s: keepalived is missing there, which moves %s between the "
                                "machines; remedy: apt-get install keepalived",
                                machine_name(m), api);
        if (streq(why, "own"))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: it has the address %s already; --api-address is one that no "
                                "machine has as its own",
                                machine_name(m), api);
        return problem_set(p, EINVAL, 0, NULL,
                        "%s: %s is in none of the networks that it is connected to; a floating "
                        "address is one of the machines' common network that is free",
                        machine_name(m), api);
}

int api_address_check(struct kctl *k, struct machine *m, const char *own, const char *api,
                char **ret_interface, struct problem *p) {
        _cleanup_buf_ struct buf out = {0};
        const char *interface;
        int r = api_address_kind(api, p);

        *ret_interface = NULL;
        if (r != API_ADDRESS_FLOATING)
                return r < 0 ? r : 0;
        if (streq(own, api))
                return cannot_hold(m, api, "own", p);
        r = k->flags.packages ? install_keepalived(m, p) : 0;
        if (r < 0)
                return r;
        r = look(m, api, &out, p);
        if (r < 0)
                return r;
        interface = startswith(strempty(out.data), "interface ");
        if (!interface || !*interface)
                return cannot_hold(m, api, strempty(out.data), p);
        *ret_interface = strndup(interface, strcspn(interface, "@"));
        return *ret_interface ? 0 : -ENOMEM;
}

/* --- files --- */

/* The administrator's kubeconfig on the machine names the URL for users. */
static int follow_admin(const struct api_place *a, struct problem *p) {
        _cleanup_free_ char *url = api_place_url(a), *text = NULL;
        _cleanup_buf_ struct buf admin = {0};
        int r = url ? machine_run(a->m, "cat " ADMIN, NULL, 0, TIMEOUT_S, &admin, p) : -ENOMEM;

        if (r < 0)
                return r;
        r = kubeconfig_with_server(strempty(admin.data), url, &text, p);
        if (r >= 0 && !streq(text, admin.data))
                r = machine_put(a->m, ADMIN, "0600", text, p);
        if (text)
                explicit_bzero(text, strlen(text));
        if (admin.data)
                explicit_bzero(admin.data, admin.size);
        return r;
}

int api_address_follow(const struct api_place *a, struct problem *p) {
        const struct control_hosts hosts = {.hostname = a->hostname,
                        .address = a->address,
                        .kept = a->kept,
                        .api = a->api};
        int made = control_certify(a->m, &hosts, p), r;

        if (made < 0)
                return made;
        r = configs_set_address(a->m, a->address, a->api, p);
        if (r < 0)
                return r;
        r = follow_admin(a, p);
        return r < 0 ? r : made;
}

/* --- keepalived --- */

static int remove_float(struct machine *m, struct problem *p) {
        return machine_run(m,
                        "test ! -e " UNIT " || { systemctl disable -q --now "
                        "keelson-address.service; rm -f " UNIT " " CONFIG
                        "; systemctl daemon-reload; }",
                        NULL, 0, TIMEOUT_S, NULL, p);
}

static int put_float(struct machine *m, const char *config, struct problem *p) {
        int r = machine_put(m, CONFIG, "0644", config, p);

        if (r < 0)
                return r;
        r = machine_put(m, UNIT, "0644", text_address_service, p);
        if (r < 0)
                return r;
        return machine_run(m,
                        "systemctl daemon-reload && systemctl enable -q keelson-address.service "
                        "&& systemctl restart keelson-address.service",
                        NULL, 0, TIMEOUT_S, NULL, p);
}

int api_address_float(const struct api_place *a, const char *interface, struct problem *p) {
        _cleanup_free_ char *config = NULL;
        _cleanup_buf_ struct buf now = {0};
        char router[8];
        int status, r;

        if (!interface)
                return remove_float(a->m, p);
        (void)snprintf(router, sizeof(router), "%u", api_address_router(a->api));
        config = template_fill(text_keepalived_conf,
                        (const struct template_value[]){{"hostname", a->hostname},
                                        {"interface", interface}, {"router", router},
                                        {"address", a->api}, {NULL, NULL}});
        if (!config)
                return -ENOMEM;
        /* One that runs with this configuration keeps the address. */
        r = machine_try(a->m,
                        "cat " CONFIG " 2>/dev/null && systemctl is-active -q "
                        "keelson-address.service",
                        NULL, 0, TIMEOUT_S, &now, NULL, &status, p);
        if (r < 0)
                return r;
        if (status == 0 && streq(strempty(now.data), config))
                return 0;
        return put_float(a->m, config, p);
}
