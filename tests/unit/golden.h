/* Golden files: tests/golden/FOLDER/NAME.yaml is an input, NAME.out its expected text. With
 * REWRITE=1 the .out files are written instead of compared: read the diff. */
#pragma once

/* Fails the test when convert(input) differs from the expected text. convert returns a string that
 * golden_check frees. */
void golden_check(const char *folder, const char *name, char *(*convert)(const char *yaml));
