/*
 * json_shape.h
 *	  What the object of a list of fields begins with: its keys, in jsonb's order.
 *
 * It is the same for all messages of a type, so it is laid out once.
 */
#ifndef API_JSON_SHAPE_H
#define API_JSON_SHAPE_H

#include "api/json.h"

/* Most keys, those of an error with all fields, and most room that they take. */
#define JSON_SHAPE_FIELDS 18
#define JSON_SHAPE_ROOM 384

typedef struct JsonShape
{
	const WireField *fields;
	int count;
	bool is_known;                  /* it was looked at */
	bool is_flat;                   /* all fields are of plain kinds */
	uint8 order[JSON_SHAPE_FIELDS]; /* which field comes at each place */
	uint32 len;                     /* of `head` */
	char head[JSON_SHAPE_ROOM];     /* count, entries of keys and values, keys */
} JsonShape;

/* Returns the shape of a message's fields. */
extern const JsonShape *json_shape_of_message(JsonShapes *shapes, WireMessageId id);

/* Returns the shape of a column of RowDescription. */
extern const JsonShape *json_shape_of_column(JsonShapes *shapes);

/*
 * Returns the shape of an error's fields, by their codes; NULL where they are not
 * in the server's order, or one is not known.
 */
extern const JsonShape *json_shape_of_error(JsonShapes *shapes, const char *codes, int count);

#endif /* API_JSON_SHAPE_H */
