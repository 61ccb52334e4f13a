/* What an administrator asks an API server about the encryption of stored values. Answers name keys
 * and never show them. */
#pragma once

#include "kapid/http/request.h"

#define ENCRYPTION_PATH "/keelson/encryption"

/* GET: the configuration (crypt_report), how the last rewriting ended, and with ?values=true with
 * which keys the stored values are encrypted. POST: rewrites the values that a write would encrypt
 * in another way; 202, GET shows how it goes. */
void encryption_run(struct request *request);
