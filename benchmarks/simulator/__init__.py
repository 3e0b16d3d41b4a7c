"""The server's scheduler in virtual time: thousands of workers and a million tasks on one core."""
