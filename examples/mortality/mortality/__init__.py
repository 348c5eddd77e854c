"""Five hospitals learn together which patients die within 180 days: an example of a task of one's own."""
