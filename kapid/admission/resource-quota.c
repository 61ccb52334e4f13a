/* ResourceQuota: what a namespace uses together stays within its quotas.
 *
 * The sums come from the caches (quota-accounts.h). A write that adds to a quota changes the
 * quota's status in its own transaction, which succeeds only when the quota is still as it was
 * read: two writers, of one kapid or of several, never both take the last of a resource, and a
 * write that fails has taken nothing. Deletions add nothing and touch no quota; the next count sees
 * them, at the latest when kreconciled asks for one with a write of the status, which is always
 * counted here, whatever the writer says. Messages are those of kube-apiserver's plugin. */
#include "kapid/admission/plugins.h"
#include "kapid/admission/quota-accounts.h"
#include "kapid/api.h"
#include "kapid/pipeline/convert.h"
#include "lib/buf.h"
#include "lib/object.h"

/* The amounts that a write adds to one quota, by measure. */
struct bill {
        const struct quota_account *account;
        struct quantity *added;
        bool any;
};

static void bill_done(struct bill *b) {
        free(b->added);
}

/* --- the amounts of a write --- */

static struct quantity amount_of(const struct admission *a, const struct quota_spec *spec,
                const struct quota_measure *m, const json_t *object) {
        if (!object || !quota_spec_selects(spec, m->group, m->plural, object))
                return (struct quantity){0};
        return quota_measure_object(
                        m, object, quotas_pod_has_ended(a->api->quotas, a->namespace, object));
}

/* Releasing something never makes room for something else in the same write. */
static int bill_make(
                const struct admission *a, const struct quota_account *account, struct bill *ret) {
        const struct quota_spec *spec = &account->spec;

        ret->account = account;
        ret->added = calloc(spec->count + 1, sizeof(*ret->added));
        if (!ret->added)
                return -ENOMEM;
        for (size_t i = 0; i < spec->count; i++) {
                const struct quota_measure *m = &spec->measures[i];
                struct quantity added;

                /* By what is stored: old versions may have another group. */
                if (!streq_ptr(account->prefixes[i], a->kind->storage_prefix))
                        continue;
                added = amount_of(a, spec, m, a->object);
                quantity_add(&added, amount_of(a, spec, m, a->live), -1);
                if (added.milli <= 0)
                        continue;
                ret->added[i] = added;
                ret->any = true;
        }
        return 0;
}

static struct quantity used_after(const struct bill *b, size_t i) {
        struct quantity q = b->account->used[i];

        quantity_add(&q, b->added[i], 1);
        return q;
}

static bool exceeds(const struct bill *b, size_t i) {
        return b->added[i].milli > 0 &&
               used_after(b, i).milli > b->account->spec.measures[i].hard.milli;
}

/* --- refusals --- */

static int by_text(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum side { ADDED, USED, HARD };

/* "pods=1,requests.cpu=2" of the resources that are exceeded, sorted. Caller frees. */
static char *amounts_text(const struct bill *b, enum side side) {
        const struct quota_spec *spec = &b->account->spec;
        _cleanup_strv_free_ char **parts = NULL;

        for (size_t i = 0; i < spec->count; i++) {
                _cleanup_free_ char *amount = NULL, *part = NULL;

                if (!exceeds(b, i))
                        continue;
                amount = quantity_write(side == ADDED  ? b->added[i]
                                        : side == USED ? b->account->used[i]
                                                       : spec->measures[i].hard);
                part = amount ? strformat("%s=%s", spec->measures[i].resource, amount) : NULL;
                if (!part || strv_extend(&parts, part) < 0)
                        return NULL;
        }
        if (!parts)
                return strdup("");
        qsort(parts, strv_length(parts), sizeof(*parts), by_text);
        return strv_join(parts, ",");
}

static int refuse_exceeded(const struct admission *a, const struct bill *b, struct problem *p) {
        _cleanup_free_ char *added = amounts_text(b, ADDED), *used = amounts_text(b, USED),
                            *hard = amounts_text(b, HARD);

        if (!added || !used || !hard)
                return -ENOMEM;
        return admission_forbidden(a, p, "exceeded quota: %s, requested: %s, used: %s, limited: %s",
                        b->account->name, added, used, hard);
}

/* A quota of cpu or memory demands that every container names it. */
static int check_missing(
                const struct admission *a, const struct quota_account *account, struct problem *p) {
        _cleanup_free_ char *missing = NULL;
        int r;

        if (a->live || *a->kind->group || !streq(a->kind->plural, "pods") ||
                        !quota_spec_selects(&account->spec, "", "pods", a->object))
                return 0;
        r = quota_spec_missing(&account->spec, a->object, &missing);
        if (r < 0 || !missing)
                return r;
        return admission_forbidden(
                        a, p, "failed quota: %s: must specify %s", account->name, missing);
}

/* --- the quota's new status --- */

static int set_used(json_t *status, const char *resource, struct quantity q) {
        _cleanup_free_ char *text = quantity_write(q);

        return text && json_object_set_new(json_object_get(status, "used"), resource,
                                       json_string(text)) >= 0
                               ? 0
                               : -ENOMEM;
}

/* The object gets its status: hard and used. */
static int set_status(json_t *object, const struct quota_spec *spec, const struct quantity *used) {
        json_t *status = json_pack("{s:{}}", "used");

        if (!status || json_object_set_new(object, "status", status) < 0)
                return -ENOMEM;
        if (spec->hard && json_object_set(status, "hard", spec->hard) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < spec->count; i++) {
                int r = 0;

                if (spec->measures[i].what != QUOTA_NOTHING)
                        r = set_used(status, spec->measures[i].resource, used[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int pay(struct admission *a, const struct bill *b, struct problem *p) {
        const struct quota_spec *spec = &b->account->spec;
        struct item *it = admission_find(a, "", "resourcequotas", a->namespace, b->account->name);
        _cleanup_json_ json_t *live = it ? item_object(it) : NULL,
                              *quota = live ? json_copy(live) : NULL, *form = NULL;
        _cleanup_free_ struct quantity *used = calloc(spec->count + 1, sizeof(*used));
        _cleanup_free_ char *text = NULL;
        const struct kind *k = kind_registry_find_resource(a->api->kinds, "", "resourcequotas");
        int r;

        if (!quota || !used)
                return -ENOMEM;
        for (size_t i = 0; i < spec->count; i++)
                used[i] = used_after(b, i);
        r = set_status(quota, spec, used);
        if (r < 0)
                return r;
        r = kind_store_form(k, quota, &form, p);
        if (r < 0)
                return r;
        text = json_text(form);
        return text ? admission_replace(a, item_key(it), text, item_revision(it)) : -ENOMEM;
}

/* --- the hooks --- */

static int charge_one(struct admission *a, const struct quota_account *account, struct problem *p) {
        _cleanup_(bill_done) struct bill b = {0};
        int r = check_missing(a, account, p);

        if (r < 0)
                return r;
        r = bill_make(a, account, &b);
        if (r < 0 || !b.any)
                return r;
        for (size_t i = 0; i < account->spec.count; i++)
                if (exceeds(&b, i))
                        return refuse_exceeded(a, &b, p);
        return pay(a, &b, p);
}

static int charge(struct admission *a, struct problem *p) {
        struct quotas *q = a->api->quotas;
        const struct quota_account *account;
        int r;

        /* A status says what is there already: the next count sees it. */
        if (!quotas_has(q, a->namespace) || streq(a->subresource, "status"))
                return 0;
        r = quotas_settle(q, a->namespace, a->now_us);
        if (r < 0)
                return r;
        for (account = quotas_first(q, a->namespace); account; account = quotas_next(account)) {
                r = charge_one(a, account, p);
                if (r == -E2BIG)
                        return admission_forbidden(a, p,
                                        "more than %d quotas of the namespace count it; remove "
                                        "some of them",
                                        RESOURCE_QUOTAS_MAX);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The usage of the quota in draft. A quota that does not exist yet counts itself. */
static int count(struct admission *a, const struct quota_spec *spec, struct quantity *used) {
        struct quotas *q = a->api->quotas;
        const struct quota_account *account = quotas_find(q, a->namespace, a->name);
        int r = quotas_settle(q, a->namespace, a->now_us);

        if (r < 0)
                return r;
        if (account && quota_spec_counts_same(&account->spec, spec)) {
                memcpy(used, account->used, spec->count * sizeof(*used));
                return 0;
        }
        r = quotas_count(q, a->namespace, spec, used);
        for (size_t i = 0; r >= 0 && !a->live && i < spec->count; i++)
                if (quota_measure_is_of(&spec->measures[i], "", "resourcequotas"))
                        quantity_add(&used[i], amount_of(a, spec, &spec->measures[i], a->draft), 1);
        return r;
}

/* The stored quota is newer than the caches, so that they may lack what it has been charged since:
 * the larger amount stays. */
static void keep_larger(
                const struct admission *a, const struct quota_spec *spec, struct quantity *used) {
        if (!a->live || object_resource_version(a->live) <= caches_revision(a->api->caches))
                return;
        for (size_t i = 0; i < spec->count; i++) {
                const json_t *v = json_get(
                                a->live, "status", "used", spec->measures[i].resource, NULL);
                struct quantity had;

                if (v && quantity_read(v, &had) >= 0 && had.milli > used[i].milli)
                        used[i] = had;
        }
}

static int fill_status(struct admission *a, struct problem *p) {
        _cleanup_(quota_spec_done) struct quota_spec spec = {0};
        _cleanup_free_ struct quantity *used = NULL;
        int r;

        r = quota_spec_read(&spec, a->draft);
        if (r < 0)
                return r;
        used = calloc(spec.count + 1, sizeof(*used));
        if (!used)
                return -ENOMEM;
        r = count(a, &spec, used);
        if (r < 0)
                return r;
        keep_larger(a, &spec, used);
        return set_status(a->draft, &spec, used);
}

/* Why no object ever adds to the resource; NULL: some may. */
static const char *uselessness(const struct admission *a, const struct quota_measure *m) {
        const struct kind *k =
                        m->plural ? kind_registry_find_resource(a->api->kinds, m->group, m->plural)
                                  : NULL;

        if (m->what == QUOTA_NOTHING)
                return "nothing counts this resource; those of nodes begin with \"requests.\"";
        if (!k)
                return "no kind of this name is served now";
        return k->namespaced ? NULL : "objects of this kind are in no namespace";
}

static int warn_useless(struct admission *a, struct problem *p) {
        _cleanup_(quota_spec_done) struct quota_spec spec = {0};
        int r = quota_spec_read(&spec, a->object);

        for (size_t i = 0; r >= 0 && i < spec.count; i++) {
                const char *resource = spec.measures[i].resource,
                           *why = uselessness(a, &spec.measures[i]);
                _cleanup_free_ char *text = NULL;

                if (!why || json_get(a->live, "spec", "hard", resource, NULL))
                        continue;
                text = strformat("spec.hard[%s] has no effect: %s", resource, why);
                r = text ? admission_warn(a, text) : -ENOMEM;
        }
        return r;
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "resourcequotas",
                                .subresource = "*",
                                .operations = ADMIT_WRITE,
                                .mutate = fill_status},
                {.group = "",
                                .plural = "resourcequotas",
                                .operations = ADMIT_WRITE,
                                .validate = warn_useless},
                {.subresource = "*", .operations = ADMIT_WRITE, .charge = charge},
                {0},
};

const struct admission_plugin admission_resource_quota = {.safeguard = true, .rules = rules};
