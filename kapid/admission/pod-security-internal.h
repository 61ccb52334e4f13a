/* Inside of pod security: what a control is given, how it says what it found, and the controls by
 * name (the table that orders them is in pod-security.c). */
#pragma once

#include "kapid/admission/pod-security.h"

#define APPARMOR_PREFIX "container.apparmor.security.beta.kubernetes.io/"

/* A control's input and findings. */
struct look {
        const json_t *metadata, *spec;
        json_t *containers; /* of all three lists */
        unsigned minor;
        bool out_of_memory;
        const char *reason;
        char *detail;
};

/* Adds a word to a list unless it has it. Failures are kept in the look, as by all below. */
void look_add(struct look *l, char ***list, const char *word);
void look_sort(char **list);
/* `"a", "b"`; owned by the caller, as all texts below; NULL when out of memory. */
char *look_quoted(struct look *l, char *const *list);
/* `container "a"`, `containers "a", "b"` */
char *look_counted(struct look *l, const char *one, const char *many, char *const *list);
char *look_containers(struct look *l, char *const *names);
/* Those who set something: the pod itself and containers: `pod and container "a"`. */
char *look_setters(struct look *l, bool pod, char *const *names);
/* Records a finding; returns 1, the answer of a control that found something. */
int look_say(struct look *l, const char *reason, const char *fmt, ...) _printf_(3, 4);
/* Says of every container whose boolean at the path is true ("%s <complaint>", usual: the value
 * where there is none). 1 when one is, 0 when not, -ENOMEM as look_say. */
int look_flag(struct look *l, const char *path, bool usual, const char *control,
                const char *complaint);
const char *look_name_of(const json_t *container);
/* list: ended by NULL */
bool look_word_in(const char *const *list, const char *word);

/* Where settings hang: the pod's or a container's security context has one of `values` at `path`.
 */
struct setting {
        const char *path;           /* within the security context */
        const char *const *allowed; /* ended by NULL; unset is allowed too */
};
/* The pod or containers with a value that is not allowed, and the values (sorted). */
void look_find_bad(struct look *l, const struct setting *s, bool *ret_pod, char ***names,
                char ***values);
/* Capabilities that containers add and that are not in the list. */
void look_find_added(
                struct look *l, const char *const *allowed, char ***names, char ***capabilities);

/* The controls: 1 when the pod violates it (look_say has said how), 0 when not. */
int check_apparmor(struct look *l);
int check_capabilities(struct look *l);
int check_host_namespaces(struct look *l);
int check_host_path(struct look *l);
int check_host_ports(struct look *l);
int check_probe_hosts(struct look *l);
int check_privileged(struct look *l);
int check_proc_mount(struct look *l);
int check_selinux(struct look *l);
int check_seccomp(struct look *l);
int check_sysctls(struct look *l);
int check_host_process(struct look *l);
int check_machine_users(struct look *l);
int check_properties_baseline(struct look *l);
int check_escalation(struct look *l);
int check_capabilities_restricted(struct look *l);
int check_volumes(struct look *l);
int check_non_root(struct look *l);
int check_root_user(struct look *l);
int check_seccomp_restricted(struct look *l);
int check_properties_restricted(struct look *l);
