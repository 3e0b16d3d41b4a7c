"""The server room: front end, planner, dispatcher with scheduler and pool, metrics."""
