/* The stages of certs-rotate.c. */
#include "kctl/certs-stage.h"

#include "lib/pki-renew.h"

enum rotation rotation_where(const struct rotation_view *v) {
        if (!v->has_next)
                return ROTATION_NONE;
        if (!v->trusts_next)
                return ROTATION_BEGUN;
        if (!v->signs_next)
                return ROTATION_TRUSTED;
        return v->trusted > 1 ? ROTATION_SIGNED : ROTATION_ENDING;
}

enum rotation_stage rotation_next(enum rotation where) {
        static const enum rotation_stage next[] = {
                        [ROTATION_NONE] = STAGE_TRUST,
                        [ROTATION_BEGUN] = STAGE_TRUST,
                        [ROTATION_TRUSTED] = STAGE_SIGN,
                        [ROTATION_SIGNED] = STAGE_REMOVE,
                        [ROTATION_ENDING] = STAGE_REMOVE,
        };

        return next[where];
}

const char *rotation_text(enum rotation where) {
        static const char *const texts[] = {
                        [ROTATION_NONE] = "no authority is being replaced",
                        [ROTATION_BEGUN] = "a new authority is made, and not yet trusted everywhere",
                        [ROTATION_TRUSTED] = "stage 1 of 3 is done: both authorities are trusted, "
                                             "the old one signs",
                        [ROTATION_SIGNED] = "stage 2 of 3 is done: both authorities are trusted, "
                                            "the new one signs",
                        [ROTATION_ENDING] = "only the new authority is trusted; its last files are "
                                            "not yet removed",
        };

        return texts[where];
}

const char *rotation_stage_text(enum rotation_stage stage) {
        static const char *const texts[STAGES] = {
                        [STAGE_TRUST] = "Stage 1 of 3: the new authority is made and trusted "
                                        "beside the old one",
                        [STAGE_SIGN] = "Stage 2 of 3: the new authority signs every certificate "
                                       "again",
                        [STAGE_REMOVE] = "Stage 3 of 3: the old authority is trusted no longer",
        };

        return texts[stage];
}

int rotation_bundle(enum rotation_stage stage, const char *bundle, const char *key,
                const char *next, char **ret) {
        _cleanup_free_ char *signer = NULL;
        int r;

        if (stage == STAGE_REMOVE) {
                *ret = strdup(next);
                return *ret ? 0 : -ENOMEM;
        }
        if (stage == STAGE_SIGN) {
                *ret = strdup(bundle);
                return *ret ? 0 : -ENOMEM;
        }
        r = pki_signer(bundle, key, &signer);
        if (r < 0)
                return r;
        *ret = streq(signer, next) ? strdup(bundle) : strformat("%s%s", signer, next);
        return *ret ? 0 : -ENOMEM;
}

int rotation_see(const char *bundle, const char *key, const char *next, const char *next_key,
                struct rotation_view *ret) {
        _cleanup_strv_free_ char **trusted = NULL;
        _cleanup_free_ char *signer = NULL;
        struct rotation_view v = {.has_next = next && next_key};
        int r = pki_bundle_split(bundle, &trusted);

        if (r < 0)
                return r;
        r = pki_signer(bundle, key, &signer);
        if (r < 0)
                return r;
        v.trusted = strv_length(trusted);
        if (v.has_next) {
                _cleanup_strv_free_ char **one = NULL;

                r = pki_bundle_split(next, &one); /* in the form of the others */
                if (r < 0)
                        return r;
                v.trusts_next = strv_contains(trusted, one[0]);
                v.signs_next = streq(signer, one[0]);
        }
        *ret = v;
        return 0;
}
