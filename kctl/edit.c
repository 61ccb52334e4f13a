/* kctl edit: objects as YAML in an editor; the difference is sent back. An object that the server
 * does not accept is opened again, with the reason; what cannot be saved stays in a file. */
#include "kctl/change.h"
#include "kctl/program.h"
#include "lib/fileio.h"
#include "lib/object.h"
#include "lib/yaml.h"

enum { EDIT_SIZE_MAX = 16 << 20, TRIES_MAX = 5 };

struct editing {
        struct kctl *kctl;
        const struct target *t;
        json_t *original; /* as it was opened */
        char *folder, *file;
        enum dry_run dry_run;
        bool kept; /* the file stays */
};

static const char *editor(void) {
        static const char *const variables[] = {"KUBE_EDITOR", "EDITOR", "VISUAL"};

        for (size_t i = 0; i < ELEMENTS(variables); i++)
                if (!isempty(getenv(variables[i])))
                        return getenv(variables[i]);
        return "vi";
}

/* Each line of a text as a comment. */
static void add_comment(struct buf *b, const char *text) {
        while (*text) {
                size_t n = strcspn(text, "\n");

                buf_printf(b, "# %.*s\n", (int)n, text);
                text += n + (text[n] == '\n');
        }
}

static int write_file(const struct editing *e, const char *body, const char *why,
                struct problem *p) {
        _cleanup_buf_ struct buf b = {0};
        int r;

        buf_append_str(&b, "# Please edit the object below. Lines beginning with a '#' will be "
                           "ignored,\n# and an empty file will abort the edit. If an error occurs "
                           "while saving this file will be\n# reopened with the relevant "
                           "failures.\n#\n");
        if (why)
                add_comment(&b, why);
        buf_append_str(&b, body);
        if (b.failed)
                return -ENOMEM;
        r = file_write_atomic(e->file, b.data, b.size, 0600);
        if (r < 0) {
                _cleanup_free_ char *text = file_error_text(e->file, "write", r);

                return problem_set(p, -r, 0, NULL, "%s", strempty(text));
        }
        return 0;
}

/* What stands in the file without its comments at the beginning. */
static const char *body_of(const char *text) {
        while (*text == '#')
                text += strcspn(text, "\n") + (strchr(text, '\n') != NULL);
        return text;
}

/* The object that was written, NULL when the file is empty. */
static int read_file(const struct editing *e, char **ret_text, json_t **ret, struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = file_read(e->file, EDIT_SIZE_MAX, &text, &n);

        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot read %s again: %s", e->file,
                                strerror(-r));
        *ret_text = strdup(body_of(text));
        if (!*ret_text)
                return -ENOMEM;
        r = yaml_parse(text, n, &docs, p);
        if (r < 0)
                return r;
        if (docs.count > 1 || (docs.count == 1 && !json_is_object(docs.items[0].value)))
                return problem_set(p, EINVAL, 0, NULL, "one object is expected in the file");
        *ret = docs.count == 1 ? json_incref(docs.items[0].value) : NULL;
        return 0;
}

static int refuse_identity(const json_t *old, const json_t *new, struct problem *p) {
        static const char *const fixed[] = {"apiVersion", "kind", "metadata.name",
                        "metadata.namespace"};

        for (size_t i = 0; i < ELEMENTS(fixed); i++)
                if (!streq_ptr(json_str(old, fixed[i]), json_str(new, fixed[i])))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "%s cannot be edited; kctl replace makes another object",
                                        fixed[i]);
        return 0;
}

/* Sends a patch, bound to a version where all that it replaces is as it was when the editor opened.
 */
static int send(struct editing *e, const json_t *patch, struct problem *p) {
        const char *sub = isempty(e->kctl->flags.subresource) ? NULL : e->kctl->flags.subresource;
        _cleanup_free_ char *query = change_query(e->kctl, e->dry_run, "fieldValidation=Strict"),
                            *path = query ? target_path(e->t, sub, query) : NULL,
                            *plain = target_path(e->t, NULL, NULL);

        if (!path || !plain)
                return -ENOMEM;
        for (unsigned i = 0; i < TRIES_MAX; i++) {
                _cleanup_json_ json_t *live = NULL, *bound = json_deep_copy(patch), *made = NULL;
                int r = api_get(e->kctl->client, plain, &live, p);

                if (r < 0)
                        return r;
                if (!bound)
                        return -ENOMEM;
                if (!merge_is_current(patch, e->original, live))
                        return problem_set(p, ESTALE, 409, "Conflict",
                                        "the fields that you have edited were changed by others "
                                        "meanwhile");
                json_set_str(bound, "metadata.resourceVersion",
                                json_str_or(live, "metadata.resourceVersion", ""));
                r = api_patch_request(e->kctl->client, path, API_PATCH_MERGE, bound, &made, p);
                if (r == -ESTALE)
                        continue;
                return r < 0 ? r
                             : print_change(e->kctl, made, &e->t->kind, "edited", e->dry_run, p);
        }
        return problem_set(p, ESTALE, 409, "Conflict", "the object is changed by others all the "
                                                       "time");
}

/* One look into the editor. 1: done; 0: open again, p says why; negative: give up. */
static int edit_round(struct editing *e, char **body, struct problem *p) {
        char *const arguments[] = {e->file, NULL};
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *new = NULL, *patch = NULL;
        int code, r = run_by_shell(editor(), arguments, &code, p);

        if (r < 0)
                return r;
        if (code != 0)
                return problem_set(p, ECANCELED, 0, NULL,
                                "the editor \"%s\" failed with exit code %d; $KUBE_EDITOR and "
                                "$EDITOR name another",
                                editor(), code);
        r = read_file(e, &text, &new, p);
        if (r < 0 && !text)
                return r;
        bool same = streq(text, *body);
        e->kept |= !same;
        free(*body);
        *body = TAKE_PTR(text);
        if (r < 0)
                return same ? r : 0;
        if (!new) {
                fprintf(stderr, "Edit cancelled, saved file was empty.\n");
                return 1;
        }
        patch = merge_difference(e->original, new);
        if (!patch)
                return -ENOMEM;
        if (json_object_size(patch) == 0) {
                fprintf(stderr, "Edit cancelled, no changes made.\n");
                return 1;
        }
        if (p->message && same) /* opened again, and closed as it was */
                return -ECANCELED;
        problem_done(p);
        *p = (struct problem){0};
        r = refuse_identity(e->original, new, p);
        if (r < 0)
                return 0;
        r = send(e, patch, p);
        return r >= 0 ? 1 : r == -EINVAL || r == -EACCES ? 0 : r;
}

static int edit_object(struct editing *e, struct problem *p) {
        _cleanup_json_ json_t *sorted = json_sorted(e->original);
        _cleanup_free_ char *body = sorted ? yaml_text(sorted) : NULL;
        int r = body ? write_file(e, body, NULL, p) : -ENOMEM;

        while (r >= 0) {
                r = edit_round(e, &body, p);
                if (r > 0)
                        e->kept = false;
                if (r != 0)
                        return MIN(r, 0);
                fprintf(stderr, "error: %s\n", strempty(p->message));
                r = write_file(e, body, strempty(p->message), p);
        }
        return r;
}

static void editing_done(struct editing *e) {
        if (e->folder && !e->kept)
                (void)remove_tree(e->folder);
        json_decref(e->original);
        free(e->folder);
        free(e->file);
}

static int edit_one(struct kctl *k, const struct target *t, enum dry_run dry_run,
                struct problem *p) {
        _cleanup_(editing_done) struct editing e = {.kctl = k, .t = t, .dry_run = dry_run};
        _cleanup_free_ char *path = target_path(t, /* subresource= */ NULL, /* query= */ NULL);
        int r = path ? api_get(k->client, path, &e.original, p) : -ENOMEM;

        if (r < 0)
                return r;
        r = private_folder(&e.folder, p);
        if (r < 0)
                return r;
        json_del_at(e.original, "metadata.managedFields");
        e.file = strformat("%s/%s-%s.yaml", e.folder, t->kind.singular, t->name);
        r = e.file ? edit_object(&e, p) : -ENOMEM;
        if (r < 0 && e.kept)
                fprintf(stderr, "error: your changes are kept in %s\n", e.file);
        return r;
}

int kctl_edit(struct kctl *k) {
        _cleanup_targets_ struct targets t = {0};
        _cleanup_problem_ struct problem p = {0};
        enum dry_run dry_run;
        int code = EXIT_OK;

        if (!k->words && !k->flags.filenames)
                return kctl_usage(k, "edit what? Give KIND NAME, KIND/NAME or -f FILE");
        if (dry_run_parse(k, &dry_run, &p) < 0)
                return kctl_fail(&p);
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (change_targets(k, &t, &p) < 0)
                return kctl_fail(&p);
        for (size_t i = 0; i < t.count; i++)
                if (edit_one(k, &t.items[i], dry_run, &p) < 0)
                        code = kctl_fail(&p);
        return code;
}
