/* knodeagent image ...: what kctl image asks on a node. */
#pragma once

/* words: "list", or "remove" and names or ids of images. data_dir: the agent's, for which images
 * its pods have. Prints JSON or errors; returns an exit code. */
int image_command_main(const char *data_dir, char **words);
