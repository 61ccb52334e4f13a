# lib/: libkeelson, the mechanisms that two or more programs share
noinst_LIBRARIES += libkeelson.a
libkeelson_a_SOURCES = \
	lib/base.c lib/base.h \
	lib/buf.c lib/buf.h lib/fileio.c lib/http-client.c lib/http-client-internal.h lib/http-client-setup.c lib/json.c lib/json-memory.c lib/json-memory.h lib/json-part.c lib/json-part.h lib/json-read.c lib/json-read.h lib/json-scan.h lib/json-text.c lib/json-text.h lib/json-write.c lib/json-write.h lib/log.c lib/map.c lib/object.c lib/pki.c lib/pki-renew.c lib/pool.c lib/pool.h lib/problem.c lib/library-pages.c lib/library-pages.h lib/trim.c lib/trim.h \
	lib/daemon.c lib/metric-names.c lib/metric-names.h lib/metrics.c lib/options.c lib/options-man.c lib/options-man.h lib/quantity.c lib/random.c lib/selector.c lib/ssh.c lib/timefmt.c lib/adoptable-units.c lib/unit-properties.c lib/yaml.c \
	lib/daemon.h lib/fileio.h lib/formats.h lib/json.h lib/log.h lib/map.h lib/metrics.h lib/object.h lib/options.h \
	lib/problem.h lib/quantity.h lib/random.h lib/selector.h lib/timefmt.h lib/adoptable-units.h lib/unit-properties.h lib/yaml.h \
	lib/grpc.h lib/grpc-client.h lib/grpc-server.h lib/http-client.h lib/http-server.h lib/pki.h lib/pki-internal.h lib/pki-renew.h lib/sealed-file.c lib/sealed-file.h lib/secretbox.c lib/secretbox.h lib/x25519.c lib/x25519.h lib/ssh.h lib/tls.h \
	lib/no-effect.c lib/no-effect.h lib/siphash.c lib/siphash.h \
	lib/pod-amounts.c lib/pod-amounts.h lib/taints.c lib/taints.h \
	lib/node-affinity.c lib/node-affinity.h lib/volumes.c lib/volumes.h

# Build time: text files become C strings (DEVELOPERS.md)
noinst_PROGRAMS += lib/text-to-c
lib_text_to_c_SOURCES = lib/text-to-c.c
lib_text_to_c_LDADD = libkeelson.a $(KEELSON_LIBS)

# Networking: servers and clients over HTTP and gRPC
libkeelson_a_SOURCES += \
	lib/grpc.c lib/grpc-client.c lib/grpc-framing.c lib/grpc-framing.h lib/grpc-internal.h lib/grpc-listen.c lib/grpc-listen.h lib/grpc-server.c lib/h2.c lib/h2.h lib/h2-calm.c lib/h2-calm.h lib/h2-internal.h lib/h2-session.c lib/h2-stream.c \
	lib/http2-answer.c lib/http2-server.c lib/http-accept.c lib/http-gzip.c lib/http-gzip.h \
	lib/http-identity.c lib/http-identity.h lib/http-limits.c lib/http-request.c lib/http-server.c lib/http-server-internal.h lib/http-stream.c lib/http-stream-send.c \
	lib/http-upgrade.c lib/stream-frame.c lib/stream-frame.h lib/websocket.c lib/websocket.h \
	lib/address.c lib/address.h lib/cidr.c lib/cidr.h lib/fiber.c lib/fiber.h lib/hex.c lib/hex.h lib/net.c lib/net.h lib/parallel.c lib/parallel.h lib/resolve.c lib/resolve.h lib/tls.c \
	lib/tls-internal.h lib/tls-hello.c lib/tls-hello.h lib/tls-keys.c lib/tls-lists.c lib/tls-peer.c lib/tls-reload.c lib/tls-transport.c lib/web.c lib/web.h lib/web-gate.c lib/ask-socket.c lib/ask-socket.h lib/url.c lib/url.h lib/worker.c lib/worker.h
check_PROGRAMS += tests/unit/test-library-pages
tests_unit_test_library_pages_SOURCES = tests/unit/test-library-pages.c tests/unit/unit.h
tests_unit_test_library_pages_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-web
tests_unit_test_web_SOURCES = tests/unit/test-web.c tests/unit/loop.h tests/unit/unit.h
tests_unit_test_web_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-http-limits
tests_unit_test_http_limits_SOURCES = tests/unit/test-http-limits.c tests/unit/loop.h
tests_unit_test_http_limits_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-tls-hello tests/unit/test-http2
tests_unit_test_tls_hello_SOURCES = tests/unit/test-tls-hello.c tests/unit/unit.h
tests_unit_test_tls_hello_LDADD = $(TEST_LIBS)
tests_unit_test_http2_SOURCES = tests/unit/test-http2.c tests/unit/certs.c tests/unit/certs.h \
	tests/unit/loop.h tests/unit/unit.h
tests_unit_test_http2_LDADD = $(TEST_LIBS) -lgnutls
libkeelson_a_SOURCES += lib/loop-turn.c lib/loop-turn.h
check_PROGRAMS += tests/unit/test-loop-turn
tests_unit_test_loop_turn_SOURCES = tests/unit/test-loop-turn.c tests/unit/unit.h
tests_unit_test_loop_turn_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-fiber
tests_unit_test_fiber_SOURCES = tests/unit/test-fiber.c tests/unit/unit.h
tests_unit_test_fiber_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-parallel
tests_unit_test_parallel_SOURCES = tests/unit/test-parallel.c tests/unit/unit.h
tests_unit_test_parallel_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-http-many
tests_unit_test_http_many_SOURCES = tests/unit/test-http-many.c tests/unit/certs.c tests/unit/certs.h \
	tests/unit/loop.h tests/unit/unit.h
tests_unit_test_http_many_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-grpc tests/unit/test-http-server tests/unit/test-http-client
tests_unit_test_grpc_SOURCES = tests/unit/test-grpc.c tests/unit/certs.c tests/unit/certs.h \
	tests/unit/loop.h tests/unit/unit.h
tests_unit_test_grpc_LDADD = $(TEST_LIBS)
tests_unit_test_http_client_SOURCES = tests/unit/test-http-client.c tests/unit/certs.c tests/unit/certs.h \
	tests/unit/loop.h tests/unit/unit.h
tests_unit_test_http_client_LDADD = $(TEST_LIBS)
tests_unit_test_http_server_SOURCES = tests/unit/test-http-server.c tests/unit/certs.c tests/unit/certs.h \
	tests/unit/loop.h tests/unit/unit.h
tests_unit_test_http_server_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test-base tests/unit/test-text tests/unit/test-options
tests_unit_test_base_SOURCES = tests/unit/test-base.c tests/unit/unit.h
tests_unit_test_base_LDADD = $(TEST_LIBS)
tests_unit_test_text_SOURCES = tests/unit/test-text.c tests/unit/unit.h
tests_unit_test_text_LDADD = $(TEST_LIBS)
tests_unit_test_options_SOURCES = tests/unit/test-options.c tests/unit/unit.h
tests_unit_test_options_LDADD = $(TEST_LIBS)

# Text from outside, made safe to show
libkeelson_a_SOURCES += lib/plain.c lib/plain.h lib/confine.c lib/confine.h
check_PROGRAMS += tests/unit/test-plain
tests_unit_test_plain_SOURCES = tests/unit/test-plain.c tests/unit/unit.h
tests_unit_test_plain_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test-pki
tests_unit_test_pki_SOURCES = tests/unit/test-pki.c tests/unit/unit.h
tests_unit_test_pki_LDADD = $(TEST_LIBS)

check_PROGRAMS += tests/unit/test-ssh
tests_unit_test_ssh_SOURCES = tests/unit/test-ssh.c tests/unit/unit.h
tests_unit_test_ssh_LDADD = $(TEST_LIBS)

# Small shared pieces: one vector, one JSONPath, one home for cryptography
libkeelson_a_SOURCES += \
	lib/crypto.c lib/crypto.h lib/jwk.c lib/jwk.h \
	lib/jsonpath.c lib/jsonpath.h \
	lib/vector.c lib/vector.h
check_PROGRAMS += tests/unit/test-crypto tests/unit/test-json-text tests/unit/test-jsonpath tests/unit/test-vector
tests_unit_test_crypto_SOURCES = tests/unit/test-crypto.c tests/unit/unit.h
tests_unit_test_crypto_LDADD = $(TEST_LIBS)
tests_unit_test_json_text_SOURCES = tests/unit/test-json-text.c tests/unit/unit.h
tests_unit_test_json_text_LDADD = $(TEST_LIBS)
tests_unit_test_jsonpath_SOURCES = tests/unit/test-jsonpath.c tests/unit/unit.h
tests_unit_test_jsonpath_LDADD = $(TEST_LIBS)
tests_unit_test_vector_SOURCES = tests/unit/test-vector.c tests/unit/unit.h
tests_unit_test_vector_LDADD = $(TEST_LIBS)

# Schedules, time zones, sets of numbers
libkeelson_a_SOURCES += lib/cron.c lib/cron.h lib/ranges.c lib/ranges.h lib/time-zone.c lib/time-zone.h \
	lib/time-zone-rule.c lib/time-zone-rule.h
check_PROGRAMS += tests/unit/test-cron
tests_unit_test_cron_SOURCES = tests/unit/test-cron.c tests/unit/unit.h
tests_unit_test_cron_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-address
tests_unit_test_address_SOURCES = tests/unit/test-address.c tests/unit/unit.h
tests_unit_test_address_LDADD = $(TEST_LIBS)
check_PROGRAMS += tests/unit/test-sealed-file
tests_unit_test_sealed_file_SOURCES = tests/unit/test-sealed-file.c tests/unit/unit.h
tests_unit_test_sealed_file_LDADD = $(TEST_LIBS)
