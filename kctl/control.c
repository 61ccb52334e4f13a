/* kctl control list, add, remove, replace. */
#include "kctl/control.h"

#include "kctl/cluster.h"
#include "kctl/texts.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { ANSWER_MAX_S = 150 };

/* --- reaching them --- */

int control_open(struct kctl *k, const struct control *c, struct machine **ret, struct problem *p) {
        _cleanup_free_ char *where = *c->ssh ? strdup(c->ssh) : strformat("root@%s", c->address);
        char host[256] = "";

        (void)gethostname(host, sizeof(host) - 1);
        if (!*c->ssh && streq(host, c->name)) /* kctl up ran here */
                return machine_open(ret, k, /* where= */ NULL, /* host_key= */ NULL, p);
        return where ? machine_open(ret, k, where, /* host_key= */ NULL, p) : -ENOMEM;
}

int control_open_any(struct kctl *k, const struct controls *c, const char * not,
                struct machine **ret, struct problem *p) {
        int r = problem_set(p, ENOENT, 0, NULL,
                        "the API lists no %smachine of the control plane (ConfigMap "
                        "kube-system/" CONTROLS_CONFIGMAP
                        "); run `kctl up` again with this version",
                        not ? "other " : "");

        for (size_t i = 0; i < c->count; i++) {
                if (not &&streq(c->items[i].name, not ))
                        continue;
                problem_done(p);
                r = control_open(k, &c->items[i], ret, p);
                if (r >= 0)
                        return 0;
        }
        return r;
}

int control_members(struct machine *m, const char *words, json_t **ret, struct problem *p) {
        _cleanup_free_ char *command = strformat("/opt/keelson/bin/kctl control member %s", words);
        _cleanup_buf_ struct buf out = {0};
        int r = command ? machine_run(m, command, NULL, 0, ANSWER_MAX_S, &out, p) : -ENOMEM;

        if (r < 0 || !ret)
                return r;
        r = json_parse(strempty(out.data), out.size, 0, ret, NULL);
        return r < 0 ? problem_set(p, EPROTO, 0, NULL, "%s: kctl there printed no members",
                                       machine_name(m))
                     : 0;
}

/* --- list --- */

static const char *store_word(const json_t *members, const char *name) {
        const json_t *m = json_named(json_object_get(members, "members"), name);

        if (!members)
                return "unknown";
        if (!m)
                return "none";
        if (json_bool_or(m, "learner", false))
                return "learner";
        return streq(json_str_or(m, "id", ""), json_str_or(members, "leader", "-")) ? "leader"
                                                                                    : "voter";
}

static const char *api_word(struct kctl *k, const struct control *c) {
        _cleanup_free_ char *slice = control_slice(c->address), *path = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *o = NULL;

        path = slice ? api_path(api_resource(KIND_ENDPOINTSLICES), "default", slice,
                                       /* subresource= */ NULL, /* query= */ NULL)
                     : NULL;
        if (!path || api_get(k->client, path, &o, &p) < 0)
                return "unknown";
        return json_bool_or(json_array_get(json_object_get(o, "endpoints"), 0), "conditions.ready",
                               false)
                               ? "ready"
                               : "down";
}

int kctl_control_list(struct kctl *k) {
        _cleanup_controls_ struct controls c = {0};
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_problem_ struct problem p = {0}, ignored = {0};
        _cleanup_json_ json_t *members = NULL;

        if (!kctl_client(k))
                return EXIT_ERROR;
        if (controls_read(k, &c, &p) < 0)
                return kctl_fail(&p);
        if (control_open_any(k, &c, NULL, &m, &ignored) >= 0)
                (void)control_members(m, "list", &members, &ignored);
        printf("%-20s %-24s %-8s %-8s %s\n", "NAME", "ADDRESS", "API", "STORE", "SSH");
        for (size_t i = 0; i < c.count; i++)
                printf("%-20s %-24s %-8s %-8s %s\n", c.items[i].name, c.items[i].address,
                                api_word(k, &c.items[i]), store_word(members, c.items[i].name),
                                *c.items[i].ssh ? c.items[i].ssh : "-");
        if (!members)
                fprintf(stderr, "The store's members could not be asked: %s\n",
                                strempty(ignored.message));
        return EXIT_OK;
}

/* --- add --- */

int kctl_control_add(struct kctl *k) {
        _cleanup_controls_ struct controls c = {0};
        _cleanup_problem_ struct problem p = {0};

        if (strv_length(k->words) == 0)
                return kctl_usage(k, "which machine? for example: kctl control add root@10.0.0.2");
        if (!kctl_client(k))
                return EXIT_ERROR;
        for (char **where = k->words; *where; where++) {
                _cleanup_(machine_freep) struct machine *from = NULL, *m = NULL;

                controls_done(&c);
                if (controls_read(k, &c, &p) < 0 || control_open_any(k, &c, NULL, &from, &p) < 0 ||
                                machine_open(&m, k, *where, NULL, &p) < 0 ||
                                control_add(k, from, m, *where, &p) < 0)
                        return kctl_fail(&p);
        }
        if (control_spread(k, &p) < 0)
                return kctl_fail(&p);
        return kctl_control_list(k);
}

/* --- remove --- */

int control_unpublish(struct kctl *k, const char *address, struct problem *p) {
        _cleanup_free_ char *slice = control_slice(address), *path = NULL;
        int r;

        path = slice ? api_path(api_resource(KIND_ENDPOINTSLICES), "default", slice,
                                       /* subresource= */ NULL, /* query= */ NULL)
                     : NULL;
        if (!path)
                return -ENOMEM;
        r = api_request(k->client, "DELETE", path, NULL, NULL, NULL, p);
        return r == -ENOENT ? 0 : r;
}

/* The store's member, by the others; one that is gone already is no error. */
static int remove_from_store(struct machine *other, const struct control *c, struct problem *p) {
        _cleanup_json_ json_t *members = NULL;
        _cleanup_free_ char *words = NULL;
        const json_t *m;
        int r = control_members(other, "list", &members, p);

        if (r < 0)
                return r;
        m = json_named(json_object_get(members, "members"), c->name);
        if (!m)
                return 0;
        words = strformat("remove %s", json_str_or(m, "id", "0"));
        return words ? control_members(other, words, NULL, p) : -ENOMEM;
}

static int clean_machine(struct kctl *k, const struct control *c, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        int r = control_open(k, c, &m, p);

        return r < 0 ? r : machine_run(m, text_down_sh, NULL, 0, 120, NULL, p);
}

/* must_clean: a machine that cannot be reached is an error. */
static int control_remove(struct kctl *k, const struct controls *all, const struct control *c,
                bool must_clean, struct problem *p) {
        _cleanup_(machine_freep) struct machine *other = NULL, *reach = NULL;
        _cleanup_problem_ struct problem unreached = {0};
        int r;

        if (all->count < 2)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s is the only machine of the control plane; `kctl down` "
                                "removes it",
                                c->name);
        if (must_clean && control_open(k, c, &reach, p) < 0) {
                problem_prefix(p,
                                "%s cannot be cleaned (--force removes it from the control plane "
                                "all the same)",
                                c->name);
                return -EHOSTUNREACH;
        }
        r = control_open_any(k, all, c->name, &other, p);
        if (r < 0)
                return r;
        printf("%s: removing it from the store\n", c->name);
        fflush(stdout);
        r = remove_from_store(other, c, p);
        if (r < 0)
                return r;
        if (clean_machine(k, c, &unreached) < 0)
                printf("%s: not cleaned: %s\n", c->name, strempty(unreached.message));
        r = control_unpublish(k, c->address, p);
        if (r < 0)
                return r;
        return controls_remove(k, c->name, p);
}

static int find(struct kctl *k, const char *word, struct controls *c, const struct control **ret,
                struct problem *p) {
        int r = controls_read(k, c, p);

        if (r < 0)
                return r;
        *ret = controls_find(c, word);
        return *ret ? 0
                    : problem_set(p, ENOENT, 0, NULL,
                                      "no machine of the control plane is called \"%s\"; `kctl "
                                      "control list` shows them",
                                      word);
}

int kctl_control_remove(struct kctl *k) {
        _cleanup_controls_ struct controls c = {0};
        _cleanup_problem_ struct problem p = {0};
        const struct control *x;

        if (strv_length(k->words) != 1)
                return kctl_usage(k, "which machine? kctl control list shows them");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (find(k, k->words[0], &c, &x, &p) < 0 ||
                        control_remove(k, &c, x, !k->flags.force, &p) < 0)
                return kctl_fail(&p);
        printf("%s is no longer a machine of the control plane\n", x->name);
        if (c.count - 1 == 2)
                printf("Two are left, and both are needed: add a third, or remove one\n");
        return control_spread(k, &p) < 0 ? kctl_fail(&p) : EXIT_OK;
}

/* --- replace --- */

int kctl_control_replace(struct kctl *k) {
        _cleanup_controls_ struct controls c = {0}, left = {0};
        _cleanup_(machine_freep) struct machine *from = NULL, *m = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *where = NULL;
        const struct control *x;
        size_t n = strv_length(k->words);

        if (n < 1 || n > 2)
                return kctl_usage(k, "which machine, and by which? kctl control replace n2 "
                                     "root@10.0.0.9 (or the same one, set up again: without a "
                                     "second)");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (find(k, k->words[0], &c, &x, &p) < 0)
                return kctl_fail(&p);
        where = strdup(n == 2 ? k->words[1] : x->ssh);
        if (!where || !*where)
                return kctl_usage(k, "give the machine that takes its place: USER@HOST");
        /* The new one is looked at first: nothing is removed for a machine that cannot be used. */
        if (machine_open(&m, k, where, NULL, &p) < 0 ||
                        control_remove(k, &c, x, /* must_clean= */ false, &p) < 0 ||
                        controls_read(k, &left, &p) < 0 ||
                        control_open_any(k, &left, NULL, &from, &p) < 0 ||
                        control_add(k, from, m, where, &p) < 0 || control_spread(k, &p) < 0)
                return kctl_fail(&p);
        return kctl_control_list(k);
}
