/* Build-time program: writes text files as C strings, so that a program carries them and a person
 * edits them as what they are (YAML, unit files, configurations).
 *
 *   text-to-c HEADER NAME=FILE...
 *
 * prints a C file that includes HEADER, which declares `extern const char NAME[];` for each. */
#include "lib/base.h"
#include "lib/fileio.h"

enum { TEXT_SIZE_MAX = 1024 * 1024 };

/* A text is one string literal a line of the file. */
static void write_literal(const char *text) {
        const char *next;

        for (const char *line = text; *line; line = next) {
                next = strchrnul(line, '\n');
                next += *next == '\n';
                putchar('"');
                for (const char *s = line; s < next; s++) {
                        if (*s == '\n')
                                printf("\\n");
                        else if (*s == '"' || *s == '\\')
                                printf("\\%c", *s);
                        else if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f)
                                printf("\\%03o", (unsigned char)*s);
                        else
                                putchar(*s);
                }
                printf("\"\n");
        }
}

static int write_text(const char *name, const char *path) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = file_read(path, TEXT_SIZE_MAX, &text, &size);
        if (r < 0) {
                fprintf(stderr, "text-to-c: %s: %s\n", path, strerror(-r));
                return r;
        }
        if (size == 0 || strlen(text) != size) {
                fprintf(stderr, "text-to-c: %s: is empty or contains a NUL byte\n", path);
                return -EINVAL;
        }
        printf("\nconst char %s[] =\n", name);
        write_literal(text);
        printf(";\n");
        return 0;
}

int main(int argc, char **argv) {
        if (argc < 3) {
                fprintf(stderr, "Usage: text-to-c HEADER NAME=FILE...\n");
                return 2;
        }
        printf("/* Made from text files at build time. */\n#include \"%s\"\n", argv[1]);
        for (int i = 2; i < argc; i++) {
                char *equals = strchr(argv[i], '=');

                if (!equals) {
                        fprintf(stderr, "text-to-c: %s: expected NAME=FILE\n", argv[i]);
                        return 2;
                }
                *equals = '\0';
                if (write_text(argv[i], equals + 1) < 0)
                        return 1;
        }
        return fflush(stdout) == 0 ? 0 : 1;
}
