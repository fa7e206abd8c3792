/*
 * secret.h
 *	  Between the files that mask.
 */
#ifndef WIRE_SECRET_H
#define WIRE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Whether prose of the server quotes a command or connection string with a secret. */
extern bool secret_in_prose(const char *text, size_t len);

#endif /* WIRE_SECRET_H */
