/* placeholder: the codec's author writes the list */
WIRE_MESSAGE(Query, F, 'Q', NORMAL, 30, "runs a simple query")
WIRE_FIELD(Query, query, STRING)
