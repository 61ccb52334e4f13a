/* What an upgrade sees: the bundles, the fleet as `kctl fleet check` sees it, the machines of the
 * control plane and the leader of their store, and the record of the last upgrade. */
#include "kctl/configs.h"
#include "kctl/upgrade.h"
#include "lib/ssh.h"

enum { TAR_TIMEOUT_S = 60 };

/* --- the bundles --- */

void upgrade_bundles_done(struct upgrade_bundles *b) {
        bundle_done(&b->control);
        bundle_done(&b->agent);
        free(b->version);
        *b = (struct upgrade_bundles){0};
}

/* A small text of a bundle, without the newline at its end; empty where it has no such file. */
static int bundle_text(const struct bundle *b, const char *name, char **ret, struct problem *p) {
        _cleanup_free_ char *quoted = shell_quote(b->path),
                            *command = quoted ? strformat("tar -xzOf %s %s 2>/dev/null", quoted,
                                                                name)
                                              : NULL;
        _cleanup_buf_ struct buf out = {0};
        int status, r = command ? local_run(command, /* input= */ NULL, 0, TAR_TIMEOUT_S, &out,
                                                  /* err= */ NULL, &status, p)
                                : -ENOMEM;

        if (r < 0)
                return r;
        while (out.size > 0 && out.data[out.size - 1] == '\n')
                out.data[--out.size] = 0;
        *ret = strdup(strempty(out.data));
        return *ret ? 0 : -ENOMEM;
}

static int read_one(const char *folder, const char *name, struct bundle *b, json_t *facts,
                struct problem *p) {
        _cleanup_free_ char *version = NULL, *formats = NULL;
        int r = bundle_read(b, folder, name, p);

        if (r < 0)
                return r;
        r = bundle_text(b, "VERSION", &version, p);
        if (r < 0)
                return r;
        if (!*version)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s is not a bundle: it has no VERSION; `make` builds them into "
                                "bundle/",
                                b->path);
        r = bundle_text(b, "FORMATS", &formats, p);
        if (r < 0)
                return r;
        return json_object_set_new(facts, name,
                               json_pack("{s:s, s:s, s:I, s:s}", "version", version, "hash",
                                               b->hash, "size", (json_int_t)b->size, "formats",
                                               formats)) < 0
                               ? -ENOMEM
                               : 0;
}

int upgrade_bundles_read(const char *folder, struct upgrade_bundles *ret, json_t **ret_facts,
                struct problem *p) {
        _cleanup_upgrade_bundles_ struct upgrade_bundles b = {0};
        _cleanup_json_ json_t *facts = json_object();
        int r = facts ? read_one(folder, "control", &b.control, facts, p) : -ENOMEM;

        if (r < 0)
                return r;
        r = read_one(folder, "agent", &b.agent, facts, p);
        if (r < 0)
                return r;
        b.version = strdup(json_str_or(facts, "control.version", ""));
        if (!b.version)
                return -ENOMEM;
        *ret = b;
        b = (struct upgrade_bundles){0};
        *ret_facts = TAKE_PTR(facts);
        return 0;
}

/* --- the control plane --- */

/* A control plane of an earlier version is not listed: it is described, from its machine. */
static int list_machine(struct kctl *k, const char *where, struct problem *p) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_facts_ struct facts f = {0};
        _cleanup_free_ char *address = NULL;
        uint16_t port = 0;
        int r = machine_open(&m, k, where, /* host_key= */ NULL, p);

        if (r < 0)
                return r;
        r = machine_inspect(m, /* for_node= */ false, &f, p);
        if (r < 0)
                return r;
        if (!f.has_control)
                return problem_set(p, EINVAL, 0, NULL, "%s is not a machine of the control plane",
                                where);
        r = configs_address(m, &address, &port, p);
        if (r < 0)
                return r;
        return controls_write(k,
                        &(struct control){.name = f.hostname,
                                        .address = address ? address : f.address,
                                        .ssh = (char *)where},
                        port ? port : CONFIGS_PORT_DEFAULT, p);
}

static int find_controls(struct kctl *k, struct controls *ret, struct problem *p) {
        int r = controls_read(k, ret, p);

        if (r < 0 || !k->flags.control)
                return r;
        for (char **where = k->flags.control; *where; where++) {
                r = controls_find(ret, *where) ? 0 : list_machine(k, *where, p);
                if (r < 0)
                        return r;
        }
        controls_done(ret);
        k->flags.control = strv_free(k->flags.control);
        return controls_read(k, ret, p);
}

/* "" where it cannot be said. */
static const char *leader_name(const json_t *members) {
        const json_t *m;
        size_t i;

        json_array_foreach (json_object_get(members, "members"), i, m)
                if (streq(json_str_or(m, "id", ""), json_str_or(members, "leader", "-")))
                        return json_str_or(m, "name", "");
        return "";
}

/* A kctl of an earlier version there cannot say it; then the order is that of the names. */
static int add_leader(struct kctl *k, const struct controls *controls, json_t *facts) {
        _cleanup_(machine_freep) struct machine *m = NULL;
        _cleanup_problem_ struct problem ignored = {0};
        _cleanup_json_ json_t *members = NULL;

        if (controls->count > 1 &&
                        control_open_any(k, controls, /* not= */ NULL, &m, &ignored) >= 0)
                (void)control_members(m, "list", &members, &ignored);
        return json_object_set_new(facts, "leader", json_string(leader_name(members))) < 0 ? -ENOMEM
                                                                                           : 0;
}

static int add_lists(struct kctl *k, const struct controls *controls, json_t *facts) {
        json_t *list = json_array(), *except = json_array();
        int r = json_object_set_new(facts, "controls", list) < 0 ||
                                                json_object_set_new(facts, "except", except) < 0
                                ? -ENOMEM
                                : 0;

        for (size_t i = 0; r == 0 && i < controls->count; i++)
                if (json_array_append_new(list,
                                    json_pack("{s:s, s:s}", "name", controls->items[i].name,
                                                    "address", controls->items[i].address)) < 0)
                        return -ENOMEM;
        for (char **x = k->flags.except; r == 0 && x && *x; x++)
                if (json_array_append_new(except, json_string(*x)) < 0)
                        return -ENOMEM;
        return r;
}

int upgrade_facts_gather(
                struct kctl *k, struct controls *controls, json_t **ret, struct problem *p) {
        _cleanup_json_ json_t *facts = NULL, *record = NULL;
        int r = find_controls(k, controls, p);

        if (r < 0)
                return r;
        r = fleet_facts_gather(k, &facts, p);
        if (r < 0)
                return r;
        r = add_lists(k, controls, facts);
        if (r < 0)
                return r;
        r = add_leader(k, controls, facts);
        if (r < 0)
                return r;
        r = upgrade_record_read(k, &record, p);
        if (r < 0)
                return r;
        if ((record && json_object_set(facts, "record", record) < 0) ||
                        json_object_set_new(facts, "force", json_boolean(k->flags.force)) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(facts);
        return 0;
}
