/* The functions of lib/http-server, kapid/store/store and lib/daemon that kapid calls are defined
 * here, so that the linker takes these and not the real ones. */
#include "tests/unit/unit.h"

#include "tests/unit/fake-kapid.h"

#include "kapid/admission/quota-accounts.h"
#include "kapid/auth/authz.h"
#include "kapid/kinds/crds.h"
#include "kapid/pipeline/leases.h"
#include "kapid/pipeline/turns.h"
#include "kapid/presence.h"
#include "kapid/store/alloc.h"
#include "kapid/verbs/verbs.h"
#include "lib/daemon.h"
#include "lib/map.h"
#include "lib/timefmt.h"

/* --- the store --- */

enum { KEYS_MAX = 64 };

static struct fake_key {
        char *key, *value;
        uint64_t revision;
        int64_t lease;
} keys[KEYS_MAX];
static size_t key_count;
static uint64_t revision;
static struct fake_kapid *fake;

static struct fake_key *find_key(const char *key) {
        for (size_t i = 0; i < key_count; i++)
                if (streq(keys[i].key, key))
                        return &keys[i];
        return NULL;
}

static void set_key(const char *key, const char *value, int64_t lease) {
        struct fake_key *k = find_key(key);

        if (k && !value) {
                free(k->key);
                free(k->value);
                *k = keys[--key_count];
        } else if (value) {
                if (!k) {
                        assert_true(key_count < KEYS_MAX);
                        k = &keys[key_count++];
                        *k = (struct fake_key){.key = strdup(key)};
                }
                free(k->value);
                k->value = strdup(value);
                k->revision = revision;
                k->lease = lease;
        }
        assert_int_equal(caches_feed(fake->api.caches, key, value, value ? strlen(value) : 0,
                                         revision),
                        0);
}

static int failed(store_done done, void *userdata) {
        done(&(struct store_result){.error = fake->error, .message = "fake"}, userdata);
        return 0;
}

static int compare_kvs(const void *a, const void *b) {
        return strcmp(((const struct store_kv *)a)->key, ((const struct store_kv *)b)->key);
}

int store_range(struct store *s, const struct store_range *q, store_done done, void *userdata) {
        struct store_kv kvs[KEYS_MAX];
        struct store_result res = {.message = "", .revision = revision, .kvs = kvs};

        if (fake->error)
                return failed(done, userdata);
        for (size_t i = 0; i < key_count; i++)
                if (q->end ? strcmp(keys[i].key, q->key) >= 0 && strcmp(keys[i].key, q->end) < 0
                           : streq(keys[i].key, q->key))
                        kvs[res.count++] = (struct store_kv){.key = keys[i].key,
                                        .value = keys[i].value,
                                        .size = strlen(keys[i].value),
                                        .revision = keys[i].revision};
        qsort(kvs, res.count, sizeof(kvs[0]), compare_kvs);
        res.total = res.count;
        if (q->limit && res.count > q->limit) {
                res.count = q->limit;
                res.more = true;
        }
        done(&res, userdata);
        return 0;
}

int store_read_index(struct store *s, store_done done, void *userdata) {
        done(&(struct store_result){.message = "", .revision = revision}, userdata);
        return 0;
}

/* A txn that waits for fake_kapid_answer(). */
static struct held {
        struct store_guard guards[4];
        struct store_op ops[4];
        struct store_txn txn;
        store_done done;
        void *userdata;
} held[KEYS_MAX];
static size_t held_count;

static void hold(const struct store_txn *t, store_done done, void *userdata) {
        struct held *h = &held[held_count++];

        assert_true(held_count < KEYS_MAX);
        assert_true(t->guard_count <= ELEMENTS(h->guards) && t->op_count <= ELEMENTS(h->ops));
        *h = (struct held){.txn = *t, .done = done, .userdata = userdata};
        for (size_t i = 0; i < t->guard_count; i++)
                h->guards[i] = (struct store_guard){
                                strdup(t->guards[i].key), t->guards[i].revision};
        for (size_t i = 0; i < t->op_count; i++) {
                h->ops[i] = t->ops[i];
                h->ops[i].key = strdup(t->ops[i].key);
                h->ops[i].value = t->ops[i].value ? strdup(t->ops[i].value) : NULL;
        }
}

static int carry_out(const struct store_txn *t, store_done done, void *userdata);

bool fake_kapid_answer(struct fake_kapid *f) {
        struct held h;

        if (held_count == 0)
                return false;
        h = held[0];
        memmove(held, held + 1, --held_count * sizeof(held[0]));
        h.txn.guards = h.guards;
        h.txn.ops = h.ops;
        carry_out(&h.txn, h.done, h.userdata);
        for (size_t i = 0; i < h.txn.guard_count; i++)
                free((char *)h.guards[i].key);
        for (size_t i = 0; i < h.txn.op_count; i++) {
                free((char *)h.ops[i].key);
                free((char *)h.ops[i].value);
        }
        return true;
}

static int carry_out(const struct store_txn *t, store_done done, void *userdata) {
        struct store_kv kvs[STORE_TXN_MAX];
        struct store_result res = {.message = "", .kvs = kvs, .succeeded = true};

        if (fake->rival) {
                const char *rival = TAKE_PTR(fake->rival), *key = TAKE_PTR(fake->rival_key);

                fake_kapid_put(fake, key ? key : t->ops[0].key, *rival ? rival : NULL);
        }
        for (size_t i = 0; i < t->guard_count; i++) {
                const struct fake_key *k = find_key(t->guards[i].key);

                if ((k ? k->revision : 0) != t->guards[i].revision)
                        res.succeeded = false;
                if (k)
                        kvs[res.count++] = (struct store_kv){.key = k->key,
                                        .value = k->value,
                                        .size = strlen(k->value),
                                        .revision = k->revision};
        }
        if (res.succeeded) {
                revision++;
                res.count = 0;
                for (size_t i = 0; i < t->op_count; i++)
                        set_key(t->ops[i].key, t->ops[i].value, t->ops[i].lease);
                caches_feed_done(fake->api.caches, revision);
        }
        res.revision = revision;
        done(&res, userdata);
        return 0;
}

int store_txn(struct store *s, const struct store_txn *t, store_done done, void *userdata) {
        if (fake->error)
                return failed(done, userdata);
        fake->txns++;
        if (!fake->hold)
                return carry_out(t, done, userdata);
        hold(t, done, userdata);
        return 0;
}

int store_lease_grant(struct store *s, uint64_t ttl_s, store_done done, void *userdata) {
        assert_int_equal(ttl_s, 3660);
        done(&(struct store_result){.message = "",
                             .revision = revision,
                             .lease = (int64_t)++fake->leases_granted},
                        userdata);
        return 0;
}

int store_lease_renew(struct store *s, int64_t lease, store_done done, void *userdata) {
        return -EHOSTUNREACH;
}

int store_problem(const struct store_result *res, struct problem *p) {
        return problem_set(p, -res->error, 503, "ServiceUnavailable", "the store failed");
}

bool store_is_connected(const struct store *s) {
        return true;
}

int store_watch(struct store *s, const struct store_watch_options *o) {
        o->on_watching(o->userdata);
        return 0;
}

void fake_kapid_put(struct fake_kapid *f, const char *key, const char *value) {
        revision++;
        set_key(key, value, 0);
        caches_feed_done(f->api.caches, revision);
}

const char *fake_kapid_stored(const struct fake_kapid *f, const char *key) {
        const struct fake_key *k = find_key(key);

        return k ? k->value : NULL;
}

int64_t fake_kapid_lease(const struct fake_kapid *f, const char *key) {
        const struct fake_key *k = find_key(key);

        return k ? k->lease : -1;
}

/* --- the HTTP server: a struct http_request is an exchange, and so is a stream --- */

static struct exchange *exchange_of(const void *http) {
        return (struct exchange *)http;
}

const char *http_request_method(const struct http_request *r) {
        return exchange_of(r)->method;
}

const char *http_request_path(const struct http_request *r) {
        return exchange_of(r)->path;
}

const char *http_request_query_text(const struct http_request *r) {
        return "";
}

const char *http_request_query_at(const struct http_request *r, const char *name, size_t i) {
        const struct exchange *x = exchange_of(r);

        for (size_t k = 0; k + 1 < ELEMENTS(x->query) && x->query[k]; k += 2)
                if (streq(x->query[k], name) && i-- == 0)
                        return x->query[k + 1];
        return NULL;
}

const char *http_request_query(const struct http_request *r, const char *name) {
        return http_request_query_at(r, name, 0);
}

const char *http_request_header(const struct http_request *r, const char *name) {
        return strcaseeq(name, "Content-Type") ? exchange_of(r)->content_type : NULL;
}

const char *http_request_header_at(const struct http_request *r, const char *name, size_t i) {
        return NULL;
}

const char *http_request_header_prefixed(const struct http_request *r, const char *prefix, size_t i,
                const char **ret_value) {
        return NULL;
}

const char *http_request_body(const struct http_request *r, size_t *ret_size) {
        *ret_size = strlen(strempty(exchange_of(r)->body));
        return strempty(exchange_of(r)->body);
}

const struct http_peer *http_request_peer(const struct http_request *r) {
        static const struct http_peer peer = {.unix_socket = true};

        return &peer;
}

int http_request_signed_by(const struct http_request *r, const char *ca_pem, uint64_t generation,
                const char **ret_cn) {
        return 0;
}

void http_request_trust(struct http_request *r, const char *account) {
}

void http_request_set_userdata(struct http_request *r, void *userdata, void (*func)(void *)) {
        exchange_of(r)->userdata = userdata;
        exchange_of(r)->free_userdata = func;
}

void *http_request_userdata(const struct http_request *r) {
        return exchange_of(r)->userdata;
}

void http_request_on_gone(struct http_request *r,
                void (*func)(struct http_request *r, void *userdata), void *userdata) {
}

size_t http_request_unread(const struct http_request *r) {
        return 0;
}

void http_request_hang_up(struct http_request *r) {
}

int http_response_header(struct http_request *r, const char *name, const char *value) {
        if (strcaseeq(name, "Warning"))
                buf_printf(&exchange_of(r)->warnings, "%s\n", value);
        return 0;
}

static void answer(struct exchange *x, int code) {
        assert_int_equal(x->code, 0); /* once */
        x->code = code;
}

void http_respond(struct http_request *r, int code, const char *content_type, const void *body,
                size_t n) {
        answer(exchange_of(r), code);
        buf_append(&exchange_of(r)->answer, body, n);
}

void http_respond_bytes(
                struct http_request *r, int code, const char *content_type, struct bytes *body) {
        http_respond(r, code, content_type, body->data, body->size);
}

void http_respond_pieces(struct http_request *r, int code, const char *content_type,
                struct bytes **pieces, size_t n) {
        answer(exchange_of(r), code);
        for (size_t i = 0; i < n; i++)
                buf_append(&exchange_of(r)->answer, pieces[i]->data, pieces[i]->size);
}

struct http_stream *http_stream_begin(struct http_request *r, int code, const char *content_type,
                size_t queued_bytes_max, http_stream_func on_gone, void *userdata) {
        answer(exchange_of(r), code);
        exchange_of(r)->streaming = true;
        exchange_of(r)->stream_userdata = userdata;
        return (struct http_stream *)r;
}

int http_stream_write(struct http_stream *s, struct bytes *b) {
        buf_append(&exchange_of(s)->answer, b->data, b->size);
        return 0;
}

int http_stream_write_copy(struct http_stream *s, const void *data, size_t n) {
        return buf_append(&exchange_of(s)->answer, data, n);
}

size_t http_stream_queued(const struct http_stream *s) {
        return 0;
}

void http_stream_on_drained(struct http_stream *s, http_stream_func func, void *userdata) {
        exchange_of(s)->on_drained = func;
}

void http_stream_end(struct http_stream *s) {
        exchange_of(s)->ended = true;
}

void http_stream_abort(struct http_stream *s) {
        exchange_of(s)->aborted = true;
}

/* No exchange here leaves HTTP. */
struct http_upgrade *http_upgrade_begin(struct http_request *r,
                const struct http_upgrade_handler *handler, void *userdata) {
        return NULL;
}

ssize_t http_upgrade_read(struct http_upgrade *u, void *p, size_t n) {
        return -ENOTCONN;
}

ssize_t http_upgrade_write(struct http_upgrade *u, const void *p, size_t n) {
        return -ENOTCONN;
}

void http_upgrade_end(struct http_upgrade *u) {
}

/* --- the daemon --- */

static struct metrics *metrics;

bool presence_is_first(const struct presence *p) {
        return true;
}

struct metrics *daemon_metrics(struct daemon *d) {
        return metrics;
}

bool daemon_is_ready(struct daemon *d, const char **ret_why) {
        return true;
}

/* --- kapid --- */

static void on_cache_change(struct cache *c, const struct change *change, void *userdata) {
        struct fake_kapid *f = userdata;

        quotas_on_change(f->api.quotas, c, change);
}

struct fake_kapid *fake_kapid_new(void) {
        struct fake_kapid *f = calloc(1, sizeof(*f));
        _cleanup_problem_ struct problem p = {0};

        assert_non_null(f);
        fake = f;
        metrics = metrics_new();
        assert_int_equal(sd_event_new(&f->event), 0);
        f->api.event = f->event;
        f->api.store = (struct store *)f; /* never looked into */
        assert_int_equal(kind_registry_new(&f->api.kinds, &p), 0);
        assert_int_equal(alloc_new(&f->api.alloc, "10.96.0.0/16", &p), 0);
        assert_int_equal(admission_chain_new(&f->api.admission, &(struct admission_options){0},
                                         metrics, &p),
                        0);
        f->api.rbac = rbac_new();
        f->api.leases = leases_new();
        assert_true(metrics && f->api.rbac && f->api.leases);
        f->api.quotas = quotas_new(&f->api);
        assert_int_equal(caches_new(&f->api.caches, f->event,
                                         &(struct caches_options){.on_change = on_cache_change,
                                                         .userdata = f}),
                        0);
        f->api.counted = map_new(free);
        assert_non_null(f->api.counted);
        f->api.turns = turns_new(f->api.caches);
        assert_true(f->api.quotas && f->api.turns);
        caches_follow(f->api.caches, f->api.store);
        fake_kapid_put(f, "/registry/namespaces/default",
                        "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":"
                        "{\"name\":\"default\"},\"status\":{\"phase\":\"Active\"}}");
        return f;
}

struct fake_kapid *fake_kapid_free(struct fake_kapid *f) {
        if (!f)
                return NULL;
        while (key_count > 0) {
                key_count--;
                free(keys[key_count].key);
                free(keys[key_count].value);
        }
        revision = 0;
        turns_free(f->api.turns);
        caches_free(f->api.caches);
        quotas_free(f->api.quotas);
        leases_free(f->api.leases);
        rbac_free(f->api.rbac);
        admission_chain_free(f->api.admission);
        alloc_free(f->api.alloc);
        kind_registry_free(f->api.kinds);
        map_free(f->api.counted);
        sd_event_unref(f->event);
        metrics = metrics_free(metrics);
        fake = NULL;
        return mfree(f);
}

struct request *fake_request(struct fake_kapid *f, struct exchange *x) {
        static char *const words[] = {(char *)"system:masters"};
        struct request *request = request_new(&f->api, (struct http_request *)x);
        _cleanup_problem_ struct problem p = {0};
        const struct kind *k;

        assert_non_null(request);
        request->now_us = 1700000000ULL * 1000000;
        request->context.now_us = request->now_us;
        assert_int_equal(user_set(&request->user, "root", ""), 0);
        assert_int_equal(user_add_group(&request->user, words[0]), 0);
        assert_int_equal(route_parse(x->method, x->path,
                                         http_request_query((struct http_request *)x, "watch"),
                                         &request->route, &p),
                        0);
        k = kind_registry_find(f->api.kinds, request->route.group, request->route.version,
                        request->route.plural);
        assert_non_null(k);
        request->kind = kind_ref(k);
        request->cache = caches_get(f->api.caches, k->storage_prefix);
        if (!isempty(request->route.subresource))
                request->sub = kind_subresource_find(k, request->route.subresource);
        if (x->accept_table) {
                request->form = FORM_TABLE;
                memcpy(request->form_version, "v1", 3);
        }
        request->dry_run = http_request_query((struct http_request *)x, "dryRun") != NULL;
        return request;
}

void exchange(struct fake_kapid *f, struct exchange *x) {
        struct request *request = fake_request(f, x);

        verb_run(request);
        request_unref(request);
}

void exchange_done(struct exchange *x) {
        if (x->streaming && !x->ended && !x->aborted && x->stream_userdata)
                fail_msg("a watch that the test leaves open");
        if (x->free_userdata)
                x->free_userdata(x->userdata);
        buf_done(&x->answer);
        buf_done(&x->warnings);
}

char *fake_quoted(const char *text) {
        char *s = strdup(text);

        assert_non_null(s);
        for (char *c = s; *c; c++)
                if (*c == '\'')
                        *c = '"';
        return s;
}

json_t *fake_json(const char *text) {
        _cleanup_free_ char *s = fake_quoted(text);
        json_t *v = json_loads(s, 0, NULL);

        if (!v)
                fail_msg("bad JSON in the test: %s", s);
        return v;
}
