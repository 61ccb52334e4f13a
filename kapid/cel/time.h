/* Dates and texts of times for expressions. */
#pragma once

#include "kapid/cel/value.h"

enum { CEL_TIME_SIZE = 64 };

/* Days since 1970 and dates; months and days from 1. */
int64_t cel_days_of_date(int64_t year, unsigned month, unsigned day);
void cel_date_of_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day);
/* "2009-02-13T23:31:30.5Z"; "-1.5s". */
const char *cel_timestamp_text(struct cel_value v, char buffer[static CEL_TIME_SIZE]);
const char *cel_duration_text(struct cel_value v, char buffer[static CEL_TIME_SIZE]);
