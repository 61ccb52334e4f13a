/* kctl certs rotate-ca: replaces the authorities of the cluster, of the store and of the front
 * proxy, a stage a call.
 * Each stage looks at what is there and does what is missing (certs-stage.h), on every machine of
 * the control plane, then spreads it: to the controllers, which publish the authorities for pods,
 * to the data for joins, to the ingress, to the nodes and to the user's kubeconfig. A stage begins
 * only when the one before it has reached everyone. */
#include "kctl/certs-nodes.h"
#include "kctl/certs-stage.h"
#include "kctl/certs.h"
#include "kctl/cluster.h"
#include "kctl/ingress.h"
#include "kctl/kubeconfig-parts.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { PLACES_MAX = 16, ROOTS_TIMEOUT_S = 60, RESTART_TIMEOUT_S = 120 };

struct rotating {
        struct kctl *k;
        struct certs_place places[PLACES_MAX];
        size_t count;
        struct problem *problem;
};

static void rotating_done(struct rotating *g) {
        for (size_t i = 0; i < g->count; i++)
                certs_place_done(&g->places[i]);
}

/* ---- an authority at a place ---- */

struct next {
        char *cert, *key; /* NULL: none */
};

static void next_done(struct next *n) {
        free(n->cert);
        if (n->key)
                explicit_bzero(n->key, strlen(n->key));
        free(n->key);
        *n = (struct next){0};
}
#define _cleanup_next_ _cleanup_(next_done)

static int read_file(const struct certs_place *place, const char *authority, const char *ending,
                char **ret, struct problem *p) {
        _cleanup_free_ char *file = strformat("%s%s", authority, ending);
        int r = file ? certs_place_read(place, file, ret, p) : -ENOMEM;

        return r == -ENOENT ? 0 : r;
}

static int write_file(const struct certs_place *place, const char *authority, const char *ending,
                const char *text, bool secret, struct problem *p) {
        _cleanup_free_ char *file = strformat("%s%s", authority, ending);

        return file ? certs_place_write(place, file, text, secret, p) : -ENOMEM;
}

static int remove_file(const struct certs_place *place, const char *authority, const char *ending,
                struct problem *p) {
        _cleanup_free_ char *file = strformat("%s%s", authority, ending);

        return file ? certs_place_remove(place, file, p) : -ENOMEM;
}

static int next_read(const struct certs_place *place, const char *authority, struct next *ret,
                struct problem *p) {
        _cleanup_next_ struct next n = {0};
        int r = read_file(place, authority, ".next.crt", &n.cert, p);

        if (r < 0)
                return r;
        r = read_file(place, authority, ".next.key", &n.key, p);
        if (r < 0)
                return r;
        *ret = n;
        n = (struct next){0};
        return 0;
}

static int see_one(const struct certs_place *place, const char *authority, enum rotation *ret,
                struct problem *p) {
        _cleanup_authority_ struct authority a = {0};
        _cleanup_next_ struct next n = {0};
        struct rotation_view v;
        int r = authority_read(place, authority, &a, p);

        if (r < 0)
                return r;
        if (!a.key)
                return problem_set(p, ENOKEY, 0, NULL,
                                "%s has no %s/%s.key; run this where the authority's key is",
                                place->name, place->dir, authority);
        r = next_read(place, authority, &n, p);
        if (r < 0)
                return r;
        r = rotation_see(a.bundle, a.key, n.cert, n.key, &v);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "%s: %s/%s.crt cannot be read", place->name,
                                place->dir, authority);
        *ret = rotation_where(&v);
        return 0;
}

/* A real etcd has its own authority, which kctl does not manage. */
static bool has_authority(const struct certs_place *place, const char *authority) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *pem = NULL;

        return read_file(place, authority, ".key", &pem, &p) >= 0 && pem;
}

/* The least far of all; one that has ended already, while another has not, counts as the end. */
static int see_all(struct rotating *g, enum rotation *ret) {
        bool any = false, none = false;
        enum rotation least = ROTATION_ENDING;

        for (size_t i = 0; i < g->count; i++)
                for (size_t a = 0; a < AUTHORITIES; a++) {
                        enum rotation where = ROTATION_NONE;
                        int r;

                        if (!has_authority(&g->places[i], authority_names[a]))
                                continue;
                        r = see_one(&g->places[i], authority_names[a], &where, g->problem);
                        if (r < 0)
                                return r;
                        none |= where == ROTATION_NONE;
                        any |= where != ROTATION_NONE;
                        if (where != ROTATION_NONE && where < least)
                                least = where;
                }
        if (!any)
                least = ROTATION_NONE;
        else if (none && least < ROTATION_SIGNED)
                least = ROTATION_BEGUN; /* the first stage did not reach all */
        *ret = least;
        return 0;
}

/* ---- the stages at a place ---- */

static int make_next(const char *authority, struct next *ret) {
        char now[TIMEFMT_SIZE];
        _cleanup_free_ char *cn = NULL;

        time_format(now_wall_us(), now);
        cn = strformat("keelson%s %.10s",
                        streq(authority, "ca")         ? ""
                        : streq(authority, "store-ca") ? " store"
                                                       : " front proxy",
                        now);
        return cn ? pki_ca_new(cn, CLUSTER_CA_DAYS, &ret->cert, &ret->key) : -ENOMEM;
}

/* The next authority, the same on every machine: the first that has one gives it to the others. */
static int share_next(struct rotating *g, const char *authority) {
        _cleanup_next_ struct next n = {0};
        int r = 0;

        for (size_t i = 0; i < g->count && !(n.cert && n.key); i++) {
                next_done(&n);
                r = next_read(&g->places[i], authority, &n, g->problem);
                if (r < 0)
                        return r;
        }
        if (!n.cert || !n.key) {
                next_done(&n);
                r = make_next(authority, &n);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < g->count; i++) {
                r = write_file(&g->places[i], authority, ".next.key", n.key, true, g->problem);
                if (r < 0)
                        return r;
                r = write_file(&g->places[i], authority, ".next.crt", n.cert, false, g->problem);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_bundle(const struct certs_place *place, const char *authority,
                enum rotation_stage stage, struct problem *p) {
        _cleanup_authority_ struct authority a = {0};
        _cleanup_next_ struct next n = {0};
        _cleanup_free_ char *bundle = NULL;
        int r = authority_read(place, authority, &a, p);

        if (r < 0)
                return r;
        r = next_read(place, authority, &n, p);
        if (r < 0 || !n.cert || !a.key)
                return r;
        r = rotation_bundle(stage, a.bundle, a.key, n.cert, &bundle);
        if (r < 0 || streq(bundle, a.bundle))
                return r;
        return write_file(place, authority, ".crt", bundle, false, p);
}

static int switch_key(const struct certs_place *place, const char *authority, struct problem *p) {
        _cleanup_next_ struct next n = {0};
        int r = next_read(place, authority, &n, p);

        return r < 0 || !n.key ? r : write_file(place, authority, ".key", n.key, true, p);
}

static int forget_next(const struct certs_place *place, const char *authority, struct problem *p) {
        int r = remove_file(place, authority, ".next.crt", p);

        return r < 0 ? r : remove_file(place, authority, ".next.key", p);
}

/* The authorities in the administrator's kubeconfig. */
static int refresh_admin(const struct certs_place *place, struct problem *p) {
        _cleanup_authority_ struct authority a = {0};
        _cleanup_free_ char *text = NULL, *fresh = NULL;
        int r = certs_place_read(place, certs_place_admin(place), &text, p);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = authority_read(place, "ca", &a, p);
        if (r < 0)
                return r;
        r = kubeconfig_put(text, a.bundle, /* cert= */ NULL, /* key= */ NULL, &fresh, p);
        return r < 0 || streq(fresh, text)
                               ? r
                               : certs_place_write(place, certs_place_admin(place), fresh, true, p);
}

/* The controllers sign requests with the key and publish the authorities; they are not in
 * anybody's way while they start again. */
static int restart_controllers(const struct certs_place *place, struct problem *p) {
        static const char command[] = "systemctl try-restart keelson-kreconciled";
        _cleanup_buf_ struct buf err = {0};
        int status, r;

        if (place->is_dev) /* it reads the files itself */
                return 0;
        if (place->machine)
                return machine_run(place->machine, command, /* input= */ NULL, 0,
                                RESTART_TIMEOUT_S, /* ret_stdout= */ NULL, p);
        r = local_run(command, NULL, 0, RESTART_TIMEOUT_S, NULL, &err, &status, p);
        if (r < 0 || status == 0)
                return r;
        return problem_set(p, EIO, 0, NULL, "%s failed: %s", command, strempty(err.data));
}

/* Every certificate of the place from the authority that signs. */
static int sign_at(struct rotating *g, const struct certs_place *place, enum rotation_stage stage) {
        const struct cert_wish wish = {.due = true, .other_signer = true};
        int r = 0;

        for (size_t a = 0; a < AUTHORITIES && r >= 0 && stage == STAGE_SIGN; a++)
                if (has_authority(place, authority_names[a]))
                        r = switch_key(place, authority_names[a], g->problem);
        return r < 0 ? r
                     : certs_renew_at(place, &wish,
                                       cluster_life_s(g->k->flags.certificate_life_us), g->problem);
}

static int bundle_at(
                struct rotating *g, const struct certs_place *place, enum rotation_stage stage) {
        int r;

        for (size_t a = 0; a < AUTHORITIES; a++) {
                if (!has_authority(place, authority_names[a]))
                        continue;
                r = write_bundle(place, authority_names[a], stage, g->problem);
                if (r < 0)
                        return r;
        }
        r = refresh_admin(place, g->problem);
        return r < 0 ? r : restart_controllers(place, g->problem);
}

/* ---- spreading ---- */

static int patch_info(struct kctl *k, const char *bundle, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_CONFIGMAPS), "kube-system",
                        "keelson-info", /* subresource= */ NULL, "fieldManager=kctl");
        _cleanup_json_ json_t *patch = json_pack("{s:{s:s}}", "data", "ca.crt", bundle);
        int r = path && patch ? api_patch_request(k->client, path, API_PATCH_MERGE, patch,
                                                /* ret= */ NULL, p)
                              : -ENOMEM;

        return r == -ENOENT ? 0 : r;
}

/* Whether every namespace's pods get the bundle. */
static int roots_are_published(struct kctl *k, const char *bundle, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_CONFIGMAPS), /* ns= */ NULL,
                        /* name= */ NULL, /* subresource= */ NULL,
                        "fieldSelector=metadata.name%3Dkube-root-ca.crt");
        _cleanup_json_ json_t *list = NULL;
        const json_t *o, *pem;
        size_t i;
        int r = path ? api_get(k->client, path, &list, p) : -ENOMEM;

        if (r < 0)
                return r;
        if (json_array_size(json_object_get(list, "items")) == 0)
                return 0;
        json_array_foreach (json_object_get(list, "items"), i, o) {
                pem = json_object_get(json_object_get(o, "data"), "ca.crt");
                if (!streq(strempty(json_string_value(pem)), bundle))
                        return 0;
        }
        return 1;
}

static int wait_for_roots(struct kctl *k, const char *bundle, struct problem *p) {
        uint64_t deadline = now_mono_us() + ROOTS_TIMEOUT_S * UINT64_C(1000000);

        for (;;) {
                int r = roots_are_published(k, bundle, p);

                if (r != 0)
                        return MIN(r, 0);
                if (now_mono_us() > deadline)
                        return problem_set(p, ETIMEDOUT, 0, NULL,
                                        "the ConfigMaps kube-root-ca.crt do not hold the "
                                        "authorities after %i s; does kreconciled run?",
                                        ROOTS_TIMEOUT_S);
                usleep(200000);
        }
}

static int spread_nodes(struct kctl *k, const struct authority *a, bool sign, struct problem *p) {
        const struct nodes_wish wish = {
                        .bundle = a->bundle, .renew = sign, .signer = sign ? a->signer : NULL};
        size_t failed;
        int r = nodes_converge(k, &wish, /* seen= */ NULL, &failed, p);

        if (r < 0 || failed == 0)
                return r;
        if (k->flags.force) {
                fprintf(stderr, "warning: %zu node%s could not be reached (--force): join them "
                                "again when they are back\n",
                                failed, failed == 1 ? "" : "s");
                return 0;
        }
        return problem_set(p, EIO, 0, NULL,
                        "%zu node%s could not be brought up to date (the reasons are above), and "
                        "the next stage would cut them off: run the same command again when they "
                        "answer, remove them, or give --force",
                        failed, failed == 1 ? "" : "s");
}

/* Everything outside the machines of the control plane gets what they have now. */
static int spread(struct rotating *g, bool sign) {
        _cleanup_authority_ struct authority a = {0};
        struct problem *p = g->problem;
        int r = authority_read(&g->places[0], "ca", &a, p);

        if (r < 0)
                return r;
        r = certs_renew_own_kubeconfig(g->k, &g->places[0], p);
        if (r < 0)
                return r;
        r = certs_connect(g->k, &g->places[0], p);
        if (r < 0)
                return r;
        r = patch_info(g->k, a.bundle, p);
        if (r < 0)
                return r;
        r = ingress_renew(g->k, a.bundle, a.key, p);
        if (r < 0)
                return r;
        r = wait_for_roots(g->k, a.bundle, p);
        return r < 0 ? r : spread_nodes(g->k, &a, sign, p);
}

/* Another machine of the control plane would keep the old authorities. */
static int check_machines(struct rotating *g) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_ENDPOINTSLICES), "default",
                        /* name= */ NULL, /* subresource= */ NULL,
                        "labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes");
        _cleanup_json_ json_t *list = NULL;
        const json_t *slice;
        size_t i, n = 0;
        int r = certs_connect(g->k, &g->places[0], g->problem);

        if (r < 0)
                return r;
        r = path ? api_get(g->k->client, path, &list, g->problem) : -ENOMEM;
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(list, "items"), i, slice)
                n = MAX(n, json_array_size(json_object_get(slice, "endpoints")));
        if (n <= g->count)
                return 0;
        return problem_set(g->problem, EINVAL, 0, NULL,
                        "the control plane has %zu machines, and %zu are named: give --control "
                        "for each of them",
                        n, g->count);
}

/* ---- the verb ---- */

static int prepare_stage(struct rotating *g, enum rotation_stage stage) {
        if (stage != STAGE_TRUST)
                return spread(g, /* sign= */ stage == STAGE_REMOVE);
        for (size_t a = 0; a < AUTHORITIES; a++) {
                int r = has_authority(&g->places[0], authority_names[a])
                                        ? share_next(g, authority_names[a])
                                        : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int forget_all(struct rotating *g) {
        for (size_t i = 0; i < g->count; i++)
                for (size_t a = 0; a < AUTHORITIES; a++) {
                        int r = forget_next(&g->places[i], authority_names[a], g->problem);

                        if (r < 0)
                                return r;
                }
        return 0;
}

static int run_stage(struct rotating *g, enum rotation_stage stage) {
        int r;

        puts(rotation_stage_text(stage));
        fflush(stdout);
        r = prepare_stage(g, stage);
        if (r < 0)
                return r;
        /* All sign before one trusts less: the stage before may have been interrupted. */
        for (size_t i = 0; i < g->count && stage != STAGE_TRUST; i++) {
                r = sign_at(g, &g->places[i], stage);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < g->count; i++) {
                r = bundle_at(g, &g->places[i], stage);
                if (r < 0)
                        return r;
        }
        r = spread(g, /* sign= */ stage != STAGE_TRUST);
        return r < 0 || stage != STAGE_REMOVE ? r : forget_all(g);
}

static int open_places(struct rotating *g) {
        struct kctl *k = g->k;
        size_t n = MAX(strv_length(k->flags.control), (size_t)1);

        if (n > PLACES_MAX)
                return problem_set(g->problem, E2BIG, 0, NULL, "more than %i machines", PLACES_MAX);
        for (; g->count < n; g->count++) {
                int r = certs_place_open(&g->places[g->count], k,
                                k->flags.control ? k->flags.control[g->count] : NULL, g->problem);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int rotate(struct rotating *g, bool only_show) {
        enum rotation where;
        enum rotation_stage stage;
        int r = open_places(g);

        if (r < 0)
                return r;
        r = see_all(g, &where);
        if (r < 0)
                return r;
        if (only_show) {
                puts(rotation_text(where));
                return 0;
        }
        r = check_machines(g);
        if (r < 0)
                return r;
        do {
                stage = rotation_next(where);
                r = run_stage(g, stage);
                if (r < 0)
                        return r;
                r = see_all(g, &where);
                if (r < 0)
                        return r;
        } while (g->k->flags.all && stage != STAGE_REMOVE);
        if (where == ROTATION_NONE)
                puts("Done: everything is signed by the new authorities, and trusts no other.");
        else
                printf("Now %s.\nWhen the kubeconfigs of other users have the new authorities, and "
                       "programs that read ca.crt only at their start were restarted, run the same "
                       "command again.\n",
                                rotation_text(where));
        return 0;
}

int kctl_certs_rotate_ca(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        struct rotating g = {.k = k, .problem = &p};
        bool only_show = strv_length(k->words) == 1 && streq(k->words[0], "status");
        int r;

        if (k->words && !only_show)
                return kctl_usage(k, "\"%s\": only the word status is possible here", k->words[0]);
        r = rotate(&g, only_show);
        rotating_done(&g);
        if (r >= 0)
                return EXIT_OK;
        return p.message ? kctl_fail(&p) : kctl_error("%s", strerror(-r));
}
