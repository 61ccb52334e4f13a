/* A process gives up the network for good, with all that it starts. */
#pragma once

/* From here on no socket but a Unix one can be made (EACCES), by this process, its threads and its
 * children. Needs no privileges. 0 or a negative errno. */
int no_network(void);
