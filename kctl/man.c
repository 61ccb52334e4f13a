/* kctl man: the manual pages of kctl, of each verb and of the kinds, into a folder. Made from the
 * tables of verbs, flags and kinds, as --help is; the build installs them. */
#include "kctl/kctl.h"
#include "lib/fileio.h"
#include "lib/options-man.h"

#include "config.h"

static int write_page(const char *dir, const char *name, unsigned section, struct buf *page,
                struct problem *p) {
        _cleanup_free_ char *path = strformat("%s/%s.%u", dir, name, section);
        int r;

        if (!path || page->failed)
                return -ENOMEM;
        for (char *c = strrchr(path, '/'); *c; c++)
                *c = *c == ' ' ? '-' : *c;
        r = file_write_atomic(path, page->data, page->size, 0644);
        if (r < 0) {
                _cleanup_free_ char *why = file_error_text(path, "write the manual page", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(why));
        }
        return 0;
}

static void see_also(struct buf *b, const char *page, unsigned section, bool more) {
        buf_append_str(b, ".BR ");
        for (const char *s = page; *s; s++)
                buf_append_char(b, *s == ' ' ? '-' : *s);
        buf_printf(b, " (%u)%s\n", section, more ? "," : "");
}

/* Every flag once; which of them a verb takes is in the verb's page. */
static int overview(const char *dir, struct problem *p) {
        const struct option_program program = {"kctl", "the command line of keelson",
                        "VERB [WORD...] [FLAG...]", flag_rows, flag_row_count};
        _cleanup_buf_ struct buf b = {0};

        man_head(&b, &program, MAN_SECTION_USER);
        buf_append_str(&b, ".SH DESCRIPTION\nSets clusters up, joins machines over SSH and is the "
                           "daily command line of a keelson cluster.\n.SH VERBS\n");
        for (const struct verb *v = verbs; v->name; v++)
                if (v->summary) {
                        buf_append_str(&b, ".TP\n\\fB");
                        man_text(&b, v->name);
                        buf_append_str(&b, "\\fR ");
                        man_text(&b, v->usage);
                        buf_append_char(&b, '\n');
                        man_text(&b, v->summary);
                        buf_append_str(&b, ".\n");
                }
        man_options(&b, &program);
        buf_append_str(&b,
                        ".SH EXIT STATUS\n0 on success, 1 on an error, 2 when the command line is "
                        "wrong. A verb that runs a command of the user ends with its status.\n"
                        ".SH FILES\n.TP\n.IR ~/.kube/config \", $KUBECONFIG\"\n"
                        "The clusters and their credentials, shared with kubectl\n.SH SEE ALSO\n");
        for (const struct verb *v = verbs; v->name; v++)
                if (v->summary) {
                        _cleanup_free_ char *page = strformat("kctl %s", v->name);

                        see_also(&b, strempty(page), MAN_SECTION_USER, true);
                }
        see_also(&b, "keelson", 7, true);
        see_also(&b, "keelson-kinds", 7, false);
        return write_page(dir, "kctl", MAN_SECTION_USER, &b, p);
}

static int verb_page(const char *dir, const struct verb *v, struct problem *p) {
        _cleanup_(verb_program_done) struct verb_program program = {0};
        _cleanup_free_ char *text = NULL;
        _cleanup_buf_ struct buf b = {0};
        int r = verb_program(v, &program);

        if (r < 0)
                return r;
        text = options_man(&program.program, MAN_SECTION_USER);
        if (!text)
                return -ENOMEM;
        buf_append_str(&b, text);
        buf_append_str(&b, ".SH SEE ALSO\n");
        see_also(&b, "kctl", MAN_SECTION_USER, false);
        return write_page(dir, program.name, MAN_SECTION_USER, &b, p);
}

/* Manifests are the files that users write most. */
static int kinds_page(const char *dir, struct problem *p) {
        const struct option_program program = {"keelson-kinds",
                        "kinds of objects that manifests hold", "KIND.yaml", NULL, 0};
        _cleanup_buf_ struct buf b = {0};

        man_head(&b, &program, 7);
        buf_append_str(&b, ".SH DESCRIPTION\nA manifest is a YAML or JSON document of one object, "
                           "with the fields apiVersion, kind, metadata and mostly spec; a file "
                           "may hold several, with a line of three hyphens between them. These "
                           "kinds are built in; the fields of one are explained by\n"
                           ".BR \"kctl explain\" .\n.SH KINDS\n");
        for (size_t i = 0; i < KINDS_MAX; i++) {
                const struct kind_facts *f = &kind_facts[i];
                const struct api_resource *r = &f->resource;

                if (!f->listable)
                        continue;
                buf_append_str(&b, ".TP\n\\fB");
                man_text(&b, r->kind);
                buf_append_str(&b, "\\fR (");
                man_text(&b, r->group);
                buf_printf(&b, "%s%s)\n", *r->group ? "/" : "", r->version);
                man_text(&b, r->plural);
                buf_printf(&b, ", %s\n", r->namespaced ? "in a namespace" : "of the cluster");
        }
        buf_append_str(&b, ".SH SEE ALSO\n");
        see_also(&b, "kctl explain", MAN_SECTION_USER, true);
        see_also(&b, "kctl apply", MAN_SECTION_USER, false);
        return write_page(dir, "keelson-kinds", 7, &b, p);
}

int kctl_man(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        const char *dir = k->flags.dir;
        int r;

        if (isempty(dir))
                return kctl_usage(k, "--dir DIR is needed: the folder that gets the pages");
        r = overview(dir, &p);
        if (r < 0)
                return kctl_fail(&p);
        r = kinds_page(dir, &p);
        if (r < 0)
                return kctl_fail(&p);
        for (const struct verb *v = verbs; v->name; v++) {
                r = v->summary ? verb_page(dir, v, &p) : 0;
                if (r < 0)
                        return kctl_fail(&p);
        }
        return EXIT_OK;
}
