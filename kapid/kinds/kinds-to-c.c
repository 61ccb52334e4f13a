/* Build-time program: reads the kinds' YAML documents and writes them as one JSON array in a C
 * string, so that kapid carries them and needs no YAML at start. With --no-effect it writes the
 * table of fields without effect instead, with --no-effect-list the same for people and with
 * --coverage how much of each kind has an effect; with --ids and
 * --facts the catalogue of kinds that the other programs use (lib/client/kinds.h). */
#include "kapid/kinds/facts.h"
#include "kapid/kinds/no-effect.h"
#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/yaml.h"

enum { DOCUMENT_SIZE_MAX = 4 * 1024 * 1024 };

static int add_file(const char *path, json_t *all) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = file_read(path, DOCUMENT_SIZE_MAX, &text, &n);

        if (r < 0) {
                fprintf(stderr, "kinds-to-c: %s: %s\n", path, strerror(-r));
                return r;
        }
        r = yaml_parse(text, n, &docs, &p);
        if (r < 0) {
                fprintf(stderr, "kinds-to-c: %s: %s\n", path, strempty(p.message));
                return r;
        }
        for (size_t i = 0; i < docs.count; i++)
                if (json_array_append(all, docs.items[i].value) < 0)
                        return -ENOMEM;
        return 0;
}

static void write_c(const char *text) {
        size_t column = 0;

        printf("/* Made from kapid/kinds/ at build time. */\n#include "
               "\"kapid/kinds/documents.h\"\n\n"
               "const char kind_documents[] =\n\"");
        for (const char *s = text; *s; s++) {
                if (*s == '"' || *s == '\\')
                        putchar('\\');
                if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f)
                        printf("\\%03o", (unsigned char)*s);
                else
                        putchar(*s);
                if (++column >= 90 && s[1]) {
                        printf("\"\n\"");
                        column = 0;
                }
        }
        printf("\";\nconst size_t kind_documents_size = sizeof(kind_documents) - 1;\n");
}

int main(int argc, char **argv) {
        _cleanup_json_ json_t *all = json_array();
        _cleanup_free_ char *text = NULL;

        for (int i = 1; i < argc; i++)
                if (argv[i][0] != '-' && add_file(argv[i], all) < 0)
                        return 1;
        if (argc > 1 && streq(argv[1], "--no-effect"))
                no_effect_write_c(all);
        else if (argc > 1 && streq(argv[1], "--no-effect-list"))
                no_effect_write_list(all);
        else if (argc > 1 && streq(argv[1], "--coverage"))
                no_effect_write_coverage(all);
        else if (argc > 1 && streq(argv[1], "--ids"))
                facts_write_ids(all);
        else if (argc > 1 && streq(argv[1], "--facts")) {
                if (facts_write_c(all) < 0)
                        return 1;
        } else {
                text = json_text(all);
                if (!text)
                        return 1;
                write_c(text);
        }
        return fflush(stdout) == 0 ? 0 : 1;
}
