/* A node's identity begins here. An existing key is used again, so that joining twice changes
 * nothing. */
#include "nodeagent/csr.h"

#include "lib/fileio.h"
#include "lib/options.h"
#include "lib/pki.h"

enum { KEY_SIZE_MAX = 65536 };

struct csr_options {
        char *name, *dir;
};

static const struct option_row rows[] = {
                {"name", 0, OPTION_STRING, offsetof(struct csr_options, name), "NODE",
                                "Name of the node", NULL},
                {"dir", 0, OPTION_STRING, offsetof(struct csr_options, dir), "DIR",
                                "Folder of the key", "/etc/keelson/node"},
};

static const struct option_program program = {.name = "knodeagent csr",
                .summary = "Makes the node's key and prints a certificate request for it.",
                .usage = "--name NODE [--dir DIR]",
                .rows = rows,
                .count = ELEMENTS(rows)};

static int read_or_make_key(const char *path, char **ret) {
        _cleanup_free_ char *key = NULL;
        int r = file_read(path, KEY_SIZE_MAX, ret, NULL);

        if (r != -ENOENT)
                return r;
        r = pki_key_new(&key);
        if (r < 0)
                return r;
        r = file_write_atomic(path, key, strlen(key), 0600);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(key);
        return 0;
}

static int print_request(const struct csr_options *o, struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/key.pem", o->dir), *key = NULL,
                            *cn = strformat("system:node:%s", strempty(o->name)), *csr = NULL;
        const struct pki_subject subject = {
                        .cn = cn, .organizations = (const char *const[]){"system:nodes", NULL}};
        int r;

        if (!path || !cn)
                return -ENOMEM;
        if (isempty(o->name))
                return problem_set(p, EINVAL, 0, NULL, "--name NODE is needed");
        r = read_or_make_key(path, &key);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "make the key", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        r = pki_csr_new(key, &subject, &csr);
        if (r < 0)
                return problem_set(p, -r, 0, NULL,
                                "%s is not a usable key; remove it to have a new one made", path);
        fputs(csr, stdout);
        return fflush(stdout) == 0 ? 0 : -EIO;
}

static int run(int argc, char **argv, struct csr_options *o, struct problem *p) {
        int r = options_parse(&program, o, argc, argv, /* ret_words= */ NULL, p);

        if (r != 0) /* refused, or --help was printed */
                return r;
        return print_request(o, p);
}

int csr_main(int argc, char **argv) {
        _cleanup_problem_ struct problem p = {0};
        struct csr_options o = {0};
        int r = run(argc - 1, argv + 1, &o, &p);

        options_done(&program, &o);
        if (r < 0)
                fprintf(stderr, "knodeagent csr: %s\n", p.message ? p.message : strerror(-r));
        return r < 0 ? 1 : 0;
}
