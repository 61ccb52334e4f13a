/* `knodeagent csr`: the node's key, made here and never leaving, and a certificate request for it.
 */
#pragma once

/* argv as main() got it, argv[1] being "csr": --name NODE --dir DIR. Makes DIR/key.pem (0600) where
 * there is none and prints the request, PEM, to stdout. Returns the exit code. */
int csr_main(int argc, char **argv);
