/* The one place that knows libgit2. A mirror is a bare repository that holds one ref,
 * refs/keelson/target; a mirror that can't be opened is created again. Manifests are read from the
 * commit's tree, never from a work tree: symbolic links and submodules are left alone, so nothing
 * outside the commit can be reached. */
#include "reconcilers/gitsync/fetch.h"

#include <git2.h>

#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/plain.h"
#include "lib/url.h"
#include "reconcilers/gitsync/fetch-confine.h"
#include "reconcilers/gitsync/fetch-progress.h"
#include "reconcilers/gitsync/render.h"
#include "reconcilers/gitsync/tree.h"

#define TARGET_REF "refs/keelson/target"

struct fetch_job {
        const json_t *request;
        struct problem *problem;
        git_repository *repo;
        struct renderer renderer;
        unsigned credential_tries;
        const char *refused; /* why no credentials were given; libgit2 has its own message */
};

static const char *field(const struct fetch_job *f, const char *name) {
        return json_str_or(f->request, name, "");
}

static const char *git_why(const struct fetch_job *f) {
        const git_error *e = git_error_last();

        if (f->refused)
                return f->refused;
        return e && e->message ? e->message : "no reason given";
}

static int refuse(struct fetch_job *f, const char *what, const char *remedy) {
        /* A remote server's own words may be among them. */
        _cleanup_free_ char *why = plain_copy(git_why(f), strlen(git_why(f)), PLAIN_LINE),
                            *url = url_shown(field(f, "url"));

        return problem_set(f->problem, EIO, 0, NULL, "%s %s: %s; %s", what, strempty(url),
                        strempty(why), remedy);
}

static int on_credentials(git_credential **out, const char *url, const char *user_of_url,
                unsigned allowed, void *payload) {
        struct fetch_job *f = payload;
        const char *user = *field(f, "username") ? field(f, "username")
                           : user_of_url         ? user_of_url
                                                 : "git";

        /* The same credentials would be refused again and again. */
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

static int write_file(const char *path, const char *folder, const char *text) {
        int r;

        r = mkdir_parents(folder, 0700);
        if (r < 0)
                return r;
        return file_write_atomic(path, text, strlen(text), 0600);
}

static int write_field(
                struct fetch_job *f, const char *name, const char *folder, const char *path) {
        int r = write_file(path, folder, field(f, name));

        return r < 0 ? problem_set(f->problem, r, 0, NULL, "cannot write %s: %s", path,
                                       strerror(-r))
                     : 0;
}

/* known_hosts of the secret is written where libgit2's SSH looks: into a HOME of this process. */
static int use_known_hosts(struct fetch_job *f, const char *home) {
        _cleanup_free_ char *ssh = strformat("%s/.ssh", home),
                            *path = ssh ? strformat("%s/known_hosts", ssh) : NULL;
        int r = path ? write_field(f, "knownHosts", ssh, path) : -ENOMEM;

        if (r < 0)
                return r;
        setenv("HOME", home, 1);
        return 0;
}

/* The authority of the secret: libgit2 takes it from a file, which it reads at once. */
static int use_authority(struct fetch_job *f, const char *home) {
        _cleanup_free_ char *path = strformat("%s/ca.crt", home);
        int r = path ? write_field(f, "caFile", home, path) : -ENOMEM;

        if (r < 0)
                return r;
        if (git_libgit2_opts(GIT_OPT_SET_SSL_CERT_LOCATIONS, path, NULL) < 0)
                return problem_set(f->problem, EINVAL, 0, NULL,
                                "ca.crt of the secret of spec.secretRef cannot be read: %s; it "
                                "must be one or more certificates in PEM",
                                git_why(f));
        return 0;
}

static int prepare_home(struct fetch_job *f) {
        _cleanup_free_ char *home = strformat("%s.home", field(f, "mirror"));
        int r = 0;

        if (!home)
                return -ENOMEM;
        if (*field(f, "knownHosts"))
                r = use_known_hosts(f, home);
        if (r < 0 || !*field(f, "caFile"))
                return r;
        return use_authority(f, home);
}

static int make_empty(const char *folder) {
        int r;

        r = remove_tree(folder);
        if (r < 0)
                return r;
        return mkdir_parents(folder, 0700);
}

static int open_mirror(struct fetch_job *f) {
        const char *mirror = field(f, "mirror");
        int r;

        if (git_repository_open_bare(&f->repo, mirror) == 0)
                return 0;
        r = make_empty(mirror);
        if (r < 0)
                return problem_set(f->problem, r, 0, NULL, "cannot make the mirror %s: %s", mirror,
                                strerror(-r));
        return git_repository_init(&f->repo, mirror, 1) == 0
                               ? 0
                               : refuse(f, "cannot make a mirror of", "check the state directory");
}

/* The request: the ref alone, and of it only the newest commit where libgit2 can (1.7). A
 * commit is asked for by its name, which most servers allow; where one does not, all branches come.
 */
static char *refspec(const struct fetch_job *f, bool whole) {
        if (streq(field(f, "refKind"), "branch"))
                return strformat("+refs/heads/%s:" TARGET_REF, field(f, "ref"));
        if (streq(field(f, "refKind"), "tag"))
                return strformat("+refs/tags/%s:" TARGET_REF, field(f, "ref"));
        return whole ? strdup("+refs/heads/*:refs/keelson/heads/*")
                     : strformat("+%s:" TARGET_REF, field(f, "ref"));
}

static int fetch_once(struct fetch_job *f, git_remote *remote, bool whole) {
        git_fetch_options options = GIT_FETCH_OPTIONS_INIT;
        _cleanup_free_ char *spec = refspec(f, whole);

        if (!spec)
                return -ENOMEM;
        options.callbacks.credentials = on_credentials;
        options.callbacks.payload = f;
        fetch_watch_callbacks(&options.callbacks);
        options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
        options.prune = GIT_FETCH_PRUNE;
        options.update_fetchhead = 0;
#if LIBGIT2_VER_MAJOR > 1 || LIBGIT2_VER_MINOR >= 7
        /* The transport for folders of this machine knows no depth. */
        if (!whole && (startswith(field(f, "url"), "http") || startswith(field(f, "url"), "ssh") ||
                                      startswith(field(f, "url"), "git")))
                options.depth = 1;
#endif
        f->credential_tries = 0;
        return git_remote_fetch(remote, &(git_strarray){&spec, 1}, &options, NULL);
}

static bool is_whole_id(const char *s) {
        size_t n = strlen(s);

        return (n == 40 || n == 64) && strspn(s, "0123456789abcdef") == n;
}

static const char *fetch_remedy(const struct fetch_job *f, int error) {
        if (error != GIT_ECERTIFICATE)
                return "check that the URL is right, the server can be reached and the secret fits";
        if (startswith(field(f, "url"), "https://"))
                return "where the server's authority is one of your own, put it into the secret of "
                       "spec.secretRef as ca.crt";
        return "put the server's host key into the secret of spec.secretRef as known_hosts";
}

static int fetch_remote(struct fetch_job *f) {
        bool by_id = streq(field(f, "refKind"), "commit");
        git_remote *remote = NULL;
        git_oid id;
        int r = -1;

        /* A commit never changes: one that is present is not fetched. */
        if (by_id && is_whole_id(field(f, "ref")) && git_oid_fromstr(&id, field(f, "ref")) == 0) {
                git_commit *commit = NULL;
                bool here = git_commit_lookup(&commit, f->repo, &id) == 0;

                git_commit_free(commit);
                if (here)
                        return 0;
        }
        if (git_remote_create_anonymous(&remote, f->repo, field(f, "url")) < 0)
                return refuse(f, "cannot use the URL", "give an https, ssh or file URL, or a path");
        fetch_watch(field(f, "url"));
        if (!by_id || is_whole_id(field(f, "ref")))
                r = fetch_once(f, remote, false);
        if (r < 0 && by_id && !f->refused)
                r = fetch_once(f, remote, true);
        fetch_watch_end();
        git_remote_free(remote);
        return r == 0 ? 0 : refuse(f, "cannot fetch from", fetch_remedy(f, r));
}

DEFINE_CLEANUP(git_object *, git_object_free);
DEFINE_CLEANUP(git_commit *, git_commit_free);

static int find_commit(struct fetch_job *f, git_commit **ret) {
        bool by_id = streq(field(f, "refKind"), "commit");
        const char *name = by_id ? field(f, "ref") : TARGET_REF;
        _cleanup_(git_object_freep) git_object *object = NULL;
        _cleanup_free_ char *url = url_shown(field(f, "url"));

        if (git_revparse_single(&object, f->repo, name) < 0 ||
                        git_object_peel((git_object **)ret, object, GIT_OBJECT_COMMIT) < 0)
                return problem_set(f->problem, ENOENT, 0, NULL,
                                "%s has no %s \"%s\"; push it, or correct spec.ref",
                                strempty(url), field(f, "refKind"), field(f, "ref"));
        return 0;
}

static int answer(struct fetch_job *f, git_commit *commit, json_t **ret) {
        _cleanup_json_ json_t *out = NULL;
        char id[GIT_OID_HEXSZ + 1];
        const char *summary = git_commit_summary(commit), *ref = field(f, "ref");
        bool by_id = streq(field(f, "refKind"), "commit");

        git_oid_tostr(id, sizeof(id), git_commit_id(commit));
        _cleanup_free_ char *revision =
                        by_id ? strformat("sha1:%s", id) : strformat("%s@sha1:%s", ref, id);
        if (!revision)
                return -ENOMEM;
        bool unchanged = streq(id, field(f, "known"));
        _cleanup_free_ char *shown =
                        plain_copy(strempty(summary), strlen(strempty(summary)), PLAIN_LINE);
        out = json_pack("{s:s, s:s, s:s, s:b}", "commit", id, "revision", revision, "summary",
                        strempty(shown), "unchanged", unchanged);
        if (!out)
                return -ENOMEM;
        if (!unchanged) {
                int r = tree_read(f->repo, commit, f->request, out, f->problem);

                if (r == 0 && json_object_get(out, "folders"))
                        r = render_folders(
                                        &f->renderer, f->repo, commit, f->request, out, f->problem);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(out);
        return 0;
}

static int fetch(struct fetch_job *f, bool confined, json_t **ret) {
        _cleanup_(git_commit_freep) git_commit *commit = NULL;
        int r;

        r = prepare_home(f);
        if (r < 0)
                return r;
        r = open_mirror(f);
        if (r < 0)
                return r;
        r = renderer_start(&f->renderer);
        if (r < 0)
                return r;
        /* From here on untrusted data is read. */
        if (confined) {
                r = fetch_confine(field(f, "url"), field(f, "mirror"), f->problem);
                if (r < 0)
                        return r;
        }
        r = fetch_remote(f);
        if (r < 0)
                return r;
        r = find_commit(f, &commit);
        if (r < 0)
                return r;
        return answer(f, commit, ret);
}

static int run(const json_t *request, bool confined, json_t **ret, struct problem *p) {
        struct fetch_job f = {.request = request, .problem = p};
        int r;

        git_libgit2_init();
        /* Repositories of other users on the same machine are fine as sources: libgit2 runs no
         * hooks and no configured commands, which is what that check protects. */
        git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0);
        r = fetch(&f, confined, ret);
        renderer_stop(&f.renderer);
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
