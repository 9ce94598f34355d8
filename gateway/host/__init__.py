"""This host: its sockets, names, memory, threads and journal."""
