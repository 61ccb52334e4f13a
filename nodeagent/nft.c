/* libnftables runs our transactions; a netlink socket in the nftables group tells of everybody's. A
 * commit that touched our table and was not ours has the whole table loaded again, after a short
 * pause so that somebody's script ends first, and at most so often. */
#include "nodeagent/nft.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/services-to-nft.h"

#define TABLE_NAME "keelson"

enum {
        RESTORE_DELAY_US = 200000,
        RESTORE_PAUSE_US = 2 * 1000000,
        RETRY_US = 5 * 1000000,
        RECEIVE_SIZE = 4 * 1024 * 1024,
};

static void json_free(void *v) {
        json_decref(v);
}

/* How many endpoints name a pod, and how many of them are ready. */
struct served {
        int mentions, ready;
};

struct nft {
        sd_event *event;
        struct nft_options options;
        char *node_name, *cluster_cidr;
        struct nft_ctx *context;
        struct map *services; /* "ns/name" -> object */
        struct map *slices;   /* "ns/name" -> object */
        struct map *served;   /* pod uid -> struct served */
        struct map *pods;     /* uid -> wanted model of a local pod */
        struct map *models;   /* "svc:ns/name" or "pod:uid" -> model in the kernel */
        struct map *dirty;    /* keys of models to make again; values are not used */
        sd_event_source *defer;
        sd_event_source *restore;
        bool loaded; /* the table was loaded once */
        bool reload_due;
        uint64_t restored_us;
        int fd;
        sd_event_source *io;
        bool touched;         /* our table, in the commit being read */
        uint32_t own_pid;     /* as the kernel numbers us; 0: not known yet */
        unsigned own_commits; /* not yet seen on the socket */
};

static int run(struct nft *n, struct buf *text) {
        int r;

        if (text->failed)
                return -ENOMEM;
        if (text->size == 0)
                return 0;
        r = nft_run_cmd_from_buffer(n->context, text->data);
        if (r != 0) {
                const char *error = nft_ctx_get_error_buffer(n->context);
                log_error("nftables refused a change of the services' table: %.*s", 400,
                                strempty(error));
                return -EIO;
        }
        n->own_commits++;
        return 0;
}

static json_t *slices_of(struct nft *n, const char *service_key) {
        json_t *list = json_array();

        map_foreach (n->slices, e) {
                json_t *slice = map_entry_value(e);
                const char *name = object_label(slice, "kubernetes.io/service-name"),
                           *ns = object_namespace(slice);
                size_t k = strlen(ns);

                if (name && strncmp(service_key, ns, k) == 0 && service_key[k] == '/' &&
                                streq(service_key + k + 1, name))
                        json_array_append(list, slice);
        }
        return list;
}

/* What the key should put into the table; NULL: nothing. */
static json_t *wanted(struct nft *n, const char *key) {
        const char *name = startswith(key, "svc:");
        json_t *service, *model;
        _cleanup_json_ json_t *slices = NULL;

        if (!name)
                return json_incref(map_get(n->pods, key + 4));
        service = map_get(n->services, name);
        if (!service)
                return NULL;
        slices = slices_of(n, name);
        model = service_to_model(service, slices, n->node_name);
        return model;
}

static int load_all(struct nft *n) {
        _cleanup_buf_ struct buf text = {0};
        struct nft_frame frame = {n->cluster_cidr};
        _cleanup_free_ json_t **list = NULL;
        size_t count = 0;
        int r;

        map_clear(n->models);
        map_foreach (n->services, e) {
                _cleanup_free_ char *key = strformat("svc:%s", map_entry_key(e));
                json_t *model = key ? wanted(n, key) : NULL;
                if (model)
                        (void)map_set(n->models, key, model);
        }
        map_foreach (n->pods, e) {
                _cleanup_free_ char *key = strformat("pod:%s", map_entry_key(e));
                if (key)
                        (void)map_set(n->models, key, json_incref(map_entry_value(e)));
        }
        list = calloc(map_size(n->models) + 1, sizeof(*list));
        if (!list)
                return -ENOMEM;
        map_foreach (n->models, e)
                list[count++] = map_entry_value(e);
        r = models_to_ruleset(&frame, list, count, &text);
        if (r >= 0)
                r = run(n, &text);
        if (r >= 0) {
                map_clear(n->dirty);
                n->loaded = true;
                n->reload_due = false;
        }
        return r;
}

static int apply_dirty(struct nft *n) {
        _cleanup_buf_ struct buf text = {0};
        int r;

        map_foreach (n->dirty, e) {
                const char *key = map_entry_key(e);
                _cleanup_json_ json_t *model = wanted(n, key);

                r = model_diff(map_get(n->models, key), model, &text);
                if (r < 0)
                        return r;
                if (model)
                        (void)map_set(n->models, key, TAKE_PTR(model));
                else
                        (void)map_remove(n->models, key);
        }
        map_clear(n->dirty);
        return run(n, &text);
}

static int on_restore(sd_event_source *s, uint64_t usec, void *userdata) {
        struct nft *n = userdata;

        n->restore = sd_event_source_disable_unref(n->restore);
        nft_reload(n);
        return 0;
}

static void restore_after(struct nft *n, uint64_t delay_us) {
        n->reload_due = true;
        if (!n->restore)
                (void)sd_event_add_time_relative(
                                n->event, &n->restore, CLOCK_MONOTONIC, delay_us, 0, on_restore, n);
}

static int on_defer(sd_event_source *s, void *userdata) {
        struct nft *n = userdata;

        if (!n->loaded || map_size(n->dirty) == 0)
                return 0;
        if (apply_dirty(n) < 0)
                restore_after(n, RETRY_US);
        n->options.on_changed(n->options.userdata);
        return 0;
}

void nft_reload(struct nft *n) {
        n->restored_us = now_mono_us();
        if (load_all(n) < 0)
                restore_after(n, RETRY_US);
        n->options.on_changed(n->options.userdata);
}

bool nft_table_is_there(struct nft *n) {
        const char *out;

        if (nft_run_cmd_from_buffer(n->context, "list tables inet") != 0)
                return false;
        out = nft_ctx_get_output_buffer(n->context);
        return out && strstr(out, "table inet " TABLE_NAME "\n");
}

bool nft_is_loaded(const struct nft *n) {
        return n->loaded;
}

static void mark(struct nft *n, const char *prefix, const char *name) {
        _cleanup_free_ char *key = strformat("%s%s", prefix, name);

        if (key)
                (void)map_set(n->dirty, key, n);
        (void)sd_event_source_set_enabled(n->defer, SD_EVENT_ONESHOT);
}

void nft_service(struct nft *n, const json_t *service, bool gone) {
        _cleanup_free_ char *key = object_key(service);

        if (!key)
                return;
        if (gone)
                (void)map_remove(n->services, key);
        else
                (void)map_set(n->services, key, json_incref((json_t *)service));
        mark(n, "svc:", key);
}

static void mark_service_of(struct nft *n, const json_t *slice) {
        const char *name = object_label(slice, "kubernetes.io/service-name");
        _cleanup_free_ char *key = name ? strformat("%s/%s", object_namespace(slice), name) : NULL;

        if (key)
                mark(n, "svc:", key);
}

static void count_endpoints(struct nft *n, const json_t *slice, int sign) {
        const json_t *e;
        size_t i;

        json_array_foreach (json_at(slice, "endpoints"), i, e) {
                const char *uid = json_str(e, "targetRef.uid");
                struct served *v = uid ? map_get(n->served, uid) : NULL;

                if (!uid)
                        continue;
                if (!v) {
                        v = calloc(1, sizeof(*v));
                        if (!v || map_set(n->served, uid, v) < 0) {
                                free(v);
                                continue;
                        }
                }
                v->mentions += sign;
                if (json_bool_or(e, "conditions.ready", true))
                        v->ready += sign;
                if (v->mentions <= 0)
                        (void)map_remove(n->served, uid);
        }
}

void nft_slice(struct nft *n, const json_t *slice, bool gone) {
        _cleanup_free_ char *key = object_key(slice);
        const json_t *old = key ? map_get(n->slices, key) : NULL;

        if (!key)
                return;
        if (old) {
                mark_service_of(n, old);
                count_endpoints(n, old, -1);
        }
        mark_service_of(n, slice);
        if (!gone)
                count_endpoints(n, slice, 1);
        if (gone)
                (void)map_remove(n->slices, key);
        else
                (void)map_set(n->slices, key, json_incref((json_t *)slice));
}

void nft_local_pod(struct nft *n, const char *uid, const char *pod_ip, const json_t *ports) {
        _cleanup_json_ json_t *model = *pod_ip ? local_pod_to_model(uid, pod_ip, ports) : NULL;
        const json_t *old = map_get(n->pods, uid);

        if (model ? old && json_equal(old, model) : !old)
                return;
        if (model)
                (void)map_set(n->pods, uid, TAKE_PTR(model));
        else
                (void)map_remove(n->pods, uid);
        mark(n, "pod:", uid);
}

bool nft_serves_pod(struct nft *n, const char *uid) {
        const struct served *v;

        if (map_size(n->dirty) > 0)
                (void)on_defer(NULL, n);
        v = map_get(n->served, uid);
        return v && v->ready > 0;
}

static json_t *values(const struct map *m) {
        json_t *list = json_array();

        map_foreach (m, e)
                json_array_append(list, map_entry_value(e));
        return list;
}

json_t *nft_save(const struct nft *n) {
        return json_pack(
                        "{s:o, s:o}", "services", values(n->services), "slices", values(n->slices));
}

void nft_keep_only(struct nft *n,
                bool (*is_known)(const char *kind, const char *key, void *userdata),
                void *userdata) {
        map_foreach (n->services, e) {
                if (!is_known("services", map_entry_key(e), userdata)) {
                        mark(n, "svc:", map_entry_key(e));
                        (void)map_remove(n->services, map_entry_key(e));
                }
        }
        map_foreach (n->slices, f) {
                if (!is_known("endpointslices", map_entry_key(f), userdata)) {
                        mark_service_of(n, map_entry_value(f));
                        count_endpoints(n, map_entry_value(f), -1);
                        (void)map_remove(n->slices, map_entry_key(f));
                }
        }
}

/* ---- what others do to the table ---- */

static const struct nlattr *attribute(const struct nlmsghdr *h, uint16_t type, size_t *ret_size) {
        size_t offset = NLMSG_ALIGN(sizeof(*h)) + NLMSG_ALIGN(sizeof(struct nfgenmsg));

        while (offset + sizeof(struct nlattr) <= h->nlmsg_len) {
                const struct nlattr *a = (const struct nlattr *)((const char *)h + offset);

                if (a->nla_len < NLA_HDRLEN || offset + a->nla_len > h->nlmsg_len)
                        return NULL;
                if ((a->nla_type & NLA_TYPE_MASK) == type) {
                        *ret_size = a->nla_len - NLA_HDRLEN;
                        return a;
                }
                offset += NLA_ALIGN(a->nla_len);
        }
        return NULL;
}

static uint32_t attribute_u32(const struct nlmsghdr *h, uint16_t type) {
        size_t size;
        const struct nlattr *a = attribute(h, type, &size);
        uint32_t v = 0;

        if (a && size >= sizeof(v))
                memcpy(&v, (const char *)a + NLA_HDRLEN, sizeof(v));
        return be32toh(v);
}

static bool attribute_is(const struct nlmsghdr *h, uint16_t type, const char *text) {
        size_t size;
        const struct nlattr *a = attribute(h, type, &size);

        return a && size > strlen(text) && strncmp((const char *)a + NLA_HDRLEN, text, size) == 0;
}

static void commit_seen(struct nft *n, const struct nlmsghdr *h) {
        uint32_t pid = attribute_u32(h, NFTA_GEN_PROC_PID);
        char name[17] = "";
        bool ours;

        (void)prctl(PR_GET_NAME, name);
        /* The kernel's number for us differs from getpid() in a PID namespace: it is learned from
         * our first commit. */
        if (n->own_pid == 0 && n->own_commits > 0 && attribute_is(h, NFTA_GEN_PROC_NAME, name))
                n->own_pid = pid;
        ours = pid == n->own_pid;
        if (ours && n->own_commits > 0)
                n->own_commits--;
        if (n->touched && !ours && n->loaded) {
                uint64_t since = now_mono_us() - n->restored_us;

                log_notice("The nftables table inet " TABLE_NAME
                           " was changed by another program; putting it back");
                restore_after(n, since < RESTORE_PAUSE_US ? RESTORE_PAUSE_US - since
                                                          : RESTORE_DELAY_US);
        }
        n->touched = false;
}

static int on_netlink(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct nft *n = userdata;
        static const unsigned attempts = 64;
        _Alignas(struct nlmsghdr) char buffer[32768];

        for (unsigned i = 0; i < attempts; i++) {
                ssize_t size = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

                if (size < 0 && errno == ENOBUFS && n->loaded) {
                        restore_after(n, RESTORE_DELAY_US);
                        continue;
                }
                if (size <= 0)
                        return 0;
                for (struct nlmsghdr *h = (struct nlmsghdr *)buffer; NLMSG_OK(h, (size_t)size);
                                h = NLMSG_NEXT(h, size)) {
                        unsigned message = h->nlmsg_type & 0xff;

                        if (h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
                                continue;
                        if (message == NFT_MSG_NEWGEN)
                                commit_seen(n, h);
                        else if (attribute_is(h, NFTA_TABLE_NAME, TABLE_NAME))
                                n->touched = true;
                }
        }
        return 0;
}

static int monitor(struct nft *n) {
        struct sockaddr_nl address = {.nl_family = AF_NETLINK};
        int group = NFNLGRP_NFTABLES, size = RECEIVE_SIZE;

        n->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER);
        if (n->fd < 0 || bind(n->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
                        setsockopt(n->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
                                        sizeof(group)) < 0)
                return -errno;
        (void)setsockopt(n->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
        return sd_event_add_io(n->event, &n->io, n->fd, EPOLLIN, on_netlink, n);
}

int nft_new(struct nft **ret, sd_event *event, const struct nft_options *options) {
        _cleanup_(nft_freep) struct nft *n = calloc(1, sizeof(*n));
        int r;

        if (!n)
                return -ENOMEM;
        n->fd = -EBADF;
        n->event = sd_event_ref(event);
        n->options = *options;
        n->node_name = strdup(options->node_name);
        n->cluster_cidr = strdup(strempty(options->cluster_cidr));
        n->services = map_new(json_free);
        n->slices = map_new(json_free);
        n->served = map_new(free);
        n->pods = map_new(json_free);
        n->models = map_new(json_free);
        n->dirty = map_new(NULL);
        n->context = nft_ctx_new(NFT_CTX_DEFAULT);
        if (!n->node_name || !n->cluster_cidr || !n->services || !n->slices || !n->served ||
                        !n->pods || !n->models || !n->dirty || !n->context)
                return -ENOMEM;
        if (nft_ctx_buffer_output(n->context) != 0 || nft_ctx_buffer_error(n->context) != 0)
                return -ENOMEM;
        r = monitor(n);
        if (r >= 0)
                r = sd_event_add_defer(event, &n->defer, on_defer, n);
        /* After the events that change services, before the pods are looked at. */
        if (r >= 0)
                r = sd_event_source_set_enabled(n->defer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

struct nft *nft_free(struct nft *n) {
        if (!n)
                return NULL;
        sd_event_source_disable_unref(n->io);
        sd_event_source_disable_unref(n->defer);
        sd_event_source_disable_unref(n->restore);
        safe_close(n->fd);
        if (n->context)
                nft_ctx_free(n->context);
        map_free(n->services);
        map_free(n->slices);
        map_free(n->served);
        map_free(n->pods);
        map_free(n->models);
        map_free(n->dirty);
        free(n->node_name);
        free(n->cluster_cidr);
        sd_event_unref(n->event);
        free(n);
        return NULL;
}
