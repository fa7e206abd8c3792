/*
 * crc32c.c
 *	  CRC-32C, by the processor's instruction where it has one.
 */
#include <string.h>

#include "journal/journal.h"

#define POLYNOMIAL UINT32_C(0x82F63B78)

static uint32_t table[256];
static bool table_filled;

/*
 * Fills the table; doing so twice at once would write the same values.
 */
static void
fill_table(void)
{
	for (uint32_t i = 0; i < 256; i++)
	{
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		table[i] = crc;
	}
	table_filled = true;
}

/*
 * Computes it a byte at a time.
 */
static uint32_t
crc_by_table(uint32_t crc, const uint8_t *data, size_t len)
{
	if (!table_filled)
		fill_table();
	while (len-- > 0)
		crc = crc >> 8 ^ table[(crc ^ *data++) & 0xff];
	return crc;
}

#if defined(__x86_64__)

/*
 * Computes it eight bytes at a time.
 */
__attribute__((target("sse4.2"))) static uint32_t
crc_by_instruction(uint32_t crc, const uint8_t *data, size_t len)
{
	uint64_t wide = crc;

	for (; len >= 8; len -= 8, data += 8)
	{
		uint64_t eight;

		memcpy(&eight, data, 8);
		wide = __builtin_ia32_crc32di(wide, eight);
	}
	crc = (uint32_t) wide;
	while (len-- > 0)
		crc = __builtin_ia32_crc32qi(crc, *data++);
	return crc;
}

#endif

/*
 * Computes the CRC-32C of data, going on from crc.
 */
uint32_t
journal_crc32c(uint32_t crc, const void *data, size_t len)
{
	crc = ~crc;
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_by_instruction(crc, data, len);
#endif
	return ~crc_by_table(crc, data, len);
}

/*
 * Computes the CRC of a record: of its series, its header with crc = 0, its
 * payload.  The series is not stored in the record: bytes that a file system
 * left over from another file fail the check.
 */
uint32_t
journal_record_crc(uint64_t series, const JournalRecordHeader *header, const void *payload)
{
	JournalRecordHeader copy = *header;
	uint32_t crc = journal_crc32c(0, &series, sizeof(series));

	copy.crc = 0;
	crc = journal_crc32c(crc, &copy, sizeof(copy));
	return journal_crc32c(crc, payload, header->length);
}
