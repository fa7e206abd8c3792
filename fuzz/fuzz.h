/*
 * fuzz.h
 *	  What the fuzz targets share: the entry point, properties, and an input that
 *	  is taken apart from its begin.
 *
 * A target is a function of some bytes that must not crash and whose properties
 * must hold whatever they are.  libFuzzer calls it (clang); without libFuzzer,
 * standalone.c calls it for the files that it is given.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program, as a crash does, where a property does not hold. */
#define REQUIRE(condition) \
	((condition)           \
	     ? (void) 0        \
	     : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), abort()))

/* An input being taken apart. */
typedef struct Input
{
	const uint8_t *data;
	size_t len;
} Input;

/*
 * Takes a byte; 0 behind the end.
 */
static inline uint8_t
take_byte(Input *input)
{
	if (input->len == 0)
		return 0;
	input->len--;
	return *input->data++;
}

/*
 * Takes as many bytes as there are, up to a number.
 */
static inline Input
take_bytes(Input *input, size_t most)
{
	Input taken = {input->data, most < input->len ? most : input->len};

	input->data += taken.len;
	input->len -= taken.len;
	return taken;
}

/*
 * Returns a copy of bytes in memory of just that size, so that a sanitizer sees a
 * read behind it.
 */
static inline uint8_t *
exact_copy(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

#endif /* FUZZ_H */
