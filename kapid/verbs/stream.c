/* exec, attach and port-forward: what the query asks for is checked here, and by the node; the rest
 * is a stream_session's. A GET (WebSocket) needs the right of a POST too, as in Kubernetes 1.35:
 * who may only read must not run commands. */
#include "kapid/auth/authz.h"
#include "kapid/pipeline/admit.h"
#include "kapid/pipeline/ask.h"
#include "kapid/streams/session.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"

enum { PROTOCOLS_SIZE_MAX = 1024 };

static int check_right(struct request *request, struct problem *p) {
        const struct route *t = &request->route;
        const struct access access = {.user = &request->user,
                        .verb = "create",
                        .group = t->group,
                        .version = t->version,
                        .resource = t->plural,
                        .subresource = t->subresource,
                        .namespace = t->namespace,
                        .name = t->name};

        if (streq(t->verb, "create") || authorize(request->api, &access))
                return 0;
        return access_refused(&access, request->kind, p);
}

/* All values of a header in one list. Caller frees. */
static char *joined_header(struct request *request, const char *name) {
        _cleanup_buf_ struct buf b = {0};
        const char *value;

        for (size_t i = 0; (value = http_request_header_at(request->http, name, i)) &&
                           b.size < PROTOCOLS_SIZE_MAX;
                        i++)
                buf_printf(&b, "%s%s", i ? "," : "", value);
        return buf_take(&b);
}

static int negotiate(struct request *request, struct stream_choice *ret, struct problem *p) {
        _cleanup_free_ char *websocket = joined_header(request, "Sec-WebSocket-Protocol"),
                            *spdy = joined_header(request, "X-Stream-Protocol-Version"),
                            *connection = joined_header(request, "Connection");
        const struct stream_offer offer = {.upgrade = request_header(request, "Upgrade"),
                        .connection = connection,
                        .websocket_key = request_header(request, "Sec-WebSocket-Key"),
                        .websocket_version = request_header(request, "Sec-WebSocket-Version"),
                        .websocket_protocols = websocket,
                        .spdy_protocols = spdy};

        if (!websocket || !spdy || !connection)
                return -ENOMEM;
        return stream_negotiate(&offer, streq(request->sub->name, "portforward"), ret, p);
}

/* Of exec and attach. */
static int read_streams(struct request *request, unsigned *ret, struct problem *p) {
        static const struct {
                const char *name;
                unsigned flag;
        } rows[] = {{"stdin", CLIENT_STDIN}, {"stdout", CLIENT_STDOUT}, {"stderr", CLIENT_STDERR},
                        {"tty", CLIENT_TTY}};
        unsigned streams = 0;

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (query_true(request_query(request, rows[i].name)))
                        streams |= rows[i].flag;
        if (!(streams & ~(unsigned)CLIENT_TTY))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "you must specify at least 1 of stdin, stdout, stderr");
        /* A terminal has one output. */
        if (streams & CLIENT_TTY)
                streams &= ~(unsigned)CLIENT_STDERR;
        *ret = streams;
        return 0;
}

static int read_command(struct request *request, json_t *ask, struct problem *p) {
        json_t *words = json_array();
        const char *word;

        if (!words || json_object_set_new(ask, "command", words) < 0)
                return -ENOMEM;
        for (size_t i = 0; (word = http_request_query_at(request->http, "command", i)); i++)
                if (json_array_append_new(words, json_string(word)) < 0)
                        return problem_set(p, EINVAL, 400, "BadRequest",
                                        "a word of the command is not UTF-8");
        if (json_array_size(words) == 0 || isempty(json_string_value(json_array_get(words, 0))))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "you must specify at least one command for the container");
        return 0;
}

/* ports=80,81 and ports=80&ports=81. */
static int read_ports(struct request *request, uint16_t ports[static CLIENT_PORTS_MAX],
                struct client_setup *setup, struct problem *p) {
        const char *text;

        for (size_t i = 0; (text = http_request_query_at(request->http, "ports", i)); i++) {
                _cleanup_strv_free_ char **words = NULL;

                if (strv_split(text, ",", &words) < 0)
                        return -ENOMEM;
                for (char **w = words; w && *w; w++) {
                        if (setup->port_count == CLIENT_PORTS_MAX)
                                return problem_set(p, E2BIG, 400, "BadRequest",
                                                "at most %d ports are possible", CLIENT_PORTS_MAX);
                        if (parse_port(*w, &ports[setup->port_count]) < 0)
                                return problem_set(p, EINVAL, 400, "BadRequest",
                                                "\"%.32s\" is not a port", *w);
                        setup->port_count++;
                }
        }
        setup->ports = ports;
        if (setup->port_count == 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "you must specify at least 1 port (ports=80)");
        return 0;
}

static int add_streams(struct request *request, const json_t *pod, json_t *ask,
                struct client_setup *setup, struct problem *p) {
        const char *container = NULL;
        int r;

        r = read_streams(request, &setup->streams, p);
        if (r < 0)
                return r;
        r = pod_choose_container(
                        pod, request_query(request, "container"), CONTAINER_FIRST, &container, p);
        if (r < 0)
                return r;
        if (json_set_str(ask, "container", container) < 0 ||
                        json_object_set_new(ask, "stdin",
                                        json_boolean(setup->streams & CLIENT_STDIN)) < 0 ||
                        json_object_set_new(ask, "stdout",
                                        json_boolean(setup->streams & CLIENT_STDOUT)) < 0 ||
                        json_object_set_new(ask, "stderr",
                                        json_boolean(setup->streams & CLIENT_STDERR)) < 0 ||
                        json_object_set_new(ask, "tty", json_boolean(setup->streams & CLIENT_TTY)) <
                                        0)
                return -ENOMEM;
        return streq(request->sub->name, "exec") ? read_command(request, ask, p) : 0;
}

static int check_user(struct request *request, const json_t *pod, struct problem *p) {
        int r = check_right(request, p);

        return r < 0 ? r : request_may_connect(request, pod, p);
}

static int check_pod(struct request *request, const json_t *pod, struct problem *p) {
        int r = check_user(request, pod, p);

        if (r < 0)
                return r;
        if (isempty(json_str_or(pod, "spec.nodeName", "")))
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "pod %s does not have a host assigned", object_name(pod));
        return 0;
}

static int start(struct request *request, struct problem *p) {
        _cleanup_json_ json_t *pod = NULL, *ask = NULL;
        _cleanup_(node_target_done) struct node_target target = {0};
        uint16_t ports[CLIENT_PORTS_MAX];
        struct session_options o = {.target = &target};
        int r;

        r = request_object(request, &pod, p);
        if (r < 0)
                return r;
        r = check_pod(request, pod, p);
        if (r < 0)
                return r;
        r = negotiate(request, &o.choice, p);
        if (r < 0)
                return r;
        o.setup.protocol = o.choice.protocol;
        ask = json_pack("{ss, ss, ss, ss}", "verb", request->sub->name, "namespace",
                        object_namespace(pod), "pod", object_name(pod), "uid", object_uid(pod));
        if (!ask)
                return -ENOMEM;
        if (!streq(request->sub->name, "portforward"))
                r = add_streams(request, pod, ask, &o.setup, p);
        else if (!stream_protocol_is_spdy(o.setup.protocol))
                r = read_ports(request, ports, &o.setup, p);
        if (r < 0)
                return r;
        r = node_target_of_pod(request->api, pod, &target, p);
        if (r < 0)
                return r;
        o.node_request = ask;
        return stream_session_start(request, &o, p);
}

static void stream_now(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = start(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
}

/* All values of a parameter, split at commas where there are some: numbers where they are. */
static int copy_list(struct request *request, const char *name, bool numbers, json_t *to) {
        json_t *list = json_array();
        const char *text;

        for (size_t i = 0; list && (text = http_request_query_at(request->http, name, i)); i++) {
                uint16_t port;
                json_t *v = numbers ? parse_port(text, &port) < 0 ? NULL : json_integer(port)
                                    : json_string(text);

                if (v && json_array_append_new(list, v) < 0)
                        return -ENOMEM;
        }
        if (json_array_size(list) == 0) {
                json_decref(list);
                return 0;
        }
        return json_object_set_new(to, name, list);
}

/* PodExecOptions and the like, for webhooks. What is not valid in the query is refused later. */
static json_t *options_of(struct request *request) {
        static const char *const flags[] = {"stdin", "stdout", "stderr", "tty"};
        const char *container = request_query(request, "container");
        _cleanup_json_ json_t *v =
                        json_pack("{ss, ss}", "kind", request->sub->kind, "apiVersion", "v1");

        for (size_t i = 0; v && i < ELEMENTS(flags); i++)
                if (query_true(request_query(request, flags[i])) &&
                                json_object_set_new(v, flags[i], json_true()) < 0)
                        return NULL;
        if (!isempty(container) && utf8_is_valid(container, strlen(container)) &&
                        json_object_set_new(v, "container", json_string(container)) < 0)
                return NULL;
        if (!v || copy_list(request, "command", false, v) < 0 ||
                        copy_list(request, "ports", true, v) < 0)
                return NULL;
        return TAKE_PTR(v);
}

static int check_first(struct request *request, struct problem *p) {
        _cleanup_json_ json_t *pod = NULL;
        int r = request_object(request, &pod, p);

        return r < 0 ? r : check_user(request, pod, p);
}

/* Who may not have the stream, or names no pod, is refused before webhooks hear of it. */
static void stream_ask(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *options = options_of(request);
        int r = options ? check_first(request, &p) : -ENOMEM;

        if (r < 0)
                respond_error(request, r, &p);
        else
                request_ask(request, WEBHOOK_CONNECT, options, stream_now);
}

void verb_stream(struct request *request) {
        request_freshen(request, stream_ask);
}
