/* kctl certificate: says yes or no to a request for a certificate. */
#include "kctl/change.h"
#include "lib/object.h"
#include "lib/timefmt.h"

struct verdict {
        const char *type, *reason, *message, *done;
};

static bool has_condition(const json_t *o, const char *type) {
        return object_condition(o, type) != NULL;
}

/* 0 also when the request has the condition already. */
static int decide(struct kctl *k, const struct target *t, const struct verdict *v,
                struct problem *p) {
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL),
                            *approval = target_path(t, "approval", "fieldManager=kctl");
        _cleanup_json_ json_t *o = NULL, *made = NULL;
        char now[TIMEFMT_SIZE];
        json_t *conditions;
        int r = path && approval ? api_get(k->client, path, &o, p) : -ENOMEM;

        if (r < 0)
                return r;
        if (has_condition(o, v->type) && !k->flags.force)
                return print_change(k, o, &t->kind, v->done, DRY_RUN_NONE, p);
        conditions = json_at_mut(o, "status.conditions");
        if (!conditions) {
                conditions = json_array();
                r = json_set_at(o, "status.conditions", conditions);
                if (r < 0)
                        return r;
        }
        for (size_t i = json_array_size(conditions); i-- > 0;)
                if (streq(json_str_or(json_array_get(conditions, i), "type", ""), v->type))
                        json_array_remove(conditions, i);
        (void)time_format(now_wall_us(), now);
        if (json_array_append_new(conditions,
                            json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", v->type, "status",
                                            "True", "reason", v->reason, "message", v->message,
                                            "lastUpdateTime", now)) < 0)
                return -ENOMEM;
        r = api_request(k->client, "PUT", approval, "application/json", o, &made, p);
        return r < 0 ? r : print_change(k, made, &t->kind, v->done, DRY_RUN_NONE, p);
}

static int decide_all(struct kctl *k, const struct verdict *v) {
        struct kind_ref kind = kind_ref_of(KIND_CERTIFICATESIGNINGREQUESTS);
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        int code = EXIT_OK;

        if (!k->words && !k->flags.filenames)
                return kctl_usage(k, "which request? kctl get csr lists them");
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (k->flags.filenames && targets_of_files(k, &t, &p) < 0)
                return kctl_fail(&p);
        for (char **w = k->words; w && *w; w++)
                if (targets_add(&t, &kind, NULL, strchr(*w, '/') ? strchr(*w, '/') + 1 : *w) < 0)
                        return kctl_error("out of memory");
        for (size_t i = 0; i < t.count; i++)
                if (!streq(t.items[i].kind.resource.kind, kind.resource.kind))
                        code = kctl_error("a %s is not a request for a certificate",
                                        t.items[i].kind.singular);
                else if (decide(k, &t.items[i], v, &p) < 0)
                        code = kctl_fail(&p);
        return code;
}

int kctl_certificate_approve(struct kctl *k) {
        return decide_all(k, &(const struct verdict){"Approved", "KctlApprove",
                                             "This CSR was approved by kctl certificate approve.",
                                             "approved"});
}

int kctl_certificate_deny(struct kctl *k) {
        return decide_all(k, &(const struct verdict){"Denied", "KctlDeny",
                                             "This CSR was denied by kctl certificate deny.",
                                             "denied"});
}
