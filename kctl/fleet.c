/* kctl fleet check: prints what is wrong with the fleet, a line each with its remedy. */
#include "kctl/fleet.h"

static const char *const severity_words[] = {
                [FINDING_WARNING] = "warning", [FINDING_ERROR] = "error"};

static size_t count_of(const struct fleet_findings *f, enum fleet_severity severity) {
        size_t n = 0;

        for (size_t i = 0; i < f->count; i++)
                n += f->items[i].severity == severity;
        return n;
}

static int print_json(const json_t *facts, const struct fleet_findings *f) {
        _cleanup_json_ json_t *list = json_array(), *all = NULL;
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < f->count; i++) {
                const struct fleet_finding *x = &f->items[i];

                json_array_append_new(
                                list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "severity",
                                                      severity_words[x->severity], "check",
                                                      x->check, "object", x->object, "message",
                                                      x->text, "remedy", x->remedy));
        }
        all = json_pack("{s:i, s:i, s:O, s:O}", "errors", (int)count_of(f, FINDING_ERROR),
                        "warnings", (int)count_of(f, FINDING_WARNING), "findings", list, "machines",
                        json_object_get(facts, "machines"));
        text = all ? json_text_pretty(all) : NULL;
        if (!text)
                return kctl_error("out of memory");
        puts(text);
        return EXIT_OK;
}

/* Each finding is one line, whatever a message of others holds. */
static void print_line(const char *text) {
        for (const char *s = text; *s; s++)
                putchar(*s == '\n' ? ' ' : *s);
}

static void print_text(struct kctl *k, const json_t *facts, const struct fleet_findings *f) {
        size_t errors = count_of(f, FINDING_ERROR), width = 0, check = 0;

        for (size_t i = 0; i < f->count; i++) {
                width = MAX(width, strlen(f->items[i].object));
                check = MAX(check, strlen(f->items[i].check));
        }
        for (size_t i = 0; i < f->count; i++) {
                const struct fleet_finding *x = &f->items[i];

                output_colour(k, x->severity == FINDING_ERROR ? "\033[31m" : "\033[33m");
                printf("%-7s", x->severity == FINDING_ERROR ? "ERROR" : "WARNING");
                output_colour(k, "\033[0m");
                printf("  %-*s  %-*s  ", (int)width, x->object, (int)check, x->check);
                print_line(x->text);
                fputs(". Remedy: ", stdout);
                print_line(x->remedy);
                putchar('\n');
        }
        printf("%zu checks of %zu machines: %zu errors, %zu warnings\n", fleet_check_count,
                        json_array_size(json_object_get(facts, "machines")), errors,
                        f->count - errors);
}

int kctl_fleet_check(struct kctl *k) {
        _cleanup_fleet_findings_ struct fleet_findings f = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *facts = NULL;
        const char *form = strempty(k->flags.output);

        if (strv_length(k->words) > 0)
                return kctl_usage(k,
                                "it checks every machine, and takes no name (\"%s\"); machines of "
                                "the control plane that are not nodes are given with --control",
                                k->words[0]);
        if (*form && !streq(form, "json"))
                return kctl_usage(k, "--output %s: only json is possible here", form);
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (fleet_facts_gather(k, &facts, &p) < 0)
                return kctl_fail(&p);
        if (fleet_check_run(facts, &f) < 0)
                return kctl_error("out of memory");
        if (*form) {
                if (print_json(facts, &f) != EXIT_OK)
                        return EXIT_ERROR;
        } else
                print_text(k, facts, &f);
        return count_of(&f, FINDING_ERROR) > 0 ? EXIT_ERROR : EXIT_OK;
}
