/* Takes the network from a process and its children, irrevocably. */
#pragma once

/* From here on no socket but a Unix one can be made (EACCES), by this process, its threads and its
 * children. Needs no privileges. 0 or a negative errno. */
int no_network(void);
