/* One request to a daemon's Unix socket. */
#include "lib/ask-socket.h"

#include "lib/http-client.h"

#define ASK_TIMEOUT_US UINT64_C(20000000)

int ask_socket(const char *socket_path, const char *path, struct problem *p) {
        _cleanup_(http_client_freep) struct http_client *c = NULL;
        const struct http_call_options call = {.method = "GET",
                        .path = path,
                        .accept = "*/*",
                        .timeout_us = ASK_TIMEOUT_US};
        struct http_result result;
        int r = http_client_new(&c, NULL,
                        &(struct http_client_options){
                                        .base_url = "http://localhost", .unix_path = socket_path});

        if (r < 0)
                return r;
        r = http_client_do(c, &call, &result);
        if (r < 0)
                problem_set(p, -r, 0, NULL, "%s", strempty(result.error_text));
        else {
                fwrite(result.body, 1, result.body_size, stdout);
                if (result.code >= 400)
                        r = problem_set(p, EIO, 0, NULL, "%s%s answers with status %d", socket_path,
                                        path, result.code);
        }
        http_result_done(&result);
        return r;
}
