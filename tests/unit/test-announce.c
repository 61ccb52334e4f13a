/* ARP and neighbour advertisements between the two ends of a link: which link a word comes from,
 * and that an advertisement from behind a router is none. Needs root and a network namespace of its
 * own; skipped without. */
#include "tests/unit/unit.h"

#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include "lib/fileio.h"
#include "lib/timefmt.h"
#include "nodeagent/network/announce.h"

enum { WAIT_US = 300000 };

struct heard {
        unsigned times;
        int link;
        char address[ADDRESS_TEXT_SIZE], mac[ANNOUNCE_MAC_SIZE];
};

static bool possible;

static int set_up(void **state) {
        possible = geteuid() == 0 && unshare(CLONE_NEWNET) == 0 &&
                   system("ip link add name va address 52:54:00:00:00:0a type veth peer name vb "
                          "address 52:54:00:00:00:0b && "
                          "for l in va vb; do echo 0 >/proc/sys/net/ipv6/conf/$l/accept_dad; done && "
                          "ip link set va up && ip link set vb up") == 0;
        return 0;
}

static void on_other(const struct address *a, int link, const char *mac, void *userdata) {
        struct heard *h = userdata;

        h->times++;
        h->link = link;
        (void)address_text(a, h->address);
        (void)snprintf(h->mac, sizeof(h->mac), "%s", mac);
}

static void listen_a_while(sd_event *event) {
        uint64_t end = now_mono_us() + WAIT_US;

        while (now_mono_us() < end)
                assert_true(sd_event_run(event, WAIT_US / 10) >= 0);
}

/* Sent on vb, heard on va. */
static void test_heard_on_its_link(void **state) {
        static const char *const addresses[] = {"192.0.2.10", "2001:db8::10"};

        if (!possible)
                skip();
        for (size_t i = 0; i < ELEMENTS(addresses); i++) {
                _cleanup_(sd_event_unrefp) sd_event *event = NULL;
                _cleanup_(announce_freep) struct announce *n = NULL;
                struct address a = address_parse(addresses[i]);
                struct heard h = {0};

                assert_true(sd_event_new(&event) >= 0);
                assert_int_equal(announce_new(&n, event, on_other, &h), 0);
                assert_int_equal(announce_send(n, &a, (int)if_nametoindex("vb")), 0);
                listen_a_while(event);
                assert_true(h.times > 0);
                assert_int_equal(h.link, if_nametoindex("va"));
                assert_string_equal(h.address, addresses[i]);
                assert_string_equal(h.mac, "52:54:00:00:00:0b");
        }
}

static void test_not_from_behind_a_router(void **state) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(announce_freep) struct announce *n = NULL;
        struct sockaddr_in6 to = {.sin6_family = AF_INET6};
        unsigned char packet[32] = {ND_NEIGHBOR_ADVERT, [8] = 0x20, 0x01, 0x0d, 0xb8, [23] = 1,
                        ND_OPT_TARGET_LINKADDR, 1, 0x52, 0x54, 0, 0, 0, 0x0c};
        struct heard h = {0};
        int hops[] = {64, 255}, fd;

        if (!possible)
                skip();
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(announce_new(&n, event, on_other, &h), 0);
        fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
        assert_true(fd >= 0);
        to.sin6_addr = (struct in6_addr){{{0xff, 0x02, [15] = 0x01}}};
        to.sin6_scope_id = if_nametoindex("vb");
        for (unsigned i = 0; i < ELEMENTS(hops); i++) {
                assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops[i],
                                                 sizeof(hops[i])),
                                0);
                assert_int_equal(sendto(fd, packet, sizeof(packet), 0, (struct sockaddr *)&to,
                                                 sizeof(to)),
                                sizeof(packet));
                listen_a_while(event);
                assert_int_equal(h.times > 0, i);
        }
        (void)close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_heard_on_its_link),
                        cmocka_unit_test(test_not_from_behind_a_router),
        };

        return cmocka_run_group_tests(tests, set_up, NULL);
}
