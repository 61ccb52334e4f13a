/* `knodeagent csr`: makes the node's key, which never leaves the machine, and a certificate request
 * for it. */
#pragma once

/* argv of main(), argv[1] is "csr": --name NODE --dir DIR. Creates DIR/key.pem (0600) when it is
 * missing and prints the request, PEM, to stdout. Returns the exit code. */
int csr_main(int argc, char **argv);
