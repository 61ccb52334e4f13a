/* kctl: what its verbs share. A verb is a row of verbs.h and a function in a file of its name, a
 * flag is a row of flag-rows.h. */
#pragma once

#include "lib/client/api.h"
#include "lib/client/kubeconfig.h"
#include "lib/options.h"

/* Every flag of every verb, a member each of the type that its row names; a verb names those it
 * takes (verbs.h). */
#define FLAG_BOOL(field, ...) bool field;
#define FLAG_DURATION(field, ...) uint64_t field; /* microseconds */
#define FLAG_PORT(field, ...) uint16_t field;
#define FLAG_STRING(field, ...) char *field;
#define FLAG_STRINGS(field, ...) char **field;
#define FLAG_TEXTS(field, ...) char **field;
#define FLAG_U32(field, ...) uint32_t field;
struct kctl_flags {
#include "kctl/flag-rows.h"
};
#undef FLAG_BOOL
#undef FLAG_DURATION
#undef FLAG_PORT
#undef FLAG_STRING
#undef FLAG_STRINGS
#undef FLAG_TEXTS
#undef FLAG_U32

struct verb;

struct kctl {
        struct kctl_flags flags;
        char **words;      /* positional arguments, those behind "--" too */
        size_t word_count; /* of those before "--" */
        const struct verb *verb;
        struct api_client *client; /* made on first use by kctl_client() */
        bool colour;
        struct output *out, *err; /* output.c; NULL: unfiltered */
};

/* Exit codes. */
enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2 };

struct verb {
        const char *name;           /* "get", "rollout status" */
        const char *usage;          /* "KIND [NAME...]" */
        const char *summary;        /* one line */
        const char *const *flags;   /* names from the flags table, ended by NULL */
        int (*run)(struct kctl *k); /* returns an exit code after printing the reason */
        const char *words;          /* what completes its words (verbs.h) */
};

extern const struct verb verbs[];
extern const struct option_row flag_rows[];
extern const size_t flag_row_count;
/* The flags that every verb takes; ended by NULL. */
extern const char *const common_flags[];
/* The row of a flag as verbs.h names it: by its name, or "@MEMBER" where several have one name. */
const struct option_row *flag_find(const char *name);

/* verb-find.c: the verb of a command line, or NULL with its first word (NULL: there is none). The
 * verb's words are taken out of argv. */
const struct verb *verb_find(int *argc, char **argv, const char **ret_word);
/* A command line without a verb, and the beginning of verbs ("create secret"): prints which words
 * may follow, or the nearest verb. EXIT_USAGE. */
int verb_not_found(int argc, char **argv);
int verb_incomplete(const char *beginning);

/* What the command line says beside the kubeconfig. Borrows from k. */
struct kubeconfig_overrides kctl_overrides(const struct kctl *k);
/* Another client for the same server and user; with a loop for calls side by side. */
int kctl_client_new(struct kctl *k, sd_event *event, struct api_client **ret, struct problem *p);

/* A verb with its flags and the common ones, as options. */
struct verb_program {
        struct option_program program;
        struct option_row rows[64];
        char *name, *summary, *usage;
};
int verb_program(const struct verb *v, struct verb_program *ret);
void verb_program_done(struct verb_program *v);

/* The API client; NULL after printing the reason. */
struct api_client *kctl_client(struct kctl *k);
/* The namespace asked for, or the context's. Borrowed. */
const char *kctl_namespace(struct kctl *k);
/* Prints a failure in kubectl's manner ("Error from server (NotFound): ...", "error: ...") and
 * returns EXIT_ERROR. */
int kctl_fail(const struct problem *p);
/* There is no client, and kctl_client() has said why: -ENOTCONN with a problem that kctl_fail()
 * does not print. */
int kctl_no_client(struct problem *p);
extern const char kctl_said[]; /* the reason of that problem */
int kctl_error(const char *fmt, ...) _printf_(1, 2);
int kctl_usage(struct kctl *k, const char *fmt, ...) _printf_(2, 3);
/* Asks the user on the terminal, unless --yes was given; without a terminal says that --yes is
 * needed. */
bool kctl_confirmed(struct kctl *k, const char *question);

/* kinds.c: names of kinds as users type them ("po", "deploy", "deployments.apps", "Deployment").
 */
struct kind_ref {
        struct api_resource resource; /* strings borrowed from the built-in table or owned by the
                                         cache below for the process' life */
        const char *singular;
        const struct kind_facts *facts; /* NULL: not built in */
};
/* 0, or -ENOENT with p. Names that are not built in are looked up in the server's discovery. */
int kind_find(struct kctl *k, const char *word, struct kind_ref *ret, struct problem *p);
/* By apiVersion and kind, as a manifest gives them. */
int kind_find_object(struct kctl *k, const char *api_version, const char *kind,
                struct kind_ref *ret, struct problem *p);
/* Whether a word means this kind: plural, singular, kind or short name, in any case, ".GROUP" after
 * it or not. */
bool kind_is_called(const struct kind_facts *f, const char *word);
/* A built-in kind. */
struct kind_ref kind_ref_of(enum kind_id id);
/* "deployment.apps" or "pod": how messages name a kind. Into a fixed buffer. */
const char *kind_label(const struct kind_ref *kind, char buffer[static 320]);
/* The same for an object, which may be of another kind than was asked for (the Scale of a
 * Deployment). */
const char *object_kind_label(
                const json_t *object, const struct kind_ref *kind, char buffer[static 320]);

/* targets.c: "KIND NAME...", "KIND/NAME...", "KIND1,KIND2", -f FILE: what a verb works on. */
struct target {
        struct kind_ref kind;
        char *ns;   /* NULL for cluster-scoped kinds and for all namespaces */
        char *name; /* NULL: a whole kind (with the selectors) */
};
struct targets {
        struct target *items;
        size_t count, allocated;
};
void targets_done(struct targets *t);
/* Appends a target; ns is left out for cluster-scoped kinds, name may be NULL. -ENOMEM. */
int targets_add(struct targets *t, const struct kind_ref *kind, const char *ns, const char *name);
#define _cleanup_targets_ _cleanup_(targets_done)
/* Reads words (from index `from`). Names given need no more than their kind; without names a kind
 * stands for all of it. */
int targets_parse(struct kctl *k, size_t from, struct targets *ret, struct problem *p);
/* The same, and kinds without names are listed (with the selectors) into one target an object. */
int targets_resolve(struct kctl *k, size_t from, struct targets *ret, struct problem *p);
/* Path of the target, with subresource and query (may be NULL). Caller frees. */
char *target_path(const struct target *t, const char *subresource, const char *query);
/* The query of -l and --field-selector, plus more (may be NULL):
 * "labelSelector=...&fieldSelector=...". Caller frees. */
char *selector_query(struct kctl *k, const char *more);

/* manifests.c: objects of files, folders, "-". */
struct manifest {
        json_t *object;
        char *place; /* "web.yaml line 3" */
};
struct manifests {
        struct manifest *items;
        size_t count, allocated;
};
void manifests_done(struct manifests *m);
#define _cleanup_manifests_ _cleanup_(manifests_done)
int manifests_read(struct kctl *k, struct manifests *ret, struct problem *p);

/* output.c: all text on stdout and stderr is shown without control characters of others
 * (lib/plain.h). */
int output_start(struct kctl *k);
/* At the end; -EIO when not everything could be written. */
int output_finish(struct kctl *k);
/* From here on stdout takes bytes as they are, or no longer: for data that a program reads. */
void output_exact(struct kctl *k, bool exact);
/* Our own sequence for the terminal, where colours are wanted. */
void output_colour(struct kctl *k, const char *sequence);

/* print.c */
/* Text from outside with its lines kept below each other: the second and further ones begin at
 * this column, where none of our fields begins. Ends the line. */
void print_outside(const char *text, unsigned column);
/* Prints an API Table; wide shows columns of higher priority; with_namespace puts a NAMESPACE
 * column first; widths, when not NULL, are kept between calls so that rows of a watch line up. */
struct columns {
        size_t widths[64];
        bool header_done;
};
void print_table(struct kctl *k, const json_t *table, bool with_namespace, const char *kind_prefix,
                struct columns *columns);
/* One object or list as -o says (yaml, json, name, jsonpath=...). 0, or -EINVAL with p for a bad
 * format. */
int print_object(struct kctl *k, const json_t *object, const struct kind_ref *kind,
                struct problem *p);

/* wait.c */
/* Follows one object until done() says so or the time is over. done: 1 finished, 0 not yet,
 * negative error with p. gone: the object does not exist (object NULL). 0, -ETIMEDOUT or an error
 * with p. */
typedef int (*wait_func)(const json_t *object, void *userdata, struct problem *p);
int wait_for(struct kctl *k, const struct target *t, uint64_t timeout_us, wait_func done,
                void *userdata, struct problem *p);

/* The verbs' functions: int kctl_get(struct kctl *k) ... */
#define VERB(function, ...) int function(struct kctl *k);
#include "kctl/verbs.h"
#undef VERB
