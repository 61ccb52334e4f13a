/* The one place that knows libgit2. A mirror is a bare repository that holds one ref of ours,
 * refs/keelson/target; a mirror that can't be opened is made anew. Manifests are read from the
 * commit's tree, never from a work tree: symbolic links and submodules are left alone, so nothing
 * outside the commit can be reached. */
#include "reconcilers/gitsync/fetch.h"

#include <git2.h>

#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/plain.h"
#include "reconcilers/gitsync/fetch-confine.h"

#define TARGET_REF "refs/keelson/target"

struct fetch {
        const json_t *request;
        struct problem *problem;
        git_repository *repo;
        unsigned credential_tries;
        const char *refused; /* why no credentials were given; libgit2 has a message of its own */
};

static const char *field(const struct fetch *f, const char *name) {
        return json_str_or(f->request, name, "");
}

static const char *git_why(const struct fetch *f) {
        const git_error *e = git_error_last();

        if (f->refused)
                return f->refused;
        return e && e->message ? e->message : "no reason given";
}

static int refuse(struct fetch *f, const char *what, const char *remedy) {
        /* A remote server's own words may be among them. */
        _cleanup_free_ char *why = plain_copy(git_why(f), strlen(git_why(f)), PLAIN_LINE);

        return problem_set(f->problem, EIO, 0, NULL, "%s %s: %s; %s", what, field(f, "url"),
                        strempty(why), remedy);
}

static int on_credentials(git_credential **out, const char *url, const char *user_of_url,
                unsigned allowed, void *payload) {
        struct fetch *f = payload;
        const char *user = *field(f, "username") ? field(f, "username")
                           : user_of_url         ? user_of_url
                                                 : "git";

        /* The same credentials again would be refused again, for ever. */
        if (f->credential_tries++ > 2) {
                f->refused = "the server refused the credentials";
                return GIT_EAUTH;
        }
        if (allowed & GIT_CREDENTIAL_USERNAME)
                return git_credential_username_new(out, user);
        if ((allowed & GIT_CREDENTIAL_SSH_KEY) && *field(f, "identity"))
                return git_credential_ssh_key_memory_new(
                                out, user, NULL, field(f, "identity"), NULL);
        if ((allowed & GIT_CREDENTIAL_USERPASS_PLAINTEXT) && *field(f, "password"))
                return git_credential_userpass_plaintext_new(out, user, field(f, "password"));
        f->refused = "the server asks for credentials and the GitSync names no secret that has "
                     "them";
        return GIT_EAUTH;
}

/* known_hosts of the secret is put where libgit2's SSH looks: a HOME of this process' own. */
static int prepare_home(struct fetch *f) {
        _cleanup_free_ char *home = NULL, *ssh = NULL, *path = NULL;
        int r;

        if (!*field(f, "knownHosts"))
                return 0;
        home = strformat("%s.home", field(f, "mirror"));
        ssh = home ? strformat("%s/.ssh", home) : NULL;
        path = ssh ? strformat("%s/known_hosts", ssh) : NULL;
        if (!path)
                return -ENOMEM;
        r = mkdir_parents(ssh, 0700);
        if (r == 0)
                r = file_write_atomic(
                                path, field(f, "knownHosts"), strlen(field(f, "knownHosts")), 0600);
        if (r < 0)
                return problem_set(
                                f->problem, r, 0, NULL, "cannot write %s: %s", path, strerror(-r));
        setenv("HOME", home, 1);
        return 0;
}

static int open_mirror(struct fetch *f) {
        const char *mirror = field(f, "mirror");
        int r;

        if (git_repository_open_bare(&f->repo, mirror) == 0)
                return 0;
        r = remove_tree(mirror);
        if (r == 0)
                r = mkdir_parents(mirror, 0700);
        if (r < 0)
                return problem_set(f->problem, r, 0, NULL, "cannot make the mirror %s: %s", mirror,
                                strerror(-r));
        return git_repository_init(&f->repo, mirror, 1) == 0
                               ? 0
                               : refuse(f, "cannot make a mirror of", "check the state directory");
}

static int fetch_remote(struct fetch *f) {
        git_fetch_options options = GIT_FETCH_OPTIONS_INIT;
        _cleanup_free_ char *spec = NULL;
        git_remote *remote = NULL;
        int r;

        if (streq(field(f, "refKind"), "branch"))
                spec = strformat("+refs/heads/%s:" TARGET_REF, field(f, "ref"));
        else if (streq(field(f, "refKind"), "tag"))
                spec = strformat("+refs/tags/%s:" TARGET_REF, field(f, "ref"));
        else
                spec = strdup("+refs/heads/*:refs/keelson/heads/*");
        if (!spec)
                return -ENOMEM;
        options.callbacks.credentials = on_credentials;
        options.callbacks.payload = f;
        options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
        options.prune = GIT_FETCH_PRUNE;
        options.update_fetchhead = 0;
        if (git_remote_create_anonymous(&remote, f->repo, field(f, "url")) < 0)
                return refuse(f, "cannot use the URL", "give an https, ssh or file URL, or a path");
        r = git_remote_fetch(remote, &(git_strarray){&spec, 1}, &options, NULL);
        git_remote_free(remote);
        return r == 0 ? 0
                      : refuse(f, "cannot fetch from",
                                        "check that the URL is right, the server can be reached "
                                        "and the secret fits");
}

static int find_commit(struct fetch *f, git_commit **ret) {
        bool by_id = streq(field(f, "refKind"), "commit");
        git_object *object = NULL;
        int r = git_revparse_single(&object, f->repo, by_id ? field(f, "ref") : TARGET_REF);

        if (r == 0)
                r = git_object_peel((git_object **)ret, object, GIT_OBJECT_COMMIT);
        git_object_free(object);
        if (r < 0)
                return problem_set(f->problem, ENOENT, 0, NULL,
                                "%s has no %s \"%s\"; push it, or correct spec.ref",
                                field(f, "url"), field(f, "refKind"), field(f, "ref"));
        return 0;
}

/* A walk over the tree at path. */
struct walk {
        struct fetch *fetch;
        json_t *files;
        size_t size;
        int error;
};

static bool is_manifest(const char *name) {
        return endswith(name, ".yaml") || endswith(name, ".yml") || endswith(name, ".json");
}

static int add_file(struct walk *w, const char *name, const git_tree_entry *entry) {
        struct fetch *f = w->fetch;
        git_blob *blob = NULL;
        int r = 0;

        if (git_blob_lookup(&blob, f->repo, git_tree_entry_id(entry)) < 0)
                return refuse(f, "cannot read a file of",
                                "the mirror is made anew at the next try");
        size_t size = (size_t)git_blob_rawsize(blob);
        const char *text = git_blob_rawcontent(blob);
        w->size += size;
        if (size > FETCH_FILE_SIZE_MAX)
                r = problem_set(f->problem, EFBIG, 0, NULL,
                                "%s: the file is larger than %i bytes; split it", name,
                                FETCH_FILE_SIZE_MAX);
        else if (w->size > FETCH_TOTAL_SIZE_MAX || json_array_size(w->files) >= FETCH_FILES_MAX)
                r = problem_set(f->problem, EFBIG, 0, NULL,
                                "the manifests exceed %i files or %i bytes; use several GitSyncs "
                                "with a path each",
                                FETCH_FILES_MAX, FETCH_TOTAL_SIZE_MAX);
        else if (!utf8_is_valid(text, size))
                r = problem_set(f->problem, EINVAL, 0, NULL, "%s: the file is not UTF-8 text",
                                name);
        else if (json_array_append_new(w->files,
                                 json_pack("{s:s, s:s%}", "name", name, "text", text, size)) < 0)
                r = -ENOMEM;
        git_blob_free(blob);
        return r;
}

static int on_entry(const char *root, const git_tree_entry *entry, void *payload) {
        const char *name = git_tree_entry_name(entry);
        struct walk *w = payload;

        if (name[0] == '.') /* .git*, .github, editors' files */
                return 1;
        git_filemode_t mode = git_tree_entry_filemode(entry);
        if ((mode != GIT_FILEMODE_BLOB && mode != GIT_FILEMODE_BLOB_EXECUTABLE) ||
                        !is_manifest(name))
                return 0;
        _cleanup_free_ char *path = strformat("%s%s", root, name);
        w->error = path ? add_file(w, path, entry) : -ENOMEM;
        return w->error < 0 ? -1 : 0;
}

/* "./a//b/" -> "a/b"; refuses "..". Caller frees. */
static char *clean_path(const char *path) {
        _cleanup_strv_free_ char **parts = NULL, **kept = NULL;

        if (strv_split(path, "/", &parts) < 0)
                return NULL;
        for (char **p = parts; p && *p; p++) {
                if (streq(*p, ".."))
                        return NULL;
                if (!streq(*p, ".") && strv_extend(&kept, *p) < 0)
                        return NULL;
        }
        return strv_join(kept, "/");
}

static int read_tree(struct fetch *f, git_commit *commit, json_t *files) {
        _cleanup_free_ char *path = clean_path(field(f, "path"));
        struct walk w = {.fetch = f, .files = files};
        git_tree_entry *entry = NULL;
        git_tree *root = NULL, *tree = NULL;
        int r = 0;

        if (!path)
                return problem_set(f->problem, EINVAL, 0, NULL,
                                "spec.path \"%s\" must stay inside the repository",
                                field(f, "path"));
        if (git_commit_tree(&root, commit) < 0)
                return refuse(f, "cannot read the commit of",
                                "the mirror is made anew at the next try");
        if (*path) {
                if (git_tree_entry_bypath(&entry, root, path) < 0 ||
                                git_tree_entry_type(entry) != GIT_OBJECT_TREE ||
                                git_tree_lookup(&tree, f->repo, git_tree_entry_id(entry)) < 0)
                        r = problem_set(f->problem, ENOENT, 0, NULL,
                                        "the commit has no folder \"%s\"; correct spec.path", path);
                git_tree_entry_free(entry);
                git_tree_free(root);
                root = tree;
        }
        if (r == 0 && git_tree_walk(root, GIT_TREEWALK_PRE, on_entry, &w) < 0)
                r = w.error < 0 ? w.error
                                : refuse(f, "cannot read the files of",
                                                  "the mirror is made anew at the next try");
        git_tree_free(root);
        return r;
}

static int answer(struct fetch *f, git_commit *commit, json_t **ret) {
        _cleanup_json_ json_t *files = json_array(), *out = NULL;
        char id[GIT_OID_HEXSZ + 1];
        const char *summary = git_commit_summary(commit), *ref = field(f, "ref");
        bool by_id = streq(field(f, "refKind"), "commit");

        git_oid_tostr(id, sizeof(id), git_commit_id(commit));
        _cleanup_free_ char *revision =
                        by_id ? strformat("sha1:%s", id) : strformat("%s@sha1:%s", ref, id);
        if (!files || !revision)
                return -ENOMEM;
        bool unchanged = streq(id, field(f, "known"));
        if (!unchanged) {
                int r = read_tree(f, commit, files);
                if (r < 0)
                        return r;
        }
        _cleanup_free_ char *shown = plain_copy(
                        strempty(summary), strlen(strempty(summary)), PLAIN_LINE);
        out = json_pack("{s:s, s:s, s:s, s:b}", "commit", id, "revision", revision, "summary",
                        strempty(shown), "unchanged", unchanged);
        if (!out || (!unchanged && json_object_set(out, "files", files) < 0))
                return -ENOMEM;
        *ret = TAKE_PTR(out);
        return 0;
}

static int run(const json_t *request, bool confined, json_t **ret, struct problem *p) {
        struct fetch f = {.request = request, .problem = p};
        git_commit *commit = NULL;
        int r;

        git_libgit2_init();
        /* Repositories of other users on the same machine are fine as sources: libgit2 runs no
         * hooks and no configured commands, which is what that check protects. */
        git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
        r = prepare_home(&f);
        if (r == 0)
                r = open_mirror(&f);
        /* From here on a stranger's bytes are read. */
        if (r == 0 && confined)
                r = fetch_confine(field(&f, "url"), field(&f, "mirror"), p);
        if (r == 0)
                r = fetch_remote(&f);
        if (r == 0)
                r = find_commit(&f, &commit);
        if (r == 0)
                r = answer(&f, commit, ret);
        git_commit_free(commit);
        git_repository_free(f.repo);
        git_libgit2_shutdown();
        return r;
}

int fetch_run(const json_t *request, json_t **ret, struct problem *p) {
        return run(request, false, ret, p);
}

int fetch_main(void) {
        _cleanup_json_ json_t *request = json_loadf(stdin, 0, NULL), *reply = NULL;
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (!json_is_object(request)) {
                fprintf(stderr, "kgitd fetch: this is run by kgitd itself, with a request on its "
                                "input\n");
                return 2;
        }
        r = run(request, true, &reply, &p);
        if (r < 0)
                reply = json_pack("{s:s}", "error", p.message ? p.message : strerror(-r));
        if (!reply || json_dumpf(reply, stdout, JSON_COMPACT) < 0 || fflush(stdout) != 0)
                return 1;
        return r < 0 ? 1 : 0;
}
