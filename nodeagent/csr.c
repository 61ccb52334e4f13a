/* The one moment at which a node's identity begins. An existing key is used again, so that joining
 * twice changes nothing. */
#include "nodeagent/csr.h"

#include "lib/fileio.h"
#include "lib/options.h"
#include "lib/pki.h"

struct settings {
        char *name, *dir;
};

static const struct option_row rows[] = {
                {"name", 0, OPTION_STRING, offsetof(struct settings, name), "NODE",
                                "Name of the node", NULL},
                {"dir", 0, OPTION_STRING, offsetof(struct settings, dir), "DIR",
                                "Where the key lies", "/etc/keelson/node"},
};

static const struct option_program program = {"knodeagent csr",
                "Makes the node's key and prints a certificate request for it.",
                "--name NODE [--dir DIR]", rows, ELEMENTS(rows)};

static int print_request(const struct settings *s, struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/key.pem", s->dir), *key = NULL,
                            *cn = strformat("system:node:%s", strempty(s->name)), *csr = NULL;
        const struct pki_subject subject = {
                        .cn = cn, .organizations = (const char *const[]){"system:nodes", NULL}};
        int r;

        if (!path || !cn)
                return -ENOMEM;
        if (isempty(s->name))
                return problem_set(p, EINVAL, 0, NULL, "--name NODE is needed");
        r = file_read(path, 65536, &key, NULL);
        if (r == -ENOENT) {
                r = pki_key_new(&key);
                if (r == 0)
                        r = file_write_atomic(path, key, strlen(key), 0600);
        }
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "make the key", r);

                return problem_set(p, r, 0, NULL, "%s", strempty(why));
        }
        r = pki_csr_new(key, &subject, &csr);
        if (r < 0)
                return problem_set(p, r, 0, NULL,
                                "%s holds no usable key; remove it to have a new one made", path);
        fputs(csr, stdout);
        return fflush(stdout) == 0 ? 0 : -EIO;
}

int csr_main(int argc, char **argv) {
        _cleanup_problem_ struct problem p = {0};
        struct settings s = {0};
        int r = options_parse(&program, &s, argc - 1, argv + 1, NULL, &p);

        if (r == 0)
                r = print_request(&s, &p);
        options_done(&program, &s);
        if (r < 0)
                fprintf(stderr, "knodeagent csr: %s\n", p.message ? p.message : strerror(-r));
        return r < 0 ? 1 : 0;
}
