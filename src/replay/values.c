/*
 * values.c
 *	  Rows value by value.
 */
#include "replay/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "replay/oids.h"

#define TYPE_OID 26
#define TYPE_FLOAT4 700
#define TYPE_FLOAT8 701

/*
 * Reads a float in the text or the binary format.  What describes a statement says
 * text of all columns, before anybody knows how they are wanted.
 */
static bool
read_float(WireSpan value, const OutlineColumn *column, double *number)
{
	char text[64];
	char *end;
	uint64_t bits = 0;

	if (column->format == 0 && value.len > 0 && value.len < sizeof(text))
	{
		memcpy(text, value.data, value.len);
		text[value.len] = '\0';
		*number = strtod(text, &end);
		if (end == text + value.len)
			return true;
	}
	for (size_t i = 0; i < value.len && i < 8; i++)
		bits = bits << 8 | value.data[i];
	if (value.len == 8)
		memcpy(number, &bits, 8);
	else if (value.len == 4)
	{
		uint32_t low = (uint32_t) bits;
		float single;

		memcpy(&single, &low, 4);
		*number = (double) single;
	}
	return value.len == 8 || value.len == 4;
}

/*
 * Tells whether two values differ so little that it does not count.
 */
static bool
is_within_tolerance(double tolerance, const OutlineColumn *column, WireSpan a, WireSpan b)
{
	double before;
	double after;

	if (tolerance <= 0 || (column->type != TYPE_FLOAT4 && column->type != TYPE_FLOAT8))
		return false;
	if (!a.data || !b.data || !read_float(a, column, &before) || !read_float(b, column, &after))
		return false;
	return fabs(before - after) <= tolerance * fmax(fabs(before), fabs(after));
}

/*
 * Tells whether two values are the same.
 */
static bool
is_same_value(WireSpan a, WireSpan b)
{
	if (!a.data || !b.data)
		return !a.data && !b.data;
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/*
 * Puts the values that differ into a difference.
 */
static void
show_value(Evidence *evidence, int64_t row_no, const OutlineColumn *column, uint32_t no,
           WireSpan value)
{
	evidence->row_no = row_no;
	evidence->column = column->name;
	evidence->column_no = no + 1;
	evidence->type = column->type;
	evidence->is_binary = column->format == 1;
	evidence->has_value = true;
	evidence->value = value;
}

/*
 * Notes that a column differs.  Returns it; NULL: so many do that it is not told.
 */
static DifferingColumn *
note_column(Difference *difference, const OutlineColumn *column, uint32_t no)
{
	DifferingColumn *differing = difference->columns;
	int count = difference->column_count;

	for (int i = 0; i < count; i++)
		if (differing[i].no == no)
			return &differing[i];
	if (count == MAX_DIFFERING)
		return NULL;
	differing[count] = (DifferingColumn){.name = column->name, .no = no};
	difference->column_count++;
	return &differing[count];
}

/*
 * Tells whether the record has asterisks in place of a value; see values.h.
 */
bool
value_is_masked(WireSpan captured, WireSpan replayed)
{
	if (!captured.data || !replayed.data || captured.len != replayed.len)
		return false;
	for (size_t i = 0; i < captured.len; i++)
		if (captured.data[i] != '*')
			return false;
	return captured.len > 0;
}

/*
 * Tells whether two values differ in nothing but the numbers that the servers have
 * given to the same types.  column: NULL where nothing describes the rows.
 */
static bool
is_same_but_for_types(const CompareRules *rules, const OutlineColumn *column, WireSpan captured,
                      WireSpan replayed)
{
	uint8_t *copy;
	bool same;

	if (!captured.data || !replayed.data)
		return false;
	if ((!column || column->type == TYPE_OID) &&
	    oids_same_number(captured, rules->captured_types, replayed, rules->replayed_types))
		return true;
	/* whatever format: what describes a statement says 0 of all columns */
	if (captured.len != replayed.len || captured.len == 0)
		return false;
	copy = malloc(captured.len);
	if (!copy)
		return false;
	memcpy(copy, captured.data, captured.len);
	same = oids_translate_value(copy, captured.len, rules->captured_types, rules->replayed_types) &&
	       memcmp(copy, replayed.data, captured.len) == 0;
	free(copy);
	return same;
}

/*
 * Compares two rows; see values_differ.
 */
static bool
rows_differ(const CompareRules *rules, WireSpan columns, WireSpan captured, WireSpan replayed,
            int64_t row_no, Difference *difference)
{
	WireCursor left;
	WireCursor right;
	WireCursor names = {NULL, 0, 0};
	uint32_t had;
	uint32_t has;
	uint32_t named = 0;
	bool found = false;

	if (!outline_values(captured, &left, &had) || !outline_values(replayed, &right, &has) ||
	    had != has)
		return true;
	if (columns.data)
		outline_columns(columns, &names, &named);
	for (uint32_t i = 0; i < had; i++)
	{
		OutlineColumn column = {{NULL, 0}, 0, 0};
		WireSpan before;
		WireSpan after;

		if (!outline_value(&left, &before) || !outline_value(&right, &after))
			return true;
		if (i < named && !outline_column(&names, &column))
			named = 0;
		if (is_same_value(before, after) || outline_is_ignored(&rules->ignore, column.name, i) ||
		    is_within_tolerance(rules->float_tolerance, &column, before, after) ||
		    value_is_masked(before, after) ||
		    is_same_but_for_types(rules, i < named ? &column : NULL, before, after))
			continue;
		if (rules->level >= 5 && difference->column_count == 0)
		{
			show_value(&difference->captured, row_no, &column, i, before);
			show_value(&difference->replayed, row_no, &column, i, after);
		}
		note_column(difference, &column, i);
		found = true;
	}
	return found;
}

/*
 * Adds a row to the digests of the columns that differ.
 */
static void
digest_row(Difference *difference, WireSpan row, bool is_replayed)
{
	WireCursor cursor;
	WireSpan value;
	uint32_t count;

	if (!outline_values(row, &cursor, &count))
		return;
	for (uint32_t no = 0; no < count && outline_value(&cursor, &value); no++)
		for (int i = 0; i < difference->column_count; i++)
		{
			DifferingColumn *column = &difference->columns[i];
			uint64_t *digest = is_replayed ? &column->replayed : &column->captured;

			if (column->no == no)
				*digest = XXH3_64bits_withSeed(value.data ? value.data : (const uint8_t *) "",
				                               value.len, *digest + (value.data ? 1 : 2));
		}
}

/*
 * Digests the columns that differ, over all rows: two replays whose digests differ
 * too found noise.
 */
static void
digest_columns(const Unit *captured, const Unit *replayed, Difference *difference)
{
	size_t left = 0;
	size_t right = 0;
	WireSpan row;

	while (outline_run_next(captured->run, &left, &row))
		digest_row(difference, row, false);
	while (outline_run_next(replayed->run, &right, &row))
		digest_row(difference, row, true);
}

/*
 * Compares two runs of rows; see values.h.
 */
bool
values_differ(const CompareRules *rules, const Unit *captured, const Unit *replayed,
              Difference *difference)
{
	size_t left = 0;
	size_t right = 0;
	WireSpan before;
	WireSpan after;
	bool found = false;

	for (int64_t row_no = 1; outline_run_next(captured->run, &left, &before) &&
	                         outline_run_next(replayed->run, &right, &after);
	     row_no++)
		if (rows_differ(rules, captured->columns, before, after, row_no, difference))
			found = true;
	if (found)
		digest_columns(captured, replayed, difference);
	return found;
}
