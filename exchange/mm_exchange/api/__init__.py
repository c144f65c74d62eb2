"""The venue's REST and WebSocket API as a pure function: a request and the time in, a reply out."""
