/* The limits of one fetch, from its URL. */
#include "reconcilers/gitsync/fetch-confine.h"

#include <fcntl.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/confine.h"
#include "lib/log.h"

enum { PORT_DNS = 53, PATHS_MAX = 64 };

static const struct {
        const char *scheme;
        uint16_t ports[2];
} schemes[] = {
                {"https://", {443, 80}}, /* a server may redirect from one to the other */
                {"http://", {80, 443}},
                {"ssh://", {22}},
                {"git+ssh://", {22}},
                {"ssh+git://", {22}},
                {"git://", {9418}},
};

const char *fetch_local_path(const char *url) {
        const char *path = startswith(url, "file://");

        return path ? path : *url == '/' ? url : NULL;
}

/* The port in "user@host:port/..." or "[::1]:port/...", 0 for none. */
static uint16_t named_port(const char *authority) {
        _cleanup_free_ char *text = strndup(authority, strcspn(authority, "/?#"));
        const char *at = text ? strrchr(text, '@') : NULL, *host = at ? at + 1 : strempty(text),
                   *bracket = strchr(host, ']'), *colon = strchr(bracket ? bracket : host, ':');
        uint16_t port = 0;

        return colon && parse_port(colon + 1, &port) >= 0 ? port : 0;
}

size_t fetch_ports(const char *url, uint16_t ports[static FETCH_PORTS_MAX]) {
        size_t n = 0;

        if (fetch_local_path(url))
                return 0;
        ports[n++] = PORT_DNS;
        for (size_t i = 0; i < ELEMENTS(schemes); i++) {
                const char *rest = startswith(url, schemes[i].scheme);
                uint16_t named;

                if (!rest)
                        continue;
                named = named_port(rest);
                if (named)
                        ports[n++] = named;
                for (size_t j = 0; j < ELEMENTS(schemes[i].ports); j++)
                        if (schemes[i].ports[j])
                                ports[n++] = schemes[i].ports[j];
                return n;
        }
        ports[n++] = 22; /* user@host:path */
        return n;
}

/* A repository here, but not another GitSync's mirror. */
static int local_source(const char *url, const char *mirror, char **ret, struct problem *p) {
        _cleanup_free_ char *path = realpath(fetch_local_path(url), NULL),
                            *own = realpath(mirror, NULL);
        char *slash = own ? strrchr(own, '/') : NULL;
        const char *rest;

        if (!slash)
                return problem_set(p, errno, 0, NULL, "cannot find the mirror %s: %s", mirror,
                                strerror(errno));
        if (!path)
                return 0; /* Git reports that it does not exist */
        *slash = 0;
        rest = startswith(path, own);
        if (rest && (*rest == '/' || !*rest))
                return problem_set(p, EACCES, 0, NULL,
                                "%s is among kgitd's own mirrors; give the URL of the repository "
                                "that it mirrors",
                                url);
        *ret = TAKE_PTR(path);
        return 0;
}

/* When memory runs out, the kernel ends this process and not the daemon. */
static void go_first(void) {
        _cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        if (fd >= 0 && write(fd, "1000", 4) < 0)
                log_debug("cannot set the score for running out of memory: %s", strerror(errno));
}

int fetch_confine(const char *url, const char *mirror, struct problem *p) {
        _cleanup_free_ char *source = NULL, *home = strformat("%s.home", mirror),
                            *ssh = strformat("%s/.ssh", strempty(getenv("HOME"))),
                            *config = strformat("%s/.gitconfig", strempty(getenv("HOME"))),
                            *more = strformat("%s/.config/git", strempty(getenv("HOME")));
        struct confine_path paths[PATHS_MAX];
        uint16_t ports[FETCH_PORTS_MAX];
        size_t n = 0;
        int r = home && ssh && config && more ? 0 : -ENOMEM;

        if (r == 0 && fetch_local_path(url))
                r = local_source(url, mirror, &source, p);
        if (r < 0)
                return r;
        go_first();
        assert(confine_network_file_count + 7 <= PATHS_MAX);
        for (size_t i = 0; i < confine_network_file_count; i++)
                paths[n++] = confine_network_files[i];
        paths[n++] = (struct confine_path){mirror, CONFINE_WRITE};
        paths[n++] = (struct confine_path){home, CONFINE_WRITE};
        paths[n++] = (struct confine_path){ssh, CONFINE_READ};
        paths[n++] = (struct confine_path){"/etc/gitconfig", CONFINE_READ};
        paths[n++] = (struct confine_path){config, CONFINE_READ};
        paths[n++] = (struct confine_path){more, CONFINE_READ};
        if (source)
                paths[n++] = (struct confine_path){source, CONFINE_READ};
        r = confine_self(&(struct confine_options){.paths = paths,
                        .path_count = n,
                        .ports = ports,
                        .port_count = fetch_ports(url, ports)});
        return r < 0 && r != -EOPNOTSUPP
                               ? problem_set(p, r, 0, NULL, "cannot confine the fetch of %s: %s",
                                                 url, strerror(-r))
                               : 0;
}
