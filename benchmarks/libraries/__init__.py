"""How each library is asked for the same derivative, at its best: a file a library."""
