"""Four banks learn together which credits go bad: an example of a task of one's own."""
