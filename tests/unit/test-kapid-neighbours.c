/* When an API server that others cannot connect to is silent. */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <unistd.h>

#include "kapid/neighbours.h"
#include "lib/net.h"

static void test_judge(void **state) {
        struct neighbour x = {0};

        /* Never reached: the way to it may be closed. */
        for (int i = 0; i < 5; i++)
                assert_false(neighbour_judge(&x, false));
        assert_false(neighbour_judge(&x, true));
        assert_false(neighbour_judge(&x, false)); /* a lost packet */
        assert_false(neighbour_judge(&x, true));
        assert_false(neighbour_judge(&x, false));
        assert_true(neighbour_judge(&x, false));
        assert_true(neighbour_judge(&x, false));
        assert_false(neighbour_judge(&x, true));
}

/* A port on which nobody listens, and which is nobody's. */
static int bound(void) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        return fd;
}

static void test_ask(void **state) {
        _cleanup_(neighbours_freep) struct neighbours *n = NULL;
        struct problem p = {0};
        int fd, dead = bound();
        sd_event *event;
        uint64_t now = 1000000;
        uint16_t port;

        assert_int_equal(sd_event_new(&event), 0);
        assert_int_equal(neighbours_new(&n, event), 0);
        assert_int_equal(net_listen_tcp(&fd, "127.0.0.1", 0, &p), 0);
        port = net_port(fd);
        for (int i = 0; i < 3; i++, now += NEIGHBOUR_ASK_US)
                assert_false(neighbours_ask(n, "a", "127.0.0.1", port, now));
        /* Closed as soon as it is made, which counts as well. */
        for (int i = 0; i < 2; i++) {
                while (sd_event_run(event, 0) > 0)
                        ;
                if (i == 0)
                        assert_false(neighbours_ask(
                                        n, "a", "127.0.0.1", port, now += NEIGHBOUR_ASK_US));
        }
        close(fd);
        now += NEIGHBOUR_ASK_US;
        port = net_port(dead);
        /* The connection of before was made; then two are refused. Asking more often counts once.
         */
        assert_false(neighbours_ask(n, "a", "127.0.0.1", port, now));
        for (int i = 0; i < 5; i++)
                assert_false(neighbours_ask(n, "a", "127.0.0.1", port, now + 1));
        assert_false(neighbours_ask(n, "a", "127.0.0.1", port, now += NEIGHBOUR_ASK_US));
        assert_true(neighbours_ask(n, "a", "127.0.0.1", port, now += NEIGHBOUR_ASK_US));
        assert_true(neighbours_ask(n, "a", "127.0.0.1", port, now + 1));
        /* It was declared dead and is there again, but cannot be reached from here. */
        neighbours_forget(n, "a");
        for (int i = 0; i < 5; i++)
                assert_false(neighbours_ask(n, "a", "127.0.0.1", port, now += NEIGHBOUR_ASK_US));
        assert_false(neighbours_ask(n, "a", "no address", port, now += NEIGHBOUR_ASK_US));
        close(dead);
        n = neighbours_free(n);
        sd_event_unref(event);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_judge),
                        cmocka_unit_test(test_ask),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
