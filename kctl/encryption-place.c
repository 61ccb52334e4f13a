/* Scripts of kctl/config/ do the work on the machine. A configuration goes there on standard input
 * and comes back on standard output, through memory that is wiped: it is never in a file in plain
 * where systemd-creds works, and never in a command's words. */
#include "kctl/encryption-plan.h"
#include "kctl/encryption.h"
#include "kctl/texts.h"
#include "lib/crypto.h"
#include "lib/random.h"
#include "lib/timefmt.h"

enum { KEY_SIZE = 32, SEAL_S = 90 };
#define FILE_THERE "/etc/keelson/pki/encryption.yaml"

static void wipe(struct buf *b) {
        if (b->data)
                explicit_bzero(b->data, b->allocated);
        buf_done(b);
}
#define _cleanup_secret_ _cleanup_(wipe)

static void forget(char **text) {
        if (*text)
                explicit_bzero(*text, strlen(*text));
        free(*text);
}
#define _cleanup_forget_ _cleanup_(forget)

void encryption_place_done(struct encryption_place *place) {
        json_decref(place->config);
        *place = (struct encryption_place){0};
}

/* --- reading --- */

/* The first line of the script's answer. */
static const struct {
        const char *word, *text;
} kinds[] = {
                {"none", "-"},
                {"file", "file of root"},
                {"host", "sealed with the host's key"},
                {"tpm2", "sealed with the TPM2"},
                {"host+tpm2", "sealed with the host's key and TPM2"},
                {"systemd", "sealed by systemd-creds"},
};

static const char *kept_text(const char *word, size_t n) {
        for (size_t i = 0; i < ELEMENTS(kinds); i++)
                if (strlen(kinds[i].word) == n && memcmp(kinds[i].word, word, n) == 0)
                        return kinds[i].text;
        return NULL;
}

static int parse(struct machine *m, const char *text, struct encryption_place *ret,
                struct problem *p) {
        size_t n = strcspn(text, "\n");
        const char *own = startswith(text, "own "), *rest = text + n + (text[n] ? 1 : 0);
        struct encryption_place place = {.kept = kept_text(text, n)};

        if (own)
                return problem_set(p, EBUSY, 0, NULL,
                                "%s: /etc/keelson/kapid.yaml names %.*s as its "
                                "encryption-provider-config, which an administrator looks after; "
                                "remove that line on every machine of the control plane to have "
                                "kctl look after the keys",
                                machine_name(m), (int)(n - 4), own);
        if (!place.kept)
                return problem_set(p, EPROTO, 0, NULL, "%s: cannot read the keys of encryption",
                                machine_name(m));
        if (*rest && json_parse(rest, strlen(rest), 0, &place.config, NULL) < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: the configuration of encryption there is not as kctl writes "
                                "it; restore it from a backup (kctl restore --keys)",
                                machine_name(m));
        *ret = place;
        return 0;
}

int encryption_read(struct machine *m, struct encryption_place *ret, struct problem *p) {
        _cleanup_secret_ struct buf out = {0};
        int r = machine_run(m, text_encryption_get_sh, NULL, 0, SEAL_S, &out, p);

        return r < 0 ? r : parse(m, strempty(out.data), ret, p);
}

/* --- writing --- */

/* What the script printed: why it is only in a file, or how it is kept. */
static void print_kept(struct machine *m, const char *said, bool also_good) {
        size_t n = strcspn(said, "\n");
        const char *kept = kept_text(said, n), *why = startswith(said, "file ");

        if (why)
                printf("warning: %s: the key cannot be sealed (%.*s): it is in " FILE_THERE
                       ", which only root can read\n",
                                machine_name(m), (int)(n - 5), why);
        else if (kept && also_good)
                printf("%s: the key that encrypts Secrets in the store is %s\n", machine_name(m),
                                kept);
        fflush(stdout);
}

static int put(struct machine *m, const json_t *config, struct buf *ret_said, struct problem *p) {
        _cleanup_forget_ char *text = json_text(config);

        return text ? machine_run(m, text_encryption_put_sh, text, strlen(text), SEAL_S, ret_said,
                                      p)
                    : -ENOMEM;
}

int encryption_write(struct machine *m, const json_t *config, struct problem *p) {
        _cleanup_buf_ struct buf said = {0};
        int r;

        if (!config)
                return machine_run(m, text_encryption_off_sh, NULL, 0, SEAL_S, NULL, p);
        r = put(m, config, &said, p);
        if (r >= 0)
                print_kept(m, strempty(said.data), /* also_good= */ false);
        return r;
}

/* On a machine that had none. */
static int begin(struct machine *m, const json_t *config, struct problem *p) {
        _cleanup_buf_ struct buf said = {0};
        int r = put(m, config, &said, p);

        if (r >= 0)
                print_kept(m, strempty(said.data), /* also_good= */ true);
        return r;
}

int encryption_make(struct machine *m, struct problem *p) {
        uint8_t key[KEY_SIZE];
        _cleanup_forget_ char *secret = NULL;
        _cleanup_free_ char *name = encryption_key_name(now_wall_us(), "");
        _cleanup_json_ json_t *config = NULL;

        random_bytes(key, sizeof(key));
        secret = base64_encode(key, sizeof(key));
        explicit_bzero(key, sizeof(key));
        config = secret && name ? encryption_config_new(name, secret) : NULL;
        return config ? begin(m, config, p) : -ENOMEM;
}

int encryption_copy(struct machine *from, struct machine *m, struct problem *p) {
        _cleanup_(encryption_place_done) struct encryption_place place = {0};
        _cleanup_problem_ struct problem own = {0};
        int r = encryption_read(from, &place, &own);

        if (r == -EBUSY) {
                printf("warning: %s; copy that file to %s too\n", own.message, machine_name(m));
                return 0;
        }
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "%s", strempty(own.message));
        return place.config ? begin(m, place.config, p) : encryption_write(m, NULL, p);
}

int encryption_adopt(struct machine *m, struct problem *p) {
        _cleanup_free_ char *script = strformat("if test -e " FILE_THERE "; then\nexec <" FILE_THERE
                                                "\n%s\nelse test -e "
                                                "/etc/keelson/pki/encryption.cred && echo kept || "
                                                "rm -f /etc/systemd/system/"
                                                "keelson-kapid.service.d/encryption.conf\nfi\n",
                            text_encryption_put_sh);
        _cleanup_buf_ struct buf out = {0};
        int r = script ? machine_run(m, script, NULL, 0, SEAL_S, &out, p) : -ENOMEM;

        if (r < 0)
                return r;
        if (out.size > 0 && !startswith(out.data, "kept"))
                print_kept(m, out.data, /* also_good= */ true);
        return out.size > 0;
}
