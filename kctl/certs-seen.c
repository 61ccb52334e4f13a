/* See and decide; kctl/certs.c carries out. */
#include "kctl/certs-seen.h"

#include "kctl/cluster.h"
#include "kctl/kubeconfig-parts.h"
#include "lib/timefmt.h"
#include "lib/vector.h"

static const struct cert_row rows[] = {
                {"kapid", "ca", "API server"},
                {"kreconciled", "ca", "controllers"},
                {"kschedd", "ca", "scheduler"},
                {"kgitd", "ca", "Git synchroniser"},
                {"admin", "ca", "administrator"},
                {"store", "store-ca", "API server as the store's client"},
                {"peer", "store-ca", "member of the store"},
                {"front-proxy-client", "front-proxy-ca", "API server at extension servers"},
                {"ca", NULL, "authority of the cluster"},
                {"store-ca", NULL, "authority of the store"},
                {"front-proxy-ca", NULL, "authority of front-proxy-client"},
};

const struct cert_row *cert_row_named(const char *name) {
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (streq(rows[i].name, name))
                        return &rows[i];
        return NULL;
}

static void seen_done(struct cert_seen *s) {
        free(s->name);
        free(s->where);
        free(s->pem);
        pki_view_done(&s->view);
}

void certs_seen_done(struct certs_seen *seen) {
        for (size_t i = 0; i < seen->count; i++)
                seen_done(&seen->items[i]);
        free(seen->items);
        *seen = (struct certs_seen){0};
}

void authority_done(struct authority *a) {
        free(a->bundle);
        free(a->signer);
        if (a->key)
                explicit_bzero(a->key, strlen(a->key));
        free(a->key);
        *a = (struct authority){0};
}

int authority_read(const struct certs_place *place, const char *name, struct authority *ret,
                struct problem *p) {
        _cleanup_authority_ struct authority a = {0};
        _cleanup_free_ char *crt = strformat("%s.crt", name), *key = strformat("%s.key", name);
        int r = crt && key ? certs_place_read(place, crt, &a.bundle, p) : -ENOMEM;

        if (r < 0)
                return r;
        r = certs_place_read(place, key, &a.key, p);
        if (r < 0 && r != -ENOENT)
                return r;
        if (a.key) {
                r = pki_signer(a.bundle, a.key, &a.signer);
                if (r < 0)
                        return problem_set(p, -r, 0, NULL,
                                        "%s: the key %s/%s belongs to no certificate of %s/%s; "
                                        "restore both from a backup",
                                        place->name, place->dir, key, place->dir, crt);
        }
        *ret = a;
        a = (struct authority){0};
        return 0;
}

const char *const authority_names[AUTHORITIES] = {"ca", "store-ca", "front-proxy-ca"};

void authorities_done(struct authorities *all) {
        for (size_t i = 0; i < AUTHORITIES; i++)
                authority_done(&all->items[i]);
}

int authorities_read(const struct certs_place *place, struct authorities *ret, struct problem *p) {
        _cleanup_authorities_ struct authorities all = {0};

        for (size_t i = 0; i < AUTHORITIES; i++) {
                int r = authority_read(place, authority_names[i], &all.items[i], p);

                if (r < 0 && (i == 0 || r != -ENOENT))
                        return r;
        }
        *ret = all;
        all = (struct authorities){0};
        return 0;
}

const struct authority *authority_of(const struct authorities *all, const char *name) {
        for (size_t i = 0; i < AUTHORITIES; i++)
                if (streq(authority_names[i], name))
                        return &all->items[i];
        assert_not_reached();
}

int certs_seen_add(struct certs_seen *seen, const struct cert_row *row, const char *name,
                const char *where, const char *pem, const struct authority *a, struct problem *p) {
        struct cert_seen s = {.row = row,
                        .name = strdup(name),
                        .where = strdup(where),
                        .pem = strdup(pem)};
        int r = s.name && s.where && s.pem ? pki_cert_view(pem, &s.view) : -ENOMEM;

        if (r >= 0) {
                s.is_signed = !a || pki_signed_by(pem, a->bundle) > 0;
                s.is_current = !a || !a->signer || pki_signed_by(pem, a->signer) > 0;
                r = vector_append(seen, s);
        }
        if (r >= 0)
                return 0;
        seen_done(&s);
        return r == -ENOMEM ? r
                            : problem_set(p, -r, 0, NULL, "%s: %s is not a certificate in PEM form",
                                              where, name);
}

/* The text of the row's certificate; -ENOENT without p. */
static int read_row(const struct certs_place *place, const struct cert_row *row, char **ret,
                struct problem *p) {
        _cleanup_(kubeconfig_parts_done) struct kubeconfig_parts parts = {0};
        _cleanup_free_ char *file = NULL, *text = NULL;
        int r;

        if (!streq(row->name, "admin")) {
                file = strformat("%s.crt", row->name);
                return file ? certs_place_read(place, file, ret, p) : -ENOMEM;
        }
        r = certs_place_read(place, certs_place_admin(place), &text, p);
        if (r < 0)
                return r;
        r = kubeconfig_take_apart(text, &parts, p);
        if (r < 0) {
                problem_prefix(p, "%s/%s", place->dir, certs_place_admin(place));
                return r;
        }
        if (!parts.cert)
                return -ENOENT;
        *ret = TAKE_PTR(parts.cert);
        return 0;
}

static int see_row(const struct certs_place *place, const struct cert_row *row,
                const struct authority *a, struct certs_seen *seen, struct problem *p) {
        _cleanup_free_ char *pem = NULL, *where = NULL;
        int r = read_row(place, row, &pem, p);

        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        where = strformat("%s:%s/%s%s", place->name, place->dir,
                        streq(row->name, "admin") ? certs_place_admin(place) : row->name,
                        streq(row->name, "admin") ? "" : ".crt");
        return where ? certs_seen_add(seen, row, row->name, where, pem, row->authority ? a : NULL,
                                       p)
                     : -ENOMEM;
}

int certs_see(const struct certs_place *place, struct certs_seen *ret, struct problem *p) {
        _cleanup_certs_seen_ struct certs_seen seen = {0};
        _cleanup_authorities_ struct authorities all = {0};
        int r = authorities_read(place, &all, p);

        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                const struct authority *a = rows[i].authority
                                                            ? authority_of(&all, rows[i].authority)
                                                            : &all.items[0];

                if (!a->bundle)
                        continue;
                r = see_row(place, &rows[i], a, &seen, p);
                if (r < 0)
                        return r;
        }
        *ret = seen;
        seen = (struct certs_seen){0};
        return 0;
}

/* ---- decide ---- */

enum cert_action cert_decide(
                const struct cert_seen *seen, const struct cert_wish *wish, uint64_t now_s) {
        enum pki_life life = pki_life(seen->view.begins_s, seen->view.ends_s, now_s);
        bool named = wish->names && strv_contains((char **)wish->names, seen->name);

        if (wish->names && !named)
                return CERT_KEEP;
        if (seen->view.is_authority)
                return life == PKI_LIFE_FRESH ? CERT_KEEP : CERT_ROTATE;
        if (!seen->is_signed && !named) /* an administrator's, from elsewhere */
                return CERT_KEEP;
        if (wish->other_signer && !seen->is_current)
                return CERT_RENEW;
        if (!wish->due)
                return CERT_RENEW;
        if (life == PKI_LIFE_NOT_YET)
                return CERT_CLOCK;
        return life == PKI_LIFE_FRESH ? CERT_KEEP : CERT_RENEW;
}

const char *cert_state(const struct cert_seen *seen, uint64_t now_s) {
        switch (pki_life(seen->view.begins_s, seen->view.ends_s, now_s)) {
        case PKI_LIFE_NOT_YET:
                return "not yet valid";
        case PKI_LIFE_EXPIRED:
                return "expired";
        case PKI_LIFE_DUE:
                return seen->is_signed ? "due" : "not ours";
        default:
                return seen->is_signed ? "fresh" : "not ours";
        }
}

/* ---- show ---- */

static int64_t remaining_s(const struct cert_seen *s, uint64_t now_s) {
        return (int64_t)s->view.ends_s - (int64_t)now_s;
}

static char *subject_text(const struct pki_view *v) {
        _cleanup_free_ char *groups = strv_join(v->organizations, ",");

        return groups ? strformat("%s%s%s%s", v->cn, *groups ? " (" : "", groups,
                                        *groups ? ")" : "")
                      : NULL;
}

json_t *certs_json(const struct certs_seen *seen, uint64_t now_s) {
        _cleanup_json_ json_t *list = json_array();

        for (size_t i = 0; list && i < seen->count; i++) {
                const struct cert_seen *s = &seen->items[i];
                _cleanup_free_ char *subject = subject_text(&s->view);
                char begins[TIMEFMT_SIZE], ends[TIMEFMT_SIZE], due[TIMEFMT_SIZE];
                json_t *o;

                time_format(s->view.begins_s * 1000000, begins);
                time_format(s->view.ends_s * 1000000, ends);
                time_format(pki_due_s(s->view.begins_s, s->view.ends_s) * 1000000, due);
                o = subject ? json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:s}",
                                              "name", s->name, "holder",
                                              s->row ? s->row->holder : s->name, "subject", subject,
                                              "issuer", s->view.issuer, "notBefore", begins,
                                              "notAfter", ends, "renewAfter", due,
                                              "remainingSeconds", (json_int_t)remaining_s(s, now_s),
                                              "state", cert_state(s, now_s), "where", s->where,
                                              "fingerprint", s->view.fingerprint)
                            : NULL;
                if (json_array_append_new(list, o) < 0)
                        return NULL;
        }
        return list ? TAKE_PTR(list) : NULL;
}

enum { COLUMNS = 6 };

static int cells_of(const struct cert_seen *s, uint64_t now_s, char *ret[static COLUMNS]) {
        int64_t left = remaining_s(s, now_s);
        char ends[TIMEFMT_SIZE], age[TIMEFMT_SIZE];

        time_format(s->view.ends_s * 1000000, ends);
        age_format((uint64_t)llabs(left) * 1000000, age);
        ret[0] = strdup(s->name);
        ret[1] = subject_text(&s->view);
        ret[2] = strdup(ends);
        ret[3] = strformat("%s%s", age, left < 0 ? " ago" : "");
        ret[4] = strdup(cert_state(s, now_s));
        ret[5] = strdup(s->where);
        for (size_t i = 0; i < COLUMNS; i++)
                if (!ret[i])
                        return -ENOMEM;
        return 0;
}

static void print_row(char *const *cells, const int *widths) {
        for (size_t c = 0; c + 1 < COLUMNS; c++)
                printf("%-*s   ", widths[c], cells[c]);
        printf("%s\n", cells[COLUMNS - 1]);
}

void certs_print(const struct certs_seen *seen, uint64_t now_s, bool headers) {
        char *titles[COLUMNS] = {(char *)"NAME", (char *)"SUBJECT", (char *)"EXPIRES",
                        (char *)"REMAINING", (char *)"STATE", (char *)"WHERE"};
        _cleanup_free_ char **cells = calloc(seen->count * COLUMNS + 1, sizeof(*cells));
        int widths[COLUMNS] = {0};
        bool ok = cells != NULL;

        for (size_t c = 0; c < COLUMNS && headers; c++)
                widths[c] = (int)strlen(titles[c]);
        for (size_t i = 0; ok && i < seen->count; i++) {
                ok = cells_of(&seen->items[i], now_s, cells + i * COLUMNS) >= 0;
                for (size_t c = 0; ok && c < COLUMNS; c++)
                        widths[c] = MAX(widths[c], (int)strlen(cells[i * COLUMNS + c]));
        }
        if (ok && headers)
                print_row(titles, widths);
        for (size_t i = 0; ok && i < seen->count; i++)
                print_row(cells + i * COLUMNS, widths);
        for (size_t i = 0; cells && i < seen->count * COLUMNS; i++)
                free(cells[i]);
}

/* ---- installations of earlier versions ---- */

static int split_one(const struct certs_place *place, const char *name, struct problem *p) {
        _cleanup_(kubeconfig_parts_done) struct kubeconfig_parts parts = {0};
        _cleanup_free_ char *file = strformat("%s.kubeconfig", name),
                            *crt = strformat("%s.crt", name), *key = strformat("%s.key", name),
                            *text = NULL, *reference = NULL;
        int r = file && crt && key ? certs_place_read(place, file, &text, p) : -ENOMEM;

        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;
        r = kubeconfig_take_apart(text, &parts, p);
        if (r < 0)
                return r;
        if (!parts.cert || !parts.key)
                return 0;
        r = kubeconfig_refer(text, name, &reference, p);
        if (r < 0)
                return r;
        /* The kubeconfig last: until then it holds both. */
        r = certs_place_write(place, key, parts.key, /* secret= */ true, p);
        if (r < 0)
                return r;
        r = certs_place_write(place, crt, parts.cert, /* secret= */ false, p);
        if (r < 0)
                return r;
        return certs_place_write(place, file, reference, /* secret= */ false, p);
}

int certs_split(const struct certs_place *place, struct problem *p) {
        static const char *const daemons[] = {"kreconciled", "kschedd", "kgitd"};

        for (size_t i = 0; i < ELEMENTS(daemons); i++) {
                int r = split_one(place, daemons[i], p);

                if (r < 0) {
                        problem_prefix(p, "%s/%s.kubeconfig", place->dir, daemons[i]);
                        return r;
                }
        }
        return 0;
}

int certs_add_front_proxy(const struct certs_place *place, uint64_t life_s, struct problem *p) {
        _cleanup_cluster_ struct cluster_files f = {0};
        _cleanup_free_ char *there = NULL;
        int r = certs_place_read(place, "front-proxy-client.crt", &there, p);

        if (r != -ENOENT)
                return r;
        r = cluster_files_make_front_proxy(&(struct cluster_spec){.life_s = life_s}, &f, p);
        if (r < 0)
                return r;
        /* The certificate goes last: its presence marks a complete set. */
        for (int last = 0; last < 2; last++)
                for (size_t i = 0; i < f.count; i++) {
                        if (streq(f.items[i].name, "front-proxy-client.crt") != (last == 1))
                                continue;
                        r = certs_place_write(place, f.items[i].name, f.items[i].text,
                                        f.items[i].secret, p);
                        if (r < 0)
                                return r;
                }
        return 0;
}
