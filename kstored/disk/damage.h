/* Data that is damaged: one wording, and a note in the data directory that keeps a damaged member
 * from starting until it has been replaced. */
#pragma once

#include "lib/problem.h"

/* Fills p with the sentence and the remedy; returns -EUCLEAN. */
int damage_problem(struct problem *p, const char *fmt, ...) _printf_(2, 3);
/* Leaves the note; what is in it is for people. */
int damage_note(const char *data_dir, const char *what);
/* 0, or -EUCLEAN with p when there is a note. */
int damage_check(const char *data_dir, struct problem *p);
