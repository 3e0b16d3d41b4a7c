"""The dispatcher: a child process of the front end, and the only Ray driver."""
