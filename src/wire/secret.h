/*
 * secret.h
 *	  Between the files that mask.
 */
#ifndef WIRE_SECRET_H
#define WIRE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Whether a text must be read at all to find secrets in it. */
extern bool secret_possible(const char *text, size_t len);

#endif /* WIRE_SECRET_H */
