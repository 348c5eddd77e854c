"""The demo: a real network of daemons on one machine that trains, votes, moves stake and is checked at the end."""
