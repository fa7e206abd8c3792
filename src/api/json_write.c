/*
 * json_write.c
 *	  Writes jsonb from values as they come.
 *
 * The values are noted in one array in the order in which they come, each
 * container before what is in it; then all is laid out at once in memory of which
 * the size is known.  That is several times faster than trees of JsonbValue,
 * which are made of many small pieces of memory, and decoding a stream is mostly
 * this.
 *
 *		{"values": ["a", null]}		object 1 | "values": array 2 | "a" | null
 *
 * utils/jsonb.h describes what jsonb looks like.
 */
#include "api/json_lay.h"

#include "utils/memutils.h"
#include "utils/numeric.h"

/* Most keys of an object. */
#define MAX_KEYS 32

/* Places for the lengths of keys. */
#define KEY_SLOTS 127

/* Room for jsonb: so much at first, and no more than this is kept for small ones. */
#define FIRST_ROOM ((size_t) 8192)
#define KEEP_ROOM ((size_t) 1024 * 1024)

/* What a value takes besides its bytes and key at most: two entries and padding. */
#define OVERHEAD (2 * sizeof(JEntry) + 3)

/* A value that was added. */
typedef struct JsonNode
{
	uint16 kind; /* JsonKind */
	uint16 key_len;
	int next;   /* node behind it and all in it; of an open one: the container around */
	uint32 len; /* of its bytes; of a container: how many values are in it */
	const char *key;
	union
	{
		const void *bytes;
		int64 number;
	};
} JsonNode;

/* How long a key is. */
typedef struct KeySlot
{
	const char *key;
	uint32 len;
} KeySlot;

struct JsonWriter
{
	MemoryContext context;
	JsonNode *nodes;
	int count;
	int size;
	int open;    /* innermost container that is not ended; -1: none */
	size_t most; /* bytes that the jsonb may take */
	/* the keys of the last object as they came, and which comes where */
	const char *sorted_keys[MAX_KEYS];
	int sorted_places[MAX_KEYS];
	int sorted_count;
	KeySlot key_slots[KEY_SLOTS];
	JsonNumbers numbers;
	char *room; /* where jsonb is laid out, behind the lead */
	size_t room_size;
};

/*
 * Makes a writer.
 */
JsonWriter *
json_writer_create(void)
{
	JsonWriter *writer = palloc0(sizeof(JsonWriter));

	writer->context = CurrentMemoryContext;
	writer->size = 64;
	writer->nodes = palloc(sizeof(JsonNode) * writer->size);
	json_reset(writer);
	return writer;
}

/*
 * Forgets what was added.
 */
void
json_reset(JsonWriter *writer)
{
	writer->count = 0;
	writer->open = -1;
	writer->most = VARHDRSZ;
}

/*
 * Returns a key's length.  Keys are few, so those of the last ones are kept.
 */
static inline uint32
key_length(JsonWriter *writer, const char *key)
{
	KeySlot *slot = &writer->key_slots[(uintptr_t) key % KEY_SLOTS];

	if (slot->key != key)
		*slot = (KeySlot){key, (uint32) strlen(key)};
	return slot->len;
}

/*
 * Adds a node of a kind; its bytes take `len` in the jsonb.  NULL: too large.
 */
static inline JsonNode *
add_node(JsonWriter *writer, const char *key, JsonKind kind, size_t len)
{
	JsonNode *node;
	size_t key_len = key ? key_length(writer, key) : 0;

	/* len first, or the sum might not fit */
	if (len > JENTRY_OFFLENMASK || writer->most + len + key_len + OVERHEAD > JENTRY_OFFLENMASK)
		return NULL;
	writer->most += len + key_len + OVERHEAD;
	if (unlikely(writer->count == writer->size))
	{
		writer->size *= 2;
		writer->nodes = repalloc_huge(writer->nodes, sizeof(JsonNode) * writer->size);
	}
	if (writer->open >= 0)
		writer->nodes[writer->open].len++;
	node = &writer->nodes[writer->count++];
	node->kind = (uint16) kind;
	node->next = writer->count;
	node->key = key;
	node->key_len = (uint16) key_len;
	return node;
}

/*
 * Begins a container.
 */
bool
json_begin(JsonWriter *writer, const char *key, JsonKind kind)
{
	JsonNode *node = add_node(writer, key, kind, sizeof(uint32));

	if (!node)
		return false;
	node->len = 0;
	node->next = writer->open;
	writer->open = writer->count - 1;
	return true;
}

/*
 * Ends the innermost container.
 */
void
json_end(JsonWriter *writer)
{
	JsonNode *node = &writer->nodes[writer->open];

	Assert(writer->open >= 0);
	writer->open = node->next;
	node->next = writer->count;
}

/*
 * Adds a string.
 */
static inline bool
put_string(JsonWriter *writer, const char *key, const void *bytes, size_t len)
{
	JsonNode *node = add_node(writer, key, JSON_STRING, len);

	if (!node)
		return false;
	node->bytes = bytes;
	node->len = (uint32) len;
	return true;
}

/*
 * Adds a string, for others.
 */
bool
json_put_string(JsonWriter *writer, const char *key, const void *bytes, size_t len)
{
	return put_string(writer, key, bytes, len);
}

/*
 * Adds a string of the hex digits of some bytes.
 */
bool
json_put_hex(JsonWriter *writer, const char *key, const void *bytes, size_t len)
{
	JsonNode *node = len > JENTRY_OFFLENMASK ? NULL : add_node(writer, key, JSON_HEX, len * 2);

	if (!node)
		return false;
	node->bytes = bytes;
	node->len = (uint32) len;
	return true;
}

/*
 * Adds a number.
 */
bool
json_put_number(JsonWriter *writer, const char *key, int64 number)
{
	JsonNode *node = add_node(writer, key, JSON_NUMBER, JSON_NUMBER_SIZE);

	if (!node)
		return false;
	node->number = number;
	return true;
}

/*
 * Adds true or null.
 */
bool
json_put_constant(JsonWriter *writer, const char *key, JsonKind kind)
{
	return add_node(writer, key, kind, 0) != NULL;
}

/*
 * Adds bytes; see json.h.
 */
bool
json_put_bytes(JsonWriter *writer, const ReadEncoding *encoding, const char *key, WireSpan bytes,
               bool is_binary)
{
	size_t len;
	const char *text;

	if (bytes.len > JENTRY_OFFLENMASK) /* before it is converted */
		return false;
	if (!is_binary && read_is_plain(bytes.data, bytes.len))
		return put_string(writer, key, bytes.data, bytes.len);
	text = is_binary ? NULL : read_text(encoding, bytes, &len);
	if (text)
		return put_string(writer, key, text, len);
	if (!json_begin(writer, key, JSON_OBJECT) ||
	    !json_put_hex(writer, "hex", bytes.data, bytes.len))
		return false;
	json_end(writer);
	return true;
}

/*
 * Makes a number and keeps it; see json_lay.h.
 */
void
json_make_number(JsonNumberSlot *slot, int64 number)
{
	Numeric numeric = int64_to_numeric(number);

	slot->number = number;
	slot->len = VARSIZE_ANY(numeric);
	Assert(slot->len <= JSON_NUMBER_SIZE);
	memcpy(slot->bytes, numeric, slot->len);
	pfree(numeric);
}

static char *lay_container(JsonWriter *writer, int container, char *at);

/*
 * Lays a value out; sets its entry, of which the length is that of what it laid
 * out, padding included.  Returns the place behind it.
 */
static char *
lay_value(JsonWriter *writer, int index, char *at, JEntry *entry)
{
	const JsonNode *node = &writer->nodes[index];
	char *begin = at;
	uint32 type = JENTRY_ISSTRING;

	switch ((JsonKind) node->kind)
	{
		case JSON_STRING:
			at = json_copy(at, node->bytes, node->len);
			break;
		case JSON_HEX:
			at += hex_encode(node->bytes, node->len, at);
			break;
		case JSON_NUMBER:
			type = JENTRY_ISNUMERIC;
			at = json_lay_number(&writer->numbers, node->number, at);
			break;
		case JSON_TRUE:
			type = JENTRY_ISBOOL_TRUE;
			break;
		case JSON_NULL:
			type = JENTRY_ISNULL;
			break;
		case JSON_ARRAY:
		case JSON_OBJECT:
			type = JENTRY_ISCONTAINER;
			at = lay_container(writer, index, at);
			break;
	}
	*entry = type | (uint32) (at - begin);
	return at;
}

/*
 * Tells whether a key comes before another in jsonb: the shorter one does.
 */
static bool
is_before(const JsonNode *a, const JsonNode *b)
{
	if (a->key_len != b->key_len)
		return a->key_len < b->key_len;
	return memcmp(a->key, b->key, a->key_len) < 0;
}

/*
 * Finds the order of some values' keys, and keeps it.
 */
static void
sort_keys(JsonWriter *writer, const int *values, int count)
{
	const JsonNode *nodes = writer->nodes;
	int *places = writer->sorted_places;

	for (int i = 0; i < count; i++)
	{
		int place = i;

		for (; place > 0 && is_before(&nodes[values[i]], &nodes[values[places[place - 1]]]);
		     place--)
			places[place] = places[place - 1];
		places[place] = i;
		writer->sorted_keys[i] = nodes[values[i]].key;
	}
	writer->sorted_count = count;
}

/*
 * Lists an object's values by their keys, in jsonb's order.  The next object often
 * has the same keys as the last: columns, errors.
 */
static void
sort_values(JsonWriter *writer, int object, int order[MAX_KEYS])
{
	const JsonNode *nodes = writer->nodes;
	int values[MAX_KEYS];
	int count = 0;
	bool is_known = nodes[object].len == (uint32) writer->sorted_count;

	if (nodes[object].len > MAX_KEYS)
		elog(ERROR, "too many keys for an object");
	for (int i = object + 1; i < nodes[object].next; i = nodes[i].next)
	{
		is_known = is_known && nodes[i].key == writer->sorted_keys[count];
		values[count++] = i;
	}
	if (!is_known)
		sort_keys(writer, values, count);
	for (int i = 0; i < count; i++)
		order[i] = values[writer->sorted_places[i]];
}

/*
 * Lays an object's keys and values out behind its entries.
 */
static char *
lay_object(JsonWriter *writer, int object, JEntry *entries, char *at)
{
	char *begin = at;
	int count = (int) writer->nodes[object].len;
	int order[MAX_KEYS];

	sort_values(writer, object, order);
	for (int i = 0; i < count; i++)
	{
		const JsonNode *node = &writer->nodes[order[i]];

		at = json_copy(at, node->key, node->key_len);
		json_set_entry(entries, (uint32) i, node->key_len, at - begin);
	}
	for (int i = 0; i < count; i++)
	{
		JEntry entry;

		at = lay_value(writer, order[i], at, &entry);
		json_set_entry(entries, (uint32) (count + i), entry, at - begin);
	}
	return at;
}

/*
 * Lays a container out: how many values it has, their entries, the values.
 */
static char *
lay_container(JsonWriter *writer, int container, char *at)
{
	const JsonNode *nodes = writer->nodes;
	uint32 count = nodes[container].len;
	bool is_object = nodes[container].kind == JSON_OBJECT;
	JEntry *entries;
	char *begin;
	int i = 0;

	at = json_pad(at);
	*(uint32 *) at = count | (is_object ? JB_FOBJECT : JB_FARRAY);
	entries = (JEntry *) (at + sizeof(uint32));
	begin = at = (char *) (entries + count * (is_object ? 2 : 1));
	if (is_object)
		return lay_object(writer, container, entries, at);
	for (int value = container + 1; value < nodes[container].next; value = nodes[value].next)
	{
		JEntry entry = nodes[value].len;

		if (nodes[value].kind == JSON_STRING) /* mostly */
			at = json_copy(at, nodes[value].bytes, nodes[value].len);
		else
			at = lay_value(writer, value, at, &entry);
		json_set_entry(entries, (uint32) i++, entry, at - begin);
	}
	return at;
}

/*
 * Returns where jsonb is laid out; see json.h.  Much room is not kept for little.
 */
char *
json_room(JsonWriter *writer, size_t size)
{
	size_t needed = JSON_LEAD + size + JSON_SLACK;

	if (needed > writer->room_size || (writer->room_size > KEEP_ROOM && needed < KEEP_ROOM))
	{
		if (writer->room)
			pfree(writer->room);
		writer->room_size = 0;
		writer->room = NULL; /* should there be no memory */
		writer->room = MemoryContextAllocHuge(writer->context, Max(needed, FIRST_ROOM));
		writer->room_size = Max(needed, FIRST_ROOM);
	}
	return writer->room + JSON_LEAD;
}

/*
 * Returns the jsonb; see json.h.
 */
Jsonb *
json_finish(JsonWriter *writer)
{
	Jsonb *jsonb = (Jsonb *) json_room(writer, writer->most);
	char *end;

	Assert(writer->count > 0 && writer->open < 0 && writer->nodes[0].next == writer->count);
	end = lay_container(writer, 0, VARDATA(jsonb));
	Assert(end <= (char *) jsonb + writer->most);
	SET_VARSIZE(jsonb, end - (char *) jsonb);
	json_reset(writer);
	return jsonb;
}

/*
 * Returns the numbers that were made.
 */
JsonNumbers *
json_numbers(JsonWriter *writer)
{
	return &writer->numbers;
}
