/* Each text has a context of its own. One that is kept remembers the kernel's tables, which is a
 * quarter of a megabyte a table; a new one costs some microseconds. */
#include "nodeagent/network/nft-text.h"

#include <nftables/libnftables.h>

#include "lib/base.h"

static struct nft_ctx *context_new(void) {
        struct nft_ctx *c = nft_ctx_new(NFT_CTX_DEFAULT);

        if (c && (nft_ctx_buffer_output(c) != 0 || nft_ctx_buffer_error(c) != 0)) {
                nft_ctx_free(c);
                return NULL;
        }
        return c;
}

int nft_text_run(const char *text, char **ret_reason) {
        struct nft_ctx *c = context_new();
        int r = 0;

        if (!c)
                return -ENOMEM;
        if (nft_run_cmd_from_buffer(c, text) != 0) {
                *ret_reason = strdup(strempty(nft_ctx_get_error_buffer(c)));
                r = -EIO;
        }
        nft_ctx_free(c);
        return r;
}

bool nft_text_finds_table(const char *name) {
        struct nft_ctx *c = context_new();
        const char *out = c && nft_run_cmd_from_buffer(c, "list tables inet") == 0
                                          ? nft_ctx_get_output_buffer(c)
                                          : NULL;
        _cleanup_free_ char *line = strformat("table inet %s\n", name);
        bool found = out && line && strstr(out, line);

        if (c)
                nft_ctx_free(c);
        return found;
}
