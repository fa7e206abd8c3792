/*
 * json_encode.c
 *	  encode_message(): a message's bytes from what decode_messages() shows.
 *
 * The same list that a body is decoded by says which keys it must have.  Every
 * field must be there, and nothing else: a key that is misspelt is an error, not
 * a field left out.
 */
#include "api/json_encode.h"

#include "fmgr.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(pgwire_trace_encode_message);

/* Keys of bodies that were not decoded; without the type they are an Opaque's. */
static const WireField unknown_keys[] = {
    {"type", WIRE_KIND_CHAR}, {"data", WIRE_KIND_BYTES}, {NULL, WIRE_KIND_END}};
static const WireField malformed_keys[] = {{"malformed", WIRE_KIND_STRING},
                                           {"at", WIRE_KIND_INT32},
                                           {"data", WIRE_KIND_BYTES},
                                           {NULL, WIRE_KIND_END}};

static void put_fields(Encoder *encoder, WireMessageId id, JsonbContainer *body);

/*
 * Finds the part whose key an object has, in this direction and place.
 */
static WireMessageId
find_part(const Encoder *encoder, JsonbContainer *object, WirePhase place, JsonbValue *value)
{
	int bit = encoder->direction == WIRE_FRONTEND ? WIRE_DIR_F : WIRE_DIR_B;

	for (int id = 1; id < WIRE_MSG_COUNT; id++)
		if ((wire_types[id].phases & (1u << place)) && (wire_types[id].directions & bit) &&
		    encode_find_key(object, wire_types[id].key, value))
			return (WireMessageId) id;
	return WIRE_MSG_Unknown;
}

/*
 * Appends the message that an object holds under its key.  False: it holds none.
 */
static bool
put_part(Encoder *encoder, JsonbContainer *object, WirePhase place)
{
	const char *message = encoder->message;
	JsonbValue value;
	WireMessageId id = find_part(encoder, object, place, &value);

	if (id == WIRE_MSG_Unknown)
		return false;
	encoder->field = wire_types[id].key;
	if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
		encode_fail(encoder, "an object", encode_found(&value));
	if (JsonContainerSize(object) != 1)
		encode_fail(encoder, "the only field", "one of several");
	encoder->message = wire_types[id].name;
	encode_integer(encoder, WIRE_TYPE_BYTE(wire_types[id].type), 1);
	put_fields(encoder, id, value.val.binary.data);
	encoder->message = message;
	return true;
}

/*
 * Appends the data of XLogData: a message of pgoutput's, or bytes.
 */
static void
put_plugin_data(Encoder *encoder, const JsonbValue *value)
{
	if (!value || value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data) ||
	    !put_part(encoder, value->val.binary.data, WIRE_PHASE_IN_XLOG_DATA))
		encode_bytes(encoder, value);
}

/*
 * Appends a number unless it is null: then it is not in the message.
 */
static void
put_optional(Encoder *encoder, const JsonbValue *value, WireKind kind)
{
	if (!value || value->type != jbvNull)
		encode_number(encoder, value, kind);
}

/*
 * Appends a number behind the count of the list that comes next.
 */
static void
put_count(Encoder *encoder, const JsonbValue *value)
{
	encoder->count_at = encoder->out->len;
	encode_integer(encoder, 0, 4);
	encode_number(encoder, value, WIRE_KIND_INT8);
}

/*
 * Appends a field of the kinds that stand inside CopyData alone.
 */
static void
put_content_field(Encoder *encoder, const JsonbValue *value, WireKind kind)
{
	switch (kind)
	{
		case WIRE_KIND_PLUGIN_DATA:
			put_plugin_data(encoder, value);
			break;
		case WIRE_KIND_STREAM_XID:
			put_optional(encoder, value, WIRE_KIND_UINT32);
			break;
		case WIRE_KIND_LAST_LSN:
			put_optional(encoder, value, WIRE_KIND_LSN);
			break;
		case WIRE_KIND_LAST_TIME:
			put_optional(encoder, value, WIRE_KIND_TIME);
			break;
		case WIRE_KIND_KEY_TUPLE:
		case WIRE_KIND_OLD_TUPLE:
			if (!value || value->type != jbvNull)
				encode_tuple(encoder, value, kind == WIRE_KIND_KEY_TUPLE ? 'K' : 'O');
			break;
		case WIRE_KIND_NEW_TUPLE:
			encode_tuple(encoder, value, 'N');
			break;
		case WIRE_KIND_COUNT_INT8:
			put_count(encoder, value);
			break;
		default:
			encode_list(encoder, value, kind);
			break;
	}
}

/*
 * Appends a field.
 */
static void
put_field(Encoder *encoder, const JsonbValue *value, WireKind kind)
{
	switch (kind)
	{
		case WIRE_KIND_CHAR:
		case WIRE_KIND_INT8:
		case WIRE_KIND_INT16:
		case WIRE_KIND_INT32:
		case WIRE_KIND_UINT32:
		case WIRE_KIND_VERSION:
		case WIRE_KIND_INT64:
		case WIRE_KIND_TIME:
		case WIRE_KIND_LSN:
			encode_number(encoder, value, kind);
			break;
		case WIRE_KIND_STRING:
		case WIRE_KIND_QUERY:
		case WIRE_KIND_SECRET_STRING:
			encode_string(encoder, value, true);
			break;
		case WIRE_KIND_BYTES:
		case WIRE_KIND_CONTENT:
		case WIRE_KIND_SECRET:
			encode_bytes(encoder, value);
			break;
		case WIRE_KIND_VALUE:
		case WIRE_KIND_SECRET_VALUE:
			encode_value(encoder, value);
			break;
		default:
			put_content_field(encoder, value, kind);
			break;
	}
}

/*
 * Appends error fields that are keys of the body itself, in the server's order.
 */
static void
put_error_keys(Encoder *encoder, JsonbContainer *body)
{
	WireField fields[24] = {{NULL, WIRE_KIND_END}};
	JsonbValue value;

	for (int i = 0; json_error_keys[i].key; i++)
	{
		fields[i] = (WireField){json_error_keys[i].key, WIRE_KIND_STRING};
		fields[i + 1].kind = WIRE_KIND_END;
	}
	encode_check_keys(encoder, body, fields);
	for (const JsonErrorKey *key = json_error_keys; key->key; key++)
	{
		encoder->field = key->key;
		if (!encode_find_key(body, key->key, &value))
			continue;
		encode_integer(encoder, (uint8) key->code, 1);
		encode_string(encoder, &value, true);
	}
	encode_integer(encoder, 0, 1);
}

/*
 * Appends all fields of a message; or of CopyData the message in it.
 */
static void
put_fields(Encoder *encoder, WireMessageId id, JsonbContainer *body)
{
	const WireField *fields = wire_types[id].fields;
	JsonbValue value;

	if (wire_code_size(id) > 0)
		encode_integer(encoder, wire_code_of(id), 4);
	if (fields[0].kind == WIRE_KIND_ERROR_FIELDS && !encode_find_key(body, fields[0].name, &value))
	{
		put_error_keys(encoder, body);
		return;
	}
	if (fields[0].kind == WIRE_KIND_CONTENT && put_part(encoder, body, WIRE_PHASE_IN_COPY_DATA))
		return;
	encode_check_keys(encoder, body, fields);
	for (const WireField *field = fields; field->kind != WIRE_KIND_END; field++)
	{
		JsonbValue *found = encode_find_key(body, field->name, &value);

		encoder->field = field->name;
		put_field(encoder, found, field->kind);
	}
}

/*
 * Appends the bytes under the key "data" of a body that was not decoded, which
 * has these keys.
 */
static void
put_data(Encoder *encoder, JsonbContainer *body, const WireField *keys)
{
	JsonbValue value;

	encode_check_keys(encoder, body, keys);
	encoder->field = "data";
	encode_bytes(encoder, encode_find_key(body, "data", &value));
}

/*
 * Finds a message by its name and direction.
 */
static WireMessageId
find_message(const char *name, WireDirection direction)
{
	int bit = direction == WIRE_FRONTEND ? WIRE_DIR_F : WIRE_DIR_B;

	for (int id = 1; id < WIRE_MSG_COUNT; id++)
		if (strcmp(wire_types[id].name, name) == 0 && !wire_types[id].key &&
		    (wire_types[id].directions & bit))
			return (WireMessageId) id;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("argument \"name\" must be a message of direction %c, not \"%s\"",
	                       (char) direction, name),
	                errhint("See pgwire_trace.message_types().")));
}

/*
 * Writes the length of a message that ends here and has its length field there.
 */
static void
put_length(Encoder *encoder, WireMessageId id, uint8 type, int at)
{
	uint32 length = (uint32) (encoder->out->len - at);
	uint32 limit = type ? wire_length_limits(encoder->direction)[type] : wire_types[id].limit;
	uint32 written = pg_hton32(length);

	if (length > limit)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("%s must be at most %u bytes long, but is %u", encoder->message,
		                       limit, length)));
	memcpy(encoder->out->data + at, &written, 4);
}

/*
 * Appends a message: its type byte, length and body.
 */
static void
put_message(Encoder *encoder, JsonbContainer *body)
{
	bool is_unknown = strcmp(encoder->message, "Unknown") == 0;
	WireMessageId id =
	    is_unknown ? WIRE_MSG_Unknown : find_message(encoder->message, encoder->direction);
	uint8 type = WIRE_TYPE_BYTE(wire_types[id].type);
	bool has_length = (wire_types[id].phases & (1u << WIRE_PHASE_SSL_ANSWER)) == 0;
	JsonbValue value;
	int length_at;

	if (is_unknown)
	{
		encoder->field = "type";
		encode_number(encoder, encode_find_key(body, "type", &value), WIRE_KIND_CHAR);
	}
	else if (type && has_length)
		encode_integer(encoder, type, 1);
	length_at = encoder->out->len;
	if (has_length)
		encode_integer(encoder, 0, 4);
	if (is_unknown)
		put_data(encoder, body, unknown_keys);
	else if (encode_find_key(body, "malformed", &value))
		put_data(encoder, body, malformed_keys);
	else
		put_fields(encoder, id, body);
	if (has_length)
		put_length(encoder, id, type, length_at);
}

/*
 * encode_message(direction, name, body, encoding)
 */
Datum
pgwire_trace_encode_message(PG_FUNCTION_ARGS)
{
	Jsonb *body = PG_GETARG_JSONB_P(2);
	StringInfoData out;
	Encoder encoder = {.direction = decode_direction(text_to_cstring(PG_GETARG_TEXT_PP(0))),
	                   .message = text_to_cstring(PG_GETARG_TEXT_PP(1)),
	                   .out = &out};
	JsonbValue root = {.type = jbvBinary, .val.binary = {VARSIZE(body) - VARHDRSZ, &body->root}};
	JsonbValue value;

	read_encoding_init(&encoder.encoding, decode_encoding(NameStr(*PG_GETARG_NAME(3))));
	if (!JB_ROOT_IS_OBJECT(body))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("argument \"body\" must be a JSON object, not %s",
		                       encode_found(JB_ROOT_IS_SCALAR(body)
		                                        ? getIthJsonbValueFromContainer(&body->root, 0)
		                                        : &root))));
	if (encode_find_key(&body->root, "truncated", &value))
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("%s was truncated: its other bytes are not known", encoder.message)));
	initStringInfo(&out);
	if (strcmp(encoder.message, "Opaque") == 0)
		put_data(&encoder, &body->root, unknown_keys + 1);
	else
		put_message(&encoder, &body->root);
	PG_RETURN_BYTEA_P(cstring_to_text_with_len(out.data, out.len));
}
