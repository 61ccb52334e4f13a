/* Two passes over a folder of the commit: the first lists its files, the second skips those that
 * a kustomization includes and reads the rest. */
#include "reconcilers/gitsync/tree.h"

#include "lib/pki.h"
#include "reconcilers/gitsync/fetch.h"
#include "reconcilers/gitsync/kustomization.h"

#define IGNORE_FILE ".keelsonignore"
enum { LINKS_MAX = 8, LINK_SIZE_MAX = 4096, FOLDERS_MAX = 500 };

/* An entry that counts: a manifest, or a folder to render. */
struct tree_entry {
        char *name;
        git_oid id;
        const char *tool; /* NULL: a file */
};

struct tree_walk {
        git_repository *repo;
        git_tree *root;
        char *path; /* of the folder that is read, from the top; "" is the top */
        git_pathspec *include;
        struct tree_entry *found;
        size_t count, allocated, size;
        json_t *refs; /* what kustomizations include: path -> true */
        json_t *answer;
        struct problem *problem;
        int failure; /* the error that ended the walk */
};

static int note(json_t *answer, const char *name, const char *why) {
        _cleanup_free_ char *text = strformat("%s (%s)", name, why);
        json_t *list = json_object_get(answer, "ignored");

        if (!list) {
                list = json_array();
                if (json_object_set_new(answer, "ignored", list) < 0)
                        return -ENOMEM;
        }
        if (json_array_size(list) >= FETCH_IGNORED_MAX)
                return 0;
        if (!text || (utf8_is_valid(text, strlen(text)) &&
                                     json_array_append_new(list, json_string(text)) < 0))
                return -ENOMEM;
        return 0;
}

static bool is_manifest(const char *name) {
        return endswith(name, ".yaml") || endswith(name, ".yml") || endswith(name, ".json");
}

/* --- blobs --- */

DEFINE_CLEANUP(git_odb *, git_odb_free);
DEFINE_CLEANUP(git_tree *, git_tree_free);
DEFINE_CLEANUP(git_tree_entry *, git_tree_entry_free);

/* The size is in the object's header: a large blob is refused without unpacking it. */
static int blob_size(git_repository *repo, const git_oid *id, size_t *ret) {
        _cleanup_(git_odb_freep) git_odb *odb = NULL;
        git_object_t type;

        if (git_repository_odb(&odb, repo) < 0 || git_odb_read_header(ret, &type, odb, id) < 0)
                return -EIO;
        return type == GIT_OBJECT_BLOB ? 0 : -EIO;
}

static int unreadable(struct problem *p, const char *name) {
        const git_error *e = git_error_last();

        return problem_set(p, EIO, 0, NULL, "cannot read %s of the commit: %s", name,
                        e && e->message ? e->message : "the object is missing");
}

/* A symbolic link's target: the entry within the commit that it leads to, through further links.
 * NULL: it leads out, to a folder, to nothing, or in a circle. */
static git_tree_entry *follow(struct tree_walk *w, const char *name, const git_oid *id) {
        _cleanup_free_ char *at = strdup(name);
        git_oid link = *id;

        for (unsigned i = 0; at && i < LINKS_MAX; i++) {
                _cleanup_free_ char *target = NULL, *path = NULL;
                git_tree_entry *entry = NULL;
                git_blob *blob = NULL;
                char *slash = strrchr(at, '/');
                size_t n;

                if (blob_size(w->repo, &link, &n) < 0 || n > LINK_SIZE_MAX ||
                                git_blob_lookup(&blob, w->repo, &link) < 0)
                        return NULL;
                target = strndup(git_blob_rawcontent(blob), n);
                git_blob_free(blob);
                if (slash)
                        *slash = '\0';
                path = target && *target != '/' ? tree_path_join(slash ? at : "", target) : NULL;
                if (!path || !*path || git_tree_entry_bypath(&entry, w->root, path) < 0)
                        return NULL;
                if (git_tree_entry_type(entry) == GIT_OBJECT_BLOB &&
                                git_tree_entry_filemode(entry) != GIT_FILEMODE_LINK)
                        return entry;
                if (git_tree_entry_filemode(entry) != GIT_FILEMODE_LINK) {
                        git_tree_entry_free(entry);
                        return NULL;
                }
                link = *git_tree_entry_id(entry);
                git_tree_entry_free(entry);
                free(at);
                at = TAKE_PTR(path);
        }
        return NULL;
}

/* The target is shown as text; it was not followed. */
static int note_link(struct tree_walk *w, const char *name, const git_oid *id) {
        _cleanup_free_ char *why = NULL;
        git_blob *blob = NULL;
        size_t n;

        if (blob_size(w->repo, id, &n) == 0 && n <= LINK_SIZE_MAX &&
                        git_blob_lookup(&blob, w->repo, id) == 0 &&
                        utf8_is_valid(git_blob_rawcontent(blob), n))
                why = strformat("a link to %.*s", (int)n, (const char *)git_blob_rawcontent(blob));
        git_blob_free(blob);
        return note(w->answer, name, why ? why : "a link");
}

/* --- patterns --- */

/* The repository's rules are relative to its top; those of a folder below it are moved there. */
static int add_rule(struct tree_walk *w, const char *folder, const char *line) {
        _cleanup_free_ char *rule = NULL;
        const char *not = *line == '!' ? "!" : "";
        size_t n;

        line += strlen(not );
        n = strcspn(line, "\r\n");
        while (n > 0 && line[n - 1] == ' ')
                n--;
        if (n == 0 || *line == '#')
                return 0;
        if (!*folder)
                rule = strformat("%s%.*s\n", not, (int)n, line);
        else if (*line == '/' || memchr(line, '/', n - 1))
                rule = strformat("%s/%s/%.*s\n", not, folder, (int)(n - (*line == '/')),
                                line + (*line == '/'));
        else
                rule = strformat("%s/%s/**/%.*s\n", not, folder, (int)n, line);
        return rule && git_ignore_add_rule(w->repo, rule) == 0 ? 0 : -ENOMEM;
}

static int read_ignore_file(struct tree_walk *w, const char *folder) {
        _cleanup_free_ char *path =
                        *folder ? strformat("%s/" IGNORE_FILE, folder) : strdup(IGNORE_FILE);
        git_tree_entry *entry = NULL;
        git_blob *blob = NULL;
        size_t n;
        int r = 0;

        if (!path)
                return -ENOMEM;
        if (git_tree_entry_bypath(&entry, w->root, path) < 0)
                return 0;
        if (git_tree_entry_type(entry) == GIT_OBJECT_BLOB &&
                        blob_size(w->repo, git_tree_entry_id(entry), &n) == 0 &&
                        n <= FETCH_FILE_SIZE_MAX &&
                        git_blob_lookup(&blob, w->repo, git_tree_entry_id(entry)) == 0) {
                _cleanup_free_ char *text = strndup(git_blob_rawcontent(blob), n);
                _cleanup_strv_free_ char **lines = NULL;

                r = text ? strv_split(text, "\n", &lines) : -ENOMEM;
                for (char **l = lines; r == 0 && l && *l; l++)
                        r = add_rule(w, folder, *l);
        }
        git_blob_free(blob);
        git_tree_entry_free(entry);
        return r;
}

static int read_patterns(struct tree_walk *w, const json_t *request) {
        const json_t *exclude = json_object_get(request, "exclude"), *v;
        const json_t *include = json_object_get(request, "include");
        _cleanup_free_ char **words = calloc(json_array_size(include) + 1, sizeof(*words));
        git_strarray specs = {words, 0};
        size_t i;
        int r;

        if (!words)
                return -ENOMEM;
        r = read_ignore_file(w, "");
        if (r < 0)
                return r;
        if (*w->path) {
                r = read_ignore_file(w, w->path);
                if (r < 0)
                        return r;
        }
        json_array_foreach (exclude, i, v) {
                r = add_rule(w, w->path, strempty(json_string_value(v)));
                if (r < 0)
                        return r;
        }
        json_array_foreach (include, i, v)
                if (json_is_string(v))
                        words[specs.count++] = (char *)json_string_value(v);
        if (specs.count > 0 && git_pathspec_new(&w->include, &specs) < 0)
                return problem_set(w->problem, EINVAL, 0, NULL,
                                "spec.include has a pattern that git does not accept");
        return 0;
}

static bool is_ignored(struct tree_walk *w, const char *name, bool folder) {
        _cleanup_free_ char *path = folder ? strformat("%s/", name) : NULL;
        int ignored = 0;

        return git_ignore_path_is_ignored(&ignored, w->repo, folder ? strempty(path) : name) == 0 &&
               ignored;
}

/* Patterns of spec.include are relative to spec.path. */
static bool is_included(const struct tree_walk *w, const char *name) {
        size_t n = strlen(w->path);
        const char *relative = n > 0 && strlen(name) > n ? name + n + 1 : n > 0 ? "" : name;

        return !w->include || git_pathspec_matches_path(w->include, GIT_PATHSPEC_DEFAULT, relative);
}

/* --- first pass --- */

static int add_found(struct tree_walk *w, const char *name, const git_oid *id, const char *tool) {
        if (w->count >= FETCH_FILES_MAX)
                return problem_set(w->problem, EFBIG, 0, NULL,
                                "the folder holds more than %i manifests; use several GitSyncs "
                                "with a path each",
                                FETCH_FILES_MAX);
        if (w->count == w->allocated) {
                size_t size = w->allocated ? w->allocated * 2 : 64;
                struct tree_entry *f = reallocarray(w->found, size, sizeof(*f));

                if (!f)
                        return -ENOMEM;
                w->found = f;
                w->allocated = size;
        }
        w->found[w->count] = (struct tree_entry){.name = strdup(name), .tool = tool};
        if (id)
                w->found[w->count].id = *id;
        return w->found[w->count++].name ? 0 : -ENOMEM;
}

static int note_component(struct tree_walk *w, const char *folder) {
        return note(w->answer, *folder ? folder : ".",
                        "a component of kustomize: only other kustomizations use it");
}

/* Whether the folder is one for a renderer: 1 when it was taken, 0 when its files are plain. */
static int look_for_renderer(struct tree_walk *w, const char *folder, const git_tree *tree) {
        for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
                const git_tree_entry *e = git_tree_entry_byindex(tree, i);
                git_blob *blob = NULL;
                size_t n;
                int r;

                if (git_tree_entry_type(e) != GIT_OBJECT_BLOB)
                        continue;
                if (streq(git_tree_entry_name(e), "Chart.yaml")) {
                        r = add_found(w, folder, NULL, "helm");
                        return r < 0 ? r : 1;
                }
                if (!kustomization_is_name(git_tree_entry_name(e)))
                        continue;
                if (blob_size(w->repo, git_tree_entry_id(e), &n) < 0 || n > FETCH_FILE_SIZE_MAX ||
                                git_blob_lookup(&blob, w->repo, git_tree_entry_id(e)) < 0)
                        return unreadable(w->problem, folder);
                r = kustomization_read(folder, git_blob_rawcontent(blob), n, w->refs);
                git_blob_free(blob);
                if (r == -EINVAL)
                        continue;
                if (r < 0)
                        return r;
                r = r > 0 ? add_found(w, folder, NULL, "kustomize") : note_component(w, folder);
                return r < 0 ? r : 1;
        }
        return 0;
}

static int on_folder(struct tree_walk *w, const char *path, const git_tree_entry *entry) {
        _cleanup_(git_tree_freep) git_tree *tree = NULL;
        int r;

        if (is_ignored(w, path, true))
                return 1;
        if (git_tree_lookup(&tree, w->repo, git_tree_entry_id(entry)) < 0)
                return unreadable(w->problem, path);
        r = read_ignore_file(w, path);
        if (r < 0)
                return r;
        return look_for_renderer(w, path, tree);
}

static int on_file(struct tree_walk *w, const char *path, const git_tree_entry *entry) {
        git_filemode_t mode = git_tree_entry_filemode(entry);
        git_tree_entry *target;
        int r;

        if (mode == GIT_FILEMODE_COMMIT)
                return note(w->answer, path, "a submodule");
        if (is_ignored(w, path, false) || !is_included(w, path))
                return 0;
        if (mode != GIT_FILEMODE_LINK)
                return is_manifest(path) ? add_found(w, path, git_tree_entry_id(entry), NULL) : 0;
        target = follow(w, path, git_tree_entry_id(entry));
        if (!target)
                return note_link(w, path, git_tree_entry_id(entry));
        r = is_manifest(path) ? add_found(w, path, git_tree_entry_id(target), NULL) : 0;
        git_tree_entry_free(target);
        return r;
}

static int on_entry(const char *root, const git_tree_entry *entry, void *payload) {
        const char *name = git_tree_entry_name(entry);
        struct tree_walk *w = payload;
        _cleanup_free_ char *path = strformat("%s%s%s%s", w->path, *w->path ? "/" : "", root, name);

        if (name[0] == '.') /* .git*, .github, editors' files */
                return 1;
        if (!path)
                w->failure = -ENOMEM;
        else if (git_tree_entry_type(entry) == GIT_OBJECT_TREE)
                w->failure = on_folder(w, path, entry);
        else
                w->failure = on_file(w, path, entry);
        return w->failure;
}

/* --- second pass --- */

static int add_file(struct tree_walk *w, const struct tree_entry *f) {
        git_blob *blob = NULL;
        size_t size = 0;
        int r = blob_size(w->repo, &f->id, &size);

        if (r < 0)
                return unreadable(w->problem, f->name);
        w->size += size;
        if (size > FETCH_FILE_SIZE_MAX)
                return problem_set(w->problem, EFBIG, 0, NULL,
                                "%s: the file is larger than %i bytes; split it, or leave it out "
                                "with spec.exclude",
                                f->name, FETCH_FILE_SIZE_MAX);
        if (w->size > FETCH_TOTAL_SIZE_MAX)
                return problem_set(w->problem, EFBIG, 0, NULL,
                                "the manifests exceed %i bytes; use several GitSyncs with a path "
                                "each",
                                FETCH_TOTAL_SIZE_MAX);
        if (git_blob_lookup(&blob, w->repo, &f->id) < 0)
                return unreadable(w->problem, f->name);
        if (!utf8_is_valid(git_blob_rawcontent(blob), size) ||
                        memchr(git_blob_rawcontent(blob), 0, size))
                r = problem_set(w->problem, EINVAL, 0, NULL,
                                "%s: the file is not UTF-8 text; correct it, or leave it out with "
                                "spec.exclude",
                                f->name);
        else if (json_array_append_new(json_object_get(w->answer, "files"),
                                 json_pack("{s:s, s:s%}", "name", f->name, "text",
                                                 (const char *)git_blob_rawcontent(blob), size)) <
                        0)
                r = -ENOMEM;
        git_blob_free(blob);
        return r;
}

static int add_folder(struct tree_walk *w, const struct tree_entry *f) {
        json_t *folders = json_object_get(w->answer, "folders");

        if (!folders) {
                folders = json_array();
                if (json_object_set_new(w->answer, "folders", folders) < 0)
                        return -ENOMEM;
        }
        if (json_array_size(folders) >= FOLDERS_MAX)
                return problem_set(w->problem, EFBIG, 0, NULL,
                                "more than %i folders are to be rendered; use several GitSyncs "
                                "with a path each",
                                FOLDERS_MAX);
        return json_array_append_new(folders,
                        json_pack("{s:s, s:s}", "tool", f->tool, "path", *f->name ? f->name : "."));
}

static int read_found(struct tree_walk *w) {
        int r = 0;

        for (size_t i = 0; r >= 0 && i < w->count; i++) {
                const struct tree_entry *f = &w->found[i];

                if (json_object_get(w->refs, f->name))
                        continue;
                r = f->tool ? add_folder(w, f) : add_file(w, f);
        }
        return r < 0 ? r : 0;
}

static void walk_done(struct tree_walk *w) {
        for (size_t i = 0; i < w->count; i++)
                free(w->found[i].name);
        free(w->found);
        free(w->path);
        json_decref(w->refs);
        git_pathspec_free(w->include);
        git_tree_free(w->root);
}

/* The tree of w->path; the top's own when it is "". */
static int open_folder(struct tree_walk *w, git_tree **ret) {
        _cleanup_(git_tree_entry_freep) git_tree_entry *entry = NULL;

        if (!*w->path)
                return git_tree_dup(ret, w->root) == 0 ? 0 : -ENOMEM;
        if (git_tree_entry_bypath(&entry, w->root, w->path) < 0 ||
                        git_tree_entry_type(entry) != GIT_OBJECT_TREE ||
                        git_tree_lookup(ret, w->repo, git_tree_entry_id(entry)) < 0)
                return problem_set(w->problem, ENOENT, 0, NULL,
                                "the commit has no folder \"%s\"; correct spec.path", w->path);
        return 0;
}

static int read_folder(struct tree_walk *w, git_commit *commit, const json_t *request) {
        _cleanup_(git_tree_freep) git_tree *folder = NULL;
        int r;

        if (git_commit_tree(&w->root, commit) < 0)
                return unreadable(w->problem, "the tree");
        r = open_folder(w, &folder);
        if (r < 0)
                return r;
        r = read_patterns(w, request);
        if (r < 0)
                return r;
        r = look_for_renderer(w, w->path, folder);
        if (r < 0)
                return r;
        /* 1: the folder is a renderer's, and its files are not read. */
        if (r == 0 && git_tree_walk(folder, GIT_TREEWALK_PRE, on_entry, w) < 0)
                return w->failure < 0 ? w->failure : unreadable(w->problem, "a folder");
        return read_found(w);
}

int tree_read(git_repository *repo, git_commit *commit, const json_t *request, json_t *answer,
                struct problem *p) {
        struct tree_walk w = {.repo = repo, .answer = answer, .problem = p, .refs = json_object()};
        const char *path = json_str_or(request, "path", ".");
        int r;

        w.path = tree_path_join("", path + strspn(path, "/"));
        if (!w.path)
                r = problem_set(p, EINVAL, 0, NULL,
                                "spec.path \"%s\" must stay inside the repository", path);
        else if (!w.refs || json_object_set_new(answer, "files", json_array()) < 0)
                r = -ENOMEM;
        else
                r = read_folder(&w, commit, request);
        walk_done(&w);
        return r;
}

/* --- everything, for a renderer --- */

static int export_blob(struct tree_walk *w, const char *path, const git_oid *id, json_t *files) {
        _cleanup_free_ char *encoded = NULL;
        git_blob *blob = NULL;
        const char *data;
        json_t *file;
        size_t size;
        bool text;

        if (blob_size(w->repo, id, &size) < 0)
                return unreadable(w->problem, path);
        if (size > FETCH_FILE_SIZE_MAX)
                return note(w->answer, path, "too large for a renderer");
        w->size += size;
        if (w->size > FETCH_TOTAL_SIZE_MAX || json_array_size(files) >= FETCH_FILES_MAX)
                return problem_set(w->problem, EFBIG, 0, NULL,
                                "the repository is too large to be rendered: more than %i files or "
                                "%i bytes; move the folders that are rendered to a separate "
                                "repository",
                                FETCH_FILES_MAX, FETCH_TOTAL_SIZE_MAX);
        if (git_blob_lookup(&blob, w->repo, id) < 0)
                return unreadable(w->problem, path);
        data = git_blob_rawcontent(blob);
        text = utf8_is_valid(data, size) && !memchr(data, 0, size);
        if (text)
                file = json_pack("{s:s, s:s%}", "name", path, "text", data, size);
        else {
                encoded = base64_encode(data, size);
                file = encoded ? json_pack("{s:s, s:s}", "name", path, "base64", encoded) : NULL;
        }
        git_blob_free(blob);
        return file && json_array_append_new(files, file) == 0 ? 0 : -ENOMEM;
}

static int on_export(const char *root, const git_tree_entry *entry, void *payload) {
        git_filemode_t mode = git_tree_entry_filemode(entry);
        struct tree_walk *w = payload;
        _cleanup_free_ char *path = strformat("%s%s", root, git_tree_entry_name(entry));
        git_tree_entry *target = NULL;
        json_t *files = json_object_get(w->refs, "files");

        if (!path)
                w->failure = -ENOMEM;
        else if (!utf8_is_valid(path, strlen(path)))
                return mode == GIT_FILEMODE_TREE ? 1 : 0;
        else if (mode == GIT_FILEMODE_LINK) {
                target = follow(w, path, git_tree_entry_id(entry));
                w->failure = target ? export_blob(w, path, git_tree_entry_id(target), files) : 0;
                git_tree_entry_free(target);
        } else if (mode == GIT_FILEMODE_BLOB || mode == GIT_FILEMODE_BLOB_EXECUTABLE)
                w->failure = export_blob(w, path, git_tree_entry_id(entry), files);
        return w->failure < 0 ? -1 : 0;
}

int tree_export(git_repository *repo, git_commit *commit, json_t *answer, json_t **ret,
                struct problem *p) {
        json_t *files = json_array();
        struct tree_walk w = {.repo = repo,
                        .answer = answer,
                        .problem = p,
                        .refs = json_pack("{s:o}", "files", files)};
        int r = 0;

        if (!w.refs)
                return -ENOMEM;
        if (git_commit_tree(&w.root, commit) < 0 ||
                        git_tree_walk(w.root, GIT_TREEWALK_PRE, on_export, &w) < 0)
                r = w.failure < 0 ? w.failure : unreadable(p, "the tree");
        else
                *ret = json_incref(files);
        walk_done(&w);
        return r;
}
