/* kctl control address: the address of the API for users (api-address.h), shown, set on every
 * machine of the control plane, or removed. No daemon but kapid restarts, one machine after
 * another. */
#include "kctl/api-address.h"
#include "kctl/cluster.h"
#include "kctl/configs.h"
#include "kctl/control.h"
#include "kctl/info.h"
#include "lib/json.h"

/* A machine of the control plane, reached. */
struct place {
        struct machine *m;
        char *interface;
};

struct places {
        struct controls controls;
        struct place items[CONTROLS_MAX];
};

static void places_done(struct places *x) {
        for (size_t i = 0; i < x->controls.count; i++) {
                machine_free(x->items[i].m);
                free(x->items[i].interface);
        }
        controls_done(&x->controls);
}

static struct api_place place_of(const struct places *x, size_t i, const char *api) {
        const struct control *c = &x->controls.items[i];

        return (struct api_place){.m = x->items[i].m,
                        .hostname = c->name,
                        .address = c->address,
                        .api = api,
                        .port = x->controls.port};
}

/* All of them, before any is changed. */
static int open_all(struct kctl *k, struct places *x, const char *api, struct problem *p) {
        int r = controls_read(k, &x->controls, p);

        if (r < 0)
                return r;
        if (x->controls.count == 0)
                return problem_set(p, ENOENT, 0, NULL,
                                "the API lists no machine of the control plane (ConfigMap "
                                "kube-system/" CONTROLS_CONFIGMAP "); run `kctl up` again");
        for (size_t i = 0; i < x->controls.count; i++) {
                const struct control *c = &x->controls.items[i];

                r = control_open(k, c, &x->items[i].m, p);
                if (r < 0)
                        return r;
                r = api ? api_address_check(k, x->items[i].m, c->address, api,
                                          &x->items[i].interface, p)
                        : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int set_on(struct kctl *k, const struct places *x, size_t i, const char *api,
                struct problem *p) {
        const struct api_place place = place_of(x, i, api);
        _cleanup_free_ char *url = control_url(place.address, place.port);
        int r = url ? api_address_follow(&place, p) : -ENOMEM;

        if (r < 0)
                return r;
        r = configs_start(place.m, "kapid", NULL, p);
        if (r < 0)
                return r;
        r = control_wait_ready(k, place.m, url, p);
        if (r < 0)
                return r;
        r = api_address_float(&place, x->items[i].interface, p);
        if (r >= 0)
                printf("%s: %s%s\n", place.hostname,
                                api ? "may hold " : "holds no further address", strempty(api));
        fflush(stdout);
        return r;
}

/* The address that the API was asked under may be gone, and the connection with it; the next one
 * may not be held yet. A machine's own address is there. */
static int connect_again(struct kctl *k, const struct places *x, struct problem *p) {
        char *url = control_url(x->controls.items[0].address, x->controls.port);

        if (!url)
                return -ENOMEM;
        free(k->flags.server);
        k->flags.server = url;
        k->client = api_client_free(k->client);
        return kctl_client_new(k, /* event= */ NULL, &k->client, p);
}

static int set_all(struct kctl *k, const char *api, struct problem *p) {
        _cleanup_(places_done) struct places x = {0};
        _cleanup_free_ char *url = NULL, *own = kubeconfig_default_path(k->flags.kubeconfig);
        int r = own ? open_all(k, &x, api, p) : -ENOMEM;

        if (r < 0)
                return r;
        for (size_t i = 0; i < x.controls.count; i++) {
                r = set_on(k, &x, i, api, p);
                if (r < 0)
                        return r;
        }
        url = control_url(api ? api : x.controls.items[0].address, x.controls.port);
        r = url ? connect_again(k, &x, p) : -ENOMEM;
        if (r < 0)
                return r;
        r = info_publish_address(k, url, api, p);
        if (r < 0)
                return r;
        r = kubeconfig_set_server(own, "keelson", url, p);
        if (r < 0)
                return r;
        r = control_spread(k, p);
        if (r < 0)
                return r;
        printf("Users reach the API at %s. Kubeconfigs that were given away before name the "
               "former address;\nnodes know every machine: `kctl node repoint --all` gives them "
               "this address, too\n",
                        url);
        return 0;
}

static int show(struct kctl *k, struct problem *p) {
        _cleanup_json_ json_t *info = NULL;
        int r = info_read(k, &info, p);

        if (r < 0)
                return r;
        printf("%s\n", strempty(json_string_value(json_object_get(info, "server"))));
        return 0;
}

int kctl_control_address(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        size_t n = strv_length(k->words);
        const char *api = n == 1 && !streq(k->words[0], API_ADDRESS_NONE) ? k->words[0] : NULL;

        if (n > 1)
                return kctl_usage(k, "one address, or a name, or none");
        if (api && api_address_kind(api, &p) < 0)
                return kctl_fail(&p);
        if (!kctl_client(k))
                return EXIT_ERROR;
        return (n == 0 ? show(k, &p) : set_all(k, api, &p)) < 0 ? kctl_fail(&p) : EXIT_OK;
}
