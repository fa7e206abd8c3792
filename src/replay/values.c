/*
 * values.c
 *	  Rows value by value.
 */
#include "replay/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_FLOAT4 700
#define TYPE_FLOAT8 701

/*
 * Reads a float in the text or the binary format.
 */
static bool
read_float(WireSpan value, const OutlineColumn *column, double *number)
{
	char text[64];
	char *end;
	uint64_t bits = 0;

	if (column->format == 0)
	{
		if (value.len == 0 || value.len >= sizeof(text))
			return false;
		memcpy(text, value.data, value.len);
		text[value.len] = '\0';
		*number = strtod(text, &end);
		return *end == '\0';
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
show_value(Evidence *evidence, int64_t row_no, const OutlineColumn *column, WireSpan value)
{
	evidence->row_no = row_no;
	evidence->column = column->name;
	evidence->type = column->type;
	evidence->is_binary = column->format == 1;
	evidence->has_value = true;
	evidence->value = value;
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
		if (is_same_value(before, after) || outline_is_ignored(&rules->ignore, column.name) ||
		    is_within_tolerance(rules->float_tolerance, &column, before, after))
			continue;
		if (rules->level >= 5)
		{
			show_value(&difference->captured, row_no, &column, before);
			show_value(&difference->replayed, row_no, &column, after);
		}
		return true;
	}
	return false;
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

	for (int64_t row_no = 1; outline_run_next(captured->run, &left, &before) &&
	                         outline_run_next(replayed->run, &right, &after);
	     row_no++)
		if (rows_differ(rules, captured->columns, before, after, row_no, difference))
			return true;
	return false;
}
