/*
 * memory.h
 *	  How much memory was asked for, as the sanitizer sees it.
 *
 * AddressSanitizer calls these hooks at each allocation.  A target begins to count,
 * runs what it looks at, and requires what it may have taken at most: nothing, for
 * the codec, which allocates no memory at all.
 *
 * Each thread counts its own: libFuzzer has one that watches the process's size, and
 * its start allocates some time during the first inputs.
 */
#ifndef FUZZ_MEMORY_H
#define FUZZ_MEMORY_H

#include "fuzz.h"

/* of the sanitizer's, whose header not every compiler comes with */
extern void __sanitizer_malloc_hook(const volatile void *memory, size_t size);
extern void __sanitizer_free_hook(const volatile void *memory);
extern size_t __sanitizer_get_allocated_size(const volatile void *memory);

/* volatile: compilers think that malloc() leaves them alone */
static __thread volatile size_t memory_taken; /* that is not given back */
static __thread volatile size_t memory_most;  /* of that, since memory_begin() */
static __thread volatile size_t memory_calls; /* of malloc() and its like, since then */

/*
 * Notes an allocation.
 */
void
__sanitizer_malloc_hook(const volatile void *memory, size_t size)
{
	(void) memory;
	memory_calls++;
	memory_taken += size;
	if (memory_taken > memory_most)
		memory_most = memory_taken;
}

/*
 * Notes that memory is given back.
 */
void
__sanitizer_free_hook(const volatile void *memory)
{
	size_t size = memory ? __sanitizer_get_allocated_size(memory) : 0;

	memory_taken -= size < memory_taken ? size : memory_taken;
}

/*
 * Begins to count anew.  The first time it makes sure that the hooks are called.
 */
static void
memory_begin(void)
{
	static bool is_tried;

	if (!is_tried)
	{
		void *volatile memory;

		is_tried = true;
		memory_taken = memory_calls = 0;
		memory = malloc(1000);
		REQUIRE(memory_calls == 1 && memory_taken == 1000);
		free(memory);
		REQUIRE(memory_taken == 0);
	}
	memory_taken = memory_most = memory_calls = 0;
}

#endif /* FUZZ_MEMORY_H */
