"""The exchange on sockets: REST, WebSockets and the admin API around the sans-I/O core."""
